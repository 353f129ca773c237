"""A device that kvmtool passes to a guest: the ids, registers and messages that the guest sees."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import polars as pl

from tracekit import VFIO_MSIX, Fix, System, rows_of

Machines = Mapping[str, Any]
Gates = Mapping[str, Any]
CODES = {"clobbered": "KVMT-001", "early": "KVMT-002", "merged": "KVMT-003"}
LEGACY_CONFIG = 20  # where a legacy virtio driver that has not enabled MSI-X reads its device's registers
NEAR = 6  # lines between the host's handler and KVM's injection


@dataclass(frozen=True, slots=True)
class Seen:
    """What a log shows of one device: ids that differ, an early read, or `vectors` of plain MSI that arrive as one."""

    what: Literal["clobbered", "early", "merged"]
    label: str
    vendor: int = 0
    capability: int = 0
    vectors: int = 0


class KvmtoolDevice(System):
    """One device, replayed by a kvmtool with or without each of its fixes."""

    name: ClassVar[str] = "kvmtool"
    reads: ClassVar[tuple[str, ...]] = (
        *("pci_device_found", "kvmtool_assigned", "kvmtool_unknown_capability", "vfio_region_read", "virtio_legacy"),
        *("op_set_irqs", "irq_handler_entry", "kvm_msi_set_irq"),
    )
    switches: ClassVar[tuple[str, ...]] = ("walks_by_a_copy", "enables_on_demand", "message_per_vector")
    fixes: ClassVar[tuple[Fix, ...]] = (
        Fix("walks_by_a_copy", True, ("KVMT-001",), "merged kvmtool: its loop over the capabilities leaves the header alone"),
        Fix("enables_on_demand", True, ("KVMT-002",), "a client that enables MSI-X when the guest does (kvmtool c9888d9571ca)"),
        Fix("message_per_vector", True, ("KVMT-003",), "kvmtool with e554aef: each vector of plain MSI has its own message"),
    )

    def __init__(self, machines: Machines, seen: Seen) -> None:
        self.machines, self.seen = machines, seen

    @classmethod
    def instances(cls, machines: Machines, tables: Mapping[str, pl.DataFrame]) -> Sequence[System]:
        """Yield one system per device that shows one of the three."""
        if "Kvmtool" not in machines:
            return []
        return [cls(machines, seen) for seen in (*_clobbered(tables), *_early(tables), *_merged(tables))]

    def subject(self) -> str:
        return self.seen.label

    def gates(self) -> Gates:
        return {"walks_by_a_copy": False, "enables_on_demand": False, "message_per_vector": False}

    def faults(self, gates: Gates) -> frozenset[str]:
        return frozenset({CODES[self.seen.what]}) if getattr(self, f"_{self.seen.what}")(gates) else frozenset()

    def refutable(self) -> frozenset[str]:
        """None: what is seen is what the first kvmtool does, and the fault is the gate."""
        return frozenset()

    def assumptions(self) -> tuple[str, ...]:
        return ("the client is taken to be kvmtool as first posted",) if self.seen.what != "early" else ()

    def _machine(self, gates: Gates) -> Any:
        return self.machines["Kvmtool"](1, own_copy=gates["walks_by_a_copy"], per_vector=gates["message_per_vector"])

    def _clobbered(self, gates: Gates) -> bool:
        return bool(self._machine(gates).vendor_id(self.seen.vendor, self.seen.capability) != self.seen.vendor)

    def _early(self, gates: Gates) -> bool:
        """Return whether the guest reads the registers where they were before the enable."""
        made = self._machine(gates)
        if not gates["enables_on_demand"]:
            made.guest_writes_control(True, False, lambda request: 0)
        return bool(made.config_offset() != LEGACY_CONFIG)

    def _merged(self, gates: Gates) -> bool:
        made = self._machine(gates)
        return len({made.message(0x40, vector) for vector in range(self.seen.vectors)}) < self.seen.vectors


def _clobbered(tables: Mapping[str, pl.DataFrame]) -> Iterator[Seen]:
    """Yield a device id that comes with two vendor ids: the one that kvmtool was given, and one with a capability's place for high byte."""
    found, ours = tables.get("pci_device_found"), [n for n in ("kvmtool_assigned", "kvmtool_unknown_capability") if n in tables]
    real: dict[int, list[Any]] = {}
    for r in rows_of(found) if found is not None and ours else ():
        real.setdefault(r.device_id, []).append(r)
    given = {r.bdf for r in rows_of(tables["kvmtool_assigned"])} if "kvmtool_assigned" in tables else set()
    for rows in real.values():
        for r in (r for r in rows if not given or r.bdf in given):
            place = next((x.vendor >> 8 for x in rows if x.vendor != r.vendor and x.vendor & 0xFF == r.vendor & 0xFF), None)
            if place is not None and 0x40 <= place <= 0xFC and place % 4 == 0:
                yield Seen("clobbered", r.bdf, vendor=r.vendor, capability=place)


def _early(tables: Mapping[str, pl.DataFrame]) -> Iterator[Seen]:
    """Yield a legacy virtio device whose registers are read at 20 after a SET_IRQS has enabled MSI-X."""
    reads, requests = tables.get("vfio_region_read"), tables.get("op_set_irqs")
    if reads is None or requests is None or "virtio_legacy" not in tables:
        return
    on = requests.filter((pl.col("index") == VFIO_MSIX) & (pl.col("data") == "eventfd") & (pl.col("ret") == 0))
    at = reads.filter((pl.col("region") == 0) & (pl.col("offset") == LEGACY_CONFIG))
    for r in rows_of(on.unique(["source", "vdev"], keep="first", maintain_order=True)):
        if at.filter((pl.col("source") == r.source) & (pl.col("line") > (r.line_end or r.line))).height:
            label = r.bdf or (f"pci_dev {r.device:#x}" if r.device is not None else f"vdev {r.vdev:#x}" if r.vdev is not None else "")
            yield Seen("early", label)


def _merged(tables: Mapping[str, pl.DataFrame]) -> Iterator[Seen]:
    """Several plain MSI vectors of a device, each followed by the injection of one and the same guest vector."""
    entries, injections = tables.get("irq_handler_entry"), tables.get("kvm_msi_set_irq")
    if entries is None or injections is None:
        return
    name = pl.col("name").str.extract_groups(r"^vfio-msi\[(?<vector>[0-9]{1,4})\]\((?<bdf>.*)\)$")
    mine = entries.with_columns(name.alias("action")).unnest("action").drop_nulls("vector").sort("line")
    after = injections.select("source", pl.col("line").alias("injected"), "vec").sort("injected")
    pairs = mine.join_asof(after, left_on="line", right_on="injected", by="source", strategy="forward", check_sortedness=False)
    near = pairs.filter(pl.col("injected") - pl.col("line") <= NEAR).group_by("bdf", maintain_order=True)
    for bdf, vectors, targets in near.agg(pl.col("vector").n_unique(), pl.col("vec").n_unique()).iter_rows():
        if vectors > 1 and targets == 1:
            yield Seen("merged", bdf, vectors=vectors)
