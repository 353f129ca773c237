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
    """The prediction of a single value."""
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
        """Make sure a domain of `kind` exists; whether one was created (None: not known).

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
        """`msi_create_device_irq_domain()`: the size is frozen here; 0 stands for the largest index space, a larger one makes none."""
        if size is not None and size > LARGEST:
            self.remove()
            return
        self.kind, self.hwsize, self.at_least = kind, LARGEST if size == 0 else size, 0
        self.taken.clear()

    def remove(self) -> None:
        """`msi_remove_device_irq_domain()`: only when the driver is unbound or the device goes, never at disable, close or reset."""
        self.kind = "none" if self.per_device else "global"
        self.hwsize, self.at_least = None, 0
        self.taken.clear()

    def insert(self, index: int) -> Prediction:
        """`msi_insert_desc()`: -34 at and above the size, -16 if the index is taken, else 0; any index is the lowest free one."""
        index = self.lowest() if index == ANY_INDEX else index
        result = self.check(index)
        if result == DONE:
            self.taken.add(index)
        return result

    def check(self, index: int, size: int | None = None) -> Prediction:
        """What `insert` would return, for the domain's own or another size; it changes nothing."""
        size = self.limit() if size is None else size
        if size is None and index >= self.at_least:
            return None
        if size is not None and index >= size:
            return one(ERANGE)
        return one(EBUSY) if index in self.taken else DONE

    def lowest(self) -> int:
        """The lowest index that is free, whatever the size."""
        return next(n for n in range(len(self.taken) + 1) if n not in self.taken)

    def copy(self) -> "MsiDomain":
        """The same state on its own."""
        return replace(self, taken=set(self.taken))

    def free(self) -> None:
        """Descriptors and irqs go, the domain stays (`pci_free_irq_vectors()`)."""
        self.taken.clear()

    def limit(self) -> int | None:
        """The number of indices, or None if it is not known."""
        if not self.per_device or self.kind == "global":
            return LARGEST
        return self.hwsize

    def learn(self, index: int, ret: int) -> None:
        """An insert was seen: after -34 at `index` and 0 below it, the size can only be `index`."""
        if ret == ERANGE and self.limit() is None and self.taken and max(self.taken) == index - 1:
            self.hwsize = index
        if ret == 0:
            self.taken.add(index)
            self.at_least = max(self.at_least, index + 1)
