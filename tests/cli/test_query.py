"""SQL over the tables of a batch and of one log, as a user asks it."""

import json
from importlib.resources import files
from pathlib import Path

import polars as pl
import pytest
from jsonschema import Draft202012Validator

from tracekit.batch import cases
from tracekit.batch import run as batch
from tracekit.batch.results import Results
from tracekit.batch.rows import TABLES
from tracekit.cli import batch as cli_batch
from tracekit.cli import parquet, wide
from tracekit.errors import OutputError, SourceError, UsageError
from tracekit.pipeline import Options, analyze

WINDOW = Path(__file__).resolve().parents[2] / "sample_traces/vfio.resize-window/fires-grown-1-4-6.1"

BOOT = "[    0.000000] Linux version {release} (x@y) (gcc 12) #1 SMP\n[    1.000000] usb 1-1: new device\n"
FAULT = (
    "[  100.000001] DMAR: DRHD: handling fault status reg 2\n[  100.000001] DMAR: [INTR-REMAP] Request device [03:00.0] "
    "fault index 0x3000 [fault reason 0x22] Present field in the IRTE entry is clear\n"
)


@pytest.fixture
def ask(capsys):
    """The answer to a query."""

    def answer(place, sql, format="csv"):
        cli_batch.query(str(place), sql, format)
        return capsys.readouterr().out

    return answer


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Three cases, two of them with a fault, one on another kernel; one that is no log."""
    place = tmp_path_factory.mktemp("batch")
    folder = place / "in"
    folder.mkdir()
    for name, release, fault in (("a", "6.1.0", FAULT), ("b", "6.12.0", FAULT), ("c", "6.12.0", "")):
        (folder / f"{name}.log").write_text(BOOT.format(release=release) + fault)
    (folder / "core").write_bytes(b"\x01\x02\x03\x7f" * 1000)
    found, _ = cases.find([str(folder)])
    batch.run(found, str(place / "results"), None, batch.Settings(jobs=1))
    return place / "results"


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "dmesg.log"
    path.write_text(BOOT.format(release="6.12.0") + FAULT)
    return path


def test_the_tables_of_a_batch(ask, results):
    faults = "SELECT code, grade, count(DISTINCT case) AS cases FROM findings WHERE severity = 'high' GROUP BY code, grade"
    assert ask(results, faults) == "code,grade,cases\nIRQ-003,proven,2\n"
    assert ask(results, "SELECT status, count(*) AS n FROM cases GROUP BY status ORDER BY status") == "status,n\ndone,3\nfailed,1\n"
    told = ask(results, "SELECT kind, reason FROM failures", "json")
    assert [(row["kind"], row["reason"].rpartition(": ")[2]) for row in json.loads(told)] == [("unreadable", "is not text")]


def test_tables_of_a_batch_are_joined(ask, results):
    joined = "SELECT e.line FROM findings f JOIN evidence e ON f.result = e.result AND f.finding = e.finding WHERE f.code = 'IRQ-003' ORDER BY e.line"
    assert ask(results, joined).split() == ["line", "3", "3", "4", "4"]


def test_the_tables_of_one_log(ask, log):
    assert ask(log, "SELECT line, release FROM kernel_version") == "line,release\n1,6.12.0\n"
    assert ask(log, "SELECT code, grade FROM findings WHERE code LIKE 'IRQ%'") == "code,grade\nIRQ-003,proven\n"
    assert ask(log, "SELECT count(*) AS n FROM outcomes WHERE code = 'IRQ-003' AND outcome = 'found'") == "n\n1\n"


@pytest.mark.parametrize("table", ["irq_matrix_alloc", "raw_event", "calls"])
def test_a_table_that_the_log_does_not_fill_has_no_rows(ask, log, table):
    assert ask(log, f"SELECT source, line FROM {table}") == "source,line\n"


def test_a_table_for_people(ask, results):
    shown = ask(results, "SELECT code, summary FROM findings WHERE code = 'IRQ-003'", "table")
    assert "IRQ-003" in shown and "shape" not in shown


def fitted(width, *values):
    frame = pl.DataFrame({f"column{i}": [value] for i, value in enumerate(values)})
    return wide.printed(frame, width).splitlines()


def test_a_table_that_is_wider_than_the_terminal_wraps():
    words = [f"word{i}" for i in range(12)]
    shown = fitted(50, "x", " ".join(words))
    assert max(map(len, shown)) <= 50
    assert [cell for line in shown[3:-1] for cell in line.split("┆")[1].strip("│ ").split()] == words
    assert max(map(len, fitted(None, "x", "y" * 90))) > 90


def test_a_row_of_too_many_columns_is_a_block():
    assert fitted(40, *"abcd", None, "word " * 9) == [
        "row 1",
        *(f"  column{i}  {value}".rstrip() for i, value in enumerate([*"abcd", ""])),
        "  column5  word word word word word word",
        "           word word word",
    ]


def test_pointers_are_hexadecimal_also_inside_lists():
    frame = pl.DataFrame(
        {
            "dev": pl.Series([0xFF11_0000_04CA_E000, None], dtype=pl.UInt64),
            "flags": pl.Series([36, 47], dtype=pl.UInt64),
            "args": [
                [{"name": "dev", "value": -67272519353442104, "text": "0xff11000004cae0c8"}, {"name": "index", "value": 8, "text": "8"}],
                [],
            ],
            "in_use": [{"vector": 0, "at": None}, None],
        }
    )
    _, _, _, one, two, _ = wide.printed(frame, None).splitlines()
    assert [cell.strip() for cell in one.split("┆")] == [
        "│ 0xff11000004cae000", "36", "dev=0xff11000004cae0c8, index=8", "{vector=0, at=}  │".replace("  ", " "),
    ]  # fmt: skip
    assert [cell.strip() for cell in two.split("┆")] == ["│ null", "47", "", "null            │"]


def test_the_answer_is_valid_by_the_shipped_schema(ask, results, log):
    schema = Draft202012Validator(json.loads(files("tracekit_reports").joinpath("query.schema.json").read_text(encoding="utf-8")))
    schema.check_schema(schema.schema)
    for place, table in ((results, "cases"), (results, "findings"), (results, "evidence"), (log, "findings"), (log, "sources")):
        rows = json.loads(ask(place, f"SELECT * FROM {table}", "json"))
        assert rows and [e.message for e in schema.iter_errors(rows)] == []


@pytest.mark.parametrize(
    "sql, told",
    [
        ("SELECT x FROM nonsense", "relation 'nonsense' was not found"),
        ("SELECT nonsense FROM findings", "nonsense"),
        ("SELEKT", "sql parser error"),
    ],
)
def test_a_query_that_cannot_be_answered_is_told_in_one_line(ask, results, log, sql, told):
    for place in (results, log):
        with pytest.raises(UsageError, match="^the query cannot be answered: .*") as error:
            ask(place, sql)
        assert told in str(error.value) and "\n" not in str(error.value)


def test_what_helps_is_told_where_a_table_is_unknown(ask, results, log):
    with pytest.raises(UsageError, match=r"not found \(tables: .*findings, .*\)$"):
        ask(results, "SELECT x FROM nonsense")
    with pytest.raises(UsageError, match=r"not found; did you mean windows\? \(`tracekit schema` lists the tables\)$"):
        ask(log, "SELECT x FROM window")
    with pytest.raises(UsageError, match=r"not found \(`tracekit schema` lists the tables\)$"):
        ask(log, "SELECT x FROM qqq")
    with pytest.raises(UsageError, match="Column: 1$"):
        ask(log, "SELEKT")


def test_addresses_are_hexadecimal_for_people_and_numbers_for_programs():
    found = pl.DataFrame({"device": [0xFFFF8881024F2000, None], "count": [3, 4]}, schema={"device": pl.UInt64, "count": pl.UInt64})
    assert "0xffff8881024f2000" in cli_batch._printed(found, "table") and "┆ 3 " in cli_batch._printed(found, "table")
    assert cli_batch._printed(found, "csv") == f"device,count\n{0xFFFF8881024F2000},3\n,4\n"


def test_formats_and_places_that_are_not_there(ask, log, tmp_path):
    with pytest.raises(UsageError, match="--format xml: give table, csv, json or parquet"):
        ask(log, "SELECT 1", "xml")
    with pytest.raises(SourceError, match="gone"):
        ask(tmp_path / "gone", "SELECT code FROM findings")


def test_a_query_goes_into_a_file(ask, log, tmp_path, monkeypatch):
    place = tmp_path / "answer"
    cli_batch.query(str(log), "SELECT line, release FROM kernel_version", "csv", place)
    assert place.read_text() == "line,release\n1,6.12.0\n"
    cli_batch.query(str(log), "SELECT code, explains FROM findings WHERE code = 'IRQ-003'", "parquet", place)
    assert pl.read_parquet(place).to_dicts() == [{"code": "IRQ-003", "explains": []}]
    for format, told in (("parquet", "--format parquet is no text"), ("table", "give a query, or")):
        with pytest.raises(UsageError, match=told):
            ask(log, "" if format == "table" else "SELECT 1", format)


def test_groups_have_an_order(ask, log):
    grouped = "SELECT outcome, count(*) AS n FROM outcomes GROUP BY outcome"
    rows = ask(log, grouped).splitlines()
    assert len(rows) > 2 and rows[1:] == sorted(rows[1:])
    assert ask(log, f"{grouped} ORDER BY outcome DESC").splitlines()[1:] == rows[:0:-1]
    assert len(ask(log, "SELECT DISTINCT explains FROM findings").splitlines()) >= 1


@pytest.mark.parametrize("table", ["streams", "sources", "divergences"])
def test_the_tables_of_the_pipeline_itself_are_asked(ask, log, table):
    assert ask(log, f"SELECT source FROM {table}").startswith("source\n")


def test_all_tables_of_a_case_are_files_with_their_nested_columns(tmp_path):
    place = tmp_path / "new" / "case"
    cli_batch.query(str(WINDOW), "", "parquet", place)
    run = analyze([str(WINDOW)], Options(keep_tables=("*",)))
    read = {path.stem: pl.read_parquet(path) for path in sorted(place.iterdir())}
    filled = {name: table for name, table in run.tables.items() if table.height}
    assert {name: table for name, table in read.items() if name in filled}.keys() == filled.keys()
    assert all(read[name].equals(table) and read[name].schema == table.schema for name, table in filled.items())
    assert sorted(read.keys() - filled.keys()) == ["evidence", "failures", "findings", "outcomes"]
    assert any(dtype.is_nested() for table in read.values() for dtype in table.schema.values())
    assert read["findings"]["code"].to_list() == [f.code for f in run.findings]
    assert read["evidence"].rows() == [
        (i, e.source, e.line, e.line_end, e.role, e.text) for i, f in enumerate(run.findings) for e in f.evidence
    ]
    assert read["outcomes"].height == len(run.outcomes)


def test_all_tables_of_a_batch_are_files(results, tmp_path):
    cli_batch.query(str(results), "", "parquet", tmp_path / "all")
    read = {path.stem: pl.read_parquet(path) for path in (tmp_path / "all").iterdir()}
    kept = Results(results)
    assert {name: table.rows() for name, table in read.items()} == {name: kept.table(name).collect().rows() for name in TABLES}
    assert read["cases"].height == 4


def test_all_tables_go_into_a_new_folder_or_nowhere(log, tmp_path, monkeypatch, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    for place, told in ((tmp_path / "full", "is not empty; give a new folder"), (log, "is a file; give a folder")):
        with pytest.raises(UsageError, match=told):
            cli_batch.query(str(log), "", "parquet", place)
    monkeypatch.setattr(cli_batch, "_all", lambda place, tokens: {"../x": pl.DataFrame(), "a": pl.DataFrame({"b": [1]})})
    cli_batch.query(str(log), "", "parquet", tmp_path / "new")
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.parquet"]
    assert "the table ../x is left out" in capsys.readouterr().err
    (tmp_path / "once").mkdir()
    monkeypatch.setattr(cli_batch, "_all", lambda place, tokens: {"a": pl.DataFrame({"b": [1]}), "n" * 200: pl.DataFrame()})
    monkeypatch.setattr(parquet, "put", lambda data, path, put=parquet.put: put(data, path if path.stem == "a" else path / "x"))
    with pytest.raises(OutputError, match="cannot write"):
        cli_batch.query(str(log), "", "parquet", tmp_path / "once")
    assert list((tmp_path / "once").iterdir()) == []
