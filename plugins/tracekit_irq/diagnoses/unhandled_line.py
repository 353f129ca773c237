"""IRQ-006: the kernel switched an interrupt off because nobody claimed it."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import Any

import polars as pl

from tracekit import Finding, Subject, Unchecked, Verdict, at, diagnosis, in_order, near
from tracekit_irq.evidence import Rows, shown, sorted_rows

REACH = 120  # lines: a report with its stack trace and list of handlers is shorter
REACH_MS = 1000  # no shorter than the coarsest stamp
ADVICE = {
    "edge": "MSI, MSI-X or a GPIO's edge: often a false positive of the spurious detector (work done elsewhere before the handler looked).",
    "line": "The device asserts a line that its driver does not serve. The line stays off until reboot or rebind.",
}


@diagnosis("irq.unhandled-line", code="IRQ-006", severity="medium", record="dmesg; grep . /proc/irq/N/spurious", log="kernel")
def unhandled_line(
    irq_nobody_cared: pl.DataFrame | None = None,
    irq_disabled: pl.DataFrame | None = None,
    irq_frame_edge: pl.DataFrame | None = None,
    irq_frame_line: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """An interrupt that no handler claimed was switched off.

    What it finds: `irq N: nobody cared`, or `Disabling IRQ #N` alone, with the flow handler of the stack trace, which tells a line
    interrupt (handle_level_irq, handle_fasteoi_irq) from MSI, MSI-X or another edge (handle_edge_irq; then severity is low).

    Why it matters: everything that shares the irq gets no interrupts until it is set up again.

    Stays quiet when: another message speaks of spurious interrupts (`PME: Spurious native interrupt`, `unexpected IRQ trap`).

    Affected: any kernel.

    What to do: for a line, find the device that asserts it; `irqpoll` only hides it. It never explains a loss on another vector.

    References: kernel/irq/spurious.c, __report_bad_irq() and note_interrupt().
    """
    reports, offs, edges, lines = map(sorted_rows, (irq_nobody_cared, irq_disabled, irq_frame_edge, irq_frame_line))
    reported = dict.fromkeys(r["irq"] for r in reports)
    yield from _switched_off([d for d in offs if d["irq"] not in reported])
    for irq in reported:
        mine = [r for r in reports if r["irq"] == irq]
        disabled = [d for r in mine for d in _near(r, offs) if d["irq"] == irq]
        flow = "edge" if any(_own(r, edges, reports) for r in mine) else "line" if any(_own(r, lines, reports) for r in mine) else "unknown"
        frames = [f for r in mine for f in (_own(r, edges, reports) or _own(r, lines, reports))[:1]]
        yield Finding(
            f"irq {irq} was claimed by no handler" + (" and switched off" if disabled else "") + KINDS[flow],
            "proven",
            in_order([at(r) for r in shown(mine)] + [at(f, "context") for f in shown(frames)] + [at(d, "effect") for d in shown(disabled)]),
            subject=Subject(f"irq {irq}", kind="host"),
            severity="low" if flow == "edge" else None,
            advice=ADVICE.get(flow, ADVICE["line"]),
            values={"irq": irq, "count": len(mine), "flow": flow, "switched_off": bool(disabled)},
            unchecked=(Unchecked("which device asserts it", "cat /proc/interrupts; lspci -vv"),),
        )


def _switched_off(rows: Rows) -> Iterator[Finding]:
    """Yield the irqs of which the end of the report alone is in the log, as where a terminal was told what is urgent."""
    for irq in dict.fromkeys(r["irq"] for r in rows):
        mine = [r for r in rows if r["irq"] == irq]
        yield Finding(
            f"irq {irq} was switched off, since no handler claimed it",
            "proven",
            in_order(at(r) for r in shown(mine)),
            subject=Subject(f"irq {irq}", kind="host"),
            advice=ADVICE["line"],
            values={"irq": irq, "count": len(mine), "flow": "unknown", "switched_off": True},
            unchecked=(Unchecked("which device asserts it", "cat /proc/interrupts; lspci -vv"),),
        )


KINDS = {"edge": " (an edge interrupt, as MSI and MSI-X are)", "line": " (a line interrupt)", "unknown": ""}


def _near(report: Mapping[str, Any], rows: Rows) -> Rows:
    """Return rows that belong to a report: the same source, soon after. `rows` are in the order of source and line."""
    begin = bisect_left(rows, _place(report), key=_place)
    return list(takewhile(lambda r: near(report, r, REACH, REACH_MS), (rows[i] for i in range(begin, len(rows)))))


def _own(report: Mapping[str, Any], frames: Rows, reports: Rows) -> Rows:
    """Return the frames of a report's stack trace: those near it with no other report between."""
    return [f for f in _near(report, frames) if reports[bisect_left(reports, _place(f), key=_place) - 1] is report]


def _place(row: Mapping[str, Any]) -> tuple[str, int]:
    return row["source"], row["line"]
