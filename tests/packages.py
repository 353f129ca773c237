"""Packages of plugins that tests write: made known to Python without an installer, and their own tests run."""

import fcntl
import os
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from tracekit.grammar import load as grammar
from tracekit.grammar.cache import grammars_to_json

ROOT = Path(__file__).parent.parent
PARTS = ("tracekit", "plugins", "grammars", "pyproject.toml", "setup.py", "README.md", "LICENSE")


def known(folder: Path) -> dict[str, str]:
    """Make the package of a folder known by its entry points; returns the environment that sees it."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = "".join(f"{name} = {module}\n" for name, module in project["entry-points"]["tracekit"].items())
    (info / "entry_points.txt").write_text(f"[tracekit]\n{points}")
    own = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}  # the options of the suite that asks
    return {**own, "PYTHONPATH": str(folder), "XDG_CACHE_HOME": cache(folder / "cache")}


def cache(folder: Path) -> str:
    """Make a cache of the user that only a test uses; the built-in grammars are in it, since to lower them takes a second."""
    rules = grammar.load()
    (place := folder / "tracekit").mkdir(parents=True, exist_ok=True)
    (place / f"grammars-{rules.digest}.json").write_text(grammars_to_json(rules), encoding="utf-8")
    return str(folder)


def single(folder: Path, source: str, name: str = "acme", **grammars: str) -> None:
    """Write a distribution `tracekit-NAME` 1.2 that is one module, beside a folder of grammars (`events`, `envelopes`)."""
    info = folder / f"tracekit_{name}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tracekit-{name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[tracekit]\n{name} = tracekit_{name}_module\n")
    (folder / f"tracekit_{name}_module.py").write_text(source)
    for kind, text in grammars.items():
        (folder / "acme_grammars" / kind).mkdir(parents=True)
        (folder / "acme_grammars" / kind / f"{name}.lark").write_text(text)


def passes(folder: Path) -> str:
    """What pytest says of a package, run from its folder."""
    done = program(folder, known(folder), "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def program(folder: Path, env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the folder."""
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=300)


def wheel(source: Path, into: Path, *options: str) -> Path:
    """Build the wheel of a package with pip."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", *options, "-w", into, source]
    done = subprocess.run(command, cwd=into.parent, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    (built,) = into.glob("*.whl")
    return built


def ours(factory: pytest.TempPathFactory) -> Path:
    """The wheel of tracekit that pip builds from a copy of the checkout, in an environment of its own: one for all tests."""

    def build(place: Path) -> None:
        wheel(checkout(place), place / "wheels")
        shutil.rmtree(place / "checkout")

    (built,) = _once(factory, "ours", build).glob("wheels/*.whl")
    return built


def checkout(folder: Path) -> Path:
    """A copy of what a build of tracekit needs."""
    copy = folder / "checkout"
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, copy / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, copy / part)
    return copy


def installed(factory: pytest.TempPathFactory) -> Path:
    """The environment into which that wheel is installed: one for all tests, so none may change it."""
    built = ours(factory)
    return _once(factory, "installed", lambda place: install(place / "env", str(built))) / "env"


def beside_ours(factory: pytest.TempPathFactory, fresh: Path) -> None:
    """Make a fresh environment, into which more can be installed, that sees the wheel of tracekit where it is installed."""
    venv.create(fresh)
    (site,), (other,) = (env.glob("lib/python*/site-packages") for env in (fresh, installed(factory)))
    (site / "ours.pth").write_text(f"import site; site.addsitedir({str(other)!r})\n")


def _once(factory: pytest.TempPathFactory, name: str, fill: Callable[[Path], None]) -> Path:
    """A folder that the first process of a session fills; those beside it wait."""
    top = factory.getbasetemp()
    top = top.parent if "PYTEST_XDIST_WORKER" in os.environ else top
    with open(top / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (done := top / name / "done").exists():
            shutil.rmtree(done.parent, ignore_errors=True)
            done.parent.mkdir()
            fill(done.parent)
            done.touch()
    return done.parent


def install(fresh: Path, *arguments: str) -> None:
    """Install with pip into an environment of its own, which is made where it is not there. Bytecode of what is not imported is not written."""
    if not fresh.exists():
        venv.create(fresh)
    command = [sys.executable, "-m", "pip", f"--python={fresh}/bin/python", "install", "-q", "--no-compile", *arguments]
    done = subprocess.run(command, cwd=fresh.parent, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
