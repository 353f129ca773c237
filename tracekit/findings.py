"""Values that a diagnosis yields: findings with their evidence, verdicts, and the outcome of each diagnosis in a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal, get_args

Grade = Literal["proven", "probable", "possible"]


Severity = Literal["critical", "high", "medium", "low", "info"]


OutcomeKind = Literal["found", "clear", "inconclusive", "not evaluated", "clear in part"]


Role = Literal["cause", "effect", "context", "cure"]


GRADES: tuple[str, ...] = get_args(Grade)


SEVERITIES: tuple[str, ...] = get_args(Severity)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One line of a source, or a span of lines. The run fills in `text`, and `text_end` for the last line of a span."""

    source: str
    line: int
    role: Role = "context"
    line_end: int | None = None
    text: str = ""
    also: tuple[tuple[str, int], ...] = ()  # where other sources of the case repeat the line
    text_end: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """The device, host or domain that a finding is about. `kind`: pci | host | domain | unknown; `label` is what is printed."""

    label: str
    kind: str = "pci"
    bdf: str | None = None
    aliases: tuple[str, ...] = ()
    how: str | None = None  # how the BDF is known when it was inferred, or what would name it when it is not known


HOST = Subject("host", kind="host")


@dataclass(frozen=True, slots=True)
class Unchecked:
    """A condition that the input could not check, and the source that would settle it, with the command that records it."""

    guard: str
    would_settle: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault: what is wrong, with which device, on which lines, how sure. Diagnoses fill the first block of fields, the run the second."""

    summary: str
    grade: Grade | None  # null for CFG and OBS
    evidence: tuple[Evidence, ...]
    subject: Subject = HOST
    severity: Severity | None = None  # null: the diagnosis' own
    advice: str = ""
    unchecked: tuple[Unchecked, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)  # the numbers of the summary, by name; ts in ns
    windows: tuple[Mapping[str, Any], ...] = ()
    related: tuple[str, ...] = ()
    machine: str = ""
    boot: int = 0
    explained_by: str | None = None  # a code; a diagnosis sets it only where it knows more than `explains=` can say

    name: str = ""
    code: str = ""
    explains: tuple[str, ...] = ()
    confirmed_by_replay: bool | None = None
    fixes: tuple[str, ...] = ()
    fingerprint: str = ""
    meaning: str = ""  # what happened and why it matters, from the page of the diagnosis

    def _repr_html_(self) -> str:
        return str(import_module("tracekit.reporting").summary(self))


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one diagnosis in one run. `record` is the command or source that would let it decide more."""

    name: str
    code: str
    outcome: OutcomeKind
    reason: str = ""
    record: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer of a diagnosis that has no finding; see `clear`, `inconclusive`, `not_evaluated`."""

    outcome: OutcomeKind
    reason: str
    record: str = ""


def clear(reason: str = "no row of the input shows it") -> Verdict:
    """Say that every guard was checked, and that the source of the symptom is there without the symptom."""
    return Verdict("clear", reason)


def inconclusive(reason: str, record: str = "") -> Verdict:
    """Say that something like the symptom is there, but that no line decides. `record`: what to record next."""
    return Verdict("inconclusive", reason, record)


def not_evaluated(reason: str, record: str = "") -> Verdict:
    """Say that the source which could show the symptom is missing. `record`: what to record."""
    return Verdict("not evaluated", reason, record)
