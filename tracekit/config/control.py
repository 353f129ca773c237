"""The settings of a run: which diagnoses run, their severities, their settings, and the known findings."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from tracekit.bdf import full_bdf
from tracekit.config import values
from tracekit.config.entries import Entry
from tracekit.diagnosing.diagnoses import Diagnosis
from tracekit.errors import UsageError, nearest
from tracekit.findings import SEVERITIES, Finding, Severity
from tracekit.run import Suppressed

Known = tuple[str, str, str]  # of a finding in a baseline: fingerprint, machine, device


@dataclass(frozen=True, slots=True)
class Suppression:
    """Keep findings out of the report: those with all that is given. `until`: the last day on which it holds."""

    reason: str
    codes: frozenset[str] = frozenset()
    code: str = ""  # as it was written
    device: str = ""
    fingerprint: str = ""
    until: date | None = None
    origin: str = ""

    def matches(self, f: Finding) -> bool:
        """Return whether a finding is meant."""
        return (not self.code or f.code in self.codes) and self.fingerprint in ("", f.fingerprint) and self._is_about(f)

    def expired(self, today: date) -> bool:
        """Return whether its last day is over."""
        return bool(self.until and self.until < today)

    def _is_about(self, f: Finding) -> bool:
        named = {f.subject.label.lower(), *(a.lower() for a in f.subject.aliases), full_bdf((f.subject.bdf or f.subject.label).lower())}
        return not self.device or not named.isdisjoint((self.device.lower(), full_bdf(self.device.lower())))

    def __str__(self) -> str:
        told = (self.code, self.device and f"device {self.device}", self.fingerprint and f"fingerprint {self.fingerprint}")
        return f"{', '.join(filter(None, told))} ({self.reason})"


@dataclass(frozen=True, slots=True)
class Control:
    """Hold what the user set, resolved against the diagnoses that there are."""

    left_out: frozenset[str] = frozenset()  # codes of diagnoses that are not asked
    severities: Mapping[str, Severity] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # code -> name -> value
    suppressions: tuple[Suppression, ...] = ()
    known: frozenset[Known] = frozenset()
    baseline: str = ""  # where `known` is from
    origins: tuple[str, ...] = ()  # files that say something of it

    @classmethod
    def of(cls, entries: Sequence[Entry], diagnoses: Sequence[Diagnosis], known: frozenset[Known] = frozenset()) -> "Control":
        """Resolve the user's entries. Errors: UsageError that names the entry and the nearest name."""
        codes = {d.code for d in diagnoses}
        selected = {c for e in entries if e.key == "select" for name in e.value for c in named(name, diagnoses, e.origin)}
        ignored = {c for e in entries if e.key == "ignore" for name in e.value for c in named(name, diagnoses, e.origin)}
        settings: dict[str, dict[str, Any]] = {}
        for e in (e for e in entries if e.key == "set"):
            d, name, value = _setting(e, diagnoses)
            settings.setdefault(d.code, {})[name] = value
        return cls(
            left_out=frozenset((codes - selected if selected else set()) | ignored),
            severities={c: v for e in entries if e.key == "severity" for c, v in _severity(e, diagnoses)},
            settings=settings,
            suppressions=tuple(_suppression(e, diagnoses) for e in entries if e.key == "suppress"),
            known=known,
            baseline=next((e.value for e in entries if e.key == "baseline"), ""),
            origins=tuple(dict.fromkeys(e.origin for e in entries if not e.origin.startswith("--"))),
        )

    @property
    def asked(self) -> str:
        """Return what decides the findings of a case, as JSON: the same text for the same settings. Empty where nothing is set."""
        told = {
            "left_out": sorted(self.left_out),
            "severities": dict(self.severities),
            "settings": {c: dict(s) for c, s in self.settings.items()},
        }
        return json.dumps(told, sort_keys=True) if any(told.values()) else ""

    @classmethod
    def of_asked(cls, text: str) -> "Control":
        """Return what `asked` says, without suppressions and baseline."""
        told = json.loads(text or "{}")
        return cls(frozenset(told.get("left_out", ())), told.get("severities", {}), told.get("settings", {}))

    def severe(self, findings: Iterable[Finding]) -> list[Finding]:
        """Return findings with the severities that the user gave."""
        return [replace(f, severity=self.severities.get(f.code, f.severity)) for f in findings]

    def divided(self, findings: Sequence[Finding], today: date) -> tuple[list[Finding], tuple[Suppressed, ...]]:
        """Return the findings to report, and those that are suppressed: also what only follows from these."""
        kept: list[Finding] = []
        hidden: list[Suppressed] = []
        for f in findings:
            why = self._why(f, today)
            hidden.append(why) if why else kept.append(f)
        causes = {s.finding.code for s in hidden} - {f.code for f in kept}
        hidden += [Suppressed(f, f"follows from {f.explained_by}", "") for f in kept if f.explained_by in causes]
        return [f for f in kept if f.explained_by not in causes], tuple(hidden)

    def notes(self, used: Set[str], today: date) -> Iterator[str]:
        """Yield what the user should know of the settings: where they are from, what they leave out, what does nothing any more.

        `used`: the suppressions that kept something out, as text."""
        if self.origins:
            yield f"settings of {', '.join(self.origins)}"
        if self.left_out:
            count = "one diagnosis is" if len(self.left_out) == 1 else f"{len(self.left_out)} diagnoses are"
            yield f"{count} not asked: {', '.join(sorted(self.left_out))}"
        for s in self.suppressions:
            if s.expired(today):
                yield f"suppression expired on {s.until}: {s}"
            elif str(s) not in used:
                yield f"suppression matches nothing here: {s}"

    def _why(self, f: Finding, today: date) -> Suppressed | None:
        for s in self.suppressions:
            if not s.expired(today) and s.matches(f):
                return Suppressed(f, str(s), s.reason)
        return Suppressed(f, f"baseline {self.baseline}", "known") if not self.known.isdisjoint(_keys(f)) else None


def key(fingerprint: str, machine: str, kind: str, label: str, bdf: str | None) -> Known:
    """Return how a baseline knows a finding: its shape and its device; a pointer in place of a name is another one in each boot."""
    return fingerprint, machine, full_bdf(bdf) if bdf else "" if kind == "unknown" else label


def named(name: str, diagnoses: Sequence[Diagnosis], origin: str) -> frozenset[str]:
    """Return the codes of `MSI-001`, `msi.stale-hwsize`, or of the family `MSI`. Errors: UsageError with the nearest name."""
    upper = name.upper()
    found = {d.code for d in diagnoses if upper in {*map(str.upper, d.called), *(n.partition("-")[0] for n in d.called)}}
    if not found:
        known = {n for d in diagnoses for n in (d.code, d.name, d.code.partition("-")[0])}
        raise UsageError(f"{origin}: no diagnosis and no family is called {name}{nearest(upper, known) or nearest(name, known)}")
    return frozenset(found)


def _keys(f: Finding) -> tuple[Known, ...]:
    """Return the keys of a finding, also without the machine: a baseline of logs without host names knows none."""
    of = (f.subject.kind, f.subject.label, f.subject.bdf)
    return () if f.grade is None else (key(f.fingerprint, f.machine, *of), key(f.fingerprint, "", *of))


def _setting(e: Entry, diagnoses: Sequence[Diagnosis]) -> tuple[Diagnosis, str, Any]:
    of, _, name = e.name.rpartition(".")
    d = next((d for d in diagnoses if of.lower() in map(str.lower, d.called)), None)
    if d is None:
        known = [f"{d.name}.{s}" for d in diagnoses for s in d.settings]
        raise UsageError(f"{e.origin}: no diagnosis with settings is called {of or e.name}{nearest(e.name, known)}")
    full = name if name in d.settings else next((s for s in d.settings if values.unit(s) and s.rpartition("_")[0] == name), None)
    if full is None:
        told = nearest(name, d.settings) or (f"; it has {', '.join(d.settings)}" if d.settings else "; it has none")
        raise UsageError(f"{e.origin}: {d.code} {d.name} has no setting {name}{told}")
    try:
        return d, full, values.value(full, e.value, d.settings[full])
    except ValueError as error:
        raise UsageError(f"{e.origin}: {e.name} = {e.value}: {error}") from None


def _severity(e: Entry, diagnoses: Sequence[Diagnosis]) -> Iterator[tuple[str, Severity]]:
    if e.value not in SEVERITIES:
        raise UsageError(
            f"{e.origin}: severity of {e.name}: {e.value} is none of {', '.join(SEVERITIES)}{nearest(str(e.value), SEVERITIES)}"
        )
    yield from ((code, e.value) for code in sorted(named(e.name, diagnoses, e.origin)))


def _suppression(e: Entry, diagnoses: Sequence[Diagnosis]) -> Suppression:
    told: dict[str, Any] = dict(e.value)
    if not told.keys() & {"code", "device", "fingerprint"}:
        raise UsageError(f"{e.origin}: suppress: give code, device or fingerprint")
    if not str(told.get("reason", "")).strip():
        raise UsageError(f"{e.origin}: suppress {told.get('code') or told.get('device') or told.get('fingerprint')}: give a reason")
    code = str(told.get("code", ""))
    codes = named(code, diagnoses, e.origin) if code else frozenset()
    device, fingerprint = str(told.get("device", "")), str(told.get("fingerprint", ""))
    return Suppression(told["reason"], codes, code, device, fingerprint, _day(told.get("until"), e.origin), e.origin)


def _day(given: Any, origin: str) -> date | None:
    if given is None or isinstance(given, date):
        return given.date() if isinstance(given, datetime) else given
    try:
        return date.fromisoformat(str(given))
    except ValueError:
        raise UsageError(f"{origin}: until = {given}: give a day, as in 2027-01-31") from None
