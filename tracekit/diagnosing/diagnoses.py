"""Diagnoses: functions from tables to findings, and the four outcomes they can have."""

import hashlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from tracekit.findings import GRADES, SEVERITIES, Evidence, Finding, Outcome, Role, Severity, Subject, Unchecked, Verdict, clear


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A diagnosis as the registry knows it: the function, its identity, and what it asks for."""

    function: Callable[..., Iterable[Finding | Verdict]]
    name: str
    code: str
    severity: Severity
    explains: tuple[str, ...] = ()
    supersedes: tuple[str, ...] = ()
    record: str = ""
    needs: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    gates: tuple[str, ...] = ()

    @property
    def page(self) -> str:
        """The user's page: the docstring with its fixed sections."""
        return inspect.getdoc(self.function) or ""


def diagnosis(
    name: str,
    *,
    code: str,
    severity: Severity,
    explains: tuple[str, ...] = (),
    supersedes: tuple[str, ...] = (),
    record: str = "",
    gates: tuple[str, ...] = (),
) -> Callable[[Callable[..., Iterable[Finding | Verdict]]], Diagnosis]:
    """Make a diagnosis of a function from tables to findings.

    Positional parameters name the tables it needs (one that is missing or empty makes it *not evaluated*), parameters with
    default None the tables it can do without, keyword-only parameters its settings. `explains`: codes of findings on the same
    subject that are consequences of this one; `supersedes`: codes that are dropped when this one is found; `record`: the
    command that records what it needs; `gates`: codes of the gates that it asks for.
    """

    def wrap(function: Callable[..., Iterable[Finding | Verdict]]) -> Diagnosis:
        needs, wants, settings = [], [], {}
        for p in inspect.signature(function).parameters.values():
            if p.kind is p.KEYWORD_ONLY:
                settings[p.name] = p.default
            elif p.default is p.empty:
                needs.append(p.name)
            else:
                wants.append(p.name)
        return Diagnosis(function, name, code, severity, explains, supersedes, record, tuple(needs), tuple(wants), settings, gates)

    return wrap


def judge(d: Diagnosis, tables: Mapping[str, Any], **settings: Any) -> tuple[list[Finding], Outcome]:
    """Run one diagnosis over the tables of a run: its findings, completed with its identity, and its outcome."""
    missing = [n for n in d.needs if n not in tables or tables[n].is_empty()]
    if missing:
        reason = "no lines of " + ", ".join(missing) + " in the input"
        return [], Outcome(d.name, d.code, "not evaluated", reason, d.record)
    present = {n: tables[n] for n in d.needs}
    optional = {n: tables[n] if n in tables and not tables[n].is_empty() else None for n in d.wants}
    findings: list[Finding] = []
    verdicts: list[Verdict] = []
    results = d.function(**present, **optional, **{**d.settings, **settings})
    if not isinstance(results, Iterable):
        raise TypeError(f"it returned {type(results).__name__}; a diagnosis yields findings and verdicts")
    for result in results:
        if isinstance(result, Verdict):
            verdicts.append(result)
        else:
            findings.append(_complete(_sound(result), d))
    if findings:
        return findings, Outcome(d.name, d.code, "found", f"{len(findings)} finding{'s' if len(findings) > 1 else ''}")
    order = ["inconclusive", "not evaluated", "clear"]
    verdicts.sort(key=lambda v: order.index(v.outcome))
    v = verdicts[0] if verdicts else clear()
    return [], Outcome(d.name, d.code, v.outcome, v.reason, v.record or ("" if v.outcome == "clear" else d.record))


def _sound(f: Any) -> Finding:
    """The finding, if all of it can be settled and printed. Errors: TypeError, ValueError in words for the author of the diagnosis."""
    if not isinstance(f, Finding):
        raise TypeError(f"it yielded a {type(f).__name__}, neither a Finding nor a Verdict")
    if f.grade is not None and f.grade not in GRADES or f.severity is not None and f.severity not in SEVERITIES:
        raise ValueError(f"it yielded a Finding of grade {f.grade!r}, severity {f.severity!r}")
    kinds = {"summary": str, "evidence": tuple, "subject": Subject, "advice": str, "unchecked": tuple, "values": Mapping, "windows": tuple}
    for name, kind in kinds.items():
        if not isinstance(getattr(f, name), kind):
            raise TypeError(f"it yielded a Finding whose {name} is a {type(getattr(f, name)).__name__}, not a {kind.__name__}")
    for e in f.evidence:
        if not (isinstance(e, Evidence) and isinstance(e.source, str) and isinstance(e.line, int) and e.role in get_args(Role)):
            raise TypeError(f"it yielded a Finding with the evidence {e!r:.100}")
    if not (_plain(f.values) and all(map(_plain, f.windows))):
        raise TypeError(f"it yielded a Finding with values that are no text and no numbers: {f.values!r:.100}")
    return f


def _plain(value: Any) -> bool:
    """Whether every report can print a value: text, numbers, nothing, and mappings and sequences of these."""
    if isinstance(value, Mapping):
        return all(isinstance(k, str) and _plain(v) for k, v in value.items())
    return value is None or isinstance(value, str | int | float) or isinstance(value, list | tuple) and all(map(_plain, value))


def _complete(f: Finding, d: Diagnosis) -> Finding:
    shape = "\x1f".join([d.code, f.subject.kind, *sorted(str(k) for k in f.values), *sorted({e.role for e in f.evidence})])
    return replace(
        f,
        name=d.name,
        code=d.code,
        severity=f.severity or d.severity,
        fingerprint=hashlib.blake2b(shape.encode(), digest_size=8).hexdigest(),
    )


def settle(findings: Iterable[Finding], diagnoses: Iterable[Diagnosis]) -> list[Finding]:
    """Apply precedence: mark consequences of a root cause with `explained_by`, drop what is superseded, sort for stable output."""
    by_code = {d.code: d for d in diagnoses}
    found = _told_once(findings)
    kept = [f for f in found if not any(f.code in by_code[r.code].supersedes and _replaces(r, f) for r in found)]
    settled = list(_explained(kept, by_code))
    rank = {s: i for i, s in enumerate(SEVERITIES)}
    return sorted(
        settled,
        key=lambda f: (
            f.explained_by is not None,
            rank[f.severity or "info"],
            GRADES.index(f.grade) if f.grade else len(GRADES),
            f.code,
            f.subject.label,
            min(((e.source, e.line) for e in f.evidence), default=("", 0)),
        ),
    )


def _told_once(findings: Iterable[Finding]) -> list[Finding]:
    """Findings that two sources give alike are one, in the better grade: the same log or recording was given twice."""
    told: dict[tuple[object, ...], Finding] = {}
    for n, f in enumerate(findings):
        key: tuple[object, ...] = (f.code, f.subject.label, f.machine, f.boot, repr(sorted(f.values.items())), len(f.windows))
        first = told.get(key)
        if first is None or f.subject.kind == "unknown" or {e.source for e in first.evidence} == {e.source for e in f.evidence}:
            told[key if first is None else (*key, n)] = f
            continue
        best, other = sorted((first, f), key=lambda f: GRADES.index(f.grade) if f.grade else len(GRADES))
        told[key] = replace(best, evidence=tuple(dict.fromkeys((*best.evidence, *other.evidence))))
    return list(told.values())


def _explained(found: list[Finding], by_code: Mapping[str, Diagnosis]) -> Iterator[Finding]:
    consequences: dict[int, list[str]] = {}
    causes: dict[int, str] = {}
    for i, f in enumerate(found):
        for r in found:
            given = f.explained_by == r.code
            follows = given or (f.code in by_code[r.code].explains and _same_subject(r, f))
            if r is not f and f.grade and follows:
                causes.setdefault(i, r.code)
                consequences.setdefault(id(r), []).append(f.code)
    for i, f in enumerate(found):
        cause = causes.get(i)
        yield replace(f, explained_by=cause, explains=tuple(sorted(set(consequences.get(id(f), ())))))


def _replaces(acute: Finding, other: Finding) -> bool:
    """Whether a finding takes the place of another: not if it is merely possible, nor if the device is known of only one of the two."""
    informs = other.grade is None
    return acute.grade != "possible" and _same_subject(acute, other) and (informs or acute.subject.bdf == other.subject.bdf)


def _same_subject(root: Finding, other: Finding) -> bool:
    """Whether two findings may be about the same device: unless both name one and the names differ, or machine or boot do."""
    a, b = root.subject.bdf, other.subject.bdf
    if root.machine and other.machine and root.machine != other.machine:
        return False
    # Boots are counted within a source: across sources their numbers say nothing.
    shared = {e.source for e in root.evidence} & {e.source for e in other.evidence}
    if shared and root.boot != other.boot:
        return False
    return a is None or b is None or a == b


def blind_spot(findings: Iterable[Finding], outcomes: Iterable[Outcome]) -> Finding | None:
    """Questions that this input leaves open, and what would settle them.

    What it finds: guards that a finding could not check, and diagnoses that are inconclusive. One row a run, never an alarm.
    Why it matters: a verdict is as good as the sources it rests on; this is the list of what else to record.
    Stays quiet when: every finding has its guards checked and nothing is inconclusive. What was not evaluated is no part of it.
    Affected: every input.
    What to do: record what each question names, and analyze it together with what there is.
    References: none; it speaks of the input.
    """
    unchecked = {u for f in findings for u in f.unchecked}
    undecided = [o for o in outcomes if o.outcome == "inconclusive"]
    if not unchecked and not undecided:
        return None
    questions = {*unchecked, *(Unchecked(f"{o.code}: {o.reason}", o.record) for o in undecided)}
    guards = tuple(sorted(questions, key=lambda u: (u.guard, u.would_settle)))
    summary = f"{len(guards)} question{'s' if len(guards) > 1 else ''} could not be settled from this input"
    return Finding(
        summary, None, (), severity="info", unchecked=guards, name=BLIND_SPOT.name, code=BLIND_SPOT.code, fingerprint=BLIND_SPOT.code
    )


# Made by the run itself, from the outcomes of all others; kept out of the registry, whose diagnoses ask for tables.
BLIND_SPOT = Diagnosis(blind_spot, "obs.blind-spot", "OBS-001", "info")  # type: ignore[arg-type]
