"""`tracekit test`: run the samples of a folder without pytest, and say in lines what differs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from tracekit.cli import options as cli_options
from tracekit.cli.output import say
from tracekit.errors import UsageError


def test(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Folders with samples: each has an expected.toml beside its logs.")
    ],
    plugins: cli_options.Plugins = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error was raised.")] = False,
) -> None:
    """Run samples and compare their findings with expected.toml; a quiet sample must have been evaluated. Exit status: 1 if one fails."""
    from tracekit import deprecation
    from tracekit.testing import differences

    cases = [case for path in paths for case in _cases(path)]
    failed, outdated = 0, list[str]()
    for case in cases:
        with deprecation.heard(outdated):
            told = differences(case)
        failed += bool(told)
        say(f"{'FAILED' if told else 'passed'}  {case}")
        for line in told:
            say(f"  {line}")
    for text in outdated:
        say(f"deprecated: {text}")
    say(f"{len(cases) - failed} passed, {failed} failed")
    raise typer.Exit(1 if failed else 0)


def _cases(path: Path) -> Iterator[Path]:
    """Yield the samples at a path. Errors: UsageError where there is none."""
    from tracekit.testing import EXPECTED

    if not path.is_dir():
        raise UsageError(f"{path} is no folder")
    found = sorted(file.parent for file in path.rglob(EXPECTED))
    if not found:
        raise UsageError(f"{path} has no sample: no {EXPECTED} in it or below (`tracekit expect CASE` prints one)")
    yield from found
