"""Drivers of a Xen dom0 in a scenario: each vector of theirs takes a pirq of dom0, and an irq of Xen."""

from tracekit import DOMID_SELF, EINVAL, ENOSPC, Device, Scenario
from tracekit_systems.scenarios.hvm import GSIS, VECTORS, msis
from tracekit_systems.scenarios.world import World, vectors


class Dom0Run:
    """Load the drivers of dom0, session by session.

    A request for several vectors maps them one by one; the first that fails ends it, and gives back those before
    (arch/x86/pci/xen.c, xen_initdom_setup_msi_irqs). `taken`: irqs of Xen that they have.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.devices = [d for d in world.scenario.devices if d.driver != "vfio"]
        self.size = pirqs(world.scenario)
        self.space = world.machines["PirqSpace"].fresh(GSIS, GSIS + self.size)
        self.left = max(msis(world.scenario) - world.scenario.host.in_use, 0)
        self.on: dict[str, list[int]] = {}

    @property
    def taken(self) -> int:
        """Return how many irqs of Xen the drivers have."""
        return sum(map(len, self.on.values()))

    def session(self, number: int) -> None:
        """Unbind drivers where the scenario says so, then bind those that are not."""
        for d in self.devices:
            if number in self.world.scenario.rebinds:
                self._free(d)
            if d.used(number) and d.name not in self.on:
                self._load(d, number)

    def seen(self) -> list[str]:
        """Return what dom0 has of each device that it uses."""
        return [f"{d.name}: dom0's driver has {vectors(len(self.on.get(d.name, ())))}" for d in self.devices]

    def _load(self, d: Device, session: int) -> None:
        number = [x.name for x in self.world.scenario.devices].index(d.name)
        self.world.dom0(d.name, f"nvme nvme{number}: pci function {d.name}")
        for count in d.before(session):
            self._enable(d, count)
            self._free(d)
        self._enable(d, d.wanted(session))

    def _enable(self, d: Device, count: int) -> None:
        step = self.world.step(d.name, f"dom0's driver asks for {vectors(count)}")
        numbers: list[int] = []
        ret = 0
        while len(numbers) < count and not ret:
            got = min(self.space.next_number().results or {ENOSPC})
            ret = ENOSPC if got < 0 else EINVAL if self.taken + len(numbers) >= self.left else 0
            if not ret:
                self.space.allocated(got)
                self.space.map(got)
                numbers.append(got)
        self.on[d.name] = numbers
        ends = f"pirqs {', '.join(map(str, numbers))}"
        self._measured()
        if ret:
            self.world.dom0(d.name, f"nvme {d.name}: xen map irq failed {ret} for {DOMID_SELF} domain")
            for _ in numbers:  # their irqs are destroyed twice
                self.world.dom0(d.name, f"xen:events: unmap irq failed {EINVAL}")
            self.world.fault("XEN-002" if ret == ENOSPC else "XEN-005", d.name, step)
            self._free(d)
            self.on[d.name], ends = [], str(ret)
        self.world.steps[step.number - 1] = type(step)(step.number, step.at, step.subject, step.what, ends)

    def _free(self, d: Device) -> None:
        for pirq in self.on.pop(d.name, []):
            self.space.unmap(pirq)

    def _measured(self) -> None:
        self.world.peak("pirqs of dom0", len(self.space.held), self.size)


def pirqs(scenario: Scenario) -> int:
    """Return how many numbers dom0 has for MSI (xen/arch/x86/irq.c, arch_hwdom_irqs, where the command line does not say)."""
    return scenario.host.dom0_pirqs or scenario.host.cpus.bit_length() * VECTORS
