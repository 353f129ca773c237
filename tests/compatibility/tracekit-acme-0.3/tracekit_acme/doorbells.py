"""Doorbells and the interrupts that answer them."""

from typing import ClassVar

import polars as pl

from tracekit import Column, Model, Row, Table

DOORBELLS = Table(
    "acme_doorbells",
    "A doorbell, until the interrupt that answers it.",
    (
        Column("bdf", pl.String()),
        Column("queue", pl.Int64(), "Number of the queue."),
        Column("answered", pl.Boolean(), "Whether an interrupt of the function came before the next doorbell."),
    ),
)


class Doorbells(Model):
    """Pair each doorbell with the interrupt that follows."""

    tables: ClassVar[tuple[Table, ...]] = (DOORBELLS,)

    def __init__(self) -> None:
        super().__init__()
        self.rung: dict[str, Row] = {}

    def on_acme_doorbell(self, e: Row) -> None:
        self.rung[e.bdf] = e

    def on_acme_irq(self, e: Row) -> None:
        if (rung := self.rung.pop(e.bdf, None)) is not None:
            self.emit("acme_doorbells", rung, bdf=e.bdf, queue=rung.queue, answered=True, ts_end=e.ts, line_end=e.line)

    def on_end(self) -> None:
        for rung in self.rung.values():
            self.emit("acme_doorbells", rung, bdf=rung.bdf, queue=rung.queue, answered=False)
