"""The remapping table as a machine: one entry per irq, taken when the irq is allocated (intel/irq_remapping.c, amd/iommu.c)."""

from dataclasses import dataclass, field

from tracekit import ENOMEM, ENOSPC

OK = 0
# Results of a full table. The errno differs between drivers and releases, so the message decides.
FULL = frozenset({ENOMEM, ENOSPC})
INTEL_ENTRIES = 65536  # per IOMMU
AMD_ENTRIES = (256, 512)  # per device, by release


@dataclass
class IrtePool:
    """Entries of one remapping table (Intel: of an IOMMU; AMD: of a device). Unknown size: any result."""

    size: int | None = INTEL_ENTRIES
    taken: dict[str, set[int]] = field(default_factory=dict)  # device -> indices

    def allocate(self, device: str, count: int = 1) -> frozenset[int]:
        """Allocate `count` entries side by side, aligned to the next power of two (multi-MSI); one by one for MSI-X."""
        if self.size is None:
            return FULL | {OK}
        start = self._room(count)
        if start is None:
            return FULL
        self.taken.setdefault(device, set()).update(range(start, start + count))
        return frozenset({OK})

    def free(self, device: str) -> frozenset[int]:
        """Free all entries of a device."""
        self.taken.pop(device, None)
        return frozenset({OK})

    def blocked(self, device: str, index: int) -> int | None:
        """Return the fault reason of a message, None if it passes (VT-d: 0x21 beyond the table, 0x22 not present, 0x26 another's entry)."""
        if self.size is not None and index >= self.size:
            return 0x21
        owner = next((d for d, indices in self.taken.items() if index in indices), None)
        if owner is None:
            return 0x22
        return None if owner == device else 0x26

    def _room(self, count: int) -> int | None:
        used = set().union(*self.taken.values()) if self.taken else set()
        step = 1 << (count - 1).bit_length()
        for start in range(0, (self.size or 0) - count + 1, step):
            if used.isdisjoint(range(start, start + count)):
                return start
        return None
