"""Check what a diagnosis yields before it is used: it can be sorted and printed, or an error says why not."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from tracekit.findings import GRADES, SEVERITIES, Evidence, Finding, Role, Subject, Unchecked, Verdict

VERDICTS = ("inconclusive", "not evaluated", "clear")  # of several the first counts
_LAST_LINE = 1 << 53  # no file has more
_DEEPEST = 20  # values inside values


def result(given: Any) -> Finding | Verdict:
    """Return a finding or a verdict with values of plain types. Errors: TypeError, ValueError in words for the author of the diagnosis."""
    if isinstance(given, Verdict):
        return _verdict(given)
    if isinstance(given, Finding):
        return _finding(given)
    raise TypeError(f"it yielded a {type(given).__name__}, neither a Finding nor a Verdict")


def _verdict(v: Verdict) -> Verdict:
    if v.outcome not in VERDICTS:
        raise ValueError(f"it yielded a Verdict of outcome {v.outcome!r:.100}")
    return Verdict(v.outcome, text("a Verdict whose reason", v.reason), text("a Verdict whose record", v.record))


def _finding(f: Finding) -> Finding:
    if f.grade is not None and f.grade not in GRADES or f.severity is not None and f.severity not in SEVERITIES:
        raise ValueError(f"it yielded a Finding of grade {f.grade!r:.100}, severity {f.severity!r:.100}")
    kinds = {"summary": str, "evidence": tuple, "subject": Subject, "advice": str, "unchecked": tuple, "values": Mapping, "windows": tuple}
    for name, kind in {**kinds, "related": tuple, "fixes": tuple}.items():
        if not isinstance(getattr(f, name), kind):
            raise TypeError(f"it yielded a Finding whose {name} is a {type(getattr(f, name)).__name__}, not a {kind.__name__}")
    what = "a Finding whose "
    if f.explained_by is not None:
        text(f"{what}explained_by", f.explained_by)
    return replace(
        f,
        summary=text(f"{what}summary", f.summary),
        advice=text(f"{what}advice", f.advice),
        evidence=tuple(map(_evidence, f.evidence)),
        subject=_subject(f.subject),
        unchecked=tuple(map(_unchecked, f.unchecked)),
        values=_values(f.values, f.values),
        windows=tuple(_window(w, f.values) for w in f.windows),
        related=tuple(text(f"{what}related", r) for r in f.related),
        fixes=tuple(text(f"{what}fixes", r) for r in f.fixes),
    )


def _evidence(e: Any) -> Evidence:
    lines = (e.line, 0 if e.line_end is None else e.line_end) if isinstance(e, Evidence) else ()
    if not lines or not isinstance(e.source, str) or e.role not in get_args(Role) or not all(map(_is_line, lines)):
        raise TypeError(f"it yielded a Finding with the evidence {e!r:.100}")
    return Evidence(text("a Finding whose evidence", e.source), int(e.line), e.role, None if e.line_end is None else int(e.line_end))


def _is_line(line: Any) -> bool:
    return isinstance(line, int) and 0 <= line < _LAST_LINE


def _subject(s: Subject) -> Subject:
    given = {n: getattr(s, n) for n in ("label", "kind")} | {n: getattr(s, n) for n in ("bdf", "how") if getattr(s, n) is not None}
    told = {name: text(f"a Finding whose subject's {name}", value) for name, value in given.items()}
    return replace(s, **told, aliases=tuple(text("a Finding whose subject's aliases", a) for a in s.aliases))


def _unchecked(u: Any) -> Unchecked:
    if not isinstance(u, Unchecked):
        raise TypeError(f"it yielded a Finding with an unchecked guard that is a {type(u).__name__}")
    return Unchecked(text("a Finding whose guard", u.guard), text("a Finding whose guard", u.would_settle))


def _window(window: Any, values: Any) -> Mapping[str, Any]:
    told = _values(window, values) if isinstance(window, Mapping) else {}
    lines = [told[name] or 0 for name in ("line", "line_end") if name in told]
    if not told or not isinstance(told.get("source", ""), str) or not all(map(_is_line, lines)):
        raise TypeError(f"it yielded a Finding with the window {window!r:.100}")
    return told


def _values(given: Mapping[Any, Any], values: Any) -> dict[str, Any]:
    try:
        told: dict[str, Any] = plain(given)
    except (TypeError, RecursionError):
        raise TypeError(f"it yielded a Finding with values that are no text and no numbers: {values!r:.100}") from None
    return told


def plain(value: Any, depth: int = 0) -> Any:
    """Return a copy that every report can print: text, numbers, nothing, mappings and sequences of these. Errors: TypeError, ValueError."""
    if depth > _DEEPEST:
        raise TypeError("values inside values without an end")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return text("a Finding whose values", value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"it yielded a Finding whose values hold {float(value)}, which is no number in JSON")
        return float(value)
    if isinstance(value, Mapping):
        if not all(isinstance(k, str) for k in value):
            raise TypeError("a name that is no text")
        return {text("a Finding whose values", k): plain(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return _sequence(value, depth)
    raise TypeError(type(value).__name__)


def _sequence(value: Sequence[Any], depth: int) -> Any:
    told = [plain(v, depth + 1) for v in value]
    return told if isinstance(value, list) else tuple(told)


def text(what: str, given: Any) -> str:
    """Return a text that can be written. Errors: TypeError where it is none, ValueError where it holds a lone surrogate."""
    if not isinstance(given, str):
        raise TypeError(f"it yielded {what} is a {type(given).__name__}, not a str")
    try:
        given.encode()
    except UnicodeEncodeError:
        raise ValueError(f"it yielded {what} holds a lone surrogate: {given[:100].encode('ascii', 'backslashreplace').decode()}") from None
    return given if type(given) is str else str.__str__(given)
