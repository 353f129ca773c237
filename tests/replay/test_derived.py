"""What the model's document derives from sources alone (marked [D] there), where a recording shows it."""

import polars as pl
import pytest
from recordings import GIVEN, TRUTH, blanked, inputs

from tracekit.pipeline import Options, analyze
from tracekit.run import Run

pytestmark = [pytest.mark.skipif(not GIVEN.is_dir(), reason="no recordings beside this checkout"), pytest.mark.xdist_group("recordings")]
FOLDERS = [folder for folder in sorted(TRUTH) if folder.endswith(("-6.1", "-6.6", "-6.12"))]


def texts(folder: str) -> list[str]:
    return [name for name in inputs(folder) if not name.endswith(".dat")]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Each folder as one case."""
    place = tmp_path_factory.mktemp("derived")
    kept = Options(keep_tables=("vector_alloc", "gates"))
    return {f: analyze([blanked(f, name, place) for name in texts(f)], kept) for f in FOLDERS if texts(f)}


def observed(run: Run, gate: str) -> set[bool]:
    return {bool(g["value"]) for g in run.gates if g["gate"] == gate and g["basis"] == "observed"}


def test_a_device_has_an_irq_domain_of_its_own_from_6_2_on(runs: dict[str, Run]) -> None:
    """1.2: the first release is derived from dates. Recorded are 6.1, 6.6 and 6.12; Xen's dom0 has a private domain on all of them."""
    seen = {folder: values for folder, run in runs.items() if (values := observed(run, "KV2"))}
    old = {f: v for f, v in seen.items() if f.endswith("-6.1")}
    new = {f: v for f, v in seen.items() if not f.endswith("-6.1")}
    assert len(old) >= 3
    assert len(new) >= 5
    assert {f: v for f, v in old.items() if v != {False}} == {}
    assert {f: v for f, v in new.items() if v != {True}} == {}


def test_no_recorded_kernel_prints_vector_alloc_with_its_fields_swapped(runs: dict[str, Run]) -> None:
    """5.3: sources of some releases pass `ret` and `reserved` the other way round; those that were recorded do not."""
    rows = pl.concat([run.tables["vector_alloc"] for run in runs.values() if run.tables.get("vector_alloc") is not None])
    assert rows.filter(pl.col("ret") < 0).height > 0
    assert rows.filter(pl.col("vector") >= 1 << 31).is_empty()
    assert rows.filter((pl.col("ret") < 0) & (pl.col("vector") != 0)).is_empty()
    assert rows.filter(~pl.col("reserved").is_in([0, 1])).is_empty()


def test_growth_in_place_is_offered_from_6_5_on_and_refused_before(runs: dict[str, Run]) -> None:
    """2.4: the flag and the refusal are observed, each on its side of the release."""
    seen = {folder: values for folder, run in runs.items() if (values := observed(run, "KV4"))}
    assert {f: v for f, v in seen.items() if f.endswith("-6.1") and True in v} == {}
    assert any(True in v for f, v in seen.items() if f.endswith("-6.12"))
    assert any(False in v for f, v in seen.items() if f.endswith("-6.1"))
