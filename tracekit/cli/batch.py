"""The commands about many cases: batch, report, query."""

import json
import logging
import os
import re
import shutil
import sys
import time
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, InvalidStateError
from contextlib import suppress
from datetime import date
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tracekit.cli import control as cli_control
from tracekit.cli import formats as cli_formats
from tracekit.cli import isolate as cli_isolate
from tracekit.cli import options as cli_options
from tracekit.cli import redaction as cli_redaction
from tracekit.cli import status as cli_status
from tracekit.cli import unchanged as cli_unchanged
from tracekit.cli.output import complain, say, traced, write
from tracekit.cli.unchanged import duration, summary
from tracekit.errors import TracekitError, UsageError, nearest
from tracekit.unseen import csv_cell

if TYPE_CHECKING:
    import polars as pl

    from tracekit.batch.run import Progress, Settings
    from tracekit.config.control import Control
    from tracekit.plugins.registry import Registry
    from tracekit.redaction.tokens import Tokens

_MISSED = 10  # s in a row without a scheduler before it counts as gone
_UNSEEN = re.compile(r"[^\n\x20-\x7e]")  # JSON escapes it
_ODD = r"^\s*[=+\-@\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}]|[^\x20-\x7e]"  # texts that a cell of CSV may not hold as they are
_UNORDERED = re.compile(r"\b(?:group\s+by|distinct|join|union|intersect|except)\b", re.I)
_ORDERED = re.compile(r"\border\s+by\b", re.I)
Debug = Annotated[bool, typer.Option("--debug", help="Show where an error was raised.")]


def batch(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH...", help="Files and archives; folders and @LIST, each entry a case.")
    ] = None,
    results: Annotated[
        Path, typer.Option("--output", "-o", metavar="RESULTS", help="The folder of results; what is there is gone on with.")
    ] = ...,  # type: ignore[assignment]
    case: Annotated[list[str], typer.Option(metavar="FOLDER", help="A folder that is one case.")] = [],  # noqa: B006
    jobs: Annotated[int, typer.Option("--jobs", "-j", metavar="N", help="Processes; as many as there are processors if 0.", min=0)] = 0,
    executor: Annotated[str, typer.Option(metavar="dask://HOST:PORT", help="Let the workers of a Dask cluster do it.")] = "",
    time_limit: Annotated[float, typer.Option(metavar="SECONDS", help="What a case may take.", min=0.1)] = 300.0,
    memory_limit: Annotated[str, typer.Option(metavar="BYTES", help="What a case may hold: 2G.")] = "2G",
    max_expanded: Annotated[str, typer.Option(metavar="BYTES", help="What an archive may expand to: 20G.")] = "",
    max_ratio: Annotated[str, typer.Option(metavar="N", help="How many times its size an archive may expand to: 200.")] = "",
    max_members: Annotated[str, typer.Option(metavar="N", help="Members of an archive: 100000.")] = "",
    max_depth: Annotated[str, typer.Option(metavar="N", help="Archives inside archives: 3.")] = "",
    max_name: Annotated[str, typer.Option(metavar="N", help="Characters of a member's path: 4096.")] = "",
    retry: Annotated[bool, typer.Option("--retry", help="Try failed cases again.")] = False,
    rehash: Annotated[bool, typer.Option("--rehash", help="Read every file to see whether it changed.")] = False,
    select: cli_options.Select = None,
    ignore: cli_options.Ignore = None,
    severity: cli_options.Severity = None,
    set_: cli_options.Set = None,
    baseline: cli_options.Baseline = None,
    config: cli_options.Config = None,
    fail_on: cli_options.FailOn = None,
    redact: cli_options.Redact = False,
    redaction_map: cli_options.Map = None,
    plugins: cli_options.Plugins = None,
    isolate: cli_options.Isolate = cli_isolate.ISOLATE,
    plugin_time: cli_options.PluginTime = cli_isolate.TIME,
    plugin_memory: cli_options.PluginMemory = cli_isolate.MEMORY,
    debug: Debug = False,
) -> None:
    """Analyze many cases in parallel; stop and start again at will: only what is new or changed is analyzed.

    Exit status, of the given cases together: 0 nothing wrong, and all of them were whole and known; 1 a finding; 2 none could be read;
    3 nothing wrong found, but a case failed or its all-clear is not to be trusted; 130 interrupted.
    """
    from dataclasses import replace

    before = cli_unchanged.before(paths or [], results)
    wishes = cli_control.entries(config, select, ignore, severity, set_, baseline, fail_on)
    limit = cli_control.threshold(wishes)
    from tracekit.batch import cases, unchanged
    from tracekit.batch.run import Settings, rests, run
    from tracekit.batch.supervise import Budget
    from tracekit.batch.view import View
    from tracekit.reading import archive

    archives = {"expanded": max_expanded, "ratio": max_ratio, "members": max_members, "depth": max_depth, "name": max_name}
    isolation = cli_isolate.isolation(isolate, plugin_time, plugin_memory).within(time_limit)
    control, changes = cli_control.of_plugins(wishes, isolation)
    settings = Settings(
        jobs=jobs or os.cpu_count() or 1,
        limits=Budget(time_limit, archive.size_of(memory_limit, "--memory-limit")),
        archives=archive.Limits.given(**{n: archive.size_of(v, f"--max-{n}") for n, v in archives.items() if v}),
        retry=retry,
        rehash=rehash,
        isolation=isolation,
        asked=control.asked,
        changes=changes,
    )
    if any(os.path.isdir(p) and os.path.realpath(p) == os.path.realpath(results) for p in (*(paths or []), *case)):
        raise UsageError(f"--output {results}: the results would lie among the logs; give another folder")
    kept = cli_redaction.map_file(redact, redaction_map, Path(os.path.normpath(results)))
    tokens = cli_redaction.tokens(redact, kept)
    if tokens and kept:
        tokens.keep(kept)  # before anything: a batch that goes on must find the same key
        settings = replace(settings, redaction=tokens)
    found, errors = cases.find(paths or [], case)
    for error in errors:
        complain(error)
    if not found:
        raise UsageError("no case to analyze: give files, archives, folders, @LIST or --case FOLDER")
    shown = Meter(sys.stderr.isatty())
    settings = replace(settings, trace=lambda text: traced([text]))
    try:
        done = run(found, str(results), *_executor(executor, settings), tell=shown)
    except KeyboardInterrupt:
        shown.end()
        complain(f"interrupted; {shown.told or 'no case was analyzed'}. What was done is kept: the same command goes on")
        raise
    finally:
        shown.end()
        cli_redaction.keep(tokens, kept)
    for file in done.damaged:
        complain(f"{results}: {file}: its cases were analyzed again")
    with unchanged.alone(str(results)) as alone:
        seen = View(results, control, date.today())
        analyzed = done.done - done.failed - done.same
        say(summary(analyzed, done.found, done.failed, done.unchanged + done.same, done.begun, seen.suppressed, results))
        status = cli_status.of_results(seen, limit, [settings.label(c) for c in found])
        plain = alone and not errors and not control.baseline
        if before and plain and rests(found, str(results), settings):
            unchanged.keep(before, unchanged.Answer(len(found), seen.suppressed, status))
    raise typer.Exit(status)


def report(
    results: Annotated[Path, typer.Argument(metavar="RESULTS|RUN", help="Results of a batch, or a run that `analyze --save` kept.")],
    format: cli_options.Formats = None,
    against: Annotated[
        Path | None, typer.Option(metavar="OLD", help="Results of an earlier batch: say what is new, known and gone.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the report there.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Of a kept run: all evidence; what was not evaluated; what was read.")] = False,
    select: cli_options.Select = None,
    ignore: cli_options.Ignore = None,
    severity: cli_options.Severity = None,
    set_: cli_options.Set = None,
    baseline: cli_options.Baseline = None,
    config: cli_options.Config = None,
    fail_on: cli_options.FailOn = None,
    plugins: cli_options.Plugins = None,
    debug: Debug = False,
) -> None:
    """Say of the results of a batch which fault is on how many machines, and what could not be read; or report a run that was kept.

    Exit status: 0 nothing wrong, and all cases were whole and known; 1 a finding; 2 no case could be read, or the results are damaged;
    3 nothing wrong found, but a case failed, is missing, or its all-clear is not to be trusted.
    """
    wishes = cli_control.entries(config, select, ignore, severity, set_, baseline, fail_on)
    limit = cli_control.threshold(wishes)
    from tracekit.batch import fleet
    from tracekit.batch.view import View
    from tracekit.plugins.isolation import Isolation
    from tracekit.plugins.registry import load

    asked = cli_formats.wanted(format, output)
    registry, today = load(isolation=Isolation()), date.today()
    control = cli_control.control(wishes, registry.diagnoses)
    if results.is_file():
        if against is not None:
            raise UsageError(f"--against {against}: {results} is one run; only results of batches are compared")
        raise typer.Exit(_report_of_run(results, registry, control, asked, full, limit))
    cli_formats.known(registry, asked, "write_fleet")
    kept = View(results, control, today)
    found = fleet.fleet(kept, View(against, control, today) if against else None)
    columns, colored = shutil.get_terminal_size((80, 24)).columns, cli_formats.colored("auto")
    cli_formats.written(registry, asked, found, lambda w: {"width": columns, "color": colored and w.output is None}, "write_fleet")
    raise typer.Exit(cli_status.of_results(kept, limit))


def _report_of_run(
    path: Path,
    registry: "Registry",
    control: "Control",
    asked: "list[cli_formats.Wanted]",
    full: bool,
    limit: cli_status.Threshold | None,
) -> int:
    """Write the reports of a run that was kept; return the exit status, which is that of the analysis."""
    from tracekit import stored

    cli_formats.known(registry, asked)
    run = cli_control.controlled(stored.load(path), control)
    columns, colored = shutil.get_terminal_size((80, 24)).columns, cli_formats.colored("auto")
    cli_formats.written(registry, asked, run, lambda w: {"width": columns, "color": colored and w.output is None, "full": full})
    return cli_status.of_run(run, limit)


def query(
    place: Annotated[str, typer.Argument(metavar="RESULTS|LOG", help="Results of a batch, or logs to analyze now.")],
    sql: Annotated[
        str, typer.Argument(metavar="SQL", help="SELECT over the tables (see `tracekit schema`); without one, Parquet of all tables.")
    ] = "",
    format: Annotated[str, typer.Option("--format", "-f", help="table, csv, json or parquet.")] = "table",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE|FOLDER", help="Write the answer there; all tables into a new folder.")
    ] = None,
    redact: cli_options.Redact = False,
    redaction_map: cli_options.Map = None,
    plugins: cli_options.Plugins = None,
    debug: Debug = False,
) -> None:
    """Ask the tables of a batch, or of one analysis, in SQL; or write all of them, with findings and evidence, as Parquet."""
    if format not in ("table", "csv", "json", "parquet"):
        raise UsageError(f"--format {format}: give table, csv, json or parquet")
    if format == "parquet" and output is None:
        raise UsageError("--format parquet is no text: give a file, or a folder for all tables (--output)")
    if not sql and (format != "parquet" or output is None):
        raise UsageError("give a query, or `--format parquet --output FOLDER` for all tables")
    import polars as pl

    from tracekit.batch.results import is_results
    from tracekit.cli import parquet

    kept = cli_redaction.map_file(redact, redaction_map, output)
    tokens = cli_redaction.tokens(redact, kept)
    if not sql and output is not None:
        parquet.new(output)
        parquet.write_all(_all(place, tokens), output)
        cli_redaction.keep(tokens, kept)
        return
    tables = _of_results(place, tokens) if is_results(place) else _of_log(place, _words(sql), tokens)
    try:
        found = _ordered(pl.SQLContext(tables, eager=True).execute(sql), sql)
    except pl.exceptions.PolarsError as e:
        said = str(e).splitlines()[0]
        raise UsageError(f"the query cannot be answered: {said}{_tables_near(said, tables, place)}") from e
    if format == "parquet" and output is not None:
        parquet.write(found, output)
    else:
        write(_printed(found, format, _width() if output is None else None), output)
    cli_redaction.keep(tokens, kept)


class Meter:
    """Show how far a batch is: in place on a terminal, one line per minute elsewhere."""

    def __init__(self, terminal: bool) -> None:
        self.every = 0.5 if terminal else 60.0
        self.terminal = terminal
        self.last = time.monotonic()
        self.wrote = False
        self.told = ""  # how many cases are done

    def __call__(self, p: "Progress") -> None:
        """Print the progress where it is due."""
        now = time.monotonic()
        self.told = f"{p.done:,} of {p.cases:,} cases done"
        if now - self.last < self.every:
            return
        self.last = now
        rate = p.done / max(now - p.begun, 1e-3)
        left = (p.bytes - p.bytes_done) / max(p.bytes_done, 1) * (now - p.begun)
        told = f"{p.done:,} of {p.cases:,} cases, {rate:,.1f}/s, {duration(left)} left, {p.found:,} with a fault, {p.failed:,} failed"
        sys.stderr.write(f"\r{told:<100}" if self.terminal else f"{told}\n")
        sys.stderr.flush()
        self.wrote = True

    def end(self) -> None:
        """End the progress line."""
        if self.terminal and self.wrote:
            sys.stderr.write("\r" + " " * 100 + "\r")
            sys.stderr.flush()


def _executor(place: str, settings: "Settings") -> tuple[Callable[[], Executor] | None, "Settings"]:
    """Return a function that creates the executor, and the settings with its number of workers."""
    from dataclasses import replace

    if not place:
        return None, settings
    if not (m := re.fullmatch(r"dask://([^/]+:[0-9]+)", place)):
        raise UsageError(f"--executor {place}: give dask://HOST:PORT")
    try:
        distributed: Any = import_module("distributed")
    except ImportError:
        raise UsageError("--executor dask://..: needs Dask: pip install 'tracekit[dask]'") from None
    try:
        client = distributed.Client(f"tcp://{m[1]}", timeout=10)
    except (OSError, TimeoutError) as e:
        raise TracekitError(f"no Dask scheduler answers at {m[1]}: {e}") from e
    try:
        client.wait_for_workers(1, timeout=30)
    except TimeoutError:
        raise TracekitError(f"the Dask cluster at {m[1]} has no workers") from None
    workers = sum(client.ncores().values())
    gone = TracekitError(f"the Dask scheduler at {m[1]} is gone; what was done is kept: the same command goes on")
    return (lambda: _watched(client, gone)), replace(settings, jobs=max(workers, 1))


def _watched(client: Any, gone: TracekitError) -> Executor:
    """Return an executor of a Dask cluster whose tasks fail once its scheduler does not answer: Dask itself would wait for ever."""
    executor: Executor = client.get_executor(pure=False, retries=0)
    flying: weakref.WeakSet[Future[Any]] = weakref.WeakSet()
    submit = executor.submit

    def submitted(*given: Any, **named: Any) -> "Future[Any]":
        future = submit(*given, **named)
        flying.add(future)
        return future

    def watch() -> None:
        missed = 0
        while missed < _MISSED and client.status != "closed":
            time.sleep(1)
            missed = 0 if client.status == "running" else missed + 1
        if client.status != "closed":
            logging.disable()  # what Dask prints of a lost scheduler says less than the one line
        for future in list(flying):
            with suppress(InvalidStateError):
                future.set_exception(gone)

    executor.submit = submitted  # type: ignore[method-assign]
    Thread(target=watch, daemon=True).start()
    return executor


def _of_results(place: str, tokens: "Tokens | None") -> "dict[str, pl.LazyFrame] | dict[str, pl.DataFrame]":
    from tracekit.batch.results import Results
    from tracekit.batch.rows import TABLES

    results = Results(place)
    tables = {name: results.table(name) for name in TABLES}
    if tokens is None:
        return tables
    from tracekit.pipeline import Engine
    from tracekit.plugins.isolation import Isolation
    from tracekit.redaction.frames import redacted

    rules = Engine.load(isolation=Isolation()).vocabulary.rules
    return redacted({name: table.collect() for name, table in tables.items()}, tokens, rules)


def _ordered(found: "pl.DataFrame", sql: str) -> "pl.DataFrame":
    """Return the rows in one order, where a query leaves it to chance: by the columns from the left."""
    columns = [s.name for s in found if not s.dtype.is_nested()]
    if not columns or not _UNORDERED.search(sql) or _ORDERED.search(sql):
        return found
    return found.sort(columns, nulls_last=True, maintain_order=True)


def _words(sql: str) -> tuple[str, ...]:
    """Return what may be names of tables in a query."""
    return tuple(sorted(set(re.findall(r"[A-Za-z_][A-Za-z0-9_]*", sql))))


def _all(place: str, tokens: "Tokens | None") -> "dict[str, pl.DataFrame]":
    """Return all tables of results, or of one analysis those with rows and what was found."""
    from tracekit.batch.results import is_results
    from tracekit.batch.rows import TABLES

    if is_results(place):
        return {name: table.lazy().collect() for name, table in _of_results(place, tokens).items()}
    return {name: table for name, table in _of_log(place, ("*",), tokens).items() if name in TABLES or table.height}


def _of_log(place: str, named: tuple[str, ...], tokens: "Tokens | None") -> "dict[str, pl.DataFrame]":
    """Return the named tables of one analysis, without rows where the log has none, and its findings, evidence and outcomes."""
    from tracekit.batch import rows
    from tracekit.batch.results import frame
    from tracekit.pipeline import Engine, Options, analyze
    from tracekit.plugins.isolation import Isolation

    engine = Engine.load(named, Isolation())
    if missing := next((n for n in named if n in engine.broken), None):
        wrong = next((e for p in engine.registry.plugins for e in p.errors if "grammar" in e), engine.broken[missing])
        raise UsageError(f"the table {missing} is missing since its grammar cannot be read: {wrong}")
    run = analyze([place], Options(keep_tables=named, beyond=True, redaction=tokens), engine)
    for error in run.errors:
        complain(error)
    _, told = rows.of_run(run, 0.0, engine.vocabulary.telling)
    own = {n: frame(n, [(0, place, *row) for row in of]).drop("result", "case") for n, of in told.items()}
    return engine.vocabulary.blank(named) | own | dict(run.tables)


def _tables_near(said: str, tables: Mapping[str, object], place: str) -> str:
    """Return what helps where a table is not known: those of results, which are few; of a log's the nearest, and what lists them."""
    from tracekit.batch.results import is_results
    from tracekit.cli.schema import catalog

    unknown = re.search(r"relation '(.*)' was not found", said)
    if unknown is None:
        return ""
    if is_results(place):
        return f" (tables: {', '.join(sorted(tables))})"
    return f"{nearest(unknown[1], {*tables, *catalog()})} (`tracekit schema` lists the tables)"


def _printed(found: "pl.DataFrame", format: str, width: int | None = None) -> str:
    if format == "csv":
        return found.select(_cells(s) for s in found.iter_columns()).rename(csv_cell).write_csv()
    if format == "json":
        return _UNSEEN.sub(_escaped, found.write_json()) + "\n"
    from tracekit.cli import wide

    return wide.printed(found, width)


def _width() -> int | None:
    """Return the width of the terminal in columns; null where standard output is no terminal."""
    return shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else None


def _cells(column: "pl.Series") -> "pl.Series":
    """Return a column as cells of CSV: texts are no formulas, lists are JSON, numbers stay numbers."""
    import polars as pl

    if column.dtype.is_nested():
        told = [None if v is None else json.dumps(v.to_list() if isinstance(v, pl.Series) else v, default=str) for v in column]
        column = pl.Series(column.name, told, dtype=pl.String)
    if column.dtype != pl.String:
        return column
    odd = column.str.contains(_ODD).fill_null(False).arg_true()
    return column.scatter(odd, [csv_cell(v) for v in column[odd]]) if len(odd) else column


def _escaped(m: re.Match[str]) -> str:
    units = m[0].encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
