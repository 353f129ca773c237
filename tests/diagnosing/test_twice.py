"""A log or recording that is given twice, under two names, tells nothing new."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from tracekit.findings import GRADES, Finding
from tracekit.pipeline import Engine, Options, analyze
from tracekit.testing import expected, samples

pytestmark = pytest.mark.no_cover

CASES = [c for c in samples(Path(__file__).parents[2] / "sample_traces") if c.name.startswith("fires-")]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load()


def told(engine: Engine, files: list[Path], sides: dict[str, str]) -> list[Finding]:
    found = analyze([str(p) for p in files], Options(sides={str(p): sides[p.name] for p in files if p.name in sides}), engine).findings
    return [f for f in found if f.code != "OBS-001"]


@pytest.mark.parametrize("case", CASES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_a_case_and_its_copy_are_one(case: Path, engine: Engine, tmp_path: Path) -> None:
    files, sides = [p for p in sorted(case.iterdir()) if p.name != "expected.toml"], dict(expected(case).get("sides", {}))
    copies = [Path(shutil.copy(p, tmp_path / p.name)) for p in files]
    once, twice = told(engine, files, sides), told(engine, [*files, *copies], sides)
    assert Counter((f.code, f.subject.label) for f in twice) == Counter((f.code, f.subject.label) for f in once)
    grades = {(f.code, f.subject.label): f.grade for f in twice}
    for f in once:
        grade = grades[f.code, f.subject.label]
        assert grade == f.grade or (grade is not None and f.grade is not None and GRADES.index(grade) < GRADES.index(f.grade))
