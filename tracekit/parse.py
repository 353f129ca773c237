"""Parsing: chunks of a source become event tables, and every physical line is accounted for once."""

import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, islice

import polars as pl

from tracekit.chunk import Chunk
from tracekit.grammar import Grammars, Rule, fields_by_lark
from tracekit.layout import Layout, constant
from tracekit.pattern import NOTHING, escape
from tracekit.source import Source
from tracekit.types import ENVELOPE, Schema, event_schema
from tracekit.wrap import Logical, Wrapper, detect

SAMPLE_LINES = 1000
WORKERS = 2
# Rules so marked have no fixed text of their own: they are looked for only where every line can be looked at.
SMALL_ONLY = "Small sources only"
SMALL_SOURCE = 20_000
_FEW = 100  # texts that python matches sooner than polars makes an expression
CLASSES = ("event", "part-of-event", "frame", "text", "not understood", "rejected")

_WHOLE = "whole_match"
RAW = "raw_event"
RAW_SCHEMA: Schema = {"event": pl.String(), "args": pl.String()}
Example = tuple[int, int, str]  # lines that were not understood: how many, the first one's number and text


@dataclass
class Parsed:
    """What one source gave: event tables, and the account of its lines."""

    path: str
    tables: dict[str, pl.DataFrame] = field(default_factory=dict)
    lines: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    envelopes: Counter[str] = field(default_factory=Counter)
    not_understood: dict[str, Example] = field(default_factory=dict)
    clock: str = "none"
    notes: list[str] = field(default_factory=list)


@dataclass
class _Part:
    """What one chunk gave."""

    tables: dict[str, pl.DataFrame]
    classes: Counter[str]
    events: Counter[str]
    envelopes: Counter[str]
    not_understood: dict[str, Example]


class Vocabulary:
    """The event rules of a run, made ready: which are captured, and the prefilter that finds their candidate lines."""

    def __init__(self, grammars: Grammars, wanted: Iterable[str]) -> None:
        names = set(wanted)
        self.envelopes = grammars.envelopes
        self.rules = dict(grammars.events)
        self.captured = {n for n in self.rules if n in names}
        self.raw = RAW in names
        self.by_literal: dict[str, list[Rule]] = {}
        for rule in self.rules.values():
            for text in rule.literals:
                self.by_literal.setdefault(text, []).append(rule)
        self.held = pl.col("text").str.extract_many(list(self.by_literal), overlapping=True)
        self.general = [(r, re.compile(r.regex)) for r in self.rules.values() if not r.literals]
        self.general_form = "|".join(re.sub(r"\(\?P<[^>]*>", "(?:", r.regex) for r, _ in self.general) or NOTHING
        self._columns: dict[str, list[pl.Expr]] = {}
        self.prefilter = _prefilter([r for r in self.rules.values() if SMALL_ONLY not in r.doc])
        self.wanted_prefilter = _prefilter([self.rules[n] for n in self.captured if SMALL_ONLY not in self.rules[n].doc])

    def blank(self, names: Iterable[str]) -> dict[str, pl.DataFrame]:
        """An event table without rows for each name that is one."""
        own = {name: rule.columns for name, rule in self.rules.items()} | {RAW: RAW_SCHEMA}
        return {name: pl.DataFrame(schema=event_schema(own[name])) for name in names if name in own}

    def columns(self, rule: Rule) -> list[pl.Expr]:
        """What makes the columns of a rule's table of its captured groups."""
        if rule.name not in self._columns:
            self._columns[rule.name] = [_column(name, rule, dtype) for name, dtype in rule.columns.items()]
        return self._columns[rule.name]


def parse(source: Source, vocabulary: Vocabulary, progress: Callable[[int], None] | None = None) -> Parsed:
    """Read a source to its end: its event tables and the account of its lines.

    Tables have the schema `event_schema(rule.columns)`; `ts` is still on the source's own clock, `boot` 0.
    """
    parsed = Parsed(source.path)
    chunks = iter(source.chunks())
    head = next(chunks, None)
    if head is None:
        return parsed
    sample = head.data[: 1 << 20].decode(errors="replace").split("\n", SAMPLE_LINES)[:SAMPLE_LINES]
    wrapper = detect(sample)
    reader = _Reader(vocabulary, wrapper)
    parts: dict[str, list[pl.DataFrame]] = {}
    for part in _in_order(reader.tasks(head, chunks, parsed, progress)):
        for name, frame in part.tables.items():
            parts.setdefault(name, []).append(frame)
        parsed.classes.update(part.classes)
        parsed.events.update(part.events)
        parsed.envelopes.update(part.envelopes)
        _merge_examples(parsed.not_understood, part.not_understood)
    parsed.tables = {n: _from(source.path, pl.concat(frames)) for n, frames in parts.items()}
    parsed.clock = reader.layout.clock if reader.layout else "none"
    parsed.notes += source.notes()
    accounted = sum(parsed.classes.values())
    if accounted != parsed.lines:
        raise AssertionError(f"{source.path}: {accounted} lines accounted of {parsed.lines}")
    return parsed


class _Reader:
    """Turns chunks into frames of logical lines and hands each to `_work`; the layout is settled on the first lines."""

    def __init__(self, vocabulary: Vocabulary, wrapper: Wrapper | None) -> None:
        self.vocabulary, self.wrapper = vocabulary, wrapper
        self.layout: Layout | None = None

    def tasks(
        self, head: Chunk, rest: Iterator[Chunk], parsed: Parsed, progress: Callable[[int], None] | None
    ) -> Iterator[Callable[[], _Part]]:
        for chunk in _chain(head, rest):
            lines, broken = chunk.lines, chunk.broken
            if broken:
                parsed.notes.append(f"line {broken[0]}: bytes that are not UTF-8 (replaced; {len(broken)} such lines in this part)")
            parsed.lines += len(lines)
            if progress:
                progress(len(chunk.data))
            frame = self._logical(lines, chunk.first_line)
            yield self._task(frame, len(lines))
        if self.wrapper is not None:
            yield self._task(_logical_frame(self.wrapper.close()), 0)

    def _logical(self, lines: pl.Series, first_line: int) -> pl.DataFrame:
        if self.wrapper is not None:
            return _logical_frame(self.wrapper.feed(lines.to_list(), first_line))
        return pl.DataFrame({"line": pl.int_range(first_line, first_line + len(lines), eager=True), "text": lines})

    def _task(self, frame: pl.DataFrame, physical: int) -> Callable[[], _Part]:
        if self.layout is None:
            self.layout = Layout.settle(self.vocabulary.envelopes, frame["text"].head(SAMPLE_LINES).to_list())
        layout, vocabulary = self.layout, self.vocabulary
        return lambda: _work(frame, layout, vocabulary)


def _work(frame: pl.DataFrame, layout: Layout, vocabulary: Vocabulary) -> _Part:
    """Parse one frame of logical lines (line, text and, from a wrapper, line_end)."""
    if layout.noise:
        frame = frame.with_columns(layout.clean(frame["text"]).alias("text"))
    text = frame["text"]
    framing = layout.frames(text)
    whole = layout.dense or len(text) <= SMALL_SOURCE
    survivors = frame if whole else frame.filter(text.str.contains(vocabulary.wanted_prefilter if layout.trace else vocabulary.prefilter))
    peeled = layout.peel(survivors[["line", "text"]])
    tables, events, matched, suspects = _capture(peeled, vocabulary)
    in_event = frame["line"].is_in(matched.implode()) if len(matched) else constant(False, frame.height)
    if layout.trace:
        names = layout.events(text)
        events.update({str(n): int(c) for n, c in names.filter(~in_event).drop_nulls().value_counts().iter_rows()})
        if vocabulary.raw:
            tables |= _raw(frame.filter(names.is_not_null() & ~in_event & ~names.is_in(list(vocabulary.rules))), layout)
        in_event = in_event | names.is_not_null()
    parts = layout.parts(text)
    bad = frame["line"].is_in(suspects["line"].implode()) & ~in_event & ~parts & ~framing if suspects.height else None
    classes = _classes(frame, {"event": in_event, "part-of-event": parts, "frame": framing, "not understood": bad})
    examples = _examples(frame, suspects, bad)
    return _Part(tables, classes, events, Counter(layout.envelope_counts(text)), examples)


def _raw(frame: pl.DataFrame, layout: Layout) -> dict[str, pl.DataFrame]:
    """Trace events that no rule names, as printed: `raw_event` with event and args."""
    if frame.is_empty():
        return {}
    rows = layout.peel(frame.select("line", "text"))
    own = rows["msg"].str.extract_groups(r"^(?:[a-z_0-9]+:)?(?P<event>[^ :]+): *(?P<args>.*)$").struct.unnest()
    table = rows.select(_COPIES).hstack(own.select([_copied(c) for c in RAW_SCHEMA]))
    return {RAW: table.filter(pl.col("event").is_not_null())}


def _copied(name: str) -> pl.Expr:
    return (pl.col(name) + "").alias(name)


def _classes(frame: pl.DataFrame, marks: Mapping[str, pl.Series | None]) -> Counter[str]:
    """How many physical lines are of each class, the first that is marked; of several logical lines in one the best class counts."""
    given = [(name, mark) for name, mark in marks.items() if mark is not None]
    codes = [pl.when(mark).then(pl.lit(i, dtype=pl.UInt8)) for i, (_, mark) in enumerate(given)]
    found = pl.select(pl.coalesce([*codes, pl.lit(len(given), dtype=pl.UInt8)]).alias("class")).to_series()
    joined = 0
    if "line_end" in frame.columns:
        lines = frame.select("line", "line_end", found).group_by("line").agg(pl.min("class"), pl.max("line_end"))
        found, joined = lines["class"], int((lines["line_end"] - lines["line"]).clip(0).sum())
    names = [*(name for name, _ in given), "text"]
    classes = Counter({names[i]: int(n) for i, n in found.value_counts().iter_rows()})
    classes["part-of-event"] += joined
    return classes


def _capture(peeled: pl.DataFrame, vocabulary: Vocabulary) -> tuple[dict[str, pl.DataFrame], Counter[str], pl.Series, pl.DataFrame]:
    """(tables of the captured rules, matches of every rule, lines that one matched, lines with a literal that none matched)."""
    tables: dict[str, pl.DataFrame] = {}
    events: Counter[str] = Counter()
    matched: list[pl.Series] = []
    candidates: list[pl.DataFrame] = []
    msg, line, place = peeled["msg"], peeled["line"], peeled[list(ENVELOPE)]
    for rule, rows in _candidates(msg, vocabulary):
        hit, groups = _matches(msg[rows], rule)
        if rule.literals and groups.height < len(rows):
            candidates.append(pl.DataFrame([line[rows], constant(rule.name, len(rows)).alias("event")]))
        if groups.is_empty():
            continue
        events[rule.name] = groups.height
        rows = rows if hit is None else rows.filter(hit)
        matched.append(line[rows])
        if rule.name in vocabulary.captured:
            tables[rule.name] = _kept(place[rows], peeled.height).hstack(groups.select(vocabulary.columns(rule)))
    lines = pl.concat(matched).unique() if matched else pl.Series("line", [], dtype=pl.Int64)
    suspects = pl.concat(candidates) if candidates else pl.DataFrame(schema={"line": pl.Int64, "event": pl.String})
    if suspects.height:
        suspects = suspects.filter(~pl.col("line").is_in(lines.implode())).unique("line", keep="first", maintain_order=True)
    return tables, events, lines, suspects


def _kept(rows: pl.DataFrame, of: int) -> pl.DataFrame:
    """The rows without their chunk of so many lines: strings would keep the whole of a large one in memory, so they are copied."""
    return rows if of <= SMALL_SOURCE else rows.select(_COPIES)


def _candidates(msg: pl.Series, vocabulary: Vocabulary) -> Iterator[tuple[Rule, pl.Series]]:
    """Each rule that has candidates, with their row numbers: those that hold a literal of it, or have the shape of its matches."""
    if msg.is_empty():
        return
    holding = _holding(pl.DataFrame({"text": msg}).select_seq(vocabulary.held))
    for rule in {r.name: r for text in holding for r in vocabulary.by_literal[text]}.values():
        parts = [holding[text] for text in rule.literals if text in holding]
        yield rule, parts[0] if len(parts) == 1 else pl.concat(parts).unique().sort()
    rows = msg.str.contains(vocabulary.general_form).arg_true()
    texts = msg[rows]
    few = texts.to_list() if len(rows) <= SMALL_SOURCE else None
    for rule, compiled in vocabulary.general if len(rows) else ():
        # Of a few texts python tells it sooner than polars, which keeps no more than 32 expressions ready.
        hit = texts.str.contains(rule.regex) if few is None else pl.Series([compiled.match(text) is not None for text in few])
        if hit.any():
            yield rule, rows.filter(hit)


def _holding(found: pl.DataFrame) -> dict[str, pl.Series]:
    """Text -> numbers of the rows that hold it, of the texts in each row."""
    exploded = found.with_row_index("row").explode("text").drop_nulls()
    by_text = exploded.group_by("text", maintain_order=True).agg(pl.col("row").unique().sort())
    return dict(zip(by_text["text"], by_text["row"], strict=True))


def _matches(texts: pl.Series, rule: Rule) -> tuple[pl.Series | None, pl.DataFrame]:
    """(which texts the rule matches, null where it is all; what it captures of these, a column a group)."""
    if rule.by_lark:
        found = [fields_by_lark(rule, text) for text in texts]
        fields = {g: [f.get(c) if f and g == c else None for f in found] for c, names in rule.groups.items() for g in names}
        whole = [text if f is not None else None for text, f in zip(texts, found, strict=True)]
        groups = pl.DataFrame({_WHOLE: whole, **fields}, schema_overrides=dict.fromkeys([_WHOLE, *fields], pl.String))
    elif len(texts) <= min(_FEW, SMALL_SOURCE):
        groups = _few_matches(texts.to_list(), rule)
    else:
        groups = texts.str.extract_groups(f"(?P<{_WHOLE}>{rule.regex})").struct.unnest()
    missed = groups[_WHOLE].null_count()
    if missed == 0:
        return None, groups
    hit = groups[_WHOLE].is_not_null()
    return hit, groups.clear() if missed == len(texts) else groups.filter(hit)


def _few_matches(texts: Sequence[str], rule: Rule) -> pl.DataFrame:
    """The same of a few texts: python keeps the expressions of all rules ready, polars makes each anew."""
    expression = _compiled(rule.regex)
    found = [expression.match(text) for text in texts]
    cells: dict[str, int | str] = {_WHOLE: 0, **{name: name for name in expression.groupindex}}
    return pl.DataFrame([pl.Series(name, [m and m[group] for m in found], dtype=pl.String) for name, group in cells.items()])


@cache
def _compiled(expression: str) -> re.Pattern[str]:
    return re.compile(expression)


_COPIES = [(pl.col(name) + "").alias(name) if dtype == pl.String else pl.col(name) for name, dtype in ENVELOPE.items()]


def _column(name: str, rule: Rule, dtype: pl.DataType) -> pl.Expr:
    groups = rule.groups[name]
    text = pl.coalesce(groups) if len(groups) > 1 else pl.col(groups[0])
    if dtype == pl.Int64:
        return text.str.to_integer(dtype=pl.Int64, strict=False).alias(name)
    if dtype == pl.UInt64:
        return text.str.strip_prefix("0x").str.to_integer(base=16, dtype=pl.UInt64, strict=False).alias(name)
    return (text + "").alias(name)


def _prefilter(rules: Sequence[Rule]) -> str:
    """One expression that every line matches which one of the rules could match."""
    parts = {escape(t) for r in rules for t in r.literals or r.signs} | {r.shape for r in rules if not (r.literals or r.signs)}
    return "|".join(sorted(parts)) or NOTHING


def _logical_frame(lines: Iterable[Logical]) -> pl.DataFrame:
    rows = [(x.line, x.line_end, x.text) for x in lines]
    return pl.DataFrame(rows, schema={"line": pl.Int64, "line_end": pl.Int64, "text": pl.String}, orient="row")


def _examples(frame: pl.DataFrame, suspects: pl.DataFrame, bad: pl.Series | None) -> dict[str, Example]:
    """One example for each kind of line that was not understood."""
    if bad is None or not bad.any():
        return {}
    rows = (
        frame.filter(bad).join(suspects, on="line").group_by("event", maintain_order=True).agg(pl.len(), pl.first("line"), pl.first("text"))
    )
    return {e: (n, line, text[:300]) for e, n, line, text in rows.iter_rows()}


def _merge_examples(into: dict[str, Example], more: Mapping[str, Example]) -> None:
    for name, example in more.items():
        known = into.get(name)
        into[name] = (known[0] + example[0], known[1], known[2]) if known else example


def _in_order(tasks: Iterator[Callable[[], _Part]]) -> Iterator[_Part]:
    """Run tasks on worker threads (polars releases the interpreter lock), at most one more in flight than there are workers.

    A single task is run here: a new thread would compile every expression anew. So are all where polars has one thread: it may be this one.
    """
    ahead = list(islice(tasks, 2))
    if len(ahead) < 2 or pl.thread_pool_size() == 1:
        yield from (task() for task in chain(ahead, tasks))
        return
    with ThreadPoolExecutor(WORKERS) as pool:
        flying: deque[Future[_Part]] = deque()
        for task in chain(ahead, tasks):
            flying.append(pool.submit(task))
            if len(flying) > WORKERS:
                yield flying.popleft().result()
        while flying:
            yield flying.popleft().result()


def _from(path: str, frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with its source named in each row."""
    return frame.replace_column(frame.get_column_index("source"), constant(path, frame.height).alias("source"))


def _chain(head: Chunk, rest: Iterator[Chunk]) -> Iterator[Chunk]:
    yield head
    yield from rest


def tables_of(parsed: Sequence[Parsed]) -> dict[str, pl.DataFrame]:
    """The event tables of all sources, one frame a name."""
    parts: dict[str, list[pl.DataFrame]] = {}
    for p in parsed:
        for name, frame in p.tables.items():
            parts.setdefault(name, []).append(frame)
    return {name: pl.concat(frames) for name, frames in parts.items()}
