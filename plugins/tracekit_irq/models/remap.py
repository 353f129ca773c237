"""Remapping faults in one form, from the records of any Linux release and of Xen."""

import re
from typing import ClassVar

from tracekit import Model, Row, Table, full_bdf, near
from tracekit_irq.tables import REMAP_FAULTS

# VT-d fault reasons of interrupt remapping, by a part of their text: the text is the same in all forms, the number's base is not.
REASONS = {
    "Detected reserved fields in the decoded interrupt-remapped": 0x20,
    "Interrupt index exceeded": 0x21,
    "Present field in the IRTE entry is clear": 0x22,
    "Error accessing interrupt-remapping table": 0x23,
    "Detected reserved fields in the IRTE": 0x24,
    "Blocked a compatibility format": 0x25,
    "Blocked an interrupt request due to source-id": 0x26,
}


class RemapFaults(Model):
    """Convert each fault of interrupt remapping into one form, with the fault interrupt before it."""

    tables: ClassVar[tuple[Table, ...]] = (REMAP_FAULTS,)

    def __init__(self) -> None:
        super().__init__()
        self.status: Row | None = None
        self.request: Row | None = None

    def on_dmar_fault_status(self, e: Row) -> None:
        """Read a fault interrupt; its details follow on the next lines, if at all."""
        self.status = e

    def on_remap_fault(self, e: Row) -> None:
        """Read a fault in one record."""
        self._fault(e, e.device, e.index, _reason(e.reason, e.text), e.text, e.line)

    def on_remap_fault_request(self, e: Row) -> None:
        """Read the first of two records."""
        self.request = e

    def on_remap_fault_reason(self, e: Row) -> None:
        """Read the second of two records."""
        r, self.request = self.request, None
        if r is None or not near(r, e, 4):
            return
        given = int(e.xen_reason) if e.xen_reason is not None else None
        self._fault(r, r.device, r.index, _reason(e.reason, e.text) if given is None else given, e.text, e.line)

    def _fault(self, e: Row, device: str, index: str, reason: int, text: str, line_end: int) -> None:
        status = self.status.line if self.status is not None and near(self.status, e, 4) else None
        self.status = None
        index_value = int(index.removeprefix("0x"), 16)
        self.emit(
            "remap_faults",
            e,
            bdf=bdf_of(device),
            index=index_value,
            reason=reason,
            text=text,
            status_line=status,
            line_end=line_end,
            ts_end=e.ts,
        )


def bdf_of(device: str) -> str | None:
    """Return `00:09.0`, `0x64:0x00.5` and `0000:f0:1f.0` in full form; null where a person put something else in its place."""
    if not re.fullmatch(r"[0-9a-fA-Fx:]+\.[0-7]", device) or "xx" in device.lower():
        return None
    return full_bdf(device)


def _reason(number: str, text: str) -> int:
    """Return the reason by its text, else by its number: hexadecimal behind 0x or with such a digit, else decimal."""
    for known, reason in REASONS.items():
        if text.startswith(known):
            return reason
    return int(number) if number.isdecimal() else int(number, 16)
