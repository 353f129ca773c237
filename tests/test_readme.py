"""What README.md shows is what the program prints, and its commands are where CI looks for them."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tracekit.diagnosing.diagnoses import Diagnosis, judge
from tracekit.diagnosing.places import Places
from tracekit.testing import tables

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    """The fenced blocks of one kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_the_output_shown_is_the_output() -> None:
    command = blocks("sh")[0].split("&&")[-1].split()
    assert command[:2] == [".venv/bin/tracekit", "analyze"]
    done = subprocess.run(
        [sys.executable, "-m", "tracekit", *command[1:], "--width", "80"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert blocks("text") == [done.stdout]


def test_each_command_is_one_line_that_sets_up_by_itself() -> None:
    assert len(blocks("sh")) == 2
    for block in blocks("sh"):
        assert len(block.splitlines()) == 1
        assert block.startswith("python3 -m venv .venv && .venv/bin/pip install -q -e ")


def test_the_ten_lines_are_a_diagnosis() -> None:
    (code,) = blocks("python")
    names: dict[str, Any] = {}
    exec(code, names)
    refused: Diagnosis = names["refused"]
    log = "[  108.926011] e1000e 0000:3b:00.1: xen map irq failed -28 for 32752 domain\n"
    (finding,), outcome = judge(refused, Places(tables(log)))
    assert (finding.code, finding.summary, finding.grade) == ("ACME-001", "no pirq: -28", "proven")
    assert (finding.subject.bdf, [e.line for e in finding.evidence], outcome.outcome) == ("0000:3b:00.1", [1], "found")
    assert judge(refused, Places(tables("[  108.926011] e1000e 0000:3b:00.1: Intel(R) Gigabit\n")))[1].outcome == "not evaluated"
