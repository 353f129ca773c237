"""Name the device that a row is about, and collect the lines about it."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import polars as pl

from tracekit.bdf import full_bdf
from tracekit.diagnosing.moments import apart, within
from tracekit.findings import Evidence, Subject

R = TypeVar("R")

DEVICE = ("entity", "device", "vdev", "bdf")  # columns that tell which device a row is about, the best first
# `timer doesn't work through Interrupt-remapped IO-APIC`; `Fatal exception in interrupt` and `Aiee, killing interrupt handler!` only tell
# where the kernel stood.
ABOUT_INTERRUPTS = re.compile(r"(?<!\bin )(?<!killing )\binterrupt|\bIRQ|APIC|\btimer\b", re.IGNORECASE)
# `VFS: Unable to mount root fs on unknown-block(0,0)`
NO_ROOT = re.compile(r"root (?:fs|device|file)", re.IGNORECASE)
NAMED_BY = "irq_handler_entry events (echo 1 > events/irq/irq_handler_entry/enable) name the function once it interrupts"


def subject_of(row: Any, devices: pl.DataFrame | None = None) -> Subject:
    """Return the function of a row, a model's or a table's, by its BDF, else by its pointer, else by the task that used it."""
    named = _columns(row)
    pointers = tuple(f"{kind} {at:#x}" for kind, c in (("pci_dev", "device"), ("vdev", "vdev")) if isinstance(at := named(c), int))
    if bdf := named("bdf"):
        return Subject(full_bdf(bdf), "pci", full_bdf(bdf), pointers, _how(named("entity"), bdf, devices))
    if pointers:
        return Subject(pointers[0], "pci", None, pointers[1:], NAMED_BY)
    client = f"of {named('task')}-{named('tid')}; " if named("task") and named("tid") is not None else ""
    return Subject("an unnamed device", "unknown", None, (), client + NAMED_BY)


def _columns(row: Any) -> Callable[[str], Any]:
    """Return what gives a column of a row; null where it has none of that name."""
    return row.get if isinstance(row, Mapping) else lambda column: getattr(row, column, None)


def _how(entity: int | None, bdf: str, devices: pl.DataFrame | None) -> str | None:
    """Return why the BDF is that of the pointers, if it was inferred."""
    if devices is None or entity is None:
        return None
    known = zip(*(devices[column].to_list() for column in ("entity", "bdf", "how")), strict=True)
    return next((how for e, b, how in known if e == entity and b == bdf and how is not None and how.startswith("inferred")), None)


def numbered(vectors: Iterable[int]) -> str:
    """Return `vector 3`, `vectors 0, 3`, or `a vector` where none is known."""
    numbers = sorted(vectors)
    return f"vector{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}" if numbers else "a vector"


def times(n: int, what: str) -> str:
    """Return `1 window`, `2 windows`."""
    return f"{n} {what}{'s' if n != 1 else ''}"


def same_function(frame: pl.DataFrame, row: Mapping[str, Any]) -> pl.DataFrame:
    """Return the rows of `frame` that are about the same function."""
    column, value = device_of(row) or ("source", row["source"])
    own = frame[column] == value
    return frame if own.all(ignore_nulls=False) else frame.filter(own)


def device_of(row: Any) -> tuple[str, Any] | None:
    """Return the column that identifies the device of a row best, as (column, value); None where the row names no device.

    Takes a model's row and a table's.
    """
    is_mapping = not isinstance(row, tuple) and isinstance(row, Mapping)  # a model's row is a tuple, of which it is sooner known
    for column in DEVICE:
        if (value := row.get(column) if is_mapping else getattr(row, column, None)) is not None:
            return column, value
    return None


def callers(calls: pl.DataFrame | None, row: Mapping[str, Any], call: int | None) -> Iterator[dict[str, Any]]:
    """Return the calls around call `call`, innermost first."""
    if calls is None or call is None:
        return
    mine = calls.filter(pl.col("source") == row["source"])
    parents = dict(zip(mine["id"].to_list(), mine["parent"].to_list(), strict=True))
    chain: list[int] = []
    while (call := parents.get(call)) is not None and call not in chain:
        chain.append(call)
    found = {r["id"]: r for r in mine.filter(pl.col("id").is_in(chain)).iter_rows(named=True)}
    yield from (found[i] for i in chain)


def lost_between(gap: pl.DataFrame | None, source: str, line: int, end: int | None) -> bool:
    """Return whether the recording lost events between two of its lines: what is absent there proves nothing."""
    if gap is None or end is None:
        return False
    return gap.filter((pl.col("source") == source) & (pl.col("line") > line) & (pl.col("line") < end)).height > 0


def near(earlier: Any, later: Any, lines: int, ms: int = 10) -> bool:
    """Return whether row `later` stands below row `earlier` of the same source, at most so many lines or so much time away.

    Time counts too since a record may take many lines: `journalctl -o json-pretty` writes more than ten. Stamps that are too coarse for so
    short a time, or a clock that was set back, leave it to the lines.
    """
    (source, line), (other, below) = _place(earlier), _place(later)
    if source != other or below < line:
        return False
    return below - line <= lines or within(earlier, later, ms) is True


def at_once(earlier: Any, later: Any, lines: int, ms: int) -> bool:
    """Return whether row `later` follows the end of row `earlier` of the same source at once: by time where stamps suffice, else by lines.

    Stamps of whole seconds do not order events within a second. After a clock was set back stamps are not used.
    """
    (source, own), (other, line) = _place(earlier), _place(later)
    named = _columns(earlier)
    end: int = named("line_end") or own
    ended = named("ts_end") or named("ts")
    if source != other or line <= end:
        return False
    soon = within({"ts": ended, "ts_raw": named("ts_raw")}, later, ms)
    return line - end <= lines if soon is None else soon


def rows_above(row: Any, rows: Sequence[R], most: int = 1) -> list[R]:
    """Return the last rows above a row of their own, in its source, the nearest first. `rows` are in the order of source and line."""
    end = bisect_left(rows, _place(row), key=_place)
    return [r for r in reversed(rows[max(0, end - most) : end]) if _place(r)[0] == _place(row)[0]]


def rows_below(row: Any, rows: Sequence[R], most: int = 1) -> list[R]:
    """Return the first rows below a row, in its source, the nearest first. `rows` are in the order of source and line."""
    begin = bisect_right(rows, _place(row), key=_place)
    return [r for r in rows[begin : begin + most] if _place(r)[0] == _place(row)[0]]


def ended_by(row: Mapping[str, Any], panics: Iterable[Mapping[str, Any]], *, root: bool = True) -> Mapping[str, Any] | None:
    """Return the panic that a refused interrupt led to: one about interrupts or timers within a minute, in which a boot may wait for them.

    `root`: whether a panic for want of the root device may be one too, of what the disk may be behind. A panic of other words has other
    reasons, however soon it comes: it is forced, or an Oops. One with an earlier stamp is another boot's.
    """
    meant = (p for p in panics if ABOUT_INTERRUPTS.search(p["panic_reason"]) or root and NO_ROOT.search(p["panic_reason"]))
    return next((p for p in meant if at_once(row, p, 50, 60_000) and not _set_back(row, p)), None)


def _set_back(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> bool:
    """Return whether a row below another one has the earlier stamp."""
    return earlier.get("ts") is not None and later.get("ts") is not None and apart(earlier, later) is None


def _place(row: Any) -> tuple[str, int]:
    """Return the source and line of a row of a model or of a table."""
    return (row["source"], row["line"]) if isinstance(row, Mapping) else (row.source, row.line)


def span(source: str, line: int | None, end: int | None = None, role: Any = "context") -> Iterator[Evidence]:
    """Yield one evidence for the lines from `line` to `end`; nothing if there is no line."""
    if line is not None:
        yield Evidence(source, line, role, end if end is not None and end > line else None)


def at(row: Any, role: Any = "cause", *, line: str = "line", end: str | None = None) -> Evidence:
    """Return the line of a row, a model's or a table's (`line`: in which of its columns), or the span up to its column `end`."""
    named = _columns(row)
    first, last = named(line), named(end) if end else None
    first = int(first if first is not None else named("line"))
    return Evidence(named("source"), first, role, int(last) if last is not None and last > first else None)


def in_order(evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """Return the evidence by source and line, each place once."""
    once = {(e.source, e.line, e.line_end): e for e in evidence}
    return tuple(sorted(once.values(), key=lambda e: (e.source, e.line, e.line_end or 0)))


def distinct(evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """Return the evidence without repeated places, in the order given."""
    return tuple({(e.source, e.line, e.line_end): e for e in evidence}.values())
