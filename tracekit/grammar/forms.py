"""Forms of a rule: expressions of which the first that matches a text captures what the rule's one expression does.

Where the next character always tells how to go on, captures are taken from a text in half the time. A rule has choices that it does not
tell (a head that may be missing, a symbol or an address): each way to choose is a form of its own. A choice is only taken out where all
that stands before it matches in one way, so no text is captured differently.
"""

from collections.abc import Iterator
from itertools import islice

from tracekit.grammar.pattern import END, Alt, CharSet, Lit, Node, Opt, Seq, Term, extending, first, regex

_MOST = 3  # forms that are looked at: each is tried on what those before it missed
_EMPTY: CharSet = 1 << 130  # stands behind a pattern to learn whether it matches nothing


def forms(node: Node) -> tuple[str, ...]:
    """Return the expressions of the forms; none where there is but one, or none gains anything.

    Of many forms those up to the first that the next character always tells, then the expression of the rule.
    """
    found = [*map(Seq, islice(_divided(_flat(node)), _MOST + 1))]
    best = next((i for i, form in enumerate(found) if _sure(form, END)), _MOST)
    if len(found) == 1 or best == _MOST:
        return ()
    return tuple(f"^{regex(form)}$" for form in (found if len(found) <= _MOST else (*found[: best + 1], node)))


def _flat(node: Node) -> tuple[Node, ...]:
    """Return the parts of a pattern, one after the other."""
    return tuple(part for item in node.items for part in _flat(item)) if isinstance(node, Seq) else (node,)


def _divided(items: tuple[Node, ...]) -> Iterator[tuple[Node, ...]]:
    """Yield the forms of a sequence: its first choice that the next character does not tell is taken out, until there is none."""
    for i, item in enumerate(items):
        after = first(Seq(items[i + 1 :]), END)
        if not _sure(item, after):
            for chosen in _ways(item, after):
                yield from _divided((*items[:i], *chosen, *items[i + 1 :])) if chosen != (item,) else iter((items,))
            return
    yield items


def _ways(item: Node, after: CharSet) -> Iterator[tuple[Node, ...]]:
    """Yield the ways to choose, in the order in which an expression tries them; any order will do where a character tells."""
    match item:
        case Alt(branches):
            yield from map(_flat, branches)
        case Opt(inner):
            told = _apart(inner, after)
            yield from ((), _flat(inner)) if told else (_flat(inner), ())
        case _:
            yield (item,)


def _sure(node: Node, after: CharSet) -> bool:
    """Return whether the next character always tells how to go on, in the pattern and behind it."""
    match node:
        case Term(_, expression):
            own = first(node, 0) if first(node, _EMPTY) & _EMPTY else 0
            return "(?i" not in expression and not (extending(expression) | own) & after
        case Seq(items):
            return all(_sure(item, first(Seq(items[i + 1 :]), after)) for i, item in enumerate(items))
        case Alt(branches):
            rests = _behind_common(branches)
            begins = [first(b, after) for b in rests]
            apart = all(not a & b for i, a in enumerate(begins) for b in begins[:i])
            return apart and all(_sure(b, after) for b in rests)
        case Opt(item):
            return _apart(item, after) and _sure(item, after)
        case Lit():
            return True


def _behind_common(branches: tuple[Node, ...]) -> tuple[Node, ...]:
    """Return what follows the fixed text that alternatives have in common: the engine takes it out of them by itself."""
    parts = [_flat(b) for b in branches]
    heads = [p[0].text for p in parts if p and isinstance(p[0], Lit)]
    size = _common(heads) if len(heads) == len(parts) else 0
    return tuple(Seq((Lit(head[size:]), *p[1:])) for head, p in zip(heads, parts, strict=True)) if size else branches


def _common(texts: list[str]) -> int:
    """Return how many characters some texts have in common at their start."""
    return next((i for i, characters in enumerate(zip(*texts, strict=False)) if len(set(characters)) > 1), min(map(len, texts)))


def _apart(node: Node, after: CharSet) -> bool:
    """Return whether the next character tells that a pattern is there, which something, and what may follow it in its place."""
    begin = first(node, _EMPTY)
    return not begin & (after | _EMPTY) and not _folds(node)


def _folds(node: Node) -> bool:
    """Return whether a pattern holds an expression of any case: its characters are not known."""
    match node:
        case Term(_, expression):
            return "(?i" in expression
        case Seq(parts) | Alt(parts):
            return any(map(_folds, parts))
        case Opt(item):
            return _folds(item)
        case Lit():
            return False
