"""The order of a report for a reader: faults with their consequences, facts, open outcomes. Shared by the reports for people."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from os.path import basename
from typing import Any

import tracekit
from tracekit import Evidence, Finding, Outcome, Run

_PAINT = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[c=>78])|(?<!\r)\r+$")  # a terminal's colours and resets, the CR of a serial line's end
_DOUBT = 240  # characters of a reason in the first line
_LEADING = {"cause": 0, "effect": 1, "cure": 2, "context": 3}


@dataclass(frozen=True, slots=True)
class Fault:
    """A root cause and the findings that follow from it."""

    finding: Finding
    consequences: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Story:
    """A run, sorted for reading. `open` are the inconclusive outcomes, `partly` those that are clear of some machines alone."""

    faults: tuple[Fault, ...]
    facts: tuple[Finding, ...]
    open: tuple[Outcome, ...]
    clear: tuple[Outcome, ...]
    partly: tuple[Outcome, ...]
    unevaluated: tuple[Outcome, ...]


def story(run: Run) -> Story:
    """Sort the findings and outcomes of a run for reading, keeping their order."""
    told = [f for f in run.findings if not is_fact(f)]
    facts = tuple(f for f in run.findings if is_fact(f) and not _repeats(f.code))
    roots = {id(f): root_of(f, told) for f in told}
    faults = tuple(Fault(f, tuple(c for c in told if c is not f and roots[id(c)] is f)) for f in told if roots[id(f)] is f)
    judged = [o for o in run.outcomes if not _repeats(o.code)]
    kinds = ("inconclusive", "clear", "clear in part", "not evaluated")
    return Story(faults, facts, *(tuple(o for o in judged if o.outcome == kind) for kind in kinds))


def _repeats(code: str) -> bool:
    """Return whether a code is an OBS row: it gathers for programs what a page says beside each finding and open outcome."""
    return code.startswith("OBS")


def is_fact(f: Finding) -> bool:
    """Return whether a finding only informs: configuration, what could not be seen, severity `info`. Never an alarm."""
    return f.grade is None or f.severity == "info" or f.code.startswith(("CFG", "OBS"))


def is_remark(f: Finding) -> bool:
    """Return whether a fact rests on lines: a device that is gone, a VM that never ran, interrupts that take a longer way."""
    return f.severity == "info" and f.grade is not None and bool(f.evidence)


def root_of(f: Finding, findings: list[Finding]) -> Finding:
    """Return the finding at the end of the chain of `explained_by`; the finding itself without an explanation or in a ring."""
    return chain_of(f, findings)[0]


def chain_of(f: Finding, findings: list[Finding]) -> list[Finding]:
    """Return the findings from the root cause to this one, along `explained_by`; the finding alone in a ring or without an explanation."""
    chain = [f]
    while causes := [r for r in findings if r.code == chain[0].explained_by]:
        cause = next((r for r in causes if r.subject.bdf == chain[0].subject.bdf), causes[0])
        if any(cause is known for known in chain):
            return [f]
        chain.insert(0, cause)
    return chain


def headline(run: Run, told: Story) -> str:
    """Return one sentence: the faults, or that there is none, and the amount of text read."""
    lines = sum(s.lines for s in run.sources)
    place = basename(run.sources[0].path) if len(run.sources) == 1 else plural(len(run.sources), "source")
    read = f"{'standard input' if place == '-' else visible(place)} ({plural(lines, 'line')}{_unread(run)})"
    if not told.faults and run.doubts and run.doubts[0].kind == "nothing evaluated":
        return f"Nothing could be checked in {read}: {run.doubts[0].text.removesuffix(': nothing could be checked')}.{suppressed(run)}"
    remarks = sum(map(is_remark, told.facts))
    clear = f"No fault of interrupts in {read}; {plural(remarks, 'remark')}" if remarks else f"Nothing wrong found in {read}"
    if not told.faults:
        return (f"{clear}, but this all-clear is not to be trusted: {doubt(run)}." if run.doubts else f"{clear}.") + suppressed(run)
    grades = [f.finding.grade for f in told.faults]
    counts = ", ".join(f"{grades.count(g)} {g}" for g in ("proven", "probable", "possible") if g in grades)
    return (
        f"{plural(len(grades), 'finding')} ({counts}) in {read}."
        + (f" There may be more: {doubt(run)}." if run.doubts else "")
        + suppressed(run)
    )


def suppressed(run: Run) -> str:
    """Return how many findings the user's settings keep out of the report, as a sentence; nothing where there are none."""
    return f" Suppressed: {plural(len(run.suppressed), 'finding')}." if run.suppressed else ""


def settings(run: Run) -> list[str]:
    """Return what to know of the user's settings: what they say of themselves, then each finding that they suppress."""
    told = [
        f"{s.finding.code} {s.finding.name}, {s.finding.subject.label}: {s.finding.summary} ({places(s.finding)})" for s in run.suppressed
    ]
    return [*run.settings, *(f"suppressed by {s.by}: {text}" for s, text in zip(run.suppressed, told, strict=True))]


def doubt(run: Run) -> str:
    """Return the first reason not to trust an all-clear, and the number of others."""
    told = run.doubts[0].text
    if len(run.sources) == 1:  # its name stands before, so a line is told by its number alone
        told = re.sub(r"^([0-9]+): ", r"line \1: ", told.removeprefix(f"{run.sources[0].path}:"))
    text = visible(told.strip().rstrip("."))
    short = text if len(text) <= _DOUBT else f"{text[:_DOUBT].rstrip()}…"
    return short + (f" (and {plural(len(run.doubts) - 1, 'reason')} more)" if len(run.doubts) > 1 else "")


def _unread(run: Run) -> str:
    missed = sum(n.count for s in run.sources for n in s.not_understood)
    gaps = sum(s.events.get("gap", 0) for s in run.sources)
    return (f", {missed:,} not understood" if missed else "") + (f"; events lost in {plural(gaps, 'place')}" if gaps else "")


def checked(told: Story, full: bool) -> str:
    """Return one sentence: how many diagnoses are clear, and how many were not evaluated."""
    hint = "" if full or not told.unevaluated else " (why: --full)"
    unsure = f" Inconclusive: {len(told.open)}." if told.open else ""
    partly = f" Clear of some machines only: {len(told.partly)}." if told.partly else ""
    return f"Checked and clear: {len(told.clear)}.{partly}{unsure} Not evaluated: {len(told.unevaluated)}{hint}."


def chosen(evidence: Iterable[Evidence], most: int) -> tuple[list[Evidence], int]:
    """Return at most `most` pieces of evidence, those first that prove the headline; and how many were left out."""
    given = leading(evidence)
    return given[:most], max(0, len(given) - most)


def leading(evidence: Iterable[Evidence]) -> list[Evidence]:
    """Return causes before effects, cures and context: what proves the headline comes first. Within a role the order is the diagnosis's."""
    return sorted(evidence, key=lambda e: _LEADING.get(e.role, 3))


def by_source(evidence: Iterable[Evidence]) -> Iterator[tuple[str, list[Evidence]]]:
    """Return evidence grouped by source, sources in order of first mention."""
    groups: dict[str, list[Evidence]] = {}
    for e in evidence:
        groups.setdefault(e.source, []).append(e)
    yield from groups.items()


def quoted(e: Evidence) -> list[tuple[str, str]]:
    """Return (lines, text without colours) of the line; of a span its lines with the first text, then the
    last line with the last; without its number where it stands in the next file of a rotated log.
    """
    if not e.text_end:
        return [(span(e), _PAINT.sub("", e.text))]
    return [(span(e), _PAINT.sub("", e.text)), (str(e.line_end or ""), _PAINT.sub("", e.text_end))]


def span(e: Evidence) -> str:
    """Return the line number of a piece of evidence, or its first and last."""
    return f"{e.line}-{e.line_end}" if e.line_end is not None and e.line_end != e.line else f"{e.line}"


def places(f: Finding) -> str:
    """Return the places of a finding in short, without folders: `trace.txt:12, 15-17`."""
    shown, left = chosen(f.evidence, 6)
    text = "; ".join(f"{basename(source)}:{', '.join(span(e) for e in group)}" for source, group in by_source(shown))
    return text + (f" and {left} more" if left else "")


def confidence(f: Finding) -> str:
    """Return the grade of a finding, and the result of its replay."""
    replayed = {True: ", confirmed by replay", False: ", not confirmed by replay"}
    return (f.grade or "information") + (replayed[f.confirmed_by_replay] if f.confirmed_by_replay is not None else "")


def why(f: Finding) -> str:
    """Return in words what the grade of a finding rests on; nothing for information."""
    shown = {
        "proven": "its lines show it",
        "probable": "its lines fit, and do not show all of it",
        "possible": "its lines fit another cause too",
    }
    if f.grade is None:
        return ""
    open_ = f"; not checked: {f.unchecked[0].guard}" if f.unchecked and f.grade != "proven" else ""
    return shown[f.grade] + open_ + ("; in a replay with its fix it does not occur" if f.confirmed_by_replay else "")


def plural(count: int, noun: str) -> str:
    """Return `1 line`, `2,000 lines`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def visible(text: str) -> str:
    """Return text from a log with everything that is not seen written out, tabs as blanks."""
    return tracekit.visible(text.replace("\t", " "))


def shown(value: Any) -> Any:
    """Return a run, or any part of it, with everything that is not seen written out in all of its texts; tables aside."""
    if isinstance(value, str):
        return value if _plain(value) else visible(_PAINT.sub("", value))
    if isinstance(value, list) and all(isinstance(v, str) for v in value) and _plain("".join(value)):
        return value  # the names of many machines
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: shown(getattr(value, f.name)) for f in fields(value) if f.name != "tables"})
    if isinstance(value, Mapping):
        return {shown(k): shown(v) for k, v in value.items()}
    return type(value)(map(shown, value)) if type(value) in (tuple, list) else value


def _plain(text: str) -> bool:
    """Return whether all of a text is seen as it is."""
    return text.isascii() and text.isprintable()
