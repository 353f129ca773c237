"""Gates: which behaviour a kernel, QEMU or Xen has. Observed behaviour decides; a release alone is assumed (distributions backport)."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from tracekit import EINVAL, GATES_TABLE, VFIO_MSIX, Model, Row, Table

Release = tuple[int, ...]
# Names as printed at the end of a chip name: IR-PCI-MSIX-0000:00:08.0, and without: PCI-MSI.
DEVICE_CHIP = r"PCI-MSIX?-[0-9a-f]{4,5}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$"
ITS_CHIP = r"^ITS-(PCI-)?MSI"
GLOBAL_CHIP = r"^(IR-)?PCI-MSIX?$"


@dataclass(frozen=True, slots=True)
class Fact:
    """One row that decides a gate."""

    gate: str
    value: bool
    basis: str
    why: str
    row: Row


# Function -> what its being called says.
CALLED = {
    "pci_setup_msix_device_domain": ("KV2", True),
    "msi_create_device_irq_domain": ("KV2", True),
    "msi_insert_desc": ("KV2", True),
    "msi_add_msi_desc": ("KV2", False),
    "pci_msix_alloc_irq_at": ("KV4", True),
}
# Kernel release from which a gate holds: 4.15 reservation mode; 6.2 per-device domains (6.11 with GICv3 ITS); 6.5 in-place growth;
# 4.11 commit c74fd80f2f41; 5.19 commit 7e0815b3e099.
KERNEL: Mapping[str, Release] = {"KV1": (4, 15), "KV2": (6, 2), "KV4": (6, 5), "KV5": (4, 11), "KV6": (5, 19)}
NEVER: Release = (1000,)
# arm64: the GIC's ITS, the parent of MSIs there, offers no in-place growth on any release (gate ITS).
ARM: Mapping[str, Release] = {"KV2": (6, 11), "KV4": NEVER}
# QEMU release: 2.1 unmaps pirqs on disable, 7.1 batches the enable, 8.2 grows in place, 10.1 prints the errno as text.
QEMU: Mapping[str, Release] = {"QV1": (2, 1), "QV2": (7, 1), "QV3": (8, 2), "QV4": (10, 1)}


class Gates(Model):
    """One row a gate, value and basis; observed rows stand beside none that is assumed from the same stream."""

    tables: ClassVar[tuple[Table, ...]] = (GATES_TABLE,)
    needs = (
        "calls",
        "op_set_irqs",
        "vector_reserve",
        "interrupt_row",
        "kernel_version",
        "trace_release",
        "qemu_version",
        "vfio_msix_early_setup",
        "qemu_enable_vectors_failed",
        "xl_info",
    )

    def run(self, rows: Iterable[tuple[str, Row]], tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
        """The facts of the stream, the first of each kind."""
        decided: dict[tuple[str, bool], Fact] = {}
        for fact in observed(tables):
            decided.setdefault((fact.gate, fact.value), fact)
        gates = {gate for gate, _ in decided}
        for fact in assumed(tables):
            if fact.gate not in gates:
                decided.setdefault((fact.gate, fact.value), fact)
        for f in sorted(decided.values(), key=lambda f: (f.gate, not f.value)):
            self.emit("gates", f.row, gate=f.gate, value=f.value, basis=f.basis, why=f.why, line_end=f.row.line)
        return self.frames()


def observed(tables: Mapping[str, pl.DataFrame]) -> Iterator[Fact]:
    """What the lines show."""
    for row in _first(tables, "calls", pl.col("function").is_in(list(CALLED)), by="function"):
        gate, value = CALLED[row.function]
        yield Fact(gate, value, "observed", f"{row.function} was called", row)
    for row in _first(tables, "vector_reserve"):
        yield Fact("KV1", True, "observed", "vectors are reserved (vector_reserve)", row)
    refused = (pl.col("ret") == EINVAL) & (pl.col("index") == VFIO_MSIX) & (pl.col("data") == "eventfd") & (pl.col("start") > 0)
    for row in _first(tables, "op_set_irqs", refused):
        yield Fact("KV4", False, "observed", f"adding MSI-X vectors from {row.start} was refused with -22", row)
    for row in _first(tables, "interrupt_row", pl.col("chip").str.contains(DEVICE_CHIP)):
        yield Fact("KV2", True, "observed", f"the irq chip {row.chip} belongs to one device", row)
    if not list(_first(tables, "interrupt_row", pl.col("chip").str.contains(DEVICE_CHIP))):
        for row in _first(tables, "interrupt_row", pl.col("chip").str.contains(GLOBAL_CHIP)):
            yield Fact("KV2", False, "observed", f"the irq chip {row.chip} serves all devices", row)
    for row in _first(tables, "interrupt_row", pl.col("chip").str.contains(ITS_CHIP)):
        yield Fact("ITS", True, "observed", f"the irq chip {row.chip} is below a GIC ITS", row)
        yield Fact("KV4", False, "observed", f"the irq chip {row.chip} is below a GIC ITS, which offers no growth in place", row)
    yield from _observed_qemu(tables)


def _observed_qemu(tables: Mapping[str, pl.DataFrame]) -> Iterator[Fact]:
    for row in _first(tables, "vfio_msix_early_setup", pl.col("noresize").is_not_null()):
        yield Fact("QV3", True, "observed", "vfio_msix_early_setup prints noresize", row)
        yield Fact("KV4", row.noresize == 0, "observed", f"the host reports NORESIZE {row.noresize} for MSI-X", row)
    for row in _first(tables, "qemu_enable_vectors_failed"):
        text = re.fullmatch(r"-?[0-9]+", row.reason.strip()) is None
        yield Fact("QV4", text, "observed", "the reason is text" if text else "the reason is a number", row)


def assumed(tables: Mapping[str, pl.DataFrame]) -> Iterator[Fact]:
    """What the releases suggest."""
    for row in [*_first(tables, "kernel_version", by="release"), *_first(tables, "trace_release", by="release")]:
        release = numbers(row.release)
        arm = any(name in f"{row.release} {getattr(row, 'text', '')}" for name in ("aarch64", "arm64"))
        limits = {**KERNEL, **(ARM if arm else {})}
        if release:
            yield from (Fact(g, release >= low, "assumed", f"Linux {row.release}", row) for g, low in limits.items())
            if arm:
                yield Fact("ITS", True, "assumed", f"Linux {row.release} on arm64", row)
            if release[:2] == (6, 2):
                yield Fact("KV3", True, "assumed", f"Linux {row.release}", row)
    for row in _first(tables, "qemu_version", by="release"):
        if release := numbers(row.release):
            yield from (Fact(g, release >= low, "assumed", f"QEMU {row.release}", row) for g, low in QEMU.items())
    for row in _first(tables, "xl_info", pl.col("key") == "xen_version" if "key" in _columns(tables, "xl_info") else False):
        if release := numbers(row.value):
            yield Fact("XV1", release >= (4, 5), "assumed", f"Xen {row.value}", row)


def numbers(release: str | None) -> Release:
    """The leading numbers of a release: `6.12.95+deb12-amd64` is (6, 12, 95)."""
    m = re.match(r"\s*v?([0-9]+(?:\.[0-9]+)+)", release or "")
    return tuple(int(n) for n in m[1].split(".")) if m else ()


def _columns(tables: Mapping[str, pl.DataFrame], name: str) -> list[str]:
    return tables[name].columns if name in tables else []


def _first(tables: Mapping[str, pl.DataFrame], name: str, where: Any = True, by: str | None = None) -> Iterator[Row]:
    """The first row of a table that satisfies `where`, or the first for each value of `by`."""
    frame = tables.get(name)
    if frame is None or frame.is_empty():
        return
    found = frame.filter(where) if not isinstance(where, bool) else frame if where else frame.clear()
    if found.is_empty():
        return
    if by:
        yield from (Row(**r) for r in found.sort("line").unique(by, keep="first", maintain_order=True).iter_rows(named=True))
    else:
        yield Row(**found.row(int(found["line"].arg_min() or 0), named=True))
