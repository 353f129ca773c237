"""Reports from Python, by the name that `--format` takes: what `Run.report` and notebooks print."""

from collections.abc import Mapping
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracekit.errors import UsageError
from tracekit.plugins import registry as plugins
from tracekit.plugins.isolation import IN_PROCESS
from tracekit.unseen import visible
from tracekit.written import put, sound

if TYPE_CHECKING:
    from os import PathLike

    from tracekit.findings import Finding
    from tracekit.run import Run
    from tracekit.timeline import Timeline


def report(run: "Run", format: str, options: Mapping[str, Any]) -> str:
    """Return a report of a run that is text. Errors: UsageError with the names that there are."""
    text = _written(run, format, options)
    if isinstance(text, bytes):
        raise UsageError(f"the report {format} is no text: run.write(path, {format!r}) writes it into a file")
    return text


def write(run: "Run", path: "str | PathLike[str]", format: str, options: Mapping[str, Any]) -> None:
    """Write a report of a run into a file. Errors: UsageError with the names that there are; OutputError."""
    put(_written(run, format, options), Path(path))


def _written(run: "Run", format: str, options: Mapping[str, Any]) -> str | bytes:
    known = _reports()
    if format not in known:
        raise UsageError(f"no report is called {format}; there are {', '.join(sorted(known))}")
    return sound(known[format], known[format]().write(run, options))


def page(run: "Run") -> str:
    """Return the HTML page of a run in a frame, for a notebook: the notebook's own styles do not reach it."""
    return f'<iframe srcdoc="{escape(report(run, "html", {}))}" width="100%" height="720" frameborder="0"></iframe>'


def drawing(timeline: "Timeline") -> str:
    """Return a timeline as SVG, for a notebook."""
    return str(_reports()["svg"]().write_timeline(timeline))


def summary(f: "Finding") -> str:
    """Return a finding as HTML, for a notebook: what, on which device, how sure, on which lines, what to do."""
    rows = ((f"{e.source}:{e.line}", e.role, e.text) for e in f.evidence)
    lines = "".join(
        f"<tr><td>{_safe(place)}</td><td>{_safe(role)}</td><td><code>{_safe(text)}</code></td></tr>" for place, role, text in rows
    )
    head = f"<b>{escape(f.code)}</b> {escape(f.name)} ({f.grade or 'information'}; {_safe(f.subject.label)})"
    return f"<p>{head}: {_safe(f.summary)}</p><table>{lines}</table><p>{_safe(f.advice)}</p>"


def _safe(text: str) -> str:
    return escape(visible(text))


@cache
def _reports() -> dict[str, type]:
    return {r.name: r for r in plugins.load(isolation=IN_PROCESS).reports}
