"""The commands about the model: replay, state, whatif."""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tracekit.cli import options as cli_options
from tracekit.cli.output import say
from tracekit.errors import UsageError

if TYPE_CHECKING:
    from tracekit.replay.whatif import Flip
    from tracekit.run import Run

Paths = Annotated[list[str], typer.Argument(metavar="PATH...", help="Logs, traces, folders of them: one case.")]
Format = Annotated[str, typer.Option("--format", "-f", help="terminal or json.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show where an error was raised.")]


def replay(
    paths: Paths,
    device: Annotated[str | None, typer.Option(metavar="BDF", help="Print the timeline of this function (or pointer).")] = None,
    format: Format = "terminal",
    plugins: cli_options.Plugins = None,
    debug: Debug = False,
) -> None:
    """Predict every observed operation from the state before it, and say where the model and the recording part."""
    from dataclasses import asdict

    from tracekit.replay.score import score, timeline, unpredicted

    run = _run(paths)
    result = score(run.tables, run.findings)
    events = timeline(run.tables, device) if device else []
    if device and not events:
        raise UsageError(f"nothing in the input is about {device}")
    if _format(format) == "json":
        print(json.dumps({**asdict(result), "rows": list(result.rows), **({"timeline": events} if device else {})}, default=str))
        return
    shares = f"{result.from_known} from known state, {result.if_healthy} as if healthy"
    say(
        f"{result.operations} operations with a result: {result.predicted} predicted ({shares}),"
        f" {result.not_predicted} not (state unknown)."
    )
    for operation, times, source, line in unpredicted(run.tables):
        say(f"  not predicted: {times} {operation}, first {source}:{line}")
    say(f"{result.divergences} divergences, {result.unexplained} of them not explained by a finding.")
    for row in result.rows:
        told = f"explained by {row['explained_by']}" if row["explained_by"] else "not explained"
        say(
            f"  {row['source']}:{row['line']}: {row['operation']} {row['subject']}: {row['predicted']} expected ({row['rule']}), "
            f"{row['observed']} seen; {told}"
        )
    _print(events)


def state(
    paths: Paths,
    at: Annotated[str, typer.Option("--at", metavar="TIME", help="Seconds on the clock of the source, as printed there: 26.551163.")],
    device: Annotated[str | None, typer.Option(metavar="BDF", help="Only what is about this function (or pointer).")] = None,
    format: Format = "terminal",
    plugins: cli_options.Plugins = None,
    debug: Debug = False,
) -> None:
    """Print what the model holds to be true at a time: irq domains, vectors in place, open windows, pirqs."""
    from tracekit.replay.score import state as state_at

    if not re.fullmatch(r"[0-9]+(\.[0-9]{1,9})?", at):
        raise UsageError(f"--at {at}: give seconds as the log prints them, as in 26.551163")
    whole, _, part = at.partition(".")
    rows = state_at(_run(paths).tables, int(whole) * 10**9 + int(part.ljust(9, "0")), device)
    if _format(format) == "json":
        print(json.dumps(rows, default=str))
        return
    _print(rows)
    if not rows:
        say(f"the model knows of nothing that lives at {at}")


def whatif(paths: Paths, format: Format = "terminal", plugins: cli_options.Plugins = None, debug: Debug = False) -> None:
    """Replay the same stimuli with one gate flipped at a time: which faults vanish, which stay, what the fix costs."""
    from tracekit.pipeline import Options
    from tracekit.pipeline import whatif as flip
    from tracekit.plugins.isolation import Isolation

    flips = flip(paths, Options(isolation=Isolation()))
    if _format(format) == "json":
        print(json.dumps([f.as_json() for f in flips], default=str))
        return
    if not flips:
        say("nothing to replay: the input shows no stimuli of a system that tracekit models")
    systems = [list(mine) for _, mine in groupby(flips, key=lambda f: (f.subject, {*f.vanished, *f.remaining}))]
    faulty = {f.subject for f in flips if f.vanished or f.remaining}
    systems = [s for s in systems if s[0].subject not in faulty or any(f.vanished or f.remaining or f.new for f in s)]
    for told in dict.fromkeys("\n".join(_flipped(mine)) for mine in systems):
        say(told)
    for assumption in dict.fromkeys(a for f in flips for a in f.assumptions):
        say(f"assumed: {assumption}")


def _flipped(flips: "Sequence[Flip]") -> Iterator[str]:
    """Yield the flips of one system: first those that change something, a line each with its price, then the others together."""
    moot = [f for f in flips if not f.vanished and not f.new]
    if moot == flips and not moot[0].remaining:
        yield f"{flips[0].subject or 'all'}: no fault, whichever gate is flipped"
        return
    yield f"{flips[0].subject or 'all'}:"
    for f in (f for f in flips if f not in moot):
        parts = [(f.vanished, "vanishes", "vanish"), (f.remaining, "stays", "stay"), (f.new, "appears", "appear")]
        effect = "; ".join(f"{', '.join(codes)} {one if len(codes) == 1 else more}" for codes, one, more in parts if codes)
        cost = ", ".join(f"{v:+d} {k.removesuffix('s') if abs(v) == 1 else k}" for k, v in f.cost.items())
        yield f"  {f.label} {f.before} -> {f.to}: {effect}{f' (costs {cost})' if cost else ''}"
        if f.text and f.vanished:
            yield f"      {f.text}"
    if moot:
        stay = moot[0].remaining
        what = f"{', '.join(stay)} {'stays' if len(stay) == 1 else 'stay'}" if stay else "nothing changes"
        yield f"  {what} with {', '.join(f'{f.gate} {f.before} -> {f.to}' for f in moot)}"


def _run(paths: list[str]) -> "Run":
    from tracekit.pipeline import Options, analyze
    from tracekit.plugins.isolation import Isolation

    return analyze(paths, Options(keep_tables=("*",), isolation=Isolation()))


def _format(name: str) -> str:
    if name not in ("terminal", "json"):
        raise UsageError(f"--format {name}: give terminal or json")
    return name


def _print(events: list[dict[str, Any]]) -> None:
    """Print one line per event: lines, time, table, values; places inside the event are for --format json."""
    source = None
    for event in events:
        if event["source"] != source:
            source = event["source"]
            say(source)
        lines = f"{event['line']}-{event['line_end']}" if event["line_end"] not in (None, event["line"]) else f"{event['line']}"
        stamp = f"{event['ts'] / 1e9:.6f}" if event["ts"] is not None else ""
        what = " ".join(f"{k}={_brief(v)}" for k, v in event["what"].items() if not re.search(r"_(line|end|ts|how|source|call)$", k))
        say(f"  {lines:>11} {stamp:>14}  {event['table']:<16} {what}")


def _brief(value: Any) -> str:
    """Return a list as its numbers: vectors of an `in_use` list, pirqs, irqs."""
    if isinstance(value, list):
        return ",".join(str(v.get("vector", v)) if isinstance(v, dict) else str(v) for v in value)
    return str(value)
