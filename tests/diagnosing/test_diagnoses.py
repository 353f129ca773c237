"""Outcomes, precedence, and what a run says of diagnoses that cannot decide."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from tracekit import pipeline
from tracekit.diagnosing.diagnoses import Diagnosis, blind_spot, diagnosis, judge, lacking, settle
from tracekit.diagnosing.places import Places
from tracekit.findings import Evidence, Finding, Outcome, Subject, Unchecked, Verdict, clear, inconclusive

ROWS = pl.DataFrame({"line": [7], "ret": [-28], "machine": ["alpha"], "boot": [1]})


@diagnosis("test.root", code="ROOT-1", severity="high", explains=("LEAF-1",), supersedes=("LATENT-1",), record="record this")
def root(failed: pl.DataFrame, extra: pl.DataFrame | None = None, *, limit: int = -1) -> Iterator[Finding | Verdict]:
    """A root cause."""
    for line, ret in failed.select("line", "ret").iter_rows():
        if ret < limit:
            yield Finding(f"failed with {ret}", "proven", (Evidence("a.log", line, "cause"),), Subject("0000:00:08.0", bdf="0000:00:08.0"))
    if extra is not None:
        yield inconclusive("extra lines do not decide", "record more")


@diagnosis("test.leaf", code="LEAF-1", severity="critical")
def leaf(failed: pl.DataFrame) -> Iterator[Finding | Verdict]:
    """A consequence."""
    yield clear()


@diagnosis("test.latent", code="LATENT-1", severity="medium")
def latent(failed: pl.DataFrame) -> Iterator[Finding | Verdict]:
    """What becomes the root cause."""
    yield clear()


ALL = [root, leaf, latent]
ONE = Places({})


def found(code: str, bdf: str | None, line: int = 1, **more: object) -> Finding:
    severity = next(d.severity for d in ALL if d.code == code)
    return Finding("x", "proven", (Evidence("a.log", line),), Subject(bdf or "unknown", bdf=bdf), severity, code=code, **more)  # type: ignore[arg-type]


def test_a_missing_table_makes_it_not_evaluated_and_says_what_to_record() -> None:
    assert judge(root, Places({})) == (
        [],
        Outcome("test.root", "ROOT-1", "not evaluated", "no lines of failed in the input", "record this"),
    )
    assert judge(root, Places({"failed": ROWS.clear()}))[1].outcome == "not evaluated"


@pytest.mark.parametrize("tables", [{}, {"failed": ROWS.clear()}, {"extra": ROWS}, {"other": ROWS}])
def test_what_lacks_its_tables_is_told_without_asking_it(tables: dict[str, pl.DataFrame]) -> None:
    told = lacking(ALL, Places(tables).tables)
    assert told == [judge(d, Places(tables))[1] for d in ALL]
    assert {o.outcome for o in told if o} == {"not evaluated"}


def test_what_has_its_tables_is_judged() -> None:
    assert lacking(ALL, {"failed": ROWS}) == [None, None, None]
    two = pl.concat([ROWS, ROWS.with_columns(boot=pl.lit(2, dtype=pl.Int64))])
    assert judge(root, Places({"extra": two}))[1].outcome == "not evaluated"


def test_a_run_asks_those_diagnoses_alone_that_have_their_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (log := tmp_path / "a.log").write_text("[    1.000000] Linux version 6.12.0\n")
    engine, asked = pipeline.Engine.load(), list[str]()

    def noted(d: Diagnosis, places: Places, **settings: object) -> object:
        asked.append(d.code)
        return judge(d, places, **settings)

    monkeypatch.setattr(pipeline, "judge", noted)
    run = pipeline.analyze([str(log)], engine=engine)
    told = {o.code: o for o in run.outcomes}
    assert 0 < len(asked) < len(engine.registry.diagnoses) < len(told)
    assert {told[d.code].outcome for d in engine.registry.diagnoses if d.code not in asked} == {"not evaluated"}
    assert engine.fresh().registry.lacking is engine.registry.lacking  # logs with the same tables are told alike


def test_a_finding_is_completed_with_the_identity_of_its_diagnosis() -> None:
    (finding,), outcome = judge(root, Places({"failed": ROWS}))
    assert (finding.name, finding.code, finding.severity, finding.summary) == ("test.root", "ROOT-1", "high", "failed with -28")
    assert (finding.machine, finding.boot) == ("alpha", 1)
    assert outcome.outcome == "found"


def test_one_of_several_tables_is_enough_where_the_diagnosis_says_so() -> None:
    @diagnosis("test.any", code="ANY-1", severity="low", record="record either", needs_any=("failed", "extra"))
    def either(failed: pl.DataFrame | None = None, extra: pl.DataFrame | None = None) -> Iterator[Finding | Verdict]:
        """One of two."""
        yield clear("looked")

    told = Outcome("test.any", "ANY-1", "not evaluated", "no lines of failed, extra in the input", "record either")
    assert judge(either, Places({"other": ROWS}))[1] == told
    assert judge(either, Places({"extra": ROWS}))[1].outcome == "clear"


def test_nothing_yielded_is_clear_and_a_verdict_is_kept() -> None:
    assert judge(root, Places({"failed": ROWS}), limit=-30)[1].outcome == "clear"
    outcome = judge(root, Places({"failed": ROWS, "extra": ROWS}), limit=-30)[1]
    assert (outcome.outcome, outcome.reason, outcome.record) == ("inconclusive", "extra lines do not decide", "record more")


def test_a_root_cause_explains_its_consequences_on_the_same_device_only() -> None:
    here, there = "0000:00:08.0", "0000:00:09.0"
    settled = settle([found("LEAF-1", here), found("LEAF-1", there), found("LEAF-1", None), found("ROOT-1", here)], ALL, ONE)
    told = {(f.code, f.subject.bdf): f.explained_by for f in settled}
    assert told == {("ROOT-1", here): None, ("LEAF-1", here): "ROOT-1", ("LEAF-1", None): "ROOT-1", ("LEAF-1", there): None}
    assert next(f for f in settled if f.code == "ROOT-1").explains == ("LEAF-1",)


def test_findings_of_another_boot_or_machine_are_not_explained() -> None:
    settled = settle([found("LEAF-1", "0000:00:08.0", boot=1), found("ROOT-1", "0000:00:08.0")], ALL, ONE)
    assert [f.explained_by for f in settled] == [None, None]


def test_the_acute_form_replaces_the_latent_one() -> None:
    assert [f.code for f in settle([found("LATENT-1", "0000:00:08.0"), found("ROOT-1", "0000:00:08.0")], ALL, ONE)] == ["ROOT-1"]
    assert [f.code for f in settle([found("LATENT-1", "0000:00:09.0"), found("ROOT-1", "0000:00:08.0")], ALL, ONE)] == [
        "ROOT-1",
        "LATENT-1",
    ]


def test_a_possible_finding_replaces_nothing_nor_does_one_on_an_unknown_device() -> None:
    possible = replace(found("ROOT-1", "0000:00:08.0"), grade="possible")
    assert [f.code for f in settle([found("LATENT-1", "0000:00:08.0"), possible], ALL, ONE)] == ["ROOT-1", "LATENT-1"]
    assert [f.code for f in settle([found("LATENT-1", None), found("ROOT-1", "0000:00:08.0")], ALL, ONE)] == ["ROOT-1", "LATENT-1"]


def test_findings_are_sorted_by_weight() -> None:
    settled = settle([found("LATENT-1", "0000:00:09.0"), found("LEAF-1", "0000:00:0a.0", 9), found("LEAF-1", "0000:00:0a.0", 3)], ALL, ONE)
    assert [(f.code, f.evidence[0].line) for f in settled] == [("LEAF-1", 3), ("LEAF-1", 9), ("LATENT-1", 1)]


def test_blind_spots_are_one_finding_without_a_grade() -> None:
    assert blind_spot([found("LEAF-1", None)], [Outcome("a", "A-1", "clear")]) is None
    spot = blind_spot(
        [found("LEAF-1", None, unchecked=(Unchecked("rebind", "dmesg"),))], [Outcome("b", "B-1", "inconclusive", "no count", "a counter")]
    )
    assert spot is not None
    assert (spot.code, spot.grade, spot.severity) == ("OBS-001", None, "info")
    assert spot.unchecked == (Unchecked("B-1: no count", "a counter"), Unchecked("rebind", "dmesg"))


def test_a_message_that_is_absent_is_clear_in_a_kernel_log_and_not_evaluated_without_one() -> None:
    @diagnosis("test.log", code="LOG-1", severity="low", record="dmesg", log="kernel")
    def message(failed: pl.DataFrame | None = None) -> Iterator[Finding]:
        """Look for a message."""
        yield from ()

    def outcome(clock: str, begins: str = "a.log", kernel: bool = False, ts: int | None = 0) -> tuple[str, str, str]:
        begun = ROWS.with_columns(source=pl.lit(begins), ts=pl.lit(ts, pl.Int64))
        sources = pl.DataFrame({"source": ["a.log"], "clock": [clock], "kernel": [kernel]})
        _, o = judge(message, Places({"sources": sources, "begun": begun}, {"kernel": ("begun",)}))
        return o.outcome, o.reason, o.record

    assert outcome("printk") == ("clear", "no such line in the kernel log", "")
    assert outcome("trace", begins="b.log") == ("not evaluated", "no kernel log in the input", "dmesg")
    assert outcome("wall") == outcome("none") == ("clear", "no such line in the kernel log", "")
    assert outcome("none", ts=None)[0] == "not evaluated"
    assert outcome("wall", begins="b.log")[0] == "not evaluated"
    assert outcome("wall", begins="b.log", kernel=True) == (
        "clear",
        "no such line in the kernel log, which does not begin with the boot",
        "",
    )
