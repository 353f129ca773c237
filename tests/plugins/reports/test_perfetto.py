"""The Perfetto trace of a run, read back with the classes of Perfetto's own package."""

from dataclasses import replace
from pathlib import Path

import pytest
from trace_file import read
from tracekit_reports.perfetto import PerfettoReport
from tracekit_reports.protobuf import message, varint

from tracekit.errors import UsageError
from tracekit.findings import Evidence, Finding, Subject
from tracekit.pipeline import Engine, Options, analyze
from tracekit.run import Doubt, Run, SourceReport
from tracekit.testing import samples
from tracekit.timeline import Bar, Lane, Mark, Picture, Timeline

SAMPLES = Path(__file__).resolve().parents[3] / "sample_traces"
STALE = SAMPLES / "msi.stale-hwsize/fires-sriov-4-8-6.12/trace.txt"
WINDOW = SAMPLES / "vfio.resize-window/fires-grown-1-4-6.1/trace.txt"
Told = dict[str, list[tuple[object, ...]]]


def drawn(path: Path) -> Told:
    """What is on each track of a log's trace. Every event of a lane names the log; it is left out of the notes."""
    told: Told = read(PerfettoReport().write(analyze([str(path)], Options(pictures=True)), {}))
    for track, events in told.items():
        for *_, notes in events:
            assert isinstance(notes, dict)
            assert notes.pop("source", None) == (None if track in ("tracekit",) or track.endswith("/findings") else str(path))
    return told


def on(line: int, table: str, last: int | None = None) -> dict[str, object]:
    return {"line": line, **({"line_end": last} if last else {}), "table": table}


def test_a_stale_domain_lies_above_the_refused_enable() -> None:
    device = "pci_dev 0xff11000005d90000"
    finding = {
        "device": device, "grade": "proven, confirmed by replay", "severity": "high",
        "lines": "trace.txt:18-21, 19-20, 40-41, 50-51, 52, 53 and 3 more",
        "advice": "Unbind and rebind the driver of the device; do so after every change of its table size.",
    }  # fmt: skip
    summary = f"irq domain of {device} has hwsize 4, the MSI-X table 8: index 4 refused with -34"
    assert drawn(STALE) == {
        "tracekit": [(29016658000, 29016658000, "1 finding (1 proven) in trace.txt (62 lines).", {})],
        device: [],
        f"{device}/findings": [(29919839600, 29940627400, f"MSI-001 msi.stale-hwsize: {summary}", "proven", finding)],
        f"{device}/irq domain": [(29016658000, None, "hwsize 4", "domain", on(19, "msi_domains"))],
        f"{device}/MSI-X table": [
            (29016658000, 29925563000, "4 entries", "good", on(18, "enables")),
            (29925563000, None, "8 entries", "bad", on(40, "enables")),
        ],
        f"{device}/enable": [
            (29016658000, None, "4→?", "calm", on(17, "enables")),
            (29925563000, 29934958000, "8: -34", "bad", on(39, "enables", 52)),
        ],
        f"{device}/SET_IRQS": [
            (29016658000, 29037100000, "count 4", "calm", on(14, "op_set_irqs", 31)),
            (29925509000, 29934958000, "count 8: -34", "bad", on(36, "op_set_irqs", 55)),
            (29949928000, 29949959000, "count 0: -22", "bad", on(56, "op_set_irqs", 59)),
        ],
    }


def test_a_window_lies_between_the_interrupts() -> None:
    told = drawn(WINDOW)
    ((begin, end, name, grade, notes),) = told.pop("0000:00:08.0/findings")
    assert (begin, end, str(name)[:26], grade) == (18778624000, 19535658000, "VFIO-002 vfio.resize-windo", "proven")
    assert isinstance(notes, dict) and notes["grade"] == "proven, confirmed by replay"
    handled = [(18888509000, 27), (18892345000, 28), (18900980000, 29), (18909755000, 30), (18918398000, 31)]
    handled += [(19489578000, 54), (19504979000, 55), (19509400000, 56), (19518382000, 57), (19526992000, 58), (19535658000, 59)]
    assert told == {
        "tracekit": [(18778624000, 18778624000, "1 finding (1 proven) in trace.txt (59 lines).", {})],
        "0000:00:08.0": [],
        "0000:00:08.0/vectors in place": [
            (18798364000, 19029517000, "1", "vectors", on(19, "vector_sets", 37)),
            (19334906000, None, "4", "vectors", on(46, "vector_sets")),
        ],
        "0000:00:08.0/vector 0 handled": [
            (18808565000, 19020044000, "irq 32", "handler", on(21, "op_vector", 24)),
            (19335242000, None, "irq 32", "handler", on(48, "op_vector", 51)),
        ],
        "0000:00:08.0/enable": [
            (18779620000, 18798364000, "1→1", "good", on(16, "enables", 19)),
            (19333510000, 19334906000, "4→4", "good", on(43, "enables", 46)),
        ],
        "0000:00:08.0/SET_IRQS": [
            (18778624000, 18808722000, "count 1", "calm", on(13, "op_set_irqs", 26)),
            (19019789000, 19030369000, "count 0", "calm", on(32, "op_set_irqs", 39)),
            (19333432000, 19335941000, "count 4", "calm", on(40, "op_set_irqs", 53)),
        ],
        "0000:00:08.0/interrupts": [(at, at, "interrupt", "good", on(line, "irq_handler_entry")) for at, line in handled],
        "0000:00:08.0/no vectors": [(19019789000, 19335941000, "1→4 at most 316.152 ms", "bad", on(32, "windows", 53))],
    }


def test_every_bar_and_mark_of_every_sample_is_in_its_trace() -> None:
    engine = Engine.load()
    for case in samples(SAMPLES):
        run = analyze([str(p) for p in sorted(case.iterdir()) if p.name != "expected.toml"], Options(pictures=True), engine)
        told = read(PerfettoReport().write(run, {}))
        for timeline in (p.whole for p in run.pictures if p):
            names = [track for track in told if track.partition("/")[0] in (timeline.subject, f"{timeline.subject} by line")]
            for lane in timeline.lanes:
                shown = {e[:3] for track in names if track.endswith(f"/{lane.name}") for e in told[track]}
                assert {(b.begin, b.end, b.text) for b in lane.bars} <= shown, (case, lane.name)
                assert {(m.at, m.at, m.text) for m in lane.marks if m.count == 1} <= shown, (case, lane.name)


def bar(begin: int, end: int | None, text: str) -> Bar:
    return Bar(begin, end, text, "good", "s", 1)


def traced(*lanes: Lane, focus: Timeline | None = None, unit: str = "ns", **about: object) -> Told:
    """What is on each track of a finding with these lanes; notes left out."""
    f = Finding("what", "proven", (Evidence("s", 1),), Subject("x"), "high", code="A-001", name="a.b", **about)  # type: ignore[arg-type]
    edges = [e for lane in lanes for e in lane.edges()]
    whole = Timeline("x", unit, min(edges), max(edges), lanes)  # type: ignore[arg-type]
    told = read(PerfettoReport().write(Run((SourceReport("s", 9),), (f,), (), pictures=(Picture(whole, focus),)), {}))
    return {track: [e[:3] for e in events] for track, events in told.items() if "/" in track}


def test_bars_that_overlap_stand_on_tracks_of_one_name() -> None:
    bars = (bar(0, 10, "a"), bar(5, 15, "b"), bar(6, 9, "in a"), bar(10, None, "c"), bar(12, 12, "none"), bar(20, 18, "reversed"))
    assert sorted(traced(Lane("l", "t", bars))["x/l"]) == [
        (0, 10, "a"), (5, 15, "b"), (6, 9, "in a"), (10, None, "c"), (12, 12, "none"), (20, 20, "reversed"),
    ]  # fmt: skip


def test_moments_that_are_counted_together_are_a_counter_too_and_single_near_the_proof() -> None:
    def mark(at: int, end: int | None = None, count: int = 1) -> Mark:
        return Mark(at, "interrupt", "good", "s", at, end, count)

    many = Lane("i", "t", marks=(mark(0, 8, 5), mark(10, 19, 4), mark(30, 30, 2), mark(40)))
    near = Timeline("x", "ns", 8, 20, (Lane("i", "t", marks=(mark(10), mark(12), mark(13), mark(19))),))
    told = traced(many, focus=near)
    assert told["x/i, how many"] == [(0, 5), (10, 4), (20, 0), (30, 2), (31, 0), (40, 1), (41, 0)]
    assert sorted(told["x/i"]) == [
        (0, 8, "5 times interrupt"), *((at, at, "interrupt") for at in (10, 12, 13, 19)), (30, 30, "2 times interrupt"), (40, 40, "interrupt"),
    ]  # fmt: skip
    assert "x/i, how many" not in traced(Lane("i", "t", marks=(mark(1), mark(2))))


def test_a_clock_that_begins_below_zero_is_shifted() -> None:
    assert traced(Lane("l", "t", (bar(-7, -2, "a"), bar(3, None, "b"))))["x/l"] == [(0, 5, "a"), (10, None, "b")]


def test_machines_boots_and_axes_are_apart() -> None:
    assert list(traced(Lane("l", "t", (bar(1, 2, "a"),)), machine="box")) == ["box x/findings", "box x/l"]
    assert list(traced(Lane("l", "t", (bar(1, 2, "a"),)), unit="line")) == ["x by line/findings", "x by line/l"]


def test_what_cannot_be_drawn_and_what_is_doubted_is_told() -> None:
    f = Finding("what", "proven", (Evidence("a/s", 4, "cause", 5),), Subject("x"), "high", code="A-001", name="a.b")
    fact = replace(f, grade=None, severity="info")
    told = read(PerfettoReport().write(Run((SourceReport("s", 9),), (f, fact), (), doubts=(Doubt("cut", "s: ends in a line"),)), {}))
    notes = {"not to be trusted": "s: ends in a line", "not drawn": "A-001 a.b, proven: what (s:4-5)"}
    assert told == {"tracekit": [(0, 0, "1 finding (1 proven) in s (9 lines). There may be more: ends in a line.", notes)]}


def test_numbers_of_fields_and_lengths() -> None:
    assert [varint(n) for n in (0, 127, 128, 300, 2**64 - 1)] == [b"\x00", b"\x7f", b"\x80\x01", b"\xac\x02", b"\xff" * 9 + b"\x01"]
    assert message([(1, 150), (2, "testing"), (3, message([(1, 150)])), (4, None), (16, -1)]) == (
        b"\x08\x96\x01\x12\x07testing\x1a\x03\x08\x96\x01\x80\x01" + b"\xff" * 9 + b"\x01"
    )
    with pytest.raises(OverflowError):
        message([(1, 2**64)])


def test_from_python_it_goes_into_a_file(tmp_path: Path) -> None:
    run = analyze([str(WINDOW)], Options(pictures=True))
    run.write(tmp_path / "case.pftrace", "perfetto")
    assert read((tmp_path / "case.pftrace").read_bytes())["tracekit"]
    run.write(tmp_path / "page.md", "markdown")
    assert (tmp_path / "page.md").read_text() == run.report("markdown")
    with pytest.raises(UsageError, match=r"perfetto is no text: run\.write\(path, 'perfetto'\)"):
        run.report("perfetto")
