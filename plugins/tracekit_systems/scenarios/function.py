"""One passed-through function in a scenario: its table and irq domain, the opened device, the client, the guest's driver."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from tracekit import EINVAL, VFIO_MSI, VFIO_MSIX, Device, Step
from tracekit_systems.scenarios.client import KvmtoolClient
from tracekit_systems.scenarios.kernel import Kernel
from tracekit_systems.scenarios.world import MS, US, World, vectors

NORESIZE = 0x8
UNSAFE = (  # drivers/vfio/vfio_iommu_type1.c
    'vfio_iommu_type1_attach_group: No interrupt remapping support.  Use the module param "allow_unsafe_interrupts" to enable VFIO'
    " IOMMU support on this platform"
)


class FunctionRun:
    """Drive one function through its sessions, and note the faults of each step."""

    def __init__(self, world: World, device: Device, name: str, irq: int) -> None:
        self.world, self.device, self.name = world, device, name
        self.index = VFIO_MSI if device.kind == "msi" else VFIO_MSIX
        self.kernel = Kernel(world, device, name, irq, self.index)
        self.vfio: Any = None
        self.vmm: Any = None
        self.sent: list[tuple[Any, int]] = []
        self.used: set[int] = set()
        self.deliveries: dict[int, Any] = {}
        self.signals: list[tuple[int, int, int]] = []  # when, which vector, which of its signals
        self.wanted: set[int] = set()
        self.told = True
        self.torn = False

    def signal(self, vector: int) -> None:
        """Let the device signal a vector now."""
        d = self._delivery(vector)
        d.signal()
        self.signals.append((self.world.now, vector, len(d.signals) - 1))
        if d.phase == "on":
            self._handled(vector)
        self.world.step(self.name, f"the device signals vector {vector}", d.signals[-1])

    def rebind(self) -> None:
        """Unbind and bind the driver in the host."""
        self.kernel.unbind()
        self.world.step(self.name, "the driver in the host is unbound and bound")

    def begin(self, session: int) -> None:
        """Open the device and load the guest's driver."""
        if self.world.gates["rebind_between_sessions"] and session > 1:
            self.rebind()
        size = self.device.entries(session)
        self.kernel.resize(size)
        host = self.world.scenario.host
        if host.arch == "x86" and not host.remapping:
            self.world.step(self.name, "VFIO refuses the group: there is no interrupt remapping")
            self.world.fault("VFIO-011", self.name)
            self.world.message(self.name, UNSAFE)
            return
        self.vfio = self.world.machines["VfioDevice"](dynamic=self.kernel.dynamic, sparse=self.world.gates.get("KV7", False))
        self.vmm = self._client(size)
        self.world.message(self.name, f"vfio-pci {self.name}: enabling device (0000 -> 0002)")
        self.world.call(self.name, "vfio_pci_core_enable")
        self.world.step(self.name, f"session {session}: the client opens the device, whose table has {size} entries")
        self._load(self.device.wanted(session))

    def end(self) -> None:
        """Close the device."""
        if self.vfio is None:
            return
        self.world.call(self.name, "vfio_pci_core_close_device")
        self.kernel.close(self.vfio)
        self._phase(set(self.deliveries), "off")
        self.world.end(f"{self.name} windows")
        self.used.clear()
        self.vfio = self.vmm = None
        self.world.step(self.name, "the client closes the device")
        self.world.wait(MS)

    def _client(self, size: int) -> Any:
        """Return the client as it starts: QEMU, or kvmtool, whose own machine is for MSI-X."""
        client, machines = self.world.scenario.client, self.world.machines
        if client.name == "kvmtool" and client.policy == "auto" and self.index == VFIO_MSIX:
            return KvmtoolClient(machines["Kvmtool"](size))
        return machines["Vmm"](self.policy(), size, batched=self.world.gates.get("QV2", False), index=self.index, intx=False)

    def policy(self) -> str:
        """Return how the client adds a vector."""
        client = self.world.scenario.client
        if client.name == "kvmtool" or self.world.gates["vectors_up_front"]:
            return "full"
        if client.policy != "auto":
            return client.policy
        noresize = self.vfio.flags(self.index) & NORESIZE
        return "dyn" if self.index == VFIO_MSIX and self.world.gates.get("QV3") and not noresize else "incr"

    def deaf(self) -> set[int]:
        """Return the vectors that the guest believes enabled and that nothing serves."""
        return self.wanted - (self.vfio.wired if self.vfio else set())

    def _load(self, count: int) -> None:
        """Load the guest's driver: a guest that asks the host first takes no more than there is."""
        guest = self.world.scenario.guest
        if guest.kind == "b":
            count, asked = min(count, self.kernel.room(count)), count
            self.told = count == asked
        asked_for = list(range(count))
        self.wanted = set(asked_for)
        first = asked_for if guest.unmask == "before enable" else []
        self._act("enables MSI" + ("-X" if self.index == VFIO_MSIX else ""), lambda: self.vmm.guest_enables(first, self.send))
        for vector in [] if first else asked_for:
            self._act(f"unmasks vector {vector}", partial(self.vmm.guest_unmasks, vector, self.send))

    def _act(self, what: str, act: Callable[[], None]) -> None:
        """Run one action of the guest, and check the requests that its client sends to the kernel."""
        self.sent, self.torn = [], False
        alive, used, lane = set(self.vfio.wired), set(self.used), f"{self.name} windows"
        before, began = len(self.signals), self.world.now
        step = self.world.step(self.name, f"the guest {what}")
        act()
        if self.vfio.wired:
            self.world.end(lane)
        ret = self.sent[-1][1] if self.sent else 0
        asked = "; ".join(f"SET_IRQS {r.start}+{r.count} {r.data}: {n}" for r, n in self.sent)
        self.world.steps[step.number - 1] = step = type(step)(step.number, began, self.name, step.what, asked)
        self._judge(step, ret, alive, used, before)
        self.world.measure()
        self.world.wait(MS)
        self.world.irq("", "irq_handler_entry", irq=27)
        if self.world.scenario.guest.traffic:
            for vector in sorted(self.vfio.wired & self.wanted if self.vfio else ()):
                self._handled(vector)

    def _judge(self, step: Step, ret: int, alive: set[int], used: set[int], before: int) -> None:
        """Note the faults of what was sent: `alive` vectors were wired before, `used` ones had interrupted."""
        found = [*self.kernel.noticed]
        self.kernel.noticed.clear()
        if self.torn and ret == 0 and used:
            found.append("VFIO-002")
            found += ["VFIO-006"] if self.kernel.dynamic else []
            lost = any(v in used and self.deliveries[v].signals[n] == "lost-possible" for _, v, n in self.signals[before:])
            found += ["VFIO-001"] if lost else []
        elif self.torn and ret != 0:
            found.append("VFIO-003")
        elif not self.torn and ret < 0 and alive:
            request = self.sent[-1][0]
            detached = alive & set(range(request.start, request.start + request.count))
            one = request.count == 1
            found += ["VFIO-005"] if ret == EINVAL else ["VFIO-004"] if one else ["VFIO-007"] if detached else []
        for code in found:
            self.world.fault(code, self.name, step)

    def send(self, request: Any) -> int:
        """Carry a SET_IRQS out."""
        window = self.world.scenario.client.window * US  # a disable takes two fifths of it, the enable the rest
        off = request.data == "none" and request.count == 0
        was = set(self.vfio.wired)
        if off and was:
            self.world.begin(f"{self.name} windows", "down", "bad")
            self._phase(was, "freed")
        self.world.wait(window * (2 if off else 3) // 5)
        ret = self.kernel.set_irqs(self.vfio, request)
        if off and ret == 0:
            self.torn = bool(was)
            self.used.clear()
        self._phase(was - self.vfio.wired, "off")
        self._phase(self.vfio.wired, "on")
        self.sent.append((request, ret))
        self.world.begin(f"{self.name} vectors", vectors(len(self.vfio.wired)), "vectors")
        if not self.vfio.wired:
            self.world.end(f"{self.name} vectors")
        return ret

    def _phase(self, moved: Iterable[int], phase: str) -> None:
        for vector in sorted(moved):
            if self._delivery(vector).move(phase):
                self._handled(vector)

    def _delivery(self, vector: int) -> Any:
        return self.deliveries.setdefault(vector, self.world.machines["Delivery"]())

    def _handled(self, vector: int) -> None:
        """Let the host's handler run."""
        self.used.add(vector)
        self.world.irq(self.name, "irq_handler_entry", irq=self.kernel.irq + vector, vector=vector)
