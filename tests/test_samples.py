"""Every sample is run whole, and its findings are compared whole: codes, grades, subjects, evidence lines."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tracekit import plugins
from tracekit.analyze import Options, analyze
from tracekit.diagnoses import Finding

SAMPLES = Path(__file__).parent.parent / "sample_traces"
CASES = sorted(p.parent for p in SAMPLES.glob("*/*/expected.toml"))
KEYS = {"origin", "releases", "sides", "not_understood", "finding"}


def expected(case: Path) -> dict[str, Any]:
    return tomllib.loads((case / "expected.toml").read_text(encoding="utf-8"))


def told(f: Finding, case: Path) -> dict[str, Any]:
    """A finding as `expected.toml` writes it."""
    lines = [
        f"{Path(e.source).relative_to(case)}:{e.line}{f'-{e.line_end}' if e.line_end not in (None, e.line) else ''} {e.role}"
        for e in f.evidence
    ]
    shown = {"code": f.code, "grade": f.grade, "subject": f.subject.label, "evidence": lines, "explained_by": f.explained_by}
    return {k: v for k, v in shown.items() if v is not None}


def test_there_are_samples_and_each_says_where_it_is_from() -> None:
    assert CASES
    for case in CASES:
        assert set(expected(case)) <= KEYS, case
        assert expected(case)["origin"], case
        assert expected(case)["releases"], case


def test_every_case_is_a_firing_or_a_quiet_one_of_its_folder() -> None:
    cases = [p for p in SAMPLES.glob("*/*") if p.is_dir()]
    assert cases
    for case in cases:
        assert (case / "expected.toml").exists(), case
        assert case.name.startswith(("fires-", "quiet-")), case


def test_every_diagnosis_fires_in_a_sample_and_stays_quiet_in_another() -> None:
    kinds = {d.name: {p.name.split("-")[0] for p in (SAMPLES / d.name).glob("*")} for d in plugins.load().diagnoses}
    assert {name: kind for name, kind in kinds.items() if kind != {"fires", "quiet"}} == {}


@pytest.mark.parametrize("case", CASES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_sample(case: Path) -> None:
    files = sorted(str(p) for p in case.rglob("*") if p.is_file() and p.name != "expected.toml")
    sides = {str(case / name): side for name, side in expected(case).get("sides", {}).items()}
    run = analyze(files, Options(sides=sides))
    assert run.errors == ()
    found = [f for f in run.findings if f.code != "OBS-001"]
    assert [told(f, case) for f in found] == expected(case).get("finding", [])
    assert (case.parent.name in {f.name for f in found}) == case.name.startswith("fires-")
    for source in run.sources:
        assert sum(source.classes.values()) == source.lines, source.path
    assert sum(n.count for s in run.sources for n in s.not_understood) == expected(case).get("not_understood", 0)
