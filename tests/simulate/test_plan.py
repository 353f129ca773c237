"""A change over a batch's results: which hosts fail after it, from what was seen and what is assumed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tracekit.batch import rows
from tracekit.cli.main import application
from tracekit.errors import UsageError
from tracekit.pipeline import Engine, Options, analyze
from tracekit.plugins import registry as plugins
from tracekit.simulate.plan import Foreseen, Seen, after, of_row, plan
from tracekit.simulate.simulator import Parts

SAMPLES = Path(__file__).parents[2] / "sample_traces"
REGISTRY = plugins.load(simulators=True)
SIMULATOR = REGISTRY.simulators[0]()
PARTS = Parts(REGISTRY.machines, REGISTRY.gates)
NEW = {"host": {"kernel": "6.12"}, "client": {"version": "8.1"}, "devices": [{"name": "0000:3d:00.0", "table": [8], "queues": 8}]}
OLD = {**NEW, "host": {"kernel": "6.1"}}


def foreseen(settings: dict[str, object], *change: str) -> Foreseen:
    (found,) = plan(SIMULATOR, PARTS, change, [Seen("a", "m1", settings)]).cases
    return found


def codes(found: Foreseen) -> list[str]:
    return [f.code for f in found.new]


def test_a_table_that_grows_breaks_the_host_that_keeps_its_domain() -> None:
    found = foreseen(NEW, "devices.table=16")
    assert (codes(found), found.kept) == (["MSI-001", "VFIO-003"], ("VFIO-002", "VFIO-006"))
    assert found.seen == ("host.kernel=6.12", "client.version=8.1", "0000:3d:00.0: table 8, 8 vectors asked for")
    assert found.assumed == ("the driver of 0000:3d:00.0 takes every entry of its table, as it took all 8",)


@pytest.mark.parametrize(
    ("settings", "change", "new"),
    [
        (OLD, "devices.table=16", []),  # no domain of the device's own
        (NEW, "devices.table=8", []),
        (NEW, "guest.count=2", []),
        # a driver that takes no more: the domain is too small, and nothing is refused yet
        ({**NEW, "devices": [{"name": "0000:3d:00.0", "table": [8], "queues": 4}]}, "devices.table=16", ["MSI-002"]),
    ],
)
def test_a_host_that_the_change_does_not_break_stays_quiet(settings: dict[str, object], change: str, new: list[str]) -> None:
    assert codes(foreseen(settings, change)) == new


def test_an_upgrade_of_the_kernel_brings_the_fault_or_ends_it() -> None:
    grown = [{"name": "0000:3d:00.0", "table": [8, 16], "queues": 12}]
    assert "MSI-001" in codes(foreseen({**OLD, "devices": grown}, "host.kernel=6.12"))
    assert "MSI-001" in foreseen({**NEW, "devices": grown}, "host.kernel=6.1").ended


def test_a_size_comes_after_the_last_one() -> None:
    tree, _ = after({"devices": [{"name": "a", "table": [4, 8], "queues": 4}]}, ["devices.table=16,32"])
    assert tree["devices"] == [{"name": "a", "table": [4, 8, "16", "32"], "queues": 4}]


def test_what_cannot_be_simulated_is_named() -> None:
    cases = [Seen("a", "", {}), Seen("b", "", {**NEW, "devices": [{"name": "x", "table": [4000]}]})]
    told = plan(SIMULATOR, PARTS, ["host.kernel=6.1"], cases).cases
    assert [c.skipped for c in told] == [
        "its logs show no device with vectors",
        "devices.table: an MSI-X table has at most 2048 entries",
    ]
    with pytest.raises(UsageError, match="host.kernal: there is no such setting; did you mean kernel"):
        plan(SIMULATOR, PARTS, ["host.kernal=6.1"], [])


def test_a_case_of_a_batch_keeps_what_its_logs_show() -> None:
    engine = Engine.load(simulators=True)
    log = str(SAMPLES / "msi.stale-hwsize" / "quiet-rebind-16-6.12")
    run = analyze([log], Options(keep_tables=SIMULATOR.reads), engine)
    _, told = rows.of_run(run, 0.0, {}, SIMULATOR.like)
    ((settings, open_questions),) = told["scenarios"]
    seen = of_row("a", None, settings, open_questions)
    assert seen.settings["devices"] == [{"kind": "msix", "name": "0000:00:08.0", "queues": 16, "table": [16]}]
    assert codes(foreseen(dict(seen.settings), "devices.table=32")) == ["MSI-001"]
    assert (seen.settings["gates"], foreseen(dict(seen.settings), "devices.table=32").perhaps) == (["KV2"], ())
    assert seen.settings["client"] == {"name": "program"}  # a plan puts a VMM in its place
    assert seen.open == (
        "something came before the first line, which shows what it left: an irq domain, or vectors",  # an unbind is first
        "no line tells host.kernel: 6.12 is taken",
    )


UNKNOWN = {"devices": [{"name": "0000:3d:00.0", "table": [8], "queues": 8}]}


def perhaps(found: Foreseen) -> list[tuple[str, list[dict[str, str]]]]:
    return [(p.fault.code, [dict(c) for c in p.any_of]) for p in found.perhaps]


def test_what_depends_on_a_release_that_no_line_tells_is_perhaps() -> None:
    found = foreseen(UNKNOWN, "devices.table=16")
    assert (codes(found), found.kept, perhaps(found)) == (
        [],
        (),
        [
            ("MSI-001", [{"host.kernel": "6.12"}]),
            ("VFIO-003", [{"host.kernel": "6.12", "client.version": "8.1"}]),
            ("VFIO-004", [{"host.kernel": "6.12", "client.version": "10.1"}]),
        ],
    )
    assert found.assumed[:2] == (
        "no line tells host.kernel: it is simulated as 6.1 and as 6.12",
        "no line tells client.version: it is simulated as 8.1 and as 10.1",
    )
    grown = foreseen(
        {**UNKNOWN, "devices": [{"name": "a", "table": [1], "queues": 1}], "gates": ["KV2"]}, "devices.table=2", "devices.queues=2"
    )
    assert [(c, when) for c, when in perhaps(grown) if c == "VFIO-003"] == [
        ("VFIO-003", [{"host.kernel": "6.1"}, {"client.version": "8.1"}])
    ]


def test_what_the_lines_show_decides_before_a_release() -> None:
    shown = {**UNKNOWN, "gates": ["KV2", "-KV4", "QV3"]}
    found = foreseen(shown, "devices.table=16")
    assert (codes(found), found.perhaps, found.assumed) == (
        ["MSI-001", "VFIO-003"],
        (),
        ("the driver of 0000:3d:00.0 takes every entry of its table, as it took all 8",),
    )
    assert found.seen[0] == "gates=KV2,-KV4,QV3"
    backported = {**OLD, "gates": ["KV2"]}  # 6.1 by its release
    assert "MSI-001" in codes(foreseen(backported, "devices.table=16"))


def test_after_an_upgrade_the_release_decides_again() -> None:
    grown = {**OLD, "devices": [{"name": "0000:3d:00.0", "table": [8, 16], "queues": 12}], "gates": ["-KV2", "QV3"]}
    tree, _ = after(grown, ["host.kernel=6.12"])
    assert tree["gates"] == ["QV3"]
    assert "MSI-001" in codes(foreseen(grown, "host.kernel=6.12"))
    assert "MSI-001" not in codes(foreseen(grown, "host.cpus=4"))


def test_cases_whose_logs_name_no_host_are_cases(tmp_path: Path) -> None:
    from tracekit_reports.plans import lines

    seen = [
        Seen("a", "m1", NEW),
        Seen("b", "m1", NEW),
        Seen("c", "m2", OLD),
        Seen("d", "", NEW),
        Seen("e", "", UNKNOWN),
        Seen("f", "m3", {}),
    ]

    def head(cases: list[Seen]) -> str:
        return next(lines(plan(SIMULATOR, PARTS, ["devices.table=16"], cases), {}, False))

    change = "After devices.table=16"
    assert head(seen) == f"{change}: 1 of 2 hosts and 1 of 2 cases without a host's name get a new fault; 1 case may, by what no line tells"
    assert head(seen[:3]) == f"{change}: 1 of 2 hosts get a new fault"
    assert head(seen[3:4]) == f"{change}: 1 of 1 case get a new fault"
    assert head([]) == f"{change}: 0 of 0 hosts get a new fault"
    page = "\n".join(lines(plan(SIMULATOR, PARTS, ["devices.table=16"], seen[4:5]), {}, False))
    told = page.splitlines()
    assert told[:3] == [f"{change}: 0 of 1 case get a new fault; 1 case may, by what no line tells", "", "e"]
    assert told[3].startswith("  perhaps MSI-001  0000:3d:00.0: ")
    assert told[3].endswith(", if host.kernel is like 6.12")


def test_the_command_over_a_batch(tmp_path: Path) -> None:
    cli, results = CliRunner(), str(tmp_path / "r")
    cases = [str(SAMPLES / "msi.stale-hwsize" / name) for name in ("quiet-rebind-16-6.12", "quiet-sriov-4-8-6.1")]
    cli.invoke(application(), ["batch", *(a for c in cases for a in ("--case", c)), "-o", results, "-j", "1", "--fail-on", "never"])
    page = cli.invoke(application(), ["simulate", "--plan", results, "--set", "devices.table=32"])
    assert page.stdout.splitlines()[0].startswith("After devices.table=32: 1 of 2 cases get a new fault"), page.output
    document = json.loads(cli.invoke(application(), ["simulate", "--plan", results, "--set", "devices.table=32", "-f", "json"]).stdout)
    assert [f["code"] for f in document["cases"][0]["new"]] == ["MSI-001"]
    written = cli.invoke(application(), ["simulate", "--plan", results, "--set", "devices.table=32", "-f", "markdown"]).stdout
    assert written.splitlines()[0] == "# After devices.table=32: 1 of 2 cases get a new fault"
    web = cli.invoke(application(), ["simulate", "--plan", results, "--set", "devices.table=32", "-f", "html"]).stdout
    assert "<h1>After devices.table=32: 1 of 2 cases get a new fault</h1>" in web
    assert "--plan needs a change" in str(cli.invoke(application(), ["simulate", "--plan", results]).exception)
    both = ["simulate", "--plan", results, "--set", "host.kernel=7.2", "--grid", "host.cpus=1,2"]
    assert "give it --set and --flip alone" in str(cli.invoke(application(), both).exception)
