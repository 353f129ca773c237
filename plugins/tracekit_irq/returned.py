"""Refused vectors in what probed functions returned: where no tracepoint is recorded, -28 and who handed it on."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from tracekit import ENOSPC, Evidence, Finding, Unchecked, at, in_order, subject_of, times, unnamed
from tracekit_irq.evidence import Rows, shown

ADVICE = (
    "Free vectors or need fewer: fewer queues a device, interrupts spread over all CPUs, more CPUs, x2APIC with interrupt remapping. "
    "Allocating vectors succeeds even when none are left (reservations, {KV1} on); the refusal comes when the irq is requested."
)
# The last word on an activation: every mask was tried (arch/x86/kernel/apic/vector.c).
ACTIVATE, ALLOCATE = "x86_vector_activate", "x86_vector_alloc_irqs"
# One try with one mask; the next one may find a vector.
ASSIGN, MATRIX = "assign_vector_locked", "irq_matrix_alloc"
MOVE = "apic_set_affinity"  # the caller of a try for an irq that has a vector
# What hands an activation's result on, on any architecture (kernel/irq).
GENERAL = ("irq_domain_activate_irq", "request_threaded_irq")
CHAIN = (*GENERAL, "vfio_msi_set_vector_signal", "vfio_pci_set_irqs_ioctl", "__pci_enable_msix_range", "__pci_enable_msi_range")
# drivers/iommu/intel/irq_remapping.c and amd/iommu.c: the index of an entry, or less than 0.
INTEL, AMD = "alloc_irte", "alloc_irq_index"
FEW = 1000  # calls up to which each is looked at
NEAR = 8  # lines from a refusal to the returns that hand it on

SETTLED = Unchecked(
    "that CPU vectors were what was missing", "the events irq_vectors/vector_alloc and irq_matrix, or return probes of them"
)

NAME = pl.coalesce("function", "function_hint")
REQUESTS = (ACTIVATE, ASSIGN, MATRIX, *GENERAL)


def refused(function: str | None, function_hint: str | None, ret: int | None) -> bool:
    """Return whether a call found no vector for a request, or may have."""
    return ret == ENOSPC and (function or function_hint) in REQUESTS


def of(calls: pl.DataFrame | None, *functions: str) -> Rows:
    """Return the calls of these functions whose result is recorded, by the line at which they returned."""
    if calls is None or not _any(calls, functions):
        return []
    told = calls.filter(NAME.is_in(functions) & pl.col("ret").is_not_null()).drop("args")
    return told.with_columns(NAME.alias("function"), pl.col("function").is_null().alias("hint")).sort("source", "line_end").to_dicts()


def _any(calls: pl.DataFrame, functions: Sequence[str]) -> bool:
    """Return whether a call is of these functions, which most logs have none of: to filter first took 5 % of a small log's time."""
    names = (calls["function"], calls["function_hint"])
    return any(not set(n.to_list() if calls.height <= FEW else n.unique()).isdisjoint(functions) for n in names)


def requests(calls: pl.DataFrame) -> Iterator[Finding]:
    """Yield the requests that found no vector, by the innermost function that tells."""
    for function in REQUESTS:
        told = of(calls, function)
        failed = _tries(told, of(calls, ALLOCATE)) if function in (ASSIGN, MATRIX) else [c for c in told if c["ret"] == ENOSPC]
        if failed:
            yield _finding(function, failed, _handed_on(calls, failed))
            return


def allocations(calls: pl.DataFrame | None) -> Rows:
    """Return the allocations that found no vector."""
    return [c for c in of(calls, ALLOCATE) if c["ret"] == ENOSPC]


def _tries(told: Rows, allocations: Rows) -> Rows:
    """Return the tries that failed with every mask: at least two in a row, and none that found a vector right after.

    The kernel holds a lock over all tries for an irq, so nothing stands between them. A lone one may be a change of affinity, which leaves
    the irq where it is; what an allocation tried is not of a request.
    """
    runs: list[Rows] = [[]]
    for c in told:
        last = runs[-1][-1] if runs[-1] else None
        if last is not None and (c["source"], c["lane"]) != (last["source"], last["lane"]):
            runs.append([])
        if c["ret"] == ENOSPC and c["caller"] != MOVE:
            runs[-1].append(c)
        elif c["ret"] >= 0 and last is not None and runs[-1] and c["line"] - last["line_end"] <= NEAR:
            runs[-1] = []  # another mask had one
        else:
            runs.append([])
    ends: dict[tuple[str, str], list[int]] = {}
    for a in allocations:
        ends.setdefault((a["source"], a["lane"]), []).append(a["line_end"])
    return [c for run in runs if len(run) > 1 and not _ends_within(run[-1], ends) for c in run]


def _ends_within(last: dict[str, Any], ends: dict[tuple[str, str], list[int]]) -> bool:
    """Return whether an allocation returned right after the last of some tries."""
    mine = ends.get((last["source"], last["lane"]), [])
    i = bisect_right(mine, last["line_end"])
    return i < len(mine) and mine[i] - last["line_end"] <= NEAR


def _handed_on(calls: pl.DataFrame, failed: Rows) -> Rows:
    """Return the calls that gave the first of these refusals back: those around it, and the returns that follow at once."""
    first = failed[0]
    around = (pl.col("line") < first["line"]) & (pl.col("line_end") > first["line_end"])
    alone = (pl.col("complete") == "return") & pl.col("line_end").is_between(first["line_end"] + 1, first["line_end"] + NEAR)
    mine = (pl.col("source") == first["source"]) & (pl.col("lane") == first["lane"]) & (pl.col("ret") == ENOSPC)
    return calls.filter(mine & (around | alone) & NAME.is_in(CHAIN)).drop("args").sort("line_end").to_dicts()


def _finding(function: str, failed: Rows, effects: Rows) -> Finding:
    hint = all(c["hint"] for c in failed)
    sure = function in (ACTIVATE, ASSIGN) or (function == MATRIX and bool(effects))
    who = list(dict.fromkeys(c["task"] for c in failed if c["task"]))
    by = f" by {', '.join(who[:3])}" if who else ""
    tried = times(len(failed), "attempt") + " to take a CPU vector" if function in (ASSIGN, MATRIX) else ""
    what = tried or times(len(failed), "request") + " for an interrupt"
    line = f"at line {failed[0]['line_end']}"
    why = f"no CPU vector left {line}" if sure else f"as it does where no CPU vector is left ({line})"
    guards = () if sure else (SETTLED,)
    return Finding(
        f"{what} failed with -28 ({function}{by}): {why}",
        "proven" if sure and not hint else "probable",
        evidence(failed, effects),
        advice=ADVICE,
        values={"attempts": len(failed), "requester": who, "function": function, "devices": []},
        unchecked=(*guards, *unnamed(hint)),
    )


def evidence(failed: Rows, effects: Sequence[dict[str, Any]] = ()) -> tuple[Evidence, ...]:
    """Return the lines at which calls returned a refusal, and those that handed the first of them on."""
    return in_order([*(at(c, "cause", line="line_end") for c in shown(failed)), *(at(c, "effect", line="line_end") for c in effects)])


def step(row: Mapping[str, Any], what: str, missing: str, advice: str) -> Finding:
    """Return what the -28 of a request or an enable alone tells: `missing` may be what was missing."""
    return Finding(
        f"{what} of {subject_of(row).label} failed with -28: {missing} may be used up",
        "possible",
        (at(row, "effect", end="line_end"),),
        advice=advice,
        values={"attempts": 1, "requester": [row["task"]] if row["task"] else [], "devices": []},
        unchecked=(SETTLED, *unnamed(row["hint"])),
    )


def entries(calls: pl.DataFrame | None) -> Rows:
    """Return the calls that got no entry of the remapping table: a negative index on Intel, -28 on AMD."""
    return [c for c in of(calls, INTEL, AMD) if (c["ret"] < 0 if c["function"] == INTEL else c["ret"] == ENOSPC)]
