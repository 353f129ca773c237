"""Evidence from rows, and rows by boot."""

from collections.abc import Iterable, Iterator, Mapping
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


def by_boot(*frames: pl.DataFrame | None) -> Iterator[tuple[dict[str, Any], list[Rows]]]:
    """For each machine and boot: `{machine, boot}` and the rows of each frame, in order; a missing frame has none."""
    keys = sorted(
        {k for f in frames if f is not None for k in f.select("machine", "boot").iter_rows()}, key=lambda k: (str(k[0]), k[1] or 0)
    )
    for machine, boot in keys:
        yield {"machine": machine or "", "boot": boot or 0}, [rows(f, machine, boot) for f in frames]


def rows(frame: pl.DataFrame | None, machine: str, boot: int) -> Rows:
    """The rows of one machine and boot by source and line."""
    if frame is None:
        return []
    mine = frame.filter(pl.col("machine").eq_missing(pl.lit(machine)) & pl.col("boot").eq_missing(pl.lit(boot)))
    return mine.sort("source", "line").to_dicts()


def seconds(ts: int | None) -> float | None:
    """Nanoseconds as seconds."""
    return None if ts is None else ts / 1e9
