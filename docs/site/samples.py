"""Samples as they are analyzed: for each diagnosis one that fires, with its report and its picture."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from catalog import ROOT
from tracekit_reports.svg import DEFS, drawing

from tracekit import Finding, Options, Run, Timeline, analyze
from tracekit.findings import GRADES
from tracekit.pipeline import Engine
from tracekit.testing import expected


@dataclass(frozen=True)
class Shown:
    """One sample with its run and the finding that it is shown for."""

    files: tuple[str, ...]  # from the root of the project
    options: tuple[str, ...]
    origin: str
    run: Run
    finding: Finding

    @property
    def command(self) -> str:
        """Return what a reader types to see the same report."""
        return " ".join(("tracekit analyze", *self.options, *self.files))


@contextmanager
def at_the_root() -> Iterator[None]:
    """Work in the project's folder: paths in reports are those that a reader would type."""
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        yield
    finally:
        os.chdir(before)


def shown(code: str, name: str, engine: Engine) -> Shown:
    """Return a sample in which a diagnosis fires: where several do, one with a picture over time, the surest, the shortest."""
    cases = sorted((ROOT / "sample_traces" / name).glob("fires-*"))
    if not cases:  # the run's own finding has no samples of its own
        return next(s for case in sorted((ROOT / "sample_traces").glob("*/fires-*")) if (s := _run(case, code, engine)) is not None)
    return min((s for case in cases if (s := _run(case, code, engine)) is not None), key=_rank)


def _rank(s: Shown) -> tuple[bool, bool, int, bool, bool, int]:
    drawn = s.run.picture(s.finding)
    grades = (*GRADES, None)
    unclear = (not s.finding.confirmed_by_replay, s.finding.subject.bdf is None, sum(r.lines for r in s.run.sources))
    return drawn is None, drawn is None or drawn.whole.unit != "ns", grades.index(s.finding.grade), *unclear


def _run(case: Path, code: str, engine: Engine) -> Shown | None:
    want, case = expected(case), case.relative_to(ROOT)
    files = sorted(str(p.relative_to(ROOT)) for p in (ROOT / case).rglob("*") if p.is_file() and p.name != "expected.toml")
    sides, clocks = ({str(case / name): value for name, value in want.get(key, {}).items()} for key in ("sides", "clocks"))
    with at_the_root():
        run = analyze(files, Options(pictures=True, sides=sides, clocks=clocks), engine.fresh())
    finding = next((f for f in run.findings if f.code == code), None)
    options = [*(f"--side {name}={side}" for name, side in sides.items()), *(f"--clock {name}={ns}ns" for name, ns in clocks.items())]
    return None if finding is None else Shown(tuple(files), tuple(options), want["origin"], run, finding)


def picture(s: Shown) -> list[str]:
    """Return the SVG elements of a finding: what is near the proof, then the whole."""
    drawn = s.run.picture(s.finding)
    return [timeline(t) for t in filter(None, (drawn.focus, drawn.whole) if drawn else ())]


def timeline(t: Timeline) -> str:
    """Return a timeline as an element of a page, with the pattern that its bars of faults have."""
    return f'<div class="picture wide" tabindex="0"><svg class="defs" width="0" height="0">{DEFS}</svg>{drawing(t, lambda _: "")}</div>'
