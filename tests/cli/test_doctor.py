"""`tracekit doctor`: what a log answers, what not, and what to record next."""

import re
from pathlib import Path

from commands import tracekit

from tracekit.cli.doctor import best
from tracekit.findings import Outcome

SAMPLES = Path(__file__).parents[2] / "sample_traces"
TRACE = SAMPLES / "msi.stale-hwsize" / "fires-kprobe-8-16-6.12" / "trace.txt"


def test_a_trace_answers_some_questions_and_names_what_is_missing() -> None:
    done = tracekit("doctor", TRACE)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"[0-9]+ of [0-9]+ questions are answered\.", lines[0])
    at = lines.index("MSI")
    assert lines[at + 1].startswith("  found: MSI-001")
    assert any(line.startswith("  not evaluated: no kernel log in the input (") and "VEC-004" in line for line in lines)
    assert re.search(r"^Most would add, for [A-Z0-9, -]+: tracekit record [a-z-]+", lines[-1])
    assert "XEN" not in lines[-1]


def test_a_log_of_nothing_answers_nothing(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("buy milk\n")
    assert tracekit("doctor", tmp_path).stdout.startswith("0 of ")


def outcomes(*told: tuple[str, str]) -> list[Outcome]:
    return [Outcome(code.lower(), code, outcome) for code, outcome in told]  # type: ignore[arg-type]


def test_the_recording_that_adds_most_is_named() -> None:
    told = best(outcomes(("VFIO-001", "not evaluated"), ("VFIO-002", "inconclusive"), ("MSI-001", "clear")))
    assert told == "Most would add, for VFIO-001, VFIO-002: tracekit record resize --script > record.sh"
    assert best(outcomes(("MSI-001", "clear"))) == "Nothing is left to record."
    assert best(outcomes(("ACME-001", "not evaluated"))) == "No recording of tracekit adds to it."


def test_xen_counts_only_where_the_log_shows_xen() -> None:
    open_ = [("XEN-001", "not evaluated"), ("XEN-002", "not evaluated"), ("MSI-001", "not evaluated")]
    assert "record stale-hwsize" in best(outcomes(*open_))
    assert "record pirq" in best(outcomes(*open_, ("XEN-003", "clear")))
