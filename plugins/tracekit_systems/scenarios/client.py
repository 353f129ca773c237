"""kvmtool behind the interface of the other clients: what its guest does is writes to Message Control and to entries of the table."""

from collections.abc import Iterable
from typing import Any

from tracekit import VFIO_INTX, VFIO_MSIX


class KvmtoolClient:
    """Turn what a guest's driver does into register writes. `intx`: the device has a line interrupt."""

    index = VFIO_MSIX

    def __init__(self, machine: Any, intx: bool) -> None:
        self.machine, self.intx = machine, intx

    def guest_enables(self, unmasked: Iterable[int], send: Any) -> None:
        """Write the entries that are unmasked before, then Enable."""
        for vector in unmasked:
            self.machine.guest_writes_entry(vector, False, send)
        self.machine.guest_writes_control(True, False, send)

    def guest_unmasks(self, vector: int, send: Any) -> None:
        """Write one entry."""
        self.machine.guest_writes_entry(vector, False, send)

    def guest_disables(self, send: Any) -> None:
        """Clear Enable."""
        self.machine.guest_writes_control(False, False, lambda r: send(r) if self.intx or r.index != VFIO_INTX else 0)
