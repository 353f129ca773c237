"""MSI-004: fewer vectors than asked, or none for want of them."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from tracekit import ENOSPC, Finding, Subject, Verdict, clear, diagnosis, distinct, not_evaluated, span, subject_of

RECORD = "kprobe and kretprobe on pci_alloc_irq_vectors_affinity (min, max, $retval) and on pci_msix_vec_count"
ADVICE = "Raise what is short: the device's table, CPU vectors (VEC-*), or remapping entries (VEC-005)."


@diagnosis("msi.short-grant", code="MSI-004", severity="medium", record=RECORD)
def short_grant(
    enables: pl.DataFrame | None = None,
    op_set_irqs: pl.DataFrame | None = None,
    devices: pl.DataFrame | None = None,
    driver_vectors_refused: pl.DataFrame | None = None,
    driver_vectors_reduced: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """An enable got fewer vectors than it asked for, for another reason than the size of the table.

    What it finds: an enable that returns fewer vectors than its maximum while the table is larger; -28 for a range of counts, because
    fewer than the minimum could be had; a positive result of SET_IRQS; a driver's own line that says so.
    Why it matters: queues share vectors or do not work; a client may give up.
    Stays quiet when: the number granted is the table's size (the normal clamp), or the table's size is not known.
    Affected: any kernel.
    What to do: find what is short: the table, CPU vectors, remapping entries.
    References: Linux drivers/pci/msi/msi.c, __pci_enable_msix_range(); drivers/vfio/pci/vfio_pci_intrs.c, vfio_msi_enable().
    """
    findings = [
        *(_from_enables(enables, devices) if enables is not None else ()),
        *(_from_requests(op_set_irqs, devices) if op_set_irqs is not None else ()),
        *_from_drivers(driver_vectors_refused, driver_vectors_reduced),
    ]
    yield from findings
    if not findings:
        yield (
            clear("every enable got what it asked for, or what the table holds")
            if enables is not None
            else not_evaluated("no enabling of vectors in the input", RECORD)
        )


def _from_enables(enables: pl.DataFrame, devices: pl.DataFrame | None) -> Iterator[Finding]:
    short = (pl.col("ret") > 0) & (pl.col("ret") < pl.col("max")) & (pl.col("min") < pl.col("max")) & (pl.col("live") > pl.col("ret"))
    refused = (pl.col("ret") == ENOSPC) & (pl.col("max") > pl.col("min"))
    for row in (
        enables.filter(~pl.col("inferred") & (short | refused) & (pl.col("operation") == "enable") & (pl.col("kind") == "msix"))
        .unique("entity", maintain_order=True)
        .iter_rows(named=True)
    ):
        subject = subject_of(row, devices)
        got = f"got {row['ret']}" if row["ret"] > 0 else "was refused with -28"
        size = f", table {row['live']}" if row["live"] is not None else ""
        yield _finding(
            row,
            subject,
            "proven",
            f"{subject.label} asked for {row['min']} to {row['max']} vectors and {got}{size}",
            {"asked": row["max"], "min": row["min"], "granted": max(row["ret"], 0), "live": row["live"]},
        )


def _from_requests(op_set_irqs: pl.DataFrame, devices: pl.DataFrame | None) -> Iterator[Finding]:
    """SET_IRQS returned a positive number: only so many vectors could be had."""
    for row in op_set_irqs.filter((pl.col("ret") > 0) & (pl.col("data") == "eventfd") & pl.col("index").is_in([1, 2])).iter_rows(
        named=True
    ):
        subject = subject_of(row, devices)
        yield _finding(
            row,
            subject,
            "proven",
            f"SET_IRQS of {subject.label} asked for {row['count']} vectors; only {row['ret']} could be had",
            {"asked": row["count"], "granted": row["ret"]},
        )


def _from_drivers(refused: pl.DataFrame | None, reduced: pl.DataFrame | None) -> Iterator[Finding]:
    """A driver says that it got too few, or none."""
    for frame, ret in ((refused, "ret"), (reduced, "granted")):
        if frame is None:
            continue
        for row in frame.unique([c for c in ("bdf", "device", "driver") if c in frame.columns], maintain_order=True).iter_rows(named=True):
            if row.get("granted") is not None and row.get("asked") is not None and row["granted"] >= row["asked"]:
                continue
            label = row.get("bdf") or row.get("device") or row.get("driver") or "an unnamed device"
            subject = Subject(label, "pci" if row.get("bdf") else "unknown", row.get("bdf"))
            refusal = "refused" if row[ret] is None else f"refused with {row[ret]}"
            got = refusal if ret == "ret" else f"reduced to {row[ret]}"
            yield _finding(row, subject, "proven", f"the vectors of {label} were {got}", {"asked": row.get("asked"), ret: row[ret]})


def _finding(row: Mapping[str, Any], subject: Subject, grade: Any, summary: str, values: dict[str, Any]) -> Finding:
    return Finding(
        summary=summary,
        grade=grade,
        subject=subject,
        machine=row["machine"],
        boot=row["boot"],
        evidence=distinct(span(row["source"], row["line"], row.get("line_end"), "cause")),
        values=values,
        advice=ADVICE,
    )
