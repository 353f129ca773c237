"""`benchmarks/suite.py` tells what tests cost, and what those cost that another checkout has too."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import suite


def test_a_test_that_moved_is_the_same_and_one_of_the_same_name_is_another() -> None:
    own = {"tests/a/test_x.py::test_one[1]": 1.0, "tests/test_y.py::test_one[1]": 2.0, "tests/test_y.py::test_new": 4.0}
    assert suite.shared(own, {"tests/test_x.py::test_one[1]": 8.0, "tests/test_x.py::test_gone": 16.0}) == (1, 2.0, 8.0)
    assert suite.shared(own, {"tests/test_x.py::test_one[1]": 8.0, "tests/test_z.py::test_one[1]": 16.0}) == (2, 3.0, 24.0)


def test_the_dearest_files_come_first_then_tests() -> None:
    seconds = {"a.py::one": 1.0, "a.py::two": 2.5, "b.py::three": 3.0}
    assert suite.dearest(seconds) == [(3.5, "a.py"), (3.0, "b.py"), (3.0, "b.py::three"), (2.5, "a.py::two"), (1.0, "a.py::one")]


def test_processes_that_a_test_starts_are_part_of_its_time() -> None:
    clock = suite.Clock()
    running = clock.pytest_runtest_protocol(SimpleNamespace(nodeid="test_x.py::test_busy"))  # type: ignore[arg-type]
    next(running)
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.2: pass"], check=True)
    with pytest.raises(StopIteration):
        running.send(True)
    assert clock.seconds["test_x.py::test_busy"] > 0.15  # times of a process are counted in 10 ms
