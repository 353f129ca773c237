"""VEC-001: no CPU vector when a driver requests its interrupt."""

from collections.abc import Iterator
from typing import Any

import polars as pl

from tracekit import (
    ENOSPC,
    Detail,
    Evidence,
    Finding,
    Unchecked,
    Verdict,
    at,
    diagnosis,
    fallback,
    in_order,
    inconclusive,
    times,
    witness,
)
from tracekit_irq import refused, returned
from tracekit_irq.evidence import Rows, shown, sorted_rows

RECORD = "cd /sys/kernel/tracing/events; echo 1 | tee irq_matrix/enable irq_vectors/vector_{alloc,activate,reserve_managed}/enable"
ADVICE = returned.ADVICE
# Functions that hand the refusal on, innermost first.
CHAIN = ("x86_vector_activate", "request_threaded_irq", "vfio_msi_set_vector_signal")
# `vfio-msix[12](0000:00:08.0)`, `nvme0q3`, `eth0-TxRx-7`, `virtio1-input.0`
QUEUE_NUMBER = r"\[[0-9]+\]|q[0-9]+$|[-.][A-Za-z]*[-.]?[0-9]+$"
HOLDERS = Unchecked("who holds the vectors", "cat /proc/interrupts while the shortage lasts")
KINDS = ("request", "unknown")  # of a failed attempt; unknown: activations are not recorded
NEAR = 8  # lines


def no_space(ret: int | None) -> bool:
    """Return whether a call returned -28."""
    return ret == ENOSPC


def attempts(failures: pl.DataFrame) -> Rows:
    """Return the failed attempts of requests, in order."""
    return sorted_rows(failures.filter(pl.col("kind").is_in(KINDS)))


def around(frame: pl.DataFrame | None, failures: pl.DataFrame) -> Rows:
    """Return the rows of a table of spans that contain the first failed attempt."""
    first = next(iter(attempts(failures)), None)
    if first is None or frame is None:
        return []
    return frame.filter(
        (pl.col("source") == first["source"]) & (pl.col("line") < first["line"]) & (pl.col("line_end") > first["line"])
    ).to_dicts()


@witness
def requests(vector_failures: pl.DataFrame, op_set_irqs: pl.DataFrame) -> Iterator[Detail]:
    """Yield the SET_IRQS in which the first attempt failed."""
    mine = around(op_set_irqs, vector_failures)
    yield Detail(tuple([at(r, "context") for r in mine] + [at(r, "effect", line="line_end") for r in mine]))


@witness
def grants(vector_failures: pl.DataFrame, op_alloc: pl.DataFrame, op_set_irqs: pl.DataFrame | None = None) -> Iterator[Detail]:
    """Yield the allocation of the same request, which had granted what could not be had."""
    granted = around(op_alloc, vector_failures)
    for r in around(op_set_irqs, vector_failures)[-1:] if not granted else ():
        line = attempts(vector_failures)[0]["line"]
        inside = (pl.col("source") == r["source"]) & (pl.col("line") > r["line"]) & (pl.col("line_end") < line) & (pl.col("ret") > 0)
        granted = op_alloc.filter(inside).to_dicts()
    for a in granted[-1:]:
        words = f"{a['ret']} of {a['max']} vectors had been granted" if a["ret"] is not None else ""
        yield Detail((at(a, "context"), at(a, "context", line="line_end")), words=words, values={"asked": a["max"], "granted": a["ret"]})


@witness
def activations(vector_failures: pl.DataFrame) -> Iterator[Finding]:
    """Yield the attempts themselves: every CPU was tried and none had a vector."""
    failed = attempts(vector_failures)
    if not failed:
        return
    first = failed[0]
    irqs = list(dict.fromkeys(f["irq"] for f in failed))
    who = list(dict.fromkeys(f["task"] for f in failed if f["task"]))
    left = f"{first['global_avl']} of the host's CPU vectors left" if first["global_avl"] is not None else "no CPU vector left"
    by = f" by {', '.join(who[:3])}" if who else ""
    numbers = ", ".join(str(i) for i in irqs[:6])
    yield Finding(
        f"{times(len(failed), 'request')} for an interrupt failed with -28 (irq {numbers}{by}): {left} at line {first['line']}",
        "proven",
        in_order([*_last_taken(first), *(at(f, "cause", end="line_end") for f in shown(failed))]),
        advice=ADVICE,
        values={
            **{"attempts": len(failed), "irqs": irqs, "requester": who, "global_avl": first["global_avl"]},
            **{"asked": None, "granted": None, "holders": {}, "devices": []},
        },
        unchecked=(HOLDERS,),
    )


def _last_taken(f: dict[str, Any]) -> Iterator[Evidence]:
    """Yield where the pool was last seen; up to the activation that found it empty, when that follows at once."""
    if f["global_avl"] is not None:
        begin = f["begin_line"]
        near = begin is not None and 0 < begin - f["avl_line"] <= NEAR
        yield Evidence(f["source"], f["avl_line"], "cause", begin if near else None)


@witness
def returns(vector_failures: pl.DataFrame, calls: pl.DataFrame) -> Iterator[Detail]:
    """Yield the calls around the first attempt that gave its -28 back."""
    for f in attempts(vector_failures)[:1]:
        inside = (pl.col("line") < f["line"]) & (pl.col("line_end") > f["line"])
        # A function of which only the return is probed has no span; the chain's returns follow at once.
        alone = (pl.col("complete") == "return") & pl.col("line_end").is_between(f["line_end"], f["line_end"] + NEAR)
        mine = (pl.col("source") == f["source"]) & (pl.col("ret") == ENOSPC) & pl.col("function").is_in(CHAIN)
        yield Detail(tuple(at(c, "effect", line="line_end") for c in calls.filter(mine & (inside | alone)).to_dicts()))


@witness
def inventory(vector_failures: pl.DataFrame, interrupt_row: pl.DataFrame) -> Iterator[Detail]:
    """Yield the holders of the vectors by /proc/interrupts: actions without queue numbers."""
    rows = interrupt_row.filter(pl.col("actions").is_not_null())
    largest = rows["source"].value_counts(sort=True)["source"][0]  # of several snapshots the one under pressure
    yield from _holders(rows.filter(pl.col("source") == largest)["actions"].str.replace_all(QUEUE_NUMBER, ""), least=2)


@witness
def takers(vector_failures: pl.DataFrame, vector_lives: pl.DataFrame, interrupt_row: pl.DataFrame | None = None) -> Iterator[Detail]:
    """Yield the tasks that took the vectors that were live when the attempt failed, where the recording shows most of them being taken."""
    for f in attempts(vector_failures)[:1] if interrupt_row is None else ():
        end = pl.col("line_end").is_null() | (pl.col("line_end") > f["line"])
        live = vector_lives.filter((pl.col("source") == f["source"]) & (pl.col("line") < f["line"]) & end)
        if f["total_alloc"] and live.height * 2 >= f["total_alloc"]:
            yield from _holders(live["task"], least=1)


def _holders(names: pl.Series, least: int) -> Iterator[Detail]:
    counts = {str(n): int(c) for n, c in names.value_counts(sort=True).head(5).iter_rows() if c >= least}
    for name, count in list(counts.items())[:1]:
        yield Detail(words=f"{name} holds {count}", values={"holders": counts}, settles=(HOLDERS.guard,))


@witness
def complaints(
    vector_failures: pl.DataFrame,
    driver_irq_refused: pl.DataFrame | None = None,
    driver_vectors_refused: pl.DataFrame | None = None,
    driver_refusals: pl.DataFrame | None = None,
    driver_probe_failed: pl.DataFrame | None = None,
    irte_exhausted: pl.DataFrame | None = None,
    xen_map_failed: pl.DataFrame | None = None,
    pci_function: pl.DataFrame | None = None,
) -> Iterator[Detail]:
    """Yield the drivers that fail with -28 beside attempts that were recorded."""
    if irte_exhausted is None and xen_map_failed is None:
        told = refused.lines(driver_irq_refused, driver_vectors_refused, driver_refusals, driver_probe_failed, pci_function)
        yield Detail(tuple(at(r, "effect") for r in shown(told)), values={"devices": [r["who"] for r in told]})


@fallback
def probed(
    calls: pl.DataFrame,
    irte_exhausted: pl.DataFrame | None = None,
    xen_map_failed: pl.DataFrame | None = None,
    op_xen_setup: pl.DataFrame | None = None,
    interrupt_row: pl.DataFrame | None = None,
) -> Iterator[Finding]:
    """Yield the refusals that probed functions returned, where no tracepoint shows one."""
    for finding in returned.requests(calls):
        other = irte_exhausted is not None or xen_map_failed is not None or op_xen_setup is not None
        if finding.grade == "proven" or not other and refused.maybe_x86(interrupt_row):
            yield finding


@fallback
def handed_on(
    op_set_irqs: pl.DataFrame,
    op_alloc: pl.DataFrame | None = None,
    calls: pl.DataFrame | None = None,
    irte_exhausted: pl.DataFrame | None = None,
    interrupt_row: pl.DataFrame | None = None,
) -> Iterator[Finding]:
    """Yield the first SET_IRQS that returned -28, where nothing tells which of its steps was refused."""
    failed = op_set_irqs.filter(pl.col("ret") == ENOSPC)
    if op_alloc is not None and failed.height:
        enabled = op_alloc.filter(pl.col("ret") == ENOSPC).select("source", pl.col("request").alias("call")).drop_nulls()
        failed = failed.join(enabled, on=["source", "call"], how="anti", maintain_order="left")
    if failed.is_empty() or irte_exhausted is not None or returned.entries(calls) or not refused.maybe_x86(interrupt_row):
        return
    yield returned.step(failed.row(0, named=True), "SET_IRQS", "CPU vectors or entries of the remapping table", ADVICE)


@fallback
def drivers(
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
) -> Iterator[Finding]:
    """Yield the drivers that fail with -28, one of them for an irq, where no other shortage has a line of its own."""
    if irte_exhausted is not None or xen_map_failed is not None or not refused.maybe_x86(interrupt_row):
        return
    told = refused.lines(driver_irq_refused, driver_vectors_refused, driver_refusals, driver_probe_failed, pci_function)
    if refused.names_interrupts(told):
        yield _told(told, sorted_rows(irq_overcommit), sorted_rows(driver_irq_fallback))


def _told(told: Rows, warnings: Rows, fallbacks: Rows) -> Finding:
    source = told[0]["source"]
    last = max(r["line"] for r in told if r["source"] == source)
    earlier = [w for w in warnings if w["source"] == source and w["line"] < last]
    after = [r for r in told if earlier and r["source"] == source and r["line"] > earlier[0]["line"]]
    told = after or [r for r in told if r["step"] != "probe" or refused.follows(r, told, NEAR)]
    devices = list(dict.fromkeys(r["who"] for r in told))
    sure = len(devices) >= 2 and refused.names_interrupts(after)
    evidence = [at(w, "cause") for w in earlier] + [at(r, "effect") for r in shown(told)]
    evidence += [at(f, "context") for f in fallbacks if earlier and f["source"] == source and f["line"] > earlier[0]["line"]]
    overcommit = f" after {times(len(earlier), 'warning')} that reservations exceed the vectors" if earlier else ""
    return Finding(
        f"interrupt set-up failed with -28 for {times(len(devices), 'device')} ({', '.join(devices[:8])}){overcommit}",
        "probable" if sure else "possible",
        in_order(evidence),
        advice=ADVICE,
        values={"devices": devices, "requester": devices, "errno": ENOSPC, "warnings": len(earlier)},
        unchecked=(Unchecked("whether all CPU vectors were taken", RECORD),),
    )


@diagnosis(
    "vec.exhausted-at-request",
    code="VEC-001",
    severity="high",
    explains=("VEC-002", "VEC-003", "VFIO-003", "VFIO-004", "VFIO-007", "VFIO-008", "MSI-009"),
    record=RECORD,
    witnesses=(requests, grants, activations, returns, inventory, takers, complaints, probed, handed_on, drivers),
    shown_by=("vector_alloc",),
    absent="no vector_alloc event and no driver's message about a refused interrupt in the input",
    when={
        "calls": returned.refused,
        "op_set_irqs": no_space,
        **dict.fromkeys(
            ("vector_failures", "irq_overcommit", "driver_irq_refused", "driver_vectors_refused", "driver_refusals", "driver_probe_failed")
        ),
    },
    otherwise="every activation got a vector",
)
def exhausted_at_request(vector_failures: pl.DataFrame | None = None, irq_overcommit: pl.DataFrame | None = None) -> Iterator[Verdict]:
    """No CPU vector is left when an interrupt is requested.

    What it finds: an activation that tried every CPU and got no vector (`vector_alloc ... ret=-28`; two such lines are one attempt); -28
    as a probed function returned it (x86_vector_activate(), assign_vector_locked(), request_threaded_irq(), SET_IRQS); or,
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
    if irq_overcommit is not None:
        yield inconclusive("reservations exceed the vectors, but no line shows a request that was refused", RECORD)
    elif vector_failures is not None and "move" in vector_failures["kind"].to_list():
        yield inconclusive("an affinity change found no vector; no activation failed", RECORD)
