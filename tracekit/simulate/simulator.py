"""Simulators: classes of plugins that compose machines and run a scenario."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from tracekit.replay.gates import Gate
from tracekit.simulate.answer import Answer
from tracekit.simulate.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of plugins that a simulator uses: machines and gates by name, and the gates to flip (codes, or switches of the simulator)."""

    machines: Mapping[str, Any]
    gates: Mapping[str, Gate]
    flips: tuple[str, ...] = ()


class Simulator:
    """A composition of machines that runs a scenario. `switches`: what it can flip beside declared gates; `reads`: tables of `like`."""

    name: ClassVar[str] = ""
    switches: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[tuple[str, ...]] = ()
    emits: ClassVar[tuple[str, ...]] = ()

    def run(self, scenario: Scenario, parts: Parts) -> Answer:
        """Return what a scenario leads to."""
        raise NotImplementedError

    def like(self, tables: Mapping[str, pl.DataFrame]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return the settings that a log shows, and what it leaves open."""
        return {}, ()

    def branches(self, settings: Mapping[str, Any]) -> Mapping[str, tuple[str, ...]]:
        """Return the settings that decide, that no line tells, and a value for each behaviour that they may have."""
        return {}

    def emit(self, answer: Answer, scenario: Scenario, kind: str) -> str:
        """Return the lines that the run would print, in one of the formats `emits`."""
        raise NotImplementedError
