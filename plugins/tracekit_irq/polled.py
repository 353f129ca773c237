"""Completed work that a driver found although no interrupt had come, by device and by how sure that is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tracekit import near, within
from tracekit_irq.evidence import Rows

GRADES = ("proven", "probable", "possible")
REACH = 20  # lines, or
REACH_MS = 10_000  # within which a driver says that its poll found nothing
SAME_MS = 1_000  # devices whose interrupts fail together have one cause; as long as the coarsest stamp
GRADE_OF = {
    "found": "proven",
    **dict.fromkeys(("msi", "ring"), "probable"),
    **dict.fromkeys(("fence", "irq", "port", "hedged", "announced"), "possible"),
}


@dataclass(frozen=True)
class Polled:
    """The lines of one device, and the grade of the surest."""

    device: str
    rows: Rows
    grade: Any

    @property
    def bdf(self) -> str | None:
        """Return the function's address, if one of the lines has it."""
        return next((r["bdf"] for r in self.rows if r.get("bdf")), None)

    @property
    def kind(self) -> str | None:
        """Return what all lines are in the words of `driver_silences`; None where they differ, or a rule of a known wording reads one."""
        kinds = {r.get("kind") for r in self.rows}
        return kinds.pop() if len(kinds) == 1 else None

    @property
    def queues(self) -> list[str]:
        """Return the queues that the lines name."""
        names = (r.get("queue") if r.get("queue") is not None else r.get("queue_name") for r in self.rows)
        return sorted({str(n) for n in names if n is not None})


def by_device(known: Rows, silences: Rows, unanswered: Rows, answered: Rows) -> list[Polled]:
    """Return what each device's driver found or guessed; polls that were announced and found nothing are left out."""
    heard = [{**r, "kind": "found"} if r["kind"] == "announced" and _told_of(r, answered) else r for r in silences]
    rows = [{**r, "grade": "proven"} for r in known] + [{**r, "grade": GRADE_OF[r["kind"]]} for r in heard]
    devices: dict[str, Rows] = {}
    for r in sorted(rows, key=lambda r: (r["source"], r["line"])):
        if not _told_of(r, unanswered):
            devices.setdefault(name_of(r), []).append(r)
    return [Polled(device, mine, _grade(mine)) for device, mine in devices.items()]


def name_of(r: Mapping[str, Any]) -> str:
    """Return the device of a row as its driver names it."""
    return str(r.get("device") or r.get("bdf") or r.get("driver") or "an unnamed device")


def _grade(rows: Rows) -> str:
    """Return the best grade of the rows; a graphics fence that its timer found again and again is more than possible."""
    fences = sum(r.get("kind") == "fence" for r in rows)
    return "probable" if fences > 1 and all(r["grade"] == "possible" for r in rows) else min((r["grade"] for r in rows), key=GRADES.index)


def _told_of(r: Mapping[str, Any], ends: Rows) -> bool:
    """Return whether a driver says near this how its poll ended."""
    return any(name_of(u) == name_of(r) and near(r, u, REACH, REACH_MS) for u in ends)


def together(found: list[Polled]) -> Iterator[list[Polled]]:
    """Devices whose first lines stand within the same second of one log, as one group; each other device alone."""
    groups: list[list[Polled]] = []
    for polled in sorted(found, key=lambda p: (p.rows[0]["source"], p.rows[0]["ts"] or 0, p.rows[0]["line"])):
        if groups and _same_moment(groups[-1][-1], polled):
            groups[-1].append(polled)
        else:
            groups.append([polled])
    yield from groups


def _same_moment(a: Polled, b: Polled) -> bool:
    first, second = a.rows[0], b.rows[0]
    return a.grade == b.grade and first["source"] == second["source"] and within(first, second, SAME_MS) is True


def one_queue(timeouts: Rows) -> list[Rows]:
    """Time-outs of one queue number, and no other, on several controllers within seconds: that number is a CPU's. Newest rule first row.

    Queue 0 is the admin queue, queue 1 often the only one of a controller.
    """
    groups: list[Rows] = []
    for r in timeouts:
        if groups and near(groups[-1][-1], r, 0, REACH_MS):
            groups[-1].append(r)
        else:
            groups.append([r])
    return [g for g in groups if len({r["name"] for r in g}) > 1 and len({r["queue"] for r in g}) == 1 and g[0]["queue"] > 1]
