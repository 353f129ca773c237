"""The picture of a finding: its lanes in order, the windows shaded, and the part to look at first."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import polars as pl

from tracekit.diagnosing.places import Place, Places
from tracekit.findings import Finding
from tracekit.guard import guarded
from tracekit.picture.lane import LaneSource
from tracekit.picture.scale import Scale
from tracekit.picture.scene import Scene
from tracekit.timeline import Bar, Lane, Picture, Timeline

FEWEST = 3  # bars and marks below which a picture says no more than the lines do
NARROW = 0.08  # share of the width below which the proof gets a picture of its own
AROUND = 0.6  # of the proof's length, on both sides of it

_DATED = ("wall clock", "unix time", "time of day")  # what such clocks are called (tracekit/parsing/stamps.py)

Failed = Callable[[LaneSource, BaseException], object]


def picture(f: Finding, places: Places, sources: Iterable[LaneSource], failed: Failed, clock: str = "") -> Picture | None:
    """Draw a finding; None for what only informs, and where the tables hold too little.

    A lane that raises is given to `failed`, the others stay.
    """
    if f.grade is None:
        return None
    wanted = sorted((s for s in sources if f.subject.kind in s.about and (not s.of or {f.code, f.name} & set(s.of))), key=lambda s: s.order)
    place = Place(f.machine, f.boot)
    names = {table for s in wanted for table in s.reads} | {"devices"}
    tables = {n: rows for n in names if (rows := places.across(place, n)) is not None}
    scene = Scene(f.subject, tables, _lines(f))
    lanes = list(_lanes(wanted, scene, failed))
    edges = [e for lane in lanes for e in lane.edges()]
    if sum(len(lane.bars) + len(lane.marks) for lane in lanes) < FEWEST or min(edges) == max(edges):
        return None
    used = tuple(dict.fromkeys(source for lane in lanes for source in lane.sources()))
    clock, dated = clock if len(used) > 1 else "", _dated(used, places.across(place, "sources"))
    whole = Timeline(f.subject.label, scene.unit, min(edges), max(edges), tuple(lanes), _shades(lanes), used, clock, dated)
    part = _part(whole, _proof(f, lanes))
    if part is None:
        return Picture(whole)
    nearer = replace(whole, lanes=tuple(_lanes(wanted, scene.within(*part), failed)))
    return Picture(whole, nearer.cut(*part))


def _dated(used: Sequence[str], sources: pl.DataFrame | None) -> bool:
    """Return whether the stamps of all sources are dates and times."""
    told = dict(sources.select("source", "clock").iter_rows()) if sources is not None else {}
    return bool(used) and all(told.get(source, "").startswith(_DATED) for source in used)


def _lanes(sources: Iterable[LaneSource], scene: Scene, failed: Failed) -> Iterator[Lane]:
    for source in sources:
        found: list[Lane] = []
        with guarded(partial(failed, source)):
            found += [lane for lane in source.function(scene) if lane.bars or lane.marks]
        yield from found


def _shades(lanes: Iterable[Lane]) -> tuple[tuple[int, int], ...]:
    """Return the windows: what the other lanes show there explains the fault."""
    return tuple((b.begin, b.end) for lane in lanes if lane.shades for b in lane.bars if b.tone == "bad" and b.end is not None)


def _lines(f: Finding) -> Mapping[str, set[int]]:
    lines: dict[str, set[int]] = {}
    for e in f.evidence:
        lines.setdefault(e.source, set()).update(range(e.line, min(e.line_end or e.line, e.line + 100) + 1))
    return lines


def _proof(f: Finding, lanes: Sequence[Lane]) -> tuple[int, int] | None:
    """Return where the worst bar on a line of the evidence begins and ends: the longest window, else the longest refusal."""
    lines = _lines(f)
    bad = [
        (lane.shades, b.end - b.begin, b)
        for lane in lanes
        for b in lane.bars
        if b.tone == "bad" and b.end is not None and _touches(b, lines.get(b.source, set()))
    ]
    best = max(bad, key=lambda x: x[:2], default=None)
    return (best[2].begin, best[2].end or best[2].begin) if best else None


def _touches(bar: Bar, lines: set[int]) -> bool:
    return not lines.isdisjoint(range(bar.line, min(bar.line_end or bar.line, bar.line + 5000) + 1))


def _part(whole: Timeline, proof: tuple[int, int] | None) -> tuple[int, int] | None:
    """Return what to show around the proof, where the whole does not show it."""
    if proof is None:
        return None
    begin, end = proof
    scale = Scale.of(whole)
    if scale(end) - scale(begin) >= NARROW:
        return None
    margin = int((end - begin) * AROUND)
    return max(whole.begin, begin - margin), min(whole.end, end + margin)
