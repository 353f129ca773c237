"""Interrupts that arrived at an irq without a flow handler, as the kernel dumps what it knows of it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from tracekit import Finding, Subject, Unchecked, at, in_order, near, rows_below, times
from tracekit_irq.evidence import MOST, Rows, sorted_rows

REACH, REACH_MS = 12, 50  # lines and time that a dump takes, with lines of others between
NULL = r"\(null\)|0x0|0+"
NO_FLOW = "handle_bad_irq"
WAITS = (
    "The irq was requested, and its chip or domain gave it no flow handler: while that is so, no interrupt of it reaches its driver. It "
    "is a fault of the interrupt controller's driver, or of the moment in which the irq is freed or set up again, not of the device."
)
STRAY = "No driver has requested that irq: a device or firmware asserts it. Find it in /proc/interrupts and by what stands before it."


@dataclass(frozen=True)
class Dump:
    """The lines of one dump, by what they tell; those that are not there are left out."""

    head: Mapping[str, Any]
    parts: dict[str, dict[str, Any]]

    @property
    def handler(self) -> str | None:
        """Return the handler that waits for the interrupt."""
        return self.parts["handler"]["symbol"] if "handler" in self.parts else None

    @property
    def requested(self) -> bool:
        """Return whether a driver has requested the irq."""
        action = self.parts.get("action")
        return self.handler is not None or action is not None and re.fullmatch(NULL, action["pointer"]) is None


def thrown_away(
    dumps: pl.DataFrame | None,
    flows: pl.DataFrame | None,
    actions: pl.DataFrame | None,
    handlers: pl.DataFrame | None,
    traps: pl.DataFrame | None,
) -> Iterator[Finding]:
    """Yield one finding for each irq (handle_bad_irq(); kernels without symbols do not say so).

    Low where no handler waits for it, and none for a single such interrupt: healthy machines show it where an irq was just freed.
    """
    heads = sorted_rows(dumps)
    parts = {"flow": flows, "action": actions, "handler": handlers, "trap": traps}
    tables = {name: sorted_rows(frame) for name, frame in parts.items()}
    by_irq: dict[int, list[Dump]] = {}
    for n, head in enumerate(heads):
        end = heads[n + 1] if n + 1 < len(heads) else None
        mine = {name: r for name, rows in tables.items() if (r := _below(head, end, rows)) is not None}
        if "flow" in mine and mine["flow"]["symbol"] == NO_FLOW:
            by_irq.setdefault(head["irq"], []).append(Dump(head, mine))
    for irq, mine_of in by_irq.items():
        if len(mine_of) > 1 or mine_of[0].requested:
            yield _finding(irq, mine_of)


def _finding(irq: int, dumps: list[Dump]) -> Finding:
    handler = next((d.handler for d in dumps if d.handler), None)
    requested = any(d.requested for d in dumps)
    waits = f"; {handler} waits for it" if handler else "; a driver has requested it" if requested else ""
    lines = [line for d in dumps[:MOST] for line in (at(d.head), *(at(r, "context") for r in d.parts.values()))]
    return Finding(
        f"{times(len(dumps), 'interrupt')} on irq {irq} thrown away, since it has no flow handler{waits}",
        "proven",
        in_order(lines),
        subject=Subject(f"irq {irq}", kind="host"),
        severity="medium" if requested else "low",
        advice=WAITS if requested else STRAY,
        values={"irq": irq, "count": len(dumps), "handler": handler},
        unchecked=(Unchecked("whether later ones arrive", "/proc/interrupts, twice"),),
    )


def _below(head: Mapping[str, Any], end: Mapping[str, Any] | None, rows: Rows) -> dict[str, Any] | None:
    """Return the first row near below the head of a dump and above the next one. `rows` are in the order of source and line."""
    first = next(iter(rows_below(head, rows)), None)
    if first is None or not near(head, first, REACH, REACH_MS):
        return None
    return None if end is not None and end["source"] == first["source"] and end["line"] < first["line"] else first
