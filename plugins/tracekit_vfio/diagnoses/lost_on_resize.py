"""VFIO-001: an interrupt was lost while vectors were taken down to add more."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from tracekit import (
    Evidence,
    Finding,
    Subject,
    Unchecked,
    Verdict,
    diagnosis,
    distinct,
    full_bdf,
    inconclusive,
    lost_between,
    rows_where,
    span,
    subject_of,
    times,
)
from tracekit_vfio.diagnoses.resize_window import (
    CALLS,
    IN_PLACE,
    NO_WINDOW,
    UP_FRONT,
    Windows,
    best,
    not_ascribed,
    not_shown,
    on_arm,
    subjects,
    used_ones,
)

NEVER_CAME = 0x22  # INTR-REMAP reason: the entry is not present, as it is while the vectors are freed
SETTLE = "a count of the interrupts the device raised, or the guest's kernel log with its drivers' time-outs, on the host's clock (--clock)"
RECORD = "the guest's dmesg beside the host's trace of vfio_pci_set_irqs_ioctl and irq_handler_entry"
SECOND = 1_000_000_000
POLL = "A driver that polls when its time-out ends loses time only."


def went_down_and_up(kind: str | None) -> bool:
    """Return whether vectors were disabled and enabled again, as many, fewer or more, or how many is not known."""
    return kind in ("growth", "same-or-fewer", "unknown")


@diagnosis(
    "vfio.lost-on-resize",
    code="VFIO-001",
    severity="critical",
    explains=("IRQ-007",),
    record=RECORD,
    across=("nvme_completion_polled", "streams"),
    shown_by=(CALLS, "windows"),
    absent=NO_WINDOW,
    when={"windows": went_down_and_up},
    otherwise="no vector in use was taken down and enabled again",
)
def lost_on_resize(
    windows: pl.DataFrame,
    remap_fault: pl.DataFrame | None = None,
    nvme_completion_polled: pl.DataFrame | None = None,
    irq_handler_entry: pl.DataFrame | None = None,
    gap: pl.DataFrame | None = None,
    streams: pl.DataFrame | None = None,
    platforms: pl.DataFrame | None = None,
    *,
    timeout_s: int = 120,
) -> Iterator[Finding | Verdict]:
    """An interrupt of a vector in use was lost while the client took the vectors down to add one.

    What it finds: a growth window (VFIO-002) with evidence of an interrupt that got nowhere: a remapping fault of the device inside the
    window (in one log, or in two on one clock), or a guest driver that found a completion by polling after the window; that proves it
    where the two logs are on one clock (`--clock`) and the vector of the queue did not interrupt from the window to the time-out.
    Why it matters: the guest waits for an interrupt that never comes; a queue hangs until its driver times out.
    Stays quiet when: a window is all there is (that is VFIO-002), the enable failed (VFIO-003), the vectors were not in use, the guest
    disabled the interrupts itself, or nothing names an interrupt.
    Affected: QEMU before {QV3}; later ones where the host sets NORESIZE (clear from {KV4 everywhere}); any guest that adds
    vectors.
    What to do: {QV3} or later on {KV4} or later where NORESIZE is clear; otherwise let the guest ask for all its vectors at the
    start, or use fewer queues.
    References: QEMU hw/vfio/pci.c, vfio_msix_vector_do_use(); Linux drivers/vfio/pci/vfio_pci_intrs.c; PCIe 6.1.4 on pending bits.
    """
    used = used_ones(windows)
    found: list[Finding] = []
    if used and (remap_fault is not None or nvme_completion_polled is not None):
        heard = Heard(irq_handler_entry, gap, frozenset() if streams is None else frozenset(streams.filter("merged")["source"]))
        open_still = [w for w in used if w["sees_close"] is not False]
        found = list(_faulted(open_still, remap_fault, heard))
        found = found or list(_polled(_still_enabled(windows, open_still), nvme_completion_polled, heard, timeout_s))
    yield from (replace(f, advice=f"{UP_FRONT} {POLL}") for f in found) if on_arm(platforms) else found
    if not found and (why := _open(windows, used)) is not None:
        yield why


def _still_enabled(windows: pl.DataFrame, used: Windows) -> Windows:
    """Windows of devices that did not lose their vectors later: after a failed enable that is the cause of a time-out (VFIO-003)."""
    failed = {(w["bdf"], w["device"]) for w in windows.to_dicts() if w["kind"] in ("failed", "open") and w["recovered_line"] is None}
    return [w for w in used if (w["bdf"], w["device"]) not in failed]


def _faulted(windows: Windows, faults: pl.DataFrame | None, heard: "Heard") -> Iterator[Finding]:
    """Yield windows with remapping faults of the device between the disable and the enable, in one log or in logs on one clock."""
    if faults is None:
        return
    for w in windows:
        mine = (f for f in faults.iter_rows(named=True) if _reason(f) == NEVER_CAME and _same(w["bdf"], f["device"]))
        inside = [f for f in mine if heard.ordered(w, f) and _within(w, f)]
        if inside:
            fault = [e for f in inside[:5] for e in span(f["source"], f["line"], role="effect")]
            blocked = f"the IOMMU blocked {times(len(inside), 'interrupt')} of {w['bdf']}"
            summary = f"{blocked} while its vectors were down to grow {w['old']} -> {w['new']}"
            finding = _finding(w, subject_of(w), "proven", summary, fault, {"blocked": len(inside)}, ())
            yield replace(finding, explained_by="IRQ-003")  # the fault itself is that finding


@dataclass(frozen=True)
class Heard:
    """Runs of handlers, what a recording lost, and the sources that are on one clock."""

    entries: pl.DataFrame | None
    gaps: pl.DataFrame | None
    merged: frozenset[str]

    def ordered(self, w: Mapping[str, Any], p: Mapping[str, Any]) -> bool:
        """Return whether it is known which of a window and another event came first."""
        on_one_clock = {w["source"], p["source"]} <= self.merged and w["enable_ts"] is not None and p["ts"] is not None
        return bool(w["source"] == p["source"] or on_one_clock)

    def follows(self, w: Mapping[str, Any], p: Mapping[str, Any], timeout_s: int) -> bool:
        """Return whether the time-out is known to come after the window, within a driver's patience."""
        if not self.ordered(w, p) or (w["source"] == p["source"] and p["line"] < w["line"]):
            return False
        if w["enable_ts"] is None or p["ts"] is None:
            return True
        return bool((0 if w["source"] != p["source"] else -SECOND) <= p["ts"] - w["enable_ts"] <= timeout_s * SECOND)

    def silent(self, w: Mapping[str, Any], p: Mapping[str, Any], vector: int) -> bool:
        """Return whether a vector's handler is known not to have run up to the time-out: others ran after it, nothing was lost."""
        if self.entries is None or w["bdf"] is None:
            return False
        mine = self.entries.filter((pl.col("source") == w["source"]) & (pl.col("line") > w["line"]))
        after = pl.col("line") > p["line"] if w["source"] == p["source"] else pl.col("ts") > p["ts"]
        later = mine.filter(after)
        runs = mine.filter(~after & (pl.col("name") == f"vfio-msix[{vector}]({w['bdf']})"))
        return later.height > 0 and runs.is_empty() and not lost_between(self.gaps, w["source"], w["line"], later["line"][0])


def _polled(windows: Windows, polled: pl.DataFrame | None, heard: Heard, timeout_s: int) -> Iterator[Finding]:
    """Yield a driver of the guest that found its completion by polling soon after a window; which device it is rests on the case."""
    if polled is None or not windows:
        return
    for p in polled.head(1).iter_rows(named=True):
        earlier = [w for w in windows if heard.follows(w, p, timeout_s)]
        w = earlier[-1] if earlier else windows[-1]
        if not earlier and heard.ordered(w, p):
            continue  # the order is known, and no window stands before the time-out
        used = {u["vector"]: u["last"] for u in w["in_use"]}
        tied = bool(earlier) and len({x["bdf"] for x in windows}) == 1 and p["queue"] in used
        proof = tied and heard.silent(w, p, p["queue"])
        subject = subject_of(w)
        told = f"{p['device']} of the guest found a completion of queue {p['queue']} by polling"
        told += " after the vectors" if not proof else f"; vector {p['queue']} has been silent since the vectors"
        effect = [*(span(w["source"], used[p["queue"]]) if proof else ()), *span(p["source"], p["line"], role="effect")]
        unchecked = () if proof else (Unchecked("the queue is served by a vector of this window, and the order of the two", SETTLE),)
        grade = "proven" if proof else "probable" if tied else "possible"
        yield _finding(w, subject, grade, f"{told} of {subject.label} were down to grow", effect, {"queue": p["queue"]}, unchecked)


def _finding(
    w: Mapping[str, Any],
    subject: Subject,
    grade: Any,
    summary: str,
    effect: list[Evidence],
    values: dict[str, Any],
    unchecked: tuple[Unchecked, ...],
) -> Finding:
    window = [*span(w["source"], w["line"], w["disable_end"], "cause"), *span(w["source"], w["enable_line"], w["enable_end"], "cause")]
    return Finding(
        summary=summary,
        grade=grade,
        subject=subject,
        evidence=distinct([*window, *effect]),
        unchecked=unchecked,
        values={"old": w["old"], "new": w["new"], "span_ns": w["span"], **values},
        advice=f"{IN_PLACE} {POLL}",
    )


def _reason(fault: Mapping[str, Any]) -> int | None:
    text = str(fault.get("reason") or "")
    return int(text, 0) if text[:2] == "0x" else int(text) if text.isdigit() else None


def _same(bdf: str | None, device: str | None) -> bool:
    return bdf is not None and device is not None and full_bdf(bdf) == full_bdf(device)


def _within(w: Mapping[str, Any], f: Mapping[str, Any]) -> bool:
    if f["source"] == w["source"]:
        return bool(w["line"] < f["line"] < (w["line_end"] or w["line"]))
    return (
        w["disable_ts"] is not None
        and w["enable_ts"] is not None
        and f["ts"] is not None
        and w["machine"] == f["machine"]
        and w["disable_ts"] < f["ts"] < w["enable_ts"]
    )


def _open(windows: pl.DataFrame, used: Windows) -> Verdict | None:
    """Windows without evidence of an interrupt decide nothing."""
    gaps = used or [w for w in rows_where(windows, went_down_and_up) if w["kind"] == "same-or-fewer" and w["in_use"]]
    if not gaps:
        return not_shown(windows) or not_ascribed(windows)
    told = [w for group in subjects(gaps) for w in best(group)]
    longest = max((w["span"] for w in told if w["span"] is not None), default=None)
    lasted = f", the longest of at most {longest / 1e6:.3f} ms" if longest is not None else ""
    gaps_told = times(len(told), "gap")
    return inconclusive(f"{gaps_told} of vectors in use{lasted}, and nothing that tells whether the device signalled in them", SETTLE)
