"""Inserts belong to the attempt inside of which they ended, whether they are many or few."""

from pathlib import Path

import pytest
from kprobes import Trace
from polars.testing import assert_frame_equal
from tracekit_msi.models import enables

from tracekit.pipeline import Options, analyze
from tracekit.testing import engine, tables

LOGS = sorted((Path(__file__).parents[3] / "sample_traces").glob("msi.*/*/*.t*xt"))
TRACES = [p for p in LOGS if "msi_insert_desc" in p.read_text(encoding="utf-8", errors="replace")]


@pytest.fixture(params=[1 << 30, 0], ids=["few", "many"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enables, "FEW", request.param)


@pytest.mark.parametrize("log", TRACES, ids=lambda p: f"{p.parent.parent.name}/{p.parent.name}")
def test_the_same_enables_of_samples(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for few in (1 << 30, 0):
        monkeypatch.setattr(enables, "FEW", few)
        found.append(analyze([str(log)], Options(keep_tables=("enables", "msi_domains")), engine("*")).tables)
    assert found[0].keys() == found[1].keys()
    for name, rows in found[0].items():
        assert_frame_equal(found[1][name], rows)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("returns", [True, False])
def test_an_enable_of_which_only_the_entry_is_recorded_has_its_inserts(returns: bool) -> None:
    t = Trace()
    t.line("k_msix: (__pci_enable_msix_range+0x4/0x520) dev=0xff11000000001000 minvec=1 maxvec=2")
    for index, result in enumerate((0, -34)):
        t.line(f"k_ins: (msi_insert_desc+0x4/0x130) dev=0xff110000000010c8 domid=0 index={index}")
        t.line(f"r_ins: (msix_setup_msi_descs+0xe1/0x220 <- msi_insert_desc) ret={result}")
    if returns:
        t.line("r_msix: (pci_alloc_irq_vectors_affinity+0xa9/0x110 <- __pci_enable_msix_range) ret=-28")
    (row,) = tables("\n".join(t.text))["enables"].select("inserted", "fail_index", "hwsize").rows()
    assert row == (1, 1, 1)
