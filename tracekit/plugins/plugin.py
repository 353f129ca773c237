"""One plugin: what it brought, and what went wrong with it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from tracekit.diagnosing.diagnoses import Diagnosis
from tracekit.diagnosing.extension import Extension
from tracekit.guard import Lost, clean, named, trace
from tracekit.picture.lane import LaneSource
from tracekit.plugins.loose import GRAMMARS
from tracekit.replay.gates import Gate
from tracekit.replay.model import Model
from tracekit.replay.whatif import System
from tracekit.run import PluginReport, Report

if TYPE_CHECKING:
    from tracekit.simulate.simulator import Simulator


class Reader(NamedTuple):
    """A part of a plugin that reads tables: its name, theirs, and of some of these the texts of which each row it is about holds one."""

    what: str
    tables: tuple[str, ...]
    looks_for: Mapping[str, tuple[str, ...]] = MappingProxyType({})


@dataclass
class Plugin:
    """One plugin: what it brought, and what went wrong with it."""

    name: str
    version: str
    grammars: list[Path] = field(default_factory=list)
    models: list[type[Model]] = field(default_factory=list)
    diagnoses: list[Diagnosis] = field(default_factory=list)
    extensions: list[Extension] = field(default_factory=list)
    reports: list[type[Report]] = field(default_factory=list)
    machines: dict[str, type] = field(default_factory=dict)
    systems: list[type[System]] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    lanes: list[LaneSource] = field(default_factory=list)
    simulators: "list[type[Simulator]]" = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)  # where errors were raised, for `--debug`
    outdated: list[str] = field(default_factory=list)  # deprecated names that it uses
    carets: dict[str, str] = field(default_factory=dict)  # error -> the line of the grammar with a caret below
    ours: bool = False  # of the distribution tracekit
    place: str = ""  # its file, where nobody installed it
    seconds: float = 0.0  # that loading it took
    apart: bool = False  # its code runs in a process of its own; what stands here are stand-ins

    def failed(self, doing: str, error: BaseException, part: str = "its code") -> str:
        """Note an error that a part of this plugin raised, or that its process is gone; returns the line that names it."""
        if isinstance(error, Lost):
            return self.wrong(f"was stopped: {part} {error}")
        self.traces.append(trace(error))
        return self.wrong(f"failed to {doing}: {named(error)}")

    def wrong(self, what: str) -> str:
        """Note what is wrong with this plugin; returns the line that names it."""
        what, _, caret = what.partition("\n")
        text = f"plugin {self.name} {self.version} {' '.join(clean(what).split())}"
        self.errors.append(text)
        if caret:
            self.carets[text] = clean(caret)
        return text

    def mend(self, folder: Path, text: str) -> None:
        """Note what is wrong with a grammar; one that stands in a text of the plugin's own file is named by that."""
        for part, kind in GRAMMARS.items() if self.place else ():
            text = text.replace(str(folder / kind / f"{self.name}.lark"), f"{self.place} {part}")
        self.wrong(f"has a grammar to mend: {text}")

    def readers(self) -> Iterator[Reader]:
        """Yield each model, diagnosis, system and lane with what it reads."""
        yield from (Reader(f"model {m.__name__}", m.hears(), m.looks_for) for m in self.models)
        yield from (Reader(f"diagnosis {d.code} {d.name}", (*d.needs, *d.wants)) for d in self.diagnoses)
        yield from (Reader(f"system {s.__name__}", s.reads) for s in self.systems)
        yield from (Reader(f"lane {s.name}", s.reads) for s in self.lanes)

    def report(self) -> PluginReport:
        """Return the plugin as a value."""
        diagnoses = tuple(f"{d.code} {d.name}" for d in self.diagnoses)
        return PluginReport(
            self.name, self.version, diagnoses, tuple(m.__name__ for m in self.models), tuple(self.errors), tuple(self.traces)
        )
