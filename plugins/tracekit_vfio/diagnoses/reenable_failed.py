"""VFIO-003: the vectors were taken down to add more, and the enable failed."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import polars as pl

from tracekit import Finding, Subject, Unchecked, Verdict, diagnosis, distinct, inconclusive, rows_where, span, subject_of, unnamed
from tracekit_vfio.client_messages import by_dpdk, by_program, by_qemu_itself, of_vectors
from tracekit_vfio.diagnoses.resize_window import CALLS, SESSIONS, STILL_OPEN

RECORD = "kprobe and kretprobe on vfio_pci_set_irqs_ioctl (vdev, flags, index, start, count), from before the guest starts"
COUNT = Unchecked("how many vectors the requests were for", RECORD)
ERRNO = Unchecked(
    "why the enable failed", "a kretprobe on vfio_pci_set_irqs_ioctl and on msi_insert_desc, or {QV4}, which prints the errno"
)


def failed_after_a_disable(kind: str | None, ret: int | None) -> bool:
    """Return whether an enable failed after a disable, or after a close that the recording does not show."""
    return kind == "failed" or kind == "unknown" and ret is not None and ret != 0


@diagnosis(
    "vfio.reenable-failed",
    code="VFIO-003",
    severity="critical",
    explains=("IRQ-007",),
    record=RECORD,
    shown_by=(CALLS, "windows"),
    absent="no SET_IRQS and no client's message in the input",
    when={
        "windows": failed_after_a_disable,
        **dict.fromkeys(("qemu_enable_vectors_failed", "qemu_enable_msix_failed", "qemu_msi_failed", "qemu_msi_fds_failed")),
        **dict.fromkeys(("kvmtool_set_irqs_failed", "kvmtool_msix_failed", "qemu_notifiers_failed", "vmm_complaint")),
        "qemu_assertion_failed": None,
        "vfio_set_irqs_refused": of_vectors,
    },
    otherwise="no enable failed after a disable",
)
def reenable_failed(
    windows: pl.DataFrame | None = None,
    devices: pl.DataFrame | None = None,
    qemu_enable_vectors_failed: pl.DataFrame | None = None,
    qemu_enable_msix_failed: pl.DataFrame | None = None,
    qemu_msi_failed: pl.DataFrame | None = None,
    qemu_msi_fds_failed: pl.DataFrame | None = None,
    kvmtool_set_irqs_failed: pl.DataFrame | None = None,
    kvmtool_msix_failed: pl.DataFrame | None = None,
    qemu_notifiers_failed: pl.DataFrame | None = None,
    vmm_complaint: pl.DataFrame | None = None,
    dpdk_probed: pl.DataFrame | None = None,
    qemu_assertion_failed: pl.DataFrame | None = None,
    vfio_set_irqs_refused: pl.DataFrame | None = None,
    vfio_msi_setup: pl.DataFrame | None = None,
    vfio_msi_enable: pl.DataFrame | None = None,
    vfio_msi_disable: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """After a disable the enable failed: the device is left without vectors, or with a few that depend on the order of events.

    What it finds: SET_IRQS that disables vectors which worked, then an enable that returns an error, and no enable that works after it.
    A client's message that it could not enable vectors says the same, without the order. DPDK's, and that of another program which drives
    a device itself, is of a first enable (medium), and an assertion of QEMU's about MSI or KVM's interrupt routes ends the guest (high).
    Why it matters: the guest believes that its vectors are on; the device is deaf until the guest or the device is restarted.
    Stays quiet when: nothing had been enabled before in this open (then only the reason is reported), a smaller retry works, the device
    is closed at once, or a close between would not have been recorded.
    Affected: clients that take vectors down to add one: QEMU before {QV3}, later ones where the host sets NORESIZE.
    What to do: find the reason (MSI-001, MSI-004, VEC-001); restart the guest or the device when it is gone.
    References: QEMU hw/vfio/pci.c, vfio_msix_vector_do_use(); Linux drivers/vfio/pci/vfio_pci_intrs.c, vfio_msi_enable().
    """
    found = False
    of_dpdk = vmm_complaint.filter(pl.col("client").str.starts_with("EAL")) if vmm_complaint is not None else None
    frames = (
        qemu_enable_vectors_failed,
        qemu_enable_msix_failed,
        _after_others(qemu_msi_failed, vfio_msi_setup, (vfio_msi_enable, vfio_msi_disable)),
        _after_others(qemu_msi_fds_failed, vfio_msi_setup, (vfio_msi_enable, vfio_msi_disable)),
        qemu_notifiers_failed,
        kvmtool_set_irqs_failed,
        kvmtool_msix_failed,
        vmm_complaint.filter(~pl.col("client").str.starts_with("EAL").fill_null(False)) if vmm_complaint is not None else None,
    )
    told = [
        e for f in frames if f is not None for m in f.head(2).iter_rows(named=True) for e in span(m["source"], m["line"], role="effect")
    ]
    sure = list(_from_calls(windows, devices))
    for finding in sure:
        found = True
        yield replace(finding, evidence=(*finding.evidence, *told)) if len(sure) == 1 else finding
    messages = () if found else (*_from_messages(frames, windows), *by_dpdk(of_dpdk, dpdk_probed), *by_program(vfio_set_irqs_refused))
    for finding in (*messages, *by_qemu_itself(qemu_assertion_failed)):
        found = True
        yield finding
    if not found and windows is not None:
        yield from _not_shown(windows)


def _after_others(
    messages: pl.DataFrame | None, setups: pl.DataFrame | None, others: tuple[pl.DataFrame | None, ...]
) -> pl.DataFrame | None:
    """Return the messages of plain MSI without those of a first enable: QEMU's trace has the set-up of a device as the last step before."""
    if messages is None or setups is None:
        return messages

    steps = [
        (r["source"], r["line"], frame is setups) for frame in (setups, *others) if frame is not None for r in frame.iter_rows(named=True)
    ]
    before = [
        max(((line, first) for source, line, first in steps if source == m["source"] and line < m["line"]), default=(0, False))
        for m in messages.iter_rows(named=True)
    ]
    return messages.filter(pl.Series([not first for _, first in before], dtype=pl.Boolean))


def _from_calls(windows: pl.DataFrame | None, devices: pl.DataFrame | None) -> Iterator[Finding]:
    if windows is None:
        return
    failed = windows.filter((pl.col("kind") == "failed") & (pl.col("basis") == "calls") & pl.col("recovered_line").is_null())
    seen: set[str] = set()
    for w in failed.iter_rows(named=True):
        subject = subject_of(w, devices)
        if subject.label in seen or w["ret"] is not None and w["ret"] > 0 and w["closed_line"] is None:
            continue
        seen.add(subject.label)
        yield _proven(w, subject)


def _not_shown(windows: pl.DataFrame) -> Iterator[Verdict]:
    """Yield why an enable that failed is no finding: the device may have been closed before it."""
    for w in rows_where(windows, lambda kind, ret: kind == "unknown" and failed_after_a_disable(kind, ret))[:1]:
        where = f"line {w['enable_line']} of {w['source']}"
        yield inconclusive(f"an enable after a disable failed with {w['ret']} ({where}); a close between would not be recorded", SESSIONS)


def _proven(w: dict[str, Any], subject: Subject) -> Finding:
    deaf = w["closed_ts"] - w["disable_ts"] if w["closed_ts"] is not None and w["disable_ts"] is not None else None
    had = f"{w['old']} vector{'' if w['old'] == 1 else 's'}" if w["old"] is not None else "vectors"
    asked = w["new"] if w["new"] is not None else "others"
    result = "" if w["ret"] is None else f" with {w['ret']}" if w["ret"] < 0 else f": the kernel would have granted {w['ret']}"
    lasted = f", deaf for {deaf / 1e9:.3f} s until the close" if deaf is not None else ""
    gaps = (*((STILL_OPEN,) if w["sees_close"] is False else ()), *((COUNT,) if w["new"] is None else ()))
    evidence = [
        *(e for u in w["in_use"] for e in span(w["source"], u["first"], u["last"])),
        *span(w["source"], w["line"], w["disable_end"], "cause"),
        *span(w["source"], w["enable_line"], w["enable_end"], "cause"),
        *span(w["source"], w["closed_line"], role="effect"),
    ]
    return Finding(
        summary=f"{subject.label} had {had} enabled, all were disabled to enable {asked}, and that failed{result}{lasted}",
        grade="possible" if STILL_OPEN in gaps else "probable" if w["hint"] or gaps else "proven",
        subject=subject,
        evidence=distinct(evidence),
        unchecked=(*gaps, *unnamed(w["hint"])),
        values={
            "last_working": w["old"],
            "asked": w["new"],
            "errno": w["ret"],
            "deaf_ns": deaf,
            "vectors_in_use": [u["vector"] for u in w["in_use"]],
        },
        advice="Find why the enable failed (see the finding that explains this one), then restart the guest or the device.",
    )


def _from_messages(frames: tuple[pl.DataFrame | None, ...], windows: pl.DataFrame | None) -> Iterator[Finding]:
    """Yield a client's messages, alone; with QEMU's trace beside them, by the device whose growth failed."""
    traced = windows.filter(pl.col("basis") == "qemu") if windows is not None else None
    failed = traced.filter(pl.col("kind") == "failed") if traced is not None else None
    shown = {(w["source"], w["enable_end"]): w for w in failed.iter_rows(named=True)} if failed is not None else {}
    groups: dict[str | None, tuple[dict[str, Any] | None, list[dict[str, Any]]]] = {}
    for m in (row for f in frames if f is not None for row in f.iter_rows(named=True)):
        w = shown.get((m["source"], m["line"]))
        if w is None or w["old"] and w["recovered_line"] is None:  # else nothing had been enabled before, or a later enable worked
            groups.setdefault(w["bdf"] if w is not None else m.get("bdf"), (w, []))[1].append(m)
    named = [bdf for bdf in groups if bdf is not None]
    if None in groups and len(named) == 1 and groups[named[0]][0] is None:  # kvmtool: the errno's text, then the device that it is about
        groups[named[0]][1].extend(groups.pop(None)[1])
    grown = traced.filter(pl.col("kind") == "open") if traced is not None else None
    for bdf, (w, messages) in groups.items():
        if w is None and bdf is None and grown is not None and grown.height:
            w = grown.row(-1, named=True)
        yield _told(messages, w)


def _told(messages: list[dict[str, Any]], w: dict[str, Any] | None) -> Finding:
    """Return a finding of messages; with a growth that failed or was not confirmed, the device and the order are known."""
    first = messages[0]
    subject = subject_of(w if w is not None else first)
    if w is None and not subject.bdf:
        subject = Subject("an unnamed device", "unknown", None, (), "-trace 'vfio_msix_*' of QEMU names it")
    evidence = [e for m in messages[:5] for e in span(m["source"], m["line"], role="effect")]
    if w is not None:
        evidence += [*span(w["source"], w["enabled_line"]), *span(w["source"], w["line"], role="cause")]
    reason = next((m["reason"] for m in messages if m.get("reason")), "no reason")
    order = (
        ()
        if w is not None
        else (Unchecked("vectors had been enabled before", "QEMU's trace (-trace 'vfio_msix_*') or SET_IRQS calls of the host"),)
    )
    return Finding(
        summary=f"the client could not enable the vectors of {subject.label} ({reason})",
        grade="probable" if w is not None else "possible",
        subject=subject,
        evidence=distinct(evidence),
        unchecked=(*order, ERRNO),
        values={
            "message": reason,
            "messages": len(messages),
            "asked": w["new"] if w is not None else None,
            "last_working": w["old"] if w is not None else None,
        },
        advice="Record the host's SET_IRQS calls with their return values: the number tells the reason.",
    )
