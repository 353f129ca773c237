"""What a client asked of VFIO, as strace saw it at the system call: requests and table sizes, without the kernel's calls below them."""

import errno
from collections.abc import Iterator, Mapping
from typing import Any
from zlib import crc32

import polars as pl

from tracekit import Row, rows_of

NEEDS = ("strace_set_irqs", "strace_irq_info")
# Flags by their names, include/uapi/linux/vfio.h.
FLAGS = {
    "VFIO_IRQ_SET_DATA_NONE": 0x1,
    "VFIO_IRQ_SET_DATA_BOOL": 0x2,
    "VFIO_IRQ_SET_DATA_EVENTFD": 0x4,
    "VFIO_IRQ_SET_ACTION_MASK": 0x8,
    "VFIO_IRQ_SET_ACTION_UNMASK": 0x10,
    "VFIO_IRQ_SET_ACTION_TRIGGER": 0x20,
}
INDEXES = {"VFIO_PCI_INTX_IRQ_INDEX": 0, "VFIO_PCI_MSI_IRQ_INDEX": 1, "VFIO_PCI_MSIX_IRQ_INDEX": 2}
MSIX = 2


def operations(tables: Mapping[str, pl.DataFrame]) -> Iterator[tuple[str, Row, dict[str, Any]]]:
    """Yield (table, row, values) of each SET_IRQS, and of each GET_IRQ_INFO of MSI-X; the file descriptor tells the devices apart."""
    for row in _rows(tables, "strace_irq_info"):
        if _index(row.index) == MSIX and result(row) == 0 and row.count:
            yield "op_table_size", row, {**_common(row), "count": row.count, "origin": "GET_IRQ_INFO"}
    for row in _rows(tables, "strace_set_irqs"):
        flags = _flags(row.flags)
        data = next((name for bit, name in ((0x1, "none"), (0x2, "bool"), (0x4, "eventfd")) if flags is not None and flags & bit), None)
        sizes = {"flags": flags, "index": _index(row.index), "start": row.first, "count": row.count, "data": data}
        yield "op_set_irqs", row, {**_common(row), **sizes, "ret": result(row), "closing": False}


def _common(row: Row) -> dict[str, Any]:
    return {"entity": (crc32(row.source.encode()) << 31) + row.fd, "inferred": False, "hint": False, "line_end": row.line}


def result(row: Row) -> int | None:
    """Return what the kernel returned: the negative errno that strace names, else the number."""
    if row.error is not None:
        number = getattr(errno, row.error, None)
        return None if number is None else -number
    return int(row.ret)


def _rows(tables: Mapping[str, pl.DataFrame], name: str) -> Iterator[Row]:
    if (frame := tables.get(name)) is not None:
        yield from rows_of(frame.sort("source", "line"))


def _flags(text: str) -> int | None:
    """Parse `VFIO_IRQ_SET_DATA_NONE|VFIO_IRQ_SET_ACTION_TRIGGER`, or a number; null where a name is not known."""
    total = 0
    for part in text.split("|"):
        value = FLAGS.get(part, _number(part))
        if value is None:
            return None
        total |= value
    return total


def _index(text: str) -> int | None:
    return INDEXES.get(text, _number(text))


def _number(text: str) -> int | None:
    try:
        return int(text, 0)
    except ValueError:
        return None
