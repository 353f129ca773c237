"""What a change leads to on the hosts of a batch, for a reader: the faults, and of each host what was seen and what is assumed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tracekit import Foreseen, Plan
from tracekit_reports.story import plural

MOST = 10  # hosts, and lines of a part, without --full


def lines(plan: Plan, names: Mapping[str, str], full: bool) -> Iterator[str]:
    """Yield the page. `names`: the name of each code."""
    asked = [c for c in plan.cases if not c.skipped]
    hit = [c for c in asked if c.new]
    yield f"After {', '.join(plan.change)}: {len({c.place for c in hit})} of {_hosts(asked)} get a new fault"
    for code in sorted({f.code for c in hit for f in c.new}):
        yield f"  {code}  {names.get(code, '')}: {_hosts([c for c in hit if any(f.code == code for f in c.new)])}"
    for c in hit if full else hit[:MOST]:
        yield from _host(c)
    if not full and len(hit) > MOST:
        yield from ("", f"and {len(hit) - MOST} more (--full)")
    for title, chosen in (("Faults that end with it", "ended"), ("Faults with it and without it", "kept")):
        told = [f"{_named(c)}: {', '.join(getattr(c, chosen))}" for c in asked if getattr(c, chosen)]
        yield from _part(title, told, full)
    yield from _part("Not foreseen", [f"{_named(c)}: {c.skipped}" for c in plan.cases if c.skipped], full)


def document(plan: Plan) -> dict[str, Any]:
    """Return the plan as JSON types."""
    return {
        "change": list(plan.change),
        "cases": [
            {
                "case": c.case,
                "machine": c.machine,
                "new": [{"code": f.code, "subject": f.subject, "what": f.step.what, "ends": f.step.ends} for f in c.new],
                "kept": list(c.kept),
                "ended": list(c.ended),
                "seen": list(c.seen),
                "assumed": list(c.assumed),
                "skipped": c.skipped,
            }
            for c in plan.cases
        ],
    }


def _host(c: Foreseen) -> Iterator[str]:
    yield ""
    yield _named(c)
    for f in c.new:
        yield f"  {f.code}  {f.subject}: {f.step.what}{f' ({f.step.ends})' if f.step.ends else ''}"
    yield f"  seen: {'; '.join(c.seen)}"
    yield from (f"  assumed: {text}" for text in c.assumed)


def _named(case: Foreseen) -> str:
    return f"{case.machine} ({case.case})" if case.machine else case.case


def _hosts(cases: Sequence[Foreseen]) -> str:
    return plural(len({c.place for c in cases}), "host")


def _part(title: str, told: Sequence[str], full: bool) -> Iterator[str]:
    if not told:
        return
    yield ""
    yield f"{title}:"
    yield from (f"  {line}" for line in (told if full else told[:MOST]))
    if not full and len(told) > MOST:
        yield f"  and {len(told) - MOST} more (--full)"
