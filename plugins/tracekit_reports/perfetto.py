"""The pictures of a run as a trace for ui.perfetto.dev and its trace processor: a track for each device and lane.

The numbers are those of Perfetto's public protos: `perfetto_trace.proto`, messages Trace, TracePacket, TrackDescriptor, TrackEvent.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from tracekit import Bar, Finding, Lane, Mark, Picture, Run, Timeline
from tracekit_reports.protobuf import Field, message
from tracekit_reports.story import confidence, headline, places, settings, story, visible

_PACKET = 1  # of Trace
_TIME, _EVENT, _SEQUENCE, _FLAGS, _TRACK = 8, 11, 10, 13, 60  # of TracePacket
_UUID, _NAME, _PARENT, _COUNTER, _ORDERING, _RANK, _DESCRIPTION = 1, 2, 5, 8, 11, 12, 14  # of TrackDescriptor
_EXPLICIT = 3  # ordering of the tracks below: by rank
_UNIT, _COUNT = 3, 2  # of CounterDescriptor
_NOTES, _TYPE, _OF, _CATEGORY, _TITLE, _VALUE = 4, 9, 11, 22, 23, 30  # of TrackEvent
_BEGIN, _END, _INSTANT, _SAMPLE = 1, 2, 3, 4  # types of TrackEvent
_NOTE, _NUMBER, _TEXT = 10, 4, 6  # of DebugAnnotation
_ONE, _CLEARED = 1, 1  # the one sequence of packets, and that it begins
_LATEST = 2**63 - 1
_FOREVER = 2**64

Notes = tuple[tuple[str, str | int | None], ...]


@dataclass(frozen=True, slots=True)
class Slice:
    """Stand for a bar, marks, or a finding. `end` None: it lasts to the end of the recording, or is a moment."""

    begin: int
    end: int | None
    name: str
    category: str
    notes: Notes

    @property
    def last(self) -> int:
        """Return its end, or a moment behind all others."""
        return _FOREVER if self.end is None else max(self.begin, self.end)


@dataclass(frozen=True, slots=True)
class Track:
    """Hold the slices and instants of one lane, and its counts where moments are counted together."""

    name: str
    slices: tuple[Slice, ...]
    instants: tuple[Slice, ...] = ()
    counts: tuple[tuple[int, int], ...] = ()  # from when on, how many


class PerfettoReport:
    """`--format perfetto`: a trace with the lanes of each device, in ns of the log's clock, below its findings."""

    name = "perfetto"
    draws = True
    binary = True

    def write(self, run: Run, options: Mapping[str, Any]) -> bytes:
        """Return the trace. The instant on its first track is what the first line of every report says."""
        return b"".join(message([(_PACKET, packet)]) for packet in _packets(run))


def _packets(run: Run) -> Iterator[bytes]:
    devices, numbers = _devices(run), count(1)
    begins = [p.whole.begin for drawn in devices.values() for _, p in drawn]
    shift = -min(0, 0, *begins)
    yield _track(top := next(numbers), None, 0, "tracekit", flags=_CLEARED)
    events = [(min(begins, default=0), _event(_INSTANT, top, _told(run)))]
    for rank, (device, drawn) in enumerate(devices.items(), 1):
        yield _track(parent := next(numbers), None, rank, device, _clock([p.whole for _, p in drawn], shift))
        for row, track in enumerate(_tracks(drawn)):
            for slices in _rows(track.slices) or [[]]:
                yield _track(own := next(numbers), parent, row, track.name)
                events += _nested(own, slices)
            events += [(i.begin, _event(_INSTANT, own, i)) for i in track.instants]
            if track.counts:
                yield _track(own := next(numbers), parent, row, f"{track.name}, how many", counter=True)
                events += [(at, message([(_TYPE, _SAMPLE), (_OF, own), (_VALUE, many)])) for at, many in track.counts]
    for at, event in sorted(events, key=lambda e: e[0]):
        yield message([(_TIME, _number(at + shift)), (_EVENT, event), (_SEQUENCE, _ONE)])


def _told(run: Run) -> Slice:
    """Return what no lane shows: the headline; as its notes doubts, what settings hide, findings without a picture."""
    hidden = [f for f in run.findings if f.grade is not None and run.picture(f) is None]
    notes = [
        *(("not to be trusted", d.text) for d in run.doubts),
        *(("settings", text) for text in settings(run)),
        *(("not drawn", f"{f.code} {f.name}, {confidence(f)}: {f.summary} ({places(f)})") for f in hidden),
    ]
    return Slice(0, None, headline(run, story(run)), "", tuple(notes))


def _devices(run: Run) -> dict[str, list[tuple[Finding, Picture]]]:
    """Return the findings that are drawn, by device; one device in two boots, or on two axes, is two."""
    boots = len({f.boot for f in run.findings}) > 1
    drawn: dict[str, list[tuple[Finding, Picture]]] = {}
    for f in run.findings:
        if picture := run.picture(f):
            parts = (f.machine, picture.whole.subject, f"boot {f.boot}" if boots else "", "by line" if picture.whole.unit == "line" else "")
            drawn.setdefault(visible(" ".join(filter(None, parts))), []).append((f, picture))
    return drawn


def _clock(timelines: Sequence[Timeline], shift: int) -> str:
    """Return what the times of a device are."""
    unit = "No line has a stamp: 1 ns is 1 line." if timelines[0].unit == "line" else "Times are ns of the log's clock."
    later = f" All times are {shift} ns later than there, because a trace has none below 0." if shift else ""
    return unit + later + "".join(f" {visible(text)}" for text in dict.fromkeys(t.clock for t in timelines) if text)


def _tracks(drawn: Sequence[tuple[Finding, Picture]]) -> Iterator[Track]:
    """Yield the track of the findings, then one for each lane; lanes that several findings show are one."""
    yield Track("findings", tuple(_finding(f, picture) for f, picture in drawn))
    names = dict.fromkeys((lane.name, lane.table) for _, p in drawn for lane in p.whole.lanes)
    for name, table in names:
        bars = dict.fromkeys(bar for _, p in drawn for lane in _lanes(p.whole, name, table) for bar in lane.bars)
        marks = dict.fromkeys(mark for _, p in drawn for lane in _lanes(p.whole, name, table) for mark in lane.marks)
        single = dict.fromkeys(_nearer(marks, [p.focus for _, p in drawn if p.focus], name, table))
        slices = (*(_slice(bar, table) for bar in bars), *(_slice(mark, table) for mark in single if mark.count > 1))
        instants = tuple(_slice(mark, table) for mark in single if mark.count == 1)
        yield Track(visible(name), slices, instants, tuple(_counts(list(marks))))


def _lanes(t: Timeline, name: str, table: str) -> Iterator[Lane]:
    yield from (lane for lane in t.lanes if (lane.name, lane.table) == (name, table))


def _nearer(marks: Iterable[Mark], parts: Sequence[Timeline], name: str, table: str) -> Iterator[Mark]:
    """Yield the marks; in place of groups inside a part that is drawn nearer, those of that part."""
    yield from (m for m in marks if m.count == 1 or not any(t.begin <= m.at and (m.end or m.at) <= t.end for t in parts))
    yield from (mark for t in parts for lane in _lanes(t, name, table) for mark in lane.marks)


def _counts(marks: Sequence[Mark]) -> Iterator[tuple[int, int]]:
    """Yield how many moments a group holds, from its begin, and 0 where nothing follows for as long as it lasts.

    Nothing where no moments are counted together.
    """
    if all(m.count == 1 for m in marks):
        return
    ordered = sorted(marks, key=lambda m: m.at)
    for m, following in zip(ordered, [*ordered[1:], None], strict=True):
        yield m.at, m.count
        last = max(m.end or m.at, m.at)
        if following is None or following.at - last - 1 > last - m.at:
            yield last + 1, 0


def _finding(f: Finding, picture: Picture) -> Slice:
    """Return a finding over the part that its proof lies in."""
    part = picture.focus or picture.whole
    about = (("device", f.subject.label), ("grade", confidence(f)), ("severity", f.severity), ("explained_by", f.explained_by))
    notes = (*about, ("lines", places(f)), ("advice", f.advice or None))
    return Slice(part.begin, part.end, visible(f"{f.code} {f.name}: {f.summary}"), f.grade or "", notes)


def _slice(item: Bar | Mark, table: str) -> Slice:
    many = item.count if isinstance(item, Mark) and item.count > 1 else None
    name = f"{many} times {item.text}" if many else item.text
    last = item.line_end if isinstance(item, Bar) else None
    notes = (("source", item.source), ("line", item.line), ("line_end", last), ("count", many), ("table", table))
    return Slice(item.begin if isinstance(item, Bar) else item.at, item.end, visible(name), item.tone, notes)


def _rows(slices: Iterable[Slice]) -> list[list[Slice]]:
    """Return rows in which every two slices are apart or one within the other: what a track can hold."""
    rows: list[tuple[list[Slice], list[int]]] = []  # and the ends of the slices that are open in it
    for s in sorted(slices, key=lambda s: (s.begin, -s.last)):
        for _, ends in rows:
            while ends and ends[-1] <= s.begin:
                ends.pop()
        row, ends = next((r for r in rows if not r[1] or s.last <= r[1][-1]), ([], []))
        if not row:
            rows.append((row, ends))
        row.append(s)
        ends.append(s.last)
    return [row for row, _ in rows]


def _nested(track: int, slices: Iterable[Slice]) -> Iterator[tuple[int, bytes]]:
    """Yield the begins and ends of the slices of a row by time; an inner one ends before the outer one."""
    ends: list[int] = []

    def ended(until: int) -> Iterator[tuple[int, bytes]]:
        while ends and ends[-1] <= until:
            yield ends.pop(), message([(_TYPE, _END), (_OF, track)])

    for s in slices:
        yield from ended(s.begin)
        yield s.begin, _event(_BEGIN, track, s)
        ends.append(s.last)
    yield from ended(_FOREVER - 1)


def _event(kind: int, track: int, s: Slice) -> bytes:
    notes = [(_NOTES, _note(name, value)) for name, value in s.notes if value is not None]
    return message([(_TYPE, kind), (_OF, track), (_CATEGORY, s.category or None), (_TITLE, s.name), *notes])


def _note(name: str, value: str | int) -> bytes:
    return message([(_NOTE, name), (_NUMBER, _number(value)) if isinstance(value, int) else (_TEXT, visible(value))])


def _number(value: int) -> int:
    """Return a number as far as a trace can hold it."""
    return min(max(value, -_LATEST), _LATEST)


def _track(number: int, parent: int | None, rank: int, name: str, told: str = "", flags: int | None = None, counter: bool = False) -> bytes:
    """Return the packet that describes a track. Tracks are drawn by `rank` below their parent."""
    counted = message([(_UNIT, _COUNT)]) if counter else None
    named: list[Field] = [(_UUID, number), (_NAME, name), (_PARENT, parent), (_DESCRIPTION, told or None), (_COUNTER, counted)]
    placed: list[Field] = [(_ORDERING, _EXPLICIT if parent is None else None), (_RANK, rank)]
    return message([(_TRACK, message([*named, *placed])), (_SEQUENCE, _ONE), (_FLAGS, flags)])
