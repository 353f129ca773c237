"""Idle lines: those of a large call graph or function trace whose row every reader of its table would pass over. They are counted, and not
peeled or captured: most functions of a graph that was not filtered are of no interest, and the lines of these are most of it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

import polars as pl

from tracekit.grammar.expression import escape
from tracekit.grammar.rules import Rule
from tracekit.parsing.capture import SMALL_SOURCE, Vocabulary
from tracekit.parsing.envelopes import Layout, prefix, true_rows
from tracekit.parsing.peeling import before_message

_SOME, _WORTH = 200, 0.1  # lines that tell whether it pays to look for idle ones, and the share of them from which it does


class Gone(NamedTuple):
    """How many lines of a piece are counted of which no more is kept, by class, by event and by envelope."""

    classes: Mapping[str, int] = MappingProxyType({})
    events: Mapping[str, int] = MappingProxyType({})
    envelopes: Mapping[str, int] = MappingProxyType({})

    def with_others(self, others: "Gone") -> "Gone":
        """Return both together."""
        return Gone(*(Counter(own) + Counter(other) for own, other in zip(self, others, strict=True)))


def without_idle(lines: pl.DataFrame, layout: Layout, vocabulary: Vocabulary) -> tuple[pl.DataFrame, Gone]:
    """Return the clean lines of a piece that are not idle, and what is counted of the others. One idle line of each rule stays: it shows
    that the log has such.

    Saves 45 % of a function graph.
    """
    envelope = layout.sole
    if envelope is None or not (layout.dense or layout.trace) or lines.height <= SMALL_SOURCE or "line_end" in lines.columns:
        return lines, Gone()
    found = {rule.name: _idle(lines["text"], envelope, rule, texts) for rule, texts in vocabulary.idle}
    events = {name: len(rows) for name, rows in found.items() if len(rows)}
    if not events:
        return lines, Gone()
    gone = sum(events.values())
    kept = lines.remove(pl.int_range(pl.len(), dtype=pl.UInt32).is_in(pl.concat(found.values()).implode()))
    return kept, Gone({"event": gone}, events, {envelope.name: gone})


def _idle(text: pl.Series, envelope: Rule, rule: Rule, texts: Iterable[str]) -> pl.Series:
    """Return the rows of the lines with this envelope whose message the rule matches, and that hold none of these texts."""
    whole = _whole(envelope.regex, rule.regex)
    if whole is None or text.gather_every(len(text) // _SOME + 1).str.contains(whole).sum() < _WORTH * _SOME:
        return pl.Series(dtype=pl.UInt32)
    rows = true_rows(text.str.contains(whole))
    matched = text.gather(rows)
    held = matched.str.contains("|".join(sorted(map(escape, texts))))
    return rows.filter(matched.str.contains(prefix(envelope)) & ~held)[1:]


@lru_cache(maxsize=64)
def _whole(envelope: str, rule: str) -> str | None:
    """Return one expression for a line with this envelope whose message this expression matches; None where the message may be cut off
    before the end of the line."""
    parts = before_message(envelope)
    if parts is None or not (rule.startswith("^") and rule.endswith("$")):
        return None
    return re.sub(r"\(\?P<[^>]*>", "(?:", f"^(?:{parts[0]})(?:{rule[1:-1]})$")
