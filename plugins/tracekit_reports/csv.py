"""Findings as CSV: one row a finding, for spreadsheets."""

import csv
import io
from collections.abc import Mapping
from typing import Any

from tracekit import Finding, Run
from tracekit_reports.story import places, visible

COLUMNS = (
    *("code", "name", "severity", "grade", "subject", "bdf", "summary", "explained_by"),
    *("source", "line", "evidence", "advice", "fingerprint"),
)


class CsvReport:
    """`--format csv`: one row a finding; no cell can start a formula."""

    name = "csv"

    def write(self, run: Run, options: Mapping[str, Any]) -> str:
        """A header and one row a finding, CRLF as RFC 4180 has it."""
        out = io.StringIO()
        rows = csv.writer(out)
        rows.writerow(COLUMNS)
        rows.writerows([cell(v) for v in _row(f)] for f in run.findings)
        return out.getvalue()


def _row(f: Finding) -> tuple[Any, ...]:
    first = f.evidence[0] if f.evidence else None
    source, line = (first.source, first.line) if first else ("", "")
    identity = (f.code, f.name, f.severity, f.grade, f.subject.label, f.subject.bdf)
    return (*identity, f.summary, f.explained_by, source, line, places(f), f.advice, f.fingerprint)


def cell(value: Any) -> str:
    """A value as text that no spreadsheet takes for a formula: an apostrophe goes before `= + - @`."""
    text = "" if value is None else visible(str(value))
    return "'" + text if text.lstrip()[:1] in {"=", "+", "-", "@", "＝", "＋", "－", "＠"} else text
