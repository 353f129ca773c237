"""Which vectors each SET_IRQS request wired, and which it detached."""

from collections.abc import Sequence
from typing import Any

from tracekit import Inputs, Row, rows_of

FEW = 1000  # rows up to which those of all models are taken
_DEVICE = ("entity", "device", "vdev", "bdf")
_READ = ("source", "line", "line_end", "ts", "ts_end", "request", "vector", "fd", "irq", "ret")


class Signals:
    """The changes of vectors in a stream by their request: they are nothing but parts of one, so that a model hears the request alone."""

    def __init__(self, tables: Inputs) -> None:
        self.rows: dict[int | None, list[Row]] = {}
        few = tables.height("op_vector") <= FEW
        self.devices: Sequence[Row] = ()  # a row of each device that they name
        if few:
            rows = self.devices = tables.rows("op_vector")
        else:
            frame = tables["op_vector"]
            rows = list(rows_of(frame.select(_READ)))
            self.devices = list(rows_of(frame.select("source", *_DEVICE).unique()))
        for row in rows:
            self.rows.setdefault(row.request, []).append(row)

    def taken(self, e: Row) -> tuple[dict[int, int | None], set[int]]:
        """Return (vector -> irq that a request wired, the vectors that it detached), as recorded before its end."""
        rows = [self._before(e, number) for number in dict.fromkeys((e.call, e.request))]
        wired, detached = [_wired(r) for r in rows], [_detached(r) for r in rows]
        return next(filter(None, wired), {}), next(filter(None, detached), set())

    def _before(self, e: Row, request: int | None) -> list[Row]:
        mine = self.rows.pop(request, [])
        if e.line_end is None:
            return mine  # its return is not recorded: what stands below it may be all of it
        if later := [row for row in mine if _ended(row, e) > _ended(e, row)]:
            self.rows[request] = later
            return [row for row in mine if _ended(row, e) < _ended(e, row)]
        return mine


def _ended(row: Row, other: Row) -> Any:
    """Return where a row ends, by line in one source, else by time."""
    line = row.line if row.line_end is None else row.line_end
    if row.source == other.source:
        return line
    ts = row.ts if row.ts_end is None else row.ts_end
    return -1 if ts is None else ts, line


def _is_wired(row: Row) -> bool:
    return not (row.fd is not None and row.fd < 0 or row.ret is not None and row.ret < 0)


def _wired(rows: Sequence[Row]) -> dict[int, int | None]:
    found: dict[int, int | None] = {}
    for row in rows:
        if _is_wired(row):
            found[row.vector if row.vector is not None else len(found)] = row.irq
    return found


def _detached(rows: Sequence[Row]) -> set[int]:
    return {row.vector for row in rows if row.fd is not None and row.fd < 0 and row.vector is not None}
