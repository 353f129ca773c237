"""A third party's tracer: envelopes of another form, with other names of rules, give the rows that ftrace's give."""

import re
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from tracekit.grammar import load as grammar
from tracekit.parsing import capture
from tracekit.parsing import parse as parsing
from tracekit.parsing.capture import RAW, Vocabulary
from tracekit.pipeline import Engine, Options, analyze
from tracekit.run import Run
from tracekit.testing import shape

SAMPLES = Path(__file__).resolve().parents[2] / "sample_traces"
# `[w] cpu1 vmm(4211) 512.050119s: vector_activate: irq=60 ...`; of calls `[c] cpu0 vioirq(90)  5.658 us    |  f();`
GRAMMAR = """\
// What the widget's ring buffer prints.
//! layer: tracer

%import .common (_SP)

start: widget_event | widget_call

// An event: CPU, task and time.
//! clock: ftrace
//! tracer: name
widget_event: "[w] cpu" on_cpu " " task "(" tid ") " stamp "s: " msg

// A line of a graph of calls.
//! clock: ftrace
//! tracer: calls
widget_call: "[c] cpu" on_cpu " " task "(" tid ") " ["@" stamp " "] msg_calls

on_cpu: NUMBER
task: TASK
tid: NUMBER
stamp: STAMP
msg: MSG
msg_calls: CALLS

NUMBER: /[0-9]{1,10}/
TASK: /[^ (\\n][^(\\n]*/
STAMP: /[0-9]{1,10}\\.[0-9]{6}/
MSG: /[^ \\n][^\\n]*/
CALLS: / *(?:[+!#*@$] *)?(?:[0-9.]+ us *)?\\|[^\\n]*/
"""
EVENT = re.compile(r"^ +(\S.*)-(\d+) +\[0*(\d+)\] \S+ +(\d+\.\d+): ", re.M)
CALL = re.compile(r"^ +(\d+)\) +(\S+)-(\d+) +\| ", re.M)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("widget")
    (folder / "envelopes").mkdir()
    (folder / "envelopes" / "ring.lark").write_text(GRAMMAR)
    grammars = grammar.load([folder])
    assert (grammars.errors, grammars.warnings) == ((), ())
    return replace(Engine.load(("*",)), vocabulary=Vocabulary(grammars, [*grammars.events, RAW]))


def analyzed(folder: Path, text: str, engine: Engine) -> Run:
    folder.mkdir(exist_ok=True)
    (folder / "trace.txt").write_text(text)
    return analyze([str(folder / "trace.txt")], Options(keep_tables=("*",)), engine)


def rows(run: Run) -> dict[str, list[tuple[object, ...]]]:
    """Every table, without the file's path."""
    return {n: f.drop("source", strict=False).rows() for n, f in run.tables.items() if f.height and n not in ("streams", "clock_relations")}


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(
    ("sample", "code"),
    [
        ("vfio.resize-window/fires-grown-1-4-6.1", "VFIO-002"),
        ("vfio.reenable-failed/fires-growth-refused-by-a-stale-domain-6.12", "MSI-001"),
    ],
)
def test_events_of_a_third_partys_tracer(
    sample: str, code: str, large: bool, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        monkeypatch.setattr(parsing, "SMALL_SOURCE", 0)
        monkeypatch.setattr(capture, "SMALL_SOURCE", 0)
        monkeypatch.setattr(capture, "MANY_LINES", 0)
    text = (SAMPLES / sample / "trace.txt").read_text() + "              vmm-7     [001] .....   999.000000: acme_tick: n=1\n"
    told, count = EVENT.subn(r"[w] cpu\3 \1(\2) \4s: ", text)
    assert count > 20
    own, other = analyzed(tmp_path, text, engine), analyzed(tmp_path, told, engine)
    assert code in {f.code for f in own.findings}
    assert shape(other.findings) == shape(own.findings)
    assert rows(other) == rows(own)
    assert other.tables["raw_event"].filter(pl.col("event") == "acme_tick")["args"].to_list() == ["n=1"]
    (ours,), (theirs,) = own.sources, other.sources
    assert (theirs.clock, theirs.events, theirs.classes) == (ours.clock, ours.events, ours.classes)
    assert theirs.clock == "ftrace"
    assert theirs.envelopes["widget_event"] == count


@pytest.mark.parametrize("large", [False, True])
def test_calls_of_a_third_partys_tracer_nest(large: bool, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if large:
        monkeypatch.setattr(parsing, "SMALL_SOURCE", 0)
        monkeypatch.setattr(capture, "SMALL_SOURCE", 0)
        monkeypatch.setattr(capture, "MANY_LINES", 0)
    text = (SAMPLES / "msi.stale-hwsize" / "fires-fgraph-retval-8-16-6.6" / "trace.txt").read_text()
    told, count = CALL.subn(r"[c] cpu\1 \2(\3) ", text)
    assert count > 20
    own, other = analyzed(tmp_path, text, engine), analyzed(tmp_path, told, engine)
    assert own.tables["calls"]["depth"].max() > 2
    assert rows(other) == rows(own)
    assert shape(other.findings) == shape(own.findings)
    assert "MSI-001" in {f.code for f in other.findings}
    assert other.sources[0].envelopes["widget_call"] == count


def test_the_header_of_a_trace_names_its_clock(engine: Engine, tmp_path: Path) -> None:
    text = "# trace_clock: mono\n" + "[w] cpu1 vmm(7) 1.000000s: irq_handler_entry: irq=60 name=x\n" * 3
    assert analyzed(tmp_path, text, engine).sources[0].clock == "ftrace mono"


def test_without_marks_the_same_envelope_is_no_tracers(engine: Engine, tmp_path: Path) -> None:
    bare = {n: replace(r, marks=replace(r.marks, tracer="", clock="")) for n, r in engine.vocabulary.envelopes.items() if "widget" in n}
    plain = replace(engine, vocabulary=replaced(engine, bare))
    text = "[w] cpu1 vmm(7) 1.000000s: acme_tick: n=1\n" * 3
    run = analyzed(tmp_path, text, plain)
    assert (run.sources[0].clock, dict(run.sources[0].events)) == ("seconds since boot", {})
    assert dict(analyzed(tmp_path, text, engine).sources[0].events) == {"acme_tick": 3}


def replaced(engine: Engine, envelopes: dict[str, object]) -> Vocabulary:
    """The vocabulary of an engine with other envelopes."""
    import copy

    vocabulary = copy.copy(engine.vocabulary)
    vocabulary.envelopes = {**engine.vocabulary.envelopes, **envelopes}
    return vocabulary
