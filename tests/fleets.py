"""The reports of a batch, as `tracekit report --format` writes them."""

from tracekit_reports import tracekit_reports

from tracekit import Fleet


def render(fleet: Fleet, format: str) -> str:
    """Return the report of this name."""
    (report,) = [r for r in tracekit_reports() if r.name == format]
    return report().write_fleet(fleet, {})
