"""A PCI function as the kernel's MSI code sees it: enabling, freeing and growing its vectors."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Literal

from tracekit import EBUSY, EINVAL, EIO, ENODEV, ENOMEM, ENOSPC, ENOTSUPP, EOPNOTSUPP, ERANGE, LARGEST_TABLE, in_table
from tracekit_msi.machines.msi_domain import ANY_INDEX, MsiDomain, Prediction, one


@dataclass
class PciFunction:
    """State of `drivers/pci/msi/` for one function. Sizes are None while unknown; operations return what they may return.

    `msix_count` is the table size in config space, read anew at every enable; `domain` may hold an older one. `at_least`: entries that
    the table must have, since so many vectors were granted, while its size is not known.
    `reservation`: an irq is allocated without a CPU vector (gate KV1), so that `irqs` cannot fall short. `room`: irqs that the parent
    domain can still give (entries of the remapping table), None if it is not what is short. `several`: whether one MSI message may stand
    for more than one irq (x86: only with interrupt remapping), None if unknown. `strict`: an entry beyond the table is
    an error and not cut off (gate KV3). `by_count`: the domain of plain MSI is as large as the capability (gate KV8).
    """

    domain: MsiDomain
    msix_count: int | None = None
    at_least: int = 0
    msi_count: int | None = None
    dynamic: bool = False
    reservation: bool = True
    room: int | None = None
    several: bool | None = None
    strict: bool = False
    by_count: bool = False
    supports_msix: bool = True
    usable: bool = True  # MSI allowed and the device in D0
    mapped: bool = True  # the BAR of the table is assigned
    wide_address: bool = True
    msix_enabled: bool = False
    msi_enabled: bool = False
    vectors: set[int] = field(default_factory=set)

    def copy(self) -> "PciFunction":
        """Return an independent copy of the state, with a copy of its domain."""
        return replace(self, domain=self.domain.copy(), vectors=set(self.vectors))

    def enable_msix(self, least: int, most: int, *, virtual: bool = False, entries: bool = False) -> Prediction:
        """Enable MSI-X (__pci_enable_msix_range): errors in the order of the kernel's checks, else the number of vectors.

        `entries`: the driver names its entries itself, 0 to `most` - 1, as `pci_enable_msix_range()` does and no allocation by affinity.
        """
        if most < least:
            return one(ERANGE)
        if self.msi_enabled or self.msix_enabled:
            return one(EINVAL)
        if not self.supports_msix:
            return one(ENOTSUPP)
        if not self.usable or self.msix_count == 0:
            return one(EINVAL)
        if self.msix_count is None and most > self.at_least:
            return None
        size = self.msix_count if self.msix_count is None or not virtual else max(self.msix_count, most)
        if entries and self.strict and size is not None and most > size:
            return one(EINVAL)
        wanted = most if size is None else min(most, size)
        if wanted < least:
            return one(ENOSPC)
        if wanted > LARGEST_TABLE:
            return None
        self.domain.setup("msix", size, self.at_least)
        if self.domain.kind == "none":
            return one(ENODEV)
        return self._initialise(least, wanted)

    def _initialise(self, least: int, wanted: int) -> Prediction:
        """Set up the capability (msix_capability_init), and retry with fewer vectors."""
        if not self.mapped:
            return one(ENOMEM)
        self.domain.free()
        for index in in_table(0, wanted):
            inserted = self.domain.insert(index)
            if inserted is None:
                return None
            if inserted != one(0):
                self.domain.free()
                return inserted
        if self.room is not None and self.room < wanted:
            self.domain.free()
            return self._initialise(least, self.room) if self.room >= max(least, 1) else one(ENOSPC)
        if not self.wide_address:
            self.domain.free()
            return one(EIO)
        if self.reservation:
            self.granted(wanted)
            return one(wanted)
        return frozenset((*in_table(max(least, 1), wanted + 1), ENOSPC))

    def enable_msi(self, least: int, most: int) -> Prediction:
        """Enable plain MSI (__pci_enable_msi_range): one block of vectors. An MSI domain replaces the MSI-X domain."""
        if not self.usable or self.msix_enabled:
            return one(EINVAL)
        if most < least:
            return one(ERANGE)
        if self.msi_enabled or self.msi_count == 0:
            return one(EINVAL)
        if self.msi_count is None:
            return None
        if self.msi_count < least:
            return one(ENOSPC)
        self.domain.setup("msi", self.msi_count if self.by_count else 1)  # one descriptor stands for the block, at index 0
        if self.domain.kind == "none":
            return one(ENODEV)
        wanted = min(self.msi_count, most)
        counts = {wanted} if self.several or wanted == 1 else {1} if self.several is False else {1, wanted}
        results = frozenset(n if n >= least else ENOSPC for n in counts)
        if len(results) == 1 and max(results) > 0:
            self.msi_enabled, self.vectors, self.domain.taken = True, set(in_table(0, max(results))), {0}
        return results

    def alloc(self, least: int, most: int, kinds: Collection[Literal["msix", "msi", "intx"]]) -> Prediction:
        """Try MSI-X, then MSI, then INTx, as the flags allow (pci_alloc_irq_vectors). The error is that of the last attempt."""
        results: frozenset[int] = frozenset((ENOSPC,))
        granted: frozenset[int] = frozenset()
        for kind, enable in (("msix", self.enable_msix), ("msi", self.enable_msi)):
            if kind not in kinds:
                continue
            tried = enable(least, most)
            if tried is None:
                return None
            granted |= frozenset(n for n in tried if n > 0)
            results = tried - granted
            if not results:
                return granted
        return granted | (frozenset((1,)) if "intx" in kinds and least == 1 else results)

    def granted(self, count: int) -> None:
        """Adopt an enable that returned `count` vectors."""
        self.msix_enabled = True
        self.at_least = self.domain.at_least = max(self.at_least, count)
        self.vectors = set(in_table(0, count))
        self.domain.taken = set(in_table(0, count))

    def alloc_at(self, index: int) -> Prediction:
        """Add one vector and keep the others (pci_msix_alloc_irq_at, since 6.2). Return its index or an error."""
        if not self.msix_enabled or not self.dynamic:
            return one(ENOTSUPP)
        index = self.domain.lowest() if index == ANY_INDEX else index
        inserted = self.domain.insert(index)
        if inserted != one(0):
            return inserted
        self.vectors.add(index)
        return one(index)

    def free_at(self, index: int) -> None:
        """Free one vector and keep the others (pci_msix_free_irq)."""
        self.vectors.discard(index)
        self.domain.taken.discard(index)

    def free(self) -> None:
        """Free vectors and descriptors and keep the domain (pci_free_irq_vectors)."""
        self.msix_enabled = self.msi_enabled = False
        self.vectors.clear()
        self.domain.free()

    def unbind(self) -> None:
        """Unbind the driver: devres releases the MSI data, which removes the domain."""
        self.free()
        self.at_least = 0
        self.domain.remove()

    def set_vf_count(self, count: int, *, bound: bool, supported: bool = True) -> Prediction:
        """Write `sriov_vf_msix_count` (drivers/pci/iov.c, since 5.13)."""
        if count < 0:
            return one(EINVAL)
        if not supported:
            return one(EOPNOTSUPP)
        if bound:
            return one(EBUSY)
        self.msix_count = count
        return one(0)
