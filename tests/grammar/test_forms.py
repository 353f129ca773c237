"""The forms of a rule capture what its one expression does, of every text."""

import random
import re
import re._constants as sre  # type: ignore[import-not-found]
import re._parser as sre_parse  # type: ignore[import-not-found]
import string
from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl
import pytest

from tracekit.grammar.forms import forms
from tracekit.grammar.load import load
from tracekit.grammar.pattern import Alt, Lit, Node, Opt, Seq, Term, regex
from tracekit.grammar.rules import Rule
from tracekit.parsing import capture
from tracekit.parsing.capture import matches

RULES = load().events
FORMED = sorted(name for name, rule in RULES.items() if rule.forms)
WORD, BLANKS, NUMBER = Term("word", "[a-z]+"), Term("", " +"), Term("number", "[0-9]+")


def written(items: Iterable[tuple[Any, Any]], rnd: random.Random) -> str:
    """A text that an expression matches, as Python's parser has it."""
    return "".join(part(op, arg, rnd) for op, arg in items)


def part(op: Any, arg: Any, rnd: random.Random) -> str:
    if op is sre.SUBPATTERN:
        return written(arg[3], rnd)
    if op is sre.BRANCH:
        return written(rnd.choice(arg[1]), rnd)
    if op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
        low, high, body = arg
        return "".join(written(body, rnd) for _ in range(rnd.randint(low, min(high, low + 3))))
    if op is sre.LITERAL:
        return chr(arg)
    if op is sre.AT:
        return ""
    for characters in ("a0f xX1-.:/<[(*}\u00e9", string.printable):
        if allowed := [c for c in characters if re.match(one(op, arg), c)]:
            return rnd.choice(allowed)
    raise AssertionError(f"no character of {one(op, arg)}")


def one(op: Any, arg: Any) -> str:
    """The expression of a class of characters."""
    if op is not sre.IN:
        return "[^\n]" if op is sre.ANY else f"[^{re.escape(chr(arg))}]"
    members = (
        f"{re.escape(chr(v[0]))}-{re.escape(chr(v[1]))}" if k is sre.RANGE else re.escape(chr(v)) for k, v in arg if k is not sre.NEGATE
    )
    return f"[{'^' if arg[0][0] is sre.NEGATE else ''}{''.join(members)}]"


def texts(rule: Rule, count: int) -> Iterator[str]:
    """Texts that the rule matches, each with one that is damaged: a character gone, doubled, or two parts of it changed for each other."""
    rnd = random.Random(rule.name)
    tree = list(sre_parse.parse(rule.regex))
    for _ in range(count):
        yield (text := written(tree, rnd))
        at, to = sorted((rnd.randrange(len(text) + 1), rnd.randrange(len(text) + 1)))
        yield rnd.choice(
            (text[:at] + text[at + 1 :], text[:at] + text[at : at + 1] * 2 + text[at + 1 :], text[:at] + text[to:] + text[at:to])
        )


@pytest.mark.parametrize("name", FORMED)
def test_the_first_form_that_matches_captures_what_the_rule_does(name: str) -> None:
    rule = RULES[name]
    whole, parts = re.compile(rule.regex), [re.compile(f) for f in rule.forms]
    hits = 0
    for text in texts(rule, 60):
        told = next((m for p in parts if (m := p.match(text))), None)
        expected = whole.match(text)
        assert (told and kept(told.groupdict())) == (expected and kept(expected.groupdict())), text
        hits += expected is not None
    assert hits >= 20


def kept(groups: dict[str, str | None]) -> dict[str, str]:
    return {name: text for name, text in groups.items() if text is not None}


@pytest.mark.parametrize("name", FORMED)
def test_many_texts_are_captured_as_few_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = RULES[name]
    series = pl.Series([*texts(rule, 40), "", "nothing"])
    hit, groups = matches(series, rule)
    monkeypatch.setattr(capture, "MANY", 1)
    monkeypatch.setattr(capture, "FEW", 0)
    by_form, many = matches(series, rule)
    assert hit is not None and by_form is not None
    assert by_form.to_list() == hit.to_list()
    assert many[groups.columns].equals(groups)


def test_texts_of_which_none_matches_are_captured_as_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "MANY", 1)
    monkeypatch.setattr(capture, "FEW", 0)
    for name in FORMED:
        hit, groups = matches(pl.Series(["nothing", ""]), RULES[name])
        assert hit is not None and not hit.any() and groups.is_empty()


ALTERNATIVES = {
    "a choice that a character tells": (Seq((Opt(BLANKS), Lit("irq "), NUMBER)), 0),
    "two that begin alike": (Seq((Lit("irq "), Alt((NUMBER, Term("hex", "[0-9a-f]+"))))), 2),
    "alternatives with a common head": (Seq((WORD, Alt((Lit(" reserve="), Lit(" early="))), NUMBER)), 0),
    "a head that what follows begins with": (Seq((Opt(Lit("kvm:")), Lit("kvm_eoi: "), NUMBER)), 2),
    "what stands before may be matched in two ways": (Seq((Term("text", "[a-z ]+"), Lit(" "), Opt(WORD), Lit("x"))), 0),
    "any case": (Seq((Opt(Term("", "(?i:irq)")), Lit("i"), NUMBER)), 2),
}


@pytest.mark.parametrize("name", ALTERNATIVES)
def test_choices_are_taken_out_where_the_next_character_does_not_tell(name: str) -> None:
    node, count = ALTERNATIVES[name]
    assert len(forms(node)) == count, forms(node)


def test_an_expression_of_many_forms_keeps_the_likely_one_and_the_whole() -> None:
    pair: Node = Alt((NUMBER, Term("hex", "[0-9a-f]+")))
    node = Seq((Lit("a"), Opt(Seq((Lit(" "), pair, Lit(" "), pair))), Lit(";")))
    first, *_, last = forms(node)
    assert (first, last) == ("^a;$", f"^{regex(node)}$")
