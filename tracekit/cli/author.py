"""The commands for those who write plugins: new, expect."""

from pathlib import Path
from typing import Annotated

import typer

from tracekit.cli import plugins as cli_plugins
from tracekit.errors import UsageError

Debug = Annotated[bool, typer.Option("--debug", help="Show where an error was raised.")]
new = typer.Typer(help="Begin a plugin of one's own.", no_args_is_help=True, rich_markup_mode=None)


@new.command()
def diagnosis(
    name: Annotated[str, typer.Argument(metavar="FAMILY.SLUG", help="What it is called: acme.ring-stuck.")],
    code: Annotated[str | None, typer.Option(metavar="CODE", help="Its code; without, the first free one of the family.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="A folder that is not there yet.")] = None,
    debug: Debug = False,
) -> None:
    """Write a package with one diagnosis: grammar, function, samples that fire and stay quiet, and their test."""
    from tracekit.cli.scaffold import write

    folder = write(name, code, output)
    print(f"{folder} is ready. In a virtual environment that has tracekit:\n  cd {folder} && pip install -e '.[test]' && pytest")
    print("Its pages: tracekit explain NAME, tracekit schema, and docs/plugins.md of tracekit.")


def expect(
    cases: Annotated[list[Path], typer.Argument(metavar="CASE...", help="Folders of samples: sample_traces/NAME/fires-*.")],
    plugins: cli_plugins.Plugins = None,
    debug: Debug = False,
) -> None:
    """Print what a sample's expected.toml would say now: to be read before it is kept."""
    from tracekit.testing import expected_now

    for case in cases:
        if not case.is_dir():
            raise UsageError(f"{case} is no folder of a sample")
        print(expected_now(case))
