"""MSI-006: the platform does not map the device's MSI: there is no domain for it, or the ITS takes no commands."""

from collections.abc import Iterator

import polars as pl

from tracekit import (
    ENODEV,
    ENOTSUPP,
    Finding,
    Shown,
    Subject,
    Unchecked,
    Verdict,
    diagnosis,
    distinct,
    rows_where,
    span,
    subject_of,
)
from tracekit_msi import its
from tracekit_msi.msi_map import MsiMap

NO_DOMAIN = (ENOTSUPP, ENODEV)
RECORD = "kprobe and kretprobe on __pci_enable_msix_range ($retval)"
# Where a device without a domain ends up; on an architecture without a fallback of its own this warns (drivers/pci/msi/legacy.c).
FALLBACKS = ("pci_msi_setup_msi_irqs", "pci_msi_legacy_setup_msi_irqs", "arch_setup_msi_irqs", "arch_setup_msi_irq")


def unmapped(ret: int | None, operation: str | None, first_line: int | None) -> bool:
    """Return whether an enable returned what one without a domain does, before any descriptor was inserted."""
    return ret in NO_DOMAIN and operation == "enable" and first_line is None


@diagnosis(
    "msi.no-domain",
    code="MSI-006",
    severity="medium",
    explains=("MSI-009",),
    record=RECORD,
    shown_by=(Shown("enables", "enabling", ("ret",)),),
    absent="no enabling of vectors in the input",
    when={
        "enables": unmapped,
        **dict.fromkeys(("its_queue_timeout", "its_command_failed", "its_queue_stuck", "its_unusable")),
        **dict.fromkeys(("msi_address_too_wide", "hv_interrupt_refused", "kernel_warning", "msi_map_missing")),
    },
    otherwise="no enable failed for want of a domain",
)
def no_domain(
    enables: pl.DataFrame | None = None,
    kernel_warning: pl.DataFrame | None = None,
    op_xen_setup: pl.DataFrame | None = None,
    xen_msi_create_failed: pl.DataFrame | None = None,
    devices: pl.DataFrame | None = None,
    its_queue_timeout: pl.DataFrame | None = None,
    its_command_failed: pl.DataFrame | None = None,
    its_queue_stuck: pl.DataFrame | None = None,
    its_unusable: pl.DataFrame | None = None,
    gic_redistributor: pl.DataFrame | None = None,
    cpu_not_online: pl.DataFrame | None = None,
    msi_address_too_wide: pl.DataFrame | None = None,
    hv_interrupt_refused: pl.DataFrame | None = None,
    msi_map_missing: pl.DataFrame | None = None,
    driver_probe_failed: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """The platform maps no MSI of the device: it has no MSI or MSI-X domain, its ITS takes no commands, or its hypervisor makes none.

    What it finds: -524 or -19 from an enable in which no descriptor was inserted; the kernel's WARNING in the function that would ask the
    architecture instead of a domain; `ITS queue timeout` and `ITS cmd ... failed` of arm64, which leave the MSIs of a CPU or device
    unmapped; an ITS that is not used (`ITS@...: ... doesn't stick`, `failed probing`); an MSI address that is wider than the device's
    register (`arch assigned 64-bit MSI address`); Hyper-V's refusal of an interrupt of a passed-through device; a host bridge whose
    device tree maps no messages of a function (`no msi-map translation`), where a driver gives up on that function.
    Why it matters: the device falls back to INTx, or does not work.
    Stays quiet when: the map lacks an entry of a function that works; descriptors were made first, Xen's set-up failed (XEN-002), or an
    old kernel (up to 5.1) waited for commands that the ITS had carried out.
    Affected: any kernel; mostly platforms whose firmware or IOMMU brings no MSI domain.
    What to do: look for an MSI domain of the platform: firmware tables, IOMMU and interrupt remapping, `pci=nomsi`; of an ITS, at the
    memory of its command queue and limits on devices.
    References: Linux drivers/pci/msi/msi.c, __pci_enable_msix_range(); drivers/pci/msi/irqdomain.c, pci_msi_domain_supports();
    drivers/irqchip/irq-gic-v3-its.c, its_wait_for_range_completion(), its_setup_baser().
    """
    yield from its.refused(its_queue_timeout, its_command_failed, its_queue_stuck, gic_redistributor, cpu_not_online)
    yield from its.unusable(its_unusable)
    unmapped_by_bridge = MsiMap(msi_map_missing, driver_probe_failed).findings()
    told = [*_too_wide(msi_address_too_wide), *_by_hypervisor(hv_interrupt_refused), *unmapped_by_bridge]
    yield from told
    if enables is None:
        yield from _warned(kernel_warning) if not told else ()
        return
    if op_xen_setup is not None or xen_msi_create_failed is not None:
        return
    first = {(row["entity"], row["device"]): row for row in reversed(rows_where(enables, unmapped))}
    for row in first.values():
        subject = subject_of(row, devices)
        yield Finding(
            summary=f"{subject.label} has no {'MSI-X' if row['kind'] == 'msix' else 'MSI'} domain: the enable returned {row['ret']}",
            grade="proven" if row["whole"] else "probable",
            subject=subject,
            evidence=distinct(span(row["source"], row["line"], row["line_end"], "cause")),
            values={"errno": row["ret"], "asked": row["max"]},
            advice="Check the firmware's tables, the IOMMU's interrupt remapping, and the kernel's `pci=nomsi`.",
        )


def _too_wide(messages: pl.DataFrame | None) -> Iterator[Finding]:
    """Yield devices whose register (of 32, 40 or 48 bits) is too narrow for the address of the platform's MSIs."""
    if messages is None:
        return
    for (bdf,), group in messages.group_by("bdf", maintain_order=True):
        first = group.row(0, named=True)
        yield Finding(
            summary=f"{bdf} cannot send to the platform's MSI address {first['address']:#x}: its register is narrower",
            grade="proven",
            subject=Subject(str(bdf), "pci", str(bdf)),
            evidence=distinct(e for r in group.head(4).iter_rows(named=True) for e in span(r["source"], r["line"], role="cause")),
            values={"address": first["address"], "driver": first["driver"]},
            advice="Use MSI-X or a line of the device, or a slot whose bridge has a window of MSIs below 4 GiB.",
        )


def _by_hypervisor(messages: pl.DataFrame | None) -> Iterator[Finding]:
    """Yield devices for which Hyper-V did not make or move an interrupt."""
    if messages is None:
        return
    for (device,), group in messages.group_by("device", maintain_order=True):
        status = group["hv_status"][0]
        yield Finding(
            summary=f"Hyper-V refused interrupts of the device at {device} (status {status:#x})",
            grade="probable",
            subject=Subject(str(device), "unknown", how="`PCI host bridge to bus` below the id in the guest's log names the segment"),
            evidence=distinct(e for r in group.head(4).iter_rows(named=True) for e in span(r["source"], r["line"], role="cause")),
            unchecked=(Unchecked("a device that was being removed, or a guest that hibernates", "the guest's log around that line"),),
            values={"status": status, "count": group.height},
            advice="Guest and host disagree about the interrupt: update the guest's pci-hyperv, and see the host's event log.",
        )


def _warned(warnings: pl.DataFrame | None) -> Iterator[Finding]:
    """Yield the kernel's warning that there is neither a domain nor a fallback."""
    if warnings is None:
        return
    own = warnings.filter(pl.col("function").str.replace(r"\..*$", "").is_in(FALLBACKS))
    for row in own.head(1).iter_rows(named=True):
        yield Finding(
            summary=f"a device has no MSI domain: the kernel warns in {row['function']}",
            grade="probable",
            subject=Subject("an unnamed device", "unknown", None, (), "the driver in the call trace below the WARNING names it"),
            evidence=distinct(span(row["source"], row["line"], role="cause")),
            unchecked=(Unchecked("the enable failed for want of a domain", RECORD),),
            values={"function": row["function"]},
            advice="Check that the device's bus has an MSI domain: IOMMU, interrupt remapping, and the driver that made the bus.",
        )
