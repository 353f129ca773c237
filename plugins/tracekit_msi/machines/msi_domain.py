"""The irq domain that holds a device's MSI descriptors: its kind, its size, and which indices are taken."""

from dataclasses import dataclass, field, replace
from typing import Literal

from tracekit import EBUSY, ERANGE, MAX_INDEX

Kind = Literal["none", "global", "msi", "msix"]
# What an operation may return; None means any value: the state it depends on is not known.
Prediction = frozenset[int] | None

# MSI_XA_DOMAIN_SIZE, kernel/irq/msi.c: the size of a domain that was given none
LARGEST = MAX_INDEX + 1
ANY_INDEX = -1  # MSI_ANY_INDEX, include/linux/msi.h: the kernel looks for a free one


def one(value: int) -> Prediction:
    """Return the prediction of a single value."""
    return frozenset((value,))


DONE = one(0)


@dataclass
class MsiDomain:
    """A device's irq domain of id 0 (kernel/irq/msi.c): its own where the parent is an MSI parent (gate KV2), else the global one.

    `per_device`: whether the kernel makes domains a device. `kind` and `hwsize` are None while unknown; `at_least`: indices that the domain
    must have, since they were in use.
    """

    per_device: bool
    kind: Kind | None = None
    hwsize: int | None = None
    at_least: int = 0
    taken: set[int] = field(default_factory=set)

    def setup(self, kind: Literal["msi", "msix"], size: int | None, at_least: int = 0) -> bool | None:
        """Make sure a domain of `kind` exists; and return whether one was created (None: not known).

        A domain of the same kind is kept without comparing sizes (drivers/pci/msi/irqdomain.c, pci_setup_msix_device_domain).
        """
        if not self.per_device:
            self.kind, self.hwsize = "global", LARGEST
            return False
        if self.kind is None:
            return None
        if self.kind == kind:
            return False
        self.create(kind, size)
        self.at_least = at_least
        return True

    def create(self, kind: Literal["msi", "msix"], size: int | None) -> None:
        """Create the domain (msi_create_device_irq_domain); this fixes its size. 0 is the largest index space; a larger size fails."""
        if size is not None and size > LARGEST:
            self.remove()
            return
        self.kind, self.hwsize, self.at_least = kind, LARGEST if size == 0 else size, 0
        self.taken.clear()

    def remove(self) -> None:
        """Remove the domain (msi_remove_device_irq_domain): at unbind or removal of the device, never at disable, close or reset."""
        self.kind = "none" if self.per_device else "global"
        self.hwsize, self.at_least = None, 0
        self.taken.clear()

    def insert(self, index: int) -> Prediction:
        """Insert a descriptor (msi_insert_desc): -34 from the size on, -16 for a taken index, else 0. Any index: the lowest free one."""
        index = self.lowest() if index == ANY_INDEX else index
        result = self.check(index)
        if result == DONE:
            self.taken.add(index)
        return result

    def check(self, index: int, size: int | None = None) -> Prediction:
        """Return the result of `insert` for the domain's own or another size, without a change of state."""
        size = self.limit() if size is None else size
        if size is None and index >= self.at_least:
            return None
        if size is not None and index >= size:
            return one(ERANGE)
        return one(EBUSY) if index in self.taken else DONE

    def lowest(self) -> int:
        """Return the lowest free index, regardless of the size."""
        return next(n for n in range(len(self.taken) + 1) if n not in self.taken)

    def copy(self) -> "MsiDomain":
        """Return an independent copy of the state."""
        return replace(self, taken=set(self.taken))

    def free(self) -> None:
        """Free descriptors and irqs and keep the domain (pci_free_irq_vectors)."""
        self.taken.clear()

    def limit(self) -> int | None:
        """Return the number of indices, None if unknown."""
        if not self.per_device or self.kind == "global":
            return LARGEST
        return self.hwsize

    def learn(self, index: int, ret: int) -> None:
        """Adopt an observed insert: after -34 at `index` and 0 below it, the size is `index`."""
        if ret == ERANGE and self.limit() is None and self.taken and max(self.taken) == index - 1:
            self.hwsize = index
        if ret == 0:
            self.taken.add(index)
            self.at_least = max(self.at_least, index + 1)
