"""Evidence from rows, and rows in order."""

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from tracekit import Evidence

MOST = 24  # lines shown of one kind; the count is in the finding's values

Rows = list[dict[str, Any]]


def at(row: Mapping[str, Any], role: Any = "cause", *, line: str = "line", end: str | None = None) -> Evidence:
    """The line of a row (`line`: which of its columns), or the span up to its column `end`."""
    first = int(row[line])
    last = int(row[end]) if end and row.get(end) is not None and row[end] != first else None
    return Evidence(row["source"], first, role, last)


def shown(rows: Rows) -> Rows:
    """The first rows, as many as a finding shows."""
    return rows[:MOST]


def in_order(evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """Each line once, by source and line."""
    return tuple(sorted({(e.source, e.line): e for e in evidence}.values(), key=lambda e: (e.source, e.line)))


def sorted_rows(frame: pl.DataFrame | None) -> Rows:
    """Return the rows of a table by source and line; a missing table has none."""
    return [] if frame is None else frame.sort("source", "line").to_dicts()


def seconds(ts: int | None) -> float | None:
    """Nanoseconds as seconds."""
    return None if ts is None else ts / 1e9
