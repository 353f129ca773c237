"""64 KB of anything cost no more than some tens of ordinary logs of that size, whatever stands in them."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tracekit.pipeline import Engine

FILE = Path(__file__).parent.parent / "benchmarks" / "anything.py"
MOST = 60  # ordinary logs: one takes 15 ms, so that this is 1 s


@pytest.fixture(scope="module")
def anything() -> ModuleType:
    found = importlib.util.spec_from_file_location("anything", FILE)
    assert found and found.loader
    module = importlib.util.module_from_spec(found)
    sys.modules["anything"] = module
    found.loader.exec_module(module)
    return module


def test_no_kind_of_text_costs_much_more_than_an_ordinary_log(anything: ModuleType, tmp_path: Path) -> None:
    engine = Engine.load()
    anything.cost(anything.ordinary(), engine, tmp_path)
    ordinary = min(anything.cost(anything.ordinary(), engine, tmp_path) for _ in range(3))
    dear = {
        kind: round(least / ordinary)
        for kind, data in anything.kinds().items()
        if (least := anything.cost(data, engine, tmp_path)) > MOST * ordinary
        and (least := min(least, anything.cost(data, engine, tmp_path))) > MOST * ordinary
    }
    assert dear == {}


@pytest.mark.parametrize("kind", ["tails of a mail", "JSON, open lines", "quoted lines"])
def test_twice_the_text_costs_twice_as_much(kind: str, anything: ModuleType, tmp_path: Path) -> None:
    engine, data = Engine.load(), anything.kinds()[kind]
    once = min(anything.cost(data * 2, engine, tmp_path) for _ in range(3))
    twice = min(anything.cost(data * 4, engine, tmp_path) for _ in range(2))
    assert twice < 3.5 * once + 0.05
