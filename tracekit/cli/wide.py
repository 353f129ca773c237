"""The answer to a query as a table for people: addresses in hexadecimal; on a terminal cells wrap, and where columns are too many
for that, each row is a block of its own."""

from collections.abc import Callable
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from tracekit.unseen import visible

if TYPE_CHECKING:
    import polars as pl

_KERNEL = 0xFF00_0000_0000_0000  # from here on addresses are the kernel's: x86 with five levels of tables begins lowest
_COLUMN = 14  # columns of the terminal below which cells of words are hard to read
_LEAST = 20  # of a value in a block


def printed(found: "pl.DataFrame", width: int | None) -> str:
    """Return a table as text; `width`: columns of the terminal, without a bound if null."""
    found = found.select(_readable(s) for s in found.iter_columns())
    whole = _boxed(found, 10_000)
    if width is None or _widest(whole) <= width:
        return whole
    if found.width * _COLUMN <= width and _widest(narrow := _boxed(found, width)) <= width:
        return narrow
    return "\n".join(_block(number, row, width) for number, row in enumerate(found.iter_rows(named=True), 1))


def _readable(column: "pl.Series") -> "pl.Series":
    """Return a column of kernel addresses, or of nested values, as people read them; others as they are."""
    import polars as pl

    addresses = column.dtype == pl.UInt64 and (column.max() or 0) >= _KERNEL  # type: ignore[operator]
    if not addresses and not column.dtype.is_nested():
        return column
    values: list[Any] = [v.to_list() if isinstance(v, pl.Series) else v for v in column]
    said: Callable[[Any], str] = hex if addresses else _told
    return pl.Series(column.name, [None if v is None else said(v) for v in values], dtype=pl.String)


def _told(value: Any) -> str:
    """Return a nested value as text: an argument of a call as `name=text`, as the log prints it."""
    if isinstance(value, list):
        return ", ".join(map(_told, value))
    if isinstance(value, dict):
        pair = value.keys() >= {"name", "text"}
        return f"{value['name']}={value['text']}" if pair else f"{{{', '.join(f'{k}={_told(v)}' for k, v in value.items())}}}"
    return hex(value) if isinstance(value, int) and value >= _KERNEL else "" if value is None else str(value)


def _boxed(found: "pl.DataFrame", width: int) -> str:
    import polars as pl

    with pl.Config(
        tbl_rows=-1,
        tbl_cols=-1,
        fmt_str_lengths=400,
        tbl_width_chars=width,
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
    ):
        return visible(f"{found}\n", keep="\n")


def _widest(text: str) -> int:
    return max(map(len, text.splitlines()), default=0)


def _block(number: int, row: dict[str, Any], width: int) -> str:
    """Return a row as lines `column  value`; values wrap beside their column."""
    names = max(len(visible(name)) for name in row) + 2
    lines = [f"row {number}"]
    for name, value in row.items():
        text = visible("" if value is None else str(value))
        parts = wrap(text, max(_LEAST, width - names - 2), break_on_hyphens=False) or [""]
        lines += [f"  {visible(name) if i == 0 else '':<{names}}{part}".rstrip() for i, part in enumerate(parts)]
    return "\n".join(lines) + "\n"
