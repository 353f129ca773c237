"""One analyzed case as rows of the result tables: what a batch keeps of a `Run`.

The columns are the published schema (docs/results.md). Every row begins with `result`, a number given when the case is written, and with
`case`, its path; the rows made here do not have them yet.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tracekit.bdf import full_bdf
from tracekit.guard import guarded
from tracekit.reading import bundle
from tracekit.reading.source import DAMAGED
from tracekit.run import Run

if TYPE_CHECKING:
    import polars as pl

    from tracekit.findings import Finding

SCHEMA = "tracekit.results/2"
# Table -> column -> type: text, int, real, flag, texts (a list).
_OF_CASE = {"result": "int", "case": "text"}
TABLES: dict[str, dict[str, str]] = {
    "cases": {
        **_OF_CASE,
        **dict.fromkeys(("status", "failure", "reason", "machine", "kernel", "qemu", "xen"), "text"),
        **dict.fromkeys(("sources", "lines", "findings", "bytes"), "int"),
        "seconds": "real",
        **dict.fromkeys(("digest", "mark", "engine"), "text"),
        "doubts": "texts",
    },
    "findings": {
        **_OF_CASE,
        "finding": "int",
        **dict.fromkeys(("code", "name", "severity", "grade", "subject", "kind", "bdf", "role", "device", "driver", "machine"), "text"),
        "boot": "int",
        **dict.fromkeys(("summary", "advice", "explained_by"), "text"),
        "explains": "texts",
        "confirmed_by_replay": "flag",
        "fixes": "texts",
        **dict.fromkeys(("first_seen", "last_seen", "seen_by", "fingerprint", "group", "values", "windows"), "text"),
    },
    "evidence": {**_OF_CASE, "finding": "int", "source": "text", "line": "int", "line_end": "int", "role": "text", "text": "text"},
    "outcomes": {**_OF_CASE, **dict.fromkeys(("code", "name", "outcome", "reason", "record"), "text")},
    "sources": {**_OF_CASE, "path": "text", "lines": "int", "events": "int", "clock": "text", "notes": "texts"},
    "failures": {**_OF_CASE, "member": "text", "kind": "text", "reason": "text"},
    "scenarios": {**_OF_CASE, "settings": "text", "open": "texts"},
}
# What the rows need beside the findings: tables of events that tell it.
TOLD = ("kernel", "qemu", "xen", "device", "device-class", "driver")
Telling = Mapping[str, Sequence[str]]  # names of event tables, by what they tell
# Tables into the settings of a scenario, and what they leave open.
Like = Callable[[Mapping[str, "pl.DataFrame"]], tuple[Mapping[str, Any], Sequence[str]]]

_ROLES = {
    "network": ("02", "ethernet", "network", "infiniband"),
    "nvme": ("0108", "non-volatile"),
    "storage": ("01", "sata", "raid", "scsi", "mass storage", "serial attached", "fibre channel"),
    "display": ("03", "vga", "3d controller", "display"),
    "usb": ("0c03", "usb"),
    "audio": ("0403", "audio"),
    "accelerator": ("12", "processing accelerators"),
}
_BDF = r"(?:[0-9a-f]{4,5}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]"
_DRIVER = re.compile(rf"(?:^|[ \]:])([a-z][a-z0-9_-]{{1,30}}) ({_BDF})(?:$|[ :])", re.I)
_NO_DRIVER = {"pci", "pcieport", "device", "function", "host", "bus", "for", "of", "to", "at"}


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of one case: its `status` (done, failed, or same as before) and its rows by table, without `result` and `case`."""

    case: str
    status: str
    kind: str = ""  # of a failure: time, memory, start, killed, crash, unseen, unreadable, error
    reason: str = ""
    digest: str = ""
    mark: str = ""
    bytes: int = 0
    seconds: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)  # machine, kernel, qemu, xen, sources, lines, findings
    tables: Mapping[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    tokens: Mapping[str, str] = field(default_factory=dict)  # of a case that was redacted: token -> value
    traces: tuple[str, ...] = ()  # where errors were raised, of plugins too


def needed(telling: Telling) -> tuple[str, ...]:
    """Return the tables that a run must carry for its rows."""
    return tuple(name for what in TOLD for name in telling.get(what, ()))


def of_run(run: Run, mtime: float, telling: Telling, like: Like | None = None) -> tuple[dict[str, Any], dict[str, list[tuple[Any, ...]]]]:
    """Return (the facts of a case, the rows of its tables). `mtime` of the case's file dates what has no wall-clock stamp; `like` gives the
    scenario that a simulation of the case starts from."""
    devices = _Devices(run.tables, telling)
    facts = {
        "machine": _machine(run),
        **{of: _release(run.tables, telling.get(of, ())) for of in ("kernel", "qemu", "xen")},
        "sources": len(run.sources),
        "lines": sum(s.lines for s in run.sources),
        "findings": len(run.findings),
        "doubts": [d.text for d in run.doubts],
    }
    evidence = [(i, e.source, e.line, e.line_end, e.role, e.text[:2000]) for i, f in enumerate(run.findings) for e in f.evidence]
    tables = {
        "findings": [_finding(i, f, devices, mtime) for i, f in enumerate(run.findings)],
        "evidence": evidence,
        "outcomes": [(o.code, o.name, o.outcome, o.reason, o.record) for o in run.outcomes],
        "sources": [(s.path, s.lines, sum(s.events.values()), s.clock, list(s.notes)) for s in run.sources],
        "failures": list(_failures(run)),
        **({"scenarios": list(_scenario(run, like))} if like else {}),
    }
    return facts, tables


def _finding(number: int, f: "Finding", devices: "_Devices", mtime: float) -> tuple[Any, ...]:
    bdf = _full(f.subject.bdf)
    role, device = devices.role.get(bdf or "", ""), devices.name.get(bdf or "", "")
    driver = devices.driver.get(bdf or "") or _driver((e.text for e in f.evidence), bdf)
    identity = (f.code, f.name, f.severity, f.grade, f.subject.label, f.subject.kind, f.subject.bdf, role, device, driver, f.machine)
    story = (f.boot, f.summary, f.advice, f.explained_by, list(f.explains), f.confirmed_by_replay, list(f.fixes))
    group = hashlib.blake2b("\x1f".join((f.code, role or driver, f.fingerprint)).encode(), digest_size=8).hexdigest()
    return (number, *identity, *story, *_seen(f, mtime), f.fingerprint, group, _json(f.values), _json(f.windows))


def _seen(f: "Finding", mtime: float) -> tuple[str | None, str | None, str]:
    """Return (first, last, by what): the wall-clock stamps of the evidence, else the time of the file."""
    stamps = [s for e in f.evidence if (s := bundle.first_stamp(e.text, int(mtime))) is not None]
    if not stamps:
        return (_iso(mtime), _iso(mtime), "file") if mtime else (None, None, "")
    return _iso(min(stamps)), _iso(max(stamps)), "stamp"


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _scenario(run: Run, like: Like) -> Iterator[tuple[str, list[str]]]:
    """Yield the scenario that the logs show; none where its plugin fails or they show nothing of one."""
    with guarded(lambda _: None):
        settings, open_questions = like(run.tables)
        if settings:
            yield _json(settings), list(open_questions)


def _failures(run: Run) -> Iterator[tuple[str, str, str]]:
    """Yield (member, kind, reason) of what could not be read of a case that was analyzed."""
    for error in run.errors:
        member, _, reason = error.partition(": ")
        yield (member, "member", reason) if reason and not error.startswith("plugin ") else ("", "error", error)
    for s in run.sources:
        yield from ((s.path, "member", note) for note in s.notes if DAMAGED in note)


class _Devices:
    """The facts that the tables of a case hold on each PCI function, by full BDF."""

    def __init__(self, tables: Mapping[str, "pl.DataFrame"], telling: Telling) -> None:
        def told(what: str, *columns: str) -> Iterator[tuple[Any, ...]]:
            return (row for name in telling.get(what, ()) for row in _columns(tables, name, *columns))

        self.role: dict[str, str] = {}
        self.name: dict[str, str] = {}
        self.driver: dict[str, str] = {}
        for bdf, ids, code in told("device-class", "bdf", "ids", "class"):
            self.name[_full(bdf) or ""] = ids.strip("[]")
            self.role[_full(bdf) or ""] = _role(f"{code:06x}")
        for bdf, text in told("device", "bdf", "text"):
            self.name[_full(bdf) or ""] = text
            self.role.setdefault(_full(bdf) or "", _role(text.lower()))
        for name in telling.get("driver", ()):  # of several events that name the driver the first one of the grammars is believed
            named = {_full(bdf) or "": driver for driver, bdf in _columns(tables, name, "driver", "bdf")}
            self.driver = named | self.driver


def _columns(tables: Mapping[str, "pl.DataFrame"], table: str, *columns: str) -> Iterable[tuple[Any, ...]]:
    rows = zip(*(tables[table][c].to_list() for c in columns), strict=True) if table in tables else ()
    return (row for row in rows if None not in row)


def _role(text: str) -> str:
    """Return what a device is for, by its class code or its class in words."""
    return next((role for role, starts in _ROLES.items() if text.startswith(starts)), "")


def _full(bdf: str | None) -> str | None:
    return None if bdf is None else full_bdf(bdf)


def _driver(texts: Iterable[str], bdf: str | None) -> str:
    """Return the driver that speaks in a line about the device."""
    said = (m for text in texts for m in _DRIVER.finditer(text))
    return next((m[1] for m in said if m[1].lower() not in _NO_DRIVER and (bdf is None or _full(m[2].lower()) == bdf)), "")


def _machine(run: Run) -> str:
    """Return the host name that most rows carry; "" where no line has one."""
    named = [f.machine for f in run.findings if f.machine]
    named += [m for t in run.tables.values() if t.height and "machine" in t.columns for m in t["machine"].to_list() if m]
    return Counter(named).most_common(1)[0][0] if named else ""


def _release(tables: Mapping[str, "pl.DataFrame"], names: Sequence[str]) -> str:
    """Return the last release in the first of some tables that has one."""
    return next((str(tables[n]["release"][-1]) for n in names if n in tables and not tables[n].is_empty()), "")


def _json(value: Any) -> str:
    return json.dumps(value, default=str, sort_keys=True, ensure_ascii=False)
