"""Witnesses: parts of a diagnosis with tables of their own, joined to one finding per subject."""

from collections.abc import Iterator

import polars as pl
import pytest

from tracekit import Detail, Evidence, Finding, Subject, Unchecked, Verdict, clear, diagnosis, fallback, inconclusive, witness
from tracekit.diagnosing.diagnoses import Diagnosis, judge
from tracekit.diagnosing.places import Places

ROW = pl.DataFrame({"source": ["a.log"], "line": [1], "machine": [""], "boot": [0]})
CARD = Subject("0000:00:08.0", bdf="0000:00:08.0")
WHO = Unchecked("who holds them", "cat /proc/interrupts")


@witness
def traced(failures: pl.DataFrame) -> Iterator[Finding]:
    """The refusal itself."""
    yield Finding("refused", "proven", (Evidence("a.log", 5, "cause"),), CARD, unchecked=(WHO,), values={"n": 1, "holders": {}})


@witness
def said(messages: pl.DataFrame, names: pl.DataFrame | None = None) -> Iterator[Finding]:
    """A driver's word for it."""
    yield Finding("a driver fails", "possible", (Evidence("a.log", 9, "effect"),), CARD, "critical", values={"n": 9, "errno": -28})


@witness
def holders(inventory: pl.DataFrame) -> Iterator[Detail]:
    """Who has them all."""
    yield Detail((Evidence("a.log", 2),), CARD, "card holds 190", {"holders": {"card": 190}}, settles=("who holds them",))


@fallback
def guessed(timeouts: pl.DataFrame) -> Iterator[Finding | Verdict]:
    """What may be meant by a time-out."""
    yield Finding("perhaps refused", "possible", (), CARD)


@witness
def doubts(warnings: pl.DataFrame) -> Iterator[Verdict]:
    """What would have shown it."""
    yield inconclusive("a warning, and no request", "record requests")


@diagnosis("test.joined", code="JOINED-1", severity="high", witnesses=(holders, traced, said, guessed, doubts), shown_by=("requests",))
def joined(requests: pl.DataFrame | None = None) -> Iterator[Verdict]:
    """Say why there is no finding."""
    yield clear("every request was granted")


def judged(*tables: str, of: Diagnosis = joined) -> list[Finding]:
    return judge(of, Places(dict.fromkeys(tables, ROW)))[0]


def test_the_tables_of_the_witnesses_are_asked_for() -> None:
    assert joined.wants == ("requests", "inventory", "failures", "messages", "names", "timeouts", "warnings")
    assert joined.takes == ("requests",)


def test_one_witness_alone_has_its_own_finding() -> None:
    (f,) = judged("failures")
    assert (f.summary, f.grade, f.severity, f.code, f.unchecked) == ("refused", "proven", "high", "JOINED-1", (WHO,))


def test_the_best_grade_leads_and_the_worst_severity_stays() -> None:
    (f,) = judged("failures", "messages")
    assert (f.summary, f.grade, f.severity) == ("refused", "proven", "critical")
    assert [e.line for e in f.evidence] == [5, 9]
    assert f.values == {"n": 1, "holders": {}, "errno": -28}


def test_a_detail_adds_lines_words_and_values_and_settles_a_guard() -> None:
    (f,) = judged("failures", "inventory")
    assert (f.summary, f.unchecked, f.values["holders"]) == ("refused; card holds 190", (), {"card": 190})
    assert [(e.line, e.role) for e in f.evidence] == [(2, "context"), (5, "cause")]


def test_a_detail_is_no_finding() -> None:
    assert judged("inventory", "requests") == []


def test_a_fallback_is_asked_where_no_other_has_a_finding() -> None:
    assert [f.summary for f in judged("timeouts")] == ["perhaps refused"]
    assert [f.summary for f in judged("timeouts", "messages")] == ["a driver fails"]


@pytest.mark.parametrize(
    ("tables", "outcome", "reason"),
    [
        (("requests",), "clear", "every request was granted"),
        (("requests", "warnings"), "inconclusive", "a warning, and no request"),
        ((), "not evaluated", "no lines of requests in the input"),
        (("failures", "warnings"), "found", "1 finding"),
    ],
)
def test_the_function_says_why_there_is_no_finding(tables: tuple[str, ...], outcome: str, reason: str) -> None:
    told = judge(joined, Places(dict.fromkeys(tables, ROW)))[1]
    assert (told.outcome, told.reason) == (outcome, reason)


def test_findings_of_other_subjects_stay_apart() -> None:
    @witness
    def another(x: pl.DataFrame) -> Iterator[Finding]:
        """Two cards at once."""
        yield Finding("one", "possible", ())
        yield Finding("two", "possible", ())

    @witness
    def nameless(y: pl.DataFrame) -> Iterator[Finding]:
        """A device that nothing names."""
        yield Finding("nameless", "possible", (), Subject("an unnamed device", "unknown"))

    @witness
    def nameless_too(y: pl.DataFrame) -> Iterator[Finding]:
        """Another one, perhaps."""
        yield Finding("nameless too", "probable", (), Subject("an unnamed device", "unknown"))

    @diagnosis("test.apart", code="APART-1", severity="low", witnesses=(traced, another, nameless, nameless_too))
    def apart() -> None:
        """A page alone: silence is clear."""

    assert [f.summary for f in judged("failures", "x", of=apart)] == ["refused", "one", "two"]
    assert [f.summary for f in judged("y", of=apart)] == ["nameless", "nameless too"]
    assert judge(apart, Places({"z": ROW}))[1].outcome == "clear"
