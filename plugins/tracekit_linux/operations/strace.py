"""What a client asked of VFIO, as strace saw it at the system call: requests and table sizes, without the kernel's calls below them."""

import errno
import re
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from tracekit import Row, full_bdf, rows_of
from tracekit_linux.operations.descriptors import Descriptors

NEEDS = ("strace_set_irqs", "strace_irq_info", "strace_device_fd", "strace_reset", "strace_resumed", "strace_close", "strace_clone")
# Flags by their names, include/uapi/linux/vfio.h.
FLAGS = {
    "VFIO_IRQ_SET_DATA_NONE": 0x1,
    "VFIO_IRQ_SET_DATA_BOOL": 0x2,
    "VFIO_IRQ_SET_DATA_EVENTFD": 0x4,
    "VFIO_IRQ_SET_DATA_TYPE_MASK": 0x7,
    "VFIO_IRQ_SET_ACTION_MASK": 0x8,
    "VFIO_IRQ_SET_ACTION_UNMASK": 0x10,
    "VFIO_IRQ_SET_ACTION_TRIGGER": 0x20,
}
INDEXES = {
    "VFIO_PCI_INTX_IRQ_INDEX": 0,
    "VFIO_PCI_MSI_IRQ_INDEX": 1,
    "VFIO_PCI_MSIX_IRQ_INDEX": 2,
    "VFIO_PCI_ERR_IRQ_INDEX": 3,
    "VFIO_PCI_REQ_IRQ_INDEX": 4,
}
MSIX = 2
# flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD: the new thread has the descriptors of the old one; else a copy of them.
SHARES = re.compile(r"\bCLONE_(?:FILES|THREAD)\b")
CHILD = re.compile(r" = ([0-9]+)\s*(?:<[0-9.]+>)?$|parent_tid=\[([0-9]+)\]")

Operation = tuple[str, Row, dict[str, Any]]


def operations(tables: Mapping[str, pl.DataFrame]) -> Iterator[Operation]:
    """Yield (table, row, values) of each request, size, reset, opening and closing of a device, in the order of their ends."""
    frames = [frame.with_columns(pl.lit(name).alias("kind")) for name in NEEDS if (frame := tables.get(name)) is not None]
    for frame in pl.concat(frames, how="diagonal").partition_by("source") if frames else []:
        calls = SystemCalls()
        for row in rows_of(frame.sort("line")):
            yield from calls.hear(row)
        yield from calls.finish()


class SystemCalls:
    """The calls of one source: joins the halves of those that were cut in two, and knows each process's descriptors."""

    def __init__(self) -> None:
        self.descriptors = Descriptors()
        self.cut: dict[int | None, Row] = {}  # thread -> its call that has not returned yet

    def hear(self, row: Row) -> Iterator[Operation]:
        """Return the operations that end at a line."""
        if row.kind == "strace_clone":
            self._clone(row)
        elif row.kind == "strace_resumed":
            if (begun := self.cut.pop(row.tid, None)) is not None:
                yield from self._read(begun, row)
        elif row.ret is None:
            self.cut[row.tid] = row
        else:
            yield from self._read(row, row)

    def finish(self) -> Iterator[Operation]:
        """Yield the requests that never returned."""
        for row in self.cut.values():
            if row.kind == "strace_set_irqs":
                yield from self._read(row, row)

    def _clone(self, row: Row) -> None:
        if (child := CHILD.search(row.rest)) is not None:
            self.descriptors.clone(row.tid, int(child[1] or child[2]), bool(SHARES.search(row.rest)))

    def _read(self, row: Row, end: Row) -> Iterator[Operation]:
        """`row` begins the call, `end` has its result: the same line, or the second half."""
        result = returned(end)
        if row.kind == "strace_device_fd":
            if result is not None and result >= 0:
                bdf = full_bdf(row.device) if row.device and re.fullmatch(r"[0-9a-fA-F:]+\.[0-7]", row.device) else None
                self.descriptors.open(row.tid, result, row, bdf)
                yield "op_open", row, self._common(row, end, result)
            return
        common = self._common(row, end, row.fd)
        if row.kind == "strace_close":
            if result == 0 and self.descriptors.close(row.tid, row.fd):
                yield "op_close", row, {**common, "how": "close_device", "ret": result}
        elif row.kind == "strace_reset":
            yield "op_reset", row, {**common, "ret": result}
        elif row.kind == "strace_irq_info":
            told = row if row.count is not None else end
            if _index(told.index) == MSIX and result == 0 and told.count:
                yield "op_table_size", row, {**common, "count": told.count, "origin": "GET_IRQ_INFO"}
        elif row.kind == "strace_set_irqs":
            yield "op_set_irqs", row, {**common, **_request(row), "ret": result, "closing": False}

    def _common(self, row: Row, end: Row, fd: int) -> dict[str, Any]:
        entity, bdf = self.descriptors.device(row.tid, fd, row)
        return {"entity": entity, "bdf": bdf, "inferred": False, "hint": False, "line_end": end.line, "ts_end": end.ts}


def _request(row: Row) -> dict[str, Any]:
    flags = _flags(row.flags) if row.flags is not None else None
    data = next((name for bit, name in ((0x1, "none"), (0x2, "bool"), (0x4, "eventfd")) if flags is not None and flags & bit), None)
    return {"flags": flags, "index": _index(row.index), "start": row.first, "count": row.count, "data": data}


def returned(row: Row) -> int | None:
    """Return what the kernel returned: the negative errno that strace names, else the number."""
    if row.error is not None:
        number = getattr(errno, row.error, None)
        return None if number is None else -number
    return None if row.ret is None else int(row.ret)


def _flags(text: str) -> int | None:
    """Parse `VFIO_IRQ_SET_DATA_NONE|VFIO_IRQ_SET_ACTION_TRIGGER`, or a number; null where a name is not known."""
    total = 0
    for part in text.split("|"):
        value = FLAGS.get(part, _number(part))
        if value is None:
            return None
        total |= value
    return total


def _index(text: str | None) -> int | None:
    return None if text is None else INDEXES.get(text, _number(text))


def _number(text: str) -> int | None:
    try:
        return int(text, 0)
    except ValueError:
        return None
