"""IRQ-003: interrupt remapping dropped a message."""

import re
from collections.abc import Iterator

import polars as pl

from tracekit import (
    HOST,
    Finding,
    Subject,
    Unchecked,
    Verdict,
    at,
    clear,
    diagnosis,
    fallback,
    in_order,
    inconclusive,
    near,
    rows_below,
    rows_where,
    times,
    witness,
)
from tracekit_irq.emulated import emulated
from tracekit_irq.evidence import Rows, shown, sorted_rows
from tracekit_irq.remap_records import records
from tracekit_irq.timer import REMAPPED

RECORD = "dmesg -w | grep -E 'INTR-REMAP|DRHD: handling fault|AMD-Vi: Event'; echo 1 > events/intel_iommu/qi_submit/enable"
# MSI_IOVA_BASE and its length (drivers/iommu/arm), where a VFIO domain maps the doorbells.
DOORBELLS = (0x8000000, 0x8100000)
PAGE, TRANSLATER = 0x1000, 0x40
RECORDS = 0b11  # of the fault status register: a fault record is pending, or one was lost; the other bits are the queue's
NEAR = 12  # lines in which the record of a fault follows its status


def at_doorbell(events: pl.DataFrame) -> pl.DataFrame:
    """Faults of an SMMU inside the window that Linux keeps for doorbells of MSIs: a device writes nothing else there."""
    return events.filter(pl.col("iova").is_between(DOORBELLS[0], DOORBELLS[1] - 1))


@witness
def doorbells(smmu_faults: pl.DataFrame) -> Iterator[Finding]:
    """Yield writes to doorbells that an SMMU refused, one finding per device or stream id."""
    by_stream: dict[str, Rows] = {}
    for e in sorted_rows(at_doorbell(smmu_faults)):
        by_stream.setdefault(e["bdf"] or (f"stream 0x{e['sid']:x}" if e["sid"] is not None else "a device"), []).append(e)
    for name, mine in by_stream.items():
        bdf = mine[0]["bdf"]
        iova = ", ".join(sorted({f"0x{e['iova']:x}" for e in mine})[:4])
        yield Finding(
            f"the SMMU refused {times(len(mine), 'write')} of {name} to {iova}, where doorbells of MSIs are",
            "probable",
            in_order(at(e, end="line_end") for e in shown(mine)),
            subject=Subject(name, bdf=bdf) if bdf else HOST,
            advice="The doorbell is not mapped for the device: look for a domain that was changed or freed while its vectors were on.",
            values={"count": len(mine), "iova": iova},
            unchecked=(Unchecked("that the write was an interrupt", "/sys/kernel/iommu_groups/*/reserved_regions"),),
        )


def stops_timer(panic_reason: str) -> bool:
    """Return whether a kernel stops since its timer does not interrupt through remapping."""
    return panic_reason.startswith(REMAPPED)


@fallback
def timer(
    kernel_panic: pl.DataFrame,
    amd_wait_timed_out: pl.DataFrame | None = None,
    driver_vectors_refused: pl.DataFrame | None = None,
    driver_refusals: pl.DataFrame | None = None,
) -> Iterator[Finding]:
    """Yield the panic of a kernel whose timer does not interrupt through remapping, where no line tells what refused it.

    Source: arch/x86/kernel/apic/io_apic.c, check_timer(). Commands that timed out before it are IRQ-008, vectors that were refused MSI-004.
    """
    ends = [r for r in sorted_rows(kernel_panic) if stops_timer(r["panic_reason"])]
    if ends and amd_wait_timed_out is None and driver_vectors_refused is None and driver_refusals is None:
        yield Finding(
            "the timer's interrupt does not arrive through the remapped I/O APIC, over which the kernel stopped",
            "probable",
            in_order(at(r) for r in shown(ends)),
            subject=HOST,
            severity="critical",
            advice="Firmware describes the I/O APIC wrongly, or the IOMMU is not set up: try intremap=off, then newer firmware.",
            values={"count": len(ends)},
            unchecked=(Unchecked("what refused it", "the log from its first line on, with those of DMAR or AMD-Vi"),),
        )


# irq=24 name=dmar0
DMAR = re.compile(r"dmar[0-9]+")


def of_iommu(name: str | None) -> bool:
    """Return whether the handler of a remapping unit's own fault interrupt ran."""
    return name is not None and DMAR.fullmatch(name) is not None


def reports_faults(function: str | None) -> bool:
    """Return whether the function that reads the faults of a remapping unit ran."""
    return function == "dmar_fault"


@diagnosis(
    "irq.remap-blocked",
    code="IRQ-003",
    severity="high",
    record=RECORD,
    witnesses=(records, doorbells, emulated, timer),
    shown_by=("remap_enabled",),
    absent="no kernel log of a host with interrupt remapping in the input",
    when={
        "irq_handler_entry": of_iommu,
        "calls": reports_faults,
        **dict.fromkeys(("dmar_fault_status", "smmu_faults", "remap_faults", "amd_iommu_event", "xen_amd_event", "vtd_irte_not_present")),
        **dict.fromkeys(("vtd_irte_sid", "vtd_irte_wrong", "amdvi_remap_failed", "amdvi_ir_refused")),
        "kernel_panic": stops_timer,
    },
    otherwise="interrupt remapping is on and no fault is logged",
)
def remap_blocked(
    dmar_fault_status: pl.DataFrame | None = None,
    dma_fault: pl.DataFrame | None = None,
    irq_handler_entry: pl.DataFrame | None = None,
    calls: pl.DataFrame | None = None,
    smmu_faults: pl.DataFrame | None = None,
) -> Iterator[Verdict]:
    """The IOMMU refused an interrupt message of a device.

    What it finds: a fault record with an interrupt-remapping reason (0x20 to 0x26) that names the device, in the words of Linux since 4.x
    or of Xen; an AMD-Vi event with the interrupt flag; what an emulated VT-d says when it finds no entry; a kernel that stops since its
    timer does not interrupt through remapping.

    Why it matters: the device did signal and nobody will hear of it. No other common host log proves that an interrupt was raised.

    Stays quiet when: the record is a DMA fault; only the fault interrupt is there, without a device. Severity is low, and no alarm, for a
    single early fault at boot or resume and for ids that are no device (I/O APIC, HPET, host bridge); critical where a panic follows.

    Affected: hosts with interrupt remapping: Intel VT-d and AMD-Vi, under Linux and Xen; Arm hosts with an SMMU.

    What to do: see which device and index; correlate with resets and frees of its vectors.

    References: drivers/iommu/intel/dmar.c, dmar_fault_do_one(); drivers/iommu/amd/iommu.c, iommu_print_event(); arm-smmu-v3.c; Xen,
    passthrough/{vtd,amd}; QEMU hw/i386/{intel,amd}_iommu.c.
    """
    alone = _untold(sorted_rows(dmar_fault_status), sorted_rows(dma_fault))
    if (why := _quiet(alone, irq_handler_entry, calls)) is not None:
        yield why
    elif one_word := _of_one_word(sorted_rows(smmu_faults)):
        told = f"{times(len(one_word), 'fault')} of an SMMU at 0x{one_word[0]['iova']:x}, in its page where the doorbell of an ITS is"
        yield inconclusive(f"{told}: perhaps an interrupt, perhaps data", "/proc/iomem; /sys/kernel/iommu_groups/*/reserved_regions")
    elif dmar_fault_status is not None:
        yield clear("the fault interrupts of the IOMMU were for accesses to memory or for its queue, not for interrupt messages")


def _of_one_word(faults: Rows) -> Rows:
    """Return the faults of an SMMU where all are at one address, and that is where in a page GITS_TRANSLATER stands.

    A host's driver has the doorbell at any page (drivers/iommu/dma-iommu.c).
    """
    return faults if len({f["iova"] for f in faults}) == 1 and faults[0]["iova"] % PAGE == TRANSLATER else []


def _untold(status: Rows, faults: Rows) -> Rows:
    """Return the fault interrupts that no record of an access to memory explains, and that came for a record at all."""
    pending = (s for s in status if s["status"] & RECORDS)
    return [s for s in pending if not any(near(s, f, NEAR) for f in rows_below(s, faults))]


def _quiet(status: Rows, handlers: pl.DataFrame | None, calls: pl.DataFrame | None) -> Verdict | None:
    if status:
        return inconclusive(f"{times(len(status), 'fault interrupt')} of an IOMMU, but no line says of which device or why", RECORD)
    faults, handled = len(rows_where(calls, reports_faults)), len(rows_where(handlers, of_iommu))
    if faults or handled:
        return inconclusive(
            f"dmar_fault ran {times(max(faults, handled), 'time')}; the kernel log, which says why, is not in the input", RECORD
        )
    return None
