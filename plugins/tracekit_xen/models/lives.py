"""Lives of pirqs: the irq and device of each, from line to line; and whether Xen allocated the predicted numbers."""

from bisect import bisect
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, ClassVar

from tracekit import CAP_MSI, EINVAL, ENODEV, ENOSPC, PREDICTIONS, Inputs, Model, Row, Table, apart
from tracekit_xen.machines.xen_domain import ANY, PirqSpace, Prediction, one
from tracekit_xen.models.prints import LATEST, LOST, PRINTS, lives_of_prints
from tracekit_xen.tables import PIRQ_LIVES

# Two allocations of one device that are further apart are two times of enabling it: an enable takes all its numbers at once.
# Stamps of whole seconds show a pause from two seconds on: one second may have turned in between.
PAUSE_NS = 1_000_000_000
OVER_AT_ONCE = 25_000  # lives that become rows together: of many small frames the table would be copied
MANY = 8192  # prints that are sooner read by columns: saves a sixth of the time that 1 GiB of dmesg takes
HVM_SETUP = "xen_hvm_setup_msi_irqs"  # it returns -19 for whatever Xen said


@dataclass(slots=True, eq=False)
class Life:
    """One use of a pirq, begun at the row `at`; `began`: the log shows that begin; `ended`: time and last line of the row that ended it;
    `given`: Xen allocated the number at its begin."""

    pirq: int
    basis: str
    at: Row
    began: bool = True
    ended: tuple[int | None, int] | None = None
    end: str = ""
    irq: int | None = None
    bdf: str | None = None
    device: int | None = None
    given: bool = False
    reused: bool = False

    def finish(self, e: Row, end: str) -> None:
        """End it at a row."""
        self.ended, self.end = (e.ts, _last_line(e)), end

    @property
    def final(self) -> bool:
        """Return whether no later row changes it: a closed event channel's irq may still be destroyed."""
        return self.ended is not None and (self.basis, self.end) != ("debug", "closed")


# What a row says of a life.
CELLS: Mapping[str, Callable[[Life], Any]] = {
    **{name: attrgetter(name) for name in ("pirq", "irq", "bdf", "device", "basis", "end", "began", "given", "reused")},
    "ts_end": lambda life: life.ended and life.ended[0],
    "line_end": lambda life: life.ended and life.ended[1],
}


@dataclass(slots=True)
class Span:
    """A set-up or a teardown of one task, from line to line; `crowded`: another task's ran at the same time."""

    source: str
    tid: int | None
    line: int
    end: int
    crowded: bool = False


class PirqLives(Model):
    """Follow each pirq per source, in the order of the first lines.

    Allocations and unmaps are also held against the machine of `xen_domain` (`predictions`).
    """

    tables: ClassVar[tuple[Table, ...]] = (PIRQ_LIVES, PREDICTIONS)

    def __init__(self) -> None:
        super().__init__()
        self.lives: deque[Life] = deque()  # in the order of their begins, without the first final ones
        self.over: list[Life] = []  # the first final ones that are not emitted yet
        self.calls = False  # whether one was of calls
        # Column and value -> lives, the ended ones dropped when they are looked at; those of debug prints are looked for by pirq only.
        self.live: defaultdict[tuple[str, object], list[Life]] = defaultdict(list)
        self.debug: defaultdict[tuple[int, int | None], list[Life | None]] = defaultdict(list)  # latest of pirq and irq, null once emitted
        self.seen: deque[Life] = deque()  # lives of debug prints since sight was lost
        self.promised: dict[int, Life] = {}  # pirq -> what a debug print got and no event channel serves yet
        self.spans: dict[tuple[str, Any], list[Span]] = {}  # source and task -> its set-ups and teardowns
        self.irqs: set[int] = set()
        self.releases: set[str] = set()  # sources that show teardowns of irqs
        self.space = PirqSpace()
        self.bound_since: list[Row] = []

    def play(self, rows: Iterable[tuple[str, Row]], tables: Inputs) -> None:
        if _prints_alone(tables):
            self.emit_frame("pirq_lives", lives_of_prints(tables, self.schemas()["pirq_lives"]))
            return
        self.releases = tables.sources("op_xen_destroy")
        self.spans = _spans_of(row for name in ("op_xen_setup", "op_xen_destroy") for row in tables.rows(name))
        super().play(rows, tables)

    def on_xen_msi_bound(self, e: Row) -> None:
        """Begin a life in an HVM guest: Xen allocated a number for a device."""
        self._enabled_anew(e)
        self._handed_out(e, e.pirq)
        self._begin(e, e.pirq, "guest", bdf=e.bdf, given=True)

    def on_xen_msi_reused(self, e: Row) -> None:
        """Begin a life in an HVM guest that reuses the number in the device's MSI message."""
        self._begin(e, e.pirq, "guest", bdf=e.bdf, reused=True)

    def on_xen_msi_bind(self, e: Row) -> None:
        """Bind a number to an irq in an HVM guest; an irq bound to another number was freed in between."""
        for other in self._open("irq", e.irq, "guest"):
            if other.pirq != e.pirq:
                self._release(other, e, "irq again")
        life = next((x for x in self._open("pirq", e.pirq, "guest") if x.bdf == e.bdf and x.irq is None), None)
        self._serves(life or self._begin(e, e.pirq, "guest", bdf=e.bdf), e.irq)

    def on_pci_function(self, e: Row) -> None:
        """End the lives of a function that a driver probes again."""
        for life in self._open("bdf", e.bdf, "guest"):
            self._release(life, e, "enabled anew")

    def on_xen_evtchn_created(self, e: Row) -> None:
        """Read a debug print: an event channel is bound to the number, for an irq."""
        given = self.promised.pop(e.pirq, None)
        self._serves(given if given and given.ended is None else self._begin(e, e.pirq, "debug"), e.irq)
        self.space.perhaps.discard(e.pirq)
        self.space.held[e.pirq] = "bound"

    def on_xen_evtchn_closed(self, e: Row) -> None:
        """Read a debug print: the event channel is closed."""
        self._end_debug(e, "closed")

    def on_xen_irq_destroyed(self, e: Row) -> None:
        """Read a debug print: the irq is destroyed, which extends the life of a closed one to this line."""
        self._end_debug(e, "destroyed")

    def on_xen_pirq_returned(self, e: Row) -> None:
        """Read a debug print: the debug code's own request got this number."""
        self._handed_out(e, e.pirq)
        self.promised[e.pirq] = self._begin(e, e.pirq, "debug", given=True)

    def on_op_xen_bind(self, e: Row) -> None:
        """Bind a mapped number of dom0 to an irq (the return value)."""
        if e.pirq is None:
            return
        self._handed_out(e, e.pirq, alone=not self._is_crowded(e))
        self.space.map(e.pirq)
        self.bound_since.append(e)
        irq = e.irq if e.irq is not None else e.ret
        life = self._begin(e, e.pirq, "calls", bdf=e.bdf, device=e.device, given=True)
        if irq is not None and irq > 0:
            self._serves(life, irq)
            self.irqs.add(irq)

    def on_op_xen_setup(self, e: Row) -> None:
        """End a request of dom0 for vectors; a refusal shows that no number was free."""
        granted = [b for b in self.bound_since if b.tid == e.tid and b.line > e.line]
        self.bound_since = [b for b in self.bound_since if b.tid != e.tid]
        if e.ret is None:
            return
        block = e.type == CAP_MSI and (e.nvec or 1) > 1
        whole = not block and e.nvec is not None and len(granted) >= e.nvec
        left = self._refusal()
        # The search for a number is all that answers -28 (xen/arch/x86/irq.c); where one is known to be free, that explains nothing.
        refused = e.ret == ENOSPC or (e.ret == ENODEV and e.function == HVM_SETUP)
        starved = refused and left != one(0)
        told = one(0) if whole or starved or (e.ret < 0 and not block and left == one(0)) else ANY
        self._predict(
            e,
            e.function or "xen_initdom_setup_msi_irqs",
            _name(e),
            "a free pirq for each vector",
            told,
            e.ret,
            "XEN-002" if starved else None,
        )
        if block and e.ret >= 0:
            self.space.lost_sight()
        elif refused:
            self.space.refused()

    def on_op_xen_destroy(self, e: Row) -> None:
        """Destroy an irq of dom0 and return its number."""
        life = next(iter(self._open("irq", e.irq, "calls")), None)
        known = e.irq in self.irqs
        if life is not None:
            predicted = self.space.unmap(life.pirq) if e.ret in (0, None) else one(0)
            if e.ret in (0, None):
                life.finish(e, "destroyed")
        else:
            predicted = one(EINVAL) if known else ANY
            if not known:
                self.space.lost_sight()
        if e.ret is not None:
            self._predict(e, "xen_destroy_irq", f"irq {e.irq}", "an irq is given back once", predicted, e.ret)

    def on_xen_pt_requested(self, e: Row) -> None:
        """Read the device model: the guest's MSI message names this number for a vector."""
        self._device_model_has(e, e.pirq)

    def on_xen_pt_update(self, e: Row) -> None:
        """Read the device model: the number is bound to a guest vector."""
        self._device_model_has(e, e.pirq)

    def on_xen_pt_unmap(self, e: Row) -> None:
        """Read the device model: the number is unmapped."""
        self._device_model_unmaps(e, e.pirq)

    def on_xen_pt_old_update(self, e: Row) -> None:
        """Read qemu-xen-traditional: the number is bound to a guest vector."""
        self._device_model_has(e, e.pirq_hex)

    def on_xen_pt_old_unmap(self, e: Row) -> None:
        """Read qemu-xen-traditional: the number is unmapped."""
        self._device_model_unmaps(e, e.pirq_hex)

    def on_end(self) -> None:
        """Emit all lives, the unfinished ones without an end."""
        while self.lives:
            self._put_first_over()
        for x in self.over:
            self.emit("pirq_lives", x.at, **{name: of(x) for name, of in CELLS.items()})

    def _put_first_over(self) -> None:
        x = self.lives.popleft()
        self.over.append(x)
        if len(self.over) == OVER_AT_ONCE:  # a column at a time saves a sixth of the replay of a large log
            self.emit_all("pirq_lives", [x.at for x in self.over], {name: list(map(of, self.over)) for name, of in CELLS.items()})
            self.over.clear()
        if (same := self.debug.get((x.pirq, x.irq))) and x in same:
            same[same.index(x)] = None
            if not any(same):
                del self.debug[x.pirq, x.irq]

    def _open(self, column: str, value: object, *bases: str) -> list[Life]:
        """Return the open lives with a value in `pirq`, `irq` or `bdf`, of any basis by default; those of debug prints by pirq only."""
        found = self.live[column, value]
        found[:] = [x for x in found if x.ended is None and getattr(x, column) == value]
        return [x for x in found if not bases or x.basis in bases]

    def _begin(self, e: Row, pirq: int, basis: str, *, seen: bool = True, **known: Any) -> Life:
        while self.lives and self.lives[0].final:
            self._put_first_over()
        life = Life(pirq, basis, e, seen, **known)
        self.lives.append(life)
        self.calls |= basis == "calls"
        live = self.live["pirq", pirq]
        if live and live[0].ended is not None:
            live[:] = [x for x in live if x.ended is None]
        live.append(life)
        if basis == "debug":
            while self.seen and self.seen[0].ended is not None:
                self.seen.popleft()
            self.seen.append(life)
        elif life.bdf is not None:
            self.live["bdf", life.bdf].append(life)
        return life

    def _serves(self, life: Life, irq: int | None) -> None:
        life.irq = irq
        if life.basis == "debug":
            latest = self.debug[life.pirq, irq]
            latest.append(life)
            del latest[:-LATEST]
        else:
            self.live["irq", irq].append(life)

    def _device_model_has(self, e: Row, pirq: int) -> None:
        if not self._open("pirq", pirq, "device-model"):
            self._begin(e, pirq, "device-model", bdf=getattr(e, "guest_bdf", None))

    def _device_model_unmaps(self, e: Row, pirq: int) -> None:
        life = next(iter(self._open("pirq", pirq, "device-model")), None)
        life = life or self._begin(e, pirq, "device-model", bdf=getattr(e, "guest_bdf", None), seen=False)
        life.finish(e, "unmapped")

    def _handed_out(self, e: Row, pirq: int, *, alone: bool = True) -> None:
        """End the earlier life of a number that Xen allocates. Not `alone`: another task may have got its number before."""
        predicted = self.space.next_number(pirq) if alone else ANY
        if not self._releases_show(e, pirq):
            predicted = ANY
        self._predict(e, "get_free_pirq", _name(e), "the highest free pirq", predicted, pirq)
        for life in self._open("pirq", pirq):
            if life.basis != "device-model":
                life.finish(e, "handed out again")
        self.space.allocated(pirq, alone=alone)

    def _releases_show(self, e: Row, pirq: int) -> bool:
        """Return whether the log can show an unmap: a guest's cannot, nor one without teardowns, nor without the irq."""
        if e.source not in self.releases and self.calls:
            return False
        return not any(x.basis == "guest" or x.basis == "calls" and x.irq is None for x in self._open("pirq", pirq))

    def _enabled_anew(self, e: Row) -> None:
        """End the earlier lives of a device that takes numbers again after a pause."""
        mine = self._open("bdf", e.bdf, "guest")
        latest = max((x.at for x in mine), key=lambda at: (at.ts or 0, at.line), default=None)
        if latest is not None and (span := apart(latest, e)) is not None and span[0] >= PAUSE_NS:
            for life in mine:
                self._release(life, e, "enabled anew")

    def _release(self, life: Life, e: Row, end: str) -> None:
        life.finish(e, end)
        self.space.released(life.pirq)

    def _end_debug(self, e: Row, end: str) -> None:
        """End the life of (pirq, irq). A life without a recorded begin is added; a closed life is extended to its destruction."""
        same = self.debug.get((e.pirq, e.irq), [])
        life = next((x for x in reversed(same) if x and (x.ended is None or (x.end, end) == ("closed", "destroyed"))), None)
        if life is None:
            self._lost_sight(e)
            life = self._begin(e, e.pirq, "debug", seen=False)
            self._serves(life, e.irq)
        self._release(life, e, end)

    def _refusal(self) -> Prediction:
        """Predict a request that was not granted in full: -28, if the next number is known to be missing."""
        following = self.space.next_number().results
        if following is None or (ENOSPC in following and len(following) > 1):
            return ANY
        return one(ENOSPC) if ENOSPC in following else one(0)

    def _is_crowded(self, e: Row) -> bool:
        """Return whether another task took or returned numbers during the set-up around `e`, so that their order is unknown."""
        mine = self.spans.get((e.source, e.tid), [])
        at = bisect(mine, e.line, key=lambda s: s.line) - 1
        return at >= 0 and e.line <= mine[at].end and mine[at].crowded

    def _lost_sight(self, e: Row) -> None:
        """Forget all state at the end of a life that was not seen to begin: the log has a gap, or the guest rebooted."""
        self.space = PirqSpace()
        for life in self.seen:
            if life.ended is None:
                life.finish(e, LOST)
        self.seen.clear()

    def _predict(
        self, e: Row, operation: str, subject: str, rule: str, predicted: Prediction, observed: int, code: str | None = None
    ) -> None:
        known = predicted.agrees(observed)
        agrees, told = known, str(predicted)
        if known is None:  # what is free is not known: on a healthy host some number is
            agrees = observed >= 0
            told = "a free number" if operation == "get_free_pirq" else "0"
            code = code or ("XEN-002" if observed == ENOSPC else None)
        self.emit(
            "predictions", e, operation=operation, subject=subject, rule=rule, predicted=told,
            observed=str(observed), basis="healthy" if known is None else "known", agrees=agrees,
            explained_by=code if agrees is False else None, ts_end=e.ts, line_end=_last_line(e),
        )  # fmt: skip


def _prints_alone(tables: Inputs) -> bool:
    """Return whether many prints of one source are all that tells of lives: a function that is probed again ends those of guests' lines."""
    if not set(tables) <= {*PRINTS, "pci_function"} or tables.height(*PRINTS) < MANY:
        return False
    return len(set().union(*(tables.sources(name) for name in PRINTS if name in tables))) == 1


def _spans_of(rows: Iterable[Row]) -> dict[tuple[str, Any], list[Span]]:
    """Return the spans per source and task in order; overlapping spans of different tasks are marked."""
    spans = sorted((Span(r.source, r.tid, r.line, r.line_end or r.line) for r in rows), key=lambda s: (s.source, s.line))
    by: dict[tuple[str, Any], list[Span]] = {}
    running: list[Span] = []
    for span in spans:
        running = [s for s in running if s.source == span.source and s.end >= span.line]
        for other in running:
            if other.tid != span.tid:
                span.crowded = other.crowded = True
        running.append(span)
        by.setdefault((span.source, span.tid), []).append(span)
    return by


def _name(e: Row) -> str:
    """Return the subject of a row: its function, else its pointer."""
    device = getattr(e, "device", None)
    return getattr(e, "bdf", None) or (f"dev={device:#x}" if device else "")


def _last_line(e: Row) -> int:
    line: int = getattr(e, "line_end", None) or e.line
    return line
