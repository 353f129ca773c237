"""Findings as CSV: one row per finding, for spreadsheets."""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from tracekit import Finding, Fleet, Run, csv_cell
from tracekit_reports import fleets
from tracekit_reports.story import leading, places

COLUMNS = (
    *("code", "name", "severity", "grade", "subject", "bdf", "summary", "explained_by"),
    *("source", "line", "evidence", "advice", "fingerprint"),
)

FLEET_COLUMNS = (
    *("record", "code", "name", "severity", "grade", "state", "role", "machines", "nameless", "cases", "first_seen", "last_seen"),
    *(*fleets.TITLES, "on", "case", "source", "line", "text"),
)


class CsvReport:
    """`--format csv`: one row per finding, then one without code a reason not to trust an all-clear; no cell can start a formula."""

    name = "csv"

    def write(self, run: Run, options: Mapping[str, Any]) -> str:
        """Return a header and the rows, with CRLF line ends (RFC 4180)."""
        out = io.StringIO()
        rows = csv.writer(out)
        rows.writerow(COLUMNS)
        rows.writerows([cell(v) for v in _row(f)] for f in run.findings)
        rows.writerows([cell({"name": f"not to be trusted: {d.kind}", "summary": d.text}.get(c)) for c in COLUMNS] for d in run.doubts)
        rows.writerows([cell({"name": f"suppressed by {s.by}", **_brief(s.finding)}.get(c)) for c in COLUMNS] for s in run.suppressed)
        rows.writerows([cell({"name": "settings", "summary": text}.get(c)) for c in COLUMNS] for text in run.settings)
        return out.getvalue()

    def write_fleet(self, fleet: Fleet, options: Mapping[str, Any]) -> str:
        """Return a header and one row per fault, then the faults gone, and the cases failed and missing."""
        out = io.StringIO()
        rows = csv.writer(out)
        rows.writerow(FLEET_COLUMNS)
        rows.writerows([cell(row.get(column)) for column in FLEET_COLUMNS] for row in _records(fleet))
        return out.getvalue()


def _records(fleet: Fleet) -> Iterator[dict[str, Any]]:
    for f in fleet.faults:
        counts = {column: "; ".join(f"{k} ({n})" for k, n in f.by[column].items()) for column in fleets.TITLES}
        place = {"case": f.example["case"], "source": f.example["source"], "line": f.example["line"], "text": f.example["summary"]}
        yield {**vars(f), "record": "fault", **counts, "on": "; ".join(f.on), **place} | {"cases": f.cases}
    for g in fleet.gone:
        yield {**g, "record": "gone", "state": "gone"}
    for x in fleet.failures:
        yield {"record": "failure", "case": x["case"], "source": x["member"], "text": f"{x['kind']}: {x['reason']}"}
    for x in fleet.doubtful:
        yield {"record": "doubtful", "case": x["case"], "text": x["reason"]}
    for x in fleet.missing:
        yield {"record": "missing", "case": x["case"], "text": x["reason"]}
    if fleet.suppressed:
        yield {"record": "suppressed", "findings": fleet.suppressed}
    yield from ({"record": "settings", "text": text} for text in fleet.settings)


def _brief(f: Finding) -> dict[str, Any]:
    """Return what a row without a code says of a suppressed finding."""
    return {"subject": f.subject.label, "bdf": f.subject.bdf, "summary": f"{f.code}: {f.summary}", "fingerprint": f.fingerprint}


def _row(f: Finding) -> tuple[Any, ...]:
    first = next(iter(leading(f.evidence)), None)
    source, line = (first.source, first.line) if first else ("", "")
    identity = (f.code, f.name, f.severity, f.grade, f.subject.label, f.subject.bdf)
    return (*identity, f.summary, f.explained_by, source, line, places(f), f.advice, f.fingerprint)


def cell(value: Any) -> str:
    """Return a value as a cell that no spreadsheet takes for a formula."""
    return csv_cell(value)
