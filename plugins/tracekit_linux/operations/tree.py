"""The table `calls` as a tree, for the models above it."""

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter
from typing import Any

import polars as pl

from tracekit import VFIO_SET_IRQS, Inputs, Row, rows_of
from tracekit_linux.calls.functions import FUNCTIONS, TAKES_DEVICE, signed

FEW = 300  # rows up to which a loop is sooner done than a frame is filtered
EVER = 1 << 62
MASK = (1 << 64) - 1
# One call of these is about one device: what stands below it is about the same one.
SET_IRQS = ("vfio_pci_set_irqs_ioctl", "vfio_pci_set_msi_trigger")
ALLOC_AT = ("pci_msix_alloc_irq_at", "vfio_msi_alloc_irq", "msi_domain_alloc_irq_at")
ENABLES = ("__pci_enable_msix_range", "__pci_enable_msi_range")
ALLOCATIONS = (*ENABLES, "pci_alloc_irq_vectors_affinity", "pci_alloc_irq_vectors")
CLOSING = ("vfio_pci_core_disable", "vfio_pci_core_close_device")
SETUPS = ("pci_setup_msix_device_domain", "pci_setup_msi_device_domain")
INSERTS = ("msi_insert_desc", "msi_add_msi_desc")
FREES = ("pci_free_irq_vectors", "pci_disable_msix", "pci_disable_msi")
# Calls after which a `struct pci_dev` is gone (drivers/pci/remove.c).
REMOVALS = ("pci_destroy_dev", "pci_stop_and_remove_bus_device", "pci_stop_and_remove_bus_device_locked", "pci_release_dev")
XEN = (
    "xen_initdom_setup_msi_irqs", "xen_hvm_setup_msi_irqs", "xen_setup_msi_irqs", "xen_bind_pirq_msi_to_irq", "xen_destroy_irq",
)  # fmt: skip
SYSTEM_CALL = "sys_ioctl"
# What is an operation, or may be one.
READ = (
    "vfio_pci_core_enable", *CLOSING, *SET_IRQS, SYSTEM_CALL, *ALLOCATIONS, *SETUPS, "msi_create_device_irq_domain",
    "msi_remove_device_irq_domain", *INSERTS, "msi_domain_insert_msi_desc", *ALLOC_AT, "pci_msix_vec_count", "msi_domain_get_hwsize",
    "vfio_msi_set_vector_signal", *FREES, "vfio_iommu_type1_attach_group", *XEN,
)  # fmt: skip
ABOUT_ONE = frozenset((*SET_IRQS, *ALLOCATIONS, *ALLOC_AT))
# vfio-msix[3](0000:00:08.0): name of the action of a VFIO vector (drivers/vfio/pci/vfio_pci_intrs.c).
VFIO_ACTION = r"vfio-msix?\[([0-9]{1,4})\]\(([0-9a-f]{4,5}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\)"
# Events in whose span an irq is set up (arch/x86/kernel/apic/vector.c).
IRQ_EVENTS = ("vector_setup", "vector_activate", "vector_alloc")
_LINE, _DEPTH = attrgetter("row.line"), attrgetter("row.depth")


@dataclass(slots=True, eq=False)
class Node:
    """Hold one call and its callees."""

    row: Row
    name: str  # the function, or the guess
    parent: "Node | None" = None
    children: list["Node"] = field(default_factory=list)
    args: Mapping[str, int | None] = field(default_factory=dict)
    last: int = EVER  # the last line that can belong to it
    device: int | None = None  # the `struct pci_dev *` it names itself
    vdev: int | None = None
    request: "Node | None" = None  # the outermost call around (or at) it that is about a single device
    attempt: "Node | None" = None  # the enable or single allocation that it is or belongs to
    asked: "Node | None" = None  # the SET_IRQS request that it is or belongs to
    at: int = 0  # its row among the calls
    about: int | None = None  # the `struct pci_dev *` that it or the nearest call around it names
    life: Any = None  # what it names itself, or the calls below that request name (`Identities`)

    @property
    def hint(self) -> bool:
        """Return whether the function is a guess."""
        return self.row.function is None

    def number(self, name: str, bits: int = 32) -> int | None:
        """Return an argument as a signed number."""
        value = self.args.get(name)
        return value if value is None or 0 <= value < 1 << 31 else signed(value, bits)

    def pointer(self, name: str) -> int | None:
        """Return an argument as an address."""
        value = self.args.get(name)
        return value & MASK if value else None

    def chain(self) -> Iterator["Node"]:
        """Yield this call and those that enclose it, innermost first."""
        node: Node | None = self
        while node is not None:
            yield node
            node = node.parent

    @property
    def is_request(self) -> bool:
        """Return whether it asks VFIO to set irqs: the kernel's function or the system call."""
        return self.name in SET_IRQS or (self.name == SYSTEM_CALL and self.args.get("cmd") == VFIO_SET_IRQS)

    def above(self, *names: str) -> "Node | None":
        """Return the innermost enclosing call of one of these functions."""
        node = self.parent
        while node is not None and node.name not in names:
            node = node.parent
        return node

    def below(self, *names: str) -> list["Node"]:
        """Return its callees among these functions, at any depth, in order."""
        found = []
        for child in self.children:
            if child.name in names:
                found.append(child)
            found += child.below(*names)
        return found

    def about_to_return(self, line: int) -> "Node":
        """Return what ran at a line of this call: the callee whose return comes next without an entry, else this call."""
        i = bisect_right(self.children, line, key=_LINE)
        following = self.children[i] if i < len(self.children) else None
        return following if following is not None and following.row.complete == "return" else self

    @property
    def order(self) -> tuple[int, int]:
        """Return a sort key by the end of the call: children come before their parent."""
        return (self.row.line_end or self.row.line, -self.row.line)


@dataclass
class Tree:
    """The calls of one source."""

    source: str
    nodes: list[Node]  # by first line
    lanes: dict[str, list[Node]]
    calls: pl.DataFrame | None  # the rows of the nodes, in their order, where they are many

    def innermost(self, lane: str, line: int) -> Node | None:
        """Return the innermost call of a lane that was running at a line."""
        nodes = self.lanes.get(lane)
        if not nodes:
            return None
        i = bisect_right(nodes, line, key=_LINE) - 1
        node: Node | None = nodes[i] if i >= 0 else None
        while node is not None and node.last < line:
            node = node.parent
        return node


def tree_of(calls: pl.DataFrame) -> Tree:
    """Return the calls of one source, in the order of their lines, as a tree."""
    return _tree(list(rows_of(calls.drop("args"))), _arguments(calls), calls)


def trees_of_few(calls: Iterable[Row]) -> list[Tree]:
    """Return the calls of each source as a tree: few calls."""
    by_source: dict[str, list[Row]] = {}
    for row in calls:
        by_source.setdefault(row.source, []).append(row)
    return [_tree(rows := sorted(by_source[source], key=_line), _arguments_of_few(rows)) for source in sorted(by_source)]


def _line(row: Row) -> int:
    return int(row.line)


def by_source(frame: pl.DataFrame) -> list[pl.DataFrame]:
    """Return the rows of each source, in their order."""
    of_one = frame["source"].n_unique() == 1
    return [frame] if of_one else frame.sort("source", maintain_order=True).partition_by("source", maintain_order=True)


def _tree(rows: Sequence[Row], arguments: Mapping[int, Mapping[str, int | None]], calls: pl.DataFrame | None = None) -> Tree:
    nodes = [Node(row, row.function or row.function_hint or "", at=at, args=arguments.get(row.id, {})) for at, row in enumerate(rows)]
    by_id = {n.row.id: n for n in nodes}
    lanes: dict[str, list[Node]] = {}
    for n in nodes:
        n.vdev = n.pointer("vdev")
        n.parent = by_id.get(n.row.parent)
        if n.parent is not None:
            n.parent.children.append(n)
        lanes.setdefault(n.row.lane, []).append(n)
    for lane in lanes.values():
        _set_ends(lane)
    _set_devices(nodes)
    _set_requests(nodes)
    return Tree(rows[0].source, nodes, lanes, calls)


def _set_requests(nodes: Sequence[Node]) -> None:
    """Give each call the request, the attempt and the device that it belongs to, from those of its caller."""
    enabling, requesting = _enclosing(nodes, ALLOCATIONS), _enclosing(nodes, SET_IRQS)
    top = Node(Row(), "")
    for n in sorted(nodes, key=_DEPTH):
        above = n.parent or top
        n.request, n.attempt, n.asked = above.request, above.attempt, above.asked
        if n.name in ABOUT_ONE or n.is_request:
            n.request = above.request or n
            n.attempt = _attempt(n, above.attempt, id(n) in enabling)
            n.asked = _asked(n, above.asked, id(n) in requesting)
        n.about = above.about if n.device is None else n.device


def _enclosing(nodes: Iterable[Node], names: Collection[str]) -> set[int]:
    """Return the calls that enclose one of these functions."""
    found: set[int] = set()
    for n in nodes:
        if n.name in names:
            above = n.parent
            while above is not None and id(above) not in found:
                found.add(id(above))
                above = above.parent
    return found


def _attempt(n: Node, above: Node | None, encloses_another: bool) -> Node | None:
    """Return the enable or single allocation that a call is or belongs to, given that of its caller; a wrapper only where what it calls is
    not recorded."""
    if n.name in ENABLES:
        return n
    if above is not None and (above.name in ENABLES or above.name in ALLOC_AT):
        return above
    return n if n.name in ALLOC_AT or (n.name in ALLOCATIONS and not encloses_another) else above


def _asked(n: Node, above: Node | None, encloses_request: bool) -> Node | None:
    """Return the SET_IRQS request that a call is or belongs to, given that of its caller: the kernel's function, else the system call."""
    if above is not None and above.name in SET_IRQS:
        return above
    return n if n.name in SET_IRQS or (n.is_request and not encloses_request) else above


def _arguments(calls: pl.DataFrame) -> dict[int, dict[str, int | None]]:
    """Call -> its arguments as numbers; of two with one name the first."""
    found: dict[int, dict[str, int | None]] = {}
    given = calls.select("id", "args").explode("args").drop_nulls("args").unnest("args")
    for call, name, value in zip(*(given[c].to_list() for c in ("id", "name", "value")), strict=True):
        found.setdefault(call, {}).setdefault(name, value)
    return found


def _arguments_of_few(calls: Iterable[Row]) -> dict[int, dict[str, int | None]]:
    found: dict[int, dict[str, int | None]] = {}
    for row in calls:
        mine = found.setdefault(row.id, {})
        for arg in row.args or ():
            mine.setdefault(arg["name"], arg["value"])
    return found


def _set_ends(lane: Sequence[Node]) -> None:
    numbers = {id(n): i for i, n in enumerate(lane)}
    callers = [None if n.parent is None else numbers[id(n.parent)] for n in lane]
    last = last_lines([n.row.line for n in lane], [n.row.line_end for n in lane], callers, [n.name for n in lane])
    for n, line in zip(lane, last, strict=True):
        n.last = line


def last_lines(lines: Sequence[int], ends: Sequence[int | None], callers: Sequence[int | None], names: Sequence[str]) -> list[int]:
    """Return the last line that can belong to each call of a lane, given its first, that of its return, its caller and its name.

    A call without a return ends at the next call that is not below it, and no later than its caller.
    """
    last = [end or EVER for end in ends]
    lasting: list[int] = []
    for n, line in enumerate(lines):
        above = set(_chain(n, callers)) if lasting else ()
        while lasting and lasting[-1] not in above:
            last[lasting.pop()] = line - 1
        if last[n] == EVER and _container(names[n]):
            lasting.append(n)
        elif last[n] == EVER:
            last[n] = line
    for n, caller in enumerate(callers):
        if caller is not None:
            last[n] = min(last[n], last[caller])
    return last


def _chain(n: int, callers: Sequence[int | None]) -> Iterator[int]:
    at: int | None = n
    while at is not None:
        yield at
        at = callers[at]


def _container(name: str) -> bool:
    known = FUNCTIONS.get(name)
    return known is None or (known.rank is not None and known.reach == 99)


def lane_of(row: Row) -> str:
    """Return the lane in which an event stands that a task caused."""
    if row.tid is None:
        return "source"
    return f"tid:{row.tid}" if row.tid else f"idle:{row.on_cpu}"


def set_up_irqs(tree: Tree, tables: Inputs) -> list[tuple[int, int, Node]]:
    """Return (line, irq, innermost call) of each irq set up inside a call: vector events, `request_irq`, the result of `pci_irq_vector`."""
    found = []
    for name in IRQ_EVENTS:
        for row in _of_source(tables, name, tree.source):
            if (node := tree.innermost(lane_of(row), row.line)) is not None:
                found.append((row.line, row.irq, node.about_to_return(row.line)))
    for n in tree.nodes:
        irq = n.number("irq") if n.name == "request_threaded_irq" else n.row.ret if n.name == "pci_irq_vector" else None
        if irq is not None and irq > 0 and n.parent is not None:
            found.append((n.row.line, irq, n.parent))
    return sorted(found, key=itemgetter(0, 1))


def last_irqs(irqs: Iterable[tuple[int, int, Node]]) -> dict[int, int]:
    """Return call -> the irq set up last inside it. `irqs`: those of `set_up_irqs`."""
    return {n.row.id: irq for _, irq, node in irqs for n in node.chain()}


def _of_source(tables: Inputs, name: str, source: str) -> Iterable[Row]:
    """Return the rows of a source that have an irq."""
    if tables.height(name) <= FEW:
        return [row for row in tables.rows(name) if row.source == source and hasattr(row, "irq")]
    if "irq" not in tables[name].columns:
        return ()
    return rows_of(tables[name][["source", "line", "irq", "tid", "on_cpu"]].filter(pl.col("source") == source))


def _set_devices(nodes: Iterable[Node]) -> None:
    """Give each call the `struct pci_dev *` it names; the `struct device` of one lies inside it."""
    inside = []
    for n in nodes:
        if n.name == "msi_desc_to_pci_dev" and n.row.ret:
            n.device = n.row.ret & MASK
        elif (device := n.pointer("dev")) is not None:
            n.device = device
            if n.name in TAKES_DEVICE or n.name not in FUNCTIONS:
                inside.append(n)
    apart = set(map(id, inside))
    known = sorted({n.device for n in nodes if n.device is not None and n.name in FUNCTIONS and id(n) not in apart})
    for n in inside:
        # `&pdev->dev` is 0xc8 (6.12) or 0xd0 (6.1) bytes into a structure that is smaller than a page.
        i = bisect_right(known, n.device or 0) - 1
        n.device = known[i] if i >= 0 and (n.device or 0) - known[i] < 0x1000 else n.device


def bdf_of_action(name: str) -> tuple[int, str] | None:
    """Return (vector, BDF) in the name of an irq action of VFIO."""
    m = re.match(VFIO_ACTION, name)
    return (int(m[1]), m[2]) if m else None


def place(row: Row) -> dict[str, Any]:
    """Return the span columns of a call's row."""
    return {"ts_end": row.ts_end, "line_end": row.line_end}
