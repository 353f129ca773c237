"""MSI-007: the BAR of the MSI-X table has no address."""

from collections.abc import Iterator

import polars as pl

from tracekit import (
    ENOMEM,
    Finding,
    Shown,
    Subject,
    Unchecked,
    Verdict,
    clear,
    diagnosis,
    distinct,
    inconclusive,
    rows_where,
    span,
    subject_of,
)

ABORT = "SError|external abort"
TABLE = r"^(?:__pci_enable_msix_range|msix_\w+|pci_msix_\w+)$"
RECORD = "kretprobe on __pci_enable_msix_range, with the dmesg of the boot and lspci -vv"


def without_table(ret: int | None, kind: str | None, operation: str | None, first_line: int | None) -> bool:
    """Return whether an enable of MSI-X returned what one without a mapped table does, before any descriptor was inserted."""
    return ret == ENOMEM and kind == "msix" and operation == "enable" and first_line is None


@diagnosis(
    "msi.table-unmapped",
    code="MSI-007",
    severity="medium",
    explains=("MSI-009",),
    record=RECORD,
    shown_by=(Shown("enables", "enabling", ("ret",)),),
    absent="no enabling of MSI-X in the input",
    when={"enables": without_table, "kernel_reports": None},
    otherwise="no enable failed for want of a mapped table",
)
def table_unmapped(
    enables: pl.DataFrame | None = None,
    bar_unassigned: pl.DataFrame | None = None,
    kernel_reports: pl.DataFrame | None = None,
    devices: pl.DataFrame | None = None,
    kernel_version: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """The MSI-X table cannot be used: its BAR was given no address, or nothing answers there.

    What it finds: an enable that returns -12 before any descriptor is made, for a device of which the kernel could not place a BAR; a bus
    abort (SError, external abort) taken inside the enabling function itself, which touches nothing but the table.
    Why it matters: the device has no MSI-X at all.
    Stays quiet when: all BARs of the device have their place (then -12 is a shortage of memory), or descriptors were made first.
    Affected: any kernel; firmware or bridges whose windows are too small.
    What to do: fix the assignment of BARs: the bridge's window, resizable BARs, firmware settings.
    References: Linux drivers/pci/msi/msi.c, msix_map_region(); drivers/pci/setup-res.c.
    """
    aborted = list(_aborted(kernel_reports))
    yield from aborted
    failed = [] if aborted else rows_where(enables, without_table)
    if not failed:
        return
    if bar_unassigned is None:
        if kernel_version is None:
            told = f"the enable of line {failed[0]['line']} returned -12; whether its BAR has an address is not recorded"
            yield inconclusive(told, RECORD)
        return
    yield clear()  # holds only where nothing is found
    for row in {(r["entity"], r["device"]): r for r in reversed(failed)}.values():
        subject = subject_of(row, devices)
        bars = bar_unassigned.filter(pl.col("bdf") == row["bdf"]) if row["bdf"] else bar_unassigned
        if bars.is_empty():
            continue
        bar = bars.row(-1, named=True)
        yield Finding(
            summary=f"BAR {bar['bar']} of {bar['bdf']} has no address, and the MSI-X enable returned -12",
            grade="probable" if row["bdf"] else "possible",
            subject=subject,
            evidence=distinct(
                [*span(bar["source"], bar["line"], role="cause"), *span(row["source"], row["line"], row["line_end"], "effect")]
            ),
            unchecked=(Unchecked("this BAR holds the MSI-X table", "lspci -vv: `Vector table: BAR=`"),),
            values={"bar": bar["bar"], "errno": ENOMEM},
            advice="Fix the BAR's assignment: bridge window, resizable BAR, firmware.",
        )


def _aborted(reports: pl.DataFrame | None) -> Iterator[Finding]:
    """Yield a bus abort at an instruction of the function that writes the table's entries."""
    if reports is None:
        return
    own = reports.filter((pl.col("kind") == "oops") & pl.col("what").str.contains(ABORT) & pl.col("function").str.contains(TABLE))
    for row in own.head(1).iter_rows(named=True):
        yield Finding(
            summary=f"the bus aborted an access in {row['function']}: nothing answers where the MSI-X table should be",
            grade="probable",
            subject=Subject("an unnamed device", "unknown", None, (), "the driver in the call trace below names it"),
            evidence=distinct([*span(row["source"], row["line"], role="cause"), *span(row["source"], row["msi_line"], role="cause")]),
            unchecked=(Unchecked("the access was to the table", "lspci -vv of the device: its MSI-X capability and the BAR it names"),),
            values={"function": row["function"], "report": row["what"]},
            advice="The device advertises an MSI-X table that it does not have, or its BAR is wrong: boot with pci=nomsi, and report it.",
        )
