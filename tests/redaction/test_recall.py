"""The benchmark of redaction on a small log: recall, and numbers that only look like values."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

FILE = Path(__file__).parent.parent.parent / "benchmarks" / "redaction.py"


def test_at_least_999_of_1000_values_go_and_no_other_number() -> None:
    spec = spec_from_file_location("redaction_benchmark", FILE)
    assert spec and spec.loader
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    total, left, gone, _ = module.measure(3000, 7)
    assert total.total() > 5000
    assert left.total() <= total.total() // 1000, dict(left)
    assert not gone
