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
    assert seen.open == ("no line tells host.kernel: 6.12 is taken", "no line tells client.version: 8.2 is taken")


def test_the_command_over_a_batch(tmp_path: Path) -> None:
    cli, results = CliRunner(), str(tmp_path / "r")
    cases = [str(SAMPLES / "msi.stale-hwsize" / name) for name in ("quiet-rebind-16-6.12", "quiet-sriov-4-8-6.1")]
    cli.invoke(application(), ["batch", *(a for c in cases for a in ("--case", c)), "-o", results, "-j", "1", "--fail-on", "never"])
    page = cli.invoke(application(), ["simulate", "--plan", results, "--set", "devices.table=32"])
    assert page.stdout.splitlines()[0].endswith("of 2 hosts get a new fault"), page.output
    document = json.loads(cli.invoke(application(), ["simulate", "--plan", results, "--set", "devices.table=32", "-f", "json"]).stdout)
    assert [f["code"] for f in document["cases"][0]["new"]] == ["MSI-001"]
    assert "--plan needs a change" in str(cli.invoke(application(), ["simulate", "--plan", results]).exception)
    both = ["simulate", "--plan", results, "--set", "host.kernel=7.2", "--grid", "host.cpus=1,2"]
    assert "give it --set and --flip alone" in str(cli.invoke(application(), both).exception)
