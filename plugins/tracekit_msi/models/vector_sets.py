"""The vectors that a function holds, from the call that allocates them to the call that frees them."""

from typing import ClassVar

from tracekit import Model, Row, Table
from tracekit_msi.models.enables import Key, granted, key_of
from tracekit_msi.tables import VECTOR_SETS


class VectorSets(Model):
    """Follow the vectors of a function from the call that allocates them to the one that frees them, with those added in place between.

    Begins at the return of the enabling call (pci_alloc_irq_vectors_affinity, __pci_enable_msix_range).
    """

    tables: ClassVar[tuple[Table, ...]] = (VECTOR_SETS,)

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[Key, tuple[Row, int]] = {}

    def on_op_alloc(self, e: Row) -> None:
        self._end(e, "replaced")
        if count := granted(e):
            self.held[key_of(e)] = e, count

    def on_op_alloc_at(self, e: Row) -> None:
        if e.ret is not None and e.ret >= 0 and (held := self.held.get(key_of(e))) is not None:
            self.held[key_of(e)] = held[0], held[1] + 1

    def on_op_free(self, e: Row) -> None:
        self._end(e, "freed")

    def on_op_close(self, e: Row) -> None:
        self._end(e, "closed")

    def on_end(self) -> None:
        for began, count in self.held.values():
            self._life(began, count, None, None)

    def _end(self, e: Row, cause: str) -> None:
        if (held := self.held.pop(key_of(e), None)) is not None:
            self._life(*held, e, cause)

    def _life(self, began: Row, count: int, end: Row | None, cause: str | None) -> None:
        known = {c: getattr(began, c) for c in ("device", "vdev", "entity", "bdf", "kind")}
        place = {
            "line": began.line_end,
            "ts": began.ts_end,
            "ts_end": end.ts if end else None,
            "line_end": end.line if end else None,
        }
        self.emit("vector_sets", began, **known, count=count, cause=cause, **place)
