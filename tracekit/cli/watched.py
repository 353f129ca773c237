"""What `tracekit watch` keeps of a log that does not end: the lines that models need, and what was said of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tracekit.findings import GRADES, Evidence, Finding

if TYPE_CHECKING:
    from tracekit.pipeline import Engine
    from tracekit.run import Run

HEAD = 200  # first lines, which tell the layout of all: a tracer's header, the kernel's release
_TAIL = 2  # lines behind one that a rule took: what was broken off it
_PENDING = 20_000  # lines of which none can matter that wait for those that do
Key = tuple[str, str, str]  # code, machine, device
Place = tuple[int, int]  # how often the log had begun anew, line


class Line(NamedTuple):
    """A line, and where it stands: how often the log had begun anew, and its number since."""

    begun: int
    number: int
    text: bytes


@dataclass
class Told:
    """Hold what was printed of a finding: its grade, and the lines that it rests on."""

    finding: Finding
    places: set[Place]
    cut: bool = False  # some of its lines are not kept any more: that it is not found again says nothing


class News(NamedTuple):
    """Something to print: `new`, `surer` or `withdrawn`."""

    kind: str
    finding: Finding


@dataclass
class Watch:
    """Analyze a bounded window of lines again whenever there are new ones that could matter.

    The window has the first lines, those that a rule of a model or a diagnosis took, and all that are new since the last analysis. Of more
    than `most` lines the oldest go.
    """

    path: str
    engine: "Engine"
    folder: Path
    most: int = 100_000
    kept: list[Line] = field(default_factory=list)
    pending: list[Line] = field(default_factory=list)
    dropped: int = 0
    errors: tuple[str, ...] = ()
    _matters: bool = False
    _told: dict[Key, list[Told]] = field(default_factory=dict)

    def add(self, lines: Sequence[Line]) -> None:
        """Take new lines."""
        import polars as pl

        self.pending += lines
        texts = pl.Series([line.text.decode(errors="replace") for line in lines], dtype=pl.String)
        self._matters = self._matters or len(self.kept) < HEAD or bool(self.engine.vocabulary.finder.find(texts).any())

    @property
    def due(self) -> bool:
        """Return whether the new lines ask for an analysis: one of them could be taken by a rule, or they are many."""
        return bool(self.pending) and (self._matters or len(self.pending) > _PENDING)

    @property
    def full(self) -> bool:
        """Return whether the new lines are as many as may be kept: no more are taken before these are looked at."""
        return len(self.pending) >= self.most

    @property
    def findings(self) -> list[Finding]:
        """Return what was said and still holds."""
        return [t.finding for told in self._told.values() for t in told]

    def look(self) -> list[News]:
        """Analyze the window, keep of it what matters, and return what became true, surer or untrue."""
        window = [*self.kept, *self.pending]
        self.pending, self._matters = [], False
        run = self._run(window)
        self._keep(window, run)
        self.errors += tuple(e for e in run.errors if e not in self.errors)
        return list(self._news([(_placed(f, window), _places(f, window)) for f in run.findings if f.grade]))

    def _run(self, window: Sequence[Line]) -> "Run":
        from tracekit.pipeline import Opened, Options, analyze_opened
        from tracekit.reading.source import Source

        file = self.folder / "window"
        file.write_bytes(b"".join(line.text + b"\n" for line in window))
        return analyze_opened(Opened([Source(self.path, str(file))], []), Options(keep_tables=("*",)), self.engine)

    def _keep(self, window: Sequence[Line], run: "Run") -> None:
        events = (run.tables[name] for name in self.engine.vocabulary.captured if name in run.tables)
        lines = {n for frame in events for n in frame["line"].to_list()}
        lines |= {n for f in run.findings for e in f.evidence for n in (e.line, e.line_end or e.line)}
        near = {n + i for n in lines for i in range(_TAIL + 1)}
        kept = [line for n, line in enumerate(window, 1) if n <= HEAD or n in near]
        over = max(0, len(kept) - self.most)
        self.dropped += over
        self.kept = [*kept[:HEAD], *kept[HEAD + over :]] if over else kept

    def _news(self, findings: Sequence[tuple[Finding, set[Place]]]) -> Iterator[News]:
        """Yield what was not said before. A finding is known by code, machine, device, and a line that it shares with what was said."""
        there = {(line.begun, line.number) for line in self.kept}
        seen: set[int] = set()
        for f, mine in findings:
            known = next((t for t in self._told.get(_key(f), ()) if t.places & mine), None)
            if known is None:
                known = Told(f, set())
                self._told.setdefault(_key(f), []).append(known)
                yield News("new", f)
            elif GRADES.index(str(f.grade)) < GRADES.index(str(known.finding.grade)):
                known.finding = f
                yield News("surer", f)
            known.places |= mine
            seen.add(id(known))
        for key, told in list(self._told.items()):
            for t in told:
                t.cut = t.cut or not t.places <= there
                t.places &= there
            yield from (News("withdrawn", t.finding) for t in told if id(t) not in seen and not t.cut)
            self._told[key] = [t for t in told if id(t) in seen or (t.cut and t.places)]
            if not self._told[key]:
                del self._told[key]


def _key(f: Finding) -> Key:
    return f.code, f.machine, f.subject.label


def _places(f: Finding, window: Sequence[Line]) -> set[Place]:
    return {(line.begun, line.number) for e in f.evidence for line in (window[e.line - 1],)}


def _placed(f: Finding, window: Sequence[Line]) -> Finding:
    """Return a finding with the places of its lines in the log."""

    def place(e: Evidence) -> Evidence:
        first, last = window[e.line - 1], window[(e.line_end or e.line) - 1]
        before = window[-1].begun - first.begun
        source = f"{e.source} ({before} {'rotation' if before == 1 else 'rotations'} ago)" if before else e.source
        return replace(e, source=source, line=first.number, line_end=last.number if e.line_end else None)

    return replace(f, evidence=tuple(map(place, f.evidence)))
