"""Devices: which `struct pci_dev *` and `vdev` are one PCI function, and which BDF it has, by evidence only."""

from collections.abc import Iterable, Iterator
from typing import Any

from tracekit import Inputs, Row
from tracekit_linux.operations.entities import Identities
from tracekit_linux.operations.naming import KERNEL_LOG, names
from tracekit_linux.operations.tree import Node

NAMED_BY = ("interrupt_row", "irq_domain_listed", "clock_relations", "streams", *KERNEL_LOG)


def named_devices(identities: Identities, irqs: Iterable[tuple[int, int, Node]], tables: Inputs) -> Iterator[tuple[Row, dict[str, Any]]]:
    """Name the devices of one source; (row, values) for each life of a pointer. `irqs`: those of `set_up_irqs`."""
    for found in names(identities, list(identities.owned(irqs)), tables):
        found.life.entity.root().names.append(found)
    for life in identities.lives:
        entity = life.entity.root()
        name = entity.name()
        who = {"bdf": name.bdf, "how": name.how, "bdf_source": name.source, "bdf_line": name.line} if name else {}
        end = {"ts_end": life.end.ts, "line_end": life.end.line} if life.end else {}
        yield life.row, {"pointer": life.pointer, "kind": life.kind, "entity": entity.number, **who, **end}
