"""Lines of a trace are told by the names of their events: each line is read, counted and sought as if no name were known."""

import random
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tracekit.parsing import capture as capturing
from tracekit.parsing import envelopes
from tracekit.parsing import parse as parsing
from tracekit.parsing.capture import Vocabulary
from tracekit.parsing.envelopes import Layout
from tracekit.parsing.named import among, named, names_of
from tracekit.parsing.parse import Parsed, parse
from tracekit.pipeline import Engine
from tracekit.reading.source import discover

NAME = r"^([A-Za-z_][^ :]*):(?: |$)"
ENVELOPES = {
    "ftrace": "            bash-1234    [001] d..1. {:12.6f}: {}",
    "trace-cmd": "            bash-1234  [001] {:12.6f}:     {}",
    "perf": "bash  1234 [001] {:12.6f}:     irq:{}",
}
LINES = (
    *["irq_handler_entry: irq=24 name=vfio-msix[0](0000:3b:00.1)"] * 3,
    "irq_handler_entry: irq=24",
    "irq_handler_entry: irq=99999999999999999999 name=a",
    "irq_handler_entry:",
    "irq_handler_entry:x irq=24 name=a",
    "irq_handler_entry: (handle_irq+0x0/0x10) irq=24",
    " | /* irq_handler_entry: irq=24 name=a */",
    "irq_handler_exit: irq=24 ret=handled",
    "irq_handler_exit: (handle_irq+0x0/0x10) irq=24",
    "vector_alloc: irq=24 vector=33 reserved=1 ret=-28",
    "vector_alloc: irq=24 vector=99999999999999999999 reserved=1 ret=0",
    "sched_switch: prev_comm=irq_handler_entry: irq=1 name=a ==> next_comm=c",
    "sched_switch: prev_comm=a: b: ==> next_comm=c",
    "console: [    1.000000] vfio-pci 0000:3b:00.1: MSI-X irq 3: vector_alloc: no",
    "vfio-pci 0000:3b:00.1: not ready 1023ms after FLR; giving up",
    "été: x: y",
    "noname",
)
BARE = (
    "# tracer: nop",
    "",
    "[    1.000000] irq 24: nobody cared (try booting with irqpoll)",
    "a: irq_handler_entry: irq=24 name=a",
    " => f",
)


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Engine.load(["*"]).vocabulary


def read(folder: Path, lines: list[str], vocabulary: Vocabulary) -> Parsed:
    (folder / "trace.log").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (source,), _ = discover([str(folder / "trace.log")])
    return parse(source, vocabulary)


@pytest.mark.parametrize("kept", ["all", "some"])
@pytest.mark.parametrize("tracer", ENVELOPES)
def test_a_trace_is_read_alike_whether_its_names_are_known_or_not(
    tracer: str, kept: str, tmp_path: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(tracer)
    lines = [ENVELOPES[tracer].format(1 + n / 1000, rng.choice(LINES)) for n in range(600)]
    lines = [*BARE, *(line for n, line in enumerate(lines) for line in (line, *(rng.sample(BARE, 1) if n % 50 == 9 else ())))]
    if kept == "some":
        monkeypatch.setattr(vocabulary, "captured", {"irq_handler_entry", "irq_no_handler", "probe_entry"})
        for computed in ("wanted", "wanted_names"):
            monkeypatch.setitem(vocabulary.__dict__, computed, getattr(type(vocabulary), computed).func(vocabulary))
    for module in (parsing, capturing):
        monkeypatch.setattr(module, "SMALL_SOURCE", 0)
    asked: list[pl.Series | None] = []

    def noted(*given: pl.Series | str) -> pl.Series | None:
        asked.append(named(*given))  # type: ignore[arg-type]
        return asked[-1]

    monkeypatch.setattr(envelopes, "named", noted)
    told = read(tmp_path, lines, vocabulary)
    assert any(names is not None for names in asked)
    monkeypatch.setattr(envelopes, "named", lambda *_: None)
    sought = read(tmp_path, lines, vocabulary)
    assert told.tables.keys() == sought.tables.keys() and told.tables["irq_handler_entry"].height > 60
    for name, table in told.tables.items():
        assert_frame_equal(table, sought.tables[name])
    assert (told.classes, told.envelopes, told.notes) == (sought.classes, sought.envelopes, sought.notes)
    assert (told.events, told.not_understood) == (sought.events, sought.not_understood)


def test_the_names_of_events_that_no_rule_reads_are_sought_for_texts_of_rules(vocabulary: Vocabulary) -> None:
    line = "            bash-1234    [001] d..1.     1.000001: {}"
    text = pl.Series([line.format(x) for x in ("irq_handler_exit: irq=1", "irq_handler_entry: x", "foo: irq_handler_entry:", "foo: bar")])
    cut = Layout.settle(vocabulary.envelopes, text.to_list()).cut(text)
    assert cut is not None and cut.names is not None
    found = parsing._sought(text, cut, vocabulary).to_list()
    assert found == [name in vocabulary.wanted_names for name in ("irq_handler_exit", "irq_handler_entry")] + [True, False]


def test_a_name_is_what_stands_before_the_first_colon_and_a_blank_or_the_end() -> None:
    text = pl.Series(["a_b: x: y", "c:", "d:e", "f g: h", "", "no", "ü: x", "eé: 1", "eé:é", "g:h: x"])
    names = named(text, pl.Series([True] * len(text)), NAME)
    assert names is not None
    assert names.to_list() == ["a_b", "c", *[None] * 5, "eé", None, None]
    assert among(names, {"c", "eé", "x"}).to_list() == [False, True, *[False] * 5, True, False, False]
    assert among(names, ()).to_list() == [False] * len(text)


def test_a_system_before_the_name_is_none_of_it() -> None:
    names = named(pl.Series(["irq:irq_handler_entry: x", "irq: x"]), pl.Series([True, True]), r"^ *[a-z]+:([A-Za-z_][^ :]*):(?: |$)")
    assert names is not None and names.to_list() == ["irq_handler_entry", None]


def test_lines_that_are_not_meant_have_no_name() -> None:
    names = named(pl.Series(["a: x", "b: x"]), pl.Series([False, True]), NAME)
    assert names is not None and names.to_list() == [None, "b"]


def test_each_name_is_there_once_and_none_where_no_line_has_one() -> None:
    text = pl.Series(["g:b: x", "a:a: x", "g:a: x", "a <-b", "c <-d", "a:b: 1"])
    names = named(text, pl.Series([True] * 6), r"^[a-z]+:([a-z]+): ")
    assert names is not None and names_of(names) == ["a", "b"]
    assert names.to_list() == ["b", "a", "a", None, None, "b"]
    none = named(text, pl.Series([True] * 6), NAME)
    assert none is not None and names_of(none) == [] and none.to_list() == [None] * 6


def test_names_of_their_own_are_not_read_together() -> None:
    assert named(pl.Series([f"e{n}: x" for n in range(1000)]), pl.Series([True] * 1000), NAME) is None
