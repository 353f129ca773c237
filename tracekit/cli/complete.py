"""Shell completion of codes, families, settings, gates and tables. Each function takes the text typed so far."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracekit.plugins.registry import Registry

Told = list[tuple[str, str]]  # what to type, and what it is


def diagnoses(incomplete: str) -> Told:
    """Complete codes and names of diagnoses, and families; in a list the last one."""
    registry = _registry()
    families = {d.code.partition("-")[0] for d in registry.diagnoses}
    told = [(d.code, d.name) for d in registry.diagnoses] + [(d.name, d.code) for d in registry.diagnoses]
    return _ending(incomplete, told + [(family, "all of the family") for family in sorted(families)])


def pages(incomplete: str) -> Told:
    """Complete what has a page: codes and names of diagnoses and of gates."""
    registry = _registry()
    told = [(d.code, d.name) for d in registry.diagnoses] + [(d.name, d.code) for d in registry.diagnoses]
    gates = registry.gates.values()
    return _ending(incomplete, told + [(g.code, g.name) for g in gates] + [(g.name, g.code) for g in gates])


def settings(incomplete: str) -> Told:
    """Complete names of settings of diagnoses."""
    return _ending(incomplete, [(f"{d.name}.{s}=", str(v)) for d in _registry().diagnoses for s, v in d.settings.items()])


def severities(incomplete: str) -> Told:
    """Complete a code and its severity, as in `MSI-001=low`."""
    from tracekit.findings import SEVERITIES

    name, given, _ = incomplete.partition("=")
    if given:
        return _ending(incomplete, [(f"{name}={s}", "") for s in SEVERITIES])
    return [(f"{code}=", what) for code, what in diagnoses(incomplete)]


def tables(incomplete: str) -> Told:
    """Complete names of tables."""
    from tracekit.cli.schema import catalog

    return _ending(incomplete, [(name, entry.table.row) for name, entry in catalog().items()])


def recipes(incomplete: str) -> Told:
    """Complete families of faults that can be recorded."""
    from tracekit.diagnosing.recipes import RECIPES

    return _ending(incomplete, [(name, recipe.asks) for name, recipe in RECIPES.items()])


def formats(incomplete: str) -> Told:
    """Complete names of reports."""
    return _ending(incomplete, [(r.name, "") for r in _registry().reports])


def _registry() -> "Registry":
    from tracekit.plugins import registry as plugins
    from tracekit.plugins.isolation import Isolation

    return plugins.load(isolation=Isolation())


def _ending(incomplete: str, told: Told) -> Told:
    """Return what begins with what is typed, in its case; what stands before the last comma is kept."""
    last = incomplete.rpartition(",")[2]
    return [(incomplete + text[len(last) :], what) for text, what in told if text.lower().startswith(last.lower())]
