"""The platform of a kernel: its architecture, and the interrupt parent that its PCI functions' MSIs go through."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from tracekit import Inputs, Model, Row, Table
from tracekit_linux.gates.lines import lines
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
# Table -> the column whose values are told apart.
KINDS = {"interrupt_row": ("chip",), **dict.fromkeys(("calls", "probe_entry", "graph_entry", "graph_leaf"), ("function",))}
Lines = Mapping[str, Sequence[Row]]  # rows of each table, in the order of their lines
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
    looks_for: ClassVar[Mapping[str, tuple[str, ...]]] = {"graph_leaf": tuple(prefix for prefix, _, _ in FUNCTIONS)}

    def play(self, rows: Iterable[tuple[str, Row]], tables: Inputs) -> None:
        """Emit the platform of each machine that the case names, and of what names none."""
        heard = {name: told for name in NEEDS if (told := lines(tables, name, "machine", "side", *KINDS.get(name, ())))}
        sides = {(row.machine, row.side) for told in heard.values() for row in told}
        places = sorted({(machine, _is_of_guest(side)) for machine, side in sides})
        for machine, inside in places:
            mine = heard if len(places) == 1 else _of(heard, machine, inside)
            place = platform(mine)
            if place.row is not None:
                self.emit("platforms", place.row, arch=place.arch, parent=place.parent, why=place.why, line_end=place.row.line)


def _of(heard: Lines, machine: str, inside: bool) -> Lines:
    """Return the rows of a machine, or of its guests."""
    return {name: [row for row in told if row.machine == machine and _is_guest(row) == inside] for name, told in heard.items()}


def _is_guest(row: Row) -> bool:
    return _is_of_guest(row.side)


def _is_of_guest(side: str | None) -> bool:
    return (side or "").startswith("guest")


def platform_of(platforms: Iterable[Row], row: Row) -> Platform:
    """Return the platform of a row's machine, else that of what names no machine, else the only one of the case."""
    mine = [p for p in platforms if _is_guest(p) == _is_guest(row)]
    for near in ([p for p in mine if p.machine == row.machine], [p for p in mine if not p.machine], mine):
        if near:
            return Platform(near[0].arch, near[0].parent, near[0].why) if len(near) == 1 else Platform()
    return Platform()


def platform(heard: Lines) -> Platform:
    """Return the platform that the lines of one kernel show; none where they name several architectures or parents."""
    told = list(_told(heard))
    arches = list(dict.fromkeys(p.arch for p in told if p.arch))
    parents = list(dict.fromkeys(p.parent for p in told if p.parent))
    arch = arches[0] if len(arches) == 1 else ""
    parent = parents[0] if len(parents) == 1 else XEN if XEN in parents else ""
    best = next((p for p in told if p.parent == parent and parent), next((p for p in told if p.arch == arch and arch), Platform()))
    return Platform(arch, parent, best.why, best.row)


def _told(heard: Lines) -> Iterator[Platform]:
    for name, (arch, parent) in TABLES.items():
        if parent == HYPERV and heard.get("kvm_said"):
            continue  # KVM shows its guests Hyper-V's enlightenments: irq chips and functions show the parent
        for row in heard.get(name, ())[:1]:
            yield Platform(arch, parent, f"{name.replace('_', ' ')} lines", row)
    for row in heard.get("power_said", ())[:1]:
        yield Platform(POWERPC, POWER[row.hardware], f"it uses the {row.hardware} machine description", row)
    for row, chip, arch, parent in _named(heard, "interrupt_row", "chip", CHIPS):
        yield Platform(arch, parent, f"the irq chip {chip}", row)
    for table in ("calls", "probe_entry", "graph_entry", "graph_leaf"):
        for row, function, arch, parent in _named(heard, table, "function", FUNCTIONS):
            yield Platform(arch, parent, f"{function} was called", row)
    for table in ("kernel_version", "trace_release"):
        for row in heard.get(table, ())[:1]:
            yield Platform(arch_of(row.release, getattr(row, "text", None)), "", f"Linux {row.release}", row)


def _named(heard: Lines, table: str, column: str, prefixes: Iterable[tuple[str, str, str]]) -> Iterator[tuple[Row, str, str, str]]:
    """Yield the first row with a name of a column for each prefix that one has, the name, and the architecture and parent that the prefix
    stands for."""
    rows: dict[str, Row] = {}
    for row in heard.get(table, ()):
        rows.setdefault(getattr(row, column) or "", row)
    names = sorted(rows)
    for prefix, arch, parent in prefixes:
        if (name := next((n for n in names if n.startswith(prefix)), None)) is not None:
            yield rows[name], name, arch, parent


def arch_of(release: str | None, text: str | None) -> str:
    """Return the architecture that a release (`6.12.95+deb12-amd64`) or else the rest of its line names (a compiler, `uname -a`)."""
    for part in (release or "", text or ""):
        for arch, names in ARCHITECTURES.items():
            if any(name in part for name in names):
                return arch
    return ""
