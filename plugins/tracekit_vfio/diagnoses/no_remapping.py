"""VFIO-011: the group is refused because the IOMMU has no interrupt remapping."""

from collections.abc import Iterator

import polars as pl

from tracekit import (
    EPERM,
    HOST,
    Evidence,
    Finding,
    Shown,
    Subject,
    Unchecked,
    Verdict,
    clear,
    diagnosis,
    distinct,
    inconclusive,
    span,
    times,
)

RECORD = "the host's dmesg (it names allow_unsafe_interrupts)"
ADVICE = "Turn interrupt remapping on (firmware, intremap=on), or accept the risk with vfio_iommu_type1.allow_unsafe_interrupts=1."
REASON = Unchecked("the refusal is for lack of interrupt remapping, not for the rights of the group's node", RECORD)


@diagnosis(
    "vfio.no-remapping",
    code="VFIO-011",
    severity="medium",
    record=RECORD,
    shown_by=(Shown("op_attach", "attaching of a group", ("ret",)),),
    absent="no attaching of a VFIO group in the input",
)
def no_remapping(
    vfio_no_remapping: pl.DataFrame | None = None,
    op_attach: pl.DataFrame | None = None,
    qemu_set_iommu_failed: pl.DataFrame | None = None,
    iommu_enabled: pl.DataFrame | None = None,
    remap_enabled: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """VFIO refuses the group: the IOMMU has no interrupt remapping.

    What it finds: the kernel's message that names allow_unsafe_interrupts, printed once an IOMMU type that was tried; or the attach of a
    group that returns -1.
    Why it matters: the device cannot be given to the guest; table sizes and vectors have nothing to do with it.
    Stays quiet when: attaching a group works.
    Affected: any kernel, for containers of VFIO type 1.
    What to do: turn interrupt remapping on (firmware, intremap), or accept the risk with allow_unsafe_interrupts=1.
    References: Linux drivers/vfio/vfio_iommu_type1.c, vfio_iommu_type1_attach_group().
    """
    accepted = op_attach.filter(pl.col("ret") == 0) if op_attach is not None else None
    later = (
        [e for r in accepted.head(1).iter_rows(named=True) for e in span(r["source"], r["line"], r["line_end"], "cure")]
        if accepted is not None
        else []
    )
    refused = op_attach.filter(pl.col("ret") == EPERM) if op_attach is not None else None
    if vfio_no_remapping is not None:
        yield _proven(vfio_no_remapping, refused, later, iommu_enabled if remap_enabled is None else None)
    elif refused is not None and refused.height:
        yield _possible(refused, later, "attaching a group to its IOMMU returned -1")
    elif qemu_set_iommu_failed is not None and qemu_set_iommu_failed["reason"].str.contains("Operation not permitted").any():
        yield _possible(qemu_set_iommu_failed, later, "QEMU may not set the container's IOMMU")
    elif op_attach is not None and (failed := op_attach.filter(pl.col("ret") < 0)).height:
        yield inconclusive(f"attaching a group failed with {failed['ret'][0]}; the reason is not recorded", RECORD)
    else:
        yield clear("groups were attached")


def _lines(frame: pl.DataFrame, role: str) -> list[Evidence]:
    end = "line_end" if "line_end" in frame.columns else "line"
    return [e for r in frame.head(4).iter_rows(named=True) for e in span(r["source"], r["line"], r[end], role)]


def _proven(messages: pl.DataFrame, refused: pl.DataFrame | None, later: list[Evidence], iommu: pl.DataFrame | None) -> Finding:
    evidence = (
        _lines(messages, "cause")
        + (_lines(refused, "effect") if refused is not None else [])
        + (_lines(iommu.head(1), "context") if iommu is not None else [])
        + later
    )
    return Finding(
        summary=f"VFIO refused a group {times(messages.height, 'time')}: its IOMMU has no interrupt remapping"
        + (", later accepted" if later else ""),
        grade="proven",
        subject=HOST,
        evidence=distinct(evidence),
        values={"refused": messages.height, "later_accepted": bool(later)},
        advice=ADVICE,
    )


def _possible(frame: pl.DataFrame, later: list[Evidence], what: str) -> Finding:
    first = frame.row(0, named=True)
    return Finding(
        summary=f"{what}: an IOMMU without interrupt remapping, or missing rights",
        grade="possible",
        subject=HOST if first.get("group") is None else Subject(f"group {first['group']:#x}", "host"),
        evidence=distinct([*_lines(frame, "effect"), *later]),
        unchecked=(REASON,),
        values={"refused": frame.height, "later_accepted": bool(later)},
        advice=ADVICE,
    )
