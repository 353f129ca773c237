"""A few rows that make calls, read one by one: an operation on a column takes longer than on hundreds of rows in a loop."""

from collections.abc import Sequence
from zlib import crc32

import polars as pl

from tracekit import ENVELOPE, Row, rows_of
from tracekit_linux.calls.arguments import Fetches, fields, meaning, number
from tracekit_linux.calls.functions import BOOL, FUNCTIONS, INT, RETURN_NAMES, SYSTEM_CALL, UNKNOWN, VOID, signed
from tracekit_linux.calls.pairing import RETURN, Pairing
from tracekit_linux.calls.rows import GRAPH, IOCTL, NEEDED, UNREADABLE, VFIO_TYPE
from tracekit_linux.calls.symbols import Names
from tracekit_linux.tables import CALLS

ARGS = CALLS.schema["args"]
Arg = tuple[str, int | None, str]  # name, value, text


class Few:
    """The rows of one source, with what pairing and the table need of each."""

    def __init__(self, rows: pl.DataFrame, names: Names) -> None:
        self.rows, self.names = rows, names
        self.columns: dict[str, list[object]] = {name: [] for name in NEEDED}
        self.function: list[str | None] = []
        self.hint: list[str | None] = []
        self.args: list[list[Arg]] = []
        self.value: list[int | None] = []
        self.value_kind: list[str | None] = []
        self.kind = rows["kind"].to_list()
        for row in rows_of(rows):
            self._read(row)

    def _read(self, row: Row) -> None:
        if row.kind in ("probe_entry", "probe_return"):
            function, hint = self.names.of(row.probe or "", row.function, row.address, row.args)
            pairs, defined = fields(row.args), self.names.fetches(row.probe or "", function)
            entered = row.kind == "probe_entry"
            self.args.append(meant(function or hint, pairs, defined) if entered else meant(None, pairs, {}))
            self._add(row, function, hint, row.probe or "", None if entered else returned(pairs, defined))
        elif row.kind in GRAPH:
            function = row.function or ""
            has_arguments = function in FUNCTIONS and row.kind != "graph_exit"
            self.args.append(meant(function, fields(row.args), {}) if has_arguments else [])
            self._add(row, function, None, "", number(row.ret or ""))
        else:
            asked = (("fd", row.fd), ("cmd", row.cmd)) if row.kind == "sys_enter_ioctl" else ()
            self.args.append([(name, signed(value, 64), hex(value)) for name, value in asked if value is not None])
            self._add(row, IOCTL, None, "", number(row.ret or ""))

    def _add(self, row: Row, function: str | None, hint: str | None, other: str, value: int | None) -> None:
        name, graph = function or hint, row.kind in GRAPH
        key = name or other
        place = SYSTEM_CALL if function == IOCTL else FUNCTIONS.get(key, UNKNOWN)
        lane = _lane(row)
        known = key in FUNCTIONS if graph else row.kind != "sys_enter_ioctl" or (row.cmd or 0) >> 8 == VFIO_TYPE
        vdev = next((UNREADABLE if v is None else v for n, v, _ in self.args[-1] if n == "vdev"), None)
        caller = row.caller if row.kind == "probe_return" else None
        indent = len(row.indent or "") if graph else -1
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
            row.previous,
            row.next,
        )
        for column, cell in zip(self.columns.values(), cells, strict=True):
            column.append(cell)
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

    def table(self, pairing: Pairing, depths: Sequence[int], schema: pl.Schema) -> pl.DataFrame:
        """Return the calls; each stands where its first row stands."""
        done, number = pairing.done, crc32(self.rows["source"][0].encode()) << 31
        line, ts = self.rows["line"].to_list(), self.rows["ts"].to_list()
        ends = [pairing.end[c] for c in done]
        times = [None if e is None else ts[e] for e in ends]
        parents = [pairing.parent[c] for c in done]
        results = [self.result(c, e) for c, e in zip(done, ends, strict=True)]
        cells = {
            "n": done,
            "ts_end": times,
            "line_end": [None if e is None else line[e] for e in ends],
            "id": [number + line[c] for c in done],
            "parent": [None if p is None else number + line[p] for p in parents],
            "depth": depths,
            "function": [self.function[c] for c in done],
            "function_hint": [self.hint[c] for c in done],
            "caller": [None if e is None else self.columns["caller"][e] for e in ends],
            "lane": [lane.name for lane in pairing.done_in],
            "lane_assumed": [lane.assumed for lane in pairing.done_in],
            "ret": [value for value, _ in results],
            "ret_kind": [kind for _, kind in results],
            "complete": [pairing.complete[c] for c in done],
            "begin": [None if pairing.complete[c] == RETURN else ts[c] for c in done],
            "end": times,
        }
        made = pl.DataFrame(cells, schema={c: schema.get(c, pl.UInt32()) for c in cells})
        return self.rows.select(*ENVELOPE, "probe")[made["n"]].hstack(made).hstack([_column([self.args[c] for c in done])])


def _lane(row: Row) -> str | None:
    """Return the lane in which a row stands: its task, else null for a CPU of a function graph, else the source."""
    if row.tid is not None and not (row.tid == 0 and row.on_cpu is not None):
        return f"tid:{row.tid}"
    if row.kind in GRAPH and row.on_cpu is not None and row.tid is None:
        return None
    return f"idle:{row.on_cpu}" if row.tid == 0 else "source"


def _column(args: Sequence[Sequence[Arg]]) -> pl.Series:
    """Return the column `args`."""
    if not any(args):
        return pl.Series("args", [[]], dtype=ARGS).new_from_index(0, len(args))
    none = [(None, None, None)]
    given = [(n, *arg) for n, own in enumerate(args) for arg in own or none]
    flat = pl.DataFrame(given, schema={"n": pl.UInt32, "name": pl.String, "value": pl.Int64, "text": pl.String}, orient="row")
    each = pl.struct("name", "value", "text").filter(pl.col("name").is_not_null())
    return flat.group_by("n", maintain_order=True).agg(each.alias("args"))["args"]


def meant(function: str | None, pairs: Sequence[tuple[str, str]], defined: Fetches) -> list[Arg]:
    """Return the arguments of a call under the names of the function's parameters where these are known."""
    return [(meaning(function, name, defined.get(name)), number(text), text) for name, text in pairs]


def returned(pairs: Sequence[tuple[str, str]], defined: Fetches) -> int | None:
    """Return the return value among the fields of a return event: the one fetched from `$retval`, the only one, or the one named so."""
    by_definition = [t for n, t in pairs if defined.get(n) == "$retval"]
    by_name = [t for n, t in pairs if n.lower() in RETURN_NAMES]
    for texts in (by_definition, [t for _, t in pairs] if len(pairs) == 1 else [], by_name):
        if texts:
            return number(texts[0])
    return None


def normal_return(kind: str | None, value: int) -> int | None:
    """Return what a function of a kind returned: int sign-extended from 32 bits, bool from its low 8 bits, nothing for void."""
    if kind == VOID:
        return None
    return value & 0xFF if kind == BOOL else signed(value, 32 if kind == INT else 64)
