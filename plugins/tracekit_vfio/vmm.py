"""A VMM's vfio-pci client: which SET_IRQS calls it makes for what the guest does to its MSI-X."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

# resize: QEMU before 8.2, and later where the host sets NORESIZE: all down, then one more (hw/vfio/pci.c, vfio_msix_vector_do_use).
# in-place: QEMU 8.2 or later where NORESIZE is clear. up-front: kvmtool (vfio/pci.c): the whole table at enable.
# append: a client that adds in place without asking whether the host can.
Policy = Literal["resize", "in-place", "up-front", "append"]
Data = Literal["none", "eventfd"]
# (index, start, count, data) -> what the ioctl returned.
SetIrqs = Callable[[int, int, int, Data], int]
INTX, MSIX = 0, 2


@dataclass
class Vmm:
    """One device of one VMM. `count` is what the client believes to be enabled; a failed call does not lower it.

    `batched` (QEMU 7.1): vectors unmasked before the enable go into one call. `intx`: the device has a line interrupt to give back.
    """

    send: SetIrqs
    policy: Policy
    entries: int | None = None
    batched: bool = True
    intx: bool = False
    enabled: bool = False
    count: int = 0
    used: set[int] = field(default_factory=set)

    @staticmethod
    def policy_of(*, in_place: bool, noresize: bool, up_front: bool) -> Policy:
        """The policy of a client that can grow in place or not, on a host that sets NORESIZE or not."""
        if up_front:
            return "up-front"
        return "in-place" if in_place and not noresize else "resize"

    def enable(self, vectors: int) -> int:
        """The guest sets Enable with vectors 0 to `vectors` - 1 unmasked; the first error of the calls, else 0."""
        self.enabled, self.used = True, set(range(vectors))
        if self.policy == "up-front" and self.entries:
            return self._enable(self.entries)
        if vectors > 1 and not self.batched and self.policy == "resize":
            results = [self._enable(1), *(self.unmask(v) for v in range(1, vectors))]
            return next((r for r in results if r != 0), 0)
        # With no vector unmasked the enable takes vector 0; a disable that finds nothing comes before, and nobody reads its error.
        return self._enable(max(vectors, 1))

    def unmask(self, vector: int) -> int:
        """The guest unmasks a vector; what the last call returned (0 if none was made). The guest cannot be told."""
        self.used.add(vector)
        if not self.enabled:
            return 0
        if vector < self.count or self.policy in ("in-place", "append"):
            self.count = max(self.count, vector + 1)
            return self.send(MSIX, vector, 1, "eventfd")
        self.send(MSIX, 0, 0, "none")
        self.count = vector + 1
        return self.send(MSIX, 0, self.count, "eventfd")

    def mask(self, vector: int) -> None:
        """The vector's eventfd goes to the VMM itself; nothing changes in the kernel's set."""
        self.used.discard(vector)

    def disable(self) -> int:
        """The guest clears Enable, or resets the device: down, and INTx back where there is one."""
        result = self.send(MSIX, 0, 0, "none")
        self.enabled, self.count, self.used = False, 0, set()
        return self.send(INTX, 0, 1, "eventfd") if self.intx else result

    def _enable(self, count: int) -> int:
        self.send(MSIX, 0, 0, "none")
        self.count = count
        return self.send(MSIX, 0, count, "eventfd")
