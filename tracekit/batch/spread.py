"""The distribution of faults in a batch: by release, by device, by day, and by case."""

import polars as pl

from tracekit.batch.results import Results
from tracekit.findings import GRADES, SEVERITIES
from tracekit.fleet import FleetCase

MOST = 10_000  # cases that are named; a query has all
ALL = "*"  # stands for all devices

_DEVICE = pl.coalesce(*(pl.when(pl.col(c) != "").then(pl.col(c)) for c in ("device", "driver", "role")), pl.lit("")).alias("device")
_KERNEL = pl.col("kernel").fill_null("")


def kernels(placed: pl.DataFrame) -> dict[str, int]:
    """Count the machines, and the cases without a host name, by their kernel's release."""
    counts = placed.group_by(_KERNEL).agg(pl.col("place").n_unique().alias("n")).sort("kernel")
    return dict(counts.iter_rows())


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
    worst = (pl.col(c).replace_strict(list(of), range(len(of)), default=len(of)) for c, of in (("severity", SEVERITIES), ("grade", GRADES)))
    order = found.with_columns(_KERNEL, _DEVICE, pl.col("subject").fill_null("")).sort(*worst, "case", "finding")
    shared = ("group", "case", "machine", "subject")
    told = ("code", "severity", "grade", "device", "kernel", "first_seen", "summary", "result", "finding")
    rows = order.group_by(*shared, maintain_order=True).agg(*(pl.col(c).first() for c in told), pl.len().alias("findings"))
    kept = rows.head(MOST)
    first = results.table("evidence").join(kept.lazy().select("result", "finding"), on=("result", "finding"), how="semi")
    lines = first.select("result", "finding", "source", "line").unique(("result", "finding"), keep="first", maintain_order=True).collect()
    whole = kept.join(lines, on=("result", "finding"), how="left", maintain_order="left")
    whole = whole.drop("result", "finding").with_columns(pl.col("source", "machine").fill_null(""))
    return [FleetCase(**row) for row in whole.iter_rows(named=True)], rows.height - kept.height
