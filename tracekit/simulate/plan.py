"""What a change leads to on each host of a fleet: the hosts as they were seen, simulated without the change and with it."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from tracekit.errors import TracekitError
from tracekit.simulate.answer import Answer, Fault
from tracekit.simulate.scenario import Scenario
from tracekit.simulate.settings import Tree, changed, scenario
from tracekit.simulate.simulator import Parts, Simulator

TABLE = "table"
RELEASES = {"host.kernel": "KV", "client.version": "QV"}  # what is seen of a release says nothing of another
Cell = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a batch keeps of one case: the host that its logs name, the settings that they show, and what they leave open."""

    case: str
    machine: str
    settings: Mapping[str, Any]
    open: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Perhaps:
    """A fault that comes with the change if settings that no line tells are like one of these: `host.kernel` like 6.12."""

    fault: Fault
    any_of: tuple[Mapping[str, str], ...]


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What is foreseen for one case: faults that come with the change, codes that are there without it too, and codes that it ends.

    `perhaps`: faults that depend on what no line tells. `seen`: what the logs show; `assumed`: what no line tells. `skipped`: why
    nothing is foreseen.
    """

    case: str
    machine: str
    new: tuple[Fault, ...] = ()
    kept: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    perhaps: tuple[Perhaps, ...] = ()
    seen: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    skipped: str = ""

    @property
    def place(self) -> str:
        """Return the host, or the case whose logs name none."""
        return self.machine or self.case


@dataclass(frozen=True, slots=True)
class Plan:
    """A change, and what is foreseen for each case of a batch."""

    change: tuple[str, ...]
    cases: tuple[Foreseen, ...]


def plan(simulator: Simulator, parts: Parts, change: Sequence[str], cases: Iterable[Seen]) -> Plan:
    """Simulate each case as it was seen, then with the change. Errors: UsageError where the change is no setting."""
    scenario(changed({"devices": [{}]}, change), "--set")
    answers: dict[Scenario, Answer] = {}

    def answer(tree: Tree, source: str) -> Answer:
        asked = scenario(tree, source)
        if asked not in answers:  # hosts alike are simulated once
            answers[asked] = simulator.run(asked, parts)
        return answers[asked]

    found = []
    for case in map(_with_guests, cases):
        blank = Foreseen(case.case, case.machine)
        if not case.settings.get("devices"):
            found.append(replace(blank, skipped="its logs show no device with vectors"))
            continue
        try:
            found.append(_in_all(blank, case, change, simulator.branches(case.settings), answer))
        except TracekitError as e:
            found.append(replace(blank, skipped=str(e)))
    return Plan(tuple(change), tuple(found))


def _with_guests(case: Seen) -> Seen:
    """Return a case with a VMM in the place of a program or a driver: what these ask for after a change, is not told by their requests."""
    client = {k: v for k, v in case.settings.get("client", {}).items() if (k, v) != ("name", "program")}
    settings = {k: v for k, v in case.settings.items() if k not in ("requests", "client", "sessions")} | (
        {"client": client} if client else {}
    )
    devices = [{k: v for k, v in d.items() if k not in ("driver", "enables")} for d in settings.get("devices", ())]
    return replace(case, settings=settings | ({"devices": devices} if devices else {}))


def after(seen: Mapping[str, Any], change: Sequence[str]) -> tuple[Tree, tuple[str, ...]]:
    """Return the settings with the change, and what is assumed of it.

    A table's size comes after the last one that was seen, since the host goes on running. A driver that took all entries of the last
    table takes all of the next.
    """
    made = changed(seen, change)
    moot = tuple(prefix for name, prefix in RELEASES.items() if any(c.partition("=")[0].strip() == name for c in change))
    if moot and "gates" in made:
        made["gates"] = [g for g in made["gates"] if not g.removeprefix("-").startswith(moot)]
    assumed = []
    for old, new in zip(seen["devices"], made["devices"], strict=True):
        if new.get(TABLE) == old.get(TABLE):
            continue
        sizes = list(old.get(TABLE) or [])
        last = (sizes or [0])[-1]
        sizes += [last] * (max(seen.get("rebinds", ()), default=0) - len(sizes)) if sizes else []
        new[TABLE] = [*sizes, *_numbers(new[TABLE])]
        whole = old.get("queues", 0) in (0, last)
        if new.get("queues") == old.get("queues") and whole:
            new["queues"] = 0
            assumed.append(f"the driver of {new.get('name', 'the device')} takes every entry of its table, as it took all {last}")
    return made, tuple(assumed)


def _numbers(value: Any) -> list[Any]:
    return value.split(",") if isinstance(value, str) else list(value)


def _in_all(
    blank: Foreseen,
    case: Seen,
    change: Sequence[str],
    branches: Mapping[str, tuple[str, ...]],
    answer: Callable[[Tree, str], Answer],
) -> Foreseen:
    """Simulate a case with each value that it may have: what comes with all of them is foreseen, what comes with some perhaps."""
    made: dict[Cell, Foreseen] = {}
    for cell in product(*branches.values()):
        known = changed(case.settings, (f"{name}={value}" for name, value in zip(branches, cell, strict=True)))
        tree, assumed = after(known, change)
        made[cell] = _foreseen(blank, answer(known, case.case), answer(tree, case.case), assumed)
    runs = list(made.values())
    new = {(f.code, f.subject): f for run in runs for f in run.new}
    sure = set(new).intersection(*({(f.code, f.subject) for f in run.new} for run in runs))
    told = [text for text in case.open if not any(text.startswith(f"no line tells {name}:") for name in branches)]
    told += [f"no line tells {name}: it is simulated as {' and as '.join(values)}" for name, values in branches.items()]
    return replace(
        runs[0],
        new=tuple(new[key] for key in sorted(sure)),
        kept=tuple(sorted(set(runs[0].kept).intersection(*(run.kept for run in runs)))),
        ended=tuple(sorted(set(runs[0].ended).intersection(*(run.ended for run in runs)))),
        perhaps=tuple(Perhaps(new[key], _conditions(key, made, branches)) for key in sorted(set(new) - sure)),
        seen=tuple(_seen(case.settings)),
        assumed=tuple(dict.fromkeys((*told, *(text for run in runs for text in run.assumed)))),
    )


def _conditions(key: tuple[str, str], made: Mapping[Cell, Foreseen], branches: Mapping[str, Cell]) -> tuple[dict[str, str], ...]:
    """Return with which settings a fault comes: a value alone where it decides, whatever the others are; else all of a cell."""
    left = [cell for cell, run in made.items() if any((f.code, f.subject) == key for f in run.new)]
    found = []
    for n, (name, values) in enumerate(branches.items()):
        for value in values:
            mine = [cell for cell in made if cell[n] == value]
            if set(mine) <= set(left):
                found.append({name: value})
    covered = [cell for cell in left if any(cell[list(branches).index(name)] == value for c in found for name, value in c.items())]
    return (*found, *(dict(zip(branches, cell, strict=True)) for cell in left if cell not in covered))


def _foreseen(blank: Foreseen, before: Answer, then: Answer, assumed: Sequence[str]) -> Foreseen:
    old, now = ({(f.code, f.subject) for f in a.faults} for a in (before, then))
    return replace(
        blank,
        new=tuple(f for f in sorted(then.faults, key=lambda f: (f.code, f.subject)) if (f.code, f.subject) not in old),
        kept=tuple(sorted({code for code, _ in old & now})),
        ended=tuple(sorted({code for code, _ in old} - {code for code, _ in now})),
        assumed=(*assumed, *then.assumptions),
    )


def _seen(settings: Mapping[str, Any]) -> Iterable[str]:
    """Yield what the logs show, as `--set` takes it."""
    for part in ("host", "client"):
        yield from (f"{part}.{name}={value}" for name, value in settings.get(part, {}).items())
    if gates := settings.get("gates"):
        yield f"gates={','.join(gates)}"
    for d in settings["devices"]:
        size = ",".join(map(str, d.get(TABLE, ())))
        yield f"{d['name']}: table {size}" + (f", {d['queues']} vectors asked for" if d.get("queues") else "")


def of_row(case: str, machine: str | None, settings: str | None, open_questions: Sequence[str] | None) -> Seen:
    """Return a row of results as a value."""
    return Seen(case, machine or "", json.loads(settings) if settings else {}, tuple(open_questions or ()))
