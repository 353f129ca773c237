"""The command analyze."""

import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tracekit.cli import control as cli_control
from tracekit.cli import formats as cli_formats
from tracekit.cli import isolate as cli_isolate
from tracekit.cli import plugins as cli_plugins
from tracekit.cli import redact as cli_redact
from tracekit.cli import status as cli_status
from tracekit.cli.meter import ReadMeter, size_of
from tracekit.cli.output import complain, traced
from tracekit.errors import UsageError

if TYPE_CHECKING:
    from tracekit.run import Run

_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_OFFSET = re.compile(r"([+-]?)([0-9]+(?:\.[0-9]+)?)(ns|us|ms|s|)")


def analyze(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Logs, traces, folders of them, - for standard input: one case.")],
    format: cli_formats.Formats = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the report there.")] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep the run, so that `tracekit report FILE` can write any report of it.")
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the HTML page in a browser too.")] = False,
    full: Annotated[bool, typer.Option("--full", help="All evidence; windows; why diagnoses were not evaluated; what was read.")] = False,
    fail_on: cli_status.FailOn = None,
    clock: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE=OFFSET", help="Shift a clock onto that of the first source without an offset: dmesg.txt=+12.5s (s, ms, us, ns)."
        ),
    ] = None,
    side: Annotated[list[str] | None, typer.Option(metavar="SOURCE=SIDE", help="Say whose log a source is: guest or host.")] = None,
    color: Annotated[str, typer.Option(metavar="WHEN", help="auto, always or never.")] = "auto",
    width: Annotated[int | None, typer.Option(help="Columns of the terminal report.", min=40)] = None,
    select: cli_control.Select = None,
    ignore: cli_control.Ignore = None,
    severity: cli_control.Severity = None,
    settings: cli_control.Set = None,
    baseline: cli_control.Baseline = None,
    config: cli_control.Config = None,
    redact: cli_redact.Redact = False,
    redaction_map: cli_redact.Map = None,
    plugins: cli_plugins.Plugins = None,
    isolate: cli_isolate.Isolate = cli_isolate.ISOLATE,
    plugin_time: cli_isolate.PluginTime = cli_isolate.TIME,
    plugin_memory: cli_isolate.PluginMemory = cli_isolate.MEMORY,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error was raised.")] = False,
) -> None:
    """Read logs and traces as one case and say what went wrong, how sure that is, and what could not be seen.

    Exit status: 0 nothing wrong, and the input was whole and known; 1 a finding; 2 nothing could be read; 3 nothing wrong found, but this
    all-clear is not to be trusted (a log cut or not readable, a failed plugin, nothing that could be checked, complaints not understood).
    """
    asked = cli_formats.wanted(format, output)
    clocks, sides = dict(map(_offset, clock or [])), dict(map(_side, side or []))
    colored, kept = cli_formats.colored(color), cli_redact.map_file(redact, redaction_map, cli_formats.first_file(asked) or save)
    isolation = cli_isolate.isolation(isolate, plugin_time, plugin_memory)
    wishes = cli_control.entries(config, select, ignore, severity, settings, baseline, fail_on)
    limit = cli_control.threshold(wishes)
    from tracekit import stored
    from tracekit.pipeline import Engine, Options
    from tracekit.pipeline import analyze as run_all

    engine, tokens = Engine.load((), isolation), cli_redact.tokens(redact, kept)
    engine = replace(engine, control=cli_control.control(wishes, engine.registry.diagnoses))
    asked += [cli_formats.to_open()] if open_page else []
    cli_formats.known(engine.registry, asked)
    progress = ReadMeter(size_of(paths)) if sys.stderr.isatty() else None
    try:
        shown = save is not None or cli_formats.drawing(engine.registry, asked)
        run = run_all(paths, Options(clocks=clocks, sides=sides, pictures=shown, progress=progress, redaction=tokens), engine)
    finally:
        if progress:
            progress.done()
    _known(run, [*clocks, *sides] if tokens is None else [])
    for error in run.errors:
        complain(error)
    traced(trace for p in run.plugins for trace in p.traces)
    columns = width or shutil.get_terminal_size((80, 24)).columns
    if save is not None:
        stored.save(run, save)
    cli_formats.written(
        engine.registry,
        asked,
        run,
        lambda w: {"width": columns, "color": colored and (w.output is None or color == "always"), "full": full},
    )
    if open_page and asked[-1].output:
        cli_formats.show(asked[-1].output)
    cli_redact.keep(tokens, kept)
    raise typer.Exit(cli_status.of_run(run, limit))


def _offset(text: str) -> tuple[str, int]:
    source, _, offset = text.rpartition("=")
    m = _OFFSET.fullmatch(offset)
    if not source or m is None:
        raise UsageError(f"--clock {text}: give SOURCE=OFFSET, as in dmesg.txt=+12.5s")
    whole, _, part = m[2].partition(".")
    unit = _NS[m[3] or "s"]
    ns = int(whole) * unit + int(part or "0") * unit // 10 ** len(part)
    return source, -ns if m[1] == "-" else ns


def _side(text: str) -> tuple[str, str]:
    source, _, side = text.rpartition("=")
    if not source or side not in ("guest", "host"):
        raise UsageError(f"--side {text}: give SOURCE=guest or SOURCE=host")
    return source, side


def _known(run: "Run", sources: Iterable[str]) -> None:
    """Check that options name sources of the case as they were given."""
    paths = [s.path for s in run.sources]
    for source in sources:
        if source not in paths:
            ends = [p for p in paths if p.endswith(f"/{source}")]
            raise UsageError(f"no source is called {source}" + (f"; call it {' or '.join(ends)}" if ends else _near(source, paths)))


def _near(name: str, names: Iterable[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, list(names), n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""
