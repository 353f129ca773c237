"""The wheel, installed into a fresh environment away from the checkout, diagnoses a sample."""

import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "sample_traces" / "msi.stale-hwsize" / "fires-kprobe-8-16-6.12" / "trace.txt"
PARTS = ("tracekit", "plugins", "grammars", "pyproject.toml", "README.md")


@pytest.mark.slow
def test_the_wheel_works_away_from_the_checkout(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, checkout / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, checkout / part)
    run(tmp_path, sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", "wheels", "./checkout")
    shutil.rmtree(checkout)
    venv.create(tmp_path / "fresh", with_pip=True)
    (wheel,) = (tmp_path / "wheels").glob("tracekit-*.whl")
    run(tmp_path, "fresh/bin/python", "-m", "pip", "install", "-q", str(wheel))
    shutil.copy(SAMPLE, tmp_path / "trace.txt")
    document = json.loads(run(tmp_path, "fresh/bin/tracekit", "analyze", "--fail-on", "never", "--format", "json", "trace.txt"))
    assert document["errors"] == []
    assert [f["code"] for f in document["findings"] if f["grade"]] == ["MSI-001"]


def run(where: Path, *command: str) -> str:
    """Run a command in a folder that knows nothing of the checkout; its output."""
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout
