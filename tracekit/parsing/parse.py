"""Parsing: chunks of a source become event tables, and every physical line is accounted for once."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate, chain

import polars as pl

from tracekit.parsing.capture import COPIES, RAW, RAW_SCHEMA, SMALL_SOURCE, Captured, Vocabulary, capture, split
from tracekit.parsing.complaint import complaints, printed, weight
from tracekit.parsing.envelopes import Cut, Layout, constant, divided, mask_of, true_rows
from tracekit.parsing.finder import Finder
from tracekit.parsing.idle import Gone, without_idle
from tracekit.parsing.logical import framed
from tracekit.parsing.named import among
from tracekit.parsing.sample import LINES, completed, sample
from tracekit.parsing.workers import WORKERS, in_order
from tracekit.parsing.wrap import Wrapper, detect
from tracekit.reading.source import CHUNK, Source

_PIECES = 4 * WORKERS
_FEW_CHUNKS = 2  # a log of more is worth the 20 ms in which hyperscan is loaded and made ready
_ENOUGH = 4 << 20  # bytes of lines of several pieces that the rules look at, in two halves
_CHUNKS = 64  # of a frame: what polars does with a frame takes longer for each
_UNSETTLED = Layout({}, (), ())  # of a source that is settled with others
_NO_KIND = pl.DataFrame(schema={"line": pl.Int64, "event": pl.String})
CLASSES = ("event", "part-of-event", "frame", "text", "not understood", "rejected")

Example = tuple[int, int, str]  # lines that were not understood: how many, number and text of the one most like a fault


@dataclass
class Parsed:
    """The result of parsing one source: event tables, and the account of its lines."""

    path: str
    tables: dict[str, pl.DataFrame] = field(default_factory=dict)
    lines: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    envelopes: Counter[str] = field(default_factory=Counter)
    not_understood: dict[str, Example] = field(default_factory=dict)
    clock: str = "none"
    kernel: bool = False  # whether a tag or a stamp says that it has messages of the kernel
    notes: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Piece:
    """Logical lines of a source that are parsed in one go (line, text and, from a wrapper, line_end), and the envelopes they have.

    `data`: the same lines as bytes, where their texts are sought in these.
    """

    source: str
    lines: pl.DataFrame
    layout: Layout
    data: bytes = b""

    def named(self, peeled: pl.DataFrame) -> pl.DataFrame:
        """Return some of the lines without their envelopes, with the name of the source in each row."""
        return peeled.replace_column(peeled.get_column_index("source"), constant(self.source, peeled.height).alias("source"))


@dataclass(frozen=True)
class _Seen:
    """A piece with its noise gone, and its lines that a rule could match: these (line, text), and which they are, null where it is all.
    `cut`: its lines cut behind their envelopes, where they were to be sought in. `gone`: its other lines, of which no more is kept."""

    piece: _Piece
    lines: pl.DataFrame
    survivors: pl.DataFrame
    which: pl.Series | None = None
    cut: Cut | None = None
    gone: Gone = field(default_factory=Gone)

    @property
    def names(self) -> pl.Series | None:
        """Return the names of the survivors' events, where they are known."""
        return self.cut.names.filter(self.which) if self.cut and self.cut.names is not None and self.which is not None else None

    def marked(self, rows: Mapping[str, pl.Series]) -> pl.Series:
        """Return which lines are among these rows of the survivors; of several logical lines in one, all are if one is."""
        mask = mask_of(pl.concat(rows.values()), self.survivors.height) if rows else constant(False, self.survivors.height)
        if self.which is not None:
            mask = mask_of(self.which.arg_true().filter(mask), self.lines.height)
        if "line_end" in self.lines.columns and rows:
            return self.lines.select("line", mask.alias("mask")).select(pl.col("mask").any().over("line")).to_series()
        return mask


@dataclass
class _Part:
    """The result of parsing one piece; `first`: the number of its first line."""

    first: int
    tables: dict[str, pl.DataFrame]
    classes: Counter[str]
    events: Counter[str]
    envelopes: Counter[str]
    not_understood: dict[str, Example]
    unfit: list[int]  # lines that no rule reads whole for a number that fits no column


def parse(source: Source, vocabulary: Vocabulary, progress: Callable[[int], None] | None = None) -> Parsed:
    """Read a source to its end: its event tables and the account of its lines.

    Tables have the schema `event_schema(rule.columns)`; `ts` is still on the source's own clock, `boot` 0.
    """
    reader = _Reader(source, vocabulary)
    return reader.parsed(_parts(reader.pieces(progress), vocabulary))


def parse_together(sources: Sequence[Source], vocabulary: Vocabulary, progress: Callable[[int], None] | None = None) -> list[Parsed]:
    """Read several small sources and look for their lines in one go: most operations cost as much for one source as for many."""
    readers = [_Reader(source, vocabulary, _UNSETTLED) for source in sources]
    pieces = _settled([(reader, piece) for reader in readers for piece in reader.pieces(progress)], vocabulary)
    parts = _work([piece for _, piece in pieces], vocabulary)
    own: dict[str, list[_Part]] = {}
    for (reader, _), part in zip(pieces, parts, strict=True):
        own.setdefault(reader.source.path, []).append(part)
    return [reader.parsed(own.get(reader.source.path, [])) for reader in readers]


class _Reader:
    """A reader of one source: it divides chunks into pieces and counts lines by class. The first piece decides the layout."""

    def __init__(self, source: Source, vocabulary: Vocabulary, layout: Layout | None = None) -> None:
        self.source, self.vocabulary, self.layout = source, vocabulary, layout
        self.account = Parsed(source.path)
        self.suits = False  # whether hyperscan is to look for the lines

    def pieces(self, progress: Callable[[int], None] | None = None) -> Iterator[_Piece]:
        """Yield all lines of the source."""
        wrapper: Wrapper | None = None
        for number, chunk in enumerate(self.source.chunks(_step(self.source))):
            if number == 0:
                head = chunk.data[: 1 << 20].decode(errors="replace")
                wrapper = detect(head.split("\n", LINES)[:LINES], self.vocabulary.reads)
            lines, broken = chunk.lines, chunk.broken
            if broken:
                self.account.notes.append(f"line {broken[0]}: bytes that are not UTF-8 (replaced; {len(broken)} such lines in this part)")
            self.account.lines += len(lines)
            if progress:
                progress(len(chunk.data))
            piece = self._piece(_logical(lines, chunk.first_line, wrapper))
            settled = piece.layout is not _UNSETTLED
            if number == _FEW_CHUNKS and wrapper is None and settled and not piece.layout.noise and not piece.layout.dense:
                self.suits = _finder(piece.layout, self.vocabulary).suits(lines.head(LINES * 10))
            yield replace(piece, data=chunk.data) if self.suits and not broken else piece
        if wrapper is not None:
            yield self._piece(framed(wrapper.close()))

    def _piece(self, lines: pl.DataFrame) -> _Piece:
        if self.layout is None:
            self.layout = Layout.settle(self.vocabulary.envelopes, sample(lines))
        if self.layout is not _UNSETTLED:
            self.layout = completed(self.layout, lines, self.vocabulary.envelopes)
        return _Piece(self.source.path, lines, self.layout)

    def parsed(self, parts: Iterable[_Part]) -> Parsed:
        """Return the account of the source, given what its pieces gave."""
        account = self.account
        tables: dict[str, list[pl.DataFrame]] = {}
        unfit: list[int] = []
        for part in parts:
            for name, frame in part.tables.items():
                tables.setdefault(name, []).append(frame)
            account.classes.update(part.classes)
            account.events.update(part.events)
            account.envelopes.update(part.envelopes)
            _merge_examples(account.not_understood, part.not_understood)
            unfit += part.unfit
        if unfit:
            account.notes.append(f"line {min(unfit)}: a number that fits no column (null; {len(unfit)} such lines)")
        account.tables = {n: frames[0] if len(frames) == 1 else pl.concat(frames) for n, frames in tables.items()}
        account.clock, account.kernel = (self.layout.clock, self.layout.kernel) if self.layout else ("none", False)
        account.notes += self.source.notes()
        account.losses += self.source.losses()
        if (accounted := sum(account.classes.values())) != account.lines:
            raise AssertionError(f"{account.path}: {accounted} lines accounted of {account.lines}")
        return account


def _step(source: Source) -> int:
    """Return the bytes of a chunk: of a log of a few chunks so many that no worker is the last one for long."""
    whole = source.length
    return whole // _PIECES if CHUNK * 2 < whole < CHUNK * _PIECES else CHUNK


def _settled(pieces: Sequence[tuple[_Reader, _Piece]], vocabulary: Vocabulary) -> list[tuple[_Reader, _Piece]]:
    """Return pieces of several sources with their layouts, which the first piece of each decides, of all in one go."""
    first: dict[_Reader, _Piece] = {}
    for reader, piece in pieces:
        first.setdefault(reader, piece)
    settled = Layout.settle_together(vocabulary.envelopes, [sample(piece.lines) for piece in first.values()])
    layouts = {own: completed(layout, first[own].lines, vocabulary.envelopes) for own, layout in zip(first, settled, strict=True)}
    for reader, layout in layouts.items():
        reader.layout = layout
    return [(reader, replace(piece, layout=layouts[reader])) for reader, piece in pieces]


def _logical(lines: pl.Series, first_line: int, wrapper: Wrapper | None) -> pl.DataFrame:
    if wrapper is not None:
        return framed(wrapper.feed(lines.to_list(), first_line))
    return pl.DataFrame([pl.int_range(first_line, first_line + len(lines), eager=True).alias("line"), lines.alias("text")])


def _parts(pieces: Iterable[_Piece], vocabulary: Vocabulary) -> list[_Part]:
    """Parse the pieces of a source, in its order."""
    sifted: list[_Seen] = []
    parts: list[_Part] = []

    def tasks() -> Iterator[Callable[[], Sequence[_Seen | _Part]]]:
        for piece in pieces:
            if sum(seen.survivors.estimated_size() for seen in sifted) >= _ENOUGH:
                yield from _reads(sifted, vocabulary)
            yield partial(_sift, piece, vocabulary) if piece.data and not piece.layout.trace else partial(_work, [piece], vocabulary)

    for results in in_order(tasks()):
        parts += [result for result in results if isinstance(result, _Part)]
        sifted += [result for result in results if isinstance(result, _Seen)]
    return sorted([*parts, *chain(*in_order(_reads(sifted, vocabulary)))], key=lambda part: part.first)


def _reads(sifted: list[_Seen], vocabulary: Vocabulary) -> Iterator[Callable[[], list[_Part]]]:
    """Empty a list of sifted pieces; yield what reads their lines, in halves, one a worker. Meanwhile few scan: each text that hyperscan
    finds would wait for a worker that goes from one short operation to the next, which cost 5 % of a large dmesg's time."""
    halves = sifted[::2], sifted[1::2]
    sifted.clear()
    yield from (partial(_read, own, vocabulary) for own in halves if own)


def _sift(piece: _Piece, vocabulary: Vocabulary) -> list[_Seen]:
    """Look for the few lines of a piece that a rule could match, and count the others. The rules look at those of some pieces in one go:
    saves 8 % of a large dmesg, since what polars makes ready for a rule takes longer than 3,000 lines."""
    seen = _look(piece, vocabulary)
    if seen.which is None:
        return [seen]
    marks = piece.layout.marks(seen.lines["text"], constant(False, seen.lines.height)).filter(~seen.which)
    framed = int(marks["frames"].sum())
    more = Gone(+Counter({"frame": framed, "text": marks.height - framed}), envelopes=piece.layout.envelope_counts(marks))
    own = seen.survivors.with_columns(pl.col("text") + "")  # a copy, so that the piece need not stay in memory
    return [_Seen(replace(piece, lines=own, data=b""), own, own, gone=seen.gone.with_others(more))]


def _work(pieces: Sequence[_Piece], vocabulary: Vocabulary) -> list[_Part]:
    """Parse some pieces."""
    return _read([_look(piece, vocabulary) for piece in pieces], vocabulary)


def _read(seen: Sequence[_Seen], vocabulary: Vocabulary) -> list[_Part]:
    """Let the rules look at the lines that they could match, and account for all lines."""
    peeled = _peel(seen)
    names = seen[0].names if len(seen) == 1 else None
    found = split(capture(pl.concat(peeled), vocabulary, names), [p.height for p in peeled]) if peeled else []
    matched = [s.marked(own.rows) for s, own in zip(seen, found, strict=True)]
    marks = _marks(seen, matched)
    counted = [_counted(*each, vocabulary) for each in zip(seen, found, matched, marks, strict=True)]
    return [_part(c, rows) for c, rows in zip(counted, _complaining(counted), strict=True)]


def _look(piece: _Piece, vocabulary: Vocabulary) -> _Seen:
    lines, layout = piece.lines, piece.layout
    if layout.noise:
        lines = lines.with_columns(layout.clean(lines["text"]).alias("text"))
    lines, gone = (lines, Gone()) if piece.data else without_idle(lines, layout, vocabulary)
    text = lines["text"]
    if layout.dense or len(text) <= SMALL_SOURCE:
        return _Seen(piece, lines, lines if lines.width == 2 else lines[["line", "text"]], gone=gone)
    cut = None if piece.data else layout.cut(text)
    which = _sought(text, cut, vocabulary) if cut else _finder(layout, vocabulary).find(text, piece.data)
    return _Seen(piece, lines, lines[["line", "text"]].filter(which), which, cut, gone)


def _sought(text: pl.Series, cut: Cut, vocabulary: Vocabulary) -> pl.Series:
    """Return which lines of a trace a captured rule could match: those with the name of its event, and those in which it finds a text.

    A probe may have the name of an event that no captured rule reads.
    """
    if cut.names is None:
        return vocabulary.wanted.find(text, read=cut.behind)
    which = among(cut.names, vocabulary.wanted_names)
    rows = true_rows(~which)
    which.scatter(rows.filter(vocabulary.wanted.find(text.gather(rows), read=cut.behind.gather(rows))), True)
    return which


def _finder(layout: Layout, vocabulary: Vocabulary) -> Finder:
    return vocabulary.wanted if layout.trace else vocabulary.finder


def _peel(seen: Sequence[_Seen]) -> list[pl.DataFrame]:
    """Return the survivors of each piece without their envelopes; those with layouts of one shape are peeled together."""
    alike: dict[tuple[object, ...], list[int]] = {}
    for i, s in enumerate(seen):
        alike.setdefault(s.piece.layout.shape, []).append(i)
    peeled: dict[int, pl.DataFrame] = {}
    for own in alike.values():
        frames = seen[own[0]].piece.layout.peel_together([seen[i].survivors for i in own])
        peeled.update((i, seen[i].piece.named(frame)) for i, frame in zip(own, frames, strict=True))
    return [peeled[i] for i in range(len(seen))]


@dataclass(frozen=True)
class _Counted:
    """What is known of the lines of a piece before complaints are looked for: which are in an event, are a part of one, or frame others."""

    seen: _Seen
    captured: Captured
    tables: dict[str, pl.DataFrame]
    events: Counter[str]
    envelopes: Counter[str]
    in_event: pl.Series
    parts: pl.Series
    frames: pl.Series

    def unknown(self) -> pl.Series:
        """Return the numbers of the survivors of which nothing is known."""
        left = ~(self.in_event | self.parts | self.frames)
        return true_rows(left if self.seen.which is None else left.filter(self.seen.which))


def _marks(seen: Sequence[_Seen], matched: Sequence[pl.Series]) -> list[pl.DataFrame]:
    """Return the marks of the lines of each piece, given which a rule matches; those with layouts that mark alike are marked together."""
    alike: dict[tuple[str, ...], list[int]] = {}
    marked: dict[int, pl.DataFrame] = {}
    for i, s in enumerate(seen):
        if s.cut is None:
            alike.setdefault(s.piece.layout.marking, []).append(i)
        else:
            marked[i] = s.piece.layout.marks(s.lines["text"], matched[i], s.cut)
    for own in alike.values():
        lines = [seen[i].lines for i in own]
        text = pl.concat([f["text"] for f in lines]) if len(own) > 1 else lines[0]["text"]
        known = pl.concat([matched[i] for i in own]) if len(own) > 1 else matched[own[0]]
        marked.update(zip(own, divided(seen[own[0]].piece.layout.marks(text, known), lines), strict=True))
    return [marked[i] for i in range(len(seen))]


def _counted(seen: _Seen, captured: Captured, in_event: pl.Series, marks: pl.DataFrame, vocabulary: Vocabulary) -> _Counted:
    """Count the events of a piece, given what was captured of it, which lines that is, and the marks of its lines."""
    lines, layout = seen.lines, seen.piece.layout
    tables = dict(captured.tables)
    events = Counter({name: len(rows) for name, rows in captured.rows.items()}) + Counter(seen.gone.events)
    if layout.trace:
        names = marks["event"]
        events.update(dict(sorted((n, c) for n, c in names.value_counts().iter_rows() if n)))
        if vocabulary.raw:
            tables |= _raw(lines.filter(names.is_not_null() & ~names.cast(pl.String).is_in(list(vocabulary.rules))), seen.piece)
        in_event = in_event | names.is_not_null()
    parts, frames = marks["part"] & ~in_event, marks["frames"] & ~in_event
    envelopes = Counter(layout.envelope_counts(marks)) + Counter(seen.gone.envelopes)
    return _Counted(seen, captured, tables, events, envelopes, in_event, parts, frames)


def _unfit(seen: _Seen, captured: Captured) -> list[int]:
    """Return the lines with a number that fits no column."""
    return seen.survivors["line"][pl.concat(captured.unfit.values()).unique().sort()].to_list() if captured.unfit else []


def _part(counted: _Counted, complaining: pl.Series) -> _Part:
    """Return the account of a piece, given which of its survivors complain."""
    bad = counted.seen.marked({"": complaining})
    kinds = {"event": counted.in_event, "part-of-event": counted.parts, "frame": counted.frames & ~counted.parts, "not understood": bad}
    examples = _examples(counted.seen, bad, counted.captured.missed)
    unfit = _unfit(counted.seen, counted.captured)
    lines = counted.seen.lines
    classes = _classes(lines, kinds) + Counter(counted.seen.gone.classes)
    return _Part(lines["line"][0] if lines.height else 0, counted.tables, classes, counted.events, counted.envelopes, examples, unfit)


def _complaining(pieces: Sequence[_Counted]) -> list[pl.Series]:
    """Return which survivors of each piece complain, by row; lines of which something is known are not searched."""
    left = [piece.unknown() for piece in pieces]
    texts = [piece.seen.survivors["text"][rows] for piece, rows in zip(pieces, left, strict=True)]
    found = complaints(texts[0] if len(texts) == 1 else pl.concat(texts)) if texts else pl.Series(dtype=pl.Boolean)
    ends = accumulate(map(len, left))
    own = [rows.filter(found.slice(end - len(rows), len(rows))) for rows, end in zip(left, ends, strict=True)]
    return [_messages(piece.seen, rows) for piece, rows in zip(pieces, own, strict=True)]


def _messages(seen: _Seen, rows: pl.Series) -> pl.Series:
    """Return those of some survivors, by row, that a program printed which can know."""
    return rows.filter(printed(seen.piece.layout.peel(seen.survivors[rows]))) if len(rows) else rows


def _raw(frame: pl.DataFrame, piece: _Piece) -> dict[str, pl.DataFrame]:
    """Return the trace events that no rule names, as printed: `raw_event` with event and args."""
    if frame.is_empty():
        return {}
    rows = piece.named(piece.layout.peel(frame[["line", "text"]]))
    own = rows["msg"].str.extract_groups(r"^(?:[a-z_0-9]+:)?(?P<event>[^ :]+): *(?P<args>.*)$").struct.unnest()
    table = rows.select(COPIES).hstack(own.select([_copied(c) for c in RAW_SCHEMA]))
    return {RAW: table.filter(pl.col("event").is_not_null())}


def _copied(name: str) -> pl.Expr:
    return (pl.col(name) + "").alias(name)


def _classes(lines: pl.DataFrame, marks: Mapping[str, pl.Series]) -> Counter[str]:
    """Count the physical lines of each class, given the logical lines; of several of these in one line the first class counts."""
    if "line_end" not in lines.columns:
        classes = Counter({name: int(mark.sum()) for name, mark in marks.items()})
        return +classes + Counter(text=lines.height - classes.total())
    kinds = pl.coalesce([pl.when(mark).then(pl.lit(i, dtype=pl.UInt8)) for i, mark in enumerate(marks.values())]).fill_null(len(marks))
    each = lines.select("line", "line_end", kinds.alias("kind")).group_by("line").agg(pl.min("kind"), pl.max("line_end"))
    names = [*marks, "text"]
    joined = int((each["line_end"] - each["line"]).clip(0).sum())
    return Counter({names[i]: int(n) for i, n in each["kind"].value_counts().iter_rows()}) + Counter({"part-of-event": joined})


def _examples(seen: _Seen, bad: pl.Series, missed: Mapping[str, pl.Series]) -> dict[str, Example]:
    """Return one example per kind of line that was not understood, by the rule that it resembles: the one most like a fault."""
    if not bad.any():
        return {}
    line = seen.survivors["line"]
    held = (pl.DataFrame([line[rows], constant(name, len(rows)).alias("event")]) for name, rows in missed.items())
    kinds = pl.concat([_NO_KIND, *held]).unique("line", keep="first", maintain_order=True)
    told = seen.lines.filter(bad).join(kinds, on="line", how="left", maintain_order="left")
    examples: dict[str, Example] = {}
    for event, n, text in told.select("event", "line", "text").iter_rows():
        _merge_examples(examples, {event or "": (1, n, text[:300])})
    return examples


def _merge_examples(into: dict[str, Example], more: Mapping[str, Example]) -> None:
    for name, example in more.items():
        known = into.get(name, example)
        count = example[0] + (into[name][0] if name in into else 0)
        into[name] = (count, *max(known[1:], example[1:], key=lambda e: weight(e[1])))


def tables_of(parsed: Sequence[Parsed]) -> dict[str, pl.DataFrame]:
    """Return the event tables of all sources, one frame a name."""
    parts: dict[str, list[pl.DataFrame]] = {}
    for p in parsed:
        for name, frame in p.tables.items():
            parts.setdefault(name, []).append(frame)
    return {name: pl.concat(frames, rechunk=len(frames) > _CHUNKS) for name, frames in parts.items()}
