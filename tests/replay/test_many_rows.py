"""Many rows are replayed with few of them in memory: the tables are those of few rows."""

import random
from pathlib import Path

import polars as pl
import pytest
from tracekit_xen.models import lives

from tracekit.pipeline import Engine, Options, analyze
from tracekit.replay import inputs
from tracekit.replay import model as replaying
from tracekit.replay.row import ordered, ordered_by_frames, rows_of
from tracekit.tables.envelope import SPAN_COLUMNS
from tracekit.types import ENVELOPE

SAMPLES = Path(__file__).parents[2] / "sample_traces"
CASES = sorted({p.parent for p in SAMPLES.glob("*/fires-*/expected.toml")})[::9]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load(["*"])


@pytest.mark.parametrize("case", CASES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_tables_are_the_same(case: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    few = analyze([str(case)], Options(keep_tables=("*",)), engine)
    monkeypatch.setattr(inputs, "_SHARED", 0)
    monkeypatch.setattr(replaying, "_ORDERED_AT_ONCE", 0)
    monkeypatch.setattr(replaying, "_EMITTED_AT_ONCE", 2)
    many = analyze([str(case)], Options(keep_tables=("*",)), engine)
    assert many.findings == few.findings
    assert many.tables.keys() == few.tables.keys()
    assert [n for n, t in few.tables.items() if not t.equals(many.tables[n])] == []


XEN = sorted(p.parent for p in SAMPLES.glob("xen.*/*/expected.toml"))


@pytest.mark.parametrize("case", XEN, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_lives_of_pirqs_are_the_same_where_they_become_rows_some_at_a_time(
    case: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = analyze([str(case)], Options(keep_tables=("pirq_lives",)), engine)
    monkeypatch.setattr(lives, "OVER_AT_ONCE", 2)
    monkeypatch.setattr(lives, "MANY", 0)
    many = analyze([str(case)], Options(keep_tables=("pirq_lives",)), engine)
    assert many.findings == few.findings
    assert many.tables["pirq_lives"].equals(few.tables["pirq_lives"])


PRINTED = (
    "xen:events: creating evtchn using pirq {p} irq {q}",
    "xen:events: creating evtchn using pirq {p} irq {q}",
    "xen:events: shutdown_pirq: closing evtchn for pirq {p} irq {q}",
    "xen:events: xen_destroy_irq: pirq {p} irq {q}",
    "vfio-pci 0000:3b:00.1: enabling device (0000 -> 0002)",
)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("others", [(), ("xen:events: shutdown_pirq: get_free_pirq returned pirq {p}",)], ids=["alone", "returned"])
def test_lives_told_by_debug_prints_are_the_same_by_columns(
    seed: int, others: tuple[str, ...], engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rnd = random.Random(seed)
    pirqs, irqs = range(50, 51 + rnd.randrange(5)), range(100, 101 + rnd.randrange(3))
    texts = [rnd.choice(PRINTED + others).format(p=rnd.choice(pirqs), q=rnd.choice(irqs)) for _ in range(rnd.randrange(2, 80))]
    (tmp_path / "a.log").write_text("".join(f"[{n:5}.000000] {text}\n" for n, text in enumerate(texts)))
    by_rows = analyze([str(tmp_path)], Options(keep_tables=("pirq_lives",)), engine)
    monkeypatch.setattr(lives, "MANY", 0)
    by_columns = analyze([str(tmp_path)], Options(keep_tables=("pirq_lives",)), engine)
    assert by_columns.tables["pirq_lives"].schema == by_rows.tables["pirq_lives"].schema
    assert by_columns.tables["pirq_lives"].rows() == by_rows.tables["pirq_lives"].rows()
    assert (by_columns.findings, by_columns.outcomes) == (by_rows.findings, by_rows.outcomes)


@pytest.mark.parametrize("merged", [False, True])
def test_rows_come_in_the_order_of_the_stream(merged: bool) -> None:
    spans = {c.name: c.type for c in SPAN_COLUMNS}
    frames = {
        "a": _rows([(3, 30), (1, 10), (4, None)], {}),
        "b": _rows([(1, 10), (2, None), (2, 5)], {}),
        "spans": _rows([(1, 10, 40, 5), (2, 20, None, None)], spans),
    }
    few = list(ordered({name: list(rows_of(frame)) for name, frame in frames.items()}, merged))
    assert list(ordered_by_frames(frames, merged)) == few


def _rows(places: list[tuple[int | None, ...]], spans: dict[str, pl.DataType]) -> pl.DataFrame:
    named = [dict(zip(("line", "ts", "ts_end", "line_end"), place, strict=False)) for place in places]
    return pl.DataFrame(named, schema={**ENVELOPE, **spans})


def test_rows_of_few_rows_and_of_many_hold_the_same_values() -> None:
    cells = {
        "number": pl.Series([1 << 64 - 1, None], dtype=pl.UInt64),
        "signed": pl.Series([-34, None], dtype=pl.Int64),
        "text": pl.Series(["vfio-msi[0]", None]),
        "flag": pl.Series([True, None]),
        "numbers": pl.Series([[0, None], None], dtype=pl.List(pl.UInt32)),
        "structs": pl.Series([[{"vector": 3, "first": None}], []], dtype=pl.List(pl.Struct({"vector": pl.Int64, "first": pl.Int64}))),
        "struct": pl.Series([{"vector": 3}, None], dtype=pl.Struct({"vector": pl.Int64})),
    }
    few = pl.DataFrame(cells)
    rows = list(rows_of(few))
    assert rows == list(rows_of(pl.concat([few] * 100)))[:2]
    assert list(map(repr, rows)) == list(map(repr, list(rows_of(pl.concat([few] * 100)))[:2]))
    assert list(rows_of(few.clear())) == []
