"""Stamps of the envelopes as integers: how each printed form becomes ns on its own clock, and what that clock is."""

from collections.abc import Callable

import polars as pl

Convert = Callable[[pl.Expr], pl.Expr]
_ISO_ZONE = r"([+-])([0-9]{2}):?([0-9]{2})$"


def seconds(text: pl.Expr) -> pl.Expr:
    """Return `12.345678` (any number of decimals up to nine) as ns, without going through floating point."""
    dot = text.str.find(".", literal=True).cast(pl.Int64)
    decimals = text.str.len_bytes().cast(pl.Int64) - dot - 1
    digits = text.str.replace(".", "", literal=True).str.to_integer(strict=False)
    return digits * pl.lit(10, dtype=pl.Int64).pow(9 - decimals)


def milliseconds(text: pl.Expr) -> pl.Expr:
    """Return `269.983` (thousandths of a second, with decimals) as ns."""
    return seconds(text) // 1000


def scaled(factor: int) -> Convert:
    """Return whole numbers of a unit of `factor` ns as ns."""
    return lambda text: text.str.to_integer(strict=False) * factor


def civil(layout: str, prefix: str = "") -> Convert:
    """Return a date and time in `layout` (chrono's), fraction and zone optional, as ns since 1970; `prefix` supplies a missing year."""

    def convert(text: pl.Expr) -> pl.Expr:
        plain = text.str.replace(",", ".", literal=True).str.replace("T", " ", literal=True)
        bare = pl.lit(prefix) + plain.str.replace(r"(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?$", "")
        whole = bare.str.to_datetime(layout, strict=False, time_unit="ns")
        fraction = plain.str.extract(r":[0-9]{2}\.([0-9]{1,9})").str.pad_end(9, "0").str.to_integer(strict=False).fill_null(0)
        return whole.cast(pl.Int64) + fraction - _zone(plain)

    return convert


def _zone(text: pl.Expr) -> pl.Expr:
    """Return the offset from UTC in ns; 0 where none is printed."""
    parts = text.str.extract_groups(_ISO_ZONE).struct
    minutes = parts.field("2").str.to_integer(strict=False) * 60 + parts.field("3").str.to_integer(strict=False)
    return pl.when(parts.field("1") == "-").then(-minutes).otherwise(minutes).fill_null(0) * 60_000_000_000


def timeless(text: pl.Expr) -> pl.Expr:
    """Return a stamp that orders lines but is no time: counters, cycles, differences to the line before."""
    return pl.lit(None, dtype=pl.Int64)


# Field of an envelope rule -> how it becomes ns, and what the clock is called. Year-less forms are put in 1972, a leap year.
STAMPS: dict[str, tuple[Convert, str]] = {
    "stamp": (seconds, "seconds since boot"),
    "stamp_short": (seconds, "seconds since boot"),
    "unix": (seconds, "unix time"),
    "stamp_us": (scaled(1_000), "microseconds since the buffer's start"),
    "stamp_ms": (milliseconds, "milliseconds since the buffer's start"),
    "iso": (civil("%Y-%m-%d %H:%M:%S"), "wall clock"),
    "iso_comma": (civil("%Y-%m-%d %H:%M:%S"), "wall clock"),
    "ctime": (civil("%a %b %e %H:%M:%S %Y"), "wall clock"),
    "wall": (civil("%Y %b %e %H:%M:%S", "1972 "), "wall clock without year"),
    "monthday": (civil("%Y-%m-%d %H:%M:%S", "1972-"), "wall clock without year"),
    "time": (civil("%Y-%m-%d %H:%M:%S", "1972-01-01 "), "time of day"),
    "minute": (timeless, "minutes and differences"),
    "delta": (timeless, "minutes and differences"),
    "tsc": (timeless, "processor cycles"),
    "ticks": (timeless, "a counter"),
}
