"""The inputs of models: the tables of one case, or of several that are replayed in one go, by machine, boot and stream."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import polars as pl

from tracekit.replay.emission import joined
from tracekit.replay.row import Row, rows_of

_SHARED = 8192  # rows of a table up to which they are made once for all models, and kept


class Key(NamedTuple):
    """One stream of one case."""

    case: int
    machine: str | None
    boot: int | None
    stream: int | None

    @property
    def order(self) -> tuple[int, str, int, int]:
        """Return what streams are sorted by."""
        return self.case, str(self.machine), self.boot or 0, self.stream or 0


class Case(NamedTuple):
    """The tables of a case; `streams` says which of its sources are one stream."""

    tables: Mapping[str, pl.DataFrame]
    streams: pl.DataFrame


class Parts:
    """The tables of the cases, each divided once, however many models take it: by case, and by machine, boot and stream.

    Cases are told apart by their sources, of which none is in two.
    """

    def __init__(self, cases: Sequence[Case]) -> None:
        self.cases = cases
        self.place: dict[str, tuple[int, int]] = {}  # source -> its case and stream
        self.merged: set[tuple[int, int]] = set()
        for number, case in enumerate(cases):
            for source, stream, merged in zip(*(case.streams[name].to_list() for name in ("source", "stream", "merged")), strict=True):
                if self.place.setdefault(source, (number, stream))[0] != number:
                    raise ValueError(f"{source} is a source of two cases")
                if merged:
                    self.merged.add((number, stream))
        self.unfit: list[tuple[str, Row]] = []  # rows that a model left out of a table
        self._whole: dict[str, pl.DataFrame] = {}
        self._heights: dict[str, int] = {}
        self._of_cases: dict[str, Sequence[pl.DataFrame]] = {}
        self._frames: dict[str, dict[Key, pl.DataFrame]] = {}
        self._rows: dict[str, dict[Key, list[Row]]] = {}
        self._rows_of_cases: dict[str, dict[int, list[Sequence[Row]]]] = {}
        for name in dict.fromkeys(name for case in cases for name in case.tables):
            given = [case.tables[name] for case in cases if name in case.tables]
            self._heights[name] = sum(frame.height for frame in given)
            if len(given) < len(cases):
                blank = given[0].clear()
                given = [case.tables.get(name, blank) for case in cases]
            self._of_cases[name] = given

    def __contains__(self, name: str) -> bool:
        return name in self._heights

    def add(self, name: str, frame: pl.DataFrame) -> None:
        """Take a table that a model made, in place of what it was: rows of all cases."""
        self._of_cases.pop(name, None)
        self._frames.pop(name, None)
        self._rows.pop(name, None)
        self._rows_of_cases.pop(name, None)
        self._whole[name], self._heights[name] = frame, frame.height

    def whole(self, name: str) -> pl.DataFrame:
        """Return the rows of a table, of all cases."""
        if name not in self._whole:
            self._whole[name] = joined(self._of_cases[name])
        return self._whole[name]

    def of_case(self, name: str, case: int) -> pl.DataFrame:
        """Return the rows of a table of one case."""
        if name not in self._of_cases:
            self._of_cases[name] = self._by_case(self._whole[name])
        return self._of_cases[name][case]

    def _by_case(self, frame: pl.DataFrame) -> Sequence[pl.DataFrame]:
        if len(self.cases) == 1:
            return [frame]
        if frame.is_empty():
            return [frame] * len(self.cases)
        cases = [self.place[source][0] for source in frame["source"].to_list()]
        bounds = [0, *(i for i in range(1, len(cases)) if cases[i] != cases[i - 1]), len(cases)]
        blank, found = frame.clear(), dict[int, pl.DataFrame]()
        for begin, end in pairwise(bounds):
            part = frame.slice(begin, end - begin)
            found[cases[begin]] = part if cases[begin] not in found else found[cases[begin]].vstack(part)
        return [found.get(case, blank) for case in range(len(self.cases))]

    def few(self, name: str) -> bool:
        """Return whether the rows of a table are few enough to be kept as rows."""
        return self.height(name) <= _SHARED

    def height(self, name: str) -> int:
        """Return how many rows a table has, of all cases."""
        return self._heights.get(name, 0)

    def keys(self, name: str) -> Iterator[Key]:
        """Return the streams that a table has rows of."""
        return iter(self.rows(name) if self.few(name) else self.frames(name))

    def frames(self, name: str) -> Mapping[Key, pl.DataFrame]:
        """Return stream -> rows of the table, in its order."""
        if name not in self._frames:
            self._frames[name] = self._divided(self.whole(name))
        return self._frames[name]

    def _divided(self, frame: pl.DataFrame) -> dict[Key, pl.DataFrame]:
        if (only := self._only(frame)) is not None:
            return {only: frame}

        def place(number: int) -> pl.Expr:
            numbers = {source: place[number] for source, place in self.place.items()}
            return pl.col("source").replace_strict(numbers, default=None, return_dtype=pl.Int64)

        by = {"of case": place(0), "of machine": pl.col("machine"), "of boot": pl.col("boot"), "of stream": place(1)}
        placed = frame.with_columns(**by)
        keys = placed.select(*by).unique(maintain_order=True).rows()
        parts = placed.partition_by(*by, maintain_order=True, include_key=False)  # as a dictionary it would look for the key of each part
        return {Key(case or 0, *others): part for (case, *others), part in zip(keys, parts, strict=True)}

    def _only(self, frame: pl.DataFrame) -> Key | None:
        """Return the stream of all rows, null where they are of several."""
        of = ("source", "machine", "boot")
        if frame.height > _SHARED:  # a column of one value stays one value: as a series of its own it takes memory for each row
            if frame.select(pl.col(of).n_unique()).row(0) != (1, 1, 1):
                return None
            frame = frame.head(1)
        if any(frame[c].n_unique() != 1 for c in of):
            return None
        source, machine, boot = (frame[c][0] for c in of)
        case, stream = self.place.get(source, (0, None))
        return Key(case, machine, boot, stream)

    def rows(self, name: str) -> Mapping[Key, Sequence[Row]]:
        """Return stream -> rows of the table, in its order, as models hear them; those of a table of few rows are kept."""
        if name in self._rows:
            return self._rows[name]
        frame, found = self.whole(name), dict[Key, list[Row]]()
        if (only := self._only(frame)) is not None:
            found[only] = list(rows_of(frame))
        else:
            lists: dict[tuple[str, str | None, int | None], list[Row]] = {}
            for row in rows_of(frame):
                of = (row.source, row.machine, row.boot)
                if (mine := lists.get(of)) is None:
                    case, stream = self.place.get(row.source, (0, None))
                    mine = lists[of] = found.setdefault(Key(case, row.machine, row.boot, stream), [])
                mine.append(row)
        if self.few(name):
            self._rows[name] = found
        return found

    def rows_of_case(self, name: str, case: int) -> Sequence[Row]:
        """Return the rows of a table of one case."""
        if not self.few(name):
            return list(rows_of(self.of_case(name, case)))
        if name not in self._rows_of_cases:
            self._rows_of_cases[name] = by_case = dict[int, list[Sequence[Row]]]()
            for key, rows in self.rows(name).items():
                by_case.setdefault(key.case, []).append(rows)
        parts = self._rows_of_cases[name].get(case, [])
        return parts[0] if len(parts) == 1 else list(rows_of(self.of_case(name, case))) if parts else []


class Inputs(Mapping[str, pl.DataFrame]):
    """The tables that a model takes, by name; `rows` gives the same as rows, which is sooner done where they are few."""

    def __init__(self, tables: Mapping[str, pl.DataFrame]) -> None:
        self._tables = tables

    def __getitem__(self, name: str) -> pl.DataFrame:
        return self._tables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    def rows(self, name: str) -> Sequence[Row]:
        """Return the rows of a table, in its order; none where the stream has none."""
        return list(rows_of(self[name])) if name in self else ()

    def sources(self, name: str) -> set[str]:
        """Return the sources that a table has rows of."""
        return set(self[name]["source"].unique().to_list()) if name in self else set()

    def height(self, *names: str) -> int:
        """Return how many rows some tables have together."""
        return sum(self[name].height for name in names if name in self)


class OfStream(Inputs):
    """The tables of one stream: those that have rows of it, and of its case those that the model takes whole."""

    def __init__(self, parts: Parts, key: Key, names: Sequence[str], across: Sequence[str]) -> None:
        self.parts, self.key, self.names = parts, key, frozenset(names)
        self.across = frozenset(name for name in across if name in parts)

    def __getitem__(self, name: str) -> pl.DataFrame:
        if name in self.across:
            return self.parts.of_case(name, self.key.case)
        if name not in self.names:
            raise KeyError(name)
        return self.parts.frames(name)[self.key]

    def __contains__(self, name: object) -> bool:
        return name in self.names or name in self.across

    def __iter__(self) -> Iterator[str]:
        yield from self.names
        yield from self.across - self.names

    def __len__(self) -> int:
        return len(self.names | self.across)

    def rows(self, name: str) -> Sequence[Row]:
        if name in self.across:
            return self.parts.rows_of_case(name, self.key.case)
        if name not in self.names:
            return ()
        return self.parts.rows(name)[self.key] if self.parts.few(name) else list(rows_of(self[name]))

    def sources(self, name: str) -> set[str]:
        return {row.source for row in self.rows(name)} if name in self.names and self.parts.few(name) else super().sources(name)

    def height(self, *names: str) -> int:
        return sum(self._height(name) for name in names)

    def _height(self, name: str) -> int:
        if name in self.across:
            return self.parts.of_case(name, self.key.case).height if self.parts.height(name) else 0
        if name not in self.names:
            return 0
        return len(self.parts.rows(name)[self.key]) if self.parts.few(name) else self[name].height


class OfAll(Inputs):
    """The tables that have rows, of all streams and cases."""

    def __init__(self, parts: Parts, names: Sequence[str]) -> None:
        super().__init__({name: parts.whole(name) for name in names if name in parts and parts.whole(name).height})
        self.parts = parts

    def rows(self, name: str) -> Sequence[Row]:
        """Return the rows of a table, those of each source in its order."""
        if name not in self:
            return ()
        return [row for rows in self.parts.rows(name).values() for row in rows]
