"""VEC-001: no CPU vector when a driver requests its interrupt."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import polars as pl

from tracekit import ENOSPC, Evidence, Finding, Unchecked, Verdict, clear, diagnosis, inconclusive, not_evaluated, times
from tracekit_irq.evidence import Rows, at, in_order, shown, sorted_rows

RECORD = "cd /sys/kernel/tracing/events; echo 1 | tee irq_matrix/enable irq_vectors/vector_{alloc,activate,reserve_managed}/enable"
ADVICE = (
    "Free vectors or need fewer: fewer queues a device, interrupts spread over all CPUs, more CPUs, x2APIC with interrupt remapping. "
    "Allocating vectors succeeds even when none are left (reservations, {KV1} on); the refusal comes when the irq is requested."
)
# Functions that hand the refusal on, innermost first.
CHAIN = ("x86_vector_activate", "request_threaded_irq", "vfio_msi_set_vector_signal")
# `vfio-msix[12](0000:00:08.0)`, `nvme0q3`, `eth0-TxRx-7`, `virtio1-input.0`
QUEUE_NUMBER = r"\[[0-9]+\]|q[0-9]+$|[-.][A-Za-z]*[-.]?[0-9]+$"
NOT_X86 = "ITS|GIC|XIVE|XICS|PLIC"

NEAR = 8  # lines


@diagnosis(
    "vec.exhausted-at-request",
    code="VEC-001",
    severity="high",
    explains=("VEC-002", "VEC-003", "VFIO-003", "VFIO-004", "VFIO-007", "VFIO-008", "MSI-009"),
    record=RECORD,
)
def exhausted_at_request(
    vector_alloc: pl.DataFrame | None = None,
    vector_failures: pl.DataFrame | None = None,
    driver_irq_refused: pl.DataFrame | None = None,
    driver_vectors_refused: pl.DataFrame | None = None,
    driver_refusals: pl.DataFrame | None = None,
    driver_probe_failed: pl.DataFrame | None = None,
    driver_irq_fallback: pl.DataFrame | None = None,
    irq_overcommit: pl.DataFrame | None = None,
    irte_exhausted: pl.DataFrame | None = None,
    xen_map_failed: pl.DataFrame | None = None,
    interrupt_row: pl.DataFrame | None = None,
    pci_function: pl.DataFrame | None = None,
    vector_lives: pl.DataFrame | None = None,
    op_set_irqs: pl.DataFrame | None = None,
    op_alloc: pl.DataFrame | None = None,
    calls: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """No CPU vector is left when an interrupt is requested.

    What it finds: an activation that tried every CPU and got no vector (`vector_alloc ... ret=-28`; two such lines are one attempt), or,
    in a kernel log alone, drivers that fail with -28 after `Interrupt reservation exceeds available resources`, one of them naming
    interrupts. Who asked and who holds the vectors is given where the input tells.

    Why it matters: the allocation before it returns all vectors that were asked for, so software believes it has them. Under VFIO the
    guest's own unmask has already succeeded, and the guest is not told.

    Stays quiet when: a try with one mask fails and the next succeeds, an affinity change finds no vector, -28 is about something else
    (memory, bandwidth, firmware), the remapping table or Xen's pirqs are what is full, or only the overcommit warning is there (VEC-003).

    Affected: x86, {KV1} and later.

    What to do: fewer queues, more CPUs, interrupts spread over all CPUs.

    References: arch/x86/kernel/apic/vector.c, activate_reserved(); kernel/irq/matrix.c, irq_matrix_alloc(); {KV1}.
    """
    if irte_exhausted is not None or xen_map_failed is not None:
        driver_irq_refused = driver_vectors_refused = driver_refusals = driver_probe_failed = None  # another shortage has a line of its own
    if interrupt_row is not None and interrupt_row["chip"].str.contains(NOT_X86).any():
        driver_irq_refused = driver_vectors_refused = driver_refusals = driver_probe_failed = None
    context = Context(vector_lives, op_set_irqs, op_alloc, calls, interrupt_row)
    failed = [f for f in sorted_rows(vector_failures) if f["kind"] in ("request", "unknown")]
    complaints = sorted_rows(driver_vectors_refused) + sorted_rows(driver_refusals)
    told = refusals(sorted_rows(driver_irq_refused), complaints, sorted_rows(driver_probe_failed), sorted_rows(pci_function))
    if failed:
        yield Finding(**_traced(failed, told, context))
    elif names_interrupts(told):
        yield Finding(**_told(told, sorted_rows(irq_overcommit), sorted_rows(driver_irq_fallback)))
    else:
        yield _quiet(vector_alloc, vector_failures, irq_overcommit)


class Context:
    """The tables around a failed attempt."""

    def __init__(self, lives: Any, requests: Any, allocs: Any, calls: Any, interrupts: Any) -> None:
        self.lives, self.requests, self.allocs, self.calls, self.interrupts = lives, requests, allocs, calls, interrupts

    def around(self, frame: pl.DataFrame | None, f: Mapping[str, Any]) -> Rows:
        """Rows of a table with a span that contains the attempt."""
        if frame is None:
            return []
        return frame.filter((pl.col("source") == f["source"]) & (pl.col("line") < f["line"]) & (pl.col("line_end") > f["line"])).to_dicts()

    def returned(self, f: Mapping[str, Any]) -> Rows:
        """The calls around the attempt that gave its -28 back."""
        if self.calls is None:
            return []
        around = (pl.col("line") < f["line"]) & (pl.col("line_end") > f["line"])
        # A function of which only the return is probed has no span; the chain's returns follow at once.
        alone = (pl.col("complete") == "return") & pl.col("line_end").is_between(f["line_end"], f["line_end"] + 8)
        mine = (pl.col("source") == f["source"]) & (pl.col("ret") == ENOSPC) & pl.col("function").is_in(CHAIN)
        rows: Rows = self.calls.filter(mine & (around | alone)).to_dicts()
        return rows

    def holders(self, f: Mapping[str, Any]) -> dict[str, int]:
        """Vectors held when the attempt failed, by task, or by action without queue numbers where /proc/interrupts is given."""
        if self.interrupts is not None:
            rows = self.interrupts.filter(pl.col("actions").is_not_null())
            largest = rows["source"].value_counts(sort=True)["source"][0]  # of several snapshots the one under pressure
            mine = rows.filter(pl.col("source") == largest)["actions"].str.replace_all(QUEUE_NUMBER, "")
            return {str(n): int(c) for n, c in mine.value_counts(sort=True).head(5).iter_rows() if c > 1}
        if self.lives is None or not f["total_alloc"]:
            return {}
        end = pl.col("line_end").is_null() | (pl.col("line_end") > f["line"])
        live = self.lives.filter((pl.col("source") == f["source"]) & (pl.col("line") < f["line"]) & end)
        if live.height * 2 < f["total_alloc"]:  # most were taken before the recording: its few say nothing
            return {}
        return {str(t): int(c) for t, c in live["task"].value_counts(sort=True).head(5).iter_rows()}


def _traced(failed: Rows, told: Rows, context: Context) -> dict[str, Any]:
    first = failed[0]
    requests, allocs = context.around(context.requests, first), context.around(context.allocs, first)
    before = _allocation(context.allocs, requests, first) if not allocs else allocs[-1]
    evidence = [at(r, "context") for r in requests] + [at(r, "effect", line="line_end") for r in requests]
    evidence += [at(before, "context"), at(before, "context", line="line_end")] if before else []
    if first["global_avl"] is not None:
        evidence.append(_last_taken(first))
    evidence += [at(f, "cause", end="line_end") for f in shown(failed)]
    evidence += [at(c, "effect", line="line_end") for c in context.returned(first)]
    evidence += [at(r, "effect") for r in shown(told)]
    holders = context.holders(first)
    irqs = list(dict.fromkeys(f["irq"] for f in failed))
    who = list(dict.fromkeys(f["task"] for f in failed if f["task"]))
    values = {
        "attempts": len(failed),
        "irqs": irqs,
        "requester": who,
        "global_avl": first["global_avl"],
        "asked": before.get("max") if before else None,
        "granted": before.get("ret") if before else None,
        "holders": holders,
        "devices": [r["who"] for r in told],
    }
    return {
        "summary": _summary(failed, values),
        "grade": "proven",
        "evidence": in_order(evidence),
        "advice": ADVICE,
        "values": values,
        "unchecked": () if holders else (Unchecked("who holds the vectors", "cat /proc/interrupts while the shortage lasts"),),
    }


def _last_taken(f: Mapping[str, Any]) -> Evidence:
    """Where the pool was last seen; up to the activation that found it empty, when that follows at once."""
    begin = f["begin_line"]
    near = begin is not None and 0 < begin - f["avl_line"] <= NEAR
    return Evidence(f["source"], f["avl_line"], "cause", begin if near else None)


def _allocation(allocs: pl.DataFrame | None, requests: Rows, f: Mapping[str, Any]) -> dict[str, Any] | None:
    """The allocation in the same request, which ended before the attempt."""
    if allocs is None or not requests:
        return None
    r = requests[-1]
    mine = allocs.filter(
        (pl.col("source") == f["source"]) & (pl.col("line") > r["line"]) & (pl.col("line_end") < f["line"]) & (pl.col("ret") > 0)
    )
    return mine.row(-1, named=True) if mine.height else None


def _summary(failed: Rows, values: Mapping[str, Any]) -> str:
    first = failed[0]
    left = f"{values['global_avl']} of the host's CPU vectors left" if values["global_avl"] is not None else "no CPU vector left"
    irqs = ", ".join(str(i) for i in values["irqs"][:6])
    asked = f"; {values['granted']} of {values['asked']} vectors had been granted" if values["granted"] is not None else ""
    by = f" by {', '.join(values['requester'][:3])}" if values["requester"] else ""
    most = next(((n, c) for n, c in values["holders"].items()), None)
    asked += f"; {most[0]} holds {most[1]}" if most else ""
    return f"{times(len(failed), 'request')} for an interrupt failed with -28 (irq {irqs}{by}): {left} at line {first['line']}{asked}"


def refusals(irqs: Rows, vectors: Rows, probes: Rows, functions: Rows) -> Rows:
    """Drivers' lines with -28, in order, with `who` (a BDF where one is known) and `step` (irq, vectors, probe)."""
    bdfs = {f["device"]: f["bdf"] for f in functions}
    rows = [{**r, "step": r.get("what", step)} for step, part in (("irq", irqs), ("vectors", vectors), ("probe", probes)) for r in part]
    told = [r for r in rows if r.get("errno") == ENOSPC or r.get("ret") == str(ENOSPC) or r.get("ret_hex") == f"{ENOSPC & 0xFFFFFFFF:x}"]
    for r in told:
        r["who"] = r["bdf"] or bdfs.get(r["device"]) or r["device"] or "unknown"
    return sorted(told, key=lambda r: (r["source"], r["line"]))


def names_interrupts(told: Iterable[Mapping[str, Any]]) -> bool:
    """Whether one of the refusals is about interrupts by its own words."""
    return any(r["step"] == "irq" for r in told)


def _follows(probe: Mapping[str, Any], told: Rows) -> bool:
    """Whether a refusal that names interrupts stands just before: without the warning, -28 of a probe may be about anything."""
    return any(r["step"] != "probe" and r["source"] == probe["source"] and 0 < probe["line"] - r["line"] <= NEAR for r in told)


def _told(told: Rows, warnings: Rows, fallbacks: Rows) -> dict[str, Any]:
    source = told[0]["source"]
    last = max(r["line"] for r in told if r["source"] == source)
    earlier = [w for w in warnings if w["source"] == source and w["line"] < last]
    after = [r for r in told if earlier and r["source"] == source and r["line"] > earlier[0]["line"]]
    told = after or [r for r in told if r["step"] != "probe" or _follows(r, told)]
    devices = list(dict.fromkeys(r["who"] for r in told))
    sure = len(devices) >= 2 and names_interrupts(after)
    evidence = [at(w, "cause") for w in earlier] + [at(r, "effect") for r in shown(told)]
    evidence += [at(f, "context") for f in fallbacks if earlier and f["source"] == source and f["line"] > earlier[0]["line"]]
    overcommit = f" after {times(len(earlier), 'warning')} that reservations exceed the vectors" if earlier else ""
    return {
        "summary": f"interrupt set-up failed with -28 for {times(len(devices), 'device')} ({', '.join(devices[:8])}){overcommit}",
        "grade": "probable" if sure else "possible",
        "evidence": in_order(evidence),
        "advice": ADVICE,
        "values": {"devices": devices, "requester": devices, "errno": ENOSPC, "warnings": len(earlier)},
        "unchecked": (Unchecked("whether all CPU vectors were taken", RECORD),),
    }


def _quiet(alloc: pl.DataFrame | None, failures: pl.DataFrame | None, warnings: pl.DataFrame | None) -> Verdict:
    if warnings is not None:
        return inconclusive("reservations exceed the vectors, but no line shows a request that was refused", RECORD)
    if failures is not None and "move" in failures["kind"].to_list():
        return inconclusive("an affinity change found no vector; no activation failed", RECORD)
    if alloc is not None or failures is not None:
        return clear("every activation got a vector")
    return not_evaluated("no vector_alloc event and no driver's message about a refused interrupt in the input", RECORD)
