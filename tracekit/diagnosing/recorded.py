"""Whether what a diagnosis did not find would have been recorded: absence is evidence only then."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from tracekit.findings import Verdict, inconclusive, not_evaluated

READS = ("gap",)  # events that recordings lost
_TOLD = {"ret": "return value", "live": "size of the table"}
LARGER = "a recording without lost events: a larger buffer (buffer_size_kb), fewer events, or a filter on each"


@dataclass(frozen=True, slots=True)
class Shown:
    """Name a table in which a fault would show, and the columns that must be recorded for that.

    `what`: what a row of it is, in words; `of`: the rows that could be the fault, all where it is null.
    """

    table: str
    what: str = "row"
    columns: tuple[str, ...] = ()
    of: pl.Expr | None = None


def doubt(shown: Sequence[Shown], tables: Mapping[str, pl.DataFrame | None], gap: pl.DataFrame | None, absent: str) -> Verdict | None:
    """Return why "nothing was found" is no evidence; None where all of these tables would have shown it.

    `gap`: the events that recordings lost; `absent`: the reason where none of the tables has a row.
    """
    present = [(s, frame) for s in shown if (frame := tables[s.table]) is not None]
    if shown and not present:
        return not_evaluated(absent)
    for s, frame in present:
        if (mute := unanswered(frame if s.of is None else frame.filter(s.of), what=s.what, needs=s.columns)) is not None:
            return mute
    return _lost(gap, {source for _, frame in present if "source" in frame.columns for source in frame["source"].unique()})


def _lost(gap: pl.DataFrame | None, sources: set[str]) -> Verdict | None:
    """Return the verdict where one of the sources lost events: the fault may be among them."""
    for row in gap.iter_rows(named=True) if gap is not None else ():
        if row["source"] in sources:
            return inconclusive(f"events were lost at line {row['line']} of {row['source']}: the fault may be among them", LARGER)
    return None


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
    rows = frame.filter(pl.col(column).is_null())
    many = f"{rows.height} {what}s have" if rows.height > 1 else f"one {what} has"
    where = f"line {rows['line'][0]} of {rows['source'][0]}"
    missing = _TOLD.get(column, f"argument '{column}'")
    return inconclusive(f"{many} no {missing} in the recording ({where}): what is not recorded may be the fault", record)
