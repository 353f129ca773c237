"""Operations: the changes of MSI and VFIO state by the calls of a trace, as tables `op_*` for other models."""

from collections.abc import Iterable, Mapping
from typing import ClassVar

import polars as pl

from tracekit import Inputs, Model, Row, Table
from tracekit_linux.operations import strace
from tracekit_linux.operations.devices import NAMED_BY, Abouts, named_devices
from tracekit_linux.operations.emitted import FEW, LARGEST
from tracekit_linux.operations.entities import Identities
from tracekit_linux.operations.many import Many
from tracekit_linux.operations.naming import names
from tracekit_linux.operations.reading import Closings, Reading
from tracekit_linux.operations.tree import IRQ_EVENTS, Tree, by_source, last_irqs, set_up_irqs, tree_of, trees_of_few
from tracekit_linux.tables import DEVICES, OPERATIONS


class Operations(Model):
    """The devices, and one row an operation, emitted when its call ends: children before their parent."""

    tables: ClassVar[tuple[Table, ...]] = (DEVICES, *OPERATIONS)
    needs = ("calls", *IRQ_EVENTS, "irq_handler_entry", "lspci_capability", "lspci_device", *strace.NEEDS)
    across = NAMED_BY

    def play(self, rows: Iterable[tuple[str, Row]], tables: Inputs) -> None:
        """Emit the devices and operations of every source of the stream."""
        if tables.height("calls") <= FEW:
            for tree in trees_of_few(tables.rows("calls")):
                self._emit_tree(tree, tables)
        else:
            for calls in by_source(tables["calls"]):
                self._emit_many(calls.sort("line", maintain_order=True), tables)
        for table, row, values in strace.operations(tables):
            self.emit(table, row, **values)
        self._table_sizes(tables)

    def _emit_tree(self, tree: Tree, tables: Inputs) -> None:
        """Emit what the calls of a source are, one by one."""
        identities, irqs = Identities(tree), set_up_irqs(tree, tables)
        found = names(identities, list(identities.owned(irqs)), tables)
        for row, values in named_devices(identities.lives, found):
            self.emit("devices", row, **values)
        reading = Reading({n.name for n in tree.nodes}, Abouts(identities).of, last_irqs(irqs), Closings())
        for table, emitted in reading.emitted(tree).items():
            if len(emitted.nodes) > FEW:
                self.emit_frame(table, emitted.frame(tree, self.schemas()[table]))
                continue
            for row, values in emitted.rows():
                self.emit(table, row, **values)

    def _emit_many(self, calls: pl.DataFrame, tables: Inputs) -> None:
        """Emit the same by column, but where most results have to be inferred: that is done one by one."""
        many = Many.of(calls, tables) if calls["ret"].null_count() < calls.height / 2 else None
        if many is None:
            self._emit_tree(tree_of(calls), tables)
            return
        for table, frame in many.frames(self.schemas()):
            self.emit_frame(table, frame)

    def _table_sizes(self, tables: Mapping[str, pl.DataFrame]) -> None:
        """Live table sizes that lspci prints, under the device line above."""
        capabilities, devices = tables.get("lspci_capability"), tables.get("lspci_device")
        if capabilities is None or devices is None:
            return
        sizes = capabilities.filter((pl.col("kind") == "MSI-X") & (pl.col("count") <= LARGEST)).sort("line")
        headed = sizes.join_asof(devices.select("source", "line", "bdf").sort("line"), on="line", by="source", check_sortedness=False)
        for values in headed.iter_rows(named=True):
            row = Row(**values)
            self.emit("op_table_size", row, bdf=row.bdf, inferred=False, hint=False, count=row.count, origin="lspci", line_end=row.line)
