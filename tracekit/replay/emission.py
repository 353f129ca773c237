"""What models emit, as frames of the declared columns."""

from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter
from typing import Any

import polars as pl

from tracekit.replay.row import Row
from tracekit.types import ENVELOPE

Emitted = tuple[Row, dict[str, Any]]  # the row where it stands, and the values of its own columns
_CHUNKS = 64  # of a frame: what polars does with a frame takes longer for each
_MANY = 8192  # rows from which a column of one value is kept as one value, which takes no memory for a row
_FEW = 30  # rows up to which a frame is made sooner row by row than column by column


def fitting_frame(emitted: Sequence[Emitted], schema: Mapping[str, pl.DataType], moved: Collection[str]) -> tuple[pl.DataFrame, list[Row]]:
    """Return (the frame of what was emitted, the rows left out since a number fits no column): a bad number costs its own row."""
    try:
        return whole_frame(emitted, schema, moved), []
    except (pl.exceptions.ComputeError, OverflowError):
        fitting = [e for e in emitted if _all_fit(e, schema)]
        if len(fitting) == len(emitted):
            raise
        unfit = [e[0] for e in emitted if not _all_fit(e, schema)]
        return whole_frame(fitting, schema, moved) if fitting else pl.DataFrame(schema=schema), unfit


def _all_fit(emitted: Emitted, schema: Mapping[str, pl.DataType]) -> bool:
    return all(_fits(v, schema[name]) for name, v in emitted[1].items())


def _fits(value: Any, kind: pl.DataType) -> bool:
    """Return whether a whole number fits the type of its column."""
    if isinstance(value, list | tuple) and isinstance(kind, pl.List):
        return all(_fits(v, kind.inner) for v in value)  # type: ignore[arg-type]
    if not isinstance(value, int) or not kind.is_integer():
        return True
    return 0 <= value < 1 << 64 if kind.is_unsigned_integer() else -(1 << 63) <= value < 1 << 63


def whole_frame(emitted: Sequence[Emitted], schema: Mapping[str, pl.DataType], moved: Collection[str]) -> pl.DataFrame:
    """Build the frame of what was emitted, column by column; place columns are the row's unless they were `moved`."""
    rows, values = zip(*emitted, strict=True)
    cells = {**_own(values, [name for name in schema if name not in ENVELOPE]), **_places(rows)}
    for name in moved:
        cells[name] = [v.get(name, place) for v, place in zip(values, cells[name], strict=True)]
    return _frame(cells, schema)


def frame_by_columns(rows: Sequence[Row], columns: Mapping[str, Sequence[Any]], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Build the frame of rows whose own values are columns. Errors: OverflowError, ComputeError where a number fits no column."""
    return _frame({**dict.fromkeys(schema, [None] * len(rows)), **_places(rows), **columns}, schema)


def _frame(cells: Mapping[str, Sequence[Any]], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    length = len(cells[next(iter(schema))])
    if length <= _FEW:
        told = zip(*map(cells.__getitem__, schema), strict=True)
        return pl.from_dicts([dict(zip(schema, row, strict=True)) for row in told], schema=dict(schema), strict=False)
    if length < _MANY:
        return pl.DataFrame([_column(name, cells[name], kind) for name, kind in schema.items()])
    same = {name for name in schema if _plain(name, cells[name][0]) and cells[name].count(cells[name][0]) == length}
    frame = pl.DataFrame([_column(name, cells[name], kind) for name, kind in schema.items() if name not in same])
    return frame.with_columns(pl.lit(cells[name][0], schema[name]).alias(name) for name in same).select(*schema)


def _plain(name: str, cell: Any) -> bool:
    """Return whether a cell's value may stand for a column of many rows: it fits any column of its kind."""
    return cell is None or isinstance(cell, str | bool) or name == "boot"


def _own(values: Sequence[dict[str, Any]], columns: Sequence[str]) -> dict[str, Sequence[Any]]:
    """Return the values column by column, null where one was not given. All rows of a table are emitted with the same keys, as a rule."""
    keys = tuple(values[0])
    if all(tuple(v) == keys for v in values):
        given = dict(zip(keys, zip(*[v.values() for v in values], strict=True), strict=True))
        return {name: given[name] if name in given else [None] * len(values) for name in columns}
    return {name: [v.get(name) for v in values] for name in columns}


def _places(rows: Sequence[Row]) -> dict[str, Sequence[Any]]:
    """Return the envelope columns of the rows; a row of a test may lack some."""
    try:
        found = list(map(attrgetter(*ENVELOPE), rows))
    except AttributeError:
        found = [tuple(getattr(row, name, None) for name in ENVELOPE) for row in rows]
    return dict(zip(ENVELOPE, zip(*found, strict=True), strict=True))


def _column(name: str, cells: Sequence[Any], kind: pl.DataType) -> pl.Series:
    """Build one column; nested cells are converted all at once, which the constructor of a series does one by one."""
    if isinstance(kind, pl.List) and isinstance(kind.inner, pl.Struct) and None not in cells:
        items = [item for cell in cells for item in cell]
        if items and all(type(item) is dict for item in items):
            return _lists(name, cells, items, kind.inner)
    if kind.is_nested() and cells:
        return pl.from_dicts([{name: c} for c in cells], schema={name: kind}, strict=False)[name]
    made = pl.Series(name, cells, dtype=kind, strict=False)
    if kind.is_integer() and made.null_count() > cells.count(None):
        raise OverflowError(f"{name} has a number that does not fit")
    return made


def _lists(name: str, cells: Sequence[Any], items: Sequence[Mapping[str, Any]], kind: pl.Struct) -> pl.Series:
    """Build a column of lists of structs, each field of all structs (`items`) at once."""
    fields = pl.DataFrame(schema=kind.to_schema()).schema
    flat = pl.DataFrame([_column(f, [item.get(f) for item in items], of) for f, of in fields.items()])
    numbers = pl.Series("n", [n for n, cell in enumerate(cells) for _ in cell], dtype=pl.UInt32)
    lists = flat.to_struct(name).to_frame().hstack([numbers]).group_by("n", maintain_order=True).agg(name)
    every = pl.DataFrame({"n": pl.int_range(len(cells), dtype=pl.UInt32, eager=True)})
    return every.join(lists, on="n", how="left", maintain_order="left").select(pl.col(name).fill_null([]))[name]


def joined(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Concatenate the frames that have rows."""
    filled = [f for f in frames if f.height]
    return pl.concat(filled, rechunk=len(filled) > _CHUNKS) if len(filled) > 1 else (filled or frames)[0]
