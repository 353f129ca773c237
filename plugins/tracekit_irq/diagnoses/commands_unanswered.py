"""IRQ-008: an IOMMU does not carry out the commands that change its entries."""

from collections.abc import Iterator

import polars as pl

from tracekit import Finding, Subject, Unchecked, Verdict, at, diagnosis, in_order, times
from tracekit_irq.emulated import function_of
from tracekit_irq.evidence import shown, sorted_rows
from tracekit_irq.models.remap import bdf_of
from tracekit_irq.remap_records import with_end

UNREACHABLE = (0, 0xFFFF)  # source ids that name no device: the unit does not say, or its registers read all ones
INTEL = Unchecked("that the command was about an interrupt's entry", "events/intel_iommu/qi_submit")
AMD = Unchecked("that the command was about an interrupt's entry", "a kprobe on iommu_flush_irt_and_complete beside the time-out")
ADVICE = "Look for a device that does not answer invalidations (ATS), or that left the bus, at the same time."


@diagnosis("irq.commands-unanswered", code="IRQ-008", severity="medium", record="dmesg; events/intel_iommu/qi_submit", log="kernel")
def commands_unanswered(
    amd_wait_timed_out: pl.DataFrame | None = None,
    amd_iommu_event: pl.DataFrame | None = None,
    qi_error: pl.DataFrame | None = None,
    kernel_panic: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """An IOMMU did not carry out its commands, so a changed remapping entry may not have taken effect.

    What it finds: a Completion-Wait timeout of AMD's IOMMU or a device that did not answer one of its invalidations, an error or timeout of
    the invalidation queue of Intel's. Possible: most commands are about DMA, not about interrupts. Critical where a panic follows.
    Why it matters: messages may still go where an entry pointed before it was changed.
    Stays quiet when: none of these lines is there; a fault that the unit reports about a message is IRQ-003, an ITS's commands are MSI-006.
    Affected: x86 with an IOMMU.
    What to do: look for a device that does not answer invalidations (ATS), or that left the bus, at the same time.
    References: drivers/iommu/amd/iommu.c, wait_on_sem(); drivers/iommu/intel/dmar.c, qi_check_fault().
    """
    events = amd_iommu_event.filter(pl.col("kind") == "IOTLB_INV_TIMEOUT") if amd_iommu_event is not None else None
    waits, unanswered, intel = map(sorted_rows, (amd_wait_timed_out, events, qi_error))
    if lines := waits + unanswered + intel:
        named = [*(_answerless(r["sid"]) for r in intel), *(bdf_of(r["device"]) for r in unanswered if r["device"])]
        devices = sorted({d for d in named if d})
        count = len(waits or unanswered) + len([r for r in intel if r["letters"] is None] or intel)
        finding = Finding(
            f"an IOMMU did not carry out its commands, {times(count, 'time')}: a changed entry may not have taken effect" + _whose(devices),
            "possible",
            in_order(at(r) for r in shown(lines)),
            subject=Subject("IOMMU", kind="host"),
            advice=_advice(devices),
            values={"count": count, "devices": devices},
            unchecked=(INTEL if intel else AMD,),
        )
        yield with_end(finding, lines, sorted_rows(kernel_panic))


def _answerless(sid: int | None) -> str | None:
    """Return the function that did not answer, by its source id; None where that names no device."""
    return function_of(sid) if sid is not None and sid <= 0xFFFF and sid not in UNREACHABLE else None


def _whose(devices: list[str]) -> str:
    return f"; {', '.join(devices[:4])} did not answer" if devices else ""


def _advice(devices: list[str]) -> str:
    return f"See why {', '.join(devices[:4])} does not answer (ATS, power, reset), or whether it left the bus." if devices else ADVICE
