"""Models: state machines that take rows and emit rows. They do no I/O and share no state; each stream of a replay has its own."""

from collections import namedtuple
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from functools import lru_cache, partial
from itertools import repeat
from operator import attrgetter
from types import SimpleNamespace
from typing import Any, ClassVar

import polars as pl

from tracekit.guard import guarded
from tracekit.tables.declaration import Table
from tracekit.tables.envelope import SPAN_COLUMNS
from tracekit.types import ENVELOPE, Schema, event_schema

# A row as a model hears it: one attribute a column (`e.irq`, `e.line`); made of a table it is a tuple with names, which is cheaper.
Row = SimpleNamespace
ROWS_AT_ONCE = 8192
_EMITTED_AT_ONCE = 50_000
_ORDERED_AT_ONCE = 50_000
_CHUNKS = 64  # of a frame: what polars does with a frame takes longer for each
_FEW = 30  # rows up to which a frame is made sooner row by row than column by column


class Model:
    """A state machine over the rows of one stream (one machine and boot; sources whose order is known).

    `tables` declares the tables it emits; the envelope columns and `ts_end`, `line_end` are added, taken from the row that caused the
    emission. Methods `on_<table>(row)` take the rows of a table in the order of the stream; `on_end()` is called last.
    A model that works on whole frames overrides `run` and names its inputs in `needs`; tables in `across` are handed to it whole, whatever
    stream their rows are in (definitions, snapshots); `streams` is one of them. A model with nothing but `across` runs once for the case.
    Rows flow upward only.
    """

    tables: ClassVar[tuple[Table, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()
    across: ClassVar[tuple[str, ...]] = ()
    gates: ClassVar[tuple[str, ...]] = ()
    handled: ClassVar[tuple[str, ...]] = ()  # the tables of its `on_` methods
    _hears: ClassVar[tuple[str, ...]] = ()
    _blank: ClassVar[Mapping[str, pl.DataFrame] | None] = None
    _shapes: ClassVar[Mapping[str, Schema] | None] = None
    _owned: ClassVar[Mapping[str, Set[str]] | None] = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.handled = tuple(n[3:] for n in dir(cls) if n.startswith("on_") and n != "on_end")
        cls._hears = tuple(dict.fromkeys((*cls.needs, *cls.across, *cls.handled)))
        cls._blank = cls._shapes = cls._owned = None

    def __init__(self) -> None:
        self._emitted: dict[str, list[tuple[Row, dict[str, Any]]]] = {name: [] for name in self.schemas()}
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

    @classmethod
    def played(cls, tables: Mapping[str, pl.DataFrame], parts: "Parts") -> Iterable[tuple[str, pl.DataFrame]]:
        """Run it over every stream of the tables; yield the frames that it emits, by table."""
        return _replay_one(cls, tables, parts)

    def on_end(self) -> None:
        """Emit what is still live, with a null `ts_end`. It is called after the last row of the stream."""

    def run(self, rows: Iterable[tuple[str, Row]], tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
        """Take the rows of one stream; return the emitted frames. `tables`: the inputs of that stream, for models on whole frames."""
        for name, row in rows:
            handler = getattr(self, "on_" + name, None)
            if handler is not None:
                handler(row)
        self.on_end()
        return self.frames()

    def frames(self) -> dict[str, pl.DataFrame]:
        """Return what was emitted so far, as frames of the declared schemas."""
        blank = self.blank()
        for name, rows in self._emitted.items():
            last = self._frame(name) if rows else blank[name]
            self.made[name] = _joined([*self._framed[name], last]) if name in self._framed else last
        return dict(self.made)

    def _frame(self, table: str) -> pl.DataFrame:
        """Build the frame of the rows emitted last, without those whose number fits no column: a bad number costs its own row."""
        emitted, schema = self._emitted[table], self.schemas()[table]
        try:
            return _whole_frame(emitted, schema, self._moved[table])
        except (pl.exceptions.ComputeError, OverflowError):
            fitting = [e for e in emitted if all(_fits(v, schema[name]) for name, v in e[1].items())]
            if len(fitting) == len(emitted):
                raise
            self.unfit += [(table, row) for row, values in emitted if not all(_fits(v, schema[name]) for name, v in values.items())]
            return _whole_frame(fitting, schema, self._moved[table]) if fitting else pl.DataFrame(schema=schema)


@lru_cache(maxsize=1024)
def _no_cells(name: str, kind: pl.DataType) -> pl.Series:
    """Return a column without rows. The tables of the models share most of theirs."""
    return pl.Series(name, [], dtype=kind)


def rows_of(frame: pl.DataFrame) -> Iterator[Row]:
    """Return the rows of a frame in its order, with one attribute per column."""
    make = _row_type(tuple(frame.columns))
    for part in frame.iter_slices(ROWS_AT_ONCE):
        yield from map(make, zip(*[c.to_list() for c in part.get_columns()], strict=True))  # `rows` of a frame takes twice as long


@lru_cache(maxsize=1024)
def _row_type(columns: tuple[str, ...]) -> Callable[[tuple[Any, ...]], Row]:
    """Return the type of a row. Tuples have methods `count` and `index`; a table without such columns must not seem to have them."""
    base = namedtuple("Row", columns)  # type: ignore[misc]
    kind = type("Row", (base,), {"__slots__": (), **{n: None for n in ("count", "index") if n not in columns}})
    make: Callable[[tuple[Any, ...]], Row] = kind._make  # type: ignore[attr-defined]
    return make


def _fits(value: Any, kind: pl.DataType) -> bool:
    """Return whether a whole number fits the type of its column."""
    if isinstance(value, list | tuple) and isinstance(kind, pl.List):
        return all(_fits(v, kind.inner) for v in value)  # type: ignore[arg-type]
    if not isinstance(value, int) or not kind.is_integer():
        return True
    return 0 <= value < 1 << 64 if kind.is_unsigned_integer() else -(1 << 63) <= value < 1 << 63


def _whole_frame(emitted: Sequence[tuple[Row, dict[str, Any]]], schema: Mapping[str, pl.DataType], moved: Collection[str]) -> pl.DataFrame:
    """Build the frame of what was emitted, column by column; place columns are the row's unless they were `moved`."""
    rows, values = zip(*emitted, strict=True)
    cells = {**_own(values, [name for name in schema if name not in ENVELOPE]), **_places(rows)}
    for name in moved:
        cells[name] = [v.get(name, place) for v, place in zip(values, cells[name], strict=True)]
    if len(rows) <= _FEW:
        told = zip(*map(cells.__getitem__, schema), strict=True)
        return pl.from_dicts([dict(zip(schema, row, strict=True)) for row in told], schema=dict(schema), strict=False)
    return pl.DataFrame([_column(name, cells[name], kind) for name, kind in schema.items()])


def _own(values: Sequence[dict[str, Any]], columns: Sequence[str]) -> dict[str, Sequence[Any]]:
    """Return the values column by column, null where one was not given. All rows of a table are emitted with the same keys, as a rule."""
    keys = tuple(values[0])
    if all(tuple(v) == keys for v in values):
        given = dict(zip(keys, zip(*[v.values() for v in values], strict=True), strict=True))
        return {name: given[name] if name in given else [None] * len(values) for name in columns}
    return {name: [v.get(name) for v in values] for name in columns}


def _places(rows: Sequence[Row]) -> dict[str, Sequence[Any]]:
    """Return the envelope columns of the rows; a row of a test may lack some."""
    try:
        found = list(map(attrgetter(*ENVELOPE), rows))
    except AttributeError:
        found = [tuple(getattr(row, name, None) for name in ENVELOPE) for row in rows]
    return dict(zip(ENVELOPE, zip(*found, strict=True), strict=True))


def _column(name: str, cells: Sequence[Any], kind: pl.DataType) -> pl.Series:
    """Build one column; nested cells are converted all at once, which the constructor of a series does one by one."""
    if kind.is_nested() and cells:
        return pl.from_dicts([{name: c} for c in cells], schema={name: kind}, strict=False)[name]
    made = pl.Series(name, cells, dtype=kind, strict=False)
    if kind.is_integer() and made.null_count() > cells.count(None):
        raise OverflowError(f"{name} has a number that does not fit")
    return made


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
    known = {**tables, "streams": streams}
    for m in models:
        known |= m.blank()
    parts = Parts(known, streams)
    for model in in_order(models, failed):
        emitted: dict[str, list[pl.DataFrame]] = {n: [known[n]] for n in model.emits()}
        with guarded(partial(failed, model)):
            for name, frame in list(model.played(known, parts)):
                emitted[name].append(frame)
            known |= {name: _joined(frames) for name, frames in emitted.items()}
            for name in emitted:
                parts.forget(name)
        for table, row in parts.unfit:
            left_out(table, row)
        parts.unfit.clear()
    return {n: known[n] for m in models for n in m.emits()}


class Parts:
    """The rows of each table by machine, boot and stream, each table divided once, however many models take it."""

    def __init__(self, tables: Mapping[str, pl.DataFrame], streams: pl.DataFrame) -> None:
        self.tables, self.of_sources = tables, streams
        self.streams = dict(zip(streams["source"], streams["stream"], strict=True))
        self.merged = {stream for stream, merged in zip(streams["stream"], streams["merged"], strict=True) if merged}
        self.made: dict[str, dict[tuple[Any, ...], pl.DataFrame]] = {}
        self.unfit: list[tuple[str, Row]] = []  # rows that a model left out of a table

    def of(self, name: str) -> dict[tuple[Any, ...], pl.DataFrame]:
        """Return (machine, boot, stream) -> rows of the table, in its order."""
        if name not in self.made:
            self.made[name] = self._divided(self.tables[name])
        return self.made[name]

    def _divided(self, frame: pl.DataFrame) -> dict[tuple[Any, ...], pl.DataFrame]:
        if all(frame[c].n_unique() == 1 for c in ("machine", "boot", "source")):
            machine, boot, source = (frame[c][0] for c in ("machine", "boot", "source"))
            return {(machine, boot, self.streams.get(source)): frame}
        stream = pl.col("source").replace_strict(self.streams, default=None, return_dtype=pl.Int64).alias("stream")
        divided = frame.with_columns(stream).partition_by("machine", "boot", "stream", as_dict=True, maintain_order=True)
        return {key: part.drop("stream") for key, part in divided.items()}

    def forget(self, name: str) -> None:
        """Forget how the table was divided: it has changed."""
        self.made.pop(name, None)


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


def _replay_one(model: type[Model], tables: Mapping[str, pl.DataFrame], divided: Parts) -> Iterator[tuple[str, pl.DataFrame]]:
    whole = {n: tables[n] for n in model.across if n in tables}
    if set(model.hears()) == set(model.across):
        yield from _emitted(model, (), whole, divided.unfit)
        return
    parts: dict[tuple[Any, ...], dict[str, pl.DataFrame]] = {}
    for name in model.hears():
        if name in tables and name not in model.across and not tables[name].is_empty():
            for key, part in divided.of(name).items():
                parts.setdefault(key, {})[name] = part
    for key in sorted(parts, key=lambda k: (str(k[0]), k[1] or 0, k[2])):
        mine = parts[key]
        heard = {n: f for n, f in mine.items() if hasattr(model, "on_" + n)}
        yield from _emitted(model, _ordered(heard, key[2] in divided.merged), mine | whole, divided.unfit)


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


def _ordered(frames: Mapping[str, pl.DataFrame], merged: bool) -> Iterator[tuple[str, Row]]:
    """Yield the rows of several tables in the order of the stream: by line, by time where sources were merged; a span counts by its end."""
    if sum(frame.height for frame in frames.values()) > _ORDERED_AT_ONCE:
        yield from _ordered_by_frames(frames, merged)
        return
    heads: list[Any] = []
    rows: list[tuple[str, Row]] = []
    for name, frame in frames.items():
        mine = list(rows_of(frame))
        lines, times = _ends(frame, mine, "line"), _ends(frame, mine, "ts") if merged else []
        heads += zip([-1 if t is None else t for t in times], lines, strict=True) if merged else lines
        rows += zip(repeat(name), mine)
    yield from map(rows.__getitem__, sorted(range(len(rows)), key=heads.__getitem__))


def _ends(frame: pl.DataFrame, rows: Sequence[Row], column: str) -> list[Any]:
    """Return where or when each row ends; a row that is no span ends where it begins."""
    begins = list(map(attrgetter(column), rows))
    if f"{column}_end" not in frame.columns:
        return begins
    return [begin if end is None else end for begin, end in zip(begins, map(attrgetter(f"{column}_end"), rows), strict=True)]


def _ordered_by_frames(frames: Mapping[str, pl.DataFrame], merged: bool) -> Iterator[tuple[str, Row]]:
    """Yield the same as `_ordered` of many rows: frames are sorted first, so that few rows at a time are Python's."""
    heads: list[pl.DataFrame] = []
    rows: list[tuple[str, Iterator[Row]]] = []
    for i, (name, frame) in enumerate(frames.items()):
        keys = frame.select(
            pl.coalesce([c for c in ("ts_end", "ts") if c in frame.columns]).fill_null(-1).alias("ts") if merged else pl.lit(0).alias("ts"),
            pl.coalesce([c for c in ("line_end", "line") if c in frame.columns]).alias("line"),
        )
        order = keys.select(pl.arg_sort_by("ts", "line", maintain_order=True)).to_series()
        if not order.is_sorted():  # most tables are in their order already: none is copied in vain
            keys, frame = keys[order], frame[order]
        heads.append(keys.with_columns(pl.lit(i, dtype=pl.Int32).alias("frame")))
        rows.append((name, rows_of(frame)))
    whose = pl.concat(heads).sort("ts", "line", maintain_order=True)["frame"]
    for i in whose:
        name, mine = rows[i]
        yield name, next(mine)


def _joined(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Concatenate the frames that have rows."""
    filled = [f for f in frames if f.height]
    return pl.concat(filled, rechunk=len(filled) > _CHUNKS) if len(filled) > 1 else (filled or frames)[0]
