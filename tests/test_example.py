"""The example distribution outside of tracekit is built, installed beside the wheel into a fresh environment, and passes its own tests there."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from packages import install, known, program, wheel

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "tracekit-acme"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The example away from the checkout."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "acme", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build")))


def test_its_tests_pass_and_nothing_is_wrong_with_it(copy: Path) -> None:
    env = known(copy)
    done = program(copy, env, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "5 passed" in done.stdout, done.stdout + done.stderr
    told = program(copy, env, "-m", "tracekit", "plugins").stdout
    assert "\nacme 0.3: 1 diagnosis, 1 model, 1 report, 1 grammar folder, 1 lane\n  hooks: " in told
    done = program(copy, env, "-m", "tracekit", "test", "sample_traces")
    assert done.stdout.endswith("2 passed, 0 failed\n"), done.stdout


@pytest.mark.slow
def test_it_is_built_and_installed_into_a_fresh_environment(copy: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    install(fresh, str(wheel(ROOT, tmp_path / "ours", "--no-build-isolation")))
    built = wheel(copy, tmp_path / "theirs", "--no-build-isolation")
    install(fresh, f"{built}[test]")
    shutil.copytree(copy / "tests", tmp_path / "run" / "tests")
    shutil.copytree(copy / "sample_traces", tmp_path / "run" / "sample_traces")
    shutil.rmtree(copy)
    env = {name: value for name, value in os.environ.items() if name not in ("PYTEST_ADDOPTS", "PYTHONPATH")}
    command = [fresh / "bin" / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path / "run", env=env, capture_output=True, text=True, timeout=600)
    assert "5 passed" in done.stdout, done.stdout + done.stderr
