"""The command analyze."""

from pathlib import Path
from typing import Annotated

import typer

from tracekit.cli import isolate as cli_isolate
from tracekit.cli import options as cli_options
from tracekit.cli.analysis import analysis


def analyze(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Logs, traces, folders of them, - for standard input: one case.")],
    format: cli_options.Formats = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the report there.")] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep the run, so that `tracekit report FILE` can write any report of it.")
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the HTML page in a browser too.")] = False,
    full: Annotated[bool, typer.Option("--full", help="All evidence; windows; why diagnoses were not evaluated; what was read.")] = False,
    fail_on: cli_options.FailOn = None,
    clock: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE=OFFSET", help="Shift a clock onto that of the first source without an offset: dmesg.txt=+12.5s (s, ms, us, ns)."
        ),
    ] = None,
    side: Annotated[list[str] | None, typer.Option(metavar="SOURCE=SIDE", help="Say whose log a source is: guest or host.")] = None,
    color: Annotated[str, typer.Option(metavar="WHEN", help="auto, always or never.")] = "auto",
    width: Annotated[int | None, typer.Option(help="Columns of the terminal report.", min=40)] = None,
    select: cli_options.Select = None,
    ignore: cli_options.Ignore = None,
    severity: cli_options.Severity = None,
    settings: cli_options.Set = None,
    baseline: cli_options.Baseline = None,
    config: cli_options.Config = None,
    redact: cli_options.Redact = False,
    redaction_map: cli_options.Map = None,
    plugins: cli_options.Plugins = None,
    isolate: cli_options.Isolate = cli_isolate.ISOLATE,
    plugin_time: cli_options.PluginTime = cli_isolate.TIME,
    plugin_memory: cli_options.PluginMemory = cli_isolate.MEMORY,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error was raised.")] = False,
) -> None:
    """Read logs and traces as one case and say what went wrong, how sure that is, and what could not be seen.

    Exit status: 0 nothing wrong, and the input was whole and known; 1 a finding; 2 nothing could be read; 3 nothing wrong found, but this
    all-clear is not to be trusted (a log cut or not readable, a failed plugin, nothing that could be checked, complaints not understood).
    """
    status = analysis(
        paths,
        format=format,
        output=output,
        save=save,
        open_page=open_page,
        full=full,
        fail_on=fail_on,
        clock=clock,
        side=side,
        color=color,
        width=width,
        select=select,
        ignore=ignore,
        severity=severity,
        settings=settings,
        baseline=baseline,
        config=config,
        redact=redact,
        redaction_map=redaction_map,
        isolate=isolate,
        plugin_time=plugin_time,
        plugin_memory=plugin_memory,
    )
    raise typer.Exit(status)
