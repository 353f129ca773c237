"""A kernel or Xen that stops at its boot since the timer does not interrupt through the I/O APIC."""

from collections.abc import Iterator

from tracekit import HOST, Finding, Unchecked, at, in_order
from tracekit_irq.evidence import Rows, shown

PANIC = "IO-APIC + timer doesn't work"
REMAPPED = "timer doesn't work through Interrupt-remapped IO-APIC"
ADVICE = (
    "Firmware describes the I/O APIC or the timer's pin wrongly, or the I/O APIC is not set up: try newer firmware and its settings of the "
    "timers (HPET), then noapic; of Xen also iommu=no-intremap, since it does not say whether remapping was in the way."
)


def silent(panic_reason: str) -> bool:
    """Return whether a kernel stops since its timer does not interrupt, and no remapping is in the way."""
    return panic_reason.startswith(PANIC)


def stopped_by_timer(panics: Rows, ends_of_xen: Rows, pins: Rows) -> Iterator[Finding]:
    """Yield one finding: check_timer() of both counts the timer's interrupts by each way that there is, and got none."""
    ends = [r for r in panics if silent(r["panic_reason"])] + ends_of_xen
    if ends:
        yield Finding(
            "the timer's interrupt (irq 0) does not arrive by any way through the I/O APIC, over which the boot stopped",
            "probable",
            in_order([*(at(r) for r in shown(ends)), *(at(r, "context") for r in shown(pins))]),
            subject=HOST,
            severity="critical",
            advice=ADVICE,
            values={"count": len(ends)},
            unchecked=(Unchecked("which ways were tried, and how each failed", "the log with apic=debug (Xen: apic_verbosity=debug)"),),
        )
