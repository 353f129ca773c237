"""MSI-002: the irq domain's size differs from the table's, and nothing has hit it yet."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from tracekit import (
    Finding,
    Shown,
    Unchecked,
    Verdict,
    diagnosis,
    distinct,
    holds,
    rows_where,
    same_function,
    span,
    subject_of,
    unanswered,
    unnamed,
    witness,
)
from tracekit_msi.refused_index import table_lines

RECORD = "kprobes on pci_setup_msix_device_domain and msi_create_device_irq_domain (hwsize), from before the first enable"
ADVICE = "Unbind and rebind the driver of the device before the next guest starts."
SIZED = (pl.col("kind") == "msix") & (pl.col("hwsize_how") == "seen")
PAIRED = pl.col("entries").is_not_null()
OPENED = Unchecked(
    "the size of the table now: vfio-pci keeps that of the device's opening", "the drgn script on the live kernel, or lspci -vv"
)
TIMED = Unchecked("the size was read while this irq domain lived", "lspci -vv with a date, or kprobes on pci_setup_msix_device_domain")


def sized(kind: str | None, hwsize_how: str | None) -> bool:
    """Return whether an enable is one of MSI-X whose irq domain was seen with its size."""
    return kind == "msix" and hwsize_how == "seen"


def smaller(kind: str | None, hwsize_how: str | None, created: bool, live: int | None, hwsize: int | None) -> bool:
    """Return whether an enable of MSI-X used an irq domain that was there before and is smaller than the table."""
    return sized(kind, hwsize_how) and not created and live is not None and hwsize is not None and live > hwsize


def paired(entries: int | None) -> bool:
    """Return whether drgn read a table beside the irq domain: it is one of MSI-X then."""
    return entries is not None


def undersized(hwsize: int, entries: int | None) -> bool:
    """Return whether drgn read an irq domain that is smaller than the table; one of size 0 has no limit."""
    return entries is not None and 0 < hwsize < entries


@witness
def traced(enables: pl.DataFrame, op_table_size: pl.DataFrame | None = None, devices: pl.DataFrame | None = None) -> Iterator[Finding]:
    """Yield enables that use a domain of another size than the table, by a trace and what lies beside it."""
    done: set[str] = set()
    for row in rows_where(enables, smaller):
        label = subject_of(row, devices).label
        if label not in done:
            done.add(label)
            yield _finding(row, "proven", same_function(enables, row), devices)
    if not done:
        yield from _by_snapshot(enables, op_table_size, devices)


@witness
def read(irq_domain_hwsize: pl.DataFrame, devices: pl.DataFrame | None = None) -> Iterator[Finding]:
    """Yield functions whose domain and table drgn read side by side, by the latest reading in which they differ."""
    for row in {r["bdf"]: r for r in rows_where(irq_domain_hwsize, undersized)}.values():
        subject = subject_of(row, devices)
        now = row["origin"] == "config"
        yield Finding(
            summary=f"irq domain of {subject.label} has hwsize {row['hwsize']}, the MSI-X table {row['entries']}",
            grade="proven" if now else "probable",
            subject=subject,
            evidence=tuple(span(row["source"], row["line"], role="cause")),
            unchecked=() if now else (OPENED,),
            values={"old_size": row["hwsize"], "live": row["entries"]},
            advice=ADVICE,
        )


@diagnosis(
    "msi.hwsize-latent",
    code="MSI-002",
    severity="medium",
    record=RECORD,
    shown_by=(Shown("enables", where=SIZED), Shown("irq_domain_hwsize", "size that drgn read", where=PAIRED)),
    absent="no enabling of vectors of an irq domain whose size is known",
    witnesses=(traced, read),
    when={"enables": sized, "irq_domain_hwsize": paired},
    otherwise="every irq domain used has the size of its table",
)
def hwsize_latent(enables: pl.DataFrame | None = None) -> Iterator[Verdict]:
    """The irq domain of a device is smaller than its MSI-X table; no request has gone beyond it yet.

    What it finds: an enable that uses an irq domain of an older size than the table the device has now; or both sizes as drgn read them.
    Why it matters: the next request that reaches the old size is refused with -34 (MSI-001), and may take the whole device down.
    Stays quiet when: the sizes agree, the domain was made in the same attempt, the size at its making is not known, or the fault is acute.
    Affected: as MSI-001: {KV2 everywhere}, and later.
    What to do: unbind and rebind the driver before the next guest starts.
    References: Linux drivers/pci/msi/irqdomain.c, pci_setup_msix_device_domain() (since {KV2}).
    """
    if enables is not None and holds(sized, enables) and (why := unmeasured(enables)) is not None:
        yield why


def unmeasured(enables: pl.DataFrame) -> Verdict | None:
    """Return why the sizes of domain and table cannot be compared: an enable in whose attempt the table was not looked at."""
    used = enables.filter((pl.col("kind") == "msix") & ~pl.col("created"))
    anew = (pl.col("live_line") > pl.col("line")) | (pl.col("operation") == "alloc_at")
    return unanswered(used.with_columns(pl.when(anew).then("live").alias("live")), what="enabling", record=RECORD, needs=("ret", "live"))


def _finding(row: Mapping[str, Any], grade: Any, others: pl.DataFrame, devices: pl.DataFrame | None) -> Finding:
    subject = subject_of(row, devices)
    later = others.filter((pl.col("hwsize") == row["hwsize"]) & (pl.col("live") == row["live"]) & ~pl.col("created"))
    evidence = [
        *span(row["made_source"], row["made_line"], row["made_end"], "cause"),
        *(e for r in later.head(3).iter_rows(named=True) for e in table_lines(r)),
    ]
    return Finding(
        summary=f"irq domain of {subject.label} has hwsize {row['hwsize']}, the MSI-X table {row['live']}; {_asked(others, row)}",
        grade="probable" if row["hint"] else grade,
        subject=subject,
        evidence=distinct(evidence),
        unchecked=unnamed(row["hint"]),
        values={"old_size": row["hwsize"], "live": row["live"], "enables": later.height},
        advice=ADVICE,
    )


def _asked(others: pl.DataFrame, row: Mapping[str, Any]) -> str:
    """Return whether a request went beyond the domain: of one whose result is not recorded, that is all that can be said."""
    beyond = others.filter(~pl.col("created") & pl.col("ret").is_null() & (pl.min_horizontal("max", "live") > row["hwsize"]))
    if beyond.is_empty():
        return "no request went beyond it yet"
    return f"a request for {beyond['max'][0]} went beyond it (line {beyond['line'][0]}), and its result is not recorded"


def _by_snapshot(enables: pl.DataFrame, sizes: pl.DataFrame | None, devices: pl.DataFrame | None) -> Iterator[Finding]:
    """Yield a size that lspci printed, without a time: it may be of another moment."""
    if sizes is None:
        return
    known = rows_where(enables, sized)
    for size in sizes.filter((pl.col("origin") == "lspci") & pl.col("bdf").is_not_null()).iter_rows(named=True):
        mine = [row for row in known if row["bdf"] == size["bdf"]]
        if not mine or sizes.filter((pl.col("bdf") == size["bdf"]) & (pl.col("count") == mine[-1]["hwsize"])).height:
            continue
        row = mine[-1]
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
                values={"old_size": row["hwsize"], "live": size["count"], "enables": len(mine)},
                advice=ADVICE,
            )
            return
