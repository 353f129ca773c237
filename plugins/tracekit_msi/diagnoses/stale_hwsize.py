"""MSI-001: the device's MSI-X domain is smaller than its table."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from tracekit import (
    ERANGE,
    VFIO_MSI,
    VFIO_MSIX,
    Evidence,
    Finding,
    Shown,
    Subject,
    Unchecked,
    Verdict,
    callers,
    clear,
    diagnosis,
    distinct,
    inconclusive,
    lost_between,
    same_function,
    span,
    subject_of,
    unnamed,
)
from tracekit_msi.diagnoses.kernel_bug import errno_of, subject_of_report
from tracekit_msi.diagnoses.stale_sizes import from_sizes

GRADES = ("proven", "probable", "possible")
RECORD = (
    "kprobes on pci_setup_msix_device_domain (hwsize), msi_create_device_irq_domain (hwsize), msi_insert_desc (index, $retval) and "
    "vfio_pci_set_irqs_ioctl, with $retval probes; or function_graph of vfio_pci_set_irqs_ioctl with funcgraph-retval"
)
ARM_CREATION = "p:tk/dom msi_create_device_irq_domain dev=$arg1:x64 hwsize=$arg4:u32, from before the first enable"


@diagnosis(
    "msi.stale-hwsize",
    code="MSI-001",
    severity="high",
    explains=("VFIO-003", "VFIO-004", "MSI-009"),
    supersedes=("MSI-002",),
    record=RECORD,
    shown_by=(Shown("enables", "enabling", ("ret",), of=(pl.col("kind") == "msix") & ~pl.col("created")),),
    absent="no enabling of MSI-X in the input",
)
def stale_hwsize(
    enables: pl.DataFrame | None = None,
    calls: pl.DataFrame | None = None,
    devices: pl.DataFrame | None = None,
    windows: pl.DataFrame | None = None,
    op_set_irqs: pl.DataFrame | None = None,
    qemu_enable_vectors_failed: pl.DataFrame | None = None,
    qemu_enable_msix_failed: pl.DataFrame | None = None,
    op_table_size: pl.DataFrame | None = None,
    op_close: pl.DataFrame | None = None,
    kernel_version: pl.DataFrame | None = None,
    gap: pl.DataFrame | None = None,
    kernel_reports: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """The irq domain of a device still has the MSI-X table size of an earlier configuration, and a request reached beyond it.

    What it finds: an MSI-X index that the kernel refuses with -34 though the device has it, with no irq domain made in that attempt:
    the domain was made when the table was smaller, and its hwsize is never compared with the table again.
    Why it matters: a client that takes everything down to grow is left with no vectors at all; one that asks for all gets none.
    Stays quiet when: a domain is made inside the attempt, the domain is a global one (before {KV2}, Xen), the index is beyond the
    table of now, every index is refused (no domain at all), the request is empty, or min is above max.
    Affected: {KV2 everywhere}, and later up to the newest release read; no release before.
    What to do: unbind and rebind the driver after any change of the table size; that makes the domain anew. Change sizes through
    sriov_vf_msix_count with the VF unbound; the device must not resize its table under a bound driver.
    References: Linux kernel/irq/msi.c, msi_insert_desc() (since 36db3d9003ea, 6.2); drivers/pci/msi/irqdomain.c,
    pci_setup_msix_device_domain() (keeps a domain without comparing sizes, 6.2 up to the newest release read).
    """
    found = list(_from_enables(_with_gaps(enables, gap), calls, devices, windows)) if enables is not None else []
    if not found:
        told = [m for m in (qemu_enable_vectors_failed, qemu_enable_msix_failed) if m is not None]
        found = list(_from_returns(op_set_irqs, enables, devices))
        found += list(from_sizes(op_table_size, told, op_close, kernel_version, RECORD)) or list(_from_qemu(qemu_enable_vectors_failed))
    if not found and enables is not None and enables["ret"].null_count():
        found = list(_from_reports(kernel_reports, devices))
    yield from found
    if found:
        return
    if enables is not None and _unexplained(enables).height:
        line = _unexplained(enables)["line"][0]
        yield inconclusive(f"the MSI-X enable of line {line} returned -34, but no refused index is recorded", RECORD)
    else:
        yield clear("no MSI-X index was refused")


def _stale(enables: pl.DataFrame) -> pl.DataFrame:
    """Attempts in which an index that the device has was refused, or any index by a domain known to be smaller than the table, or that
    failed with -34 where no insert is recorded at all.

    Without return values, the refusal is the shape: inserts, then the unwinding, with the domain kept and no irq set up.
    """
    refused = (
        (pl.col("fail_ret") == ERANGE) & (pl.col("fail_index") > 0) & (pl.col("live").is_null() | (pl.col("live") > pl.col("fail_index")))
    )
    known = (pl.col("fail_ret") == ERANGE) & (pl.col("hwsize_how") == "seen") & (pl.col("live") > pl.col("hwsize"))
    silent = (
        (pl.col("ret") == ERANGE)
        & pl.col("first_line").is_null()
        & (pl.col("max") >= pl.col("min"))
        & (pl.col("live") > 1)
        & pl.col("setup_line").is_not_null()
    )
    shape = (
        (pl.col("fail_line").is_not_null() & pl.col("fail_ret").is_null() & pl.col("inferred") & (pl.col("fail_index") > 0))
        & (pl.col("live").is_null() | (pl.col("live") > pl.col("fail_index")))
        & pl.col("setup_line").is_not_null()
    )
    return enables.filter((pl.col("kind") == "msix") & ~pl.col("created") & (refused | known | silent | shape))


def _with_gaps(enables: pl.DataFrame, gap: pl.DataFrame | None) -> pl.DataFrame:
    """Where events were lost inside an attempt, the absence of a new domain is not shown."""
    if gap is None:
        return enables
    lost = [lost_between(gap, *place) for place in enables.select("source", "line", "line_end").iter_rows()]
    return enables.with_columns((pl.col("armed") & ~pl.Series(lost, dtype=pl.Boolean)).alias("armed"))


def _unexplained(enables: pl.DataFrame) -> pl.DataFrame:
    return enables.filter(
        (pl.col("ret") == ERANGE) & (pl.col("fail_ret").is_null()) & (pl.col("max") >= pl.col("min")) & ~pl.col("created")
    )


def _from_enables(
    enables: pl.DataFrame, calls: pl.DataFrame | None, devices: pl.DataFrame | None, windows: pl.DataFrame | None
) -> Iterator[Finding]:
    stale = _stale(enables)
    done: set[str] = set()
    for row in sorted(stale.iter_rows(named=True), key=lambda r: GRADES.index(_grade(r, same_function(enables, r)))):
        subject = subject_of(row, devices)
        if subject.label in done:
            continue
        done.add(subject.label)
        others = same_function(enables, row)
        again = same_function(stale, row).filter(pl.col("line") > row["line"])
        yield _finding(row, subject, others, again, calls, windows)


def _finding(
    row: Mapping[str, Any],
    subject: Subject,
    others: pl.DataFrame,
    again: pl.DataFrame,
    calls: pl.DataFrame | None,
    windows: pl.DataFrame | None,
) -> Finding:
    old = row["hwsize"] if row["hwsize"] is not None else row["fail_index"]
    live = row["live"] if row["live"] is not None else row["fail_index"] + 1
    grade = _grade(row, others)
    unknown = row["fail_ret"] is None and row["ret"] is None
    deaf = (
        windows is not None
        and same_function(windows, row).filter((pl.col("kind") == "failed") & (pl.col("request") == row["request"])).height > 0
    )
    size = f"hwsize {old}" if old is not None else "an older hwsize"
    index = f"index {row['fail_index']}" if row["fail_index"] is not None else "an index beyond it"
    table = f"{live}" if row["live"] is not None else f"at least {live}"
    return Finding(
        summary=f"irq domain of {subject.label} has {size}, the MSI-X table {table}: {index} refused"
        + ("; errno not recorded" if unknown else " with -34"),
        grade=grade,
        subject=subject,
        severity="critical" if deaf else "high",
        evidence=distinct(_evidence(row, others, again, calls)),
        unchecked=(
            *(() if row["armed"] else (Unchecked("no domain was made inside the refused attempt", ARM_CREATION),)),
            *((Unchecked("the errno of the refused insert", RECORD),) if unknown else ()),
            *unnamed(row["hint"]),
        ),
        values={
            "old_size": old,
            "old_size_how": row["hwsize_how"] or "deduced",
            "live": live,
            "live_how": row["live_how"] or "deduced from the index asked for",
            "index": row["fail_index"],
            "asked": row["max"],
            "errno": None if unknown else ERANGE,
            "attempts": 1 + again.height,
            "cured": _cure(row, others) is not None,
        },
        advice="Unbind and rebind the driver of the device; do so after every change of its table size.",
    )


def _grade(row: Mapping[str, Any], others: pl.DataFrame) -> Any:
    """Proven when the refused index, the size of now and the absence of a new domain are all seen, by functions whose names are known.

    Without an errno: probable where the index and the size of now are seen or the function takes fewer vectors right after, else possible.
    """
    if row["fail_line"] is not None and row["fail_ret"] is None and row["ret"] is None:
        return "probable" if (row["live"] is not None and row["index_seen"]) or _takes_fewer(row, others) else "possible"
    seen = row["fail_line"] is not None and row["armed"] and not row["hint"] and not row["inferred"]
    return "proven" if seen else "probable"


def _takes_fewer(row: Mapping[str, Any], others: pl.DataFrame) -> bool:
    """Whether the next enable of the function keeps the domain too, and gets no more vectors than were inserted."""
    later = others.filter((pl.col("source") == row["source"]) & (pl.col("line") > row["line_end"])).head(1)
    return later.height > 0 and not later["created"][0] and (later["ret"][0] or 0) in range(1, row["fail_index"] + 1)


def _evidence(row: Mapping[str, Any], others: pl.DataFrame, again: pl.DataFrame, calls: pl.DataFrame | None) -> Iterator[Evidence]:
    source = row["source"]
    if row["made_line"] is not None:
        maker = others.filter(pl.col("created") & (pl.col("made_line") == row["made_line"]) & (pl.col("source") == row["made_source"]))
        made = maker.row(0, named=True) if maker.height and maker["setup_line"][0] is not None else None
        if made is not None:
            yield from span(row["made_source"], made["setup_line"], made["setup_end"], "cause")
        yield from span(row["made_source"], row["made_line"], row["made_end"], "cause")
    else:
        yield from span(source, row["line"])  # from here to the return no domain was made
    if row["setup_line"] != row["live_line"]:
        yield from span(source, row["live_line"], role="cause")
    yield from span(source, row["setup_line"], row["setup_end"], "cause")
    if row["inserted"]:
        yield from span(source, row["first_line"], row["last_line"])
    yield from span(source, row["fail_line"], row["fail_end"], "cause")
    for call in callers(calls, row, row["fail_call"] if row["fail_call"] is not None else row["call"]):
        if call["ret"] == ERANGE:
            yield from span(source, call["line_end"], role="effect")
    yield from span(source, row["line_end"], role="effect")
    for other in again.head(3).iter_rows(named=True):
        yield from span(source, other["fail_line"], other["fail_end"], "effect")
    if (cure := _cure(row, others)) is not None:
        yield from span(cure["source"], cure["line"], cure["made_line"], "cure")
        yield from span(cure["source"], cure["line_end"], role="cure")
        for call in list(callers(calls, cure, cure["call"]))[-1:]:
            yield from span(cure["source"], call["line_end"], role="cure")


def _cure(row: Mapping[str, Any], others: pl.DataFrame) -> dict[str, Any] | None:
    """A later enable that made the domain anew and got its vectors."""
    later = others.filter((pl.col("source") == row["source"]) & (pl.col("line") > row["line"]) & pl.col("created") & (pl.col("ret") > 0))
    return later.row(0, named=True) if later.height else None


def _from_returns(op_set_irqs: pl.DataFrame | None, enables: pl.DataFrame | None, devices: pl.DataFrame | None) -> Iterator[Finding]:
    """Only the ioctl's -34 is recorded."""
    if op_set_irqs is None:
        return
    failed = op_set_irqs.filter(
        (pl.col("ret") == ERANGE)
        & ((pl.col("start") + pl.col("count")) > 0).fill_null(True)
        & pl.col("index").is_in([VFIO_MSI, VFIO_MSIX]).fill_null(True)
    )
    if enables is not None and failed.height:
        failed = failed.join(enables.select("source", pl.col("request").alias("call")).drop_nulls(), on=["source", "call"], how="anti")
    for row in failed.head(1).iter_rows(named=True):
        subject = subject_of(row, devices)
        yield Finding(
            summary=f"SET_IRQS of {subject.label} returned -34: an MSI-X index beyond the size of its irq domain, by all that returns it",
            grade="possible",
            subject=subject,
            evidence=tuple(span(row["source"], row["line"], row["line_end"], "effect")),
            unchecked=(Unchecked("the refused index, the size of the domain and of the table", RECORD),),
            values={"errno": ERANGE, "asked": row["count"]},
            advice="Unbind and rebind the driver of the device, then try again.",
        )


def _from_reports(reports: pl.DataFrame | None, devices: pl.DataFrame | None) -> Iterator[Finding]:
    """Enables without return values, and the kernel's WARNING in the error path of one, which keeps the errno in a register."""
    if reports is None:
        return
    for row in reports.iter_rows(named=True):
        if errno_of(row) != ERANGE:
            continue
        subject = subject_of_report(row, devices)
        yield Finding(
            summary=f"an enable of MSI-X of {subject.label} failed with -34, which an irq domain smaller than the table gives",
            grade="possible",
            subject=subject,
            evidence=tuple(span(row["source"], row["line"], row["line_end"], "effect")),
            unchecked=(Unchecked("the refused index, the size of the domain and of the table", RECORD),),
            values={"errno": ERANGE},
            advice="Unbind and rebind the driver of the device, then try again.",
        )
        return


def _from_qemu(messages: pl.DataFrame | None) -> Iterator[Finding]:
    """Return the errno that newer QEMUs print as text (gate QV4)."""
    if messages is None:
        return
    for row in messages.filter(pl.col("reason").str.contains("Numerical result out of range", literal=True)).head(1).iter_rows(named=True):
        yield Finding(
            summary="QEMU could not enable vectors: -34, which an irq domain smaller than the MSI-X table gives",
            grade="possible",
            subject=Subject("an unnamed device", "unknown", how="QEMU's message names no device; -trace 'vfio_msix_*' does"),
            evidence=tuple(span(row["source"], row["line"], role="effect")),
            unchecked=(Unchecked("the refused index, the size of the domain and of the table", RECORD),),
            values={"errno": ERANGE},
            advice="Unbind and rebind the driver of the device, then start the guest again.",
        )
