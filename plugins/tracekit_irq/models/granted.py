"""Many events of vectors that were all granted, by column: without a failure there is nothing to follow but who holds which vector."""

from collections.abc import Mapping

import polars as pl

from tracekit import ENVELOPE, SWAPPED, Inputs
from tracekit_irq.machines.vector_pool import OK

TAKEN = ("vector_alloc", "vector_alloc_managed")
READ = (*TAKEN, "vector_clear", "vector_activate", "vector_deactivate", "vector_reserve", "vector_reserve_managed")
_PLACE = (*ENVELOPE, "irq")


def all_granted(tables: Inputs) -> bool:
    """Return whether one source has no event but those of this module, and none of a failure."""
    tried = [tables[name] for name in (*TAKEN, "vector_reserve_managed") if name in tables]
    numbers = [f[c] for f in tried for c in ("irq", "ret", "vector") if c in f.columns]
    return (
        len(set().union(*(tables.sources(name) for name in tables))) == 1
        and not any(s.null_count() for s in numbers)
        and all((f["ret"] >= 0).all() for f in tried)
        and tables["vector_alloc"]["vector"].is_between(0, SWAPPED, closed="left").all()
    )


def predictions(tables: Inputs, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Return what a healthy pool predicts of each allocation: that it is granted."""
    told = {"operation": "vector_activate", "rule": "VectorPool.activate", "predicted": str(OK), "observed": str(OK), "basis": "healthy"}
    columns = {
        **{name: pl.col(name) for name in ENVELOPE},
        **{name: pl.lit(text) for name, text in told.items()},
        "subject": pl.format("irq {}", "irq"),
        "agrees": pl.lit(True),
    }
    given = tables["vector_alloc"].sort("line", maintain_order=True)
    return given.select(columns.get(name, pl.lit(None)).cast(kind).alias(name) for name, kind in schema.items())


def lives(tables: Inputs, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Return the time in which each irq holds a vector: those that end in the order of their ends, then those that are open."""
    taken = [tables[name].select(*_PLACE, pl.col("vector").cast(pl.Int64), pl.lit(False).alias("ends")) for name in TAKEN if name in tables]
    ended = [tables["vector_clear"].select(*_PLACE, pl.lit(True).alias("ends"))] if "vector_clear" in tables else []
    events = pl.concat([*taken, *ended], how="diagonal").sort("line", maintain_order=True)
    spans = events.with_columns(pl.col("ends").cum_sum(reverse=True).over("irq").alias("span"), pl.int_range(pl.len()).alias("n"))
    end = pl.when(pl.col("ends"))
    held = spans.with_columns(
        end.then("line").max().over("irq", "span").alias("line_end"),
        end.then("ts").max().over("irq", "span").alias("ts_end"),
        pl.col("n").min().over("irq", "span").alias("first"),
    )
    born = held.filter(~pl.col("ends")).unique(["irq", "span"], keep="last", maintain_order=True)
    return born.sort(pl.col("line_end").is_null(), "line_end", "first").select(pl.col(name).cast(kind) for name, kind in schema.items())
