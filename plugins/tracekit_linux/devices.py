"""Devices: which `struct pci_dev *` and `vdev` are one PCI function, and which BDF it has, by evidence only."""

from collections.abc import Iterable, Mapping
from typing import ClassVar
from zlib import crc32

import polars as pl

from tracekit import Model, Row, Schema
from tracekit_linux.identity import Identities, Life
from tracekit_linux.naming import KERNEL_LOG, names
from tracekit_linux.tree import IRQ_EVENTS, trees


class Devices(Model):
    """The lives of device pointers; `entity` says which belong together, `bdf` who it is (null if nothing tells)."""

    tables: ClassVar[dict[str, Schema]] = {
        "devices": {
            "pointer": pl.UInt64(),
            "kind": pl.String(),
            "entity": pl.Int64(),
            "bdf": pl.String(),
            "how": pl.String(),
            "bdf_source": pl.String(),
            "bdf_line": pl.Int64(),
        }
    }
    needs = ("calls", *IRQ_EVENTS, "irq_handler_entry")
    across = ("interrupt_row", "irq_domain_listed", *KERNEL_LOG)

    def run(self, rows: Iterable[tuple[str, Row]], tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
        """The devices of every source of the stream."""
        for tree in trees(tables.get("calls")):
            identities = Identities(tree)
            owned = list(identities.owned(tables))
            for name in names(identities, owned, tables):
                name.life.entity.root().names.append(name)
            for life in identities.lives:
                self._emit(life)
        return self.frames()

    def _emit(self, life: Life) -> None:
        entity = life.entity.root()
        name = entity.name()
        who = {"bdf": name.bdf, "how": name.how, "bdf_source": name.source, "bdf_line": name.line} if name else {}
        number = (crc32(entity.first.source.encode()) << 31) + entity.first.line
        end = {"ts_end": life.end.ts, "line_end": life.end.line} if life.end else {}
        self.emit("devices", life.row, pointer=life.pointer, kind=life.kind, entity=number, **who, **end)
