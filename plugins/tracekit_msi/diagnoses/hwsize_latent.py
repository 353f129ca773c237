"""MSI-002: the irq domain's size differs from the table's, and nothing has hit it yet."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from tracekit import (
    Finding,
    Shown,
    Unchecked,
    Verdict,
    clear,
    diagnosis,
    distinct,
    same_function,
    span,
    subject_of,
    unanswered,
    unnamed,
)

RECORD = "kprobes on pci_setup_msix_device_domain and msi_create_device_irq_domain (hwsize), from before the first enable"
SIZED = (pl.col("kind") == "msix") & pl.col("hwsize").is_not_null() & (pl.col("hwsize_how") == "seen")
TIMED = Unchecked("the size was read while this irq domain lived", "lspci -vv with a date, or kprobes on pci_setup_msix_device_domain")


@diagnosis(
    "msi.hwsize-latent",
    code="MSI-002",
    severity="medium",
    record=RECORD,
    shown_by=(Shown("enables", where=SIZED),),
    absent="no enabling of vectors of an irq domain whose size is known",
)
def hwsize_latent(
    enables: pl.DataFrame, op_table_size: pl.DataFrame | None = None, devices: pl.DataFrame | None = None
) -> Iterator[Finding | Verdict]:
    """The irq domain of a device is smaller than its MSI-X table; no request has gone beyond it yet.

    What it finds: an enable that uses an irq domain of an older size than the table the device has now.
    Why it matters: the next request that reaches the old size is refused with -34 (MSI-001), and may take the whole device down.
    Stays quiet when: the sizes agree, the domain was made in the same attempt, the size at its making is not known, or the fault is acute.
    Affected: as MSI-001: {KV2 everywhere}, and later.
    What to do: unbind and rebind the driver before the next guest starts.
    References: Linux drivers/pci/msi/irqdomain.c, pci_setup_msix_device_domain() (since {KV2}).
    """
    known = enables.filter(SIZED)
    if known.is_empty():
        return
    found = False
    done: set[str] = set()
    for row in known.filter(~pl.col("created") & (pl.col("live") > pl.col("hwsize"))).iter_rows(named=True):
        label = subject_of(row, devices).label
        if label not in done:
            done.add(label)
            found = True
            yield _finding(row, "proven", same_function(enables, row), devices)
    if not found:
        snapshots = list(_by_snapshot(known, op_table_size, devices))
        yield from snapshots
        if not snapshots:
            yield unmeasured(enables) or clear("every irq domain used has the size of its table")


def unmeasured(enables: pl.DataFrame) -> Verdict | None:
    """Return why the sizes of domain and table cannot be compared: an enable in whose attempt the table was not looked at."""
    used = enables.filter((pl.col("kind") == "msix") & ~pl.col("created"))
    old = pl.col("live_line").is_null() | (pl.col("live_line") == pl.col("made_line"))
    return unanswered(used.with_columns(pl.when(~old).then("live").alias("live")), what="enabling", record=RECORD, needs=("ret", "live"))


def _finding(row: Mapping[str, Any], grade: Any, others: pl.DataFrame, devices: pl.DataFrame | None) -> Finding:
    subject = subject_of(row, devices)
    later = others.filter((pl.col("hwsize") == row["hwsize"]) & (pl.col("live") == row["live"]) & ~pl.col("created"))
    evidence = [
        *span(row["made_source"] or row["source"], row["made_line"], row["made_end"], "cause"),
        *(e for r in later.head(3).iter_rows(named=True) for e in span(r["source"], r["setup_line"], r["setup_end"], "cause")),
    ]
    return Finding(
        summary=f"irq domain of {subject.label} has hwsize {row['hwsize']}, the MSI-X table {row['live']}; no request went beyond it yet",
        grade="probable" if row["hint"] else grade,
        subject=subject,
        evidence=distinct(evidence),
        unchecked=unnamed(row["hint"]),
        values={"old_size": row["hwsize"], "live": row["live"], "enables": later.height},
        advice="Unbind and rebind the driver of the device before the next guest starts.",
    )


def _by_snapshot(known: pl.DataFrame, sizes: pl.DataFrame | None, devices: pl.DataFrame | None) -> Iterator[Finding]:
    """Yield a size that lspci printed, without a time: it may be of another moment."""
    if sizes is None:
        return
    for size in sizes.filter((pl.col("origin") == "lspci") & pl.col("bdf").is_not_null()).iter_rows(named=True):
        mine = known.filter(pl.col("bdf") == size["bdf"])
        if mine.is_empty() or sizes.filter((pl.col("bdf") == size["bdf"]) & (pl.col("count") == mine["hwsize"][-1])).height:
            continue
        row = mine.row(-1, named=True)
        if size["count"] > row["hwsize"]:
            subject = subject_of(row, devices)
            yield Finding(
                summary=f"irq domain of {subject.label} has hwsize {row['hwsize']}, lspci shows a table of {size['count']}",
                grade="possible",
                subject=subject,
                evidence=distinct(
                    [*span(row["source"], row["made_line"], role="cause"), *span(size["source"], size["line"], role="cause")]
                ),
                unchecked=(TIMED,),
                values={"old_size": row["hwsize"], "live": size["count"], "enables": mine.height},
                advice="Unbind and rebind the driver of the device before the next guest starts.",
            )
            return
