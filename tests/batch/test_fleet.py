import csv
import io
import json
from dataclasses import replace

import pytest
from fleets import case, finding, render, results

from tracekit.batch.fleet import fleet
from tracekit.batch.results import Results, Writer
from tracekit.batch.rows import Reply


def test_a_fault_is_counted_by_machine_and_by_release(tmp_path):
    r = results(
        tmp_path,
        case("a", finding(first_seen="2026-11-01T00:00:00Z", last_seen="2026-11-02T00:00:00Z", seen_by="stamp"), machine="m1"),
        case("b", finding(first_seen="2026-10-01T00:00:00Z", last_seen="2026-10-01T00:00:00Z", seen_by="stamp"), machine="m1"),
        case("c", finding(), machine="m2", kernel="6.12"),
        case("d", finding(driver="mlx5_core"), kernel="6.12"),
        case("e"),
    )
    report = fleet(r)
    assert (report.machines, report.nameless, len(report.faults)) == (2, 2, 1)
    fault = report.faults[0]
    assert (fault.machines, fault.nameless, fault.cases, fault.findings) == (2, 1, 4, 4)
    assert fault.on == ["d", "m1", "m2"]
    assert render(report, "terminal").splitlines()[0] == "1 fault on 2 of 2 machines and in 1 of 2 cases without a host name (5 cases)"
    assert (fault.by["kernel"], fault.by["driver"]) == ({"6.12": 2, "6.1": 1}, {"ice": 2, "mlx5_core": 1})
    assert (fault.first_seen, fault.last_seen) == ("2026-10-01T00:00:00Z", "2026-11-02T00:00:00Z")
    assert fault.example == {"case": "a", "summary": "IRQ-003 happened", "advice": "", "source": "a/dmesg", "line": 7, "text": "the line"}


def test_the_machines_of_a_fault_are_named(tmp_path):
    r = results(tmp_path, *(case(f"c{i}", finding(), machine=f"m{i}") for i in range(8)))
    report = fleet(r)
    names = [f"m{i}" for i in range(8)]
    assert "  on            m0, m1, m2, m3, m4, m5, and 2 more" in render(report, "terminal").splitlines()
    assert "* on: m0, m1, m2, m3, m4, m5, and 2 more" in render(report, "markdown").splitlines()
    assert json.loads(render(report, "json"))["faults"][0]["on"] == names
    assert [x["on"] for x in csv.DictReader(io.StringIO(render(report, "csv")))] == ["; ".join(names)]


def test_machines_of_one_case_are_machines_each(tmp_path):
    report = fleet(results(tmp_path, case("a", finding(machine="n1"), finding(machine="n2"), machine="n1")))
    assert (report.machines, report.faulty, report.faults[0].on) == (2, 2, ["n1", "n2"])


def test_many_faults_are_listed_in_brief_first(tmp_path):
    seen = {"first_seen": "2026-10-01T00:00:00Z", "last_seen": "2026-11-02T00:00:00Z", "seen_by": "stamp"}
    found = [finding(f"A-{i}", f"g{i}", **seen) for i in range(7)]
    found.append(finding("A-7", "g7", **{**seen, "last_seen": "2026-10-01T09:00:00Z"}))
    many = fleet(results(tmp_path / "8", case("a", *found)))
    assert render(many, "terminal").splitlines()[2:18] == [
        "severity  code  fault           machines  grade   seen",
        *(line for i in range(7) for line in (f"high      A-{i}   irq.x, network    1 case  proven  2026-10-01", f"{'2026-11-02':>60}")),
        "high      A-7   irq.x, network    1 case  proven  2026-10-01",
    ]
    assert render(many, "terminal", 120).splitlines()[3] == "high      A-0   irq.x, network    1 case  proven  2026-10-01 to 2026-11-02"
    row = "| high | A-6 | irq.x | proven | 1 |  | 2026-10-01T00:00:00Z | 2026-11-02T00:00:00Z | network |"
    assert row in render(many, "markdown").splitlines()
    few = fleet(results(tmp_path / "7", case("a", *found[:7])))
    assert render(few, "terminal").splitlines()[2].startswith(" HIGH  A-0  irq.x  proven: ")
    assert "|" not in render(few, "markdown")


def test_consequences_and_information_are_no_faults(tmp_path):
    r = results(tmp_path, case("a", finding(explained_by="MSI-001"), finding(code="OBS-001", grade=None, severity="info", group="g2")))
    assert fleet(r).faults == []


def test_the_worst_come_first_then_those_on_most_machines(tmp_path):
    r = results(
        tmp_path,
        case("a", finding("A-1", "g1", severity="low"), finding("A-2", "g2"), finding("A-3", "g3", grade="possible"), finding("A-4", "g4")),
        case("b", finding("A-4", "g4")),
    )
    assert [f.code for f in fleet(r).faults] == ["A-4", "A-2", "A-3", "A-1"]


def test_against_an_earlier_batch(tmp_path):
    old = results(tmp_path / "old", case("a", finding("A-1", "g1"), finding("A-2", "g2"), machine="m1"))
    new = results(tmp_path / "new", case("b", finding("A-2", "g2"), finding("A-3", "g3"), machine="m1"))
    report = fleet(new, old)
    assert report.compared == {"both": 1, "only_here": 0, "only_there": 0}
    assert [(f.code, f.state) for f in report.faults] == [("A-2", "known"), ("A-3", "new")]
    assert report.gone == [{"group": "g1", "code": "A-1", "name": "irq.x", "role": "network", "machines": 1}]
    text = render(report, "terminal")
    assert "A-3  irq.x  proven  NEW: 1 machine, 1 case" in text
    assert "gone since the earlier batch\n  A-1  irq.x: was on 1 machine" in text


def test_machines_that_only_one_batch_has_are_counted_and_not_compared(tmp_path):
    old = results(tmp_path / "old", case("a", finding("A-1", "g1"), machine="m1"), case("b", machine="m2"), case("c"))
    new = results(tmp_path / "new", case("b", machine="m2"), case("c", finding("A-4", "g4")), case("d", finding("A-3", "g3"), machine="m3"))
    report = fleet(new, old)
    assert report.compared == {"both": 2, "only_here": 1, "only_there": 1}
    assert [(f.code, f.state) for f in report.faults] == [("A-3", ""), ("A-4", "new")]
    assert report.gone == []
    assert "Not compared: 1 only here, 1 only there." in render(report, "terminal", 200).splitlines()[1]
    assert "Not compared: 1 only here, 1 only there" in render(report, "markdown")


def test_a_batch_that_was_stopped_before_it_knew_its_cases_says_so(tmp_path):
    Writer(tmp_path, "e", {}, {"tracekit": "0.1.0"})._held.close()
    report = fleet(Results(tmp_path))
    assert report.stopped == "the batch was ended from outside"
    assert "incomplete" in render(report, "terminal").splitlines()[1]
    assert "incomplete" in render(report, "markdown")


def test_what_failed_and_what_is_missing_is_named_with_its_reason(tmp_path):
    failed = Reply("bad", "failed", "time", "it takes longer than 300 s")
    part = Reply("part", "done", tables={"failures": [("part!x", "member", "is encrypted")]})
    r = results(tmp_path, failed, part, finish=False, plan=["left"])
    report = fleet(r)
    assert report.cases == {"total": 3, "done": 1, "failed": 1, "missing": 1, "doubtful": 0}
    assert render(report, "terminal").splitlines() == [
        "0 faults in 0 of 1 case without a host name (3 cases, 1 failed, 1 not analyzed)",
        "The batch is incomplete: the batch was ended from outside. The same command goes",
        "on.",
        "",
        "1 case failed",
        "  bad: it takes longer than 300 s",
        "",
        "1 part of cases could not be read",
        "  part!x: is encrypted",
        "",
        "1 case not analyzed",
        "  left: the batch was ended from outside",
    ]
    told = [(x["record"], x["case"], x["source"], x["text"]) for x in csv.DictReader(io.StringIO(render(report, "csv")))]
    assert told == [
        ("failure", "bad", "", "time: it takes longer than 300 s"),
        ("failure", "part", "part!x", "member: is encrypted"),
        ("missing", "left", "", "the batch was ended from outside"),
    ]


def test_formats_hold_the_same_and_obey_nothing_of_a_log(tmp_path):
    evil = "=cmd()\x1b[31m <script>alert(1)</script> [x](y)"
    r = results(tmp_path, case("a", finding(summary=evil)))
    report = fleet(r)
    assert json.loads(render(report, "json"))["faults"][0]["example"]["summary"] == evil
    assert "\x1b" not in render(report, "terminal")
    markdown = render(report, "markdown")
    assert "<script>" not in markdown and "\\[x\\](y)" in markdown
    rows = list(csv.DictReader(io.StringIO(render(report, "csv"))))
    assert all(None not in x for x in rows)
    assert [(x["record"], x["code"], x["nameless"]) for x in rows] == [("fault", "IRQ-003", "1")]
    assert rows[0]["text"].startswith("'=cmd()\\x1b")


def test_the_report_does_not_depend_on_the_order_of_the_batch(tmp_path):
    cases = [case(f"c{i}", finding(group=f"g{i % 3}", code=f"A-{i % 3}"), machine=f"m{i % 4}") for i in range(12)]
    one, other = results(tmp_path / "1", *cases), results(tmp_path / "2", *reversed(cases))
    for format in ("terminal", "json", "markdown", "csv"):
        assert render(fleet(one), format) == render(fleet(other), format)


@pytest.mark.parametrize(("count", "last"), [(50, "c49: a log is cut"), (51, "and 1 more: tracekit query")])
def test_of_many_cases_that_are_not_to_be_trusted_the_first_are_named(tmp_path, count, last):
    facts = {**dict.fromkeys(("machine", "kernel", "qemu", "xen"), ""), "doubts": ["a log is cut"]}
    told = fleet(results(tmp_path, *(replace(case(f"c{n:02}"), facts=facts) for n in range(count))))
    page = [line.strip() for line in render(told, "terminal").splitlines()]
    assert f"Nothing found in {count} cases, but this all-clear is not to be trusted" in page
    assert (sum("a log is cut" in line for line in page), page[-1]) == (50, last)
    assert len(told.doubtful) == told.cases["doubtful"] == count
