"""Claims: names that a part takes, a diagnosis that it replaces or extends. Of two claims on one thing the first that was loaded holds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tracekit.diagnosing.diagnoses import Diagnosis
from tracekit.diagnosing.extension import Extension
from tracekit.errors import nearest
from tracekit.plugins.plugin import Plugin
from tracekit.replay.model import Model
from tracekit.tables import pipeline
from tracekit.tables.declaration import Table

OWN = frozenset(t.name for t in pipeline.OWN)  # tables that the pipeline makes
BLIND_SPOT = ("OBS-001", "obs.blind-spot")  # the run's own finding


def settle(plugins: Sequence[Plugin]) -> None:
    """Leave out each part whose claim does not hold, and name its plugin."""
    codes, formats, gates = dict.fromkeys(BLIND_SPOT, "tracekit"), dict[str, str](), dict[str, str]()
    declared: dict[str, Table] = {}
    instead = [(p, d) for p in plugins for d in p.diagnoses if d.replaces]
    for plugin in plugins:
        own = [d for d in plugin.diagnoses if not d.replaces]
        plugin.diagnoses = [d for d in own if _first(plugin, f"diagnosis {d.code} {d.name}", {d.code, d.name}, codes)]
        plugin.reports = [r for r in plugin.reports if _first(plugin, f"report {r.name}", {r.name}, formats)]
        plugin.gates = [g for g in plugin.gates if _first(plugin, f"gate {g.code} {g.name}", {g.code, g.name}, gates)]
        plugin.models = [m for m in plugin.models if _agrees(plugin, m, declared)]
    for plugin, d in instead:
        _take_place(plugins, plugin, d, codes)
    _hand_over(plugins)
    given: dict[tuple[str, str], str] = {}
    for plugin in plugins:
        plugin.extensions = [e for e in plugin.extensions if _fits(plugins, plugin, e, given)]


def extended(plugins: Sequence[Plugin], d: Diagnosis) -> Iterator[tuple[Extension, Plugin]]:
    """Yield the extensions of a diagnosis, each with its plugin."""
    yield from ((e, p) for p in plugins for e in p.extensions if e.of in d.called)


def given(plugins: Sequence[Plugin], d: Diagnosis) -> Mapping[str, tuple[Any, Plugin]]:
    """Return the settings that plugins give a diagnosis of another one, and which plugin gives each."""
    return {name: (value, p) for e, p in extended(plugins, d) for name, value in e.settings.items()}


def changes(plugins: Sequence[Plugin], d: Diagnosis, owner: Plugin) -> Iterator[tuple[Plugin, str]]:
    """Yield what plugins change about diagnoses of others, in words."""
    if d.stands_for:
        code, name = d.stands_for[:2]
        taken = "" if d.code == code else f" by {d.code} {d.name}"
        yield owner, f"replaces {code} {name}{taken}"
    for e, p in extended(plugins, d):
        if e.settings:
            yield p, f"sets {', '.join(f'{n} = {v!r}' for n, v in e.settings.items())} of {d.code} {d.name}"
        if e.advice:
            yield p, f"adds advice to {d.code} {d.name}"


def _first(plugin: Plugin, what: str, names: set[str], taken: dict[str, str]) -> bool:
    """Return whether names are free; `taken`: name -> the plugin that has it."""
    if repeated := sorted(names & taken.keys()):
        plugin.wrong(f"is wrong: {what} is left out, {' and '.join(repeated)} is taken by {taken[repeated[0]]}")
        return False
    taken.update(dict.fromkeys(names, plugin.name))
    return True


def _agrees(plugin: Plugin, model: type[Model], declared: dict[str, Table]) -> bool:
    """Return whether the tables a model emits are those that other models declare under these names."""
    for table in model.tables:
        if declared.get(table.name, table) != table or table.name in OWN:
            told = "is declared otherwise: models that emit one table share its declaration"
            plugin.wrong(f"is wrong: model {model.__name__} is left out, another table is called {table.name} and {told}")
            return False
    declared |= {t.name: t for t in model.tables}
    return True


def _take_place(plugins: Sequence[Plugin], plugin: Plugin, d: Diagnosis, codes: dict[str, str]) -> None:
    """Put a diagnosis in the place of the one that it replaces, whose name and code it may keep."""
    what = f"diagnosis {d.code} {d.name}"
    there = [(p, old) for p in plugins if p is not plugin for old in p.diagnoses if d.replaces in old.called]
    if not there:
        near = nearest(d.replaces, {n for p in plugins if p is not plugin for other in p.diagnoses for n in other.called})
        plugin.wrong(f"is wrong: {what} is left out, it replaces {d.replaces}, which no other plugin has{near}")
        return
    owner, old = there[0]
    if d.replaces in old.stands_for:
        plugin.wrong(f"is wrong: {what} is left out, {d.replaces} is replaced by plugin {owner.name} {owner.version} already")
    elif _first(plugin, what, {d.code, d.name} - {old.code, old.name}, codes):
        owner.diagnoses = [other for other in owner.diagnoses if other is not old]
        plugin.diagnoses = [*plugin.diagnoses, replace(d, stands_for=(old.code, old.name, *old.stands_for))]


def _hand_over(plugins: Sequence[Plugin]) -> None:
    """Have what explains or supersedes a replaced diagnosis say the same of the one in its place."""
    heirs = {name: d.code for p in plugins for d in p.diagnoses for name in d.stands_for if name not in (d.code, d.name)}
    for p in plugins if heirs else ():
        p.diagnoses = [replace(d, explains=_with(d.explains, heirs), supersedes=_with(d.supersedes, heirs)) for d in p.diagnoses]


def _with(codes: tuple[str, ...], heirs: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*codes, *(heirs[c] for c in codes if c in heirs))))


def _fits(plugins: Sequence[Plugin], plugin: Plugin, e: Extension, taken: dict[tuple[str, str], str]) -> bool:
    """Return whether an extension is of a diagnosis that is there, with settings that it has and nobody else gives."""
    others = [d for p in plugins if p is not plugin for d in p.diagnoses]
    d = next((d for d in others if e.of in d.called), None)
    if d is None:
        told = f"no other plugin has a diagnosis of that name{nearest(e.of, {n for d in others for n in d.called})}"
    else:
        told = next(filter(None, (_unfit(d, name, value, taken) for name, value in e.settings.items())), "")
    if told or d is None:
        plugin.wrong(f"is wrong: the extension of {e.of} is left out, {told}")
        return False
    taken.update({(d.code, name): plugin.name for name in e.settings})
    return True


def _unfit(d: Diagnosis, name: str, value: Any, taken: Mapping[tuple[str, str], str]) -> str:
    if name not in d.settings:
        return f"it has no setting {name}{nearest(name, d.settings)}"
    wanted = type(d.settings[name])
    if type(value) is not wanted and not (wanted is float and type(value) is int):
        return f"its setting {name} is of type {wanted.__name__}, not {type(value).__name__}"
    return f"plugin {taken[d.code, name]} sets {name} already" if (d.code, name) in taken else ""
