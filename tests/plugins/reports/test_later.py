"""The reports by name stand for the classes that their modules have, and load no module before one is written."""

import subprocess
import sys

import pytest
from tracekit_reports.later import REPORTS


@pytest.mark.parametrize("report", REPORTS, ids=lambda r: r.name)
def test_what_stands_for_a_report_says_what_the_report_says(report: type) -> None:
    whole = report.whole()  # type: ignore[attr-defined]
    assert report.__name__ == whole.__name__
    assert {n for n in vars(report) if n.startswith("write")} == {n for n in vars(whole) if n.startswith("write")}
    for name in ("name", "draws", "binary"):
        assert getattr(report, name) == getattr(whole, name, False)


def test_a_run_loads_the_module_of_its_report_alone() -> None:
    code = (
        "import sys; from tracekit.plugins import registry\n"
        "def loaded(): return sorted(m.partition('.')[2] for m in sys.modules if m.startswith('tracekit_reports.'))\n"
        "reports = {r.name: r for r in registry.load().reports}\nprint(*reports)\nprint(*loaded())\n"
        "from tracekit import Run\nreports['csv']().write(Run((), (), ()), {})\nprint(*({'csv', 'html', 'json', 'terminal'} & {*loaded()}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    names, before, after = done.stdout.splitlines()
    assert names == "terminal markdown html svg json sarif junit csv github gitlab perfetto", done.stderr
    assert (before, after) == ("later", "csv")
