"""Replay of the vector tracepoints: failed attempts, holders, overcommit, and each activation against the pool's prediction."""

from collections.abc import Iterable
from typing import Any, ClassVar

from tracekit import ENOSPC, PREDICTIONS, SWAPPED, Inputs, Model, Row, Table
from tracekit_irq.machines.vector_pool import OK, activation
from tracekit_irq.models import granted
from tracekit_irq.tables import VECTOR_FAILURES, VECTOR_LIVES, VECTOR_OVERCOMMITS

FEW = 700  # allocations up to which a loop is sooner done than columns are made


class Vectors(Model):
    """Follow attempts to get a CPU vector through the irq_vectors and irq_matrix tracepoints: who failed, who holds what, and overcommit.

    The kernel tries several masks and prints a line for each: together they are one attempt. Each activation is held against the pool
    (`predictions`).
    """

    tables: ClassVar[tuple[Table, ...]] = (VECTOR_FAILURES, VECTOR_LIVES, VECTOR_OVERCOMMITS, PREDICTIONS)

    def __init__(self) -> None:
        super().__init__()
        self.available: Row | None = None  # the last matrix row
        self.over = False
        self.activations = False  # whether vector_activate is recorded at all
        self.counted = False  # whether vectors taken are recorded, not only reservations
        self.freed = False  # whether vectors given back are
        self.attempts: list[tuple[Row, int | None, int, str | None]] = []  # what succeeded or failed, with what was available before
        self.fresh: dict[Any, Row] = {}  # lane -> a reservation that nothing has activated yet
        self.fresh_irq: dict[Any, int] = {}  # lane -> for which irq that is, where vector_reserve says it
        self.freeing: set[Any] = set()  # lanes that gave a vector back: their next reservation is no new irq
        self.active: dict[Any, Row] = {}  # lane -> the activation under way
        self.failing: dict[Any, list[Row]] = {}  # lane -> the failed tries of one attempt
        self.left: dict[Any, Row | None] = {}  # lane -> what was available when the first of them failed
        self.before: dict[Any, tuple[int | None, bool]] = {}  # lane -> vectors available before the attempt, and `counted` then
        self.live: dict[int, Row] = {}

    def play(self, rows: Iterable[tuple[str, Row]], tables: Inputs) -> None:
        if (
            tables.height("vector_alloc") <= FEW
            or tables.height(*set(self.handled).difference(granted.READ))
            or not granted.all_granted(tables)
        ):
            super().play(rows, tables)
            return
        self.emit_frame("predictions", granted.predictions(tables, self.schemas()["predictions"]))
        self.emit_frame("vector_lives", granted.lives(tables, self.schemas()["vector_lives"]))

    def on_irq_matrix_reserve(self, e: Row) -> None:
        """Read a reservation: the first step of an allocation, or the rest of an ended activation."""
        lane = _lane(e)
        self._settle(lane)
        self._count(e)
        if lane in self.freeing:
            self.freeing.discard(lane)
        else:
            self.fresh[lane] = e
            self.fresh_irq.pop(lane, None)

    def on_vector_reserve(self, e: Row) -> None:
        """Read which irq the last reservation is for."""
        self.fresh_irq[_lane(e)] = e.irq

    def on_vector_deactivate(self, e: Row) -> None:
        """Read that an irq frees its vector and is reserved again."""
        self.freeing.add(_lane(e))

    def on_irq_matrix_remove_reserved(self, e: Row) -> None:
        """Read the end of a reservation."""
        self._count(e)

    def on_irq_matrix_alloc(self, e: Row) -> None:
        """Read a change of the matrix; an allocation's vector_alloc follows it."""
        self.counted = True
        self._count(e)

    def on_irq_matrix_free(self, e: Row) -> None:
        """Read that a vector returns to the matrix."""
        self.freed = True
        self._count(e)

    on_irq_matrix_assign = on_irq_matrix_alloc
    on_irq_matrix_alloc_managed = on_irq_matrix_alloc
    on_irq_matrix_reserve_managed = on_irq_matrix_alloc
    on_irq_matrix_remove_managed = on_irq_matrix_alloc
    on_irq_matrix_online = on_irq_matrix_remove_reserved
    on_irq_matrix_offline = on_irq_matrix_remove_reserved

    def on_vector_reserve_managed(self, e: Row) -> None:
        """Read whether a managed reservation fails at once."""
        if e.ret < 0:
            self._fail("managed", [e], e, self.available)

    def on_vector_activate(self, e: Row) -> None:
        """Read the start of an activation: an early one parks the irq, any other takes a vector."""
        lane = _lane(e)
        self._settle(lane)
        self.activations = True
        if e.early:
            self.fresh.pop(lane, None)
            return
        self.active[lane] = e
        self.before[lane] = (self.available.global_avl if self.available is not None else None, self.counted)

    def on_vector_alloc(self, e: Row) -> None:
        """Read one try for a vector."""
        lane = _lane(e)
        if self.failing.get(lane) and self.failing[lane][0].irq != e.irq:
            self._settle(lane)
        if e.ret < 0 or not 0 <= e.vector < SWAPPED:
            if lane not in self.failing:
                self.failing[lane], self.left[lane] = [], self.available
            self.failing[lane].append(e)
            return
        self.failing.pop(lane, None)
        self._predict(lane, self.active.pop(lane, None), e, OK)
        self.fresh.pop(lane, None)
        self._live(e)

    def on_vector_alloc_managed(self, e: Row) -> None:
        """Read that a managed irq takes one of its slots."""
        if e.ret < 0:
            self._fail("managed-start", [e], e, self.available)
        else:
            self._live(e)
        self.active.pop(_lane(e), None)

    def on_vector_clear(self, e: Row) -> None:
        """Read that a vector is freed."""
        if (born := self.live.pop(e.irq, None)) is not None:
            self.emit("vector_lives", born, irq=born.irq, vector=born.vector, ts_end=e.ts, line_end=e.line)

    def on_end(self) -> None:
        """Emit attempts and lives that are open at the end of the recording."""
        for lane in list(self.failing):
            self._settle(lane)
        for attempt in self.attempts:
            self._compare(*attempt)
        for born in self.live.values():
            self.emit("vector_lives", born, irq=born.irq, vector=born.vector)

    def _live(self, e: Row) -> None:
        self.live[e.irq] = e

    def _count(self, e: Row) -> None:
        over = e.global_rsvd > e.global_avl
        if over and not self.over:
            self.emit("vector_overcommits", e, global_rsvd=e.global_rsvd, global_avl=e.global_avl)
        self.over = over
        self.available = e

    def _settle(self, lane: Any) -> None:
        """Emit the tries of a lane as one failed attempt."""
        tries = self.failing.pop(lane, [])
        left = self.left.pop(lane, None)
        begun = self.active.pop(lane, None)
        if not tries:
            return
        first = self.fresh.pop(lane, None) if self.fresh_irq.get(lane, tries[0].irq) == tries[0].irq else None
        if begun is None or begun.irq != tries[0].irq:
            self._fail("move" if self.activations else "unknown", tries, tries[0], left)
            return
        self._predict(lane, begun, tries[-1], ENOSPC, "VEC-001" if first is None else "VEC-002")
        self._fail("request" if first is None else "alloc", tries, first or begun, left)

    def _fail(self, kind: str, tries: list[Row], begin: Row, known: Row | None) -> None:
        self.emit(
            "vector_failures",
            tries[0],
            kind=kind,
            irq=tries[0].irq,
            tries=len(tries),
            global_avl=known.global_avl if known else None,
            total_alloc=known.total_alloc if known else None,
            avl_line=known.line if known else None,
            begin_line=begin.line,
            ts_end=tries[-1].ts,
            line_end=tries[-1].line,
        )

    def _predict(self, lane: Any, begun: Row | None, e: Row, observed: int, code: str | None = None) -> None:
        """Note an attempt with what was available; where taken vectors are not recorded, that there was none is all that stays true."""
        available, counted = self.before.pop(lane, (None, False))
        known = begun is not None and (counted or (available == 0 and observed != OK))
        self.attempts.append((e, available if known else None, observed, code))

    def _compare(self, e: Row, available: int | None, observed: int, code: str | None) -> None:
        """Compare one attempt with a pool that is not used up: known to be so, or as it is on a healthy host where the pool is not shown.

        Where vectors given back are not recorded, an empty one may be no more.
        """
        told = available is not None and (available > 0 or self.freed or observed != OK)
        full = activation(available) == {ENOSPC} if told else True
        self.emit(
            "predictions",
            e,
            operation="vector_activate",
            subject=f"irq {e.irq}",
            rule="VectorPool.activate",
            predicted=str(OK),
            observed=str(observed),
            basis="known" if told else "healthy",
            agrees=observed == OK,
            explained_by=code if full else None,
        )


def _lane(e: Row) -> Any:
    """Return the lane of an event: the thread where the envelope names one, else the CPU, else the source."""
    return e.tid if e.tid is not None else (e.task, e.on_cpu)
