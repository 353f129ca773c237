"""A run in a file, so that any report of it can be written later without a second analysis: gzipped JSON of its values, tables aside."""

import gzip
import json
import types
import zlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

from tracekit.errors import SourceError
from tracekit.run import Run
from tracekit.written import whole

FORM = "tracekit.stored/1"  # changes with every change to the values of a run that an older tracekit could not read
_LEFT_OUT = ("tables", "given")


def save(run: Run, path: Path) -> None:
    """Write a run into a file; the same run gives the same bytes. Errors: OutputError."""
    text = json.dumps({"form": FORM, "version": run.version, "run": _plain(run)}, separators=(",", ":"))
    with whole(path) as out:
        out.write(gzip.compress(text.encode("ascii"), 6, mtime=0))


def load(path: Path) -> Run:
    """Read a run. Errors: SourceError where the file is none, is of another form, or is damaged."""
    try:
        told = json.loads(gzip.decompress(path.read_bytes()))
    except OSError as e:
        raise SourceError(f"{path}: {e.strerror or 'is no saved run (tracekit analyze --save writes one)'}") from e
    except (EOFError, zlib.error, ValueError, RecursionError) as e:
        raise SourceError(f"{path}: is damaged, or no saved run (tracekit analyze --save writes one)") from e
    form = told.get("form") if isinstance(told, dict) else None
    if form != FORM:
        by = f" by tracekit {told.get('version')}" if isinstance(form, str) else ""
        raise SourceError(f"{path}: was saved{by} in the form {form}; this tracekit reads {FORM}: analyze the logs again")
    try:
        return cast(Run, _made(Run, told["run"]))
    except (TypeError, KeyError, ValueError, AttributeError) as e:
        raise SourceError(f"{path}: is damaged: it does not hold the values of a run") from e


def _plain(value: Any) -> Any:
    """Return a value as JSON types. What a plugin left that is none becomes text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value) if f.name not in _LEFT_OUT}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return list(map(_plain, value))
    return str(value)


def _made(kind: Any, value: Any) -> Any:
    """Return a value of the given type from JSON types."""
    origin, args = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        hints = get_type_hints(kind, localns={"pl": types.SimpleNamespace(DataFrame=Any)})
        return cast(type, kind)(**{name: _made(hints[name], part) for name, part in value.items()})
    if origin in (Union, types.UnionType):
        return None if value is None else _made(next(a for a in args if a is not type(None)), value)
    if origin is tuple:
        each = args[:1] * len(value) if args[-1] is Ellipsis else args
        return tuple(_made(a, part) for a, part in zip(each, value, strict=True))
    if origin is not None and issubclass(origin if isinstance(origin, type) else object, Mapping):
        return {args[0](key): _made(args[1], part) for key, part in value.items()}
    return value
