"""Questions to a simulator: one scenario, or a grid of them."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from tracekit.errors import UsageError, nearest
from tracekit.replay.gates import Gate
from tracekit.simulate.answer import Answer
from tracekit.simulate.settings import changed, scenario
from tracekit.simulate.simulator import Parts, Simulator

MOST = 10_000  # cells of a grid
Axis = tuple[str, tuple[str, ...]]


def flips(text: str, gates: Mapping[str, Gate], switches: Sequence[str]) -> tuple[str, ...]:
    """Return the gates that a list names, by code or name. Errors: UsageError with the nearest name."""
    names = {g.name: code for code, g in gates.items()}
    found = []
    for name in filter(None, (part.strip() for part in text.split(","))):
        if name not in gates and name not in names and name not in switches:
            raise UsageError(f"--flip {name}: there is no such gate{nearest(name, [*gates, *names, *switches])}")
        found.append(names.get(name, name))
    return tuple(found)


def axis(text: str) -> Axis:
    """Return the name and values of `host.kernel=6.1,6.12`; a value with commas stands in brackets: `devices.table=[8,16],[8]`."""
    name, _, values = text.partition("=")
    if not name.strip() or not values.strip():
        raise UsageError(f"--grid {text}: give NAME=VALUE,VALUE, as in host.kernel=6.1,6.12")
    told, depth, one = [], 0, ""
    for c in values + ",":
        depth += (c == "[") - (c == "]")
        if c == "," and not depth:
            told.append(one.strip().removeprefix("[").removesuffix("]"))
            one = ""
        else:
            one += c
    return name.strip(), tuple(told)


def grid(
    simulator: Simulator, parts: Parts, tree: Mapping[str, Any], axes: Sequence[Axis], source: str
) -> list[tuple[tuple[str, ...], Answer]]:
    """Return the answer of each cell: every value of the first setting with every one of the second, and so on."""
    cells = list(product(*(values for _, values in axes)))
    if len(cells) > MOST:
        raise UsageError(f"--grid: {len(cells)} cells are more than {MOST}")
    return [(cell, simulator.run(scenario(_changed(tree, axes, cell), source), parts)) for cell in cells]


def _changed(tree: Mapping[str, Any], axes: Sequence[Axis], cell: Sequence[str]) -> dict[str, Any]:
    return changed(tree, (f"{name}={value}" for (name, _), value in zip(axes, cell, strict=True)))
