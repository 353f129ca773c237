"""The command line of redaction: copies, reports, batches and queries without names, and the map that stays with the user."""

import json
import re
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tracekit.cli.main import application

LINES = (
    "Nov 21 10:00:00 node17 kernel: [    1.000000] Linux version 6.1.0-18-amd64 (x) #1 SMP\n"
    "Nov 21 10:00:00 node17 kernel: [    1.100000] e1000e 0000:00:1f.6 eth0: 52:54:00:12:34:56\n"
    "Nov 21 10:00:00 node17 kernel: [    1.200000] nvme 0000:3b:00.0: node17 asks 10.17.2.9\n"
)
SECRETS = re.compile(r"node17|52:54:00|10\.17\.2\.9")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    file = tmp_path / "node17.log"
    file.write_text(LINES)
    return file


def call(*arguments: object, status: int | None = 0) -> str:
    result = CliRunner().invoke(application(), [str(a) for a in arguments])
    assert status is None or result.exit_code == status, result.output
    return result.stdout


def test_a_copy_has_tokens_and_the_map_beside_it_leads_back(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.log"
    call("redact", log, "-o", out)
    text = out.read_text()
    kept = tmp_path / "out.log.redaction-map.json"
    values = json.loads(kept.read_text())["values"]
    assert not SECRETS.search(text)
    assert "0000:3b:00.0" in text
    assert "6.1.0-18-amd64" in text
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    for token, value in values.items():
        text = text.replace(token, value)
    assert text == LINES


def test_the_same_key_gives_the_same_tokens_and_no_key_others(log: Path, tmp_path: Path) -> None:
    texts = []
    for name, kept in (("a", "k"), ("b", "k"), ("c", "other")):
        call("redact", log, "-o", tmp_path / name, "--redaction-map", tmp_path / kept)
        texts.append((tmp_path / name).read_text())
    assert texts[0] == texts[1] != texts[2]


def test_several_logs_become_a_folder_and_one_is_never_written_over_itself(log: Path, tmp_path: Path) -> None:
    second = tmp_path / "b.log"
    second.write_text(LINES)
    call("redact", log, second, "-o", tmp_path / "out")
    files = [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert len(files) == 2
    assert not any(SECRETS.search(p.read_text() + str(p.relative_to(tmp_path))) for p in files)
    assert CliRunner().invoke(application(), ["redact", str(log), str(second)]).exit_code != 0
    assert CliRunner().invoke(application(), ["redact", str(log), "-o", str(log)]).exit_code != 0
    assert log.read_text() == LINES


@pytest.mark.parametrize("format", ["terminal", "json", "markdown", "html", "sarif", "csv"])
def test_no_report_of_a_redacted_run_has_a_name(log: Path, tmp_path: Path, format: str) -> None:
    out = tmp_path / f"report.{format}"
    call("analyze", log, "--redact", "--full", "-f", format, "-o", out, status=None)
    assert not SECRETS.search(out.read_text().replace(str(tmp_path), ""))
    assert (tmp_path / f"report.{format}.redaction-map.json").is_file()


def test_a_batch_has_one_token_for_one_value_and_goes_on_with_its_map(log: Path, tmp_path: Path) -> None:
    cases = tmp_path / "cases"
    for name in ("node17", "b"):
        (cases / name).mkdir(parents=True)
        (cases / name / "dmesg.log").write_text(LINES)
    results = tmp_path / "results"
    call("batch", cases, "-o", results, "--redact", "--jobs", 1)
    kept = json.loads((tmp_path / "results.redaction-map.json").read_text())["values"]
    rows = json.loads(call("query", results, 'SELECT "case", machine FROM cases', "-f", "json"))
    assert {row["machine"] for row in rows} == {next(t for t, v in kept.items() if v == "node17")}
    assert sorted(kept[row["case"]] for row in rows) == [str(cases / "b"), str(cases / "node17")]
    assert not any(SECRETS.search(p.read_bytes().decode("latin-1")) for p in results.rglob("*") if p.is_file())
    assert "2 unchanged" in call("batch", cases, "-o", results, "--redact", "--jobs", 1)
    assert "2 cases analyzed" in call("batch", cases, "-o", results, "--redact", "--redaction-map", tmp_path / "new", "--jobs", 1)


def test_a_query_is_redacted_over_a_log_and_over_results(log: Path, tmp_path: Path) -> None:
    told = call("query", log, "SELECT machine, source FROM kernel_version", "-f", "json", "--redact", "--redaction-map", tmp_path / "m")
    assert re.fullmatch(r"host-[0-9a-f]{10}", json.loads(told)[0]["machine"])
    assert not SECRETS.search(told.replace(str(tmp_path), ""))
    call("batch", log, "-o", tmp_path / "results", "--jobs", 1)
    told = call(
        "query", tmp_path / "results", 'SELECT "case", machine FROM cases', "-f", "json", "--redact", "--redaction-map", tmp_path / "m"
    )
    assert not SECRETS.search(told)
    assert re.fullmatch(r"host-[0-9a-f]{10}", json.loads(told)[0]["machine"])


def test_a_map_without_redaction_and_a_file_that_is_no_map_are_wrong_usage(log: Path, tmp_path: Path) -> None:
    assert CliRunner().invoke(application(), ["analyze", str(log), "--redaction-map", str(tmp_path / "m")]).exit_code != 0
    (tmp_path / "m").write_text("{}")
    assert (
        CliRunner().invoke(application(), ["redact", str(log), "-o", str(tmp_path / "o"), "--redaction-map", str(tmp_path / "m")]).exit_code
        != 0
    )
