"""MSI-004: fewer vectors than asked, or none for want of them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from tracekit import (
    EBADF,
    EBUSY,
    EINVAL,
    ENODEV,
    ENOENT,
    ENOMEM,
    ENOSPC,
    ENOSYS,
    ENOTSUPP,
    ENOTTY,
    ENXIO,
    EOPNOTSUPP,
    ERANGE,
    VFIO_MSI,
    VFIO_MSIX,
    Finding,
    Shown,
    Subject,
    Verdict,
    diagnosis,
    distinct,
    inconclusive,
    near,
    rows_above,
    rows_where,
    span,
    subject_of,
)
from tracekit_msi.asleep import Asleep
from tracekit_msi.msi_map import MsiMap
from tracekit_msi.no_irq import LATER, Reason, Reasons
from tracekit_msi.refusal_ends import SAME_PROBE, Ends, placed, rows, who

# Errnos with a diagnosis of their own (MSI-001, MSI-006, MSI-007, VEC-*), and the one of a function that has no MSI-X.
OF_ENABLES = (ERANGE, ENOSPC, ENOMEM, ENOTSUPP, ENODEV, EINVAL)
OF_CALLS = (ERANGE, ENOSPC, EINVAL, ENOTTY, EBADF)  # MSI-001, VEC-*, VFIO-005 or harmless, VFIO-007
NOT_THERE = (ENOENT, ENXIO, ENODEV, ENOSYS, EOPNOTSUPP)  # perhaps the function or its bus has no MSI at all
RECORD = "kprobe and kretprobe on pci_alloc_irq_vectors_affinity (min, max, $retval) and on pci_msix_vec_count"
CHANNEL = 3  # lines from Xen's refusal of an event channel to the driver's word about the irq
VFS = (
    "The device's own MSI-X budget is used up, by the physical function, its RDMA or its sub-functions; the CPUs' vectors are not what is "
    "short. Give the physical function fewer (devlink msix_vec_per_pf_max, fewer queues, no RDMA), or each VF fewer."
)
UNTOLD = "No line tells why: see what the kernel says beside it, whether MSI is off (pci=nomsi, quirks), and, if vectors are short, VEC-*."
INVALID = (
    "Nothing is short: the platform's MSI domain does not take such a request (no multi-vector MSI, no MSI-X, a mode that is on already), "
    "or the device's capability is wrong. Compare `lspci -vvv` with what the driver asks for."
)
NO_SUCH = (
    "Nothing is short: the platform, its irq domain or the function has no such MSI (MSI-006). See whether `lspci -vvv` shows the "
    "capability, whether MSI is off (pci=nomsi, quirks), and whether the host bridge has an MSI parent."
)
BUSY = "Nothing is short: something of the device is in use already, as a mode of MSI that is on or an irq that was not given back."
MULTI = (
    "As a rule nothing is short: several vectors of plain MSI need an irq domain that takes them together, and on x86 that of interrupt "
    "remapping alone does. Turn it on (VT-d or AMD-Vi in the firmware, no intremap=off or iommu=off; for a guest a virtual IOMMU that "
    "remaps; on Arm an MSI domain of the host bridge that takes several), or use a driver that works with one vector."
)
ADVICE = "Raise what is short: the device's table, CPU vectors (VEC-*), or remapping entries (VEC-005)."
REMAPPED = f"Interrupt remapping is on, so that several vectors of plain MSI can be had, but not behind VMD. {ADVICE}"
# What to do, by the errno of a refusal; of others it tells nothing.
OF_ERRNO = {
    **dict.fromkeys((ENOSPC, ERANGE), ADVICE),
    **dict.fromkeys((ENOENT, ENXIO, ENODEV, ENOSYS, EOPNOTSUPP, ENOTSUPP), NO_SUCH),
    **{EINVAL: INVALID, EBUSY: BUSY},
}
# `failed to allocate 32 MSI vectors`; not of MSI-X, nor of either kind
PLAIN_MSI = re.compile(r"(?i)(?<![\w/-])(?:(?P<asked>[0-9]{1,4}) )?MSI (?:vectors|interrupts|irqs)\b(?!.{0,40}MSI-?X)")
NO_IRQ = re.compile(r"(?i)\b(?:no|find an?) (?:irq|interrupt)s?\b")
# xHCI and its like end the probe there (drivers/usb/core/hcd-pci.c); NVIDIA's driver: `Cannot use this GPU`
STOPPED = re.compile(r"no irq\. +check bios|[.,;] +can(?:no|')t use (?:this|the) ", re.IGNORECASE)
NONE_FOUND = "See why the device was given none: MSI and MSI-X off or refused, an INT pin without a route in firmware."
IRQ = "See why the irq was refused: a line that another driver does not share (-16), no vector (-28), a wrong number (-22)."


def short(
    ret: int | None,
    min: int | None,
    max: int | None,
    live: int | None,
    operation: str | None,
    kind: str | None,
    inferred: bool,
) -> bool:
    """Return whether an enable of a range got fewer vectors than it asked for and the table has, or fewer than its minimum could be had."""
    if inferred or operation != "enable" or kind != "msix" or ret is None or min is None or max is None or min >= max:
        return False
    return ret == ENOSPC or live is not None and 0 < ret < max and ret < live


def unexplained(ret: int | None, operation: str | None) -> bool:
    """Return whether an enable failed with an errno that no other diagnosis explains."""
    return operation == "enable" and other_than(ret, OF_ENABLES)


def other_than(ret: int | None, known: tuple[int, ...]) -> bool:
    """Return whether a call failed with another errno than these."""
    return ret is not None and ret < 0 and ret not in known


def short_or_unexplained(
    ret: int | None,
    min: int | None,
    max: int | None,
    live: int | None,
    operation: str | None,
    kind: str | None,
    inferred: bool,
) -> bool:
    """Return whether an enable was short, or its errno needs a reason."""
    return short(ret, min, max, live, operation, kind, inferred) or unexplained(ret, operation)


def granted_fewer(ret: int | None, data: str | None, index: int | None) -> bool:
    """Return whether a SET_IRQS that wires vectors returned how many there are."""
    return ret is not None and ret > 0 and wires(data, index)


def unexplained_call(ret: int | None, data: str | None, index: int | None) -> bool:
    """Return whether a SET_IRQS that wires vectors failed with an errno that no other diagnosis explains."""
    return wires(data, index) and other_than(ret, OF_CALLS)


def wires(data: str | None, index: int | None) -> bool:
    """Return whether a SET_IRQS gives vectors their eventfds."""
    return data == "eventfd" and index in (VFIO_MSI, VFIO_MSIX)


def fewer_or_unexplained(ret: int | None, data: str | None, index: int | None) -> bool:
    """Return whether a SET_IRQS got fewer vectors, or its errno needs a reason."""
    return granted_fewer(ret, data, index) or unexplained_call(ret, data, index)


@diagnosis(
    "msi.short-grant",
    code="MSI-004",
    severity="medium",
    record=RECORD,
    shown_by=(Shown("enables", "enabling", ("ret",)),),
    absent="no enabling of vectors in the input",
    when={
        "enables": short_or_unexplained,
        "op_set_irqs": fewer_or_unexplained,
        **dict.fromkeys(
            ("driver_vectors_refused", "driver_vectors_reduced", "driver_refusals", "driver_irq_refused", "driver_irq_fallback")
        ),
        **dict.fromkeys(("driver_irq_fallback", "irq_oneshot_missing", "irq_setup_refused", "irq_trigger_failed", "pci_line_unrouted")),
    },
    otherwise="every enable got what it asked for, or what the table holds",
)
def short_grant(
    enables: pl.DataFrame | None = None,
    op_set_irqs: pl.DataFrame | None = None,
    devices: pl.DataFrame | None = None,
    driver_vectors_refused: pl.DataFrame | None = None,
    driver_vectors_reduced: pl.DataFrame | None = None,
    driver_refusals: pl.DataFrame | None = None,
    driver_irq_refused: pl.DataFrame | None = None,
    driver_irq_fallback: pl.DataFrame | None = None,
    driver_vectors_used: pl.DataFrame | None = None,
    net_link_up: pl.DataFrame | None = None,
    msi_off: pl.DataFrame | None = None,
    msi_map_missing: pl.DataFrame | None = None,
    driver_probe_failed: pl.DataFrame | None = None,
    kernel_panic: pl.DataFrame | None = None,
    irq_oneshot_missing: pl.DataFrame | None = None,
    irq_setup_refused: pl.DataFrame | None = None,
    irq_trigger_failed: pl.DataFrame | None = None,
    pci_line_unrouted: pl.DataFrame | None = None,
    remap_enabled: pl.DataFrame | None = None,
    xen_irq_obtain_failed: pl.DataFrame | None = None,
    irq_flags_mismatch: pl.DataFrame | None = None,
    pci_enabling_device: pl.DataFrame | None = None,
    pci_unreachable: pl.DataFrame | None = None,
    pci_not_ready: pl.DataFrame | None = None,
    pci_link_lost: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """An enable got fewer vectors than it asked for, for another reason than the size of the table.

    What it finds: an enable that returns fewer vectors than its maximum while the table is larger; -28 for a range of counts, because
    fewer than the minimum could be had; a positive result of SET_IRQS; a driver's own line that says so, in known words (proven) or
    found by its structure: probable with an errno or when the driver gives up after it (severity high), else possible; low where the
    driver goes on with fewer, with another kind, gets vectors at a later try, its link comes up, or the whole machine has no MSI. Of
    VFs: the device's own budget. An irq that the irq core refused, or that is none since the INT pin has no route, with the driver that
    gave up for it. A panic is its effect (critical) only if it is about interrupts, or about the root device, which may be behind the
    device.
    Why it matters: queues share vectors or do not work; a client may give up.
    Stays quiet when: the number granted is the table's size (the normal clamp), the table's size is not known, a driver's trouble is
    memory (-12) or a probe that is put off (-517), or an irq is what was refused with -28 (VEC-001). Another irq that was refused is
    possible and low, unless the driver gives up: it may be a line, and where the line right above tells so IRQ-010 explains it. A device
    that did not answer just before is refused with -22, which IRQ-009 explains. An INT pin without a route is ordinary where the driver
    uses MSI.
    Affected: any kernel.
    What to do: find what is short: the table, CPU vectors, remapping entries.
    References: Linux drivers/pci/msi/msi.c, __pci_enable_msix_range(); drivers/vfio/pci/vfio_pci_intrs.c, vfio_msi_enable();
    kernel/irq/manage.c, __setup_irq(); drivers/acpi/pci_irq.c, acpi_pci_irq_enable(); arch/x86/pci/irq.c, pirq_enable_irq().
    """
    ends = Ends(driver_probe_failed, kernel_panic, driver_vectors_used, net_link_up, msi_off)
    reasons = Reasons(
        irq_oneshot_missing, irq_setup_refused, irq_trigger_failed, pci_line_unrouted, driver_probe_failed, irq_flags_mismatch
    )
    known = (driver_vectors_refused, driver_vectors_reduced)
    asleep = Asleep(rows(pci_unreachable), rows(pci_not_ready), rows(pci_link_lost))
    findings = [
        *(_from_enables(enables, devices) if enables is not None else ()),
        *(_from_requests(op_set_irqs, devices) if op_set_irqs is not None else ()),
        *_from_drivers(placed(rows(driver_vectors_refused), pci_enabling_device), driver_vectors_reduced, ends, asleep),
        *_from_refusals(
            [*placed(rows(driver_refusals), pci_enabling_device), *_irqs(driver_irq_refused), *_fallbacks(driver_irq_fallback, ends)],
            ends,
            known,
            reasons,
            sorted(rows(xen_irq_obtain_failed), key=lambda r: (r["source"], r["line"])),
            asleep,
        ),
    ]
    findings += _untold(reasons, ends, {f.subject.label for f in findings})
    by_bridge = MsiMap(msi_map_missing, driver_probe_failed).gone
    findings = [replace(f, explained_by="MSI-006") if f.subject.bdf in by_bridge else f for f in findings]
    if remap_enabled is not None:
        findings = [replace(f, advice=REMAPPED) if f.advice == MULTI else f for f in findings]
    yield from findings
    if not findings and (failed := _unexplained(enables, op_set_irqs)) is not None:
        told = f"the {failed['what']} of line {failed['line']} failed with {failed['ret']}; no line says why"
        yield inconclusive(told, "the kernel log beside the trace; kretprobes on the functions that the call uses, or its function graph")
    elif not findings and (bdf := reasons.unanswered()) is not None:
        told = f"the INT pin of {bdf} leads to no irq; no line says whether its driver works without"
        yield inconclusive(told, "`/proc/interrupts`, and what the driver says next")


def _unexplained(enables: pl.DataFrame | None, calls: pl.DataFrame | None) -> Mapping[str, Any] | None:
    """Return an enable, or a SET_IRQS that wires vectors, that failed with an errno which no other diagnosis explains."""
    failed = [*({**r, "what": "enable"} for r in rows_where(enables, unexplained)), *rows_where(calls, unexplained_call)]
    return {"what": "SET_IRQS", **failed[0]} if failed else None


def _from_enables(enables: pl.DataFrame, devices: pl.DataFrame | None) -> Iterator[Finding]:
    first = {row["entity"]: row for row in reversed(rows_where(enables, short))}
    for row in sorted(first.values(), key=lambda r: (r["source"], r["line"])):
        subject = subject_of(row, devices)
        got = "was refused with -28" if row["ret"] == ENOSPC else f"got {row['ret']}"
        size = f", table {row['live']}" if row["live"] is not None else ""
        yield _finding(
            row,
            subject,
            "proven",
            f"{subject.label} asked for {row['min']} to {row['max']} vectors and {got}{size}",
            {"asked": row["max"], "min": row["min"], "granted": max(row["ret"], 0), "live": row["live"]},
        )


def _from_requests(op_set_irqs: pl.DataFrame, devices: pl.DataFrame | None) -> Iterator[Finding]:
    """Yield SET_IRQS that returned a positive number: only so many vectors could be had."""
    for row in rows_where(op_set_irqs, granted_fewer):
        subject = subject_of(row, devices)
        yield _finding(
            row,
            subject,
            "proven",
            f"SET_IRQS of {subject.label} asked for {row['count']} vectors; only {row['ret']} could be had",
            {"asked": row["count"], "granted": row["ret"]},
        )


def _from_drivers(refused: list[dict[str, Any]], reduced: pl.DataFrame | None, ends: Ends, asleep: Asleep) -> Iterator[Finding]:
    """Yield what drivers print of too few vectors, or none."""
    all_told = [r for r in refused if _number(r["ret"]) not in LATER]
    # `failed to get 32 MSI vectors, only 1 available`
    fewer_told = [{**r, "granted": int(r["ret"])} for r in all_told if r["multi"] and r["asked"] is not None and int(r["ret"]) > 0]
    told = [r for r in all_told if r["ret"] is None or int(r["ret"]) <= 0 or not r["multi"]]
    several = {who(r): r for r in reversed(told) if r["multi"]}
    for label, row in _first(told).items():
        error = f" with {row['ret']}" if row["ret"] is not None else ""
        plain = several.get(label)
        multi = plain is not None and near(row, plain, SAME_PROBE) and _number(plain["ret"]) == ENOSPC
        finding = _by_driver(row, label, f"refused{error}", {"asked": row["asked"], "ret": row["ret"]})
        why = asleep.explains(row, _number(row["ret"]))
        finding = replace(finding, advice=MULTI if multi else _advice(_number(row["ret"]), None), explained_by=why)
        yield ends.of(row, replace(finding, severity="low") if _number(row["ret"]) in NOT_THERE else finding)
    for label, row in _first([r for r in rows(reduced) + fewer_told if fewer(r["granted"], r["asked"])]).items():
        values = {"asked": row["asked"], "granted": row["granted"]}
        yield ends.of(row, _by_driver(row, label, f"reduced to {row['granted']}", values))


def _first(told: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the first row of each device."""
    return {who(row): row for row in reversed(told)}


def _by_driver(row: Mapping[str, Any], label: str, got: str, values: dict[str, Any]) -> Finding:
    subject = Subject(label, "pci" if row["bdf"] else "unknown", row["bdf"], how=row.get("how"))
    return _finding(row, subject, "proven", f"the vectors of {label} were {got}", values)


def fewer(granted: int, asked: int | None) -> bool:
    """Return whether a driver says less than that it got all it asked for."""
    return asked is None or granted < asked


def _number(errno: Any) -> int | None:
    """Return an errno that stands in a table as a number, or as its text."""
    return int(errno) if errno is not None else None


def _advice(errno: int | None, granted: int | None) -> str:
    """Return what to do, by what the refusal says: only a shortage is raised."""
    return ADVICE if granted is not None else UNTOLD if errno is None else OF_ERRNO.get(errno, UNTOLD)


def _irqs(refused: pl.DataFrame | None) -> Iterator[dict[str, Any]]:
    """Yield irqs that were refused in known words, in the form of `driver_refusals`."""
    for r in rows(refused):
        errno = int(r["ret"]) if r["ret"] is not None else int(r["ret_hex"], 16) - (1 << 32) if r.get("ret_hex") else None
        if errno not in LATER:
            yield {**r, "what": "irq", "errno": errno, "asked": None, "granted": None, "falls_back": False, "of_vfs": False}


def _fallbacks(fallbacks: pl.DataFrame | None, ends: Ends) -> Iterator[dict[str, Any]]:
    """Yield kinds of interrupts that were refused in known words, in the form of `driver_refusals`, where the driver gives up all the
    same: where the next kind works, these words stand in logs of many guests, and name no reason."""
    for r in rows(fallbacks):
        row = {**r, "what": "vectors", "errno": None, "asked": None, "granted": None, "falls_back": True, "of_vfs": False, "text": ""}
        if ends.given_up(row) is not None:
            yield row


def _from_refusals(
    refusals: list[dict[str, Any]],
    ends: Ends,
    known: tuple[pl.DataFrame | None, ...],
    reasons: Reasons,
    channels: list[dict[str, Any]],
    asleep: Asleep,
) -> Iterator[Finding]:
    """Yield refusals and short grants that drivers print in words of their own."""
    told = {who(r) for f in known for r in rows(f)}
    devices: dict[str, list[dict[str, Any]]] = {}
    for r in map(_sorted_out, map(ends.named, refusals)):
        works = _has_none(r) and not _stopped(r) and ends.given_up(r) is None  # it polls, or is no function at all
        if who(r) not in told and not (r["what"] == "irq" and r["errno"] == ENOSPC) and not works:
            devices.setdefault(who(r), []).append(r)
    for label, mine in devices.items():
        row = next((r for r in mine if r["errno"] is not None), next(filter(_stopped, mine), mine[0]))
        dead = ends.given_up(row) is not None or _stopped(row)
        reason = next((why for r in mine if r["what"] == "irq" and (why := reasons.of(r)) is not None), None)
        spared = row["falls_back"] or bool(row["granted"]) or not _counts(row["errno"]) or row["what"] == "irq"
        works = not dead and not row["of_vfs"] and spared
        finding = _finding(
            row,
            Subject(label, "pci" if row["bdf"] else "unknown", row["bdf"], how=row.get("how")),
            "probable" if _counts(row["errno"]) and row["what"] != "irq" or row["of_vfs"] or dead else "possible",
            _said(label, row, dead),
            {k: row[k] for k in ("errno", "asked", "granted", "falls_back", "of_vfs")},
        )
        of_irq = NONE_FOUND if _has_none(row) else IRQ
        errno = ends.errno(row)
        advice = VFS if row["of_vfs"] else of_irq if row["what"] == "irq" else _advice(errno, row["granted"])
        if errno == ENOSPC and row["granted"] is None and row["what"] == "vectors" and _several(row["text"]) and not row["of_vfs"]:
            advice = MULTI
        of_xen = row["what"] == "irq" and any(near(c, row, CHANNEL) for c in rows_above(row, channels))
        channel = "XEN-004" if of_xen else None
        taken = "IRQ-010" if row["what"] == "irq" and not dead and reasons.line_taken(row) else None
        by = channel or taken or asleep.explains(row, row["errno"])
        finding = replace(finding, severity="low" if works else None, advice=advice, explained_by=by)
        yield ends.of(row, finding if reason is None else _because(finding, reason))


def _sorted_out(r: dict[str, Any]) -> dict[str, Any]:
    """Return a refusal as one of vectors where its errno is that of a missing domain: no request of an irq of a PCI function gives that."""
    return {**r, "what": "vectors"} if r["errno"] == ENOTSUPP and r["bdf"] else r


def _several(text: str) -> bool:
    """Return whether a driver says that it asked for several vectors of plain MSI."""
    said = PLAIN_MSI.search(text)
    return said is not None and said["asked"] not in ("0", "1")


def _because(finding: Finding, reason: Reason) -> Finding:
    """Return the finding with the line that says why the irq was refused."""
    evidence = distinct((*reason.evidence, *finding.evidence))
    return replace(finding, summary=f"{finding.summary}: {reason.said}", evidence=evidence, advice=reason.advice)


def _untold(reasons: Reasons, ends: Ends, told: set[str]) -> Iterator[Finding]:
    """Yield irqs that drivers did not get and have no word for, once a device."""
    for row, finding in reasons.findings():
        if finding.subject.label not in told:
            told.add(finding.subject.label)
            yield ends.of(row, finding)


def _has_none(row: Mapping[str, Any]) -> bool:
    """Return whether a driver says that its device has no irq, and not that one was refused."""
    return row["what"] == "irq" and row["errno"] is None and NO_IRQ.search(row.get("text") or "") is not None


def _stopped(row: Mapping[str, Any]) -> bool:
    """Return whether a driver gives up in the sentence in which it says that its device has no irq."""
    return _has_none(row) and STOPPED.search(row["text"]) is not None


def _counts(errno: int | None) -> bool:
    """Return whether an errno says that an existing resource was refused."""
    return errno is not None and errno not in NOT_THERE


def _said(label: str, row: Mapping[str, Any], dead: bool) -> str:
    """Return the refusal in one sentence: what remains, and for whom."""
    if row["of_vfs"]:
        left = f"{row['granted']} MSI-X interrupts" if row["granted"] is not None else "too few MSI-X interrupts"
        return f"{label} has {left} left for its VFs: its own budget is used up"
    error = f" with {row['errno']}" if row["errno"] is not None else ""
    got = f"reduced to {row['granted']}" if row["granted"] is not None else f"refused{error}"
    what = "an irq of {} was" if row["what"] == "irq" else "the vectors of {} were"
    said = f"no irq was found for {label}" if _has_none(row) else f"{what.format(label)} {got}"
    return said + (", and its driver gave up" if dead else "; it goes on without" if row["falls_back"] else "")


def _finding(row: Mapping[str, Any], subject: Subject, grade: Any, summary: str, values: dict[str, Any]) -> Finding:
    return Finding(
        summary=summary,
        grade=grade,
        subject=subject,
        evidence=distinct(span(row["source"], row["line"], row.get("line_end"), "cause")),
        values=values,
        advice=ADVICE,
    )
