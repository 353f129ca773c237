"""The documentation site builds strictly, and each part of the code has its page."""

import importlib
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from copy import deepcopy
from html import unescape
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from commands import tracekit

from tracekit.cli.man import pages as manual
from tracekit.cli.schema import catalog
from tracekit.diagnosing.diagnoses import BLIND_SPOT
from tracekit.plugins import hooks, registry

pytestmark = pytest.mark.xdist_group("site")

ROOT = Path(__file__).parent.parent
PARTS = registry.load()
TITLE = re.compile(r"<h1[^>]*>(.*?)<", re.DOTALL)

built = pytest.mark.skipif(importlib.util.find_spec("material") is None, reason="needs the extra docs")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `.ci/run` builds it."""
    folder = tmp_path_factory.mktemp("site")
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


def page(site: Path, name: str) -> str:
    """The HTML of a page."""
    return (site / name / "index.html").read_text(encoding="utf-8")


def said(text: str) -> str:
    """The text of a page without its tags."""
    return unescape(re.sub(r"<[^>]+>", "", text))


@pytest.mark.slow
@built
def test_each_part_of_the_code_has_its_page(site: Path) -> None:
    wanted = {
        "diagnoses": {d.code for d in (*PARTS.diagnoses, BLIND_SPOT)},
        "gates": set(PARTS.gates),
        "tables": set(catalog()),
        "hooks": {name for name in vars(hooks) if name.startswith("tracekit_")},
        "commands": {file.removesuffix(".1") for file in manual()},
        "reports": {r.name for r in PARTS.reports},
    }
    for kind, names in wanted.items():
        assert {f.parent.name for f in (site / kind).glob("*/index.html")} == names, kind


@pytest.mark.slow
@built
def test_a_page_of_a_diagnosis_has_its_docstring_a_picture_a_sample_and_the_real_report(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = page(site, "diagnoses/MSI-001")
    assert "MSI-001 msi.stale-hwsize" in (TITLE.search(text) or [""])[0]
    assert all(f">{section}<" in text for section in ("What it finds", "Stays quiet when", "What to do", "Picture", "Sample", "Tables"))
    assert '<svg class="tl"' in text
    words = said(text)
    (command,) = set(re.findall(r"^tracekit (analyze .*)$", words, re.MULTILINE))
    monkeypatch.chdir(ROOT)
    assert tracekit(*command.split(), "--width", "100").stdout.rstrip() in words


@pytest.mark.slow
@built
@pytest.mark.parametrize("words", ["", "analyze", "new diagnosis"])
def test_a_page_of_a_command_has_its_help(site: Path, words: str) -> None:
    text = said(page(site, "commands/" + "-".join(["tracekit", *words.split()])))
    assert tracekit(*words.split(), "--help", COLUMNS="80").stdout.strip() in text


@pytest.mark.slow
@built
def test_the_machines_are_drawn_where_pages_name_them(site: Path) -> None:
    named = {n for p in (ROOT / "docs").glob("*.md") for n in re.findall(r"<!-- drawn: ([a-z-]+) -->", p.read_text(encoding="utf-8"))}
    assert named, "no page names a drawing"
    for folder in ("model", "pirq"):
        assert "<!-- drawn" not in page(site, folder)
        assert '<svg class="states"' in page(site, folder)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module that names the drawings."""
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "site"))
    return importlib.import_module("machines")


def test_every_machine_has_a_drawing_and_every_drawing_a_place(drawn: Any) -> None:
    titles = {make().title for make in drawn.DRAWN.values()}
    in_tables = {"Configuration", "Guest", "HvmGuest"}
    assert {re.split(r"\W", title)[0] for title in titles} | in_tables == set(PARTS.machines)
    pages = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "docs").glob("*.md"))
    assert set(re.findall(r"^<!-- drawn: ([a-z-]+) -->$", pages, re.MULTILINE)) == {*drawn.DRAWN, *drawn.TABLES}


def test_an_arrow_is_true_whatever_came_before(drawn: Any) -> None:
    """What a drawing says of a state holds for the machine after any four operations that lead there."""
    for make in drawn.DRAWN.values():
        subject = make()
        arrows = {(s.operation, s.before): (s.after, s.result) for s in drawn.explored(subject).steps}
        machines = [subject.machine]
        for _ in range(4):
            later = []
            for before, operation in product(machines, subject.operations):
                after = deepcopy(before)
                result = operation.run(after)
                assert arrows[operation.name, subject.state(before)] == (subject.state(after), result), (subject.title, operation.name)
                later.append(after)
            machines = list({repr(m): m for m in later}.values())


@pytest.mark.slow
@built
def test_the_notebook_is_a_page_with_what_its_cells_show(site: Path) -> None:
    text = page(site, "notebook")
    assert '<svg class="tl"' in text and "571 ms between two interrupts" in said(text)


@pytest.mark.slow
@built
def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for file in site.rglob("*.html"):
        loaded = re.findall(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="(https?://[^"]+)"', file.read_text(encoding="utf-8"))
        assert loaded == [], file


def test_the_site_is_no_dependency_of_the_core() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert not any(word in r for r in project["dependencies"] for word in ("mkdocs", "docs]"))
