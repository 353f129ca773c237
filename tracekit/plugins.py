"""Plugins: found by entry points, loaded one by one; one that fails is named with its version and the rest goes on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pluggy

from tracekit import hooks
from tracekit.diagnoses import Diagnosis
from tracekit.model import Model
from tracekit.report import PluginReport
from tracekit.whatif import System

GROUP = "tracekit"


@dataclass
class Plugin:
    """One plugin: what it brought, and what went wrong with it."""

    name: str
    version: str
    grammars: list[Path] = field(default_factory=list)
    models: list[type[Model]] = field(default_factory=list)
    diagnoses: list[Diagnosis] = field(default_factory=list)
    reports: list[type] = field(default_factory=list)
    machines: dict[str, type] = field(default_factory=dict)
    systems: list[type[System]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def failed(self, doing: str, error: Exception) -> str:
        """Note an error of this plugin; returns the line that names it."""
        text = f"plugin {self.name} {self.version} failed to {doing}: {type(error).__name__}: {error}"
        self.errors.append(text)
        return text

    def report(self) -> PluginReport:
        """The plugin as a value."""
        diagnoses = tuple(f"{d.code} {d.name}" for d in self.diagnoses)
        return PluginReport(self.name, self.version, diagnoses, tuple(m.__name__ for m in self.models), tuple(self.errors))


@dataclass
class Registry:
    """All plugins of a run."""

    plugins: list[Plugin] = field(default_factory=list)

    @property
    def models(self) -> list[type[Model]]:
        """The models of all plugins."""
        return [m for p in self.plugins for m in p.models]

    @property
    def diagnoses(self) -> list[Diagnosis]:
        """The diagnoses of all plugins, by code."""
        return sorted((d for p in self.plugins for d in p.diagnoses), key=lambda d: d.code)

    @property
    def grammars(self) -> list[Path]:
        """The grammar folders of all plugins, beside the built-in one."""
        return [g for p in self.plugins for g in p.grammars]

    @property
    def machines(self) -> dict[str, type]:
        """The machines of all plugins, by name."""
        return {name: machine for p in self.plugins for name, machine in p.machines.items()}

    @property
    def systems(self) -> list[type[System]]:
        """The systems of all plugins."""
        return [s for p in self.plugins for s in p.systems]

    @property
    def reports(self) -> list[Any]:
        """The report classes of all plugins."""
        return [r for p in self.plugins for r in p.reports]

    def fresh(self) -> "Registry":
        """The same plugins for another run: what goes wrong there is not noted here."""
        return Registry([replace(p, errors=list(p.errors)) for p in self.plugins])

    def owner(self, part: object) -> Plugin:
        """The plugin that brought a model or a diagnosis."""
        return next(p for p in self.plugins if any(part in parts for parts in (p.models, p.diagnoses, p.reports, p.systems)))

    def asked_for(self) -> set[str]:
        """Names of all tables that a model or a diagnosis hears."""
        heard = {t for m in self.models for t in m.hears()}
        return heard | {t for d in self.diagnoses for t in (*d.needs, *d.wants)}


def load(entry_points: Iterator[metadata.EntryPoint] | None = None) -> Registry:
    """Load every plugin of the entry-point group `tracekit`. Never raises for a plugin's fault."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hooks)
    registry = Registry()
    for point in sorted(entry_points or metadata.entry_points(group=GROUP), key=lambda p: p.name):
        registry.plugins.append(_load_one(manager, point))
    return registry


def _load_one(manager: pluggy.PluginManager, point: metadata.EntryPoint) -> Plugin:
    plugin = Plugin(point.name, point.dist.version if point.dist else "?")
    try:
        module = point.load()
        manager.register(module, name=point.name)
    except Exception as e:
        plugin.failed("load", e)
        return plugin
    _collect(manager, module, plugin, "tracekit_grammars", plugin.grammars.extend)
    _collect(manager, module, plugin, "tracekit_models", plugin.models.extend)
    _collect(manager, module, plugin, "tracekit_diagnoses", plugin.diagnoses.extend)
    _collect(manager, module, plugin, "tracekit_reports", plugin.reports.extend)
    _collect(manager, module, plugin, "tracekit_machines", plugin.machines.update)
    _collect(manager, module, plugin, "tracekit_systems", plugin.systems.extend)
    return plugin


def _collect(manager: pluggy.PluginManager, module: object, plugin: Plugin, hook: str, take: Callable[[Any], None]) -> None:
    """Call one hook of one plugin; pluggy itself would stop at the first implementation that raises."""
    for impl in getattr(manager.hook, hook).get_hookimpls():
        if impl.plugin is module:
            try:
                take(impl.function())
            except Exception as e:
                plugin.failed(f"answer {hook}", e)
