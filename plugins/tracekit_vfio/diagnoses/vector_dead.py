"""VFIO-004: one vector could not be added or wired while others live."""

from collections.abc import Iterator, Mapping, Set
from typing import Any

import polars as pl

from tracekit import (
    EINVAL,
    VFIO_MSI,
    VFIO_MSIX,
    Finding,
    Shown,
    Subject,
    Unchecked,
    Verdict,
    diagnosis,
    distinct,
    numbered,
    rows_where,
    same_function,
    span,
    subject_of,
    unnamed,
)

RECORD = "kprobe and kretprobe on vfio_pci_set_irqs_ioctl (vdev, flags, index, start, count) and pci_msix_alloc_irq_at"
# What to do where kvmtool says what it could not have for a vector.
KVMTOOL = {
    "create eventfd": "Raise kvmtool's limit of open files (ulimit -n).",
    "create MSI-X route": "KVM takes no route more, or refused this one: strace of kvmtool shows the errno of KVM_SET_GSI_ROUTING.",
    "setup irqfd": "See the errno of KVM_IRQFD by strace of kvmtool.",
}


def not_added(ret: int | None) -> bool:
    """Return whether a vector could not be added in place."""
    return ret is not None and ret < 0


def not_wired(ret: int | None, data: str | None, count: int | None, start: int | None, index: int | None) -> bool:
    """Return whether a SET_IRQS for one vector failed; -22 is a matter of range (VFIO-005)."""
    return not_added(ret) and ret != EINVAL and data == "eventfd" and count == 1 and start is not None and index in (VFIO_MSI, VFIO_MSIX)


@diagnosis(
    "vfio.vector-dead",
    code="VFIO-004",
    severity="high",
    record=RECORD,
    shown_by=(Shown("op_set_irqs", "SET_IRQS call", ("ret",)), Shown("op_alloc_at", "call that adds a vector", ("ret",))),
    absent="no SET_IRQS call and no client's message about a vector in the input",
    when={
        "op_set_irqs": not_wired,
        "op_alloc_at": not_added,
        **dict.fromkeys(("qemu_signaling_failed", "qemu_vector_lost", "qemu_eventfd_failed")),
        **dict.fromkeys(("kvmtool_vector_failed", "kvmtool_route_failed")),
    },
    otherwise="no single vector failed",
)
def vector_dead(
    op_set_irqs: pl.DataFrame | None = None,
    op_alloc_at: pl.DataFrame | None = None,
    qemu_signaling_failed: pl.DataFrame | None = None,
    qemu_vector_lost: pl.DataFrame | None = None,
    qemu_eventfd_failed: pl.DataFrame | None = None,
    kvmtool_vector_failed: pl.DataFrame | None = None,
    kvmtool_route_failed: pl.DataFrame | None = None,
    kvmtool_msix_failed: pl.DataFrame | None = None,
    devices: pl.DataFrame | None = None,
    windows: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """A single vector could not be added or wired; the others of the device go on.

    What it finds: SET_IRQS for vectors beyond those enabled, in place, that fails though the host can grow in place, or a client's
    message that one vector could not be wired (possible where it does not name the vector).
    Why it matters: the queues on these vectors never interrupt; the guest is not told.
    Stays quiet when: the vector works at a later try before the device is closed, the host cannot grow in place at all (VFIO-005), or
    nothing else is enabled.
    Affected: clients that add in place: {QV3} and later on {KV4} and later.
    What to do: find the reason (MSI-001 for -34, VEC-001 for -28).
    References: Linux drivers/vfio/pci/vfio_pci_intrs.c, vfio_msi_set_vector_signal() (6.5: e4163438e015); QEMU hw/vfio/device.c,
    vfio_set_irq_signaling().
    """
    added = list(_from_calls(op_set_irqs, op_alloc_at, devices))
    wired = _from_wiring(op_set_irqs, devices, {f.subject.label for f in added})
    findings = [*added, *wired, *_from_messages(qemu_signaling_failed, windows)]
    findings += _unnamed(qemu_vector_lost, qemu_eventfd_failed)
    findings += _by_kvmtool(kvmtool_vector_failed, kvmtool_route_failed, kvmtool_msix_failed)
    yield from findings


def _from_calls(op_set_irqs: pl.DataFrame | None, op_alloc_at: pl.DataFrame | None, devices: pl.DataFrame | None) -> Iterator[Finding]:
    """Requests in which `pci_msix_alloc_irq_at` returned an error: only in-place growth calls it."""
    if op_set_irqs is None or op_alloc_at is None:
        return
    failed = op_alloc_at.filter(pl.col("ret") < 0)
    done: set[str] = set()
    for at in failed.iter_rows(named=True):
        requests = same_function(op_set_irqs, at)
        subject = subject_of(at, devices)
        if subject.label in done or at["index"] is not None and _works_later(requests, at, at["index"]):
            continue
        done.add(subject.label)
        yield _finding(at, subject, same_function(failed, at), requests.filter(pl.col("call") == pl.lit(at["request"], pl.Int64)))


def _from_wiring(op_set_irqs: pl.DataFrame | None, devices: pl.DataFrame | None, done: Set[str]) -> Iterator[Finding]:
    """Requests for one vector whose irq could not be requested, while vectors wired before it live."""
    if op_set_irqs is None:
        return
    found: dict[str, list[Mapping[str, Any]]] = {}
    subjects: dict[str, Subject] = {}
    for at in rows_where(op_set_irqs, not_wired):
        mine = same_function(op_set_irqs, at)
        subject = subject_of(at, devices)
        lives = _others_live(mine.filter(pl.col("index") == at["index"]), at)
        if subject.label not in done and lives and not _works_later(mine, at, at["start"]):
            subjects.setdefault(subject.label, subject)
            found.setdefault(subject.label, []).append(at)
    for label, rows in found.items():
        yield _unwired(rows, subjects[label])


def _others_live(requests: pl.DataFrame, at: Mapping[str, Any]) -> bool:
    """Return whether other vectors were wired since the last disable, and none of them is what this request takes the place of."""
    before = requests.filter((pl.col("line") < at["line"]) & (pl.col("ret") == 0))
    off = before.filter((pl.col("data") == "none") & (pl.col("count") == 0))["line"].max()
    wired = before.filter((pl.col("data") == "eventfd") & (pl.col("line") > (off or 0)))
    return wired.filter((pl.col("start") != at["start"]) | (pl.col("count") > 1)).height > 0


def _works_later(requests: pl.DataFrame, at: Mapping[str, Any], vector: int) -> bool:
    """Return whether a later request wires the vector before the device is closed."""
    after = requests.filter(pl.col("line") > at["line"])
    closed = after.filter(pl.col("closing"))["line"].min()
    works = (pl.col("ret") == 0) & (pl.col("data") == "eventfd") & pl.col("index").is_in([VFIO_MSI, VFIO_MSIX])
    later = after.filter(works if closed is None else works & (pl.col("line") < closed))
    return later.filter((pl.col("start") <= vector) & (pl.col("start") + pl.col("count") > vector)).height > 0


def _unwired(rows: list[Mapping[str, Any]], subject: Subject) -> Finding:
    vectors = sorted({r["start"] for r in rows})
    return Finding(
        summary=f"{numbered(vectors)} of {subject.label} could not be wired ({rows[0]['ret']}); the others go on",
        grade="probable" if rows[0]["hint"] else "proven",
        subject=subject,
        evidence=distinct(e for r in rows[:5] for e in span(r["source"], r["line"], r["line_end"], "effect")),
        unchecked=unnamed(rows[0]["hint"]),
        values={"vectors": vectors, "errno": rows[0]["ret"]},
        advice="Find the reason of the errno; queues on these vectors never interrupt until the vector is wired again.",
    )


def _finding(at: Mapping[str, Any], subject: Subject, failed: pl.DataFrame, request: pl.DataFrame) -> Finding:
    vectors = sorted(set(failed["index"].drop_nulls().to_list()))
    evidence = [e for r in failed.head(5).iter_rows(named=True) for e in span(r["source"], r["line"], r["line_end"], "cause")]
    evidence += [e for r in request.iter_rows(named=True) for e in span(r["source"], r["line"], r["line_end"], "effect")]
    return Finding(
        summary=f"{numbered(vectors)} of {subject.label} could not be added ({at['ret']}); the others go on",
        grade="probable" if at["hint"] else "proven",
        subject=subject,
        evidence=distinct(evidence),
        unchecked=unnamed(at["hint"]),
        values={"vectors": vectors, "errno": at["ret"]},
        advice="Find the reason of the errno; queues on these vectors never interrupt until the device is opened anew.",
    )


def _from_messages(messages: pl.DataFrame | None, windows: pl.DataFrame | None) -> Iterator[Finding]:
    """Yield what QEMU prints: the vector and the errno's text. Where its trace shows that all vectors failed before, no other goes on."""
    if messages is None:
        return
    vectors = messages.filter(pl.col("kind").str.starts_with("MSI") & (pl.col("action") == "TRIGGER"))
    if windows is not None:
        down = windows.filter((pl.col("basis") == "qemu") & (pl.col("kind") == "failed"))
        vectors = vectors.filter(pl.Series([not _all_down(m, down) for m in vectors.iter_rows(named=True)], dtype=pl.Boolean))
    for (name,), group in vectors.group_by("name", maintain_order=True):
        first = group.row(0, named=True)
        numbers = sorted(set(group["vector"].to_list()))
        label = str(name) if name is not None else "an unnamed device"
        yield Finding(
            summary=f"{numbered(numbers)} of {label} could not be wired ({first['reason']})",
            grade="probable",
            subject=Subject(label, "pci" if name else "unknown", label if "." in label else None),
            evidence=distinct(e for r in group.head(5).iter_rows(named=True) for e in span(r["source"], r["line"], role="effect")),
            unchecked=(Unchecked("the other vectors go on, and this one did not work later", RECORD),),
            values={"vectors": numbers, "message": first["reason"]},
            advice="Record the host's SET_IRQS calls with their return values.",
        )


def _all_down(message: Mapping[str, Any], down: pl.DataFrame) -> bool:
    """Return whether the latest enable of the device failed, and no later one worked."""
    ends = pl.min_horizontal("recovered_line", "closed_line")
    before = (pl.col("source") == message["source"]) & (pl.col("bdf") == message["name"]) & (pl.col("enable_end") < message["line"])
    return down.filter(before & (ends.is_null() | (ends > message["line"]))).height > 0


def _unnamed(lost: pl.DataFrame | None, without_file: pl.DataFrame | None) -> Iterator[Finding]:
    """Yield what QEMU says without a device and vector: a SET_IRQS of one vector failed, or there was no eventfd for one."""
    for frame, why, advice in (
        (lost, "SET_IRQS failed for it", "Record the host's SET_IRQS calls with their return values."),
        (without_file, "QEMU got no eventfd for it", "Raise QEMU's limit of open files (ulimit -n, LimitNOFILE=, max_files of qemu.conf)."),
    ):
        if frame is None:
            continue
        errno = frame["ret"][0] if "ret" in frame.columns else None
        yield Finding(
            summary=f"a vector of a passed-through device could not be wired: {why}" + (f" with {errno}" if errno is not None else ""),
            grade="possible",
            subject=Subject("an unnamed device", "unknown", how="-trace 'vfio_msix_*' of QEMU names it"),
            evidence=distinct(e for r in frame.head(5).iter_rows(named=True) for e in span(r["source"], r["line"], role="effect")),
            unchecked=(Unchecked("which device and vector", RECORD),),
            values={"errno": errno, "messages": frame.height},
            advice=advice,
        )


def _by_kvmtool(vectors: pl.DataFrame | None, details: pl.DataFrame | None, all_down: pl.DataFrame | None) -> Iterator[Finding]:
    """Yield what kvmtool says: which vector it could not configure, and above it what it could not have; of all vectors it is VFIO-003."""
    failed = {r["bdf"] for r in rows_where(all_down, None)}
    groups: dict[str | None, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {}
    for at, frame in enumerate((vectors, details)):
        for r in rows_where(frame, None):
            groups.setdefault(r["bdf"], ([], []))[at].append(r)
    for bdf, (named, causes) in groups.items():
        if not named and bdf in failed:
            continue
        numbers = sorted({r["vector"] for r in named})
        whose = bdf or "an unnamed device"
        what = str(causes[0]["what"]) if causes else ""
        lines = [(r, "cause") for r in causes[:5]] + [(r, "effect") for r in named[:5]]
        yield Finding(
            summary=f"{numbered(numbers) if numbers else 'a vector'} of {whose} could not be wired"
            + (f": kvmtool cannot {what}" if what else ""),
            grade="probable" if numbers and bdf else "possible",
            subject=Subject(whose, "pci" if bdf else "unknown", bdf),
            evidence=distinct(e for r, role in lines for e in span(r["source"], r["line"], role=role)),
            unchecked=(Unchecked("the other vectors go on, and this one did not work later", RECORD),),
            values={"vectors": numbers, "messages": len(named) + len(causes)},
            advice=KVMTOOL.get(what, "Record the host's SET_IRQS calls with their return values."),
        )
