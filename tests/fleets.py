"""Results of a batch that a test writes itself, and the reports of them, as `tracekit report --format` writes them."""

from pathlib import Path
from typing import Any

from tracekit_reports import tracekit_reports

from tracekit import Fleet
from tracekit.batch.results import Results, Writer
from tracekit.batch.rows import TABLES, Reply


def render(fleet: Fleet, format: str, width: int = 80) -> str:
    """Return the report of this name."""
    (report,) = [r for r in tracekit_reports() if r.name == format]
    return report().write_fleet(fleet, {"width": width})


COLUMNS = [c for c in TABLES["findings"] if c not in ("result", "case")]


def finding(
    code: str = "IRQ-003", group: str = "g1", grade: str | None = "proven", severity: str = "high", **values: Any
) -> tuple[Any, ...]:
    """Return a row of findings."""
    given = {"code": code, "name": "irq.x", "group": group, "grade": grade, "severity": severity, "explains": [], "fixes": []}
    blank = {"role": "network", "driver": "ice", "device": "", "machine": "", "first_seen": None, "last_seen": None, "seen_by": ""}
    return tuple({**dict.fromkeys(COLUMNS), **blank, "finding": 0, "summary": f"{code} happened", **given, **values}[c] for c in COLUMNS)


def case(path: str, *findings: tuple[Any, ...], machine: str = "", kernel: str = "6.1", **more: Any) -> Reply:
    """Return what became of a case; its findings, which are numbered, rest on one line."""
    findings = tuple((number, *row[1:]) for number, row in enumerate(findings))
    evidence = [(number, f"{path}/dmesg", 7, None, "cause", "the line") for number in range(len(findings))]
    facts = {"machine": machine, "kernel": kernel, "qemu": "", "xen": ""}
    return Reply(path, "done", facts=facts, tables={"findings": list(findings), "evidence": evidence}, **more)


def results(path: Path, *replies: Reply, finish: bool = True, plan: tuple[str, ...] = ()) -> Results:
    """Write the results of a batch."""
    w = Writer(path, "e", {}, {"tracekit": "0.1.0"})
    w.plan([*plan, *(r.case for r in replies)])
    for r in replies:
        w.add(r, "e")
    w.flush()
    if finish:
        w.finish()
    w._held.close()
    return Results(path)
