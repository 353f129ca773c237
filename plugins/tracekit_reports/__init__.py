"""Reports: a run as a page for people or as what a program reads."""

from tracekit import hookimpl
from tracekit_reports.later import REPORTS


@hookimpl
def tracekit_reports() -> list[type]:
    """Return the built-in reports, by the name that `--format` takes."""
    return list(REPORTS)
