"""A VMM's vfio-pci client: the SET_IRQS requests it sends for the guest's accesses to MSI-X."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from tracekit import VFIO_INTX, VFIO_MSI, VFIO_MSIX

Policy = Literal["incr", "full", "dyn", "block"]


@dataclass(frozen=True, slots=True)
class Request:
    """One SET_IRQS: vectors [start, start + count) of an index; `data` none with count 0 disables; `empty`: those with descriptor -1."""

    index: int
    start: int
    count: int
    data: Literal["none", "eventfd"]
    empty: frozenset[int] = frozenset()
    action: Literal["trigger", "mask", "unmask"] = "trigger"


# Carries a request out and returns what the ioctl returned.
SetIrqs = Callable[[Request], int]
DISABLE = Request(VFIO_MSIX, 0, 0, "none")
OFF = {VFIO_INTX: Request(VFIO_INTX, 0, 0, "none"), VFIO_MSI: Request(VFIO_MSI, 0, 0, "none"), VFIO_MSIX: DISABLE}


@dataclass
class Vmm:
    """One device of one VMM.

    `policy` incr: old QEMU (gate QV3), later ones where the host sets NORESIZE: down and up again for each vector more (hw/vfio/pci.c,
    vfio_msix_vector_do_use). dyn: newer QEMU where NORESIZE is clear: added in place. full: kvmtool: the whole table at enable
    (vfio/pci.c). block: plain MSI of QEMU: all vectors of the guest's block, and with as many as were granted where fewer were
    (hw/vfio/pci.c, vfio_msi_enable); `table` is the size of the block. `batched` (gate QV2): vectors unmasked at the enable go into one
    call. `intx`: the device has a line interrupt; `index`: MSI-X or plain VFIO_MSI, whose vectors change with a disable only.
    """

    policy: Policy
    table: int
    batched: bool = True
    index: int = VFIO_MSIX
    intx: bool = True
    enabled: bool = False
    count: int = 0  # vectors that the client believes to be enabled; a failed call does not lower it
    used: set[int] = field(default_factory=set)
    failures: list[int] = field(default_factory=list)

    def guest_enables(self, unmasked: Iterable[int], send: SetIrqs) -> None:
        """Set Enable as the guest; `unmasked` are the vectors it has unmasked before."""
        vectors = sorted(unmasked)
        self.enabled, self.used = True, set(vectors)
        if self.policy == "block":
            self._enables_block(send)
        elif self.policy == "full":
            self._send(Request(self.index, 0, self.table, "eventfd"), send)
            self.count = self.table
        elif vectors and (self.batched or self.policy == "dyn"):
            self.count = vectors[-1] + 1
            self._send(Request(self.index, 0, self.count, "eventfd"), send)
        else:
            # The enable takes vector 0; it is preceded by a disable that finds nothing, and whose error nobody reads.
            send(OFF[self.index])
            self.count = 1
            self._send(Request(self.index, 0, 1, "eventfd"), send)
            for vector in vectors:
                self.guest_unmasks(vector, send)

    def guest_unmasks(self, vector: int, send: SetIrqs) -> None:
        """Unmask a vector while MSI-X is enabled; the guest cannot learn of a failure."""
        self.used.add(vector)
        if not self.enabled or self.policy == "block":
            return
        if vector < self.count or self.policy == "dyn":
            self.count = max(self.count, vector + 1)
            self._send(Request(self.index, vector, 1, "eventfd"), send)
        elif self.policy == "incr":
            send(OFF[self.index])
            self.count = vector + 1
            self._send(Request(self.index, 0, self.count, "eventfd"), send)

    def guest_masks(self, vector: int) -> None:
        """Route the vector's eventfd to the VMM; the kernel's set of vectors stays."""
        self.used.discard(vector)

    def guest_disables(self, send: SetIrqs) -> None:
        """Clear Enable or reset the device as the guest: disable MSI-X, and restore INTx where there is one."""
        if not self.enabled:
            return
        send(OFF[self.index])
        self.enabled, self.count, self.used = False, 0, set()
        if self.intx:
            send(Request(VFIO_INTX, 0, 1, "eventfd"))

    def switch_line(self, on: bool, send: SetIrqs) -> None:
        """Switch INTx on at the open, or off before MSI or MSI-X is enabled (hw/vfio/pci.c, vfio_intx_enable, vfio_disable_interrupts)."""
        self._send(Request(VFIO_INTX, 0, 1, "eventfd") if on else OFF[VFIO_INTX], send)

    def _enables_block(self, send: SetIrqs) -> None:
        """Enable the block; a client asks for fewer where the host says how many there are."""
        self.count = self.table
        while 0 < (ret := send(Request(self.index, 0, self.count, "eventfd"))) < self.count:
            self.count = ret
        if ret != 0:
            self.failures.append(ret)

    def _send(self, request: Request, send: SetIrqs) -> None:
        if (ret := send(request)) != 0:
            self.failures.append(ret)
