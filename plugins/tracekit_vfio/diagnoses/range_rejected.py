"""VFIO-005: SET_IRQS was refused for its range or mode."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from tracekit import Finding, Subject, Unchecked, Verdict, diagnosis, distinct, rows_where, span, subject_of, times, unnamed
from tracekit_vfio.diagnoses.resize_window import CALLS, NO_CALL

RECORD = "kprobe and kretprobe on vfio_pci_set_irqs_ioctl (vdev, flags, index, start, count)"


def for_its_range(kind: str | None) -> bool:
    """Return whether a SET_IRQS was refused for its range or mode."""
    return kind in ("growth", "mode", "empty")


@diagnosis(
    "vfio.range-rejected",
    code="VFIO-005",
    severity="medium",
    explains=("VFIO-004",),
    record=RECORD,
    shown_by=(CALLS,),
    absent=NO_CALL,
    when={"refusals": for_its_range, "libvfio_user_refused": None},
    otherwise="no SET_IRQS was refused for its range",
)
def range_rejected(
    refusals: pl.DataFrame | None = None,
    devices: pl.DataFrame | None = None,
    libvfio_user_refused: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """SET_IRQS was refused because of its range or mode.

    What it finds: -22 for vectors beyond those enabled (the host cannot grow in place, which NORESIZE announces), -22 for an index while
    another one is on, and -34 for an enable of no vectors; libvfio-user's `invalid IRQ type N` (probable), for a request that it does not
    serve.
    Why it matters: the vectors that were asked for do not exist. Up to {KV7} the old ones go on; from then on a block that reaches beyond
    them takes those below down with it (VFIO-007).
    Stays quiet when: the call disables what is not enabled (-22, harmless, sent by QEMU before every first enable), or the close finds
    nothing enabled (-25).
    Affected: any kernel; it is the client that is wrong.
    What to do: the client must disable before it asks for more, or ask for all at once; it ignored NORESIZE or used a wrong count.
    References: Linux drivers/vfio/pci/vfio_pci_intrs.c, vfio_pci_set_msi_trigger(); include/uapi/linux/vfio.h, VFIO_IRQ_INFO_NORESIZE.
    """
    done: set[tuple[str, str]] = set()
    for r in rows_where(refusals, for_its_range):
        subject = subject_of(r, devices)
        if (subject.label, r["kind"]) in done:
            continue
        done.add((subject.label, r["kind"]))
        yield _finding(r, subject)
    if libvfio_user_refused is not None:
        yield _by_server(libvfio_user_refused)


def _by_server(refused: pl.DataFrame) -> Finding:
    """Report a server of vfio-user that refuses a request of its client: early ones did not know how to disable an index."""
    first = refused.row(0, named=True)
    name = first["socket"] or "an unnamed device"
    return Finding(
        summary=f"the vfio-user server of {name} refused requests for interrupt index {first['irq_type']}, {times(refused.height, 'time')}",
        grade="probable",
        subject=Subject(name, "unknown"),
        evidence=distinct(e for r in refused.head(6).iter_rows(named=True) for e in span(r["source"], r["line"], role="cause")),
        values={"index": first["irq_type"], "count": refused.height},
        unchecked=(Unchecked("what the client asked for", "QEMU's trace (-trace 'vfio_*') beside the server's log"),),
        advice="Update the vfio-user server (libvfio-user): it must serve the disabling and masking of each index that it shows.",
    )


def _asked(r: Mapping[str, Any]) -> str:
    """Return the range that was asked for, as far as it is recorded."""
    return " ".join(f"{name} {r[name]}" for name in ("start", "count") if r[name] is not None) or "more"


def _finding(r: Mapping[str, Any], subject: Any) -> Finding:
    what = {
        "growth": f"{r['enabled']} enabled, {_asked(r)} asked in place",
        "mode": f"index {r['index']} asked while index {r['active']} is on",
        "empty": "an enable of no vectors",
    }[r["kind"]]
    evidence = [
        *span(r["source"], r["since_line"], r["since_end"]),
        *span(r["source"], r["line"], r["line_end"], "cause"),
    ]
    return Finding(
        summary=f"SET_IRQS of {subject.label} was refused with {r['ret']}: {what}",
        grade="probable" if r["hint"] else "proven",
        subject=subject,
        evidence=distinct(evidence),
        unchecked=unnamed(r["hint"]),
        values={
            "kind": r["kind"],
            "enabled": r["enabled"],
            "start": r["start"],
            "count": r["count"],
            "index": r["index"],
            "errno": r["ret"],
        },
        advice="Disable the index before asking for more vectors, or ask for all of them at once; heed VFIO_IRQ_INFO_NORESIZE.",
    )
