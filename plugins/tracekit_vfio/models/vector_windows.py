"""Windows inferred where no VFIO call is recorded: from the lives of CPU vectors, and from QEMU's trace."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import polars as pl

from tracekit import VFIO_MSIX, Inputs, Model, Row, Table
from tracekit_vfio.models import bounds
from tracekit_vfio.tables import WINDOWS

Asked = dict[tuple[str, int | None], tuple[list[int], list[bool]]]  # (source, task) -> where requests end, whether they are told
# A request whose arguments are recorded, or follow from the calls inside.
_TOLD = pl.col("data").is_not_null() | pl.col("index").is_not_null() | pl.col("closing")
NAME = r"^vfio-msi(x?)\[([0-9]{1,4})\]\(([0-9a-fA-F:.]+)\)$"


@dataclass
class Life:
    """One irq of VFIO, with the events of its vector."""

    up: Row | None = None
    cleared: Row | None = None
    freed: bool = False


class VectorWindows(Model):
    """Infer growth windows from `irq_vectors` events (basis `vectors`): an irq loses its vector, is freed, and returns with more.

    The irq's vector and BDF are those of `irq_handler_entry`. A window runs from `vector_clear` (or `vector_deactivate`) to the next
    `vector_alloc` of the same irq by the same task. Only sources are read this way in which no SET_IRQS is recorded, or of some nothing
    but the return.
    """

    tables: ClassVar[tuple[Table, ...]] = (WINDOWS,)
    needs: ClassVar[tuple[str, ...]] = (
        "irq_handler_entry",
        "op_set_irqs",
        "op_open",
        "op_close",
        "vector_setup",
        "vector_alloc",
        "vector_clear",
        "vector_deactivate",
        "vector_teardown",
    )

    def __init__(self) -> None:
        super().__init__()
        self.ends: dict[str, list[int]] = {}  # where a device was opened or closed, by source
        self.asked: Asked = {}

    def play(self, rows: Iterable[tuple[str, Row]], tables: Inputs) -> None:
        if any(name not in tables for name in ("irq_handler_entry", "vector_alloc", "vector_teardown")):
            return
        asked = tables.sources("op_set_irqs") - _unargued(tables)
        if asked.issuperset(tables.sources("irq_handler_entry")):
            return
        self.ends, self.asked = _ends(tables), _asked(tables)
        named = tables["irq_handler_entry"].filter(pl.col("name").str.starts_with("vfio-msi"))
        for source in named["source"].unique(maintain_order=True):
            if source not in asked:
                self._source(source, named.filter(pl.col("source") == source), tables)

    def _source(self, source: str, named: pl.DataFrame, tables: Mapping[str, pl.DataFrame]) -> None:
        who = named.unique("irq", keep="first", maintain_order=True).with_columns(pl.col("name").str.extract_groups(NAME).alias("of"))
        functions: dict[str, dict[int, int]] = {}
        events: dict[int, list[Row]] = {}  # of each irq, those of its function
        for irq, groups in who.select("irq", "of").iter_rows():
            if groups["3"] is not None:
                vectors = functions.setdefault(groups["3"], {})
                vectors[irq] = int(groups["2"])
                events[irq] = events[next(iter(vectors))] if len(vectors) > 1 else []
        for e in _events(source, list(events), tables):
            events[e.irq].append(e)
        runs: dict[int, list[int]] = {}
        for irq, line in named.select("irq", "line").sort("line").iter_rows():
            runs.setdefault(irq, []).append(line)
        for bdf, vectors in functions.items():
            self._function(bdf, vectors, events[next(iter(vectors))], runs)

    def _function(self, bdf: str, vectors: dict[int, int], events: list[Row], runs: Mapping[int, list[int]]) -> None:
        lives = {irq: Life() for irq in vectors}
        for i, e in enumerate(events):
            life = lives[e.irq]
            if e.event == "vector_alloc" and e.ret == 0:
                if life.cleared is not None and life.freed and life.up is not None and e.tid == life.cleared.tid:
                    self._window(bdf, vectors, lives, events, i, runs)
                life.up, life.cleared, life.freed = e, None, False
            elif e.event in ("vector_clear", "vector_deactivate") and life.up is not None and life.cleared is None:
                life.cleared = e
            elif e.event == "vector_teardown":
                life.freed = True

    def _shown(self, down: Row, up: Row) -> bool:
        """Return whether the request that took a vector down is told, or a device was opened or closed before it came up."""
        lines = self.ends.get(down.source, [])
        ends, told = self.asked.get((down.source, down.tid), ([], []))
        at = bisect_left(ends, down.line)
        return bisect_left(lines, down.line) < bisect_left(lines, up.line) or at < len(ends) and told[at]

    def _window(
        self, bdf: str, vectors: dict[int, int], lives: dict[int, Life], events: list[Row], at: int, runs: Mapping[int, list[int]]
    ) -> None:
        """End the window at the first irq that returns; count the others of its set with it. `runs`: the lines of each irq's handler."""
        e = events[at]
        life = lives[e.irq]
        down, up = life.cleared, life.up
        assert down is not None and up is not None
        old = {
            vectors[i] for i, other in lives.items() if other.up is not None and (other.cleared is None or other.cleared.line >= down.line)
        }
        if any(other.up is not None and other.up.line > down.line for other in lives.values()):
            return  # a vector of this burst was here first: its window is the one that counts
        new = {vectors[e.irq]}
        for r in (events[n] for n in range(at, len(events))):
            if r.event in ("vector_clear", "vector_deactivate"):
                break
            if r.event == "vector_alloc" and r.ret == 0:
                new.add(vectors[r.irq])
        before, after = max(old, default=-1) + 1, max(new) + 1  # an enable is of all vectors up to the last
        if len(new) <= len(old) or after <= before or self._shown(down, e):
            return
        in_use = _used(
            runs,
            vectors,
            {i for i, o in lives.items() if o.up is not None},
            {i: o.up.line for i, o in lives.items() if o.up is not None},
            down.line,
        )
        self.emit(
            "windows", down, bdf=bdf, kind="growth", basis="vectors", index=VFIO_MSIX, old=before, new=after,
            ret=None, enabled_line=up.line,
            disable_end=down.line, disable_ts=down.ts, enable_line=e.line, enable_end=e.line, enable_ts=e.ts, wired=sorted(old),
            span=e.ts - down.ts + bounds.coarse(down) if e.ts is not None and down.ts is not None else None,
            irqs=sorted(vectors), in_use=in_use, handlers=True, inferred=True, hint=False, ts_end=e.ts, line_end=e.line,
        )  # fmt: skip


def _unargued(tables: Inputs) -> set[str]:
    """Return the sources with requests of which nothing but the return is known: they do not tell what went down and up."""
    return set(tables["op_set_irqs"].filter(~_TOLD)["source"].unique()) if "op_set_irqs" in tables else set()


def _asked(tables: Inputs) -> Asked:
    """Return by source and task where each request ends, and whether it is told what it did."""
    found: Asked = {}
    if "op_set_irqs" not in tables:
        return found
    rows = tables["op_set_irqs"].select("source", "tid", pl.coalesce("line_end", "line").alias("end"), _TOLD.alias("told")).sort("end")
    for source, tid, end, told in rows.iter_rows():
        ends, known = found.setdefault((source, tid), ([], []))
        ends.append(end)
        known.append(told)
    return found


def _ends(tables: Inputs) -> dict[str, list[int]]:
    """Return the lines at which a device is opened or closed, by source."""
    found: dict[str, list[int]] = {}
    for name in ("op_open", "op_close"):
        for source, line in tables[name].select("source", "line").iter_rows() if name in tables else ():
            found.setdefault(source, []).append(line)
    return {source: sorted(lines) for source, lines in found.items()}


def _events(source: str, irqs: list[int], tables: Mapping[str, pl.DataFrame]) -> list[Row]:
    """Return the vector events of some irqs in line order."""
    frames = []
    for event in ("vector_setup", "vector_alloc", "vector_clear", "vector_deactivate", "vector_teardown"):
        if (frame := tables.get(event)) is not None:
            ret = pl.col("ret") if "ret" in frame.columns else pl.lit(0, pl.Int64)
            kept = frame.filter((pl.col("source") == source) & pl.col("irq").is_in(irqs))
            frames.append(
                kept.select(
                    "source",
                    "line",
                    "ts",
                    "ts_raw",
                    "machine",
                    "boot",
                    "side",
                    "on_cpu",
                    "task",
                    "tid",
                    "irq",
                    ret.cast(pl.Int64).alias("ret"),
                    pl.lit(event).alias("event"),
                )
            )
    return [Row(**r) for r in pl.concat(frames).sort("line").iter_rows(named=True)] if frames else []


def _used(
    runs: Mapping[int, list[int]], vectors: dict[int, int], irqs: set[int], since: dict[int, int], until: int
) -> list[dict[str, int]]:
    used = []
    for irq in sorted(irqs):
        lines = runs[irq]
        first, end = bisect_right(lines, since[irq]), bisect_left(lines, until)
        if first < end:
            used.append({"vector": vectors[irq], "entries": end - first, "first": lines[first], "last": lines[end - 1]})
    return used


@dataclass
class Device:
    """The state of a device in QEMU's trace since its last enable; `enabled` is None while that enable goes on.

    `waiting`: a growth whose success is not shown yet. `failed`: those that QEMU says have failed, the vectors before, the message.
    `dead`: the latest enable or growth failed, so that no vector is left.
    """

    enabled: Row | None = None
    most: int = 1
    used: dict[int, Row] = field(default_factory=dict)
    entries: dict[int, list[Row]] = field(default_factory=dict)
    waiting: tuple[Row, int] | None = None
    failed: list[tuple[Row, int, Row]] = field(default_factory=list)
    recovered: Row | None = None
    dead: bool = False


class QemuWindows(Model):
    """Infer growth windows from QEMU's trace (basis `qemu`): the guest unmasks a vector above all enabled so far.

    Before 8.2 always, from 8.2 with noresize 1: QEMU then disables the index and enables one vector more (hw/vfio/pci.c,
    vfio_msix_vector_do_use). The count starts at 1 at `vfio_msix_enable`: the enable has taken vector 0. A growth counts when a later
    event of one of its vectors shows that it worked; one that is the last event of its device is kept with kind `open`. A message of QEMU
    right after `do_use` says that it failed; at the enable itself nothing had been enabled before (`old` 0).
    """

    tables: ClassVar[tuple[Table, ...]] = (WINDOWS,)

    def __init__(self) -> None:
        super().__init__()
        self.devices: dict[str, Device] = {}
        self.dynamic: set[str] = set()
        self.opened: dict[str, str] = {}  # devices whose capability QEMU was seen to read, and in which source
        self.had: set[str] = set()  # devices whose vectors have been enabled since then
        self.refused: dict[str, list[tuple[Row, Row]]] = {}  # device -> uses of vectors and messages of an enable that failed
        self.unnamed: Row | None = None  # the same without any vector: the enable that ends next is the one
        self.last: Row | None = None  # the latest use of a vector: a message of QEMU is about it

    def on_vfio_msix_early_setup(self, e: Row) -> None:
        self._close(e.name, e)
        self.had.discard(e.name)
        self.opened[e.name] = e.source
        self.last = None
        (self.dynamic.add if e.noresize == 0 else self.dynamic.discard)(e.name)

    def on_vfio_msix_enable(self, e: Row) -> None:
        device = self.devices.get(e.name)
        if device is not None and device.enabled is None:
            device.enabled, device.waiting = e, None
        else:
            refused = self._refused(e)
            self._close(e.name, e, worked=True)
            self.devices[e.name] = Device(enabled=e, failed=refused, dead=bool(refused))
        if not self.devices[e.name].dead:
            self.had.add(e.name)
        self.last = self.unnamed = None

    def on_vfio_msix_disable(self, e: Row) -> None:
        self._close(e.name, e)
        self.last = None

    def on_vfio_pci_reset(self, e: Row) -> None:
        self.on_vfio_msix_disable(e)

    def on_vfio_msix_vector_do_use(self, e: Row) -> None:
        self.last = e
        device = self.devices.get(e.name)
        if device is None or e.name in self.dynamic:
            return
        self._settle(e.name, worked=True)
        if e.vector + 1 > device.most:
            device.waiting = e, device.most
            device.most = e.vector + 1
        device.used[e.vector] = e

    def on_vfio_msix_vector_release(self, e: Row) -> None:
        device = self.devices.get(e.name)
        if device is not None and e.vector < device.most:
            device.used.pop(e.vector, None)
        elif device is None and e.vector == 0 and self.last is not None and (self.last.name, self.last.vector) == (e.name, 0):
            self.devices[e.name] = Device()  # the enable has taken vector 0, and goes on with those that the guest has unmasked
            self.last = None

    def on_vfio_msi_interrupt(self, e: Row) -> None:
        device = self.devices.get(e.name)
        if device is None:
            return
        if e.vector < device.most:
            self._settle(e.name, worked=True)
        device.entries.setdefault(e.vector, []).append(e)

    def on_qemu_enable_vectors_failed(self, e: Row) -> None:
        """Let the growth of the latest vector fail; before the enable has ended, nothing had been enabled."""
        use, self.last = self.last, None
        if use is None or use.source != e.source:
            return
        device = self.devices.get(use.name)
        if device is not None and device.waiting is not None and device.waiting[0] is use:
            _, old = device.waiting
            device.waiting = device.recovered = None
            if device.dead:  # since the first of these failures, or since the enable
                old = device.failed[0][1]
            device.failed.append((use, old, e))
            device.dead = True
        elif device is None and use.name not in self.had and self.opened.get(use.name) == e.source:
            self.refused.setdefault(use.name, []).append((use, e))

    def on_qemu_enable_msix_failed(self, e: Row) -> None:
        """Let an enable without any vector fail."""
        self.unnamed = e

    def on_end(self) -> None:
        for name in dict.fromkeys([*self.devices, *self.refused]):
            self._close(name)

    def _refused(self, e: Row) -> list[tuple[Row, int, Row]]:
        """Return what failed in the enable that ends here, where no vector had been enabled before."""
        told, alone = self.refused.pop(e.name, []), self.unnamed
        if alone is not None and e.name not in self.had and self.opened.get(e.name) == e.source == alone.source:
            told = [*told, (alone, alone)]
        return [(use, 0, message) for use, message in told]

    def _close(self, name: str, e: Row | None = None, worked: bool | None = None) -> None:
        """End what is known of a device's vectors."""
        self._settle(name, worked=worked)
        device = self.devices.pop(name, None) or Device()
        device.failed += [(use, 0, message) for use, message in self.refused.pop(name, [])]
        for use, old, message in device.failed:
            self._failed(name, use, old, message, device, e)

    def _settle(self, name: str, *, worked: bool | None) -> None:
        """Emit the pending growth: confirmed by an event of its vectors, or open at the end.

        After one that failed, it takes nothing down that worked. The guest has no interrupt from a vector before the enable has ended.
        """
        device = self.devices.get(name)
        if device is None or device.waiting is None:
            return
        (e, old), device.waiting = device.waiting, None
        if device.dead:
            device.dead, device.recovered = not worked, e if worked else None
            return
        if device.enabled is None:
            return
        in_use = [
            {"vector": v, "entries": len(rows), "first": rows[0].line, "last": rows[-1].line}
            for v, rows in sorted(device.entries.items())
            if v < old and v in device.used
        ]
        self.emit(
            "windows", e, bdf=as_bdf(name), kind="growth" if worked else "open", basis="qemu", index=VFIO_MSIX, old=old,
            new=e.vector + 1, ret=None,
            enabled_line=device.enabled.line,
            disable_end=e.line, disable_ts=e.ts, enable_line=e.line,
            enable_end=e.line, enable_ts=None, wired=sorted(v for v in device.used if v < old),
            irqs=[], in_use=in_use, handlers=bool(in_use),
            inferred=True, hint=False, span=None, ts_end=None, line_end=e.line,
        )  # fmt: skip
        device.entries = {}

    def _failed(self, name: str, e: Row, old: int, message: Row, device: Device, closed: Row | None) -> None:
        """Emit a request that QEMU says has failed."""
        self.emit(
            "windows", e, bdf=as_bdf(name), kind="failed", basis="qemu", index=VFIO_MSIX, old=old,
            new=e.vector + 1 if e is not message else None, ret=None,
            enabled_line=device.enabled.line if device.enabled is not None else None,
            disable_end=e.line, disable_ts=e.ts, enable_line=e.line, enable_end=message.line, enable_ts=message.ts,
            recovered_line=device.recovered.line if device.recovered is not None else None,
            closed_line=closed.line if closed is not None else None, closed_ts=closed.ts if closed is not None else None,
            wired=[], irqs=[], in_use=[], handlers=False, inferred=True, hint=False, span=None, ts_end=None, line_end=message.line,
        )  # fmt: skip


def as_bdf(name: str) -> str | None:
    """Return the name if it is a BDF."""
    return name if name.count(":") >= 1 and "." in name and " " not in name else None
