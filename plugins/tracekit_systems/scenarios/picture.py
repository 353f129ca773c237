"""A run as lanes over time."""

from collections.abc import Iterable, Sequence
from typing import Any

from tracekit import Fault, Lane, Mark, Signal, Timeline
from tracekit_systems.scenarios.world import SOURCE, World

TABLES = {
    "table": "op_table_size",
    "domain": "enables",
    "vectors": "vector_sets",
    "windows": "windows",
    "pirqs": "pirq_lives",
    "CPUs": "steps",
}
TONES: dict[str, Any] = {"delivered": "good", "late": "calm", "pending": "calm"}  # of an interrupt; else it is lost


def timeline(world: World, faults: Sequence[Fault], signals: Iterable[Signal] = ()) -> Timeline:
    """Return the lanes of all functions: table, irq domain, vectors, windows; interrupts that are asked about; faults at their steps."""
    several = len({name.rpartition(" ")[0] for name in world.bars if " " in name}) > 1
    lanes = []
    for name, bars in world.bars.items():
        what = name.rpartition(" ")[2]
        lanes.append(Lane(name if several else what, TABLES[what], tuple(bars), shades=what == "windows"))
    lanes.sort(key=lambda lane: list(TABLES).index(lane.name.rpartition(" ")[2]))
    if told := tuple(_mark(s) for s in signals):
        lanes.append(Lane("interrupts", "signals", marks=told))
    marks = tuple(Mark(f.step.at, f.code, "bad", SOURCE, f.step.number) for f in faults)
    lanes.append(Lane("faults", "findings", marks=marks))
    shades = tuple((b.begin, b.end) for lane in lanes if lane.shades for b in lane.bars if b.end is not None)
    return Timeline("the scenario", "ns", 0, max(world.now, 1), tuple(lanes), shades, (SOURCE,), "simulated time", folds=False)


def _mark(s: Signal) -> Mark:
    """Return the moment of an interrupt; one that is late lasts until it is delivered."""
    end = None if s.late is None or s.fate != "late" else s.at + s.late
    which = "INTx" if s.vector is None else f"vector {s.vector}"
    return Mark(s.at, f"{s.device} {which}: {s.fate}", TONES.get(s.fate, "bad"), SOURCE, 0, end)
