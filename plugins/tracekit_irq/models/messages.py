"""Results of requests for vectors and irqs, from the messages of drivers."""

from typing import ClassVar

from tracekit import PREDICTIONS, Model, Row, Table


class MessageResults(Model):
    """Emit a row of `predictions` per failed request that a driver's message reports.

    No message gives the state of the pool before the request, so no result is predicted. The rows count as operations seen.
    """

    tables: ClassVar[tuple[Table, ...]] = (PREDICTIONS,)

    def on_driver_irq_refused(self, e: Row) -> None:
        """Read a failure of request_irq()."""
        self._predict(e, "request_irq (message)")

    def on_driver_vectors_refused(self, e: Row) -> None:
        """Read a failure of pci_alloc_irq_vectors()."""
        self._predict(e, "allocate vectors (message)")

    def _predict(self, e: Row, operation: str) -> None:
        if e.ret is not None:
            subject = e.bdf or e.device or e.driver or "an unnamed device"
            self.emit("predictions", e, operation=operation, subject=subject, rule="VectorPool", observed=str(e.ret), line_end=e.line)
