"""The run as one self-contained HTML page: nothing loaded from elsewhere; a script of its own zooms the pictures, all else is without."""

from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from itertools import pairwise
from typing import Any

from tracekit import Answer, Bar, Evidence, Finding, Fleet, Grid, Mark, Outcome, Picture, Plan, Run
from tracekit_reports import windows
from tracekit_reports.fleetpage import fleet_page
from tracekit_reports.page import folded, framed, listed, safe, scrolling
from tracekit_reports.simulationpage import answer_page, grid_page, plan_page
from tracekit_reports.story import (
    Fault,
    Story,
    by_source,
    checked,
    chosen,
    confidence,
    headline,
    places,
    plural,
    quoted,
    settings,
    shown,
    story,
    why,
)
from tracekit_reports.svg import DEFS, drawing
from tracekit_reports.svg import STYLE as PICTURE

_STYLE = """
table { border-collapse: collapse; font: 13px/1.5 ui-monospace, monospace; } td { padding: 0 .75rem; vertical-align: top; white-space: pre;
  overflow-wrap: normal; } tr:first-child td { padding-top: .4rem; } tr:last-child td { padding-bottom: .4rem; }
th { padding: 0 .75rem; text-align: left; color: var(--dim); white-space: nowrap; } td.n { text-align: right; color: var(--dim); }
td.cause { color: var(--bad); } td.effect { color: var(--warn); } td.cure { color: var(--good); }
td.context { color: var(--dim); }
.tl { width: 100%; min-width: 46rem; height: auto; margin: .6rem 0; }
tr:target td { background: var(--mark); } .defs { position: absolute; width: 0; height: 0; }
@media print { .scroll { overflow: visible; border: 0; } td { white-space: pre-wrap; overflow-wrap: anywhere; } .tl { min-width: 0; }
  body { padding: 0; max-width: none; font-size: 11pt; } table { font-size: 8pt; } .picture { break-inside: avoid; } }
"""
_ZOOM = files("tracekit_reports").joinpath("zoom.js").read_text(encoding="utf-8")
_OPEN = 10  # windows that are shown without a click
MOST = 200  # pieces of evidence, and windows, of one finding; the rest is counted
_MOST_AROUND = 40  # pieces of evidence of one file whose surroundings are shown
NEAR = 10  # lines before and after a line of evidence
Around = Mapping[str, Mapping[int, str]]


class HtmlReport:
    """`--format html`: one page, light or dark as the reader's system is; everything from a log is escaped."""

    name = "html"
    draws = True

    def write(self, run: Run, options: Mapping[str, Any]) -> str:
        """Return the page."""
        run = shown(run)
        told = story(run)
        title = headline(run, told)
        drawn = any(run.pictures)
        defs = f'<svg class="defs" aria-hidden="true">{DEFS}</svg>' if drawn else ""
        return framed(title, _STYLE + PICTURE, _body(run, told, title), defs, _ZOOM if drawn else "")

    def write_answer(self, answer: Answer, options: Mapping[str, Any]) -> str:
        """Return a simulation: its faults, the run as a picture, what it costs. `names`: of the codes."""
        return answer_page(answer, options.get("names") or {}, bool(options.get("full")), _STYLE + PICTURE, _ZOOM)

    def write_grid(self, grid: Grid, options: Mapping[str, Any]) -> str:
        """Return the verdict of every cell."""
        return grid_page(grid, _STYLE)

    def write_plan(self, plan: Plan, options: Mapping[str, Any]) -> str:
        """Return which hosts fail after a change. `names`: of the codes."""
        return plan_page(plan, options.get("names") or {}, _STYLE)

    def write_fleet(self, fleet: Fleet, options: Mapping[str, Any]) -> str:
        """Return the page of a batch: where each fault is, since when, and which cases have it."""
        return fleet_page(fleet)


def _body(run: Run, told: Story, title: str) -> Iterator[str]:
    yield f"<h1{'' if told.faults or run.doubts else ' class=good'}>{safe(title)}</h1>"
    yield from listed("", [safe(e) for e in run.errors])
    yield from listed("Why an all-clear is not to be trusted", [safe(d.text) for d in run.doubts])
    for number, fault in enumerate(told.faults, 1):
        yield from _fault(fault, run.picture(fault.finding), run.around, f"f{number}")
    yield from listed("Facts", [f"<b>{safe(f.code)}</b> {safe(f.name)}: {safe(f.summary)}" for f in told.facts])
    yield from listed("Not decided", [_outcome(o) for o in told.open])
    yield from listed("Settings", list(map(safe, settings(run))))
    yield f"<p>{safe(checked(told, full=True))}</p>"
    yield from folded("Checked and clear", [_outcome(o) for o in told.clear])
    yield from folded("Checked and clear of some machines only", [_outcome(o) for o in told.partly])
    yield from folded("Not evaluated, and why", [_outcome(o) for o in told.unevaluated])
    yield from folded("What was read", [_source(s.path, s.lines, sum(s.events.values()), s.clock, s.notes) for s in run.sources])
    yield f"<footer>tracekit {safe(run.version)}</footer>"


def _fault(fault: Fault, picture: Picture | None, around: Around, key: str) -> Iterator[str]:
    f = fault.finding
    device = f.subject.label + (f"; {f.subject.how}" if f.subject.how else "") + (f"; on {f.machine}" if f.machine else "")
    yield f'<article class="{safe(f.severity or "info")}"><span class="tag">{safe(f.severity or "info")}</span>'
    yield f"<h2>{safe(f.summary)}</h2>"
    sure = f"<b>{safe(confidence(f))}</b>" + (f": {safe(why(f))}" if f.grade else "")
    yield f'<p class="what"><b>{safe(f.code)}</b> {safe(f.name)} · <code>{safe(device)}</code> · {sure}</p>'
    yield from _picture(picture, f, key)
    if f.advice:
        yield f'<p class="do"><b>What to do.</b> {safe(f.advice)}</p>'
    yield from listed("Fixed by", [safe(x) for x in f.fixes])
    if f.meaning:
        yield f"<h3>What this means</h3><p>{safe(f.meaning)}</p>"
    yield from _whole(picture, f, key)
    yield from _windows(f)
    yield from _evidence(f, around, key)
    yield from listed("Leads to", [_consequence(c) for c in fault.consequences])
    yield from listed("Not checked", [f"{safe(u.guard)}. Would settle it: {safe(u.would_settle)}" for u in f.unchecked])
    yield "</article>"


def _picture(picture: Picture | None, f: Finding, key: str) -> Iterator[str]:
    """Yield the part that shows the proof, else the whole."""
    if picture is not None:
        yield _scrolled(drawing(picture.focus or picture.whole, _linked(f, key)))


def _scrolled(svg: str) -> str:
    """Return a picture in a box that scrolls where it is zoomed or the page is narrow."""
    return f'<div class="scroll picture" tabindex="0" title="+, - and 0 zoom, so do Ctrl and the wheel">{svg}</div>'


def _whole(picture: Picture | None, f: Finding, key: str) -> Iterator[str]:
    """Yield the whole recording, where the first picture shows a part of it."""
    if picture is not None and picture.focus is not None:
        clock = f"<p>{safe(picture.whole.clock)}</p>" if picture.whole.clock else ""
        yield f"<h3>The whole recording</h3>{_scrolled(drawing(picture.whole, _linked(f, key)))}{clock}"


def _anchors(f: Finding, key: str) -> Callable[[Bar | Mark | Evidence], str]:
    """Return what gives a bar, or a piece of evidence, the name of its line on the page; nothing where the line is not on it."""
    shown, _ = chosen(f.evidence, MOST)
    sources = {source: i for i, source in enumerate(dict.fromkeys(e.source for e in f.evidence))}
    names = {(e.source, e.line): f"{key}-{sources[e.source]}-L{e.line}" for e in shown}
    return lambda item: names.get((item.source, item.line), "")


def _linked(f: Finding, key: str) -> Callable[[Bar | Mark], str]:
    """Return what gives a bar the address of its line on the page."""
    anchor = _anchors(f, key)
    return lambda item: f"#{name}" if (name := anchor(item)) else ""


def _windows(f: Finding) -> Iterator[str]:
    """Yield the windows of a finding as a table; many open on a click."""
    if told := windows.table(f):
        head = "".join(f'<th scope="col">{safe(cell)}</th>' for cell in told[0])
        rows = "".join(f"<tr>{''.join(f'<td>{safe(cell)}</td>' for cell in row)}</tr>" for row in told[1 : MOST + 1])
        table = f"{scrolling('Windows')}<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        title = f"Windows ({len(f.windows):,})"
        yield f"<h3>{title}</h3>{table}" if len(told) <= _OPEN else f"<details><summary>{title}</summary>{table}</details>"
        if (left := len(told) - 1 - MOST) > 0:
            yield f"<p>{plural(left, 'more window')}: <code>--format json</code></p>"


def _consequence(f: Finding) -> str:
    return f"<b>{safe(f.code)}</b> {safe(f.name)}, {safe(confidence(f))}: {safe(f.summary)} <code>{safe(places(f))}</code>"


def _evidence(f: Finding, around: Around, key: str) -> Iterator[str]:
    shown, left = chosen(f.evidence, MOST)
    anchor = _anchors(f, key)
    for source, group in by_source(shown):
        yield f"<h3>{safe(source)}</h3>"
        yield f'<div class="scroll" tabindex="0"><table>{"".join(_line(e, anchor(e)) for e in group)}</table></div>'
        yield from _surroundings(group[:_MOST_AROUND], around.get(source, {}))
    if left:
        yield f"<p>{plural(left, 'more line')} of evidence: <code>--format json</code></p>"


def _surroundings(group: list[Evidence], lines: Mapping[int, str]) -> Iterator[str]:
    """Yield the lines around the evidence, folded away; gaps between them are marked."""
    told = {n: e.role for e in group for n in (e.line, e.line_end or e.line)}
    near = {n for at in told for n in range(at - NEAR, at + NEAR + 1)}
    wanted = [n for n in lines if n in near]
    if not set(wanted) - set(told):
        return
    rows = []
    for before, n in pairwise([0, *wanted]):
        if before and n > before + 1:
            rows.append('<tr><td class="n">…</td><td></td></tr>')
        rows.append(f'<tr><td class="n">{n}</td><td class="{safe(told.get(n, "context"))}">{safe(lines[n].rstrip())}</td></tr>')
    yield f'<details><summary>The lines around</summary><div class="scroll" tabindex="0"><table>{"".join(rows)}</table></div></details>'


def _line(e: Evidence, name: str) -> str:
    cells = f'<td class="{safe(e.role)}">{safe(e.role)}</td>'
    rows = (f'<td class="n">{n}</td>{cells}<td>{safe(text.strip())}</td></tr>' for n, text in quoted(e))
    place = f' id="{safe(name)}"'
    return "".join(f"<tr{'' if i else place}>{row}" for i, row in enumerate(rows))


def _outcome(o: Outcome) -> str:
    reason = f": {safe(o.reason)}" if o.reason else ""
    record = f". To record: <code>{safe(o.record)}</code>" if o.record else ""
    return f"<b>{safe(o.code)}</b> {safe(o.name)}{reason}{record}"


def _source(path: str, lines: int, events: int, clock: str, notes: tuple[str, ...]) -> str:
    told = f"<code>{safe(path)}</code>: {plural(lines, 'line')}, {plural(events, 'event')}; clock: {safe(clock)}"
    return told + "".join(f"; {safe(n)}" for n in notes)
