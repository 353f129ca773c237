"""Identities: which pointers of a trace stand for one PCI function, and from when to when."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import polars as pl

from tracekit import Row
from tracekit_linux.tree import ALLOC_AT, ALLOCATIONS, CLOSED_BY_KERNEL, MASK, SET_IRQS, Node, Pointers, Tree, set_up_irqs

ABOUT_ONE = frozenset((*SET_IRQS, *ALLOCATIONS, *ALLOC_AT))
# Calls after which a `struct pci_dev` is gone (drivers/pci/remove.c).
REMOVALS = ("pci_destroy_dev", "pci_stop_and_remove_bus_device", "pci_stop_and_remove_bus_device_locked", "pci_release_dev")


@dataclass(slots=True, eq=False)
class Entity:
    """One PCI function, as far as pointers tell."""

    first: Row
    names: list["Name"] = field(default_factory=list)
    united: "Entity | None" = None

    def root(self) -> "Entity":
        """The entity that this one was found to be."""
        return self if self.united is None else self.united.root()

    def name(self) -> "Name | None":
        """Who it is: what was seen beats what was inferred; two names are a contradiction, and none."""
        best = [n for n in self.names if n.how == "seen"] or self.names
        return best[0] if len({n.bdf for n in best}) == 1 else None


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


@dataclass(frozen=True, slots=True)
class Name:
    """A BDF for what `life` points at, with the line that says so."""

    life: Life
    bdf: str
    how: str  # seen: the trace itself ties them; inferred: it is the only one that fits
    source: str
    line: int


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

    def sessions(self) -> Iterator[tuple[Life, int, int | None]]:
        """(vdev, begin, end) of each time a VFIO user had a device open, where the trace has times."""
        opened: dict[int, tuple[Life, int]] = {}
        for n in self.tree.nodes:
            life = self.at.get(id(n))
            if life is None or n.row.ts is None:
                continue
            if n.name == "vfio_pci_core_enable":
                opened[id(life)] = (life, n.row.ts)
            elif id(life) in opened and (n.name == "vfio_pci_core_close_device" or n.number("index") == CLOSED_BY_KERNEL):
                yield *opened.pop(id(life)), n.row.ts
        yield from ((life, begin, None) for life, begin in opened.values())

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
