"""What `pyproject.toml` cannot say: a wheel holds the shipped grammars' lowered rules, so that no first run has to lower them,
and the manual pages of the commands.

An installation of the checkout itself (`pip install -e .`) has none: its grammars change, and their rules lie in the user's cache.
"""

import os
import subprocess
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

LOWER = """
from tracekit.grammar.rules import built_in_folder
from tracekit.grammar.cache import grammars_to_json
from tracekit.grammar.load import load
(built_in_folder() / "lowered.json").write_text(grammars_to_json(load(strict=True)), encoding="utf-8")
"""


class BuildPy(build_py):
    """Copy the packages, then lower the copied grammars and write the manual pages with the copied code: it is what will be installed."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            built = Path(self.build_lib).resolve()
            lower(built)
            self.distribution.data_files = [("share/man/man1", manual(built))]


def lower(packages: Path) -> None:
    """Put `lowered.json` beside the grammars in `packages`; no bytecode goes there, and nothing into the user's cache."""
    run(packages, "-c", LOWER)


def manual(packages: Path) -> list[str]:
    """Write the manual pages beside `packages`; return their files, as paths from here."""
    folder = packages.parent / "man"
    run(packages, "-m", "tracekit.cli.man", str(folder))
    return [os.path.relpath(file) for file in sorted(folder.glob("*.1"))]


def run(packages: Path, *arguments: str) -> None:
    """Run Python with the packages."""
    path = os.pathsep.join(filter(None, [str(packages), os.environ.get("PYTHONPATH")]))
    env = {**os.environ, "PYTHONPATH": path, "XDG_CACHE_HOME": os.devnull}
    subprocess.run([sys.executable, "-B", *arguments], cwd=packages, env=env, check=True)


setup(cmdclass={"build_py": BuildPy})
