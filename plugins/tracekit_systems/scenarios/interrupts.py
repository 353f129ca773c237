"""The interrupts of one function in a scenario: at the device, in the host's handlers, and in the client while its guest masks."""

from collections.abc import Iterable
from typing import Any

from tracekit import Device
from tracekit_systems.scenarios.world import US, World

KEEPS = {"unspecified": None, "kept": True, "cleared": False}
LINE = 16  # the irq of INTx
HELD = "the guest has masked it, and the client holds it"


class Interrupts:
    """Drive the machine of the device's side on the clock of the scenario.

    `used`: vectors that have interrupted since they were enabled. A vector that the guest masks stays unmasked at the device: the client
    takes its eventfd and interrupts the guest at the unmask (QEMU hw/vfio/pci.c, vfio_msi_interrupt and hw/pci/msix.c,
    msix_handle_mask_update; kvmtool leaves the eventfd readable, virt/kvm/eventfd.c, kvm_irqfd_assign).
    """

    def __init__(self, world: World, device: Device, name: str, irq: int) -> None:
        self.world, self.name, self.irq = world, name, irq
        source = "InterruptSource" if device.backend == "vfio-pci" else "EventfdSource"
        self.source = world.machines[source](
            maskable=device.kind != "msi" or device.maskable,
            line=device.intx or device.kind == "intx",
            keeps=KEEPS[device.pending],
        )
        self.host = device.driver != "vfio"
        self.line, self.served = device.kind == "intx", device.backend != "vfio-pci"
        self.used: set[int] = set()
        self.masked: set[int] = set()
        self.all_masked = False
        self.held: dict[int, list[Any]] = {}

    @property
    def signals(self) -> list[Any]:
        """Return what became of each interrupt."""
        return list(self.source.signals)

    def signal(self, vector: int) -> None:
        """Let the device signal a vector now."""
        s = self.source.signal(vector, self.world.now)
        if s.fate == "delivered":
            self._arrived([s], line=self.source.serving)
        ends = s.fate if s.fate in ("delivered", "lost") else "pending"
        self.world.step(self.name, f"the device signals {'its line' if self.line else f'vector {vector}'}", ends)

    def enable(self, index: int, vectors: Iterable[int] = ()) -> None:
        """Set Enable."""
        self.source.enable(index, self.world.now, vectors)

    def unmask_function(self) -> None:
        """Clear the Function Mask."""
        self._arrived(self.source.unmask_function(self.world.now))

    def disable(self) -> None:
        """Free every irq and clear Enable."""
        for vector in list(self.source.handled):
            self.source.detach(vector)
        self.source.disable()
        self.used.clear()

    def attach(self, vector: int) -> None:
        """Request the irq of a vector."""
        self._arrived(self.source.attach(vector, self.world.now))

    def detach(self, vector: int) -> None:
        """Free the irq of a vector."""
        self.source.detach(vector)

    def line_on(self) -> None:
        """Request the irq of INTx."""
        self._arrived(self.source.line_on(self.world.now), line=True)

    def line_off(self) -> None:
        """Free the irq of INTx."""
        self.source.line_off()

    def guest_masks(self, vector: int | None) -> None:
        """Mask a vector as the guest, or all of them."""
        if vector is None:
            self.all_masked = True
        else:
            self.masked.add(vector)

    def guest_unmasks(self, vector: int | None) -> None:
        """Unmask a vector as the guest, or all of them: what the client holds comes now, as one interrupt a vector."""
        if vector is None:
            self.all_masked = False
        else:
            self.masked.discard(vector)
        for v in [v for v in self.held if not self._holds(v)]:
            for s in self.held.pop(v):
                s.fate, s.until = "late", self.world.now

    def guest_masks_line(self, masked: bool) -> None:
        """Set or clear Interrupt Disable as the guest (drivers/vfio/pci/vfio_pci_config.c, vfio_basic_config_write)."""
        if masked:
            self.source.mask_line()
        else:
            self._arrived(self.source.unmask_line(self.world.now), line=True)

    def handled(self, vector: int) -> None:
        """Let the host's handler of a vector run; a program that serves the function needs none."""
        self.used.add(vector)
        if self.host:
            self.world.irq("", "irq_handler_entry", irq=self.irq + vector)
        elif not self.served:
            self.world.irq(self.name, "irq_handler_entry", irq=self.irq + vector, vector=vector)

    def _arrived(self, signals: list[Any], line: bool = False) -> None:
        if not signals:
            return
        if line:
            self.world.irq(self.name, "irq_handler_entry", irq=LINE, line=1)
            self.world.at(self.world.now + self.world.scenario.guest.handling * US, self._served)
            return
        for vector in sorted({s.vector for s in signals}):
            self.handled(vector)
        for s in signals:
            if self._holds(s.vector) and s.fate != "unsure":
                s.fate, s.why, s.until = "pending", HELD, None
                self.held.setdefault(s.vector, []).append(s)

    def _holds(self, vector: int) -> bool:
        return self.all_masked or vector in self.masked

    def _served(self) -> None:
        self._arrived(self.source.served(self.world.now), line=True)
