"""Results of requests for vectors and irqs as drivers tell them."""

from typing import ClassVar

from tracekit import PREDICTIONS, Model, Row, Table


class ToldResults(Model):
    """Operations of the table `predictions` that a driver's message gives a result for: it prints failures only.

    What the pool was like before is in no message, so nothing is predicted; they are counted among the operations that were seen.
    """

    tables: ClassVar[tuple[Table, ...]] = (PREDICTIONS,)

    def on_driver_irq_refused(self, e: Row) -> None:
        """request_irq() failed."""
        self._told(e, "request_irq (told)")

    def on_driver_vectors_refused(self, e: Row) -> None:
        """pci_alloc_irq_vectors() failed."""
        self._told(e, "allocate vectors (told)")

    def _told(self, e: Row, operation: str) -> None:
        if e.ret is not None:
            subject = e.bdf or e.device or e.driver or "an unnamed device"
            self.emit("predictions", e, operation=operation, subject=subject, rule="VectorPool", observed=str(e.ret), line_end=e.line)
