"""The example distribution outside of tracekit, and each copy of it that was published: built, installed beside the wheel into a fresh environment, tested there."""

import hashlib
import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packages import beside_ours, install, known, program, wheel

pytestmark = pytest.mark.xdist_group("wheel")

ROOT = Path(__file__).parent.parent
PUBLISHED = ROOT / "tests" / "compatibility"
COPIES = sorted(p for p in PUBLISHED.iterdir() if p.name.startswith("tracekit-"))
EXAMPLES = [ROOT / "examples" / "tracekit-acme", *COPIES]
UNTRACKED = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")


@pytest.fixture(params=EXAMPLES, ids=lambda path: path.name)
def copy(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An example away from the checkout."""
    return Path(shutil.copytree(request.param, tmp_path / "acme", ignore=UNTRACKED))


def test_its_tests_pass_and_nothing_is_wrong_with_it(copy: Path) -> None:
    version = tomllib.loads((copy / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    env = known(copy)
    done = program(copy, env, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "5 passed" in done.stdout, done.stdout + done.stderr
    told = program(copy, env, "-m", "tracekit", "plugins").stdout
    assert f"\nacme {version}: 1 diagnosis, 1 model, 1 report, 1 grammar folder, 1 lane\n  hooks: " in told
    done = program(copy, env, "-m", "tracekit", "test", "sample_traces")
    assert done.stdout.endswith("2 passed, 0 failed\n"), done.stdout


@pytest.mark.slow
def test_it_is_built_and_installed_into_a_fresh_environment(copy: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    fresh = tmp_path / "fresh"
    beside_ours(tmp_path_factory, fresh)
    built = wheel(copy, tmp_path / "theirs", "--no-build-isolation")
    install(fresh, f"{built}[test]")
    shutil.copytree(copy / "tests", tmp_path / "run" / "tests")
    shutil.copytree(copy / "sample_traces", tmp_path / "run" / "sample_traces")
    shutil.rmtree(copy)
    env = {name: value for name, value in os.environ.items() if name not in ("PYTEST_ADDOPTS", "PYTHONPATH")}
    command = [fresh / "bin" / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path / "run", env=env, capture_output=True, text=True, timeout=600)
    assert "5 passed" in done.stdout, done.stdout + done.stderr


def sums(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of the published copies."""
    files = (f for copy in COPIES for f in copy.rglob("*") if f.is_file() and not {"__pycache__", "build"} & set(f.parts))
    return {f.relative_to(folder).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def test_a_published_copy_is_never_edited() -> None:
    told = dict(line.split("  ")[::-1] for line in (PUBLISHED / "sums.txt").read_text(encoding="utf-8").splitlines())
    assert COPIES
    assert sums(PUBLISHED) == told, "put back what was published: a change of tracekit must not need a change of it"
