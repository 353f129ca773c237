"""Results of hypercalls for pirqs as a kernel's messages tell them."""

from typing import ClassVar

from tracekit import EINVAL, ENOSPC, PREDICTIONS, Model, Row, Table


class ToldPirqs(Model):
    """Operations of the table `predictions` that a message gives a result for: failures only are printed.

    How many pirqs are free is in no message, so a refused map is not predicted. What follows it is: its error path frees the irq twice, and
    the second unmap finds nothing (arch/x86/pci/xen.c, xen_initdom_setup_msi_irqs; drivers/xen/events, xen_destroy_irq).
    """

    tables: ClassVar[tuple[Table, ...]] = (PREDICTIONS,)

    def __init__(self) -> None:
        super().__init__()
        self.refused = False  # a request was the last thing told, and it was refused

    def on_xen_map_failed(self, e: Row) -> None:
        """dom0: PHYSDEVOP_map_pirq for an MSI."""
        self.refused = e.ret == ENOSPC
        self._told(e, "map_pirq (told)", e.bdf or "an unnamed device", None)

    def on_xen_msi_create_failed(self, e: Row) -> None:
        """HVM guest: no pirq for an MSI."""
        self._told(e, "set up MSI (told)", e.bdf or "an unnamed device", None)

    def on_xen_unmap_failed(self, e: Row) -> None:
        """PHYSDEVOP_unmap_pirq."""
        self._told(e, "unmap_pirq (told)", "dom0", EINVAL if self.refused else None)
        self.refused = False

    def _told(self, e: Row, operation: str, subject: str, predicted: int | None) -> None:
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
