"""VEC-008: an interrupt stays with a CPU that went offline."""

from collections.abc import Iterator

import polars as pl

from tracekit import ENOSPC, Finding, Subject, Unchecked, Verdict, at, diagnosis, in_order
from tracekit_irq.evidence import Rows, shown, sorted_rows

LEGACY = 16  # lines of ISA below it: Xen says so of the timer on an old controller, which has no way to move it


@diagnosis("vec.left-behind", code="VEC-008", severity="medium", record="dmesg; events/irq_vectors/vector_alloc", log="kernel")
def left_behind(
    irq_affinity_failed: pl.DataFrame | None = None,
    irq_affinity_no_vector: pl.DataFrame | None = None,
    irq_affinity_offline: pl.DataFrame | None = None,
    xen_affinity_failed: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """A CPU went offline, and an interrupt that it served could not go to another one.

    What it finds: `IRQ N: set affinity failed(-28)`, or in words of older kernels for want of vectors; `Eff. affinity ... contains only
    offline CPUs`, Xen's `Cannot set affinity for IRQ N`.
    Why it matters: the device sends to a CPU that is not there; its interrupts are lost until the irq is moved or set up again.
    Stays quiet when: the chip cannot move its irqs at all (-22, as chained MSI controllers of Arm boards say at each suspend): the irq
    above it moves; nor of a legacy line (below 16) of Xen's. Nor where an irq went elsewhere (`Broke affinity for irq N`).
    Affected: any kernel with CPU hotplug, which suspend uses too.
    What to do: free vectors on the CPUs that stay, or bring the CPU back.
    References: kernel/irq/cpuhotplug.c, migrate_one_irq(); arch/x86/kernel/irq.c (up to 4.14) and
    xen/arch/x86/irq.c, fixup_irqs().
    """
    failed = [r for r in sorted_rows(irq_affinity_failed) if r["ret"] == ENOSPC] + sorted_rows(irq_affinity_no_vector)
    stayed = sorted_rows(irq_affinity_offline) + [r for r in sorted_rows(xen_affinity_failed) if r["irq"] >= LEGACY]
    for irq in dict.fromkeys(r["irq"] for r in failed + stayed):
        yield _finding(irq, [r for r in failed if r["irq"] == irq], [r for r in stayed if r["irq"] == irq])


def _finding(irq: int, failed: Rows, stayed: Rows) -> Finding:
    cpus = sorted({r["cpu"] for r in stayed if r.get("cpu") is not None})
    whose = f"CPU {', '.join(map(str, cpus))}" if cpus else "its CPU"
    why = f": no vector is left on the others ({ENOSPC})" if failed else ""
    return Finding(
        f"irq {irq} could not leave {whose}, which went offline{why}",
        "proven",
        in_order(at(r) for r in shown(failed + stayed)),
        subject=Subject(f"irq {irq}", kind="host"),
        advice="Free vectors on the CPUs that stay (fewer queues), or bring the CPU back; then set the irq's affinity anew.",
        values={"irq": irq, "cpus": cpus, "errno": ENOSPC if failed else None},
        unchecked=(Unchecked("whose irq it is", "/proc/interrupts"),),
    )
