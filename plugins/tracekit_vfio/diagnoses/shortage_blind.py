"""VFIO-008: the host was short of vectors, and the guest could not know."""

from collections.abc import Iterator

import polars as pl

from tracekit import ENOSPC, Finding, Verdict, clear, diagnosis, distinct, inconclusive, rows_where, span, subject_of
from tracekit_vfio.diagnoses.resize_window import CALLS, NO_CALL

RECORD = "the guest's dmesg beside the host's trace (--side SOURCE=guest says which is which)"


def short_of_vectors(ret: int | None, data: str | None) -> bool:
    """Return whether a SET_IRQS that wires vectors returned -28."""
    return ret == ENOSPC and data == "eventfd"


@diagnosis(
    "vfio.shortage-blind",
    code="VFIO-008",
    severity="high",
    record=RECORD,
    across=("kernel_version", "driver_irq_refused", "driver_vectors_refused", "driver_vectors_reduced"),
    shown_by=(CALLS,),
    absent=NO_CALL,
    when={"op_set_irqs": short_of_vectors},
    otherwise="no SET_IRQS was short of vectors",
)
def shortage_blind(
    op_set_irqs: pl.DataFrame,
    kernel_version: pl.DataFrame | None = None,
    driver_irq_refused: pl.DataFrame | None = None,
    driver_vectors_refused: pl.DataFrame | None = None,
    driver_vectors_reduced: pl.DataFrame | None = None,
    devices: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """The host had no vector left for an interrupt of a guest, and the guest's own request had already succeeded.

    What it finds: -28 from SET_IRQS on the host, beside a guest's kernel log in which no driver was refused its interrupts.
    Why it matters: unmasking a vector has no way to fail in PCI; the guest waits for interrupts that nothing can deliver.
    Stays quiet when: there is no guest's log, or the guest saw a failure of its own.
    Affected: every guest without a way to ask the host before it allocates, which is every guest so far.
    What to do: use fewer vectors a device, or more CPUs; watch the host, as the guest cannot know.
    References: Linux arch/x86/kernel/apic/vector.c (vectors are taken at request_irq since {KV1}); PCI local bus, MSI-X table.
    """
    short = rows_where(op_set_irqs, short_of_vectors)
    if not short:
        return
    guests = kernel_version.filter(pl.col("side").str.starts_with("guest")) if kernel_version is not None else None
    if guests is None or guests.is_empty():
        yield inconclusive("SET_IRQS returned -28; whether the guest was told is not shown", RECORD)
        return
    own = [
        f.filter(pl.col("side").str.starts_with("guest"))
        for f in (driver_irq_refused, driver_vectors_refused, driver_vectors_reduced)
        if f is not None
    ]
    if any(f.height for f in own):
        yield clear("the guest saw a failure of its own")
        return
    row = short[0]
    guest = guests.row(0, named=True)
    subject = subject_of(row, devices)
    yield Finding(
        summary=f"SET_IRQS of {subject.label} returned -28 on the host, and no driver of the guest was refused anything",
        grade="probable",
        subject=subject,
        evidence=distinct([*span(row["source"], row["line"], row["line_end"], "cause"), *span(guest["source"], guest["line"])]),
        values={"asked": row["count"], "errno": ENOSPC, "failed": len(short)},
        advice="Use fewer vectors a device, or give the host more CPUs; the guest cannot be told.",
    )
