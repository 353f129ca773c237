"""Both engines read the same text: lark's Earley parser and the lowered expressions."""

import random
import re
from collections.abc import Iterable
from copy import copy
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra.lark import LarkStrategy
from lark.exceptions import LarkError

from tracekit.errors import GrammarError
from tracekit.grammar import load as grammar
from tracekit.grammar.lowering import lower_file
from tracekit.grammar.reference import fields_by_lark, reference
from tracekit.grammar.rules import Rule, built_in_folder

FOLDER = built_in_folder()
FILES = sorted(FOLDER.glob("e*/*.lark"))
RULES = [(path, rule) for path in FILES for rule in lower_file(path)]


def lowered(rule: Rule, text: str) -> dict[str, str] | None:
    """The fields that the lowered expression finds, or None."""
    m = re.match(rule.regex[:-1] + r"\Z", text)
    if m is None:
        return None
    found = {c: next((m[g] for g in groups if m[g] is not None), None) for c, groups in rule.groups.items()}
    return {c: v for c, v in found.items() if v is not None}


def earley(path: Path, rule: Rule, text: str) -> dict[str, str] | None:
    """The fields that lark finds, or None."""
    try:
        tree = reference(path).parse(text, start=rule.name)
    except LarkError:
        return None
    found: dict[str, str] = {}
    for column in rule.groups:
        part = next(tree.find_data(column), None)
        if part is not None:
            found[column] = "".join(str(c) for c in part.children)
    return found


@cache
def generated(path: Path) -> LarkStrategy:
    """Texts of all rules of a file. Making this strategy takes longer than all examples of a rule."""
    return LarkStrategy(reference(path), None, {}, st.characters(codec="utf-8"))


@pytest.mark.parametrize(("path", "rule"), RULES, ids=[f"{p.stem}.{r.name}" for p, r in RULES])
@pytest.mark.no_cover
def test_both_engines_agree_on_generated_lines_and_near_misses(path: Path, rule: Rule) -> None:
    texts = copy(generated(path))
    texts.start = st.just(texts.names_to_symbols[rule.name])

    @settings(
        max_examples=4, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True, phases=[Phase.generate]
    )
    @given(texts, st.randoms(use_true_random=False))
    def agree(text: str, rnd: random.Random) -> None:
        for line in (text, mutated(text, rnd)):
            if "\n" not in line and line:
                check(path, rule, line)

    agree()


def check(path: Path, rule: Rule, line: str) -> None:
    """Same fields, or no match, in both engines.

    Of a rule that is exempt from being one-pass, the text may be split in several ways, and a lazy terminal is one that the reference
    cannot stretch: what the reference takes must match.
    """
    fast, slow = lowered(rule, line), earley(path, rule, line)
    if rule.marks.not_one_pass:
        assert slow is None or fast is not None, line
    else:
        assert fast == slow, line


def mutated(text: str, rnd: random.Random) -> str:
    """A near miss: one character dropped, doubled or changed."""
    if not text:
        return text
    i = rnd.randrange(len(text))
    return text[:i] + rnd.choice(["", text[i] * 2, "x", " ", "7"]) + text[i + 1 :]


def test_every_rule_is_loaded_strictly() -> None:
    loaded = grammar.load(strict=True)
    assert loaded.errors == ()
    assert len(loaded.events) + len(loaded.envelopes) == len(RULES)


def test_every_event_rule_has_a_description_and_a_prefilter() -> None:
    assert [r.name for p, r in RULES if not r.doc] == []
    assert [r.name for p, r in RULES if p.parent.name == "events" and not (r.texts or r.shape)] == []


def write(folder: Path, text: str) -> Path:
    (folder / "events").mkdir()
    path = folder / "events" / "t.lark"
    path.write_text(text)
    return path


def test_a_terminal_that_swallows_what_follows_is_an_error(tmp_path: Path) -> None:
    path = write(
        tmp_path, 'start: fault\n// x\nfault: "fault reason " reason "] " text\nreason: WORD\ntext: TEXT\n%import .common (WORD, TEXT)\n'
    )
    with pytest.raises(GrammarError, match=r"t\.lark: fault: not one-pass: reason"):
        list(lower_file(path))


def test_a_rule_that_is_not_flat_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, 'start: many\n// x\nmany: "item " one+\none: DEC\n%import .common (DEC)\n')
    with pytest.raises(GrammarError, match="event rules are flat"):
        list(lower_file(path))


def test_a_field_with_the_name_of_an_envelope_column_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, 'start: a\n// x\na: "of task " task\ntask: WORD\n%import .common (WORD)\n')
    with pytest.raises(GrammarError, match="field task has the name of an envelope column"):
        list(lower_file(path))


def test_ignore_is_not_allowed(tmp_path: Path) -> None:
    path = write(tmp_path, 'start: a\n// x\na: "irq " irq\nirq: DEC\n%import .common (DEC)\nWS: / +/\n%ignore WS\n')
    with pytest.raises(GrammarError, match="%ignore is not allowed"):
        list(lower_file(path))


def test_a_field_that_recurs_in_alternatives_is_one_column(tmp_path: Path) -> None:
    path = write(tmp_path, 'start: a\n// x\na: "irq " irq " free" | "freed " irq\nirq: DEC\n%import .common (DEC)\n')
    (rule,) = lower_file(path)
    assert rule.groups == {"irq": ("irq", "irq__1")}
    assert lowered(rule, "freed 12") == {"irq": "12"} == lowered(rule, "irq 12 free")
    assert set(rule.literals) == {" free", "freed "}


def test_lowered_rules_survive_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fresh = grammar.load()
    assert list((tmp_path / "tracekit").iterdir())
    assert grammar.load() == fresh


def test_rules_of_a_file_that_changes_while_it_is_lowered_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the old rules would be taken for those of the new file as long as it stays as it is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "events").mkdir()
    path = tmp_path / "events" / "acme.lark"
    text = 'start: acme\nacme: "acme widget " n\nn: DEC\n%import .common (DEC)\n'

    def saved(path: Path, warnings: list[str] | None = None) -> Iterable[Rule]:
        if path.name == "acme.lark":
            path.write_text(text.replace("widget", "gadget"))
        return lower_file(path, warnings)

    path.write_text(text)
    monkeypatch.setattr("tracekit.grammar.lowering.lower_file", saved)
    assert "gadget" in grammar.load([tmp_path]).events["acme"].regex
    path.write_text(text)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert "widget" in grammar.load([tmp_path]).events["acme"].regex


def test_a_third_party_rule_that_is_not_flat_is_parsed_by_lark(tmp_path: Path) -> None:
    path = write(tmp_path, 'start: many\n// x\nmany: "acme items:" one+\none: " " item\nitem: DEC\n%import .common (DEC)\n')
    warnings: list[str] = []
    (rule,) = lower_file(path, warnings)
    assert warnings == ["t.lark: many: expr cannot be lowered; event rules are flat"]
    assert rule.literals == ("acme items:",)
    assert fields_by_lark(rule, "acme items: 1 2") is not None
    assert fields_by_lark(rule, "acme items: x") is None
