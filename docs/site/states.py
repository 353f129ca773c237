"""State machines as they are: each operation of a machine is run from each state that the operations before it reach."""

from collections import deque
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

Machine = Any  # an executable machine of a plugin: no class is common to them


@dataclass(frozen=True)
class Operation:
    """What can happen to a machine: a name, and a function that does it and returns what the drawing prints at the arrow."""

    name: str
    run: Callable[[Machine], str]


@dataclass(frozen=True)
class Step:
    """One operation in one state: the state after it, and its result."""

    operation: str
    before: str
    after: str
    result: str


@dataclass(frozen=True)
class Graph:
    """A machine's states in the order in which they are reached, and what each operation does in each of them."""

    title: str
    states: Sequence[str]
    steps: Sequence[Step]


@dataclass(frozen=True)
class Subject:
    """What a drawing is of: a machine as it starts, what can happen to it, and the names of the states that the drawing distinguishes."""

    title: str
    machine: Machine
    operations: Sequence[Operation]
    state: Callable[[Machine], str]


def explored(subject: Subject) -> Graph:
    """Return the graph that a machine's operations span. The machine's own code runs on copies; nothing here says where an arrow leads."""
    machine, operations, state = subject.machine, subject.operations, subject.state
    reached, waiting = {state(machine): machine}, deque([machine])
    steps: list[Step] = []
    while waiting:
        before = waiting.popleft()
        for operation in operations:
            after = deepcopy(before)
            result = operation.run(after)
            steps.append(Step(operation.name, state(before), state(after), result))
            if state(after) not in reached:
                reached[state(after)] = after
                waiting.append(after)
    order = {operation.name: i for i, operation in enumerate(operations)}
    places = {name: i for i, name in enumerate(reached)}
    return Graph(subject.title, tuple(reached), sorted(steps, key=lambda s: (order[s.operation], places[s.before])))
