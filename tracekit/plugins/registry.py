"""Plugins: found by entry points, and loaded one by one. A plugin that fails is reported with its version; the others are used."""

import time
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from tracekit import deprecation
from tracekit.diagnosing import recipes
from tracekit.diagnosing.diagnoses import Diagnosis, lacking
from tracekit.errors import nearest
from tracekit.findings import Finding, Outcome
from tracekit.guard import Lost, aside, guarded
from tracekit.picture.lane import LaneSource
from tracekit.plugins import claims, hooks, loose, parts
from tracekit.plugins.isolation import IN_PROCESS, Isolation, is_ours, version_of
from tracekit.plugins.plugin import Plugin
from tracekit.replay.gates import CODE, Gate, marked
from tracekit.replay.model import Model
from tracekit.replay.whatif import System
from tracekit.run import Report

if TYPE_CHECKING:  # processes of plugins, and simulators, are loaded where they are asked for
    from tracekit.plugins.guest import Guest
    from tracekit.simulate.simulator import Simulator

GROUP = "tracekit"
_TABLES = 256  # sets of tables of which outcomes are kept


@dataclass
class Registry:
    """All plugins of a run."""

    plugins: list[Plugin] = field(default_factory=list)

    @property
    def models(self) -> list[type[Model]]:
        """Return the models of all plugins."""
        return [m for p in self.plugins for m in p.models]

    @property
    def diagnoses(self) -> list[Diagnosis]:
        """Return the diagnoses of all plugins, by code."""
        return [d for d, _ in self.judges]

    @property
    def judges(self) -> list[tuple[Diagnosis, Plugin]]:
        """Return the diagnoses of all plugins, by code, each with its plugin."""
        return sorted(((d, p) for p in self.plugins for d in p.diagnoses), key=lambda judge: judge[0].code)

    @property
    def changes(self) -> list[tuple[Plugin, Diagnosis, str]]:
        """Return what plugins change about diagnoses of others: by whom, which, and what in words."""
        return [(by, d, text) for d, owner in self.judges for by, text in claims.changes(self.plugins, d, owner)]

    @cached_property
    def changed(self) -> list[str]:
        """Return the same as lines that a report can print."""
        return [f"plugin {by.name} {by.version} {text}" for by, _, text in self.changes]

    @cached_property
    def asked(self) -> list[tuple[Diagnosis, Plugin, dict[str, Any]]]:
        """Return the diagnoses of all plugins, by code, each with its plugin and the settings that other plugins give it."""
        return [(d, p, self.given(d)) for d, p in self.judges]

    @cached_property
    def lacking(self) -> Callable[[frozenset[str]], list[Outcome | None]]:
        """Return what tells, by the names of the tables of a case of one place, the outcomes of the diagnoses that lack one (`lacking`)."""
        diagnoses = [d for d, _, _ in self.asked]
        return lru_cache(_TABLES)(lambda names: [o and recipes.named(o) for o in lacking(diagnoses, names)])

    def given(self, d: Diagnosis) -> dict[str, Any]:
        """Return the settings that other plugins give a diagnosis."""
        return {name: value for name, (value, _) in claims.given(self.plugins, d).items()}

    def advised(self, d: Diagnosis, findings: Iterable[Finding]) -> Iterator[Finding]:
        """Yield the findings of a diagnosis with the advice that other plugins add."""
        more = [f"{e.advice} ({p.name} {p.version})" for e, p in claims.extended(self.plugins, d) if e.advice]
        yield from (replace(f, advice=" ".join(filter(None, (f.advice, *more)))) for f in findings)

    @property
    def grammars(self) -> dict[Path, Plugin]:
        """Return the grammar folders of all plugins, beside the built-in one, and whose they are."""
        return {g: p for p in self.plugins for g in p.grammars}

    @property
    def machines(self) -> dict[str, type]:
        """Return the machines of all plugins, by name."""
        return {name: machine for p in self.plugins if not p.apart for name, machine in p.machines.items()}

    @property
    def gates(self) -> dict[str, Gate]:
        """Return the gates of all plugins, by code."""
        return {g.code: g for p in self.plugins for g in p.gates}

    @property
    def systems(self) -> list[type[System]]:
        """Return the systems of all plugins."""
        return [s for p in self.plugins for s in p.systems]

    @property
    def lanes(self) -> list[LaneSource]:
        """Return the lanes of all plugins, in the order in which they are drawn."""
        return sorted((s for p in self.plugins for s in p.lanes), key=lambda s: s.order)

    @property
    def simulators(self) -> "list[type[Simulator]]":
        """Return the simulators of all plugins, where they were asked for."""
        return [s for p in self.plugins for s in p.simulators]

    @property
    def reports(self) -> list[type[Report]]:
        """Return the report classes of all plugins."""
        return [r for p in self.plugins for r in p.reports]

    def fresh(self) -> "Registry":
        """Return the plugins for another run, which notes its errors apart from these."""
        again = Registry([replace(p, errors=list(p.errors), traces=list(p.traces)) for p in self.plugins])
        own = {id(p): fresh for p, fresh in zip(self.plugins, again.plugins, strict=True)}
        again.asked = [(d, own[id(p)], settings) for d, p, settings in self.asked]
        again.changed, again.lacking = self.changed, self.lacking
        return again

    @property
    def strangers(self) -> bool:
        """Return whether code of others runs in this process: what it prints must not get into a report."""
        return any(not (p.ours or p.apart) for p in self.plugins)

    def owner(self, part: object) -> Plugin:
        """Return the plugin that a model or a diagnosis comes from."""
        return next(p for p in self.plugins if any(part in parts for parts in (p.models, p.diagnoses, p.reports, p.systems, p.lanes)))

    def asked_for(self) -> set[str]:
        """Return names of all tables that a model, a diagnosis or a system reads."""
        return {t for p in self.plugins for reader in p.readers() for t in reader.tables}

    def looked_for(self, whole: Set[str]) -> dict[str, set[str]]:
        """Return, by table, texts of which a row holds one that a reader is about. `whole`: tables of which all rows are wanted, beside
        those of which a reader does not say what it is about."""
        readers = [reader for p in self.plugins for reader in p.readers()]
        whole = whole | {t for reader in readers for t in reader.tables if t not in reader.looks_for}
        told = {t for reader in readers for t in reader.looks_for} - whole
        return {t: {text for reader in readers for text in reader.looks_for.get(t, ())} for t in told}


def load(
    entry_points: Iterable[metadata.EntryPoint] | None = None, isolation: Isolation = IN_PROCESS, simulators: bool = False
) -> Registry:
    """Load every plugin of the entry-point group `tracekit`, those of tracekit itself first. Never raises for a plugin's fault.

    `isolation`: which plugins run in a process of their own; what stands for them here are stand-ins. `simulators`: ask for those too; no
    analysis needs them.
    """
    points = (*metadata.entry_points(group=GROUP), *loose.points()) if entry_points is None else entry_points
    ordered = sorted(points, key=lambda p: (not is_ours(p), p.name))
    guests = _guests([p for p in ordered if isolation.holds(p)], isolation)
    registry = Registry([_apart(p, guests[p]) if p in guests else alone(p, simulators) for p in ordered])
    claims.settle(registry.plugins)
    _check_gates(registry)
    return registry


def _guests(points: Iterable[metadata.EntryPoint], isolation: Isolation) -> "dict[metadata.EntryPoint, Guest]":
    """Begin a process for each of these plugins: they come up while the others are loaded."""
    guests = {}
    for point in points:
        from tracekit.plugins.guest import Guest

        guests[point] = Guest(point, isolation)
        guests[point].begin()
    return guests


def _apart(point: metadata.EntryPoint, guest: "Guest") -> Plugin:
    """Return a plugin that runs in a process of its own, as that process describes it."""
    from tracekit.plugins.standins import stand_ins

    plugin, start = _blank(point), time.perf_counter()
    plugin.apart = True

    def failed(error: BaseException) -> None:
        plugin.failed("load", error, "loading it" if isinstance(error, Lost) else "")

    with guarded(failed):
        stand_ins(plugin, guest.described(), guest)
    plugin.seconds = time.perf_counter() - start
    return plugin


def _blank(point: metadata.EntryPoint) -> Plugin:
    return Plugin(point.name, version_of(point), ours=is_ours(point), place=point.value if isinstance(point, loose.Loose) else "")


def alone(point: metadata.EntryPoint, simulators: bool = False) -> Plugin:
    """Load one plugin into this process."""
    plugin, start = _blank(point), time.perf_counter()
    into(plugin, point, simulators)
    plugin.seconds = time.perf_counter() - start
    return plugin


def into(plugin: Plugin, point: metadata.EntryPoint, simulators: bool = False) -> None:
    """Import the module of a plugin, and take what its hooks give."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hooks)
    with deprecation.heard(plugin.outdated), aside(not plugin.ours), guarded(lambda e: plugin.failed("load", e)):
        module = point.load()
        if (wanted := getattr(module, "TRACEKIT_API", hooks.API)) != hooks.API:
            plugin.wrong(f"was not loaded: it is written for API {wanted!r} of tracekit, this one has API {hooks.API}")
            return
        manager.register(module, name=point.name)
        for what in parts.misnamed(module, {n for n in vars(hooks) if n.startswith("tracekit_")}):
            plugin.wrong(f"is wrong: {what}")
        for name in list(vars(module)):
            deprecation.used(name)
        _collect(manager, module, plugin, "tracekit_grammars", plugin.grammars, parts.grammar_folder)
        _collect(manager, module, plugin, "tracekit_models", plugin.models, parts.model)
        _collect(manager, module, plugin, "tracekit_diagnoses", plugin.diagnoses, parts.diagnosis)
        _collect(manager, module, plugin, "tracekit_extensions", plugin.extensions, parts.extension)
        _collect(manager, module, plugin, "tracekit_reports", plugin.reports, parts.report)
        _collect(manager, module, plugin, "tracekit_systems", plugin.systems, parts.system)
        _collect(manager, module, plugin, "tracekit_gates", plugin.gates, parts.gate)
        _collect(manager, module, plugin, "tracekit_lanes", plugin.lanes, parts.lane)
        if simulators:
            _collect(manager, module, plugin, "tracekit_simulators", plugin.simulators, parts.simulator)
        _answer(manager, module, plugin, "tracekit_machines", lambda given: plugin.machines.update(parts.machines(given)))


def _collect(
    manager: pluggy.PluginManager, module: object, plugin: Plugin, hook: str, into: list[Any], wrong: Callable[[Any], str]
) -> None:
    """Take what one hook of one plugin gives, part by part: one that is wrong is named, the others are kept."""

    def failed(error: BaseException) -> None:
        plugin.failed(f"answer {hook}", error)

    _answer(manager, module, plugin, hook, lambda given: into.extend(parts.sound(given, wrong, failed)))


def _answer(manager: pluggy.PluginManager, module: object, plugin: Plugin, hook: str, take: Callable[[Any], None]) -> None:
    """Call one hook of one plugin; pluggy itself would stop at the first implementation that raises."""
    for impl in getattr(manager.hook, hook).get_hookimpls():
        if impl.plugin is module:
            with guarded(lambda e: plugin.failed(f"answer {hook}", e)):
                take(impl.function())


def _check_gates(registry: Registry) -> None:
    """Name every part that refers to a gate which no plugin declares: what it asks for, flips, or marks in a text."""
    known = set(registry.gates)
    for plugin in registry.plugins:
        asked: list[tuple[str, Iterable[str]]] = [(f"model {m.__name__}", m.gates) for m in plugin.models]
        asked += [(f"diagnosis {d.code} {d.name}", (*d.gates, *marked([d.page]))) for d in plugin.diagnoses]
        asked += [(f"the extension of {e.of}", marked([e.advice])) for e in plugin.extensions]
        asked += [(f"gate {g.code}", marked([g.holds, g.changes, g.advice])) for g in plugin.gates]
        for s in plugin.systems:
            flipped = [f.gate for f in s.fixes if CODE.fullmatch(f.gate) or f.gate not in s.switches]
            asked.append((f"system {s.__name__}", (*flipped, *s.asks, *marked(f.text for f in s.fixes))))
        for what, codes in asked:
            for code in sorted(set(codes) - known):
                plugin.wrong(f"is wrong: {what} asks for a gate {code}, which nothing declares{nearest(code, known)}")


def check(registry: Registry, events: Iterable[str], broken: Iterable[str] = ()) -> None:
    """Name what only shows once the grammars are loaded: tables that nothing gives, models that emit the table of an event.

    `broken`: tables of grammars that could not be read, which are named already.
    """
    names = set(events)
    for plugin in registry.plugins:
        for model in plugin.models:
            for name in sorted(names & set(model.emits())):
                plugin.wrong(f"is wrong: model {model.__name__} is left out, a grammar's event is called {name}")
        plugin.models = [m for m in plugin.models if not names & set(m.emits())]
    known = names | claims.OWN | {t for m in registry.models for t in m.emits()}
    for plugin in registry.plugins:
        for what, tables, _ in list(plugin.readers()):
            for table in sorted(set(tables) - known - set(broken)):
                plugin.wrong(f"is wrong: {what} asks for a table {table}, which nothing gives{nearest(table, known)}")
