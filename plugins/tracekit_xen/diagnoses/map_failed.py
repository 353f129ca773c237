"""XEN-005: Xen refused to map an MSI to a pirq, and not for want of a number."""

from collections.abc import Iterator, Mapping

import polars as pl

from tracekit import EINVAL, ENODATA, ENOSYS, EOPNOTSUPP, Finding, Row, Shown, Subject, Verdict, diagnosis, in_order, inconclusive, near
from tracekit_xen.places import at_end, domain, rows, times, whole
from tracekit_xen.reasons import ERRNOS, NO_IRQ, NO_LINES, REASONS, Forced, reason_of
from tracekit_xen.refusals import Refusal, hvm_sources, of_backend, of_device_model, of_dom0, refused

TAKING_BACK = "libxl__arch_hvm_unmap_gsi"  # it asks for the number by the same call
WITH = 4  # lines from a refused line interrupt to the device that is not given for it


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
        **dict.fromkeys(("xen_pt_not_mapped", "libxl_pirq_refused", "xen_no_irq", "xen_vioapic_refused", "xen_msix_unprepared")),
    },
    otherwise="no mapping was refused but for want of a free pirq",
)
def map_failed(
    xen_map_failed: pl.DataFrame | None = None,
    op_xen_setup: pl.DataFrame | None = None,
    xen_pt_map_failed: pl.DataFrame | None = None,
    xen_pt_old_map_failed: pl.DataFrame | None = None,
    xen_pt_assigned: pl.DataFrame | None = None,
    xen_pt_not_mapped: pl.DataFrame | None = None,
    xen_already_mapped: pl.DataFrame | None = None,
    libxl_pirq_refused: pl.DataFrame | None = None,
    libxl_device_refused: pl.DataFrame | None = None,
    xen_pciback_failed: pl.DataFrame | None = None,
    xen_vpci_map_failed: pl.DataFrame | None = None,
    xen_vpci_bind_failed: pl.DataFrame | None = None,
    xen_vpci_enable_failed: pl.DataFrame | None = None,
    xen_gsi_map_failed: pl.DataFrame | None = None,
    xen_no_irq: pl.DataFrame | None = None,
    xen_platform: pl.DataFrame | None = None,
    xen_events_said: pl.DataFrame | None = None,
    xen_device_unknown: pl.DataFrame | None = None,
    xen_vioapic_refused: pl.DataFrame | None = None,
    xen_msix_unprepared: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """Xen refused to map a device's MSI or MSI-X to a pirq.

    What it finds: `xen map irq failed`, a failing xen_initdom_setup_msi_irqs, the device model's `Mapping of MSI` or `Can not map
    MSI`, or pciback's `error enabling MSI`, with the errno; libxl's `xc_physdev_map_pirq`, for which a device is not given at all
    (medium); a debug hypervisor's `can't create irq for msi!`: Xen has no irq or CPU vector left, and others see -22. The lines are the
    refusal itself: proven.
    Why it matters: the device has no MSI; its driver falls back or gives up.
    Stays quiet when: the errno is -28 (no number is free: XEN-002), or the -19 of an HVM guest, which stands for any failed allocation; a
    GSI was refused, whose device may have MSI all the same; multi-vector MSI is cut to one and succeeds.
    Affected: any release.
    What to do: by errno: -1 policy, -16 busy, -19 the device is not the caller's (of a guest's: assign it in Xen), -22
    invalid or MSI off in dom0, of the device model a table that Xen knows as smaller. Where dom0 could not tell Xen of the function
    (`Failed to add`), that is why; alone it says nothing (dom0 of Arm prints it for every function).
    References: Linux arch/x86/pci/xen.c; QEMU hw/xen/xen_pt_msi.c; Linux drivers/xen/xen-pciback/pciback_ops.c.
    """
    found: dict[tuple[str, int], list[Refusal]] = {}
    for r in (
        *of_dom0(xen_map_failed, op_xen_setup, hvm_sources(xen_platform, None, op_xen_setup, xen_events_said)),
        *of_device_model(xen_pt_map_failed, xen_pt_old_map_failed, xen_pt_assigned, xen_pt_not_mapped),
        *of_backend(xen_pciback_failed, xen_vpci_map_failed),
        *of_backend(None, xen_vpci_enable_failed),
        *of_backend(None, _with_errno(xen_vpci_bind_failed)),
    ):
        if not r.starved:
            found.setdefault((r.subject.label, r.errno), []).append(r)
    forced, short = Forced(xen_already_mapped), [m for m in rows(xen_no_irq) if m.irq is None]
    unknown, unprepared = _unknown(xen_device_unknown), {m.bdf: m for m in rows(xen_msix_unprepared) if m.bdf}
    for refusals in found.values():
        yield _finding(refusals, forced, short, _why(refusals[0], unknown, unprepared))
    if short and not any(errno == EINVAL for _, errno in found):
        yield from _without_irq(short)
    yield from _of_lines(libxl_pirq_refused, libxl_device_refused)
    if lines := list(rows(xen_gsi_map_failed, xen_vioapic_refused)):  # holds only where nothing was found
        said = f"Xen refused line interrupts (GSI), {times(len(lines))} in the log; no line names the device"
        yield inconclusive(said, "dmesg of dom0 from its boot on, with the messages of the drivers")
    elif unprepared:
        said = f"dom0 could not tell Xen of the MSI-X table of {', '.join(sorted(unprepared))}, and Xen refuses a guest such vectors"
        yield inconclusive(said, "the device model's log (qemu-dm-*.log), or the guest's, from when its driver asks for them")


def _with_errno(frame: pl.DataFrame | None) -> pl.DataFrame | None:
    """Return a binding that failed; a word that is no address of an MSI has no errno and is another fault."""
    return frame.filter(pl.col("ret").is_not_null()) if frame is not None else None


def _unknown(frame: pl.DataFrame | None) -> dict[tuple[str, str], Row]:
    """Return by source and function the latest note that the kernel could not tell Xen of it."""
    return {(m.source, m.bdf): m for m in rows(frame) if m.bdf and m.wanted == "add"}


def _of_lines(refused_lines: pl.DataFrame | None, refused_devices: pl.DataFrame | None) -> Iterator[Finding]:
    """Yield what libxl says: a line interrupt was refused, and the device with it; one finding a domain and device."""
    devices = sorted(rows(refused_devices), key=lambda r: (r.source, r.line))
    found: dict[str, list[tuple[Row, Row | None]]] = {}
    at = 0
    for m in sorted((r for r in rows(refused_lines) if r.function != TAKING_BACK), key=lambda r: (r.source, r.line)):
        while at < len(devices) and (devices[at].source, devices[at].line) < (m.source, m.line):
            at += 1
        below = devices[at] if at < len(devices) and near(m, devices[at], WITH) and devices[at].domid == m.domid else None
        bdf = _full(below.sbdf) if below else None
        found.setdefault(bdf or f"dom{m.domid}" if m.domid is not None else bdf or "guest", []).append((m, below))
    for label, pairs in found.items():
        yield _line_refused(label, pairs)


def _full(sbdf: str) -> str:
    """Return a function that libxl prints without leading zeros: `0:3:0.0`."""
    segment, bus, rest = sbdf.split(":")
    return f"{segment:0>4}:{bus:0>2}:{rest:0>4}"


def _line_refused(label: str, pairs: list[tuple[Row, Row | None]]) -> Finding:
    first, below = pairs[0]
    errno = next((number for text, number in ERRNOS.items() if text in first.reason), 0)
    reason, advice = NO_LINES if errno in (ENOSYS, EOPNOTSUPP) else REASONS.get(errno, ("", "See `xl dmesg` at that time"))
    whose = f" for dom{first.domid}" if first.domid is not None else ""
    return Finding(
        f"Xen refused {'permission for' if first.permission else 'to map'} the line interrupt {first.irq} of "
        f"{label if below else 'a device'}{whose} ({first.reason.strip()}), "
        "and the device was not given" + (f": {reason}" if reason else ""),
        "proven" if below else "probable",
        in_order(whole(r) for pair in pairs for r in pair if r is not None),
        Subject(label, "pci", label) if below else Subject(label, "domain"),
        severity="medium",
        advice=f"{advice}.",
        values={"errno": errno, "refusals": len(pairs)},
    )


def _without_irq(short: list[Row]) -> Iterator[Finding]:
    """Yield the MSIs for which Xen had no irq, by domain; the refusal that others print of it is in no log."""
    reason, advice = NO_IRQ
    groups: dict[int, list[Row]] = {}
    for m in short:
        groups.setdefault(m.domid, []).append(m)
    for domid, mine in groups.items():
        yield Finding(
            f"Xen refused to map an MSI of dom{domid}, {times(len(mine))} in the log: {reason}",
            "proven",
            in_order(whole(m) for m in mine),
            domain(domid),
            advice=f"{advice}.",
            values={"errno": EINVAL, "refusals": len(mine)},
        )


def _why(refusal: Refusal, unknown: Mapping[tuple[str, str], Row], unprepared: Mapping[str, Row]) -> Row | None:
    """Return dom0's earlier note that explains a refusal: Xen was not told of the function, or not where its MSI-X table is."""
    bdf = refusal.subject.bdf or ""
    return unprepared.get(bdf) if refusal.errno == ENODATA else unknown.get((refusal.row.source, bdf))


def _finding(refusals: list[Refusal], forced: Forced, short: list[Row], noted: Row | None) -> Finding:
    first = refusals[0]
    numbers = [m for r in refusals if (m := forced.above(r)) is not None]
    without = short if first.errno == EINVAL else []
    reason, advice = reason_of(first, numbers[0] if numbers else None, bool(without), noted is not None and first.errno != ENODATA)
    errno = f" with {first.errno}" if first.errno else ""
    by_dom0 = all(r.by == "backend" for r in refusals)  # whether Xen was asked at all is not told
    who = "dom0 could not enable MSI of {} for its guest" if by_dom0 else "Xen refused to map MSI of {}"
    return Finding(
        f"{who.format(first.subject.label)}{errno}, {times(len(refusals))} in the log" + (f": {reason}" if reason else ""),
        "proven",
        in_order([*(whole(m, "cause") for m in (*numbers, *without, *([noted] if noted else ()))), *(at_end(r.row) for r in refusals)]),
        first.subject,
        advice=f"{advice}.",
        values={"errno": first.errno, "refusals": len(refusals)},
    )
