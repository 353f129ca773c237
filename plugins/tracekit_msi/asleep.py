"""Devices that did not answer when their driver asked for vectors: an enable of one that is not in D0 is refused with -22."""

from collections.abc import Iterable, Mapping
from typing import Any

from tracekit import EINVAL, at_once, rows_above

REACH, REACH_MS = 8, 2_000  # a driver that is resumed asks at once
MOST = 16  # lines above a refusal that tell of devices, some of them of one and the same


class Asleep:
    """The lines that tell that a device does not answer (IRQ-009). Source: drivers/pci/msi/msi.c, pci_msi_supported() and its callers."""

    def __init__(self, *told: Iterable[dict[str, Any]]) -> None:
        gone = (r for rows in told for r in rows if r.get("next") in (None, "giving up"))
        self.rows = sorted(gone, key=lambda r: (r["source"], r["line"]))

    def explains(self, row: Mapping[str, Any], errno: int | None) -> str | None:
        """Return the code of the finding that explains a refusal: of the row's device, or of the only one where the row names none."""
        if errno != EINVAL:
            return None
        above = [r["bdf"] for r in rows_above(row, self.rows, MOST) if at_once(r, row, REACH, REACH_MS)]
        own = row["bdf"] in above if row["bdf"] else len(set(above)) == 1
        return "IRQ-009" if own else None
