"""Reduce logs to the smallest part that still gives a finding: remove lines as long as the finding is unchanged."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tracekit.errors import SourceError

if TYPE_CHECKING:
    from tracekit.findings import Finding
    from tracekit.run import Run

_NEAR = (0, 2, 10, 50, 250, 1250)  # lines around the evidence that are tried first, before all of them
_HEAD = 12  # lines at the head of a source: a tracer's name, the kernel's release


class Line(NamedTuple):
    """One line: its source, its number and its text."""

    source: str
    number: int
    text: bytes


Shape = tuple[object, ...]


def lines_of(paths: Sequence[str], redact: bool = False) -> list[Line]:
    """Return all lines of a case, as they are or with tokens in place of names and addresses. Errors: SourceError."""
    from tracekit.reading.source import discover

    sources, unread = discover(paths)
    if unread:
        raise unread[0]
    if not sources:
        raise SourceError("nothing to read")
    if redact:
        from tracekit.redaction.sources import redacted
        from tracekit.redaction.tokens import Tokens
        from tracekit.testing import engine

        redactor = engine().redactor(sources, Tokens())
        sources = [redacted(s, redactor) for s in sources]
    return [Line(s.path, n, text) for s in sources for c in s.chunks() for n, text in enumerate(_split(c.data), c.first_line)]


def excerpt(lines: Sequence[Line], code: str, most: int) -> list[Line]:
    """Return the lines without which the findings of a code would not be what they are, in at most `most` analyses.

    They are the same where they have their grade, device, and evidence, and where the part shows nothing that the whole does not.
    """
    whole = run_of(lines)
    wanted, known = set(_shapes(whole, code)), {(f.code, f.grade, f.subject.label) for f in whole.findings}
    left = [most]

    def holds(part: Sequence[Line]) -> bool:
        left[0] -= 1
        run = run_of(part)
        same = set(_shapes(run, code)) == wanted
        return same and {(f.code, f.grade, f.subject.label) for f in run.findings if f.grade} <= known

    marked = {(e.source, n) for f in whole.findings if f.code == code for e in f.evidence for n in (e.line, e.line_end or e.line)}
    begun = next((p for near in _NEAR if (p := _around(lines, marked, near)) and len(p) < len(lines) and holds(p)), list(lines))
    return _smallest(begun, holds, lambda: left[0] > 0)


def run_of(lines: Sequence[Line]) -> "Run":
    """Analyze some lines; the evidence has the sources and line numbers of these."""
    from tracekit.pipeline import analyze
    from tracekit.testing import engine

    with tempfile.TemporaryDirectory() as folder:
        return _placed(analyze([str(p) for p in write(lines, Path(folder))], None, engine()), lines, folder)


def write(lines: Sequence[Line], folder: Path) -> list[Path]:
    """Write lines into a file for each source; return the files."""
    written = []
    for source, name in names(lines).items():
        (folder / name).write_bytes(b"".join(line.text + b"\n" for line in lines if line.source == source))
        written.append(folder / name)
    return written


def names(lines: Sequence[Line]) -> dict[str, str]:
    """Return a name of a file for each source: its last part, with a number where two have the same."""
    given: dict[str, str] = {}
    for source in dict.fromkeys(line.source for line in lines):
        name = "log.txt" if source == "-" else source.replace("!", "/").rstrip("/").rpartition("/")[2]
        given[source] = f"{len(given)}-{name}" if name in given.values() else name
    return given


def _placed(run: "Run", lines: Sequence[Line], folder: str) -> "Run":
    """Return the run with the places of evidence in the whole."""
    from dataclasses import replace

    own = {str(Path(folder) / name): [line for line in lines if line.source == source] for source, name in names(lines).items()}

    def back(f: "Finding") -> "Finding":
        at = {e: own[e.source] for e in f.evidence if e.source in own}
        moved = [
            replace(e, source=of[0].source, line=of[e.line - 1].number, line_end=None if e.line_end is None else of[e.line_end - 1].number)
            for e, of in at.items()
        ]
        return replace(f, evidence=tuple(moved))

    return replace(run, findings=tuple(map(back, run.findings)))


def _shapes(run: "Run", code: str) -> Iterator[Shape]:
    for f in run.findings:
        if f.code == code:
            yield f.grade, f.subject.label, f.explained_by, tuple((e.source, e.line, e.line_end, e.role) for e in f.evidence)


def _around(lines: Sequence[Line], marked: set[tuple[str, int]], near: int) -> list[Line]:
    wanted = {(source, n) for source, line in marked for n in range(line - near, line + near + 1)}
    return [line for line in lines if line.number <= _HEAD or (line.source, line.number) in wanted]


def _smallest(lines: list[Line], holds: Callable[[Sequence[Line]], bool], goes_on: Callable[[], bool]) -> list[Line]:
    """Take out blocks of lines, each half as long as those before, while what is left holds."""
    size = max(1, len(lines) // 2)
    while goes_on():
        before, at = len(lines), 0
        while at < len(lines) and goes_on():
            fewer = [*lines[:at], *lines[at + size :]]
            if fewer and holds(fewer):
                lines = fewer
            else:
                at += size
        if size == 1 and len(lines) == before:
            break
        size = max(1, size // 2)
    return lines


def _split(data: bytes) -> list[bytes]:
    return data.removesuffix(b"\n").split(b"\n")
