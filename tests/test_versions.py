"""What `pyproject.toml` says of other packages: floors that CI can pin, no upper bound, nothing that no file imports."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
TOLD = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NEEDED = TOLD["project"]["dependencies"]


def test_each_dependency_has_a_floor_that_is_a_whole_version_and_no_upper_bound() -> None:
    for requirement in (*NEEDED, *TOLD["build-system"]["requires"]):
        assert re.fullmatch(r"[A-Za-z0-9._-]+>=\d+\.\d+\.\d+(\s*;.*)?", requirement), requirement


def test_what_is_built_with_is_what_is_run_with() -> None:
    assert {r for r in TOLD["build-system"]["requires"] if not r.startswith("setuptools")} <= set(NEEDED)


def test_each_dependency_is_imported() -> None:
    code = "\n".join(p.read_text(encoding="utf-8") for folder in ("tracekit", "plugins") for p in (ROOT / folder).rglob("*.py"))
    for requirement in NEEDED:
        name = re.split(r"[>;]", requirement)[0].partition(".")[0]
        assert re.search(rf"^\s*(?:from|import) {name}\b", code, re.M), requirement


def test_the_ci_runs_tests_at_the_floors() -> None:
    assert ".ci/floors" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    named = re.findall(r'"(tests/[\w/]+\.py)', (ROOT / ".ci" / "floors").read_text(encoding="utf-8"))
    assert len(named) > 5
    assert [n for n in named if not (ROOT / n).is_file()] == []
