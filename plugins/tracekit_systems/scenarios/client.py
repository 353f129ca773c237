"""kvmtool behind the interface of the other clients: what its guest does is writes to Message Control and to entries of the table."""

from collections.abc import Iterable
from typing import Any

from tracekit import VFIO_MSIX


class KvmtoolClient:
    """Turn what a guest's driver does into register writes."""

    index = VFIO_MSIX

    def __init__(self, machine: Any) -> None:
        self.machine = machine

    def guest_enables(self, unmasked: Iterable[int], send: Any) -> None:
        """Write the entries that are unmasked before, then Enable."""
        for vector in unmasked:
            self.machine.guest_writes_entry(vector, False, send)
        self.machine.guest_writes_control(True, False, send)

    def guest_unmasks(self, vector: int, send: Any) -> None:
        """Write one entry."""
        self.machine.guest_writes_entry(vector, False, send)
