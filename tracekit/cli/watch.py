"""`tracekit watch`: follow a log that grows, and say what becomes true."""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tracekit.cli import control as cli_control
from tracekit.cli import options as cli_options
from tracekit.cli.output import Output, complain, say
from tracekit.errors import SourceError, UsageError

if TYPE_CHECKING:
    from tracekit.cli.watched import News, Watch
    from tracekit.reading.follow import Follower

_PATIENCE = 5  # intervals after which lines that keep coming are looked at, and times that an analysis takes before the next one
_LINES = 3  # of the evidence


def watch(
    path: Annotated[str, typer.Argument(metavar="PATH|-", help="A log that grows, a named pipe, trace_pipe, or - for standard input.")],
    every: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long lines may stay away before what came is looked at.", min=0.0)
    ] = 1.0,
    keep: Annotated[
        int, typer.Option(metavar="LINES", help="Lines that are kept at most, of those that models need; the oldest go.", min=1000)
    ] = 100_000,
    format: Annotated[str, typer.Option("--format", "-f", help="terminal, or json: one object a line.")] = "terminal",
    fail_on: cli_options.FailOn = None,
    select: cli_options.Select = None,
    ignore: cli_options.Ignore = None,
    severity: cli_options.Severity = None,
    settings: cli_options.Set = None,
    baseline: cli_options.Baseline = None,
    config: cli_options.Config = None,
    plugins: cli_options.Plugins = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error was raised.")] = False,
) -> None:
    """Follow a log, also over rotations, or a pipe (dmesg -w, trace_pipe); print a finding when it becomes true and when it becomes surer.

    What later lines refute is printed as withdrawn. Exit status, where the input ends: 0 nothing wrong, 1 a finding. 130 interrupted.
    """
    if format not in ("terminal", "json"):
        raise UsageError(f"--format {format}: give terminal or json")
    wishes = cli_control.entries(config, select, ignore, severity, settings, baseline, fail_on)
    limit = cli_control.threshold(wishes)
    from dataclasses import replace

    from tracekit.cli.watched import Watch
    from tracekit.pipeline import Engine
    from tracekit.plugins.isolation import Isolation
    from tracekit.reading.follow import Follower

    engine = Engine.load(isolation=Isolation())
    engine = replace(engine, control=cli_control.control(wishes, engine.registry.diagnoses))
    follower = Follower(path, sys.stdin.buffer if path == "-" else None)
    with tempfile.TemporaryDirectory(prefix="tracekit-") as folder:
        watched = Watch(path, engine, Path(folder), keep)
        complained = 0
        for news in followed(follower, watched, every):
            for error in watched.errors[complained:]:
                complain(error)
            complained = len(watched.errors)
            if news is not None:
                say(_object(news) if format == "json" else _text(news))
                sys.stdout.flush()
            if isinstance(sys.stdout, Output) and sys.stdout.gone:
                break
        follower.close()
        alarms = (f for f in watched.findings if limit and limit.alarms(f.code, f.grade, f.severity, f.explained_by))
        raise typer.Exit(1 if any(alarms) else 0)


def followed(follower: "Follower", watched: "Watch", every: float, clock: Callable[[], float] = time.monotonic) -> "Iterator[News | None]":
    """Yield what is new, and null now and then while nothing is. Lines that come together are looked at together. Errors: SourceError."""
    from tracekit.cli.watched import Line
    from tracekit.reading.text import is_binary
    from tracekit.reading.unpack import compression

    looked, took = clock(), 0.0
    while not follower.ended:
        lines = follower.lines(every)
        if lines and not watched.kept and not watched.pending:
            head = b"\n".join(text for _, text in lines[:100])
            if compression(head) or is_binary(head):
                raise SourceError(f"{follower.path}: is no text that could be followed")
        if lines:
            watched.add([Line(follower.restarts, number, text) for number, text in lines])
        waited = clock() - looked > _PATIENCE * max(every, took)
        if watched.due and (not lines or waited or watched.full or follower.ended):
            begun = clock()
            yield from watched.look()
            looked = clock()
            took = looked - begun
        yield None


def _text(news: "News") -> str:
    f = news.finding
    follows = f" (follows from {f.explained_by})" if f.explained_by else ""
    head = f"{time.strftime('%H:%M:%S')} {news.kind}: {f.grade} {f.code} {f.name}, {f.subject.label}: {f.summary}{follows}"
    if news.kind == "withdrawn":
        return f"{head}\n  lines that came since say otherwise"
    lines = [f"  {e.source}:{e.line} {e.role}: {e.text.strip()[:200]}" for e in f.evidence[:_LINES]]
    more = [f"  and {len(f.evidence) - _LINES} more lines"] if len(f.evidence) > _LINES else []
    return "\n".join([head, *lines, *more, *([f"  {f.advice}"] if f.advice and not f.explained_by else [])])


def _object(news: "News") -> str:
    f = news.finding
    told = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "event": news.kind, "code": f.code, "name": f.name, "severity": f.severity}
    told |= {"grade": f.grade, "subject": f.subject.label, "bdf": f.subject.bdf, "machine": f.machine, "summary": f.summary}
    told |= {"advice": f.advice, "explained_by": f.explained_by, "fingerprint": f.fingerprint}
    evidence = [{"source": e.source, "line": e.line, "role": e.role, "text": e.text} for e in f.evidence]
    return json.dumps({**told, "evidence": evidence})
