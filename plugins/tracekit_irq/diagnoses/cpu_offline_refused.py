"""VEC-007: a CPU cannot go offline, since its vectors do not fit on the others."""

from collections.abc import Iterator

import polars as pl

from tracekit import Finding, Subject, Unchecked, Verdict, at, diagnosis, in_order, near
from tracekit_irq.evidence import Rows, shown, sorted_rows

VECTORS_OF_A_CPU = 256  # of the x86 architecture; a count above it cannot be one of a CPU's vectors
REACH = 12
REACH_MS = 1000  # no shorter than the coarsest stamp


@diagnosis("vec.cpu-offline-refused", code="VEC-007", severity="medium", record="dmesg; /sys/kernel/debug/irq/domains/VECTOR", log="kernel")
def cpu_offline_refused(
    irq_cpu_stuck: pl.DataFrame | None = None, cpu_down_failed: pl.DataFrame | None = None
) -> Iterator[Finding | Verdict]:
    """A CPU cannot be taken offline, because the other CPUs have no room for its interrupt vectors.

    What it finds: `CPU N has V vectors, A available. Cannot disable CPU`, or older kernels' `CPU N disable failed: ...`, with the errno of
    the offlining where the log has it. A count of more vectors than a CPU can have is an accounting fault of the kernel, and is called so.
    Why it matters: suspend, hibernation and hot-unplug of the CPU fail; the host is near the exhaustion of its vectors.
    Stays quiet when: the CPU goes, with no more than a warning about reservations (VEC-003).
    Affected: x86 since 3.14; counts that fell below zero, with managed interrupts, up to 5.x.
    What to do: give devices fewer queues; for an absurd count, update the kernel and report it.
    References: arch/x86/kernel/apic/vector.c, lapic_can_unplug_cpu(); kernel/irq/matrix.c; up to 4.14 arch/x86/kernel/irq.c.
    """
    refused, failed = sorted_rows(irq_cpu_stuck), sorted_rows(cpu_down_failed)
    for cpu in dict.fromkeys(r["cpu"] for r in refused):
        mine = [r for r in refused if r["cpu"] == cpu]
        yield _finding(mine, [f for f in failed if f["cpu"] == cpu and any(near(r, f, REACH, REACH_MS) for r in mine)])


def _finding(refused: Rows, failed: Rows) -> Finding:
    last = refused[-1]
    cpu, vectors, room = last["cpu"], last["vectors"], last["available"]
    absurd = vectors > VECTORS_OF_A_CPU or room >= 1 << 31
    errno = failed[-1]["ret"] if failed else None
    tail = f" ({errno})" if errno is not None else ""
    counts = f"it counts {vectors} vectors, with {room} free elsewhere"
    why = f"the kernel miscounts ({counts})" if absurd else f"{counts}: they do not fit"
    return Finding(
        f"CPU {cpu} could not be taken offline{tail}: {why}",
        "proven",
        in_order([*(at(r) for r in shown(refused)), *(at(f, "effect") for f in shown(failed))]),
        subject=Subject(f"CPU {cpu}", kind="host"),
        advice=(
            "No CPU has that many vectors, so nothing is exhausted: the kernel's own count is wrong. Update the kernel, or report it."
            if absurd
            else "Give devices fewer queues, or unload drivers that hold many vectors, before suspend or hot-unplug."
        ),
        values={"cpu": cpu, "vectors": vectors, "available": room, "miscounted": absurd, "count": len(refused), "errno": errno},
        unchecked=() if absurd else (Unchecked("who holds the vectors", "cat /proc/interrupts; /sys/kernel/debug/irq/domains/VECTOR"),),
    )
