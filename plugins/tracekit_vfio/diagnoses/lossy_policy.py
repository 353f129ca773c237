"""CFG-001: this configuration can lose interrupts when vectors are added."""

from collections.abc import Iterator

import polars as pl

from tracekit import Finding, Subject, Verdict, clear, diagnosis, distinct, span
from tracekit_vfio.models.vector_windows import as_bdf

RECORD = "QEMU -trace vfio_msix_early_setup, or GET_IRQ_INFO of index 2 on the host"


@diagnosis("cfg.lossy-policy", code="CFG-001", severity="info", record=RECORD)
def lossy_policy(vfio_msix_early_setup: pl.DataFrame, windows: pl.DataFrame | None = None) -> Iterator[Finding | Verdict]:
    """The client takes all vectors down to add one; no such window has come yet.

    What it finds: a device of QEMU with more than one MSI-X vector, on a QEMU that does not know NORESIZE (before {QV3}) or a
    host that sets it.
    Why it matters: when the guest unmasks its vectors one by one, each one is a window in which interrupts may be lost.
    Stays quiet when: vectors can be added in place, or windows are in the input already (VFIO-002).
    Affected: QEMU before {QV3}; later ones where the host sets NORESIZE.
    What to do: {QV3} or later on {KV4} or later; otherwise let the guest enable all its vectors at once.
    References: QEMU 45d85f622811, 5ebffa4e87e7.
    """
    if windows is not None and windows.filter(pl.col("kind").is_in(["growth", "failed", "open"])).height:
        yield clear("windows are in the input: see VFIO-002")
        return
    lossy = vfio_msix_early_setup.filter((pl.col("entries") > 1) & (pl.col("noresize").is_null() | (pl.col("noresize") == 1)))
    for row in lossy.unique("name", maintain_order=True).iter_rows(named=True):
        why = "older than {QV3}" if row["noresize"] is None else "the host sets NORESIZE"
        yield Finding(
            summary=f"vectors of {row['name']} are taken down to add one ({why}); its table has {row['entries']} entries",
            grade=None,
            subject=Subject(row["name"], "pci", as_bdf(row["name"])),
            evidence=distinct(span(row["source"], row["line"])),
            values={"entries": row["entries"], "noresize": row["noresize"]},
            advice="Use {QV3} or later on {KV4} or later, or let the guest enable all its vectors at once.",
        )
    if lossy.is_empty():
        yield clear("vectors can be added in place, or there is only one")
