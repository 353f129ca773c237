"""Several reports of one analysis, and reports of a run that was kept."""

import gzip
import json
import sys
import webbrowser
from dataclasses import replace
from pathlib import Path

import pytest

from tracekit import stored
from tracekit.cli import main as cli
from tracekit.errors import SourceError
from tracekit.pipeline import Engine, Options, analyze
from tracekit.testing import samples

ROOT = Path(__file__).resolve().parents[2]
CASES = samples(ROOT / "sample_traces")
LOG = ROOT / "sample_traces/vfio.resize-window/fires-guest-disable-then-growth-6.12/trace.txt"
FORMATS = ("html", "svg", "markdown", "json", "sarif", "junit", "csv", "github", "gitlab", "perfetto")


def tracekit(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Return the exit status of a command."""
    monkeypatch.setattr(sys, "argv", ["tracekit", *map(str, arguments)])
    return cli._status()


def test_a_kept_run_gives_every_report_that_the_analysis_gives(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [part for f in FORMATS for part in ("-f", f"{f}={tmp_path / 'now'}.{f}")]
    later = [part for f in FORMATS for part in ("-f", f"{f}={tmp_path / 'later'}.{f}")]
    assert tracekit(monkeypatch, "analyze", LOG, "-f", "terminal", *now, "--save", tmp_path / "run.tracekit") == 1
    page = capsys.readouterr().out
    assert "VFIO-002" in page
    assert tracekit(monkeypatch, "report", tmp_path / "run.tracekit", "-f", "terminal", *later) == 1
    assert capsys.readouterr().out == page
    for f in FORMATS:
        assert (tmp_path / f"later.{f}").read_bytes() == (tmp_path / f"now.{f}").read_bytes(), f


def test_every_run_comes_back_as_it_was(tmp_path: Path) -> None:
    engine, path = Engine.load(), tmp_path / "run.tracekit"
    for case in CASES[::4]:
        run = analyze([str(p) for p in sorted(case.iterdir()) if p.name != "expected.toml"], Options(pictures=True), engine)
        stored.save(run, path)
        back = stored.load(path)
        assert replace(back, findings=(), gates=()) == replace(run, findings=(), gates=()), case
        assert json.dumps([f.values for f in back.findings], default=list) == json.dumps([f.values for f in run.findings], default=list)
        assert [replace(f, values={}, windows=()) for f in back.findings] == [replace(f, values={}, windows=()) for f in run.findings]
        kept = path.read_bytes()
        stored.save(run, path)
        assert path.read_bytes() == kept


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[    1.0] a log\n", "is no saved run"),
        (b"", "is damaged, or no saved run"),
        (gzip.compress(b"{}", mtime=0)[:-4], "is damaged, or no saved run"),
        (gzip.compress(b"[]", mtime=0), "form None; this tracekit reads tracekit.stored/1"),
        (
            gzip.compress(b'{"form": "tracekit.stored/2", "version": "9.0"}', mtime=0),
            "was saved by tracekit 9.0 in the form tracekit.stored/2",
        ),
        (gzip.compress(b'{"form": "tracekit.stored/1", "run": {"sources": 5}}', mtime=0), "does not hold the values of a run"),
    ],
)
def test_what_is_no_saved_run_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(SourceError, match="x: ") as error:
        stored.load(path)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("-f", "json", "-f", "csv"), "--format json and --format csv would be written to one place"),
        (("-f", "json=a", "-o", "b"), "--output b: every report has a file of its own"),
        (("-f", "json=a", "-f", "csv=a"), "two reports would be written to one file"),
        (("-f", "jsn=a"), "no report is called jsn"),
        (("-f", "perfetto"), "--format perfetto is no text: give a file, as in -f perfetto=FILE"),
    ],
)
def test_reports_that_would_go_to_one_place_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    assert tracekit(monkeypatch, "analyze", LOG, *arguments) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("there", [True, False])
def test_the_page_is_opened_or_its_place_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], there: bool) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: bool(opened.append(url)) or there)
    assert tracekit(monkeypatch, "analyze", LOG, "--open", "--fail-on", "never") == 0
    assert opened[0].startswith("file:///") and opened[0].endswith("/report.html")
    assert Path(opened[0].removeprefix("file://")).read_text().startswith("<!doctype html>")
    out, err = capsys.readouterr()
    assert "VFIO-002" in out
    assert ("no browser could be opened; the page is" in err) is not there
