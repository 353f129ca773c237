"""IRQ-007: a driver found by polling what an interrupt should have told."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from tracekit import Finding, Subject, Unchecked, Verdict, diagnosis, not_evaluated, times
from tracekit_irq.evidence import MOST, Rows, at, by_boot, in_order, seconds

RECORD = "the kernel log of the machine whose driver it is; there: echo 1 > events/irq/irq_handler_entry/enable"
ADVICE = (
    "The work was done and its interrupt did not come. With a resize or a failed enable of that vector: that is the cause. Otherwise look "
    "for refused messages (IRQ-003), strays (IRQ-004), masks after resume, and affinity moves."
)


@diagnosis("irq.completion-without-interrupt", code="IRQ-007", severity="high", record=RECORD)
def completion_without_interrupt(
    nvme_completion_polled: pl.DataFrame | None = None,
    mlx5_eqe_recovered: pl.DataFrame | None = None,
    mlx5_command_recovered: pl.DataFrame | None = None,
    driver_interrupt_missed: pl.DataFrame | None = None,
    driver_interrupt_test_failed: pl.DataFrame | None = None,
    ath_response_polled: pl.DataFrame | None = None,
    nvme_queues: pl.DataFrame | None = None,
    pci_function: pl.DataFrame | None = None,
    op_set_irqs: pl.DataFrame | None = None,
    qemu_enable_vectors_failed: pl.DataFrame | None = None,
    kernel_reports: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """A driver found completed work by polling, because the interrupt did not come.

    What it finds: nvme's `timeout, completion polled`; mlx5's `Recovered N EQEs` (`eqes` of a channel) and `recovered after timeout`; ena's
    and erdma's `sent a completion but the driver didn't receive a MSI-X interrupt`; ath11k's and ath12k's `failed to receive control
    response completion, polling..`. Queue, count and span are reported. Probable: a driver's own test at probe in which no interrupt
    came (tg3, bnx2, sky2, mlx4, mthca).

    Why it matters: each took a whole timeout (nvme: 30 or 60 s). The device works and its interrupts do not arrive.

    Stays quiet when: the command was not complete (`timeout, aborting`, `reset controller`, `disable controller`), or nothing that was
    sent came back (`TX timeout`): other faults.

    Affected: any kernel.

    What to do: find out where the interrupt was lost: a resize window, a failed enable, a refused message, a mask.

    References: drivers/nvme/host/pci.c, nvme_timeout(); mlx5/core/{cmd,en/health}.c; ena_com.c; ath11k/htc.c;
    broadcom/tg3.c, tg3_test_msi(); mlx4/main.c, mlx4_setup_hca().
    """
    found = False
    # A driver that prints this owns its device. Where the case also shows a VFIO client, that is another kernel, with other BDFs.
    foreign = op_set_irqs is not None or qemu_enable_vectors_failed is not None
    for where, (nvme, eqes, commands, missed, ath, tests, functions) in by_boot(
        nvme_completion_polled,
        mlx5_eqe_recovered,
        mlx5_command_recovered,
        driver_interrupt_missed,
        ath_response_polled,
        driver_interrupt_test_failed,
        pci_function,
    ):
        for device, failed in _by_device(tests).items():
            found = True
            yield _tested(where, device, failed, foreign)
        for device, mine in _by_device(nvme + eqes + commands + missed + ath).items():
            found = True
            finding = _finding(where, device, sorted(mine, key=lambda r: (r["source"], r["line"])), functions, foreign)
            yield replace(finding, explained_by="MSI-009") if _oops_in(kernel_reports, mine[0]["source"]) else finding
    if not found:
        yield not_evaluated("no driver whose timeouts tell is in the input" if nvme_queues is None else "no polled completion", RECORD)


def _oops_in(reports: pl.DataFrame | None, source: str) -> bool:
    """Whether the kernel of this log crashed in its MSI code: then that is why interrupts do not come."""
    return reports is not None and reports.filter((pl.col("source") == source) & (pl.col("kind") == "oops")).height > 0


def _by_device(found: Rows) -> dict[str, Rows]:
    devices: dict[str, Rows] = {}
    for r in found:
        devices.setdefault(r.get("device") or r["bdf"] or r.get("driver") or "an unnamed device", []).append(r)
    return devices


def _finding(where: Mapping[str, Any], device: str, rows: Rows, functions: Rows, foreign: bool) -> Finding:
    known = next((f for f in functions if f["device"] == device), None)
    bdf = rows[0].get("bdf") or (known["bdf"] if known else None)
    queues = sorted({str(r.get("queue") if r.get("queue") is not None else r.get("queue_name")) for r in rows} - {"None"})
    events = sum(r["count"] for r in rows if r.get("count"))
    first, last = rows[0]["ts"], rows[-1]["ts"]
    span = seconds(last - first) if first is not None and last is not None and last > first else None
    what = f"{times(len([r for r in rows if r.get('slot') is None]) or len(rows), 'completion')} of {device}"
    place = f" (queue {', '.join(queues[:6])})" if queues else ""
    return Finding(
        f"{what}{place} found by polling: the interrupt had not come" + (f"; over {span:.1f} s" if span is not None else ""),
        "proven",
        in_order([at(r) for r in rows[:MOST]] + ([at(known, "context")] if known else [])),
        subject=_subject(device, bdf, foreign),
        advice=ADVICE,
        values={"device": device, "bdf": bdf, "queues": queues, "count": len(rows), "events": events, "ts_first": first, "ts_last": last},
        unchecked=(
            Unchecked("a machine that was suspended or frozen across the span", "the log of the hypervisor, or PM lines of this one"),
            Unchecked("a mask or a lost window of that vector", "the host's trace of VFIO's SET_IRQS"),
        ),
        **where,
    )


def _tested(where: Mapping[str, Any], device: str, rows: Rows, foreign: bool) -> Finding:
    first = rows[0]
    return Finding(
        f"{first['driver']} asked {device} for an interrupt at probe and none came",
        "probable",
        in_order([at(r) for r in rows[:MOST]]),
        subject=_subject(device, first["bdf"], foreign),
        advice="MSI of this device does not reach this kernel; a driver that went back to INTx works, with less. " + ADVICE,
        values={"device": device, "bdf": first["bdf"], "irq": first["irq"], "count": len(rows)},
        unchecked=(Unchecked("a device that did not answer at all", "the device's own error messages after that line"),),
        **where,
    )


def _subject(device: str, bdf: str | None, foreign: bool) -> Subject:
    if bdf is None or foreign:
        how = "the BDF is the guest's own; joined with the host by case only" if bdf else "dmesg from the driver's probe on names the BDF"
        return Subject(device, kind="pci", aliases=(bdf,) if bdf else (), how=how)
    return Subject(device, bdf=bdf, aliases=(bdf,) if bdf != device else ())
