"""Fences that a graphics driver's timer found finished, beside what tells why no interrupt had told of them."""

from collections.abc import Mapping
from typing import Any, Literal

from tracekit import at_once, rows_above
from tracekit_irq.evidence import MOST, Rows

FEW, SOME = 1, 3  # fences that a timer found: a GPU that goes on working, and one that stumbles
FINISHING_MS, FINISHING = 60_000, 400  # a driver lets go of its device within that, or as many lines
OVERFLOW_MS, OVERFLOW = 60_000, 200  # fences that were lost in a ring are found when the timer runs next, or as many lines below


def alive(silences: Rows, finished: Rows) -> Rows:
    """Return the silences without the fences of a device that its driver lets go of: it has switched its interrupts off."""
    return [s for s in silences if s["kind"] != "fence" or _above(s, finished, FINISHING, FINISHING_MS) is None]


def placed(silences: Rows, rings: Rows) -> Rows:
    """Return the silences, fences that name no device with the one that has such a ring, or the only one that has rings at all."""
    owners: dict[tuple[str, str | None], dict[str, Any]] = {}
    for r in rings:
        for ring in (r["ring"], None):
            owners.setdefault((r["source"], ring), {}).setdefault(r["bdf"], r)
    return [_placed(s, owners) if s["kind"] == "fence" and s["bdf"] is None else s for s in silences]


def _placed(fence: dict[str, Any], owners: Mapping[tuple[str, str | None], dict[str, Any]]) -> dict[str, Any]:
    own = owners.get((fence["source"], fence["queue"])) or owners.get((fence["source"], None), {})
    return {**fence, "bdf": next(iter(own)), "ring_row": next(iter(own.values()))} if len(own) == 1 else fence


def severity(rows: Rows) -> Literal["low", "medium"] | None:
    """Return how much it matters that a timer found fences, each of which took half a second; None: as much as other silences."""
    count = len(rows) if all(r.get("kind") == "fence" for r in rows) else SOME + 1
    return "low" if count <= FEW else "medium" if count <= SOME else None


def overflow(rows: Rows, overflows: Rows) -> dict[str, Any] | None:
    """Return the overflow of the ring of interrupts that lost the first of these fences, if there is one."""
    first = rows[0]
    return _above(first, overflows, OVERFLOW, OVERFLOW_MS) if first.get("kind") == "fence" else None


def _above(fence: Mapping[str, Any], told: Rows, lines: int, ms: int) -> dict[str, Any] | None:
    """Return the last of the lines above a fence, near it, that is about its device, or may be: fences often name none."""
    last = rows_above(fence, told, MOST)
    return next((t for t in last if at_once(t, fence, lines, ms) and (fence["bdf"] is None or fence["bdf"] == t["bdf"])), None)
