"""The vectors that interrupted while a window's vectors were enabled, where the runs of their handlers are recorded."""

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, NamedTuple

import polars as pl

from tracekit import Inputs, Row

NEEDS = ("irq_handler_entry", "calls")
HANDLER = "vfio_msihandler"
MOST = 1_000_000  # runs that are looked at for all windows whose vectors were enabled before the recording
# vfio-msix[3](0000:00:08.0)
NAME = r"^vfio-msix?\[([0-9]{1,4})\]\(([0-9a-fA-F:.]+)\)$"


class Entry(NamedTuple):
    """One run of VFIO's handler; the last two are null where only the function was traced, then the irq is one of its arguments."""

    source: str
    line: int
    irq: int | None
    vector: int | None
    who: str | None


def fill(windows: Sequence[tuple[Row, dict[str, Any]]], tables: Inputs, several: Mapping[str, int]) -> None:
    """Fill `in_use` and `handlers` of a few windows, as `with_use` does of many.

    Where all handlers that are recorded interrupted the task that makes the calls, the recording is of that task alone (set_event_pid,
    `common_pid`): others, which interrupted the idle task most of all, are left out of it.
    """
    entries = sorted(_few_entries(tables), key=lambda e: (e.source, e.line))
    tasks: dict[str, set[int | None]] = {}
    for row in tables.rows("irq_handler_entry"):
        tasks.setdefault(row.source, set()).add(row.tid)
    recorded = {e.source for e in entries} | tasks.keys()
    inside = [[e for e in entries if _lies_before(e, row, w)] for row, w in windows]
    whose: dict[str, set[str | None]] = {}
    for (row, _), mine in zip(windows, inside, strict=True):
        whose.setdefault(row.source, set()).update(e.who for e in mine)
    for (row, w), mine in zip(windows, inside, strict=True):
        sole = row.source not in several
        nameless = sole and w["bdf"] is None and not w["irqs"] and len(whose[row.source]) == 1
        used = [e for e in mine if nameless or _is_of(e, w, sole)]
        of_one_task = row.tid is not None and tasks.get(row.source) == {row.tid}
        w["in_use"], w["handlers"] = list(_counted(used, w["wired"])), row.source in recorded and not of_one_task
    _ascribe([(row.source, w, mine) for (row, w), mine in zip(windows, inside, strict=True)], entries, several)


def _ascribe(windows: Sequence[tuple[str, dict[str, Any], Sequence[Entry]]], entries: Sequence[Entry], several: Mapping[str, int]) -> None:
    """Set `handlers` of the windows of unnamed devices before which vectors of their numbers interrupted: false, which is as if none were
    recorded, where all functions did that it may be; null where some did."""
    for source in {source for source, _, _ in windows}:
        named = {w["bdf"] for s, w, _ in windows if s == source and w["bdf"] is not None}
        unnamed = {e.who for e in entries if e.source == source and e.who is not None} - named
        enough = len(unnamed) > 1 and len(unnamed) >= several.get(source, len(unnamed) + 1) - len(named)
        for s, w, mine in windows:
            if s == source and not w["in_use"] and w["bdf"] is None and not w["irqs"]:
                used = {e.who for e in mine if e.who in unnamed and (not w["wired"] or e.vector in w["wired"])}
                w["handlers"] = w["handlers"] if not used else False if enough and used == unnamed else None


def _few_entries(tables: Inputs) -> Iterator[Entry]:
    for row in tables.rows("irq_handler_entry"):
        if row.name is not None and row.name.startswith("vfio-msi"):
            m = re.search(NAME, row.name)
            yield Entry(row.source, row.line, row.irq, int(m[1]) if m else None, m[2] if m else None)
    for row in tables.rows("calls"):
        if row.function == HANDLER:
            irq = next((a["value"] for a in row.args if a["name"] == "irq"), None)
            yield Entry(row.source, row.line, irq, None, None)


def _lies_before(e: Entry, disable: Row, w: Mapping[str, Any]) -> bool:
    return bool(e.source == disable.source and (w["enabled_line"] or 0) < e.line < disable.line)


def _is_of(e: Entry, w: Mapping[str, Any], sole: bool) -> bool:
    return (e.who is None and sole) or (e.who is not None and w["bdf"] == e.who) or (e.irq is not None and e.irq in w["irqs"])


def _counted(used: Sequence[Entry], wired: Sequence[int]) -> Iterator[dict[str, int | None]]:
    lines: dict[int | None, list[int]] = {}
    for e in used:
        lines.setdefault(wired[0] if e.vector is None and len(wired) == 1 else e.vector, []).append(e.line)
    for vector in sorted(lines, key=lambda v: (v is not None, v or 0)):
        yield {"vector": vector, "entries": len(lines[vector]), "first": min(lines[vector]), "last": max(lines[vector])}


def with_use(windows: pl.DataFrame, tables: Mapping[str, pl.DataFrame], several: Mapping[str, int] | None = None) -> pl.DataFrame:
    """Fill `in_use` and `handlers`: the wired vectors that interrupted between the enable and the disable of each window.

    `several`: sources about more than one device, where a handler of one name may be any's, with how many.
    """
    if windows.is_empty():
        return windows
    entries = _entries(tables)
    recorded, alone = set(entries["source"].unique().to_list()), dict[str, int]()
    if (events := tables.get("irq_handler_entry")) is not None:
        tasks = events.group_by("source").agg(pl.col("tid").n_unique().alias("tasks"), pl.col("tid").first())
        recorded |= set(tasks["source"].to_list())
        alone = dict(tasks.filter(pl.col("tasks") == 1).drop_nulls("tid").select("source", "tid").iter_rows())
    schema = windows.schema
    of_one_task = pl.col("source").replace_strict(alone, default=None, return_dtype=pl.Int64) == pl.col("tid")
    handlers = (pl.col("source").is_in(list(recorded)) & ~of_one_task.fill_null(False)).alias("handlers")
    if entries.is_empty():
        return windows.with_columns(pl.lit([], dtype=schema["in_use"]).alias("in_use"), handlers)
    numbered = windows.with_row_index("window")
    inside = _inside(numbered, entries)
    used = _used(inside, set(several or ()))
    filled = numbered.drop("in_use", "handlers").join(used, on="window", how="left").with_columns(pl.col("in_use").fill_null([]), handlers)
    filled = _ascribed(filled, inside, entries, several or {})
    return filled.select([pl.col(c).cast(t) for c, t in schema.items()])


def _entries(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return each run of VFIO's handler: source, line, irq, vector, bdf (the last two null where only the function was traced)."""
    frames = []
    if (events := tables.get("irq_handler_entry")) is not None:
        named = pl.col("name").str.extract_groups(NAME)
        frames.append(
            events.filter(pl.col("name").str.starts_with("vfio-msi"))
            .with_columns(named.alias("of"))
            .select("source", "line", "irq", pl.col("of").struct[0].cast(pl.Int64).alias("vector"), pl.col("of").struct[1].alias("who"))
        )
    if (calls := tables.get("calls")) is not None:
        irq = pl.col("args").list.filter(pl.element().struct["name"] == "irq").list.first().struct["value"]
        of_handler = calls.filter(pl.col("function") == HANDLER)
        unknown = (pl.lit(None, pl.Int64).alias("vector"), pl.lit(None, pl.String).alias("who"))
        frames.append(of_handler.select("source", "line", irq.alias("irq"), *unknown))
    schema = {"source": pl.String, "line": pl.Int64, "irq": pl.Int64, "vector": pl.Int64, "who": pl.String}
    return pl.concat(frames) if frames else pl.DataFrame(schema=schema)


def _inside(numbered: pl.DataFrame, entries: pl.DataFrame) -> pl.DataFrame:
    """Return the runs of the handler while the vectors of each window were enabled."""
    spans = numbered.select("window", "source", pl.col("bdf").alias("of"), "irqs", "wired", "enabled_line", pl.col("line").alias("until"))
    return _between(spans, entries)


def _ascribed(windows: pl.DataFrame, inside: pl.DataFrame, entries: pl.DataFrame, several: Mapping[str, int]) -> pl.DataFrame:
    """Set `handlers` of the windows of unnamed devices, as `_ascribe` does of a few."""
    named = windows.select("source", pl.col("bdf").alias("who")).drop_nulls().unique()
    others = entries.select("source", "who").drop_nulls().unique().join(named, on=["source", "who"], how="anti")
    own = (pl.col("wired").list.len() == 0) | pl.col("wired").list.contains(pl.col("vector"))
    used = inside.filter(pl.col("of").is_null() & (pl.col("irqs").list.len() == 0) & own).join(others, on=["source", "who"], how="semi")
    used = used.group_by("window").agg(pl.col("who").n_unique().alias("used"))
    devices = pl.DataFrame({"source": list(several), "devices": list(several.values())}, schema={"source": pl.String, "devices": pl.Int64})
    counts = others.group_by("source").len("others").join(named.group_by("source").len("named"), on="source", how="left")
    counts = counts.join(devices, on="source", how="left").with_columns(pl.col("named").fill_null(0).cast(pl.Int64))
    enough = (pl.col("others") > 1) & (pl.col("others") >= pl.col("devices") - pl.col("named"))
    every = enough.fill_null(False) & (pl.col("used") == pl.col("others"))
    told = pl.when(pl.col("used").is_null() | (pl.col("in_use").list.len() > 0)).then("handlers").when(every).then(False)
    joined = windows.join(used, on="window", how="left").join(counts, on="source", how="left")
    return joined.with_columns(told.otherwise(None).alias("handlers"))


def _used(inside: pl.DataFrame, several: Set[str]) -> pl.DataFrame:
    """Return per window the vectors that interrupted while enabled, with their number of interrupts, first and last line."""
    sole = ~pl.col("source").is_in(list(several))
    mine = (pl.col("who").is_null() & sole) | (pl.col("of") == pl.col("who")) | pl.col("irqs").list.contains(pl.col("irq"))
    only = pl.col("of").is_null() & (pl.col("irqs").list.len() == 0) & (pl.col("who").n_unique().over("source") == 1) & sole
    found = inside.filter(mine.fill_null(False) | only).with_columns(
        pl.when(pl.col("vector").is_null() & (pl.col("wired").list.len() == 1))
        .then(pl.col("wired").list.first())
        .otherwise("vector")
        .alias("vector")
    )
    per = found.group_by("window", "vector", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("entries"), pl.col("line").min().alias("first"), pl.col("line").max().alias("last")
    )
    return (
        per.sort("window", "vector")
        .group_by("window", maintain_order=True)
        .agg(pl.struct("vector", "entries", "first", "last").alias("in_use"))
    )


def _between(spans: pl.DataFrame, entries: pl.DataFrame) -> pl.DataFrame:
    """Return each run of the handler beside each window that it lies before: between the enable and the disable, in the same source.

    Thousands of windows have tens of thousands of runs: where a window's runs begin and end is looked up, and no two are compared.
    """
    runs = entries.sort("source", "line").with_row_index("run")
    of_source = runs.partition_by("source", as_dict=True, maintain_order=True)
    found = [spans.clear().with_columns(pl.lit(None, runs.schema["run"]).alias("run"))]
    early = spans["enabled_line"].null_count()  # enabled before the recording: any run before may be of these
    for source, own in spans.partition_by("source", as_dict=True, maintain_order=True).items():
        if (mine := of_source.get(source)) is not None:
            begin = mine["line"].search_sorted(own["enabled_line"].fill_null(0), side="right")
            end = mine["line"].search_sorted(own["until"], side="left")
            near = (end.cast(pl.Int64) - max(MOST // max(early, 1), 100)).clip(0)
            begin = pl.select(pl.when(own["enabled_line"].is_null()).then(pl.max_horizontal(begin, near)).otherwise(begin)).to_series()
            ranges = pl.int_ranges(begin + mine["run"][0], end + mine["run"][0], dtype=pl.UInt32, eager=True)
            found.append(own.with_columns(ranges.alias("run")).filter(pl.col("run").list.len() > 0).explode("run"))
    return pl.concat(found).join(runs.drop("source"), on="run", how="inner", maintain_order="left")
