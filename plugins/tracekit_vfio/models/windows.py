"""Pairs of disable and enable of opened VFIO devices: which were growths, and which vectors were in use."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import polars as pl

from tracekit import (
    EINVAL,
    ERANGE,
    VFIO_ERR,
    VFIO_INTX,
    VFIO_MSI,
    VFIO_MSIX,
    VFIO_NONE,
    VFIO_REQ,
    VFIO_TRIGGER,
    Inputs,
    Model,
    Row,
    Table,
    device_of,
    in_table,
)
from tracekit_vfio.models import bounds, recorded, use
from tracekit_vfio.models.recorded import Recorded
from tracekit_vfio.models.signals import Signals
from tracekit_vfio.tables import REFUSALS, WINDOWS

Key = tuple[str, Any]
FILLING = (*use.NEEDS, *bounds.NEEDS)
FEW = 1000  # rows of inputs up to which they are sooner looked up in a loop
SOON = 1_000_000_000  # ns: a client that takes vectors down to add one enables them at once


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
    counted: bool = True  # whether it is known how many vectors there were
    sees_close: bool = True  # whether the recording would show that the device was closed between
    began: bool = True  # whether the start of the disable is recorded
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
    needs: ClassVar[tuple[str, ...]] = (*FILLING, *recorded.NEEDS)

    def __init__(self) -> None:
        super().__init__()
        self.several: dict[str, int] = {}  # sources that are about more than one device, and about how many
        self.sessions: dict[Key, Session] = {}  # of devices of which it is known what is enabled
        self.forgot: dict[Key, Row] = {}  # the last request of a device that may have enabled anything
        self.pairs: dict[Key, Pair] = {}
        self.signals = Signals(Inputs({}))
        self.done: list[tuple[Pair, str]] = []
        self.few = False  # whether what fills the windows is few rows, so that it is looked up before they are emitted
        self.recorded = Recorded(Inputs({}))

    def play(self, rows: Iterable[tuple[str, Row]], tables: Inputs) -> None:
        heard, self.signals = list(rows), Signals(tables)
        who: dict[str, set[Key]] = {}
        for row in (*(row for _, row in heard), *self.signals.devices):
            if (key := device_of(row)) is not None:
                who.setdefault(row.source, set()).add(key)
        self.several = {source: len(keys) for source, keys in who.items() if len(keys) > 1}
        self.inputs, self.few, self.recorded = tables, tables.height(*FILLING) <= FEW, Recorded(tables)
        super().play(heard, tables)

    @classmethod
    def complete(cls, frames: dict[str, pl.DataFrame], tables: Inputs, played: Sequence[Self]) -> dict[str, pl.DataFrame]:
        if all(machine.few for machine in played):
            return frames
        several = {source: n for machine in played for source, n in machine.several.items()}
        return frames | {"windows": bounds.with_bounds(use.with_use(frames["windows"], tables, several), tables)}

    def on_op_open(self, e: Row) -> None:
        self._end(e)

    def on_op_close(self, e: Row) -> None:
        self._end(e)

    def on_op_reset(self, e: Row) -> None:
        """Vectors that come back after a reset are a new driver's; those that are enabled stay so (drivers/vfio/pci/vfio_pci_core.c)."""
        if (pair := self.pairs.pop(self._key(e), None)) is not None:
            pair.closed = e
            self._finish(pair)

    def on_op_set_irqs(self, e: Row) -> None:
        wired, detached = self.signals.taken(e)
        if e.closing or e.index == VFIO_NONE:
            self._end(e)
        elif e.flags is not None and not e.flags & VFIO_TRIGGER or e.index in (VFIO_ERR, VFIO_REQ):
            return  # neither masks nor the eventfds of errors and of requests to release the device change the vectors
        elif e.index == VFIO_INTX:
            self._intx(e)
        elif e.data == "none" and e.count in (0, None):
            self._disable(e, detached)
        elif e.data == "eventfd":
            self._enable(e, wired, detached)
        elif e.data is None and None in (e.index, e.count):
            self._forget(e)

    def on_end(self) -> None:
        for pair in self.pairs.values():
            self._finish(pair)
        windows = [(pair.disable, _window(pair, kind)) for pair, kind in self.done]
        if windows and self.few:
            use.fill(windows, self.inputs, self.several)
            bounds.fill(windows, self.inputs)
        for disable, values in windows:
            self.emit("windows", disable, **values)

    def _key(self, e: Row) -> Key:
        """Return the device of a row. Rows without a name belong to the only device of their source."""
        return device_of(e) or ("source", e.source) if e.source in self.several else ("source", e.source)

    def _session(self, e: Row) -> Session:
        return self.sessions.get(self._key(e)) or Session()

    def _intx(self, e: Row) -> None:
        pair = self.pairs.get(self._key(e))
        if pair is not None and pair.enable is None and e.data in ("eventfd", None) and (e.ret is None or e.ret == 0) and e.count != 0:
            pair.wanted = True

    def _disable(self, e: Row, detached: set[int]) -> None:
        session = self._session(e)
        unseen = self._key(e) not in self.sessions  # enabled before the recording, or by a call that shows nothing
        if e.ret is not None and e.ret != 0 or not session.count and not (unseen and _took_down(e, detached)):
            return  # nothing was enabled: the kernel says -22, and nobody minds
        if unseen:
            index, vectors = (e.index if e.index is not None else VFIO_MSIX), dict.fromkeys(sorted(detached))
            session = Session(index, max(detached, default=-1) + 1, vectors, self.forgot.get(self._key(e)))
        self._settle(e)
        told = self.recorded
        self.pairs[self._key(e)] = Pair(e, session, session.count > 0, told.shows_close(e), told.began(e))
        self.sessions[self._key(e)] = Session()

    def _enable(self, e: Row, wired: dict[int, int | None], detached: set[int]) -> None:
        session = self._session(e)
        count = (e.start or 0) + e.count if e.count is not None else len(wired)
        if e.ret is not None and e.ret < 0:
            self._refuse(e, session, count, detached)
        elif e.ret is None and not e.inferred and not detached.isdisjoint(wired):
            return self._forget(e)  # a block goes down with the vector that failed
        if session.count:
            if e.ret in (0, None) and e.index in (None, session.index):
                session.count = max(session.count, count)
                session.wired |= wired
            return
        if e.ret is None and not wired and not e.inferred:
            return self._forget(e)
        failed = e.ret is not None and e.ret != 0 or e.ret is None and e.inferred
        self._answer(e, count or None, failed)
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
        lost = sorted(v for v in detached if v in session.wired)
        kind = kind or ("rollback" if lost else "")  # a vector beyond those enabled could not be added, and the block goes down
        if not kind or e.ret == EINVAL and kind == "rollback":
            return
        known = {
            c: getattr(e, c, None)
            for c in ("device", "vdev", "entity", "bdf", "index", "start", "count", "ret", "hint", "ts_end", "line_end")
        }
        since = session.since
        place = {"since_line": since.line, "since_end": since.line_end} if since is not None else {}
        told = {**known, **place, "request": e.call, "enabled": session.count, "active": session.index, "detached": lost}
        self.emit("refusals", e, **told, kind=kind)
        if kind == "growth" and lost:
            self.emit("refusals", e, **told, kind="rollback")
        session.wired = {v: irq for v, irq in session.wired.items() if v not in detached}

    def _answer(self, e: Row, count: int | None, failed: bool) -> None:
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
        self.forgot[self._key(e)] = e

    def _end(self, e: Row) -> None:
        keys = [self._key(e)] if device_of(e) is not None or e.source not in self.several else list(self.sessions | self.pairs)
        for key in keys:
            if (pair := self.pairs.pop(key, None)) is not None:
                pair.closed = e
                self._finish(pair)
            self.sessions[key] = Session()

    def _finish(self, pair: Pair) -> None:
        self.done.append((pair, _kind(pair)))


def _took_down(e: Row, detached: set[int]) -> bool:
    """Return whether a disable took vectors down that nothing before it shows: without any it is refused (-22)."""
    return bool(detached) or e.ret == 0 and e.index in (VFIO_MSI, VFIO_MSIX)


def _span(pair: Pair, end: int | None) -> int | None:
    """Return the time from the start of the disable to the end of the enable, and no less than that where stamps are coarse."""
    begin = pair.disable.ts
    if end is None or begin is None or not pair.began:
        return None
    return int(end - begin + bounds.coarse(pair.disable))


def _window(pair: Pair, kind: str) -> dict[str, Any]:
    """Return the columns of the window that a pair is."""
    disable, enable, before = pair.disable, pair.enable, pair.before
    known = {c: getattr(disable, c, None) for c in ("device", "vdev", "entity", "bdf")}
    end = enable.ts_end if enable is not None else None
    return dict(
        **known,
        kind=kind,
        basis="calls",
        index=before.index,
        old=before.count if pair.counted else None,
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
        span=_span(pair, end),
        wired=sorted(before.wired),
        irqs=[i for i in before.wired.values() if i is not None],
        sees_close=pair.sees_close,
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
    told = pair.sees_close and pair.disable.line_end is not None  # without its return, the disable may be the close's own
    if not told and not _at_once(pair.disable, pair.enable):
        return "unknown"
    if pair.enable.ret != 0 and (pair.enable.ret is not None or pair.enable.inferred):
        return "failed"
    if pair.new is None or not pair.counted:
        return "unknown"
    return "growth" if pair.new > pair.before.count else "same-or-fewer"


def _at_once(disable: Row, enable: Row) -> bool:
    """Return whether one task does both, one soon after the other."""
    late = disable.ts is not None and enable.ts is not None and enable.ts - disable.ts > SOON
    return disable.tid == enable.tid and not late
