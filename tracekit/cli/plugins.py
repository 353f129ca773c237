"""The command plugins: the plugins, their parts and their errors."""

from collections.abc import Iterator, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tracekit.cli import options as cli_options
from tracekit.cli.output import say, traced

if TYPE_CHECKING:
    from tracekit.pipeline import Engine
    from tracekit.plugins.plugin import Plugin


def list_plugins(
    plugins: cli_options.Plugins = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error was raised.")] = False,
) -> None:
    """Print the plugins: what each brings, through which hooks, how long it took to load, and what is wrong with it."""
    from tracekit.pipeline import Engine
    from tracekit.plugins.hooks import API
    from tracekit.plugins.isolation import Isolation

    engine = Engine.load(isolation=Isolation(), simulators=True)
    say(f"API {API}")
    for p in engine.registry.plugins:
        counts = ", ".join(f"{len(v)} {_plural(k, len(v))}" for k, (_, v) in _brings(p).items() if v)
        say(f"{p.name} {p.version}: {counts or 'nothing'}")
        for error in p.errors:
            say(f"  {error}")
            say(p.carets[error]) if error in p.carets else None
        traced(p.traces)
        for text in p.outdated:
            say(f"  deprecated: {text}")
        for text in (text for by, _, text in engine.registry.changes if by is p):
            say(f"  {text}")
        for label, names in _details(p, engine):
            say(f"  {label}: {', '.join(names)}")
    for error in engine.errors:
        say(error)


def _brings(p: "Plugin") -> dict[str, tuple[str, Sized]]:
    """Return the parts of a plugin with their hooks."""
    return {
        "diagnosis": ("tracekit_diagnoses", p.diagnoses),
        "model": ("tracekit_models", p.models),
        "extension": ("tracekit_extensions", p.extensions),
        "report": ("tracekit_reports", p.reports),
        "grammar folder": ("tracekit_grammars", p.grammars),
        "system": ("tracekit_systems", p.systems),
        "machine": ("tracekit_machines", p.machines),
        "gate": ("tracekit_gates", p.gates),
        "lane": ("tracekit_lanes", p.lanes),
        "simulator": ("tracekit_simulators", p.simulators),
    }


def _details(p: "Plugin", engine: "Engine") -> "Iterator[tuple[str, list[str]]]":
    """Yield (label, names) of what a plugin brings."""
    from tracekit.grammar import load as grammar

    events = grammar.load(engine.registry.grammars).events.values() if p.grammars else ()
    files = {file.name for folder in p.grammars for file in folder.glob("events/*.lark")}
    own = {r.name for r in events if Path(r.file).name in files}
    tables = sorted(own | {t for m in p.models for t in m.emits()})
    hooks = [hook for hook, parts in _brings(p).values() if len(parts)]
    told = (("from", [p.place]), ("hooks", hooks), ("codes", [d.code for d in p.diagnoses]), ("tables", tables))
    yield from (
        (label, names)
        for label, names in (*told, ("formats", [r.name for r in p.reports]), ("loaded in", [f"{p.seconds * 1000:,.0f} ms"]))
        if names and names != [""]
    )


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else {"diagnosis": "diagnoses"}.get(noun, noun + "s")
