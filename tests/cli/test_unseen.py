"""Names of files and members, messages and answers to queries: what is not seen is written out, formulas are none."""

import csv
import io
import json
import re
import tarfile
from pathlib import Path

import polars as pl
import pytest

from tracekit.cli import parquet
from tracekit.cli.batch import _printed
from tracekit.cli.main import main

BAD = "a\x1b[31m\u202e\ufeff\ufffe\U000e0041"
LINE = "[    1.000000] Linux version 6.1.0 (x@y) (gcc 12) #1 SMP\n"


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[str, str]:
    """What a command prints on standard output and on standard error."""
    monkeypatch.setattr("sys.argv", ["tracekit", *map(str, arguments)])
    with pytest.raises(SystemExit):
        main()
    told = capsys.readouterr()
    return told.out, told.err


def unseen(text: str) -> set[str]:
    return {c for c in text if not c.isprintable()} - {"\n"}


@pytest.mark.parametrize("name", [f"{BAD}.log", "=1+1.log", "-x.log", "\udcff\udcfe.log", "[bold].log", "a\nb.log"])
def test_no_command_prints_the_name_of_a_file_as_it_is(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / name
    log.write_text(LINE)
    missing = f"{log}.missing"
    member = tmp_path / "x.tar"
    with tarfile.open(member, "w") as tar:
        tar.add(log, name)
    commands: tuple[tuple[object, ...], ...] = (
        ("analyze", log, "--full"),
        ("analyze", member, "--full", "-f", "markdown"),
        ("analyze", missing),
        ("analyze", log, "--clock", f"{name}x=+1s"),
        ("explain", name),
        ("schema", name),
        ("replay", log),
        ("state", log, "--at", "5"),
        ("query", log, "SELECT source, release FROM kernel_version", "-f", "json"),
        ("query", log, "SELECT source, release FROM kernel_version"),
        ("query", log, f'SELECT "{BAD}" FROM kernel_version'),
        ("batch", log, missing, "-o", tmp_path / "results", "--jobs", "1"),
        ("report", tmp_path / "results"),
        ("query", tmp_path / "results", 'SELECT "case", reason FROM cases', "-f", "csv"),
    )
    for command in commands:
        for text in call(monkeypatch, capsys, *command):
            assert not unseen(text), (command, text)
            text.encode()


def test_answers_to_queries_as_csv_are_no_formulas_and_numbers_stay_numbers() -> None:
    texts = ["=1+1", "-34", "- x", "@x", f"{BAD}=", "plain", None, "\t=1", "ü", "\r=1"]
    found = pl.DataFrame({"text": texts, "number": range(-3, 7), "=h\x1b": [1] * 10, "list": [["=1"]] * 10})
    rows = list(csv.reader(io.StringIO(_printed(found, "csv"))))
    assert [row[0] for row in rows[1:]] == [
        "'=1+1",
        "-34",
        "'- x",
        "'@x",
        "a\\x1b[31m\\u202e\\ufeff\\ufffe\\U000e0041=",
        "plain",
        "",
        "' =1",
        "ü",
        "'\\x0d=1",
    ]
    assert [row[1] for row in rows[1:]] == [str(n) for n in range(-3, 7)]
    assert rows[0][2] == "'=h\\x1b"
    assert rows[1][3] == '["=1"]'


def test_answers_to_queries_as_json_are_ascii_and_the_same_values() -> None:
    found = pl.DataFrame({"a": [BAD, "ü\x7f\x85"], "b\u202e": [1, 2]})
    told = _printed(found, "json")
    assert told.isascii()
    assert not unseen(told)
    assert json.loads(told) == found.to_dicts()


def test_answers_to_queries_as_parquet_are_the_values_themselves(tmp_path: Path) -> None:
    found = pl.DataFrame({"a": [BAD, "=1+1", None], "b\u202e": [["=1", BAD], [], None]})
    parquet.write(found, tmp_path / "x.parquet")
    assert pl.read_parquet(tmp_path / "x.parquet").equals(found)


def test_without_a_command_the_help_is_printed_in_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    told = "\n".join(call(monkeypatch, capsys))
    assert re.search(r"Usage: .*tracekit \[OPTIONS\] \[?COMMAND", told)
    assert "\\x0a" not in told
