"""What tracekit itself takes from events it takes from those that say so, whatever they are called."""

from dataclasses import replace
from pathlib import Path

import pytest

from tracekit.batch import rows
from tracekit.diagnosing import recorded
from tracekit.grammar import load as grammar
from tracekit.grammar.marks import DECLARED
from tracekit.parsing.capture import Vocabulary
from tracekit.pipeline import Engine, Options, analyze
from tracekit.replay import clock

GRAMMAR = """\
// The widget's firmware.

%import .common (BDF, NAME, TEXT, WORD)

start: widget_begins | widget_kernel | widget_bound | widget_irq

// It starts.
//! tells: boot
widget_begins: "widget: power on"

// It loads a kernel.
//! tells: kernel
widget_kernel: "widget: kernel " release

// It has a driver.
//! tells: driver
widget_bound: "widget: " bdf " has " driver

// It interrupts.
widget_irq: "widget: interrupt " text

release: WORD
bdf: BDF
driver: NAME
text: TEXT
"""
LOG = """\
widget: power on
widget: kernel 6.12.1
widget: 0000:03:00.0 has acme
widget: interrupt a
widget: power on
widget: kernel 6.12.2
widget: interrupt b
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("widget")
    (folder / "events").mkdir()
    (folder / "events" / "widget.lark").write_text(GRAMMAR)
    grammars = grammar.load([folder])
    assert grammars.errors == ()
    return replace(Engine.load(), vocabulary=Vocabulary(grammars, grammars.events))


def test_boots_releases_and_drivers_of_a_third_partys_events(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "widget.log"
    log.write_text(LOG)
    telling = engine.vocabulary.telling
    run = analyze([str(log)], Options(keep_tables=(*rows.needed(telling), "widget_irq")), engine)
    assert run.tables["widget_irq"].select("text", "boot").rows() == [("a", 1), ("b", 2)]
    facts, _ = rows.of_run(run, 0.0, telling)
    assert facts["kernel"] == "6.12.2"
    assert rows._Devices(run.tables, telling).driver == {"0000:03:00.0": "acme"}


def test_all_that_can_be_told_is_told_by_an_event() -> None:
    telling = grammar.load().telling
    assert set(telling) == {*rows.TOLD, *clock.TOLD, *recorded.TOLD} == set(DECLARED["tells"].values)
