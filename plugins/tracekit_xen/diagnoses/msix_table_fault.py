"""XEN-009: a passed-through device's MSI or MSI-X table cannot be used."""

import re
from collections.abc import Iterator

import polars as pl

from tracekit import (
    CAP_MSI,
    CAP_MSIX,
    Finding,
    Row,
    Subject,
    Unchecked,
    Verdict,
    clear,
    diagnosis,
    in_order,
    inconclusive,
    near,
    subject_of,
)
from tracekit_xen.kernels import pv_sources
from tracekit_xen.places import rows, times, whole

ACCESSORS = re.compile(r"^(__pci_write_msi_msg|pci_msix_(un)?mask|pci_msi_(un)?mask|msix_[a-z_]+|__pci_enable_msix_range)\b")
WRITE_TO_READ_ONLY = re.compile(r"^(Oops: )?0003 ")
HIDDEN = "The device tells a table that its BARs do not hold, or vPCI lacked memory: see Xen's lines above, and lspci -vv of it."
OVERLAP = (
    "See lspci -vv of the device: a BAR at 0 has no address yet. The firmware or dom0 has to place its BARs where nothing else is mapped; "
    "update Xen."
)
AWAY = 40  # lines between the head of a report and its RIP


@diagnosis(
    "xen.msix-table-fault",
    code="XEN-009",
    severity="high",
    record="xl dmesg with guest_loglvl=all; dmesg of the domain that has the device",
    shown_by=("xen_platform", "xen_release"),
    absent="no log of a Xen hypervisor or of a kernel under it",
)
def msix_table_fault(
    xen_delivery_mode: pl.DataFrame | None = None,
    xen_msix_table: pl.DataFrame | None = None,
    kernel_oops: pl.DataFrame | None = None,
    cpu_position: pl.DataFrame | None = None,
    call_frame: pl.DataFrame | None = None,
    xen_pv_sign: pl.DataFrame | None = None,
    xen_vpci_hidden: pl.DataFrame | None = None,
    xen_vpci_table_wrong: pl.DataFrame | None = None,
    xen_vpci_masked: pl.DataFrame | None = None,
    xen_vpci_overlap: pl.DataFrame | None = None,
    xen_platform: pl.DataFrame | None = None,
    xen_mask_failed: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """The MSI-X table or the message of a passed-through device could not be written, or what was read from it is garbage.

    What it finds: (a) Xen's `Unsupported MSI delivery mode N for DomD` (7 is what a Linux HVM guest writes for a pirq that nothing binds,
    or a word of all ones, read while the device was in reset or gone), or `Failed to map ... MSI-X table page`: proven. (b) Under Xen, a
    fault of a write to a read-only page with its PC in an accessor of the table: probable, as Xen keeps these pages read-only. (c) vPCI's
    `MSI-X ... table ... outside of BAR`, `existing mapping ... clobbers MSIX MMIO area`, `fail to add MSIX ctrl handler` and `init
    legacy cap 17 fail` (5 is MSI): the domain sees no MSI-X.
    Why it matters: interrupts of that device never arrive.
    Stays quiet when: the same fault comes without Xen (MSI-009); the hypervisor reports another page fault. Where Xen could not reach a
    table and masked all vectors of the device (`masking MSI-X on`), it does not tell whether they were unmasked again: inconclusive.
    Affected: Xen with pass-through, any release.
    What to do: reset the device before it is assigned, and see that nothing reads its table while it is down.
    References: Xen xen/arch/x86/hvm/vmsi.c, vmsi_deliver(); xen/arch/x86/msi.c, msix_capability_init().
    """
    modes = list(rows(xen_delivery_mode))
    if modes:
        yield _bad_mode(modes)
    for r in rows(xen_msix_table):
        summary = f"Xen could not map the MSI-X table of {subject_of(r).label}: {r.ret}"
        yield Finding(summary, "proven", (whole(r),), subject_of(r), values={"errno": r.ret})
    masked = xen_vpci_masked.filter(pl.col("capability").is_in([CAP_MSI, CAP_MSIX])) if xen_vpci_masked is not None else None
    told: dict[str, list[Row]] = {}
    for r in rows(masked, xen_vpci_hidden, xen_vpci_overlap, xen_vpci_table_wrong):
        told.setdefault(r.bdf, []).append(r)
    for mine in told.values():
        yield _hidden(mine, mine[-1])  # why, rather than that it is hidden for it
    kernels = {r.source for r in rows(xen_platform)} | pv_sources(xen_platform, cpu_position, call_frame, xen_pv_sign)
    faults = [(head, pc) for head in rows(kernel_oops) if head.source in kernels and (pc := _position(head, cpu_position))]
    for head, pc in faults:
        yield _fault(head, pc)
    yield _quiet(list(rows(xen_mask_failed)))  # holds only where nothing was found


def _quiet(masked: list[Row]) -> Verdict:
    """Return why there is no finding: a device whose memory decoding is off, as in a reset, is masked as a whole (msi_set_mask_bit)."""
    if not masked:
        return clear("no fault on an MSI-X table")
    names = ", ".join(sorted({subject_of(m).label for m in masked}))
    return inconclusive(
        f"Xen masked all MSI-X vectors of {names}, as its table could not be reached, and no line tells whether they were unmasked",
        "xl debug-keys M; xl dmesg; lspci -vv of the device (Mem+, MSI-X: Enable+ Masked-)",
    )


def _hidden(told: list[Row], why: Row) -> Finding:
    """Report that vPCI found the table where it cannot be, or could not set it up, and shows the domain a function without MSI-X."""
    what, over = getattr(why, "wrong", None), hasattr(why, "mfn")
    if over:
        reason = f"something is mapped in the domain at {why.gfn:#x} already, where its table is"
    else:
        reason = f"its table is {what.strip()}" if what else f"vPCI could not set it up ({why.ret})"
    plain = all(getattr(r, "capability", CAP_MSIX) == CAP_MSI for r in told)
    return Finding(
        f"Xen hides MSI{'' if plain else '-X'} of {subject_of(why).label} from its domain: {reason}",
        "proven",
        in_order(whole(r) for r in told),
        subject_of(why),
        advice=OVERLAP if over else HIDDEN,
        values={"errno": getattr(why, "ret", None)},
    )


def _bad_mode(modes: list[Row]) -> Finding:
    domains = sorted({m.domid for m in modes})
    names = ", ".join(f"dom{d}" for d in domains)
    mode = modes[0].delivery_mode
    garbage = ": the message of a pirq that is not bound, or all ones, read while the device was in reset or gone" if mode == 7 else ""
    return Finding(
        f"Xen cannot deliver MSIs of {names}: delivery mode {mode}, {times(len(modes))} in the log{garbage}",
        "proven",
        in_order(whole(m) for m in modes),
        Subject(names, "domain"),
        advice="In an HVM guest see whether its pirqs were bound (XEN-001, XEN-004, {QV1}); else reset the device before it is assigned, "
        "and see that the device model reads its table only while the device is up.",
        values={"delivery_mode": mode, "domids": domains},
    )


def _position(head: Row, positions: pl.DataFrame | None) -> Row | None:
    """Return the PC of a report whose head says: a write to a read-only page, if it is in an accessor of the table."""
    if not WRITE_TO_READ_ONLY.match(head.what or ""):
        return None
    below = [p for p in rows(positions) if near(head, p, AWAY)]
    first = min(below, key=lambda p: p.line, default=None)
    return first if first is not None and ACCESSORS.match(first.function or "") else None


def _fault(head: Row, pc: Row) -> Finding:
    return Finding(
        f"a write to the MSI-X table faulted in {pc.function}: its page is read-only under Xen",
        "probable",
        (whole(head), whole(pc)),
        advice="Update the dom0 or guest kernel: under Xen the hypervisor writes the table.",
        unchecked=(Unchecked("that the page is the device's table", "`lspci -vv` of the device, and the address of the fault"),),
    )
