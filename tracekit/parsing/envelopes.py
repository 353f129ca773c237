"""Envelopes: decide on the first lines of a source which it uses, then split each logical line into envelope columns and `msg`.

Envelopes lie in layers, outermost first. The rules of a layer (mark `layer` of their files) are tried in the order of the files, each on
the lines that those before it missed. `settle` keeps the rules that the first lines need; lines that no rule of a settled layout takes are
looked at once more, by all rules, when they come.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import accumulate, compress, count

import polars as pl

from tracekit.grammar.expression import NOTHING, holds
from tracekit.grammar.marks import LAYERS
from tracekit.grammar.rules import Rule
from tracekit.parsing.named import named, no_name
from tracekit.parsing.noise import clean
from tracekit.parsing.noise import settle_together as settle_noise
from tracekit.parsing.peeling import COLUMNS, fresh, means, peel_layers, per_file
from tracekit.parsing.stamps import STAMPS
from tracekit.speed import compiled

PER_FILE_SHARE = 0.5
LONGEST_TRIED = 1000  # characters of a line that tell its envelope; python takes 4 ms for the worst line of that length
_MANY = 2_000  # lines of which polars tells those with an envelope sooner than Python: it makes each expression ready anew

_FRAMES = (
    r"^[\s>|]*$|^#(?:$|[ #])|^##### CPU [0-9]+ buffer started|^-- (?:Journal begins|Logs begin|Boot|Reboot|No entries)"
    r"|^cpus=[0-9]+$|^version = [0-9]+$|^CPU [0-9]+ is empty$|^ *-{20,} *$|^Hint: You are currently not seeing|^```|^\[-- MARK --"
    r"|^CPU:[0-9]+ \[SUBBUFFER START\]"
)
_PARTS = r"^ ?=> |^\t *[0-9a-f]{6,16} .*\)$|^ <stack trace >$|^\{ .*\} hitcount: "
# What takes an event's name from a line, by the mark `tracer`; of several that a source has the first one here is asked.
_EVENTS = {
    "bare-name": r"([a-z][a-z0-9]*_[a-z0-9_]+)(?: |$)",  # behind the envelope
    "system-name": r": +[A-Za-z_][A-Za-z0-9_]*:([A-Za-z_][^ :]*):(?: |$)",
    "padded-name": r": +(?:\(\+?[0-9]+\) +)?([A-Za-z_][^ :]*):(?: |$)",
    "name": r": ([A-Za-z_][^ :]*):(?: |$)",
    "calls": r": ([A-Za-z_][^ :]*):(?: |$)",
    "plain-calls": r": ([A-Za-z_][^ :]*):(?: |$)",
}

CALLS = ("calls", "plain-calls")

_BEGINS = ((": +", "^ *"), (": ", "^"))  # how these begin on a whole line, and behind the first colon of one
_COLON = ": "  # in the envelopes of most tracers

_TRUTH = (pl.Series([False]), pl.Series([True]))
_KERNEL = "kernel"  # the tag of the kernel's messages in syslog and journal, and the layer of what dmesg prints
LOGGERS = ("outer", "collector")  # layers of programs that put something before each line
_STAMPED = re.compile(r"\[ *[0-9]{1,10}\.[0-9]{6}[ <\]]")
_SYMBOL = re.compile(r"[0-9a-f]{8,16} [A-Za-z] [^ ]+$")


@dataclass(frozen=True)
class Cut:
    """Lines of a trace, cut at their first colon: `behind` it stands all that an event rule reads. Lines not `enveloped` are whole.

    `names`: the events of the enveloped ones; of lines without a name there it is not known.
    """

    enveloped: pl.Series
    behind: pl.Series
    names: pl.Series | None = None


@dataclass(frozen=True)
class Layout:
    """The envelopes of one source.

    `dense`: every line matters (calls, symbols), so nothing may be filtered before it is peeled. `trace`: lines of a tracer.
    `clock`: what the stamps are. `kernel`: whether some of the first lines are the kernel's by a
    collector's tag or dmesg's stamp.
    """

    rules: Mapping[str, Rule]
    layers: tuple[tuple[Rule, ...], ...]
    noise: tuple[int, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    clock: str = "none"
    symbols: bool = False
    kernel: bool = False

    @classmethod
    def settle(cls, rules: Mapping[str, Rule], sample: Sequence[str]) -> "Layout":
        """Decide on the first lines of a source which rules each layer uses."""
        return cls.settle_together(rules, [sample])[0]

    @classmethod
    def settle_together(cls, rules: Mapping[str, Rule], samples: Sequence[Sequence[str]]) -> list["Layout"]:
        """Decide for several sources, each on its own first lines; which lines a layer takes is looked for in one go."""
        settling = [_Settling(rules, sample, *noise) for sample, noise in zip(samples, settle_noise(samples), strict=True)]
        layers = _layers(rules)
        for layer in layers:
            for own, lines in zip(settling, _any_of(layer, [s.lines for s in settling]), strict=True):
                own.peel(layer, lines)
        return [own.layout(layers) for own in settling]

    def and_also(self, other: "Layout") -> "Layout":
        """Return the layout of a source that has lines of another kind too, which were settled on their own."""
        if not other.kernel:
            return self
        counts = Counter(self.counts) + Counter(other.counts)
        kept = tuple(tuple(r for r in layer if r.name in counts) for layer in _layers(self.rules))
        noise = tuple(sorted({*self.noise, *other.noise}))
        return Layout(self.rules, tuple(filter(None, kept)), noise, counts, _clock(counts, self.rules, ()), self.symbols, True)

    @property
    def shape(self) -> tuple[object, ...]:
        """Return what is the same for layouts that peel alike."""
        return self.noise, tuple(tuple(r.name for r in layer) for layer in self.layers)

    @property
    def dense(self) -> bool:
        """Return whether most lines are calls, or a symbol table's."""
        return self.symbols or any(self._share(name) > 0.3 for name, tracer in self._tracers.items() if tracer in CALLS)

    @property
    def trace(self) -> bool:
        """Return whether most lines are those of a tracer."""
        return sum(map(self._share, self._tracers)) > 0.5

    @property
    def _tracers(self) -> dict[str, str]:
        """Return the rules of tracers that the first lines have, with their marks."""
        return {name: tracer for name in self.counts if (tracer := self.rules[name].marks.tracer)}

    def _share(self, name: str) -> float:
        most = max(self.counts.values(), default=0)
        return self.counts.get(name, 0) / most if most else 0.0

    def clean(self, text: pl.Series) -> pl.Series:
        """Return lines without what a serial line, a terminal or a web page left in them."""
        return clean(text, self.noise)

    def peel(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Take the envelopes off clean lines: `line, text` -> the envelope columns, `tag`, `envelope` and `msg`, in the same order.

        `ts` is in ns on the clock of the innermost envelope that has a stamp.
        """
        return self.peel_together([frame])[0]

    def peel_together(self, frames: Sequence[pl.DataFrame]) -> list[pl.DataFrame]:
        """Peel frames of several sources whose layouts have the same layers and noise."""
        frame = frames[0] if len(frames) == 1 else pl.concat(frames)
        peeled = peel_layers(fresh(frame), self.layers)
        if not self.rules or not (peeled["envelope"] == "none").any():
            return divided(peeled[["line", *COLUMNS, "msg"]], frames)
        return [self._completed(part) for part in divided(peeled, frames)]

    def _completed(self, peeled: pl.DataFrame) -> pl.DataFrame:
        missed = peeled["envelope"] == "none"
        if missed.any():
            peeled = self._again(peeled, missed)
        return peeled[["line", *COLUMNS, "msg"]]

    def _again(self, peeled: pl.DataFrame, missed: pl.Series) -> pl.DataFrame:
        """Peel the lines that no settled rule takes: a part of the log may be of another kind than its start."""
        lines = peeled.filter(missed)
        other = Layout.settle(self.rules, lines["msg"].sample(min(1000, lines.height), seed=0).to_list())
        if not other.layers:
            return peeled
        fresh = lines.with_columns(clean(lines["msg"], other.noise).alias("msg"))
        more = peel_layers(fresh, other.layers)
        return pl.concat([peeled.filter(~missed), more]).sort("_at")

    @property
    def marking(self) -> tuple[str, ...]:
        """Return what is the same for layouts that mark alike."""
        return (self._event if self.trace else "", *(rule.name for rule in self._common[:1]))

    def cut(self, text: pl.Series) -> Cut | None:
        """Cut the lines of a trace where its envelope ends in a colon: what is sought behind it is found in two thirds of the time."""
        before = prefix(self._common[0]) if self.trace and self._common else ""
        if not _has_colon(before) or not self._event.startswith(":"):
            return None
        line = pl.col("text")
        rest = line.cast(pl.Binary).bin.slice(line.str.find(_COLON, literal=True) + len(_COLON)).cast(pl.String)  # `find` counts bytes
        enveloped = text.str.contains(before)
        if not enveloped.all():
            rest = pl.when(pl.lit(enveloped)).then(rest).otherwise(line)
        behind = text.to_frame("text").select_seq(rest).to_series()
        return Cut(enveloped, behind, named(behind, enveloped, self._event_behind))

    def marks(self, text: pl.Series, known: pl.Series, cut: Cut | None = None) -> pl.DataFrame:
        """What the shape of each line tells: whether it only `frames` others (headers, blank lines, rules, markers), is `part` of the event
        before it (stack frames, histogram rows), the name of its trace `event` if any, and whether it has the common `envelope`.

        `known`: lines that a rule matches, of which no name is taken: saves 5 % of a dense trace, where a third of the lines are matched.
        """
        if cut is not None:
            return self._marks_of_cut(text, known, cut)
        line = pl.col("text")
        told = {"event": pl.when(~pl.lit(known)).then(line).str.extract(self._event)} if self.trace else {}
        told |= {"envelope": line.str.contains(prefix(common[0]))} if (common := self._common) else {}
        marks = text.to_frame("text").with_columns_seq(**told)
        enveloped = marks["envelope"] if common else constant(False, len(text)).alias("envelope")
        event = marks["event"] if self.trace else pl.Series("event", [None], dtype=pl.String).new_from_index(0, len(text))
        return pl.DataFrame([*self._bare(text, enveloped), event, enveloped])

    def _bare(self, text: pl.Series, enveloped: pl.Series) -> list[pl.Series]:
        """Return which lines frame others and which are a part of an event: only those without the envelope may."""
        rows = true_rows(~enveloped)
        bare = text.gather(rows)
        frames = bare.str.contains(_FRAMES)
        if not self.trace:
            return [
                mask_of(rows.filter(frames & ~bare.str.contains(r"^#[^ #]")), len(text)).alias("frames"),
                constant(False, len(text)).alias("part"),
            ]
        return [
            mask_of(rows.filter(found), len(text)).alias(name) for name, found in (("frames", frames), ("part", bare.str.contains(_PARTS)))
        ]

    def _marks_of_cut(self, text: pl.Series, known: pl.Series, cut: Cut) -> pl.DataFrame:
        """Return the marks of lines that were cut: only those without the envelope may frame others, a name stands at the cut as a rule."""
        if cut.names is not None:
            event = cut.names.zip_with(~known, no_name(cut.names.dtype)).alias("event")
        else:
            unnamed = pl.when(pl.lit(cut.enveloped & ~known)).then(cut.behind)
            event = text.to_frame("text").select_seq(unnamed.str.extract(self._event_behind).alias("event")).to_series()
        rows = true_rows(event.is_null() & ~known)
        others = text.gather(rows).str.extract(self._event)
        if others.null_count() < len(others):
            event = event.cast(pl.String).scatter(rows, others)
        return pl.DataFrame([*self._bare(text, cut.enveloped), event, cut.enveloped.alias("envelope")])

    @property
    def _event(self) -> str:
        """Return what takes the name of an event from a line of this tracer."""
        tracers = self._tracers
        kind = next(kind for kind in _EVENTS if kind in tracers.values())
        if kind != "bare-name":
            return _EVENTS[kind]
        heads = "|".join(_head(self.rules[name]) for name, tracer in tracers.items() if tracer == kind)
        return f"^(?:{heads})?{_EVENTS[kind]}"

    @property
    def _event_behind(self) -> str:
        """Return what takes the name of an event from what stands behind the envelope of a line."""
        begin, behind = next(b for b in _BEGINS if self._event.startswith(b[0]))
        return behind + self._event.removeprefix(begin)

    @property
    def _common(self) -> list[Rule]:
        """Return the envelopes that most of the first lines had, outermost first."""
        main = [max(layer, key=lambda r: self.counts[r.name]) for layer in self.layers]
        most = max((self.counts[r.name] for r in main), default=0)
        return [r for r in main if self.counts[r.name] * 2 >= most]

    @property
    def sole(self) -> Rule | None:
        """Return the envelope that most lines have, where it is the first that is tried on each, and the only one."""
        first = [layer[0] for layer in self.layers]
        return first[0] if len(first) == 1 and first == self._common and not first[0].marks.believed else None

    def envelope_counts(self, marks: pl.DataFrame) -> dict[str, int]:
        """Return how many lines have the envelope that most of the first lines had, and how many another or none."""
        hits = int(marks["envelope"].sum())
        common, other = (self._common[-1].name, "other") if self.layers else ("", "none")
        return {n: c for n, c in {common: hits, other: marks.height - hits}.items() if c}


def divided(frame: pl.DataFrame, like: Iterable[pl.DataFrame]) -> list[pl.DataFrame]:
    """Divide a frame into parts as high as these."""
    heights = [f.height for f in like]
    return [frame.slice(end - height, height) for height, end in zip(heights, accumulate(heights), strict=True)]


@cache
def _has_colon(expression: str) -> bool:
    return holds(expression, _COLON)


def prefix(rule: Rule) -> str:
    """Return a rule's expression without the message at its end: what stands before it tells the shape, and is five times as fast."""
    return re.sub(r"\(\?P<msg>\[\^[^\]]*\][^)]*\)", "", rule.regex).removesuffix("$")


def _head(rule: Rule) -> str:
    """Return a rule's expression up to its message, without names of groups."""
    before = re.split(r"(?:\(\?:)?\(\?P<msg[^>]*>", rule.regex, maxsplit=1)[0]
    return re.sub(r"\(\?P<[^>]*>", "(?:", before).removeprefix("^")


def _layers(rules: Mapping[str, Rule]) -> tuple[tuple[Rule, ...], ...]:
    """Return the rules of each layer, outermost first, before all a third party's for loggers: shipped ones take any stamp at the head."""
    found: dict[str, list[Rule]] = {name: [] for name in LAYERS}
    for rule in sorted(rules.values(), key=lambda r: not r.foreign):
        found[rule.marks.layer].append(rule)
    whole = [r for name in LOGGERS for r in found[name] if r.foreign]
    return tuple(map(tuple, (whole, *found.values()) if whole else found.values()))


def _follows(rule: Rule, rules: Mapping[str, Rule], used: Mapping[str, int], written: int) -> bool:
    """Return whether other lines begin with a stamp of the same layer and clock: then one in the middle of a line is believed."""
    same = (rule.marks.layer, rule.marks.clock)
    alike = (count for name, count in used.items() if (rules[name].marks.layer, rules[name].marks.clock) == same)
    return rule.marks.clock != "" and sum(alike) >= PER_FILE_SHARE * written


def _clock(used: Mapping[str, int], rules: Mapping[str, Rule], sample: Sequence[str]) -> str:
    """Return what the stamps of the innermost common layer are; a trace names its clock only where trace-cmd saved it."""
    most = max(used.values(), default=0)
    stamped = [n for n, count in used.items() if count * 10 >= most and STAMPS.keys() & rules[n].columns.keys()]
    if not stamped:
        return "none"
    name = max(stamped, key=lambda n: (LAYERS.index(rules[n].marks.layer), used[n]))
    clock = rules[name].marks.clock or next(STAMPS[c][1] for c in rules[name].columns if c in STAMPS)
    if clock != "ftrace":
        return clock
    named = next((m[1] for line in sample[:50] if (m := re.match(r"# trace_clock: (\S+)", line))), "")
    return f"{clock} {named}".rstrip()


def true_rows(mask: pl.Series) -> pl.Series:
    """Return the numbers of the rows where a mask is true. For few rows `arg_true` takes five times as long."""
    return pl.int_range(len(mask), dtype=pl.UInt32, eager=True).filter(mask)


def mask_of(rows: pl.Series, height: int) -> pl.Series:
    """Return a mask of this height that is true at some rows."""
    mask = constant(False, height)
    mask.scatter(rows, True)
    return mask


def constant(value: bool | str, length: int) -> pl.Series:
    """Return a column of one value."""
    return _TRUTH[value].new_from_index(0, length) if isinstance(value, bool) else pl.Series([value]).new_from_index(0, length)


class _Settling:
    """The first lines of a source while its layout is settled: what is left of them, and the rules that were found to take some.

    `noise`: the kinds that were taken off the lines.
    """

    def __init__(self, rules: Mapping[str, Rule], sample: Sequence[str], noise: tuple[int, ...], lines: Sequence[str]) -> None:
        self.rules, self.sample, self.noise = rules, sample, noise
        self.written = max(len(lines) - lines.count("") - sum(map(str.isspace, lines)), 1)
        self.stamped = len(list(filter(None, map(_STAMPED.search, lines))))
        self.lines = [line[:LONGEST_TRIED] for line in lines]
        self.used: dict[str, int] = {}
        self.enveloped: set[int] = set()
        self.kernel = False

    def peel(self, layer: Sequence[Rule], rest: list[int]) -> None:
        """Take a layer off the lines that one of its rules matches, one by one."""
        for rule in layer if rest else ():
            match = compiled(rule.regex).match
            tried = [i for i in rest if i not in self.enveloped] if per_file(rule) else rest
            found = {i: m for i in tried if (m := match(self.lines[i]))}
            if self._admits(rule, len(found)):
                messages, tags = _groups(rule, "msg"), _groups(rule, "tag")
                self.kernel = self.kernel or _is_kernels(rule) or any(m[tag] == _KERNEL for tag in tags for m in found.values())
                for i, m in found.items():
                    self.lines[i] = next(filter(None, map(m.group, messages)), "")
                rest = [i for i in rest if i not in found]
                self.enveloped.update(found)

    def _admits(self, rule: Rule, hits: int) -> bool:
        """Return whether a rule is believed that takes so many lines."""
        # Words of the one who pasted the lines have no stamps.
        of = self.stamped or self.written if rule.marks.clock else self.written
        fits = hits > 0 and (not per_file(rule) or hits >= PER_FILE_SHARE * of or _follows(rule, self.rules, self.used, self.written))
        if fits:
            self.used[rule.name] = hits
        return fits

    def layout(self, layers: Sequence[Sequence[Rule]]) -> Layout:
        """Return what was settled."""
        kept = tuple(tuple(r for r in layer if r.name in self.used) for layer in layers)
        symbols = len(list(filter(None, map(_SYMBOL.match, self.sample)))) > 0.9 * self.written
        clock = _clock(self.used, self.rules, self.sample)
        return Layout(self.rules, tuple(layer for layer in kept if layer), self.noise, self.used, clock, symbols, self.kernel)


def _is_kernels(rule: Rule) -> bool:
    """Return whether lines with this envelope are the kernel's: only dmesg prints its stamp so."""
    return rule.marks.layer == _KERNEL and not STAMPS.keys().isdisjoint(rule.columns)


def _groups(rule: Rule, meaning: str) -> Sequence[str]:
    """Return the groups of a rule's expression that hold what a field of this meaning has."""
    return [name for field, names in rule.groups.items() if means(field, meaning) for name in names]


def _any_of(layer: Sequence[Rule], samples: Sequence[Sequence[str]]) -> list[list[int]]:
    """Return, for each sample, the lines that one of the rules matches: most lines have no envelope of a layer."""
    rules = tuple((rule.marks.found_by, rule.regex) for rule in layer)
    if sum(map(len, samples)) < _MANY:
        return list(map(_one_by_one(rules), samples))
    found = pl.Series([line for lines in samples for line in lines], dtype=pl.String).str.contains(_joined(rules)).arg_true().to_list()
    ends = list(accumulate(map(len, samples)))
    at = [0, *(bisect_left(found, end) for end in ends)]
    return [[i - end + len(lines) for i in found[a:b]] for a, b, end, lines in zip(at, at[1:], ends, samples, strict=False)]


@lru_cache(maxsize=64)
def _joined(rules: tuple[tuple[tuple[str, ...], str], ...]) -> str:
    """Return one expression for what several (signs, expression) match, and for texts of several lines, in which `$` differs to Python."""
    return "|".join([re.sub(r"\(\?P<[^>]*>", "(?:", expression) for _, expression in rules] + [r"\n"])


@lru_cache(maxsize=64)
def _one_by_one(rules: tuple[tuple[tuple[str, ...], str], ...]) -> Callable[[Sequence[str]], list[int]]:
    """Return a function that selects the lines which one of several (signs, expression) matches: Python tries each, of few lines.

    An expression with signs is tried on lines that hold one of them: it begins with a text of any length, so it is slow.
    """
    by_signs: dict[tuple[str, ...], list[str]] = {}
    for signs, expression in rules:
        by_signs.setdefault(signs, []).append(re.sub(r"\(\?P<[^>]*>", "(?:", expression))
    tests = {signs: compiled("|".join(expressions)).match for signs, expressions in by_signs.items()}
    quick = tests.pop((), compiled(NOTHING).match)
    slow = [(sign, match) for signs, match in tests.items() for sign in signs]

    def which(lines: Sequence[str]) -> list[int]:
        found = list(compress(count(), map(quick, lines)))
        if slow:
            known, whole = set(found), "\n".join(lines)
            for sign, match in slow:
                if sign in whole:
                    known.update([i for i, line in enumerate(lines) if sign in line and i not in known and match(line)])
            found = sorted(known)
        return found

    return which
