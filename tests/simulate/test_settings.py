"""TOML and `--set` into a scenario: what is wrong is named, with the nearest name."""

from pathlib import Path
from typing import Any

import pytest

from tracekit.errors import UsageError
from tracekit.simulate.ask import axis
from tracekit.simulate.scenario import Device, Scenario, release_of
from tracekit.simulate.settings import changed, over, read, scenario, written


def test_defaults_stand_for_what_is_not_given() -> None:
    assert scenario({}) == Scenario()
    assert scenario({"devices": [{"table": [8, 16]}]}).devices == (Device(table=(8, 16)),)


@pytest.mark.parametrize(
    ("tree", "told"),
    [
        ({"host": {"kernal": "6.1"}}, "s: host.kernal: there is no such setting; did you mean kernel?"),
        ({"hosts": {}}, "s: hosts: there is no such setting; did you mean host?"),
        ({"host": {"kernel": 6.1}}, 's: host.kernel = 6.1: put it in quotes, as in "6.10"'),
        ({"host": {"kernel": "new"}}, "s: host.kernel = new: give a release, as in 6.12"),
        ({"host": {"cpus": "many"}}, "s: host.cpus = many: give a number"),
        ({"host": {"cpus": -1}}, "s: host.cpus = -1: give a number from 0 to 1000000"),
        ({"host": {"remapping": "on"}}, "s: host.remapping = on: give true or false"),
        ({"guest": {"unmask": "before"}}, "s: guest.unmask = before: give after enable, before enable; did you mean before enable?"),
        ({"devices": []}, "s: devices: give at least one"),
        ({"devices": [{}, {}]}, "s: devices: two have one name"),
        ({"devices": [{"tabel": [8]}]}, "s: devices.0.tabel: there is no such setting; did you mean table?"),
        ({"devices": [{"table": [0]}]}, "s: devices.0.table = [0]: numbers from 1 on"),
        ({"devices": [{"table": []}]}, "s: devices.0.table: give at least one number"),
        (
            {"devices": [{"name": "eth0"}], "interrupts": [{"device": "eth1"}]},
            "s: interrupts.device: no device is called eth1; did you mean eth0?",
        ),
        ({"host": 6}, "s: host: give a table of settings"),
        ({"requests": [{"what": "enabel"}]}, "s: requests.0.what = enabel: give enable, disable, mask, unmask; did you mean enable?"),
    ],
)
def test_what_is_wrong_is_named(tree: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as e:
        scenario(tree, "s")
    assert str(e.value) == told


def test_set_changes_every_device_or_one() -> None:
    two = {"devices": [{"name": "a"}, {"name": "b"}]}
    assert [d.table for d in scenario(changed(two, ["devices.table=8,16"])).devices] == [(8, 16), (8, 16)]
    assert [d.table for d in scenario(changed(two, ["devices.1.table=4"])).devices] == [(8,), (4,)]
    assert two == {"devices": [{"name": "a"}, {"name": "b"}]}
    assert scenario(changed({}, ["host.kernel=6.10", "guest.traffic=false"])).host.kernel == "6.10"


@pytest.mark.parametrize("setting", ["host.kernel", "=1", "devices.3.table=8", "sessions.x=1"])
def test_a_set_that_cannot_be_is_refused(setting: str) -> None:
    with pytest.raises(UsageError):
        scenario(changed({"sessions": 2}, [setting]))


def test_what_is_asked_about_most_has_a_short_name() -> None:
    short = changed({"client": {"name": "qemu"}}, ["kernel=6.6", "qemu=8.2", "rebinds=[2,3]"])
    assert short == {"client": {"name": "qemu", "version": "8.2"}, "host": {"kernel": "6.6"}, "rebinds": "2,3"}
    assert scenario(short) == scenario({"host": {"kernel": "6.6"}, "client": {"version": "8.2"}, "rebinds": [2, 3]})
    with pytest.raises(UsageError, match="there is no such setting"):
        scenario(changed({}, ["linux=6.6"]))


def test_a_scenario_is_written_as_it_was_read(tmp_path: Path) -> None:
    asked = scenario(
        {"host": {"kernel": "6.1"}, "devices": [{"table": [8, 16], "queues": 12}], "rebinds": [2], "interrupts": [{"at": 2.5}]}
    )
    (tmp_path / "s.toml").write_text(written(asked))
    assert scenario(read(tmp_path / "s.toml")) == asked


def test_a_file_stands_over_what_a_log_shows() -> None:
    assert over({"host": {"kernel": "6.1", "cpus": 4}, "sessions": 2}, {"host": {"kernel": "6.12"}}) == {
        "host": {"kernel": "6.12", "cpus": 4},
        "sessions": 2,
    }


@pytest.mark.parametrize("text", ["6.12", "6.12.3-rc1", "6.12+"])
def test_releases(text: str) -> None:
    assert release_of(text)[:2] == (6, 12)


def test_axes_of_a_grid() -> None:
    assert axis("host.kernel=6.1,6.12") == ("host.kernel", ("6.1", "6.12"))
    assert axis("devices.table=[8,16],[8]") == ("devices.table", ("8,16", "8"))
    with pytest.raises(UsageError):
        axis("host.kernel")
