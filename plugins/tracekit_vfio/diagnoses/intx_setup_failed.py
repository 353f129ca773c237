"""VFIO-012: a device's line interrupt could not be set up for its guest."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from tracekit import (
    EBUSY,
    VFIO_INTX,
    Finding,
    Shown,
    Subject,
    Unchecked,
    Verdict,
    diagnosis,
    distinct,
    near,
    rows_below,
    rows_where,
    span,
    subject_of,
)
from tracekit_vfio.client_messages import UNNAMED, probed_last
from tracekit_vfio.options import host_of

RECORD = "dmesg of the host with QEMU's log; cat /proc/interrupts; kprobe and kretprobe on vfio_pci_set_irqs_ioctl"
BUSY, INVALID = "Device or resource busy", "Invalid argument"
BELOW = 2  # lines from a refusal of old QEMU, which names no device, to the option that is given up for it
INTX = (pl.col("index") == VFIO_INTX) & (pl.col("data") == "eventfd")
REASONS = {
    BUSY: (
        "its line is shared with another device, and it cannot mask INTx itself",
        "See who shares the line (/proc/interrupts): unbind a driver of the host there, move one of the devices to another slot, or use a "
        "driver with MSI.",
    ),
    INVALID: (
        "another interrupt index of it (MSI or MSI-X) is still on",
        "The client must disable MSI or MSI-X before it enables INTx: update the client, or reset the device.",
    ),
}

# Whose handler has the line already: another guest's, or a driver of the host.
SHARED_BY_GUEST = "Give the devices that share the line to one guest after another, move one to another slot, or use a driver with MSI."
SHARED_BY_HOST = (
    "Unbind the host's driver that has the line ({}), move one of the devices to another slot, or use a driver with MSI in the guest. "
    "Where nointxmask=1 is set for vfio_pci, that is why an unshared line was asked for: take it away."
)


def busy(index: int | None, data: str | None, ret: int | None) -> bool:
    """Return whether a SET_IRQS for INTx returned -EBUSY."""
    return index == VFIO_INTX and data == "eventfd" and ret == EBUSY


@diagnosis(
    "vfio.intx-setup-failed",
    code="VFIO-012",
    severity="medium",
    record=RECORD,
    shown_by=(Shown("op_set_irqs", "SET_IRQS call", ("ret",), of=INTX),),
    absent="no SET_IRQS call and no client's message about INTx in the input",
    when={
        "op_set_irqs": busy,
        **dict.fromkeys(("qemu_signaling_failed", "qemu_intx_failed", "irq_flags_mismatch", "dpdk_intx_failed", "qemu_assign_irq_failed")),
    },
    otherwise="every INTx that was asked for was set up",
)
def intx_setup_failed(
    qemu_signaling_failed: pl.DataFrame | None = None,
    qemu_intx_failed: pl.DataFrame | None = None,
    irq_flags_mismatch: pl.DataFrame | None = None,
    op_set_irqs: pl.DataFrame | None = None,
    qemu_init_failed: pl.DataFrame | None = None,
    qemu_assign_irq_failed: pl.DataFrame | None = None,
    dpdk_intx_failed: pl.DataFrame | None = None,
    dpdk_probed: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """VFIO refused to set up the line interrupt (INTx) of a device.

    What it finds: QEMU's `Failed to set up TRIGGER eventfd signaling for interrupt INTX-0`, by its errno; the host's `Flags mismatch` of
    an irq that vfio-intx asked for, which proves that the line is shared; DPDK's `Error enabling INTx interrupts`, which has no errno
    (possible, of the device probed last); and the `Failed to assign irq` of QEMU's assignment by KVM itself (up to QEMU 2.12).
    Why it matters: the device has no interrupt until its guest turns MSI on; most VMs do not start.
    Stays quiet when: the message is about MSI or MSI-X (VFIO-003, VFIO-004).
    Affected: functions without DisINTx on a shared line (EBUSY); clients that leave MSI or MSI-X on (EINVAL).
    What to do: EBUSY: see who shares the line, and unbind a driver of the host there; EINVAL: update the client.
    References: drivers/vfio/pci/vfio_pci_intrs.c, vfio_intx_enable(); QEMU hw/vfio/pci.c, vfio_intx_enable().
    """
    told = rows_where(qemu_signaling_failed, (pl.col("kind") == "INTX") & (pl.col("action") == "TRIGGER"))
    told += _with_options(rows_where(qemu_intx_failed, None), rows_where(qemu_init_failed, None))
    told += [{**r, "name": host_of(r["where"]) or r["name"]} for r in rows_where(qemu_assign_irq_failed, None)]
    mismatched = rows_where(irq_flags_mismatch, pl.col("action").str.starts_with("vfio-intx"))
    of_lines = {_device(r) for r in mismatched}
    if len(of_lines) == 1 and {r["name"] for r in told} == {None}:  # one refusal, which QEMU tells of no device by name
        told = [{**r, "name": next(iter(of_lines))} for r in told]
    devices = dict.fromkeys([*(r["name"] for r in told), *(_device(r) for r in mismatched)])
    for name in devices:
        mine, lines = [r for r in told if r["name"] == name], [r for r in mismatched if _device(r) == name]
        yield _finding(name, mine, lines)
    yield from _by_dpdk(dpdk_intx_failed, dpdk_probed)
    if not devices and (calls := rows_where(op_set_irqs, busy)):
        yield _refused(calls)


def _with_options(told: list[dict[str, Any]], given_up: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return QEMU's refusals by the function of the option that they are about: their own, or one that is given up in the next lines."""
    options = sorted((r for r in given_up if host_of(r["where"])), key=lambda r: (r["source"], r["line"]))
    named = []
    for r in told:
        below = (host_of(o["where"]) for o in rows_below(r, options) if near(r, o, BELOW, 0))
        named.append({**r, "name": host_of(r["where"]) or next(below, None)})
    return named


def _by_dpdk(messages: pl.DataFrame | None, probed: pl.DataFrame | None) -> Iterator[Finding]:
    """Yield the line interrupts that DPDK could not enable or unmask, by the device that it probed last."""
    for bdf, mine in probed_last(messages, probed).items():
        subject = Subject(bdf, "pci", bdf, how="the device that DPDK probed last before") if bdf else UNNAMED
        yield Finding(
            f"DPDK could not {'enable' if mine[0]['step'] == 'enabling' else 'unmask'} INTx of {subject.label}",
            "possible",
            distinct(e for r in mine[:5] for e in span(r["source"], r["line"], role="effect")),
            subject,
            advice="See the host's kernel log, and who shares the line (/proc/interrupts); DPDK does not print the errno. Its drivers that "
            "poll need the interrupt for link changes alone.",
            unchecked=(Unchecked("why it was refused, and that the driver does not go on without", RECORD),),
            values={"messages": len(mine)},
        )


def _refused(calls: list[dict[str, Any]]) -> Finding:
    """Return a SET_IRQS for INTx that returned -EBUSY; -EINVAL is the client's order of calls (VFIO-005)."""
    subject = subject_of(calls[0])
    means, advice = REASONS[BUSY]
    return Finding(
        f"INTx of {subject.label} could not be set up ({EBUSY}): {means}",
        "proven",
        distinct(e for r in calls[:5] for e in span(r["source"], r["line"], r["line_end"], "cause")),
        subject,
        advice=advice,
        values={"errno": EBUSY, "calls": len(calls)},
    )


def _device(row: Mapping[str, Any]) -> str | None:
    """Return `vfio-intx(0000:03:00.0)`: the function in its action; null where the action names none."""
    return str(row["action"]).partition("(")[2].rstrip(")") or None


def _finding(name: str | None, told: list[dict[str, Any]], mismatched: list[dict[str, Any]]) -> Finding:
    reason = told[0]["reason"].strip() if told else BUSY
    means, advice = next((m for text, m in REASONS.items() if text in reason), ("", "See the host's kernel log for the reason."))
    other = mismatched[0]["other_action"] if mismatched else None
    if other and means == REASONS[BUSY][0]:
        advice = SHARED_BY_GUEST if other.startswith("vfio-intx") else SHARED_BY_HOST.format(other)
    shared = f"; line {mismatched[0]['irq']} is {other}'s" if other else ""
    label = name or "an unnamed device"
    bdf = name if name and "." in name and ":" in name else None
    return Finding(
        f"INTx of {label} could not be set up ({reason})" + (f": {means}" if means else "") + shared,
        "proven" if mismatched else "probable",
        distinct(
            [
                *(e for r in mismatched[:5] for e in span(r["source"], r["line"], role="cause")),
                *(e for r in told[:5] for e in span(r["source"], r["line"], role="effect")),
            ]
        ),
        Subject(label, "pci" if bdf else "unknown", bdf),
        advice=advice,
        unchecked=() if mismatched or not means else (Unchecked(f"that {means}", RECORD),),
        values={"reason": reason, "messages": len(told), "irq": mismatched[0]["irq"] if mismatched else None, "shares_with": other},
    )
