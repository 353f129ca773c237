"""Calls: entries and returns of functions, from probes, function graphs and system calls, paired and nested."""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar
from zlib import crc32

import polars as pl

from tracekit import ENVELOPE, Inputs, Model, Row, Table, rows_of
from tracekit_linux.calls import function_trace, perf_trace
from tracekit_linux.calls.few import Few, makes_calls
from tracekit_linux.calls.functions import FUNCTIONS, normal_returns
from tracekit_linux.calls.pairing import RETURN, Pairing
from tracekit_linux.calls.rows import KINDS, NEEDED, merged, prepared, without_empty
from tracekit_linux.calls.symbols import Names
from tracekit_linux.calls.tidy import PAIRED, paired
from tracekit_linux.operations.tree import by_source
from tracekit_linux.tables import CALLS

ARGS = CALLS.schema["args"]
OTHERS = (*perf_trace.NEEDS, *function_trace.NEEDS)  # what is read as if ftrace had printed it of probes
_AT_THE_END = 1 << 31  # stands for the row that closes what is open at the end of the recording
FEW = 700  # rows up to which a loop is sooner done than columns are made


class Calls(Model):
    """Pairs and nests calls: a stack a lane; a lane is a task, else a CPU of a function graph, else the source."""

    tables: ClassVar[tuple[Table, ...]] = (CALLS,)
    needs = (*KINDS, *OTHERS)
    across = ("kprobe_definition", "kallsyms_symbol")
    looks_for: ClassVar[Mapping[str, tuple[str, ...]]] = dict.fromkeys(
        ("graph_leaf", *function_trace.NEEDS), tuple(FUNCTIONS)
    )  # `merged` leaves out the others

    def play(self, rows: Iterable[tuple[str, Row]], tables: Inputs) -> None:
        """Emit the calls of all sources of the stream; each place is taken from the row where the call began."""
        if not tables.height(*OTHERS) and tables.height(*KINDS) <= FEW:
            names = Names(tables, few=True)
            for told in _by_source(tables):
                self._emit_few(told, names)
            return
        frames = function_trace.as_traced(perf_trace.as_traced(tables))
        names = Names(frames)
        for frame in by_source(merged(frames)):
            if frame.height <= FEW:
                self._emit_few([(row.kind, row) for row in rows_of(frame.sort("line", maintain_order=True))], names)
            else:
                self.emit_frame("calls", _of_many(frame, names)[self.blank()["calls"].columns])

    def _emit_few(self, told: Sequence[tuple[str, Row]], names: Names) -> None:
        few = Few(told, names)
        pairing = Pairing(few.columns, names.returning)
        pairing.pair(few.kind)
        for row, values in few.calls(pairing, _depths(pairing.done, pairing.parent)):
            self.emit("calls", row, **values)


def _by_source(tables: Inputs) -> list[list[tuple[str, Row]]]:
    """Return the rows that make calls, of each source in its order, as `merged` gives them of many rows."""
    found: dict[str, list[tuple[str, Row]]] = {}
    for kind in KINDS:
        for row in tables.rows(kind):
            if makes_calls(kind, row):
                found.setdefault(row.source, []).append((kind, row))
    return [sorted(found[source], key=lambda told: int(told[1].line)) for source in sorted(found)]


def _of_many(frame: pl.DataFrame, names: Names) -> pl.DataFrame:
    rows = prepared(without_empty(frame), names)
    tidy, others = paired(rows, names.returning)
    return _table(rows, pl.concat([tidy, _looped(others, names)]).sort("by", maintain_order=True))


def _looped(rows: pl.DataFrame, names: Names) -> pl.DataFrame:
    """Return the calls of these rows as `paired` does, one by one: entries or returns are missing."""
    pairing = Pairing({name: rows[name].to_list() for name in NEEDED}, names.returning)
    pairing.pair(rows["kind"].to_list())
    done = pairing.done
    at = pl.DataFrame(
        {
            "n": done,
            "to": [pairing.end[c] for c in done],
            "above": [pairing.parent[c] for c in done],
            "depth": _depths(done, pairing.parent),
            "lane": [lane.name for lane in pairing.done_in],
            "lane_assumed": [lane.assumed for lane in pairing.done_in],
            "complete": [pairing.complete[c] for c in done],
            "by": pairing.done_by,
        },
        schema=PAIRED,
    )
    numbers = rows["n"].extend_constant(_AT_THE_END, 1)
    return at.with_columns(numbers.gather(at[c]).alias(c) for c in ("n", "to", "above", "by"))


def _table(rows: pl.DataFrame, at: pl.DataFrame) -> pl.DataFrame:
    """Return the calls of one source; each stands where its first row stands."""
    number = crc32(rows["source"][0].encode()) << 31
    begun, ended = rows[at["n"]], rows.select("ts", "line", "kind", "caller", "value", "value_kind")[at["to"]]
    graph = begun["kind"].str.starts_with("graph")
    kind = pl.select(pl.when(graph).then(begun["value_kind"]).otherwise(ended["value_kind"]))["value_kind"]
    given = pl.DataFrame([ended["value"], kind.alias("kind"), ended["kind"].alias("by")])
    is_told = pl.col("value").is_not_null()
    own = given.select(
        pl.when(is_told).then(normal_returns(pl.col("kind"), pl.col("value"))).alias("ret"),
        pl.when(is_told | (pl.col("by") == "sys_exit_ioctl")).then("kind").alias("ret_kind"),
    )
    line = rows["line"]
    return (
        begun.select(
            *ENVELOPE, "probe", "function", pl.col("hint").alias("function_hint"), pl.col("args").fill_null(pl.lit([], dtype=ARGS))
        )
        .hstack(at.select("depth", "lane", "lane_assumed", "complete"))
        .hstack(own)
        .with_columns(
            ended["ts"].alias("ts_end"),
            ended["line"].alias("line_end"),
            (line[at["n"]] + number).alias("id"),
            (line[at["above"]] + number).alias("parent"),
            ended["caller"].alias("caller"),
            pl.when(pl.col("complete") != RETURN).then("ts").alias("begin"),
            ended["ts"].alias("end"),
        )
    )


def _depths(calls: Sequence[int], parent: Sequence[int | None]) -> list[int]:
    """Return how many calls enclose each call."""
    depths: dict[int, int] = {}
    for call in calls:
        above: list[int] = []
        at: int | None = call
        while at is not None and at not in depths:
            above.append(at)
            at = parent[at]
        depth = -1 if at is None else depths[at]
        for c in reversed(above):
            depth = depths[c] = depth + 1
    return [depths[c] for c in calls]
