"""Advice that fits the platform, and a refused range as the cause of a vector that was not wired."""

from pathlib import Path

from tracekit.testing import findings

SAMPLES = Path(__file__).parents[3] / "sample_traces"


def test_advice_for_a_growth_below_a_gic_its_names_no_release() -> None:
    text = (SAMPLES / "vfio.needless-resize/quiet-below-a-gic-its/trace.txt").read_text(encoding="utf-8")
    (below,) = findings(text)
    assert (below.code, "QEMU" in below.advice, [f for f in below.fixes if "QEMU" in f]) == ("VFIO-002", False, [])
    x86 = text.replace("-arm64", "").replace("aarch64-linux-gnu-gcc", "gcc")
    assert any("QEMU 8.2" in f.advice for f in findings(x86) if f.code == "VFIO-002")


def test_a_refused_range_explains_the_vector_that_its_client_could_not_wire() -> None:
    (trace,) = (SAMPLES / "vfio.range-rejected/fires-appended-to-an-enabled-set-6.1").glob("*.txt")
    text = (
        "vfio 0000:00:08.0: Failed to set up TRIGGER eventfd signaling for interrupt MSIX-3: VFIO_DEVICE_SET_IRQS failure: Invalid argument"
    )
    alone, both = findings(text), findings(trace.read_text(encoding="utf-8"), text)
    assert [(f.code, f.explained_by) for f in alone] == [("VFIO-004", None)]
    assert {(f.code, f.explained_by) for f in both} >= {("VFIO-005", None), ("VFIO-004", "VFIO-005")}
