"""The time between two lines, as precise as their stamps allow.

A stamp is cut to what its writer prints: whole seconds in syslog and `journalctl -o short`, milliseconds in QEMU's and libvirt's logs,
microseconds in printk's and ftrace's. A distance is only known to one such step, and no order finer than that can be read from stamps.
"""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import polars as pl

SECOND = 1_000_000_000  # ns: the coarsest stamp of a wrapper
_STEPS = (SECOND, 1_000_000, 1_000, 1)
_FRACTION = r"[0-9][.,]([0-9]{1,9})"


def tick(row: Any) -> int:
    """Return the resolution of a row's stamp in ns: the last digit that is printed, or that the time has."""
    named = row.get if isinstance(row, Mapping) else partial(getattr, row)
    ts, raw = named("ts", None) or 0, named("ts_raw", None)
    if not raw:
        return SECOND if ts % SECOND == 0 else 1
    fraction = re.search(_FRACTION, raw)
    printed = 10 ** (9 - len(fraction[1])) if fraction else SECOND
    return min(printed, next(step for step in _STEPS if ts % step == 0))


def tick_of(ts: pl.Expr, raw: pl.Expr) -> pl.Expr:
    """Return the commands for columns."""
    decimals = raw.str.extract(_FRACTION).str.len_bytes().fill_null(0).cast(pl.Int64)
    printed = pl.lit(10, dtype=pl.Int64).pow(9 - decimals)
    held = pl.coalesce([pl.when(ts % step == 0).then(step) for step in _STEPS])
    return pl.min_horizontal(printed, held)


def apart(earlier: Any, later: Any) -> tuple[int, int] | None:
    """Return how far row `later` is behind row `earlier` of the same source, at least and at most, in ns.

    None where one has no time, or where the clock was set back between them: the lines know their order better.
    """
    begin, end = _time(earlier), _time(later)
    if begin is None or end is None:
        return None
    step = min(tick(earlier), tick(later))
    distance = end - begin
    return (max(distance - step, 0), distance + step) if distance > -step else None


def within(earlier: Any, later: Any, ms: int) -> bool | None:
    """Return whether two rows may be no more than `ms` apart; None where their stamps are too coarse for that."""
    span = apart(earlier, later)
    if span is None or min(tick(earlier), tick(later)) > ms * 1_000_000 >= span[0]:
        return None
    return span[0] <= ms * 1_000_000


def _time(row: Any) -> int | None:
    ts = row["ts"] if isinstance(row, Mapping) else row.ts
    return None if ts is None else int(ts)
