"""The page of a batch: where each fault is, since when, and which cases have it. Its script sorts and filters; all is there without."""

import shlex
from collections.abc import Iterator, Mapping
from importlib.resources import files

from tracekit import Fleet, FleetCase, FleetFault
from tracekit_reports import fleets, trend
from tracekit_reports.heatmap import Heatmap, device_row
from tracekit_reports.page import folded, framed, listed, safe, scrolling
from tracekit_reports.story import plural, shown

_FAULTS = 60  # faults with a part of their own
_ROWS = 3_800_000  # characters of the table of cases: with them a page stays below 5 MB
_LISTED = 500  # cases without a result, and faults that are gone
_HEADS = ("Severity", "Fault", "State", "Grade", "Machine", "Device", "Kernel", "First seen", "Case", "Line", "What")
_WIDE = ("Device", "Case")
_LONG = 240  # characters of a cell
_SCRIPT, _STYLE = (files("tracekit_reports").joinpath(name).read_text(encoding="utf-8") for name in ("fleet.js", "fleet.css"))


def fleet_page(fleet: Fleet) -> str:
    """Return the page."""
    fleet = shown(fleet)
    title = fleets.headline(fleet)
    script = _SCRIPT if fleet.found else ""
    return framed(title, _STYLE, _body(fleet, title), script=script)


def _body(fleet: Fleet, title: str) -> Iterator[str]:
    places = "machines" if not fleet.nameless else "machines and cases without a host name" if fleet.machines else "cases"
    yield f"<h1{'' if fleet.faults else ' class=good'}>{safe(title)}</h1>"
    yield from (f'<p class="sum">{safe(note)}</p>' for note in fleets.notes(fleet))
    yield from _states(fleet)
    heat = Heatmap(fleet, places)
    yield from heat.html()
    yield from trend.trend(fleet, places)
    yield from _cases(fleet, heat)
    if fleet.faults:
        yield '<h2 id="what">What: the faults</h2>'
    for number, (fault, name) in enumerate(zip(fleet.faults[:_FAULTS], fleets.titles(fleet.faults), strict=False)):
        yield from _fault(fault, number, name)
    if (left := len(fleet.faults) - _FAULTS) > 0:
        yield f"<p>{plural(left, 'further fault')}: in the table above.</p>"
    yield from _first("Gone since the earlier batch", list(fleets.gone(fleet)))
    for name, rows in fleets.troubles(fleet):
        yield from _first(name, rows)
    versions = ", ".join(f"{name} {version}" for name, version in fleet.versions.items())
    yield f"<footer>{safe(versions)}</footer>"


def _states(fleet: Fleet) -> Iterator[str]:
    """Yield how many faults are new, known and gone, where there is an earlier batch to compare with."""
    if fleet.compared:
        states = [f.state for f in fleet.faults]
        other = f", {states.count('')} of machines that only one batch has" if "" in states else ""
        told = f"{states.count('known')} known, {len(fleet.gone)} gone since the earlier batch{other}"
        yield f'<p><span class="new">{states.count("new")} new</span>, {told}.</p>'


def _fault(f: FleetFault, number: int, name: str) -> Iterator[str]:
    state = f' <span class="{"new" if f.state == "new" else "known"}">{safe(f.state)}</span>' if f.state else ""
    yield f'<article class="{safe(f.severity)}" id="fault-{number}"><span class="tag">{safe(f.severity)}</span>{state}'
    yield f"<h2>{safe(f.code)} {safe(name)}</h2>"
    yield f'<p class="what"><b>{safe(f.grade)}</b> · {safe(fleets.extent(f))} · <a href="#cases" data-f="{number}">its cases</a></p>'
    yield f"<p>{safe(f.example['summary'])}</p>"
    if advice := f.example.get("advice"):
        yield f'<p class="do"><b>What to do.</b> {safe(advice)}</p>'
    yield from listed("", [f"<b>{safe(label)}</b> {safe(text)}" for label, text in fleets.lines(f)])
    yield f"<p>The page of that case: <code>{safe(command(f.example['case']))}</code></p></article>"


def command(case: str) -> str:
    """Return the command that shows the page of a case."""
    return f"tracekit analyze {shlex.quote(case)} --open"


def _cases(fleet: Fleet, heat: Heatmap) -> Iterator[str]:
    """Yield the table of cases with a fault, the worst first."""
    if not fleet.found:
        return
    compared = bool(fleet.compared)
    yield '<h2 id="cases">Which: the cases with a fault</h2>'
    yield "<p>The page of a case: <code>tracekit analyze CASE --open</code>, with its path from the column Case.</p>"
    yield '<form class="filter" hidden></form>'
    yield scrolling("Cases with a fault", "cases") + "<table><thead><tr>"
    yield "".join(f'<th scope="col">{name}</th>' for name in _HEADS if compared or name != "State") + "</tr></thead><tbody>"
    by_group = {f.group: (number, f) for number, f in enumerate(fleet.faults)}
    room, told = _ROWS, 0
    for case in fleet.found:
        row = _case(case, by_group, heat, compared)
        room -= len(row)
        if room < 0:
            break
        told += 1
        yield row
    yield "</tbody></table></div>"
    if left := len(fleet.found) - told + fleet.more:
        query = 'tracekit query RESULTS "SELECT code, machine, case, summary FROM findings WHERE grade IS NOT NULL"'
        yield f"<p>{left:,} more cases with a fault are not on this page: <code>{safe(query)}</code></p>"


def _case(c: FleetCase, by_group: Mapping[str, tuple[int, FleetFault]], heat: Heatmap, compared: bool) -> str:
    """Return a row; its cells end where the next one begins, as HTML allows."""
    number, fault = by_group.get(c.group, (-1, None))
    row = device_row(fault, c.device) if fault else 0
    many = f" ({c.findings:,})" if c.findings > 1 else ""
    about = " · ".join(dict.fromkeys(filter(None, (c.subject, c.device))))
    line = f"{c.source.rpartition('/')[2].rpartition('!')[2]}:{c.line}" if c.source else ""
    seen = (c.first_seen or "")[:10]
    cells = (c.code + many, fault.state if fault else "", c.grade, c.machine, about, c.kernel, seen, c.case, line, c.summary)
    head = f'<tr data-f="{number}" data-d="{row}" data-k="{heat.column(c.kernel)}"><td class="tag {safe(c.severity)}">{safe(c.severity)}'
    named = [(name, cell) for name, cell in zip(_HEADS[1:], cells, strict=True) if compared or name != "State"]
    return head + "".join(f"<td{' class=wide' if name in _WIDE else ''}>{safe(_cut(cell))}" for name, cell in named) + "\n"


def _cut(text: str) -> str:
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"


def _first(title: str, rows: list[str]) -> Iterator[str]:
    """Yield the first rows of a list, and how many are left out."""
    more = [f"and {len(rows) - _LISTED:,} more"] if len(rows) > _LISTED else []
    items = [safe(_cut(row)) for row in [*rows[:_LISTED], *more]]
    yield from folded(safe(title), items) if len(items) > 20 else listed(safe(title), items)
