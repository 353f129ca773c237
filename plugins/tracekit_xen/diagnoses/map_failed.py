"""XEN-005: Xen refused to map an MSI to a pirq, and not for want of a number."""

from collections.abc import Iterator

import polars as pl

from tracekit import (
    EBUSY,
    EEXIST,
    EINVAL,
    ENODEV,
    ENOSYS,
    EPERM,
    Finding,
    Shown,
    Verdict,
    diagnosis,
    in_order,
    inconclusive,
)
from tracekit_xen.places import at_end, times
from tracekit_xen.refusals import Refusal, hvm_sources, of_backend, of_device_model, of_dom0, refused

REASONS = {
    EPERM: ("the caller may not", "Check the toolstack's permissions for the device (`xl pci-assignable-list`, the flask policy)"),
    EBUSY: ("the pirq or the device is busy", "Another domain or another mode of the device still holds it: detach it there first"),
    EEXIST: ("the pirq is mapped already", "Look for two users of one pirq (XEN-001)"),
    ENODEV: (
        "Xen does not count the device as the caller's",
        "Give the device back to its domain (`xl pci-assignable-remove`), or turn the IOMMU on",
    ),
    EINVAL: ("the request is not valid", "See whether dom0 has MSI off (`pci=nomsi`), and whether MSI and MSI-X are asked for at once"),
    ENOSYS: ("the domain has no pirqs", "This kind of domain programs MSI natively: the caller should not ask"),
}


@diagnosis(
    "xen.map-failed",
    code="XEN-005",
    severity="high",
    explains=("MSI-004",),
    record="dmesg of dom0, the device model's log (qemu-dm-*.log), xl dmesg",
    shown_by=("xen_platform", Shown("op_xen_setup", "set-up of Xen's MSIs", ("ret",))),
    absent="no Xen kernel log and no calls of Xen's MSI set-up",
    when={
        "op_xen_setup": refused,
        **dict.fromkeys(("xen_map_failed", "xen_pt_map_failed", "xen_pt_old_map_failed", "xen_pciback_failed", "xen_vpci_map_failed")),
        **dict.fromkeys(("xen_vpci_bind_failed", "xen_vpci_enable_failed", "xen_gsi_map_failed")),
    },
    otherwise="no mapping was refused but for want of a free pirq",
)
def map_failed(
    xen_map_failed: pl.DataFrame | None = None,
    op_xen_setup: pl.DataFrame | None = None,
    xen_pt_map_failed: pl.DataFrame | None = None,
    xen_pt_old_map_failed: pl.DataFrame | None = None,
    xen_pt_assigned: pl.DataFrame | None = None,
    xen_pciback_failed: pl.DataFrame | None = None,
    xen_vpci_map_failed: pl.DataFrame | None = None,
    xen_vpci_bind_failed: pl.DataFrame | None = None,
    xen_vpci_enable_failed: pl.DataFrame | None = None,
    xen_gsi_map_failed: pl.DataFrame | None = None,
    xen_platform: pl.DataFrame | None = None,
    xen_events_said: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """Xen refused to map a device's MSI or MSI-X to a pirq.

    What it finds: `xen map irq failed`, a failing xen_initdom_setup_msi_irqs, the device model's `Mapping of MSI`, or pciback's `error
    enabling MSI`, with the errno. The lines are the refusal itself: proven.
    Why it matters: the device has no MSI; its driver falls back or gives up.
    Stays quiet when: the errno is -28 (no number is free: XEN-002), or the -19 of an HVM guest, which stands for any failed allocation; a
    GSI was refused, whose device may have MSI all the same; multi-vector MSI is cut to one and succeeds.
    Affected: any release.
    What to do: by errno: -1 policy, -16 busy, -19 the device is not the caller's, -22 invalid or MSI off in dom0.
    References: Linux arch/x86/pci/xen.c; QEMU hw/xen/xen_pt_msi.c; Linux drivers/xen/xen-pciback/pciback_ops.c.
    """
    found: dict[tuple[str, int], list[Refusal]] = {}
    for r in (
        *of_dom0(xen_map_failed, op_xen_setup, hvm_sources(xen_platform, None, op_xen_setup, xen_events_said)),
        *of_device_model(xen_pt_map_failed, xen_pt_old_map_failed, xen_pt_assigned),
        *of_backend(xen_pciback_failed, xen_vpci_map_failed),
        *of_backend(None, xen_vpci_enable_failed),
        *of_backend(None, _with_errno(xen_vpci_bind_failed)),
    ):
        if not r.starved:
            found.setdefault((r.subject.label, r.errno), []).append(r)
    for refusals in found.values():
        yield _finding(refusals)
    if xen_gsi_map_failed is not None:  # holds only where nothing was found
        said = f"Xen refused line interrupts (GSI), {times(xen_gsi_map_failed.height)} in the log; no line names the device"
        yield inconclusive(said, "dmesg of dom0 from its boot on, with the messages of the drivers")


def _with_errno(frame: pl.DataFrame | None) -> pl.DataFrame | None:
    """Return a binding that failed; a word that is no address of an MSI has no errno and is another fault."""
    return frame.filter(pl.col("ret").is_not_null()) if frame is not None else None


def _finding(refusals: list[Refusal]) -> Finding:
    first = refusals[0]
    reason, advice = REASONS.get(first.errno, ("", "See what the hypervisor's log says at that time"))
    errno = f" with {first.errno}" if first.errno else ""
    by_dom0 = all(r.by == "backend" for r in refusals)  # whether Xen was asked at all is not told
    who = "dom0 could not enable MSI of {} for its guest" if by_dom0 else "Xen refused to map MSI of {}"
    return Finding(
        f"{who.format(first.subject.label)}{errno}, {times(len(refusals))} in the log" + (f": {reason}" if reason else ""),
        "proven",
        in_order(at_end(r.row) for r in refusals),
        first.subject,
        advice=f"{advice}.",
        values={"errno": first.errno, "refusals": len(refusals)},
    )
