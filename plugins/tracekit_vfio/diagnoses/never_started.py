"""VFIO-013: a VM with a passed-through device did not start, for a reason that is none of its interrupts."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from tracekit import HOST, Finding, Subject, Unchecked, Verdict, clear, diagnosis, distinct, span
from tracekit_vfio.options import host_of

RECORD = "the whole log of QEMU from its command line on, and dmesg of the host"
PEER = r"Bad address|Invalid argument|File exists"  # another device's BAR, which QEMU maps too and can do without
MEMORY = r"memory listener initiali[sz]ation failed|vfio_dma_map|vfio_container_dma_map|VFIO_MAP_DMA"
REMAPPING = r"Operation not permitted|allow_unsafe_interrupts"  # VFIO-011
KINDS = {
    "firmware": (
        "its firmware wants a 1:1 mapping of memory, which a guest's domain does not have",
        "Ask the platform's vendor for a firmware without reserved regions for the device, or use another slot or device.",
    ),
    "memory": (
        "the guest's memory could not be locked or mapped for DMA",
        "Raise the limit of locked memory of the VM (memlock, dma_entry_limit of vfio_iommu_type1), or give the guest less memory.",
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
    kvmtool_irqs_unfit: pl.DataFrame | None = None,
    kvmtool_setup_failed: pl.DataFrame | None = None,
    vfio_pf_refused: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """The device was never given to a guest: its container, group or memory was refused before any interrupt was set up.

    What it finds: a container that could not be set up, a group that is not viable or not opened, guest memory that could not be locked or
    mapped, a device whose firmware wants a 1:1 mapping or whose capabilities its VM manager cannot use, a physical function whose VFs are
    on. It informs and is no alarm.
    Why it matters: the guest has no device, so no interrupts; vectors, masks and remapping are not to blame.
    Stays quiet when: the refusal is for want of interrupt remapping (VFIO-011), or a BAR of another device could not be mapped, which QEMU
    goes on without.
    Affected: any release.
    What to do: by kind: firmware's reserved regions, the limit of locked memory, the devices of the group.
    References: QEMU hw/vfio/container.c; drivers/iommu/iommu.c, __iommu_device_set_domain(); drivers/vfio/vfio_iommu_type1.c.
    """
    found = {
        "firmware": _rows(iommu_one_to_one, iommu_reserved_memory),
        "memory": _rows(vfio_memlock_exceeded, _mapped(qemu_map_failed), _of_memory(qemu_container_failed, True)),
        "group": _rows(
            _of_memory(qemu_container_failed, False),
            _attached(qemu_set_iommu_failed),
            qemu_group_unopened,
            qemu_group_absent,
            qemu_group_refused,
            qemu_no_iommu,
            dpdk_group_refused,
        ),
        "capability": _rows(qemu_irq_info_failed, qemu_capability_failed, kvmtool_irqs_unfit, kvmtool_setup_failed),
        "virtual functions": _rows(vfio_pf_refused),
    }
    kinds = [kind for kind, rows in found.items() if rows]
    if kinds:
        # The container fails for what stands before: the first kind is the reason, the others its consequence.
        yield _finding(kinds[0], [r for kind in kinds for r in found[kind]])
    else:
        yield clear("no container, group or memory was refused to a guest")


def _rows(*frames: pl.DataFrame | None) -> list[dict[str, Any]]:
    return [r for f in frames if f is not None for r in f.to_dicts()]


def _mapped(frame: pl.DataFrame | None) -> pl.DataFrame | None:
    """Mappings of memory; those of another device's registers may fail."""
    return frame.filter(~pl.coalesce("reason", "errno_text").str.contains(PEER)) if frame is not None else None


def _of_memory(frame: pl.DataFrame | None, is_so: bool) -> pl.DataFrame | None:
    """Containers that failed, or did not, since the guest's memory could not be mapped."""
    return frame.filter(pl.col("why").str.contains(MEMORY) == is_so) if frame is not None else None


def _attached(frame: pl.DataFrame | None) -> pl.DataFrame | None:
    return frame.filter(~pl.col("reason").str.contains(REMAPPING)) if frame is not None else None


def _finding(kind: str, rows: list[dict[str, Any]]) -> Finding:
    first: Mapping[str, Any] = rows[0]
    bdf = next((named for r in rows if (named := r.get("bdf") or host_of(r.get("where")))), None)
    means, advice = KINDS[kind]
    return Finding(
        f"{bdf or 'a device'} was not given to its guest: {means}; no interrupt was set up, and MSI is not the cause",
        "proven",
        distinct(e for r in rows[:8] for e in span(r["source"], r["line"], role="cause" if r is first else "effect")),
        Subject(bdf, bdf=bdf) if bdf else HOST,
        advice=advice,
        unchecked=(Unchecked("that the VM did not start with another try", RECORD),),
        values={"kind": kind, "lines": len(rows)},
    )
