"""VEC-005: the interrupt-remapping table is full."""

from collections.abc import Iterator

import polars as pl

from tracekit import Finding, Unchecked, Verdict, at, clear, diagnosis, in_order, near, rows_above, times, unnamed
from tracekit_irq import returned
from tracekit_irq.evidence import Rows, shown, sorted_rows

ADVICE = "Allocate fewer vectors: an entry is taken at allocation, not at request. AMD: use a kernel with 512 entries a device."
HOLDERS = Unchecked("who holds the entries", "/sys/kernel/debug/iommu/intel/ir_translation_struct")
# Old kernels return -1 for a full table; with a bitmap that is -12, and -1 a block that the IOMMU cannot invalidate at once.
LARGE = Unchecked("the block that was asked for is not too large for the IOMMU", "dmesg: `Requested mask N exceeds the max invalidation`")

NEAR = 4  # lines from the reason to what follows from it


@diagnosis(
    "vec.irte-exhausted", code="VEC-005", severity="high", explains=("VFIO-003", "VFIO-004", "VFIO-008"), record="dmesg", log="kernel"
)
def irte_exhausted(
    irte_exhausted: pl.DataFrame | None = None,
    irte_block_refused: pl.DataFrame | None = None,
    irte_mask_exceeded: pl.DataFrame | None = None,
    calls: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """The IOMMU has no free interrupt-remapping entry.

    What it finds: `IRn: can't allocate an IRTE` or `Failed to allocate IRTE` for a device; what alloc_irte() (Intel) or alloc_irq_index()
    (AMD) returned to a probe; probable where an old kernel only says that a function got none.

    Why it matters: one entry is taken for each vector that is allocated, requested or not, so allocations fail although CPUs have vectors.

    Stays quiet when: the message is about an I/O APIC's own entries, or the line above says that the block is too large for the IOMMU.

    Affected: hosts with interrupt remapping; most of all where clients allocate whole tables.

    What to do: allocate fewer vectors a device; on AMD, where tables are per device, a kernel with larger ones.

    References: drivers/iommu/intel/irq_remapping.c, alloc_irte(): 65,536 entries an IOMMU; amd/iommu.c: 256, later 512 a device.
    """
    probed = returned.entries(calls)
    if irte_exhausted is None and irte_block_refused is None:
        if probed:
            yield _probed(probed)
        return
    full = sorted_rows(irte_exhausted.filter(pl.col("rest").is_null())) if irte_exhausted is not None else []
    too_large = sorted_rows(irte_mask_exceeded)
    blocks = [r for r in sorted_rows(irte_block_refused) if not any(near(m, r, NEAR, 0) for m in rows_above(r, too_large))]
    rows = full or blocks
    if rows:
        units = sorted({r["iommu"] for r in full if r["iommu"] is not None})
        unit = f" of IR{', IR'.join(map(str, units))}" if units else ""
        yield Finding(
            f"the interrupt-remapping table{unit} is full: {times(len(rows), 'message')}",
            "proven" if full else "probable",
            in_order([*(at(r) for r in shown(rows)), *(at(r, "effect") for r in shown(blocks) if full)]),
            advice=ADVICE,
            values={"count": len(rows), "iommu": units},
            unchecked=(HOLDERS,),
        )
    elif probed:
        yield _probed(probed)
    else:
        yield clear("only I/O APIC entries failed, or a block that is larger than the IOMMU takes")


def _probed(failed: Rows) -> Finding:
    hint = all(c["hint"] for c in failed)
    full = any(c["ret"] != -1 for c in failed)
    codes = ", ".join(f"{name} = {ret}" for name, ret in dict.fromkeys((c["function"], c["ret"]) for c in failed))
    return Finding(
        f"the interrupt-remapping table is full: {times(len(failed), 'refusal')} ({codes})",
        "proven" if full and not hint else "probable",
        returned.evidence(failed),
        advice=ADVICE,
        values={"count": len(failed), "iommu": []},
        unchecked=(HOLDERS, *(() if full else (LARGE,)), *unnamed(hint)),
    )
