"""IRQ-010: a driver got no handler on a line, since another one does not share it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from tracekit import Finding, Subject, Unchecked, Verdict, at, diagnosis, in_order, times
from tracekit_irq.evidence import shown, sorted_rows

# include/linux/interrupt.h
TRIGGER, SHARED, ONESHOT = 0xF, 0x80, 0x2000


@diagnosis("irq.line-not-shared", code="IRQ-010", severity="info", record="dmesg; cat /proc/interrupts", log="kernel")
def line_not_shared(irq_flags_mismatch: pl.DataFrame | None = None) -> Iterator[Finding | Verdict]:
    """Two drivers want one interrupt line, and at least one of them does not share it, or not in the same way.

    What it finds: `Flags mismatch irq N. FLAGS (wants) vs. FLAGS (has)`: the request of the first was refused with -EBUSY. The flags tell
    whether both would share the line, and what differs then.
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
        why, advice = _why(mine[-1])
        holder = "it has it already" if wants == has else f"{has} has it"
        yield Finding(
            f"{wants} got no interrupt on irq {irq}: {holder} and {why} ({times(len(mine), 'time')})",
            "proven",
            in_order(at(r) for r in shown(mine)),
            subject=Subject(f"irq {irq}", kind="host"),
            advice=advice,
            values={"irq": irq, "wants": wants, "has": has, "count": len(mine)},
            unchecked=(Unchecked("that the driver goes on without", "the messages of the driver below"),),
        )


def _why(r: Mapping[str, Any]) -> tuple[str, str]:
    """Return why the two do not go together, as the flags of both tell, and what to do."""
    if r["irq"] == 0:
        return (
            "irq 0 stands for none",
            "See why the device was given no interrupt: MSI-X or MSI that was refused, or an INT pin without a route.",
        )
    mine, others = _number(r["flags"]), _number(r["other_flags"])
    if not mine & others & SHARED:
        return (
            "the two do not share it",
            "Use MSI where one of the two is a PCI device, or a driver that shares its line; else only one of them can be used.",
        )
    differ = mine ^ others
    how = "ONESHOT differs" if differ & ONESHOT and not differ & TRIGGER else "their triggers differ" if differ & TRIGGER else ""
    return f"both would share it, but {how or 'its trigger is set up another way'}", "Have both ask for it with the same trigger and flags."


def _number(flags: str | None) -> int:
    """Return flags as a number; 0 where they are no longer one, in a log that was edited."""
    return int(flags, 16) if flags and re.fullmatch("[0-9a-fA-F]{1,16}", flags) else 0
