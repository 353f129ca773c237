"""What a change leads to on the hosts of a batch, for a reader: the faults, and of each host what was seen and what is assumed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tracekit import Fault, Foreseen, Plan
from tracekit_reports.story import plural

MOST = 10  # cases, and lines of a part, without --full


def lines(plan: Plan, names: Mapping[str, str], full: bool) -> Iterator[str]:
    """Yield the page. `names`: the name of each code."""
    asked = [c for c in plan.cases if not c.skipped]
    hit = [c for c in asked if c.new]
    may = [c for c in asked if c.perhaps and not c.new]
    more = f"; {_counted(may)} may, by what no line tells" if may else ""
    yield f"After {', '.join(plan.change)}: {_of(hit, asked)} get a new fault{more}"
    for code in sorted({f.code for c in hit for f in c.new}):
        yield f"  {code}  {names.get(code, '')}: {_counted([c for c in hit if any(f.code == code for f in c.new)])}"
    told = [*hit, *may]
    for c in told if full else told[:MOST]:
        yield from _case(c)
    if not full and len(told) > MOST:
        yield from ("", f"and {len(told) - MOST} more (--full)")
    for title, chosen in (("Faults that end with it", "ended"), ("Faults with it and without it", "kept")):
        codes = [f"{_named(c)}: {', '.join(getattr(c, chosen))}" for c in asked if getattr(c, chosen)]
        yield from _part(title, codes, full)
    yield from _part("Not foreseen", [f"{_named(c)}: {c.skipped}" for c in plan.cases if c.skipped], full)


def document(plan: Plan) -> dict[str, Any]:
    """Return the plan as JSON types."""
    return {
        "change": list(plan.change),
        "cases": [
            {
                "case": c.case,
                "machine": c.machine,
                "new": [_fault(f) for f in c.new],
                "perhaps": [{**_fault(p.fault), "if": [dict(c) for c in p.any_of]} for p in c.perhaps],
                "kept": list(c.kept),
                "ended": list(c.ended),
                "seen": list(c.seen),
                "assumed": list(c.assumed),
                "skipped": c.skipped,
            }
            for c in plan.cases
        ],
    }


def _fault(f: Fault) -> dict[str, str]:
    return {"code": f.code, "subject": f.subject, "what": f.step.what, "ends": f.step.ends}


def _case(c: Foreseen) -> Iterator[str]:
    yield ""
    yield _named(c)
    yield from (f"  {_told(f)}" for f in c.new)
    for p in c.perhaps:
        like = ", or if ".join(" and ".join(f"{name} is like {value}" for name, value in c.items()) for c in p.any_of)
        yield f"  perhaps {_told(p.fault)}, if {like}"
    yield f"  seen: {'; '.join(c.seen)}"
    yield from (f"  assumed: {text}" for text in c.assumed)


def _told(f: Fault) -> str:
    return f"{f.code}  {f.subject}: {f.step.what}{f' ({f.step.ends})' if f.step.ends else ''}"


def _named(case: Foreseen) -> str:
    return f"{case.machine} ({case.case})" if case.machine else case.case


def _places(cases: Sequence[Foreseen]) -> tuple[int, int]:
    """Return how many hosts there are, and how many cases whose logs name none."""
    return len({c.machine for c in cases if c.machine}), sum(not c.machine for c in cases)


def _counted(cases: Sequence[Foreseen]) -> str:
    hosts, unnamed = _places(cases)
    return " and ".join([plural(hosts, "host")] * bool(hosts) + [plural(unnamed, "case")] * bool(unnamed)) or plural(0, "host")


def _of(hit: Sequence[Foreseen], asked: Sequence[Foreseen]) -> str:
    """Return `2 of 5 hosts`; a case whose logs name no host is a case: `2 of 5 hosts and 1 of 3 cases without a host's name`."""
    (hosts, cases), (all_hosts, all_cases) = _places(hit), _places(asked)
    told = [f"{hosts} of {plural(all_hosts, 'host')}"] * bool(all_hosts or not all_cases)
    told += [f"{cases} of {plural(all_cases, 'case')}" + " without a host's name" * bool(all_hosts)] * bool(all_cases)
    return " and ".join(told)


def _part(title: str, told: Sequence[str], full: bool) -> Iterator[str]:
    if not told:
        return
    yield ""
    yield f"{title}:"
    yield from (f"  {line}" for line in (told if full else told[:MOST]))
    if not full and len(told) > MOST:
        yield f"  and {len(told) - MOST} more (--full)"
