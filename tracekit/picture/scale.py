"""Positions on a drawing: the axis from 0 to 1, long stretches in which nothing happens folded."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

from tracekit.timeline import Timeline

MOST_FOLDS = 10
IDLE = 0.15  # an idle stretch above this share of what is shown is folded
FOLD = 0.012  # width of a fold


@dataclass(frozen=True)
class Scale:
    """Map positions of a timeline to 0..1. `folds` are the stretches that are folded."""

    begin: int
    end: int
    folds: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, timeline: Timeline) -> "Scale":
        """Fold the longest idle stretches, one by one, until none takes more than its share. A window is never folded."""
        if not timeline.folds:
            return cls(timeline.begin, timeline.end)
        edges = {e for lane in timeline.lanes for e in lane.edges() if timeline.begin < e < timeline.end}
        idle = pairwise(sorted({timeline.begin, timeline.end, *edges}))
        windows = _Windows(timeline.shades)
        gaps = sorted((b - a, a, b) for a, b in idle if not windows.hold(a, b))
        shown, folds = timeline.end - timeline.begin, list[tuple[int, int]]()
        while gaps and len(folds) < MOST_FOLDS and gaps[-1][0] > IDLE * shown and len(gaps) > 1:
            length, a, b = gaps.pop()
            margin = sum(gap for gap, _, _ in gaps) // 40  # what lies beside a fold is not at its very edge
            if length > 2 * margin:
                folds.append((a + margin, b - margin))
                shown -= length - 2 * margin
        return cls(timeline.begin, timeline.end, tuple(sorted(folds)))

    def __call__(self, position: int) -> float:
        """Return where a position stands, 0 to 1."""
        starts = self._starts
        i = max(0, bisect_right(starts, min(max(position, self.begin), self.end)) - 1)
        start, at, rate = self._pieces[i]
        return at + (min(max(position, start), self.end) - start) * rate

    @cached_property
    def _starts(self) -> list[int]:
        return [start for start, _, _ in self._pieces]

    @cached_property
    def _pieces(self) -> list[tuple[int, float, float]]:
        """Return (first position, where it stands, width per position) of each stretch, folded or not."""
        shown = self.end - self.begin - sum(b - a for a, b in self.folds)
        rate = (1 - FOLD * len(self.folds)) / max(shown, 1)
        pieces, position, at = [], self.begin, 0.0
        for a, b in self.folds:
            pieces.append((position, at, rate))
            at += (a - position) * rate
            pieces.append((a, at, FOLD / max(b - a, 1)))
            position, at = b, at + FOLD
        return [*pieces, (position, at, rate)]

    def stretches(self) -> Iterator[tuple[int, int]]:
        """Yield the stretches that are not folded."""
        position = self.begin
        for a, b in self.folds:
            yield position, a
            position = b
        yield position, self.end


class _Windows:
    """Say whether one of some windows holds a stretch, in the time that a search takes."""

    def __init__(self, windows: Sequence[tuple[int, int]]) -> None:
        ordered = sorted(windows)
        self.begins = [begin for begin, _ in ordered]
        self.ends = list(accumulate((end for _, end in ordered), max))  # the last end of all that begin until there

    def hold(self, begin: int, end: int) -> bool:
        """Return whether a window begins no later and ends no sooner."""
        i = bisect_right(self.begins, begin) - 1
        return i >= 0 and self.ends[i] >= end
