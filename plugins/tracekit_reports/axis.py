"""What the axis of a timeline says."""

from tracekit import Timeline
from tracekit_reports.story import plural


def position(t: Timeline, at: int) -> str:
    """Return a position as the axis prints it: seconds to the millisecond, or a line."""
    return f"line {at:,}" if t.unit == "line" else f"{at / 1e9:,.3f} s" if t.end - t.begin > 5e7 else f"{at / 1e9:,.6f} s"


def length(t: Timeline, span: int) -> str:
    """Return a length as the axis prints it."""
    if t.unit == "line":
        return plural(span, "line")
    return f"{span / 1e9:,.1f} s" if span >= 1e8 else f"{span / 1e6:,.1f} ms" if span >= 1e6 else f"{span / 1e3:,.0f} us"
