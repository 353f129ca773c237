"""MSI-003: the table became smaller than the irq domain, or than the vectors in use."""

from collections.abc import Iterator
from typing import Any

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
from tracekit_msi.diagnoses.hwsize_latent import SIZED, sized, unmeasured
from tracekit_msi.refused_index import table_lines

RECORD = "kprobes on pci_setup_msix_device_domain and msi_create_device_irq_domain (hwsize)"

MEASURED = SIZED & pl.col("live").is_not_null()


def measured(kind: str | None, hwsize_how: str | None, live: int | None) -> bool:
    """Return whether an enable of MSI-X shows the size of its irq domain and of the table."""
    return sized(kind, hwsize_how) and live is not None


def larger(kind: str | None, hwsize_how: str | None, live: int | None, hwsize: int | None, created: bool) -> bool:
    """Return whether an enable of MSI-X used an irq domain that was there before and is larger than the table."""
    return sized(kind, hwsize_how) and not created and live is not None and hwsize is not None and live < hwsize < LARGEST_TABLE


@diagnosis(
    "msi.table-shrunk",
    code="MSI-003",
    severity="high",
    record=RECORD,
    shown_by=(Shown("enables", where=MEASURED),),
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
    if holds(measured, enables) and (why := unmeasured(enables)) is not None:
        yield why
    functions: dict[tuple[str, Any], list[dict[str, Any]]] = {}
    for row in rows_where(enables, larger):
        functions.setdefault(device_of(row) or ("source", row["source"]), []).append(row)
    for again in functions.values():
        row = again[0]
        subject = subject_of(row, devices)
        yield Finding(
            summary=f"the MSI-X table of {subject.label} has {row['live']} entries, its irq domain hwsize {row['hwsize']}",
            grade="probable" if row["hint"] else "proven",
            subject=subject,
            evidence=distinct([*span(row["made_source"], row["made_line"], row["made_end"], "cause"), *table_lines(row)]),
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
