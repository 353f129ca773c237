"""The documentation site builds strictly, and each part of the code has its page."""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tracekit.cli.man import pages as manual
from tracekit.cli.schema import catalog
from tracekit.diagnosing.diagnoses import BLIND_SPOT
from tracekit.plugins import hooks, registry

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
def test_a_page_of_a_diagnosis_has_its_docstring_a_picture_a_sample_and_the_real_report(site: Path) -> None:
    text = page(site, "diagnoses/MSI-001")
    assert "MSI-001 msi.stale-hwsize" in (TITLE.search(text) or [""])[0]
    assert all(f">{section}<" in text for section in ("What it finds", "Stays quiet when", "What to do", "Picture", "Sample", "Tables"))
    assert '<svg class="tl"' in text and "tracekit" in text and "sample_traces/msi.stale-hwsize/fires-" in text
    assert "confirmed by replay" in text


@pytest.mark.slow
@built
def test_the_machines_are_drawn_where_pages_name_them(site: Path) -> None:
    named = {n for p in (ROOT / "docs").glob("*.md") for n in re.findall(r"<!-- drawn: ([a-z-]+) -->", p.read_text(encoding="utf-8"))}
    assert named, "no page names a drawing"
    for folder in ("model", "pirq"):
        assert "<!-- drawn" not in page(site, folder)
        assert '<svg class="states"' in page(site, folder)


@pytest.mark.slow
@built
def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for file in site.rglob("*.html"):
        loaded = re.findall(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="(https?://[^"]+)"', file.read_text(encoding="utf-8"))
        assert loaded == [], file


def test_the_site_is_no_dependency_of_the_core() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert not any(word in r for r in project["dependencies"] for word in ("mkdocs", "docs]"))
