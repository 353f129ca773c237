"""docs/python.md is run, and what notebooks show is whole."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

import tracekit
from tracekit.errors import UsageError

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/python.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the page's blocks leave, run one after the other beside a link to the samples."""
    folder, before, left = tmp_path_factory.mktemp("page"), Path.cwd(), dict[str, Any]()
    (folder / "sample_traces").symlink_to(ROOT / "sample_traces")
    os.chdir(folder)
    try:
        for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE):
            exec(block, left)
    finally:
        os.chdir(before)
    return left


def test_the_blocks_of_the_page_run(names: dict[str, Any]) -> None:
    assert [next(f.code for f in run.findings if f.grade == "proven") for run in names["runs"]] == ["VFIO-002", "MSI-001"]
    assert names["page"].startswith("<!doctype html>")


def test_a_notebook_shows_the_page_the_lines_and_the_picture(names: dict[str, Any]) -> None:
    run = names["runs"][0]
    assert run._repr_html_().startswith("<iframe srcdoc=")
    (first, *_) = run.findings
    assert f"<b>{first.code}</b>" in first._repr_html_() and f":{first.evidence[0].line}</td>" in first._repr_html_()
    assert names["timeline"]._repr_html_().startswith("<svg ")


def test_what_is_not_there_is_said(names: dict[str, Any]) -> None:
    assert names["run"].timeline("0000:ff:1f.7") is None
    with pytest.raises(UsageError, match="no report is called pdf; there are csv, "):
        names["run"].report("pdf")


def test_the_public_names_are_shown() -> None:
    assert {"analyze", "Engine", "Options", "Run", "Finding"} <= set(dir(tracekit))
    assert callable(tracekit.analyze)
