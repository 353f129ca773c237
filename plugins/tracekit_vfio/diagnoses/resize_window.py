"""VFIO-002: vectors in use were taken down to add more."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from tracekit import (
    Evidence,
    Finding,
    Shown,
    Unchecked,
    Verdict,
    clear,
    diagnosis,
    distinct,
    inconclusive,
    lost_between,
    numbered,
    rows_where,
    span,
    subject_of,
    times,
    unnamed,
)

RECORD = (
    "kprobe and kretprobe on vfio_pci_set_irqs_ioctl (vdev, flags, index, start, count) with irq_handler_entry events, "
    "or QEMU -trace 'vfio_msi*'"
)
# What of a SET_IRQS tells whether it disabled, enabled or was refused.
CALLS = Shown("op_set_irqs", "SET_IRQS call", ("ret", "index", "count"))
SESSIONS = "kprobe and kretprobe on vfio_pci_set_irqs_ioctl, which every close of a device calls, from before the guest starts"
WHOSE = "the events irq_vectors/vector_alloc beside irq_handler_entry, or a kprobe on vfio_msi_set_vector_signal: they tell a device's irqs"
NO_CALL = "no SET_IRQS call in the input"
NO_WINDOW = "no SET_IRQS call and no MSI-X trace of QEMU in the input that shows vectors going down and up"
LOST = Unchecked(
    "an interrupt was lost in a window",
    "a count of the interrupts the device raised, or the guest's kernel log with its drivers' time-outs",
)
IN_PLACE = (
    "Use a client that grows in place ({QV3} or later on {KV4} or later, NORESIZE clear), or let the guest enable all its vectors at once."
)
UP_FRONT = "Let the guest enable all its vectors at once: the GIC ITS of this host offers no growth in place, whatever the client."
IN_USE = Unchecked("a vector was in use", "irq_handler_entry events of the host (echo 1 > events/irq/irq_handler_entry/enable)")
EARLIER = "irq_handler_entry events of the host, from before the guest enables its vectors"
NO_RESULT = Unchecked("the SET_IRQS calls succeeded", "a kretprobe on vfio_pci_set_irqs_ioctl")
BEFORE = Unchecked("no more vectors had been enabled than those that the disable freed", SESSIONS)
STILL_OPEN = Unchecked("the device was not closed between", SESSIONS)
NOTHING_BETWEEN = Unchecked("nothing else was done to the device in the window", "a recording without lost events (larger buffer_size_kb)")

COARSE = 1_000_000  # ns: stamps of whole milliseconds, or of seconds, may be the same for more than one window

Windows = list[dict[str, Any]]


def grew(kind: str | None) -> bool:
    """Return whether vectors were taken down and came up with more."""
    return kind == "growth"


def may_have_grown(kind: str | None) -> bool:
    """Return whether vectors were taken down and came up with more, as far as the recording shows."""
    return kind in ("growth", "unknown")


def not_shown(windows: pl.DataFrame) -> Verdict | None:
    """Return why no growth is no evidence that there was none: how many vectors there were, or a close between, is not shown."""
    for w in rows_where(windows, lambda kind: kind == "unknown"):
        where = f"line {w['line']} of {w['source']}"
        if not w["sees_close"] or w["old"] is not None and w["new"] is not None:
            return inconclusive(f"vectors were disabled and others enabled ({where}); a close between would not be recorded", SESSIONS)
        what = "to which number they came back" if w["new"] is None else f"how many they were before the {w['new']} that followed"
        return inconclusive(f"vectors were disabled and enabled ({where}); {what} is not recorded{_at_least(w)}", SESSIONS)
    for w in rows_where(windows, grew):
        if w["basis"] == "calls" and w["enabled_line"] is None and w["handlers"] and not w["in_use"]:
            where = f"line {w['line']} of {w['source']}"
            return inconclusive(
                f"vectors grew that were enabled before the recording ({where}); whether one was in use is not shown", EARLIER
            )
    return None


def not_ascribed(windows: pl.DataFrame) -> Verdict | None:
    """Return why vectors in use may have gone down: a vector of that number interrupted before, of a function that may be another."""
    for w in rows_where(windows, lambda kind, handlers: grew(kind) and handlers is None):
        return inconclusive(
            f"vectors interrupted before the growth in line {w['line']} of {w['source']}; of which device is not recorded", WHOSE
        )
    return None


def _at_least(w: Mapping[str, Any]) -> str:
    """Return what the handlers tell of the number of vectors."""
    used = [u["vector"] for u in w["in_use"] if u["vector"] is not None]
    return f", at least {max(used) + 1}" if used and w["old"] is None else ""


@diagnosis(
    "vfio.resize-window",
    code="VFIO-002",
    severity="medium",
    supersedes=("CFG-001",),
    record=RECORD,
    shown_by=(CALLS, "windows"),
    absent=NO_WINDOW,
    when={"windows": None},
    otherwise="no disable and enable of an index",
)
def resize_window(
    windows: pl.DataFrame | None = None,
    devices: pl.DataFrame | None = None,
    gap: pl.DataFrame | None = None,
    platforms: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """Vectors that were in use went down while the client disabled the index to enable more of them.

    What it finds: SET_IRQS that disables an index, then one that enables it with more vectors, with no close and no other SET_IRQS
    between, while a vector of the old set had been interrupting. Each such window, its span, and the vectors in it are listed.
    Why it matters: what the device signals in a window may never arrive. A window is exposure, no proof of a loss.
    Stays quiet when: the new count is not larger, INTx came back between (the guest's or client's own disable), the device was closed or
    reopened between, the enable failed (VFIO-003), or no vector of the old set was ever seen to interrupt. Where a recording does not show
    how many vectors there were, nor whose a vector is that interrupted, nothing is said; where it would not show a close, what one task
    does within a second is possible.
    Affected: QEMU before {QV3}; later ones where the host sets NORESIZE (clear from {KV4 everywhere}); any guest that adds
    vectors.
    What to do: {QV3} or later on {KV4} or later grows in place where NORESIZE is clear; otherwise let the guest enable all its
    vectors at once, or use fewer queues.
    References: QEMU hw/vfio/pci.c, vfio_msix_vector_do_use() (tear-down until 8.1, and with noresize after 45d85f622811);
    Linux drivers/vfio/pci/vfio_pci_intrs.c, vfio_msi_disable().
    """
    if windows is None:
        return
    found = False
    for group in subjects(grown(windows)):
        found = True
        yield replace(_finding(group, devices, gap), advice=UP_FRONT if on_arm(platforms) else IN_PLACE)
    if not found:
        yield _quiet(windows)


def used_ones(windows: pl.DataFrame) -> Windows:
    """Return the windows in which vectors in use, as far as the handlers are recorded, went down so that more of them could come."""
    return [w for w in rows_where(windows, grew) if w["in_use"] or w["handlers"] is False]


def grown(windows: pl.DataFrame) -> Windows:
    """Return the windows in which vectors in use went down to add more.

    QEMU's trace tells neither irqs nor, beside KVM, interrupts. Where the host's recording shows the same steps of the function, or of one
    without a name, and the handlers none of its vectors in use, these decide.
    """
    idle = {(w["old"], w["new"], w["bdf"]) for w in rows_where(windows, grew) if w["handlers"] and not w["in_use"]}

    def decided(w: Mapping[str, Any]) -> bool:
        steps = w["old"], w["new"]
        return w["basis"] != "qemu" or w["handlers"] or idle.isdisjoint(((*steps, w["bdf"]), (*steps, None)))

    return list(filter(decided, used_ones(windows)))


def on_arm(platforms: pl.DataFrame | None) -> bool:
    """Return whether the host is arm64, where no released interrupt parent adds vectors in place."""
    return platforms is not None and bool((platforms["arch"] == "arm64").all())


def subjects(windows: Windows) -> list[Windows]:
    """Return the windows by device, those that calls show first. Inferred windows join those of calls by the function's name.

    Where one recording of a boot names the function, others with the same two pointers are about it too.
    """
    named: dict[tuple[int, int], set[str]] = {}
    for w in windows:
        if w["bdf"] is not None:
            named.setdefault((w["device"], w["vdev"]), set()).add(w["bdf"])
    groups: dict[str, Windows] = {}
    for w in windows:
        bdf = w["bdf"]
        if bdf is None and w["device"] is not None and w["vdev"] is not None:
            names = named.get((w["device"], w["vdev"]), set())
            bdf = next(iter(names)) if len(names) == 1 else None
        pointer = next((str(w[column]) for column in ("device", "vdev") if w[column] is not None), "?")
        groups.setdefault(pointer if bdf is None else bdf, []).append({**w, "bdf": bdf})
    return sorted(groups.values(), key=_by_calls, reverse=True)


def _by_calls(group: Windows) -> bool:
    return any(w["basis"] == "calls" for w in group)


def best(group: Windows) -> Windows:
    """Return the windows of the surest source, each once. Two sources may hold the same windows: a trace.dat and its text.

    Of these the one that names the functions is kept. Within one source windows of the same stamps are one only where they last: where the
    stamps are too coarse for that, as a syslog's of seconds, each of its lines is another one.
    """
    basis = "calls" if _by_calls(group) else group[0]["basis"]
    sure = sorted((w for w in group if w["basis"] == basis), key=lambda w: bool(w["hint"]))
    timed: dict[tuple[Any, ...], dict[str, Any]] = {}
    nth: Counter[tuple[Any, ...]] = Counter()
    for w in sure:
        if w["disable_ts"] is not None:
            stamps = w["disable_ts"], w["enable_ts"], w["old"], w["new"]
            told = w["source"], *stamps
            timed.setdefault((*stamps, nth[told]), w)
            nth[told] += w["disable_ts"] % COARSE == 0 and w["enable_ts"] in (None, w["disable_ts"])
    return sorted([*timed.values(), *(w for w in sure if w["disable_ts"] is None)], key=lambda w: (w["source"], w["line"]))


def _finding(group: Windows, devices: pl.DataFrame | None, gap: pl.DataFrame | None) -> Finding:
    counted = best(group)
    basis = counted[0]["basis"]
    subject = subject_of(counted[0], devices)
    spans = [w["span"] for w in counted if w["span"] is not None]
    used = all(w["in_use"] for w in counted)
    lost = any(lost_between(gap, w["source"], w["line"], w["line_end"]) for w in counted)
    guessed = any(w["hint"] for w in counted)
    gaps = (
        *((STILL_OPEN,) if any(w["sees_close"] is False for w in counted) else ()),
        *((BEFORE,) if any(w["basis"] == "calls" and w["enabled_line"] is None for w in counted) else ()),
        *((NO_RESULT,) if any(w["basis"] == "calls" and w["ret"] is None for w in counted) else ()),
        *((NOTHING_BETWEEN,) if lost else ()),
    )
    sure = basis == "calls" and not guessed and used and not gaps
    n = len(counted)
    vectors = sorted({u["vector"] for w in counted for u in w["in_use"] if u["vector"] is not None})
    using = f"{numbered(vectors)} in use" if vectors or sure else "vectors enabled"
    steps = ", ".join(f"{old} -> {new}" for old, new in dict.fromkeys((w["old"], w["new"]) for w in counted))
    window = max(counted, key=lambda w: w["span"] or 0)
    # From call to return is an upper bound; the times without handler and without vectors lie inside of it.
    inner = {"no handler": window["no_handler"], "no vectors": window["no_vectors"] or _by_vectors(group, window)}
    longest = f", longest at most {max(spans) / 1e6:.3f} ms" if spans else _at_least_lasted(counted)
    told = ", ".join(f"{what} {_ms(ns)}" for what, ns in inner.items() if ns is not None)
    longest += f" ({told})" if told else ""
    return Finding(
        summary=f"{times(n, 'window')} without interrupts while the vectors of {subject.label} grew {steps}, {using}{longest}",
        grade="possible" if STILL_OPEN in gaps else "proven" if sure else "probable",
        subject=subject,
        evidence=distinct(e for w in (window, *group) for e in _evidence(w)),
        unchecked=(LOST, *(() if used else (IN_USE,)), *gaps, *unnamed(guessed)),
        values={
            "windows": n,
            "old": counted[0]["old"],
            "new": counted[-1]["new"],
            "total_ns": sum(spans) if spans else None,
            "longest_ns": max(spans) if spans else None,
            "longest_no_handler_ns": inner["no handler"],
            "longest_no_vectors_ns": inner["no vectors"],
            "vectors_in_use": vectors,
            "basis": basis,
        },
        windows=tuple(map(as_window, counted)),
    )


def _at_least_lasted(counted: Windows) -> str:
    """Return how long a window lasted of which the start is not recorded: since the return of its disable."""
    since = [w["enable_ts"] - w["disable_ts"] for w in counted if w["enable_ts"] is not None and w["disable_ts"] is not None]
    return f", longest at least {max(since) / 1e6:.3f} ms" if since else ""


def _by_vectors(group: Windows, window: Mapping[str, Any]) -> int | None:
    """Return how long irq_vectors events show a window of calls without vectors."""
    begin, end = window["disable_ts"], window["enable_ts"]
    if window["basis"] != "calls" or begin is None or end is None:
        return None
    shown = (w for w in group if w["basis"] == "vectors" and w["disable_ts"] is not None and w["enable_ts"] is not None)
    return next((w["span"] for w in shown if w["span"] is not None and begin <= w["disable_ts"] and w["enable_ts"] <= end), None)


def _ms(ns: int) -> str:
    return f"{ns / 1e6:.1f} ms" if ns >= 100_000 else f"{ns / 1e6:.3f} ms"


def as_window(w: Mapping[str, Any]) -> dict[str, Any]:
    """Return a window as a finding reports it; times in ns, null where the lines have none."""
    return {
        "source": w["source"],
        "line": w["line"],
        "line_end": w["line_end"],
        "index": w["index"],
        "old": w["old"],
        "new": w["new"],
        "ts": w["disable_ts"],
        "ts_end": w["enable_ts"],
        "span_ns": w["span"],
        "no_handler_ns": w["no_handler"],
        "no_vectors_ns": w["no_vectors"],
        "vectors_in_use": [u["vector"] for u in w["in_use"]],
        "entries_before": {str(u["vector"]) if u["vector"] is not None else "?": u["entries"] for u in w["in_use"]},
        "inferred": w["basis"] != "calls",
    }


def _evidence(w: Mapping[str, Any]) -> Iterator[Evidence]:
    yield from span(w["source"], w["line"], w["disable_end"], "cause")
    yield from span(w["source"], w["enable_line"], w["enable_end"], "cause")
    for u in w["in_use"]:
        yield from span(w["source"], u["first"], u["last"])


def _quiet(windows: pl.DataFrame) -> Verdict:
    """Return why none of the pairs is a finding."""
    kinds = windows["kind"].to_list()
    if count := kinds.count("growth"):
        return (
            not_shown(windows) or not_ascribed(windows) or clear(f"{times(count, 'growth window')}, but no vector had interrupted before")
        )
    if "open" in kinds:
        return inconclusive("a growth is the last event of its device in QEMU's trace; whether it worked is not shown", RECORD)
    return not_shown(windows) or clear("no index was enabled with more vectors after a disable")
