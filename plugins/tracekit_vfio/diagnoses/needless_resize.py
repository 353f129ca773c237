"""VFIO-006: the host can grow in place, and the client still takes everything down."""

from collections.abc import Iterator
from typing import Any

import polars as pl

from tracekit import VFIO_MSIX, Finding, Unchecked, Verdict, clear, diagnosis, distinct, inconclusive, rows_where, span, subject_of, times
from tracekit_vfio.diagnoses.resize_window import CALLS, NO_WINDOW, Windows, best, grown, may_have_grown, not_shown, subjects

OBSERVE = "GET_IRQ_INFO of index 2 (flags 0x1: it can grow), or a call of pci_msix_alloc_irq_at"


def can_grow(gate: str | None) -> bool:
    """Return whether a gate tells that the kernel adds MSI-X vectors in place."""
    return gate == "KV4"


@diagnosis(
    "vfio.needless-resize",
    code="VFIO-006",
    severity="medium",
    record="uname -a of the host, beside the trace",
    gates=("KV4",),
    shown_by=(CALLS, "windows"),
    absent=NO_WINDOW,
    when={"windows": may_have_grown},
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
    growths = [w for w in grown(windows) if w["index"] == VFIO_MSIX]
    if not growths:
        if (unsure := not_shown(windows)) is not None:
            yield unsure
        return
    known = _of_host(rows_where(gates, can_grow), growths)
    if not known:
        yield inconclusive("whether the host can grow in place is not known: no release, no flags of GET_IRQ_INFO", OBSERVE)
        return
    observed = [gate for gate in known if gate["basis"] == "observed"]
    known = observed or known
    if not any(gate["value"] for gate in known):
        yield clear("the host cannot grow in place")
        return
    if any(gate["value"] is False for gate in known):
        yield inconclusive("the kernels of the case differ in whether they grow in place; which one is the host's is not known", OBSERVE)
        return
    told: dict[str, dict[str, Any]] = {}
    for gate in known:
        told.setdefault(gate["why"], gate)
    why = " or ".join(told)
    for group in map(best, subjects(growths)):
        subject = subject_of(group[0], devices)
        evidence = [
            *(e for gate in told.values() for e in span(gate["source"], gate["line"])),
            *(e for w in group for e in span(w["source"], w["line"], w["line_end"], "cause")),
        ]
        yield Finding(
            summary=f"{subject.label} lost its vectors {times(len(group), 'time')} to grow; the host can grow in place ({why})",
            grade=_grade(group, bool(observed)),
            subject=subject,
            evidence=distinct(evidence),
            unchecked=() if observed else (Unchecked("the device's MSI-X can grow in place", OBSERVE),),
            values={"windows": len(group), "gate": why, "basis": known[0]["basis"]},
            advice="Use {QV3} or later, which adds vectors in place where the host can.",
        )


def _grade(group: Windows, observed: bool) -> Any:
    """Return how sure the growths and their being needless are."""
    if any(w["sees_close"] is False for w in group):
        return "possible"
    return "proven" if observed and all(w["basis"] == "calls" and w["enabled_line"] is not None for w in group) else "probable"


def _of_host(known: Windows, growths: Windows) -> Windows:
    """Return the gate from the recording of the windows, else from the case. A guest's release is no evidence on its host."""
    sources = {w["source"] for w in growths}
    own = [gate for gate in known if gate["source"] in sources]
    return own or [gate for gate in known if not (gate["side"] or "").startswith("guest")]
