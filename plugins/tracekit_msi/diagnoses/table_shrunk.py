"""MSI-003: the table became smaller than the irq domain, or than the vectors in use."""

from collections.abc import Iterator

import polars as pl

from tracekit import (
    LARGEST_TABLE,
    Finding,
    Shown,
    Unchecked,
    Verdict,
    device_of,
    diagnosis,
    distinct,
    holds,
    rows_where,
    span,
    subject_of,
    unnamed,
)
from tracekit_msi.diagnoses.hwsize_latent import sized, unmeasured

RECORD = "kprobes on pci_setup_msix_device_domain and msi_create_device_irq_domain (hwsize)"

SIZED = (pl.col("kind") == "msix") & (pl.col("hwsize_how") == "seen") & pl.col("live").is_not_null() & (pl.col("live_how") != "lspci")


def measured(kind: str | None, hwsize_how: str | None, live: int | None, live_how: str | None) -> bool:
    """Return whether an enable of MSI-X shows the size of its irq domain and, not by lspci alone, of the table."""
    return sized(kind, hwsize_how) and live is not None and live_how is not None and live_how != "lspci"


def larger(kind: str, hwsize_how: str | None, live: int | None, live_how: str | None, hwsize: int | None, created: bool | None) -> bool:
    """Return whether an enable of MSI-X used an irq domain that was there before and is larger than the table."""
    return measured(kind, hwsize_how, live, live_how) and created is False and 0 < (live or 0) < (hwsize or 0) < LARGEST_TABLE


@diagnosis(
    "msi.table-shrunk",
    code="MSI-003",
    severity="high",
    record=RECORD,
    shown_by=(Shown("enables", where=SIZED),),
    absent="no enabling of vectors of an irq domain whose size is known beside the table's",
    when={"enables": measured},
    otherwise="no table was smaller than its irq domain",
)
def table_shrunk(enables: pl.DataFrame, devices: pl.DataFrame | None = None) -> Iterator[Finding | Verdict]:
    """The MSI-X table of a device is smaller than its irq domain.

    What it finds: an enable that uses an irq domain made for a larger table than the device has now.
    Why it matters: vectors at and above the new size do not exist; a single one added in place at such an index would be accepted.
    Stays quiet when: the domain was made in the same attempt, or the sizes agree or are not known.
    Affected: any kernel; the domain that is too large only since {KV2}.
    What to do: unbind and rebind the driver; do not add vectors in place above the new size.
    References: Linux drivers/pci/msi/irqdomain.c, pci_setup_msix_device_domain(); kernel/irq/msi.c, msi_insert_desc().
    """
    shrunk = rows_where(enables, larger)
    if not shrunk and holds(measured, enables) and (why := unmeasured(enables)) is not None:
        yield why
    done: set[str] = set()
    for row in shrunk:
        subject = subject_of(row, devices)
        if subject.label in done:
            continue
        done.add(subject.label)
        column, value = device_of(row) or ("source", row["source"])
        again = [r for r in shrunk if r[column] == value]
        yield Finding(
            summary=f"the MSI-X table of {subject.label} has {row['live']} entries, its irq domain hwsize {row['hwsize']}",
            grade="probable" if row["hint"] else "proven",
            subject=subject,
            evidence=distinct(
                [
                    *span(row["made_source"] or row["source"], row["made_line"], row["made_end"], "cause"),
                    *span(row["source"], row["setup_line"] or row["live_line"], row["setup_end"], "cause"),
                ]
            ),
            unchecked=(
                Unchecked(
                    "the size was not read while the device was in reset or powered down",
                    "the device's config accesses, or a second reading",
                ),
                *unnamed(row["hint"]),
            ),
            values={"old_size": row["hwsize"], "live": row["live"], "enables": len(again)},
            advice="Unbind and rebind the driver; expect the high vectors to be missing.",
        )
