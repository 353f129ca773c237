"""Results of hypercalls for pirqs, from the messages of a kernel."""

from typing import ClassVar

from tracekit import EINVAL, ENOSPC, PREDICTIONS, Model, Row, Table


class MessagePirqs(Model):
    """Emit a row of `predictions` per failed hypercall that a message reports.

    No message gives the number of free pirqs, so a refused map is not predicted. The unmap after it is: the error path frees the irq twice,
    and the second unmap finds no pirq (arch/x86/pci/xen.c, xen_initdom_setup_msi_irqs; drivers/xen/events, xen_destroy_irq).
    """

    tables: ClassVar[tuple[Table, ...]] = (PREDICTIONS,)

    def __init__(self) -> None:
        super().__init__()
        self.refused = False  # a request was the last message, and it was refused

    def on_xen_map_failed(self, e: Row) -> None:
        """Read a failure of PHYSDEVOP_map_pirq for an MSI in dom0."""
        self.refused = e.ret == ENOSPC
        self._predict(e, "map_pirq (message)", e.bdf or "an unnamed device", None)

    def on_xen_msi_create_failed(self, e: Row) -> None:
        """Read that an HVM guest got no pirq for an MSI."""
        self._predict(e, "set up MSI (message)", e.bdf or "an unnamed device", None)

    def on_xen_unmap_failed(self, e: Row) -> None:
        """Read a failure of PHYSDEVOP_unmap_pirq."""
        self._predict(e, "unmap_pirq (message)", "dom0", EINVAL if self.refused else None)
        self.refused = False

    def _predict(self, e: Row, operation: str, subject: str, predicted: int | None) -> None:
        self.emit(
            "predictions",
            e,
            operation=operation,
            subject=subject,
            rule="PirqSpace.unmap: an irq that was freed has no pirq" if predicted is not None else "PirqSpace",
            predicted=None if predicted is None else str(predicted),
            observed=str(e.ret),
            basis=None if predicted is None else "known",
            agrees=None if predicted is None else e.ret == predicted,
            line_end=e.line,
        )
