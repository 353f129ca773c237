"""The wheel, installed into a fresh environment away from the checkout, diagnoses a sample, by rules that were lowered when it was built."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packages import checkout, installed, ours

pytestmark = pytest.mark.xdist_group("wheel")

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "sample_traces" / "msi.stale-hwsize" / "fires-kprobe-8-16-6.12" / "trace.txt"
RULES = "tracekit_grammars/lowered.json"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `trace.txt` and an environment `fresh` that has the wheel; its lowered rules may be changed, all else is linked."""
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(installed(tmp_path_factory), home / "fresh", symlinks=True, copy_function=os.link)
    rules = installed_rules(home)
    text = rules.read_bytes()
    rules.unlink()
    rules.write_bytes(text)
    shutil.copy(SAMPLE, home / "trace.txt")
    return home


@pytest.mark.slow
def test_the_wheel_works_away_from_the_checkout(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    fresh = installed(tmp_path_factory)
    shutil.copy(SAMPLE, tmp_path / "trace.txt")
    assert found(tmp_path, tmp_path / "cache", str(fresh / "bin" / "tracekit")) == ["MSI-001"]
    manual = fresh / "share" / "man" / "man1"
    assert {"tracekit.1", "tracekit-analyze.1", "tracekit-new-plugin.1"} <= {f.name for f in manual.iterdir()}


@pytest.mark.slow
def test_no_first_run_of_the_wheel_lowers_grammars(home: Path) -> None:
    cache = home / "cache-2"
    assert "lark" not in imported(home, cache)
    assert not cache.exists()
    rules = installed_rules(home)
    text = rules.read_text(encoding="utf-8")
    rules.write_text(without_probes(text), encoding="utf-8")
    try:
        assert found(home, cache) == []  # it is this file, and no other, that the rules are from
    finally:
        rules.write_text(text, encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("stale", ["other", "cut"])
def test_rules_of_other_grammars_in_the_wheel_are_passed_over(home: Path, stale: str) -> None:
    rules, cache = installed_rules(home), home / f"cache-{stale}"
    text = rules.read_text(encoding="utf-8")
    other = without_probes(text, digest="0" * 32)
    rules.write_text(other if stale == "other" else text[: len(text) // 2], encoding="utf-8")
    try:
        assert "lark" in imported(home, cache)
        assert [f.suffix for f in (cache / "tracekit").iterdir()] == [".json"]
        assert found(home, cache) == ["MSI-001"]
    finally:
        rules.write_text(text, encoding="utf-8")


@pytest.mark.slow
def test_a_wheel_by_way_of_the_source_archive_is_the_same(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    checkout(tmp_path)
    run(tmp_path, sys.executable, "-m", "build", "-n", "-o", "dist", "checkout")  # pip has built in an environment of its own
    (built,) = tmp_path.glob("dist/tracekit-*.whl")
    direct, by_archive = (zipfile.ZipFile(file) for file in (ours(tmp_path_factory), built))
    assert sorted(direct.namelist()) == sorted(by_archive.namelist())
    assert direct.read(RULES) == by_archive.read(RULES)
    assert not [n for n in direct.namelist() if "__pycache__" in n]


def test_a_checkout_has_no_lowered_rules_that_could_grow_old() -> None:
    assert not list((ROOT / "grammars").rglob("*.json"))


def installed_rules(home: Path) -> Path:
    (rules,) = (home / "fresh").glob(f"lib/python*/site-packages/{RULES}")
    return rules


def without_probes(text: str, **changed: str) -> str:
    """Lowered rules, of which those that the sample needs find nothing."""
    data = json.loads(text)
    for rule in data["events"]:
        if rule["file"] == "probe.lark":
            rule["regex"] = "never" + rule["regex"]
    return json.dumps({**data, **changed})


def found(home: Path, cache: Path, *command: str) -> list[str]:
    """The graded findings in the sample, by the installed program with its own user cache."""
    out = run(
        home,
        *(command or ("fresh/bin/python", "-m", "tracekit")),
        "analyze",
        "--fail-on",
        "never",
        "--format",
        "json",
        "trace.txt",
        cache=cache,
    )
    document = json.loads(out)
    assert document["errors"] == []
    return [f["code"] for f in document["findings"] if f["grade"]]


def imported(home: Path, cache: Path) -> set[str]:
    """The top-level modules that the installed code has loaded once it has its rules."""
    code = "import sys; from tracekit.grammar.load import load; assert load().envelopes; print(*{m.partition('.')[0] for m in sys.modules})"
    return set(run(home, "fresh/bin/python", "-c", code, cache=cache).split())


def run(where: Path, *command: str, cache: Path | None = None) -> str:
    """Run a command in a folder that knows nothing of the checkout; its output."""
    env = {**os.environ, **({"XDG_CACHE_HOME": str(cache)} if cache else {})}
    done = subprocess.run(command, cwd=where, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout
