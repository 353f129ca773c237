"""Rows: the lines of a table as a model hears them, one attribute a column."""

from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import repeat
from operator import attrgetter
from types import SimpleNamespace
from typing import Any

import polars as pl

# A row as a model hears it: one attribute a column (`e.irq`, `e.line`); made of a table it is a tuple with names, which is cheaper.
Row = SimpleNamespace
ROWS_AT_ONCE = 8192
_FEW = 16  # rows up to which polars makes tuples of them sooner than lists of their columns: saves 5 % of a small log in a batch


def rows_of(frame: pl.DataFrame) -> Iterator[Row]:
    """Return the rows of a frame in its order, with one attribute per column."""
    if frame.is_empty():
        return
    make = _row_type(tuple(frame.columns))
    if frame.height <= _FEW:
        yield from map(make, frame.rows())
        return
    for part in frame.iter_slices(ROWS_AT_ONCE):
        yield from map(make, zip(*[c.to_list() for c in part.get_columns()], strict=True))  # `rows` of a frame takes twice as long


@lru_cache(maxsize=1024)
def _row_type(columns: tuple[str, ...]) -> Callable[[tuple[Any, ...]], Row]:
    """Return the type of a row. Tuples have methods `count` and `index`; a table without such columns must not seem to have them."""
    base = namedtuple("Row", columns)  # type: ignore[misc]
    kind = type("Row", (base,), {"__slots__": (), **{n: None for n in ("count", "index") if n not in columns}})
    return partial(tuple.__new__, kind)  # `_make` is a function of Python: saves 2 % of a trace of calls


def ordered(tables: Mapping[str, Sequence[Row]], merged: bool) -> Iterator[tuple[str, Row]]:
    """Yield the rows of several tables in the order of the stream: by line, by time where sources were merged; a span counts by its end."""
    heads: list[Any] = []
    rows: list[tuple[str, Row]] = []
    for name, mine in tables.items():
        lines, times = _ends(mine, "line"), _ends(mine, "ts") if merged else []
        heads += zip([-1 if t is None else t for t in times], lines, strict=True) if merged else lines
        rows += zip(repeat(name), mine)
    yield from map(rows.__getitem__, sorted(range(len(rows)), key=heads.__getitem__))


def _ends(rows: Sequence[Row], column: str) -> list[Any]:
    """Return where or when each row ends; a row that is no span ends where it begins."""
    begins = list(map(attrgetter(column), rows))
    if not rows or not hasattr(rows[0], f"{column}_end"):
        return begins
    return [begin if end is None else end for begin, end in zip(begins, map(attrgetter(f"{column}_end"), rows), strict=True)]


def ordered_by_frames(frames: Mapping[str, pl.DataFrame], merged: bool) -> Iterator[tuple[str, Row]]:
    """Yield the same as `ordered` of many rows: frames are sorted first, so that few rows at a time are Python's."""
    heads: list[pl.DataFrame] = []
    rows: list[tuple[str, Iterator[Row]]] = []
    for i, (name, frame) in enumerate(frames.items()):
        keys = frame.select(
            pl.coalesce([c for c in ("ts_end", "ts") if c in frame.columns]).fill_null(-1).alias("ts") if merged else pl.lit(0).alias("ts"),
            pl.coalesce([c for c in ("line_end", "line") if c in frame.columns]).alias("line"),
        )
        order = keys.select(pl.arg_sort_by("ts", "line", maintain_order=True)).to_series()
        if not order.is_sorted():  # most tables are in their order already: none is copied in vain
            keys, frame = keys[order], frame[order]
        heads.append(keys.with_columns(pl.lit(i, dtype=pl.Int32).alias("frame")))
        rows.append((name, rows_of(frame)))
    whose = pl.concat(heads).sort("ts", "line", maintain_order=True)["frame"]
    for i in whose:
        name, mine = rows[i]
        yield name, next(mine)
