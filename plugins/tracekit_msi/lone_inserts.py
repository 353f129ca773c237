"""Inserts of MSI descriptors that are recorded without the enable around them, and a refused one among them: a witness of MSI-001."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from tracekit import ERANGE, Finding, Unchecked, callers, distinct, span, subject_of, unnamed, witness
from tracekit_msi.refused_index import ADVICE, ARM_CREATION, RECORD, UNSEEN

Row = Mapping[str, Any]

UNMADE = Unchecked("no domain was created inside the refused attempt", ARM_CREATION)
TOLD = Unchecked("the index below was accepted by the same domain", RECORD)


def refused_alone(ret: int | None, attempt: int | None) -> bool:
    """Return whether an insert returned -34 and the enable around it is not recorded."""
    return ret == ERANGE and attempt is None


@witness
def lone_inserts(op_insert: pl.DataFrame, calls: pl.DataFrame | None = None, devices: pl.DataFrame | None = None) -> Iterator[Finding]:
    """Yield the refused indices, one finding per device.

    The index that is refused after the one below it passed is the domain's size, and the device has that index: an enable asks for none
    that its table has not (drivers/pci/msi/msi.c clamps the request). Where every index is refused there is no domain.
    """
    alone = op_insert.filter(pl.col("attempt").is_null())
    if not (alone["ret"] == ERANGE).any():
        return
    done: set[str] = set()
    for row, below in sorted(_refused(alone), key=lambda told: not _follows(*told)):
        if (label := subject_of(row, devices).label) not in done:
            done.add(label)
            yield _finding(row, below, calls, devices)


def _refused(alone: pl.DataFrame) -> Iterator[tuple[Row, Row | None]]:
    """Yield each refused insert with the one before it that passed, of the same task and device."""
    last: dict[tuple[Any, ...], Row] = {}
    for row in alone.sort("source", "line").iter_rows(named=True):
        who = (row["source"], row["tid"], row["device"], row["entity"])
        before = last.get(who)
        passed = before if before is not None and before["ret"] == 0 else None
        if row["ret"] == ERANGE and (passed is not None or (row["index"] or 0) > 0):
            yield row, passed
        last[who] = row


def _follows(row: Row, below: Row | None) -> bool:
    """Return whether the insert that passed before was of the index below."""
    return below is not None and row["index"] is not None and below["index"] == row["index"] - 1


def _finding(row: Row, below: Row | None, calls: pl.DataFrame | None, devices: pl.DataFrame | None) -> Finding:
    subject, index, follows = subject_of(row, devices), row["index"], _follows(row, below)
    if index is None:
        summary = f"an MSI-X index of {subject.label} was refused with -34 after others: its irq domain is smaller than its MSI-X table"
    else:
        size = f"hwsize {index}" if follows else f"a hwsize of at most {index}"
        summary = f"irq domain of {subject.label} has {size}, the MSI-X table at least {index + 1}: index {index} refused with -34"
    around = [c for c in callers(calls, row, row["call"]) if c["ret"] == ERANGE]
    return Finding(
        summary=summary,
        grade="probable" if follows else "possible",
        subject=subject,
        evidence=distinct(
            [
                *(span(row["source"], below["line"], below["line_end"]) if below is not None else ()),
                *span(row["source"], row["line"], row["line_end"], "cause"),
                *(e for c in around for e in span(row["source"], c["line_end"], role="effect")),
            ]
        ),
        unchecked=(UNMADE, *(() if follows else (UNSEEN if index is None else TOLD,)), *unnamed(row["hint"])),
        values={"old_size": index if follows else None, "live": None if index is None else index + 1, "index": index, "errno": ERANGE},
        advice=ADVICE,
    )
