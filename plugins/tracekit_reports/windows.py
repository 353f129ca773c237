"""The windows of a finding as a table: lines, begin, end, the outer bound, the inner ones. For the reports for people."""

from collections.abc import Callable, Mapping
from os.path import basename
from typing import Any

from tracekit import Finding

Window = Mapping[str, Any]


def table(f: Finding) -> list[list[str]]:
    """Return a row of heads and one for each window; columns in which nothing stands are left out. Nothing without windows."""
    told = {**_COLUMNS, **{_head(name): _other(name) for w in f.windows for name, v in w.items() if name not in _KNOWN and _is_short(v)}}
    several = len({w.get("source") for w in f.windows}) > 1
    columns = [[head, *(cell(w) for w in f.windows)] for head, cell in told.items()]
    if several:
        columns.insert(0, ["file", *(basename(str(w.get("source") or "")) for w in f.windows)])
    return [list(row) for row in zip(*(c for c in columns if any(c[1:])), strict=True)]


def _lines(w: Window) -> str:
    first, last = w.get("line"), w.get("line_end")
    return "" if first is None else f"{first}" if last in (None, first) else f"{first}-{last}"


def _stamp(name: str) -> Callable[[Window], str]:
    return lambda w: f"{w[name] / 1e9:.6f}" if _is_time(w.get(name)) else ""


def _length(name: str) -> Callable[[Window], str]:
    return lambda w: f"{w[name] / 1e6:,.3f}" if _is_time(w.get(name)) else ""


def _is_time(value: Any) -> bool:
    return isinstance(value, int) and abs(value) < 2**63


def _vectors(w: Window) -> str:
    return f"{w['old']} -> {w['new']}" if w.get("old") is not None and w.get("new") is not None else ""


def _used(w: Window) -> str:
    used = w.get("vectors_in_use")
    return ", ".join(map(str, used)) if isinstance(used, list | tuple) else ""


def _head(name: str) -> str:
    return f"{name.removesuffix('_ns').replace('_', ' ')} (ms)" if name.endswith("_ns") else name.replace("_", " ")


def _other(name: str) -> Callable[[Window], str]:
    """Return what prints a value that only its plugin knows; what is not so is left blank."""
    if name.endswith("_ns"):
        return _length(name)
    return lambda w: str(w[name]) if w.get(name) not in (None, False) else ""


def _is_short(value: Any) -> bool:
    return isinstance(value, str | int | float)


_COLUMNS: dict[str, Callable[[Window], str]] = {
    "lines": _lines,
    "begin (s)": _stamp("ts"),
    "end (s)": _stamp("ts_end"),
    "vectors": _vectors,
    "in use": _used,
    "at most (ms)": _length("span_ns"),
    "no handler (ms)": _length("no_handler_ns"),
    "no vectors (ms)": _length("no_vectors_ns"),
}
_KNOWN = {
    "index",
    "source",
    "line",
    "line_end",
    "ts",
    "ts_end",
    "old",
    "new",
    "vectors_in_use",
    "span_ns",
    "no_handler_ns",
    "no_vectors_ns",
}
