"""VFIO-009: INTx came while MSI-X was down."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from tracekit import Finding, Verdict, diagnosis, distinct, holds, inconclusive, rows_where, span, subject_of
from tracekit_vfio.diagnoses.resize_window import NO_WINDOW, grew, may_have_grown, not_shown

RECORD = "kprobes on vfio_pci_set_irqs_ioctl with irq_handler_entry events, or the host's dmesg on the same clock"


def grew_by_calls(kind: str | None, basis: str | None) -> bool:
    """Return whether calls show that vectors went down to come up with more, as far as they are recorded."""
    return may_have_grown(kind) and basis == "calls"


@diagnosis(
    "vfio.intx-spill",
    code="VFIO-009",
    severity="medium",
    record=RECORD,
    absent=NO_WINDOW,
    when={"windows": grew_by_calls},
    otherwise="no INTx inside a window",
)
def intx_spill(
    windows: pl.DataFrame,
    irq_handler_entry: pl.DataFrame | None = None,
    irq_nobody_cared: pl.DataFrame | None = None,
    devices: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """The device interrupted by INTx while its MSI-X was down to be grown.

    What it finds: a run of the device's INTx handler, or `nobody cared`, between a disable and the enable that follows it.
    Why it matters: it shows that the device signalled in the window, and that nobody who waits for the vector was told.
    Stays quiet when: INTx of the device had been seen before the window (it is in use), or there is no window.
    Affected: clients that take vectors down to add one: QEMU before {QV3}, later ones where the host sets NORESIZE.
    What to do: as for VFIO-001: a client that grows in place, or all vectors at once.
    References: Linux drivers/pci/msi/msi.c, pci_msix_shutdown() (turns INTx on again).
    """
    growths = [w for w in rows_where(windows, grew_by_calls) if grew(w["kind"])]
    found = False
    for w in growths:
        spilled = [*_handled(w, irq_handler_entry), *_uncared(w, irq_nobody_cared)]
        if not spilled:
            continue
        found = True
        subject = subject_of(w, devices)
        yield Finding(
            summary=f"{subject.label} interrupted by INTx while its vectors were down to grow {w['old']} -> {w['new']}",
            grade="possible" if w["sees_close"] is False else "proven" if w["bdf"] else "probable",
            subject=subject,
            evidence=distinct(
                [
                    *span(w["source"], w["line"], w["line_end"], "cause"),
                    *(e for line in spilled for e in span(w["source"], line, role="effect")),
                ]
            ),
            values={"old": w["old"], "new": w["new"], "interrupts": len(spilled)},
            advice="Use a client that grows in place, or let the guest enable all its vectors at once.",
        )
    deaf = [w for w in growths if not found and not _would_show(w, irq_handler_entry)]
    if not growths and (unsure := not_shown(windows)) is not None:
        yield unsure
    if deaf:
        told = f"runs of line interrupts are not recorded beside the window of line {deaf[0]['line']}"
        yield inconclusive(told, "irq_handler_entry of all irqs (echo 1 > events/irq/irq_handler_entry/enable, without a filter)")


def _would_show(w: Mapping[str, Any], entries: pl.DataFrame | None) -> bool:
    """Return whether the recording of a window shows handlers of any irq: entries of others than VFIO's MSI are there."""

    def of_another(source: str, name: str | None) -> bool:
        return source == w["source"] and name is not None and not name.startswith("vfio-msi")

    return w["bdf"] is not None and entries is not None and holds(of_another, entries)


def _handled(w: Mapping[str, Any], entries: pl.DataFrame | None) -> list[int]:
    """Runs of vfio-intx of this device inside the window, if there were none before."""
    if w["bdf"] is None:
        return []
    own = rows_where(entries, lambda source, name: source == w["source"] and name == f"vfio-intx({w['bdf']})")
    if any(r["line"] < w["line"] for r in own):
        return []
    return [r["line"] for r in own if w["line"] < r["line"] < w["line_end"]][:5]


def _uncared(w: Mapping[str, Any], messages: pl.DataFrame | None) -> list[int]:
    """Return the kernel's `nobody cared` between the lines of the window (a console with the trace in it)."""
    if messages is None:
        return []
    inside = (pl.col("source") == w["source"]) & (pl.col("line") > w["line"]) & (pl.col("line") < w["line_end"])
    return messages.filter(inside)["line"].to_list()
