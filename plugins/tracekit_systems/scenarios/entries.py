"""Entries of the tables of interrupt remapping while a scenario runs: which are taken, and where a block still fits."""

from dataclasses import dataclass, field

from tracekit_systems.scenarios.world import power_of_two


@dataclass
class Entries:
    """One table for all devices (Intel), or one for each (`shared` False: AMD). Entries are bits of a number.

    MSI-X takes the lowest free ones, one by one. A block of plain MSI lies side by side and begins at a multiple of its size, rounded up to
    a power of two; Intel takes the rounded size (drivers/iommu/intel/irq_remapping.c, alloc_irte), AMD what is asked for
    (drivers/iommu/amd/iommu.c, alloc_irq_index).
    """

    size: int
    shared: bool
    held: dict[str, int] = field(default_factory=dict)

    def left(self, device: str) -> int:
        """Return how many a device could have, those that it has included."""
        return self.size - self._others(device).bit_count()

    def take(self, device: str, count: int) -> None:
        """Let a device have so many, and no others; there are that many."""
        used, mine = self._others(device), 0
        for _ in range(count):
            free = ~(used | mine) & (used | mine) + 1
            mine |= free
        self.held[device] = mine

    def add(self, device: str) -> bool:
        """Give a device one more, and return whether there was one."""
        used = self._others(device) | self.held.get(device, 0)
        if used.bit_count() >= self.size:
            return False
        self.held[device] = self.held.get(device, 0) | ~used & used + 1
        return True

    def block(self, device: str, count: int) -> bool:
        """Let a device have a block, and return whether one fits."""
        used, step = self._others(device) & (1 << self.size) - 1, power_of_two(count)
        bits = (1 << (step if self.shared else count)) - 1
        place = next((n for n in range(0, self.size - bits.bit_length() + 1, step) if not used >> n & bits), None)
        if place is None:
            return False
        self.held[device] = bits << place
        return True

    def free(self, device: str) -> None:
        """Take all of a device's back."""
        self.held.pop(device, None)

    def taken(self) -> int:
        """Return how many are taken: of the table, or of the device that has the most."""
        return max((n.bit_count() for n in self.held.values()), default=0) if not self.shared else self._others("").bit_count()

    def _others(self, device: str) -> int:
        used = 0
        for name, bits in self.held.items() if self.shared else ():
            used |= bits if name != device else 0
        return used
