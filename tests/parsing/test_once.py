"""Texts that stand in many lines are looked at once, and are found in all of them."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracekit.parsing import capture, once
from tracekit.parsing.once import Once
from tracekit.parsing.parse import parse_together
from tracekit.pipeline import Engine
from tracekit.reading.source import discover

LOGS = sorted(p for p in (Path(__file__).parents[2] / "sample_traces").rglob("*") if p.suffix in {".txt", ".log"})
UNFIT = "            qemu-77      [001] .....    16.842400: vector_alloc: irq=9 vector=99999999999999999999999 reserved=1 ret=0\n"
MISSED = "[    2.000000] DMAR-IR: Failed to allocate IRTE, seven of them\n"


@given(st.lists(st.sampled_from("abcdef"), min_size=1), st.data())
def test_a_selection_stands_in_the_rows_of_its_texts(texts: list[str], data: st.DataObject) -> None:
    known = Once.of(pl.Series([*texts, *texts]))
    assert known is not None and known.texts.to_list() == list(dict.fromkeys(texts))
    places = st.lists(st.integers(0, len(known.texts) - 1), min_size=1, unique=True).map(sorted)
    selections = data.draw(st.lists(places, min_size=1, max_size=3))
    for (rows, which), own in zip(known.everywhere([pl.Series(s, dtype=pl.UInt32) for s in selections]), selections, strict=True):
        selected = [known.texts[i] for i in own]
        assert rows.to_list() == [i for i, text in enumerate([*texts, *texts]) if text in selected]
        assert [selected[i] for i in which] == [[*texts, *texts][i] for i in rows]


def test_of_texts_of_which_most_differ_each_is_looked_at() -> None:
    assert Once.of(pl.Series(["a", "b", "a"])) is None
    assert Once.of(pl.Series(["a", "b", "a", "b"])) is not None


def test_logs_give_the_same_whether_their_messages_are_looked_at_once_or_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.log").write_text(UNFIT * 3)
    (tmp_path / "b.log").write_text(MISSED * 2)
    engine = Engine.load(["*"])
    paths = [*map(str, LOGS), str(tmp_path / "a.log"), str(tmp_path / "b.log")]
    found, looked_at = [], []
    match = capture._matched
    monkeypatch.setattr(capture, "_matched", lambda msg, *given: looked_at.append(len(msg)) or match(msg, *given))  # type: ignore[func-returns-value]
    for worth in (1.0, -1.0):
        monkeypatch.setattr(once, "_WORTH", worth)
        parsed = parse_together([source for path in paths for source in discover([path])[0]], engine.vocabulary)
        found.append([(p, {n: (f.schema, f.rows()) for n, f in p.tables.items()}) for p in parsed])
        for p in parsed:
            p.tables.clear()
    assert found[0] == found[1]
    once_each, each = looked_at
    assert once_each < each
    assert found[0][-2][0].notes == ["line 1: a number that fits no column (null; 3 such lines)"]
    assert found[0][-1][0].not_understood.keys() == {"irte_exhausted"}
