"""Marks: the settings of a grammar, each `//! name: value` on a line of its own above a rule or at the head of a file.

A mark is declared once, as a field of `Marks`: what it does, on what it may stand, and its values. Marks are read and checked when a
grammar is loaded; a comment without the exclamation mark is for readers and changes nothing.
"""

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from tracekit.errors import GrammarError, nearest

Kind = Literal["word", "texts", "names", "name"]
Place = Literal["event rule", "envelope rule", "envelope file"]

_LINE = re.compile(r"\s*//!(.*)")
_BEHIND = re.compile(r'[^"/]*\S[^"/]*//!')  # `irq: DEC //! ...`
_MARK = re.compile(r"\s*([a-z][a-z-]*)\s*:\s*(\S.*?)\s*")
_RULE = re.compile(r"[?!]?([a-z_][a-z0-9_]*)(?:\.-?[0-9]+)?\s*:")
_TEXTS = re.compile(r'"(?:[^"\\]|\\.)+"(?:, *"(?:[^"\\]|\\.)+")*')
_TEXT = re.compile(r'"(?:[^"\\]|\\.)+"')
_NAMES = re.compile(r"[a-z_][a-z0-9_]*(?:, *[a-z_][a-z0-9_]*)*")


@dataclass(frozen=True, slots=True)
class Mark:
    """Declare a mark: what it says of the things on which it may stand; `values` has a sentence per word where it takes one of several."""

    means: str
    where: tuple[Place, ...]
    kind: Kind
    values: Mapping[str, str]


def _word(means: str, *where: Place, default: str = "", **values: str) -> Any:
    """Declare a mark that takes one word; in the names of the keywords `_` stands for `-`."""
    return field(default=default, metadata={"mark": Mark(means, where, "word", {w.replace("_", "-"): s for w, s in values.items()})})


def _some(means: str, *where: Place, kind: Kind) -> Any:
    """Declare a mark that takes texts or names of the author's."""
    return field(default="" if kind == "name" else (), metadata={"mark": Mark(means, where, kind, {})})


@dataclass(frozen=True)
class Marks:
    """Hold what the marks of a rule and of its file say; empty where none says it."""

    layer: str = _word(
        "Which layer of envelopes the rules of the file are: layers come off in this order. Without the mark `collector`.",
        "envelope file",
        default="collector",
        outer="a terminal logger, a container run-time, a build service",
        collector="a daemon that collects logs",
        vmm="the VMM",
        hypervisor="the hypervisor's console",
        kernel="the kernel's ring buffer and dmesg",
        context="what vendor kernels put behind the stamp",
        tracer="a tracer",
    )
    side: str = _word(
        "Who speaks in lines with this envelope (column `side`).",
        "envelope rule",
        "envelope file",
        kernel="the kernel",
        hypervisor="the hypervisor",
        device_model="the VMM, or another program that models devices",
    )
    clock: str = _word(
        "What the stamp is; without the mark the stamp's field says it.",
        "envelope rule",
        printk="the stamp of the kernel's log: two logs with one stamp and text have one line",
        ftrace="the clock of a ring buffer, which `# trace_clock:` names at the head of a trace",
        xen="the stamp of Xen's console",
    )
    tracer: str = _word(
        "The envelope is a tracer's, and this is how the event's name stands behind it. Events that no rule reads are counted by it.",
        "envelope rule",
        name="`name: text`",
        padded_name="`name:   text`, also `   name: text`; the blanks become one",
        system_name="`system:name: text`",
        bare_name="`name text`, without a colon",
        calls="no name: the text is a graph of calls, from the duration on, and every line of a source matters",
        plain_calls="the same without durations, so that the text begins at the function; the bar before it is added",
    )
    believed: str = _word(
        "The shape is so common that a single line proves nothing.",
        "envelope rule",
        in_half="believed where half of the first lines have it, or have a stamp of the same clock; then on lines without another envelope",
        behind="believed on lines that have another envelope already",
    )
    found_by: tuple[str, ...] = _some(
        "Texts of which every match contains one. They find the lines of a rule whose own fixed text is common, or below five characters.",
        "event rule",
        "envelope rule",
        kind="texts",
    )
    found_with: tuple[str, ...] = _some(
        "Texts of which every match contains one too, where those of `found-by` are common in lines of another kind.",
        "event rule",
        kind="texts",
    )
    not_one_pass: tuple[str, ...] = _some(
        "Fields that may run into what follows them: without the mark that is an error, or of a third party's rule a warning.",
        "event rule",
        "envelope rule",
        kind="names",
    )
    sought_in: str = _word(
        "Where lines of the rule are looked for; without the mark everywhere.",
        "event rule",
        small_sources="sources of up to 20,000 lines: no text finds its lines, so that every line is tried",
        logs="all but large traces, where every second line holds the texts that find it",
    )
    tells: str = _word(
        "What tracekit itself takes from a row. The columns named there must be fields of the rule.",
        "event rule",
        boot="another boot begins below",
        kernel="the kernel's `release`; where its stamp is below an earlier one another boot begins",
        loss="events are missing here: how many (`count`), of the trace of a `cpu`; messages of a log where that is null",
        overwritten="of `written` events only `kept` are left in the recording",
        qemu="QEMU's `release`",
        xen="Xen's `release`",
        device="what the PCI function `bdf` is, in words: `text`",
        device_class="what the PCI function `bdf` is, in numbers: `ids` and `class`",
        driver="the `driver` of the PCI function `bdf`",
    )
    wordings_of: str = _some(
        "The rule that reads such messages by their structure: this one has some wordings of it and says more.", "event rule", kind="name"
    )


DECLARED: Mapping[str, Mark] = {f.name.replace("_", "-"): f.metadata["mark"] for f in fields(Marks)}
LAYERS = tuple(DECLARED["layer"].values)
UNMARKED = Marks()  # the marks of a rule without any


@dataclass(frozen=True, slots=True)
class _Said:
    """A mark as it is written in a grammar."""

    path: Path
    line: int
    name: str
    text: str

    def wrong(self, why: str) -> GrammarError:
        return GrammarError(f"{self.path}:{self.line}: mark {self.name}: {why}")


@dataclass(frozen=True, slots=True)
class Marked:
    """Hold the marks of a rule, as they stand and what they say, and the line on which the rule begins."""

    line: int
    said: tuple[_Said, ...]
    marks: Marks

    def check(self, fields: Collection[str]) -> None:
        """Raise GrammarError if a mark names or needs a field that the rule does not have."""
        for said in self.said:
            names = self.marks.not_one_pass if said.name == "not-one-pass" else ()
            if strange := next((n for n in names if n not in fields), None):
                raise said.wrong(f"{strange} is no field of the rule{nearest(strange, fields)}")
            needed = re.findall("`([a-z]+)`", DECLARED["tells"].values[said.text]) if said.name == "tells" else ()
            if missing := next((n for n in needed if n not in fields), None):
                raise said.wrong(f"{said.text} needs a field {missing}")


def read(path: Path, text: str, rules: Collection[str]) -> dict[str, Marked]:
    """Return the marks of each of the rules that `start` lists, those of the file included. Errors: GrammarError with file and line."""
    head, above = _found(path, text, rules)
    part = "envelope" if path.parent.name == "envelopes" else "event"
    whole = _values(head, f"{part} file")
    marked = {}
    for rule in rules:
        line, said = above.get(rule, (0, []))
        marked[rule] = Marked(line, tuple(said), Marks(**(whole | _values(said, f"{part} rule"))))
    return marked


def packed(marks: Marks) -> dict[str, object]:
    """Return the marks that differ from a rule without any, for the cache."""
    return {name: value for name, value in vars(marks).items() if value != getattr(UNMARKED, name)}


def _found(path: Path, text: str, rules: Collection[str]) -> tuple[list[_Said], dict[str, tuple[int, list[_Said]]]]:
    """Return (the marks at the head of a file; of each rule its line and the marks directly above it)."""
    head: list[_Said] = []
    above: dict[str, tuple[int, list[_Said]]] = {}
    block: list[_Said] = []
    begun = False  # whether something but comments stood before
    for number, line in enumerate(text.splitlines(), 1):
        if m := _LINE.match(line):
            block.append(_said(path, number, m[1]))
        elif _BEHIND.match(line):
            raise GrammarError(f"{path}:{number}: a mark stands on a line of its own")
        elif not line.lstrip().startswith("//"):
            if (m := _RULE.match(line)) and m[1] in rules:
                above[m[1]] = number, block
            elif not begun:
                head += block
            elif block:
                raise block[0].wrong("stands neither directly above a rule that start lists nor at the head of the file")
            begun = begun or bool(line.strip())
            block = []
    if block:
        raise block[0].wrong("stands above no rule")
    return head, above


def _said(path: Path, number: int, text: str) -> _Said:
    m = _MARK.fullmatch(text)
    if m is None:
        raise GrammarError(f"{path}:{number}: {f'//!{text}'!r} is no mark: write `//! name: value`")
    said = _Said(path, number, m[1], m[2])
    if said.name not in DECLARED:
        raise said.wrong(f"there is no such mark{nearest(said.name, DECLARED)}")
    return said


def _values(marks: Iterable[_Said], place: str) -> dict[str, Any]:
    """Return the values of the marks of a rule or a file, by the names of the fields of `Marks`."""
    found: dict[str, Any] = {}
    for said in marks:
        declared = DECLARED[said.name]
        if place not in declared.where:
            raise said.wrong(f"stands on an {place}, and is for an {' or an '.join(declared.where)}")
        key = said.name.replace("-", "_")
        if key in found:
            raise said.wrong("stands here twice")
        found[key] = _value(said, declared)
    return found


def _value(said: _Said, declared: Mark) -> str | tuple[str, ...]:
    match declared.kind:
        case "word":
            if said.text not in declared.values:
                raise said.wrong(f"{said.text} is none of {', '.join(declared.values)}{nearest(said.text, declared.values)}")
            return said.text
        case "texts":
            if not _TEXTS.fullmatch(said.text):
                raise said.wrong(f'{said.text} is no list of texts: write "a", "b"')
            return tuple(ast.literal_eval(text) for text in _TEXT.findall(said.text))
        case "names" | "name":
            names = tuple(re.split(r", *", said.text))
            if not _NAMES.fullmatch(said.text) or (declared.kind == "name" and len(names) > 1):
                raise said.wrong(f"{said.text} is no {'name' if declared.kind == 'name' else 'list of names: write a, b'}")
            return names if declared.kind == "names" else names[0]


def explained() -> Iterator[tuple[str, str, str, str]]:
    """Yield (name, where it may stand, values, meaning) of each mark, as a page for authors shows them."""
    forms = {"texts": '`"a", "b"`', "names": "`field, field`", "name": "`rule`"}
    for name, mark in DECLARED.items():
        values = "; ".join(f"`{word}` ({sentence})" for word, sentence in mark.values.items()) or forms[mark.kind]
        yield name, ", ".join(mark.where), values, mark.means
