"""What the axis of a timeline says."""

from datetime import UTC, datetime

from tracekit import Timeline
from tracekit_reports.story import plural

_FINE = 5e7  # ns of a timeline below which microseconds are printed


def position(t: Timeline, at: int) -> str:
    """Return a position as the axis prints it: seconds to the millisecond, a time of day (with the day where it changes), or a line."""
    if t.unit == "line":
        return f"line {at:,}"
    fine = t.end - t.begin <= _FINE
    if not t.dated:
        return f"{at / 1e9:,.6f} s" if fine else f"{at / 1e9:,.3f} s"
    begin, end, told = (datetime.fromtimestamp(moment // 1_000_000_000, UTC) for moment in (t.begin, t.end, at))
    day = "" if begin.date() == end.date() else f"{told:%b %d} "
    return f"{day}{told:%H:%M:%S}.{at // 1000 % 1_000_000:06}"[: None if fine else -3]


def length(t: Timeline, span: int) -> str:
    """Return a length as the axis prints it."""
    if t.unit == "line":
        return plural(span, "line")
    return f"{span / 1e9:,.1f} s" if span >= 1e8 else f"{span / 1e6:,.1f} ms" if span >= 1e6 else f"{span / 1e3:,.0f} us"
