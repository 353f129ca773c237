"""The run as Markdown, to paste into a fault report or a mail."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tracekit import Answer, Finding, Fleet, FleetFault, Grid, Outcome, Plan, Run
from tracekit_reports import fleets, plans, simulation
from tracekit_reports.story import Fault, by_source, checked, chosen, confidence, headline, places, quoted, settings, shown, story, visible

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&!@$])")
_LINK = re.compile(r"(?i)\b(www)\.")
_BLOCK = re.compile(r"^((?:[0-9]{1,9}(?=[.)](?: |$)))?)([-+=.)])")  # what makes a line an item of a list, a rule or a heading
_MOST_EVIDENCE = 20


class MarkdownReport:
    """`--format markdown`: headings, lists, evidence in fences; text from logs cannot become markup."""

    name = "markdown"

    def write(self, run: Run, options: Mapping[str, Any]) -> str:
        """Return the document. `options`: full (all evidence, and why diagnoses were not evaluated)."""
        return "\n".join(_document(shown(run), bool(options.get("full")))) + "\n"

    def write_answer(self, answer: Answer, options: Mapping[str, Any]) -> str:
        """Return a simulation. `names`: of the codes."""
        return "\n".join(_answer(answer, options.get("names") or {}, bool(options.get("full")))) + "\n"

    def write_grid(self, grid: Grid, options: Mapping[str, Any]) -> str:
        """Return the verdict of every cell as a table."""
        head, *rows = ([plain(cell) for cell in row] for row in simulation.rows_of(grid))
        return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)) + "\n"

    def write_plan(self, plan: Plan, options: Mapping[str, Any]) -> str:
        """Return which hosts fail after a change. `names`: of the codes."""
        head, *rest = plans.lines(plan, options.get("names") or {}, bool(options.get("full")))
        told = [
            "" if not line else f"* {plain(line.strip())}" if line.startswith("  ") else f"## {plain(line.rstrip(':'))}\n" for line in rest
        ]
        return "\n".join([f"# {plain(head)}", "", *told]) + "\n"

    def write_fleet(self, fleet: Fleet, options: Mapping[str, Any]) -> str:
        """Return the document of a batch: many faults as a table first, then each with its lines."""
        return "\n".join(_fleet(shown(fleet))).rstrip("\n") + "\n"


def _answer(answer: Answer, names: Mapping[str, str], full: bool) -> Iterator[str]:
    yield f"# {plain(simulation.headline(answer))}"
    yield ""
    for f in answer.first():
        title, *rest = simulation.fault(f, names)
        yield from (f"## {plain(title)}", "", *(f"* {plain(line)}" for line in rest), "")
    for title, rows in simulation.parts(answer, names, full):
        yield from _listed(title, [plain(row.strip()) for row in rows])


def _fleet(fleet: Fleet) -> Iterator[str]:
    yield f"# {plain(fleets.headline(fleet))}"
    yield ""
    for note in fleets.notes(fleet):
        yield plain(note)
        yield ""
    if len(fleet.faults) >= fleets.MANY:
        yield from _brief(fleet.faults)
        yield ""
    for f in fleet.faults:
        state = f" ({f.state})" if f.state else ""
        yield f"## {plain(f.code)} {plain(f.name)}{plain(state)}: {fleets.extent(f)}"
        yield ""
        yield f"{plain(f.severity)}, {plain(f.grade)}"
        yield ""
        yield f"* {plain(f.example['summary'])}"
        yield from (f"* {plain(f'{label}: {text}')}" for label, text in fleets.lines(f))
        yield ""
    yield from _listed("Gone", [plain(line) for line in fleets.gone(fleet)])
    for title, rows in fleets.troubles(fleet):
        yield from _listed(title, [plain(row) for row in rows])


def _brief(faults: Sequence[FleetFault]) -> Iterator[str]:
    yield "| severity | code | fault | grade | machines, or cases without a host name | state | first seen | last seen | device |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for f in faults:
        seen = (f.first_seen or "", f.last_seen or "")
        cells = (f.severity, f.code, f.name, f.grade, f"{f.machines or f.nameless:,}", f.state, *seen, f.role)
        yield f"| {' | '.join(map(plain, cells))} |"


def _document(run: Run, full: bool) -> Iterator[str]:
    told = story(run)
    yield f"# {plain(headline(run, told))}"
    yield ""
    for error in run.errors:
        yield f"* {plain(error)}"
    yield from _listed("Why an all-clear is not to be trusted", [plain(d.text) for d in run.doubts])
    for fault in told.faults:
        yield from _fault(fault, full)
    yield from _listed("Facts", [f"**{plain(f.code)}** {plain(f.name)}: {plain(f.summary)}" for f in told.facts])
    yield from _listed("Not decided", [_outcome(o) for o in told.open])
    yield from _listed("Settings", list(map(plain, settings(run))))
    yield plain(checked(told, full))
    if full:
        yield ""
        yield from _listed("Checked and clear", [_outcome(o) for o in told.clear])
        yield from _listed("Checked and clear of some machines only", [_outcome(o) for o in told.partly])
        yield from _listed("Not evaluated", [_outcome(o) for o in told.unevaluated])
        sources = [f"{plain(s.path)}: {s.lines:,} lines, {sum(s.events.values()):,} events; clock: {plain(s.clock)}" for s in run.sources]
        yield from _listed("Read", sources)


def _fault(fault: Fault, full: bool) -> Iterator[str]:
    f = fault.finding
    yield f"## {plain(f.code)} {plain(f.name)}: {plain(f.subject.label)}"
    yield ""
    yield f"**{plain(f.summary)}**"
    yield ""
    yield f"Severity {plain(f.severity or 'info')}, {plain(confidence(f))}." + (
        f" Device: {plain(f.subject.how)}." if f.subject.how else ""
    )
    yield ""
    yield from _evidence(f, full)
    for fix in f.fixes:
        yield f"Fixed by: {plain(fix)}"
        yield ""
    if f.advice:
        yield f"What to do: {plain(f.advice)}"
        yield ""
    yield from _listed(
        "Leads to",
        [f"**{plain(c.code)}** ({plain(c.grade or 'information')}) {plain(c.summary)} ({plain(places(c))})" for c in fault.consequences],
        "###",
    )
    yield from _listed("Not checked", [plain(f"{u.guard}. Would settle it: {u.would_settle}") for u in f.unchecked], "###")


def _evidence(f: Finding, full: bool) -> Iterator[str]:
    shown, left = chosen(f.evidence, len(f.evidence) if full else _MOST_EVIDENCE)
    for source, group in by_source(shown):
        rows = [(n, e.role, visible(t).strip()) for e in group for n, t in quoted(e)]
        digits = max(len(n) for n, _, _ in rows)
        lines = [f"{n:>{digits}}  {role:<7}  {text}".rstrip() for n, role, text in rows]
        longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
        fence = "`" * max(3, longest + 1)
        yield f"{plain(source)}:"
        yield ""
        yield f"{fence}text"
        yield from lines
        yield fence
        yield ""
    if left:
        yield f"{left} more pieces of evidence are in the JSON report."
        yield ""


def _listed(title: str, items: list[str], level: str = "##") -> Iterator[str]:
    if items:
        yield f"{level} {title}"
        yield ""
        yield from (f"* {item}" for item in items)
        yield ""


def _outcome(o: Outcome) -> str:
    reason = f": {plain(o.reason)}" if o.reason else ""
    record = f". To record: {plain(o.record)}" if o.record else ""
    return f"**{plain(o.code)}** {plain(o.name)}{reason}{record}"


def plain(text: str) -> str:
    """Return text that Markdown shows as it is: on one line, nothing in it is markup, a mention or a link."""
    text = _LINK.sub(r"\1\\.", _SPECIAL.sub(r"\\\1", visible(" ".join(text.split()))))
    return _BLOCK.sub(lambda m: f"{m[1]}\\{m[2]}", text).replace("://", ":\u200b//")
