"""The page on the terminal: what is wrong, with which device, how sure, on which lines, what to do, what could not be seen."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tracekit import Finding, Outcome, Picture, Run
from tracekit_reports import fleets, windows
from tracekit_reports.blocks import blocks
from tracekit_reports.console import COLOUR, indented, labelled, printed
from tracekit_reports.story import (
    Fault,
    Story,
    by_source,
    checked,
    chosen,
    confidence,
    headline,
    is_remark,
    places,
    quoted,
    settings,
    shown,
    story,
    visible,
)

if TYPE_CHECKING:  # what a page of one log does without
    from tracekit import Answer, Fleet, Grid, Plan

_ROLE = {"cause": "red", "effect": "yellow", "cure": "green", "context": ""}
_MOST_EVIDENCE = 6
_WIDEST = 130  # columns of a picture
_LINES_EACH = 3  # of the terminal for one line of a log; its last ones have the arguments and the return value
_INDENT, _GAP = 4, 2  # columns before a table, and between those of it
_NUMBER = 16  # characters of a number that stands in one line


class TerminalReport:
    """`--format terminal`: reads at 80 columns and at 200, in colour and without; a healthy log gets two lines."""

    name = "terminal"
    draws = True

    def write(self, run: Run, options: Mapping[str, Any]) -> str:
        """Return the page. `options`: width (columns, 80), color (off), full (off)."""
        width = max(40, int(options.get("width") or 80))
        return printed(page(shown(run), width, bool(options.get("full"))), width, bool(options.get("color")))

    def write_fleet(self, fleet: "Fleet", options: Mapping[str, Any]) -> str:
        """Return the page of a batch: a headline, many faults in brief first, then each with its lines."""
        from tracekit_reports.terminalfleet import fleet_page

        width = max(40, int(options.get("width") or 80))
        return printed(
            fleet_page(shown(replace(fleet, found=(), doubtful=fleet.doubtful[: fleets.NAMED + 1])), width),
            width,
            bool(options.get("color")),
        )

    def write_answer(self, answer: "Answer", options: Mapping[str, Any]) -> str:
        """Return the page of a simulation: the faults with their first step, the cost, and the run as a picture. `names`: of the codes."""
        from tracekit_reports import simulation

        width = max(40, int(options.get("width") or 80))
        told = [Text(visible(line)) for line in simulation.lines(answer, options.get("names") or {}, bool(options.get("full")))]
        drawn = [Text(), *blocks(answer.timeline, min(width, _WIDEST))] if answer.timeline and answer.timeline.lanes else []
        return printed([*told, *drawn], width, bool(options.get("color")))

    def write_grid(self, grid: "Grid", options: Mapping[str, Any]) -> str:
        """Return the verdict of every cell as a table, as wide as it is."""
        from tracekit_reports import simulation

        return "\n".join(map(visible, simulation.table(grid))) + "\n"

    def write_plan(self, plan: "Plan", options: Mapping[str, Any]) -> str:
        """Return which hosts fail after a change. `names`: of the codes."""
        from tracekit_reports import plans

        return "\n".join(map(visible, plans.lines(plan, options.get("names") or {}, bool(options.get("full"))))) + "\n"


def page(run: Run, width: int, full: bool) -> Iterator[RenderableType]:
    """Yield the parts of the page, top to bottom."""
    told = story(run)
    yield Text(headline(run, told), style="bold" if told.faults else "bold yellow" if run.doubts else "bold green")
    for fault in told.faults:
        yield Text()
        yield from _fault(fault, run.picture(fault.finding), width, full)
    if told.faults:
        yield Text()
    opened = [*_facts(told, width, full), *_open(told)]
    yield from opened
    if told.faults and opened:
        yield Text()
    yield Text(checked(told, full), style="dim" if told.faults else "")
    for d in run.doubts if full else run.doubts[1:]:
        yield labelled("not trusted", Text(visible(d.text)))
    for text in settings(run) if full else run.settings:
        yield labelled("settings", Text(visible(text)))
    if full:
        yield from _rest(run, told)


def _fault(fault: Fault, picture: Picture | None, width: int, full: bool) -> Iterator[RenderableType]:
    f = fault.finding
    head = Text.assemble((f" {(f.severity or 'info').upper()} ", COLOUR[f.severity or "info"]), " ", (f.code, "bold"), f"  {f.name}  ")
    head.append(confidence(f), style="bold" if f.grade == "proven" else "")
    yield head
    yield indented(Text(visible(f.summary), style="bold"))
    yield labelled("device", Text.assemble((visible(_subject(f)), "cyan")))
    yield from _picture(picture, width)
    yield from _evidence(f, width, full)
    if full:
        yield from _windows(f, width)
    if f.fixes:
        yield labelled("fixed by", Text(visible("; ".join(f.fixes)), style="green"))
    if f.advice:
        yield labelled("what to do", Text(visible(f.advice), style="green"))
    for u in f.unchecked:
        yield labelled("not checked", Text(visible(f"{u.guard}. Would settle it: {u.would_settle}")))
    for c in fault.consequences:
        told = Text.assemble((c.code, "bold"), f" {c.name}, {confidence(c)}: {visible(c.summary)} ", (f"({visible(places(c))})", "dim"))
        yield labelled("leads to", told)


def _picture(picture: Picture | None, width: int) -> Iterator[RenderableType]:
    """Yield the part that shows the proof, else the whole."""
    if picture is not None:
        yield Text()
        yield from map(indented, blocks(picture.focus or picture.whole, min(width, _WIDEST) - 2))
        yield Text()


def _subject(f: Finding) -> str:
    s = f.subject
    name = s.label if s.bdf is None or s.bdf in s.label else f"{s.label} ({s.bdf})"
    where = f" on {f.machine}" if f.machine else ""
    return name + where + (f"; {s.how}" if s.how else "")


def _evidence(f: Finding, width: int, full: bool) -> Iterator[RenderableType]:
    shown, left = chosen(f.evidence, len(f.evidence) if full else _MOST_EVIDENCE)
    digits = max((len(n) for e in shown for n, _ in quoted(e)), default=1)
    for source, group in by_source(shown):
        yield labelled("seen in", Text(visible(source) if full else _end(visible(source), width - 16), style="underline"))
        table = Table.grid(padding=(0, 1))
        table.add_column(justify="right", width=digits, no_wrap=True)
        table.add_column(width=7, no_wrap=True)
        table.add_column()
        for e in group:
            for i, (number, text) in enumerate(quoted(e)):
                role = Text("" if i else e.role, style=_ROLE[e.role])
                table.add_row(Text(number, style="cyan"), role, Text(_fitted(text, width - digits - 15)))
        yield Padding(table, (0, 0, 0, 4))
    if left:
        yield indented(Text(f"  and {left} more of evidence (--full)", style="dim"))


def _windows(f: Finding, width: int) -> Iterator[RenderableType]:
    """Yield a row for each window, below its head. Heads wrap before numbers do."""
    head, *rows = windows.table(f) or [[]]
    if rows:
        columns = list(zip(head, *rows, strict=True))
        least = [max(min(_NUMBER, max(map(len, cells))), max(map(len, name.split()))) for name, *cells in columns]
        whole = sum(max(map(len, column)) + _GAP for column in columns) <= width - _INDENT
        fits = sum(least) + _GAP * len(least) <= width - _INDENT
        table = Table(box=None, padding=(0, _GAP, 0, 0), header_style="dim", pad_edge=False)
        for (name, *_), narrow in zip(columns, least, strict=True):
            table.add_column(Text(visible(name)), overflow="fold", width=narrow if fits and not whole else None)
        for row in rows:
            table.add_row(*(Text(visible(cell)) for cell in row))
        yield indented(Text("windows", style="dim"))
        yield Padding(table, (0, 0, 0, _INDENT))


def _fitted(text: str, width: int) -> str:
    """Return a line of a log, runs of blanks squeezed; the middle goes where it would take more than three lines of the terminal."""
    lines = wrap(" ".join(visible(text).split()), max(20, width), break_on_hyphens=False)
    if len(lines) > _LINES_EACH:
        lines = [lines[0] + " …", *lines[1 - _LINES_EACH :]]
    return "\n".join(lines)


def _end(path: str, width: int) -> str:
    """Return a path; of a long one the end, where the file's name is."""
    return path if len(path) <= width else "…" + path[1 - width :]


def _facts(told: Story, width: int, full: bool) -> Iterator[RenderableType]:
    for f in told.facts:
        if full or told.faults or is_remark(f):
            yield labelled(f"{f.code}", Text(visible(f"{f.name}: {f.summary}" + (f". {f.advice}" if f.advice else ""))))
        if is_remark(f):
            yield from _evidence(f, width, full)


def _open(told: Story) -> Iterator[RenderableType]:
    for o in told.open:
        yield _outcome(o, "inconclusive")


def _rest(run: Run, told: Story) -> Iterator[RenderableType]:
    for o in told.clear:
        yield _outcome(o, "clear")
    for o in told.partly:
        yield _outcome(o, "clear in part")
    for o in told.unevaluated:
        yield _outcome(o, "not evaluated")
    for s in run.sources:
        yield labelled("read", Text(visible(f"{s.path}: {s.lines:,} lines, {sum(s.events.values()):,} events; clock: {s.clock}")))
        for note in s.notes:
            yield indented(Text(visible(note)))
        for n in s.not_understood:
            kind = n.event or "a fault"
            yield indented(Text(visible(f"line {n.line} looks like {kind} but does not parse ({n.count} such): {n.text}")))


def _outcome(o: Outcome, kind: str) -> RenderableType:
    told = Text.assemble((o.code, "bold"), f" {o.name}")
    if o.reason:
        told.append(visible(f": {o.reason}"))
    if o.record:
        told.append(visible(f". To record: {o.record}"), style="dim")
    return labelled(kind, told)
