"""Calls into operations, one by one, with what is inferred where a recording has no results.

Where a recording has no return values, a result is inferred by these rules only, and marked: a domain was created if the creation was
called; an enable worked if vectors were wired after it in the same request, and failed if its descriptors were freed right after an insert
with no irq allocated (`ret` null and `inferred`: failed, errno unknown), where the last insert is the one that was refused; a vector was
wired if its irq was requested. No errno is inferred.
"""

from collections.abc import Callable, Mapping, Set

from tracekit import ENOTTY, ERANGE, VFIO_DATA_BOOL, VFIO_DATA_EVENTFD, VFIO_DATA_NONE, VFIO_INTX, VFIO_MSI, VFIO_MSIX, VFIO_NONE
from tracekit_linux.calls.functions import FUNCTIONS
from tracekit_linux.operations.emitted import About, Emitted, Values
from tracekit_linux.operations.tree import (
    ALLOC_AT,
    ALLOCATIONS,
    CLOSING,
    ENABLES,
    FREES,
    INSERTS,
    SET_IRQS,
    SETUPS,
    SYSTEM_CALL,
    Node,
    Tree,
)
from tracekit_linux.tables import OPERATIONS

DATA = {VFIO_DATA_NONE: "none", VFIO_DATA_BOOL: "bool", VFIO_DATA_EVENTFD: "eventfd"}
# A request has one kind of data and one action: mask, unmask, trigger (VFIO_IRQ_SET_*, include/uapi/linux/vfio.h).
FLAGS = frozenset(data | action for data in DATA for action in (0x8, 0x10, 0x20))
UNWINDING = ("pci_msi_teardown_msi_irqs", "pci_free_msi_irqs", "msi_domain_free_irqs_all_locked", "msi_domain_free_irqs_descs_locked")
IRQ_ALLOCATED = ("x86_vector_alloc_irqs", "intel_irq_remapping_alloc", "xen_bind_pirq_msi_to_irq", "x86_vector_activate")
IRQ_SETUPS = (
    *IRQ_ALLOCATED, "pci_msi_setup_msi_irqs", "msi_domain_alloc_irqs_all_locked", "msi_domain_alloc_irqs_descs_locked",
    "__irq_domain_alloc_irqs", "irq_domain_alloc_irqs_locked", "its_irq_domain_alloc",
)  # fmt: skip
XEN_SETUPS = ("xen_initdom_setup_msi_irqs", "xen_hvm_setup_msi_irqs", "xen_setup_msi_irqs")
WIRED = ("vfio_msi_set_block", "vfio_msi_set_vector_signal", "request_threaded_irq")


class Closings:
    """Which devices were closed and not opened since: a close that several calls show is one."""

    def __init__(self) -> None:
        self.closed: set[int] = set()

    def open(self, vdev: int | None) -> None:
        """Note that a device was opened, or is used."""
        if vdev is not None:
            self.closed.discard(vdev)

    def close(self, vdev: int | None) -> bool:
        """Note a close; return whether it is the first that is shown."""
        if vdev in self.closed:
            return False
        if vdev is not None:
            self.closed.add(vdev)
        return True


class Reading:
    """Turns the calls of one source into operations."""

    def __init__(
        self, recorded: Set[str], about: Callable[[Node], About], irqs: Mapping[int, int], closings: Closings | None = None
    ) -> None:
        self.recorded = recorded  # all functions of the source
        self.about = about  # the device that a call is about
        self.irqs = irqs  # call -> the irq set up last inside it
        self.closings = closings  # null where all that shows a close is wanted
        self.bound: dict[int | None, Values] = {}  # irq -> the device it was bound for
        self.wired: dict[int, int] = {}  # id(request) -> how many vectors without number it has wired
        self.positions: dict[int, int] = {}  # id(attempt) -> how many inserts it has had
        self.refused: dict[int, Node | None] = {}  # id(attempt) -> the insert that is inferred to have failed

    def emitted(self, tree: Tree) -> dict[str, Emitted]:
        """Return the rows of each table from the calls of a tree, in the order in which they end."""
        made = {t.name: Emitted() for t in OPERATIONS}
        for node in sorted(tree.nodes, key=lambda n: n.order):
            for table, values in self.operations(node):
                made[table].add(node, self.about(node), values)
        return made

    def operations(self, node: Node) -> list[tuple[str, Values]]:
        """Return the operations that a call is, with the columns of their own."""
        reader = _READERS.get(node.name)
        return [] if reader is None else reader(self, node)

    def open(self, node: Node) -> list[tuple[str, Values]]:
        """Return the opening of the device by a VFIO user: vfio_pci_core_enable."""
        self._opened(node)
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
            self._opened(node)
        elif node.above(*CLOSING) is None:
            found += self._close_once(node, "index5" if values["index"] == VFIO_NONE else "close_device")
        return found

    def system_call(self, node: Node) -> list[tuple[str, Values]]:
        """Return the SET_IRQS system call, where the kernel's function is not recorded: its arguments are not in the trace."""
        if node.asked is not node:
            return []
        return [("op_set_irqs", {**_inferred_request(node), "closing": False})]

    def _opened(self, node: Node) -> None:
        if self.closings is not None:
            self.closings.open(node.vdev)

    def _close_once(self, node: Node, how: str) -> list[tuple[str, Values]]:
        is_first = self.closings is None or self.closings.close(self.about(node).vdev)
        return [("op_close", {"how": how})] if is_first else []

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
        setup = node.above(*SETUPS)
        hwsize = node.number("hwsize")
        if hwsize is None and setup is not None:
            hwsize = setup.number("hwsize")
        around = setup or node.above(*ENABLES)
        kind = None if around is None else "msix" if "msix" in around.name else "msi"
        return [("op_domain_create", {"kind": kind, "domid": node.number("domid"), "hwsize": hwsize, **_if_unknown(node, 1)})]

    def remove(self, node: Node) -> list[tuple[str, Values]]:
        """Return the removal of a per-device domain; outside of a set-up the driver is unbound."""
        found: list[tuple[str, Values]] = [("op_domain_remove", {"domid": node.number("domid")})]
        if node.above(*SETUPS, *SET_IRQS) is None:
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

    def domain_size(self, node: Node) -> list[tuple[str, Values]]:
        """Return the size of the irq domain, as an enable reads it; what an insert reads is a column of the insert."""
        outside = node.attempt is not None and node.row.ret is not None and node.above(*INSERTS, "msi_domain_insert_msi_desc") is None
        return [("op_domain_size", {"hwsize": node.row.ret})] if outside else []

    def vector(self, node: Node) -> list[tuple[str, Values]]:
        """Return the change of one vector's eventfd."""
        requested, freed = node.below("request_threaded_irq"), node.below("free_irq")
        fd = node.number("fd")
        if fd is None and (node.row.caller == "vfio_msi_disable" or node.above("vfio_msi_disable") or (freed and not requested)):
            fd = -1
        if node.row.complete == "return" and fd is None and not requested and "request_threaded_irq" in self.recorded:
            fd = -1  # a roll-back: every vector that is wired requests its irq
        values = {"vector": self._vector_number(node, fd), "fd": fd, "irq": self.irqs.get(node.row.id)}
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
    "msi_domain_get_hwsize": Reading.domain_size,
    "vfio_msi_set_vector_signal": Reading.vector,
    **dict.fromkeys(FREES, Reading.free),
    "vfio_iommu_type1_attach_group": Reading.attach,
    **dict.fromkeys(XEN_SETUPS, Reading.xen_setup),
    "xen_bind_pirq_msi_to_irq": Reading.xen_bind,
    "xen_destroy_irq": Reading.xen_destroy,
}


def _set_irqs_values(node: Node) -> Values:
    flags, index = _flags(node), node.number("index")
    values: Values = {**{n: node.number(n) for n in ("index", "start", "count")}, "flags": flags}
    values["data"] = next((d for bit, d in DATA.items() if flags is not None and flags & bit), None)
    if flags is None and index is None:
        values |= _inferred_request(node)
    elif flags is None:
        values["data"] = _data_by_count(index, values["count"], node.row.ret)
    if values["count"] is None:
        values["count"] = _count_inside(node, values["data"])
    caller = node.row.caller
    closing = caller in CLOSING or (caller is None and node.above(*CLOSING) is not None and values["data"] in (None, "none"))
    values["closing"] = closing or index == VFIO_NONE
    return values


def _flags(node: Node) -> int | None:
    """Return the flags, else what stands in their place under a name of the recorder's own and can be nothing but flags."""
    known = FUNCTIONS[node.name].parameters
    told, before = node.number("flags"), known[known.index("flags") - 1]
    if told is None and before in node.args:
        names = list(node.args)
        name = next(iter(names[names.index(before) + 1 :]), "")
        value = node.number(name) if name not in known else None
        return value if value in FLAGS else None
    return told


def _data_by_count(index: int | None, count: int | None, ret: int | None) -> str | None:
    """Return what a request carries whose flags are not recorded: MSI and MSI-X can only be triggered (vfio_pci_set_irqs_ioctl: -25 for
    the rest), and clients trigger no vector by hand. A disable is for no vector; so is an enable that -34 refuses."""
    if count is None or index == VFIO_INTX or count and (index not in (VFIO_MSI, VFIO_MSIX) or ret == ENOTTY):
        return None
    return "eventfd" if count or ret == ERANGE else "none"


def _count_inside(node: Node, data: str | None) -> int | None:
    """Return the number of vectors that the calls inside show, where it is not recorded."""
    if data == "none":
        return 0 if node.below("vfio_msi_disable") else None
    inside = _inferred_request(node) if data == "eventfd" else {}
    return inside.get("count") if inside.get("data") == data else None


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
