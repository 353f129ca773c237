import json

import polars as pl
import pytest

from tracekit.batch.results import Results, ResultsError, Writer, is_results, schema
from tracekit.batch.rows import TABLES, Reply

COLUMNS = [c for c in TABLES["findings"] if c not in ("result", "case")]


def finding(**values):
    lists = {"explains": [], "fixes": []}
    return tuple({**dict.fromkeys(COLUMNS), **lists, "finding": 0, **values}[c] for c in COLUMNS)


def reply(case, code="MSI-001", status="done", **more):
    tables = {"findings": [finding(code=code, grade="proven", severity="high")]} if status == "done" else {}
    return Reply(case, status, digest="d", mark="m", tables=tables, facts={"machine": "", "findings": 1}, **more)


def writer(path, engine="e1"):
    return Writer(path, engine, {"seconds": 300}, {"tracekit": "0.1.0"})


def cases(path):
    return Results(path).table("cases").select("case", "status", "engine").sort("case").collect().rows()


def codes(path):
    return Results(path).table("findings").select("case", "code").sort("case").collect().rows()


def release(w):
    """What the end of the process does."""
    w._held.close()


def test_what_was_added_is_read_back_with_the_published_columns(tmp_path):
    w = writer(tmp_path / "r")
    w.plan(["a", "b"])
    w.add(reply("a"), "e1")
    w.add(reply("b", status="failed", kind="time", reason="it takes longer than 1 s"), "e1")
    w.finish()
    assert is_results(tmp_path / "r")
    assert cases(tmp_path / "r") == [("a", "done", "e1"), ("b", "failed", "e1")]
    assert codes(tmp_path / "r") == [("a", "MSI-001")]
    results = Results(tmp_path / "r")
    assert {n: dict(results.table(n).collect_schema()) for n in TABLES} == {n: schema(n) for n in TABLES}
    assert results.table("failures").collect().rows() == [(2, "b", "", "time", "it takes longer than 1 s")]
    assert results.missing().rows() == []


def test_the_last_analysis_of_a_case_counts_and_the_others_go(tmp_path):
    w = writer(tmp_path)
    for engine, code in (("e1", "MSI-001"), ("e2", "MSI-002")):
        w.add(reply("a", code), engine)
        w.add(reply("b", code), engine)
        w.flush()
        w.add(reply("c", code), engine)
        w.flush()
    assert cases(tmp_path) == [(c, "done", "e2") for c in "abc"]
    assert codes(tmp_path) == [(c, "MSI-002") for c in "abc"]
    w.finish()
    assert codes(tmp_path) == [(c, "MSI-002") for c in "abc"]
    assert Results(tmp_path).parts == ["00000005"]
    assert [f.name for f in (tmp_path / "findings").iterdir()] == ["00000005.parquet"]
    assert pl.read_parquet(tmp_path / "findings/*.parquet").height == 3


def test_a_touched_case_keeps_its_result(tmp_path):
    w = writer(tmp_path)
    w.add(reply("a"), "e1")
    w.flush()
    row = w.known().row(0, named=True)
    w.same(row, "newer")
    w.finish()
    assert Results(tmp_path).table("cases").select("case", "mark").collect().rows() == [("a", "newer")]
    assert codes(tmp_path) == [("a", "MSI-001")]


def test_what_was_not_named_by_a_manifest_is_not_there_and_goes(tmp_path):
    w = writer(tmp_path)
    w.add(reply("a"), "e1")
    w.flush()
    part = tmp_path / "cases/00000001.parquet"
    (tmp_path / "cases/00000002.parquet").write_bytes(part.read_bytes())
    (tmp_path / "findings/00000002.partial").write_bytes(b"half")
    assert cases(tmp_path) == [("a", "done", "e1")]
    release(w)
    writer(tmp_path)
    assert sorted(p.name for p in tmp_path.glob("*/*")) == ["00000001.parquet", "00000001.parquet"]


def test_a_stopped_batch_names_what_is_missing_and_why(tmp_path):
    w = writer(tmp_path)
    w.plan(["a", "b", "c"])
    w.add(reply("b"), "e1")
    w.flush()
    assert Results(tmp_path).missing().rows() == [(c, "the batch was ended from outside") for c in "ac"]
    w.finish("the disk is full")
    assert Results(tmp_path).missing().rows() == [(c, "the disk is full") for c in "ac"]


def test_one_writer_at_a_time(tmp_path):
    first = writer(tmp_path)
    with pytest.raises(ResultsError, match="another batch is writing there"):
        writer(tmp_path)
    release(first)
    writer(tmp_path)


def test_other_folders_are_no_results(tmp_path):
    with pytest.raises(ResultsError, match="no results here"):
        Results(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ResultsError, match="cannot be read"):
        Results(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"schema": "tracekit.results/9"}))
    with pytest.raises(ResultsError, match="results of another form"):
        Results(tmp_path)
    assert not is_results(tmp_path)


def test_results_cannot_be_written_where_a_file_is(tmp_path):
    (tmp_path / "r").write_text("x")
    with pytest.raises(ResultsError, match="cannot be written"):
        writer(tmp_path / "r")


def test_a_write_that_fails_leaves_what_was_there_and_can_be_tried_again(tmp_path, monkeypatch):
    w = writer(tmp_path)
    w.add(reply("a"), "e1")
    w.flush()
    w.add(reply("b"), "e1")

    def full(self, *args, **more):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as m:
        m.setattr(pl.DataFrame, "write_parquet", full)
        with pytest.raises(ResultsError, match=r"No space left on device \(.* MiB free\); what was written before is kept"):
            w.flush()
    assert cases(tmp_path) == [("a", "done", "e1")]
    w.finish()
    assert cases(tmp_path) == [("a", "done", "e1"), ("b", "done", "e1")]
    assert list(tmp_path.glob("*/*.partial")) == []


def test_small_parts_are_put_together(tmp_path):
    w = writer(tmp_path)
    for i in range(40):
        w.add(reply(f"c{i:02}"), "e1")
        w.flush()
    w.finish()
    assert len(Results(tmp_path).parts) == 1
    assert [c for c, *_ in cases(tmp_path)] == [f"c{i:02}" for i in range(40)]


def damaged(path, change):
    """Two cases in two parts; the findings of the second are changed."""
    w = writer(path)
    w.plan(["a", "b"])
    for case in "ab":
        w.add(reply(case), "e1")
        w.flush()
    release(w)
    change(sorted((path / "findings").iterdir())[1])
    return Results(path)


def cut(file):
    file.write_bytes(file.read_bytes()[:-7])


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("change", "what"),
    [(lambda f: f.unlink(), "is missing"), (cut, "is cut: "), (flip, "is changed"), (lambda f: f.write_bytes(b""), "is cut")],
)
def test_a_file_that_is_not_what_was_written_is_named_and_its_cases_are_analyzed_again(tmp_path, change, what):
    results = damaged(tmp_path, change)
    with pytest.raises(ResultsError, match=rf"findings/00000002.parquet {what}.*start the same batch again"):
        results.table("findings")
    assert [(d.part, d.table) for d in results.damage()] == [("00000002", "findings")]
    assert results.table("cases").collect()["case"].to_list() == ["a", "b"]
    w = writer(tmp_path)
    assert [d.text.startswith(f"findings/00000002.parquet {what}") for d in w.dropped] == [True]
    assert w.known()["case"].to_list() == []  # `a` has no outcomes: after damage only cases with all of their rows are known
    w.finish()
    release(w)
    assert codes(tmp_path) == [("a", "MSI-001")]


def test_after_damage_a_case_with_all_of_its_rows_is_known(tmp_path):
    w = writer(tmp_path)
    for case in "ab":
        more = {"outcomes": [("MSI-001", "msi.x", "found", "", "")]}
        given = reply(case)
        w.add(Reply(case, "done", digest="d", mark="m", tables={**given.tables, **more}, facts=given.facts), "e1")
        w.flush()
    w.same(w.known().row(1, named=True), "m2")  # touched: its row of `cases` is in a part of its own
    w.flush()
    release(w)
    flip(sorted((tmp_path / "findings").iterdir())[1])
    assert writer(tmp_path).known()["case"].to_list() == ["a"]
