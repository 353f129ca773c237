"""The package that docs/plugins.md shows file by file works as it is shown."""

import re
from pathlib import Path

import pytest
from packages import known, program

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`([^`\n]+)`:\n\n```\w+\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("widget")
    for path, text in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder, known(folder)


def test_every_block_of_the_guide_is_a_file() -> None:
    assert len(FILES) == GUIDE.count("\n```") / 2 - 1 == 14  # the other one is a plugin in one file: tests/plugins/test_loose.py


def test_its_tests_pass(package: tuple[Path, dict[str, str]]) -> None:
    done = program(*package, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "5 passed" in done.stdout, done.stdout + done.stderr


def test_nothing_is_wrong_with_it(package: tuple[Path, dict[str, str]]) -> None:
    lines = program(*package, "-m", "tracekit", "plugins").stdout.splitlines()
    at = lines.index("widget 0.3: 1 diagnosis, 1 model, 1 extension, 1 report, 1 grammar folder, 1 lane")
    assert lines[at + 1 : at + 3] == [
        "  sets timeout_s = 60 of VFIO-001 vfio.lost-on-resize",
        "  adds advice to VFIO-001 vfio.lost-on-resize",
    ]
    assert lines[at + 4 : at + 7] == ["  codes: WIDGET-001", "  tables: widget_doorbell, widget_doorbells, widget_irq", "  formats: brief"]


def test_its_envelope_model_diagnosis_and_report_are_heard(package: tuple[Path, dict[str, str]]) -> None:
    case = "sample_traces/widget.unanswered/fires-last"
    done = program(*package, "-m", "tracekit", "analyze", f"{case}/widget.log", "--format", "brief")
    assert (done.returncode, done.stdout) == (1, "WIDGET-001 0000:03:00.0: the doorbell of queue 2 got no interrupt\n")
    told = program(*package, "-m", "tracekit", "expect", case).stdout
    assert told == FILES[f"{case}/expected.toml"] + "\n"


@pytest.mark.slow
def test_its_types_are_right(package: tuple[Path, dict[str, str]]) -> None:
    folder, env = package
    done = program(folder, {**env, "MYPYPATH": str(ROOT)}, "-m", "mypy", "--strict", "--follow-imports=silent", "tracekit_widget")
    assert done.stdout.startswith("Success"), done.stdout + done.stderr
