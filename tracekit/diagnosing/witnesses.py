"""Witnesses: the parts of a diagnosis, each with tables of its own, joined to one finding per subject."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from tracekit.findings import GRADES, HOST, SEVERITIES, Evidence, Finding, Severity, Subject, Verdict


@dataclass(frozen=True, slots=True)
class Detail:
    """Evidence that a witness adds to the finding of another witness on the same subject. It is no finding by itself.

    `words` are appended to the summary; `values` replace those of the same name; `settles` names the guards that it checks.
    """

    evidence: tuple[Evidence, ...] = ()
    subject: Subject = HOST
    words: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    settles: tuple[str, ...] = ()


Told = Finding | Detail | Verdict


@dataclass(frozen=True, slots=True)
class Witness:
    """A function from tables to findings, details and verdicts. `fallback`: it is called only where no witness before it has a finding."""

    function: Callable[..., Iterable[Told]]
    needs: tuple[str, ...]
    wants: tuple[str, ...]
    fallback: bool = False

    def told(self, tables: Mapping[str, pl.DataFrame | None]) -> Iterable[Told]:
        """Return what the function yields; nothing where a table that it needs has no rows."""
        if any(tables[n] is None for n in self.needs):
            return ()
        return self.function(**{n: tables[n] for n in (*self.needs, *self.wants)})


def parameters(function: Callable[..., Any]) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, Any]]:
    """Return the tables that a function needs, those that it takes where they have rows (default None), and its settings (keyword-only)."""
    needs, wants, settings = [], [], {}
    for p in inspect.signature(function).parameters.values():
        if p.kind is p.KEYWORD_ONLY:
            settings[p.name] = p.default
        elif p.default is p.empty:
            needs.append(p.name)
        else:
            wants.append(p.name)
    return tuple(needs), tuple(wants), settings


def witness(function: Callable[..., Iterable[Told]]) -> Witness:
    """Make a witness of a function: parameters name its tables as those of a diagnosis do."""
    needs, wants, _ = parameters(function)
    return Witness(function, needs, wants)


def fallback(function: Callable[..., Iterable[Told]]) -> Witness:
    """Make a witness that is asked only where none before it has found the fault."""
    return replace(witness(function), fallback=True)


def hear(witnesses: Sequence[Witness], tables: Mapping[str, pl.DataFrame | None], severity: Severity) -> Iterator[Finding | Verdict]:
    """Ask the witnesses in order; yield one finding per subject, and their verdicts. `severity`: of findings that name none."""
    told: list[tuple[int, Told]] = []
    for n, w in enumerate(witnesses):
        if not (w.fallback and any(isinstance(t, Finding) for _, t in told)):
            told += [(n, t) for t in w.told(tables)]
    yield from _joined([(n, t) for n, t in told if not isinstance(t, Verdict)], severity)
    yield from (t for _, t in told if isinstance(t, Verdict))


def _joined(told: Sequence[tuple[int, Finding | Detail]], severity: Severity) -> Iterator[Finding]:
    """Yield one finding per subject: the one with the best grade, with the evidence of the other witnesses added."""
    findings = [(n, t) for n, t in told if isinstance(t, Finding)]
    yield from (f for _, f in findings if f.subject.kind == "unknown")  # two devices without a name may be two
    for subject in dict.fromkeys(t.subject.label for _, t in findings if t.subject.kind != "unknown"):
        mine = [(n, f) for n, f in findings if f.subject.label == subject]
        # A witness that has several findings on one subject means several faults.
        witness, lead = min(mine, key=lambda m: _rank(m[1]))
        apart = [f for n, f in mine if n == witness and f is not lead]
        others = [t for n, t in told if t.subject.label == subject and (n != witness or t is lead)]
        yield lead if others == [lead] else _together(lead, others, severity)
        yield from apart


def _rank(f: Finding) -> int:
    return GRADES.index(f.grade) if f.grade else len(GRADES)


def _together(lead: Finding, parts: Sequence[Finding | Detail], severity: Severity) -> Finding:
    """Return the leading finding with the lines, words and values of all parts, as severe as the most severe of them."""
    details = [p for p in parts if isinstance(p, Detail)]
    values: dict[str, Any] = {}
    ordered: list[Finding | Detail] = [*(p for p in parts if isinstance(p, Finding) and p is not lead), lead, *details]
    for p in ordered:
        values |= p.values
    levels = [p.severity or severity for p in parts if isinstance(p, Finding)]
    lines = {(e.source, e.line): e for p in parts for e in p.evidence}
    settled = {s for d in details for s in d.settles}
    return replace(
        lead,
        summary="; ".join((lead.summary, *(d.words for d in details if d.words))),
        evidence=tuple(sorted(lines.values(), key=lambda e: (e.source, e.line))),
        values=values,
        severity=min(levels, key=SEVERITIES.index),
        unchecked=tuple(u for u in lead.unchecked if u.guard not in settled),
    )
