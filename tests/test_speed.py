"""`benchmarks/speed.py` names what became dearer, and runs."""

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import peers
import speed


def of(cpu: float) -> speed.Measured:
    """A log of 10 MB, for which the loop in Python takes 2 s."""
    return speed.Measured("dmesg", 10_000_000, peers.Cost(cpu, cpu, 100.0), {"rg": peers.Cost(0.1, 0.1, 5.0)}, 2.0)


def test_what_costs_a_fifth_more_than_what_was_kept_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "KEPT", tmp_path / "kept.json")
    assert list(speed.worse([of(1.0)])) == []
    speed.keep([of(1.0)])
    assert json.loads((tmp_path / "kept.json").read_text()) == {"dmesg 10 MB": 0.5}
    assert list(speed.worse([of(1.19)])) == []
    assert list(speed.worse([of(1.21)])) == ["dmesg 10 MB: 0.605 of the loop, kept 0.500: 21 % more"]


def test_a_row_holds_ratios_of_cpu_and_nothing_for_a_tool_that_is_absent() -> None:
    assert of(0.5).row(["rg", "lnav"]) == "| dmesg 10 MB | 0.50 | 0.50 | 20 | 100 | 5.00 |  |"


def test_its_parts_run(tmp_path: Path) -> None:
    literals, count = speed.vocabulary(tmp_path)
    assert len(literals.read_text().splitlines()) == count > 100
    (found,) = speed.measured(tmp_path, [("dmesg", 20_000)], peers.Peers(literals))
    assert found.own.cpu > 0
    assert "words" in found.peers
    assert found.row(["words"]).startswith("| dmesg 0 MB | ")
    assert speed.engine_rows()[-1].startswith("| ratio | ")


def test_a_tool_that_cannot_run_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="ended with status 7"):
        peers.cost([sys.executable, "-c", "raise SystemExit(7)"])
