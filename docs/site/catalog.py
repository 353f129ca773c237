"""What the installed code has: diagnoses, gates, tables, hooks, commands and reports, each with the address of its page."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import typer

from tracekit.cli.main import application
from tracekit.cli.schema import Entry, catalog
from tracekit.diagnosing.diagnoses import BLIND_SPOT, Diagnosis
from tracekit.pipeline import Engine
from tracekit.plugins import hooks
from tracekit.replay.gates import Gate

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Command:
    """A command, with its words and the object that parses its options."""

    words: str
    parser: Any
    help_options: list[str]  # as the whole program has them: -h, --help


class Catalog:
    """All parts of the installed code that get a page. Codes are links in texts; `address` says where a page lies."""

    @cached_property
    def engine(self) -> Engine:
        """Return plugins and grammars, for all analyses of the build."""
        return Engine.load(simulators=True)

    @property
    def diagnoses(self) -> list[Diagnosis]:
        """Return the diagnoses by code, the run's own finding last."""
        return [*self.engine.registry.diagnoses, BLIND_SPOT]

    @property
    def gates(self) -> Mapping[str, Gate]:
        """Return the gates, those of a project together."""
        return dict(sorted(self.engine.registry.gates.items(), key=lambda g: (g[0][:2], len(g[0]), g[0])))

    @cached_property
    def tables(self) -> dict[str, Entry]:
        """Return the tables by name."""
        return dict(sorted(catalog().items()))

    @cached_property
    def hooks(self) -> dict[str, Any]:
        """Return the hooks by name, in the order of their declaration."""
        named = {name: f for name, f in vars(hooks).items() if name.startswith("tracekit_") and inspect.isfunction(f)}
        return dict(sorted(named.items(), key=lambda h: h[1].__code__.co_firstlineno))

    @property
    def reports(self) -> dict[str, Any]:
        """Return the report classes by name."""
        return {r.name: getattr(r, "whole", lambda r=r: r)() for r in self.engine.registry.reports}

    @cached_property
    def commands(self) -> list[Command]:
        """Return the commands, each before those below it."""
        program = typer.main.get_command(application())
        return list(_commands("tracekit", program, program.context_settings["help_option_names"]))

    def pages(self, up: str = "../") -> dict[str, str]:
        """Return the address of the page of each code, from a page that lies `up` below the root."""
        return {d.code: f"{up}diagnoses/{d.code}.md" for d in self.diagnoses} | {c: f"{up}gates/{c}.md" for c in self.gates}


def _commands(words: str, parser: Any, help_options: list[str]) -> Iterator[Command]:
    yield Command(words, parser, help_options)
    for word, below in sorted(getattr(parser, "commands", {}).items()):
        yield from _commands(f"{words} {word}", below, help_options)
