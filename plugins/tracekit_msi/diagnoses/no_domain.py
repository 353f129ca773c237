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
    clear,
    diagnosis,
    distinct,
    span,
    subject_of,
)
from tracekit_msi import its

NO_DOMAIN = (ENOTSUPP, ENODEV)
RECORD = "kprobe and kretprobe on __pci_enable_msix_range ($retval)"
# Where a device without a domain ends up; on an architecture without a fallback of its own this warns (drivers/pci/msi/legacy.c).
FALLBACKS = ("pci_msi_setup_msi_irqs", "pci_msi_legacy_setup_msi_irqs", "arch_setup_msi_irqs", "arch_setup_msi_irq")


@diagnosis(
    "msi.no-domain",
    code="MSI-006",
    severity="medium",
    explains=("MSI-009",),
    record=RECORD,
    shown_by=(Shown("enables", "enabling", ("ret",)),),
    absent="no enabling of vectors in the input",
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
    gic_redistributor: pl.DataFrame | None = None,
    cpu_not_online: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """The platform maps no MSI of the device: it has no MSI or MSI-X domain, or its ITS takes no commands.

    What it finds: -524 or -19 from an enable in which no descriptor was inserted; the kernel's WARNING in the function that would ask the
    architecture instead of a domain; `ITS queue timeout` and `ITS cmd ... failed` of arm64, which leave the MSIs of a CPU or device
    unmapped.
    Why it matters: the device falls back to INTx, or does not work.
    Stays quiet when: descriptors were made first, or Xen's set-up failed (XEN-002).
    Affected: any kernel; mostly platforms whose firmware or IOMMU brings no MSI domain.
    What to do: look for an MSI domain of the platform: firmware tables, IOMMU and interrupt remapping, `pci=nomsi`; of an ITS, at the
    memory of its command queue and limits on devices.
    References: Linux drivers/pci/msi/msi.c, __pci_enable_msix_range(); drivers/pci/msi/irqdomain.c, pci_msi_domain_supports();
    drivers/irqchip/irq-gic-v3-its.c, its_wait_for_range_completion().
    """
    yield from its.refused(its_queue_timeout, its_command_failed, its_queue_stuck, gic_redistributor, cpu_not_online)
    if enables is None:
        yield from _warned(kernel_warning)
        return
    failed = enables.filter(pl.col("ret").is_in(NO_DOMAIN) & pl.col("first_line").is_null() & (pl.col("operation") == "enable"))
    if failed.is_empty() or op_xen_setup is not None or xen_msi_create_failed is not None:
        yield clear("no enable failed for want of a domain")
        return
    for row in failed.unique(["entity", "device"], maintain_order=True).iter_rows(named=True):
        subject = subject_of(row, devices)
        yield Finding(
            summary=f"{subject.label} has no {'MSI-X' if row['kind'] == 'msix' else 'MSI'} domain: the enable returned {row['ret']}",
            grade="proven" if row["whole"] else "probable",
            subject=subject,
            evidence=distinct(span(row["source"], row["line"], row["line_end"], "cause")),
            values={"errno": row["ret"], "asked": row["max"]},
            advice="Check the firmware's tables, the IOMMU's interrupt remapping, and the kernel's `pci=nomsi`.",
        )


def _warned(warnings: pl.DataFrame | None) -> Iterator[Finding]:
    """The kernel warns that there is neither a domain nor a fallback."""
    own = warnings.filter(pl.col("function").is_in(FALLBACKS)).head(1) if warnings is not None else None
    for row in own.iter_rows(named=True) if own is not None else ():
        yield Finding(
            summary=f"a device has no MSI domain: the kernel warns in {row['function']}",
            grade="probable",
            subject=Subject("an unnamed device", "unknown", None, (), "the driver in the call trace below the WARNING names it"),
            evidence=distinct(span(row["source"], row["line"], role="cause")),
            unchecked=(Unchecked("the enable failed for want of a domain", RECORD),),
            values={"function": row["function"]},
            advice="Check that the device's bus has an MSI domain: IOMMU, interrupt remapping, and the driver that made the bus.",
        )
