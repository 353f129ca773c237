"""A mistake in a grammar is one error with its place; what does not match is followed as far as it goes."""

from pathlib import Path

import pytest
from commands import tracekit

from tracekit.grammar.reach import furthest
from tracekit.testing import engine

RING = '''\
"""Rings."""

from collections.abc import Iterator

import polars as pl

from tracekit import Evidence, Finding, diagnosis

GRAMMAR = """
%import .common (BDF, DEC)
start: ring_stuck
// A ring stands still.
ring_stuck: "ring " bdf ": queue " queue " made no progress"
bdf: BDF
queue: DEC // Number of the queue.
"""


@diagnosis("ring.stuck", code="RING-001", severity="high", record="dmesg")
def stuck(ring_stuck: pl.DataFrame) -> Iterator[Finding]:
    """A ring of the device is stuck."""
    for e in ring_stuck.iter_rows(named=True):
        yield Finding("x", "proven", (Evidence(e["source"], e["line"], "cause"),))
'''


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TRACEKIT_PLUGINS", raising=False)
    monkeypatch.chdir(tmp_path)


def plugin(old: str = "", new: str = "") -> str:
    assert old in RING
    Path("ring.py").write_text(RING.replace(old, new) if old else RING)
    return "ring.py"


@pytest.mark.parametrize(
    ("old", "new", "place", "what", "line"),
    [
        ('" queue "', '" quue "', "5:36", "nothing is called quue; did you mean queue?", 'ring_stuck: "ring " bdf ": queue " quue " made no progress"'),
        ("queue: DEC", "queue: DECX", "7:8", "nothing is called DECX; did you mean DEC?", "queue: DECX // Number of the queue."),
        ('" queue "', '" queue ] "', "5:42", "unexpected ']'", 'ring_stuck: "ring " bdf ": queue " queue ] " made no progress"'),
        ('bdf ": queue', 'line ": queue', "5:21", "field line has the name of an envelope column", 'ring_stuck: "ring " line ": queue " queue " made no progress"'),
        ("// A ring stands still.", "//! foundby: x", "4:1", "mark foundby: there is no such mark; did you mean found-by?", "//! foundby: x"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_error_with_file_line_and_caret(old: str, new: str, place: str, what: str, line: str) -> None:
    Path("ring.py").write_text(RING.replace(old, new).replace("bdf: BDF", "bdf: BDF\nline: BDF" if "line" in new else "bdf: BDF"))
    told = tracekit("plugins", "--plugins", "ring.py").stdout.splitlines()
    errors = [n for n, text in enumerate(told) if text.startswith("  plugin ring")]
    assert len(errors) == 1, told
    assert f"ring.py GRAMMAR:{place}: " in told[errors[0]]
    assert what in told[errors[0]]
    assert told[errors[0] + 1] == f"    {line}"
    assert told[errors[0] + 2] == f"    {' ' * (int(place.partition(':')[2]) - 1)}^"


def test_a_table_of_a_broken_grammar_is_said_to_be_missing() -> None:
    Path("log").write_text("[    1.000000] ring 0000:00:01.0: queue 3 made no progress\n")
    broken = plugin('" queue "', '" quue "')
    done = tracekit("query", "log", "SELECT * FROM ring_stuck", "--plugins", broken)
    assert done.returncode == 2
    assert "the table ring_stuck is missing since its grammar cannot be read: plugin ring" in done.stderr
    assert "ring.py GRAMMAR:5:36: nothing is called quue" in done.stderr
    page = " ".join(tracekit("analyze", "log", "--full", "--plugins", broken).stdout.split())
    assert "RING-001 ring.stuck: the table ring_stuck is missing since its grammar cannot be read" in page


def test_a_line_that_no_rule_reads_is_followed_as_far_as_one_goes() -> None:
    good = plugin()
    done = tracekit("match", "ring 0000:00:01.0: queue x made no progress", "--plugins", good)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "ring 0000:00:01.0: queue x made no progress",
        f"{' ' * 25}^ ring_stuck (ring.lark:5) goes along from column 1 to here, and wants queue (DEC)",
    ]
    done = tracekit("match", "box kernel: ring 0000:00:01.0: queue 3 made no progress", "--plugins", good)
    assert (done.returncode, "ring_stuck (ring.lark:5) reads it from here" in done.stdout) == (0, True)
    done = tracekit("match", "zzz", "--plugins", good)
    assert (done.returncode, "no rule has five characters of it" in done.stdout) == (1, True)
    done = tracekit("match", "[host9] DMAR-IR: IR3: can't allocate an IRTE")  # the texts of this rule are alternatives
    assert (done.returncode, "irte_exhausted" in done.stdout) == (0, True)
    done = tracekit("match", "acme 0000:01:00.0: failed to enable MSI-X: -28")  # this one is found by words, and has no text of its own
    assert (done.returncode, "driver_complaint" in done.stdout) == (0, True)


@pytest.mark.parametrize(
    ("text", "rule", "end"),
    [
        ("vector_alloc: irq=29 vector=33 reserved=x ret=0", "vector_alloc", 'reserved='),
        ("vector_alloc: irq=29 vector=33 reserved=0", "vector_alloc", "reserved=0"),
    ],
)  # fmt: skip
def test_the_nearest_rule_is_the_one_that_shares_most_text(text: str, rule: str, end: str) -> None:
    reach = furthest(text, engine().vocabulary.rules.values())
    assert reach is not None
    assert (reach.rule.name, text[: reach.end]) == (rule, text[: text.index(end) + len(end)])
