"""`tracekit record`: what to record for a family of faults or for one diagnosis."""

import re
from typing import Annotated

import typer

from tracekit.bdf import full_bdf
from tracekit.cli import complete
from tracekit.errors import UsageError, nearest

_BDF = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")  # 0000:17:00.0


def record(
    family: Annotated[
        str | None,
        typer.Argument(metavar="[FAMILY|CODE]", autocompletion=complete.recipes, help="What to record; without, the families are listed."),
    ] = None,
    device: Annotated[str | None, typer.Option(metavar="BDF", help="Only the interrupts of this function.")] = None,
    script: Annotated[
        bool,
        typer.Option(
            "--script",
            help="Print a shell script that records, cleans up, and leaves one archive (hwsize: a script for drgn); it needs no tracekit.",
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error was raised.")] = False,
) -> None:
    """Print the shell commands that record what a family of faults leaves, at little cost."""
    from tracekit.diagnosing import recipes, recording

    if family is None:
        if script or device:
            raise UsageError(f"name what to record: {', '.join(recipes.RECIPES)}, or the code of a diagnosis")
        print("\n".join(f"{name}\n  {r.asks}\n  {' '.join(r.feeds)}" for name, r in recipes.RECIPES.items()))
        return
    name, function = _family(family), _function(device)
    if not script:
        print(recording.about(recipes.script(recipes.RECIPES[name]), function), end="")
    elif recipes.RECIPES[name].tracing or recipes.RECIPES[name].program:
        print(recording.script(name, function), end="")
    else:
        able = [n for n, r in recipes.RECIPES.items() if r.tracing or r.program]
        raise UsageError(
            f"{name} is no script: its commands need more than a shell (tracekit record {name}); scripts are {', '.join(able)}"
        )


def _family(name: str) -> str:
    """Return the family of a name, a code, or the name of a diagnosis. Errors: UsageError with the nearest name."""
    from tracekit.diagnosing import recipes, recording

    if name in recipes.RECIPES:
        return name
    if found := recording.family_for(name.upper()) or recording.family_for(_code(name)):
        return found
    known = [*recipes.RECIPES, *(code for r in recipes.RECIPES.values() for code in r.feeds)]
    raise UsageError(f"no family is called {name}; there are {', '.join(recipes.RECIPES)}{nearest(name.upper(), known)}")


def _code(name: str) -> str:
    from tracekit.plugins import registry
    from tracekit.plugins.isolation import Isolation

    return next((d.code for d in registry.load(isolation=Isolation()).diagnoses if d.name == name.lower()), "")


def _function(device: str | None) -> str | None:
    """Return a BDF in full. Errors: UsageError."""
    if device is None:
        return None
    if not _BDF.fullmatch(found := full_bdf(device.lower())):
        raise UsageError(f"--device {device}: give a function, as in 0000:17:00.0")
    return found
