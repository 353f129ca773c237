"""The commands that docs/ci.md shows for CI work as they are shown."""

import re
import shutil
from pathlib import Path

import pytest
from commands import tracekit

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\s*(?:- )?tracekit (analyze logs .*)$", PAGE, re.MULTILINE)
SAMPLES = ROOT / "sample_traces" / "msi.stale-hwsize"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs").mkdir()
    shutil.copy(SAMPLES / "fires-kprobe-8-16-6.12" / "trace.txt", tmp_path / "logs")
    return tmp_path


def test_a_finding_fails_the_job_and_its_reports_are_there(folder: Path) -> None:
    github, gitlab, keep, compare = COMMANDS
    assert tracekit(*github.split()).returncode == 1
    assert tracekit(*gitlab.split()).returncode == 1
    assert {f.name for f in folder.iterdir()} >= {"tracekit.sarif", "gl-code-quality.json", "tracekit.xml"}
    assert tracekit(*keep.split()).returncode == 0
    assert tracekit(*compare.split()).returncode == 0


def test_the_container_file_copies_all_that_a_wheel_is_built_from() -> None:
    copied = set(re.findall(r"^COPY (.+) /src", (ROOT / "Containerfile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {name for line in copied for name in line.split()} == {
        "pyproject.toml",
        "setup.py",
        "README.md",
        "LICENSE",
        "tracekit",
        "plugins",
        "grammars",
    }
