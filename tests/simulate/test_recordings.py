"""Recordings as scenarios: what `--like` takes from a recording, simulated, has the operations of the recording, in order and with its results.

The table of docs/simulate.md says how many; these tests hold it against the recordings. Traces that show neither requests nor enables
have a scenario by hand (`by_hand/`).
"""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from operations import TABLES, Operation, differences, operations
from recordings import GIVEN, blanked

from tracekit import VFIO_INTX, VFIO_MSIX
from tracekit.findings import Finding
from tracekit.pipeline import Engine, Options, analyze
from tracekit.simulate.answer import Answer
from tracekit.simulate.settings import read, scenario
from tracekit.simulate.simulator import Parts

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# | append-refused-6.1 | `trace-kprobe-append.txt` | 10 | 10 | |
ROW = re.compile(r"^\| ([a-z]\S+) \| `([^`]+)` \| ([\d,]+) \| ([\d,]+) \| (.*?) ?\|$", re.MULTILINE)
ROWS = [
    (m[1], m[2], int(m[3].replace(",", "")), int(m[4].replace(",", "")))
    for m in ROW.finditer((ROOT / "docs" / "simulate.md").read_text(encoding="utf-8"))
]
BY_HAND = {("healthy-nvme-e1000e-rebind-6.1", "trace-irqvec-e1000e-rebind.txt"): "e1000e-rebind-6.1"}
LATE = "something came before the first line"
# Samples that are whole recordings of a program, or shortened ones without a gap, and how many operations each has.
SAMPLES = {
    "msi.short-grant/quiet-all-it-asked-for-6.1": 10,
    "msi.stale-hwsize/fires-fgraph-no-retval-4-12-arm64-6.12": 11,
    "vfio.block-rollback/fires-beyond-the-set-without-growth-6.12": 10,
    "vfio.block-rollback/quiet-beyond-the-set-6.1": 5,
    "vfio.lost-on-resize/quiet-windows-alone-6.1": 18,
    "vfio.needless-resize/fires-1-3-6.12": 26,
    "vfio.needless-resize/quiet-1-4-6.1": 17,
    "vfio.needless-resize/quiet-below-a-gic-its": 13,
    "vfio.needless-resize/quiet-the-its-offers-none": 13,
    "vfio.no-remapping/quiet-accepted-with-unsafe-interrupts-6.12": 8,
    "vfio.range-rejected/fires-appended-to-an-enabled-set-6.1": 10,
    "vfio.range-rejected/fires-growth-in-place-6.1": 10,
    "vfio.range-rejected/quiet-added-in-place-6.12": 38,
    "vfio.range-rejected/quiet-grown-in-place-6.12": 30,
    "vfio.reenable-failed/quiet-growth-granted-6.1": 11,
    "vfio.resize-window/fires-grown-1-4-6.1": 11,
    "vfio.resize-window/quiet-no-vector-in-use-6.1": 11,
    "vfio.resize-window/quiet-same-count-6.1": 16,
}


@cache
def engine() -> Engine:
    return Engine.load(TABLES, simulators=True)


def seen(paths: Sequence[str]) -> tuple[list[Operation], dict[str, Any], tuple[str, ...], tuple[Finding, ...]]:
    """The operations of logs, of which the first is a trace; what a scenario takes from them and leaves open; their findings."""
    simulator = engine().registry.simulators[0]()
    run = analyze(list(paths), Options(keep_tables=(*TABLES, *simulator.reads)), engine())
    return operations(run.tables), *simulator.like(run.tables), run.findings


def simulated(tree: dict[str, Any], folder: Path) -> tuple[Answer, list[Operation]]:
    """The answer to a scenario, and the operations that an analysis sees in the lines that it would print."""
    registry = engine().registry
    simulator, asked = registry.simulators[0](), scenario(tree)
    answer = simulator.run(asked, Parts(registry.machines, registry.gates))
    folder.mkdir()
    for kind in ("ftrace", "dmesg"):
        (folder / f"{kind}.txt").write_text(simulator.emit(answer, asked, kind))
    run = analyze([str(folder)], Options(keep_tables=TABLES), engine())
    return answer, operations(run.tables)


@pytest.mark.skipif(not GIVEN.is_dir(), reason="no recordings here: set TRACEKIT_CAPTURES to a folder of them")
@pytest.mark.parametrize(("folder", "files", "count", "equal"), ROWS, ids=[f"{folder}/{files}" for folder, files, *_ in ROWS])
def test_a_recording_is_reproduced(folder: str, files: str, count: int, equal: int, tmp_path: Path) -> None:
    recorded, tree, left_open, _ = seen([blanked(folder, name, tmp_path) for name in files.split(" + ")])
    by_hand = HERE / "by_hand" / f"{BY_HAND.get((folder, files), folder)}.toml"
    known = "requests" in tree or any(d.get("driver") for d in tree.get("devices", ()))
    _, operated = simulated(tree if known else read(by_hand), tmp_path / "simulated")
    late = not known or any(text.startswith(LATE) for text in left_open)
    found, told = differences(recorded, operated, late)
    assert (len(recorded), found) == (count, equal), "\n".join(told)


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_is_reproduced(sample: str, tmp_path: Path) -> None:
    """Without the recordings: samples that have no gap, with the faults that an analysis of them finds."""
    paths = sorted(str(p) for p in (ROOT / "sample_traces" / sample).iterdir() if p.suffix == ".txt")
    recorded, tree, left_open, findings = seen(paths)
    answer, operated = simulated(tree, tmp_path / "simulated")
    assert differences(recorded, operated, any(text.startswith(LATE) for text in left_open)) == (SAMPLES[sample], [])
    codes = {f.code for f in answer.faults}
    assert {f.code for f in findings} - {"OBS-001"} <= codes


@pytest.mark.skipif(not GIVEN.is_dir(), reason="no recordings here: set TRACEKIT_CAPTURES to a folder of them")
@pytest.mark.parametrize(
    ("folder", "name", "count"),
    [
        ("qemu72-vfio-growth-1-2-3-nested-6.12", "trace-kprobe-host-q7.txt", 49),
        ("stale-hwsize-qemu72-nested-sriov-6.12", "trace-kprobe-host.txt", 11),
    ],
)
def test_qemu_sends_what_it_was_recorded_to_send(folder: str, name: str, count: int, tmp_path: Path) -> None:
    """From what the guest does alone (`by_hand/`): enable and line, with results, after the first two, which are of another program or reset."""
    recorded, *_ = seen([blanked(folder, name, tmp_path)])
    _, operated = simulated(read(HERE / "by_hand" / f"{folder}.toml"), tmp_path / "simulated")
    sent, asked = ([op[1:3] for op in ops if op.kind == "op_set_irqs" and _switches(op.arguments)] for ops in (recorded, operated))
    wanted = sent[2:]
    assert len(wanted) == count
    assert wanted in [asked[n : n + count] for n in range(len(asked))]


def _switches(arguments: tuple[Any, ...]) -> bool:
    """Whether a request is about vectors, or switches the line on or off: what masks the line follows its interrupts."""
    return arguments[0] == VFIO_MSIX or arguments[0] == VFIO_INTX and arguments != (VFIO_INTX, 0, 1, "none")
