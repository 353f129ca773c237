"""Answers of a simulation as HTML pages: one scenario with its picture, a grid, a change over a fleet."""

from collections.abc import Iterator, Mapping, Sequence

from tracekit import Answer, Grid, Plan
from tracekit_reports import plans, simulation
from tracekit_reports.page import framed, listed, safe, scrolling
from tracekit_reports.svg import DEFS, drawing


def answer_page(answer: Answer, names: Mapping[str, str], full: bool, style: str, zoom: str) -> str:
    """Return the page of one scenario. `names`: of the codes; `zoom`: the script of its picture."""
    title = simulation.headline(answer)
    drawn = answer.timeline is not None and bool(answer.timeline.lanes)
    defs = f'<svg class="defs" aria-hidden="true">{DEFS}</svg>' if drawn else ""
    return framed(title, style, _answer(answer, names, full), defs, zoom if drawn else "")


def grid_page(grid: Grid, style: str) -> str:
    """Return the page of a table of verdicts."""
    return framed("Verdicts", style, _table("Verdicts", simulation.rows_of(grid)))


def plan_page(plan: Plan, names: Mapping[str, str], style: str) -> str:
    """Return the page of a change: every case."""
    title, *rest = plans.lines(plan, names, True)
    return framed(title, style, _plan(title, rest))


def _answer(answer: Answer, names: Mapping[str, str], full: bool) -> Iterator[str]:
    yield f"<h1{'' if answer.faults else ' class=good'}>{safe(simulation.headline(answer))}</h1>"
    if answer.timeline is not None and answer.timeline.lanes:
        yield f"{scrolling('the run')}{drawing(answer.timeline, lambda _: '')}</div>"
    for f in answer.first():
        title, *rest = simulation.fault(f, names)
        yield from listed(safe(title), [safe(line) for line in rest])
    for title, rows in simulation.parts(answer, names, full):
        yield from listed(title, [safe(row) for row in rows])


def _table(title: str, rows: Sequence[Sequence[str]]) -> Iterator[str]:
    head, *rest = rows
    yield f"<h1>{safe(title)}</h1>{scrolling(safe(title))}<table><tr>{''.join(f'<th>{safe(c)}</th>' for c in head)}</tr>"
    yield from (f"<tr>{''.join(f'<td>{safe(c)}</td>' for c in row)}</tr>" for row in rest)
    yield "</table></div>"


def _plan(title: str, lines: Sequence[str]) -> Iterator[str]:
    """Yield the lines: those that stand in are a list below the one before."""
    yield f"<h1>{safe(title)}</h1>"
    head, items = "", []
    for line in [*lines, ""]:
        if line.startswith("  "):
            items.append(safe(line.strip()))
            continue
        yield from listed(head, items)
        head, items = safe(line.rstrip(":")), []
