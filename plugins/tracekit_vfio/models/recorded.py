"""What a recording of SET_IRQS calls can show: the close of a device, the start of a call."""

from collections.abc import Iterable

import polars as pl

from tracekit import Inputs, Row

NEEDS = ("calls",)
FEW = 1000  # rows up to which each is looked at
TRIGGER = "vfio_pci_set_msi_trigger"
# An open or a close without vectors (index 5) shows in these, and never in the function that triggers.
SESSIONS = frozenset(("vfio_pci_set_irqs_ioctl", "vfio_pci_core_enable", "vfio_pci_core_disable", "vfio_pci_core_close_device"))


class Recorded:
    """The functions that each source records, and the requests of which nothing but the return is recorded."""

    def __init__(self, tables: Inputs) -> None:
        functions: dict[str, set[str]] = {}
        self._returns: set[int] = set()
        for source, function, call in _requests(tables):
            functions.setdefault(source, set()).add(function)
            if call is not None:
                self._returns.add(call)
        self._blind = {source for source, names in functions.items() if TRIGGER in names and names.isdisjoint(SESSIONS)}

    def shows_close(self, e: Row) -> bool:
        """Return whether a close of the device would show."""
        return e.source not in self._blind

    def began(self, e: Row) -> bool:
        """Return whether the start of a request is recorded."""
        return e.call not in self._returns


def _requests(tables: Inputs) -> Iterable[tuple[str, str, int | None]]:
    """Yield (source, function, the call where only its return is recorded) of the calls of these functions, without the many others."""
    names = [TRIGGER, *SESSIONS]
    if tables.height("calls") <= FEW:
        rows = ((row.source, row.function or row.function_hint or "", row.complete, row.id) for row in tables.rows("calls"))
        return [(source, name, id if complete == "return" else None) for source, name, complete, id in rows if name in names]
    only = pl.when(pl.col("complete") == "return").then("id")
    named = tables["calls"].select("source", pl.coalesce("function", "function_hint").alias("name"), only.alias("only"))
    return named.filter(pl.col("name").is_in(names)).unique().iter_rows()
