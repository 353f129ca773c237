"""The platform of a kernel: its architecture, and the interrupt parent that its PCI functions' MSIs go through."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from tracekit import Model, Row, Table
from tracekit_linux.gates.linux import ARM64, HYPERV, ITS, ITS5, LOONGARCH, POWERNV, POWERPC, PSERIES, S390, V2M, X86, XEN
from tracekit_linux.tables import PLATFORMS

# Prefix of an irq chip in /proc/interrupts -> architecture and parent; the first that fits counts.
CHIPS = (
    ("ITS-v5-", ARM64, ITS5),
    ("ITS-", ARM64, ITS),
    ("GICv2m-", ARM64, V2M),
    ("GIC", ARM64, ""),
    ("HV-PCI-MSI", X86, HYPERV),
    ("Hyper-V", X86, HYPERV),
    ("xen-pirq", X86, XEN),
    ("IR-", X86, ""),
    ("IO-APIC", X86, ""),
    ("pSeries-", POWERPC, PSERIES),
    ("PNV-", POWERPC, POWERNV),
    ("XIVE", POWERPC, ""),
    ("PCH-", LOONGARCH, ""),
)
# Prefix of a function -> the same.
FUNCTIONS = (
    ("its_", ARM64, ITS),
    ("gicv2m_", ARM64, V2M),
    ("gicv5_its_", ARM64, ITS5),
    ("hv_compose_msi_msg", X86, HYPERV),
    ("hv_msi_", X86, HYPERV),
    ("xen_initdom_setup_msi_irqs", X86, XEN),
    ("xen_hvm_setup_msi_irqs", X86, XEN),
    ("xen_setup_msi_irqs", X86, XEN),
    ("xen_bind_pirq_msi_to_irq", X86, XEN),
    ("x86_vector_", X86, ""),
    ("intel_irq_remapping_", X86, ""),
    ("rtas_prepare_msi_irqs", POWERPC, PSERIES),
    ("pseries_msi_", POWERPC, PSERIES),
    ("pnv_msi_", POWERPC, POWERNV),
    ("zpci_", S390, ""),
)
# Table -> the same: lines of which one is enough.
TABLES = {
    "its_said": (ARM64, ITS),
    "gicv2m_said": (ARM64, V2M),
    "gicv5_its_said": (ARM64, ITS5),
    "hyperv_said": ("", HYPERV),
    "arm64_said": (ARM64, ""),
    "s390_said": (S390, ""),
    "x86_said": (X86, ""),
    **dict.fromkeys(("remap_enabled", "vector_alloc", "vector_activate", "vector_reserve"), (X86, "")),
}
POWER = {"pSeries": PSERIES, "PowerNV": POWERNV}
# What names of architectures stand in releases, compilers and `uname -a`.
ARCHITECTURES = {
    X86: ("x86_64", "amd64", "i686", "i386"),
    ARM64: ("aarch64", "arm64"),
    S390: ("s390x",),
    POWERPC: ("ppc64le", "ppc64el", "powerpc64le"),
    LOONGARCH: ("loongarch64", "loong64"),
}
NEEDS = (
    *TABLES,
    "kvm_said",
    "power_said",
    "interrupt_row",
    "calls",
    "probe_entry",
    "graph_entry",
    "graph_leaf",
    "kernel_version",
    "trace_release",
)


@dataclass(frozen=True, slots=True)
class Platform:
    """Hold an architecture and an interrupt parent, each empty while unknown, and the row that shows the more exact of them."""

    arch: str = ""
    parent: str = ""
    why: str = ""
    row: Row | None = None


class Platforms(Model):
    """The model of the table `platforms`: one row per machine (and one for its guests) with its architecture and interrupt parent."""

    tables: ClassVar[tuple[Table, ...]] = (PLATFORMS,)
    across = NEEDS

    def run(self, rows: Iterable[tuple[str, Row]], tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
        """Emit the platform of each machine that the case names, and of what names none."""
        guest = pl.col("side").fill_null("").str.starts_with("guest")
        filled = {n: f for n, f in tables.items() if f.height}
        places = sorted({place for f in filled.values() for place in _places(f)})
        for machine, inside in places:
            mine = (pl.col("machine") == machine) & (guest == inside)
            place = platform(filled if len(places) == 1 else {n: f.filter(mine) for n, f in filled.items()})
            if place.row is not None:
                self.emit("platforms", place.row, arch=place.arch, parent=place.parent, why=place.why, line_end=place.row.line)
        return self.frames()


def _places(frame: pl.DataFrame) -> Iterator[tuple[str, bool]]:
    """Yield (machine, whether it is a guest's) of all rows, without a search where all are of one."""
    sides = frame["side"]
    if frame["machine"].n_unique() == 1 and sides.n_unique() == 1:
        yield frame["machine"][0], (sides[0] or "").startswith("guest")
    else:
        yield from frame.select("machine", pl.col("side").fill_null("").str.starts_with("guest").alias("guest")).unique().iter_rows()


def platform_of(platforms: pl.DataFrame | None, row: Row) -> Platform:
    """Return the platform of a row's machine, else that of what names no machine, else the only one of the case."""
    guest = (row.side or "").startswith("guest")
    mine = [p for p in (platforms.iter_rows(named=True) if platforms is not None else ()) if (p["side"] or "").startswith("guest") == guest]
    for near in ([p for p in mine if p["machine"] == row.machine], [p for p in mine if not p["machine"]], mine):
        if near:
            return Platform(near[0]["arch"], near[0]["parent"], near[0]["why"]) if len(near) == 1 else Platform()
    return Platform()


def platform(tables: Mapping[str, pl.DataFrame]) -> Platform:
    """Return the platform that the lines of one kernel show; none where they name several architectures or parents."""
    told = list(_told(tables))
    arches = list(dict.fromkeys(p.arch for p in told if p.arch))
    parents = list(dict.fromkeys(p.parent for p in told if p.parent))
    arch = arches[0] if len(arches) == 1 else ""
    parent = parents[0] if len(parents) == 1 else XEN if XEN in parents else ""
    best = next((p for p in told if p.parent == parent and parent), next((p for p in told if p.arch == arch and arch), Platform()))
    return Platform(arch, parent, best.why, best.row)


def _told(tables: Mapping[str, pl.DataFrame]) -> Iterator[Platform]:
    for name, (arch, parent) in TABLES.items():
        if parent == HYPERV and next(_first(tables, "kvm_said"), None) is not None:
            continue  # KVM shows its guests Hyper-V's enlightenments: irq chips and functions show the parent
        for row in _first(tables, name):
            yield Platform(arch, parent, f"{name.replace('_', ' ')} lines", row)
    for row in _first(tables, "power_said"):
        yield Platform(POWERPC, POWER[row.hardware], f"it uses the {row.hardware} machine description", row)
    for chip, arch, parent in _named(tables, "interrupt_row", "chip", CHIPS):
        for row in _first(tables, "interrupt_row", pl.col("chip") == chip):
            yield Platform(arch, parent, f"the irq chip {chip}", row)
    for table in ("calls", "probe_entry", "graph_entry", "graph_leaf"):
        for function, arch, parent in _named(tables, table, "function", FUNCTIONS):
            for row in _first(tables, table, pl.col("function") == function):
                yield Platform(arch, parent, f"{function} was called", row)
    for table in ("kernel_version", "trace_release"):
        for row in _first(tables, table):
            yield Platform(arch_of(row.release, getattr(row, "text", None)), "", f"Linux {row.release}", row)


def _named(
    tables: Mapping[str, pl.DataFrame], table: str, column: str, prefixes: Iterable[tuple[str, str, str]]
) -> Iterator[tuple[str, str, str]]:
    """Yield a name of a column for each prefix that one has, with the architecture and parent that the prefix stands for."""
    frame = tables.get(table)
    names = [] if frame is None else sorted(set(frame[column].unique()) - {None})
    for prefix, arch, parent in prefixes:
        if (name := next((n for n in names if n.startswith(prefix)), None)) is not None:
            yield name, arch, parent


def arch_of(release: str | None, text: str | None) -> str:
    """Return the architecture that a release (`6.12.95+deb12-amd64`) or else the rest of its line names (a compiler, `uname -a`)."""
    for part in (release or "", text or ""):
        for arch, names in ARCHITECTURES.items():
            if any(name in part for name in names):
                return arch
    return ""


def _first(tables: Mapping[str, pl.DataFrame], name: str, where: Any = None) -> Iterator[Row]:
    """Yield the first row of a table that satisfies `where`."""
    frame = tables.get(name)
    if frame is None or frame.is_empty():
        return
    found = frame if where is None else frame.filter(where.fill_null(False))
    if found.height:
        yield Row(**found.row(int(found["line"].arg_min() or 0), named=True))
