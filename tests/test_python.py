"""docs/python.md is run, and what notebooks show is whole."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

import tracekit
from tracekit import pipeline, stored
from tracekit.errors import UsageError
from tracekit.redaction.tokens import Tokens

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


def test_a_run_answers_what_if_as_the_command_does(names: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    flips = names["run"].whatif()
    assert flips == pipeline.whatif([names["log"]])
    assert {f.gate for f in flips if f.vanished} == {"in_place_growth", "vectors_up_front"}


def test_a_table_is_made_when_it_is_asked_for(names: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    run = tracekit.analyze([names["log"]])
    assert "windows" not in run.tables
    assert run.tables["windows"].equals(names["run"].tables["windows"])
    assert list(run.tables) == ["windows"] and run.tables["windows"] is run.tables["windows"]
    assert run.tables["pirq_lives"].height == run.tables["xen_map_failed"].height == 0
    assert run.tables["sources"]["lines"].to_list() == [113] * run.tables["sources"].height
    with pytest.raises(KeyError, match="nonsense"):
        run.tables["nonsense"]
    assert run.tables.get("calls") is None


def test_a_timeline_needs_neither_pictures_nor_a_finding(names: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    run = tracekit.analyze([names["log"]])
    assert run.pictures == () and run.timeline("00:04.0") == run.timeline("0000:00:04.0")
    assert [lane.name for lane in run.timeline("0000:00:04.0").lanes] == [lane.name for lane in names["timeline"].lanes]
    assert [lane.name for lane in run.timeline("host").lanes] == ["vectors given"]
    assert run.timeline("host").unit == "ns"


def test_a_run_that_cannot_read_its_logs_again_says_so(names: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    stored.save(names["run"], tmp_path / "kept.tracekit")
    kept = stored.load(tmp_path / "kept.tracekit")
    redacted = tracekit.analyze([names["log"]], tracekit.Options(redaction=Tokens()))
    for run in (kept, redacted):
        with pytest.raises(UsageError, match="cannot be read once more"):
            run.whatif()
    assert kept.timeline("0000:00:04.0") == names["timeline"]


def test_what_is_not_there_is_said(names: dict[str, Any]) -> None:
    assert tracekit.analyze([str(ROOT / names["log"])]).timeline("0000:ff:1f.7") is None
    with pytest.raises(UsageError, match="no report is called pdf; there are csv, "):
        names["run"].report("pdf")


def test_the_public_names_are_shown() -> None:
    assert {"analyze", "Engine", "Options", "Run", "Finding"} <= set(dir(tracekit))
    assert callable(tracekit.analyze)
    assert {name for name in dir(tracekit) if not name.startswith("__")} == set(tracekit.__all__)
