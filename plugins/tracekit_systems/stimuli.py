"""What came from outside to a passed-through function: tables that changed size, sessions, and what the guest asked for.

The requests that a client sends are recomputed in a replay, so they are turned back into what made it send them: a disable with an
enable of one vector more is "unmask that vector", an enable is "enable with so many vectors".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import polars as pl

from tracekit import ERANGE, LARGEST_TABLE, VFIO_MSI, VFIO_MSIX, Row, device_of, full_bdf, holds, in_table, rows_of

KINDS = {VFIO_MSI: "msi", VFIO_MSIX: "msix"}
OF_FUNCTION = ("enables", "windows", "refusals", "op_open", "op_close", "op_free", "op_domain_remove")
SIZED = {"vfio_msix_early_setup": ("name", "entries"), "op_table_size": ("bdf", "count")}  # table -> its columns with device and size
READS = (*OF_FUNCTION, *SIZED, "op_xen_setup", "irq_handler_entry", "nvme_completion_polled", "remap_fault")
MOST = 20_000  # stimuli of one recording: a fault that has not shown by then is a matter of load, not of gates
What = Literal["table", "open", "close", "rebind", "enable", "unmask", "interrupt", "disable", "driver enable", "driver free"]
Identity = tuple[str, Any] | None
BASES = {"calls": 0, "vectors": 1, "qemu": 2}


@dataclass(frozen=True, slots=True)
class Stimulus:
    """One stimulus: `number` is a table size, a count of vectors, or a vector; `least` the smallest count a driver accepts.

    `works`: whether what the client did for it was recorded to work; None where that is not recorded.
    """

    what: What
    number: int = 0
    least: int = 1
    works: bool | None = None


@dataclass
class Recording:
    """The stimuli of one function in one source, for its MSI-X or its plain MSI, and the facts on the kernel and the client that follow.

    `limit`: size of an irq domain that was there before the first line. `resized`, `appended`, `refused`: a client tore down to grow,
    added in place, or was refused that; `bounded`: an insert was refused with -34; `lost`: something shows that an interrupt came while
    the vectors were down; `spilled`: the line interrupted then; `detached`: how many enabled vectors a request was for of
    which one could not be wired, and of which some had interrupted; `deduced`: only one refusal tells the size of the domain.
    """

    source: str
    label: str = "an unnamed device"
    basis: str = "calls"
    index: int = VFIO_MSIX
    stimuli: list[Stimulus] = field(default_factory=list)
    limit: int | None = None
    resized: bool = False
    appended: bool = False
    refused: bool = False
    bounded: bool = False
    lost: bool = False
    spilled: bool = False
    detached: int = 0
    deduced: bool = False
    assumptions: list[str] = field(default_factory=list)


def recordings(tables: Mapping[str, pl.DataFrame]) -> list[Recording]:
    """Yield one recording per function and source; of a function only the most direct ones.

    Sources of a Xen dom0 are left out: Xen's private irq domain has no size (arch/x86/pci/xen.c, xen_create_pci_msi_domain).
    """
    if not any(tables[name].height for name in ("enables", "windows") if name in tables):
        return []  # all other rows are of sessions in which nothing was asked for
    made = [_recording(source, rows, tables, index) for source, rows in functions(tables, OF_FUNCTION) for index in KINDS]
    best: dict[tuple[str, int], int] = {}
    for r in made:
        if r.stimuli:
            best[r.label, r.index] = min(best.get((r.label, r.index), 9), BASES.get(r.basis, 9))
    return [r for r in made if r.stimuli and BASES.get(r.basis, 9) == best[r.label, r.index]]


def functions(tables: Mapping[str, pl.DataFrame], names: Sequence[str]) -> list[tuple[str, dict[str, list[Row]]]]:
    """Return the rows of these tables by source and function, without the sources of a Xen dom0."""
    groups: dict[tuple[Any, ...], dict[Identity, dict[str, list[Row]]]] = {}
    for name in names:
        for row in rows_of(tables[name]) if name in tables else ():
            place = groups.setdefault((row.source, row.machine, row.boot), {})
            place.setdefault(device_of(row), {}).setdefault(name, []).append(row)
    xen = set(tables["op_xen_setup"]["source"].to_list()) if "op_xen_setup" in tables else set()
    return [(place[0], rows) for place, by in groups.items() if place[0] not in xen for rows in _adopted(by)]


def _adopted(by: dict[Identity, dict[str, list[Row]]]) -> Iterator[dict[str, list[Row]]]:
    """Assign rows without a function to the only one of their source."""
    nameless = by.pop(None, {})
    if not by:
        by[None] = {}
    if len(by) == 1:
        (only,) = by.values()
        for name, rows in nameless.items():
            only[name] = [*only.get(name, []), *rows]
    yield from by.values()


def _recording(source: str, rows: Mapping[str, list[Row]], tables: Mapping[str, pl.DataFrame], index: int) -> Recording:
    enables = [e for e in rows.get("enables", []) if e.kind == KINDS[index]]
    windows = [w for w in rows.get("windows", []) if w.index == index or w.index is None and index == VFIO_MSIX]
    refusals = [r for r in rows.get("refusals", []) if r.kind == "growth" and r.index == index and r.start is not None and r.count]
    made = Recording(source, label_of([*enables, *windows]), index=index)
    if not enables and not windows:
        return made
    growths = [w for w in windows if w.kind in ("growth", "failed") and None not in (w.old, w.new)]
    made.basis = "calls" if enables else windows[0].basis
    made.resized, made.refused, made.limit = bool(growths), bool(refusals), _limit(enables, made)
    made.detached = max((r.count for r in rows.get("refusals", []) if _is_detached(r, tables.get("irq_handler_entry"))), default=0)
    made.appended = any(e.operation == "alloc_at" for e in enables)
    made.lost, made.spilled = _is_lost(growths, made, tables), _is_spilled(growths, tables.get("irq_handler_entry"))
    made.bounded = any(e.fail_ret == ERANGE for e in enables)
    made.deduced = len(enables) == 1 and enables[0].hwsize_how == "deduced"
    asked = [*map(demand, enables), *(w.new for w in growths), *(r.start + r.count for r in refusals)]
    told = told_elsewhere(made.label, tables)
    sizes = _sizes(enables, growths, max(asked, default=1), told)
    if told is None and all(e.live is None for e in enables):
        made.assumptions.append(f"the table is taken to have {sizes[0][1]} entries, the most that was asked for: nothing tells its size")
    timed = [
        *((line, 0, Stimulus("table", size)) for line, size in sizes),
        *_of_enables(enables, {w.request for w in growths if w.request is not None}),
        *_of_windows(windows, growths, bool(enables), made),
        *_of_sessions(rows),
        *((r.line, 3, Stimulus("unmask", r.start + r.count - 1)) for r in refusals),
    ]
    made.stimuli = [replace(s, number=min(s.number, LARGEST_TABLE)) for _, _, s in sorted(timed, key=lambda t: t[:2])]
    if len(made.stimuli) > MOST:
        made.assumptions.append(f"only the first {MOST} of {len(made.stimuli)} stimuli are replayed")
        del made.stimuli[MOST:]
    return made


def _is_lost(growths: list[Row], made: Recording, tables: Mapping[str, pl.DataFrame]) -> bool:
    """Return whether a driver found a completion by polling, or the IOMMU refused a message while the vectors were down."""
    polled, faults = tables.get("nvme_completion_polled"), tables.get("remap_fault")
    if growths and polled is not None and not polled.is_empty():
        made.assumptions.append("the interrupt whose completion was found by polling came while the vectors were down")
        return True
    return faults is not None and any(_inside(w, faults).height for w in growths)


def of_intx(name: str | None) -> bool:
    """Return whether an interrupt is that of a passed-through device's INTx line."""
    return (name or "").startswith("vfio-intx(")


def _is_spilled(growths: list[Row], entries: pl.DataFrame | None) -> bool:
    """Return whether the INTx line of the device interrupted while its vectors were disabled."""
    if entries is None or not growths or not holds(of_intx, entries):
        return False
    lines = entries.filter(pl.col("name").str.starts_with("vfio-intx("))
    return not lines.is_empty() and any(_inside(w, lines).height for w in growths)


def _is_detached(r: Row, entries: pl.DataFrame | None) -> bool:
    """Return whether a request for several enabled vectors failed, of which some had interrupted."""
    if entries is None or r.kind != "rollback" or (r.count or 0) < 2:
        return False
    before = (pl.col("source") == r.source) & pl.col("line").is_between(r.since_line, r.line)
    return entries.filter(before & pl.col("name").str.starts_with("vfio-msi")).height > 0


def _inside(w: Row, rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows within a window."""
    return rows.filter((pl.col("source") == w.source) & (pl.col("line") > w.line) & (pl.col("line") < (w.line_end or w.line)))


def _sizes(enables: list[Row], growths: list[Row], least: int, told: int | None) -> list[tuple[int, int]]:
    """Line and size of the table: as read at each enable; where it is nowhere read, large enough for all that was asked for."""
    begins = {w.request: w.line for w in growths if w.request is not None}
    read = [(begins.get(e.request, e.line), e.live) for e in enables if e.live is not None]
    return [(0, read[0][1] if read else max(least, told or 0)), *read]


def told_elsewhere(label: str, tables: Mapping[str, pl.DataFrame]) -> int | None:
    """Return the function's table size in another source of the case: QEMU's trace, or lspci, whose BDF may lack the domain."""
    for name, (bdf, column) in SIZED.items():
        frame = tables.get(name)
        if frame is not None and not frame.is_empty():
            names = [full_bdf(label), full_bdf(label).removeprefix("0000:")]
            mine = frame.filter(pl.col(bdf).is_in(names))[column].drop_nulls()
            if mine.len():
                return int(mine[0])
    return None


def label_of(rows: list[Row]) -> str:
    """Return the function as findings name it: its BDF, else its pointer."""
    for column, text in (("bdf", "{}"), ("device", "pci_dev {:#x}"), ("vdev", "vdev {:#x}")):
        for row in rows:
            if (value := getattr(row, column, None)) is not None:
                return text.format(value)
    return "an unnamed device"


def _limit(enables: list[Row], made: Recording) -> int | None:
    """Return the size of a domain that was created before the recording, from the first enables that used it."""
    for e in enables:
        if e.created or e.removed_line is not None:
            return None
        if e.hwsize is not None and e.made_line is None:
            made.assumptions.append(f"the irq domain of size {e.hwsize} was made before the recording, by a session at that table size")
            return int(e.hwsize)
    return None


Timed = tuple[int, int, Stimulus]


def _of_enables(enables: list[Row], growths: set[int]) -> Iterator[Timed]:
    """Yield demands. An enable that ends a growth is the unmask of its window; a new domain implies an unbind before it."""
    for earlier, e in zip([None, *enables], enables, strict=False):
        if earlier is not None and e.created and e.removed_line is None:
            yield e.line, 0, Stimulus("rebind")
        if e.operation == "alloc_at":
            yield e.line, 3, Stimulus("unmask", e.min if e.min is not None else demand(e) - 1, works=_works(e))
        elif e.request is None:
            yield e.line, 3, Stimulus("driver enable", demand(e), e.min or 1)
        elif e.request not in growths:
            yield e.line, 3, Stimulus("enable", demand(e), works=_works(e))


def _works(e: Row) -> bool | None:
    """Return whether an enable, or the adding of a vector, worked; None where its result is not recorded."""
    return None if e.ret is None else e.ret >= 0 if e.operation == "alloc_at" else e.ret > 0


def demand(e: Row) -> int:
    """Return how many vectors were asked for: as recorded, else as granted, else at least as many as the index that was refused."""
    known = [e.max if e.operation == "enable" else None, e.ret if e.ret is not None and e.ret > 0 else None]
    tried = (e.fail_index + 1) if e.fail_index is not None else 1
    asked = next((n for n in known if n is not None), None)
    if asked is None:
        asked = e.live if e.live is not None and e.fail_index is not None else tried
    return int(min(max(asked, tried), e.live) if e.live is not None and e.live >= tried else max(asked, tried))


def _of_windows(windows: list[Row], growths: list[Row], enabled: bool, made: Recording) -> Iterator[Timed]:
    if growths:
        made.assumptions.append("each disable with an enable of more vectors stands for a guest that unmasked the last one")
    ended = {w.enable_line for w in windows}
    for w in windows:
        yield from ((u["first"], 2, Stimulus("interrupt", u["vector"] or 0)) for u in w.in_use or ())
        if w not in growths:
            yield w.line, 1, Stimulus("disable")
            continue
        if not enabled and w.enabled_line not in ended:
            yield w.enabled_line or w.line, 1, Stimulus("enable", w.old)
        if w.handlers is False:
            made.assumptions.append("vectors that were wired are taken to have been in use: no handler events")
            yield from ((w.line, 2, Stimulus("interrupt", v)) for v in w.wired or in_table(0, w.old))
        yield w.line, 3, Stimulus("unmask", w.new - 1, works=None if w.ret is None else w.ret == 0)


def _of_sessions(rows: Mapping[str, list[Row]]) -> Iterator[Timed]:
    yield from ((o.line, 0, Stimulus("open")) for o in rows.get("op_open", []))
    yield from ((c.line, 4, Stimulus("rebind" if c.how == "rebind" else "close")) for c in rows.get("op_close", []))
    yield from ((f.line, 1, Stimulus("driver free")) for f in rows.get("op_free", []) if f.request is None)
    yield from ((d.line, 4, Stimulus("rebind")) for d in rows.get("op_domain_remove", []) if d.attempt is None)
