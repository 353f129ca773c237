"""The replay of many small cases in one go: a model's work on frames is done once for all of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from tracekit.guard import guarded
from tracekit.replay.inputs import Case
from tracekit.replay.model import Model, Row, replay_together

_SMALL = 20_000  # rows of a case up to which it is replayed with others
_AT_ONCE = 40_000  # rows of cases that are replayed in one go


@dataclass(frozen=True)
class Replayed:
    """Hold the tables that the models made of a case, and the lines of rows left out of one, by source and table."""

    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    left_out: Mapping[tuple[str, str], Sequence[int]] = field(default_factory=dict)

    def notes(self, path: str) -> Iterator[str]:
        """Yield a note for each table of the model that rows of a source are left out of."""
        for (source, name), lines in self.left_out.items():
            if source == path:
                yield f"line {min(lines)}: a number that fits no column of {name} ({len(lines)} rows left out)"


class _Failed(Exception):
    """A model raised."""


def replayed(models: Sequence[type[Model]], cases: Sequence[Case]) -> list[Replayed | None]:
    """Replay the small ones of some cases in one go, as if each were replayed alone.

    Null for a case that is to be replayed alone: it is large, or a model raised at one of those beside it, and must tell at which.
    """
    done: list[Replayed | None] = [None] * len(cases)
    for numbers in _groups(cases):
        with guarded(lambda _: None):
            for number, result in zip(numbers, _together(models, [cases[n] for n in numbers]), strict=True):
                done[number] = result
    return done


def _groups(cases: Sequence[Case]) -> Iterator[list[int]]:
    """Yield the numbers of the cases that are replayed in one go."""
    group: list[int] = []
    rows = 0
    for number, case in enumerate(cases):
        mine = sum(frame.height for frame in case.tables.values())
        if mine > _SMALL:
            continue
        if group and rows + mine > _AT_ONCE:
            yield group
            group, rows = [], 0
        group.append(number)
        rows += mine
    if len(group) > 1:
        yield group


def _together(models: Sequence[type[Model]], cases: Sequence[Case]) -> list[Replayed]:
    """Errors: _Failed where a model raises, ValueError where two cases have a source."""

    def failed(model: type[Model], error: BaseException) -> None:
        raise _Failed(model.__name__) from error

    left_out = LeftOut()
    tables = replay_together(models, cases, failed, left_out.add)
    return [Replayed(made, left_out.of(case.streams["source"])) for made, case in zip(tables, cases, strict=True)]


class LeftOut:
    """The lines of rows left out of a table, by source and table."""

    def __init__(self) -> None:
        self.lines: dict[tuple[str, str], list[int]] = {}

    def add(self, table: str, row: Row) -> None:
        """Take a row."""
        self.lines.setdefault((row.source, table), []).append(row.line)

    def of(self, sources: Iterable[str]) -> Mapping[tuple[str, str], Sequence[int]]:
        """Return the lines of some sources."""
        mine = set(sources) if self.lines else set()
        return {key: lines for key, lines in self.lines.items() if key[0] in mine}
