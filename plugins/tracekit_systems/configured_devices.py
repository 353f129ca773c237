"""A device as configured: whether a growth may lose interrupts, and whether its guest can learn of a shortage."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import polars as pl

from tracekit import ENOSPC, Fix, System, gate_value, rows_of
from tracekit_systems.stimuli import label_of

ASKS_FIRST = {"guest": "b", "reworked": True, "policy": "dyn", "dynamic": True}
UNTOLD = ("CFG-002", "VFIO-008")
Machines = Mapping[str, Any]
Gates = Mapping[str, Any]


class Configured(System):
    """One device that QEMU set up, or whose SET_IRQS was short of vectors: what its configuration leads to.

    `asks_first` stands for all that a guest of kind b needs: a host that answers it and adds vectors in place. A device of one vector never
    `grows`.
    """

    name: ClassVar[str] = "configuration"
    reads: ClassVar[tuple[str, ...]] = ("vfio_msix_early_setup", "op_set_irqs", "probe_return", "gates")
    switches: ClassVar[tuple[str, ...]] = ("policy", "dynamic", "asks_first", "guest", "reworked", "reservation")
    asks: ClassVar[tuple[str, ...]] = ("KV1", "KV4", "QV3")
    fixes: ClassVar[tuple[Fix, ...]] = (
        Fix("policy", "dyn", ("CFG-001",), "{QV3} or later, on a host where NORESIZE is clear ({KV4} or later)"),
        Fix("policy", "full", ("CFG-001",), "all vectors at the enable: a guest or a VMM that takes the whole table at once"),
        Fix("dynamic", True, ("CFG-001",), "{KV4} or later, where the parent irq domain can add vectors"),
        Fix("asks_first", True, UNTOLD, "a guest that asks the host before it allocates; no hypervisor has such an interface yet"),
        Fix("guest", "b", UNTOLD),
        Fix("guest", "c"),
        Fix("reworked", True, ("CFG-003",), "a host whose parent irq domain offers IMS"),
        Fix("reservation", False),
    )

    def __init__(self, machines: Machines, label: str, base: Gates, short: bool, notes: tuple[str, ...], *, grows: bool = True) -> None:
        self.machines, self.label, self.base, self.short, self.notes, self.grows = machines, label, base, short, notes, grows

    @classmethod
    def instances(cls, machines: Machines, tables: Mapping[str, pl.DataFrame]) -> Sequence[System]:
        """Yield one system per device that QEMU's trace sets up, and one per device whose SET_IRQS found no vector."""
        if "Configuration" not in machines:
            return []
        made = {s.label: s for s in (*_short(machines, tables), *_without_ims(machines, tables))}
        for s in _set_up(machines, tables):
            made.setdefault(s.label, s)
        return list(made.values())

    def subject(self) -> str:
        return self.label

    def gates(self) -> Gates:
        return self.base

    def faults(self, gates: Gates) -> frozenset[str]:
        if gates["device"] == "IMS" and not gates["reworked"]:
            return frozenset({"CFG-003"})
        set_up = {n: v for n, v in gates.items() if n != "asks_first"}
        made = self.machines["Configuration"](**{**set_up, **(ASKS_FIRST if gates["asks_first"] else {})})
        found = {"CFG-001"} if self.grows and made.growth() == "lossy" else set()
        if made.shortage() == "blind":
            found.add("VFIO-008" if self.short else "CFG-002")
        if made.pressure():
            found.add("VEC-002")
        return frozenset(found)

    def refutable(self) -> frozenset[str]:
        """None: what a configuration leads to follows from its gates alone."""
        return frozenset()

    def assumptions(self) -> tuple[str, ...]:
        return self.notes


def _set_up(machines: Machines, tables: Mapping[str, pl.DataFrame]) -> Iterator[Configured]:
    """Yield the devices of QEMU: an old one (gate QV3) does not know NORESIZE and adds by taking down."""
    frame = tables.get("vfio_msix_early_setup")
    if frame is None:
        return
    for row in rows_of(frame.unique("name", keep="last", maintain_order=True)):
        new = row.noresize is not None
        dynamic = row.noresize == 0 if new else bool(gate_value(tables.get("gates"), "KV4", row.source))
        base = _base(tables, row.source, policy="dyn" if new else "incr", dynamic=dynamic, reworked=new and dynamic)
        yield Configured(machines, row.name, base, False, (), grows=row.entries > 1)


def _short(machines: Machines, tables: Mapping[str, pl.DataFrame]) -> Iterator[Configured]:
    """Yield the devices whose SET_IRQS found no vector."""
    frame = tables.get("op_set_irqs")
    if frame is None:
        return
    refused = frame.filter((pl.col("ret") == ENOSPC) & (pl.col("data") == "eventfd"))
    for row in rows_of(refused.unique(["bdf", "device", "vdev"], keep="first", maintain_order=True)):
        dynamic, qemu = (gate_value(tables.get("gates"), gate, row.source) for gate in ("KV4", "QV3"))
        base = _base(tables, row.source, policy="dyn" if qemu else "incr", dynamic=bool(dynamic), reworked=bool(dynamic and qemu))
        unknown = [g for g, value in (("KV4", dynamic), ("QV3", qemu)) if value is None]
        notes = tuple(f"{g} is taken to be False: nothing tells" for g in unknown)
        yield Configured(machines, label_of([row]), base, True, notes)


def _without_ims(machines: Machines, tables: Mapping[str, pl.DataFrame]) -> Iterator[Configured]:
    """Yield the host whose driver requested an IMS domain and got none."""
    returns = tables.get("probe_return")
    if returns is None:
        return
    asked = returns.filter(pl.col("function") == "pci_create_ims_domain")
    for row in rows_of(asked.filter(pl.col("args").str.contains(r"=(?:0x)?0+(?: |$)")).head(1)):
        base = _base(tables, row.source, policy="dyn", dynamic=False, reworked=False)
        yield Configured(machines, "host", {**base, "device": "IMS"}, False, ())


def _base(tables: Mapping[str, pl.DataFrame], source: str, **known: Any) -> Gates:
    reservation = gate_value(tables.get("gates"), "KV1", source) is not False
    return {"guest": "a", "device": "MSI-X", "reservation": reservation, "asks_first": False, **known}
