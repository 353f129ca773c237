"""Whether what a diagnosis did not find would have been recorded: absence is evidence only then."""

from collections.abc import Sequence

import polars as pl

from tracekit.findings import Verdict, inconclusive

_TOLD = {"ret": "return value", "live": "size of the table"}


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
