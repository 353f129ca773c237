"""Pairing by column of the lanes in which every entry has its return and every call stands where it can; other lanes take `Pairing`."""

from collections.abc import Collection

import polars as pl

from tracekit_linux.calls.pairing import BOTH

# The rows `n` and `to` where a call begins and ends, that of the call `above` it, and `by` which row it is closed.
PAIRED = {
    **dict.fromkeys(("n", "to", "above", "by"), pl.UInt32()),
    **{"depth": pl.Int64(), "lane": pl.String(), "lane_assumed": pl.Boolean(), "complete": pl.String()},
}
_KIND, _LANE = pl.col("kind"), pl.col("lane")
_ENTRIES, _RETURNS = ["probe_entry", "sys_enter_ioctl"], ["probe_return", "sys_exit_ioctl"]
_DEEPEST = 1 << 31
_BALANCED = pl.col("fits").all() & pl.col("known").all() & (pl.col("open").min() >= 0) & (pl.col("open").last() == 0)


def paired(rows: pl.DataFrame, returning: Collection[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (the calls of tidy lanes, the rows of the others): saves 5 % of a trace of kprobes.

    `returning`: keys of functions whose returns are recorded. Where a CPU shows tasks by turns, rows do not tell their lanes.
    """
    step = _KIND.is_in(_ENTRIES).cast(pl.Int64) - _KIND.is_in(_RETURNS).cast(pl.Int64)
    returns = _KIND.is_in(["sys_enter_ioctl", "sys_exit_ioctl"]) | (_KIND.str.starts_with("probe") & pl.col("key").is_in(list(returning)))
    fits = returns & (_LANE.null_count() == 0)
    placed = rows.select("n", "lane", "assumed", "key", "rank", "reach", step.alias("step"), fits.alias("fits"), known="is_known")
    placed = placed.with_columns(pl.col("step").cum_sum().over("lane").alias("open"))
    balanced = placed.group_by("lane").agg(_BALANCED.alias("balanced")).filter("balanced")["lane"]
    nested = _nested(placed.filter(_LANE.is_in(balanced.implode())))
    strange = nested.filter(_strange(nested))["lane"].unique()
    tidy = nested.filter(~_LANE.is_in(strange.implode()))
    told = {"above": nested["n"].gather(tidy["above"]), "by": tidy["to"], "lane_assumed": tidy["assumed"], "complete": pl.lit(BOTH)}
    own = tidy.with_columns(**told).select(pl.col(c).cast(kind) for c, kind in PAIRED.items())
    return own, rows.filter(~_LANE.is_in(own["lane"].unique().implode()).fill_null(False))


def _nested(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the calls of balanced lanes in their order: an entry and its return stand at one depth, with no other row of it between."""
    depth = pl.col("open") - (pl.col("step") > 0).cast(pl.Int64)
    spot = _LANE.cast(pl.Categorical).to_physical().cast(pl.Int64) * _DEEPEST + depth  # one number sorts and joins sooner than two columns
    ordered = rows.with_columns(depth.alias("depth"), spot.alias("spot")).sort("spot", maintain_order=True)
    ended = ordered.gather_every(2, 1).select(to="n", returned="key")
    begun = ordered.gather_every(2).hstack(ended).sort("n")
    around = begun.select("n", pl.col("spot") + 1, pl.int_range(pl.len(), dtype=pl.UInt32).alias("above"))
    return begun.join_asof(around, on="n", by="spot", check_sortedness=False)


def _strange(nested: pl.DataFrame) -> pl.Series:
    """Return which calls have the return of another function, or stand below one that cannot call them or is of their own function."""
    outer = nested[["key", "rank", "reach", "above"]]
    found, above = nested["key"] != nested["returned"], nested["above"]
    while above.null_count() < len(above):
        around = outer[above]
        below = (around["rank"] < nested["rank"]) & (nested["rank"] <= around["reach"])
        found |= ((around["key"] == nested["key"]) | ~below).fill_null(False)
        above = around["above"]
    return found
