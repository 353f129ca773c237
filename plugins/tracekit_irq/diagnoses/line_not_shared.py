"""IRQ-010: a driver got no handler on a line, since another one does not share it."""

from collections.abc import Iterator

import polars as pl

from tracekit import Finding, Subject, Unchecked, Verdict, at, diagnosis, in_order, times
from tracekit_irq.evidence import shown, sorted_rows


@diagnosis("irq.line-not-shared", code="IRQ-010", severity="info", record="dmesg; cat /proc/interrupts", log="kernel")
def line_not_shared(irq_flags_mismatch: pl.DataFrame | None = None) -> Iterator[Finding | Verdict]:
    """Two drivers want one interrupt line, and at least one of them does not share it.

    What it finds: `Flags mismatch irq N. FLAGS (wants) vs. FLAGS (has)`: the request of the first was refused with -EBUSY.
    Why it matters: the first driver has no interrupt. It is a matter of lines (INTx, ISA), not of MSI, and its driver may poll.
    Stays quiet when: the line was wanted for VFIO's INTx: that is VFIO-012.
    Affected: any kernel.
    What to do: use MSI for one of the two, or a driver that shares; on old machines another slot or BIOS setting.
    References: kernel/irq/manage.c, __setup_irq().
    """
    others = [r for r in sorted_rows(irq_flags_mismatch) if not (r["action"] or "").startswith("vfio-intx")]
    for irq in dict.fromkeys(r["irq"] for r in others):
        mine = [r for r in others if r["irq"] == irq]
        wants, has = mine[-1]["action"] or "a driver", mine[-1]["other_action"] or "another one"
        yield Finding(
            f"{wants} got no interrupt on line {irq}: {has} has it and the two do not share it ({times(len(mine), 'time')})",
            "proven",
            in_order(at(r) for r in shown(mine)),
            subject=Subject(f"irq {irq}", kind="host"),
            advice="Use MSI for one of the two devices, or a driver that shares its line.",
            values={"irq": irq, "wants": wants, "has": has, "count": len(mine)},
            unchecked=(Unchecked("that the driver goes on without", "the messages of the driver below"),),
        )
