"""The distribution of faults in a batch: by release, by device, by day, and by case."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from tracekit.batch.results import Results
from tracekit.fleet import FleetCase

MOST = 10_000  # cases that are named; a query has all
ALL = "*"  # stands for all devices

_DEVICE = pl.coalesce(*(pl.when(pl.col(c) != "").then(pl.col(c).cast(pl.String)) for c in ("device", "driver", "role")), pl.lit(""))
_DEVICE = _DEVICE.alias("device")
_KERNEL = pl.col("kernel").fill_null("")  # a category: texts are for the few rows that are counted
_TOLD = ("group", "code", "severity", "grade", "case", "machine", "subject", "first_seen")


def kernels(placed: pl.DataFrame) -> dict[str, int]:
    """Count the machines, and the cases without a host name, by their kernel's release."""
    counts = placed.group_by(_KERNEL).agg(pl.col("place").n_unique().alias("n"))
    return dict(counts.with_columns(pl.col("kernel").cast(pl.String)).sort("kernel").iter_rows())


def grid(group: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Count the places of a fault by device and release: all devices together first, then that of most places."""
    parts = (group.select("place", _KERNEL, device) for device in (pl.lit(ALL).alias("device"), _DEVICE))
    counts = [part.group_by("device", "kernel").agg(pl.col("place").n_unique().alias("n")) for part in parts]
    cells = pl.concat(counts).with_columns(pl.col("kernel").cast(pl.String))
    found: dict[str, dict[str, int]] = {}
    for device, kernel, n in cells.sort("device", "kernel").iter_rows():
        found.setdefault(device, {})[kernel] = n
    return {device: found[device] for device in sorted(found, key=lambda d: (d != ALL, -sum(found[d].values()), d))}


def days(group: pl.DataFrame) -> dict[str, int]:
    """Count the places of a fault by the day of its first line."""
    day = pl.col("first_seen").str.slice(0, 10).alias("day")
    counts = group.select(day, "place").drop_nulls("day").group_by("day").agg(pl.col("place").n_unique().alias("n"))
    return dict(counts.sort("day").iter_rows())


def cases(found: pl.DataFrame, results: Results) -> tuple[list[FleetCase], int]:
    """Return the cases that have a fault, the worst first, and how many are left out."""
    shared = ("group", "case", "machine", "subject")
    order = found.select(*shared, "severity", "grade").with_row_index("at").sort("severity", "grade", maintain_order=True)
    rows = order.group_by(*shared, maintain_order=True).agg(pl.col("at").first(), pl.len().alias("findings"))
    kept = rows.head(MOST)
    first = found[kept["at"]].select(*_TOLD, _KERNEL, _DEVICE, "result", "finding").hstack(kept.select("findings"))
    few = results.table("findings").join(first.lazy().select("result", "finding"), on=("result", "finding"), how="semi")
    told = few.select("result", "finding", "summary").collect(engine="streaming")
    at: Mapping[str, Any] = {"on": ("result", "finding"), "how": "left", "maintain_order": "left"}
    whole = first.join(told, **at).join(first_lines(first, results).drop("text"), **at).drop("result", "finding")
    whole = whole.with_columns(pl.col("source", "machine", "subject", "kernel").cast(pl.String).fill_null(""))
    return [FleetCase(**row) for row in whole.iter_rows(named=True)], rows.height - kept.height


def first_lines(findings: pl.DataFrame, results: Results) -> pl.DataFrame:
    """Return (result, finding, source, line, text) of the first line that each of some findings rests on."""
    at: Mapping[str, Any] = {"on": ("result", "finding"), "how": "semi", "maintain_order": "left"}
    few = results.table("evidence").join(findings.lazy().select("result", "finding"), **at)
    lines = few.select("result", "finding", "source", "line", "text").collect(engine="streaming")
    return lines.unique(("result", "finding"), keep="first", maintain_order=True)
