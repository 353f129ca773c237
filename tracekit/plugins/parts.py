"""Check the parts of a plugin before they are used. Messages are for the author of the plugin."""

import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

import polars as pl

from tracekit.diagnosing import sound as plain
from tracekit.diagnosing.condition import columns
from tracekit.diagnosing.diagnoses import LOGS, Diagnosis
from tracekit.diagnosing.extension import Extension
from tracekit.errors import nearest
from tracekit.findings import SEVERITIES
from tracekit.guard import clean, guarded
from tracekit.picture.lane import LaneSource
from tracekit.replay.gates import CODE, NAME, Gate, Since
from tracekit.replay.model import Model
from tracekit.replay.whatif import Fix, System
from tracekit.tables.declaration import Column, Table
from tracekit.tables.envelope import ENVELOPE_COLUMNS, SPAN_COLUMNS

TAKEN = frozenset(c.name for c in (*ENVELOPE_COLUMNS, *SPAN_COLUMNS))


def grammar_folder(part: Any) -> str:
    """Return why a part is no folder of grammars; empty if it is one."""
    if not isinstance(part, Path):
        return f"{part!r} is no pathlib.Path"
    if not part.is_dir():
        return f"there is no folder {part} (is it in the package data?)"
    if not any(f for name in ("envelopes", "events") for f in (part / name).glob("*.lark")):
        return f"{part} holds no events/*.lark and no envelopes/*.lark (are they in the package data?)"
    return ""


def model(part: Any) -> str:
    """Return why a part is no model; empty if it is one."""
    if not (inspect.isclass(part) and issubclass(part, Model)):
        return f"{_named(part)} is no subclass of tracekit.Model" + (" (give the class, not an object)" if isinstance(part, Model) else "")
    if wrong := next((n for n in ("needs", "across") if not _names(getattr(part, n))), ""):
        return f"{part.__name__}.{wrong} is no tuple of names of tables"
    if not (isinstance(part.looks_for, Mapping) and all(isinstance(t, str) and _names(texts) for t, texts in part.looks_for.items())):
        return f"{part.__name__}.looks_for is no mapping of names of tables to tuples of texts"
    if not _names(part.gates):
        return f"{part.__name__}.gates is no tuple of names of gates"
    if not (isinstance(part.tables, tuple) and all(type(t) is Table for t in part.tables)):
        return f"{part.__name__}.tables is no tuple of tracekit.Table"
    if wrong := next(filter(None, (_table(f"{part.__name__}.tables: {t.name}", t) for t in part.tables)), ""):
        return wrong
    part.blank()  # raises where a type of polars cannot be
    return ""


def _table(where: str, table: Table) -> str:
    if not (_texts(table.name, table.row) and _names(table.keys) and isinstance(table.columns, tuple)):
        return f"{where}: name and row are texts, keys and columns are tuples"
    for c in table.columns:
        if type(c) is not Column:
            return f"{where}: {c!r:.100} is no tracekit.Column"
        if not _texts(c.name, c.sentence, c.unit):
            return f"{where}: name, sentence and unit of a column are texts"
        if not (isinstance(c.type, pl.DataType) or (inspect.isclass(c.type) and issubclass(c.type, pl.DataType))):
            return f"{where}: column {c.name} has no polars type but {c.type!r}"
        if c.name in TAKEN:
            return f"{where}: column {c.name} has the name of an envelope column; choose another"
    if unknown := sorted(set(table.keys) - {c.name for c in table.columns} - TAKEN):
        return f"{where}: {unknown[0]} is a key and no column"
    return ""


def diagnosis(part: Any) -> str:
    """Return why a part is no diagnosis; empty if it is one."""
    if type(part) is not Diagnosis:
        return f"{_named(part)} is not decorated with @tracekit.diagnosis(...)"
    if part.severity not in SEVERITIES:
        return f"{part.name}: severity {part.severity!r} is none of {', '.join(SEVERITIES)}"
    if not (_texts(part.name, part.code, part.record, part.page) and part.name and part.code):
        return f"{part.name!r:.100}: name, code, record and docstring are texts"
    if not _texts(part.replaces):
        return f"{part.name}: replaces is no name of a diagnosis"
    if not (isinstance(part.when, Mapping) and _texts(*part.when, part.otherwise) and all(map(_is_condition, part.when.values()))):
        return f"{part.name}: when is a mapping of tables to expressions, functions of columns, or None; otherwise is a text"
    if part.log not in (None, *LOGS):
        return f"{part.name}: log {part.log!r:.100} is none of {', '.join(LOGS)}"
    for name in ("explains", "supersedes", "gates", "needs_any", "across"):
        if not _names(getattr(part, name)):
            return f"{part.name}: {name} is no tuple of {'codes' if name in ('explains', 'supersedes', 'gates') else 'names of tables'}"
    return ""


def _is_condition(given: Any) -> bool:
    return given is None or isinstance(given, pl.Expr) or isinstance(given, FunctionType) and bool(columns(given))


def extension(part: Any) -> str:
    """Return why a part is no extension; empty if it is one."""
    if type(part) is not Extension:
        return f"{_named(part)} is no tracekit.Extension"
    if not (_texts(part.of, part.advice) and isinstance(part.settings, Mapping) and _texts(*part.settings)):
        return f"extension of {part.of!r:.100}: of and advice are texts, settings is a mapping by name"
    if not (part.advice or part.settings):
        return f"extension of {part.of}: it has neither settings nor advice"
    plain.plain(dict(part.settings))  # raises where a value is none that a report can print
    return ""


def report(part: Any) -> str:
    """Return why a part is no report class; empty if it is one."""
    if not inspect.isclass(part):
        return f"{_named(part)} is no class"
    if not _texts(getattr(part, "name", None)):
        return f"{part.__name__} has no name for --format"
    return "" if callable(getattr(part, "write", None)) else f"{part.__name__} has no method write(run, options)"


def gate(part: Any) -> str:
    """Return why a part is no gate; empty if it is one."""
    if type(part) is not Gate:
        return f"{_named(part)} is no tracekit.Gate"
    if not _texts(part.code, part.name) or not CODE.fullmatch(part.code) or not NAME.fullmatch(part.name):
        return f"gate {part.code} {part.name}: a code is like KV2, a name like device-msi-domains"
    if not (_texts(part.project, part.holds, part.changes, part.advice) and _names(part.observed)):
        return f"gate {part.code}: project, holds, changes and advice are texts, observed is a tuple of texts"
    if not part.since or not isinstance(part.since, tuple) or not all(type(s) is Since for s in part.since):
        return f"gate {part.code}: since is no tuple of tracekit.Since"
    if not all(map(_since, part.since)):
        return f"gate {part.code}: a release is a tuple of numbers, all else of a tracekit.Since is text"
    if len({(s.arch, s.parent) for s in part.since}) < len(part.since):
        return f"gate {part.code}: two releases for one architecture and parent"
    return ""


def _since(part: Since) -> bool:
    releases = [r for r in (part.release, part.until, part.parent_since) if r is not None]
    numbers = all(isinstance(r, tuple) and all(type(n) is int for n in r) for r in releases)
    return numbers and _texts(part.arch, part.parent, part.commit, part.source)


def system(part: Any) -> str:
    """Return why a part is no system; empty if it is one."""
    if not (inspect.isclass(part) and issubclass(part, System)):
        return f"{_named(part)} is no subclass of tracekit.System"
    for name in ("reads", "switches", "asks"):
        if not _names(getattr(part, name)):
            return f"{part.__name__}.{name} is no tuple of names{' of tables' if name == 'reads' else ''}"
    if not (isinstance(part.fixes, tuple) and all(type(f) is Fix and _texts(f.gate, f.text) and _names(f.cures) for f in part.fixes)):
        return f"{part.__name__}.fixes is no tuple of tracekit.Fix"
    return "" if _texts(part.name) else f"{part.__name__}.name is no text"


def machines(given: Any) -> dict[str, type]:
    """Return what `tracekit_machines` gave. Errors: TypeError where it is no dictionary of classes by name."""
    if not (isinstance(given, dict) and all(_texts(name) and inspect.isclass(made) for name, made in given.items())):
        raise TypeError(f"it returned {_named(given)}, not a dictionary of classes by name")
    return given


def simulator(part: Any) -> str:
    """Return why a part is no simulator; empty if it is one."""
    from tracekit.simulate.simulator import Simulator

    if not (inspect.isclass(part) and issubclass(part, Simulator)):
        return f"{_named(part)} is no subclass of tracekit.Simulator"
    return "" if _names(part.reads) else f"{part.__name__}.reads is no tuple of names of tables"


def lane(part: Any) -> str:
    """Return why a part is no lane; empty if it is one."""
    if type(part) is not LaneSource or not _texts(part.name):
        return f"{_named(part)} is not decorated with @tracekit.lane(...)"
    if type(part.order) is not int:
        return f"lane {part.name}: order is no number"
    named = _names(part.reads) and _names(part.about) and _names(part.of)
    return "" if named else f"lane {part.name}: reads, about and of are tuples of names"


def _names(given: Any) -> bool:
    """Return whether it is a tuple of names of tables; a text by itself would be taken letter by letter."""
    return isinstance(given, tuple) and _texts(*given)


def _texts(*given: Any) -> bool:
    """Return whether all are texts that can be written: no subclass, no lone surrogate."""
    return all(type(text) is str and (text.isascii() or clean(text) == text) for text in given)


def sound(parts: Any, wrong: Callable[[Any], str], failed: Callable[[BaseException], object]) -> Iterator[Any]:
    """Yield the valid parts that a hook returned; call `failed` for the others."""
    if isinstance(parts, str) or not isinstance(parts, Iterable):
        failed(TypeError(f"it returned {_named(parts)}, not a list"))
        return
    for part in parts:
        if _is_sound(part, wrong, failed):
            yield part


def _is_sound(part: Any, wrong: Callable[[Any], str], failed: Callable[[BaseException], object]) -> bool:
    with guarded(failed):
        if not (why := wrong(part)):
            return True
        failed(TypeError(why))
    return False


def misnamed(module: object, hooks: Collection[str]) -> Iterator[str]:
    """Yield what looks like a hook in a plugin's module and is none: a name that no hook has, a hook without its mark."""
    for name, value in list(vars(module).items()):
        marked = hasattr(value, "tracekit_impl")
        if marked and name not in hooks:
            yield f"{name} is no hook{nearest(name, hooks)}"
        elif name in hooks and not marked:
            yield f"{name} has no @tracekit.hookimpl above it"


def _named(part: Any) -> str:
    """Return a function or class by its name, a value by its type."""
    return str(getattr(part, "__name__", None) or ("None" if part is None else f"a {type(part).__name__}"))
