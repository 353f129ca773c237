"""The vectors of a device in a Xen HVM guest: whether its kernel leaves them masked at the device."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import polars as pl

from tracekit import VFIO_MSIX, Fix, System, rows_of

DEVICE = re.compile(r"[A-Za-z]+[0-9]+")
TIMEOUTS = {"nvme_completion_polled": "device", "nvme_timeout": "device", "net_tx_timeout": "interface"}
Machines = Mapping[str, Any]
Gates = Mapping[str, Any]


class XenMasks(System):
    """One device of which no vector has counted while its driver waited. Unlike Xen, such a kernel thinks that the mask is its own."""

    name: ClassVar[str] = "xen-masks"
    reads: ClassVar[tuple[str, ...]] = ("xen_platform", "interrupt_row", *TIMEOUTS)
    fixes: ClassVar[tuple[Fix, ...]] = (
        Fix("KV6", True, ("XEN-006",), "a guest kernel with 7e0815b3e099 ({KV6}, and stable kernels from May 2022 on): masks are Xen's"),
    )

    def __init__(self, machines: Machines, device: str, vectors: int) -> None:
        self.machines, self.device, self.vectors = machines, device, vectors

    @classmethod
    def instances(cls, machines: Machines, tables: Mapping[str, pl.DataFrame]) -> Sequence[System]:
        """Yield one system per device whose pirqs are all zero in /proc/interrupts and whose driver timed out."""
        hvm = tables.get("xen_platform")
        if "InterruptSource" not in machines or hvm is None or not (hvm["platform"].str.to_uppercase() == "HVM").any():
            return []
        waiting = set(_waiting(tables))
        return [cls(machines, device, n) for device, n in _silent(tables.get("interrupt_row")).items() if device in waiting]

    def subject(self) -> str:
        return self.device

    def gates(self) -> Gates:
        return {"KV6": False}

    def faults(self, gates: Gates) -> frozenset[str]:
        """Set up each vector (mask; unmask unless the kernel leaves the mask), let the device signal once, return the faults."""
        vectors = range(self.vectors)
        unmasked = set(vectors) if gates["KV6"] else set()
        source = self.machines["InterruptSource"](enabled=VFIO_MSIX, handled=set(vectors), unmasked=unmasked)
        heard = [v for v in vectors if source.signal(v, 0).fate == "delivered"]
        return frozenset() if heard else frozenset({"XEN-006"})

    def refutable(self) -> frozenset[str]:
        """None: the fault is the gate."""
        return frozenset()

    def assumptions(self) -> tuple[str, ...]:
        return ("each vector that never counted is taken to have been signalled, and masked at the device",)


def _waiting(tables: Mapping[str, pl.DataFrame]) -> Iterator[str]:
    """Return the devices whose drivers timed out."""
    for name, column in TIMEOUTS.items():
        if (frame := tables.get(name)) is not None:
            yield from (str(d) for d in frame[column].drop_nulls().unique())


def _silent(table: pl.DataFrame | None) -> dict[str, int]:
    """Devices with several pirqs, every one at zero: how many."""
    counted: dict[str, list[bool]] = {}
    for r in rows_of(table) if table is not None else ():
        if (r.chip or "").startswith("xen-pirq") and (m := DEVICE.match(r.actions or "")):
            counted.setdefault(m[0], []).append(any(n.strip("0") for n in (r.counts or "").split()))
    return {device: len(mine) for device, mine in counted.items() if len(mine) > 1 and not any(mine)}
