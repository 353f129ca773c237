"""The report of a fleet for a reader: the headline, the story of each fault, and what could not be read. For the reports of a batch."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tracekit import Fleet, FleetFault
from tracekit_reports.story import plural, visible

TITLES = {"kernel": "kernel", "qemu": "QEMU", "xen": "Xen", "driver": "driver", "device": "device"}
MANY = 8  # faults from which on they are listed in brief first
NAMED = 50  # cases that are named below one title; a query has all
_MOST = 6  # machines, releases, drivers or devices that a line names


def headline(fleet: Fleet) -> str:
    """Return one sentence: how many faults on how many machines, and how many cases are missing."""
    n = fleet.cases
    told = f"{plural(len(fleet.faults), 'fault')} {' and '.join(_where(fleet))} ({plural(n['total'], 'case')}"
    told += f", {n['failed']} failed" if n["failed"] else ""
    told += f", {n['doubtful']} not to be trusted as clear" if n.get("doubtful") else ""
    return told + (f", {n['missing']} not analyzed)" if n["missing"] else ")")


def _where(fleet: Fleet) -> Iterator[str]:
    if fleet.machines or not fleet.nameless:
        yield f"on {fleet.faulty:,} of {plural(fleet.machines, 'machine')}"
    if fleet.nameless:
        yield f"in {fleet.faulty_nameless:,} of {plural(fleet.nameless, 'case')} without a host name"


def notes(fleet: Fleet) -> Iterator[str]:
    """Yield what the headline needs beside it: what is suppressed, that the batch is incomplete, and what it is compared with."""
    if fleet.suppressed:
        yield f"Suppressed: {plural(fleet.suppressed, 'finding')}."
    yield from (f"Settings: {text}" for text in fleet.settings)
    if fleet.stopped:
        yield f"The batch is incomplete: {fleet.stopped}. The same command goes on."
    if c := fleet.compared:
        told = f"Compared with the earlier batch on what both have: {plural(c['both'], 'machine')}, or cases without a host name"
        left = c["only_here"] or c["only_there"]
        yield told + (f". Not compared: {c['only_here']:,} only here, {c['only_there']:,} only there." if left else ".")


def titles(faults: Sequence[FleetFault]) -> list[str]:
    """Return the name and role of each fault; those that only their causes tell apart are numbered."""
    names = [f.name + (f", {f.role}" if f.role else "") for f in faults]
    many, seen = Counter(zip((f.code for f in faults), names, strict=True)), Counter[tuple[str, str]]()
    told = []
    for key in zip((f.code for f in faults), names, strict=True):
        seen[key] += 1
        told.append(key[1] + (f" #{seen[key]}" if many[key] > 1 else ""))
    return told


def extent(f: FleetFault) -> str:
    """Return on how many machines, in how many cases."""
    named = [plural(f.machines, "machine")] if f.machines else []
    nameless = [f"{plural(f.nameless, 'case')} without a host name"] if f.nameless else []
    return ", ".join([*named, *nameless, *([plural(f.cases, "case")] if named else [])])


def days(f: FleetFault) -> str:
    """Return the day, or the first and the last day, of a fault."""
    return " to ".join(sorted({seen[:10] for seen in (f.first_seen, f.last_seen) if seen}))


def lines(f: FleetFault) -> Iterator[tuple[str, str]]:
    """Yield (label, text) of the lines below a fault: where, since when, and an example."""
    yield "on", _first(f.on)
    if f.role:
        yield "role", visible(f.role)
    for column, title in TITLES.items():
        if counts := f.by[column]:
            yield title, _first([f"{value} ({n:,})" for value, n in counts.items()])
    if f.first_seen:
        how = "" if f.seen_by == "stamp" else " (by the time of the file)"
        yield "seen", f"{f.first_seen} to {f.last_seen}{how}" if f.first_seen != f.last_seen else f"{f.first_seen}{how}"
    if f.example["source"]:
        yield "for example", visible(f"{f.example['source']}:{f.example['line']}: {f.example['text'].strip()}")


def gone(fleet: Fleet) -> Iterator[str]:
    """Yield one line for each fault of the earlier batch that this one has not."""
    yield from (f"{g['code']}  {g['name']}: was on {plural(g['machines'], 'machine')}" for g in fleet.gone)


def troubles(fleet: Fleet) -> Iterator[tuple[str, list[str]]]:
    """Yield (title, rows) of what failed and what is missing: of many the first, and how many more there are."""
    whole = [x for x in fleet.failures if not x["member"]]
    parts = [x for x in fleet.failures if x["member"]]
    if whole:
        yield f"{plural(len(whole), 'case')} failed", _named(whole, len(whole))
    if parts:
        yield f"{plural(len(parts), 'part')} of cases could not be read", _named(parts, len(parts), "member")
    if fleet.missing:
        yield f"{plural(len(fleet.missing), 'case')} not analyzed", _named(fleet.missing, len(fleet.missing))
    if fleet.doubtful:
        count = max(fleet.cases.get("doubtful", 0), len(fleet.doubtful))
        yield f"Nothing found in {plural(count, 'case')}, but this all-clear is not to be trusted", _named(fleet.doubtful, count)


def _named(cases: Sequence[Mapping[str, Any]], count: int, name: str = "case") -> list[str]:
    """Return a line for each of the first cases, and one for the others."""
    rows = [f"{x[name]}: {x['reason'].removeprefix(x[name] + ': ')}" for x in cases[:NAMED]]
    return [*rows, f"and {count - len(rows):,} more: tracekit query"] if count > len(rows) else rows


def _first(told: Sequence[str]) -> str:
    more = f", and {len(told) - _MOST:,} more" if len(told) > _MOST else ""
    return visible(", ".join(told[:_MOST])) + more
