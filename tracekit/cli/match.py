"""`tracekit match`: which rule reads a line, or how far the nearest one goes along."""

from typing import TYPE_CHECKING, Annotated

import typer

from tracekit.cli import options as cli_options
from tracekit.cli.output import say

if TYPE_CHECKING:
    from tracekit.pipeline import Engine


def match(
    lines: Annotated[list[str], typer.Argument(metavar="LINE...", help="Lines of a log, each in quotes.")],
    plugins: cli_options.Plugins = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error was raised.")] = False,
) -> None:
    """Say which rule of the grammars reads a line, or how far the nearest one goes along. Exit status: 1 if a line is not read."""
    from tracekit.pipeline import Engine
    from tracekit.plugins.isolation import Isolation

    engine = Engine.load(("*",), Isolation())
    read = [_told(line, engine) for line in lines]
    raise typer.Exit(0 if all(read) else 1)


def _told(line: str, engine: "Engine") -> bool:
    """Print what becomes of a line; return whether a rule reads it."""
    from tracekit.grammar.reach import furthest

    reach = furthest(line, engine.vocabulary.rules.values())
    if reach is None:
        say(f"{line}\nno rule has five characters of it")
        return False
    rule = reach.rule
    where = f"{rule.name} ({rule.file}:{rule.line})"
    if reach.wanted:
        say(f"{line}\n{' ' * reach.end}^ {where} goes along from column {reach.begin + 1} to here, and wants {reach.wanted}")
        return False
    say(f"{line}\n{' ' * reach.begin}^ {where} reads it from here")
    return True
