"""What the function tracer prints of functions that tracekit knows, as the rows that probes at their entries give: `probe_entry`."""

from collections.abc import Mapping

import polars as pl

from tracekit_linux.calls.functions import FUNCTIONS

NEEDS = ("function_call", "function_event")
_OTHERS = ("probe_entry", "graph_entry", "graph_leaf")  # tell of the same call, and more
_BARE = pl.col("function").str.split(".").list.first()


def as_traced(tables: Mapping[str, pl.DataFrame]) -> Mapping[str, pl.DataFrame]:
    """Return the tables, with the rows of the function tracer among those of probes; of a function that something else shows, none."""
    told = [_known(tables[name]) for name in NEEDS if name in tables]
    if not told:
        return tables
    shown = [tables[name].select("source", _BARE) for name in _OTHERS if name in tables]
    calls = pl.concat(told, how="diagonal")
    if shown:
        calls = calls.join(pl.concat(shown).unique(), on=["source", "function"], how="anti", maintain_order="left")
    calls = calls.with_columns(pl.lit(None, pl.String).alias("probe"), pl.lit(None, pl.UInt64).alias("address"))
    entries = [tables["probe_entry"]] if "probe_entry" in tables else []
    return {**tables, "probe_entry": pl.concat([*entries, calls], how="diagonal")} if calls.height else tables


def _known(calls: pl.DataFrame) -> pl.DataFrame:
    return (
        calls.with_columns(_BARE)
        .filter(pl.col("function").is_in(list(FUNCTIONS)))
        .drop("offset", "module", "address", "caller", strict=False)
    )
