"""A guest's driver: which vectors it believes to be on, and what it can learn when the host has none."""

from dataclasses import dataclass, field
from typing import Literal

# a: no paravirtual interface for allocation; b: one that the host implements; c: one that the host does not implement.
Kind = Literal["a", "b", "c"]


@dataclass
class Guest:
    """The guest's side of one device. No write to a vector's mask can fail in PCI, so kinds a and c never learn of a shortage."""

    kind: Kind = "a"
    unmasked: set[int] = field(default_factory=set)
    refused: bool = False

    def allocate(self, vectors: int, available: int) -> bool:
        """The driver asks for vectors, of which the host has `available`; only kind b can be refused."""
        self.refused = self.kind == "b" and vectors > available
        return not self.refused

    def unmask(self, vector: int) -> None:
        """The driver unmasks a vector; that always succeeds."""
        self.unmasked.add(vector)

    def mask(self, vector: int) -> None:
        """The driver masks a vector."""
        self.unmasked.discard(vector)

    def disable(self) -> None:
        """The driver clears Enable."""
        self.unmasked.clear()

    def deaf(self, wired: set[int]) -> set[int]:
        """Vectors that the guest believes to be on and that nothing serves."""
        return self.unmasked - wired
