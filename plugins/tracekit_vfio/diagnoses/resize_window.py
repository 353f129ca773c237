"""VFIO-002: vectors in use were taken down to add more."""

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
NO_CALL = "no SET_IRQS call in the input"
NO_WINDOW = "no SET_IRQS call and no MSI-X trace of QEMU in the input that shows vectors going down and up"
# Windows in which vectors in use, as far as the handlers are recorded, went down so that more of them could come.
GROWTH = (pl.col("kind") == "growth") & ((pl.col("in_use").list.len() > 0) | ~pl.col("handlers"))
LOST = Unchecked(
    "an interrupt was lost in a window",
    "a count of the interrupts the device raised, or the guest's kernel log with its drivers' time-outs",
)
IN_PLACE = (
    "Use a client that grows in place ({QV3} or later on {KV4} or later, NORESIZE clear), or let the guest enable all its vectors at once."
)
UP_FRONT = "Let the guest enable all its vectors at once: the GIC ITS of this host offers no growth in place, whatever the client."
IN_USE = Unchecked("a vector was in use", "irq_handler_entry events of the host (echo 1 > events/irq/irq_handler_entry/enable)")
NOTHING_BETWEEN = Unchecked("nothing else was done to the device in the window", "a recording without lost events (larger buffer_size_kb)")


def grew(kind: str | None) -> bool:
    """Return whether vectors were taken down and came up with more."""
    return kind == "growth"


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
    reopened between, the enable failed (VFIO-003), or no vector of the old set was ever seen to interrupt.
    Affected: QEMU before {QV3}; later ones where the host sets NORESIZE (clear from {KV4 everywhere}); any guest that adds
    vectors.
    What to do: {QV3} or later on {KV4} or later grows in place where NORESIZE is clear; otherwise let the guest enable all its
    vectors at once, or use fewer queues.
    References: QEMU hw/vfio/pci.c, vfio_msix_vector_do_use() (tear-down until 8.1, and with noresize after 45d85f622811);
    Linux drivers/vfio/pci/vfio_pci_intrs.c, vfio_msi_disable().
    """
    if windows is None:
        return
    growths = grown(windows)
    found = False
    for group in subjects(growths):
        found = True
        yield replace(_finding(group, devices, gap), advice=UP_FRONT if on_arm(platforms) else IN_PLACE)
    if not found:
        yield _quiet(windows)


def grown(windows: pl.DataFrame) -> pl.DataFrame:
    """Return the windows in which vectors in use went down to add more.

    QEMU's trace tells neither irqs nor, beside KVM, interrupts. Where calls show the same steps of the function, or of one without a name,
    and the handlers none of its vectors in use, these decide.
    """
    found = windows.filter(GROWTH)
    idle = windows.filter((pl.col("basis") == "calls") & (pl.col("kind") == "growth") & pl.col("handlers"))
    idle = idle.filter(pl.col("in_use").list.len() == 0).select("old", "new", "bdf").unique()
    if idle.is_empty():
        return found
    traced = (pl.col("basis") == "qemu") & ~pl.col("handlers")
    left = found.filter(traced).join(idle, on=["old", "new", "bdf"], how="anti")
    left = left.join(idle.filter(pl.col("bdf").is_null()), on=["old", "new"], how="anti")
    return pl.concat([found.filter(~traced), left])


def on_arm(platforms: pl.DataFrame | None) -> bool:
    """Return whether the host is arm64, where no released interrupt parent adds vectors in place."""
    return platforms is not None and bool((platforms["arch"] == "arm64").all())


def subjects(windows: pl.DataFrame) -> list[pl.DataFrame]:
    """Return the windows by device. Inferred windows join those of calls that may be of the same device.

    Where one recording of a boot names the function, others with the same two pointers are about it too.
    """
    if windows.height < 2:
        return [windows] if windows.height else []
    pointers = pl.col("device").is_not_null() & pl.col("vdev").is_not_null()
    named = pl.when(pl.col("bdf").drop_nulls().n_unique().over("device", "vdev") == 1).then(pl.col("bdf").max().over("device", "vdev"))
    windows = windows.with_columns(pl.when(pointers).then(pl.coalesce("bdf", named)).otherwise("bdf").alias("bdf"))
    who = pl.coalesce("bdf", pl.col("device").cast(pl.String), pl.col("vdev").cast(pl.String), pl.lit("?"))
    groups = windows.with_columns(who.alias("who")).partition_by("who", maintain_order=True)
    sure = [g for g in groups if (g["basis"] == "calls").any()]
    for group in groups:
        if (group["basis"] == "calls").any():
            continue
        same = next((i for i, s in enumerate(sure) if _compatible(s, group)), None)
        if same is None:
            sure.append(group)
        else:
            sure[same] = pl.concat([sure[same], group])
    return [g.drop("who") for g in sure]


def best(group: pl.DataFrame) -> pl.DataFrame:
    """Return the windows of the surest source, each once. Two sources may hold the same windows: a trace.dat and its text.

    Of these the one that names the functions is kept.
    """
    basis = "calls" if (group["basis"] == "calls").any() else group["basis"][0]
    sure = group.filter(pl.col("basis") == basis).sort("hint", maintain_order=True)
    timed = sure.filter(pl.col("disable_ts").is_not_null()).unique(
        ["disable_ts", "enable_ts", "old", "new"], keep="first", maintain_order=True
    )
    return pl.concat([timed, sure.filter(pl.col("disable_ts").is_null())]).sort("source", "line", maintain_order=True)


def _compatible(sure: pl.DataFrame, inferred: pl.DataFrame) -> bool:
    """Return whether both are about the same function: QEMU's log has no machine or boot of its own."""
    a, b = sure["bdf"][0], inferred["bdf"][0]
    return a is not None and a == b


def _finding(group: pl.DataFrame, devices: pl.DataFrame | None, gap: pl.DataFrame | None) -> Finding:
    counted = best(group)
    basis = counted["basis"][0]
    first = counted.row(0, named=True)
    subject = subject_of(first, devices)
    spans = [s for s in counted["span"].to_list() if s is not None]
    used = bool((counted["in_use"].list.len() > 0).all())
    lost = any(lost_between(gap, *place) for place in counted.select("source", "line", "line_end").iter_rows())
    sure = basis == "calls" and not counted["hint"].any() and used and not lost
    n = counted.height
    vectors = sorted({u["vector"] for w in counted["in_use"].to_list() for u in w if u["vector"] is not None})
    using = f"{numbered(vectors)} in use" if vectors or sure else "vectors enabled"
    steps = ", ".join(f"{w['old']} -> {w['new']}" for w in counted.select("old", "new").unique(maintain_order=True).iter_rows(named=True))
    window = max(counted.iter_rows(named=True), key=lambda w: w["span"] or 0)
    # From call to return is an upper bound; the times without handler and without vectors lie inside of it.
    inner = {"no handler": window["no_handler"], "no vectors": window["no_vectors"] or _by_vectors(group, window)}
    longest = f", longest at most {max(spans) / 1e6:.3f} ms" if spans else ""
    told = ", ".join(f"{what} {_ms(ns)}" for what, ns in inner.items() if ns is not None)
    longest += f" ({told})" if spans and told else ""
    return Finding(
        summary=f"{times(n, 'window')} without interrupts while the vectors of {subject.label} grew {steps}, {using}{longest}",
        grade="proven" if sure else "probable",
        subject=subject,
        evidence=distinct(e for w in (window, *group.iter_rows(named=True)) for e in _evidence(w)),
        unchecked=(LOST, *(() if used else (IN_USE,)), *((NOTHING_BETWEEN,) if lost else ()), *unnamed(counted["hint"].any())),
        values={
            "windows": n,
            "old": counted["old"][0],
            "new": counted["new"][-1],
            "total_ns": sum(spans) if spans else None,
            "longest_ns": max(spans) if spans else None,
            "longest_no_handler_ns": inner["no handler"],
            "longest_no_vectors_ns": inner["no vectors"],
            "vectors_in_use": vectors,
            "basis": basis,
        },
        windows=tuple(as_window(w) for w in counted.iter_rows(named=True)),
    )


def _by_vectors(group: pl.DataFrame, window: Mapping[str, Any]) -> int | None:
    """Return how long irq_vectors events show a window of calls without vectors."""
    if window["basis"] != "calls" or window["disable_ts"] is None:
        return None
    inside = (pl.col("basis") == "vectors") & (pl.col("disable_ts") >= window["disable_ts"]) & (pl.col("enable_ts") <= window["enable_ts"])
    found = group.filter(inside)["span"].drop_nulls()
    return int(str(found[0])) if found.len() else None


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
    if w["enable_line"] != w["line"]:
        yield from span(w["source"], w["enable_line"], w["enable_end"], "cause")
    for u in w["in_use"]:
        yield from span(w["source"], u["first"], u["last"])


def _quiet(windows: pl.DataFrame) -> Verdict:
    """Return why none of the pairs is a finding."""
    grown = windows.filter(pl.col("kind") == "growth")
    if grown.height:
        return clear(f"{times(grown.height, 'growth window')}, but no vector had interrupted before")
    if windows.filter(pl.col("kind") == "open").height:
        return inconclusive("a growth is the last event of its device in QEMU's trace; whether it worked is not shown", RECORD)
    return clear("no index was enabled with more vectors after a disable")
