"""IRQ-008: an IOMMU does not carry out the commands that change its entries."""

from collections.abc import Iterator

import polars as pl

from tracekit import Finding, Subject, Unchecked, Verdict, at, diagnosis, in_order, times
from tracekit_irq.emulated import function_of
from tracekit_irq.evidence import shown, sorted_rows


@diagnosis("irq.commands-unanswered", code="IRQ-008", severity="medium", record="dmesg; events/intel_iommu/qi_submit", log="kernel")
def commands_unanswered(
    amd_wait_timed_out: pl.DataFrame | None = None, qi_error: pl.DataFrame | None = None
) -> Iterator[Finding | Verdict]:
    """An IOMMU did not carry out its commands, so a changed remapping entry may not have taken effect.

    What it finds: a Completion-Wait timeout of AMD's IOMMU, an error or timeout of the invalidation queue of Intel's. Possible: most
    commands are about DMA, not about interrupts.
    Why it matters: messages may still go where an entry pointed before it was changed.
    Stays quiet when: none of these lines is there; a fault that the unit reports about a message is IRQ-003, an ITS's commands are MSI-006.
    Affected: x86 with an IOMMU.
    What to do: look for a device that does not answer invalidations (ATS), or that left the bus, at the same time.
    References: drivers/iommu/amd/iommu.c, wait_on_sem(); drivers/iommu/intel/dmar.c, qi_check_fault().
    """
    amd, intel = sorted_rows(amd_wait_timed_out), sorted_rows(qi_error)
    lines = amd + intel
    if lines:
        devices = sorted({function_of(r["sid"]) for r in intel if r["sid"] and r["sid"] <= 0xFFFF})  # 0: the unit does not say
        whose = f"; {', '.join(devices[:4])} did not answer" if devices else ""
        yield Finding(
            f"an IOMMU did not carry out its commands, {times(len(lines), 'time')}: a changed entry may not have taken effect{whose}",
            "possible",
            in_order(at(r) for r in shown(lines)),
            subject=Subject("IOMMU", kind="host"),
            advice="Look for a device that does not answer invalidations (ATS), or that left the bus, at the same time.",
            values={"count": len(lines), "devices": devices},
            unchecked=(Unchecked("that the command was about an interrupt's entry", "events/intel_iommu/qi_submit"),),
        )
