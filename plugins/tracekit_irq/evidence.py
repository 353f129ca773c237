"""Evidence from rows, and rows in order."""

from operator import itemgetter
from typing import Any

import polars as pl

MOST = 24  # lines shown of one kind; the count is in the finding's values

Rows = list[dict[str, Any]]


def shown(rows: Rows) -> Rows:
    """Return the first rows, as many as a finding shows."""
    return rows[:MOST]


def sorted_rows(frame: pl.DataFrame | None) -> Rows:
    """Return the rows of a table by source and line; a missing table has none."""
    return [] if frame is None else sorted(frame.to_dicts(), key=itemgetter("source", "line"))


def seconds(ts: int | None) -> float | None:
    """Return nanoseconds as seconds."""
    return None if ts is None else ts / 1e9
