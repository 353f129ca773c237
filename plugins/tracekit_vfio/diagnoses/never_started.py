"""VFIO-013: a VM with a passed-through device did not start, for a reason that is none of its interrupts."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import polars as pl

from tracekit import HOST, Finding, Subject, Unchecked, Verdict, clear, diagnosis, distinct, span
from tracekit_vfio.mappings import REASONS, errno_of, refused
from tracekit_vfio.options import at_place, host_of

RECORD = "the whole log of QEMU from its command line on, and dmesg of the host"
MEMORY = r"memory listener initiali[sz]ation failed|vfio_dma_map|vfio_container_dma_map|VFIO_MAP_DMA"
REMAPPING = r"Operation not permitted|allow_unsafe_interrupts"  # VFIO-011
KINDS = {
    "firmware": (
        "its firmware wants a 1:1 mapping of memory, which a guest's domain does not have",
        "Ask the platform's vendor for a firmware without reserved regions for the device, or use another slot or device.",
    ),
    "token": (
        "the token that the user of a VF must give is wrong or missing",
        "Give it by QEMU's vf-token= (the user of the physical function sets it), or take the physical function off vfio-pci: then a VF "
        "takes none.",
    ),
    "models": (
        "no IOMMU driver of VFIO is loaded in the host",
        "Load vfio_iommu_type1 (on POWER vfio_iommu_spapr_tce), and see that the IOMMU is on.",
    ),
    "group": (
        "its IOMMU group could not be opened or attached",
        "Bind every device of the group to vfio-pci, and see the rights of /dev/vfio and the kernel log for the reason.",
    ),
    "capability": (
        "its VM manager cannot use the interrupts or the MSI-X table that the device shows",
        "Compare `lspci -vvv` of the device (MSI, MSI-X, BARs) with the manager's message; a device in reset shows nonsense.",
    ),
    "virtual functions": (
        "it is a physical function whose VFs are on",
        "Switch its VFs off (sriov_numvfs) before it goes to vfio-pci.",
    ),
}

Outcome = Literal["not given", "ended", "untold"]
WORDS: dict[Outcome, tuple[str, Literal["proven", "possible"], str]] = {
    "not given": (
        "{} was not given to its guest: {}; no interrupt was set up, and MSI is not the cause",
        "proven",
        "that the VM did not start with another try",
    ),
    "ended": ("QEMU ended, and the guest that had {} with it: {}; MSI is not the cause", "proven", "which device or memory was added then"),
    "untold": (
        "a DMA mapping of {} was refused, which its user may have done without: {}; MSI is not the cause",
        "possible",
        "that the device's user, a VM or a driver in user space, gave up for it",
    ),
}


@diagnosis(
    "vfio.never-started",
    code="VFIO-013",
    severity="info",
    record=RECORD,
    shown_by=("qemu_version",),
    absent="no message about a container, a group or DMA, and no QEMU log from its start",
)
def never_started(
    iommu_one_to_one: pl.DataFrame | None = None,
    iommu_reserved_memory: pl.DataFrame | None = None,
    vfio_memlock_exceeded: pl.DataFrame | None = None,
    qemu_map_failed: pl.DataFrame | None = None,
    qemu_container_failed: pl.DataFrame | None = None,
    qemu_set_iommu_failed: pl.DataFrame | None = None,
    qemu_group_unopened: pl.DataFrame | None = None,
    qemu_group_absent: pl.DataFrame | None = None,
    qemu_group_refused: pl.DataFrame | None = None,
    qemu_no_iommu: pl.DataFrame | None = None,
    dpdk_group_refused: pl.DataFrame | None = None,
    qemu_irq_info_failed: pl.DataFrame | None = None,
    qemu_capability_failed: pl.DataFrame | None = None,
    vmm_table_unmapped: pl.DataFrame | None = None,
    kvmtool_irqs_unfit: pl.DataFrame | None = None,
    kvmtool_setup_failed: pl.DataFrame | None = None,
    vfio_pf_refused: pl.DataFrame | None = None,
    vfio_vf_token: pl.DataFrame | None = None,
    vfio_vf_captured: pl.DataFrame | None = None,
    qemu_dma_stopped: pl.DataFrame | None = None,
    qemu_group_given_up: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """The device was never given to a guest: its container, group or memory was refused before any interrupt was set up.

    What it finds: a container that could not be set up, a group that is not viable or not opened, guest memory that could not be locked or
    mapped, a device whose firmware wants a 1:1 mapping or whose capabilities its VM manager cannot use, a physical function whose VFs are
    on, a VF whose token is missing. It informs and is no alarm. Of a refused mapping alone it is possible: the user may have done without.
    Why it matters: the guest has no device, so no interrupts; vectors, masks and remapping are not to blame.
    Stays quiet when: the refusal is for want of interrupt remapping (VFIO-011), or a BAR of another device could not be mapped, which QEMU
    goes on without.
    Affected: any release.
    What to do: by kind: firmware's reserved regions, the limit of locked memory, the devices of the group.
    References: QEMU hw/vfio/container.c; drivers/iommu/iommu.c, __iommu_device_set_domain(); drivers/vfio/vfio_iommu_type1.c.
    """
    failed, stopped = _rows(_of_memory(qemu_container_failed, True)), _rows(qemu_dma_stopped)
    mapped = [*_rows(vfio_memlock_exceeded), *refused(qemu_map_failed, [*failed, *stopped, *_rows(qemu_group_given_up)])]
    of_token, of_group = _without_token(qemu_group_absent, vfio_vf_captured)
    found = {
        "firmware": _rows(iommu_one_to_one, iommu_reserved_memory),
        "memory": [*mapped, *failed, *(stopped if mapped or failed else [])],
        "token": [*_rows(vfio_vf_token), *of_token],
        "models": _rows(qemu_no_iommu),
        "group": [
            *_rows(_of_memory(qemu_container_failed, False), _attached(qemu_set_iommu_failed), qemu_group_unopened),
            *of_group,
            *_rows(qemu_group_refused, dpdk_group_refused),
        ],
        "capability": _rows(qemu_irq_info_failed, qemu_capability_failed, vmm_table_unmapped, kvmtool_irqs_unfit, kvmtool_setup_failed),
        "virtual functions": _rows(vfio_pf_refused),
    }
    kinds = [kind for kind, rows in found.items() if rows]
    if kinds:
        # The container fails for what stands before: the first kind is the reason, the others its consequence.
        rows = [r for kind in kinds for r in found[kind]]
        given_up = _rows(qemu_group_given_up)
        yield _finding(kinds[0], [*rows, *given_up], _outcome(kinds, [*failed, *given_up], mapped, stopped))
    else:
        yield clear("no container, group or memory was refused to a guest")


def _rows(*frames: pl.DataFrame | None) -> list[dict[str, Any]]:
    return [r for f in frames if f is not None for r in f.to_dicts()]


def _outcome(kinds: list[str], failed: list[dict[str, Any]], mapped: list[dict[str, Any]], stopped: list[dict[str, Any]]) -> Outcome:
    """Return what came of it: of a mapping alone it is not told, as a guest or a driver in user space may have gone on."""
    if kinds != ["memory"] or failed or any("-device" in (r.get("where") or "") for r in mapped):
        return "not given"
    return "ended" if stopped else "untold"


def _without_token(absent: pl.DataFrame | None, captured: pl.DataFrame | None) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """VFs of a PF that vfio-pci has, which the kernel did not open, with the line that tells of it; and the other refusals.

    Of such a VF that errno is the token's alone (vfio_pci_validate_vf_token).
    """
    held = {r["vf"]: r for r in _rows(captured)}
    refusals = _rows(absent)
    is_so = [r["bdf"] in held and "Permission denied" in (r["why"] or "") for r in refusals]
    of_token = [r for r, so in zip(refusals, is_so, strict=True) if so]
    others = [r for r, so in zip(refusals, is_so, strict=True) if not so]
    return [*of_token, *(dict(held[b], bdf=b) for b in dict.fromkeys(r["bdf"] for r in of_token))], others


def _of_memory(frame: pl.DataFrame | None, is_so: bool) -> pl.DataFrame | None:
    """Containers that failed, or did not, since the guest's memory could not be mapped."""
    return frame.filter(pl.col("why").str.contains(MEMORY) == is_so) if frame is not None else None


def _attached(frame: pl.DataFrame | None) -> pl.DataFrame | None:
    return frame.filter(~pl.col("reason").str.contains(REMAPPING)) if frame is not None else None


def _finding(kind: str, rows: list[dict[str, Any]], outcome: Outcome) -> Finding:
    first: Mapping[str, Any] = rows[0]
    bdf = next((named for r in rows if (named := r.get("bdf") or _named(r))), None)
    errno = next((e for r in rows if (e := r.get("errno") or errno_of(r))), None) if kind == "memory" else None
    means, advice = REASONS.get(errno, REASONS[None]) if kind == "memory" else KINDS[kind]
    words, grade, open_question = WORDS[outcome]
    return Finding(
        words.format(bdf or "a device", means),
        grade,
        distinct(e for r in rows[:8] for e in span(r["source"], r["line"], role="cause" if r is first else "effect")),
        Subject(bdf, bdf=bdf) if bdf else HOST,
        advice=advice,
        unchecked=(Unchecked(open_question, RECORD),),
        values={"kind": kind, "lines": len(rows), **({"errno": errno} if kind == "memory" else {})},
    )


def _named(row: Mapping[str, Any]) -> str | None:
    """Return the function of QEMU's option, or of the place that acrn-dm tells."""
    return host_of(row.get("where") or row.get("option")) or at_place(row.get("place"))
