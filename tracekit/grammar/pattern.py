"""Patterns of flat rules: their regular expression, the literals they imply, and whether they are one-pass."""

import re._constants as sre  # type: ignore[import-not-found]
import re._parser as sre_parse  # type: ignore[import-not-found]
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from tracekit.grammar.expression import escape

# The parser behind `re`: its trees are the only place where Python tells what an expression means.

CharSet = int  # bit n set: character n (0..127; bit 128 stands for every character beyond ASCII)
EVERY: CharSet = (1 << 129) - 1
END: CharSet = 1 << 129  # the end of the line


@dataclass(frozen=True, slots=True)
class Lit:
    """A literal text."""

    text: str


@dataclass(frozen=True, slots=True)
class Term:
    """A terminal; captured as `group` if that is not empty. `field` is the column it feeds."""

    group: str
    expression: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class Seq:
    """A sequence of patterns."""

    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Alt:
    """Alternatives."""

    branches: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Opt:
    """An optional pattern."""

    item: "Node"


Node = Lit | Term | Seq | Alt | Opt


def regex(node: Node) -> str:
    """Return the expression of a pattern."""
    match node:
        case Lit(text):
            return escape(text)
        case Term(group, expression):
            return f"(?P<{group}>{expression})" if group else f"(?:{expression})"
        case Seq(items):
            return "".join(regex(i) for i in items)
        case Alt(branches):
            return "(?:" + "|".join(regex(b) for b in branches) + ")"
        case Opt(item):
            return f"(?:{regex(item)})?"


def literals(node: Node, least: int) -> tuple[str, ...]:
    """Texts of which every match contains at least one: long enough (`least` characters, better twice that), few, then long."""

    def worth(texts: tuple[str, ...]) -> tuple[bool, bool, int, int]:
        shortest = min(len(t) for t in texts)
        return shortest >= least, shortest >= 2 * least, -len(texts), shortest

    return max(_literal_sets(node), key=worth, default=())


def shape(node: Node) -> str:
    """For patterns without a long literal: the expression of the fixed texts, and the blanks between them, that weigh most together."""
    items = node.items if isinstance(node, Seq) else (node,)
    best, run, weight, heaviest = "", "", 0, 0
    for item in items:
        if isinstance(item, Lit) or (isinstance(item, Term) and not item.group):
            run, weight = run + regex(item), weight + (len(item.text) if isinstance(item, Lit) else 1)
            if weight > heaviest:
                best, heaviest = run, weight
        else:
            run, weight = "", 0
    return best


def _literal_sets(node: Node) -> Iterator[tuple[str, ...]]:
    match node:
        case Lit(text):
            yield (text,)
        case Seq(items):
            for run in _runs(items):
                yield (run,)
            for item in items:
                if isinstance(item, Seq | Alt):
                    yield from _literal_sets(item)
        case Alt(branches):
            best = [literals(b, 1) for b in branches]
            if all(best):
                yield tuple(dict.fromkeys(t for s in best for t in s))
        case _:
            return


def _runs(items: tuple[Node, ...]) -> Iterator[str]:
    """Yield the literal texts; adjacent ones are joined."""
    run = ""
    for item in items:
        if isinstance(item, Lit):
            run += item.text
        elif run:
            yield run
            run = ""
    if run:
        yield run


def ambiguous(node: Node, exempt: frozenset[str] = frozenset()) -> str | None:
    """Return why the pattern is not one-pass, or None: a terminal could go on with the character that what follows begins with."""
    return _check(node, END, exempt)


def _check(node: Node, after: CharSet, exempt: frozenset[str]) -> str | None:
    match node:
        case Term(group, expression, field):
            common = extending(expression) & after
            if common and field not in exempt:
                return f"{field or group or expression} may go on with {_show(common)}, and so may what follows it"
        case Seq(items):
            for i, item in enumerate(items):
                rest = Seq(items[i + 1 :])
                if (bad := _check(item, first(rest, after), exempt)) is not None:
                    return bad
        case Alt(branches):
            return next((bad for b in branches if (bad := _check(b, after, exempt)) is not None), None)
        case Opt(item):
            return _check(item, after, exempt)
    return None


def first(node: Node, after: CharSet) -> CharSet:
    """Return the characters a match of `node` followed by `after` can begin with."""
    match node:
        case Lit(text):
            return _bit(ord(text[0])) if text else after
        case Term(_, expression):
            begin, _, nullable = _glushkov(expression)
            return begin | (after if nullable else 0)
        case Seq(items):
            chars = after
            for item in reversed(items):
                chars = first(item, chars)
            return chars
        case Alt(branches):
            chars = 0
            for b in branches:
                chars |= first(b, after)
            return chars
        case Opt(item):
            return first(item, after) | after


def extending(expression: str) -> CharSet:
    """Return the characters with which a complete match of a terminal could still go on."""
    return _glushkov(expression)[1]


@lru_cache(maxsize=1024)
def _glushkov(expression: str) -> tuple[CharSet, CharSet, bool]:
    """Return (first characters, characters that may extend a match, whether it matches nothing)."""
    a = _Automaton()
    begin, last, nullable = a.walk(list(sre_parse.parse(expression)))
    extend = 0
    for p in last:
        for q in a.follow.get(p, ()):
            extend |= a.chars[q]
    chars = 0
    for p in begin:
        chars |= a.chars[p]
    return chars, extend, nullable


class _Automaton:
    """Glushkov positions of an expression: each has a set of characters, and the positions that may follow it."""

    def __init__(self) -> None:
        self.chars: list[CharSet] = []
        self.follow: dict[int, set[int]] = {}

    def walk(self, items: list[tuple[object, object]]) -> tuple[set[int], set[int], bool]:
        """Return (first positions, last positions, nullable) of a sequence."""
        begin: set[int] = set()
        last: set[int] = set()
        nullable = True
        for op, arg in items:
            b, e, n = self._item(op, arg)
            for p in last:
                self.follow.setdefault(p, set()).update(b)
            if nullable:
                begin |= b
            last = last | e if n else e
            nullable = nullable and n
        return begin, last, nullable

    def _item(self, op: object, arg: object) -> tuple[set[int], set[int], bool]:
        if op is sre.SUBPATTERN:
            return self.walk(list(arg[3]))  # type: ignore[index]
        if op is sre.BRANCH:
            parts = [self.walk(list(b)) for b in arg[1]]  # type: ignore[index]
            return set().union(*(p[0] for p in parts)), set().union(*(p[1] for p in parts)), any(p[2] for p in parts)
        if op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            return self._repeat(*arg)  # type: ignore[misc]
        if op is sre.AT:
            return set(), set(), True
        self.chars.append(_chars(op, arg))
        p = {len(self.chars) - 1}
        return p, set(p), False

    def _repeat(self, low: int, high: object, body: object) -> tuple[set[int], set[int], bool]:
        """Return a repetition: short fixed parts are unrolled (so that `{2}` does not look open-ended), the rest is a loop."""
        copies = min(low, 8)
        begin, last, nullable = self.walk(list(body) * copies)  # type: ignore[call-overload]
        if high == low:
            return begin, last, nullable
        b, e, _ = self.walk(list(body))  # type: ignore[call-overload]
        if high is sre.MAXREPEAT or int(str(high)) > low + 1:
            for p in e:
                self.follow.setdefault(p, set()).update(b)
        for p in last:
            self.follow.setdefault(p, set()).update(b)
        return (begin | b if nullable else begin), last | e, nullable


def _chars(op: object, arg: object) -> CharSet:
    if op is sre.LITERAL:
        return _bit(int(str(int(arg))))  # type: ignore[call-overload]
    if op is sre.NOT_LITERAL:
        return EVERY & ~_bit(int(arg))  # type: ignore[call-overload]
    if op is sre.ANY:
        return EVERY & ~_bit(10)
    if op is sre.IN:
        return _class(list(arg))  # type: ignore[call-overload]
    raise ValueError(f"{op} in a terminal: only classes, literals, groups and repetitions can be lowered")


def _class(items: list[tuple[object, object]]) -> CharSet:
    chars, negate = 0, False
    for op, arg in items:
        if op is sre.NEGATE:
            negate = True
        elif op is sre.RANGE:
            low, high = arg  # type: ignore[misc]
            for c in range(int(low), min(int(high), 128) + 1):  # type: ignore[has-type]
                chars |= _bit(c)
        elif op is sre.LITERAL:
            chars |= _bit(int(arg))  # type: ignore[call-overload]
        else:
            raise ValueError(f"{op} in a class: write the characters out (Unicode classes are not one-pass)")
    return EVERY & ~chars if negate else chars


def _bit(code: int) -> CharSet:
    return 1 << min(code, 128)


def _show(chars: CharSet) -> str:
    if chars & END:
        return "the end of the line"
    shown = [chr(c) for c in range(128) if chars >> c & 1]
    return repr("".join(shown[:8]) + ("..." if len(shown) > 8 else "")) if shown else "a character beyond ASCII"
