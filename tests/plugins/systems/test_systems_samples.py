"""What if, on samples: each fault vanishes under its own fix, and its near twin has nothing to vanish."""

from pathlib import Path

import pytest

from tracekit.diagnosing.places import Places
from tracekit.pipeline import Options, analyze, flipped, whatif
from tracekit.plugins import registry as plugins
from tracekit.testing import run

SAMPLES = Path(__file__).parents[3] / "sample_traces"
# Code -> sample that fires, the gates under which the fault vanishes, sample that stays quiet.
CURES = {
    "VFIO-007": ("vfio.block-rollback/fires-bad-descriptor-in-the-block", ["one_vector_a_request"], "vfio.block-rollback/quiet*"),
    "VEC-004": ("vec.affinity-broken/fires-message", ["more_vectors", "fewer_requested"], "vec.affinity-broken/quiet*"),
    "VEC-005": ("vec.irte-exhausted/fires-intel", ["fewer_vectors"], "vec.irte-exhausted/quiet*"),
    "XEN-006": ("xen.never-unmasked/fires-all-vectors-silent", ["KV6"], "xen.never-unmasked/quiet*"),
    "KVMT-001": ("kvmt.caplist-clobber/fires-offset-in-the-vendor-id", ["walks_by_a_copy"], "kvmt.caplist-clobber/quiet*"),
    "KVMT-002": ("kvmt.early-enable/fires-read-at-20-with-msix-on", ["enables_on_demand"], "kvmt.early-enable/quiet*"),
    "KVMT-003": ("kvmt.msi-misroute/fires-three-vectors-on-one", ["message_per_vector"], "kvmt.msi-misroute/quiet*"),
    "CFG-003": ("cfg.ims-unsupported/fires*", ["reworked"], "cfg.ims-unsupported/quiet*"),
}


def case(pattern: str) -> str:
    return str(next(SAMPLES.glob(pattern)))


@pytest.mark.parametrize("code", CURES)
def test_a_fault_vanishes_under_its_own_fix_alone(code: str) -> None:
    fires, gates, _ = CURES[code]
    result = analyze([case(fires)], Options())
    made = [f for f in whatif([case(fires)]) if code in (*f.vanished, *f.remaining)]
    assert [f.gate for f in made if code in f.vanished] == gates
    (finding,) = [f for f in result.findings if f.code == code]
    assert finding.confirmed_by_replay is None  # what it repeats is all there is to replay: that names the fix and confirms nothing
    assert finding.fixes or finding.grade is None


@pytest.mark.parametrize("code", CURES)
def test_its_twin_has_nothing_to_vanish(code: str) -> None:
    assert [f for f in whatif([case(CURES[code][2])]) if code in (*f.vanished, *f.remaining)] == []


def test_only_amd_has_larger_tables() -> None:
    result = run("[   12.000000] AMD-Vi: Failed to allocate IRTE\n")
    assert [f.gate for f in flipped(plugins.load(), Places(result.tables)) if "VEC-005" in f.vanished] == ["fewer_vectors", "larger_table"]
