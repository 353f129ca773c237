"""One passed-through function in a scenario: its table and irq domain, the opened device, the client, the guest's driver."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from tracekit import EINVAL, VFIO_INTX, VFIO_MSI, VFIO_MSIX, Act, Device, Request, Step
from tracekit_systems.scenarios.client import KvmtoolClient
from tracekit_systems.scenarios.interrupts import Interrupts
from tracekit_systems.scenarios.kernel import Kernel
from tracekit_systems.scenarios.program import beyond, sent, take, words
from tracekit_systems.scenarios.qemu import QemuLines
from tracekit_systems.scenarios.served import MDEV, Served, index_of
from tracekit_systems.scenarios.storage import refusal, store
from tracekit_systems.scenarios.world import MS, World, power_of_two, vectors

NORESIZE = 0x8
INDICES = {"msix": VFIO_MSIX, "ims": VFIO_MSIX, "msi": VFIO_MSI, "intx": VFIO_INTX}
CLASSES = {VFIO_MSIX: "MSI-X", VFIO_MSI: "MSI"}
UNSAFE = (  # drivers/vfio/vfio_iommu_type1.c
    'vfio_iommu_type1_attach_group: No interrupt remapping support.  Use the module param "allow_unsafe_interrupts" to enable VFIO'
    " IOMMU support on this platform"
)


class FunctionRun:
    """Drive one function through its sessions, and note the faults of each step."""

    def __init__(self, world: World, device: Device, name: str, irq: int) -> None:
        self.world, self.device, self.name = world, device, name
        self.interrupts = Interrupts(world, device, name, irq)
        self.served = device.backend != "vfio-pci"
        self.index = index_of(device) if self.served else INDICES[device.kind]
        self.kernel: Kernel | Served = (
            Served(world, device, irq, self.index, self.interrupts)
            if self.served
            else Kernel(world, device, name, irq, self.index, self.interrupts)
        )
        self.vfio: Any = None
        self.vmm: Any = None
        self.sent: list[tuple[Any, int]] = []
        self.refused: list[str] = []  # what did not come to the kernel's function
        self.size = 0
        self.unsettled: Step | None = None  # a program's enable that failed, with none after it that worked
        self.had: set[int] = set()  # vectors that were enabled before an action
        self.lines = QemuLines(world, name, self.index)
        self.line = world.machines["Vmm"]("incr", 1)  # the client's side of INTx
        self.wanted: set[int] = set()
        self.missed: list[Any] = []  # what was lost in a window
        self.stored: set[int] = set()  # vectors from message storage
        self.told = True
        self.torn = False
        self.going: set[int] = set()  # vectors in use that the client has taken down
        self.down: set[int] = set()  # those that it has brought back since
        self.loading = False
        self.later: list[Act] = []  # what the driver does when it is loaded
        self.switched_off = False  # by the guest's driver, with vectors that worked
        self.current = 0

    def signal(self, vector: int) -> None:
        """Let the device signal a vector now."""
        self.interrupts.signal(vector)

    def act(self, act: Act) -> None:
        """Let the guest's driver do something by itself; nothing where the device is not open."""
        if self.vfio is None:
            return
        if self.loading and act.what in ("disable", "enable"):
            self.later.append(act)
            return
        if act.what in ("disable", "enable"):
            self._switch(act.what == "enable")
            return
        masks, line = act.what.startswith("mask"), self.index == VFIO_INTX
        vector = None if act.what.endswith("all") else act.vector
        self.world.step(self.name, f"the guest {act.what.split()[0]}s {'its line' if line else _named(vector)}")
        if line:
            self.interrupts.guest_masks_line(masks)
        elif masks:
            self.interrupts.guest_masks(vector)
            self.lines.masks(vector)
        else:
            self.interrupts.guest_unmasks(vector)
            self.lines.unmasks(self.wanted if vector is None else [vector])

    def moved(self, stopped: set[int], started: set[int]) -> None:
        """Do nothing: vectors of VFIO are not managed, and move with no loss (arch/x86/kernel/irq.c, fixup_irqs)."""

    def _switch(self, on: bool) -> None:
        """Disable MSI or MSI-X as the guest's driver, or load it again."""
        if on == bool(self.wanted) or self.index == VFIO_INTX:
            return
        if on:
            self._loads(self.device.wanted(self.current))
            return
        self.wanted = set()
        self._act(f"the guest disables {CLASSES[self.index]}", self._disables, own=True)

    def rebind(self) -> None:
        """Unbind and bind the driver in the host."""
        self.kernel.unbind()
        self.world.step(self.name, "the driver in the host is unbound and bound")

    def begin(self, session: int) -> None:
        """Open the device and load the guest's driver."""
        if self.world.gates["rebind_between_sessions"] and session > 1:
            self.rebind()
        self.current, size = session, 1 if self.device.backend in MDEV else self.device.entries(session)
        self.kernel.resize(size)
        self.size = power_of_two(size) if self.index == VFIO_MSI else size
        host = self.world.scenario.host
        if host.arch == "x86" and not host.remapping and not self.served:
            self.world.step(self.name, "VFIO refuses the group: there is no interrupt remapping")
            self.world.fault("VFIO-011", self.name)
            self.world.message(self.name, UNSAFE)
            return
        self.vfio = self.world.machines["VfioDevice"](dynamic=self.kernel.dynamic, sparse=self.world.gates.get("KV7", False))
        self.vmm = self._client(size)
        if not self.served:
            self.world.message(self.name, f"vfio-pci {self.name}: enabling device (0000 -> 0002)")
            self.world.call(self.name, "vfio_pci_core_enable")
        self.lines.opened(size, self.policy())
        table = "" if self.index == VFIO_INTX or self.device.backend in MDEV else f", whose table has {size} entries"
        self.world.step(self.name, f"session {session}: the client opens the device{table}")
        if self.world.scenario.client.name == "program":
            self._runs(session)
            return
        self.loading = True
        if self.interrupts.source.line:
            self._act("the client enables INTx", self._line_on)
        if self.index == VFIO_INTX:
            self.wanted, self.loading = {0}, False
        else:
            self._loads(self.device.wanted(session))

    def end(self) -> None:
        """Close the device."""
        if self.vfio is None:
            return
        if not self.served:
            self.world.call(self.name, "vfio_pci_core_close_device")
        if self.unsettled is not None:
            self.world.fault("VFIO-003", self.name, self.unsettled)
        self.unsettled = None
        self.kernel.close(self.vfio)
        self.world.end(f"{self.name} windows")
        self.stored, self.switched_off = set(), False
        self.vfio = self.vmm = None
        self.world.step(self.name, "the client closes the device")
        self.world.wait(MS)

    def _runs(self, session: int) -> None:
        """Send what the program sends in a session; it knows which vectors it has."""
        mine = [r for r in self.world.scenario.requests if r.session == session and r.device in ("", self.device.name)]
        left = [r for r in mine for _ in range(r.times)]
        while left:
            enabled = max(self.vfio.allocated, default=-1) + 1 if self.vfio.irq_type == self.index else 0
            group = take(left, enabled, self.size)
            own = group[-1].what == "disable"
            self._act(words(group), partial(self._send_all, group), own=own)

    def _send_all(self, group: Iterable[Request]) -> None:
        """Send requests; the ioctl itself refuses vectors that the table has not (vfio_set_irqs_validate_and_prepare)."""
        for r in group:
            if beyond(r, self.size):
                self.refused.append(f"SET_IRQS {r.start}+{r.count} eventfd: {EINVAL}, beyond the table")
            else:
                self.send(sent(r, self.index))
        self.wanted = set(self.vfio.wired)

    def _client(self, size: int) -> Any:
        """Return the client as it starts: QEMU, or kvmtool, whose own machine is for MSI-X."""
        client, machines = self.world.scenario.client, self.world.machines
        if client.name == "kvmtool" and client.policy == "auto" and self.index == VFIO_MSIX:
            return KvmtoolClient(machines["Kvmtool"](size), self.device.intx)
        return machines["Vmm"](self.policy(), size, batched=self.world.gates.get("QV2", False), index=self.index, intx=self.device.intx)

    def policy(self) -> str:
        """Return how the client adds a vector."""
        client = self.world.scenario.client
        if client.name == "kvmtool" or self.world.gates["vectors_up_front"]:
            return "full"
        if client.policy != "auto":
            return client.policy
        if self.index == VFIO_MSI:
            return "block"
        noresize = self.vfio.flags(self.index) & NORESIZE
        return "dyn" if self.index == VFIO_MSIX and self.world.gates.get("QV3") and not noresize else "incr"

    def deaf(self) -> set[int]:
        """Return the vectors that the guest believes enabled and that nothing serves."""
        if self.vfio and self.vfio.irq_type == self.index == VFIO_INTX:
            return set()
        return self.wanted - (self.stored or (self.vfio.wired if self.vfio else set()))

    def _loads(self, count: int) -> None:
        """Load the guest's driver; it switches MSI or MSI-X off and on by itself only when it is loaded."""
        self.loading = True
        for n in self.device.before(self.current):
            self._load(n)
            self.wanted = set()
            self._act(f"the guest disables {CLASSES[self.index]}", self._disables, own=True)
        self._load(count)
        self.loading, acts, self.later = False, self.later, []
        for act in acts:
            self.act(act)

    def _load(self, count: int) -> None:
        """Load the guest's driver: a guest that asks the host first takes no more than there is."""
        guest = self.world.scenario.guest
        if self.device.kind == "ims" and self._stores(count):
            return
        if guest.kind == "b":
            count, asked = min(count, self.kernel.room(count)), count
            self.told = count == asked
            self.world.step(self.name, f"the guest asks the host for {vectors(asked)}", f"{count} granted")
        elif guest.kind == "c":
            self.world.step(self.name, f"the guest asks the host for {vectors(count)}", "no answer")
        asked_for = list(range(count))
        self.wanted = set(asked_for)
        if not asked_for:  # the driver was told that there is none
            return
        if block := self.index == VFIO_MSI and self.vmm.policy == "block":
            self.vmm.table = power_of_two(count)
        first = asked_for if block or guest.unmask == "before enable" else []
        self._act(f"the guest enables {CLASSES[self.index]}", lambda: self._enables(first))
        for vector in [] if first else asked_for:
            self._act(f"the guest unmasks vector {vector}", partial(self._unmasks, vector))

    def _stores(self, count: int) -> bool:
        """Take vectors from message storage; where there is none the guest's driver falls back to MSI-X."""
        why = refusal(self.world, True, bool(self.world.gates.get("QV3")) and self.kernel.dynamic)
        step = self.world.step(self.name, f"the guest asks for {vectors(count)} of message storage", f"refused: {why}")
        if why:
            self.world.fault("CFG-003", self.name, step)
            return False
        got = store(self.kernel, count) if isinstance(self.kernel, Kernel) else 0
        self.world.steps[step.number - 1] = type(step)(step.number, step.at, step.subject, step.what, f"{got} granted")
        self.stored = self.wanted = set(range(got))
        self.told = got == count
        self.world.measure()
        self.world.idle(MS)
        return True

    def _enables(self, unmasked: list[int]) -> None:
        """Enable MSI or MSI-X, for which the client switches INTx off."""
        if self.vfio.irq_type == VFIO_INTX:
            self.line.switch_line(False, self.send)
            self.lines.line(False)
        self.lines.enables(unmasked)
        self.vmm.guest_enables(unmasked, self.send)
        self.lines.enabled()

    def _unmasks(self, vector: int) -> None:
        self.lines.uses(vector)
        self.vmm.guest_unmasks(vector, self.send)

    def _disables(self) -> None:
        self.lines.disables()
        self.vmm.guest_disables(self.send)
        if self.device.intx:
            self.lines.line(True)
        self.lines.disabled()

    def _line_on(self) -> None:
        self.line.switch_line(True, self.send)
        self.lines.line(True)

    def _act(self, what: str, act: Callable[[], None], own: bool = False) -> None:
        """Run one action of the guest or the client, and check the requests that it leads to. `own`: the guest takes its vectors down."""
        self.sent, self.refused, self.torn, self.down = [], [], False, set()
        alive, self.had, lane = set(self.vfio.wired), set(self.vfio.allocated), f"{self.name} windows"
        before, began = len(self.interrupts.signals), self.world.now
        step = self.world.step(self.name, what)
        act()
        if self.vfio.wired or own:
            self.world.end(lane)
        self.switched_off = own and bool(alive) or self.switched_off and not self.vfio.wired
        self.torn = self.torn and not own
        ret = self.sent[-1][1] if self.sent else 0
        asked = "; ".join([*(f"SET_IRQS {r.start}+{r.count} {r.data}: {n}" for r, n in self.sent), *self.refused])
        self.world.steps[step.number - 1] = step = type(step)(step.number, began, self.name, step.what, asked)
        self._judge(step, ret, alive, before)
        self.world.measure()
        self.world.idle(MS)
        self.world.irq("", "irq_handler_entry", irq=27)
        if self.world.scenario.guest.traffic:
            for vector in sorted(self.vfio.wired & self.wanted if self.vfio else ()):
                self.interrupts.handled(vector)

    def _judge(self, step: Step, ret: int, alive: set[int], before: int) -> None:
        """Note the faults of what was sent: `alive` vectors were wired before."""
        found = [*self.kernel.noticed]
        self.kernel.noticed.clear()
        if self.torn and self.down:
            found.append("VFIO-002")
            found += ["VFIO-006"] if self.kernel.dynamic else []
            gone = [s for s in self.interrupts.signals[before:] if s.vector in self.down and s.fate in ("lost", "unsure")]
            self.missed += gone
            found += ["VFIO-001"] if gone else []
            found += ["VFIO-009"] if any("INTx, which has no handler" in s.why for s in gone) else []
        if (self.torn or self.switched_off and not alive) and ret != 0 and self.sent[-1][0].data == "eventfd":
            found.append("VFIO-003")
        elif not self.torn and ret < 0 and alive:
            request = self.sent[-1][0]
            detached = (alive & set(range(request.start, request.start + request.count))) - self.vfio.wired
            one, wanted = request.count == 1, range(request.start, request.start + request.count)
            added = self.kernel.dynamic and "VEC-001" not in found and not self.had.issuperset(wanted)
            found += ["VFIO-005"] if ret == EINVAL else ["VFIO-004"] if one or added else []
            found += ["VFIO-007"] if detached and not one else []
        if self.world.scenario.client.name == "program":
            found = self._settled(found, step, ret)
        for code in found:
            self.world.fault(code, self.name, step)

    def _settled(self, found: list[str], step: Step, ret: int) -> list[str]:
        """Return the faults of a step without an enable that failed: a program may try again with fewer vectors (VFIO-003)."""
        if "VFIO-003" in found:
            self.unsettled = step
        elif self.vfio.wired and ret == 0:
            self.unsettled = None
        return [code for code in found if code != "VFIO-003"]

    def send(self, request: Any) -> int:
        """Carry a SET_IRQS out."""
        off = request.data == "none" and request.count == 0 and request.index in CLASSES
        was = set(self.vfio.wired)
        if off and was:
            self.world.begin(f"{self.name} windows", "down", "bad")
            self.going = set(self.interrupts.used)
        after = self.lines.torn
        self.lines.asks(request)
        ret = self.kernel.set_irqs(self.vfio, request)
        if off and ret == 0:
            self.torn = bool(was)
        elif ret == 0 and self.torn:
            self.down, self.going = self.down | self.going, set()
        self.sent.append((request, ret))
        self.lines.answered(request, ret, after)
        self.world.begin(f"{self.name} vectors", vectors(len(self.vfio.wired)), "vectors")
        if not self.vfio.wired:
            self.world.end(f"{self.name} vectors")
        return ret


def _named(vector: int | None) -> str:
    return "all vectors" if vector is None else f"vector {vector}"
