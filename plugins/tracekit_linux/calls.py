"""Calls: entries and returns of functions, from probes, function graphs and system calls, paired and nested."""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from zlib import crc32

import polars as pl

from tracekit import ENVELOPE, Model, Row, Schema
from tracekit_linux.arguments import Arg, Fetches, fetches, fields, function_of, meant, number, returned
from tracekit_linux.functions import FUNCTIONS, SYSTEM_CALL, UNKNOWN, Function, bare, guess, normal_return

ARGS = pl.List(pl.Struct({"name": pl.String, "value": pl.Int64, "text": pl.String}))
GRAPH = ("graph_entry", "graph_leaf", "graph_exit", "graph_irq_entry", "graph_irq_exit", "graph_switch")
KINDS = ("probe_entry", "probe_return", *GRAPH, "sys_enter_ioctl", "sys_exit_ioctl")
COLUMNS: Schema = {
    **ENVELOPE,
    **dict.fromkeys(("probe", "function", "caller", "args", "indent", "ret", "duration", "previous", "next"), pl.String()),
    **dict.fromkeys(("address", "fd", "cmd", "arg"), pl.UInt64()),
}
# What a recorder writes into the trace looks like an event of one of these names, and is none.
NARRATION = ("tracing_mark_write", "print", "bprint", "bputs")
IOCTL = "sys_ioctl"
VFIO_TYPE = 0x3B  # ioctl commands of VFIO are `_IO(';', n)`, include/uapi/linux/vfio.h


@dataclass(slots=True, eq=False)
class Call:
    """One call while it is being put together."""

    row: Row
    function: str | None
    hint: str | None = None
    args: list[Arg] = field(default_factory=list)
    parent: "Call | None" = None
    ret: int | None = None
    ret_kind: str | None = None
    complete: str = "entry"
    end: Row | None = None
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
        """The innermost open call that is reported."""
        return next((c for c in reversed(self.stack) if c.known), None)


class Calls(Model):
    """Pairs and nests calls: a stack a lane; a lane is a task, else a CPU of a function graph, else the source."""

    tables: ClassVar[dict[str, Schema]] = {
        "calls": {
            "id": pl.Int64(),
            "parent": pl.Int64(),
            "depth": pl.Int64(),
            "function": pl.String(),
            "function_hint": pl.String(),
            "probe": pl.String(),
            "caller": pl.String(),
            "lane": pl.String(),
            "lane_assumed": pl.Boolean(),
            "args": ARGS,
            "ret": pl.Int64(),
            "ret_kind": pl.String(),
            "complete": pl.String(),
            "begin": pl.Int64(),
            "end": pl.Int64(),
        }
    }
    needs = KINDS
    across = ("kprobe_definition", "kallsyms_symbol")

    def run(self, rows: Iterable[tuple[str, Row]], tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
        """The calls of all sources of the stream."""
        names = Names(tables)
        for frame in merged(tables).partition_by("source", maintain_order=True):
            pairing = Pairing(names)
            for kind, row in _rows(frame):
                getattr(pairing, kind)(row)
            pairing.finish()
            self._emit(pairing)
        return self.frames()

    def _emit(self, pairing: "Pairing") -> None:
        ids = {id(c): (crc32(c.row.source.encode()) << 31) + c.row.line for c, _ in pairing.done}
        for c, lane in pairing.done:
            end = c.end
            self.emit(
                "calls",
                c.row,
                ts_end=end.ts if end else None,
                line_end=end.line if end else None,
                id=ids[id(c)],
                parent=ids[id(c.parent)] if c.parent else None,
                depth=_depth(c),
                function=c.function,
                function_hint=c.hint,
                probe=c.row.probe,
                caller=c.caller,
                lane=lane.name,
                lane_assumed=lane.assumed,
                args=c.args,
                ret=c.ret,
                ret_kind=c.ret_kind,
                complete=c.complete,
                begin=c.row.ts if c.complete != "return" else None,
                end=end.ts if end else None,
            )


def merged(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """All rows that make calls, of all kinds, in the order of their sources; leaves of function graphs that nobody knows are left out."""
    frames = [pl.DataFrame(schema={**COLUMNS, "kind": pl.String})]
    for kind in KINDS:
        if (frame := tables.get(kind)) is None:
            continue
        if kind == "graph_leaf":
            frame = frame.filter(pl.col("function").str.split(".").list.first().is_in(list(FUNCTIONS)))
        if kind == "probe_entry":
            frame = frame.filter(~pl.col("probe").is_in(NARRATION))
        own = [c for c in COLUMNS if c in frame.columns]
        frames.append(frame.select(*own, pl.lit(kind).alias("kind")))
    return pl.concat(frames, how="diagonal").sort("source", "line", maintain_order=True)


def _rows(frame: pl.DataFrame) -> Iterator[tuple[str, Row]]:
    for values in frame.iter_rows(named=True):
        yield values["kind"], Row(**values)


def _depth(call: Call) -> int:
    depth = 0
    while call.parent is not None:
        call, depth = call.parent, depth + 1
    return depth


class Names:
    """Which function a probe event stands for: its symbol, its definition, or a guess."""

    def __init__(self, tables: Mapping[str, pl.DataFrame]) -> None:
        self.definitions = self._definitions(tables.get("kprobe_definition"))
        self.symbols = self._symbols(tables.get("kallsyms_symbol"))
        self.by_address: dict[int, str] = {}
        self.resolved: dict[tuple[Any, ...], tuple[str | None, str | None]] = {}
        self.returning: set[str] = set()
        for kind in ("probe_entry", "probe_return"):
            if (frame := tables.get(kind)) is not None:
                self._learn(kind, frame)

    @staticmethod
    def _definitions(frame: pl.DataFrame | None) -> dict[str, dict[str, Fetches]]:
        """Probe -> function -> what its arguments fetch."""
        found: dict[str, dict[str, Fetches]] = {}
        if frame is not None:
            for probe, function, args in frame.select("probe", "function", "args").iter_rows():
                if (name := function_of(function)) is not None:
                    found.setdefault(probe.rpartition("/")[2], {})[name] = fetches(args)
        return found

    @staticmethod
    def _symbols(frame: pl.DataFrame | None) -> dict[int, str]:
        """Address -> known function, from /proc/kallsyms."""
        if frame is None:
            return {}
        named = frame.select("address", pl.col("symbol").str.split(".").list.first())
        return dict(named.filter(pl.col("symbol").is_in(list(FUNCTIONS)) & (pl.col("address") > 0)).iter_rows())

    def _learn(self, kind: str, frame: pl.DataFrame) -> None:
        """Guess the functions of probes that have addresses only; entries first, for returns share their addresses."""
        seen = frame.unique(["probe", "function", "address"], keep="first", maintain_order=True)
        for probe, function, address, args in seen.select("probe", "function", "address", "args").iter_rows():
            name, hint = self.of(probe, function, address, args)
            if kind == "probe_return":
                self.returning.add(name or hint or probe)
            elif hint and address is not None:
                self.by_address[address] = hint

    def of(self, probe: str, function: str | None, address: int | None, args: str | None) -> tuple[str | None, str | None]:
        """(function, hint) of a probe event."""
        if function is not None:
            return bare(function), None
        key = (probe, address)
        if key not in self.resolved:
            self.resolved[key] = self._guess(probe, address, args)
        return self.resolved[key]

    def _guess(self, probe: str, address: int | None, args: str | None) -> tuple[str | None, str | None]:
        defined = self.definitions.get(probe, {})
        if len(defined) == 1:
            return next(iter(defined)), None
        # A kprobe behind the landing pad stands up to 16 bytes after the address that its kretprobe prints.
        symbol = next((f for n in range(17) if address is not None and (f := self.symbols.get(address - n))), None)
        if symbol is not None:
            return symbol, None
        near = next((f for a, f in self.by_address.items() if address is not None and abs(a - address) <= 16), None)
        return None, near or guess(probe, frozenset(n for n, _ in fields(args)))

    def fetches(self, probe: str, function: str | None) -> Fetches:
        """What the arguments of this probe on this function fetch; empty if no definition says so."""
        return self.definitions.get(probe, {}).get(function or "", {})


class Pairing:
    """The lanes of one source. Its methods are named for the tables whose rows they take."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.lanes: dict[str, Lane] = {}
        self.shown: dict[int | None, int] = {}  # the task that a function graph without task column shows, by CPU
        self.interrupted: dict[str, int] = {}  # lane -> depth of interrupts
        self.done: list[tuple[Call, Lane]] = []

    def probe_entry(self, row: Row) -> None:
        """Open a call; one whose return is not recorded encloses what only it can have called."""
        function, hint = self.names.of(row.probe, row.function, row.address, row.args)
        lane = self._lane(row)
        args = meant(function or hint, fields(row.args), self.names.fetches(row.probe, function))
        call = Call(row, function, hint, args)
        self._leave(lane, call)
        call.parent = lane.innermost
        if call.place.rank is None and call.key not in self.names.returning:
            self._close(lane, call)
        else:
            lane.stack.append(call)

    def probe_return(self, row: Row) -> None:
        """Close the innermost open call of that function, else report a call of which only the return is recorded."""
        function, hint = self.names.of(row.probe, row.function, row.address, row.args)
        lane = self._lane(row)
        pairs, defined = fields(row.args), self.names.fetches(row.probe, function)
        value = returned(pairs, defined)
        call = self._opened(lane, function or hint or row.probe)
        if call is None:
            call = Call(row, function, hint, meant(None, pairs, {}), complete="return")
            self._leave(lane, call)
            call.parent = next((c for c in reversed(lane.stack) if c.known and c.key == bare(row.caller or "")), lane.innermost)
            self._adopt(lane, call)
        else:
            call.complete = "both"
        call.end, call.caller = row, bare(row.caller) if row.caller else None
        if value is not None:
            call.ret, call.ret_kind = normal_return(function or hint, value)
        self._close(lane, call)

    def graph_entry(self, row: Row) -> None:
        """Open a call of a function graph; calls at its depth or deeper have ended unseen."""
        lane = self._lane(row)
        indent, function = len(row.indent), bare(row.function)
        self._leave_graph(lane, indent)
        known = function in FUNCTIONS
        args = _graph_args(function, row.args) if known else []
        lane.stack.append(Call(row, function, None, args, lane.innermost, indent=indent, known=known))

    def graph_leaf(self, row: Row) -> None:
        """A call of a function graph in one line."""
        lane = self._lane(row)
        indent, function = len(row.indent), bare(row.function)
        self._leave_graph(lane, indent)
        call = Call(row, function, None, _graph_args(function, row.args), lane.innermost, complete="both", end=row, indent=indent)
        self._returned(call, row)
        self._close(lane, call)

    def graph_exit(self, row: Row) -> None:
        """Close the call at this depth; without one, its entry was before the recording."""
        lane, indent = self._lane(row), len(row.indent)
        self._leave_graph(lane, indent + 1)
        function = bare(row.function) if row.function else None
        call = lane.stack.pop() if lane.stack and lane.stack[-1].indent == indent else None
        if call is None and function in FUNCTIONS:
            call = Call(row, function, None, [], lane.innermost, complete="return", indent=indent)
            self._adopt(lane, call)
        if call is None or not call.known:
            return
        call.complete = "both" if call.complete == "entry" else call.complete
        call.end = row
        self._returned(call, row)
        self._close(lane, call)

    def graph_irq_entry(self, row: Row) -> None:
        """What follows in this lane runs in an interrupt, and was not called by what is open there."""
        name = self._lane_name(row)[0]
        self.interrupted[name] = self.interrupted.get(name, 0) + 1

    def graph_irq_exit(self, row: Row) -> None:
        """Back from the interrupt: its calls have ended."""
        lane = self._lane(row)
        name = self._lane_name(row)[0]
        if self.interrupted.get(name):
            self._leave_graph(lane, 0)
            self.interrupted[name] -= 1

    def graph_switch(self, row: Row) -> None:
        """A function graph without task column goes on with another task of this CPU."""
        before, after = (re.search(r"-([0-9]+) *$", t) for t in (row.previous, row.next))
        if before and row.on_cpu not in self.shown and (lane := self.lanes.pop(f"cpu:{row.on_cpu}", None)) is not None:
            lane.name = f"tid:{before[1]}"
            self.lanes[lane.name] = lane
        if after:
            self.shown[row.on_cpu] = int(after[1])

    def sys_enter_ioctl(self, row: Row) -> None:
        """Open an ioctl; commands of other subsystems only hold their place."""
        lane = self._lane(row)
        args = [{"name": n, "value": getattr(row, n), "text": hex(getattr(row, n))} for n in ("fd", "cmd") if getattr(row, n) is not None]
        call = Call(row, IOCTL, None, args, known=(row.cmd or 0) >> 8 == VFIO_TYPE)
        self._leave(lane, call)
        call.parent = lane.innermost
        lane.stack.append(call)

    def sys_exit_ioctl(self, row: Row) -> None:
        """Close the ioctl of this lane, else report its return alone."""
        lane = self._lane(row)
        call = self._opened(lane, IOCTL)
        if call is None:
            call = Call(row, IOCTL, None, [], lane.innermost, complete="return")
        else:
            call.complete = "both"
        value = number(row.ret)
        call.end, call.ret, call.ret_kind = row, None if value is None else _low(value), "int"
        self._close(lane, call)

    def finish(self) -> None:
        """What is still open at the end of the recording has no return."""
        for lane in self.lanes.values():
            self._drop(lane, 0)

    def _lane_name(self, row: Row) -> tuple[str, bool]:
        if row.tid is not None and not (row.tid == 0 and row.on_cpu is not None):
            return f"tid:{row.tid}", False
        if row.kind in GRAPH and row.on_cpu is not None and row.tid is None:
            shown = self.shown.get(row.on_cpu)
            return (f"tid:{shown}", False) if shown else (f"cpu:{row.on_cpu}", shown is None)
        return (f"idle:{row.on_cpu}", False) if row.tid == 0 else ("source", True)

    def _lane(self, row: Row) -> Lane:
        name, assumed = self._lane_name(row)
        if self.interrupted.get(name):
            name += "/irq"
        lane = self.lanes.get(name)
        if lane is None:
            lane = self.lanes[name] = Lane(name, assumed)
        return lane

    def _opened(self, lane: Lane, key: str) -> Call | None:
        """The innermost open call of a function, taken off the stack; what it had called has ended unseen."""
        for i in range(len(lane.stack) - 1, -1, -1):
            if lane.stack[i].key == key:
                self._drop(lane, i + 1)
                return lane.stack.pop()
        return None

    def _leave(self, lane: Lane, call: Call) -> None:
        """Before a probe's entry: open calls that cannot have made it have ended unseen."""
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
        """What ended before a call of which only the return is recorded, and only it can have called, it made."""
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
    def _returned(call: Call, row: Row) -> None:
        value = number(row.ret) if row.ret else None
        if value is not None:
            call.ret, call.ret_kind = normal_return(call.function, value)

    def _close(self, lane: Lane, call: Call) -> None:
        if call.known:
            lane.ended.append(call)
            self.done.append((call, lane))


def _other_device(outer: Call, inner: Call) -> bool:
    """Whether both name the VFIO device they work on, and it is not the same."""
    one, other = ({a["value"] for a in c.args if a["name"] == "vdev"} for c in (outer, inner))
    return bool(one and other and one != other)


def _graph_args(function: str, text: str | None) -> list[Arg]:
    return meant(function, fields(text), {}) if text else []


def _low(value: int) -> int:
    return normal_return("vfio_pci_core_ioctl", value)[0] or 0
