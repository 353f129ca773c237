"""The score of the predictions on a recording, the timeline of one function, and the model's state at a time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from tracekit.bdf import full_bdf
from tracekit.findings import Finding
from tracekit.types import ENVELOPE

_PLACES = ("source", "line", "line_end", "ts", "ts_end")
_INTERNAL = {*ENVELOPE, "line_end", "ts_end", "call", "attempt", "request", "entity", "id", "parent", "lane", "lane_assumed", "depth"}


@dataclass(frozen=True, slots=True)
class Score:
    """Counts of observed operations with a result: all, predicted right, predicted wrong, and wrong without a finding that explains it.

    `from_known` of the predictions follow from state that the recording shows, `if_healthy` say what a system without a fault returns
    where that state is not shown. `rows`: one dict a divergence: source, line, operation, subject, rule, predicted, observed, explained_by
    (a code or None).
    """

    operations: int
    predicted: int
    not_predicted: int
    divergences: int
    unexplained: int
    from_known: int
    if_healthy: int
    rows: tuple[Mapping[str, Any], ...]


def score(tables: Mapping[str, pl.DataFrame], findings: Sequence[Finding]) -> Score:
    """Return the score of a replay, from its table `predictions`."""
    made = tables.get("predictions")
    if made is None or made.is_empty():
        return Score(0, 0, 0, 0, 0, 0, 0, ())
    missed = made.filter(~pl.col("agrees"))
    rows = tuple({**row, "explained_by": _explained(row, findings)} for row in _divergences(missed))
    predicted = int(made["predicted"].is_not_null().sum())
    unexplained = sum(r["explained_by"] is None for r in rows)
    healthy = int((made["basis"] == "healthy").sum()) if "basis" in made.columns else 0
    return Score(made.height, predicted, made.height - predicted, missed.height, unexplained, predicted - healthy, healthy, rows)


def unpredicted(tables: Mapping[str, pl.DataFrame]) -> list[tuple[str, int, str, int]]:
    """Return (operation, how many were not predicted, source and line of the first), the most frequent first."""
    made = tables.get("predictions")
    if made is None:
        return []
    first = made.filter(pl.col("predicted").is_null()).sort("source", "line").group_by("operation", maintain_order=True)
    told = first.agg(pl.len().alias("times"), pl.col("source").first(), pl.col("line").first())
    return list(told.sort("times", descending=True, maintain_order=True).iter_rows())


def _divergences(missed: pl.DataFrame) -> Iterator[dict[str, Any]]:
    columns = ["source", "line", "line_end", "operation", "subject", "rule", "predicted", "observed"]
    known = [*columns, *(c for c in ("explained_by",) if c in missed.columns)]
    yield from missed.select(known).sort("source", "line").iter_rows(named=True)


def _explained(row: Mapping[str, Any], findings: Sequence[Finding]) -> str | None:
    """Return the code of the finding that explains a divergence: the one that the model names, or one whose lines hold it."""
    named = row.get("explained_by")
    if named is not None and any(f.code == named for f in findings):
        return str(named)
    for f in findings:
        if f.grade and any(e.source == row["source"] and e.line <= row["line"] <= (e.line_end or e.line) for e in f.evidence):
            return f.code
    return None


def timeline(tables: Mapping[str, pl.DataFrame], device: str) -> list[dict[str, Any]]:
    """Return what happened to one function, in order: every operation, life and window whose BDF or pointer is `device`."""
    wanted = names_of(tables, device)
    rows = [r for name, frame in sorted(tables.items()) if _is_timed(name, frame) for r in _rows_about(name, frame, wanted)]
    return sorted(rows, key=lambda r: (r["source"], r["line"], r["line_end"] or r["line"]))


def state(tables: Mapping[str, pl.DataFrame], at: int, device: str | None = None) -> list[dict[str, Any]]:
    """Return what the model holds to be true at a time (ns on the source's clock): every life that has begun and not ended."""
    wanted = names_of(tables, device) if device else None
    rows = []
    for name, frame in sorted(tables.items()):
        if name in ("predictions", "divergences", "calls") or name.startswith("op_") or "ts_end" not in frame.columns:
            continue
        lasts = pl.col("ts_end").is_null() & pl.col("line_end").is_null()  # an end without a time is an end
        living = frame.filter((pl.col("ts") <= at) & (lasts | (pl.col("ts_end") > at)))
        for row in _rows_about(name, living, wanted):
            if row["ts_end"] is not None:  # what a call returns is not known before it does
                row["what"] = {k: v for k, v in row["what"].items() if k != "ret" and not k.startswith("fail_")}
            rows.append(row)
    return rows


def names_of(tables: Mapping[str, pl.DataFrame], device: str) -> frozenset[object]:
    """Return all names of a device: its BDF with and without domain, its pointers as numbers."""
    names: set[object] = {device, full_bdf(device), full_bdf(device).removeprefix("0000:")}
    pointer = device.split()[-1].removeprefix("dev=").removeprefix("vdev=")
    if pointer.startswith("0x"):
        names.add(int(pointer, 16))
    devices = tables.get("devices")
    if devices is not None and not devices.is_empty():
        entities = devices.filter(pl.col("bdf").is_in(_texts(names)) | pl.col("pointer").is_in(_numbers(names).implode()))["entity"]
        same = devices.filter(pl.col("entity").is_in(entities.implode()))
        names |= set(same["pointer"].drop_nulls()) | set(same["bdf"].drop_nulls())
    return frozenset(names)


def _texts(names: set[object]) -> list[str]:
    return [n for n in names if isinstance(n, str)]


def _numbers(names: set[object]) -> pl.Series:
    return pl.Series([n for n in names if isinstance(n, int)], dtype=pl.UInt64)


def _is_timed(name: str, frame: pl.DataFrame) -> bool:
    return "line_end" in frame.columns and name not in ("predictions", "divergences", "calls", "devices", "gates")


def _rows_about(name: str, frame: pl.DataFrame, wanted: frozenset[object] | None) -> Iterator[dict[str, Any]]:
    for row in frame.iter_rows(named=True):
        if wanted is None or any(row.get(c) in wanted for c in ("bdf", "device", "vdev") if row.get(c) is not None):
            what = {k: _shown(k, v) for k, v in row.items() if k not in _INTERNAL and v is not None and v is not False and v != []}
            yield {"table": name, **{p: row.get(p) for p in _PLACES}, "what": what}


def _shown(column: str, value: Any) -> Any:
    """Return a value as the kernel prints it: pointers in hexadecimal."""
    return f"{value:#x}" if column in ("device", "vdev", "pointer", "flags") and isinstance(value, int) else value
