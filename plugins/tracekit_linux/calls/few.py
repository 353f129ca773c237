"""A few rows that make calls, read one by one: an operation on a column takes longer than on hundreds of rows in a loop."""

from collections.abc import Iterator, Sequence
from typing import Any
from zlib import crc32

from tracekit import Row
from tracekit_linux.calls.arguments import Fetches, fields, meaning, number
from tracekit_linux.calls.functions import BOOL, FUNCTIONS, INT, RETURN_NAMES, SYSTEM_CALL, UNKNOWN, VOID, signed
from tracekit_linux.calls.pairing import RETURN, Pairing
from tracekit_linux.calls.rows import GRAPH, IOCTL, NARRATION, NEEDED, PROBES, UNREADABLE, VFIO_TYPE
from tracekit_linux.calls.symbols import Names

Arg = tuple[str, int | None, str]  # name, value, text


class Few:
    """The rows of one source, with what pairing and the table need of each. `told`: (kind, row), in their order."""

    def __init__(self, told: Sequence[tuple[str, Row]], names: Names) -> None:
        self.names = names
        self.kind, self.rows = [kind for kind, _ in told], [row for _, row in told]
        self._cells: list[tuple[object, ...]] = []
        self.function: list[str | None] = []
        self.hint: list[str | None] = []
        self.args: list[list[Arg]] = []
        self.value: list[int | None] = []
        self.value_kind: list[str | None] = []
        for kind, row in told:
            self._read(kind, row)
        columns = zip(*self._cells, strict=True) if told else ((),) * len(NEEDED)
        self.columns = dict(zip(NEEDED, columns, strict=True))

    def _read(self, kind: str, row: Row) -> None:
        if kind in PROBES:
            function, hint = self.names.of(row.probe or "", bare(row.function), row.address, row.args)
            pairs, defined = fields(row.args), self.names.fetches(row.probe or "", function)
            entered = kind == "probe_entry"
            self.args.append(meant(function or hint, pairs, defined) if entered else meant(None, pairs, {}))
            self._add(kind, row, function, hint, row.probe or "", None if entered else returned(pairs, defined))
        elif kind in GRAPH:
            function = bare(getattr(row, "function", None)) or ""
            has_arguments = function in FUNCTIONS and kind != "graph_exit"
            self.args.append(meant(function, fields(getattr(row, "args", None)), {}) if has_arguments else [])
            self._add(kind, row, function, None, "", number(getattr(row, "ret", None) or ""))
        else:
            asked = (("fd", row.fd), ("cmd", row.cmd)) if kind == "sys_enter_ioctl" else ()
            self.args.append([(name, signed(value, 64), hex(value)) for name, value in asked if value is not None])
            self._add(kind, row, IOCTL, None, "", number(getattr(row, "ret", None) or ""))

    def _add(self, kind: str, row: Row, function: str | None, hint: str | None, other: str, value: int | None) -> None:
        name, graph = function or hint, kind in GRAPH
        key = name or other
        place = SYSTEM_CALL if function == IOCTL else FUNCTIONS.get(key, UNKNOWN)
        lane = _lane(kind, row)
        known = key in FUNCTIONS if graph else kind != "sys_enter_ioctl" or (row.cmd or 0) >> 8 == VFIO_TYPE
        vdev = next((UNREADABLE if v is None else v for n, v, _ in self.args[-1] if n == "vdev"), None)
        caller = bare(row.caller) if kind == "probe_return" else None
        indent = len(getattr(row, "indent", None) or "") if graph else -1
        cells = (
            row.on_cpu,
            row.tid,
            lane,
            lane == "source",
            key,
            place.rank,
            place.reach,
            vdev,
            caller,
            indent,
            known,
            getattr(row, "previous", None),
            getattr(row, "next", None),
        )
        self._cells.append(cells)
        self.function.append(function)
        self.hint.append(hint)
        self.value.append(value)
        self.value_kind.append(INT if function == IOCTL else FUNCTIONS[name].returns if name in FUNCTIONS else None)

    def result(self, call: int, end: int | None) -> tuple[int | None, str | None]:
        """Return (value, kind) of what a call returned at a row."""
        value = None if end is None else self.value[end]
        if end is None or value is None:
            return None, INT if end is not None and self.kind[end] == "sys_exit_ioctl" else None
        kind = self.value_kind[call if self.kind[call] in GRAPH else end]
        return normal_return(kind, value), kind

    def calls(self, pairing: Pairing, depths: Sequence[int]) -> Iterator[tuple[Row, dict[str, Any]]]:
        """Yield the calls, each with the row where it began and its columns."""
        base = crc32(self.rows[0].source.encode()) << 31 if self.rows else 0
        for call, lane, depth in zip(pairing.done, pairing.done_in, depths, strict=True):
            row, end, parent = self.rows[call], pairing.end[call], pairing.parent[call]
            last = None if end is None else self.rows[end]
            value, kind = self.result(call, end)
            yield (
                row,
                {
                    "ts_end": last and last.ts,
                    "line_end": last and last.line,
                    "id": base + row.line,
                    "parent": None if parent is None else base + self.rows[parent].line,
                    "depth": depth,
                    "function": self.function[call],
                    "function_hint": self.hint[call],
                    "probe": getattr(row, "probe", None),
                    "caller": None if end is None else self.columns["caller"][end],
                    "lane": lane.name,
                    "lane_assumed": lane.assumed,
                    "args": [{"name": name, "value": value, "text": text} for name, value, text in self.args[call]],
                    "ret": value,
                    "ret_kind": kind,
                    "complete": pairing.complete[call],
                    "begin": None if pairing.complete[call] == RETURN else row.ts,
                    "end": last and last.ts,
                },
            )


def makes_calls(kind: str, row: Row) -> bool:
    """Return whether a row makes a call, as `merged` says it of many."""
    if kind in PROBES and row.function is not None and bare(row.function) not in FUNCTIONS:
        return False
    if kind == "graph_leaf" and bare(row.function) not in FUNCTIONS:
        return False
    return getattr(row, "probe", None) not in NARRATION


def bare(name: str | None) -> str | None:
    """Return a symbol without its compiler suffix."""
    return None if name is None else name.partition(".")[0]


def _lane(kind: str, row: Row) -> str | None:
    """Return the lane in which a row stands: its task, else null for a CPU of a function graph, else the source."""
    if row.tid is not None and not (row.tid == 0 and row.on_cpu is not None):
        return f"tid:{row.tid}"
    if kind in GRAPH and row.on_cpu is not None and row.tid is None:
        return None
    return f"idle:{row.on_cpu}" if row.tid == 0 else "source"


def meant(function: str | None, pairs: Sequence[tuple[str, str]], defined: Fetches) -> list[Arg]:
    """Return the arguments of a call under the names of the function's parameters where these are known."""
    return [(meaning(function, name, defined.get(name)), number(text), text) for name, text in pairs]


def returned(pairs: Sequence[tuple[str, str]], defined: Fetches) -> int | None:
    """Return the return value among the fields of a return event: the one fetched from `$retval`, the only one, or the one named so."""
    if len(pairs) == 1:
        return number(pairs[0][1])
    fetched = next((t for n, t in pairs if defined.get(n) == "$retval"), None)
    text = fetched if fetched is not None else next((t for n, t in pairs if n.lower() in RETURN_NAMES), None)
    return None if text is None else number(text)


def normal_return(kind: str | None, value: int) -> int | None:
    """Return what a function of a kind returned: int sign-extended from 32 bits, bool from its low 8 bits, nothing for void."""
    if kind == VOID:
        return None
    return value & 0xFF if kind == BOOL else signed(value, 32 if kind == INT else 64)
