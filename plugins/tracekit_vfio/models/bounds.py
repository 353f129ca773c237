"""Inner bounds of windows: how long no handler was set and no vectors were allocated, where the calls inside are recorded."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import polars as pl

from tracekit import Inputs, Row, rows_of, tick

COARSE = 1_000_000  # ns: from such a step of the stamps on, it counts
NEEDS = ("op_vector", "op_free", "op_alloc", "vector_alloc", "vector_activate")
Rows = Sequence[Row]


def with_bounds(windows: pl.DataFrame, tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Fill `no_handler` and `no_vectors`. From call to return a window is an upper bound; the calls inside narrow it."""
    if windows.is_empty() or not any(name in tables for name in ("op_vector", "op_free")):
        return windows
    operations = {name: Many(tables[name]) for name in NEEDS if name in tables}
    bounds = [_bounds(w, operations) for w in windows.iter_rows(named=True)]
    handlers, vectors = zip(*bounds, strict=True)
    return windows.with_columns(
        pl.Series("no_handler", handlers, dtype=pl.Int64),
        pl.Series("no_vectors", vectors, dtype=pl.Int64),
    )


def fill(windows: Sequence[tuple[Row, dict[str, Any]]], tables: Inputs) -> None:
    """Do the same with a few windows."""
    if not tables.height("op_vector", "op_free"):
        return
    operations = {name: Few(rows) for name in NEEDS if (rows := tables.rows(name))}
    for row, w in windows:
        place = {c: getattr(row, c) for c in ("source", "tid", "line", "ts", "ts_raw")}
        w["no_handler"], w["no_vectors"] = _bounds({**w, **place}, operations)


def _bounds(w: Mapping[str, Any], operations: Mapping[str, "Operations"]) -> tuple[int | None, int | None]:
    if w["disable_ts"] is None or w["enable_ts"] is None or w["enable_line"] is None or coarse(w):
        return None, None
    down, up = (w["line"], w["disable_end"] or w["line"]), (w["enable_line"], w["enable_end"] or w["enable_line"])
    taken = {v.vector: v.ts for v in _of(operations, "op_vector", w, down) if v.fd is not None and v.fd < 0}
    given = {v.vector: _set(v, operations, w) for v in _of(operations, "op_vector", w, up) if _wires(v)}
    silent = [end - begin for v, begin in taken.items() if (end := given.get(v)) is not None and begin is not None]
    freed = [f.ts for f in _of(operations, "op_free", w, down) if f.ts is not None]
    made = [a.ts_end for a in _of(operations, "op_alloc", w, up) if a.ts_end is not None and (a.ret or 0) > 0]
    return max(silent, default=None), made[0] - freed[0] if freed and made else None


def _wires(v: Row) -> bool:
    return v.vector is not None and v.fd is not None and v.fd >= 0 and (v.ret is None or v.ret >= 0)


def _set(v: Row, operations: Mapping[str, "Operations"], w: Mapping[str, Any]) -> int | None:
    """When the handler of a vector was set: at the return of the call, else where its CPU vector is allocated in it, else at its entry."""
    if v.ts_end is not None:
        return int(v.ts_end)
    inside = (v.line, w["enable_end"] or v.line)
    events = [e for name in ("vector_alloc", "vector_activate") for e in _of(operations, name, w, inside) if e.irq == v.irq]
    first = min(events, key=lambda e: e.line, default=v)
    return None if first.ts is None else int(first.ts)


def _of(operations: Mapping[str, "Operations"], name: str, w: Mapping[str, Any], lines: tuple[int, int]) -> Rows:
    """Return the rows of the window's task between two lines of its source."""
    return operations[name].between(w["source"], w["tid"], *lines) if name in operations else []


def coarse(row: Any) -> int:
    """Return the step of a row's stamp in ns where that is long beside a window, else 0."""
    step = tick(row)
    return step if step >= COARSE else 0


class Operations(Protocol):
    """The rows of a table by source and task, in the order of their lines."""

    def between(self, source: str, tid: int | None, first: int, last: int) -> Rows:
        """Return the rows of a task from one line to another one, both included."""


class Few:
    """Hold the rows of a table: few enough to look at each."""

    def __init__(self, rows: Rows) -> None:
        self._rows = sorted(rows, key=lambda row: int(row.line))

    def between(self, source: str, tid: int | None, first: int, last: int) -> Rows:
        """Return the rows of a task from one line to another one, both included."""
        return [row for row in self._rows if first <= row.line <= last and row.source == source and row.tid == tid]


class Many:
    """Hold the rows of a table by source and task, in the order of their lines: thousands of windows look for theirs."""

    def __init__(self, table: pl.DataFrame) -> None:
        self._table = table

    @cached_property
    def _parts(self) -> Mapping[tuple[Any, ...], tuple[list[int], pl.DataFrame]]:
        """Return lines and rows by source and task."""
        parts = self._table.sort("line").partition_by("source", "tid", as_dict=True, maintain_order=True)
        return {key: (rows["line"].to_list(), rows) for key, rows in parts.items()}

    def between(self, source: str, tid: int | None, first: int, last: int) -> Rows:
        """Return the rows of a task from one line to another one, both included."""
        lines, rows = self._parts.get((source, tid), ([], self._table))
        begin, end = bisect_left(lines, first), bisect_right(lines, last)
        return list(rows_of(rows.slice(begin, end - begin))) if begin < end else []
