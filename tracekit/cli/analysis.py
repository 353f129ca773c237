"""What `tracekit analyze` does with its options. It loads no typer, which a command line of paths alone does not need."""

import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tracekit.cli import control as cli_control
from tracekit.cli import formats as cli_formats
from tracekit.cli import isolate as cli_isolate
from tracekit.cli import redaction as cli_redaction
from tracekit.cli import status as cli_status
from tracekit.cli.meter import ReadMeter, size_of
from tracekit.cli.output import complain, traced
from tracekit.errors import UsageError

if TYPE_CHECKING:
    from tracekit.run import Run

_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_OFFSET = re.compile(r"([+-]?)([0-9]+(?:\.[0-9]+)?)(ns|us|ms|s|)")


def analysis(
    paths: Sequence[str],
    format: Sequence[str] | None = None,
    output: Path | None = None,
    save: Path | None = None,
    open_page: bool = False,
    full: bool = False,
    fail_on: str | None = None,
    clock: Sequence[str] | None = None,
    side: Sequence[str] | None = None,
    color: str = "auto",
    width: int | None = None,
    select: Sequence[str] | None = None,
    ignore: Sequence[str] | None = None,
    severity: Sequence[str] | None = None,
    settings: Sequence[str] | None = None,
    baseline: str | None = None,
    config: str | None = None,
    redact: bool = False,
    redaction_map: Path | None = None,
    isolate: str = cli_isolate.ISOLATE,
    plugin_time: float = cli_isolate.TIME,
    plugin_memory: str = cli_isolate.MEMORY,
) -> int:
    """Analyze one case, write its reports; return the exit status. Errors: UsageError for an option, and those of the analysis."""
    asked = cli_formats.wanted(format, output)
    clocks, sides = dict(map(_offset, clock or [])), dict(map(_side, side or []))
    colored, kept = cli_formats.colored(color), cli_redaction.map_file(redact, redaction_map, cli_formats.first_file(asked) or save)
    isolation = cli_isolate.isolation(isolate, plugin_time, plugin_memory)
    wishes = cli_control.entries(config, select, ignore, severity, settings, baseline, fail_on)
    limit = cli_control.threshold(wishes)
    from tracekit.pipeline import Engine, Options
    from tracekit.pipeline import analyze as run_all

    engine, tokens = Engine.load((), isolation), cli_redaction.tokens(redact, kept)
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
        from tracekit import stored

        stored.save(run, save)
    cli_formats.written(
        engine.registry,
        asked,
        run,
        lambda w: {"width": columns, "color": colored and (w.output is None or color == "always"), "full": full},
    )
    if open_page and asked[-1].output:
        cli_formats.show(asked[-1].output)
    cli_redaction.keep(tokens, kept)
    return cli_status.of_run(run, limit)


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
