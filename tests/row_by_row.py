"""Pairing of calls row by row: one object a call, a stack a lane. Slow and plain; `test_pairing.py` holds the model's tables against it."""

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from zlib import crc32

import polars as pl
from tracekit_linux.calls import perf_trace
from tracekit_linux.calls.arguments import Fetches, fields, meaning, number
from tracekit_linux.calls.functions import BOOL, FUNCTIONS, INT, RETURN_NAMES, SYSTEM_CALL, UNKNOWN, VOID, Function, signed
from tracekit_linux.calls.rows import GRAPH, IOCTL, VFIO_TYPE, merged
from tracekit_linux.calls.symbols import Names

Arg = tuple[str, int | None, str]  # name, value, text


def calls(tables: Mapping[str, pl.DataFrame]) -> list[dict[str, object]]:
    """The rows of `calls` in the order in which they end, without the columns of the envelope."""
    tables = perf_trace.as_traced(tables)
    names, made = Names(tables), []
    for frame in merged(tables).sort("source", "line", maintain_order=True).partition_by("source", maintain_order=True):
        pairing = Pairing(names)
        for row in frame.with_row_index("n").select(Line._fields).iter_rows():
            line = Line._make(row)
            getattr(pairing, line.kind)(line)
        pairing.finish()
        made += [_row(frame, call, lane) for call, lane in pairing.done]
    return made


def _row(frame: pl.DataFrame, call: "Call", lane: "Lane") -> dict[str, object]:
    line, ts = frame["line"], frame["ts"]
    number = crc32(frame["source"][0].encode()) << 31
    end = None if call.end is None else ts[call.end.n]
    return {
        "line": line[call.row.n],
        "line_end": None if call.end is None else line[call.end.n],
        "ts": ts[call.row.n],
        "ts_end": end,
        "id": number + line[call.row.n],
        "parent": None if call.parent is None else number + line[call.parent.row.n],
        "depth": _depth(call),
        "probe": call.row.probe,
        "function": call.function,
        "function_hint": call.hint,
        "caller": call.caller,
        "lane": lane.name,
        "lane_assumed": lane.assumed,
        "args": [{"name": name, "value": value, "text": text} for name, value, text in call.args],
        "ret": call.ret,
        "ret_kind": call.ret_kind,
        "complete": call.complete,
        "begin": None if call.complete == "return" else ts[call.row.n],
        "end": end,
    }


def _depth(call: "Call") -> int:
    depth = 0
    while call.parent is not None:
        call, depth = call.parent, depth + 1
    return depth


def meant(function: str | None, pairs: list[tuple[str, str]], defined: Fetches) -> list[Arg]:
    """Return the arguments of a call under the names of the function's parameters where these are known."""
    return [(meaning(function, name, defined.get(name)), number(text), text) for name, text in pairs]


def returned(pairs: list[tuple[str, str]], defined: Fetches) -> int | None:
    """Return the return value among the fields of a return event: the one fetched from `$retval`, the only one, or the one named so."""
    by_definition = [t for n, t in pairs if defined.get(n) == "$retval"]
    by_name = [t for n, t in pairs if n.lower() in RETURN_NAMES]
    for texts in (by_definition, [t for _, t in pairs] if len(pairs) == 1 else [], by_name):
        if texts:
            return number(texts[0])
    return None


def normal_return(function: str | None, value: int) -> tuple[int | None, str | None]:
    """Return (value, kind) of a recorded return value: int sign-extended from 32 bits, bool from its low 8 bits, nothing for void."""
    known = FUNCTIONS.get(function or "")
    kind = known.returns if known else None
    if kind == VOID:
        return None, kind
    if kind == BOOL:
        return value & 0xFF, kind
    if kind == INT:
        return signed(value, 32), kind
    return signed(value, 64), kind


class Line(NamedTuple):
    """What pairing needs of a row; `n` is its place in the frame, functions are without compiler suffix."""

    n: int
    kind: str
    on_cpu: int | None
    tid: int | None
    probe: str | None
    function: str | None
    caller: str | None
    args: str | None
    indent: str | None
    ret: str | None
    previous: str | None
    next: str | None
    address: int | None
    fd: int | None
    cmd: int | None


@dataclass(slots=True, eq=False)
class Call:
    """One call while it is being put together."""

    row: Line
    function: str | None
    hint: str | None = None
    args: list[Arg] = field(default_factory=list)
    parent: "Call | None" = None
    ret: int | None = None
    ret_kind: str | None = None
    complete: str = "entry"
    end: Line | None = None
    caller: str | None = None
    indent: int = -1  # function_graph only
    known: bool = True  # false: holds a place in a function graph, but is not reported
    key: str = ""  # what an entry and its return have in common
    place: Function = UNKNOWN  # what it can call, and what can call it

    def __post_init__(self) -> None:
        self.key = self.function or self.hint or self.row.probe or ""
        self.place = SYSTEM_CALL if self.function == IOCTL else FUNCTIONS.get(self.key, UNKNOWN)


@dataclass(slots=True)
class Lane:
    """The calls that are open in one lane, and those that ended last."""

    name: str
    assumed: bool
    stack: list[Call] = field(default_factory=list)
    ended: deque[Call] = field(default_factory=lambda: deque(maxlen=4096))

    @property
    def innermost(self) -> Call | None:
        """Return the innermost open call that is reported."""
        return next((c for c in reversed(self.stack) if c.known), None)


class Pairing:
    """The lanes of one source. Its methods are named for the tables whose rows they take."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.lanes: dict[str, Lane] = {}
        self.shown: dict[int | None, int] = {}  # the task that a function graph without task column shows, by CPU
        self.interrupted: dict[str, int] = {}  # lane -> depth of interrupts
        self.done: list[tuple[Call, Lane]] = []

    def probe_entry(self, row: Line) -> None:
        """Open a call; one whose return is not recorded encloses what only it can have called."""
        function, hint = self.names.of(row.probe or "", row.function, row.address, row.args)
        lane = self._lane(row)
        args = meant(function or hint, fields(row.args), self.names.fetches(row.probe or "", function))
        call = Call(row, function, hint, args)
        self._leave(lane, call)
        call.parent = lane.innermost
        if call.place.rank is None and call.key not in self.names.returning:
            self._close(lane, call)
        else:
            lane.stack.append(call)

    def probe_return(self, row: Line) -> None:
        """Close the innermost open call of that function, else report a call of which only the return is recorded."""
        function, hint = self.names.of(row.probe or "", row.function, row.address, row.args)
        lane = self._lane(row)
        pairs, defined = fields(row.args), self.names.fetches(row.probe or "", function)
        value = returned(pairs, defined)
        call = self._opened(lane, function or hint or row.probe or "")
        if call is None:
            call = Call(row, function, hint, meant(None, pairs, {}), complete="return")
            self._leave(lane, call)
            call.parent = next((c for c in reversed(lane.stack) if c.known and c.key == row.caller), lane.innermost)
            self._adopt(lane, call)
        else:
            call.complete = "both"
        call.end, call.caller = row, row.caller
        if value is not None:
            call.ret, call.ret_kind = normal_return(function or hint, value)
        self._close(lane, call)

    def graph_entry(self, row: Line) -> None:
        """Open a call of a function graph; calls at its depth or deeper have ended unseen."""
        lane = self._lane(row)
        indent, function = len(row.indent or ""), row.function or ""
        self._leave_graph(lane, indent)
        known = function in FUNCTIONS
        args = _graph_args(function, row.args) if known else []
        lane.stack.append(Call(row, function, None, args, lane.innermost, indent=indent, known=known))

    def graph_leaf(self, row: Line) -> None:
        """Add a call that a function graph prints in one line."""
        lane = self._lane(row)
        indent, function = len(row.indent or ""), row.function or ""
        self._leave_graph(lane, indent)
        call = Call(row, function, None, _graph_args(function, row.args), lane.innermost, complete="both", end=row, indent=indent)
        self._returned(call, row)
        self._close(lane, call)

    def graph_exit(self, row: Line) -> None:
        """Close the call at this depth; without one, its entry was before the recording."""
        lane, indent = self._lane(row), len(row.indent or "")
        self._leave_graph(lane, indent + 1)
        call = lane.stack.pop() if lane.stack and lane.stack[-1].indent == indent else None
        if call is None and row.function in FUNCTIONS:
            call = Call(row, row.function, None, [], lane.innermost, complete="return", indent=indent)
            self._adopt(lane, call)
        if call is None or not call.known:
            return
        call.complete = "both" if call.complete == "entry" else call.complete
        call.end = row
        self._returned(call, row)
        self._close(lane, call)

    def graph_irq_entry(self, row: Line) -> None:
        """Begin an interrupt: what follows in this lane was not called by the open calls."""
        name = self._lane_name(row)[0]
        self.interrupted[name] = self.interrupted.get(name, 0) + 1

    def graph_irq_exit(self, row: Line) -> None:
        """Return from the interrupt: its calls have ended."""
        lane = self._lane(row)
        name = self._lane_name(row)[0]
        if self.interrupted.get(name):
            self._leave_graph(lane, 0)
            self.interrupted[name] -= 1

    def graph_switch(self, row: Line) -> None:
        """Go on with another task of this CPU, in a function graph without a task column."""
        before, after = (re.search(r"-([0-9]+) *$", t) for t in (row.previous or "", row.next or ""))
        if before and row.on_cpu not in self.shown and (lane := self.lanes.pop(f"cpu:{row.on_cpu}", None)) is not None:
            lane.name = f"tid:{before[1]}"
            self.lanes[lane.name] = lane
        if after:
            self.shown[row.on_cpu] = int(after[1])

    def sys_enter_ioctl(self, row: Line) -> None:
        """Open an ioctl; commands of other subsystems only hold their place."""
        lane = self._lane(row)
        args: list[Arg] = [(name, signed(value, 64), hex(value)) for name, value in (("fd", row.fd), ("cmd", row.cmd)) if value is not None]
        call = Call(row, IOCTL, None, args, known=(row.cmd or 0) >> 8 == VFIO_TYPE)
        self._leave(lane, call)
        call.parent = lane.innermost
        lane.stack.append(call)

    def sys_exit_ioctl(self, row: Line) -> None:
        """Close the ioctl of this lane, else report its return alone."""
        lane = self._lane(row)
        call = self._opened(lane, IOCTL)
        if call is None:
            call = Call(row, IOCTL, None, [], lane.innermost, complete="return")
        else:
            call.complete = "both"
        value = number(row.ret or "")
        call.end, call.ret, call.ret_kind = row, None if value is None else _low(value), "int"
        self._close(lane, call)

    def finish(self) -> None:
        """End the calls that are open at the end of the recording, without a return."""
        for lane in self.lanes.values():
            self._drop(lane, 0)

    def _lane_name(self, row: Line) -> tuple[str, bool]:
        if row.tid is not None and not (row.tid == 0 and row.on_cpu is not None):
            return f"tid:{row.tid}", False
        if row.kind in GRAPH and row.on_cpu is not None and row.tid is None:
            shown = self.shown.get(row.on_cpu)
            return (f"tid:{shown}", False) if shown else (f"cpu:{row.on_cpu}", shown is None)
        return (f"idle:{row.on_cpu}", False) if row.tid == 0 else ("source", True)

    def _lane(self, row: Line) -> Lane:
        name, assumed = self._lane_name(row)
        if self.interrupted.get(name):
            name += "/irq"
        lane = self.lanes.get(name)
        if lane is None:
            lane = self.lanes[name] = Lane(name, assumed)
        return lane

    def _opened(self, lane: Lane, key: str) -> Call | None:
        """Return the innermost open call of a function, taken off the stack; what it had called has ended unseen."""
        for i in range(len(lane.stack) - 1, -1, -1):
            if lane.stack[i].key == key:
                self._drop(lane, i + 1)
                return lane.stack.pop()
        return None

    def _leave(self, lane: Lane, call: Call) -> None:
        """End open calls that cannot be callers of a probe's entry: their returns are not recorded."""
        for i, c in enumerate(lane.stack):
            if c.indent >= 0:
                continue
            elsewhere = c.key not in self.names.returning and _other_device(c, call)
            if c.key == call.key or elsewhere or not c.place.may_call(call.place):
                self._drop(lane, i)
                return

    def _leave_graph(self, lane: Lane, indent: int) -> None:
        while lane.stack and lane.stack[-1].indent >= indent:
            self._close(lane, lane.stack.pop())

    def _drop(self, lane: Lane, depth: int) -> None:
        while len(lane.stack) > depth:
            self._close(lane, lane.stack.pop())

    @staticmethod
    def _adopt(lane: Lane, call: Call) -> None:
        """Put below a call without an entry what ended before it and only it can have called."""
        for c in reversed(lane.ended):
            if call.indent >= 0:
                made = c.indent > call.indent
            elif call.place.rank is None:
                made = c.caller == call.key
            else:
                made = call.place.may_call(c.place)
            if not made:
                return
            if c.parent is call.parent:
                c.parent = call

    @staticmethod
    def _returned(call: Call, row: Line) -> None:
        value = number(row.ret) if row.ret else None
        if value is not None:
            call.ret, call.ret_kind = normal_return(call.function, value)

    def _close(self, lane: Lane, call: Call) -> None:
        if call.known:
            lane.ended.append(call)
            self.done.append((call, lane))


def _other_device(outer: Call, inner: Call) -> bool:
    """Return whether both name the VFIO device they work on, and it is not the same."""
    one, other = ({value for name, value, _ in c.args if name == "vdev"} for c in (outer, inner))
    return bool(one and other and one != other)


def _graph_args(function: str, text: str | None) -> list[Arg]:
    return meant(function, fields(text), {}) if text else []


def _low(value: int) -> int:
    return normal_return("vfio_pci_core_ioctl", value)[0] or 0
