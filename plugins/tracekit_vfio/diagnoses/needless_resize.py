"""VFIO-006: the host can grow in place, and the client still takes everything down."""

from collections.abc import Iterator

import polars as pl

from tracekit import VFIO_MSIX, Finding, Unchecked, Verdict, clear, diagnosis, distinct, inconclusive, span, subject_of, times
from tracekit_vfio.diagnoses.resize_window import CALLS, NO_WINDOW, best, grew, grown, subjects

OBSERVE = "GET_IRQ_INFO of index 2 (flags 0x1: it can grow), or a call of pci_msix_alloc_irq_at"


@diagnosis(
    "vfio.needless-resize",
    code="VFIO-006",
    severity="medium",
    record="uname -a of the host, beside the trace",
    gates=("KV4",),
    shown_by=(CALLS, "windows"),
    absent=NO_WINDOW,
    when={"windows": grew},
    otherwise="no growth window",
)
def needless_resize(
    windows: pl.DataFrame, gates: pl.DataFrame | None = None, devices: pl.DataFrame | None = None
) -> Iterator[Finding | Verdict]:
    """The host can add MSI-X vectors in place, and the client takes them all down instead.

    What it finds: growth windows (VFIO-002) on a host whose kernel can grow in place.
    Why it matters: the windows, and the interrupts they may lose, are not necessary.
    Stays quiet when: the host reports NORESIZE (flags 0x9) or refused a growth in place, or its release is not known.
    Affected: QEMU before {QV3} on hosts that grow in place: {KV4 everywhere}, and later.
    What to do: use {QV3} or later.
    References: Linux e4163438e015 and 6c8017c6a58d; QEMU 45d85f622811.
    """
    growths = grown(windows).filter(pl.col("index") == VFIO_MSIX)
    if growths.is_empty():
        return
    known = _of_host(gates.filter(pl.col("gate") == "KV4"), growths) if gates is not None else None
    if known is None or known.is_empty():
        yield inconclusive("whether the host can grow in place is not known: no release, no flags of GET_IRQ_INFO", OBSERVE)
        return
    observed = known.filter(pl.col("basis") == "observed")
    known = observed if observed.height else known
    if not known["value"].any():
        yield clear("the host cannot grow in place")
        return
    if not known["value"].all():
        yield inconclusive("the kernels of the case differ in whether they grow in place; which one is the host's is not known", OBSERVE)
        return
    told = known.unique("why", maintain_order=True)
    why = " or ".join(told["why"])
    for group in map(best, subjects(growths)):
        first = group.row(0, named=True)
        subject = subject_of(first, devices)
        evidence = [
            *(e for gate in told.iter_rows(named=True) for e in span(gate["source"], gate["line"])),
            *(e for w in group.iter_rows(named=True) for e in span(w["source"], w["line"], w["line_end"], "cause")),
        ]
        yield Finding(
            summary=f"{subject.label} lost its vectors {times(group.height, 'time')} to grow; the host can grow in place ({why})",
            grade="proven" if observed.height and (group["basis"] == "calls").all() else "probable",
            subject=subject,
            evidence=distinct(evidence),
            unchecked=() if observed.height else (Unchecked("the device's MSI-X can grow in place", OBSERVE),),
            values={"windows": group.height, "gate": why, "basis": told["basis"][0]},
            advice="Use {QV3} or later, which adds vectors in place where the host can.",
        )


def _of_host(known: pl.DataFrame, growths: pl.DataFrame) -> pl.DataFrame:
    """Return the gate from the recording of the windows, else from the case. A guest's release is no evidence on its host."""
    own = known.filter(pl.col("source").is_in(growths["source"].unique().implode()))
    return own if own.height else known.filter(~pl.col("side").fill_null("").str.starts_with("guest"))
