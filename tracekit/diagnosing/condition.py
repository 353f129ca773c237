"""Conditions on the rows of a table: a polars expression, or a function whose parameters name columns.

An expression costs polars the same for two rows as for thousands: some microseconds for each of its parts. A function is called for each
row where there are few, and for each set of values that differ where there are many.
"""

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any, cast

import polars as pl

FEW = 4096  # rows of which each is looked at
Condition = pl.Expr | Callable[..., bool] | None  # None: every row
Values = Callable[[pl.DataFrame, str], Sequence[Any]]


def columns(condition: Condition) -> tuple[str, ...]:
    """Return the columns that a condition reads."""
    if condition is None:
        return ()
    if isinstance(condition, pl.Expr):
        return tuple(condition.meta.root_names())
    code = cast(FunctionType, condition).__code__
    return code.co_varnames[: code.co_argcount]


def values(frame: pl.DataFrame, column: str) -> Sequence[Any]:
    """Return a column as a list."""
    return frame.get_column(column).to_list()


def met(condition: pl.Expr, frame: pl.DataFrame) -> bool:
    """Return whether an expression is true for a row of a table."""
    return frame.height > 0 and bool(frame.select_seq(condition).to_series().any())


def holds(condition: Condition, frame: pl.DataFrame, listed: Values = values) -> bool:
    """Return whether a condition holds for a row of a table. `listed`: what gives a column of it as a list."""
    if condition is None:
        return frame.height > 0
    if isinstance(condition, pl.Expr):
        return met(condition, frame)
    names = columns(condition)
    if frame.height > FEW:
        distinct = frame.select(names).unique()
        return any(map(condition, *(distinct.get_column(n).to_list() for n in names)))
    return any(map(condition, *(listed(frame, n) for n in names)))


def rows_where(frame: pl.DataFrame | None, condition: Condition) -> list[dict[str, Any]]:
    """Return the rows of a table for which a condition holds; a missing table has none."""
    if frame is None:
        return []
    if condition is None or isinstance(condition, pl.Expr):
        return (frame if condition is None else frame.filter(condition)).to_dicts()
    names = columns(condition)
    if frame.height > FEW:
        distinct = frame.select(names).unique()
        held = pl.Series([condition(*row) for row in distinct.iter_rows()], dtype=pl.Boolean)
        frame = frame.join(distinct.filter(held), on=names, how="semi", nulls_equal=True, maintain_order="left")
        return frame.to_dicts()
    chosen = [n for n, row in enumerate(zip(*(values(frame, c) for c in names), strict=True)) if condition(*row)]
    if len(chosen) == 1:
        return [frame.row(chosen[0], named=True)]
    told = frame.to_dicts() if chosen else []
    return [told[n] for n in chosen]
