"""The commands for those who write plugins: new, expect."""

from pathlib import Path
from typing import Annotated

import typer

from tracekit.cli import options as cli_options
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


Output = Annotated[Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="A folder that is not there yet.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="What it is called: acme.")]


@new.command()
def grammar(name: Name, output: Output = None, debug: Debug = False) -> None:
    """Write a file with a grammar, and a sample that says how many rows it gives."""
    _begin("grammar", name, output)


@new.command()
def model(name: Name, output: Output = None, debug: Debug = False) -> None:
    """Write a file with a grammar and a model over its tables, and a sample that says how many rows they give."""
    _begin("model", name, output)


@new.command()
def report(name: Name, output: Output = None, debug: Debug = False) -> None:
    """Write a file with a report, which --format takes by this name, and a sample with its text."""
    _begin("report", name, output)


@new.command()
def plugin(name: Name, output: Output = None, debug: Debug = False) -> None:
    """Write one file with a grammar, a model, a diagnosis and a report, and samples of all of them."""
    _begin("plugin", name, output)


def _begin(kind: str, name: str, output: Path | None) -> None:
    from tracekit.cli.begun import write

    folder = write(kind, name, output)
    print(f"{folder} is ready. It is tried by:\n  tracekit test {folder} --plugins {folder / name}.py")
    print("Its parts: tracekit plugins --plugins FILE, tracekit schema, and docs/plugins.md of tracekit.")


def expect(
    cases: Annotated[list[Path], typer.Argument(metavar="CASE...", help="Folders of samples: sample_traces/NAME/fires-*.")],
    plugins: cli_options.Plugins = None,
    debug: Debug = False,
) -> None:
    """Print what a sample's expected.toml would say now: to be read before it is kept."""
    from tracekit.testing import expected_now

    for case in cases:
        if not case.is_dir():
            raise UsageError(f"{case} is no folder of a sample")
        print(expected_now(case))
