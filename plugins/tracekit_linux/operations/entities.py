"""Identities: which pointers of a trace stand for one PCI function, and from when to when."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

from tracekit import VFIO_NONE, Row
from tracekit_linux.operations.tree import MASK, REMOVALS, SET_IRQS, SETUPS, Node, Tree


@lru_cache(maxsize=1024)
def _number_of(source: str) -> int:
    return crc32(source.encode())


@dataclass(slots=True, eq=False)
class Entity:
    """A PCI function, as identified by the kernel's pointers."""

    first: Row
    names: list["Name"] = field(default_factory=list)
    lives: list["Life"] = field(default_factory=list)
    united: "Entity | None" = None

    def root(self) -> "Entity":
        """Return the entity that this one was found to be."""
        entity = self
        while entity.united is not None:
            entity = entity.united
        return entity

    @property
    def number(self) -> int:
        """Return a number for it that is its own in a case."""
        return (_number_of(self.first.source) << 31) + int(self.first.line)

    def unite(self, other: "Entity") -> None:
        """Merge `other` into this one."""
        other.united = self
        self.lives += other.lives

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


class Owned(NamedTuple):
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


class Session(NamedTuple):
    """The time from `begin` to `end` in which a VFIO user had the device open that `life` (a vdev) points at."""

    life: Life
    begin: int
    end: int | None


REMOVED, UNBOUND, DOMAIN_REMOVED = ("pci_dev", "vdev", "domain"), ("vdev", "domain"), ("domain",)  # whose lives end


class Lives:
    """The lives of pointers, and which are of one device, as the calls of a source name them in order."""

    def __init__(self) -> None:
        self.all: list[Life] = []
        self.current: dict[tuple[str, int], Life] = {}
        self.parted = 0  # how often pointers that one request names could not be of one device

    def at(self, kind: str, pointer: int, row: Row) -> Life:
        """Return the life of a pointer that a call names."""
        life = self.current.get((kind, pointer))
        if life is None:
            life = self.current[kind, pointer] = Life(pointer, kind, Entity(row), row)
            life.entity.lives.append(life)
            self.all.append(life)
        return life

    def unite(self, one: Life, other: Life, row: Row) -> Life:
        """Join two lives of one device; an address that is used again begins a new life."""
        if one.entity.root() is other.entity.root():
            return one
        for life, against in ((one, other), (other, one)):
            rivals = {x.pointer for x in life.entity.root().lives if x.kind == against.kind == "pci_dev"}
            if life.kind != "pci_dev" and rivals and against.pointer not in rivals:
                self.parted += 1
                life.end = row
                self.current.pop((life.kind, life.pointer), None)
                return self.unite(self.at(life.kind, life.pointer, row), against, row)
        if one.kind == other.kind == "pci_dev" and one.pointer != other.pointer:
            self.parted += 1
            return other
        one.entity.root().unite(other.entity.root())
        return one

    def end(self, dev: int, row: Row, kinds: tuple[str, ...]) -> None:
        """End the lives of these pointers of a device: its driver is unbound, its domain is removed, or the device is freed."""
        for life in self.current["pci_dev", dev].entity.root().lives:
            if life.end is None and life.kind in kinds:
                life.end = row
                self.current.pop((life.kind, life.pointer), None)


class Identities:
    """Walks the calls of a source in order and unites the pointers that nest: a `vdev` call contains `dev` calls about the same device."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.source = tree.source
        self.shared = _shared_domains(tree)
        self.known = Lives()
        for node in tree.nodes:
            self._hear(node)

    @property
    def lives(self) -> Sequence[Life]:
        """Return the lives of all pointers, in the order in which they begin."""
        return self.known.all

    def life_of(self, node: Node) -> Life | None:
        """Return what a call is about: what it or the nearest call around it names, else what the calls below that request name."""
        n: Node | None = node
        while n is not None and n.life is None:
            n = n.parent
        return None if n is None else n.life

    def owned(self, irqs: Iterable[tuple[int, int, Node]]) -> Iterator[Owned]:
        """Yield each irq that is set up inside a call about a device. `irqs`: those of `set_up_irqs`."""
        for line, irq, node in irqs:
            if (life := self.life_of(node)) is not None:
                signal: Node | None = node
                while signal is not None and signal.name != "vfio_msi_set_vector_signal":
                    signal = signal.parent
                yield Owned(line, irq, life, signal.number("vector") if signal else None)

    def asked_at(self) -> int | None:
        """Return the line of the first request."""
        return next((n.row.line for n in self.tree.nodes if n.is_request), None)

    def wired(self) -> set[int]:
        """Return the vectors that calls wire or detach."""
        return {v for n in self.tree.nodes if n.name == "vfio_msi_set_vector_signal" and (v := n.number("vector")) is not None}

    def sessions(self) -> Iterator[Session]:
        """Yield each time a VFIO user had a device open, where the trace has times."""
        return sessions_of((n.name, n.row.ts, n.number("index"), n.life) for n in self.tree.nodes)

    def _hear(self, node: Node) -> None:
        for kind, pointer in self._named(node):
            life = node.life = self.known.at(kind, pointer, node.row)
            request = node.request
            if request is not None:
                request.life = life if request.life is None else self.known.unite(request.life, life, node.row)
        dev = node.device
        if dev is not None and node.name in REMOVALS:
            self.known.end(dev, node.row, REMOVED)
        elif dev is not None and node.name == "msi_remove_device_irq_domain":
            self.known.end(dev, node.row, UNBOUND if _unbinding(node) else DOMAIN_REMOVED)

    def _named(self, node: Node) -> Iterator[tuple[str, int]]:
        """Yield the pointers a call names itself, as (kind, pointer)."""
        if node.vdev is not None:
            yield "vdev", node.vdev
        if node.device is not None:
            yield "pci_dev", node.device
        if node.name == "msi_get_device_domain" and node.row.ret and (domain := node.row.ret & MASK) not in self.shared:
            yield "domain", domain


def sessions_of(calls: Iterable[tuple[str, int | None, int | None, Life | None]]) -> Iterator[Session]:
    """Yield each time a VFIO user had a device open. `calls`: name, time, index of an irq and life of each call, in order."""
    opened: dict[int, tuple[Life, int]] = {}
    for name, ts, index, life in calls:
        if life is None or ts is None:
            continue
        if name == "vfio_pci_core_enable":
            opened[id(life)] = (life, ts)
        elif id(life) in opened and (name == "vfio_pci_core_close_device" or index == VFIO_NONE):
            yield Session(*opened.pop(id(life)), ts)
    yield from (Session(life, begin, None) for life, begin in opened.values())


def _shared_domains(tree: Tree) -> set[int]:
    """Domains that serve several devices, as the one global PCI/MSI domain does: they identify none."""
    users: dict[int, set[int]] = {}
    requests: dict[int, tuple[set[int], set[int]]] = {}
    for n in tree.nodes:
        if n.request is not None:
            domains, devices = requests.setdefault(id(n.request), (set(), set()))
            if n.name == "msi_get_device_domain" and n.row.ret:
                domains.add(n.row.ret & MASK)
            if n.device is not None:
                devices.add(n.device)
    for domains, devices in requests.values():
        for d in domains:
            users.setdefault(d, set()).update(devices)
    return {d for d, devices in users.items() if len(devices) > 1}


def _unbinding(node: Node) -> bool:
    """Return whether a removed domain means an unbind: a change between MSI and MSI-X removes it too."""
    return node.above(*SETUPS, *SET_IRQS) is None
