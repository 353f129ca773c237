"""Marks of grammars: what is wrong with one is one error with file and line; ordinary comments change nothing."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from packages import cache

from tracekit.errors import GrammarError
from tracekit.grammar import load as grammar
from tracekit.grammar.cache import grammars_from_json, grammars_to_json
from tracekit.grammar.lowering import lower_file
from tracekit.grammar.marks import LAYERS, explained
from tracekit.grammar.rules import Rule, built_in_folder

ROOT = Path(__file__).resolve().parents[2]
EVENT = """\
// Acme.
{head}
%import .common (DEC, WORD)

start: acme_ring | acme_irq

// A ring.
{rule}
acme_ring: "ring " ring
// An irq.
acme_irq: "irq " irq " of " name

ring: DEC
{field}
irq: DEC
name: WORD
{end}
"""
ENVELOPE = """\
{head}

start: acme

{rule}
acme: "A|" stamp "| " msg

stamp: STAMP
msg: MSG
STAMP: /[0-9]{{1,10}}\\.[0-9]{{6}}/
MSG: /[^\\n]+/
"""


def written(folder: Path, part: str, text: str, **at: str) -> Path:
    (folder / part).mkdir(exist_ok=True)
    path = folder / part / "acme.lark"
    path.write_text(text.format(**{"head": "", "rule": "", "field": "", "end": ""} | at))
    return path


@pytest.mark.parametrize(
    ("part", "at", "mark", "line", "why"),
    [
        ("events", "rule", 'foundby: "x"', 8, "foundby: there is no such mark; did you mean found-by?"),
        ("events", "rule", "sought-in: small-source", 8, "sought-in: small-source is none of small-sources, logs; did you mean small-sources?"),
        ("events", "rule", "found-by: ring", 8, 'found-by: ring is no list of texts: write "a", "b"'),
        ("events", "rule", 'found-by: ""', 8, 'found-by: "" is no list of texts: write "a", "b"'),
        ("events", "rule", 'not-one-pass: "ring"', 8, 'not-one-pass: "ring" is no list of names: write a, b'),
        ("events", "rule", "not-one-pass: rings", 8, "not-one-pass: rings is no field of the rule; did you mean ring?"),
        ("events", "rule", "wordings-of: acme_ring, acme_irq", 8, "wordings-of: acme_ring, acme_irq is no name"),
        ("events", "rule", "tracer: name", 8, "tracer: stands on an event rule, and is for an envelope rule"),
        ("events", "rule", "tells: kernel", 8, "tells: kernel needs a field release"),
        ("events", "rule", "tells: device-class", 8, "tells: device-class needs a field bdf"),
        ("events", "head", "sought-in: logs", 2, "sought-in: stands on an event file, and is for an event rule"),
        ("events", "head", "layer: tracer", 2, "layer: stands on an event file, and is for an envelope file"),
        ("events", "field", "sought-in: logs", 14, "sought-in: stands neither directly above a rule that start lists nor at the head of the file"),
        ("events", "end", "sought-in: logs", 17, "sought-in: stands above no rule"),
        ("envelopes", "rule", "layer: tracer", 5, "layer: stands on an envelope rule, and is for an envelope file"),
        ("envelopes", "rule", "clock: prink", 5, "clock: prink is none of printk, ftrace, xen; did you mean printk?"),
        ("envelopes", "head", "layer: traces", 1, "layer: traces is none of outer, collector, vmm, hypervisor, kernel, context, tracer; did you mean tracer?"),
        ("envelopes", "head", "clock: printk", 1, "clock: stands on an envelope file, and is for an envelope rule"),
        ("envelopes", "rule", "side: kernel\n//! side: kernel", 6, "side: stands here twice"),
    ],
)  # fmt: skip
def test_a_wrong_mark_is_an_error_with_file_and_line(tmp_path: Path, part: str, at: str, mark: str, line: int, why: str) -> None:
    path = written(tmp_path, part, EVENT if part == "events" else ENVELOPE, **{at: f"//! {mark}"})
    with pytest.raises(GrammarError) as error:
        list(lower_file(path))
    assert str(error.value) == f"{path}:{line}: mark {why}"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("//! found-by", "'//! found-by' is no mark: write `//! name: value`"),
        ("//!", "'//!' is no mark: write `//! name: value`"),
        ("//! Found by: x", "'//! Found by: x' is no mark: write `//! name: value`"),
        ("x: DEC //! sought-in: logs", "a mark stands on a line of its own"),
    ],
)
def test_what_is_no_mark_is_an_error_too(tmp_path: Path, line: str, why: str) -> None:
    path = written(tmp_path, "events", EVENT, end=line)
    with pytest.raises(GrammarError) as error:
        list(lower_file(path))
    assert str(error.value) == f"{path}:17: {why}"


def test_a_mark_that_names_an_event_names_one_that_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", cache(tmp_path / "cache"))
    path = written(tmp_path, "events", EVENT, rule="//! wordings-of: driver_complaints")
    why = f"{path}:9: mark wordings-of: no event is called driver_complaints; did you mean driver_complaint?"
    assert grammar.load([tmp_path]).errors == ((tmp_path, why),)
    written(tmp_path, "events", EVENT, rule="//! wordings-of: acme_irq")
    assert grammar.load([tmp_path]).errors == ()


def test_a_file_with_a_wrong_mark_is_left_out_and_named_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", cache(tmp_path / "cache"))
    written(tmp_path, "events", EVENT)
    path = written(tmp_path, "envelopes", ENVELOPE, head="//! layer: traces")
    loaded = grammar.load([tmp_path])
    assert [text.partition(": ")[0] for _, text in loaded.errors] == [f"{path}:1:1"]
    assert {"acme_ring", "acme_irq"} <= loaded.events.keys() and "acme" not in loaded.envelopes


def test_marks_of_a_file_hold_for_its_rules_and_a_rule_has_its_own(tmp_path: Path) -> None:
    path = written(
        tmp_path, "envelopes", ENVELOPE, head="// Acme.\n//! layer: tracer\n// More.\n//! side: kernel", rule="//! side: hypervisor"
    )
    (rule,) = lower_file(path)
    assert (rule.marks.layer, rule.marks.side, rule.marks.clock, rule.line) == ("tracer", "hypervisor", "", 9)
    (rule,) = lower_file(written(tmp_path, "envelopes", ENVELOPE, head="//! side: kernel", rule="//! clock: printk"))
    assert (rule.marks.layer, rule.marks.side, rule.marks.clock) == ("collector", "kernel", "printk")


def test_marks_survive_the_cache() -> None:
    loaded = grammar.load()
    assert {r.marks.layer for r in loaded.envelopes.values()} == set(LAYERS)
    assert grammars_from_json(json.loads(grammars_to_json(loaded))) == loaded


def blanked(text: str) -> str:
    """A grammar without its ordinary comments; every line stays where it was."""
    lines = ("" if re.match(r"\s*//(?!!)", line) else line for line in text.split("\n"))
    return "\n".join(re.sub(r"^([a-z][a-z0-9_]*: (?:[A-Z_]+|/.+/|\"[^\"]+\")) // .+$", r"\1", line) for line in lines)


def test_ordinary_comments_change_nothing_but_what_schema_prints(tmp_path: Path) -> None:
    """Blank them all: the same rules, but for the sentences about tables and columns."""

    def rules(path: Path) -> list[Rule]:
        return [replace(rule, doc="", said={}) for rule in lower_file(path)]

    found = 0
    for path in sorted(built_in_folder().glob("e*/*.lark")):
        bare = tmp_path / path.parent.name / path.name
        bare.parent.mkdir(exist_ok=True)
        bare.write_text(blanked(path.read_text(encoding="utf-8")), encoding="utf-8")
        assert "// " not in bare.read_text(encoding="utf-8").replace("//! ", "")
        assert rules(bare) == rules(path)
        found += len(rules(path))
    assert found > 400


def test_the_guide_lists_all_marks() -> None:
    rows = "".join(f"| `{name}` | {where} | {values} | {means} |\n" for name, where, values, means in explained())
    table = f"| mark | on | values | what it says |\n|---|---|---|---|\n{rows}"
    guide = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    assert guide.partition("<!-- marks: ")[2].partition(" -->\n")[2].partition("<!-- marks: end -->")[0] == table
