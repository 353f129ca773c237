"""IRQ-010: a driver got no handler on a line, since another one does not share it."""

import re
from collections.abc import Iterator, Mapping
from math import inf
from typing import Any, Literal

import polars as pl

from tracekit import (
    EBUSY,
    Finding,
    Subject,
    Unchecked,
    Verdict,
    at,
    at_once,
    diagnosis,
    full_bdf,
    in_order,
    inconclusive,
    near,
    rows_above,
    rows_below,
    times,
)
from tracekit_irq.evidence import Rows, shown, sorted_rows

# include/linux/interrupt.h
TRIGGER, SHARED, ONESHOT = 0xF, 0x80, 0x2000
REACH, REACH_MS = 40, 1000  # a driver that gives up says so at once; stack traces of debug kernels may stand between
ABOVE = 3  # lines in which a driver names its device before it asks


@diagnosis("irq.line-not-shared", code="IRQ-010", severity="info", record="dmesg; cat /proc/interrupts", log="kernel")
def line_not_shared(
    irq_flags_mismatch: pl.DataFrame | None = None,
    driver_probe_failed: pl.DataFrame | None = None,
    pcie_irq_refused: pl.DataFrame | None = None,
    virtio_legacy: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """Two drivers want one interrupt line, and at least one of them does not share it, or not in the same way.

    What it finds: `Flags mismatch irq N. FLAGS (wants) vs. FLAGS (has)`: the request of the first was refused with -EBUSY. The flags tell
    whether both would share the line, and what differs then. Medium where a driver gives up on its device for that, low where that is a
    service of a port, or where irq 0 was asked for; else it informs.
    Why it matters: the first driver has no interrupt. It is a matter of lines (INTx, ISA), not of MSI, and its driver may poll.
    A service of a port that got no irq without such a line above it (`request AER IRQ N failed`) is a question.
    Stays quiet when: the line was wanted for VFIO's INTx: that is VFIO-012.
    Affected: any kernel.
    What to do: use MSI for one of the two, or a driver that shares; on old machines another slot or BIOS setting.
    References: kernel/irq/manage.c, __setup_irq().
    """
    others = [r for r in sorted_rows(irq_flags_mismatch) if not (r["action"] or "").startswith("vfio-intx")]
    probes = [p for p in sorted_rows(driver_probe_failed) if p["ret"] == str(EBUSY)]
    refused, legacy = sorted_rows(pcie_irq_refused), sorted_rows(virtio_legacy)
    for irq in dict.fromkeys(r["irq"] for r in others):
        mine = [r for r in others if r["irq"] == irq]
        has = mine[-1]["other_action"] or "another one"
        wants = ", ".join(_wanted(mine))
        why, advice = _why(mine[-1])
        holder = "it has it already" if wants == has else f"{has} has it"
        gave_up = _after(mine, probes, others)
        said = [s for s in _after(mine, refused, others) if s["irq"] == irq]
        device = _device(mine[-1], [*gave_up, *said], legacy)
        of = f" of {device}" if device else ""
        yield Finding(
            f"{wants}{of} got no interrupt on irq {irq}: {holder} and {why} ({times(len(mine), 'time')})"
            + ("; its driver gave up" if gave_up else ""),
            "proven",
            in_order([*(at(r) for r in shown(mine)), *(at(r, "effect") for r in shown(gave_up + said))]),
            subject=Subject(device, bdf=device) if device else Subject(f"irq {irq}", kind="host"),
            severity=_severity(irq, device, gave_up, said),
            advice=advice,
            values={"irq": irq, "wants": wants, "has": has, "count": len(mine), **({"bdf": device} if device else {})},
            unchecked=(Unchecked("that the driver goes on without", "the messages of the driver below"),),
        )
    if refused:
        yield inconclusive("a service of a PCIe port got no irq; no line says why", "dmesg from the boot on; cat /proc/interrupts")


def _wanted(mismatches: Rows) -> list[str]:
    """Return the drivers that want a line from who has it now, in order."""
    now = mismatches[-1]["other_action"]
    return list(dict.fromkeys(r["action"] or "a driver" for r in mismatches if r["other_action"] == now))


def _after(mismatches: Rows, told: Rows, others: Rows) -> Rows:
    """Return what is told first right below each mismatch, with no other mismatch between. All are in order."""
    found: Rows = []
    for r in mismatches:
        end = next((o["line"] for o in rows_below(r, others)), inf)
        found += [t for t in rows_below(r, told) if at_once(r, t, REACH, REACH_MS) and t["line"] < end]
    return found


def _device(mismatch: Mapping[str, Any], told: Rows, legacy: Rows) -> str | None:
    """Return the function whose driver got no interrupt: that of the lines below, or of a legacy virtio device right above."""
    above = rows_above(mismatch, legacy) if (mismatch["action"] or "").startswith("virtio") else []
    named = [*(r["bdf"] for r in told), *(v["bdf"] for v in above if near(v, mismatch, ABOVE, 0))]
    return next((full_bdf(bdf) for bdf in named if bdf), None)


def _severity(irq: int, device: str | None, gave_up: Rows, said: Rows) -> Literal["medium", "low"] | None:
    """Return how much it matters: a service of a port is of less use than a device, and a device that was given irq 0 has no interrupt."""
    if any(p["service"] is None for p in gave_up):
        return "medium"
    return "low" if gave_up or said or irq == 0 and device else None


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
    # A request without a trigger takes the line's, which the flags do not tell: that of ONESHOT is then the sure difference.
    triggers = (mine ^ others) & TRIGGER
    oneshot = (mine ^ others) & ONESHOT and not (triggers and mine & TRIGGER and others & TRIGGER)
    how = "ONESHOT differs" if oneshot else "their triggers differ" if triggers else ""
    return f"both would share it, but {how or 'its trigger is set up another way'}", "Have both ask for it with the same trigger and flags."


def _number(flags: str | None) -> int:
    """Return flags as a number; 0 where they are no longer one, in a log that was edited."""
    return int(flags, 16) if flags and re.fullmatch("[0-9a-fA-F]{1,16}", flags) else 0
