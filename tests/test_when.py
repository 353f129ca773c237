"""Conditions of diagnoses (`when=`): where no row meets them, the function itself has nothing to say."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import polars as pl
import pytest
from test_tables import columns

from tracekit import Finding, Verdict, clear, diagnosis, holds, rows_where
from tracekit.diagnosing import condition
from tracekit.diagnosing.diagnoses import Diagnosis, judge
from tracekit.diagnosing.places import Places
from tracekit.pipeline import Engine, Options, read
from tracekit.plugins import parts
from tracekit.reading.source import discover
from tracekit.testing import expected, samples

SAMPLES = Path(__file__).parent.parent / "sample_traces"
ENGINE = Engine.load()
BEGUN = [d for d in ENGINE.registry.diagnoses if d.when]
CALLS = pl.DataFrame({"source": ["a.log"] * 3, "line": [1, 2, 3], "ret": [0, None, -34], "index": [2, 2, 1], "machine": "", "boot": 0})


def refused(ret: int | None) -> bool:
    return ret is not None and ret < 0


@diagnosis("test.refused", code="REFUSED-1", severity="low", when={"calls": refused, "messages": None}, otherwise="no call was refused")
def looks(calls: pl.DataFrame | None = None, messages: pl.DataFrame | None = None) -> Iterator[Finding | Verdict]:
    """Find what was refused."""
    assert messages is not None or rows_where(calls, refused)
    yield from (Finding("refused", "proven", ()) for _ in rows_where(calls, refused))


@cache
def cases() -> list[Places]:
    """The tables of every sample."""
    found = []
    for case in samples(SAMPLES):
        sides = {str(case / name): side for name, side in expected(case).get("sides", {}).items()}
        sources, _ = discover([str(p) for p in sorted(case.rglob("*")) if p.is_file() and p.name != "expected.toml"])
        found.append(Places(read(sources, ENGINE, Options(sides=sides), [])[0], ENGINE.vocabulary.telling))
    return found


def begins(d: Diagnosis, places: Places) -> Iterator[tuple[bool, dict[str, pl.DataFrame | None]]]:
    """Whether a diagnosis starts at each place where it is evaluated, and its tables there."""
    for place in places:
        tables = places.ask(place, (*d.needs, *d.wants), d.across)
        if all(tables[n] is not None for n in d.needs):
            yield any(rows is not None and holds(c, rows) for n, c in d.when.items() for rows in (tables[n],)), tables


@pytest.mark.parametrize("d", BEGUN, ids=lambda d: d.code)
def test_where_no_row_starts_a_diagnosis_it_has_nothing_to_say(d: Diagnosis) -> None:
    told = [(begun, tables) for places in cases() for begun, tables in begins(d, places)]
    idle = [tables for begun, tables in told if not begun]
    assert idle and len(idle) < len(told), "a sample in which it starts, and one in which it does not"
    assert {v for answers in d.answers(idle, {}) for v in answers} <= {clear(d.otherwise)}
    assert d.otherwise
    would_show = [
        (s, rows) for s in d.shown_by if s.where is not None and s.table in d.when for t in idle if (rows := t[s.table]) is not None
    ]
    assert [s.table for s, rows in would_show if s.within(rows)] == []


@pytest.mark.parametrize("d", BEGUN, ids=lambda d: d.code)
def test_a_condition_reads_columns_that_its_table_has(d: Diagnosis) -> None:
    known = columns()
    assert {(n, c) for n, held in d.when.items() for c in condition.columns(held) if c not in known[n]} == set()


@pytest.mark.parametrize("rows", [CALLS[:2], None])
def test_a_diagnosis_without_a_row_to_start_with_is_clear_and_not_called(rows: pl.DataFrame | None) -> None:
    tables = {"other": CALLS} if rows is None else {"calls": rows}
    _, outcome = judge(looks, Places(tables))
    assert (outcome.outcome, outcome.reason) == ("clear", "no call was refused")


def test_any_row_of_any_table_of_the_conditions_starts_it() -> None:
    assert len(judge(looks, Places({"calls": CALLS}))[0]) == 1
    assert judge(looks, Places({"calls": CALLS[:2], "messages": CALLS[:1]}))[1].reason == "no call was refused"


def test_a_place_starts_it_alone() -> None:
    other = CALLS.with_columns(pl.lit("beta").alias("machine"))[:2]
    found, outcome = judge(looks, Places({"calls": pl.concat([CALLS, other])}))
    assert [f.machine for f in found] == [""]
    assert outcome.outcome == "found"


def test_a_table_without_the_column_is_left_to_the_function() -> None:
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        judge(looks, Places({"calls": CALLS.drop("ret")}))


@pytest.mark.parametrize("held", [refused, lambda ret, index: index == 1 and ret == -34, (pl.col("ret") < 0) & (pl.col("index") == 1)])
def test_a_condition_holds_for_the_same_rows_however_many_there_are(held: condition.Condition, monkeypatch: pytest.MonkeyPatch) -> None:
    for few in (100, 1):
        monkeypatch.setattr(condition, "FEW", few)
        assert [r["line"] for r in rows_where(CALLS, held)] == [3]
        assert [r["line"] for r in rows_where(pl.concat([CALLS, CALLS]), held)] == [3, 3]
        assert (holds(held, CALLS), holds(held, CALLS[:2])) == (True, False)


def test_null_stands_for_every_row() -> None:
    assert (len(rows_where(CALLS, None)), rows_where(None, None), holds(None, CALLS), holds(None, CALLS[:0])) == (3, [], True, False)
    assert [holds(pl.len() < 9, frame) for frame in (CALLS, CALLS[:0])] == [True, False]  # true of no row where there is none


def without_columns() -> bool:
    return True


@pytest.mark.parametrize("wrong", [{"calls": "ret < 0"}, {"calls": without_columns}, {1: None}, ["calls"]])
def test_a_condition_that_is_none_is_named(wrong: object) -> None:
    d = diagnosis("test.wrong", code="WRONG-1", severity="low")(looks.function)
    told = parts.diagnosis(Diagnosis(d.function, d.name, d.code, "low", when=wrong))  # type: ignore[arg-type]
    assert told.startswith("test.wrong: when ")
