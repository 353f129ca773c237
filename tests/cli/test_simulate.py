"""`tracekit simulate` from the command line: the page, a grid, JSON, a scenario from a log, the lines of a run; docs/simulate.md."""

import json
import re
import shlex
from pathlib import Path

import pytest
from commands import tracekit

ROOT = Path(__file__).parents[2]
GROWN = ROOT / "sample_scenarios" / "table-grows.toml"
GUIDE = (ROOT / "docs" / "simulate.md").read_text(encoding="utf-8")
# ```console blocks: a command behind `$ `, and below it what it prints, `...` for lines left out
COMMANDS = [
    (m[1], m[2])
    for block in re.findall(r"```console\n(.*?)```", GUIDE, re.DOTALL)
    for m in re.finditer(r"\$ tracekit (.*)\n((?:(?!\$ ).*\n)*)", block)
]


def test_the_page_names_each_fault_with_its_first_step() -> None:
    done = tracekit("simulate", GROWN, "--width", 100)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "4 faults: MSI-001, VFIO-002, VFIO-003, VFIO-006"
    assert "MSI-001  msi.stale-hwsize  0000:3d:00.0" in lines
    assert re.search(r"^domain +▒ hwsize 8 ", done.stdout, re.MULTILINE)


def test_a_grid_is_a_table_of_verdicts() -> None:
    done = tracekit("simulate", GROWN, "--grid", "host.kernel=6.1,6.12", "--grid", "client.version=8.1,10.1")
    assert done.stdout.splitlines() == [
        "host.kernel  client.version 8.1                     client.version 10.1",
        "6.1          VFIO-002                               VFIO-002",
        "6.12         MSI-001, VFIO-002, VFIO-003, VFIO-006  MSI-001, VFIO-004",
    ]


def test_one_setting_is_a_row_each() -> None:
    done = tracekit("simulate", GROWN, "--grid", "rebinds=[],[2]", "--set", "client.version=10.1")
    assert done.stdout.splitlines() == ["rebinds  faults", "         MSI-001, VFIO-004", "2        none"]


def test_json_has_the_faults_the_cost_and_the_steps() -> None:
    told = json.loads(tracekit("simulate", GROWN, "--set", "client.version=10.1", "--format", "json").stdout)
    assert told["schema"] == "tracekit.answer/1"
    assert [f["code"] for f in told["faults"]] == ["MSI-001", "VFIO-004"]
    assert told["cost"][0] == {"pool": "CPU vectors", "most": 8, "size": 1608}
    assert told["steps"][0]["what"] == "session 1: the client opens the device, whose table has 8 entries"


def test_the_same_reports_write_it() -> None:
    drawn = tracekit("simulate", GROWN, "--format", "svg").stdout
    assert [drawn.count(f">{text}<") for text in ("hwsize 8", "table 16", "VFIO-002  vfio.resize-window  0000:3d:00.0")] == [1, 1, 1]
    page = tracekit("simulate", GROWN, "--format", "html").stdout
    assert page.startswith("<!doctype html>") and "<li>CPU vectors: 8 of 1,608</li>" in page and "hwsize 8" in page
    text = tracekit("simulate", GROWN, "--format", "markdown").stdout.splitlines()
    assert text[0] == "# 4 faults: MSI-001, VFIO-002, VFIO-003, VFIO-006"
    assert "## MSI-001 msi.stale-hwsize 0000:3d:00.0" in text


def test_a_grid_in_the_same_reports() -> None:
    asked = ("simulate", GROWN, "--grid", "host.kernel=6.1,6.12", "--set", "client.version=10.1")
    assert tracekit(*asked, "--format", "markdown").stdout.splitlines() == [
        "| host.kernel | faults |",
        "| --- | --- |",
        "| 6.1 | VFIO-002 |",
        "| 6.12 | MSI-001, VFIO-004 |",
    ]
    page = tracekit(*asked, "--format", "html").stdout
    assert "<tr><td>6.12</td><td>MSI-001, VFIO-004</td></tr>" in page


def test_json_of_a_grid_has_a_cell_each() -> None:
    told = json.loads(tracekit("simulate", GROWN, "--grid", "host.kernel=6.1,6.12", "--format", "json").stdout)
    assert [(c["set"], [f["code"] for f in c["faults"]]) for c in told["cells"]] == [
        ({"host.kernel": "6.1"}, ["VFIO-002"]),
        ({"host.kernel": "6.12"}, ["VFIO-002", "VFIO-006", "MSI-001", "VFIO-003"]),
    ]


def test_gates_are_flipped_at_once() -> None:
    assert tracekit("simulate", GROWN, "--flip", "KV2,QV3").stdout.splitlines()[0] == "No fault."


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--flip", "KV22"], "--flip KV22: there is no such gate; did you mean KV2?"),
        (["--set", "host.kernal=6.1"], f"{GROWN}: host.kernal: there is no such setting; did you mean kernel?"),
        (["--grid", "host.kernel"], "--grid host.kernel: give NAME=VALUE,VALUE, as in host.kernel=6.1,6.12"),
        (["--emit", "ftrace,strace", "-o", "x"], "--emit strace: give ftrace, dmesg, qemu, xen, dm, dom0; did you mean ftrace?"),
        (["--emit", "ftrace,dmesg"], "--emit of several kinds needs --output FOLDER"),
        (["--format", "yaml"], "no report is called yaml; there are html, json, markdown, svg, terminal"),
        (["--format", "svg", "--grid", "host.cpus=1,2"], "no report is called svg; there are html, json, markdown, terminal"),
    ],
)
def test_what_is_wrong_is_said(arguments: list[str], told: str) -> None:
    done = tracekit("simulate", GROWN, *arguments)
    assert (done.returncode, done.stderr) == (2, f"tracekit: {told}\n")


def test_a_scenario_starts_from_a_log(tmp_path: Path) -> None:
    tracekit("simulate", GROWN, "--emit", "ftrace,dmesg", "--output", tmp_path)
    truth = json.loads(tmp_path.with_name(f"{tmp_path.name}.answer.json").read_text())
    assert [f["code"] for f in truth["faults"]] == ["VFIO-002", "VFIO-006", "MSI-001", "VFIO-003"]
    done = tracekit("simulate", "--like", tmp_path, "--print")
    assert done.stderr == ""
    assert 'kernel = "6.12"' in done.stdout and "table = [8, 16]\nqueues = 12\n" in done.stdout
    assert 'policy = "incr"' in done.stdout  # no line tells QEMU's release, but how it grows
    again = tracekit("simulate", "--like", tmp_path)
    assert again.stdout.splitlines()[0] == "4 faults: MSI-001, VFIO-002, VFIO-003, VFIO-006"


@pytest.mark.parametrize("path", sorted((ROOT / "sample_scenarios").glob("*.toml")), ids=lambda p: p.stem)
def test_every_sample_runs_and_is_in_the_guide(path: Path) -> None:
    assert tracekit("simulate", path).returncode == 0
    assert f"sample_scenarios/{path.name}" in GUIDE


def test_the_guide_has_commands() -> None:
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize(("command", "printed"), COMMANDS, ids=[c for c, _ in COMMANDS])
def test_the_commands_of_the_guide_print_what_it_shows(command: str, printed: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    arguments = [a.replace("FOLDER", str(tmp_path)) for a in shlex.split(command)]
    if arguments[:1] == ["analyze"]:  # of the lines that the command before it has written
        tracekit("simulate", GROWN, "--emit", "ftrace,dmesg", "-o", tmp_path)
    if "--plan" in arguments:
        tracekit("batch", "sample_traces/msi.stale-hwsize", "-o", tmp_path, "-j", "1")
    text = tracekit(*arguments, COLUMNS="100").stdout.replace(str(tmp_path), "FOLDER")
    parts = [p.strip("\n") for p in re.split(r"^\.\.\.$", printed, flags=re.MULTILINE) if p.strip()]
    at = 0
    for part in parts:
        assert part in text[at:], text
        at = text.index(part, at) + len(part)
