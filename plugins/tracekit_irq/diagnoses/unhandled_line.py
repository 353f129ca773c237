"""IRQ-006: the kernel switched an interrupt off because nobody claimed it."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import Any

import polars as pl

from tracekit import Finding, Subject, Unchecked, Verdict, at, diagnosis, in_order, near
from tracekit_irq.evidence import Rows, shown, sorted_rows

REACH = 120  # lines: a report with its stack trace and list of handlers is shorter
REACH_MS = 1000  # no shorter than the coarsest stamp
WAKES = "irq_default_primary_handler"  # kernel/irq/manage.c: it wakes the driver's thread and looks at nothing
PASSED_THROUGH = "vfio_intx_handler"  # drivers/vfio/pci/vfio_pci_intrs.c: the line of a device that a guest has
ADVICE = {
    "edge": "MSI, MSI-X or a GPIO's edge: often a false positive of the spurious detector (work done elsewhere before the handler looked).",
    "line": "The device asserts a line that its driver does not serve. The line stays off until reboot or rebind.",
    "guest": (
        "It is the line of a passed-through device, which goes on asserting it though VFIO says the interrupt is not its own: have the "
        "guest use MSI, or load vfio-pci with nointxmask=1 (the line is then masked at the interrupt controller, and must not be shared)."
    ),
}


@diagnosis("irq.unhandled-line", code="IRQ-006", severity="medium", record="dmesg; grep . /proc/irq/N/spurious", log="kernel")
def unhandled_line(
    irq_nobody_cared: pl.DataFrame | None = None,
    irq_disabled: pl.DataFrame | None = None,
    irq_frame_edge: pl.DataFrame | None = None,
    irq_frame_line: pl.DataFrame | None = None,
    irq_handler_listed: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """An interrupt that no handler claimed was switched off.

    What it finds: `irq N: nobody cared`, or `Disabling IRQ #N` alone, with the flow handler of the stack trace, which tells a line
    interrupt (handle_level_irq, handle_fasteoi_irq) from MSI, MSI-X or another edge (handle_edge_irq; then severity is low), and the
    handlers listed below it, of a driver without one its thread: that of VFIO is of a passed-through device.

    Why it matters: everything that shares the irq gets no interrupts until it is set up again.

    Stays quiet when: another message speaks of spurious interrupts (`PME: Spurious native interrupt`, `unexpected IRQ trap`).

    Affected: any kernel.

    What to do: for a line, find the device that asserts it; `irqpoll` only hides it. It never explains a loss on another vector.

    References: kernel/irq/spurious.c, __report_bad_irq() and note_interrupt().
    """
    reports, offs, edges, lines = map(sorted_rows, (irq_nobody_cared, irq_disabled, irq_frame_edge, irq_frame_line))
    listed = sorted_rows(irq_handler_listed)
    reported, switched_off = _by_irq(reports), _by_irq(offs)
    yield from _switched_off([d for d in offs if d["irq"] not in reported])
    for irq, mine in reported.items():
        disabled = [d for r in mine for d in _own(r, switched_off.get(irq, []), mine)]
        flow = "edge" if any(_own(r, edges, reports) for r in mine) else "line" if any(_own(r, lines, reports) for r in mine) else "unknown"
        frames = [f for r in mine for f in (_own(r, edges, reports) or _own(r, lines, reports))[:1]]
        asked = [h for r in mine for h in _own(r, listed, reports)]
        names = list(dict.fromkeys(map(_asked, asked)))
        yield Finding(
            f"irq {irq} was claimed by no handler{_named(names)}" + (" and switched off" if disabled else "") + KINDS[flow],
            "proven",
            in_order(
                [at(r) for r in shown(mine)]
                + [at(f, "context") for f in shown(frames + asked)]
                + [at(d, "effect") for d in shown(disabled)]
            ),
            subject=Subject(f"irq {irq}", kind="host"),
            severity="low" if flow == "edge" else None,
            advice=ADVICE["guest"] if PASSED_THROUGH in names else ADVICE.get(flow, ADVICE["line"]),
            values={"irq": irq, "count": len(mine), "flow": flow, "switched_off": bool(disabled), **({"handlers": names} if names else {})},
            unchecked=(Unchecked("which device asserts it", "cat /proc/interrupts; lspci -vv"),),
        )


def _switched_off(rows: Rows) -> Iterator[Finding]:
    """Yield the irqs of which the end of the report alone is in the log, as where a terminal was told what is urgent."""
    for irq, mine in _by_irq(rows).items():
        yield Finding(
            f"irq {irq} was switched off, since no handler claimed it",
            "proven",
            in_order(at(r) for r in shown(mine)),
            subject=Subject(f"irq {irq}", kind="host"),
            advice=ADVICE["line"],
            values={"irq": irq, "count": len(mine), "flow": "unknown", "switched_off": True},
            unchecked=(Unchecked("which device asserts it", "cat /proc/interrupts; lspci -vv"),),
        )


def _by_irq(rows: Rows) -> dict[int, Rows]:
    irqs: dict[int, Rows] = {}
    for r in rows:
        irqs.setdefault(r["irq"], []).append(r)
    return irqs


def _asked(handler: Mapping[str, Any]) -> str:
    """Return the function that was to claim the interrupt: the handler, or the thread where that alone is the driver's."""
    return str(handler["thread_symbol"] or WAKES) if handler["symbol"] == WAKES else str(handler["symbol"])


def _named(handlers: list[str]) -> str:
    return f" (asked: {', '.join(handlers[:6])})" if handlers else ""


KINDS = {"edge": " (an edge interrupt, as MSI and MSI-X are)", "line": " (a line interrupt)", "unknown": ""}


def _near(report: Mapping[str, Any], rows: Rows, end: int | None = None) -> Rows:
    """Return rows that belong to a report: the same source, soon after. `rows` are in the order of source and line; none from `end` on."""
    begin = bisect_left(rows, _place(report), key=_place)
    return list(takewhile(lambda r: near(report, r, REACH, REACH_MS), (rows[i] for i in range(begin, len(rows) if end is None else end))))


def _own(report: Mapping[str, Any], rows: Rows, reports: Rows) -> Rows:
    """Return the frames of a report's stack trace, or its handlers: those near it with no other report between."""
    following = bisect_right(reports, _place(report), key=_place)
    return _near(report, rows, bisect_left(rows, _place(reports[following]), key=_place) if following < len(reports) else None)


def _place(row: Mapping[str, Any]) -> tuple[str, int]:
    return row["source"], row["line"]
