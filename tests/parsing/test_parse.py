"""Chunks become tables, and every physical line is accounted for once."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

import tracekit.parsing.parse as parsing
from tracekit.parsing import capture
from tracekit.parsing.parse import parse, parse_together
from tracekit.parsing.workers import WORKERS, in_order
from tracekit.pipeline import Engine
from tracekit.reading.source import CHUNK, Source, discover
from tracekit.testing import run, tables

TRACE = """\
# tracer: nop
#
          <idle>-0       [000] d.h1.    16.842385: irq_handler_entry: irq=32 name=vfio-msix[0](0000:00:08.0)
            qemu-77      [001] .....    16.842390: acme_doorbell: queue=3 value=0x10
            qemu-77      [001] .....    16.842399: tracing_mark_write: vector_alloc: irq=9 vector=9 reserved=1 ret=-28
            qemu-77      [001] .....    16.842400: vector_alloc: irq=thirty vector=42 reserved=1 ret=0
 => x86_vector_activate
"""


def test_rows_carry_their_place_and_typed_fields() -> None:
    (row,) = tables(TRACE)["irq_handler_entry"].to_dicts()
    assert (row["line"], row["ts"], row["ts_raw"], row["on_cpu"], row["task"], row["tid"]) == (
        3,
        16_842_385_000,
        "16.842385",
        0,
        "<idle>",
        0,
    )
    assert (row["irq"], row["name"], row["machine"], row["boot"], row["side"]) == (32, "vfio-msix[0](0000:00:08.0)", "", 0, "kernel")


def test_a_trace_event_that_no_rule_names_is_kept_as_a_raw_row_and_counted() -> None:
    result = run(TRACE)
    raw = result.tables["raw_event"].select("line", "event", "args").rows()
    assert (4, "acme_doorbell", "queue=3 value=0x10") in raw
    assert result.sources[0].events["acme_doorbell"] == 1


def test_counts_of_trace_events_come_in_a_fixed_order() -> None:
    names = [f"acme_{n:02}" for n in range(20)]
    text = "".join(f" bash-12      [001] .....    16.{n:06}: {names[-1 - n]}: x=1\n" for n in range(20))
    assert list(run(text).sources[0].events) == names


def test_narration_of_a_test_feeds_no_table() -> None:
    assert tables(TRACE).get("vector_alloc") is None


def test_every_line_is_of_one_class() -> None:
    (source,) = run(TRACE).sources
    assert source.lines == 7
    assert sum(source.classes.values()) == 7
    assert (source.classes["frame"], source.classes["part-of-event"]) == (2, 1)


def test_a_kernel_line_that_almost_parses_is_counted_and_shown() -> None:
    text = "[    1.000000] DMAR-IR: IR3: can't allocate an IRTE\n[    2.000000] irq 19: nobody cared about anything, really\n" * 2
    (source,) = run(text).sources
    assert sum(source.classes.values()) == source.lines == 4
    shown = {n.event: (n.count, n.line) for n in source.not_understood}
    assert all(count > 0 and line > 0 for count, line in shown.values())


def test_bytes_that_are_not_utf8_are_replaced_and_noted(tmp_path) -> None:
    from tracekit.pipeline import analyze

    log = tmp_path / "bad.log"
    log.write_bytes(b"[    1.000000] usb \xff\xfe\n[    2.000000] DMAR-IR: Failed to allocate IRTE\n")
    (source,) = analyze([str(log)]).sources
    assert source.lines == 2
    assert any("not UTF-8" in n for n in source.notes)


SAMPLES = sorted(p for p in (Path(__file__).parents[2] / "sample_traces").rglob("*") if p.suffix in {".txt", ".log"})
LOGS = [p for p in SAMPLES if p.name != "uname.txt"]  # what `uname -a` prints is known as a whole small source only


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load(["*"])


@pytest.mark.parametrize("log", LOGS, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_a_large_source_is_parsed_as_a_small_one_is(log: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are filtered before their envelopes come off, and rows are grouped by operations on frames."""

    def parsed() -> tuple[dict[str, pl.DataFrame], dict[str, int]]:
        (source,), _ = discover([str(log)])
        found = parse(source, engine.vocabulary)
        return {
            n: f for n, f in found.tables.items() if n == capture.RAW or engine.vocabulary.rules[n].marks.sought_in != "small-sources"
        }, dict(found.events)

    small, events = parsed()
    monkeypatch.setattr(parsing, "SMALL_SOURCE", 0)
    monkeypatch.setattr(capture, "SMALL_SOURCE", 0)
    monkeypatch.setattr(capture, "MANY_LINES", 0)
    large, _ = parsed()
    assert {n: f.drop("machine", "side").rows() for n, f in small.items()} == {
        n: f.drop("machine", "side").rows() for n, f in large.items()
    }
    assert events


def test_sources_parsed_together_give_what_each_gives_alone(engine: Engine) -> None:
    sources = [source for log in SAMPLES for source in discover([str(log)])[0]]
    assert len(sources) > len(LOGS)
    for found, source in zip(parse_together(sources, engine.vocabulary), sources, strict=True):
        (again,), _ = discover([source.path])
        alone = parse(again, engine.vocabulary)
        assert {n: (f.schema, f.rows()) for n, f in found.tables.items()} == {n: (f.schema, f.rows()) for n, f in alone.tables.items()}
        assert replace(found, tables={}) == replace(alone, tables={})


@pytest.mark.parametrize("log", LOGS[::5], ids=lambda p: f"{p.parent.name}/{p.name}")
def test_a_source_in_many_chunks_gives_what_it_gives_in_one(log: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = parse(discover([str(log)])[0][0], engine.vocabulary)
    monkeypatch.setattr(parsing, "_step", lambda source: max(source.length // 7, 1))
    parts = parse(discover([str(log)])[0][0], engine.vocabulary)
    assert {n: (f.schema, f.rows()) for n, f in parts.tables.items()} == {n: (f.schema, f.rows()) for n, f in whole.tables.items()}
    assert (parts.lines, parts.events, parts.clock) == (whole.lines, whole.events, whole.clock)


@pytest.mark.parametrize(("mebibytes", "chunks"), [(0, 0), (1, 1), (16, 2), (40, 8), (64, 8), (80, 10), (200, 25)])
def test_the_chunks_of_a_log_are_of_a_size_that_keeps_two_workers_busy(mebibytes: int, chunks: int, tmp_path: Path) -> None:
    with (log := tmp_path / "a.log").open("wb") as out:
        out.truncate(mebibytes << 20)
    assert -(-(mebibytes << 20) // parsing._step(Source(str(log), str(log)))) == chunks


def test_a_source_whose_size_is_not_known_has_chunks_of_the_usual_size(tmp_path: Path) -> None:
    assert parsing._step(Source("gone.log", str(tmp_path / "gone.log"))) == parsing._step(Source("a.log", encoding="utf-16")) == CHUNK


def test_one_task_is_taken_ahead_of_the_workers_and_results_come_in_order() -> None:
    taken: list[int] = []

    def tasks() -> Iterator[Callable[[], list[int]]]:
        for n in range(8):
            taken.append(n)
            yield lambda n=n: [n]  # type: ignore[misc]

    ahead = [(result, len(taken)) for result in in_order(tasks())]
    assert ahead == [([n], min(n + WORKERS + 1, 8)) for n in range(8)]


def test_nothing_parsed_together_is_nothing(engine: Engine) -> None:
    assert parse_together([], engine.vocabulary) == []


@pytest.mark.parametrize("others", [1, 21_000])
def test_a_rule_finds_a_single_message_among_many(others: int, engine: Engine) -> None:
    usual = [f"k_ins: (msi_insert_desc+0x4/0x130) index={n}" for n in range(21_000)]
    alone = ["r_ins: (msix_setup_msi_descs+0xe1/0x120 <- msi_insert_desc) ret=-34", "Disabling IRQ #24"]
    msg = pl.Series([*usual[:20_003], *alone, *usual[20_003:], *["irq 24: nobody cared"] * others])
    found = {rule.name: rows for rule, rows in capture._candidates(msg, engine.vocabulary, None)}
    assert sorted(found) == ["irq_disabled", "irq_nobody_cared", "probe_entry", "probe_return"]
    assert (len(found["probe_entry"]), found["probe_return"].to_list()) == (21_000, [20_003])
    assert (found["irq_disabled"].to_list(), len(found["irq_nobody_cared"])) == ([20_004], others)
    some = pl.Series([3, 20_003, 20_004, 21_002], dtype=pl.UInt32)
    assert {rule.name: rows.to_list() for rule, rows in capture._candidates(msg, engine.vocabulary, some)} == {
        "probe_entry": [3],
        "probe_return": [20_003],
        "irq_disabled": [20_004],
        "irq_nobody_cared": [21_002],
    }
