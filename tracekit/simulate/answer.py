"""The answer to a scenario: the faults, what the guest sees, what it costs, and each step."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tracekit.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Step:
    """An event of the simulation: `at` in ns since the begin, `what` happens, to which `subject`, and how it `ends`."""

    number: int
    at: int
    subject: str
    what: str
    ends: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, and the first step at which it occurs."""

    code: str
    subject: str
    step: Step


@dataclass(frozen=True, slots=True)
class Pool:
    """The largest use of a limited resource of the host. `size` None: without a bound."""

    name: str
    most: int
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """One interrupt that was asked about, which the device signals `at` ns after the begin.

    `fate`: delivered, late (by `late` ns), pending (to the end), lost, or unsure (lost, unless the device keeps it pending). `vector` None:
    the INTx line.
    """

    at: int
    device: str
    vector: int | None
    fate: str
    why: str = ""
    late: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a scenario. `faults` occur; `risks` are what the configuration alone leads to (CFG codes) and need an occasion.

    `guest`: what the guest sees, in sentences; `signals`: what becomes of the interrupts that were asked about; `events`: what the
    kernel and the client did, for those who write it as a log.
    """

    faults: tuple[Fault, ...] = ()
    risks: tuple[str, ...] = ()
    guest: tuple[str, ...] = ()
    pools: tuple[Pool, ...] = ()
    steps: tuple[Step, ...] = ()
    signals: tuple[Signal, ...] = ()
    assumptions: tuple[str, ...] = ()
    gates: Mapping[str, bool] = field(default_factory=dict)
    timeline: Timeline | None = None
    events: tuple[Any, ...] = ()

    @property
    def codes(self) -> tuple[str, ...]:
        """Return the codes of the faults, in order."""
        return tuple(sorted({f.code for f in self.faults}))

    @property
    def verdict(self) -> str:
        """Return the codes in a line."""
        return ", ".join(self.codes) or "none"

    def first(self) -> tuple[Fault, ...]:
        """Return of each fault the first occurrence, in order of time."""
        found: dict[str, Fault] = {}
        for f in sorted(self.faults, key=lambda f: f.step.number):
            found.setdefault(f.code, f)
        return tuple(found.values())


@dataclass(frozen=True, slots=True)
class Grid:
    """Answers to variations of one scenario: `names` of the settings that vary, and each cell's values with its answer."""

    names: tuple[str, ...]
    cells: tuple[tuple[tuple[str, ...], Answer], ...]
