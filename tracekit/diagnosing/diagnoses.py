"""Diagnoses: functions from tables to findings, and the four outcomes they can have."""

import hashlib
import inspect
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import polars as pl

from tracekit.diagnosing import sound
from tracekit.diagnosing.condition import Condition, holds
from tracekit.diagnosing.places import Place, Places
from tracekit.diagnosing.recorded import TOLD, Lost, Shown
from tracekit.diagnosing.witnesses import Witness, hear, parameters
from tracekit.findings import (
    GRADES,
    SEVERITIES,
    Finding,
    Outcome,
    Severity,
    Unchecked,
    Verdict,
    clear,
    not_evaluated,
)

Log = Literal["kernel", "boot"]
_MATTERS = re.compile(r"^Why it matters:(.*?)(?=^[A-Z][A-Za-z ]+:|\Z)", re.MULTILINE | re.DOTALL)
LOGS: Mapping[Log, str] = {"kernel": "no kernel log in the input", "boot": "no kernel log from the boot on in the input"}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A registered diagnosis: its function, its name and code, and the tables and settings that it takes."""

    function: Callable[..., Iterable[Finding | Verdict] | None]
    name: str
    code: str
    severity: Severity
    explains: tuple[str, ...] = ()
    supersedes: tuple[str, ...] = ()
    record: str = ""
    needs: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    needs_any: tuple[str, ...] = ()
    across: tuple[str, ...] = ()
    gates: tuple[str, ...] = ()
    log: Log | None = None
    takes: tuple[str, ...] = ()
    shown_by: tuple[Shown, ...] = ()
    absent: str = ""
    witnesses: tuple[Witness, ...] = ()
    when: Mapping[str, Condition] = field(default_factory=dict)  # by table: which rows start it; it is asked everywhere where this is empty
    otherwise: str = ""  # the reason of its clear outcome
    replaces: str = ""  # name or code of a diagnosis of another plugin
    stands_for: tuple[str, ...] = ()  # code and name of the one that it took the place of

    @property
    def called(self) -> tuple[str, ...]:
        """Return its code and name, and those of the diagnosis in whose place it stands."""
        return self.code, self.name, *self.stands_for

    @property
    def page(self) -> str:
        """Return the user's page: the docstring with its fixed sections."""
        return inspect.getdoc(self.function) or ""

    @property
    def meaning(self) -> str:
        """Return what happened and why it matters: the first paragraph of the page, and its section of that name."""
        first, _, rest = self.page.partition("\n\n")
        matters = _MATTERS.search(rest)
        why = matters[1].strip() if matters else ""
        return " ".join(f"{first} {why[:1].upper()}{why[1:]}".split())

    def answers(
        self, asked: Iterable[Mapping[str, pl.DataFrame | None]], settings: Mapping[str, Any]
    ) -> Iterable[Sequence[Finding | Verdict]]:
        """Yield what the diagnosis yields for each of the given tables, if it is sound. Errors: whatever its functions raise."""
        for tables in asked:
            yield list(map(sound.result, _told(self, tables, settings)))


def diagnosis(
    name: str,
    *,
    code: str,
    severity: Severity,
    explains: tuple[str, ...] = (),
    supersedes: tuple[str, ...] = (),
    record: str = "",
    needs_any: tuple[str, ...] = (),
    across: tuple[str, ...] = (),
    gates: tuple[str, ...] = (),
    log: Log | None = None,
    shown_by: tuple[str | Shown, ...] = (),
    absent: str = "",
    witnesses: tuple[Witness, ...] = (),
    when: Mapping[str, Condition] | None = None,
    otherwise: str = "",
    replaces: str = "",
) -> Callable[[Callable[..., Iterable[Finding | Verdict] | None]], Diagnosis]:
    """Make a diagnosis of a function from tables to findings.

    Positional parameters name the tables it needs (one that is missing or empty makes it *not evaluated*), parameters with
    default None the tables it can do without, keyword-only parameters its settings. `explains`: codes of findings on the same
    subject that are consequences of this one; `supersedes`: codes that are dropped when this one is found; `record`: the
    command that records what it needs; `needs_any`: tables of which one at least must have rows; `gates`: codes of
    the gates that it asks for; `log="kernel"`: it looks for messages of a kernel log, so where it yields nothing it is clear if the place
    has such a log, else *not evaluated*; `log="boot"`: of a log from the boot on, since the kernel prints it once, or it stays true.

    `shown_by`: tables in which the fault would show. Where none of them has a row, nothing found is *not evaluated*; where a column that a
    `Shown` names is not recorded, or events were lost, it is *inconclusive*. Without `shown_by` these are the tables it needs.
    `absent`: the reason in words where such a table is missing. `witnesses`: the parts of the diagnosis, each with tables of its own; the
    function then says why there is no finding, and is not called where there is one. `replaces`: the name or code of a diagnosis of another
    plugin, in whose place this one is asked; it may keep both.

    `when`: by table, which rows it starts with: a function whose parameters name columns, an expression, or null for any row. Where a place
    has no such row, nothing is called; the outcome is that of a function that yields nothing. `otherwise`: the reason of a clear outcome
    for which the function gives none.

    The function is called once for each machine and boot and gets the rows of that place alone, but of the tables in `across` those of
    related places too (a guest's beside its host's, see `Places.related`). The place of a finding is filled in.
    """

    def wrap(function: Callable[..., Iterable[Finding | Verdict] | None]) -> Diagnosis:
        needs, takes, settings = parameters(function)
        shown = tuple(Shown(s) if isinstance(s, str) else s for s in shown_by or (*needs, *needs_any))
        asked = (*takes, *needs_any, *(s.table for s in shown), *(n for w in witnesses for n in (*w.needs, *w.wants)), *(when or ()))
        return Diagnosis(
            function,
            name,
            code,
            severity,
            explains=explains,
            supersedes=supersedes,
            record=record,
            needs=needs,
            wants=tuple(dict.fromkeys(n for n in asked if n not in needs)),
            settings=settings,
            needs_any=needs_any,
            across=across,
            gates=gates,
            log=log,
            takes=(*needs, *takes),
            shown_by=shown,
            absent=absent,
            witnesses=witnesses,
            when=when or {},
            otherwise=otherwise,
            replaces=replaces,
        )

    return wrap


def lacking(diagnoses: Iterable[Diagnosis], tables: Container[str]) -> list[Outcome | None]:
    """Return the outcome of each diagnosis that cannot be evaluated on a case of one place with these tables; null for those that can.

    Most diagnoses are such for most logs: saves 4 % of a small log in a batch, and 2 % more where outcomes are kept by tables.
    """
    reasons = [(d, _unseen(d, tables)) for d in diagnoses]
    return [Outcome(d.name, d.code, "not evaluated", why, d.record) if why else None for d, why in reasons]


def judge(d: Diagnosis, places: Places, **settings: Any) -> tuple[list[Finding], Outcome]:
    """Run one diagnosis once for each place of a case: its findings, completed with its identity and their place, and its outcome."""
    found: list[Finding] = []
    outcomes: list[tuple[Place, Outcome]] = []
    names = (*d.needs, *d.wants)
    here = [(place, places.ask(place, names, d.across)) for place in places]
    asked = [(place, tables, why := _unseen(d, tables), not why and _starts(d, places, tables)) for place, tables in here]
    answers = iter(d.answers(({n: tables[n] for n in names} for _, tables, _, begun in asked if begun), settings))
    for place, tables, why, begun in asked:
        if why:
            outcomes.append((place, Outcome(d.name, d.code, "not evaluated", why, d.record)))
            continue
        findings, outcome = _of(d, places, place, tables, next(answers) if begun else None)
        found += findings
        outcomes.append((place, outcome))
    return found, _joined(outcomes, len(found))


def _starts(d: Diagnosis, places: Places, tables: Mapping[str, pl.DataFrame | None]) -> bool:
    """Return whether these tables have a row that the diagnosis starts with. Where a table lacks a column, its function says so."""
    try:
        return not d.when or any((rows := tables[n]) is not None and holds(c, rows, places.values) for n, c in d.when.items())
    except pl.exceptions.ColumnNotFoundError:
        return True


def _of(
    d: Diagnosis, places: Places, place: Place, tables: Mapping[str, pl.DataFrame | None], answer: Sequence[Finding | Verdict] | None
) -> tuple[list[Finding], Outcome]:
    """Return the findings and the outcome of one diagnosis at one place, from what it yielded there; null where nothing started it."""
    if findings := [_complete(f, d, place) for f in answer or () if isinstance(f, Finding)]:
        return findings, Outcome(d.name, d.code, "found")
    verdicts = [v for v in answer or () if isinstance(v, Verdict)]
    v = min(verdicts, key=lambda v: sound.VERDICTS.index(v.outcome)) if verdicts else clear(d.otherwise) if d.otherwise else clear()
    if v.outcome == "clear":
        v = _sure(d, v, tables, places, place, answer is None)
    return [], Outcome(d.name, d.code, v.outcome, v.reason, v.record or ("" if v.outcome == "clear" else d.record))


def _told(d: Diagnosis, tables: Mapping[str, pl.DataFrame | None], settings: Mapping[str, Any]) -> Iterator[Any]:
    """Yield what the witnesses yield, and what the function yields where none of them has a finding."""
    heard = list(hear(d.witnesses, tables, d.severity)) if d.witnesses else []
    yield from heard
    if any(isinstance(h, Finding) for h in heard):
        return
    results = d.function(**{n: tables[n] for n in d.takes}, **{**d.settings, **settings})
    if isinstance(results, Iterable):
        yield from results
    elif not (results is None and d.witnesses):
        raise TypeError(f"it returned {type(results).__name__}; a diagnosis yields findings and verdicts")


def _sure(d: Diagnosis, v: Verdict, tables: Mapping[str, pl.DataFrame | None], places: Places, place: Place, idle: bool) -> Verdict:
    """Return a verdict of "clear" where the fault would have shown, in a log or a table; else why it is none.

    `idle`: no row starts the diagnosis; then no row of these tables is one in which the fault would show.
    """
    seen = places.once(place, _seen)
    logs = seen.logs if d.log == "kernel" or d.log and seen.whole else frozenset[str]()
    if not logs:
        present = [(s, rows) for s in d.shown_by if (rows := tables[s.table]) is not None]
        asked = [(s, rows) for s, rows in present if not (idle and s.where is not None and s.table in d.when)]
        if (d.log or d.shown_by) and not any(places.of(rows, (id(s), "where"), partial(s.within, rows)) for s, rows in asked):
            return not_evaluated(_absent(d, [s.table for s in d.shown_by]))
        for s, rows in present:
            if (mute := places.of(rows, (id(s), "muted"), partial(s.muted, rows))) is not None:
                return mute
    if seen.lost:
        read = [t for n in (*d.needs, *d.wants) if n not in seen.told and (t := tables[n]) is not None and "source" in t.columns]
        looked_at = logs.union(*(places.of(t, "sources", partial(_sources, t)) for t in read))
        if (unsure := seen.lost.among(looked_at)) is not None:
            return unsure
    if not logs or v != clear():
        return v
    return clear("no such line in the kernel log" + ("" if seen.whole else ", which does not begin with the boot"))


def _sources(rows: pl.DataFrame) -> frozenset[str]:
    return frozenset(rows["source"].unique())


@dataclass(frozen=True, slots=True)
class _Seen:
    """Hold what a place was recorded with: its kernel logs, whether one begins with the boot, what was lost, and in which tables."""

    logs: frozenset[str]
    whole: bool
    lost: Lost | None
    told: frozenset[str]


def _seen(places: Places, place: Place) -> _Seen:
    """Return what a place was recorded with. A kernel's log is one by its stamps or a collector's tag, or by a boot's first line with a
    stamp: above it there may be a boot loader's many lines."""
    sources, starts = places.rows(place, "sources"), places.told(place, "kernel")
    first = list(zip(starts["source"].to_list(), starts["ts"].to_list(), strict=True)) if starts is not None else []
    begun, stamped = {s for s, _ in first}, {s for s, ts in first if ts is not None}
    told = set(zip(*(sources[c].to_list() for c in ("source", "clock", "kernel")), strict=True)) if sources is not None else ()
    logs = frozenset(s for s, clock, kernel in told if kernel or clock == "printk" or s in stamped)
    lost = Lost(*(places.told(place, what) for what in TOLD))
    lossy = frozenset(name for what in TOLD for name in places.telling.get(what, ()))
    return _Seen(logs, bool(logs & begun), lost if lost else None, lossy)


def _unseen(d: Diagnosis, seen: Container[str]) -> str:
    """Return why a diagnosis cannot be evaluated on the tables that have rows; nothing where it can."""
    if missing := [n for n in d.needs if n not in seen]:
        return _absent(d, missing)
    if d.needs_any and not any(n in seen for n in d.needs_any):
        return _absent(d, d.needs_any)
    if d.shown_by and not d.log and not any(n in seen for n in (*d.needs, *d.wants)):
        return _absent(d, [s.table for s in d.shown_by])
    return ""


def _absent(d: Diagnosis, names: Sequence[str]) -> str:
    """Say that tables have no rows: in the words of the declaration, else by their names; of a log that it is missing."""
    return d.absent or (LOGS[d.log] if d.log else f"no lines of {', '.join(names)} in the input")


def _joined(outcomes: Sequence[tuple[Place, Outcome]], found: int) -> Outcome:
    """Return the outcome of a diagnosis over all places: that of the place where it says most, which is named where there are several.

    What is clear at one place and not evaluated at another is *clear in part*: it is no all-clear of the case.
    """
    if len(outcomes) == 1:
        outcome = outcomes[0][1]
        return replace(outcome, reason=_counted(found)) if outcome.outcome == "found" else outcome
    rank = ("found", "inconclusive", "clear", "not evaluated")
    _, outcome = min(outcomes, key=lambda o: rank.index(o[1].outcome))
    if outcome.outcome == "found":
        return replace(outcome, reason=_counted(found))
    same = [str(p) for p, o in outcomes if o.outcome == outcome.outcome]
    if len(same) == len(outcomes):
        return outcome
    if outcome.outcome == "inconclusive":
        return replace(outcome, reason=f"{outcome.reason} ({', '.join(same)}; not the other places)")
    others = [(str(p), o) for p, o in outcomes if o.outcome == "not evaluated"]
    reason = f"{outcome.reason} ({', '.join(same)}); not evaluated for {', '.join(p for p, _ in others)}: {others[0][1].reason}"
    return replace(outcome, outcome="clear in part", reason=reason, record=others[0][1].record)


def _counted(found: int) -> str:
    return f"{found} finding{'s' if found > 1 else ''}"


def _complete(f: Finding, d: Diagnosis, place: Place) -> Finding:
    shape = "\x1f".join([d.code, f.subject.kind, *sorted(str(k) for k in f.values), *sorted({e.role for e in f.evidence})])
    return replace(
        f,
        name=d.name,
        code=d.code,
        meaning=d.meaning,
        machine=place.machine,
        boot=place.boot,
        severity=f.severity or d.severity,
        fingerprint=hashlib.blake2b(shape.encode(), digest_size=8).hexdigest(),
    )


def settle(findings: Iterable[Finding], diagnoses: Iterable[Diagnosis], places: Places) -> list[Finding]:
    """Apply precedence: mark consequences of a root cause with `explained_by`, drop what is superseded, sort for stable output."""
    by_code = {d.code: d for d in diagnoses}
    found = _told_once(findings)
    kept = [f for f in found if not any(f.code in by_code[r.code].supersedes and _replaces(r, f, places) for r in found)]
    settled = list(_explained(kept, by_code, places))
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
    """Merge findings that two sources give alike, with the better grade: the same log was given twice."""
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


def _explained(found: list[Finding], by_code: Mapping[str, Diagnosis], places: Places) -> Iterator[Finding]:
    """Name each other's causes and consequences. A cause that a diagnosis found out itself is no milder than what came of it."""
    consequences: dict[int, list[str]] = {}
    causes: dict[int, str] = {}
    worst: dict[int, Severity] = {}
    for i, f in enumerate(found):
        for r in found:
            given = f.explained_by == r.code
            follows = given or (f.code in by_code[r.code].explains and _same_subject(r, f, places))
            if r is not f and f.grade and follows:
                causes.setdefault(i, r.code)
                consequences.setdefault(id(r), []).append(f.code)
                if given and _same_subject(r, f, places):
                    worst[id(r)] = min((s for s in (worst.get(id(r)), r.severity, f.severity) if s), key=SEVERITIES.index)
    for i, f in enumerate(found):
        cause = causes.get(i)
        explains = tuple(sorted(set(consequences.get(id(f), ()))))
        yield replace(f, explained_by=cause, explains=explains, severity=worst.get(id(f), f.severity))


def _replaces(acute: Finding, other: Finding, places: Places) -> bool:
    """Return whether a finding replaces another: not if it is merely possible, nor if only one of the two names its device."""
    informs = other.grade is None
    return acute.grade != "possible" and _same_subject(acute, other, places) and (informs or acute.subject.bdf == other.subject.bdf)


def _same_subject(root: Finding, other: Finding, places: Places) -> bool:
    """Return whether two findings may be about the same device: in one place or in related ones, and with no two names that differ."""
    a, b = root.subject.bdf, other.subject.bdf
    return places.related(_place_of(root), _place_of(other)) and (a is None or b is None or a == b)


def _place_of(f: Finding) -> Place:
    return Place(f.machine, f.boot)


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
    undecided: dict[tuple[str, str], list[str]] = {}
    for o in outcomes:
        if o.outcome == "inconclusive":
            undecided.setdefault((o.reason, o.record), []).append(o.code)
    if not unchecked and not undecided:
        return None
    questions = {*unchecked, *(Unchecked(f"{', '.join(codes)}: {reason}", record) for (reason, record), codes in undecided.items())}
    guards = tuple(sorted(questions, key=lambda u: (u.guard, u.would_settle)))
    summary = f"{len(guards)} question{'s' if len(guards) > 1 else ''} could not be settled from this input"
    return Finding(
        summary, None, (), severity="info", unchecked=guards, name=BLIND_SPOT.name, code=BLIND_SPOT.code, fingerprint=BLIND_SPOT.code
    )


# Made by the run itself, from the outcomes of all others; kept out of the registry, whose diagnoses ask for tables.
BLIND_SPOT = Diagnosis(blind_spot, "obs.blind-spot", "OBS-001", "info")  # type: ignore[arg-type]


def spotted(spot: Finding | None) -> Outcome:
    """Return the outcome of OBS-001, by what it found."""
    told = "questions that this input leaves open" if spot else "every finding has its guards checked, nothing is inconclusive"
    return Outcome(BLIND_SPOT.name, BLIND_SPOT.code, "found" if spot else "clear", told)
