"""IRQ-004: a vector came in that belongs to no irq."""

from collections.abc import Iterator

import polars as pl

from tracekit import Finding, Unchecked, Verdict, diagnosis, no_message, times
from tracekit_irq.evidence import at, by_boot, in_order, shown


@diagnosis(
    "irq.stray-vector", code="IRQ-004", severity="low", record="dmesg; events/irq_vectors/{vector_clear,vector_free_moved,vector_update}"
)
def stray_vector(
    irq_no_handler: pl.DataFrame | None = None, xen_no_handler: pl.DataFrame | None = None, sources: pl.DataFrame | None = None
) -> Iterator[Finding | Verdict]:
    """A CPU received a vector that no irq owns.

    What it finds: `No irq handler for vector` (or, since 6.12, `No irq handler for CPU.VECTOR`), in Linux or Xen.

    Why it matters: a message arrived after its irq was freed or moved, or at the wrong CPU; the interrupt it stood for is gone.

    Stays quiet when: the message is not there. Its absence excludes nothing: a slot just torn down swallows the first stray silently.

    Affected: x86.

    What to do: see which irq had that vector on that CPU last (vector_clear, vector_update), and what its device does meanwhile.

    References: arch/x86/kernel/irq.c, common_interrupt() (do_IRQ() before 5.8); xen/arch/x86/irq.c.
    """
    for where, (linux, xen) in by_boot(irq_no_handler, xen_no_handler):
        places = [f"{r['cpu']}.{r['vector']}" for r in linux] + [f"{r['cpu']}.0x{r['vector_hex']:x}" for r in xen]
        unique = list(dict.fromkeys(places))
        yield Finding(
            f"{times(len(places), 'interrupt')} without an irq at CPU.vector {', '.join(unique[:6])}",
            "proven",
            in_order(at(r) for r in shown(linux + xen)),
            advice="Compare with what was freed or moved just before; at boot one such line is common and harmless.",
            values={"count": len(places), "vectors": unique},
            unchecked=(
                Unchecked("CPU hotplug at that moment", "dmesg"),
                Unchecked("whose vector it was", "events/irq_vectors/vector_clear and vector_update"),
            ),
            **where,
        )
    if irq_no_handler is None and xen_no_handler is None:
        yield no_message(sources)
