"""Recorded logs with a known truth (`captures.toml`): each file alone and each folder as one case, findings compared whole.

What the test programs wrote about themselves is blanked first, so that line numbers stay and no answer is in the question.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import polars as pl
import pytest
from recordings import GIVEN, TRUTH, blanked, cases, inputs, parts, place

import tracekit.pipeline
from tracekit.findings import Finding
from tracekit.pipeline import Options, analyze
from tracekit.run import Run
from tracekit.testing import engine

pytestmark = pytest.mark.skipif(not GIVEN.is_dir(), reason="no recordings here: set TRACEKIT_CAPTURES to a folder of them")
KEPT = ("divergences", "windows")
HEALTHY = [f for f in TRUTH if all(not case["found"] for case in TRUTH[f].values()) and f.startswith(("healthy", "xen-healthy"))]


class Bench:
    """Runs over blanked copies; a file is parsed once, a case is analyzed once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = cache(self._run)

    def _run(self, folder: str, what: str) -> Run:
        if any(n.endswith(".dat") for n in parts(folder, what)) and not shutil.which("trace-cmd"):
            pytest.skip("trace.dat needs trace-cmd")
        return analyze([blanked(folder, n, self.folder) for n in parts(folder, what)], Options(keep_tables=KEPT), engine(*KEPT))

    def changed(self, folder: str, name: str, change: Callable[[bytes], bytes]) -> Run:
        return analyze([blanked(folder, name, self.folder, change)], engine=engine())


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    parsed: dict[str, Any] = {}
    parse = tracekit.pipeline.parse

    def once(source: Any, *rest: Any) -> Any:
        if "changed-" in source.path:
            return parse(source, *rest)
        if source.path not in parsed:
            parsed[source.path] = parse(source, *rest)
        return parsed[source.path]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracekit.pipeline, "parse", once)
        yield Bench(tmp_path_factory.mktemp("captures"))


def counted(run: Run) -> list[Finding]:
    return [f for f in run.findings if f.code != "OBS-001"]


def shape(f: Finding) -> tuple[str, str, str]:
    return (f.code, f.grade or "-", f.explained_by or "")


def lines_of(f: Finding) -> set[tuple[str, int]]:
    spans = [(Path(e.source).name, range(e.line, (e.line_end or e.line) + 1)) for e in f.evidence]
    return {(name, line) for name, span in spans for line in span}


def lacking(truth: dict[str, Any], f: Finding, names: list[str]) -> list[str]:
    """What of the truth a finding of the right code does not say."""
    wrong = []
    subjects = truth.get("subject", f.subject.label)
    known = {f.subject.label, f.subject.bdf, *f.subject.aliases}
    if not known & set(subjects if isinstance(subjects, list) else [subjects]):
        wrong.append(f"subject {f.subject.label}, not {subjects}")
    lines = truth.get("lines", [])
    wanted = {(s, n) for s, ns in lines.items() for n in ns} if isinstance(lines, dict) else {(names[0], n) for n in lines}
    if missing := sorted(wanted - lines_of(f)):
        wrong.append(f"lines {missing} not in the evidence {sorted((Path(e.source).name, e.line, e.line_end) for e in f.evidence)}")
    wrong += [f"{k} {f.values.get(k)}, not {v}" for k, v in truth.get("values", {}).items() if f.values.get(k) != v]
    if "windows" in truth and (got := [window(w) for w in f.windows]) != truth["windows"]:
        wrong.append(f"windows {got}, not {truth['windows']}")
    return wrong


def window(w: Any) -> list[Any]:
    span = "?" if w["span_ns"] is None else w["span_ns"] // 1000
    return [w["old"], w["new"], w["line"], w["line_end"], span, dict(w["entries_before"])]


@pytest.mark.parametrize(("folder", "what", "truth"), list(cases()), ids=lambda v: v if isinstance(v, str) else "")
def test_case(bench: Bench, folder: str, what: str, truth: dict[str, Any]) -> None:
    run = bench.run(folder, what)
    assert run.errors == ()
    found, told = sorted(counted(run), key=shape), sorted(truth["found"], key=expected_shape)
    assert [shape(f) for f in found] == [expected_shape(t) for t in told], "\n".join(f.summary for f in found)
    names = parts(folder, what)
    assert [w for t, f in zip(told, found, strict=True) for w in lacking(t, f, names)] == []
    outcomes = {o.code: o.outcome for o in run.outcomes}
    assert [o.code for o in run.outcomes if not o.reason] == []
    assert {c: outcomes[c] for c in truth.get("clear", []) if outcomes[c] != "clear"} == {}
    assert {c: outcomes[c] for c in truth.get("open", []) if outcomes[c] not in ("inconclusive", "not evaluated")} == {}
    for source in run.sources:
        assert sum(source.classes.values()) == source.lines, source.path


def expected_shape(t: dict[str, Any]) -> tuple[str, str, str]:
    return (t["code"], t["grade"], t.get("by", ""))


@pytest.mark.parametrize("folder", HEALTHY)
def test_a_healthy_recording_is_predicted_without_a_miss(bench: Bench, folder: str) -> None:
    for what in [*inputs(folder), "*"]:
        divergences = bench.run(folder, what).tables.get("divergences", pl.DataFrame())
        assert divergences.is_empty(), (what, divergences.select("line", "operation", "predicted", "observed", "rule").head(5).rows())


def without(*numbers: int) -> Callable[[bytes], bytes]:
    """Blank physical lines, so that the others keep their numbers."""

    def change(data: bytes) -> bytes:
        return b"\n".join(b"" if n in numbers else line for n, line in enumerate(data.split(b"\n"), 1))

    return change


STALE = ("stale-hwsize-8-16-kprobe-6.12", "A-trace-kprobe-stale-8-16.txt")


def test_without_the_creation_the_limit_is_deduced(bench: Bench) -> None:
    found = counted(bench.changed(*STALE, without(25)))
    assert [shape(f) for f in found] == [("MSI-001", "proven", "")]
    assert found[0].values["old_size"] == 8


def test_without_the_refused_insert_no_stale_size_is_proven(bench: Bench) -> None:
    found = counted(bench.changed(*STALE, without(460, 461)))
    assert [shape(f) for f in found if f.code == "MSI-001" and f.grade == "proven"] == []


def test_without_a_creation_that_fires_the_absence_of_one_is_no_longer_shown(bench: Bench) -> None:
    folder, name = "stale-hwsize-4-12-then-rebind-tracecmd-6.12", "F-trace-cmd-report.txt"
    assert [shape(f) for f in counted(bench.changed(folder, name, without(49)))] == [("MSI-001", "probable", "")]


def test_without_the_close_a_healthy_growth_stays_quiet(bench: Bench) -> None:
    assert counted(bench.changed("healthy-hwsize-grow-8-16-6.1", "A-trace-kprobe-8-16.txt", without(88, 89, 90))) == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (STALE, ("healthy-hwsize-rebind-16-6.12", "B-trace-kprobe-rebind-16.txt"), False),
        (STALE, ("healthy-hwsize-grow-8-16-6.1", "A-trace-kprobe-8-16.txt"), False),
        (
            ("stale-hwsize-sriov-vf-4-8-6.12", "A-trace-kprobe-vf1-4-8.txt"),
            ("healthy-sriov-vf-4-8-6.1", "A-trace-kprobe-vf1-4-8.txt"),
            False,
        ),
        (
            ("lost-window-1-4-8-kprobe-6.1", "trace-kprobe-lost-1-4-8.txt"),
            ("healthy-growth-quiet-1-4-8-6.1", "trace-kprobe-quiet-1-4-8.txt"),
            True,
        ),
    ],
)
def test_twins_differ_exactly_so(bench: Bench, one: tuple[str, str], other: tuple[str, str], same: bool) -> None:
    first, second = ([shape(f) for f in counted(bench.run(*case))] for case in (one, other))
    assert first != []
    assert second == (first if same else [])


@pytest.mark.parametrize("folder", [f for f in TRUTH if any(c["found"] for c in TRUTH[f].values())])
def test_deleting_the_narration_changes_only_the_numbers_of_lines(bench: Bench, folder: str) -> None:
    for name in inputs(folder):
        if name.endswith(".dat"):
            continue
        deleted = bench.changed(folder, name, lambda data: b"\n".join(line for line in data.split(b"\n") if line))
        assert [(shape(f), f.summary_without_lines) for f in map(Told, counted(deleted))] == [
            (shape(f), f.summary_without_lines) for f in map(Told, counted(bench.run(folder, name)))
        ]


class Told:
    """A finding with the line numbers taken out of its summary."""

    def __init__(self, f: Finding) -> None:
        self.code, self.grade, self.explained_by = f.code, f.grade, f.explained_by
        self.summary_without_lines = re.sub(r"line \d+", "line", f.summary)


def test_one_fault_in_five_layouts_is_one_finding(bench: Bench) -> None:
    folder = "formats-lost-window-1-3-part1-6.12"
    runs = [counted(bench.run(folder, n)) for n in inputs(folder) if n.startswith("trace-")]
    assert len(runs) == 5
    found = [[(*shape(f), f.subject.label, f.values["old"], f.values["new"]) for f in fs if f.code == "VFIO-002"] for fs in runs]
    assert found == [[("VFIO-002", "proven", "", "0000:00:08.0", 1, 3)]] * 5


FTRACE = re.compile(r"^ *(\S.*)-(\d+) +\[(\d+)\] \S+ +(\d+\.\d+): (\w+): (.*)$")
LAYOUTS = {
    "trace-cmd report": "{task:>16}-{tid:<5} [{cpu}] {ts:>12}: {event:<21} {text}",
    "perf script": "{task:>16} {tid:>5}/{tid:<5} [{cpu}] {ts:>12}: some_group:{event} {text}",
}


def address(function: str) -> str:
    return f"ffffffff{crc32(function.encode()):08x}"


def laid_out(data: bytes, layout: str) -> bytes:
    """ftrace text as another tool prints it: addresses in the parentheses, a return's the other way round; other lines are blank."""

    def line(text: str) -> str:
        if (m := FTRACE.match(text)) is None:
            return ""
        task, tid, cpu, ts, event, rest = m.groups()
        rest = re.sub(r"^\((\w+)\+0x[^()]* <- (\w+)\)", lambda m: f"({address(m[2])} <- {address(m[1])})", rest)
        rest = re.sub(r"^\((\w+)\+0x[^()]*\)", lambda m: f"({address(m[1])})", rest)
        return LAYOUTS[layout].format(task=task, tid=tid, cpu=cpu, ts=ts, event=f"{event}:", text=rest)

    return "\n".join(map(line, data.decode().splitlines())).encode() + b"\n"


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("lost-window-1-4-8-arm64-its-6.12", "L-trace-kprobe-lost-1-4-8.txt"),
        ("lost-window-1-4-8-amd-iommu-6.12", "B-trace-kprobe-lost-1-4-8.txt"),
        ("lost-window-1-4-8-kprobe-6.1", "trace-kprobe-lost-1-4-8.txt"),
        ("qemu72-vfio-growth-1-2-3-nested-6.12", "trace-kprobe-host-q7.txt"),
    ],
)
def test_another_tool_prints_the_same_windows_of_the_same_device(bench: Bench, folder: str, name: str, layout: str) -> None:
    if not place(folder).is_dir():
        pytest.skip("this recording is not here")
    (sure,) = [f for f in counted(bench.run(folder, name)) if f.code == "VFIO-002"]
    found = counted(bench.changed(folder, name, lambda data: laid_out(data, layout)))
    assert [(f.code, f.grade, f.subject.bdf) for f in found] == [("VFIO-002", "probable", sure.subject.bdf)]
    assert list(map(window, found[0].windows)) == list(map(window, sure.windows))


def test_every_line_of_the_envelopes_is_accounted_for(bench: Bench) -> None:
    for name in inputs("envelopes"):
        run = bench.run("envelopes", name)
        assert run.errors == (), name
        assert [sum(s.classes.values()) for s in run.sources] == [s.lines for s in run.sources], name
