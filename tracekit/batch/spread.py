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
_KERNEL = pl.col("kernel").cast(pl.String).fill_null("")
_TOLD = ("group", "code", "severity", "grade", "case", "machine", "subject", "first_seen")


def kernels(placed: pl.DataFrame) -> dict[str, int]:
    """Count the machines, and the cases without a host name, by their kernel's release."""
    counts = placed.group_by(pl.col("kernel").fill_null("")).agg(pl.col("place").n_unique().alias("n"))
    return dict(counts.with_columns(_KERNEL).sort("kernel").iter_rows())


def grid(group: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Count the places of a fault by device and release: all devices together first, then that of most places."""
    whole = group.with_columns(_KERNEL, pl.lit(ALL).alias("device"))
    cells = pl.concat([whole, group.with_columns(_KERNEL, _DEVICE)]).group_by("device", "kernel").agg(pl.col("place").n_unique().alias("n"))
    found: dict[str, dict[str, int]] = {}
    for device, kernel, n in cells.sort("device", "kernel").iter_rows():
        found.setdefault(device, {})[kernel] = n
    return {device: found[device] for device in sorted(found, key=lambda d: (d != ALL, -sum(found[d].values()), d))}


def days(group: pl.DataFrame) -> dict[str, int]:
    """Count the places of a fault by the day of its first line."""
    seen = group.filter(pl.col("first_seen").is_not_null()).group_by(pl.col("first_seen").str.slice(0, 10).alias("day"))
    return dict(seen.agg(pl.col("place").n_unique().alias("n")).sort("day").iter_rows())


def cases(found: pl.DataFrame, results: Results) -> tuple[list[FleetCase], int]:
    """Return the cases that have a fault, the worst first, and how many are left out."""
    shared = ("group", "case", "machine", "subject")
    order = found.select(*shared, "severity", "grade").with_row_index("at").sort("severity", "grade", maintain_order=True)
    rows = order.group_by(*shared, maintain_order=True).agg(pl.col("at").first(), pl.len().alias("findings"))
    kept = rows.head(MOST)
    first = found[kept["at"]].select(*_TOLD, _KERNEL, _DEVICE, "result", "finding").hstack(kept.select("findings"))
    few = results.table("findings").join(first.lazy().select("result", "finding"), on=("result", "finding"), how="semi")
    told = few.select("result", "finding", "summary").collect()
    at: Mapping[str, Any] = {"on": ("result", "finding"), "how": "left", "maintain_order": "left"}
    whole = first.join(told, **at).join(first_lines(first, results).drop("text"), **at).drop("result", "finding")
    whole = whole.with_columns(pl.col("source", "machine", "subject").cast(pl.String).fill_null(""))
    return [FleetCase(**row) for row in whole.iter_rows(named=True)], rows.height - kept.height


def first_lines(findings: pl.DataFrame, results: Results) -> pl.DataFrame:
    """Return (result, finding, source, line, text) of the first line that each of some findings rests on."""
    few = results.table("evidence").join(findings.lazy().select("result", "finding"), on=("result", "finding"), how="semi")
    lines = few.select("result", "finding", "source", "line", "text").collect()
    return lines.unique(("result", "finding"), keep="first", maintain_order=True)
