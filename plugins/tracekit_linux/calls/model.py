"""Calls: entries and returns of functions, from probes, function graphs and system calls, paired and nested."""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar
from zlib import crc32

import polars as pl

from tracekit import ENVELOPE, Model, Row, Schema, Table
from tracekit_linux.calls import perf_trace
from tracekit_linux.calls.functions import FUNCTIONS
from tracekit_linux.calls.pairing import GRAPH, Call, Lane, Line, Pairing
from tracekit_linux.calls.symbols import Names
from tracekit_linux.operations.tree import sources_of
from tracekit_linux.tables import CALLS

ARGS = CALLS.schema["args"]
KINDS = ("probe_entry", "probe_return", *sorted(GRAPH), "sys_enter_ioctl", "sys_exit_ioctl")
COLUMNS: Schema = {
    **ENVELOPE,
    **dict.fromkeys(("probe", "function", "caller", "args", "indent", "ret", "duration", "previous", "next"), pl.String()),
    **dict.fromkeys(("address", "fd", "cmd", "arg"), pl.UInt64()),
}
_NO_ROWS = pl.DataFrame(schema={**COLUMNS, "kind": pl.String})
# What a recorder writes into the trace looks like an event of one of these names, and is none.
NARRATION = ("tracing_mark_write", "print", "bprint", "bputs")
AT_ONCE = 8192
_BARE = {c: pl.col(c).str.split(".").list.first() for c in ("function", "caller")}
_MAKES_CALLS = (
    ~pl.col("kind").is_in(["probe_entry", "probe_return"]) | pl.col("function").is_null() | pl.col("function").is_in(list(FUNCTIONS))
) & ~pl.col("probe").is_in(NARRATION).fill_null(False)


class Calls(Model):
    """Pairs and nests calls: a stack a lane; a lane is a task, else a CPU of a function graph, else the source."""

    tables: ClassVar[tuple[Table, ...]] = (CALLS,)
    needs = (*KINDS, *perf_trace.NEEDS)
    across = ("kprobe_definition", "kallsyms_symbol")

    def run(self, rows: Iterable[tuple[str, Row]], tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
        """Return the calls of all sources of the stream; each place is taken from the row where the call began."""
        tables = perf_trace.as_traced(tables)
        names, none = Names(tables), self.blank()["calls"]
        made = [none]
        for frame in sources_of(merged(tables)):
            pairing = Pairing(names)
            for row in frame.with_row_index("n").select(Line._fields).iter_rows(buffer_size=AT_ONCE):
                line = Line._make(row)
                getattr(pairing, line.kind)(line)
            pairing.finish()
            made.append(_table(frame, pairing.done)[none.columns])
        return {"calls": pl.concat(made)}


def merged(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """All rows that make calls, of all kinds, in the order of their sources; calls of functions that nobody knows are left out where they
    enclose nothing."""
    frames = [_NO_ROWS]
    for kind in KINDS:
        if (frame := tables.get(kind)) is None:
            continue
        if kind == "graph_leaf":  # most rows of a function graph
            frame = frame.filter(_BARE["function"].is_in(list(FUNCTIONS)))
        columns = frame.columns
        own = frame[[c for c in COLUMNS if c in columns]]
        frames.append(own.hstack([pl.Series("kind", [kind]).new_from_index(0, own.height)]))
    rows = pl.concat(frames, how="diagonal").with_columns(**_BARE)
    return rows.filter(_MAKES_CALLS).sort("source", "line", maintain_order=True)


def _table(frame: pl.DataFrame, done: Sequence[tuple[Call, Lane]]) -> pl.DataFrame:
    """Return the calls of one source, built column by column; each stands where its first row stands."""
    calls = [c for c, _ in done]
    line, ts = frame["line"].to_list(), frame["ts"].to_list()
    number = crc32(frame["source"][0].encode()) << 31
    ends = [c.end and ts[c.end.n] for c in calls]
    rows = {
        "n": [c.row.n for c in calls],
        "ts_end": ends,
        "line_end": [c.end and line[c.end.n] for c in calls],
        "id": [number + line[c.row.n] for c in calls],
        "parent": [c.parent and number + line[c.parent.row.n] for c in calls],
        "depth": [_depth(c) for c in calls],
        "function": [c.function for c in calls],
        "function_hint": [c.hint for c in calls],
        "caller": [c.caller for c in calls],
        "lane": [lane.name for _, lane in done],
        "lane_assumed": [lane.assumed for _, lane in done],
        "ret": [c.ret for c in calls],
        "ret_kind": [c.ret_kind for c in calls],
        "complete": [c.complete for c in calls],
        "begin": [None if c.complete == "return" else ts[c.row.n] for c in calls],
        "end": ends,
    }
    types = {**Calls.schemas()["calls"], "n": pl.UInt32()}
    made = pl.DataFrame(rows, schema={c: types[c] for c in rows})
    return frame.select(*ENVELOPE, "probe")[made["n"]].hstack(made).hstack([_arguments(calls)])


def _arguments(calls: Sequence[Call]) -> pl.Series:
    """Return the column `args`."""
    if not any(c.args for c in calls):
        return pl.Series("args", [[]], dtype=ARGS).new_from_index(0, len(calls))
    none = [(None, None, None)]
    given = [(n, *arg) for n, c in enumerate(calls) for arg in c.args or none]
    flat = pl.DataFrame(given, schema={"n": pl.UInt32, "name": pl.String, "value": pl.Int64, "text": pl.String}, orient="row")
    each = pl.struct("name", "value", "text").filter(pl.col("name").is_not_null())
    return flat.group_by("n", maintain_order=True).agg(each.alias("args"))["args"]


def _depth(call: Call) -> int:
    depth = 0
    while call.parent is not None:
        call, depth = call.parent, depth + 1
    return depth
