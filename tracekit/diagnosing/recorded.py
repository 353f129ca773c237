"""Decide whether a fault would have been recorded. Only then is its absence evidence."""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

import polars as pl

from tracekit.diagnosing.condition import met
from tracekit.findings import Unchecked, Verdict, inconclusive

TOLD = ("loss", "overwritten")  # what events must tell, so that absence is evidence
# trace-cmd report and perf print probes with bare addresses: which functions they are on is a guess by the recorder's names.
UNNAMED = Unchecked(
    "the probes are on the functions that their names suggest: this recording prints addresses",
    "the probes' definitions (cat /sys/kernel/tracing/kprobe_events), /proc/kallsyms of the same boot, or the trace.dat itself",
)
_TOLD = {"ret": "return value", "live": "size of the table"}
LARGER = "a recording without lost events: a larger buffer (buffer_size_kb), fewer events, or a filter on each"
KEPT = "the kernel log without lost messages: a larger buffer (log_buf_len=), a quieter console, the journal without its rate limit"


@dataclass(frozen=True, slots=True)
class Shown:
    """A table in which a fault would be visible, and the columns that must be recorded for that.

    `what`: what a row of it is, in words; `of`: the rows that could be the fault, all where it is null; `where`: the rows in which it
    would show, so that the others are as good as none.
    """

    table: str
    what: str = "row"
    columns: tuple[str, ...] = ()
    of: pl.Expr | None = None
    where: pl.Expr | None = None

    def within(self, frame: pl.DataFrame) -> bool:
        """Return whether the fault would show in the rows of its table."""
        return self.where is None or met(self.where, frame)

    def muted(self, frame: pl.DataFrame) -> Verdict | None:
        """Return why "nothing was found" is no evidence in the rows of its table: one that could be the fault lacks a column."""
        if not any(frame[column].null_count() for column in self.columns):
            return None
        return unanswered(frame if self.of is None else frame.filter(self.of), what=self.what, needs=self.columns)


@dataclass(frozen=True, slots=True)
class Lost:
    """The events that recordings lost: `gaps` between lines, and `entries` of rings that were overwritten before the first line."""

    gaps: pl.DataFrame | None = None
    entries: pl.DataFrame | None = None

    def __bool__(self) -> bool:
        return self.gaps is not None or not _overwritten(self.entries).is_empty()

    def among(self, sources: Set[str]) -> Verdict | None:
        """Return why "nothing was found" cannot be said of these sources; None where none of them lost events."""
        if (told := with_gaps(self.gaps, sources)) is not None:
            return told
        late = _overwritten(self.entries)
        for r in late.filter(pl.col("source").is_in(list(sources))).head(1).iter_rows(named=True) if late.height else ():
            where = f"line {r['line']} of {r['source']}"
            early = f"{r['written'] - r['kept']} events were overwritten before the first one ({where}): the fault may be among them"
            return inconclusive(early, LARGER)
        return None


def _overwritten(entries: pl.DataFrame | None) -> pl.DataFrame:
    """Return the heads of traces that lost what came before their first line."""
    return pl.DataFrame() if entries is None else entries.filter(pl.col("kept") < pl.col("written"))


def unanswered(
    *operations: pl.DataFrame | None, what: str = "operation", record: str = "", needs: Sequence[str] = ("ret",)
) -> Verdict | None:
    """Return why "nothing was refused" cannot be said: operations of which something is not recorded; None where all of it is.

    `operations`: tables in which the diagnosis looked for the fault; `what`: what a row of them is; `needs`: the columns that would have
    shown it, the return value at least.
    """
    mute = [(frame, column) for frame in operations if frame is not None for column in needs if frame[column].null_count()]
    if not mute:
        return None
    frame, column = mute[0]
    count, first = frame[column].null_count(), next(n for n, value in enumerate(frame[column]) if value is None)
    many = f"{count} {what}s have" if count > 1 else f"one {what} has"
    where = f"line {frame['line'][first]} of {frame['source'][first]}"
    missing = _TOLD.get(column, f"argument '{column}'")
    return inconclusive(f"{many} no {missing} in the recording ({where}): what is not recorded may be the fault", record)


def with_gaps(gap: pl.DataFrame | None, sources: Iterable[str]) -> Verdict | None:
    """Return why "nothing was found" cannot be said of these sources, where one lost events of a trace or messages; None where none did."""
    lost = gap.filter(pl.col("source").is_in(list(sources))) if gap is not None else pl.DataFrame()
    if lost.is_empty():
        return None
    traced = lost["cpu"].count() > 0
    what, kept_in = ("event", "the recording") if traced else ("message", "the log")
    count = lost["count"].sum() if not lost["count"].null_count() else None
    many = f"{count} {what}{'s' if count != 1 else ''} " if count else f"{what}s "
    where = f"line {lost['line'][0]} of {lost['source'][0]}{f' and in {lost.height - 1} more' if lost.height > 1 else ''}"
    return inconclusive(f"{many}lost in {kept_in} ({where}): what is not recorded may be the fault", LARGER if traced else KEPT)


def unnamed(hint: bool | None) -> tuple[Unchecked, ...]:
    """Return what is unchecked where the functions of a finding's calls are guessed (column `hint`)."""
    return (UNNAMED,) if hint else ()
