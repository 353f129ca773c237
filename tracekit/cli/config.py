"""`tracekit config show`: every setting that holds here, and where its value comes from."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tracekit.cli import control as cli_control
from tracekit.cli import options as cli_options
from tracekit.cli import status as cli_status
from tracekit.cli.output import say

if TYPE_CHECKING:
    from tracekit.config.entries import Entry
    from tracekit.diagnosing.diagnoses import Diagnosis

config = typer.Typer(help="See the settings that hold here.", no_args_is_help=True, rich_markup_mode=None)


@config.callback()
def _config() -> None:
    """Show the settings that apply here."""


@config.command()
def show(
    select: cli_options.Select = None,
    ignore: cli_options.Ignore = None,
    severity: cli_options.Severity = None,
    settings: cli_options.Set = None,
    baseline: cli_options.Baseline = None,
    fail_on: cli_options.FailOn = None,
    config: cli_options.Config = None,
    plugins: cli_options.Plugins = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error was raised.")] = False,
) -> None:
    """Print every setting with its value and where that comes from: the defaults, a file, an option."""
    from tracekit.plugins import claims
    from tracekit.plugins.isolation import Isolation
    from tracekit.plugins.registry import load

    told = cli_control.entries(config, select, ignore, severity, settings, baseline, fail_on)
    cli_control.threshold(told)
    registry = load(isolation=Isolation())
    diagnoses = registry.diagnoses
    cli_control.control(told, diagnoses)  # names what is wrong with it
    given = {
        d.code: {name: (value, f"plugin {p.name} {p.version}") for name, (value, p) in claims.given(registry.plugins, d).items()}
        for d in diagnoses
    }
    rows = list(_rows(told, diagnoses, given))
    wide = max(len(name) for name, _, _ in rows)
    for name, value, origin in rows:
        say(f"{name:<{wide}} = {value}  ({origin})")


def _rows(
    told: "Sequence[Entry]", diagnoses: "Sequence[Diagnosis]", of_plugins: "Mapping[str, Mapping[str, tuple[Any, str]]]"
) -> "Iterator[tuple[str, str, str]]":
    """Yield (name, value, where it is from). `of_plugins`: by code and name the values that plugins give, and which plugin."""
    from tracekit.config.control import Control

    for key, none in (("select", "all diagnoses"), ("ignore", "none"), ("baseline", "none"), ("fail-on", cli_status.FAIL_ON)):
        given = [e for e in told if e.key == key]
        yield from ((key, e.value if isinstance(e.value, str) else ", ".join(e.value), e.origin) for e in given)
        if not given:
            yield key, none, "default"
    yield from ((f"severity.{e.name}", str(e.value), e.origin) for e in told if e.key == "severity")
    for d in diagnoses:
        for name, default in d.settings.items():
            ours = [e for e in told if e.key == "set" and name in Control.of([e], diagnoses).settings.get(d.code, {})]
            value, origin = of_plugins[d.code].get(name, (default, "default"))
            if ours:
                value, origin = Control.of(ours, diagnoses).settings[d.code][name], ours[-1].origin
            yield f"set.{d.name}.{name}", str(value), origin
    for e in told:
        if e.key == "suppress":
            yield "suppress", ", ".join(f"{k} = {v}" for k, v in e.value.items()), e.origin
