"""Clocks: how the stamps of a kernel log relate to those of a trace, by messages that a recorded call must surround.

The clocks of one kernel's log and trace are not one clock: under Xen they were seen 6.2 s apart. A message that is printed inside a
recorded call allows the offsets that put its stamp between the call's two ends; the offset is what all such pairs of two sources allow.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, ClassVar, NamedTuple

import polars as pl

from tracekit import Inputs, Model, Row, Schema, Table, tick_of
from tracekit_linux.tables import CLOCK_RELATIONS

# Message -> the functions of which one prints it, and so surrounds it (drivers/vfio/pci, arch/x86/pci/xen.c, drivers/iommu/intel/dmar.c).
PRINTED_IN: Mapping[str, tuple[str, ...]] = {
    "xen_map_failed": ("xen_initdom_setup_msi_irqs",),
    "vfio_bogus_intx": ("vfio_pci_core_enable",),
    "pci_enabling_device": ("vfio_pci_core_enable",),
    "dmar_fault_status": ("dmar_fault",),
    "remap_fault": ("dmar_fault",),
}
STAMP = 1_000  # ns: a tracer's stamps are cut to the microsecond; a message's to what its log prints
# ns: clocks that nobody set apart agree within milliseconds. It is held against spans of offsets, as wide as the stamps are coarse.
NEAR = 20_000_000
MOST_PAIRS = 100_000
MESSAGE: Schema = {
    "source": pl.String(),
    "machine": pl.String(),
    "boot": pl.Int32(),
    "line": pl.Int64(),
    "ts": pl.Int64(),
    "ts_raw": pl.String(),
    "kind": pl.String(),
    "function": pl.String(),
    "errno": pl.Int64(),  # the call's return value, where the message prints it
    "pid": pl.Int64(),  # of the calling task, where the message prints it
}


class Pair(NamedTuple):
    """A message and a call that may surround it, which is so for offsets from `low` to `high` (ns)."""

    low: int
    high: int
    kind: str
    line: int
    call: int
    call_line: int
    keyed: bool


class ClockRelations(Model):
    """Relate the clock of each kernel log to that of each trace that may be of its machine and boot.

    An offset that rests on one call, or is one of several, is assumed: good for naming a device and for display.
    """

    tables: ClassVar[tuple[Table, ...]] = (CLOCK_RELATIONS,)
    across = ("calls", "streams", "kernel_reports", "kernel_warning", *PRINTED_IN)

    def play(self, rows: Iterable[tuple[str, Row]], tables: Inputs) -> None:
        """Relate each source of messages to each source of calls."""
        calls = tables.get("calls")
        if tables.height("streams") < 2 or calls is None or calls.is_empty() or (messages := _messages(tables)).is_empty():
            return
        given = tables["streams"].filter("merged")["source"].to_list()
        calls = _spans(calls.filter(pl.col("function").is_in(messages["function"].unique().to_list())), calls)
        logs = messages.partition_by("source", "machine", "boot", as_dict=True, maintain_order=True)
        traces = calls.partition_by("source", "machine", as_dict=True, maintain_order=True)
        for ((source, machine, boot), said), ((other, where), made) in product(logs.items(), traces.items()):
            if source == other or (machine and where and machine != where) or {source, other} <= set(given):
                continue
            if (found := _relation(said, made)) is not None:
                place = Row(source=source, machine=machine, boot=boot, side="kernel", line=found["lines"][0])
                self.emit("clock_relations", place, other=other, **found)


def _messages(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return all messages that a known function prints, one row per function that may print them."""
    frames = [pl.DataFrame(schema=MESSAGE)]
    for kind, functions in PRINTED_IN.items():
        if (frame := tables.get(kind)) is None or frame.is_empty():
            continue
        if "driver" in frame.columns and functions == ("vfio_pci_core_enable",):
            frame = frame.filter(pl.col("driver").str.contains("vfio"))
        errno = pl.col("ret").cast(pl.Int64, strict=False) if "ret" in frame.columns else pl.lit(None, dtype=pl.Int64)
        told = frame.with_columns(errno.alias("errno"), pl.lit(kind).alias("kind"), pl.lit(list(functions)).alias("function"))
        frames.append(told.explode("function").select(c for c in MESSAGE if c in told.columns))
    frames.append(_warnings(tables))
    return pl.concat(frames, how="diagonal").drop_nulls("ts")


def _warnings(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return WARNINGs with the calling function of the MSI code on their stack, and the task in which they stopped."""
    reports, warnings = tables.get("kernel_reports"), tables.get("kernel_warning")
    if reports is None or warnings is None or reports.is_empty() or warnings.is_empty():
        return pl.DataFrame(schema=MESSAGE)
    told = reports.join(warnings.select("source", "line", pl.col("pid_no").alias("pid")), on=["source", "line"]).drop_nulls("pid")
    # In iounmap() below a failed enable RBP still holds the errno (6.12).
    low = (pl.col("rbp") & 0xFFFFFFFF).cast(pl.Int64) - (1 << 32)
    errno = pl.when((pl.col("function") == "iounmap") & low.is_between(-4095, -1)).then(low)
    said = told.with_columns(pl.lit("warning").alias("kind"), errno.alias("errno"), pl.col("msi_function").alias("function"))
    return said.select(list(MESSAGE))


def _spans(calls: pl.DataFrame, every: pl.DataFrame) -> pl.DataFrame:
    """Return calls with their ends. A call without a return lasts at most until the next call of its lane that it cannot enclose."""
    until = every.group_by("source").agg(pl.max_horizontal(pl.max("begin"), pl.max("end")).alias("until"), pl.min("begin").alias("since"))
    later = every.filter(pl.col("depth") == 0).select("source", "lane", "line", pl.col("begin").alias("next")).sort("line")
    bounded = calls.drop_nulls("begin").sort("line").with_columns((pl.col("line") + 1).alias("after"))
    later = later.rename({"line": "after"})
    joined = bounded.join_asof(later, on="after", by=["source", "lane"], strategy="forward", check_sortedness=False)
    return joined.join(until, on="source").with_columns(pl.coalesce("end", "next", "until").alias("end"))


def _relation(said: pl.DataFrame, made: pl.DataFrame) -> dict[str, Any] | None:
    """Return the relation of one source's messages to another's calls; null where no message has a call."""
    pairs = _pairs(said, made)
    if not pairs:
        return None
    spans = best_offsets(pairs)
    near = [s for s in spans if s[0] <= 0 <= s[1]] or [s for s in spans if s[0] <= NEAR and s[1] >= -NEAR]
    chosen = spans[0] if len(spans) == 1 else near[0] if len(near) == 1 else None
    if chosen is None:
        return _columns("none", None, pairs)
    low, high = chosen
    middle = (low + high) // 2
    fitting = list({(p.kind, p.line): p for p in pairs if p.low <= middle <= p.high}.values())
    expected = said.filter(
        pl.col("function").is_in(made["function"].unique().to_list())
        & (pl.col("ts") + middle).is_between(int(made["since"][0]), int(made["until"][0]))
    )
    if not set(expected.select("kind", "line").iter_rows()) <= {(p.kind, p.line) for p in fitting}:
        return _columns("none", None, pairs)
    if len({p.call for p in fitting}) > 1 and len(spans) == 1:
        return _columns("fixed", chosen, fitting)
    tied = near or (len(spans) == 1 and fitting[0].keyed)
    return _columns("assumed" if tied else "none", chosen if tied else None, fitting)


def _columns(basis: str, span: tuple[int, int] | None, pairs: Sequence[Pair]) -> dict[str, Any]:
    return {
        "basis": basis,
        "offset": (span[0] + span[1]) // 2 if span else None,
        "err": (span[1] - span[0]) // 2 if span else None,
        "pairs": len(pairs) if span else 0,
        "lines": sorted({p.line for p in pairs}),
        "other_lines": sorted({p.call_line for p in pairs}),
    }


def _pairs(said: pl.DataFrame, made: pl.DataFrame) -> list[Pair]:
    """Pair every message with every call that may print it."""
    calls = made.select("function", "begin", "end", "ret", "lane", "id", pl.col("line").alias("call_line"))
    both = said.join(calls, on="function").filter(
        (pl.col("errno").is_null() | (pl.col("errno") == pl.col("ret")))
        & (pl.col("pid").is_null() | (pl.lit("tid:") + pl.col("pid").cast(pl.String) == pl.col("lane")))
    )
    low, high = (pl.col(c) - pl.col("ts") for c in ("begin", "end"))
    keyed = pl.col("errno").is_not_null() | pl.col("pid").is_not_null()
    spans = ((low - tick_of(pl.col("ts"), pl.col("ts_raw"))).alias("low"), (high + STAMP).alias("high"))
    found = both.head(MOST_PAIRS).select(*spans, "kind", "line", "id", "call_line", keyed)
    return [Pair(*row) for row in found.iter_rows()]


def best_offsets(pairs: Sequence[Pair]) -> list[tuple[int, int]]:
    """Return the spans of offsets that give the most messages a call of their own."""
    edges = sorted([(p.low, 0, i) for i, p in enumerate(pairs)] + [(p.high, 1, i) for i, p in enumerate(pairs)])
    best, spans = 0, list[tuple[int, int]]()
    for (position, until), score in zip(_between(edges), _scores(edges, pairs), strict=True):
        if score > best:
            best, spans = score, []
        if score == best:
            begin = spans.pop()[0] if spans and spans[-1][1] == position else position
            spans.append((begin, until))
    return spans


def _between(edges: Sequence[tuple[int, int, int]]) -> Iterator[tuple[int, int]]:
    """Return the spans from each edge to the next."""
    for n, (position, _, _) in enumerate(edges):
        yield position, edges[min(n + 1, len(edges) - 1)][0]


def _scores(edges: Sequence[tuple[int, int, int]], pairs: Sequence[Pair]) -> Iterator[int]:
    """After each edge, how many messages can have a call of their own: of each kind no more than there are messages, or calls."""
    open_now: Counter[tuple[str, str, int]] = Counter()
    sizes: Counter[tuple[str, str]] = Counter()
    for _, closes, i in edges:
        p = pairs[i]
        for what, number in (("line", p.line), ("call", p.call)):
            key = (p.kind, what, number)
            before = open_now[key] > 0
            open_now[key] += -1 if closes else 1
            sizes[p.kind, what] += (open_now[key] > 0) - before
        yield sum(min(sizes[kind, "line"], n) for (kind, what), n in sizes.items() if what == "call")
