"""Pairs of disable and enable of opened VFIO devices: which were growths, and which vectors were in use."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, ClassVar

import polars as pl

from tracekit import EINVAL, ERANGE, VFIO_INTX, VFIO_MSIX, VFIO_NONE, VFIO_TRIGGER, Model, Row, Table, device_of, in_table
from tracekit_vfio.models import bounds
from tracekit_vfio.tables import REFUSALS, WINDOWS

Key = tuple[str, Any]


@dataclass
class Session:
    """The enabled vectors of an opened device."""

    index: int = VFIO_NONE
    count: int = 0
    wired: dict[int, int | None] = field(default_factory=dict)  # vector -> irq
    since: Row | None = None  # the SET_IRQS that enabled it


@dataclass
class Pair:
    """A disable before its enable, or a failed enable before one that succeeds."""

    disable: Row
    before: Session
    wanted: bool = False
    enable: Row | None = None
    new: int | None = None  # vectors after the enable
    recovered: Row | None = None
    closed: Row | None = None


class Windows(Model):
    """Pair each disable of an opened device with the enable that follows, and collect the requests that the kernel refused.

    The rules are those of QEMU's growth (hw/vfio/pci.c, vfio_msix_vector_do_use) as the kernel sees it.

    A growth that took vectors of the set down is both `growth` and `rollback`: `detached` are the enabled vectors that lost their
    eventfds, as the calls inside show them.
    """

    tables: ClassVar[tuple[Table, ...]] = (WINDOWS, REFUSALS)
    needs: ClassVar[tuple[str, ...]] = ("irq_handler_entry", "graph_entry", "graph_leaf", *bounds.NEEDS)

    def __init__(self) -> None:
        super().__init__()
        self.several: set[str] = set()  # sources that are about more than one device
        self.sessions: dict[Key, Session] = {}
        self.pairs: dict[Key, Pair] = {}
        self.signals: dict[int | None, dict[int, int | None]] = {}  # request -> vectors wired in it
        self.detached: dict[int | None, set[int]] = {}  # request -> vectors that lost their eventfds in it
        self.done: list[tuple[Pair, str]] = []

    def run(self, rows: Iterable[tuple[str, Row]], tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
        heard = list(rows)
        who: dict[str, set[Key]] = {}
        for name, row in heard:
            if name.startswith("op_") and (key := device_of(row)) is not None:
                who.setdefault(row.source, set()).add(key)
        self.several = {source for source, keys in who.items() if len(keys) > 1}
        frames = super().run(heard, tables)
        return frames | {"windows": bounds.with_bounds(with_use(frames["windows"], tables, self.several), tables)}

    def on_op_open(self, e: Row) -> None:
        self._end(e)

    def on_op_close(self, e: Row) -> None:
        self._end(e)

    def on_op_reset(self, e: Row) -> None:
        """Vectors that come back after a reset are a new driver's; those that are enabled stay so (drivers/vfio/pci/vfio_pci_core.c)."""
        if (pair := self.pairs.pop(self._key(e), None)) is not None:
            pair.closed = e
            self._finish(pair)

    def on_op_vector(self, e: Row) -> None:
        """Note that a SET_IRQS wires a vector (fd >= 0) or detaches it (fd -1)."""
        if e.fd is not None and e.fd < 0 or e.ret is not None and e.ret < 0:
            if e.fd is not None and e.fd < 0 and e.vector is not None:
                self.detached.setdefault(e.request, set()).add(e.vector)
            return
        wired = self.signals.setdefault(e.request, {})
        vector = e.vector if e.vector is not None else len(wired)
        wired[vector] = e.irq

    def on_op_set_irqs(self, e: Row) -> None:
        wired = self.signals.pop(e.call, {}) or self.signals.pop(e.request, {})
        detached = self.detached.pop(e.call, set()) or self.detached.pop(e.request, set())
        if e.closing or e.index == VFIO_NONE:
            self._end(e)
        elif e.flags is not None and not e.flags & VFIO_TRIGGER:
            return  # masking and unmasking change nothing here
        elif e.index == VFIO_INTX:
            self._intx(e)
        elif e.data == "none" and e.count in (0, None):
            self._disable(e)
        elif e.data == "eventfd":
            self._enable(e, wired, detached)
        elif e.data is None and e.index is None:
            self._forget(e)

    def on_end(self) -> None:
        for pair in self.pairs.values():
            self._finish(pair)
        for pair, kind in self.done:
            self._emit(pair, kind)

    def _key(self, e: Row) -> Key:
        """Return the device of a row. Rows without a name belong to the only device of their source."""
        return device_of(e) or ("source", e.source) if e.source in self.several else ("source", e.source)

    def _session(self, e: Row) -> Session:
        return self.sessions.setdefault(self._key(e), Session())

    def _intx(self, e: Row) -> None:
        pair = self.pairs.get(self._key(e))
        if pair is not None and pair.enable is None and e.data == "eventfd" and (e.ret is None or e.ret == 0):
            pair.wanted = True

    def _disable(self, e: Row) -> None:
        session = self._session(e)
        if e.ret is not None and e.ret != 0 or session.count == 0:
            return  # nothing was enabled: the kernel says -22, and nobody minds
        self._settle(e)
        self.pairs[self._key(e)] = Pair(e, session)
        self.sessions[self._key(e)] = Session()

    def _enable(self, e: Row, wired: dict[int, int | None], detached: set[int]) -> None:
        session = self._session(e)
        count = (e.start or 0) + e.count if e.count is not None else len(wired)
        if e.ret is not None and e.ret < 0:
            self._refuse(e, session, count, detached)
        if session.count:
            if e.ret in (0, None) and e.index in (None, session.index):
                session.count = max(session.count, count)
                session.wired |= wired
            return
        if e.ret is None and not wired and not e.inferred:
            return self._forget(e)
        failed = e.ret is not None and e.ret != 0 or e.ret is None and e.inferred
        self._answer(e, count, failed)
        if not failed:
            vectors = wired or dict.fromkeys(in_table(e.start or 0, count))
            self.sessions[self._key(e)] = Session(e.index if e.index is not None else VFIO_MSIX, count, dict(vectors), e)

    def _refuse(self, e: Row, session: Session, count: int, detached: set[int]) -> None:
        if session.count and e.index is not None and session.index != e.index:
            kind = "mode"
        elif session.count:
            kind = "growth" if e.ret == EINVAL and count > session.count else "rollback" if count <= session.count else ""
        else:
            kind = "empty" if e.ret == ERANGE and e.count is not None and count == 0 else ""
        if not kind or e.ret == EINVAL and kind == "rollback":
            return
        known = {
            c: getattr(e, c, None)
            for c in ("device", "vdev", "entity", "bdf", "index", "start", "count", "ret", "hint", "ts_end", "line_end")
        }
        since = session.since
        place = {"since_line": since.line, "since_end": since.line_end} if since is not None else {}
        lost = sorted(v for v in detached if v in session.wired)
        told = {**known, **place, "request": e.call, "enabled": session.count, "active": session.index, "detached": lost}
        self.emit("refusals", e, **told, kind=kind)
        if kind == "growth" and lost:
            self.emit("refusals", e, **told, kind="rollback")
        session.wired = {v: irq for v, irq in session.wired.items() if v not in detached}

    def _answer(self, e: Row, count: int, failed: bool) -> None:
        """Complete a pair at its enable, unless the enable failed: a later one may still succeed."""
        key = self._key(e)
        pair = self.pairs.get(key)
        if pair is None or e.index is not None and pair.before.index not in (e.index, VFIO_NONE):
            return
        if pair.enable is None:
            pair.enable, pair.new = e, count
            if not failed:
                self._finish(self.pairs.pop(key))
        elif not failed:
            pair.recovered = e
            self._finish(self.pairs.pop(key))

    def _settle(self, e: Row) -> None:
        if (pair := self.pairs.pop(self._key(e), None)) is not None:
            self._finish(pair)

    def _forget(self, e: Row) -> None:
        """Forget the enabled vectors after a call with unknown arguments."""
        self.sessions.pop(self._key(e), None)
        self.pairs.pop(self._key(e), None)

    def _end(self, e: Row) -> None:
        keys = [self._key(e)] if device_of(e) is not None or e.source not in self.several else list(self.sessions | self.pairs)
        for key in keys:
            if (pair := self.pairs.pop(key, None)) is not None:
                pair.closed = e
                self._finish(pair)
            self.sessions.pop(key, None)

    def _finish(self, pair: Pair) -> None:
        self.done.append((pair, _kind(pair)))

    def _emit(self, pair: Pair, kind: str) -> None:
        disable, enable, before = pair.disable, pair.enable, pair.before
        known = {c: getattr(disable, c, None) for c in ("device", "vdev", "entity", "bdf")}
        end = enable.ts_end if enable is not None else None
        self.emit(
            "windows",
            disable,
            **known,
            kind=kind,
            basis="calls",
            index=before.index,
            old=before.count,
            new=pair.new,
            ret=enable.ret if enable is not None else None,
            request=enable.call if enable is not None else None,
            enabled_line=before.since.line if before.since is not None else None,
            disable_end=disable.line_end,
            disable_ts=disable.ts,
            enable_line=enable.line if enable is not None else None,
            enable_end=enable.line_end if enable is not None else None,
            enable_ts=end,
            recovered_line=pair.recovered.line if pair.recovered is not None else None,
            closed_line=pair.closed.line if pair.closed is not None else None,
            closed_ts=pair.closed.ts if pair.closed is not None else None,
            span=end - disable.ts if end is not None and disable.ts is not None else None,
            wired=sorted(before.wired),
            irqs=[i for i in before.wired.values() if i is not None],
            inferred=bool(disable.inferred or (enable is not None and enable.inferred)),
            hint=bool(disable.hint or (enable is not None and enable.hint)),
            ts_end=end,
            line_end=enable.line_end if enable is not None else disable.line_end,
        )


def _kind(pair: Pair) -> str:
    if pair.enable is None:
        return "close"
    if pair.wanted:
        return "wanted"
    if pair.enable.ret != 0 and (pair.enable.ret is not None or pair.enable.inferred):
        return "failed"
    return "growth" if pair.new is not None and pair.new > pair.before.count else "same-or-fewer"


def with_use(windows: pl.DataFrame, tables: Mapping[str, pl.DataFrame], several: Set[str] = frozenset()) -> pl.DataFrame:
    """Fill `in_use` and `handlers`: the wired vectors that interrupted between the enable and the disable of each window.

    `several`: sources about more than one device, where a handler of one name may be any's.
    """
    if windows.is_empty():
        return windows
    entries = _entries(tables)
    recorded = set(entries["source"].unique().to_list())
    if (events := tables.get("irq_handler_entry")) is not None:
        recorded |= set(events["source"].unique().to_list())
    schema = windows.schema
    handlers = pl.col("source").is_in(list(recorded)).alias("handlers")
    if entries.is_empty():
        return windows.with_columns(pl.lit([], dtype=schema["in_use"]).alias("in_use"), handlers)
    numbered = windows.with_row_index("window")
    used = _used(numbered, entries, several)
    filled = numbered.drop("in_use", "handlers").join(used, on="window", how="left").with_columns(pl.col("in_use").fill_null([]), handlers)
    return filled.select([pl.col(c).cast(t) for c, t in schema.items()])


def _entries(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return each run of VFIO's handler: source, line, irq, vector, bdf (the last three null where only the function was traced)."""
    frames = []
    if (events := tables.get("irq_handler_entry")) is not None:
        named = pl.col("name").str.extract_groups(r"^vfio-msix?\[([0-9]{1,4})\]\(([0-9a-fA-F:.]+)\)$")
        frames.append(
            events.filter(pl.col("name").str.starts_with("vfio-msi"))
            .with_columns(named.alias("of"))
            .select("source", "line", "irq", pl.col("of").struct[0].cast(pl.Int64).alias("vector"), pl.col("of").struct[1].alias("who"))
        )
    for table in ("graph_entry", "graph_leaf"):
        if (graph := tables.get(table)) is not None:
            unknown = [pl.lit(None, pl.Int64).alias("irq"), pl.lit(None, pl.Int64).alias("vector"), pl.lit(None, pl.String).alias("who")]
            frames.append(graph.filter(pl.col("function") == "vfio_msihandler").select("source", "line", *unknown))
    schema = {"source": pl.String, "line": pl.Int64, "irq": pl.Int64, "vector": pl.Int64, "who": pl.String}
    return pl.concat(frames) if frames else pl.DataFrame(schema=schema)


def _used(numbered: pl.DataFrame, entries: pl.DataFrame, several: Set[str]) -> pl.DataFrame:
    """Return per window the vectors that interrupted while enabled, with their number of interrupts, first and last line."""
    spans = numbered.select("window", "source", pl.col("bdf").alias("of"), "irqs", "wired", "enabled_line", pl.col("line").alias("until"))
    sole = ~pl.col("source").is_in(list(several))
    mine = (pl.col("who").is_null() & sole) | (pl.col("of") == pl.col("who")) | pl.col("irqs").list.contains(pl.col("irq"))
    only = pl.col("of").is_null() & (pl.col("irqs").list.len() == 0) & (pl.col("who").n_unique().over("source") == 1) & sole
    inside = (
        _between(spans, entries)
        .filter(mine.fill_null(False) | only)
        .with_columns(
            pl.when(pl.col("vector").is_null() & (pl.col("wired").list.len() == 1))
            .then(pl.col("wired").list.first())
            .otherwise("vector")
            .alias("vector")
        )
    )
    per = inside.group_by("window", "vector", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("entries"), pl.col("line").min().alias("first"), pl.col("line").max().alias("last")
    )
    return (
        per.sort("window", "vector")
        .group_by("window", maintain_order=True)
        .agg(pl.struct("vector", "entries", "first", "last").alias("in_use"))
    )


def _between(spans: pl.DataFrame, entries: pl.DataFrame) -> pl.DataFrame:
    """Return each run of the handler beside each window that it lies before: between the enable and the disable, in the same source.

    Thousands of windows have tens of thousands of runs: where a window's runs begin and end is looked up, and no two are compared.
    """
    runs = entries.sort("source", "line").with_row_index("run")
    of_source = runs.partition_by("source", as_dict=True, maintain_order=True)
    found = [spans.clear().with_columns(pl.lit(None, runs.schema["run"]).alias("run"))]
    for source, own in spans.drop_nulls("enabled_line").partition_by("source", as_dict=True, maintain_order=True).items():
        if (mine := of_source.get(source)) is not None:
            begin = mine["line"].search_sorted(own["enabled_line"], side="right") + mine["run"][0]
            end = mine["line"].search_sorted(own["until"], side="left") + mine["run"][0]
            ranges = pl.int_ranges(begin, end, dtype=pl.UInt32, eager=True)
            found.append(own.with_columns(ranges.alias("run")).filter(pl.col("run").list.len() > 0).explode("run"))
    return pl.concat(found).join(runs.drop("source"), on="run", how="inner", maintain_order="left")
