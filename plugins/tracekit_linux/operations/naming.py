"""BDFs for the pointers of a trace: from its own handler lines, and by inference from what lies beside it."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import polars as pl

from tracekit import Inputs, Row
from tracekit_linux.operations.entities import Life, Name, Owned, Session
from tracekit_linux.operations.tree import FEW, VFIO_ACTION, bdf_of_action

# Lines that vfio-pci, or the PCI core for it, prints while a device is opened or used.
KERNEL_LOG = ("pci_enabling_device", "vfio_bogus_intx", "vfio_bypass_failed", "vfio_restoring_bars")
ACTION = re.compile(VFIO_ACTION)
# vIR-PCI-MSIX-0000:00:08.0-12: a per-device domain in debugfs (kernel/irq/msi.c; the number is its place in the hierarchy).
DEVICE_DOMAIN = re.compile(r"PCI-MSIX?-([0-9a-f]{4,5}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])(?:-[0-9]+)?$")


class Traced(Protocol):
    """What names need of the identities of a source, however these were found."""

    source: str

    @property
    def lives(self) -> Sequence[Life]:
        """Return the lives of all pointers, in the order in which they begin."""
        ...

    def asked_at(self) -> int | None:
        """Return the line of the first request."""
        ...

    def wired(self) -> set[int]:
        """Return the vectors that calls wire or detach."""
        ...

    def sessions(self) -> Iterator[Session]:
        """Yield each time a VFIO user had a device open, where the trace has times."""
        ...


def names(identities: Traced, owned: Sequence[Owned], tables: Inputs) -> Iterator[Name]:
    """Yield all names that the case gives to the devices of one source, best first."""
    yield from _names(_from_handlers(identities.source, owned, tables), owned, identities, tables)


def names_of_many(identities: Traced, owned: pl.DataFrame, tables: Inputs) -> Iterator[Name]:
    """Yield the same as `names`, of many irqs: (line, irq, life, vector), where `life` is a number among those of the source."""
    lives = identities.lives
    handlers = _of_handlers(identities.source, owned, tables) if owned.height else ()
    last = owned.unique("irq", keep="last") if "interrupt_row" in tables or owned.is_empty() else owned.head(1)
    few = [Owned(line, irq, lives[life], vector) for line, irq, life, vector in last.iter_rows()]
    yield from _names((Name(lives[life], bdf, "seen", identities.source, line) for life, bdf, line in handlers), few, identities, tables)


def _names(handlers: Iterable[Name], owned: Sequence[Owned], identities: Traced, tables: Inputs) -> Iterator[Name]:
    """Yield names of handlers and all others."""
    yield from handlers
    if not owned:
        yield from _from_sole_handlers(identities, tables)
    yield from _from_snapshots(owned, tables)
    yield from _from_kernel_log(identities, tables)
    yield from _from_domains(identities, tables)


def _from_handlers(source: str, owned: Sequence[Owned], tables: Inputs) -> Iterator[Name]:
    """Yield the action names of handlers of irqs that were set up for a device before."""
    if not owned or "irq_handler_entry" not in tables:
        return
    few = tables.height("irq_handler_entry") <= FEW
    for n, name, line in _after_few(owned, _actions(tables, source)) if few else _after(owned, tables["irq_handler_entry"], source):
        found = bdf_of_action(name)
        if found and owned[n].vector in (None, found[0]):
            yield Name(owned[n].life, found[1], "seen", source, line)


def _actions(tables: Inputs, source: str) -> list[Row]:
    """Return the runs of handlers of VFIO in a source, in the order of their lines."""
    return sorted((r for r in tables.rows("irq_handler_entry") if r.source == source and ACTION.search(r.name or "")), key=_line)


def _line(row: Row) -> int:
    return int(row.line)


def _after_few(owned: Sequence[Owned], handlers: Sequence[Row]) -> Iterator[tuple[int, str, int]]:
    """Yield (number of the owned irq, action name, line) of the first run of each handler after its irq was set up."""
    since: dict[int, list[tuple[int, int]]] = {}
    for n, o in sorted(enumerate(owned), key=lambda numbered: numbered[1].line):
        since.setdefault(o.irq, []).append((o.line, n))
    first: dict[tuple[int, str], int] = {}
    for row in handlers:
        if at := bisect_right(mine := since.get(row.irq, []), row.line, key=lambda place: place[0]):
            first.setdefault((mine[at - 1][1], row.name), row.line)
    yield from ((n, name, line) for (n, name), line in first.items())


def _of_handlers(source: str, owned: pl.DataFrame, tables: Inputs) -> Iterator[tuple[int, str, int]]:
    """Yield (life, BDF, line) of the same names, the first of each life and BDF."""
    if "irq_handler_entry" not in tables:
        return
    handlers = tables["irq_handler_entry"].filter(pl.col("source") == source).select("irq", "name", "line").sort("line")
    parts = handlers.select(pl.col("name").unique()).with_columns(pl.col("name").str.extract_groups(f"^{VFIO_ACTION}").alias("parts"))
    known = parts.select("name", pl.col("parts").struct.rename_fields(["of", "bdf"])).unnest("parts").drop_nulls("bdf")
    since = owned.sort("line", maintain_order=True).with_columns(pl.col("irq").cast(handlers["irq"].dtype))
    ran = handlers.join(known, on="name", maintain_order="left").join_asof(since, on="line", by="irq", check_sortedness=False)
    fits = pl.col("vector").is_null() | (pl.col("vector") == pl.col("of").cast(pl.Int64))
    once = ran.drop_nulls("life").filter(fits).unique(["life", "bdf"], keep="first", maintain_order=True)
    yield from once.select("life", "bdf", "line").iter_rows()


def _after(owned: Sequence[Owned], handlers: pl.DataFrame, source: str) -> Iterator[tuple[int, str, int]]:
    """Yield the same as `_after_few`, of many handlers."""
    named = handlers.filter((pl.col("source") == source) & pl.col("name").str.contains(VFIO_ACTION)).select("irq", "name", "line")
    if named.is_empty():
        return
    own = {"irq": [o.irq for o in owned], "line": [o.line for o in owned], "n": range(len(owned))}
    since = pl.DataFrame(own, schema={"irq": named["irq"].dtype, "line": pl.Int64, "n": pl.Int64}).sort("line")
    joined = named.sort("line").join_asof(since, on="line", by="irq", check_sortedness=False).drop_nulls("n")
    yield from joined.group_by("n", "name", maintain_order=True).agg(pl.first("line")).iter_rows()


def _from_sole_handlers(identities: Traced, tables: Inputs) -> Iterator[Name]:
    """Yield the action names of handlers, where no event shows the function of an irq (arm64): all name one, and one alone is traced.

    A function that interrupts before the traced one has vectors, or at a vector never asked for it, is another one.
    """
    source = identities.source
    entities: dict[int, Life] = {id(x.entity.root()): x for x in identities.lives}
    first = identities.asked_at()
    if "irq_handler_entry" not in tables or len(entities) != 1 or first is None:
        return
    wired = identities.wired()
    if tables.height("irq_handler_entry") <= FEW:
        named = [(row.name, row.line) for row in _actions(tables, source)]
    else:
        mine = (pl.col("source") == source) & pl.col("name").str.contains(VFIO_ACTION)
        named = list(tables["irq_handler_entry"].filter(mine).sort("line").select("name", "line").iter_rows())
    rows = [(found, line) for name, line in named if (found := bdf_of_action(name))]
    fits = all(line > first and (not wired or vector in wired) for (vector, _), line in rows)
    if fits and len({bdf for (_, bdf), _ in rows}) == 1:
        (_, bdf), line = rows[0]
        how = "inferred: the only function traced, and the only one of VFIO that interrupts"
        yield Name(next(iter(entities.values())), bdf, how, source, line)


def _from_snapshots(owned: Sequence[Owned], tables: Inputs) -> Iterator[Name]:
    """Yield the names in /proc/interrupts, taken at an unknown time, where the irq serves the same VFIO vector."""
    last = {o.irq: o for o in owned}
    for row in tables.rows("interrupt_row") if owned else ():
        o = last.get(row.irq)
        found = next((f for a in (row.actions or "").split(",") if (f := bdf_of_action(a.strip()))), None)
        if o is not None and found and o.vector == found[0]:
            how = f"inferred: /proc/interrupts has irq {row.irq} for vector {o.vector} of this function"
            yield Name(o.life, found[1], how, row.source, row.line)


def _from_kernel_log(identities: Traced, tables: Inputs) -> Iterator[Name]:
    """Yield a vfio driver's line that names a device while only one was open, in a log whose clock is related to the trace's."""
    sessions = list(identities.sessions()) if tables.height(*KERNEL_LOG) else []
    clocks = _clocks(identities.source, tables) if sessions else {}
    for table in KERNEL_LOG if sessions else ():
        for row in tables.rows(table):
            clock = clocks.get((row.source, row.boot)) or clocks.get((row.source, None))
            if clock is None or row.ts is None or "vfio" not in (row.driver or ""):
                continue
            offset, err, basis = clock
            first, last = row.ts + offset - err, row.ts + offset + err
            lives = {id(life): life for life, begin, end in sessions if begin <= last and (end is None or first <= end)}
            if len(lives) == 1:
                how = f"inferred: {table} (line {row.line}) names it while it alone was open; {basis}"
                yield Name(next(iter(lives.values())), row.bdf, how, row.source, row.line)


Clock = tuple[int, int, str]  # offset and err in ns, how they are known


def _clocks(trace: str, tables: Inputs) -> dict[tuple[str, int | None], Clock]:
    """Return the clock of each source and boot (null: every boot) that is related to that of a trace."""
    relations, streams = tables.get("clock_relations"), tables.get("streams")
    found: dict[tuple[str, int | None], Clock] = {(trace, None): (0, 0, "both in one log")}
    if streams is not None and trace in (given := streams["source"].filter(streams["merged"]).to_list()):
        found |= {(source, None): (0, 0, "clocks as given") for source in given if source != trace}
    if relations is not None and relations.height:
        mine = relations.filter((pl.col("other") == trace) & (pl.col("basis") != "none"))
        for source, boot, offset, err, basis, pairs in mine.select("source", "boot", "offset", "err", "basis", "pairs").iter_rows():
            found[source, boot] = (offset, err, f"clocks {basis} by {pairs} message{'s' if pairs > 1 else ''} and the calls around")
    return found


def _from_domains(identities: Traced, tables: Inputs) -> Iterator[Name]:
    """Yield the only per-device domain that debugfs lists, for the only device of the trace."""
    listed = [(m[1], r.source, r.line) for r in tables.rows("irq_domain_listed") if (m := DEVICE_DOMAIN.search(r.domain))]
    entities: dict[int, Life] = {id(x.entity.root()): x for x in identities.lives}
    if len({bdf for bdf, _, _ in listed}) == 1 and len(entities) == 1:
        bdf, source, line = listed[0]
        yield Name(next(iter(entities.values())), bdf, "inferred: the only device domain listed, and the only device traced", source, line)
