"""Whether what a diagnosis did not find would have been recorded: absence is evidence only then."""

import polars as pl

from tracekit.findings import Verdict, inconclusive


def unanswered(*operations: pl.DataFrame | None, what: str = "operation", record: str = "") -> Verdict | None:
    """Return why "nothing was refused" cannot be said: operations whose return value is not recorded; None where each has one.

    `operations`: tables with a column `ret`, those that the diagnosis looked for a refusal in; `what`: what a row of them is.
    """
    mute = [frame.filter(pl.col("ret").is_null()) for frame in operations if frame is not None]
    count = sum(frame.height for frame in mute)
    if not count:
        return None
    first = next(frame for frame in mute if frame.height)
    many = f"{count} {what}s have" if count > 1 else f"one {what} has"
    where = f"line {first['line'][0]} of {first['source'][0]}"
    return inconclusive(f"{many} no return value in the recording ({where}): whether it was refused is not known", record)
