"""Models: state machines that take rows and emit rows. They do no I/O and share no state; each stream of a replay has its own."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from functools import lru_cache, partial
from typing import Any, ClassVar, Self

import polars as pl

from tracekit.guard import guarded
from tracekit.replay.emission import Emitted, fitting_frame, frame_by_columns, joined
from tracekit.replay.inputs import Case, Inputs, Key, OfAll, OfStream, Parts
from tracekit.replay.row import Row as Row
from tracekit.replay.row import ordered, ordered_by_frames
from tracekit.replay.row import rows_of as rows_of
from tracekit.tables.declaration import Table
from tracekit.tables.envelope import SPAN_COLUMNS
from tracekit.types import ENVELOPE, Schema, event_schema

_EMITTED_AT_ONCE = 25_000
_ORDERED_AT_ONCE = 50_000


class Model:
    """A state machine over the rows of one stream (one machine and boot; sources whose order is known).

    `tables` declares the tables it emits; the envelope columns and `ts_end`, `line_end` are added, taken from the row that caused the
    emission. Methods `on_<table>(row)` take the rows of a table in the order of the stream; `on_end()` is called last.
    A model that takes more than those overrides `play` and names its inputs in `needs`; tables in `across` are handed to it whole, whatever
    stream their rows are in (definitions, snapshots); `streams` is one of them. A model with nothing but `across` runs once for the case.
    What is done with frames overrides `complete`, once for all streams, or `run`, for each stream. Rows flow upward only.

    `looks_for`: of a table with many rows of no interest, texts of which one stands in the line of each row that this model does not pass
    over. Where all that read the table say so, a large log's rows whose lines hold none of the texts may be left out, all but some.
    """

    tables: ClassVar[tuple[Table, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()
    across: ClassVar[tuple[str, ...]] = ()
    looks_for: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    gates: ClassVar[tuple[str, ...]] = ()
    handled: ClassVar[tuple[str, ...]] = ()  # the tables of its `on_` methods
    _hears: ClassVar[tuple[str, ...]] = ()
    _divided: ClassVar[tuple[str, ...]] = ()  # what it hears by streams
    _blank: ClassVar[Mapping[str, pl.DataFrame] | None] = None
    _shapes: ClassVar[Mapping[str, Schema] | None] = None
    _owned: ClassVar[Mapping[str, Set[str]] | None] = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.handled = tuple(n[3:] for n in dir(cls) if n.startswith("on_") and n != "on_end")
        cls._hears = tuple(dict.fromkeys((*cls.needs, *cls.across, *cls.handled)))
        cls._divided = tuple(name for name in cls._hears if name not in cls.across)
        cls._blank = cls._shapes = cls._owned = None

    def __init__(self) -> None:
        self._emitted: dict[str, list[Emitted]] = {name: [] for name in self.schemas()}
        self._columns = self._own_columns()
        self._moved: dict[str, set[str]] = {name: set() for name in self.schemas()}
        self._framed: dict[str, list[pl.DataFrame]] = {}  # what was emitted before, as frames: these take a tenth of the memory
        self.made: dict[str, pl.DataFrame] = {}  # what `frames` gave last
        self.unfit: list[tuple[str, Row]] = []  # rows left out of a table: a number of theirs fits no column

    @classmethod
    def hears(cls) -> tuple[str, ...]:
        """Return the tables this model takes as input."""
        return cls._hears

    @classmethod
    def emits(cls) -> tuple[str, ...]:
        """Return the names of the tables it emits."""
        return tuple(t.name for t in cls.tables)

    @classmethod
    def schemas(cls) -> Mapping[str, Schema]:
        """Return the full schemas of the tables that this model emits."""
        if cls._shapes is None:
            spans = {c.name: c.type for c in SPAN_COLUMNS}
            cls._shapes = {t.name: pl.Schema(event_schema({**spans, **t.schema})) for t in cls.tables}
        return cls._shapes

    @classmethod
    def blank(cls) -> Mapping[str, pl.DataFrame]:
        """Return a frame without rows for each table that this model emits: many small logs need no more."""
        if cls._blank is None:
            cls._blank = {name: pl.DataFrame(list(map(_no_cells, schema, schema.values()))) for name, schema in cls.schemas().items()}
        return cls._blank

    @classmethod
    def _own_columns(cls) -> Mapping[str, Set[str]]:
        """Return the columns of each table that are not those of the envelope."""
        if cls._owned is None:
            cls._owned = {name: schema.keys() - ENVELOPE.keys() for name, schema in cls.schemas().items()}
        return cls._owned

    def emit(self, table: str, row: Row, **values: Any) -> None:
        """Emit one row of `table`, placed where `row` stands; `values`: its own columns, `ts_end`, `line_end`, other places."""
        if table not in self._emitted:
            raise ValueError(f"{type(self).__name__}.tables has no table {table}")
        if not values.keys() <= self._columns[table]:
            if unknown := values.keys() - self._columns[table] - ENVELOPE.keys():
                raise ValueError(f"{type(self).__name__}.tables: {table} has no column {', '.join(sorted(unknown))}")
            self._moved[table] |= values.keys() & ENVELOPE.keys()
        emitted = self._emitted[table]
        emitted.append((row, values))
        if len(emitted) >= _EMITTED_AT_ONCE:
            self._framed.setdefault(table, []).append(self._frame(table))
            emitted.clear()

    def emit_frame(self, table: str, frame: pl.DataFrame) -> None:
        """Emit rows of `table` that are a frame, with all its columns, behind those that were emitted before."""
        check(type(self), table, frame)
        if self._emitted[table]:
            self._framed.setdefault(table, []).append(self._frame(table))
            self._emitted[table].clear()
        self._framed.setdefault(table, []).append(frame)

    def emit_all(self, table: str, rows: Sequence[Row], columns: Mapping[str, Sequence[Any]]) -> None:
        """Emit many rows of `table`, each placed where one of `rows` stands; `columns`: their own values, a column at a time."""
        try:
            self.emit_frame(table, frame_by_columns(rows, columns, self.schemas()[table]))
        except (pl.exceptions.ComputeError, OverflowError):  # a bad number costs its own row
            for row, values in zip(rows, zip(*columns.values(), strict=True), strict=True):
                self.emit(table, row, **dict(zip(columns, values, strict=True)))

    @classmethod
    def played(cls, parts: Parts) -> Iterable[tuple[str, pl.DataFrame]]:
        """Run it over every stream of the tables; yield the frames that it emits, by table."""
        return _replay_one(cls, parts)

    def on_end(self) -> None:
        """Emit what is still live, with a null `ts_end`. It is called after the last row of the stream."""

    def play(self, rows: Iterable[tuple[str, Row]], tables: Inputs) -> None:
        """Take the rows of one stream and emit. `tables`: the inputs of that stream."""
        for name, row in rows:
            handler = getattr(self, "on_" + name, None)
            if handler is not None:
                handler(row)
        self.on_end()

    @classmethod
    def complete(cls, frames: dict[str, pl.DataFrame], tables: Inputs, played: Sequence[Self]) -> dict[str, pl.DataFrame]:
        """Return the frames with what is found out sooner by frames than by rows, in their order.

        `frames`: what was emitted, of all streams; `tables`: the inputs of all streams; `played`: the machines, one a stream. No two
        streams have rows of one source.
        """
        return frames

    def run(self, rows: Iterable[tuple[str, Row]], tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
        """Take the rows of one stream; return the emitted frames. `tables`: the inputs of that stream, for models on whole frames."""
        inputs = Inputs(tables)
        self.play(rows, inputs)
        return self.complete(self.frames(), inputs, (self,))

    def frames(self) -> dict[str, pl.DataFrame]:
        """Return what was emitted so far, as frames of the declared schemas."""
        self.made = _framed((self,))
        return dict(self.made)

    def _frame(self, table: str) -> pl.DataFrame:
        """Build the frame of the rows emitted last."""
        frame, unfit = fitting_frame(self._emitted[table], self.schemas()[table], self._moved[table])
        self.unfit += [(table, row) for row in unfit]
        return frame


@lru_cache(maxsize=1024)
def _no_cells(name: str, kind: pl.DataType) -> pl.Series:
    """Return a column without rows. The tables of the models share most of theirs."""
    return pl.Series(name, [], dtype=kind)


def _framed(machines: Sequence[Model]) -> dict[str, pl.DataFrame]:
    """Return what machines of one model emitted, one after the other, as frames."""
    made: dict[str, pl.DataFrame] = {}
    for table, blank in machines[0].blank().items():
        frames: list[pl.DataFrame] = []
        last: list[Emitted] = []
        moved: set[str] = set()
        for m in machines:
            if table in m._framed:
                frames += [_last(machines, table, last, moved), *m._framed[table]] if last else m._framed[table]
                last, moved = [], set()
            if m._emitted[table]:
                last += m._emitted[table]
                moved |= m._moved[table]
        frames += [_last(machines, table, last, moved)] if last else []
        made[table] = joined(frames) if frames else blank
    return made


def _last(machines: Sequence[Model], table: str, emitted: Sequence[Emitted], moved: Set[str]) -> pl.DataFrame:
    frame, unfit = fitting_frame(emitted, machines[0].schemas()[table], moved)
    machines[-1].unfit += [(table, row) for row in unfit]
    return frame


def replay(
    models: Sequence[type[Model]],
    tables: Mapping[str, pl.DataFrame],
    streams: pl.DataFrame,
    failed: Callable[[type[Model], BaseException], None],
    left_out: Callable[[str, Row], None] = lambda table, row: None,
) -> dict[str, pl.DataFrame]:
    """Run the models over the event tables, stream by stream; return the tables they emit.

    `streams` (source String, stream Int64, merged Boolean) says which sources are one stream. A model that raises is handed to `failed` and
    emits nothing; the others go on. A row with a number that fits no column is left out of its table and handed to `left_out`.
    """
    return replay_together(models, [Case(tables, streams)], failed, left_out)[0]


def replay_together(
    models: Sequence[type[Model]],
    cases: Sequence[Case],
    failed: Callable[[type[Model], BaseException], None],
    left_out: Callable[[str, Row], None] = lambda table, row: None,
) -> list[dict[str, pl.DataFrame]]:
    """Do as `replay` for several cases in one go, which costs less than one after the other. Errors: ValueError where two have a source."""
    parts = Parts([Case({**c.tables, "streams": c.streams}, c.streams) for c in cases])
    for m in models:
        for name, rows in m.blank().items():
            parts.add(name, rows)
    for model in in_order(models, failed):
        emitted: dict[str, list[pl.DataFrame]] = {n: [parts.whole(n)] for n in model.emits()}
        with guarded(partial(failed, model)):
            for name, frame in list(model.played(parts)):
                emitted[name].append(frame)
            for name, frames in emitted.items():
                if len(frames) > 1:
                    parts.add(name, joined(frames))
        for table, row in parts.unfit:
            left_out(table, row)
        parts.unfit.clear()
    return [{n: parts.of_case(n, case) for m in models for n in m.emits()} for case in range(len(cases))]


def in_order(models: Sequence[type[Model]], failed: Callable[[type[Model], BaseException], None] | None = None) -> list[type[Model]]:
    """Sort the models, each after those whose tables it takes. Call `failed` for models that depend on each other in a circle."""
    done, circles = _sorted(tuple(models))
    for circle in circles:
        error = ValueError("models hear each other: " + ", ".join(m.__name__ for m in circle))
        if failed is None:
            raise error
        for m in circle:
            failed(m, error)
    return list(done)


@lru_cache(maxsize=16)
def _sorted(models: tuple[type[Model], ...]) -> tuple[tuple[type[Model], ...], tuple[tuple[type[Model], ...], ...]]:
    """Return (the models in order, the circles among them)."""
    before = {m: [x for x in models if x is not m and set(x.emits()) & set(m.hears())] for m in models}
    done: list[type[Model]] = []
    circles: list[tuple[type[Model], ...]] = []
    waiting = list(models)
    while waiting:
        ready = [m for m in waiting if all(x in done for x in before[m] if x in before)]
        if not ready:
            circles.append(circle := tuple(m for m in waiting if m in _upstream(m, before)))
            for m in circle:
                del before[m]
            waiting = [m for m in waiting if m not in circle]
        done += ready
        waiting = [m for m in waiting if m not in ready]
    return tuple(done), tuple(circles)


def _upstream(model: type[Model], before: Mapping[type[Model], Sequence[type[Model]]]) -> set[type[Model]]:
    """Return all models whose tables `model` takes, directly or through others."""
    found: set[type[Model]] = set()
    todo = [model]
    while todo:
        todo += (news := [x for x in before.get(todo.pop(), ()) if x not in found])
        found.update(news)
    return found


def _replay_one(model: type[Model], parts: Parts) -> Iterator[tuple[str, pl.DataFrame]]:
    """Run a model over every stream that has rows of its tables; what it emits becomes frames once for all of them, unless it makes these
    itself (`run`)."""
    streams = _streams(model, parts)
    if model.run is not Model.run:
        for key, names in streams.items():
            yield from _emitted(model, _heard(model, parts, key, names), dict(OfStream(parts, key, names, model.across)), parts.unfit)
        return
    alone = _completes(model) and len({key[::3] for key in streams}) < len(streams)
    for group in [[key] for key in streams] if alone else [list(streams)] if streams else []:
        yield from _played(model, {key: streams[key] for key in group}, parts)


def _streams(model: type[Model], parts: Parts) -> dict[Key, list[str]]:
    """Return the streams that a model is run over, in their order, each with the tables that have rows of it."""
    if not model._divided:
        return {Key(case, None, None, None): [] for case in range(len(parts.cases))}
    streams: dict[Key, list[str]] = {}
    for name in model._divided:
        if parts.height(name):
            for key in parts.keys(name):
                streams.setdefault(key, []).append(name)
    return {key: streams[key] for key in sorted(streams, key=lambda k: k.order)}


def _completes(model: type[Model]) -> bool:
    """Return whether a model does something with the frames of all streams."""
    return model.complete.__func__ is not Model.complete.__func__  # type: ignore[attr-defined]


def _played(model: type[Model], streams: Mapping[Key, Sequence[str]], parts: Parts) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield what a model emits of some streams."""
    machines = []
    for key, names in streams.items():
        machines.append(machine := model())
        machine.play(_heard(model, parts, key, names), OfStream(parts, key, names, model.across))
    made = _framed(machines)
    parts.unfit += [row for machine in machines for row in machine.unfit]
    if not _completes(model):
        yield from made.items()
        return
    tables = OfAll(parts, model.hears()) if len(streams) > 1 else OfStream(parts, *next(iter(streams.items())), model.across)
    for name, frame in model.complete(dict(made), tables, machines).items():
        if frame is not made.get(name):
            check(model, name, frame)
        yield name, frame


def _heard(model: type[Model], parts: Parts, key: Key, names: Iterable[str]) -> Iterator[tuple[str, Row]]:
    """Yield the rows of a stream that a model has a method for, in order."""
    heard = [name for name in names if name in model.handled]
    merged = (key.case, key.stream) in parts.merged
    if all(map(parts.few, heard)):
        return ordered({name: parts.rows(name)[key] for name in heard}, merged)
    frames = {name: parts.frames(name)[key] for name in heard}
    if sum(frame.height for frame in frames.values()) > _ORDERED_AT_ONCE:
        return ordered_by_frames(frames, merged)
    return ordered({name: list(rows_of(frame)) for name, frame in frames.items()}, merged)


def _emitted(
    model: type[Model], rows: Iterable[tuple[str, Row]], tables: Mapping[str, pl.DataFrame], unfit: list[tuple[str, Row]]
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield what a model emits of a stream, if it is what the model declares; one that works on whole frames makes them itself.

    `unfit` is given the rows that the model leaves out.
    """
    machine = model()
    for name, frame in machine.run(rows, tables).items():
        if frame is not machine.made.get(name):
            check(model, name, frame)
        yield name, frame
    unfit += machine.unfit


def check(model: type[Model], name: str, frame: pl.DataFrame) -> None:
    """Errors: TypeError, ValueError when a frame has not the columns that the model declares."""
    if not isinstance(frame, pl.DataFrame):
        raise TypeError(f"{model.__name__} emits {name!r:.100} as a {type(frame).__name__}, not a polars.DataFrame")
    blank, shapes = model.blank(), model.schemas()
    if name not in blank:
        raise ValueError(f"{model.__name__}.tables has no table {name}")
    if frame is not blank[name] and frame.schema != shapes[name]:
        given, declared = set(frame.schema.items()), set(shapes[name].items())
        differ = sorted({column for column, _ in given ^ declared}) or ["their order"]
        raise ValueError(f"{model.__name__} emits {name} with other columns than its tables declare: {', '.join(differ)}")
