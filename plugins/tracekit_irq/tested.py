"""Interrupts of which a driver's own test saw none, or none came since it began."""

from collections.abc import Iterator

from tracekit import Finding, Subject, Unchecked, at, in_order
from tracekit_irq.complaint import FALLS_BACK
from tracekit_irq.evidence import MOST, Rows

TESTED = (
    "MSI of this device does not reach this kernel; a driver that went back to INTx works, with less. See whether /proc/interrupts counts "
    "for its vector, whether a message was refused (IRQ-003), and whether the bridge above it passes MSI on; newer firmware, or pci=nomsi."
)
UNSEEN = (
    "See in /proc/interrupts whether its irq counts, and whether that is a line or MSI. A line: perhaps its route is wrong, or it was "
    "switched off (IRQ-006); see the firmware's settings. MSI: whether a message was refused (IRQ-003)."
)
SELF_TESTS = ("sfc",)  # drivers that wait for an interrupt only in their self-test (sfc/selftest.c, efx_test_interrupts())


def tested(rows: Rows, foreign: bool) -> Iterator[Finding]:
    """Yield a finding for each device whose driver asked it for an interrupt in vain; medium where it goes on with another kind."""
    for device, mine in _by_device(rows).items():
        first = mine[0]
        yield Finding(
            f"{first['driver']} asked {device} for an interrupt to test it, and none came",
            "probable",
            in_order([at(r) for r in mine[:MOST]]),
            subject=subject_for(device, first["bdf"], foreign),
            severity="medium" if FALLS_BACK.search(first.get("text") or first.get("note") or "") else None,
            advice=TESTED if "MSI" in (first.get("text") or "MSI") else UNSEEN,
            values={"device": device, "bdf": first["bdf"], "irq": first.get("irq"), "count": len(mine)},
            unchecked=(Unchecked("a device that did not answer at all", "the device's own error messages after that line"),),
        )


def unseen(rows: Rows, foreign: bool) -> Iterator[Finding]:
    """Yield a finding for each device of which its driver has had no interrupt. A RAID controller's silence may be its own: possible."""
    for device, mine in _by_device(
        [{**r, "device": r["device"] or r["netdev"], "driver": r["driver"] or r["sender"]} for r in rows]
    ).items():
        first = mine[0]
        guessed = first["sender"] is not None
        yield Finding(
            "no interrupt told of the first command to a RAID controller, perhaps for a wrong route (its driver guesses)"
            if guessed
            else f"the driver of {device} has had none of its interrupts, by its own words",
            "possible" if guessed else "probable",
            in_order([at(r) for r in mine[:MOST]]),
            subject=subject_for("an unnamed device" if guessed else device, first["bdf"], foreign),
            advice=UNSEEN,
            values={"device": device, "bdf": first["bdf"], "count": len(mine)},
            unchecked=(Unchecked("a device that did not answer at all", "the device's own error messages beside that line"),),
        )


def awaited(rows: Rows) -> tuple[Rows, Rows]:
    """Return the waits that may have been for a device that had nothing to tell, and those that were a self-test."""
    return [r for r in rows if r["driver"] not in SELF_TESTS], [
        {**r, "device": None, "text": r["awaited"]} for r in rows if r["driver"] in SELF_TESTS
    ]


def _by_device(rows: Rows) -> dict[str, Rows]:
    devices: dict[str, Rows] = {}
    for r in rows:
        devices.setdefault(r["device"] or r["bdf"] or r["driver"] or "an unnamed device", []).append(r)
    return devices


def subject_for(device: str, bdf: str | None, foreign: bool) -> Subject:
    """Return the device; where its driver runs in another kernel than the rest of the case, its address is no subject."""
    if bdf is None or foreign:
        how = "the BDF is the guest's own; joined with the host by case only" if bdf else "dmesg from the driver's probe on names the BDF"
        return Subject(device, kind="pci", aliases=(bdf,) if bdf else (), how=how)
    return Subject(device, bdf=bdf, aliases=(bdf,) if bdf != device else ())
