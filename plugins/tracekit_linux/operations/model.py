"""Operations: the changes of MSI and VFIO state by the calls of a trace, as tables `op_*` for other models.

Where a recording has no return values, a result is inferred by these rules only, and marked: a domain was created if the creation was
called; an enable worked if vectors were wired after it in the same request, and failed if its descriptors were freed right after an insert
with no irq allocated (`ret` null and `inferred`: failed, errno unknown), where the last insert is the one that was refused; a vector was
wired if its irq was requested. No errno is inferred.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

import polars as pl

from tracekit import VFIO_DATA_BOOL, VFIO_DATA_EVENTFD, VFIO_DATA_NONE, VFIO_MSI, VFIO_MSIX, VFIO_NONE, Inputs, Model, Row, Table
from tracekit_linux.operations import strace
from tracekit_linux.operations.devices import NAMED_BY, named_devices
from tracekit_linux.operations.emitted import FEW, LARGEST, NOBODY, About, Emitted, Values
from tracekit_linux.operations.entities import Identities
from tracekit_linux.operations.tree import (
    ALLOC_AT,
    ALLOCATIONS,
    ENABLES,
    IRQ_EVENTS,
    SET_IRQS,
    SYSTEM_CALL,
    Node,
    set_up_irqs,
    trees,
    trees_of_few,
)
from tracekit_linux.tables import DEVICES, OPERATIONS

DATA = {VFIO_DATA_NONE: "none", VFIO_DATA_BOOL: "bool", VFIO_DATA_EVENTFD: "eventfd"}
CLOSING = ("vfio_pci_core_disable", "vfio_pci_core_close_device")
INSERTS = ("msi_insert_desc", "msi_add_msi_desc")
FREES = ("pci_free_irq_vectors", "pci_disable_msix", "pci_disable_msi")
UNWINDING = ("pci_msi_teardown_msi_irqs", "pci_free_msi_irqs", "msi_domain_free_irqs_all_locked", "msi_domain_free_irqs_descs_locked")
IRQ_ALLOCATED = ("x86_vector_alloc_irqs", "intel_irq_remapping_alloc", "xen_bind_pirq_msi_to_irq", "x86_vector_activate")
IRQ_SETUPS = (
    *IRQ_ALLOCATED, "pci_msi_setup_msi_irqs", "msi_domain_alloc_irqs_all_locked", "msi_domain_alloc_irqs_descs_locked",
    "__irq_domain_alloc_irqs", "irq_domain_alloc_irqs_locked", "its_irq_domain_alloc",
)  # fmt: skip
XEN_SETUPS = ("xen_initdom_setup_msi_irqs", "xen_hvm_setup_msi_irqs", "xen_setup_msi_irqs")
WIRED = ("vfio_msi_set_block", "vfio_msi_set_vector_signal", "request_threaded_irq")


class Operations(Model):
    """The devices, and one row an operation, emitted when its call ends: children before their parent."""

    tables: ClassVar[tuple[Table, ...]] = (DEVICES, *OPERATIONS)
    needs = ("calls", *IRQ_EVENTS, "irq_handler_entry", "lspci_capability", "lspci_device", *strace.NEEDS)
    across = NAMED_BY

    def play(self, rows: Iterable[tuple[str, Row]], tables: Inputs) -> None:
        """Emit the devices and operations of every source of the stream."""
        few = tables.height("calls") <= FEW
        for tree in trees_of_few(tables.rows("calls")) if few else trees(tables["calls"]):
            identities, irqs = Identities(tree), set_up_irqs(tree, tables)
            for row, values in named_devices(identities, irqs, tables):
                self.emit("devices", row, **values)
            reading = Reading(identities, irqs)
            made = {t.name: Emitted() for t in OPERATIONS}
            for node in sorted(tree.nodes, key=lambda n: n.order):
                for table, values in reading.operations(node):
                    made[table].add(node, reading.about(node), values)
            for table, emitted in made.items():
                if len(emitted.nodes) > FEW and not few:
                    self.emit_frame(table, emitted.frame(tree, self.schemas()[table]))
                    continue
                for row, values in emitted.rows():
                    self.emit(table, row, **values)
        for table, row, values in strace.operations(tables):
            self.emit(table, row, **values)
        self._table_sizes(tables)

    def _table_sizes(self, tables: Mapping[str, pl.DataFrame]) -> None:
        """Live table sizes that lspci prints, under the device line above."""
        capabilities, devices = tables.get("lspci_capability"), tables.get("lspci_device")
        if capabilities is None or devices is None:
            return
        sizes = capabilities.filter((pl.col("kind") == "MSI-X") & (pl.col("count") <= LARGEST)).sort("line")
        headed = sizes.join_asof(devices.select("source", "line", "bdf").sort("line"), on="line", by="source", check_sortedness=False)
        for values in headed.iter_rows(named=True):
            row = Row(**values)
            self.emit("op_table_size", row, bdf=row.bdf, inferred=False, hint=False, count=row.count, origin="lspci", line_end=row.line)


class Reading:
    """Turns the calls of one source into operations."""

    def __init__(self, identities: Identities, irqs: Iterable[tuple[int, int, Node]]) -> None:
        self.identities = identities
        self.pointers = self._pointers()
        self.known: dict[tuple[int, int | None, int | None], About] = {}  # by id(entity) and its pointers
        self.irqs: dict[int, int] = {}  # id(call) -> the irq set up last inside it
        for _, irq, node in irqs:
            for n in node.chain():
                self.irqs[id(n)] = irq
        self.bound: dict[int | None, Values] = {}  # irq -> the device it was bound for
        self.wired: dict[int, int] = {}  # id(request) -> how many vectors without number it has wired
        self.recorded = {n.name for n in identities.tree.nodes}
        self.closed: set[int] = set()
        self.positions: dict[int, int] = {}  # id(attempt) -> how many inserts it has had
        self.refused: dict[int, Node | None] = {}  # id(attempt) -> the insert that is inferred to have failed

    def operations(self, node: Node) -> list[tuple[str, Values]]:
        """Return the operations that a call is, with the columns of their own."""
        reader = _READERS.get(node.name)
        return [] if reader is None else reader(self, node)

    def about(self, node: Node) -> About:
        """Return the device that a call is about."""
        life = self.identities.life_of(node)
        if life is None:
            return NOBODY
        entity = life.entity.root()
        device = node.about[0] or self._pointer_of(entity, "pci_dev", node.row.line)
        vdev = node.vdev or self._pointer_of(entity, "vdev", node.row.line)
        if (key := (id(entity), device, vdev)) not in self.known:
            name = entity.name()
            self.known[key] = About(device, vdev, name.bdf if name else None, entity.number)
        return self.known[key]

    def _pointers(self) -> dict[tuple[int, str], list[tuple[int, int | None, int]]]:
        """Return (entity, kind) -> (first line, last line, pointer) of its pointers."""
        found: dict[tuple[int, str], list[tuple[int, int | None, int]]] = {}
        for x in self.identities.lives:
            end = x.end.line if x.end else None
            found.setdefault((id(x.entity.root()), x.kind), []).append((x.row.line, end, x.pointer))
        return found

    def _pointer_of(self, entity: object, kind: str, line: int) -> int | None:
        lives = self.pointers.get((id(entity), kind), ())
        if len(lives) == 1 and lives[0][1] is None:
            return lives[0][2]
        living = [p for first, last, p in lives if first <= line and (last is None or line <= last)]
        return living[-1] if living else None

    def open(self, node: Node) -> list[tuple[str, Values]]:
        """Return the opening of the device by a VFIO user: vfio_pci_core_enable."""
        self.closed.discard(node.pointer("vdev") or 0)
        return [("op_open", {})]

    def close(self, node: Node) -> list[tuple[str, Values]]:
        """Return the close of the device: vfio_pci_core_close_device, or vfio_pci_core_disable, which the former calls."""
        return self._close_once(node, "close_device") if node.above(*CLOSING) is None else []

    def set_irqs(self, node: Node) -> list[tuple[str, Values]]:
        """Return VFIO_DEVICE_SET_IRQS in the kernel, once where two levels are recorded. The last one of a session is its own close."""
        if node.asked is not node:
            return []
        values = _set_irqs_values(node)
        found: list[tuple[str, Values]] = [("op_set_irqs", values)]
        if not values["closing"]:
            self.closed.discard(node.pointer("vdev") or 0)
        elif node.above(*CLOSING) is None:
            found += self._close_once(node, "index5" if values["index"] == VFIO_NONE else "close_device")
        return found

    def system_call(self, node: Node) -> list[tuple[str, Values]]:
        """Return the SET_IRQS system call, where the kernel's function is not recorded: its arguments are not in the trace."""
        if node.asked is not node:
            return []
        return [("op_set_irqs", {**_inferred_request(node), "closing": False})]

    def _close_once(self, node: Node, how: str) -> list[tuple[str, Values]]:
        vdev = self.about(node).vdev
        if vdev in self.closed:
            return []
        if vdev is not None:
            self.closed.add(vdev)
        return [("op_close", {"how": how})]

    def alloc(self, node: Node) -> list[tuple[str, Values]]:
        """Return an enable of MSI-X or MSI."""
        if node.attempt is not node:
            return []
        kind = "msix" if "msix" in node.name else "msi" if node.name in ENABLES else _kind_of_flags(node.number("flags"))
        sizes = {"kind": kind, "min": _first(node, "minvec", "min"), "max": _first(node, "maxvec", "max")}
        return [("op_alloc", {**sizes, **_inferred_enable(node)})]

    def setup(self, node: Node) -> list[tuple[str, Values]]:
        """Return the set-up of a per-device domain: created, or kept."""
        kind = "msix" if "msix" in node.name else "msi"
        return [("op_domain_setup", {"kind": kind, "hwsize": node.number("hwsize")})]

    def create(self, node: Node) -> list[tuple[str, Values]]:
        """Return the creation of a per-device domain, which fixes hwsize."""
        setup = node.above("pci_setup_msix_device_domain", "pci_setup_msi_device_domain")
        hwsize = node.number("hwsize")
        if hwsize is None and setup is not None:
            hwsize = setup.number("hwsize")
        around = setup or node.above(*ENABLES)
        kind = None if around is None else "msix" if "msix" in around.name else "msi"
        return [("op_domain_create", {"kind": kind, "domid": node.number("domid"), "hwsize": hwsize, **_if_unknown(node, 1)})]

    def remove(self, node: Node) -> list[tuple[str, Values]]:
        """Return the removal of a per-device domain; outside of a set-up the driver is unbound."""
        found: list[tuple[str, Values]] = [("op_domain_remove", {"domid": node.number("domid")})]
        if node.above("pci_setup_msix_device_domain", "pci_setup_msi_device_domain", *SET_IRQS) is None:
            found.append(("op_close", {"how": "rebind"}))
        return found

    def insert(self, node: Node) -> list[tuple[str, Values]]:
        """Return the insert of an MSI descriptor at an index: the argument, else its place among the inserts of its enable."""
        attempt = node.attempt
        index = node.number("index")
        if attempt is not None and attempt.name not in ALLOC_AT:
            position = self.positions[id(attempt)] = self.positions.get(id(attempt), -1) + 1
            index = position if index is None else index
        elif index is None and attempt is not None:
            index = attempt.number("index")
        sizes = [n.row.ret for n in node.below("msi_domain_get_hwsize") if n.row.ret is not None]
        return [("op_insert", {"index": index, "hwsize": sizes[0] if sizes else None, **self._inferred(node, attempt)})]

    def _inferred(self, node: Node, attempt: Node | None) -> Values:
        """Return the result of an insert by inference, where the recording would have shown the setting up of irqs."""
        blind = self.recorded.isdisjoint(IRQ_SETUPS) and not self.recorded.isdisjoint(WIRED)
        if blind or node.row.ret is not None or attempt is None or attempt.name in ALLOC_AT:
            return {}
        if id(attempt) not in self.refused:
            self.refused[id(attempt)] = _refused_insert(attempt)
        refused = self.refused[id(attempt)]
        return {} if refused is None else {"ret": None if node is refused else 0, "inferred": True}

    def insert_outer(self, node: Node) -> list[tuple[str, Values]]:
        """Return the insert that msi_domain_insert_msi_desc stands for where the function below it is inlined or not recorded."""
        return [] if node.below(*INSERTS) else self.insert(node)

    def alloc_at(self, node: Node) -> list[tuple[str, Values]]:
        """Return one more vector of an enabled MSI-X set."""
        if node.above(*ALLOC_AT) is not None:
            return []
        index = next((i for n in [node, *node.below(*ALLOC_AT)] if (i := n.number("index")) is not None), node.number("vector"))
        granted = node.name == "vfio_msi_alloc_irq" and (node.row.ret or 0) > 0
        return [("op_alloc_at", {"index": index, **({"ret": index} if granted else {})})]  # that one returns the irq, the others the index

    def table_size(self, node: Node) -> list[tuple[str, Values]]:
        """Return the live size of the MSI-X table, read from config space."""
        return [("op_table_size", {"count": node.row.ret, "origin": node.name})] if (node.row.ret or 0) > 0 else []

    def vector(self, node: Node) -> list[tuple[str, Values]]:
        """Return the change of one vector's eventfd."""
        requested, freed = node.below("request_threaded_irq"), node.below("free_irq")
        fd = node.number("fd")
        if fd is None and (node.row.caller == "vfio_msi_disable" or node.above("vfio_msi_disable") or (freed and not requested)):
            fd = -1
        if node.row.complete == "return" and fd is None and not requested and "request_threaded_irq" in self.recorded:
            fd = -1  # a roll-back: every vector that is wired requests its irq
        values = {"vector": self._vector_number(node, fd), "fd": fd, "irq": self.irqs.get(id(node))}
        return [("op_vector", {**values, **(_if_unknown(node, 0) if requested and _in_graph(node) else {})})]

    def _vector_number(self, node: Node, fd: int | None) -> int | None:
        """Return the argument, else its place in the block that its request wires."""
        number, request = node.number("vector"), node.asked
        start = request.number("start") if request is not None and fd != -1 else None
        if number is not None or start is None:
            return number
        self.wired[id(request)] = self.wired.get(id(request), -1) + 1
        return start + self.wired[id(request)]

    def free(self, node: Node) -> list[tuple[str, Values]]:
        """Return the freeing of all vectors of a device."""
        return [("op_free", {})] if node.above(*FREES, *ENABLES) is None else []

    def attach(self, node: Node) -> list[tuple[str, Values]]:
        """Return the attach of a group to a VFIO container."""
        return [("op_attach", {"group": node.pointer("group")})]

    def xen_setup(self, node: Node) -> list[tuple[str, Values]]:
        """Xen sets up the irqs of an MSI request."""
        return [("op_xen_setup", {"nvec": node.number("nvec"), "type": node.number("type"), "function": node.name})]

    def xen_bind(self, node: Node) -> list[tuple[str, Values]]:
        """Return the binding of a pirq to a Linux irq, which is the return value."""
        irq = node.row.ret if node.row.ret is not None and node.row.ret >= 0 else None
        self.bound[irq] = self.about(node)._asdict()
        return [("op_xen_bind", {"pirq": node.number("pirq"), "irq": irq})]

    def xen_destroy(self, node: Node) -> list[tuple[str, Values]]:
        """Return the destruction of a pirq's irq."""
        irq = node.number("irq")
        return [("op_xen_destroy", {"irq": irq, **(self.bound.get(irq, {}) if irq is not None else {})})]


Reader = Callable[[Reading, Node], list[tuple[str, Values]]]
_READERS: Mapping[str, Reader] = {
    "vfio_pci_core_enable": Reading.open,
    **dict.fromkeys(CLOSING, Reading.close),
    **dict.fromkeys(SET_IRQS, Reading.set_irqs),
    SYSTEM_CALL: Reading.system_call,
    **dict.fromkeys(ALLOCATIONS, Reading.alloc),
    "pci_setup_msix_device_domain": Reading.setup,
    "pci_setup_msi_device_domain": Reading.setup,
    "msi_create_device_irq_domain": Reading.create,
    "msi_remove_device_irq_domain": Reading.remove,
    **dict.fromkeys(INSERTS, Reading.insert),
    "msi_domain_insert_msi_desc": Reading.insert_outer,
    **dict.fromkeys(ALLOC_AT, Reading.alloc_at),
    "pci_msix_vec_count": Reading.table_size,
    "vfio_msi_set_vector_signal": Reading.vector,
    **dict.fromkeys(FREES, Reading.free),
    "vfio_iommu_type1_attach_group": Reading.attach,
    **dict.fromkeys(XEN_SETUPS, Reading.xen_setup),
    "xen_bind_pirq_msi_to_irq": Reading.xen_bind,
    "xen_destroy_irq": Reading.xen_destroy,
}


def _set_irqs_values(node: Node) -> Values:
    flags, index = node.number("flags"), node.number("index")
    values: Values = {n: node.number(n) for n in ("flags", "index", "start", "count")}
    values["data"] = next((d for bit, d in DATA.items() if flags is not None and flags & bit), None)
    if flags is None and index is None:
        values |= _inferred_request(node)
    caller = node.row.caller
    closing = caller in CLOSING or (caller is None and node.above(*CLOSING) is not None and values["data"] in (None, "none"))
    values["closing"] = closing or index == VFIO_NONE
    return values


def _inferred_request(node: Node) -> Values:
    """Return what a request without arguments did, as the calls below it show."""
    enables = node.below(*ENABLES)
    if node.below("vfio_msi_disable") and not enables:
        index = VFIO_MSIX if node.below("pci_disable_msix") else VFIO_MSI if node.below("pci_disable_msi") else None
        return {"data": "none", "count": 0, "index": index, **_if_unknown(node, 0)}
    if not enables:
        return {}
    enable = enables[-1]
    index, vectors = (VFIO_MSIX if "msix" in enable.name else VFIO_MSI), _inferred_enable(enable)
    granted = vectors.get("ret", enable.row.ret)
    wired = sum(1 for n in node.below("vfio_msi_set_vector_signal") if n.below("request_threaded_irq"))
    done = _if_unknown(node, 0) if granted and wired == granted else {}
    failed = {"inferred": True} if vectors.get("inferred") and granted is None else {}
    count = _first(enable, "maxvec", "max") or (granted if granted and granted > 0 else None)
    return {"data": "eventfd", "index": index, "count": count, "hint": node.hint or enable.hint, **done, **failed}


def _inferred_enable(node: Node) -> Values:
    """Return the result of an enable whose return value is not recorded."""
    if node.row.ret is not None:
        return {}
    inserts = node.below(*INSERTS) or node.below("msi_domain_insert_msi_desc")
    own = set(map(id, node.below(*WIRED)))
    after = [n for n in node.asked.below(*WIRED) if n.row.line > node.row.line and id(n) not in own] if node.asked else []
    if after:
        wired = [n for n in after if n.name == "vfio_msi_set_vector_signal"]
        return {"ret": len(inserts) or len(wired) or None, "inferred": True}
    last = inserts[-1].row.line if inserts else None
    unwound = last is not None and any(n.row.line > last for n in node.below(*UNWINDING))
    if unwound and not node.below(*IRQ_SETUPS, *XEN_SETUPS):
        return {"ret": None, "inferred": True}
    return {}


def _refused_insert(enable: Node) -> Node | None:
    """Return the insert that failed in an enable that is inferred to have failed: the last before the unwinding, and no other."""
    result = _inferred_enable(enable)
    if not result or result["ret"] is not None:
        return None
    return (enable.below(*INSERTS) or enable.below("msi_domain_insert_msi_desc"))[-1]


def _if_unknown(node: Node, ret: int) -> Values:
    """Return a result that the tree shows, where none is recorded."""
    return {"ret": ret, "inferred": True} if node.row.ret is None else {}


def _in_graph(node: Node) -> bool:
    return node.row.probe is None


def _kind_of_flags(flags: int | None) -> str | None:
    """Return the kind that pci_alloc_irq_vectors may allocate, if its flags leave one (PCI_IRQ_*, include/linux/pci.h)."""
    return {0x4: "msix", 0x2: "msi"}.get((flags or 0) & 0x7)


def _first(node: Node, *names: str) -> int | None:
    """Return an argument of a call or of the allocation around it, under either name."""
    for n in node.chain():
        if n.name in ALLOCATIONS:
            for name in names:
                if (value := n.number(name)) is not None:
                    return value
    return None
