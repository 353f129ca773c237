"""IRQ-007: a driver found by polling work whose interrupt had not come."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from tracekit import HOST, Finding, Unchecked, Verdict, at, at_once, clear, diagnosis, in_order, inconclusive, rows_above, rows_below, times
from tracekit_irq.diagnoses.remap_blocked import at_doorbell
from tracekit_irq.evidence import MOST, Rows, seconds, sorted_rows
from tracekit_irq.fences import alive, overflow, placed, severity
from tracekit_irq.polled import Polled, by_device, one_queue, together
from tracekit_irq.ports import sound, waited
from tracekit_irq.remap_records import of_amd
from tracekit_irq.tested import awaited, subject_for, tested, unseen
from tracekit_irq.timer import silent, stopped_by_timer

RECORD = "the kernel log of the machine whose driver it is; there: echo 1 > events/irq/irq_handler_entry/enable"
ADVICE = (
    "The work was done and its interrupt did not come. With a resize or a failed enable of that vector: that is the cause. Otherwise look "
    "for refused messages (IRQ-003), strays (IRQ-004), masks after resume, and affinity moves."
)
IF_SO = (
    "Only a guess of the driver, or the beginning of its poll: first see whether /proc/interrupts counts for that vector. If it does not: "
)
SHARED = "One event made all of them silent: look at what they share (a CPU and its vectors, the host, a suspend), not at each device. "
LATER = 90_000  # ms: a driver finds out when its time-out ends, 60 s at most by default
BYPASS = 0x25  # the sender used a compatibility-format message: a guest's own MSI address, as ath* copy it into their firmware
GPU = (
    "First see whether /proc/interrupts counts for the GPU's vector: if it does, an interrupt came late or was lost inside the GPU. If it "
    "does not: "
)
OVERFLOWED = "Look for what filled the ring, such as faults of the GPU's memory in the lines above: its MSI is not to blame."
FAILING = (
    "First see whether /proc/interrupts counts for its vector or line: if it does, the device itself is late or failing. If it does not: "
)
AROUND, AROUND_MS = 60, 10_000  # lines, or time, in which time-outs run out when a machine goes on
BELOW = 400  # lines in which a refusal explains a silence, where stamps do not tell how far apart they are
SHORT = 0.05  # s: a shorter span is none
WHAT = {
    "proven": "found by polling: the interrupt had not come",
    "probable": "without an interrupt, by its driver's own words",
    "possible": "perhaps without an interrupt: its driver guesses, or was about to look",
}

# What all lines of a device have in common, where that says more than the grade.
KINDS = {"fence": "found finished by its driver's timer: no interrupt had told of it", **dict.fromkeys(("irq", "port"), WHAT["probable"])}

# What lines leave open that tell of a wait and not of what became of it.
TRANSMIT = "a transmit queue timed out; no line says whether its work was complete"
GIVEN_UP = "a driver switched MSI off since nothing answered; no line says whether the device or its interrupt was silent"
POLLS_ON = "a driver went over to polling since an answer was late; no line says whether its interrupt was lost or its device was slow"
RESPONSE = "no interrupt announced a response of the firmware; no line says whether there was one"
AWAITED = "a driver waited for an interrupt in vain; no line says whether its device had sent one"
RUN_OVER = "interrupts of a GPU ran over the ring that it keeps them in; no line says what waited for them"
HOTPLUG = "a hotplug port did not interrupt for a command; some never do, though the command is carried out"
LINK = "a port lost an interrupt while its link was in error; no line says which was first"
STILL = "a CPU of the machine had not run for a while when the drivers looked: a time-out tells of that, not of an interrupt"
NOTHING = "drivers that looked after a time-out found no completed work"
HEARD = (
    *("nvme_completion_polled", "mlx5_eqe_recovered", "mlx5_command_recovered", "driver_interrupt_missed", "driver_interrupt_test_failed"),
    *("driver_silences", "driver_poll_unanswered", "ath_response_polled", "nvme_timeout", "net_tx_timeout", "driver_msi_given_up"),
    *("driver_tx_timeout", "driver_response_unheard", "pciehp_command_unheard", "gpu_ring_overflowed"),
    *("driver_interrupt_unseen", "driver_interrupt_awaited", "driver_polls_on"),
)


@diagnosis(
    "irq.completion-without-interrupt",
    code="IRQ-007",
    severity="high",
    record=RECORD,
    shown_by=HEARD,
    when={**dict.fromkeys(HEARD), "kernel_panic": silent, "timer_stops_boot": None},
    otherwise=NOTHING,
    across=("op_set_irqs", "qemu_enable_vectors_failed"),
    absent="no driver's message about a poll, a missed interrupt or a queue that timed out that tracekit knows",
)
def completion_without_interrupt(
    nvme_completion_polled: pl.DataFrame | None = None,
    mlx5_eqe_recovered: pl.DataFrame | None = None,
    mlx5_command_recovered: pl.DataFrame | None = None,
    driver_interrupt_missed: pl.DataFrame | None = None,
    driver_interrupt_test_failed: pl.DataFrame | None = None,
    driver_silences: pl.DataFrame | None = None,
    driver_poll_unanswered: pl.DataFrame | None = None,
    driver_poll_answered: pl.DataFrame | None = None,
    ath_response_polled: pl.DataFrame | None = None,
    nvme_timeout: pl.DataFrame | None = None,
    net_tx_timeout: pl.DataFrame | None = None,
    driver_msi_given_up: pl.DataFrame | None = None,
    driver_polls_on: pl.DataFrame | None = None,
    driver_tx_timeout: pl.DataFrame | None = None,
    driver_response_unheard: pl.DataFrame | None = None,
    pciehp_command_unheard: pl.DataFrame | None = None,
    driver_interrupt_unseen: pl.DataFrame | None = None,
    driver_interrupt_awaited: pl.DataFrame | None = None,
    gpu_ring_overflowed: pl.DataFrame | None = None,
    gpu_finished: pl.DataFrame | None = None,
    gpu_ring_named: pl.DataFrame | None = None,
    ata_exception: pl.DataFrame | None = None,
    kernel_panic: pl.DataFrame | None = None,
    timer_stops_boot: pl.DataFrame | None = None,
    timer_pin_silent: pl.DataFrame | None = None,
    cpu_stood_still: pl.DataFrame | None = None,
    pci_function: pl.DataFrame | None = None,
    op_set_irqs: pl.DataFrame | None = None,
    qemu_enable_vectors_failed: pl.DataFrame | None = None,
    kernel_reports: pl.DataFrame | None = None,
    remap_faults: pl.DataFrame | None = None,
    amd_iommu_event: pl.DataFrame | None = None,
    xen_amd_event: pl.DataFrame | None = None,
    smmu_faults: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """A driver found completed work by polling, because the interrupt did not come.

    What it finds: any driver's line that work was complete after a time-out and no interrupt had told (nvme's `timeout, completion
    polled`, mlx5's `Recovered N EQEs`, ena's and erdma's `sent a completion but the driver didn't receive a MSI-X interrupt`, ath11k's
    `polling..` unless it says that the poll found nothing). Queue, count and span are reported; devices that fall silent within one
    second are one finding. Probable: a driver says that an MSI was missed or lost, its own test saw none, or none came
    since it began. Possible: a driver guesses (`Potential MSIX issue`), a graphics driver's timer finds a fence (more: probable; one is
    low, up to three are medium), libata a lost interrupt (a dying drive does that too: medium), or one queue number times out on several
    controllers at once, which is its CPU's vector.

    A boot that stops since the timer does not interrupt through the I/O APIC is one too: the kernel, or Xen, waited for that interrupt.

    Why it matters: each took a whole timeout (nvme: 30 or 60 s). The device works and its interrupts do not arrive.

    Stays quiet when: the command was not complete (`timeout, aborting`, `reset controller`, `disable controller`), a poll found nothing
    (`never came in`), or nothing that was sent came back (`TX timeout`): other faults; a graphics driver lets go of its device; or the
    machine stood still (a soft lockup with the idle task on the CPU), which is a question.
    A wait for an interrupt in vain, a driver that polls from now on, a port whose link is in error too, firmware whose response no
    interrupt announced, and a hotplug port that waited in vain are questions.

    Affected: any kernel.

    What to do: find out where the interrupt was lost: a resize window, a failed enable, a refused message, a mask.

    References: drivers/nvme/host/pci.c, nvme_timeout(); mlx5/core/{cmd,en/health}.c; ena_com.c; ath11k/htc.c;
    broadcom/tg3.c, tg3_test_msi(); mlx4/main.c, mlx4_setup_hca(); amdgpu_fence.c, amdgpu_fence_fallback(); io_apic.c, check_timer().
    """
    # A driver that prints this owns its device. Where the case also shows a VFIO client, that is another kernel, with other BDFs.
    foreign = op_set_irqs is not None or qemu_enable_vectors_failed is not None
    # mlx5 up to 4.19 tells what it recovered where that is nothing too.
    recovered = mlx5_eqe_recovered.filter(pl.col("count") > 0) if mlx5_eqe_recovered is not None else None
    known = (nvme_completion_polled, recovered, mlx5_command_recovered, driver_interrupt_missed, ath_response_polled)
    told, overflows = placed(sorted_rows(driver_silences), sorted_rows(gpu_ring_named)), sorted_rows(gpu_ring_overflowed)
    silences = sound(alive([s for s in told if s["kind"] != "test"], sorted_rows(gpu_finished)), sorted_rows(ata_exception))
    still = sorted_rows(cpu_stood_still)
    ends = (sorted_rows(driver_poll_unanswered), sorted_rows(driver_poll_answered))
    every = by_device([r for f in known for r in sorted_rows(f)], silences, *ends)
    polled = [p for p in every if not all(_around(r, still) for r in p.rows)]
    yield from stopped_by_timer(sorted_rows(kernel_panic), sorted_rows(timer_stops_boot), sorted_rows(timer_pin_silent))
    tests = sorted_rows(driver_interrupt_test_failed) + [{**s, "irq": None} for s in told if s["kind"] == "test"]
    waits, self_tests = awaited(sorted_rows(driver_interrupt_awaited))
    yield from tested(tests + self_tests, foreign)
    yield from unseen(sorted_rows(driver_interrupt_unseen), foreign)
    doorbells = at_doorbell(smmu_faults) if smmu_faults is not None else None
    refused = sorted_rows(remap_faults) + of_amd(amd_iommu_event, xen_amd_event) + sorted_rows(doorbells)
    for group in together(polled):
        finding = _one(group[0], sorted_rows(pci_function), overflows, foreign) if len(group) == 1 else _several(group)
        yield replace(finding, explained_by=_cause(group, finding.subject.bdf, kernel_reports, refused))
    for timeouts in one_queue(_timeouts(sorted_rows(nvme_timeout), sorted_rows(net_tx_timeout))):
        yield _queue(timeouts)
    questions = {
        TRANSMIT: net_tx_timeout is not None or driver_tx_timeout is not None,
        GIVEN_UP: driver_msi_given_up is not None,
        POLLS_ON: driver_polls_on is not None and driver_msi_given_up is None,
        RESPONSE: driver_response_unheard is not None,
        AWAITED: bool(waits),
        STILL: len(polled) < len(every),
        RUN_OVER: bool(overflows),
        HOTPLUG: waited(sorted_rows(pciehp_command_unheard)),
        LINK: any(s["kind"] == "port" for s in told),
    }
    yield from (inconclusive(question, RECORD) for question, asked in questions.items() if asked)
    if gpu_finished is not None and driver_silences is not None:
        yield clear("a graphics driver let go of its device, whose interrupts it had switched off")
    yield clear(NOTHING)  # holds only where nothing was found


def _around(row: Mapping[str, Any], still: Rows) -> bool:
    """Return whether the nearest of these rows, in order, above or below stands around a row."""
    above, below = rows_above(row, still), rows_below(row, still)
    return any(at_once(s, row, AROUND, AROUND_MS) for s in above) or any(at_once(row, s, AROUND, AROUND_MS) for s in below)


def _cause(group: list[Polled], bdf: str | None, reports: pl.DataFrame | None, faults: Rows) -> str | None:
    """Return the code that explains the silence: the kernel's MSI code crashed, or the IOMMU refused the device's messages before."""
    first = group[0].rows[0]
    if reports is not None and reports.filter((pl.col("source") == first["source"]) & (pl.col("kind") == "oops")).height:
        return "MSI-009"
    refused = [] if len(group) > 1 else faults
    own = any(f["bdf"] == bdf and bdf is not None and at_once(f, group[0].rows[-1], BELOW, LATER) for f in refused)
    guests = (first.get("driver") or "").startswith("ath") and any(f.get("reason") == BYPASS for f in refused)
    return "IRQ-003" if own or guests else None


def _one(polled: Polled, functions: Rows, overflows: Rows, foreign: bool) -> Finding:
    known = next((f for f in functions if f["device"] == polled.device), None) or polled.rows[0].get("ring_row")
    lost = overflow(polled.rows, overflows)
    bdf = polled.bdf or (known["bdf"] if known else None) or (lost["bdf"] if lost else None)
    device = bdf if lost and bdf else polled.device
    what = f"{_completions(polled.rows)} of {device}"
    place = f" (queue {', '.join(polled.queues[:6])})" if polled.queues else ""
    span, context = _span(polled.rows), [at(known, "context")] if known else []
    return Finding(
        f"{what}{place} {KINDS.get(polled.kind or '', WHAT[polled.grade])}"
        + (f"; over {span:.1f} s" if span is not None else "")
        + ("; the GPU's ring of interrupts had run over" if lost else ""),
        "probable" if lost and polled.grade == "possible" else polled.grade,
        in_order([at(r, "cause" if r is lost or not lost else "effect") for r in ([lost] if lost else []) + polled.rows[:MOST]] + context),
        subject=subject_for(device, bdf, foreign),
        severity="medium" if lost or polled.kind == "port" else severity(polled.rows),
        advice=OVERFLOWED if lost else _advice(polled.grade, polled.kind),
        values={"device": device, "bdf": bdf, **_values(polled.rows, polled.queues)},
        unchecked=UNCHECKED,
    )


def _several(group: list[Polled]) -> Finding:
    """Devices that fall silent in the same second have one cause."""
    rows = sorted((r for p in group for r in p.rows), key=lambda r: (r["source"], r["line"]))
    devices = [p.device for p in group]
    (grade,) = {p.grade for p in group}
    kind = group[0].kind if len({p.kind for p in group}) == 1 else None
    what = KINDS.get(kind or "", WHAT[grade])
    queues = sorted({q for p in group for q in p.queues})
    one = f", all of queue {queues[0]}, perhaps the vector of its CPU" if len(queues) == 1 and queues != ["0"] else ""
    return Finding(
        f"{_completions(rows)} of {times(len(group), 'device')} ({', '.join(devices[:8])}) {what}, in the same second{one}",
        grade,
        in_order(at(r) for r in rows[:MOST]),
        subject=HOST,
        advice=SHARED + _advice(grade, kind),
        values={"devices": devices, "bdfs": [p.bdf for p in group if p.bdf], **_values(rows, queues)},
        unchecked=UNCHECKED,
    )


def _advice(grade: str, kind: str | None) -> str:
    """Return what to do; where the driver guesses, first whether it is right."""
    first = GPU if kind == "fence" else FAILING if kind in ("irq", "port") else IF_SO if grade == "possible" else None
    return first + ADVICE.partition(". ")[2].replace("With", "with", 1) if first else ADVICE


def _completions(rows: Rows) -> str:
    return times(len([r for r in rows if r.get("slot") is None]) or len(rows), "completion")


def _span(rows: Rows) -> float | None:
    first, last = rows[0]["ts"], rows[-1]["ts"]
    span = seconds(last - first) if first is not None and last is not None else None
    return span if span is not None and span >= SHORT else None


def _values(rows: Rows, queues: list[str]) -> dict[str, Any]:
    events = sum(r["count"] for r in rows if r.get("count"))
    return {"queues": queues, "count": len(rows), "events": events, "ts_first": rows[0]["ts"], "ts_last": rows[-1]["ts"]}


UNCHECKED = (
    Unchecked("a machine that was suspended or frozen across the span", "the log of the hypervisor, or PM lines of this one"),
    Unchecked("a mask or a lost window of that vector", "the host's trace of VFIO's SET_IRQS"),
)


def _timeouts(nvme: Rows, net: Rows) -> Rows:
    """Return time-outs of queues, in order, with `name` of the controller or interface."""
    named = [{**r, "name": r["device"]} for r in nvme] + [
        {**r, "name": r["netdev"] or r["interface"] or r["bdf"] or r["device"]} for r in net
    ]
    return sorted(
        (r for r in named if r["name"] is not None and r["ts"] is not None),
        key=lambda r: (r["source"], r["line"]),
    )


def _queue(rows: Rows) -> Finding:
    devices = list(dict.fromkeys(r["name"] for r in rows))
    (queue,) = {r["queue"] for r in rows}
    return Finding(
        f"queue {queue}, and no other, timed out on {', '.join(devices[:8])} within seconds: perhaps its CPU gets no interrupts",
        "possible",
        in_order(at(r) for r in rows[:MOST]),
        subject=HOST,
        advice=SHARED + "Queues of one number have their vectors on one CPU: see whether that CPU was offline, or its vectors moved.",
        values={"devices": devices, "queues": [str(queue)], "count": len(rows)},
        unchecked=(Unchecked("which CPU has these vectors", "/proc/interrupts, twice, while the commands hang"),),
    )
