"""An HVM guest of Xen in a scenario: its devices take pirqs and give them back, or not."""

from tracekit import EINVAL, ENODEV, Device, Scenario, release_of
from tracekit_systems.scenarios.world import MS, World, vectors

GSIS = 24  # numbers below are lines of the IO-APIC
LEAST_LEAK = 3  # numbers that must be lost before it is called a leak
VECTORS = 208  # of one CPU in Xen that MSIs may have (NR_DYNAMIC_VECTORS)
FIRST_IRQ = 48  # of a guest's MSIs: the lowest free one is taken
EACH_CPU = 6  # event channels of a virtual CPU: four in xen_smp_intr_init, one in xen_init_lock_cpu, the timer's (arch/x86/xen)
TWO_LEVEL, FIFO = 4095, 131071  # channels of a 64-bit domain (include/public/event_channel.h)


class HvmRun:
    """Load and unload the drivers of a guest, session by session.

    Guests alike (`count`) have pirqs and event channels of their own; the MSIs of all come from the irqs of Xen (xen/arch/x86/irq.c,
    init_irq_data: 208 a CPU and at least eight times the GSIs, which count too), of which dom0's drivers have `taken`.
    """

    def __init__(self, world: World, taken: int = 0) -> None:
        self.devices = [d for d in world.scenario.devices if d.driver == "vfio"]
        self.world, machines, gates = world, world.machines, world.gates
        host, guest = world.scenario.host, world.scenario.guest
        self.msis = msis(world.scenario)
        each = sum(max(d.wanted(n) for n in range(1, world.scenario.last + 1)) for d in self.devices)
        self.others = host.in_use + taken + max(guest.count - 1, 0) * each
        self.channels, self.taken = channels(world.scenario), guest.cpus * EACH_CPU + guest.channels
        space = machines["PirqSpace"].fresh(GSIS, GSIS + world.scenario.host.pirqs)
        unmaps = gates.get("QV1", False) or gates.get("XV1", False)
        self.guest = machines["HvmGuest"](
            space,
            not gates.get("KV5", False),
            unmaps,
            channels=max(self.channels - self.taken, 0),
            mappable=max(self.msis - self.others, 0),
        )
        self.on: dict[str, list[str]] = {}
        self.irqs: dict[str, int] = {}

    def session(self, number: int) -> None:
        """Unload the drivers that are not used or are reloaded, then load those that are used."""
        for d in self.devices:
            if self.on.get(d.name) and (d.reload or not d.used(number)):
                self._unload(d)
        for d in self.devices:
            if d.used(number) and not self.on.get(d.name):
                self._load(d, d.wanted(number))

    def deaf(self) -> set[str]:
        """Return the vectors of which no event channel could be opened."""
        return set(self.guest.deaf)

    def _unload(self, d: Device) -> None:
        self.world.step(d.name, "the guest unloads the driver")
        for slot in self.on.pop(d.name):
            mapped = self.mapped(slot)
            self.guest.disable(slot)
            self.irqs.pop(slot)
            self._unmapped(d, self.guest.cached[slot], mapped)
        lost = [p for p in self.guest.space.held if not self.guest.users.get(p)]
        if len(lost) >= LEAST_LEAK:
            self.world.fault("XEN-003", d.name)
        self._measured()

    def _load(self, d: Device, count: int) -> None:
        step = self.world.step(d.name, f"the guest loads the driver, which takes {vectors(count)}")
        mine = self.on.setdefault(d.name, [])
        number = [x.name for x in self.world.scenario.devices].index(d.name)
        self.world.message(d.name, f"nvme nvme{number}: pci function {d.name}")
        pirqs = []
        for n in range(count):
            slot = f"{d.name} {n}"
            again = self.guest.finds(slot) is not None
            pirq = self.guest.enable(slot)
            if pirq == ENODEV:
                self.world.message(d.name, f"nvme {d.name}: Failed to create MSI{'-X' if d.kind == 'msix' else ''}! ret={pirq}!")
                self.world.fault("XEN-002", d.name)
                break
            self._bound(d, slot, pirq, again)
            self._mapped(d, slot, n)
            mine.append(slot)
            pirqs.append(pirq)
        deaf = [slot for slot in mine if slot in self.guest.deaf]
        for slot in deaf:
            self.world.message(d.name, f"xen:events: Failed to obtain physical IRQ {self.irqs[slot]}")
        told = f"pirqs {', '.join(map(str, pirqs))}" if pirqs else "no pirq"
        self.world.steps[step.number - 1] = type(step)(step.number, step.at, step.subject, step.what, told)
        if self.guest.shared.intersection(pirqs):
            self.world.fault("XEN-001", d.name)
        if deaf:
            self.world.fault("XEN-004", d.name)
        if any(self.guest.space.held.get(p) == "allocated" for p in pirqs):
            self.world.fault("XEN-005", d.name)
        self._measured()

    def _bound(self, d: Device, slot: str, pirq: int, again: bool) -> None:
        """Say which pirq and irq a vector has (arch/x86/pci/xen.c, xen_hvm_setup_msi_irqs, dynamic debug).

        The event channel is opened when the driver requests the irq (drivers/xen/events/events_base.c, __startup_pirq).
        """
        taken = set(self.irqs.values())
        irq = self.irqs[slot] = next(i for i in range(FIRST_IRQ, FIRST_IRQ + len(taken) + 1) if i not in taken)
        self.world.message(d.name, f"nvme {d.name}: xen: msi {'already ' if again else ''}bound to pirq={pirq}")
        self.world.message(d.name, f"nvme {d.name}: xen: msi --> pirq={pirq} --> irq={irq}")

    def mapped(self, slot: str) -> bool:
        """Return whether the pirq of a vector stands for a physical MSI."""
        return bool(self.guest.space.held.get(self.guest.cached[slot], "allocated") != "allocated")

    def _mapped(self, d: Device, slot: str, entry: int) -> None:
        """Say what the device model does when the guest writes a message with a pirq, whose vector is 0.

        Where Xen has no irq left (create_irq), the mapping returns -22 (xen/arch/x86/irq.c, allocate_and_map_msi_pirq).
        hw/xen/xen_pt_msi.c, msi_msix_setup, msi_msix_update.
        """
        x, pirq = _suffix(d), self.guest.cached[slot]
        self.world.model(d.name, f"msi_msix_setup: requested pirq {pirq} for MSI{x} (vec: 0, entry: {_hex(entry)})")
        if not self.mapped(slot):
            self.world.model(d.name, f"msi_msix_setup: Error: Mapping of MSI{x} (err: {-EINVAL}, vec: 0, entry {_hex(entry)})")
            return
        self.world.model(d.name, f"msi_msix_update: Updating MSI{x} with pirq {pirq} gvec 0 gflags 0 (entry: {_hex(entry)})")

    def _unmapped(self, d: Device, pirq: int, mapped: bool) -> None:
        """Say what the device model does when the guest disables a vector (msi_msix_disable); one that does not unmap says nothing."""
        if mapped and self.guest.unmaps:
            self.world.model(d.name, f"msi_msix_disable: Unbind MSI{_suffix(d)} with pirq {pirq}, gvec 0")
            self.world.model(d.name, f"msi_msix_disable: Unmap MSI{_suffix(d)} pirq {pirq}")

    def _measured(self) -> None:
        self.world.peak("pirqs", len(self.guest.space.held), self.world.scenario.host.pirqs)
        self.world.peak("event channels", self.taken + self.guest.opened, self.channels)
        self.world.peak("MSIs of Xen", self.others + self.guest.mapped, self.msis)
        self.world.begin("pirqs", f"{(held := len(self.guest.space.held))} {'pirq' if held == 1 else 'pirqs'}", "vectors")
        self.world.wait(MS)


def _suffix(d: Device) -> str:
    return "-X" if d.kind == "msix" else ""


def _hex(number: int) -> str:
    """Return a number as `%#x` of C prints it."""
    return f"{number:#x}" if number else "0"


def channels(scenario: Scenario) -> int:
    """Return how many event channels a guest may have: by `event_channels` of its configuration, and by how they are kept."""
    return min(scenario.host.event_channels, FIFO if fifo(scenario) else TWO_LEVEL)


def fifo(scenario: Scenario) -> bool:
    """Return whether the event channels are kept as FIFO queues, else in two levels.

    FIFO needs Xen 4.4 and Linux 3.14 (drivers/xen/events/events_fifo.c).
    """
    host, guest = scenario.host, scenario.guest
    able = release_of(host.xen) >= (4, 4) and release_of(guest.kernel) >= (3, 14)
    return host.events == "fifo" or host.events == "auto" and able


def msis(scenario: Scenario) -> int:
    """Return how many MSIs Xen has for all its guests."""
    return max(scenario.host.cpus * VECTORS, 8 * GSIS) - GSIS
