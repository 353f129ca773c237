"""BDFs for the pointers of a trace: from its own handler lines, and by inference from what lies beside it."""

import re
from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from tracekit_linux.identity import Identities, Life, Name, Owned
from tracekit_linux.tree import VFIO_ACTION, bdf_of_action

# Lines that vfio-pci, or the PCI core for it, prints while a device is opened or used.
KERNEL_LOG = ("pci_enabling_device", "vfio_bogus_intx", "vfio_bypass_failed", "vfio_restoring_bars")
# vIR-PCI-MSIX-0000:00:08.0-12: a per-device domain in debugfs (kernel/irq/msi.c; the number is its place in the hierarchy).
DEVICE_DOMAIN = re.compile(r"PCI-MSIX?-([0-9a-f]{4,5}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])(?:-[0-9]+)?$")


def names(identities: Identities, owned: Sequence[Owned], tables: Mapping[str, pl.DataFrame]) -> Iterator[Name]:
    """All names that the case gives to the devices of one source, best first."""
    yield from _from_handlers(identities, owned, tables)
    yield from _from_snapshots(owned, tables)
    yield from _from_kernel_log(identities, tables)
    yield from _from_domains(identities, tables)


def _from_handlers(identities: Identities, owned: Sequence[Owned], tables: Mapping[str, pl.DataFrame]) -> Iterator[Name]:
    """The action names of handlers of irqs that were set up for a device before."""
    handlers, source = tables.get("irq_handler_entry"), identities.tree.source
    if handlers is None or not owned:
        return
    named = handlers.filter((pl.col("source") == source) & pl.col("name").str.contains(VFIO_ACTION)).select("irq", "name", "line")
    rows = [(o.irq, o.line, n) for n, o in enumerate(owned)]
    since = pl.DataFrame(rows, schema={"irq": named["irq"].dtype, "line": pl.Int64, "n": pl.Int64}, orient="row").sort("line")
    joined = named.sort("line").join_asof(since, on="line", by="irq", check_sortedness=False).drop_nulls("n")
    for n, name, line in joined.group_by("n", "name", maintain_order=True).agg(pl.first("line")).iter_rows():
        found = bdf_of_action(name)
        if found and owned[n].vector in (None, found[0]):
            yield Name(owned[n].life, found[1], "seen", source, line)


def _from_snapshots(owned: Sequence[Owned], tables: Mapping[str, pl.DataFrame]) -> Iterator[Name]:
    """/proc/interrupts, taken at a time unknown: where the irq serves the same VFIO vector."""
    rows = tables.get("interrupt_row")
    if rows is None:
        return
    last = {o.irq: o for o in owned}
    for irq, actions, source, line in rows.select("irq", "actions", "source", "line").iter_rows():
        o = last.get(irq)
        found = next((f for a in (actions or "").split(",") if (f := bdf_of_action(a.strip()))), None)
        if o is not None and found and o.vector == found[0]:
            yield Name(o.life, found[1], "inferred", source, line)


def _from_kernel_log(identities: Identities, tables: Mapping[str, pl.DataFrame]) -> Iterator[Name]:
    """A vfio driver's line that names a device while only one was open; the clocks are assumed to agree, so it is used for naming only."""
    sessions = list(identities.sessions())
    for table in KERNEL_LOG if sessions else ():
        rows = tables.get(table)
        if rows is None:
            continue
        spoken = rows.filter(pl.col("driver").str.contains("vfio") & pl.col("ts").is_not_null())
        for bdf, ts, source, line in spoken.select("bdf", "ts", "source", "line").iter_rows():
            lives = {id(life): life for life, begin, end in sessions if begin <= ts and (end is None or ts <= end)}
            if len(lives) == 1:
                yield Name(next(iter(lives.values())), bdf, "inferred", source, line)


def _from_domains(identities: Identities, tables: Mapping[str, pl.DataFrame]) -> Iterator[Name]:
    """The only per-device domain that debugfs lists, for the only device of the trace."""
    rows = tables.get("irq_domain_listed")
    if rows is None:
        return
    listed = [(m[1], s, n) for d, s, n in rows.select("domain", "source", "line").iter_rows() if (m := DEVICE_DOMAIN.search(d))]
    entities: dict[int, Life] = {id(x.entity.root()): x for x in identities.lives}
    if len({bdf for bdf, _, _ in listed}) == 1 and len(entities) == 1:
        bdf, source, line = listed[0]
        yield Name(next(iter(entities.values())), bdf, "inferred", source, line)
