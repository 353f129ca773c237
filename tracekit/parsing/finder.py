"""Find the lines of a large log that an event rule or a complaint may match, by the literals of the rules.

Two engines find the same lines: one expression over the lines (polars), and hyperscan over the bytes, where it is installed. Hyperscan
calls back for each text that it meets, so it is asked where few lines hold one: of 1 GiB of dmesg, of which 14 % hold one, it takes
0.8 s of CPU time, the expression 1.5 s.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from hashlib import blake2b
from importlib import import_module
from typing import Any

import polars as pl

from tracekit.grammar.expression import NOTHING, escape
from tracekit.grammar.rules import Rule
from tracekit.parsing.complaint import FAULT_IN_BYTES, FAULT_WITHIN_LINE, complaints
from tracekit.parsing.envelopes import mask_of
from tracekit.speed import kept

_FEW = 0.3  # share of lines with a text up to which hyperscan is faster: each text that it finds costs a call


class Finder:
    """Hold the texts by which some rules find their lines.

    A text of a rule with the mark `found-with` is met in many lines that are nothing: these are looked at once more, as lines.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        rules = list(rules)
        plain = [r for r in rules if not r.marks.found_with]
        self.pairs = [(r.texts, r.marks.found_with) for r in rules if r.marks.found_with]
        self.sure = _least({t for r in plain for t in r.texts})
        self.shapes = sorted({r.shape for r in plain if not r.texts})
        self.unsure = sorted({t for texts, _ in self.pairs for t in texts if not any(s in t for s in self.sure)})
        self._surely = _any_of(self.sure, self.shapes)
        self.others = _least({t for _, other in self.pairs for t in other})
        self._maybe = _any_of([*self.sure, *self.unsure], self.shapes)

    def find(self, lines: pl.Series, data: bytes = b"", read: pl.Series | None = None) -> pl.Series:
        """Return which lines a rule could match, and which complain and hold a text of one.

        `data`: the same lines as bytes, for hyperscan; nothing where they differ or the expression is to look. `read`: what of each line
        a rule reads, where that is not all.
        """
        scanned = self._scanned(lines, data) if data and self._scan is not None else None
        surely, maybe = scanned or self._searched(lines if read is None else read)
        left = (maybe & ~surely).arg_true()
        if len(left):
            surely.scatter(left.filter(self._worth(lines.gather(left))), True)
        return surely

    def suits(self, lines: pl.Series) -> bool:
        """Return whether hyperscan finds the lines of a log that begins with these sooner than the expression."""
        return self._scan is not None and lines.str.contains(self._maybe).sum() < _FEW * len(lines)

    def _worth(self, texts: pl.Series) -> pl.Series:
        """Return which lines that hold an unsure text have another of the rule's too, or complain."""
        found = complaints(texts)
        rows = texts.str.contains(_any_of(self.others)).arg_true()
        few = texts.gather(rows)
        for one, other in self.pairs if len(rows) else ():
            found.scatter(rows.filter(few.str.contains(_any_of(one)) & few.str.contains(_any_of(other))), True)
        return found

    def _searched(self, lines: pl.Series) -> tuple[pl.Series, pl.Series]:
        """Return which lines hold a sure text, and which hold any."""
        maybe = lines.str.contains(self._maybe)
        if not self.pairs:
            return maybe, maybe
        rows = maybe.arg_true()
        return mask_of(rows.filter(lines.gather(rows).str.contains(self._surely)), len(lines)), maybe

    def _scanned(self, lines: pl.Series, data: bytes) -> tuple[pl.Series, pl.Series] | None:
        """Return which lines hold a sure text, and which hold an unsure one; null where the lines are not those of the bytes."""
        ends = (lines.str.len_bytes() + 1).cum_sum()
        if ends.is_empty() or ends[-1] != len(data) + (not data.endswith(b"\n")):
            return None  # the bytes have carriage returns, which are no longer in the lines
        assert self._scan is not None
        surely, maybe = (mask_of(ends.search_sorted(pl.Series(found, dtype=ends.dtype)), len(lines)) for found in self._scan(data))
        if any(text in lines[0] for text in self.unsure):
            maybe[0] = True  # no byte stands before this line
        return surely, maybe

    @cached_property
    def _scan(self) -> "Callable[[bytes], Sequence[list[int]]] | None":
        """Return what finds the ends of all sure and of all unsure texts in bytes; null where hyperscan is not installed."""
        try:
            hyperscan: Any = import_module("hyperscan")
        except ImportError:
            return None
        if self.shapes or not self.sure:
            return None
        sure = [re.escape(t) for t in self.sure]
        maybe = list(_in_one_line(self.unsure, self.others)) if self.unsure else []
        database = _database(hyperscan, sure, maybe)

        def scan(data: bytes) -> Sequence[list[int]]:
            found: tuple[list[int], list[int]] = [], []

            def met(kind: int, begin: int, end: int, flags: int, context: object) -> None:
                found[kind].append(end)

            database.scan(data, match_event_handler=met, scratch=hyperscan.Scratch(database))  # threads may not share a scratch
            return found

        return scan


def _database(hyperscan: Any, *expressions: Sequence[str]) -> Any:
    """Return what hyperscan makes of expressions: of a match in the nth sequence it tells n.

    It is kept in the user's cache: saves 0.13 s, a tenth of a log of 100 MB. One of another release or processor is not taken.
    """

    def compiled() -> Any:
        made = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        ids = [n for n, own in enumerate(expressions) for _ in own]
        made.compile(expressions=[e.encode() for own in expressions for e in own], ids=ids, flags=[0] * len(ids))
        return made

    about = repr((hyperscan.__version__, expressions)).encode()
    data = kept(f"texts-{blake2b(about, digest_size=16).hexdigest()}", lambda: hyperscan.dumpb(compiled()))
    try:
        return hyperscan.loadb(data, hyperscan.HS_MODE_BLOCK)
    except hyperscan.error:
        return compiled()


def _in_one_line(one: Sequence[str], other: Sequence[str]) -> Iterator[str]:
    """Yield expressions of which one matches in every line that holds a text of each (apart, or one in the other, or overlapping), and in
    every complaint that holds a text of the first; in no two lines together.

    Texts that do so alone are sought alone, and in one direction both are sought by one expression: saves 14 % of the search.
    """
    alone = _least({text for a in one for b in other for text in (*_overlapping(a, b), *_overlapping(b, a))})
    yield from map(re.escape, alone)
    first, second = (_any_of(_least(t for t in texts if not any(s in t for s in alone))) for texts in (one, other))
    if first == NOTHING:
        return
    yield f"(?:{first})[^\n]*(?:{second}|{FAULT_WITHIN_LINE})"
    yield f"(?:{FAULT_IN_BYTES})[^\n]*(?:{first})"
    if second != NOTHING:  # hyperscan refuses what never matches
        yield f"(?:{second})[^\n]*(?:{first})"


def _overlapping(first: str, second: str) -> Iterator[str]:
    """Yield the texts that begin with the first text and hold the second, which begins before the first one ends."""
    for at in range(len(first)):
        if first.startswith(second, at) or second.startswith(first[at:]):
            yield first[:at] + second if len(second) > len(first) - at else first


def _least(texts: Iterable[str]) -> list[str]:
    """Return the texts without those that hold another one: they find no further line."""
    shortest: list[str] = []
    for text in sorted(texts, key=lambda t: (len(t), t)):
        if not any(s in text for s in shortest):
            shortest.append(text)
    return sorted(shortest)


def _any_of(texts: Iterable[str], shapes: Iterable[str] = ()) -> str:
    """Return one expression that every line matches which holds one of these."""
    return "|".join([*sorted(map(escape, texts)), *shapes]) or NOTHING
