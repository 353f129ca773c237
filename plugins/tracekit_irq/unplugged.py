"""Devices that do not answer since they were taken out, and those that went together."""

from collections.abc import Iterator, Mapping

from tracekit import at_once, rows_above, rows_below, within
from tracekit_irq.evidence import Rows

REACH_MS, REACH = 10_000, 60  # a driver finds out before the slot does or after it, or as many lines from it
SAME_MS = 1_000  # as long as the coarsest stamp


def still_there(gone: Rows, unplugged: Rows) -> Rows:
    """Return the rows without those beside a slot or dock that was emptied. No line tells which device was in it."""
    return [r for r in gone if not _taken_out(r, unplugged)]


def _taken_out(row: Mapping[str, object], unplugged: Rows) -> bool:
    above, below = rows_above(row, unplugged), rows_below(row, unplugged)
    return any(at_once(u, row, REACH, REACH_MS) for u in above) or any(at_once(row, u, REACH, REACH_MS) for u in below)


def at_one_moment(cards: list[Rows]) -> Iterator[list[Rows]]:
    """Cards that could not be put to sleep within the same second of one log, as one group; each other card alone."""
    groups: list[list[Rows]] = []
    for card in sorted(cards, key=lambda c: (c[0]["source"], c[0]["line"])):
        if groups and _asleep(groups[-1][-1]) and _asleep(card) and _together(groups[-1][-1][0], card[0]):
            groups[-1].append(card)
        else:
            groups.append([card])
    yield from groups


def _asleep(rows: Rows) -> bool:
    return all((r.get("to") or "").startswith("D3") for r in rows)


def _together(a: Mapping[str, object], b: Mapping[str, object]) -> bool:
    return a["source"] == b["source"] and within(a, b, SAME_MS) is True
