"""`tracekit test`: samples without pytest, with every difference as a line."""

import shutil
from pathlib import Path

import pytest
from commands import tracekit

SAMPLES = Path(__file__).parents[2] / "sample_traces"
FIRES = SAMPLES / "msi.stale-hwsize" / "fires-kprobe-8-16-6.12"


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """A copy of a sample that fires."""
    shutil.copytree(FIRES, tmp_path / "msi.stale-hwsize" / "fires-copy")
    return tmp_path / "msi.stale-hwsize" / "fires-copy"


def change(case: Path, old: str, new: str) -> None:
    text = (case / "expected.toml").read_text()
    assert old in text
    (case / "expected.toml").write_text(text.replace(old, new, 1))


def test_samples_that_hold_pass(case: Path, tmp_path: Path) -> None:
    done = tracekit("test", tmp_path)
    assert (done.returncode, done.stdout) == (0, f"passed  {case}\n1 passed, 0 failed\n")


def test_each_difference_is_a_line(case: Path) -> None:
    change(case, 'grade = "proven"', 'grade = "possible"')
    done = tracekit("test", case)
    assert done.returncode == 1
    told = [line.strip() for line in done.stdout.splitlines()]
    assert told[0] == f"FAILED  {case}"
    assert [line.split(" on ")[0] for line in told[1:3]] == ["- MSI-001 possible", "+ MSI-001 proven"]
    assert told[3] == "0 passed, 1 failed"


def test_a_sample_must_be_what_its_name_says(case: Path) -> None:
    renamed = case.rename(case.with_name("quiet-copy"))
    assert "  msi.stale-hwsize is found in a case called quiet-copy\n" in tracekit("test", renamed).stdout


def test_a_quiet_sample_must_have_been_evaluated(tmp_path: Path) -> None:
    case = tmp_path / "msi.stale-hwsize" / "quiet-empty"
    case.mkdir(parents=True)
    (case / "dmesg.txt").write_text("[    1.000000] Linux version 6.12.0 (test)\n")
    (case / "expected.toml").write_text('origin = "constructed"\nreleases = ["Linux 6.12"]\n')
    assert "  quiet only since msi.stale-hwsize was not evaluated: " in tracekit("test", case).stdout
    change(case, "releases", "not_evaluated = true\nreleases")
    assert tracekit("test", case).returncode == 0
    (case / "trace.txt").write_text((FIRES / "trace.txt").read_text())
    assert "  not_evaluated = true, but msi.stale-hwsize is found\n" in tracekit("test", case).stdout


def test_a_case_of_no_diagnosis_names_the_nearest(case: Path) -> None:
    moved = case.parent.rename(case.parent.with_name("msi.stale-hwsiz")) / case.name
    assert "no diagnosis is called msi.stale-hwsiz; did you mean msi.stale-hwsize?" in tracekit("test", moved).stdout


def test_mistakes(tmp_path: Path) -> None:
    assert "has no sample" in tracekit("test", tmp_path).stderr
    assert "is no folder" in tracekit("test", tmp_path / "nix").stderr
