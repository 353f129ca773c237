"""Scenarios that start from a recording: run forward, they lead to what the recording shows."""

from functools import cache
from pathlib import Path

import pytest

from tracekit.pipeline import Engine, Options, analyze
from tracekit.simulate.settings import scenario
from tracekit.simulate.simulator import Parts

SAMPLES = Path(__file__).parents[3] / "sample_traces"
LIKE = {
    "msi.stale-hwsize/fires-kprobe-8-16-6.12": "MSI-001",
    "msi.stale-hwsize/fires-fgraph-no-retval-4-12-arm64-6.12": "MSI-001",
    "msi.stale-hwsize/quiet-rebind-16-6.12": "none",
    "msi.stale-hwsize/quiet-vector-by-vector-6.1": "VFIO-002",
    "msi.hwsize-latent/fires-4-of-64-asked": "MSI-002",
    "msi.hwsize-latent/quiet-domain-made-anew": "none",
    "vfio.needless-resize/fires-1-3-6.12": "VFIO-002, VFIO-006",
    "vfio.needless-resize/quiet-1-4-6.1": "VFIO-002",
    "vfio.needless-resize/quiet-below-a-gic-its": "VFIO-002",
    "vfio.resize-window/quiet-no-vector-in-use-6.1": "none",
    "vfio.vector-dead/fires-ninth-vector-of-a-stale-domain": "MSI-001, VFIO-004",
    "vfio.vector-dead/quiet-all-added": "none",
    # the recordings begin behind the banner: a kernel of the default release is taken, whose host adds in place
    "vfio.reenable-failed/fires-growth-refused-by-a-stale-domain-6.12": "MSI-001, VFIO-002, VFIO-003, VFIO-006",
    "vfio.reenable-failed/quiet-growth-granted-6.1": "VFIO-002, VFIO-006",
}


@cache
def engine() -> Engine:
    reads = Engine.load(simulators=True).registry.simulators[0].reads
    return Engine.load(tuple(reads), simulators=True)


@pytest.mark.parametrize("sample", LIKE)
def test_a_recording_run_forward(sample: str) -> None:
    registry = engine().registry
    simulator = registry.simulators[0]()
    tables = analyze([str(SAMPLES / sample)], Options(keep_tables=simulator.reads), engine()).tables
    tree, _ = simulator.like(tables)
    assert simulator.run(scenario(tree), Parts(registry.machines, registry.gates)).verdict == LIKE[sample]


def test_what_no_line_tells_is_said() -> None:
    simulator = engine().registry.simulators[0]()
    assert simulator.like({}) == (
        {},
        (
            "no device with MSI-X vectors behind VFIO: the default device stands",
            "no line tells host.kernel: 6.12 is taken",
            "no line tells client.version: 8.2 is taken",
        ),
    )
