"""An opened VFIO PCI device: the effect of SET_IRQS on its vectors, and its result."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from tracekit import (
    EBADF,
    EBUSY,
    EINVAL,
    ENODEV,
    ENOMEM,
    ENOSPC,
    ENOTTY,
    LARGEST_TABLE,
    VFIO_ERR,
    VFIO_INTX,
    VFIO_MSI,
    VFIO_MSIX,
    VFIO_NONE,
    VFIO_REQ,
    in_table,
)

Prediction = frozenset[int] | None
Data = Literal["none", "eventfd", "bool"]
Action = Literal["trigger", "mask", "unmask"]

# What may go wrong while a vector is wired, for reasons outside this machine: the eventfd, memory, no CPU vector, a busy line.
WIRING_ERRORS = frozenset((EBADF, ENOMEM, EBUSY, EINVAL, ENOSPC))


@dataclass
class VfioDevice:
    """State of `drivers/vfio/pci/vfio_pci_intrs.c` for one open. `irq_type` is None while unknown (a recording that starts late).

    `dynamic`: MSI-X vectors can be added in place (gate KV4). `sparse`: the range of a request is not held against the vectors that are
    enabled (gate KV7), which a host that adds in place never does.
    A range that no table has is not followed: the ioctl refuses it before this code (vfio_set_irqs_validate_and_prepare).
    """

    dynamic: bool = False
    sparse: bool = False
    irq_type: int | None = VFIO_NONE
    allocated: set[int] = field(default_factory=set)
    wired: set[int] = field(default_factory=set)

    def copy(self) -> "VfioDevice":
        """Return an independent copy of the state."""
        return replace(self, allocated=set(self.allocated), wired=set(self.wired))

    def flags(self, index: int) -> int:
        """Return the flags of `VFIO_DEVICE_GET_IRQ_INFO`: NORESIZE (8) is clear for MSI-X that can grow (6.5)."""
        if index == VFIO_INTX:
            return 0x7
        return 0x1 if index == VFIO_MSIX and self.dynamic else 0x9

    def set_irqs(
        self,
        index: int,
        start: int,
        count: int,
        data: Data,
        *,
        alloc: Callable[[int], Prediction],
        alloc_at: Callable[[int], Prediction] | None = None,
        wiring: int | None = None,
        action: Action = "trigger",
    ) -> Prediction:
        """Carry out SET_IRQS (vfio_pci_set_irqs_ioctl). `alloc(n)`, `alloc_at(i)`: the PCI core; `wiring`: the error seen, 0, or None."""
        if index == VFIO_NONE or (action != "trigger" and index != VFIO_INTX):
            return frozenset((ENOTTY,))
        if index in (VFIO_ERR, VFIO_REQ):
            return _set_notifier(index, start, count, data)
        if self.irq_type is None:
            return None
        if index == VFIO_INTX:
            return self._set_intx(start, count, data, wiring) if action == "trigger" else self._mask_intx(action, start, count, data)
        if data == "none" and count == 0:
            return self._disable(index)
        if self.irq_type not in (VFIO_NONE, index):
            return frozenset((EINVAL,))
        if start + count > LARGEST_TABLE:
            return None
        if data == "eventfd":
            return (
                self._enable(index, start + count, start, alloc, wiring)
                if self.irq_type == VFIO_NONE
                else self._block(index, start, count, alloc_at, wiring)
            )
        reached = start + count <= self._size() or self.sparse or self.dynamic
        return frozenset((0,)) if self.irq_type == index and reached else frozenset((EINVAL,))

    def close(self) -> None:
        """Close the device: the kernel disables the enabled vectors (vfio_pci_core_disable)."""
        self.irq_type = VFIO_NONE
        self.allocated.clear()
        self.wired.clear()

    def unknown(self) -> None:
        """Forget which vectors are enabled."""
        self.irq_type = None
        self.allocated.clear()
        self.wired.clear()

    def observed(self, index: int, start: int, count: int, data: Data, ret: int, action: Action = "trigger") -> None:
        """Adopt the observed effect of a call, whatever was predicted."""
        if action != "trigger":
            if index == VFIO_INTX and ret == 0 and self.irq_type is None:
                self.irq_type = VFIO_INTX  # only the line can be masked, and only while it is on
            return
        if index not in (VFIO_MSI, VFIO_MSIX):
            if index == VFIO_INTX and ret == 0:
                self.irq_type = VFIO_INTX if data == "eventfd" else VFIO_NONE if count == 0 else self.irq_type
            return
        if ret == 0 and data == "none" and count == 0:
            self.close()
        elif ret == 0 and data == "eventfd":
            if start + count > LARGEST_TABLE:
                self.unknown()
                return
            self.allocated |= set(in_table(0 if self.irq_type != index else start, start + count))
            self.wired |= set(in_table(start, start + count))
            self.irq_type = index
        elif ret != 0 and data == "eventfd" and self.irq_type == index and self.allocated:
            self.wired -= set(in_table(start, start + count)) if self.sparse or self.dynamic or start + count <= self._size() else set()
        elif (
            ret == EINVAL
            and data == "none"
            and count == 0
            and self.irq_type is None
            or ret != 0
            and data == "eventfd"
            and not self.allocated
            and self.irq_type == index
        ):
            self.irq_type = VFIO_NONE

    def _set_intx(self, start: int, count: int, data: Data, wiring: int | None) -> Prediction:
        """Switch the one INTx line on or off (vfio_pci_set_intx_trigger)."""
        on = self.irq_type == VFIO_INTX
        if on and data == "none" and count == 0:
            self.close()
            return frozenset((0,))
        if self.irq_type not in (VFIO_INTX, VFIO_NONE) or start != 0 or count != 1:
            return frozenset((EINVAL,))
        if data != "eventfd":
            return frozenset((0 if on else EINVAL,))
        if wiring == 0:
            self.irq_type = VFIO_INTX
        none_routed = frozenset() if on else frozenset((ENODEV,))
        return frozenset((wiring,)) if wiring is not None else frozenset((0,)) | WIRING_ERRORS | none_routed

    def _mask_intx(self, action: Action, start: int, count: int, data: Data) -> Prediction:
        """Mask or unmask INTx (vfio_pci_set_intx_mask, _unmask); an eventfd can only unmask."""
        if self.irq_type != VFIO_INTX or start != 0 or count != 1:
            return frozenset((EINVAL,))
        if data != "eventfd":
            return frozenset((0,))
        return frozenset((ENOTTY,)) if action == "mask" else frozenset((0,)) | WIRING_ERRORS

    def _disable(self, index: int) -> Prediction:
        if self.irq_type != index:
            return frozenset((EINVAL,))
        self.close()
        return frozenset((0,))

    def _enable(self, index: int, size: int, start: int, alloc: Callable[[int], Prediction], wiring: int | None) -> Prediction:
        """Allocate the first `size` vectors and wire [start, size); a wiring error disables all of them."""
        granted = alloc(size)
        if granted is None:
            return None
        results: set[int] = set()
        for n in granted:
            if n < 0 or n < size:
                results.add(n)
            elif wiring is None:
                results |= {0} | WIRING_ERRORS
            else:
                results.add(wiring)
        if results == {0}:
            self.irq_type, self.allocated, self.wired = index, set(in_table(0, size)), set(in_table(start, size))
        return frozenset(results)

    def _block(self, index: int, start: int, count: int, alloc_at: Callable[[int], Prediction] | None, wiring: int | None) -> Prediction:
        """Rewire enabled vectors; add vectors beyond them one by one if the host can, else return -22.

        Where the range is not checked, the -22 comes at the first vector that is missing, and all that the block has wired is detached.
        """
        end = start + count
        if not (self.dynamic and index == VFIO_MSIX) and end > (size := self._size()):
            if not (self.sparse or self.dynamic):
                return frozenset((EINVAL,))
            self.wired -= set(in_table(start, max(start + 1, size)))
            if start < size and wiring is None:
                return WIRING_ERRORS | frozenset((EINVAL,))
            return frozenset((wiring if start < size and wiring else EINVAL,))
        if count == 0:
            return frozenset((0,))
        for vector in in_table(start, end):
            if vector in self.allocated or index == VFIO_MSI:
                continue
            added = alloc_at(vector) if alloc_at is not None else None
            if added is None:
                return None
            if (failed := min(added)) < 0:
                self.wired -= set(in_table(start, vector + 1))
                return frozenset((failed,))
            self.allocated.add(vector)
        if wiring is None:
            return frozenset((0,)) | WIRING_ERRORS
        if wiring == 0:
            self.wired |= set(in_table(start, end))
        else:
            self.wired -= set(in_table(start, end))
        return frozenset((wiring,))

    def _size(self) -> int:
        """Return the bound of in-place requests: one more than the highest vector allocated."""
        return max(self.allocated, default=-1) + 1


def _set_notifier(index: int, start: int, count: int, data: Data) -> Prediction:
    """Predict `vfio_pci_set_err_trigger()`, which needs PCI Express, and `vfio_pci_set_req_trigger()`; eventfds are not followed."""
    missing = frozenset((ENOTTY,)) if index == VFIO_ERR else frozenset()
    if start != 0 or count > 1:
        return frozenset((EINVAL,)) | missing
    if data == "none":
        return frozenset((0, EINVAL)) | missing
    if count == 0:
        return frozenset((EINVAL,)) | missing
    return frozenset((0, EBADF, EINVAL) if data == "eventfd" else (0,)) | missing
