"""VEC-004: a vector was taken outside the wanted CPUs."""

from collections.abc import Iterator

import polars as pl

from tracekit import Finding, Unchecked, Verdict, at, diagnosis, in_order, times
from tracekit_irq.evidence import shown, sorted_rows


@diagnosis("vec.affinity-broken", code="VEC-004", severity="low", record="dmesg", log="kernel")
def affinity_broken(irq_affinity_broken: pl.DataFrame | None = None) -> Iterator[Finding | Verdict]:
    """An interrupt got a vector on a CPU outside its affinity, for want of one inside.

    What it finds: `irq N: Affinity broken due to vector space exhaustion.`

    Why it matters: the CPUs that the interrupt should go to have no vector left; the host is near exhaustion, and the interrupt is slow.

    Stays quiet when: the message is not there; a user's own change of affinity prints none.

    Affected: x86, Linux 4.16 and later.

    What to do: spread interrupts, need fewer vectors on those CPUs.

    References: arch/x86/kernel/apic/vector.c, activate_reserved(); since Linux 4.16.
    """
    rows = sorted_rows(irq_affinity_broken)
    if rows:
        irqs = list(dict.fromkeys(r["irq"] for r in rows))
        yield Finding(
            f"{times(len(irqs), 'irq')} ({', '.join(map(str, irqs[:8]))}) got a vector outside the wanted CPUs: those had none left",
            "proven",
            in_order(at(r) for r in shown(rows)),
            advice="A sign of pressure on the vectors of some CPUs: spread interrupts, or need fewer.",
            values={"irqs": irqs, "count": len(rows)},
            unchecked=(
                Unchecked("an affinity that a user changed meanwhile", "events/irq_matrix and events/irq_vectors during the change"),
            ),
        )
