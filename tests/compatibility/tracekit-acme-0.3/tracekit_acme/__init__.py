"""What the acme's driver and its log daemon tell."""

from pathlib import Path

from tracekit import Diagnosis, LaneSource, Model, Report, hookimpl

TRACEKIT_API = 1


@hookimpl
def tracekit_grammars() -> list[Path]:
    """A folder with `events/` and `envelopes/`."""
    return [Path(__file__).parent / "grammars"]


@hookimpl
def tracekit_models() -> list[type[Model]]:
    """Classes, not objects: each replay makes its own."""
    from tracekit_acme.doorbells import Doorbells

    return [Doorbells]


@hookimpl
def tracekit_diagnoses() -> list[Diagnosis]:
    """The decorated functions."""
    from tracekit_acme.unanswered import unanswered

    return [unanswered]


@hookimpl
def tracekit_reports() -> list[type[Report]]:
    """What `--format` takes more."""
    from tracekit_acme.brief import Brief

    return [Brief]


@hookimpl
def tracekit_lanes() -> list[LaneSource]:
    """The decorated functions."""
    from tracekit_acme.lanes import doorbells

    return [doorbells]
