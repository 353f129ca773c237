"""MSI-005: MSI and MSI-X, or one of them twice, were enabled at once."""

from collections.abc import Iterator

import polars as pl

from tracekit import Finding, Subject, Verdict, diagnosis, distinct, span

RECORD = "the kernel log"


@diagnosis("msi.mode-conflict", code="MSI-005", severity="medium", record=RECORD, log="kernel")
def mode_conflict(
    msi_mode_conflict: pl.DataFrame | None = None,
    kernel_warning: pl.DataFrame | None = None,
    xen_msi_mode_conflict: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """A driver enabled MSI or MSI-X while one of them was on already.

    What it finds: the kernel's or Xen's line that the other mode is already enabled, or the kernel's one-time WARNING in
    `__pci_enable_msix_range` itself.
    Why it matters: the call returns -22; the driver runs without the vectors it wanted.
    Stays quiet when: there is no such line.
    Affected: any kernel; it is the driver that is wrong.
    What to do: a driver bug: it must free its vectors before it switches.
    References: Linux drivers/pci/msi/msi.c, __pci_enable_msi_range() and __pci_enable_msix_range().
    """
    found = False
    if msi_mode_conflict is not None:
        for (bdf,), group in msi_mode_conflict.group_by("bdf", maintain_order=True):
            found = True
            first = group.row(0, named=True)
            yield Finding(
                summary=f"{first['driver']} asked for {first['wanted']} on {bdf} while {first['active']} was enabled",
                grade="proven",
                subject=Subject(str(bdf), "pci", str(bdf)),
                evidence=distinct(e for r in group.head(3).iter_rows(named=True) for e in span(r["source"], r["line"], role="cause")),
                values={"wanted": first["wanted"], "active": first["active"], "driver": first["driver"], "times": group.height},
                advice="The driver must free its vectors before it switches; update or report it.",
            )
    if xen_msi_mode_conflict is not None:
        for (bdf,), group in xen_msi_mode_conflict.group_by("bdf", maintain_order=True):
            found = True
            active = "MSI" + (group["x"][0] or "")
            yield Finding(
                summary=f"Xen was asked for an interrupt of {bdf} while {active} of it was in use",
                grade="proven",
                subject=Subject(str(bdf), "pci", str(bdf)),
                evidence=distinct(e for r in group.head(3).iter_rows(named=True) for e in span(r["source"], r["line"], role="cause")),
                values={"active": active, "times": group.height},
                advice="The domain's driver must free its vectors before it switches; detach and assign the device anew.",
            )
    if not found and kernel_warning is not None:
        own = kernel_warning.filter(
            pl.col("function").str.contains(r"^__?pci_enable_msix?_range") & pl.col("place").str.contains("drivers/pci/msi")
        )
        for row in own.head(1).iter_rows(named=True):
            found = True
            yield Finding(
                summary="MSI-X was enabled twice on one device (the kernel's one-time WARNING)",
                grade="proven",
                subject=Subject("an unnamed device", "unknown", how="the driver in the call trace below the WARNING"),
                evidence=distinct(span(row["source"], row["line"], role="cause")),
                values={"place": row["place"]},
                advice="The driver must free its vectors before it enables them again; update or report it.",
            )
