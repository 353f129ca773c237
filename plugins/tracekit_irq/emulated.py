"""Interrupt messages that an emulated IOMMU (QEMU's VT-d or AMD-Vi) refused, from its own messages."""

from collections.abc import Iterator, Sequence

import polars as pl

from tracekit import HOST, Finding, Subject, Unchecked, at, fallback, full_bdf, in_order
from tracekit_irq.evidence import shown
from tracekit_irq.remap_records import ADVICE

# hw/i386/intel_iommu.c, vtd_int_remap(): also for each route that KVM is given, of a pin that is masked too.
LOOKED = (
    "QEMU found an entry that is not present. It also looks entries up when it builds the routes of pins and vectors that are masked, so "
    "that nothing need have been sent: it matters where a device of the guest gets no interrupts."
)
HOW = "source id printed by the emulator: the guest's own number"


@fallback
def emulated(
    vtd_irte_not_present: pl.DataFrame | None = None,
    vtd_irte_sid: pl.DataFrame | None = None,
    vtd_irte_wrong: pl.DataFrame | None = None,
    amdvi_remap_failed: pl.DataFrame | None = None,
    amdvi_ir_refused: pl.DataFrame | None = None,
) -> Iterator[Finding]:
    """Yield one finding of all that it says: most lines are printed once a process, some name an index, some a source id, some neither."""
    told = (vtd_irte_not_present, vtd_irte_sid, vtd_irte_wrong, amdvi_remap_failed, amdvi_ir_refused)
    frames = [f for f in told if f is not None]
    if not frames:
        return
    rows = [r for f in frames for r in f.to_dicts()]
    indices = sorted({r["irte_index"] for r in rows if r.get("irte_index") is not None})
    ids = [r.get("sid") if r.get("sid") is not None else r.get("devid") for r in rows]
    sid = next((n for n in ids if n is not None), None)
    bdf = function_of(sid) if sid is not None and sid <= 0xFFFF else None
    place = f" at index {', '.join(f'0x{i:x}' for i in indices)}" if indices else ""
    whose = f"{', one' if indices else ''} of {bdf}" if bdf else ""
    only_looked = len(frames) == 1 and vtd_irte_not_present is not None
    what = "found no entry for interrupts" if only_looked else "refused interrupt messages"
    yield Finding(
        f"an emulated IOMMU {what}{place}{whose}{_why(amdvi_ir_refused)}",
        "possible" if only_looked else "probable",
        in_order(at(r) for r in shown(rows)),
        subject=Subject(bdf, bdf=bdf, how=HOW) if bdf else HOST,
        severity="low" if only_looked else None,
        advice=LOOKED if only_looked else ADVICE,
        values={"index": indices, "sid": sid},
        unchecked=(Unchecked("how often: each line is printed once a process", "the guest's dmesg"),),
    )


def function_of(sid: int) -> str:
    """Return the function that a source id of 16 bits stands for; segment 0, since the id has none."""
    return full_bdf(f"{sid >> 8:02x}:{sid >> 3 & 31:02x}.{sid & 7}")


def _why(reasons: pl.DataFrame | None) -> str:
    """Return the first reasons in the emulator's words."""
    texts: Sequence[str] = reasons["words"].unique(maintain_order=True).to_list()[:2] if reasons is not None else ()
    return f": {'; '.join(t.rstrip('. ') for t in texts)}" if texts else ""
