"""A function that a driver of the host uses: its vectors come from the same pools."""

from typing import Any

from tracekit import VFIO_MSI, VFIO_MSIX, Device
from tracekit_systems.scenarios.interrupts import Interrupts
from tracekit_systems.scenarios.kernel import Kernel
from tracekit_systems.scenarios.storage import refusal, store
from tracekit_systems.scenarios.world import MS, World, vectors


class HostDriver:
    """Load and unload the driver of one function of the host.

    A managed driver (PCI_IRQ_AFFINITY) gets no more vectors than there are CPUs, each with its share of them: kernel/irq/affinity.c,
    irq_calc_affinity_vectors and irq_create_affinity_masks; each takes a slot on every CPU of its share (x86, since 4.15).
    """

    def __init__(self, world: World, device: Device, name: str, irq: int) -> None:
        self.world, self.device, self.name = world, device, name
        self.index = VFIO_MSI if device.kind == "msi" else VFIO_MSIX
        self.interrupts = Interrupts(world, device, name, irq)
        self.kernel = Kernel(world, device, name, irq, self.index, self.interrupts)
        self.wanted: set[int] = set()
        self.granted: set[int] = set()

    def signal(self, vector: int) -> None:
        """Let the device signal a vector now."""
        self.interrupts.signal(vector)

    def rebind(self) -> None:
        """Unbind and bind the driver."""
        if self.granted:
            self.kernel.free()
        self.granted = set()
        self.kernel.unbind()
        self.world.step(self.name, "the driver is unbound and bound")

    def begin(self, session: int) -> None:
        """Load the driver, which keeps its vectors over later sessions."""
        if self.granted:
            return
        size, asked = self.device.entries(session), self.device.wanted(session)
        self.kernel.resize(size)
        for count in self.device.before(session):
            self.world.step(self.name, f"the host's driver asks for {vectors(count)}, and frees them")
            if self.kernel.load(count):
                self.kernel.free()
        cpus = self.world.scenario.host.cpus
        if self.device.driver == "managed":
            pre = min(self.device.pre_vectors, asked)
            asked = min(asked, pre + cpus)
            self.kernel.masks = [()] * pre + shares(asked - pre, cpus) if self.world.gates.get("KV1", True) else []
        self.wanted = set(range(asked))
        stores = self.device.kind == "ims"
        if stores and (why := refusal(self.world, False, True)):
            step = self.world.step(self.name, f"the host's driver asks for {vectors(asked)} of message storage", f"refused: {why}")
            self.world.fault("CFG-003", self.name, step)
            stores = False
        step = self.world.step(self.name, f"the host's driver asks for {vectors(asked)}{' of message storage' if stores else ''}")
        got = store(self.kernel, asked) if stores else self.kernel.load(asked)
        self.granted = set(range(got))
        self.world.steps[step.number - 1] = step = type(step)(step.number, step.at, step.subject, step.what, vectors(got))
        for code in self.kernel.noticed:
            self.world.fault(code, self.name, step)
        self.kernel.noticed.clear()
        self.world.begin(f"{self.name} vectors", vectors(got), "vectors")
        self.world.measure()
        self.world.idle(MS)

    def end(self) -> None:
        """Keep the vectors: the host goes on."""

    def act(self, act: Any) -> None:
        """Do nothing: no guest has it."""

    def moved(self, stopped: set[int], started: set[int]) -> None:
        """Shut vectors down whose last CPU went offline, and start those whose CPU is back."""
        first = self.kernel.irq
        for vector in sorted(irq - first for irq in stopped if irq - first in self.granted):
            self.interrupts.detach(vector)
            self.world.step(self.name, f"vector {vector} is shut down: it is managed, and its last CPU is offline")
        for vector in sorted(irq - first for irq in started if irq - first in self.granted):
            self.kernel.restart(vector)
            self.world.step(self.name, f"vector {vector} starts again")

    def seen(self) -> str:
        """Return what the host has of it."""
        down = self.granted - self.interrupts.source.handled
        told = f"{self.name}: the host's driver has {len(self.granted)} of {vectors(len(self.wanted))}"
        return told + (f", {len(down)} of them shut down" if down else "")


def shares(count: int, cpus: int) -> list[tuple[int, ...]]:
    """Return the CPUs of each vector: neighbours, the first vectors one more where they cannot be even."""
    each, more = divmod(cpus, max(count, 1))
    begin, made = 0, []
    for n in range(count):
        size = each + (n < more)
        made.append(tuple(range(begin, begin + size)))
        begin += size
    return made
