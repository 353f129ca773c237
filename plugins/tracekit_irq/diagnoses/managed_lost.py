"""VEC-006: a managed irq could not start."""

from collections.abc import Iterator

import polars as pl

from tracekit import Finding, Unchecked, Verdict, at, clear, diagnosis, in_order
from tracekit_irq.evidence import shown, sorted_rows


@diagnosis(
    "vec.managed-lost",
    code="VEC-006",
    severity="medium",
    record="dmesg; events/irq_vectors/vector_alloc_managed",
    needs_any=("irq_managed_lost", "vector_alloc_managed"),
)
def managed_lost(irq_managed_lost: pl.DataFrame | None = None, vector_failures: pl.DataFrame | None = None) -> Iterator[Finding | Verdict]:
    """A managed interrupt could not start although its slot was reserved.

    What it finds: `Managed startup irq N, no vector available`, `Managed startup for irq N, but no CPU`, or `vector_alloc_managed` with a
    negative result.

    Why it matters: the queue behind it has no interrupt, and its driver is not told.

    Stays quiet when: a managed irq is shut down because all CPUs of its mask are offline; that is by design and prints nothing.

    Affected: x86, {KV1} and later.

    What to do: report it with the order of CPU on- and offlining: a kernel defect or a race with hotplug.

    References: arch/x86/kernel/apic/vector.c, activate_managed(); {KV1}.
    """
    rows = sorted_rows(irq_managed_lost) + [f for f in sorted_rows(vector_failures) if f["kind"] == "managed-start"]
    if rows:
        irqs = list(dict.fromkeys(r["irq"] for r in rows))
        yield Finding(
            f"managed irq {', '.join(map(str, irqs[:8]))} could not start: no vector on its CPUs",
            "proven",
            in_order(at(r) for r in shown(rows)),
            advice="Report it with the order in which CPUs went offline and online.",
            values={"irqs": irqs, "count": len(rows)},
            unchecked=(Unchecked("CPUs taken offline at that moment", "dmesg with CPU hotplug messages"),),
        )
    else:
        yield clear("every managed irq that started got its slot")
