"""A guest's driver: the vectors it requests, and what it learns when the host has none."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from tracekit_vfio.machines.vmm import SetIrqs, Vmm

# a: no paravirtual interface for allocation; b: one that the host implements; c: one that the host does not implement.
Kind = Literal["a", "b", "c"]


@dataclass
class Guest:
    """A guest with one device: it enables MSI-X, then unmasks its vectors one by one (`at_once`: before it enables).

    No write to a vector's mask can fail in PCI, so kinds a and c never learn of a shortage; kind b is refused when it allocates.
    """

    kind: Kind = "a"
    at_once: bool = False
    wanted: set[int] = field(default_factory=set)
    refused: bool = False

    def starts(self, vectors: Sequence[int], vmm: Vmm, send: SetIrqs, *, available: int | None = None) -> None:
        """Load the driver, which requests `vectors`; `available`: what the host could grant if asked."""
        if self.kind == "b" and available is not None and len(vectors) > available:
            self.refused = True
            return
        self.wanted = set(vectors)
        vmm.guest_enables(vectors if self.at_once else (), send)
        if not self.at_once:
            for vector in vectors:
                vmm.guest_unmasks(vector, send)

    def stops(self, vmm: Vmm, send: SetIrqs) -> None:
        """Unload the driver."""
        self.wanted.clear()
        vmm.guest_disables(send)

    def deaf(self, wired: set[int]) -> set[int]:
        """Return the vectors that the guest believes enabled and that no host vector serves."""
        return self.wanted - wired
