"""Kernel functions that tracekit knows: what they take, what they return, and how deep in the call chains they stand.

Facts: Linux drivers/pci/msi, kernel/irq/msi.c, drivers/vfio/pci, arch/x86/pci/xen.c and drivers/xen/events, releases 5.15 to 6.12.
"""

import re
from dataclasses import dataclass

import polars as pl

INT, BOOL, POINTER, VOID = "int", "bool", "pointer", "void"

# Register -> argument number, in the order of the x86-64 calling convention.
REGISTERS = {"di": 0, "si": 1, "dx": 2, "cx": 3, "r8": 4, "r9": 5}


@dataclass(frozen=True, slots=True)
class Function:
    """A kernel function: parameter names in order, kind of its return value, and rank.

    `rank`: of two functions of these chains, only the one with the lower rank can call the other, and none calls beyond its `reach`;
    null for helpers.
    """

    parameters: tuple[str, ...]
    returns: str = INT
    rank: int | None = None
    reach: int = 99

    def may_call(self, other: "Function") -> bool:
        """Return whether `other` can stand below this one; helpers (without rank) may be anywhere."""
        return self.rank is None or other.rank is None or self.rank < other.rank <= self.reach


def _table(text: str) -> dict[str, Function]:
    """Parse lines `rank kind name parameters...`; rank `11-13` with the reach, `-` for helpers."""
    found = {}
    for line in text.strip().splitlines():
        rank, kind, name, *parameters = line.split()
        low, _, high = rank.partition("-")
        found[name] = Function(tuple(parameters), kind, int(low) if low else None, int(high or 99))
    return found


FUNCTIONS = _table("""
0 int vfio_pci_core_ioctl vdev cmd arg
0 void vfio_pci_core_close_device vdev
0 int vfio_pci_open_device vdev
1 int vfio_pci_core_enable vdev
1 void vfio_pci_core_disable vdev
2-2 int vfio_iommu_type1_attach_group data group type
2 int vfio_pci_set_irqs_ioctl vdev flags index start count data
3 int vfio_pci_set_msi_trigger vdev index start count flags data
3 int vfio_pci_set_intx_trigger vdev index start count flags data
4 int vfio_msi_enable vdev nvec msix
4 void vfio_msi_disable vdev msix
4 int vfio_msi_set_block vdev start count fds msix
5 int vfio_msi_set_vector_signal vdev vector fd msix
6 int vfio_msi_alloc_irq vdev vector msix
7 int pci_alloc_irq_vectors dev min max flags
8 int pci_alloc_irq_vectors_affinity dev min max flags affd
9 int pci_enable_msix_range dev entries minvec maxvec
9 int pci_enable_msi dev
10 int __pci_enable_msix_range dev entries minvec maxvec affd flags
10 int __pci_enable_msi_range dev minvec maxvec affd
10 int pci_msix_alloc_irq_at dev index affd
10 void pci_free_irq_vectors dev
11 void pci_disable_msix dev
11 void pci_disable_msi dev
11 void pci_msix_free_irq dev map
11-13 bool pci_setup_msix_device_domain dev hwsize
11-13 bool pci_setup_msi_device_domain dev hwsize
12 int msix_capability_init dev entries nvec affd
12 int msi_capability_init dev nvec affd
12-13 bool pci_create_device_domain dev template hwsize
13-13 bool msi_create_device_irq_domain dev domid tmpl hwsize domain_data chip_data
13-13 void msi_remove_device_irq_domain dev domid
14-16 int msix_setup_msi_descs dev entries nvec masks
14 int msi_domain_alloc_irq_at dev domid index affd icookie
14 int msi_domain_alloc_irqs_all_locked dev domid nirqs
14 int msi_domain_alloc_irqs_descs_locked domain dev nvec
14 void pci_free_msi_irqs dev
15-16 int msi_domain_insert_msi_desc dev domid init_desc
15 void msi_domain_free_irqs_all_locked dev domid
15 void msi_domain_free_irqs_descs_locked domain dev
16-16 int msi_insert_desc dev desc domid index
16-16 int msi_add_msi_desc dev init_desc
16 int xen_initdom_setup_msi_irqs dev nvec type
16 int xen_hvm_setup_msi_irqs dev nvec type
16 int xen_setup_msi_irqs dev nvec type
16 void xen_teardown_msi_irqs dev
17-17 int xen_allocate_pirq_msi dev desc
17-17 int xen_bind_pirq_msi_to_irq dev desc pirq nvec name domid
17-17 int xen_destroy_irq irq
- int pci_msi_setup_msi_irqs dev nvec type
- void pci_msi_teardown_msi_irqs dev
- int __irq_domain_alloc_irqs domain irq_base nr_irqs node arg realloc affinity
- int irq_domain_alloc_irqs_locked domain irq_base nr_irqs node arg realloc affinity
- int its_irq_domain_alloc domain virq nr_irqs args
- int pci_msix_vec_count dev
- int pci_msi_vec_count dev
- bool pci_msi_domain_supports dev feature_mask mode
- bool pci_msix_can_alloc_dyn dev
- bool msi_match_device_irq_domain dev domid bus_token
- int msi_domain_get_hwsize dev domid
- pointer msi_get_device_domain dev domid
- pointer msi_desc_to_pci_dev desc
- int pci_irq_vector dev nr
- int request_threaded_irq irq handler thread_fn flags name dev_id
- pointer free_irq irq dev_id
- int irq_startup desc resend force
- int x86_vector_activate domain irq_data reserve
- int x86_vector_alloc_irqs domain virq nr_irqs arg
- int assign_vector_locked irqd dest
- int irq_matrix_alloc m msk reserved mapped_cpu
- int irq_domain_activate_irq irq_data reserve
- int alloc_irte iommu irq_iommu count
- int alloc_irq_index iommu devid count align pdev
- int intel_irq_remapping_alloc domain virq nr_irqs arg
- int vfio_msihandler irq arg
- int dmar_fault irq dev_id
- int xen_pcibk_enable_msix pdev dev op
- int xen_pcibk_enable_msi pdev dev op
- int pci_write_msi_msg irq msg
""")

# Other names that recorders give to a parameter.
ALIASES = {
    "pdev": "dev", "pci_dev": "dev", "core_vdev": "vdev", "idx": "index", "irq_index": "index", "nr": "count", "num": "count",
    "cnt": "count", "vec": "vector", "min_vecs": "min", "max_vecs": "max", "nvecs": "nvec", "nr_irqs": "nvec", "hw_size": "hwsize",
    "size": "hwsize", "template": "tmpl", "domain_id": "domid", "eventfd": "fd",
}  # fmt: skip
# A function's own words for a parameter that another one calls differently.
RENAMED = {
    "__pci_enable_msix_range": {"min": "minvec", "max": "maxvec"},
    "__pci_enable_msi_range": {"min": "minvec", "max": "maxvec"},
    "pci_enable_msix_range": {"min": "minvec", "max": "maxvec"},
    "pci_alloc_irq_vectors": {"minvec": "min", "maxvec": "max"},
    "pci_alloc_irq_vectors_affinity": {"minvec": "min", "maxvec": "max"},
}
# These take `&pdev->dev`, which lies inside the `struct pci_dev`; all others with `dev` take the `struct pci_dev *`.
TAKES_DEVICE = frozenset(n for n in FUNCTIONS if n.startswith("msi_") and n != "msi_capability_init")

RETURN_NAMES = ("ret", "rc", "retval", "return", "rv", "result")


UNKNOWN = Function(())
SYSTEM_CALL = Function(("fd", "cmd", "arg"), INT, -1)


def bare(name: str) -> str:
    """Return a symbol without its compiler suffix: `pci_disable_msix.part.0` is `pci_disable_msix`."""
    return name.partition(".")[0]


def parameter(function: str, word: str, argument: int | None = None) -> str | None:
    """Return the parameter of a recorded argument: by its number where that is known, else by its name, else null."""
    known = FUNCTIONS.get(function)
    if known is None:
        return None
    if argument is not None:
        return known.parameters[argument] if argument < len(known.parameters) else None
    if word.startswith("arg") and word[3:].isdigit():
        return parameter(function, word, int(word[3:]) - 1)
    for candidate in (word, ALIASES.get(word, word)):
        candidate = RENAMED.get(function, {}).get(candidate, candidate)
        if candidate in known.parameters:
            return candidate
    return None


def normal_returns(kind: pl.Expr, value: pl.Expr) -> pl.Expr:
    """Return what functions of a kind returned: int sign-extended from 32 bits, bool from its low 8 bits, nothing for void."""
    low = value.cast(pl.Int32, wrap_numerical=True).cast(pl.Int64)
    return pl.when(kind == INT).then(low).when(kind == BOOL).then(value & 0xFF).when(kind.ne_missing(VOID)).then(value)


def signed(value: int, bits: int) -> int:
    """Return the low `bits` of a number as a two's complement number."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


# A probe whose line has an address instead of a name: (parameters it must have, words its event name must hold, function).
# First match wins; what rests on it is a hint.
GUESSES: tuple[tuple[frozenset[str], tuple[str, ...], str], ...] = (
    (frozenset({"vdev", "flags", "index", "count"}), ("trig",), "vfio_pci_set_msi_trigger"),
    (frozenset({"vdev", "flags", "index", "count"}), (), "vfio_pci_set_irqs_ioctl"),
    (frozenset({"vdev", "vector", "fd"}), (), "vfio_msi_set_vector_signal"),
    (frozenset({"domid", "index", "desc"}), (), "msi_insert_desc"),
    (frozenset({"domid", "hwsize"}), (), "msi_create_device_irq_domain"),
    (frozenset({"hwsize"}), (), "pci_setup_msix_device_domain"),
    (frozenset({"pirq", "nvec"}), (), "xen_bind_pirq_msi_to_irq"),
    (frozenset({"nvec", "type"}), (), "xen_initdom_setup_msi_irqs"),
    (frozenset({"data", "group"}), (), "vfio_iommu_type1_attach_group"),
    (frozenset({"vdev", "msix"}), ("disable",), "vfio_msi_disable"),
    (frozenset({"vdev"}), ("close",), "vfio_pci_core_close_device"),
    (frozenset({"vdev"}), ("open",), "vfio_pci_core_enable"),
    (frozenset({"dev"}), ("free",), "pci_free_irq_vectors"),
    (frozenset({"minvec", "maxvec"}), ("msix", "range"), "__pci_enable_msix_range"),
    (frozenset({"minvec", "maxvec"}), ("msi",), "__pci_enable_msi_range"),
    (frozenset({"min", "max"}), ("msix",), "__pci_enable_msix_range"),
    (frozenset({"min", "max"}), ("alloc",), "pci_alloc_irq_vectors_affinity"),
    (frozenset({"dev", "index"}), ("dyn", "alloc_at"), "pci_msix_alloc_irq_at"),
    (frozenset({"dev", "domid"}), ("rm", "remove", "del"), "msi_remove_device_irq_domain"),
    (frozenset(), ("insert", "insd", "ins_desc"), "msi_insert_desc"),
    (frozenset(), ("add_desc", "msi_desc"), "msi_add_msi_desc"),
    (frozenset(), ("mkdom", "mk_dom", "create_dom", "domain_create"), "msi_create_device_irq_domain"),
    (frozenset(), ("rmdom", "rm_dom", "remove_dom"), "msi_remove_device_irq_domain"),
    (frozenset(), ("setup_dom", "setup_msix"), "pci_setup_msix_device_domain"),
    (frozenset(), ("setirqs", "set_irqs"), "vfio_pci_set_irqs_ioctl"),
    (frozenset(), ("msix_range", "enable_msix"), "__pci_enable_msix_range"),
    (frozenset(), ("msi_range", "enable_msi"), "__pci_enable_msi_range"),
    (frozenset(), ("alloc_irq_vectors", "alloc_vectors"), "pci_alloc_irq_vectors_affinity"),
    (frozenset(), ("vector_signal", "set_vector"), "vfio_msi_set_vector_signal"),
)


# What kprobe_events and perf probe make of a function's name where nobody chose one: `p_xen_destroy_irq_0`, `r_request_threaded_irq_0`;
# `x86_vector_activate`, `x86_vector_activate_1`, `x86_vector_activate__return` (kernel/trace/trace_kprobe.c; perf's probe-event.c).
_AUTOMATIC = re.compile(r"^(?:[pr]_)?(.+?)(?:__return)?(?:_[0-9]{1,6})?$")


def named_by(probe: str) -> str | None:
    """Return the known function that an automatic name of a probe holds, null if none."""
    m = _AUTOMATIC.match(probe)
    return next((name for name in (probe, m[1]) if name in FUNCTIONS), None) if m else None


def guess(probe: str, words: frozenset[str]) -> str | None:
    """Return the function that the names of an event and its arguments suggest, null if none. A hint only: people name probes freely."""
    if (function := named_by(probe)) is not None:
        return function
    have = words | {ALIASES[w] for w in words if w in ALIASES}
    name = probe.lower()
    return next((f for need, parts, f in GUESSES if need <= have and (not parts or any(p in name for p in parts))), None)
