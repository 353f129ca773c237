"""What `pyproject.toml` cannot say: a wheel holds the shipped grammars' lowered rules, so that no first run has to lower them.

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
    """Copy the packages, then lower the copied grammars with the copied code: the digest is of what will be installed."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            lower(Path(self.build_lib).resolve())


def lower(packages: Path) -> None:
    """Put `lowered.json` beside the grammars in `packages`; no bytecode goes there, and nothing into the user's cache."""
    path = os.pathsep.join(filter(None, [str(packages), os.environ.get("PYTHONPATH")]))
    env = {**os.environ, "PYTHONPATH": path, "XDG_CACHE_HOME": os.devnull}
    subprocess.run([sys.executable, "-B", "-c", LOWER], cwd=packages, env=env, check=True)


setup(cmdclass={"build_py": BuildPy})
