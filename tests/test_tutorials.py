"""Every command of the tutorials is run, in order and in an empty folder, and prints what the page shows.

`python tests/test_tutorials.py` writes what the commands print now into the pages; a block with `...` is kept as it is.
"""

import contextlib
import os
import re
import shlex
import subprocess
import sysconfig
import tempfile
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import packages
import pytest
from commands import tracekit

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("tutorials/*.md"), DOCS / "windows.md", DOCS / "pirq.md", DOCS / "formats.md", DOCS / "model.md"])
FENCE = re.compile(
    r"(?:^`(?P<file>[^`\n]+)`:\n\n)?^```(?P<kind>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)


SHELL = re.compile(r"[|<>$&;`*~#\\]|\n.")  # more than one command, or what a shell would replace
ASK = "where this is right, `python tests/test_tutorials.py` writes it into the page:"


@dataclass
class Block:
    """A fenced block of a page, and where its text stands there."""

    kind: str
    text: str
    file: str | None
    status: int
    start: int
    end: int
    shown: "Block | None" = None  # what the block's commands print


def blocks(page: str) -> list[Block]:
    """The blocks of a page in order; a block of text directly below commands is their output."""
    found: list[Block] = []
    for m in FENCE.finditer(page):
        (status,) = re.findall(r"exit status (\d)", m["title"] or "exit status 0")
        block = Block(m["kind"], m["text"], m["file"], int(status), m.start("text"), m.end("text"))
        above = found[-1] if found else None
        if block.kind == "text" and above and above.kind == "sh" and not page[above.end + 3 : m.start()].strip():
            above.shown = block
        else:
            found.append(block)
    return found


def run(page: str, folder: Path) -> Iterator[tuple[Block, str]]:
    """Write the files of a page and run its commands; each block of commands with what it prints."""
    for samples in ("sample_traces", "sample_scenarios"):
        (folder / samples).symlink_to(ROOT / samples)
    env = {k: v for k, v in os.environ.items() if k not in ("PYTEST_ADDOPTS", "PYTHONPATH", "COLUMNS", "NO_COLOR")}
    env |= {"PATH": f"{environment(folder / '.venv')}:{env['PATH']}", "XDG_CACHE_HOME": packages.cache(folder / ".cache")}
    env |= {
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }  # 0 is what pip takes for "no isolation"
    for block in blocks(page):
        if block.file is not None:
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(block.text, encoding="utf-8")
        elif block.kind == "sh":
            done = called(block.text, folder, env)
            assert (done.returncode, done.stderr) == (block.status, ""), block.text + done.stdout + done.stderr
            yield block, done.stdout


def called(text: str, folder: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the commands of a block: tracekit alone in this process, which takes no half second to start, everything else in a shell."""
    name, *arguments = shlex.split(text)
    if name == "tracekit" and not SHELL.search(text) and not list(folder.glob(".venv/lib/python*/site-packages/*.dist-info")):
        with contextlib.chdir(folder):
            return tracekit(*arguments, XDG_CACHE_HOME=env["XDG_CACHE_HOME"])
    command = ["bash", "-euo", "pipefail", "-c", text]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)


def environment(folder: Path) -> Path:
    """A virtual environment that has what this one has, and into which pages may install; the folder of its commands."""
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "outer.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    for name in ("tracekit", "pip", "pytest"):
        script = folder / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{folder}/bin/python" -m {name} "$@"\n')
        script.chmod(0o755)
    return folder / "bin"


def pattern(shown: str) -> str:
    """What a shown output matches: a line `...` stands for any lines, `...` within a line for any text."""
    escaped = re.escape(shown)
    return escaped.replace(re.escape("...\n"), "(?:.*\n)*?").replace(re.escape("..."), ".*") if "..." in shown else escaped


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_each_command_prints_what_the_page_shows(path: Path, tmp_path: Path) -> None:
    for block, printed in run(path.read_text(encoding="utf-8"), tmp_path):
        if block.shown is not None:
            assert block.shown.text == printed or re.fullmatch(pattern(block.shown.text), printed), f"{ASK}\n{block.text}\n{printed}"
        else:
            assert printed == "", f"no block below these commands has their output:\n{block.text}\n{printed}"


def test_a_line_of_dots_stands_for_any_lines() -> None:
    assert re.fullmatch(pattern("a\n...\nd ... f\n"), "a\nb\nc\nd e f\n")
    assert not re.fullmatch(pattern("a\n...\nd\n"), "a\nb\n")


def write(path: Path) -> None:
    """Write what the commands of a page print into it."""
    page = path.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        for block, printed in reversed(list(run(page, Path(folder)))):
            if block.shown is not None and "..." not in block.shown.text:
                page = page[: block.shown.start] + printed + page[block.shown.end :]
    path.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    for page in PAGES:
        write(page)
