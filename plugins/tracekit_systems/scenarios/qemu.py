"""The lines of QEMU for one function in a scenario: its trace events of hw/vfio/pci.c, and its messages where a SET_IRQS fails."""

from collections.abc import Iterable
from typing import Any

from tracekit import VFIO_MSI, VFIO_MSIX
from tracekit_systems.scenarios.world import World

VECTORS, NO_VECTOR, WIRING, MSI_FDS = "enable vectors", "enable MSI-X", "signaling", "MSI fds"  # what a message is about


class QemuLines:
    """Note QEMU's lines in the order of hw/vfio/pci.c.

    `vfio_msix_vector_do_use` comes before the request that it leads to, `vfio_msix_enable` after the last request of the enable. Without
    an unmasked vector, the enable takes and releases vector 0 (before {QV3}), or asks for MSI-X without an eventfd (from it on).
    """

    def __init__(self, world: World, name: str, index: int) -> None:
        self.world, self.name, self.index = world, name, index
        self.used: set[int] = set()
        self.batched = False
        self.left: list[int] = []  # vectors of an enable that QEMU has not come to
        self.enabling = self.first = self.alone = self.torn = False

    def opened(self, size: int, policy: str) -> None:
        """Read the capability."""
        self.used, self.batched = set(), policy in ("dyn", "full") or self.world.gates.get("QV2", False)
        if self.index == VFIO_MSI:
            self._says("vfio_msi_setup")
        elif self.index == VFIO_MSIX:
            tells = {"noresize": int(policy == "incr")} if self._in_place() or policy == "dyn" else {}
            self._says("vfio_msix_early_setup", entries=size, **tells)

    def line(self, on: bool) -> None:
        """Switch INTx on or off."""
        self._says("vfio_intx_enable" if on else "vfio_intx_disable")

    def enables(self, unmasked: Iterable[int]) -> None:
        """Begin to enable MSI-X for the guest."""
        self.used, self.torn, self.left, self.alone = set(), False, list(unmasked), False
        self.enabling = self.first = self.index == VFIO_MSIX
        if self.enabling and self.left and self.batched:
            for vector in self.left:
                self._takes(vector)
        elif self.enabling and not self._in_place():
            self._takes(0)
            self.alone = True

    def enabled(self) -> None:
        """End the enable."""
        if self.enabling:
            self._says("vfio_msix_enable")
        self.enabling, self.left = False, []

    def uses(self, vector: int) -> None:
        """Take a vector that the guest unmasks."""
        if self.index == VFIO_MSIX:
            self._takes(vector)

    def asks(self, request: Any) -> None:
        """Take the next vector of an enable that goes vector by vector; a disable before a request belongs to it."""
        if self.enabling and not self.batched and not self.first and not self.torn and self.left:
            self._takes(self.left.pop(0))
        self.torn = request.data == "none"

    def answered(self, request: Any, ret: int, torn: bool) -> None:
        """Print what QEMU says to the result of a request; `torn`: a disable came before it."""
        if request.index != self.index or self.index not in (VFIO_MSI, VFIO_MSIX):
            return
        if self.index == VFIO_MSI:
            self._answered_msi(request, ret)
        elif request.data == "eventfd":
            if ret != 0:
                about = WIRING if not self.first and not torn and request.count == 1 else VECTORS
                about = NO_VECTOR if self.first and not self.used else about
                self.world.client(self.name, about, ret, vector=request.start)
            if self.first and self.alone:
                self._releases(0)
            self.first = False

    def masks(self, vector: int | None) -> None:
        """Release what the guest masks; None: all vectors."""
        for v in sorted(self.used) if vector is None else [vector] if vector in self.used else []:
            self._releases(v)

    def unmasks(self, vectors: Iterable[int]) -> None:
        """Take what the guest unmasks."""
        for v in sorted(set(vectors) - self.used):
            self.uses(v)

    def disables(self) -> None:
        """Begin to disable MSI-X for the guest."""
        self.masks(None)

    def disabled(self) -> None:
        """End the disable."""
        if self.index == VFIO_MSIX:
            self._says("vfio_msix_disable")

    def _answered_msi(self, request: Any, ret: int) -> None:
        if request.data == "none":
            if ret == 0:
                self._says("vfio_msi_disable")
        elif ret == 0:
            self._says("vfio_msi_enable", count=request.count)
        else:
            self.world.client(self.name, MSI_FDS, ret, count=request.count)

    def _takes(self, vector: int) -> None:
        self.used.add(vector)
        self._says("vfio_msix_vector_do_use", vector=vector)
        self._says("vfio_msix_pba_disable")

    def _releases(self, vector: int) -> None:
        self.used.discard(vector)
        self._says("vfio_msix_vector_release", vector=vector)

    def _in_place(self) -> bool:
        return bool(self.world.gates.get("QV3", False))

    def _says(self, name: str, **args: int) -> None:
        self.world.client(self.name, name, **args)
