"""How far a text goes along with a rule that does not match it."""

import re
import re._compiler as sre_compile  # type: ignore[import-not-found]
import re._constants as sre  # type: ignore[import-not-found]
import re._parser as sre_parse  # type: ignore[import-not-found]
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from tracekit.grammar.rules import Rule

_LEAST = 5  # characters of fixed text that must go along before a rule counts as meant
_WORD = re.compile(r"(?<!\S)(?=\S)")


class Reach(NamedTuple):
    """Where a rule begins in a text, where it stops, how much fixed text it shares, and what it wants there: nothing where it matches."""

    rule: Rule
    begin: int
    end: int
    shared: int
    wanted: str


def furthest(text: str, rules: Iterable[Rule]) -> Reach | None:
    """Return the rule that reads the text from the start of a word on, else the one that goes along with most of it.

    None where no rule reads it or has five characters of it.
    """
    starts = [m.start() for m in _WORD.finditer(text)]
    sought = [rule for rule in rules if rule.literals or any(words in text for words in rule.marks.found_by)]
    far = [r for rule in sought for r in _reached(text, starts, rule) if r.shared >= _LEAST or not r.wanted]
    return max(far, key=lambda r: (not r.wanted, r.shared), default=None)


def _reached(text: str, starts: Sequence[int], rule: Rule) -> Iterator[Reach]:
    pattern = sre_parse.parse(rule.regex.removeprefix("^"))
    parts: dict[int, Any] = {}  # the expression up to each of its parts
    for begin in starts:
        end, shared = begin, 0
        for count in range(1, len(pattern) + 1):
            if count not in parts:
                parts[count] = sre_compile.compile(pattern[:count])
            m = parts[count].match(text, begin)
            if m is None:
                yield Reach(rule, begin, end, shared, _wanted(pattern, count - 1, rule))
                break
            end, shared = m.end(), shared + (pattern[count - 1][0] is sre.LITERAL)
        else:
            yield Reach(rule, begin, end, shared, "")


def _wanted(pattern: Any, at: int, rule: Rule) -> str:
    """Return in words what the rule wants at a part of its expression: a field, a text, the end."""
    kind, value = pattern[at]
    if kind is sre.LITERAL:
        rest = (chr(v) for k, v in _run(pattern, at))
        return f'"{"".join(rest)}"'
    if kind is sre.AT:
        return "the end of the line"
    if kind is sre.SUBPATTERN and value[0] is not None:
        group = next(name for name, number in pattern.state.groupdict.items() if number == value[0])
        field = next((c for c, groups in rule.groups.items() if group in groups), group)
        return f"{field} ({rule.terminals.get(field) or 'its own expression'})"
    return "one of several forms"


def _run(pattern: Any, at: int) -> Iterable[tuple[Any, Any]]:
    for part in pattern[at:]:
        if part[0] is not sre.LITERAL:
            return
        yield part
