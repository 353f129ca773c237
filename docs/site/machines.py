"""The machines of the MSI model as drawings: what each page names, and the operations that are run on the plugins' own classes."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import graph
from states import Operation, Subject, explored
from tracekit_irq.machines.irte_pool import IrtePool
from tracekit_irq.machines.vector_pool import VectorPool
from tracekit_msi.machines.eventfd_source import EventfdSource
from tracekit_msi.machines.interrupt_source import InterruptSource
from tracekit_msi.machines.msi_domain import MsiDomain
from tracekit_msi.machines.pci_function import PciFunction
from tracekit_vfio.machines.configuration import Configuration
from tracekit_vfio.machines.guest import Guest
from tracekit_vfio.machines.kvmtool import Kvmtool
from tracekit_vfio.machines.vfio_device import VfioDevice
from tracekit_vfio.machines.vmm import Request, Vmm
from tracekit_xen.machines.xen_domain import HvmGuest, PirqSpace

from tracekit import ENOSPC, VFIO_INTX, VFIO_MSI, VFIO_MSIX, VFIO_NONE

INDEX = {VFIO_INTX: "INTx", VFIO_MSI: "MSI", VFIO_MSIX: "MSI-X", VFIO_NONE: "off"}


def values(prediction: Iterable[int] | None) -> str:
    """Return what an operation may return; nothing where the machine leaves it open."""
    return " or ".join(map(str, sorted(prediction, reverse=True))) if prediction is not None else ""


def silent(act: Callable[[Any], object]) -> Callable[[Any], str]:
    """Return an operation whose result a drawing does not print."""

    def run(machine: Any) -> str:
        act(machine)
        return ""

    return run


def msi_domain(per_device: bool) -> Subject:
    """Return the irq domain of one function, with a domain a device (gate KV2) and before."""

    def state(d: Any) -> str:
        if d.kind in ("none", "global"):
            return "no domain" if d.kind == "none" else "global domain"
        return f"{'MSI-X' if d.kind == 'msix' else 'MSI'} domain, hwsize {d.hwsize}"

    def enable(kind: str, size: int) -> Callable[[Any], str]:
        return lambda d: "made" if d.setup(kind, size) else "kept"

    def index(n: int) -> Callable[[Any], str]:
        return lambda d: "" if d.kind == "none" else values(d.check(n))

    operations = [
        Operation("MSI-X enable, table of 8", enable("msix", 8)),
        Operation("MSI-X enable, table of 16", enable("msix", 16)),
        Operation("MSI enable", enable("msi", 1)),
        Operation("MSI descriptor at index 8", index(8)),
        Operation("disable, close, reset", silent(lambda d: d.free())),
        Operation("unbind of the driver", silent(lambda d: d.remove())),
    ]
    start = MsiDomain(per_device=per_device, kind="none" if per_device else "global")
    return Subject("MsiDomain" if per_device else "MsiDomain before KV2", start, operations, state)


def pci_function() -> Subject:
    """Return the enabling of a function whose table has 8 entries."""

    def state(f: Any) -> str:
        return f"MSI-X on, {len(f.vectors)} vectors" if f.msix_enabled else "MSI on, 1 vector" if f.msi_enabled else "off"

    def enable(least: int, most: int) -> Callable[[Any], str]:
        def run(f: Any) -> str:
            result = f.enable_msix(least, most)
            return values(result)

        return run

    operations = [
        Operation("enable MSI-X, 1 to 4", enable(1, 4)),
        Operation("enable MSI-X, 1 to 16", enable(1, 16)),
        Operation("enable MSI-X, 16 to 16", enable(16, 16)),
        Operation("enable MSI, 1 to 1", lambda f: values(f.enable_msi(1, 1))),
        Operation("one vector more, index 4", lambda f: values(f.alloc_at(4))),
        Operation("free the vectors", silent(lambda f: f.free())),
    ]
    start = PciFunction(MsiDomain(per_device=True, kind="none"), msix_count=8, msi_count=1, dynamic=True, several=False)
    return Subject("PciFunction", start, operations, state)


def vfio_device(dynamic: bool) -> Subject:
    """Return SET_IRQS on one opened device, with growth in place (gate KV4) and without."""

    def state(d: Any) -> str:
        return INDEX[d.irq_type] + (f", eventfds {' '.join(map(str, sorted(d.wired)))}" if d.irq_type in (VFIO_MSI, VFIO_MSIX) else "")

    def request(index: int, start: int, count: int, data: str) -> Callable[[Any], str]:
        def run(d: Any) -> str:
            one = frozenset
            return values(d.set_irqs(index, start, count, data, alloc=lambda n: one((n,)), alloc_at=lambda i: one((i,)), wiring=0))

        return run

    operations = [
        Operation("MSI-X, eventfds for 0-1", request(VFIO_MSIX, 0, 2, "eventfd")),
        Operation("MSI-X, eventfd for 2", request(VFIO_MSIX, 2, 1, "eventfd")),
        Operation("MSI-X, NONE, count 0", request(VFIO_MSIX, 0, 0, "none")),
        Operation("INTx, eventfd", request(VFIO_INTX, 0, 1, "eventfd")),
        Operation("close", silent(lambda d: d.close())),
    ]
    return Subject(f"VfioDevice {'with' if dynamic else 'without'} KV4", VfioDevice(dynamic=dynamic), operations, state)


def sent(requests: list[Request]) -> str:
    """Return the requests of a client in the order in which it sends them."""

    def text(r: Request) -> str:
        if r.data == "none":
            return "NONE"
        span = f"{r.start}-{r.start + r.count - 1}" if r.count > 1 else f"{r.start}"
        return f"{INDEX[r.index]} {span}" if r.index == VFIO_INTX else span

    return ", ".join(map(text, requests))


def client(act: Callable[[Any, Callable[[Request], int]], None]) -> Callable[[Any], str]:
    """Return an operation that prints the SET_IRQS requests which a client sends; each is granted."""

    def run(machine: Any) -> str:
        requests: list[Request] = []

        def granted(request: Request) -> int:
            requests.append(request)
            return 0

        act(machine, granted)
        return sent(requests)

    return run


def vmm(policy: Any) -> Subject:
    """Return a QEMU client: which requests follow from the guest's accesses."""

    def state(v: Any) -> str:
        return f"MSI-X on, {v.count} vector{'s' if v.count > 1 else ''}" if v.enabled else "off"

    operations = [
        Operation("guest sets Enable", client(lambda v, send: None if v.enabled else v.guest_enables((), send))),
        Operation("guest unmasks vector 1", client(lambda v, send: v.enabled and v.guest_unmasks(1, send))),
        Operation("guest unmasks vector 2", client(lambda v, send: v.enabled and v.guest_unmasks(2, send))),
        Operation("guest clears Enable", client(lambda v, send: v.guest_disables(send))),
    ]
    return Subject(f"Vmm, policy {policy}", Vmm(policy, 4), operations, state)


def kvmtool() -> Subject:
    """Return kvmtool's client: the whole table at once, at most twice."""

    def state(k: Any) -> str:
        entries = " ".join(map(str, sorted(k.given if k.on else k.routed)))
        if not k.on:
            return f"off, routes {entries}" if entries else "off"
        return f"on, eventfds {entries}" if entries else "on, no eventfd"

    def unmasks(entry: int) -> Callable[[Any], str]:
        return client(lambda k, send: k.enabled and k.routed >= set(range(entry)) and k.guest_writes_entry(entry, False, send))

    operations = [
        Operation("guest sets Enable", client(lambda k, send: None if k.enabled else k.guest_writes_control(True, False, send))),
        Operation("guest unmasks entry 0", unmasks(0)),
        Operation("guest unmasks entry 1", unmasks(1)),
        Operation("guest clears Enable", client(lambda k, send: k.guest_writes_control(False, False, send))),
    ]
    return Subject("Kvmtool", Kvmtool(4), operations, state)


def signalled(d: Any) -> str:
    """Let the device signal, and return what becomes of it for now."""
    return str(d.signal(0, 1).fate)


def handler(signals: Iterable[Any]) -> str:
    """Return whether an operation lets the handler run."""
    fates = {s.fate for s in signals}
    return "" if not fates else "handler runs" if fates != {"unsure"} else "handler runs, perhaps"


def interrupt_source(index: int) -> Subject:
    """Return one vector at the device: of MSI-X, or of plain MSI without mask bits."""
    maskable = index == VFIO_MSIX

    def state(d: Any) -> str:
        waiting = d.waiting.get(0, ())
        pending = ", one pending" if any(s.fate == "pending" for s in waiting) else ", perhaps one pending" if waiting else ""
        if d.enabled == VFIO_NONE:
            return f"Enable is 0{pending}"
        if 0 in d.handled:
            return "unmasked" if maskable else "irq requested"
        where = "masked" if maskable else "irq not requested" if 0 in d.parked else "irq freed"
        return f"Enable is 1, {where}{pending}"

    def enable(d: Any) -> str:
        if d.enabled != VFIO_NONE:
            return ""
        d.enable(index, 2, (0,))
        return handler(d.unmask_function(2))

    operations = [
        Operation("the device signals", signalled),
        Operation("set Enable", enable),
        Operation("request the irq", lambda d: handler(d.attach(0, 2)) if d.enabled != VFIO_NONE else ""),
        Operation("free the irq", silent(lambda d: d.detach(0) if 0 in d.handled else None)),
        Operation("clear Enable", silent(lambda d: d.disable())),
    ]
    return Subject(
        f"InterruptSource, {'MSI-X' if maskable else 'MSI without mask bits'}", InterruptSource(maskable=maskable), operations, state
    )


def interrupt_line() -> Subject:
    """Return the INTx line of a function."""

    def state(d: Any) -> str:
        parts = ["handler" if d.line_handled else "no handler", "the guest serves" * d.serving, "masked" * d.line_masked]
        return ", ".join(filter(None, [*parts, "asserted" * bool(d.asserted)]))

    operations = [
        Operation("the device signals", signalled),
        Operation("request the irq", lambda d: handler(d.line_on(2)) if not d.line_handled else ""),
        Operation("the guest has served it", lambda d: handler(d.served(2)) if d.serving else ""),
        Operation("the guest masks it", silent(lambda d: d.mask_line())),
        Operation("the guest unmasks it", lambda d: handler(d.unmask_line(2))),
        Operation("free the irq", silent(lambda d: d.line_off())),
    ]
    return Subject("InterruptSource, INTx", InterruptSource(line=True), operations, state)


def eventfd_source() -> Subject:
    """Return one vector of a function that a program serves."""
    operations = [
        Operation("the program signals", signalled),
        Operation("set an eventfd", lambda d: handler(d.attach(0, 2))),
        Operation("clear it", silent(lambda d: d.detach(0))),
    ]
    return Subject("EventfdSource", EventfdSource(), operations, lambda d: "an eventfd" if 0 in d.handled else "no eventfd")


def vector_pool() -> Subject:
    """Return one irq on a host with one vector, which another irq may take."""

    def state(p: Any) -> str:
        irq = p.irqs.get(1)
        mine = (
            "no irq" if irq is None else "irq has a vector" if irq.cpu is not None else "irq reserved" if irq.reserved else "irq, nothing"
        )
        return f"{mine}, {p.available} free"

    operations = [
        Operation("allocate the irq", lambda p: "" if 1 in p.irqs else values(p.allocate(1))),
        Operation("request the irq", lambda p: values(p.activate(1)) if 1 in p.irqs else ""),
        Operation("free_irq()", silent(lambda p: p.deactivate(1) if 1 in p.irqs else None)),
        Operation("free the allocation", silent(lambda p: p.free(1) if 1 in p.irqs else None)),
        Operation("another irq is requested", lambda p: values(p.activate(2))),
        Operation("the other irq is freed", silent(lambda p: p.free(2))),
    ]
    start = VectorPool()
    start.online(0, 1)
    return Subject("VectorPool", start, operations, state)


def irte_pool() -> Subject:
    """Return a remapping table with two entries."""

    def state(p: Any) -> str:
        taken = {d: len(i) for d, i in p.taken.items()}
        return ", ".join(f"{d} has {n}" for d, n in sorted(taken.items())) or "empty"

    def message(p: Any) -> str:
        reason = p.blocked("A", 0)
        return "passes" if reason is None else f"-fault {reason:#x}"

    operations = [
        Operation("A allocates one", lambda p: values(p.allocate("A")) if "A" not in p.taken else ""),
        Operation("B allocates two", lambda p: values(p.allocate("B", 2)) if "B" not in p.taken else ""),
        Operation("A frees", silent(lambda p: p.free("A"))),
        Operation("B frees", silent(lambda p: p.free("B"))),
        Operation("message of A, index 0", message),
    ]
    return Subject("IrtePool", IrtePool(size=2), operations, state)


def pirq() -> Subject:
    """Return one pirq of an HVM domain whose only MSI number it is."""

    def state(s: Any) -> str:
        return str(s.held.get(24, "free"))

    def ask(s: Any) -> str:
        (number,) = s.next_number().results
        if number > 0:
            s.allocated(number)
        return str(number)

    def predicted(act: Callable[[Any], Any]) -> Callable[[Any], str]:
        return lambda s: str(act(s))

    operations = [
        Operation("guest asks for a pirq", ask),
        Operation("device model maps it", predicted(lambda s: s.map(24))),
        Operation("guest binds an evtchn", predicted(lambda s: s.bind(24))),
        Operation("guest closes the evtchn", predicted(lambda s: s.close(24))),
        Operation("device model unmaps it", predicted(lambda s: s.unmap(24))),
    ]
    return Subject("PirqSpace", PirqSpace.fresh(24, 25), operations, state)


def combinations() -> Iterator[tuple[bool, bool, list[int], set[int], set[str]]]:
    """Yield what two devices get of an HVM guest, for each rule of guest and device model: the numbers, those shared, who is deaf."""
    for reuses in (True, False):
        for unmaps in (True, False):
            guest = HvmGuest(PirqSpace.fresh(24, 56), reuses, unmaps)
            numbers = [guest.enable("A")]
            guest.disable("A")
            numbers += [guest.enable("B"), guest.enable("A")]
            yield reuses, unmaps, numbers, guest.shared, guest.deaf


def rules_of_pirqs() -> str:
    """Return the table of the four rules."""
    rows = ["| guest | device model | A | then B | A again | so |", "|---|---|---|---|---|---|"]
    for reuses, unmaps, (a, b, again), shared, deaf in combinations():
        who = "takes the number it finds, if an irq is on it" if reuses else "takes a fresh number"
        how = "unmaps at disable" if unmaps else "keeps the mapping"
        said = f"**both use {', '.join(map(str, shared))}; {', '.join(sorted(deaf)) or 'nobody'} gets no event channel**" if shared else ""
        lost = "one number more for each cycle" if not unmaps and not shared and again != a else ""
        rows.append(f"| {who} | {how} | {a} | {b} | {again} | {said or lost} |")
    return "\n".join(rows)


def classes() -> str:
    """Return the table of configurations: what a growth may lose, and who learns of a shortage."""
    rows = ["| guest | client | host adds in place | growth | shortage |", "|---|---|---|---|---|"]
    for policy, name in (("incr", "takes all down to add one"), ("dyn", "adds in place"), ("full", "takes the whole table at once")):
        for dynamic in (False, True):
            for guest, asks in (("a", "cannot ask the host"), ("b", "asks the host")):
                c = Configuration(guest=guest, reworked=policy != "incr", policy=policy, dynamic=dynamic)  # type: ignore[arg-type]
                rows.append(f"| {asks} | {name} | {'yes' if dynamic else 'no'} | {c.growth()} | {c.shortage()} |")
    return "\n".join(rows)


def guests() -> str:
    """Return the table of guests that want three vectors of a host with two: who learns of it, and which vectors are deaf."""
    rows = ["| guest | is refused when it allocates | believes to have | vectors that no host vector serves |", "|---|---|---|---|"]
    names = {"a": "cannot ask the host", "b": "asks the host, and is answered", "c": "asks the host, and gets no answer"}
    for kind, name in names.items():
        guest, wired = Guest(kind), set[int]()  # type: ignore[arg-type]

        def send(r: Request, wired: set[int] = wired) -> int:
            if r.data == "none":
                return 0
            if r.start + r.count > 2:
                return ENOSPC
            wired |= set(range(r.start, r.start + r.count))
            return 0

        guest.starts((0, 1, 2), Vmm("dyn", 3), send, available=2)
        vectors = [" ".join(map(str, sorted(v))) or "none" for v in (guest.wanted, guest.deaf(wired))]
        rows.append(f"| {name} | {'yes' if guest.refused else 'no'} | {vectors[0]} | {vectors[1]} |")
    return "\n".join(rows)


DRAWN: dict[str, Callable[[], Subject]] = {
    "msi-domain": lambda: msi_domain(True),
    "msi-domain-global": lambda: msi_domain(False),
    "pci-function": pci_function,
    "vfio-device": lambda: vfio_device(False),
    "vfio-device-in-place": lambda: vfio_device(True),
    "vmm-incr": lambda: vmm("incr"),
    "vmm-dyn": lambda: vmm("dyn"),
    "vmm-full": lambda: vmm("full"),
    "kvmtool": kvmtool,
    "interrupt-source": lambda: interrupt_source(VFIO_MSIX),
    "interrupt-source-msi": lambda: interrupt_source(VFIO_MSI),
    "interrupt-line": interrupt_line,
    "eventfd-source": eventfd_source,
    "vector-pool": vector_pool,
    "irte-pool": irte_pool,
    "pirq": pirq,
}
TABLES: dict[str, Callable[[], str]] = {"rules-of-pirqs": rules_of_pirqs, "classes": classes, "guests": guests}


def placed(name: str) -> str:
    """Return what a page has in place of `<!-- drawn: NAME -->`: a drawing or a table."""
    if name in TABLES:
        return TABLES[name]()
    return f'<div class="picture" tabindex="0">{graph.drawing(explored(DRAWN[name]()))}</div>'
