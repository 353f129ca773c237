"""The option `-f`: which reports a command writes, and into which files (`-f html=page.html -f json=run.json`)."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tracekit.cli.output import complain, draws, needs_file, offers, rendered, write
from tracekit.errors import UsageError

if TYPE_CHECKING:
    from tracekit.plugins.registry import Registry

NAMES = "terminal, html, svg, markdown, json, sarif, junit, csv, github, gitlab, perfetto"
Options = Callable[["Wanted"], Mapping[str, Any]]


class Wanted(NamedTuple):
    """A report and its output file; null for standard output."""

    format: str
    output: Path | None


def wanted(formats: Sequence[str] | None, output: Path | None) -> list[Wanted]:
    """Return the reports that the options ask for. Errors: UsageError where two would go to one place."""
    given = [(name, Path(file) if file else None) for name, _, file in (f.partition("=") for f in formats or ["terminal"])]
    bare = [name for name, file in given if file is None]
    if len(bare) > 1:
        raise UsageError(f"--format {bare[0]} and --format {bare[1]} would be written to one place: give a file, as in {bare[1]}=FILE")
    if output is not None and not bare:
        raise UsageError(f"--output {output}: every report has a file of its own")
    asked = [Wanted(name, file or output) for name, file in given]
    files = [w.output for w in asked if w.output]
    if len(set(files)) < len(files):
        raise UsageError("two reports would be written to one file")
    return asked


def first_file(asked: Iterable[Wanted]) -> Path | None:
    """Return the first file that a report is written to: the map of a redaction lies beside it."""
    return next((w.output for w in asked if w.output is not None), None)


def known(registry: "Registry", asked: Iterable[Wanted], method: str = "write") -> None:
    """Check that each requested report exists, and that a binary report has a file. Errors: UsageError."""
    for w in asked:
        offers(registry, w.format, method)
        if w.output is None and needs_file(registry, w.format):
            raise UsageError(f"--format {w.format} is no text: give a file, as in -f {w.format}=FILE")


def drawing(registry: "Registry", asked: Iterable[Wanted]) -> bool:
    """Return whether one of the reports shows pictures."""
    return any(draws(registry, w.format) for w in asked)


def written(registry: "Registry", asked: Iterable[Wanted], value: Any, options: Options, method: str = "write") -> None:
    """Write the reports; what fails to be one is replaced by the page of the terminal on standard output."""
    for w in asked:
        text, done = rendered(registry, w.format, value, options(w), method)
        write(text, w.output if done else None)


def colored(when: str) -> bool:
    """Return whether a report on standard output is in colour. Errors: UsageError."""
    if when not in ("auto", "always", "never"):
        raise UsageError(f"--color {when}: give auto, always or never")
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not sys.stdout.isatty()
    return when == "always" or (when == "auto" and not plain)


def to_open() -> Wanted:
    """Return the page for `--open`, in a folder of its own, which the system clears away."""
    import tempfile

    return Wanted("html", Path(tempfile.mkdtemp(prefix="tracekit-")) / "report.html")


def show(page: Path) -> None:
    """Open a page in the reader's browser; where there is none, say where the page is."""
    import webbrowser

    if not page.is_file() or not webbrowser.open(page.resolve().as_uri()):
        complain(f"no browser could be opened; the page is {page}")
