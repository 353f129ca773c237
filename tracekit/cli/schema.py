"""`tracekit schema`: what each table means, which grammars and models emit it, and which diagnoses read it."""

import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from tracekit.cli import complete
from tracekit.cli import options as cli_options
from tracekit.cli.output import say
from tracekit.errors import UsageError, nearest

if TYPE_CHECKING:
    from tracekit.plugins.registry import Registry
    from tracekit.tables.declaration import Column, Table

Part = tuple[str, str]  # what emits or reads a table, and its file


@dataclass(frozen=True)
class Entry:
    """A table with its emitters and its readers."""

    table: "Table"
    columns: "Sequence[Column]"  # that it has beside its own
    emitters: list[Part] = field(default_factory=list)
    readers: list[Part] = field(default_factory=list)


def schema(
    table: Annotated[
        str | None,
        typer.Argument(metavar="[TABLE]", autocompletion=complete.tables, help="One table; without, all of them with a line each."),
    ] = None,
    plugins: cli_options.Plugins = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error was raised.")] = False,
) -> None:
    """Print what a table's rows and columns mean, which model or grammar emits it, and who reads it."""
    entries = catalog()
    if table is None:
        say("\n".join(_list(entries)))
    elif table in entries:
        say("\n".join(_page(entries[table])))
    else:
        raise UsageError(f"no table is called {table}{nearest(table, entries)}")


def catalog() -> dict[str, Entry]:
    """Return every table by name."""
    from tracekit import pipeline as steps
    from tracekit.batch import rows
    from tracekit.diagnosing import recorded
    from tracekit.grammar import load as grammar
    from tracekit.plugins import registry as plugins
    from tracekit.plugins.isolation import Isolation
    from tracekit.replay import clock
    from tracekit.tables import pipeline
    from tracekit.tables.envelope import ENVELOPE_COLUMNS, SPAN_COLUMNS

    registry = plugins.load(isolation=Isolation())
    pipe = ("the pipeline", "tracekit/pipeline.py")
    entries = {t.name: Entry(t, (), [pipe]) for t in (pipeline.STREAMS, pipeline.SOURCES)}
    grammars = grammar.load(registry.grammars)
    for rule in grammars.events.values():
        entries[rule.name] = Entry(rule.table, ENVELOPE_COLUMNS, [("grammar", rule.file)])
    for model in registry.models:
        for t in model.tables:
            entry = entries.setdefault(t.name, Entry(t, (*ENVELOPE_COLUMNS, *SPAN_COLUMNS)))
            entry.emitters.append((f"model {model.__name__}", _file(model.__module__)))
            entry.readers[:] = [("tracekit replay and state", "tracekit/replay/score.py")]
    spans = (*ENVELOPE_COLUMNS, *SPAN_COLUMNS)
    entries |= {"divergences": Entry(pipeline.DIVERGENCES, spans, [pipe]), "raw_event": Entry(pipeline.RAW_EVENT, ENVELOPE_COLUMNS, [pipe])}
    told = {module: [n for what in module.TOLD for n in grammars.telling.get(what, ())] for module in (clock, rows, recorded)}
    core = (
        ("boots of a log", clock, told[clock]),
        ("reports, as the gates of a run", steps, list(steps.READS)),
        ("tracekit batch", rows, told[rows]),
        ("whether nothing found is evidence", recorded, told[recorded]),
    )
    for purpose, module, names in core:
        for name in names:
            entries[name].readers.append((purpose, _file(module.__name__)))
    for name, reader in _readers(registry):
        if name in entries:
            entries[name].readers.append(reader)
    return entries


def _readers(registry: "Registry") -> Iterator[tuple[str, Part]]:
    """Yield (table, reader) of the models, diagnoses and systems of all plugins."""
    for model in registry.models:
        yield from ((name, (f"model {model.__name__}", _file(model.__module__))) for name in model.hears())
    for d in registry.diagnoses:
        file = _file(d.function.__module__)
        yield from ((name, (f"diagnosis {d.code} {d.name}", file)) for name in (*d.needs, *d.wants))
    for system in registry.systems:
        yield from ((name, (f"system {system.__name__}", _file(system.__module__))) for name in system.reads)


def _file(module: str) -> str:
    return module.replace(".", "/") + ".py"


def _list(entries: Mapping[str, Entry]) -> Iterator[str]:
    """Yield one line per table: models' tables first, then those of grammars, file by file."""
    width = max(map(len, entries))
    columns = shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else None
    yield "Tables; one that is marked - nobody reads. `tracekit schema NAME` tells all of one."
    by_origin: dict[str, list[str]] = {}
    for name, entry in sorted(entries.items()):
        kind, file = entry.emitters[0]
        by_origin.setdefault(file if kind == "grammar" else "models and the pipeline", []).append(name)
    for origin in sorted(by_origin, key=lambda o: (o.endswith(".lark"), o)):
        yield f"\n{origin}"
        for name in by_origin[origin]:
            mark = " " if entries[name].readers or name == "raw_event" else "-"
            line = f"{mark} {name:<{width}}  {_first(entries[name].table.row)}"
            yield line if columns is None or len(line) <= columns else line[: columns - 3] + "..."


def _first(text: str) -> str:
    """Return the first sentence; a dot inside of parentheses or a name ends none."""
    depth = 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if c == "." and depth == 0 and text[i + 1 : i + 2] in ("", " "):
            return text[: i + 1]
    return text


def _page(entry: Entry) -> Iterator[str]:
    """Yield all of one table."""
    t = entry.table
    yield t.name
    yield from _filled(t.row, "  ")
    yield f"\nkeys: {', '.join(t.keys)}"
    yield "emitted by:"
    yield from _parts(entry.emitters)
    yield "read by:" if entry.readers else "read by: nobody" + (" (it is there for tracekit query)" if t.name == "raw_event" else "")
    yield from _parts(entry.readers)
    own, others = [list(map(_cells, columns)) for columns in (t.columns, entry.columns)]
    widths = [max(len(cells[i]) for cells in (*own, *others)) for i in (0, 1)]
    yield "columns:" if own else "columns: none of its own"
    yield from _columns(own, widths)
    if others:
        yield "columns that every table of its kind has:"
        yield from _columns(others, widths)


def _parts(parts: Sequence[Part]) -> Iterator[str]:
    width = max((len(what) for what, _ in parts), default=0)
    yield from (f"  {what:<{width}}  {file}" for what, file in dict.fromkeys(parts))


def _cells(c: "Column") -> tuple[str, str, str]:
    """Name, type with unit, sentence; of nested types the names of their parts are in the sentence."""
    sentence, unit = c.meaning
    kind = str(c.type)
    return c.name, f"{'List' if 'Struct' in kind else kind}{f' {unit}' if unit else ''}", sentence


def _columns(rows: Iterable[tuple[str, str, str]], widths: Sequence[int]) -> Iterator[str]:
    for name, kind, sentence in rows:
        yield from _filled(sentence, f"  {name:<{widths[0]}}  {kind:<{widths[1]}}  ", " " * (sum(widths) + 6))


def _filled(text: str, first: str, later: str | None = None) -> list[str]:
    width = max(shutil.get_terminal_size((100, 24)).columns, 60)
    return textwrap.wrap(text, min(width, 120), initial_indent=first, subsequent_indent=later or first, break_on_hyphens=False) or [first]
