"""CFG-002: the guest could not learn of a shortage of the host."""

from collections.abc import Iterator

import polars as pl

from tracekit import HOST, Finding, Verdict, clear, diagnosis, distinct, span

RECORD = "irq_matrix events beside SET_IRQS"


@diagnosis(
    "cfg.no-feedback", code="CFG-002", severity="info", record=RECORD, absent="no SET_IRQS calls with irq_matrix_alloc events in the input"
)
def no_feedback(
    op_set_irqs: pl.DataFrame, irq_matrix_alloc: pl.DataFrame, vector_alloc: pl.DataFrame | None = None, *, headroom: int = 16
) -> Iterator[Finding | Verdict]:
    """The host has few CPU vectors left while guests take vectors through VFIO, and no way to tell them when there are none.

    What it finds: fewer than `headroom` free vectors in all (`global_avl`) while SET_IRQS enables vectors; nothing failed yet.
    Why it matters: the next request may fail on the host after the guest's own has succeeded.
    Stays quiet when: there are enough vectors, or one was refused already (VEC-001).
    Affected: every guest without a way to ask the host before it allocates.
    What to do: watch the host's vectors; use fewer of them a device.
    References: Linux kernel/irq/matrix.c, include/trace/events/irq_matrix.h.
    """
    if vector_alloc is not None and (vector_alloc["ret"] < 0).any():
        yield clear("the shortage is acute")
        return
    least = irq_matrix_alloc["global_avl"].min()
    if least is None or least >= headroom:  # type: ignore[operator]
        yield clear("vectors enough")
        return
    used = op_set_irqs.filter((pl.col("data") == "eventfd") & (pl.col("ret") == 0) & pl.col("index").is_in([1, 2]))
    low = irq_matrix_alloc.filter((pl.col("global_avl") < headroom) & pl.col("source").is_in(used["source"].unique().to_list()))
    if low.is_empty():
        yield clear("vectors enough")
        return
    row = low.sort("global_avl").row(0, named=True)
    yield Finding(
        summary=f"{row['global_avl']} CPU vectors are left on the host, and guests that take them cannot be told when there are none",
        grade=None,
        subject=HOST,
        evidence=distinct(span(row["source"], row["line"])),
        values={"global_avl": row["global_avl"]},
        advice="Watch the host's vectors, or use fewer of them a device.",
    )
