"""The SET_IRQS requests of a program as a log shows them: by function and session, with the table's size in each."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from tracekit import EINVAL, VFIO_ERR, VFIO_INTX, VFIO_MASK, VFIO_MSI, VFIO_REQ, VFIO_UNMASK, Row
from tracekit_systems.stimuli import demand, functions, label_of, told_elsewhere

OF_VFIO = ("op_set_irqs", "op_open", "op_vector", "op_attach", "windows", "refusals")
OF_FUNCTION = ("op_set_irqs", "enables", "op_open", "op_close", "op_domain_remove", "op_vector")
READS = (*dict.fromkeys((*OF_FUNCTION, *OF_VFIO)), "op_free", "op_insert", "vfio_msix_early_setup")
KINDS = {VFIO_INTX: "intx", VFIO_ERR: "error", VFIO_REQ: "request"}
# CPU 0/KVM, qemu-system-x86, qemu-kvm, kvm, lkvm, kvm-vcpu-0
VMM = re.compile(r"qemu|kvm", re.IGNORECASE)


@dataclass
class Session:
    """What was sent between an open and a close. `size`: entries of the table, None where nothing tells.

    `asked`: the highest vector that was asked for, and one more. `rebound`: a driver was bound before it. `assumed`: it came before the
    first line, which shows only what it left. `on`: whether vectors are enabled.
    """

    requests: list[dict[str, Any]] = field(default_factory=list)
    size: int | None = None
    asked: int = 0
    rebound: bool = False
    assumed: bool = False
    on: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """One function that a program used."""

    label: str
    kind: str
    sessions: Sequence[Session]
    told: int | None

    def sizes(self) -> list[int]:
        """Return the table's size in each session; where it is nowhere read, large enough for all that was asked for."""
        most = max(*(s.asked for s in self.sessions), self.told or 0, 1)
        return [s.size or most for s in self.sessions]


@dataclass(frozen=True, slots=True)
class Driver:
    """One function that a driver of the host used. `freed`: it had vectors before the first line."""

    label: str
    enables: tuple[int, ...]
    size: int
    freed: bool


def drivers(tables: Mapping[str, pl.DataFrame]) -> list[Driver]:
    """Return the functions of a log that shows nothing of VFIO, whose driver enables them more than once, or frees what it had."""
    if any(tables[name].height for name in (*OF_VFIO, "vfio_msix_early_setup") if name in tables):
        return []
    found: dict[str, Driver] = {}
    for _, rows in functions(tables, ("enables", "op_free", "op_insert")):
        enables = [e for e in rows.get("enables", []) if e.operation == "enable"]
        freed = bool(enables) and any(f.line < enables[0].line for f in rows.get("op_free", []))
        inserted = Counter(i.attempt for i in rows.get("op_insert", []))
        asked = tuple(max(demand(e), 0 if e.fail_index is not None else inserted[e.call]) for e in enables)
        if len(asked) > 1 or freed:
            size = max(*asked, *(e.live or 0 for e in enables))
            found.setdefault(label_of(enables), Driver(label_of(enables), asked, size, freed))
    return list(found.values())


def programs(tables: Mapping[str, pl.DataFrame]) -> list[Program]:
    """Return the functions whose requests a log shows, unless a VMM sent them: it has a guest, and decides by itself."""
    found: dict[str, Program] = {}
    if any(tables[name].height for name in ("vfio_msix_early_setup", "qemu_version") if name in tables):
        return []
    for _, rows in functions(tables, OF_FUNCTION):
        requests = rows.get("op_set_irqs", [])
        if any(r.task is not None and VMM.search(r.task) for r in requests):
            return []
        label = label_of([*rows.get("enables", []), *requests])
        sessions = Sessions(rows).read()
        if label not in found and any(s.requests for s in sessions):
            kind = "msi" if any(r.index == VFIO_MSI for r in requests) else "msix"
            found[label] = Program(label, kind, sessions, told_elsewhere(label, tables))
    return list(found.values())


class Sessions:
    """Read the sessions of one function, row by row.

    A domain or vectors that no line makes, and an unbind before all, tell of a session that came before the first line.
    """

    def __init__(self, rows: Mapping[str, list[Row]]) -> None:
        self.rows, self.enables = rows, rows.get("enables", [])
        self.by_request = {e.request: e for e in self.enables if e.request is not None}
        self.made = sorted((e.made_line, e.hwsize) for e in self.enables if e.made_line is not None and e.hwsize is not None)
        self.detached = Counter(v.request for v in rows.get("op_vector", []) if v.fd == -1)
        self.found: list[Session] = []
        self.open = self.known = self.rebound = False  # `known`: there is an irq domain

    def read(self) -> list[Session]:
        """Return the sessions in order."""
        marks = [(r.line, 1, name, r) for name in ("op_open", "op_close", "op_set_irqs") for r in self.rows.get(name, [])]
        marks += [(r.line, 0, "op_domain_remove", r) for r in self.rows.get("op_domain_remove", []) if r.attempt is None]
        for _, _, name, row in sorted(marks, key=lambda m: m[:2]):
            if name == "op_open":
                self._begin(row)
            elif name == "op_set_irqs":
                self._sent(row)
            else:
                self._end(name == "op_domain_remove" or row.how == "rebind")
        return self.found

    def _begin(self, row: Row) -> None:
        first = next(iter(self.enables), None)
        if not self.found and first is not None and not (first.created or first.made_line or first.removed_line) and (size := first.hwsize):
            self.found.append(Session([{"count": size}, {"what": "disable"}], size, size, assumed=True))
        size = next((size for line, size in self.made if line >= row.line), None)
        self.found.append(Session(size=size, rebound=self.rebound))
        self.open, self.rebound = True, False

    def _end(self, rebound: bool) -> None:
        if not self.found and rebound:
            self.found.append(Session([{}, {"what": "disable"}], asked=1, assumed=True))
        self.open, self.rebound = False, self.rebound or rebound

    def _sent(self, row: Row) -> None:
        """Note a request; an enable that creates a domain where there is one comes after an unbind."""
        enable = self.by_request.get(row.request)
        if row.closing:
            return
        if enable is not None and enable.created and enable.removed_line is None and self.known:
            self._end(True)
        if not self.open:
            self._begin(row)
        self.known |= enable is not None and enable.created is not None
        now = self.found[-1]
        if not row.count and row.data == "none" and not now.requests and self.detached[row.request]:
            now.requests.append({"count": self.detached[row.request]})
            now.asked, now.on, now.assumed = self.detached[row.request], True, True
        told = _request(row, enable)
        if told is not None and not (self._may_close(row, enable) and not now.on):
            _note(now, row, enable, told)

    def _may_close(self, row: Row, enable: Row | None) -> bool:
        """Return whether a request, of which nothing is shown, may be that with which the kernel closes."""
        return row.index is None and enable is None and row.ret != EINVAL and not self.rows.get("op_close")


def _note(session: Session, row: Row, enable: Row | None, told: dict[str, Any]) -> None:
    """Add one request to a session."""
    session.requests.append(told)
    if "kind" in told:
        return
    works = row.ret == 0 if row.ret is not None else enable is None or enable.fail_index is None
    session.on = told.get("what") != "disable" and (session.on or works)
    if "what" not in told:
        session.asked = max(session.asked, told.get("start", 0) + told.get("count", 1))
    if enable is not None:
        short = enable.ret is not None and enable.max is not None and 0 < enable.ret < enable.max
        made = enable.hwsize if enable.created else None
        session.size = enable.live or made or (enable.ret if short else None) or session.size


def _request(row: Row, enable: Row | None) -> dict[str, Any] | None:
    """Return a request as settings; what they leave out is the default. None for one that only tests a trigger."""
    kind = {"kind": KINDS[row.index]} if row.index in KINDS else {}
    flags = row.flags or 0
    if row.index == VFIO_INTX and flags & (VFIO_MASK | VFIO_UNMASK):
        return {**kind, "what": "mask" if flags & VFIO_MASK else "unmask"}
    if row.data == "eventfd" or row.data is None and enable is not None:
        start, count = row.start or 0, row.count
        if count is None:
            count = max(demand(enable) - start, 1) if enable is not None else 1
        return {**kind, **({"start": start} if start else {}), **({"count": count} if count != 1 else {})}
    return {**kind, "what": "disable"} if not row.count else None


def written(programs: Sequence[Program]) -> list[dict[str, Any]]:
    """Return the requests of all functions as settings; those alike that follow one another are one with `times`."""
    made: list[dict[str, Any]] = []
    for p in programs:
        for n, session in enumerate(p.sessions, 1):
            for request in session.requests:
                told = {"session": n, **request, **({"device": p.label} if len(programs) > 1 else {})}
                if made and {k: v for k, v in made[-1].items() if k != "times"} == told and "kind" in told:
                    made[-1]["times"] = made[-1].get("times", 1) + 1
                else:
                    made.append(told)
    return made
