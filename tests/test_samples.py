"""Every sample is run whole, and its findings are compared whole: codes, grades, subjects, evidence lines."""

import re
import tomllib
from pathlib import Path

import pytest

from tracekit.plugins import registry as plugins
from tracekit.testing import check_sample, expected, expected_now, samples, unsampled

SAMPLES = Path(__file__).parent.parent / "sample_traces"
CASES = samples(SAMPLES)


def test_every_case_is_a_firing_or_a_quiet_one_and_says_where_it_is_from() -> None:
    assert CASES
    for case in CASES:
        assert expected(case), case
        assert case.name.startswith(("fires-", "quiet-")), case


def test_every_diagnosis_fires_in_a_sample_and_stays_quiet_in_another() -> None:
    assert unsampled(SAMPLES, plugins.load().diagnoses) == {}


@pytest.mark.parametrize("case", CASES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_sample(case: Path) -> None:
    check_sample(case)


@pytest.mark.parametrize("case", [c for c in CASES if c.parent.name == "msi.stale-hwsize"], ids=lambda p: p.name)
def test_what_a_sample_should_expect_can_be_printed(case: Path) -> None:
    assert tomllib.loads(expected_now(case)) == expected(case)


def test_the_systems_of_the_readme_are_cases_that_fire_and_cases_that_do_not() -> None:
    rows = [line.split("|")[2:4] for line in (SAMPLES / "README.md").read_text(encoding="utf-8").splitlines() if "/fires-" in line]
    assert len(rows) >= 15
    for shown, twin in rows:
        for text, kind in ((shown, "fires-"), (twin, "quiet-")):
            named = re.findall(r"[a-z0-9]+\.[a-z0-9-]+/[a-z0-9.-]+[a-z0-9]", text)
            assert named
            assert [n for n in named if kind not in n or not (SAMPLES / n / "expected.toml").is_file()] == []
