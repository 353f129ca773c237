"""VEC-002: no CPU vector, or no managed slot, when vectors are allocated."""

from collections.abc import Iterator

import polars as pl

from tracekit import ENOSPC, Finding, Unchecked, Verdict, at, clear, diagnosis, in_order, inconclusive, times, unnamed
from tracekit_irq import refused, returned
from tracekit_irq.evidence import Rows, shown, sorted_rows

RECORD = "cd /sys/kernel/tracing/events; echo 1 | tee irq_matrix/enable irq_vectors/vector_{alloc,activate,reserve_managed}/enable"
KINDS = {"managed": "a slot on each CPU for a managed irq", "alloc": "a vector at once for an entry that cannot be masked"}

ADVICE = "Fewer managed queues, more CPUs; see VEC-001."


@diagnosis(
    "vec.exhausted-at-alloc",
    code="VEC-002",
    severity="high",
    record=RECORD,
    shown_by=("vector_reserve_managed", "vector_alloc_managed"),
    absent="no event of a managed irq in the input (vector_reserve_managed): what is reserved for them is not recorded",
)
def exhausted_at_alloc(
    vector_failures: pl.DataFrame | None = None,
    vector_alloc: pl.DataFrame | None = None,
    calls: pl.DataFrame | None = None,
    op_alloc: pl.DataFrame | None = None,
    irte_exhausted: pl.DataFrame | None = None,
    op_xen_setup: pl.DataFrame | None = None,
    interrupt_row: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """Vectors run out already when a device's interrupts are allocated.

    What it finds: `vector_reserve_managed ... ret=-28`, or a `vector_alloc` that fails right after the reservation of its irq, as happens
    for plain MSI without mask bits, which needs a real vector at once; -28 as x86_vector_alloc_irqs() returned it. An enable that would
    have taken one vector and returned -28 is possibly of that kind.

    Why it matters: the driver gets fewer interrupts or none, and says so with no reason or with a bare -28.

    Stays quiet when: the allocation is clamped to the size of the device's table, or a later try with another mask succeeds.

    Affected: Linux before 4.15; managed affinity, and MSI without mask bits, on every release.

    What to do: as for VEC-001; fewer managed queues, since each takes a slot on every CPU of its mask.

    References: arch/x86/kernel/apic/vector.c, reserve_managed_vector(), assign_irq_vector_policy(); before 4.15 every allocation.
    """
    attempts = sorted_rows(vector_failures)
    failed = [f for f in attempts if f["kind"] in KINDS]
    unknown = [f for f in attempts if f["kind"] == "unknown"]
    if failed:
        irqs = list(dict.fromkeys(f["irq"] for f in failed))
        shown_irqs = ", ".join(map(str, irqs[:6]))
        kinds = list(dict.fromkeys(KINDS[f["kind"]] for f in failed))
        yield Finding(
            f"{times(len(failed), 'allocation')} of interrupts found no CPU vector (irq {shown_irqs}): {'; '.join(kinds)}",
            "proven",
            in_order(at(f, "cause", line="begin_line", end="line_end") for f in shown(failed)),
            advice=ADVICE,
            values={"attempts": len(failed), "irqs": irqs, "requester": list(dict.fromkeys(f["task"] for f in failed if f["task"]))},
            unchecked=(Unchecked("who holds the vectors", "cat /proc/interrupts while the shortage lasts"),),
        )
    elif unknown:
        told = f"no vector was left at line {unknown[0]['line']}; whether at an allocation or at a request is not recorded"
        yield inconclusive(told, RECORD)
    elif probed := returned.allocations(calls):
        yield _probed(probed)
    elif irte_exhausted is None and op_xen_setup is None and refused.maybe_x86(interrupt_row) and (alone := _enables(op_alloc, calls)):
        yield returned.step(alone[0], "an enable of vectors", "CPU vectors, or entries of the remapping table", ADVICE)
    elif vector_alloc is None:
        yield clear("every managed irq got its slots")
    else:
        yield clear("no allocation failed for want of a vector")


def _probed(failed: Rows) -> Finding:
    hint = all(c["hint"] for c in failed)
    return Finding(
        f"{times(len(failed), 'allocation')} of interrupts found no CPU vector: x86_vector_alloc_irqs returned -28",
        "probable" if hint else "proven",
        returned.evidence(failed),
        advice=ADVICE,
        values={"attempts": len(failed), "requester": list(dict.fromkeys(f["task"] for f in failed if f["task"]))},
        unchecked=(Unchecked("who holds the vectors", "cat /proc/interrupts while the shortage lasts"), *unnamed(hint)),
    )


def _enables(allocs: pl.DataFrame | None, calls: pl.DataFrame | None) -> Rows:
    """Return the enables that would have taken one vector and got none; one that asks for more may ask for more than the table has."""
    if allocs is None or not (allocs["ret"] == ENOSPC).any() or returned.entries(calls):
        return []
    return sorted_rows(allocs.filter((pl.col("ret") == ENOSPC) & (pl.col("min") == 1) & pl.col("kind").is_not_null()))
