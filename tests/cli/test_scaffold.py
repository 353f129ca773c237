"""`tracekit new diagnosis` writes a package that works as it is written."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import tracekit
from packages import beside_ours, install, known, passes, program

from tracekit.cli import scaffold
from tracekit.errors import UsageError

ROOT = Path(__file__).parents[2]
SECTIONS = ["What it finds:", "Why it matters:", "Stays quiet when:", "Affected:", "What to do:", "References:"]


@pytest.mark.parametrize(("name", "package"), [("acme.ring-stuck", "tracekit_acme"), ("msi.of-mine", "tracekit_msi_of_mine")])
def test_its_own_tests_pass(tmp_path: Path, name: str, package: str) -> None:
    folder = scaffold.write(name, folder=tmp_path / "here")
    assert re.search(r"^3 passed", passes(folder), re.MULTILINE)
    module = folder / package / f"{name.partition('.')[2].replace('-', '_')}.py"
    text = module.read_text()
    places = [text.index(s) for s in SECTIONS]
    assert places == sorted(places)


def test_two_of_a_family_do_not_hear_each_other(tmp_path: Path) -> None:
    folders = [scaffold.write(n, c, tmp_path / c) for n, c in (("acme.ring-stuck", "ACME-001"), ("acme.ring-full", "ACME-002"))]
    shutil.move(folders[1] / "tracekit_acme", folders[1] / "tracekit_acme_more")
    for path in (folders[1] / "pyproject.toml", *folders[1].rglob("*.py")):
        path.write_text(path.read_text().replace("tracekit_acme", "tracekit_acme_more").replace("tracekit-acme", "tracekit-acme-more"))
    env = {**known(folders[0]), "PYTHONPATH": os.pathsep.join([known(folder)["PYTHONPATH"] for folder in folders[1:]] + [str(folders[0])])}
    done = program(folders[0], env, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_the_code_is_the_one_given_or_the_first_free_one(tmp_path: Path) -> None:
    for code, written in ((None, "ACME-001"), ("ACME-042", "ACME-042")):
        folder = scaffold.write("acme.ring-stuck", code, tmp_path / written)
        assert f'code="{written}"' in (folder / "tracekit_acme" / "ring_stuck.py").read_text()
    folder = scaffold.write("cfg.of-mine", None, tmp_path / "cfg")
    (code,) = re.findall(r'code="CFG-(\d+)"', (folder / "tracekit_cfg" / "of_mine.py").read_text())
    assert int(code) > 4


@pytest.mark.parametrize(
    ("name", "code", "error"),
    [
        ("acme", None, "acme is no name of a diagnosis"),
        ("Acme.Stuck", None, "Acme.Stuck is no name of a diagnosis"),
        ("acme.import", None, "acme.import is no name of a diagnosis"),
        ("../etc.passwd", None, "../etc.passwd is no name of a diagnosis"),
        ("acme.stuck", "acme1", "--code acme1: give capitals"),
        ("acme.stuck", "MSI-001", "MSI-001 is there already"),
        ("msi.stale-hwsize", "ACME-001", "msi.stale-hwsize is there already"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, name: str, code: str | None, error: str) -> None:
    with pytest.raises(UsageError, match="^" + re.escape(error)):
        scaffold.write(name, code, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(UsageError, match="is there already"):
        scaffold.write("acme.ring-stuck", folder=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


@pytest.mark.slow
@pytest.mark.xdist_group("wheel")
def test_it_installs_in_a_fresh_environment(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = scaffold.write("acme.ring-stuck", folder=tmp_path / "acme")
    fresh = tmp_path / "fresh"
    beside_ours(tmp_path_factory, fresh)
    install(fresh, "-e", f"{folder}[test]")
    env = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}  # this suite's options are not the package's
    command = [fresh / "bin" / "python", "-m", "pytest", "-q", folder]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sys.prefix not in done.stdout


@pytest.mark.parametrize("kind", ["grammar", "model", "report", "plugin"])
@pytest.mark.parametrize("name", ["acme", "acme_two"])
def test_each_kind_passes_its_own_samples_at_once(tmp_path: Path, kind: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACEKIT_PLUGINS", raising=False)
    monkeypatch.chdir(tmp_path)
    done = tracekit("new", kind, name)
    assert (done.returncode, f"tracekit test {name} --plugins {name}/{name}.py" in done.stdout) == (0, True), done.stderr
    done = tracekit("test", name, "--plugins", f"{name}/{name}.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failed" in done.stdout
    lint = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E,F,I", "--line-length", "140", name], check=False
    )
    assert lint.returncode == 0
    form = subprocess.run([sys.executable, "-m", "ruff", "format", "--isolated", "--check", "--line-length", "140", name], check=False)
    assert form.returncode == 0


def test_a_sample_of_rows_and_reports_says_what_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACEKIT_PLUGINS", raising=False)
    monkeypatch.chdir(tmp_path)
    tracekit("new", "plugin", "acme")
    case = tmp_path / "acme" / "sample_traces" / "acme.stuck" / "fires-stuck"
    told = (case / "expected.toml").read_text()
    (case / "expected.toml").write_text(told.replace("acme_rings = 1", "acme_rings = 2\nacme_ring = 1").replace("stands still", "stands"))
    done = tracekit("test", "acme", "--plugins", "acme/acme.py")
    assert done.returncode == 1
    assert "rows: acme_rings has 1, 2 expected" in done.stdout
    assert "rows: no table is called acme_ring; did you mean acme_rings?" in done.stdout
    assert "- ACME-001 0000:03:00.0: ring 2 of 0000:03:00.0 stands\n" in done.stdout
    (case / "expected.toml").write_text(told)
    assert "acme_rings = 1" in tracekit("expect", case, "--plugins", "acme/acme.py").stdout


@pytest.mark.parametrize("name", ["Acme", "class", "../x", "a-b"])
def test_a_name_that_no_plugin_can_have_is_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = tracekit("new", "grammar", name)
    assert (done.returncode, f"{name} is no name of a plugin" in done.stderr) == (2, True)
    assert "json is a report already" in tracekit("new", "report", "json").stderr
    assert list(tmp_path.iterdir()) == []
