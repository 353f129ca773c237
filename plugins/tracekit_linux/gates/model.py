"""Which behaviour a kernel, QEMU or Xen has. Observed behaviour decides; a release alone is assumed (distributions backport)."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from tracekit import EINVAL, GATES_TABLE, VFIO_MSIX, Gate, Inputs, Model, Row, Table
from tracekit_linux.gates.lines import each, first, lines
from tracekit_linux.gates.linux import LINUX
from tracekit_linux.gates.platform import Platform, platform_of
from tracekit_linux.gates.qemu import QEMU
from tracekit_linux.gates.xen import XEN

Release = tuple[int, ...]
# IR-PCI-MSIX-0000:00:08.0, ITS-PCI-MSIX-0000:00:0c.0: the function stands at the end of the chip's name.
DEVICE_CHIP = re.compile(r"PCI-MSIX?-[0-9a-f]{4,5}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$")
# IR-PCI-MSI, PCI-MSI, ITS-MSI, pSeries-PCI-MSI: one chip for all functions.
GLOBAL_CHIP = re.compile(r"^(?:(?:IR-|pSeries-)?PCI-MSIX?|ITS-MSI)$")


ANYWHERE = Platform()


@dataclass(frozen=True, slots=True)
class Fact:
    """One row that decides a gate."""

    gate: str
    value: bool
    basis: str
    why: str
    row: Row


# Functions that come with KV2's first release, and are called where the parent is no MSI parent too.
CAME_WITH = {"pci_setup_msix_device_domain", "msi_insert_desc"}
# Function -> what its being called says.
CALLED = {
    "pci_setup_msix_device_domain": ("KV2", True),
    "msi_create_device_irq_domain": ("KV2", True),
    "msi_insert_desc": ("KV2", True),
    "msi_add_msi_desc": ("KV2", False),
    "pci_msix_alloc_irq_at": ("KV4", True),
}


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
        "xen_release",
    )
    across = ("platforms",)
    gates: ClassVar[tuple[str, ...]] = tuple(g.code for g in (*LINUX, *QEMU, *XEN))

    def play(self, rows: Iterable[tuple[str, Row]], tables: Inputs) -> None:
        """Emit the facts of the stream, the first of each kind."""
        decided: dict[tuple[str, bool], Fact] = {}
        for fact in observed(tables):
            decided.setdefault((fact.gate, fact.value), fact)
        gates = {gate for gate, _ in decided}
        for fact in assumed(tables):
            if fact.gate not in gates:
                decided.setdefault((fact.gate, fact.value), fact)
        for f in sorted(decided.values(), key=lambda f: (f.gate[:2], int(f.gate[2:]), not f.value)):
            self.emit("gates", f.row, gate=f.gate, value=f.value, basis=f.basis, why=f.why, line_end=f.row.line)


def observed(tables: Inputs) -> Iterator[Fact]:
    """Yield what the lines show."""
    for row in each((r for r in lines(tables, "calls", "function") if r.function in CALLED), "function"):
        gate, value = CALLED[row.function]
        if row.function in CAME_WITH and _without_domains(platform_of(tables.rows("platforms"), row)):
            continue
        yield Fact(gate, value, "observed", f"{row.function} was called", row)
    for row in lines(tables, "vector_reserve")[:1]:
        yield Fact("KV1", True, "observed", "vectors are reserved (vector_reserve)", row)
    requests = lines(tables, "op_set_irqs", "ret", "index", "data", "start")
    for row in first(requests, _refused_growth):
        yield Fact("KV4", False, "observed", f"adding MSI-X vectors from {row.start} was refused with -22", row)
    chips = lines(tables, "interrupt_row", "chip")
    own = list(first(chips, lambda r: DEVICE_CHIP.search(r.chip or "") is not None))
    for row in own:
        yield Fact("KV2", True, "observed", f"the irq chip {row.chip} belongs to one device", row)
    for row in () if own else first(chips, lambda r: GLOBAL_CHIP.search(r.chip or "") is not None):
        yield Fact("KV2", False, "observed", f"the irq chip {row.chip} serves all devices", row)
    yield from _observed_qemu(tables)


def _refused_growth(e: Row) -> bool:
    return bool(e.ret == EINVAL and e.index == VFIO_MSIX and e.data == "eventfd" and (e.start or 0) > 0)


def _without_domains(place: Platform) -> bool:
    """Return whether the first release with domains a device had none on a platform: there the call says nothing."""
    gate = next(g for g in LINUX if g.code == "KV2")
    return gate.value(gate.since[0].release or (), place.arch, place.parent) is False


def _observed_qemu(tables: Inputs) -> Iterator[Fact]:
    set_up = lines(tables, "vfio_msix_early_setup", "noresize")
    for row in first(set_up, lambda r: r.noresize is not None):
        yield Fact("QV3", True, "observed", "vfio_msix_early_setup prints noresize", row)
        yield Fact("KV4", row.noresize == 0, "observed", f"the host reports NORESIZE {row.noresize} for MSI-X", row)
    for row in lines(tables, "qemu_enable_vectors_failed")[:1]:
        text = re.fullmatch(r"-?[0-9]+", row.reason.strip()) is None
        yield Fact("QV4", text, "observed", "the reason is text" if text else "the reason is a number", row)


def assumed(tables: Inputs) -> Iterator[Fact]:
    """Yield what the releases suggest on a platform; nothing where the platform leaves a gate open."""
    for row in [*_releases(tables, "kernel_version"), *_releases(tables, "trace_release")]:
        yield from _released(LINUX, row.release, row, f"Linux {row.release}", platform_of(tables.rows("platforms"), row))
    for row in _releases(tables, "qemu_version"):
        yield from _released(QEMU, row.release, row, f"QEMU {row.release}")
    for row in first(lines(tables, "xl_info", "key", "value"), lambda r: r.key == "xen_version"):
        yield from _released(XEN, row.value, row, f"Xen {row.value}")
    for row in _releases(tables, "xen_release"):
        yield from _released(XEN, row.release, row, f"Xen {row.release}")


def _releases(tables: Inputs, name: str) -> Sequence[Row]:
    return each(lines(tables, name, "release"), "release")


def _released(gates: Iterable[Gate], release: str | None, row: Row, why: str, place: Platform = ANYWHERE) -> Iterator[Fact]:
    if known := numbers(release):
        for gate in gates:
            if (value := gate.value(known, place.arch, place.parent)) is not None:
                yield Fact(gate.code, value, "assumed", f"{why} with {place.parent}" if place.parent else why, row)


def numbers(release: str | None) -> Release:
    """Return the leading numbers of a release: `6.12.95+deb12-amd64` is (6, 12, 95)."""
    m = re.match(r"\s*v?([0-9]+(?:\.[0-9]+)+)", release or "")
    return tuple(int(n) for n in m[1].split(".")) if m else ()
