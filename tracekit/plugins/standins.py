"""Proxies of a plugin that runs in a process of its own: its parts as values, and parts whose calls go to that process."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import polars as pl

from tracekit.diagnosing import sound
from tracekit.diagnosing.diagnoses import Diagnosis
from tracekit.diagnosing.extension import Extension
from tracekit.findings import Finding, Verdict
from tracekit.picture.lane import LaneSource
from tracekit.picture.scene import Scene
from tracekit.plugins.guest import Guest
from tracekit.plugins.plugin import Plugin
from tracekit.replay import whatif
from tracekit.replay.gates import Gate
from tracekit.replay.inputs import Parts
from tracekit.replay.model import Model, check
from tracekit.replay.whatif import Fix, Flip, System
from tracekit.tables.declaration import Table
from tracekit.timeline import Lane
from tracekit.written import is_binary


class ModelFacts(NamedTuple):
    """A model without its code."""

    name: str
    tables: tuple[Table, ...]
    hears: tuple[str, ...]
    across: tuple[str, ...]
    gates: tuple[str, ...]


class SystemFacts(NamedTuple):
    """A system without its code."""

    name: str
    label: str
    reads: tuple[str, ...]
    fixes: tuple[Fix, ...]
    switches: tuple[str, ...]
    asks: tuple[str, ...]


class ReportFacts(NamedTuple):
    """A report without its code: name of the class, name of the format, whether it writes fleets, shows pictures, is no text."""

    name: str
    format: str
    fleets: bool
    draws: bool
    binary: bool


class LaneFacts(NamedTuple):
    """A lane without its code."""

    name: str
    order: int
    reads: tuple[str, ...]
    about: tuple[str, ...]
    of: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a plugin brings, as values."""

    errors: tuple[str, ...]
    traces: tuple[str, ...]
    outdated: tuple[str, ...]
    grammars: tuple[Path, ...]
    models: tuple[ModelFacts, ...]
    diagnoses: tuple[Mapping[str, Any], ...]
    extensions: tuple[Extension, ...]
    systems: tuple[SystemFacts, ...]
    reports: tuple[ReportFacts, ...]
    gates: tuple[Gate, ...]
    lanes: tuple[LaneFacts, ...]
    machines: tuple[str, ...]


def facts(plugin: Plugin) -> Facts:
    """Return what a plugin brings, as values that another process can read."""
    return Facts(
        tuple(plugin.errors),
        tuple(plugin.traces),
        tuple(plugin.outdated),
        tuple(plugin.grammars),
        tuple(ModelFacts(m.__name__, m.tables, m.hears(), m.across, m.gates) for m in plugin.models),
        tuple(map(_diagnosis, plugin.diagnoses)),
        tuple(replace(e, settings=dict(e.settings)) for e in plugin.extensions),
        tuple(SystemFacts(s.__name__, s.name, s.reads, s.fixes, s.switches, s.asks) for s in plugin.systems),
        tuple(map(_written, plugin.reports)),
        tuple(plugin.gates),
        tuple(LaneFacts(s.name, s.order, s.reads, s.about, s.of) for s in plugin.lanes),
        tuple(plugin.machines),
    )


def _written(report: Any) -> ReportFacts:
    fleets, draws = callable(getattr(report, "write_fleet", None)), bool(getattr(report, "draws", False))
    return ReportFacts(report.__name__, report.name, fleets, draws, is_binary(report))


def _diagnosis(d: Diagnosis) -> Mapping[str, Any]:
    told = {f.name: getattr(d, f.name) for f in fields(Diagnosis) if f.name not in ("function", "witnesses", "when", "settings")}
    return {**told, "settings": {name: _shown(value) for name, value in d.settings.items()}, "text": d.page}


def _shown(value: Any) -> Any:
    """Return a setting as `explain` prints it."""
    try:
        return sound.plain(value)
    except (TypeError, ValueError):
        return repr(value)[:100]


def stand_ins(plugin: Plugin, told: Facts, guest: Guest) -> None:
    """Fill a plugin with parts whose calls go to its process."""
    plugin.errors += told.errors
    plugin.traces += told.traces
    plugin.outdated += told.outdated
    plugin.grammars += told.grammars
    plugin.gates += told.gates
    plugin.extensions += told.extensions
    plugin.machines |= dict.fromkeys(told.machines, object)
    plugin.models += [_model(i, m, guest) for i, m in enumerate(told.models)]
    plugin.diagnoses += [_Asked(_elsewhere, number=i, guest=guest, **d) for i, d in enumerate(told.diagnoses)]
    plugin.systems += [_system(i, s, guest) for i, s in enumerate(told.systems)]
    plugin.lanes += [_lane(i, s, guest) for i, s in enumerate(told.lanes)]
    plugin.reports += [_report(i, r, guest) for i, r in enumerate(told.reports)]


def _elsewhere() -> Iterable[Finding | Verdict]:
    raise NotImplementedError("its function is in another process")


@dataclass(frozen=True, slots=True)
class _Asked(Diagnosis):
    """A diagnosis whose function runs in the process of its plugin."""

    number: int = 0
    text: str = ""
    guest: Guest = field(kw_only=True)

    @property
    def page(self) -> str:
        """Return the user's page."""
        return self.text

    def answers(self, asked: Iterable[Mapping[str, Any]], settings: Mapping[str, Any]) -> Iterable[Sequence[Finding | Verdict]]:
        """Yield what the function yields there, all places in one call. Errors: Raised, Lost."""
        if places := list(asked):
            for results in self.guest.ask("answers", self.number, places, settings):
                yield list(map(sound.result, results))


def _model(number: int, told: ModelFacts, guest: Guest) -> type[Model]:
    class Asked(Model):
        tables: ClassVar[tuple[Table, ...]] = told.tables
        needs: ClassVar[tuple[str, ...]] = tuple(name for name in told.hears if name not in told.across)
        across: ClassVar[tuple[str, ...]] = told.across
        gates: ClassVar[tuple[str, ...]] = told.gates

        @classmethod
        def played(cls, parts: Parts) -> Iterable[tuple[str, pl.DataFrame]]:
            """Run it there, over every stream. Errors: Raised, Lost, and what `check` raises."""
            for i, case in enumerate(parts.cases):
                heard = {name: parts.of_case(name, i) for name in told.hears if name in parts}
                for name, frame in guest.ask("played", number, heard, case.streams):
                    check(cls, name, frame)
                    yield name, frame

    Asked.__name__ = Asked.__qualname__ = told.name
    return Asked


def _system(number: int, told: SystemFacts, guest: Guest) -> type[System]:
    class Asked(System):
        name: ClassVar[str] = told.label
        reads: ClassVar[tuple[str, ...]] = told.reads
        fixes: ClassVar[tuple[Fix, ...]] = told.fixes
        switches: ClassVar[tuple[str, ...]] = told.switches
        asks: ClassVar[tuple[str, ...]] = told.asks

        @classmethod
        def flipped(cls, machines: Mapping[str, type], tables: Mapping[str, pl.DataFrame], gates: Mapping[str, Gate]) -> Sequence[Flip]:
            """Replay it there. Errors: Raised, Lost."""
            return [whatif.sound(flip) for flip in guest.ask("flipped", number, tables, gates)] if tables else []

    Asked.__name__ = Asked.__qualname__ = told.name
    return Asked


def _lane(number: int, told: LaneFacts, guest: Guest) -> LaneSource:
    def asked(scene: Scene) -> Iterable[Lane]:
        drawn: list[Lane] = guest.ask("drawn", number, scene)
        return drawn

    asked.__name__ = asked.__qualname__ = told.name
    return LaneSource(asked, told.order, told.reads, told.about, told.of)


def _report(number: int, told: ReportFacts, guest: Guest) -> Any:
    def _written_there(method: str, value: Any, options: Mapping[str, Any]) -> str | bytes:
        report: str | bytes = guest.ask("written", number, method, value, options)
        return report

    class Asked:
        name: ClassVar[str] = told.format
        draws: ClassVar[bool] = told.draws
        binary: ClassVar[bool] = told.binary

        def write(self, run: Any, options: Mapping[str, Any]) -> str | bytes:
            """Write it there. Errors: Raised, Lost."""
            return _written_there("write", run, options)

    class AskedOfFleets(Asked):
        def write_fleet(self, fleet: Any, options: Mapping[str, Any]) -> str | bytes:
            """Write it there. Errors: Raised, Lost."""
            return _written_there("write_fleet", fleet, options)

    made = AskedOfFleets if told.fleets else Asked
    made.__name__ = made.__qualname__ = told.name
    return made
