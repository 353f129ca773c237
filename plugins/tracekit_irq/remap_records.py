"""Fault records of a remapping unit that refused an interrupt message: VT-d's, AMD-Vi's, and those that Xen prints."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from tracekit import HOST, Evidence, Finding, Subject, Unchecked, at, ended_by, in_order, times, within, witness
from tracekit_irq.evidence import MOST, Rows, sorted_rows
from tracekit_irq.models.remap import bdf_of

ADVICE = (
    "The device sent an interrupt that the IOMMU refused. Not present or another's entry: a message from before a reset or a free, or a "
    "corrupted MSI address. Compatibility format: the sender bypasses remapping (firmware, or a guest's own MSI address in the device). "
    "Such lines are rate-limited and some refusals leave none, so their number is a lower bound."
)
# VT-d specification, fault reasons 0x20 to 0x26.
MEANS = {
    0x20: "reserved field set in the request",
    0x21: "index beyond the table",
    0x22: "entry not present",
    0x23: "table not readable",
    0x24: "reserved field set in the entry",
    0x25: "compatibility format blocked",
    0x26: "entry belongs to another source",
}
# Firmware's and the last kernel's messages arrive before drivers are bound: in the first seconds of the kernel's clock, or as long after
# its banner by a wall clock; where that was set back meanwhile (no RTC, then NTP), within the lines that a boot prints until then.
EARLY_MS, EARLY_LINES = 10_000, 800
NEAR_RESUME_MS = 3_000  # longer than the coarsest stamp, to either side
INTERRUPT_FLAG = 0x8  # AMD IOMMU event flags, bit I
# Northbridge and southbridge (drivers/iommu/amd/init.c, check_ioapic_information()): neither sends messages of its own.
IOAPICS_OF_AMD = ("0000:00:00.1", "0000:00:14.0")
BRIDGES = (0x0600, 0x0604)  # class codes: host bridge, PCI bridge


@witness
def records(
    remap_faults: pl.DataFrame | None = None,
    amd_iommu_event: pl.DataFrame | None = None,
    xen_amd_event: pl.DataFrame | None = None,
    pm_resume: pl.DataFrame | None = None,
    kernel_version: pl.DataFrame | None = None,
    pci_enumerated: pl.DataFrame | None = None,
    kernel_panic: pl.DataFrame | None = None,
) -> Iterator[Finding]:
    """Yield the messages that a remapping unit refused, one finding per device."""
    moments, panics = Moments(sorted_rows(pm_resume), sorted_rows(kernel_version)), sorted_rows(kernel_panic)
    faults = sorted_rows(remap_faults) + of_amd(amd_iommu_event, xen_amd_event)
    for bdf, mine in by_device(faults).items():
        yield with_end(_finding(bdf, mine, alias(bdf, pci_enumerated, mine[0].get("kind") is not None), moments), mine, panics)


def of_amd(events: pl.DataFrame | None, by_xen: pl.DataFrame | None) -> Rows:
    """Return the interrupt messages that an AMD IOMMU refused, as Linux and Xen print them, in the form of `remap_faults`."""
    xen = by_xen.rename({"xen_address": "address"}) if by_xen is not None else None
    frames = [f.filter(interrupts(f)) for f in (events, xen) if f is not None]
    return [_as_fault(e) for f in frames for e in sorted_rows(f)]


def interrupts(events: pl.DataFrame) -> pl.Series:
    """Return which AMD-Vi events are of an interrupt: by the flag, or by the address of interrupts (0xfee....., 0xfdf8......)."""
    address = events["address"] & 0xFFFFFFFFFF
    msi = address.is_between(0xFEE00000, 0xFEEFFFFF) | address.is_between(0xFDF8000000, 0xFDF8FFFFFF)
    return ((events["flags"].fill_null(0) & INTERRUPT_FLAG) != 0) | (msi & (events["kind"] != "IO_PAGE_FAULT"))


def by_device(faults: Rows) -> dict[str | None, Rows]:
    """Return the faults of each device."""
    devices: dict[str | None, Rows] = {}
    for f in faults:
        devices.setdefault(f["bdf"], []).append(f)
    return devices


def alias(bdf: str | None, enumerated: pl.DataFrame | None, of_amds: bool) -> str | None:
    """Return why an id is no endpoint (an I/O APIC's or HPET's source id, a bridge, a function that the kernel did not find), or None.

    `of_amds`: the unit is AMD's.
    """
    if bdf is None:
        return None
    if of_amds and bdf in IOAPICS_OF_AMD:
        return "mostly the id of an I/O APIC, as firmware tells it (IVRS)"
    _, bus_text, place = bdf.split(":")  # the segment has four digits, or five behind a VMD
    bus, slot = int(bus_text, 16), int(place[:2], 16)
    if slot == 0x1F and (bus >= 0xF0 or bus == 0) and bdf[-1] == "0":
        return "an I/O APIC or HPET id"
    if bdf.endswith(":00:00.0") and len(bdf) == len("0000:00:00.0"):
        return "the host bridge"
    if enumerated is not None:
        mine = enumerated.filter(pl.col("bdf").str.to_lowercase() == bdf)
        if mine.height and mine["class"][-1] >> 8 in BRIDGES:
            return "a bridge"
    return None


class Moments:
    """Times at which a stray message is ordinary: boot before drivers, and resume."""

    def __init__(self, resumes: Rows, starts: Rows) -> None:
        self.resumes, self.starts = resumes, starts

    def ordinary(self, f: Mapping[str, Any]) -> bool:
        """Return whether the fault came in the first seconds of the kernel, by its own clock or after its banner, or near a resume."""
        if f["ts"] is None:
            return False
        if f["ts"] < EARLY_MS * 1_000_000 or any(self._early(m, f) for m in self._of(self.starts, f)):
            return True
        return any(_near_resume(m, f) for m in self._of(self.resumes, f))

    @staticmethod
    def _of(marks: Rows, f: Mapping[str, Any]) -> Rows:
        return [m for m in marks if m["source"] == f["source"] and m["ts"] is not None]

    @staticmethod
    def _early(start: Mapping[str, Any], f: Mapping[str, Any]) -> bool:
        if not f["line"] - start["line"] > 0:
            return False
        soon = within(start, f, EARLY_MS)
        return f["line"] - start["line"] <= EARLY_LINES if soon is None else soon


def _near_resume(resume: Mapping[str, Any], f: Mapping[str, Any]) -> bool:
    first, second = (resume, f) if resume["line"] < f["line"] else (f, resume)
    return within(first, second, NEAR_RESUME_MS) is True


def severity(f: Mapping[str, Any], other: str | None, moments: Moments) -> str:
    """Return low: no endpoint, early at boot, or at resume; medium: a sender that bypasses remapping; high: else."""
    if other or moments.ordinary(f):
        return "low"
    return "medium" if f["reason"] in (0x20, 0x23, 0x25) else "high"


def _as_fault(e: Mapping[str, Any]) -> dict[str, Any]:
    device = e["device"] or e["bdf"]
    bdf = bdf_of(device) if device is not None else None
    return {**e, "bdf": bdf, "index": None, "reason": None, "text": e["kind"], "status_line": None, "line_end": e["line"]}


def _finding(bdf: str | None, faults: Rows, other: str | None, moments: Moments) -> Finding:
    levels = [severity(f, other, moments) for f in faults]
    level = min(levels, key=["high", "medium", "low"].index)
    reasons = list(dict.fromkeys(f["reason"] for f in faults if f["reason"] is not None))
    means = ", ".join(f"{MEANS.get(r, 'unknown')} (0x{r:x})" for r in reasons) or faults[0]["text"]
    indices = sorted({f["index"] for f in faults if f["index"] is not None})
    place = f" at index {', '.join(f'0x{i:x}' for i in indices[:4])}" if indices else ""
    status = [Evidence(f["source"], f["status_line"], "context") for f in faults[:MOST] if f["status_line"] is not None]
    return Finding(
        f"the IOMMU refused {times(len(faults), 'interrupt message')} of {bdf or 'a device'}{place}: {means}"
        + (f"; {bdf} is {other}" if other else ""),
        "proven",
        in_order(status + [at(f, end="line_end") for f in faults[:MOST]]),
        subject=Subject(bdf, bdf=bdf) if bdf else HOST,
        severity=level,  # type: ignore[arg-type]
        advice=ADVICE,
        values={
            "count": len(faults),
            "reasons": reasons,
            "index": indices,
            "ts_first": faults[0]["ts"],
            "ts_last": faults[-1]["ts"],
            "alias": other,
        },
        unchecked=(
            Unchecked("messages refused without a line (rate limit, repeated source-id faults)", "a counter of interrupts in the device"),
        ),
    )


def with_end(finding: Finding, faults: Rows, panics: Rows) -> Finding:
    """Return the finding as severe as what it led to: where the machine stopped right after, that is its end."""
    end = next((p for f in reversed(faults) if (p := ended_by(f, panics)) is not None), None)
    if end is None:
        return finding
    summary = f"{finding.summary}; the kernel panicked right after: {end['panic_reason']}"
    return replace(finding, summary=summary, severity="critical", evidence=in_order((*finding.evidence, at(end, "effect"))))
