"""Clocks: how the stamps of a kernel log relate to those of a trace, by messages that a recorded call must surround.

The clocks of one kernel's log and trace are not one clock: under Xen they were seen 6.2 s apart. A message that is printed inside a
recorded call allows the offsets that put its stamp between the call's two ends; the offset is what all such pairs of two sources allow.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from itertools import islice, product
from typing import Any, ClassVar, NamedTuple, TypeVar

import polars as pl

from tracekit import Inputs, Model, Row, Table, tick
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
FEW = 1_000  # calls up to which a loop is sooner done than frames are joined
_T = TypeVar("_T")


class Pair(NamedTuple):
    """A message and a call that may surround it, which is so for offsets from `low` to `high` (ns)."""

    low: int
    high: int
    kind: str
    line: int
    call: int
    call_line: int
    keyed: bool


class Message(NamedTuple):
    """A message that a known function prints.

    `errno`: the call's return value, `pid`: of the calling task, where the message prints them.
    """

    source: str
    machine: str | None
    boot: int | None
    line: int
    ts: int
    ts_raw: str | None
    kind: str
    function: str
    errno: int | None
    pid: int | None


class Span(NamedTuple):
    """A call with its end, and the first and last time of its source's calls. `id`, `line`, `lane`, `ret` are the call's."""

    source: str
    machine: str | None
    function: str
    begin: int
    end: int
    ret: int | None
    lane: str
    id: int
    line: int
    since: int
    until: int


class ClockRelations(Model):
    """Relate the clock of each kernel log to that of each trace that may be of its machine and boot.

    An offset that rests on one call, or is one of several, is assumed: good for naming a device and for display.
    """

    tables: ClassVar[tuple[Table, ...]] = (CLOCK_RELATIONS,)
    across = ("calls", "streams", "kernel_reports", "kernel_warning", *PRINTED_IN)

    def play(self, rows: Iterable[tuple[str, Row]], tables: Inputs) -> None:
        """Relate each source of messages to each source of calls."""
        if tables.height("streams") < 2 or not (count := tables.height("calls")):
            return
        called = {c.function for c in tables.rows("calls")} if count <= FEW else set(tables["calls"]["function"].unique())
        if not (messages := list(_messages(tables, called))):
            return
        given = set(tables["streams"].filter("merged")["source"])
        functions = {m.function for m in messages}
        calls = _spans_of_few(tables.rows("calls"), functions) if count <= FEW else _spans(tables["calls"], functions)
        logs, traces = (_grouped(messages, lambda m: (m.source, m.machine, m.boot)), _grouped(calls, lambda c: (c.source, c.machine)))
        for ((source, machine, boot), said), ((other, where), made) in product(logs.items(), traces.items()):
            if source == other or (machine and where and machine != where) or {source, other} <= given:
                continue
            if (found := _relation(said, made)) is not None:
                place = Row(source=source, machine=machine, boot=boot, side="kernel", line=found["lines"][0])
                self.emit("clock_relations", place, other=other, **found)


def _grouped(rows: Iterable[_T], of: Callable[[_T], tuple[Any, ...]]) -> dict[tuple[Any, ...], list[_T]]:
    """Return the rows of each group, the groups in the order of their first rows."""
    found: dict[tuple[Any, ...], list[_T]] = {}
    for row in rows:
        found.setdefault(of(row), []).append(row)
    return found


def _messages(tables: Inputs, called: Set[str | None]) -> Iterator[Message]:
    """Yield all messages that one of the called functions prints, once for each function that may print them."""
    for kind, functions in PRINTED_IN.items():
        for row in tables.rows(kind) if not called.isdisjoint(functions) else ():  # a storm of faults makes no rows in vain
            if functions != ("vfio_pci_core_enable",) or "vfio" in (getattr(row, "driver", "vfio") or ""):
                yield from (said for f in functions if (said := _message(row, kind, f, errno=_number(getattr(row, "ret", None)))))
    pids = {(row.source, row.line): row.pid_no for row in tables.rows("kernel_warning")} if tables.height("kernel_reports") else {}
    for row in tables.rows("kernel_reports") if pids else ():
        if (pid := pids.get((row.source, row.line))) is not None and (said := _message(row, "warning", row.msi_function, _held(row), pid)):
            yield said


def _message(row: Row, kind: str, function: str | None, errno: int | None = None, pid: int | None = None) -> Message | None:
    if row.ts is None or function is None:
        return None
    return Message(row.source, row.machine, row.boot, row.line, row.ts, row.ts_raw, kind, function, errno, pid)


def _number(text: object) -> int | None:
    """Return a return value as a number; null where it is none."""
    return int(str(text)) if re.fullmatch("[+-]?[0-9]{1,18}", str(text)) else None


def _held(report: Row) -> int | None:
    """Return the errno that a report's registers hold: in iounmap() below a failed enable RBP still has it (6.12)."""
    low = ((report.rbp or 0) & 0xFFFFFFFF) - (1 << 32)
    return low if report.function == "iounmap" and -4095 <= low <= -1 else None


def _spans_of_few(calls: Sequence[Row], functions: Set[str]) -> list[Span]:
    """Return the same as `_spans`, of few calls."""
    since, until = dict[str, int](), dict[str, int]()
    outer: dict[tuple[str, str], list[tuple[int, int | None]]] = {}
    for c in calls:
        times = [t for t in (c.begin, c.end) if t is not None]
        until[c.source] = max([*times, until.get(c.source, times[0])]) if times else until.get(c.source, 0)
        if c.begin is not None:
            since[c.source] = min(c.begin, since.get(c.source, c.begin))
        if c.depth == 0:
            outer.setdefault((c.source, c.lane), []).append((c.line, c.begin))
    found = []
    for c in sorted((c for c in calls if c.function in functions and c.begin is not None), key=lambda c: int(c.line)):
        later = min((o for o in outer.get((c.source, c.lane), ()) if o[0] > c.line), key=lambda o: o[0], default=(0, None))[1]
        end = c.end if c.end is not None else later if later is not None else until[c.source]
        own = (c.begin, end, c.ret, c.lane, c.id, c.line)
        found.append(Span(c.source, c.machine, c.function, *own, since[c.source], until[c.source]))
    return found


def _spans(every: pl.DataFrame, functions: Set[str]) -> list[Span]:
    """Return calls of some functions with their ends. A call without a return lasts at most until the next one that it cannot enclose.

    That is the next call of its lane without a caller.
    """
    calls = every.filter(pl.col("function").is_in(list(functions)))
    until = every.group_by("source").agg(pl.max_horizontal(pl.max("begin"), pl.max("end")).alias("until"), pl.min("begin").alias("since"))
    later = every.filter(pl.col("depth") == 0).select("source", "lane", "line", pl.col("begin").alias("next")).sort("line")
    bounded = calls.drop_nulls("begin").sort("line").with_columns((pl.col("line") + 1).alias("after"))
    later = later.rename({"line": "after"})
    joined = bounded.join_asof(later, on="after", by=["source", "lane"], strategy="forward", check_sortedness=False)
    whole = joined.join(until, on="source", maintain_order="left").with_columns(pl.coalesce("end", "next", "until").alias("end"))
    return [Span(*row) for row in whole.select(Span._fields).iter_rows()]


def _relation(said: Sequence[Message], made: Sequence[Span]) -> dict[str, Any] | None:
    """Return the relation of one source's messages to another's calls; null where no message has a call."""
    pairs = list(islice(_pairs(said, made), MOST_PAIRS))
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
    functions, first = {c.function for c in made}, made[0]
    expected = {(m.kind, m.line) for m in said if m.function in functions and first.since <= m.ts + middle <= first.until}
    if not expected <= {(p.kind, p.line) for p in fitting}:
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


def _pairs(said: Sequence[Message], made: Sequence[Span]) -> Iterator[Pair]:
    """Pair every message with every call that may print it."""
    calls, returned = _grouped(made, lambda c: (c.function,)), _grouped(made, lambda c: (c.function, c.ret))
    for m in said:
        keyed, step = m.errno is not None or m.pid is not None, tick(m)
        for c in calls.get((m.function,), ()) if m.errno is None else returned.get((m.function, m.errno), ()):
            if m.pid is None or c.lane == f"tid:{m.pid}":
                yield Pair(c.begin - m.ts - step, c.end - m.ts + STAMP, m.kind, m.line, c.id, c.line, keyed)


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
