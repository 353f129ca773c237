"""Devices: which `struct pci_dev *` and `vdev` are one PCI function, and which BDF it has, by evidence only."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar
from zlib import crc32

import polars as pl

from tracekit import Model, Row, Schema
from tracekit_linux.tree import (
    ALLOC_AT,
    ALLOCATIONS,
    IRQ_EVENTS,
    MASK,
    SET_IRQS,
    VFIO_ACTION,
    Node,
    Pointers,
    Tree,
    bdf_of_action,
    set_up_irqs,
    trees,
)

ABOUT_ONE = frozenset((*SET_IRQS, *ALLOCATIONS, *ALLOC_AT))
# Calls after which a `struct pci_dev` is gone (drivers/pci/remove.c).
REMOVALS = ("pci_destroy_dev", "pci_stop_and_remove_bus_device", "pci_stop_and_remove_bus_device_locked", "pci_release_dev")


@dataclass(slots=True, eq=False)
class Entity:
    """One PCI function, as far as pointers tell."""

    first: Row
    bdfs: dict[str, tuple[str, int]] = field(default_factory=dict)  # BDF -> (seen or inferred, line)
    united: "Entity | None" = None

    def root(self) -> "Entity":
        """The entity that this one was found to be."""
        return self if self.united is None else self.united.root()


@dataclass(slots=True, eq=False)
class Life:
    """One pointer, while it stands for one function."""

    pointer: int
    kind: str
    entity: Entity
    row: Row
    end: Row | None = None


@dataclass(frozen=True, slots=True)
class Owned:
    """From `line` on, `irq` belongs to what `life` points at; `vector` is the VFIO vector it serves."""

    line: int
    irq: int
    life: Life
    vector: int | None


class Devices(Model):
    """The lives of device pointers; `entity` says which belong together, `bdf` who it is (null if nothing tells)."""

    tables: ClassVar[dict[str, Schema]] = {
        "devices": {
            "pointer": pl.UInt64(),
            "kind": pl.String(),
            "entity": pl.Int64(),
            "bdf": pl.String(),
            "how": pl.String(),
            "bdf_line": pl.Int64(),
        }
    }
    needs = ("calls", *IRQ_EVENTS, "irq_handler_entry")
    across = ("interrupt_row",)

    def run(self, rows: Iterable[tuple[str, Row]], tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
        """The devices of every source of the stream."""
        for tree in trees(tables.get("calls")):
            identities = Identities(tree)
            owned = list(identities.owned(tables))
            for o, bdf, how, line in [*_from_handlers(owned, tree, tables), *_from_snapshots(owned, tables)]:
                o.life.entity.root().bdfs.setdefault(bdf, (how, line))
            for life in identities.lives:
                self._emit(life)
        return self.frames()

    def _emit(self, life: Life) -> None:
        entity = life.entity.root()
        seen = {b: e for b, e in entity.bdfs.items() if e[0] == "seen"} or entity.bdfs
        # Two names for one pointer are a contradiction: then it has none.
        bdf, (how, line) = next(iter(seen.items())) if len(seen) == 1 else (None, (None, None))
        number = (crc32(entity.first.source.encode()) << 31) + entity.first.line
        end = {"ts_end": life.end.ts, "line_end": life.end.line} if life.end else {}
        self.emit("devices", life.row, pointer=life.pointer, kind=life.kind, entity=number, bdf=bdf, how=how, bdf_line=line, **end)


class Identities:
    """Walks the calls of a source in order and unites the pointers that nest: a `vdev` call contains `dev` calls about the same device."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.pointers = Pointers(tree.nodes)
        self.shared = _shared_domains(tree, self.pointers)
        self.current: dict[tuple[str, int], Life] = {}
        self.lives: list[Life] = []
        self.at: dict[int, Life] = {}  # id(call) -> what it is about
        for node in tree.nodes:
            self._hear(node)

    def life_of(self, node: Node) -> Life | None:
        """What a call is about: what it or the nearest call around it names, else what the calls below that request name."""
        return next((x for n in node.chain() if (x := self.at.get(id(n))) is not None), None)

    def owned(self, tables: Mapping[str, pl.DataFrame]) -> Iterator[Owned]:
        """Each irq that is set up inside a call about a device."""
        for line, irq, node in set_up_irqs(self.tree, tables):
            if (life := self.life_of(node)) is not None:
                signal = next((n for n in node.chain() if n.name == "vfio_msi_set_vector_signal"), None)
                yield Owned(line, irq, life, signal.number("vector") if signal else None)

    def _hear(self, node: Node) -> None:
        for kind, pointer in self._named(node):
            life = self.at[id(node)] = self._life(kind, pointer, node.row)
            request = _request(node)
            if request is not None and (other := self.at.get(id(request))) is not None:
                life = self._unite(other, life, node.row)
            if request is not None:
                self.at[id(request)] = life
        dev = self.pointers.device(node)
        if dev is not None and node.name in REMOVALS:
            self._end(dev, node.row, ("pci_dev", "vdev", "domain"))
        elif dev is not None and node.name == "msi_remove_device_irq_domain":
            self._end(dev, node.row, ("vdev", "domain") if _unbinding(node) else ("domain",))

    def _named(self, node: Node) -> Iterator[tuple[str, int]]:
        """The pointers a call names itself, as (kind, pointer)."""
        if (vdev := node.pointer("vdev")) is not None:
            yield "vdev", vdev
        if (dev := self.pointers.device(node)) is not None:
            yield "pci_dev", dev
        if node.name == "msi_get_device_domain" and node.row.ret and (domain := node.row.ret & MASK) not in self.shared:
            yield "domain", domain

    def _life(self, kind: str, pointer: int, row: Row) -> Life:
        life = self.current.get((kind, pointer))
        if life is None:
            life = self.current[kind, pointer] = Life(pointer, kind, Entity(row), row)
            self.lives.append(life)
        return life

    def _unite(self, one: Life, other: Life, row: Row) -> Life:
        """`other` is about the same device as `one`; an address that was used again begins a new life."""
        if one.entity.root() is other.entity.root():
            return one
        for life, against in ((one, other), (other, one)):
            rivals = {x.pointer for x in self.lives if x.kind == against.kind == "pci_dev" and x.entity.root() is life.entity.root()}
            if life.kind != "pci_dev" and rivals and against.pointer not in rivals:
                life.end = row
                self.current.pop((life.kind, life.pointer), None)
                return self._unite(self._life(life.kind, life.pointer, row), against, row)
        if one.kind == other.kind == "pci_dev" and one.pointer != other.pointer:
            return other
        other.entity.root().united = one.entity.root()
        return one

    def _end(self, dev: int, row: Row, kinds: tuple[str, ...]) -> None:
        """These pointers of a device are freed: its driver is unbound, its domain removed, or the device itself."""
        entity = self.current["pci_dev", dev].entity.root()
        for key, life in list(self.current.items()):
            if life.entity.root() is entity and life.kind in kinds:
                life.end = row
                del self.current[key]


def _request(node: Node) -> Node | None:
    """The outermost call around (or at) this one that is about a single device."""
    found = None
    for n in node.chain():
        if n.name in ABOUT_ONE or n.is_request:
            found = n
    return found


def _shared_domains(tree: Tree, pointers: Pointers) -> set[int]:
    """Domains that serve several devices, as the one global PCI/MSI domain does: they identify none."""
    users: dict[int, set[int]] = {}
    requests: dict[int, tuple[set[int], set[int]]] = {}
    for n in tree.nodes:
        if (request := _request(n)) is not None:
            domains, devices = requests.setdefault(id(request), (set(), set()))
            if n.name == "msi_get_device_domain" and n.row.ret:
                domains.add(n.row.ret & MASK)
            if (dev := pointers.device(n)) is not None:
                devices.add(dev)
    for domains, devices in requests.values():
        for d in domains:
            users.setdefault(d, set()).update(devices)
    return {d for d, devices in users.items() if len(devices) > 1}


def _unbinding(node: Node) -> bool:
    """A domain is also removed when a device changes between MSI and MSI-X; outside of that its driver is being unbound."""
    return node.above("pci_setup_msix_device_domain", "pci_setup_msi_device_domain", *SET_IRQS) is None


def _from_handlers(owned: list[Owned], tree: Tree, tables: Mapping[str, pl.DataFrame]) -> Iterator[tuple[Owned, str, str, int]]:
    """BDFs in the action names of handlers of irqs that were set up for a device before: (whose, BDF, how, line)."""
    handlers = tables.get("irq_handler_entry")
    if handlers is None or not owned:
        return
    named = handlers.filter((pl.col("source") == tree.source) & pl.col("name").str.contains(VFIO_ACTION)).select("irq", "name", "line")
    rows = [(o.irq, o.line, n) for n, o in enumerate(owned)]
    since = pl.DataFrame(rows, schema={"irq": named["irq"].dtype, "line": pl.Int64, "n": pl.Int64}, orient="row").sort("line")
    joined = named.sort("line").join_asof(since, on="line", by="irq", check_sortedness=False).drop_nulls("n")
    for n, name, line in joined.group_by("n", "name", maintain_order=True).agg(pl.first("line")).iter_rows():
        found = bdf_of_action(name)
        if found and owned[n].vector in (None, found[0]):
            yield owned[n], found[1], "seen", line


def _from_snapshots(owned: list[Owned], tables: Mapping[str, pl.DataFrame]) -> Iterator[tuple[Owned, str, str, int]]:
    """BDFs in /proc/interrupts, taken at a time unknown: inferred where the irq serves the same VFIO vector."""
    rows = tables.get("interrupt_row")
    if rows is None:
        return
    last = {o.irq: o for o in owned}
    for irq, actions, line in rows.select("irq", "actions", "line").iter_rows():
        o = last.get(irq)
        found = next((f for a in (actions or "").split(",") if (f := bdf_of_action(a.strip()))), None)
        if o is not None and found and o.vector == found[0]:
            yield o, found[1], "inferred", line
