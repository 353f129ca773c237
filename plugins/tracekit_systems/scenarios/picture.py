"""A run as lanes over time."""

from tracekit import Lane, Mark, Timeline
from tracekit_systems.scenarios.world import SOURCE, World

TABLES = {"table": "op_table_size", "domain": "enables", "vectors": "vector_sets", "windows": "windows", "pirqs": "pirq_lives"}


def timeline(world: World) -> Timeline:
    """Return the lanes of all functions: table, irq domain, vectors, windows; and the faults at the step of each."""
    several = len({name.rpartition(" ")[0] for name in world.bars if " " in name}) > 1
    lanes = []
    for name, bars in world.bars.items():
        what = name.rpartition(" ")[2]
        lanes.append(Lane(name if several else what, TABLES[what], tuple(bars), shades=what == "windows"))
    lanes.sort(key=lambda lane: list(TABLES).index(lane.name.rpartition(" ")[2]))
    marks = tuple(Mark(f.step.at, f.code, "bad", SOURCE, f.step.number) for f in world.faults)
    lanes.append(Lane("faults", "findings", marks=marks))
    shades = tuple((b.begin, b.end) for lane in lanes if lane.shades for b in lane.bars if b.end is not None)
    return Timeline("the scenario", "ns", 0, max(world.now, 1), tuple(lanes), shades, (SOURCE,), "simulated time", folds=False)
