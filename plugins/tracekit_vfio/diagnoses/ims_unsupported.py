"""CFG-003: interrupt message storage was asked for where there is none."""

from collections.abc import Iterator

import polars as pl

from tracekit import HOST, Finding, Verdict, diagnosis, distinct, span, times

RECORD = "a kretprobe on pci_create_ims_domain"


def asks_for_ims(function: str | None) -> bool:
    """Return whether a call asked for an IMS domain."""
    return function == "pci_create_ims_domain"


@diagnosis(
    "cfg.ims-unsupported",
    code="CFG-003",
    severity="info",
    record=RECORD,
    when={"probe_return": asks_for_ims},
    otherwise="no IMS domain was refused",
)
def ims_unsupported(probe_return: pl.DataFrame) -> Iterator[Finding | Verdict]:
    """A driver asked for an IMS domain, and the host has none to give.

    What it finds: `pci_create_ims_domain()` that returns false.
    Why it matters: the driver falls back to MSI-X, with fewer vectors.
    Stays quiet when: the domain was made, or nobody asked for one.
    Affected: hosts whose parent irq domain has no IMS; Linux before 6.2 has none.
    What to do: use MSI-X.
    References: Linux drivers/pci/msi/api.c, pci_create_ims_domain() (since 6.2).
    """
    refused = probe_return.filter((pl.col("function") == "pci_create_ims_domain") & pl.col("args").str.contains(r"=(?:0x)?0+(?: |$)"))
    if refused.is_empty():
        return
    yield Finding(
        summary=f"an IMS domain was asked for {times(refused.height, 'time')} and refused",
        grade=None,
        subject=HOST,
        evidence=distinct(e for r in refused.head(3).iter_rows(named=True) for e in span(r["source"], r["line"])),
        values={"refused": refused.height},
        advice="Use MSI-X.",
    )
