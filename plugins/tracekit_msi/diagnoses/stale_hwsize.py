"""MSI-001: the device's MSI-X domain is smaller than its table."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from tracekit import (
    ERANGE,
    VFIO_MSI,
    VFIO_MSIX,
    Finding,
    Shown,
    Subject,
    Verdict,
    diagnosis,
    fallback,
    inconclusive,
    span,
    subject_of,
    unnamed,
)
from tracekit_msi.diagnoses.kernel_bug import errno_of, subject_of_report
from tracekit_msi.diagnoses.stale_sizes import sizes
from tracekit_msi.lone_inserts import lone_inserts, refused_alone
from tracekit_msi.refused_index import ADVICE, RECORD, UNSEEN, refused_index

OUT_OF_RANGE = "Numerical result out of range"
TOLD = rf"^-34\b|{OUT_OF_RANGE}"


def out_of_range(ret: int | None) -> bool:
    """Return whether a call returned -34."""
    return ret == ERANGE


def perhaps_stale(ret: int | None, fail_ret: int | None, fail_index: int | None) -> bool:
    """Return whether an enable or its refused index returned -34, or an index was refused of one without return values."""
    return ret == ERANGE or fail_ret == ERANGE or bool(fail_index)


@fallback
def enabling(enables: pl.DataFrame, op_set_irqs: pl.DataFrame | None = None, devices: pl.DataFrame | None = None) -> Iterator[Finding]:
    """Yield a finding where only the -34 of an enable is recorded, not for how many vectors: an empty request gives it too."""
    failed = _unexplained(enables).filter(pl.col("max").is_null() & (pl.col("kind") == "msix") & pl.col("fail_line").is_null())
    if op_set_irqs is not None and failed.height:
        empty = op_set_irqs.filter(pl.col("count") == 0).select("source", pl.col("call").alias("request"))
        failed = failed.join(empty, on=["source", "request"], how="anti", maintain_order="left")
    for row in failed.head(1).iter_rows(named=True):
        subject = subject_of(row, devices)
        yield Finding(
            summary=f"an enable of MSI-X of {subject.label} returned -34: an index beyond the size of its irq domain, or an empty request",
            grade="possible",
            subject=subject,
            evidence=tuple(span(row["source"], row["line"], row["line_end"], "effect")),
            unchecked=(UNSEEN, *unnamed(row["hint"])),
            values={"errno": ERANGE},
            advice=ADVICE,
        )


@fallback
def returns(op_set_irqs: pl.DataFrame, enables: pl.DataFrame | None = None, devices: pl.DataFrame | None = None) -> Iterator[Finding]:
    """Yield findings where only the ioctl's -34 is recorded."""
    failed = op_set_irqs.filter(
        (pl.col("ret") == ERANGE)
        & ((pl.col("start") + pl.col("count")) > 0).fill_null(True)
        & pl.col("index").is_in([VFIO_MSI, VFIO_MSIX]).fill_null(True)
    )
    if enables is not None and failed.height:
        # What its enable returned tells more, and so does one that made a domain, or asked for fewer than its least.
        told = enables.filter(pl.col("ret").is_not_null() | pl.col("created") | (pl.col("max") < pl.col("min")))
        failed = failed.join(told.select("source", pl.col("request").alias("call")).drop_nulls(), on=["source", "call"], how="anti")
    for row in failed.head(1).iter_rows(named=True):
        subject = subject_of(row, devices)
        yield Finding(
            summary=f"SET_IRQS of {subject.label} returned -34: an MSI-X index beyond the size of its irq domain, by all that returns it",
            grade="possible",
            subject=subject,
            evidence=tuple(span(row["source"], row["line"], row["line_end"], "effect")),
            unchecked=(UNSEEN,),
            values={"errno": ERANGE, "asked": row["count"]},
            advice="Unbind and rebind the driver of the device, then try again.",
        )


@fallback
def message(qemu_enable_vectors_failed: pl.DataFrame, windows: pl.DataFrame | None = None) -> Iterator[Finding]:
    """Yield a finding where QEMU prints that errno: as text since {QV4}, between as a number. Its trace names the device."""
    yield from _told(qemu_enable_vectors_failed, windows)


@fallback
def enabled_without(qemu_enable_msix_failed: pl.DataFrame, windows: pl.DataFrame | None = None) -> Iterator[Finding]:
    """Yield the same of an enable that no vector was wired in."""
    yield from _told(qemu_enable_msix_failed, windows)


def _told(messages: pl.DataFrame, windows: pl.DataFrame | None) -> Iterator[Finding]:
    """Yield one finding a device that QEMU's trace names beside its message; one of no device where it names none."""
    rows = list(messages.filter(pl.col("reason").str.contains(TOLD)).iter_rows(named=True))
    ends = {(w["source"], w["enable_end"]): w for w in reversed(windows.to_dicts())} if windows is not None and rows else {}
    named = [(subject_of(w), row) for row in rows if (w := ends.get((row["source"], row["line"]))) is not None]
    first = {subject.label: (subject, row) for subject, row in reversed(named)}
    for subject, row in reversed(first.values()):
        yield _said(row, subject)
    if rows and not named:
        how = "QEMU's message names no device; -trace 'vfio_msix_*' does"
        yield _said(rows[0], Subject("an unnamed device", "unknown", how=how))


@fallback
def single(qemu_signaling_failed: pl.DataFrame) -> Iterator[Finding]:
    """Yield functions for which a single vector of MSI-X was refused with that errno: QEMU names them."""
    told = qemu_signaling_failed.filter((pl.col("kind") == "MSIX") & pl.col("reason").str.contains(OUT_OF_RANGE, literal=True))
    for row in told.unique("name", keep="first", maintain_order=True).iter_rows(named=True):
        name = row["name"] or "an unnamed device"
        yield _said(row, Subject(name, "pci" if row["name"] else "unknown", name if "." in name else None))


def _said(row: Mapping[str, Any], subject: Subject) -> Finding:
    return Finding(
        summary="QEMU could not enable vectors: -34, which an irq domain smaller than the MSI-X table gives",
        grade="possible",
        subject=subject,
        evidence=tuple(span(row["source"], row["line"], role="effect")),
        unchecked=(UNSEEN,),
        values={"errno": ERANGE},
        advice="Unbind and rebind the driver of the device, then start the guest again.",
    )


@fallback
def report(enables: pl.DataFrame, kernel_reports: pl.DataFrame, devices: pl.DataFrame | None = None) -> Iterator[Finding]:
    """Enables without return values, and the kernel's WARNING in the error path of one, which keeps the errno in a register."""
    own = [r for r in kernel_reports.iter_rows(named=True) if errno_of(r) == ERANGE] if enables["ret"].null_count() else []
    for row in own[:1]:
        subject = subject_of_report(row, devices)
        yield Finding(
            summary=f"an enable of MSI-X of {subject.label} failed with -34, which an irq domain smaller than the table gives",
            grade="possible",
            subject=subject,
            evidence=tuple(span(row["source"], row["line"], row["line_end"], "effect")),
            unchecked=(UNSEEN,),
            values={"errno": ERANGE},
            advice="Unbind and rebind the driver of the device, then try again.",
        )


@diagnosis(
    "msi.stale-hwsize",
    code="MSI-001",
    severity="high",
    explains=("VFIO-003", "VFIO-004", "MSI-009"),
    supersedes=("MSI-002",),
    record=RECORD,
    witnesses=(refused_index, lone_inserts, enabling, returns, sizes, message, enabled_without, single, report),
    shown_by=(Shown("enables", "enabling", ("ret",), of=(pl.col("kind") == "msix") & ~pl.col("created")),),
    absent="no enabling of MSI-X in the input",
    when={
        "enables": perhaps_stale,
        "op_insert": refused_alone,
        "op_set_irqs": out_of_range,
        **dict.fromkeys(("qemu_enable_vectors_failed", "qemu_enable_msix_failed", "qemu_signaling_failed", "kernel_reports")),
    },
    otherwise="no MSI-X index was refused",
)
def stale_hwsize(enables: pl.DataFrame | None = None) -> Iterator[Verdict]:
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
    unexplained = _unexplained(enables) if enables is not None else None
    if unexplained is not None and unexplained.height:
        yield inconclusive(f"the MSI-X enable of line {unexplained['line'][0]} returned -34, but no refused index is recorded", RECORD)


def _unexplained(enables: pl.DataFrame) -> pl.DataFrame:
    return enables.filter(
        (pl.col("ret") == ERANGE) & pl.col("fail_ret").is_null() & ~(pl.col("max") < pl.col("min")).fill_null(False) & ~pl.col("created")
    )
