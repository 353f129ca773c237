"""VEC-003: more vectors are reserved than exist."""

from collections.abc import Iterator

import polars as pl

from tracekit import Finding, Verdict, at, clear, diagnosis, in_order, inconclusive, times
from tracekit_irq.evidence import shown, sorted_rows

MISCOUNTED = 1 << 31  # a count below zero as the kernel prints it: its own fault, no reservation
RECORD = "dmesg; echo 1 > /sys/kernel/tracing/events/irq_matrix/irq_matrix_reserve/enable"


@diagnosis(
    "vec.overcommit",
    code="VEC-003",
    severity="low",
    record=RECORD,
    log="boot",
    shown_by=("irq_matrix_reserve",),
    absent="no kernel log from the boot on and no irq_matrix_reserve event in the input",
)
def overcommit(
    irq_overcommit: pl.DataFrame | None = None,
    vector_overcommits: pl.DataFrame | None = None,
    irq_reserved_exceeds: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """More interrupt vectors are reserved than the CPUs have.

    What it finds: `Interrupt reservation exceeds available resources`, the same as a CPU goes offline (`Reserved vectors N > available
    M`), or an irq_matrix event with global_rsvd above global_avl.

    Why it matters: it is no failure yet. Reservations turn into vectors when interrupts are requested; then the last ones fail (VEC-001).

    Stays quiet when: reservations equal what is available, or only the allocation was clamped.

    Affected: x86, {KV1} and later.

    What to do: look for VEC-001; need fewer vectors before they are requested.

    References: kernel/irq/matrix.c, irq_matrix_reserve(); {KV1}.
    """
    counts = sorted_rows(irq_reserved_exceeds)
    leaving = [r for r in counts if max(r["vectors"], r["available"]) < MISCOUNTED]
    warnings = sorted(sorted_rows(irq_overcommit) + leaving, key=lambda r: (r["source"], r["line"]))
    crossings = sorted_rows(vector_overcommits)
    if warnings or crossings:
        first = crossings[0] if crossings else None
        numbers = f": {first['global_rsvd']} reserved, {first['global_avl']} available" if first else ""
        values = {"global_rsvd": first["global_rsvd"], "global_avl": first["global_avl"]} if first else {}
        yield Finding(
            f"vector reservations exceed what is available ({times(len(warnings) or len(crossings), 'time')}){numbers}",
            "proven",
            in_order([at(r) for r in shown(warnings)] + [at(r) for r in crossings[:1]]),
            advice="Not a failure; it predicts that requests for interrupts will be refused (VEC-001).",
            values={"warnings": len(warnings), **values},
        )
    elif counts:
        yield inconclusive(f"the kernel's counts of line {counts[0]['line']} are below zero: what is reserved is not known", RECORD)
    else:
        yield clear("reservations never exceeded the vectors")
