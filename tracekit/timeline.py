"""Values of a picture: lanes of bars and marks over one axis. Reports draw them; nothing here knows how."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Literal, get_args

# What a bar or mark means; a report gives each tone a colour, and `bad` a pattern too.
Tone = Literal["good", "bad", "calm", "vectors", "domain", "handler"]
TONES: tuple[str, ...] = get_args(Tone)
Unit = Literal["ns", "line"]
Where = Callable[[str, int], tuple[str, int]]  # a source and a line of it to the file and line that a user sees


@dataclass(frozen=True, slots=True)
class Bar:
    """Show a state or an operation. `end` None: it lasts to the end of the recording. `line` to `line_end` of `source` show it."""

    begin: int
    end: int | None
    text: str
    tone: Tone
    source: str
    line: int
    line_end: int | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """Show one moment, or `count` of them between `at` and `end`."""

    at: int
    text: str
    tone: Tone
    source: str
    line: int
    end: int | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Lane:
    """The states or events of one kind over time. `table` is the table of its rows; `shades`: its bad bars are shaded through all lanes."""

    name: str
    table: str
    bars: tuple[Bar, ...] = ()
    marks: tuple[Mark, ...] = ()
    shades: bool = False

    def placed(self, place: Where) -> "Lane":
        """Return the lane with the files and lines of joined logs. A bar that ends in another file has no last line."""
        return replace(self, bars=tuple(_placed(b, place) for b in self.bars), marks=tuple(_at(m, place) for m in self.marks))

    def sources(self) -> Iterator[str]:
        """Yield the source of every bar and mark."""
        yield from (bar.source for bar in self.bars)
        yield from (mark.source for mark in self.marks)

    def edges(self) -> Iterator[int]:
        """Yield every position at which something begins or ends."""
        for bar in self.bars:
            yield bar.begin
            if bar.end is not None:
                yield bar.end
        for mark in self.marks:
            yield mark.at
            if mark.end is not None:
                yield mark.end


@dataclass(frozen=True, slots=True)
class Timeline:
    """The lanes of one subject. Positions are ns on the clock of the case, or lines of the only source where nothing has a stamp.

    `shades` (begin, end): the windows without interrupts. `clock` says how the sources' clocks relate, `sources` which are drawn. `dated`:
    positions are dates and times, ns since 1970 (1972 where the log has no year).
    """

    subject: str
    unit: Unit
    begin: int
    end: int
    lanes: tuple[Lane, ...]
    shades: tuple[tuple[int, int], ...] = ()
    sources: tuple[str, ...] = ()
    clock: str = ""
    dated: bool = False
    folds: bool = True  # long stretches in which nothing happens are folded

    def _repr_html_(self) -> str:
        return str(import_module("tracekit.reporting").drawing(self))

    def placed(self, place: Where) -> "Timeline":
        """Return the timeline with the files and lines of joined logs."""
        lanes = tuple(lane.placed(place) for lane in self.lanes)
        return replace(self, lanes=lanes, sources=tuple(dict.fromkeys(source for lane in lanes for source in lane.sources())))

    def cut(self, begin: int, end: int) -> "Timeline":
        """Return the part between two positions, on an axis without folds; lanes with nothing there stay."""
        lanes = tuple(
            replace(
                lane,
                bars=tuple(_clipped(b, begin, end) for b in lane.bars if b.begin <= end and (b.end is None or b.end >= begin)),
                marks=tuple(m for m in lane.marks if begin <= m.at <= end),
            )
            for lane in self.lanes
        )
        shades = tuple((max(a, begin), min(b, end)) for a, b in self.shades if a <= end and b >= begin)
        return replace(self, begin=begin, end=end, lanes=lanes, shades=shades, folds=False)


def _at(mark: Mark, place: Where) -> Mark:
    source, line = place(mark.source, mark.line)
    return replace(mark, source=source, line=line)


def _placed(bar: Bar, place: Where) -> Bar:
    source, line = place(bar.source, bar.line)
    last, end = place(bar.source, bar.line_end) if bar.line_end is not None else ("", None)
    return replace(bar, source=source, line=line, line_end=end if last == source else None)


def _clipped(bar: Bar, begin: int, end: int) -> Bar:
    return replace(bar, begin=max(bar.begin, begin), end=None if bar.end is None or bar.end > end else bar.end)


@dataclass(frozen=True, slots=True)
class Picture:
    """The drawing of a finding: the whole, and the part that its proof lies in where the whole is too long to show it."""

    whole: Timeline
    focus: Timeline | None = None
