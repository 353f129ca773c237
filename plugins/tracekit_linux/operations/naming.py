"""BDFs for the pointers of a trace: from its own handler lines, and by inference from what lies beside it."""

import re
from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from tracekit_linux.operations.entities import Identities, Life, Name, Owned
from tracekit_linux.operations.tree import VFIO_ACTION, bdf_of_action

# Lines that vfio-pci, or the PCI core for it, prints while a device is opened or used.
KERNEL_LOG = ("pci_enabling_device", "vfio_bogus_intx", "vfio_bypass_failed", "vfio_restoring_bars")
# vIR-PCI-MSIX-0000:00:08.0-12: a per-device domain in debugfs (kernel/irq/msi.c; the number is its place in the hierarchy).
DEVICE_DOMAIN = re.compile(r"PCI-MSIX?-([0-9a-f]{4,5}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])(?:-[0-9]+)?$")


def names(identities: Identities, owned: Sequence[Owned], tables: Mapping[str, pl.DataFrame]) -> Iterator[Name]:
    """Yield all names that the case gives to the devices of one source, best first."""
    yield from _from_handlers(identities, owned, tables)
    if not owned:
        yield from _from_sole_handlers(identities, tables)
    yield from _from_snapshots(owned, tables)
    yield from _from_kernel_log(identities, tables)
    yield from _from_domains(identities, tables)


def _from_handlers(identities: Identities, owned: Sequence[Owned], tables: Mapping[str, pl.DataFrame]) -> Iterator[Name]:
    """Yield the action names of handlers of irqs that were set up for a device before."""
    handlers, source = tables.get("irq_handler_entry"), identities.tree.source
    if handlers is None or not owned:
        return
    named = handlers.filter((pl.col("source") == source) & pl.col("name").str.contains(VFIO_ACTION)).select("irq", "name", "line")
    if named.is_empty():
        return
    rows = [(o.irq, o.line, n) for n, o in enumerate(owned)]
    since = pl.DataFrame(rows, schema={"irq": named["irq"].dtype, "line": pl.Int64, "n": pl.Int64}, orient="row").sort("line")
    joined = named.sort("line").join_asof(since, on="line", by="irq", check_sortedness=False).drop_nulls("n")
    for n, name, line in joined.group_by("n", "name", maintain_order=True).agg(pl.first("line")).iter_rows():
        found = bdf_of_action(name)
        if found and owned[n].vector in (None, found[0]):
            yield Name(owned[n].life, found[1], "seen", source, line)


def _from_sole_handlers(identities: Identities, tables: Mapping[str, pl.DataFrame]) -> Iterator[Name]:
    """Yield the action names of handlers, where no event shows the function of an irq (arm64): all name one, and one alone is traced.

    A function that interrupts before the traced one has vectors, or at a vector never asked for it, is another one.
    """
    handlers, tree = tables.get("irq_handler_entry"), identities.tree
    entities: dict[int, Life] = {id(x.entity.root()): x for x in identities.lives}
    first = next((n.row.line for n in tree.nodes if n.is_request), None)
    if handlers is None or len(entities) != 1 or first is None:
        return
    wired = {v for n in tree.nodes if n.name == "vfio_msi_set_vector_signal" and (v := n.number("vector")) is not None}
    named = handlers.filter((pl.col("source") == tree.source) & pl.col("name").str.contains(VFIO_ACTION)).sort("line")
    rows = [(found, line) for name, line in named.select("name", "line").iter_rows() if (found := bdf_of_action(name))]
    fits = all(line > first and (not wired or vector in wired) for (vector, _), line in rows)
    if fits and len({bdf for (_, bdf), _ in rows}) == 1:
        (_, bdf), line = rows[0]
        how = "inferred: the only function traced, and the only one of VFIO that interrupts"
        yield Name(next(iter(entities.values())), bdf, how, tree.source, line)


def _from_snapshots(owned: Sequence[Owned], tables: Mapping[str, pl.DataFrame]) -> Iterator[Name]:
    """Yield the names in /proc/interrupts, taken at an unknown time, where the irq serves the same VFIO vector."""
    rows = tables.get("interrupt_row")
    if rows is None:
        return
    last = {o.irq: o for o in owned}
    for irq, actions, source, line in rows.select("irq", "actions", "source", "line").iter_rows():
        o = last.get(irq)
        found = next((f for a in (actions or "").split(",") if (f := bdf_of_action(a.strip()))), None)
        if o is not None and found and o.vector == found[0]:
            yield Name(o.life, found[1], f"inferred: /proc/interrupts has irq {irq} for vector {o.vector} of this function", source, line)


def _from_kernel_log(identities: Identities, tables: Mapping[str, pl.DataFrame]) -> Iterator[Name]:
    """Yield a vfio driver's line that names a device while only one was open, in a log whose clock is related to the trace's."""
    sessions, clocks = list(identities.sessions()), _clocks(identities.tree.source, tables)
    for table in KERNEL_LOG if sessions else ():
        rows = tables.get(table)
        if rows is None:
            continue
        spoken = rows.filter(pl.col("driver").str.contains("vfio") & pl.col("ts").is_not_null())
        for bdf, ts, source, boot, line in spoken.select("bdf", "ts", "source", "boot", "line").iter_rows():
            if (clock := clocks.get((source, boot)) or clocks.get((source, None))) is None:
                continue
            offset, err, basis = clock
            first, last = ts + offset - err, ts + offset + err
            lives = {id(life): life for life, begin, end in sessions if begin <= last and (end is None or first <= end)}
            if len(lives) == 1:
                how = f"inferred: {table} (line {line}) names it while it alone was open; {basis}"
                yield Name(next(iter(lives.values())), bdf, how, source, line)


Clock = tuple[int, int, str]  # offset and err in ns, how they are known


def _clocks(trace: str, tables: Mapping[str, pl.DataFrame]) -> dict[tuple[str, int | None], Clock]:
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


def _from_domains(identities: Identities, tables: Mapping[str, pl.DataFrame]) -> Iterator[Name]:
    """Yield the only per-device domain that debugfs lists, for the only device of the trace."""
    rows = tables.get("irq_domain_listed")
    if rows is None:
        return
    listed = [(m[1], s, n) for d, s, n in rows.select("domain", "source", "line").iter_rows() if (m := DEVICE_DOMAIN.search(d))]
    entities: dict[int, Life] = {id(x.entity.root()): x for x in identities.lives}
    if len({bdf for bdf, _, _ in listed}) == 1 and len(entities) == 1:
        bdf, source, line = listed[0]
        yield Name(next(iter(entities.values())), bdf, "inferred: the only device domain listed, and the only device traced", source, line)
