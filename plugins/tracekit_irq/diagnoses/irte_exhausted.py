"""VEC-005: the interrupt-remapping table is full."""

from collections.abc import Iterator

import polars as pl

from tracekit import Finding, Unchecked, Verdict, at, clear, diagnosis, in_order, times, unnamed
from tracekit_irq import returned
from tracekit_irq.evidence import Rows, shown, sorted_rows

ADVICE = "Allocate fewer vectors: an entry is taken at allocation, not at request. AMD: use a kernel with 512 entries a device."
HOLDERS = Unchecked("who holds the entries", "/sys/kernel/debug/iommu/intel/ir_translation_struct")
# Old kernels return -1 for a full table; with a bitmap that is -12, and -1 a block that the IOMMU cannot invalidate at once.
LARGE = Unchecked("the block that was asked for is not too large for the IOMMU", "dmesg: `Requested mask N exceeds the max invalidation`")


@diagnosis(
    "vec.irte-exhausted", code="VEC-005", severity="high", explains=("VFIO-003", "VFIO-004", "VFIO-008"), record="dmesg", log="kernel"
)
def irte_exhausted(irte_exhausted: pl.DataFrame | None = None, calls: pl.DataFrame | None = None) -> Iterator[Finding | Verdict]:
    """The IOMMU has no free interrupt-remapping entry.

    What it finds: `IRn: can't allocate an IRTE` or `Failed to allocate IRTE` for a device; what alloc_irte() (Intel) or alloc_irq_index()
    (AMD) returned to a probe.

    Why it matters: one entry is taken for each vector that is allocated, requested or not, so allocations fail although CPUs have vectors.

    Stays quiet when: the message is about an I/O APIC's own entries.

    Affected: hosts with interrupt remapping; most of all where clients allocate whole tables.

    What to do: allocate fewer vectors a device; on AMD, where tables are per device, a kernel with larger ones.

    References: drivers/iommu/intel/irq_remapping.c, alloc_irte(): 65,536 entries an IOMMU; amd/iommu.c: 256, later 512 a device.
    """
    probed = returned.entries(calls)
    if irte_exhausted is None:
        if probed:
            yield _probed(probed)
        return
    rows = sorted_rows(irte_exhausted.filter(pl.col("rest").is_null()))
    if rows:
        units = sorted({r["iommu"] for r in rows if r["iommu"] is not None})
        unit = f" of IR{', IR'.join(map(str, units))}" if units else ""
        yield Finding(
            f"the interrupt-remapping table{unit} is full: {times(len(rows), 'message')}",
            "proven",
            in_order(at(r) for r in shown(rows)),
            advice=ADVICE,
            values={"count": len(rows), "iommu": units},
            unchecked=(HOLDERS,),
        )
    elif probed:
        yield _probed(probed)
    else:
        yield clear("only I/O APIC entries failed")


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
