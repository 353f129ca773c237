"""An HVM guest of Xen in a scenario: its devices take pirqs and give them back, or not."""

from tracekit import ENODEV, Device
from tracekit_systems.scenarios.world import MS, World, vectors

GSIS = 24  # numbers below are lines of the IO-APIC
LEAST_LEAK = 3  # numbers that must be lost before it is called a leak


class HvmRun:
    """Load and unload the drivers of a guest, session by session."""

    def __init__(self, world: World) -> None:
        self.world, machines, gates = world, world.machines, world.gates
        space = machines["PirqSpace"].fresh(GSIS, GSIS + world.scenario.host.pirqs)
        unmaps = gates.get("QV1", False) or gates.get("XV1", False)
        self.guest = machines["HvmGuest"](space, not gates.get("KV5", False), unmaps)
        self.on: dict[str, list[str]] = {}

    def session(self, number: int) -> None:
        """Unload the drivers that are not used or are reloaded, then load those that are used."""
        devices = self.world.scenario.devices
        for d in devices:
            if self.on.get(d.name) and (d.reload or not d.used(number)):
                self._unload(d)
        for d in devices:
            if d.used(number) and not self.on.get(d.name):
                self._load(d, d.wanted(number))

    def deaf(self) -> set[str]:
        """Return the vectors of which no event channel could be opened."""
        return set(self.guest.deaf)

    def _unload(self, d: Device) -> None:
        self.world.step(d.name, "the guest unloads the driver")
        for slot in self.on.pop(d.name):
            self.guest.disable(slot)
        lost = [p for p in self.guest.space.held if not self.guest.users.get(p)]
        if len(lost) >= LEAST_LEAK:
            self.world.fault("XEN-003", d.name)
        self._measured()

    def _load(self, d: Device, count: int) -> None:
        step = self.world.step(d.name, f"the guest loads the driver, which takes {vectors(count)}")
        mine = self.on.setdefault(d.name, [])
        pirqs = []
        for n in range(count):
            pirq = self.guest.enable(f"{d.name} {n}")
            if pirq == ENODEV:
                self.world.fault("XEN-002", d.name)
                break
            mine.append(f"{d.name} {n}")
            pirqs.append(pirq)
        told = f"pirqs {', '.join(map(str, pirqs))}" if pirqs else "no pirq"
        self.world.steps[step.number - 1] = type(step)(step.number, step.at, step.subject, step.what, told)
        if self.guest.shared:
            self.world.fault("XEN-001", d.name)
        if self.guest.deaf:
            self.world.fault("XEN-004", d.name)
        self._measured()

    def _measured(self) -> None:
        self.world.peak("pirqs", len(self.guest.space.held))
        self.world.begin("pirqs", f"{(held := len(self.guest.space.held))} {'pirq' if held == 1 else 'pirqs'}", "vectors")
        self.world.wait(MS)
