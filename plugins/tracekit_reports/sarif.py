"""The run as SARIF 2.1.0, as GitHub code scanning reads it."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from tracekit import Evidence, Finding, Run, Suppressed
from tracekit_reports.json import dumped
from tracekit_reports.story import chosen, is_fact, leading, shown

_LEVEL = {"critical": "error", "high": "error", "medium": "warning", "low": "note", "info": "note"}


class SarifReport:
    """`--format sarif`: findings that have lines as results; consequences and facts as notes."""

    name = "sarif"

    def write(self, run: Run, options: Mapping[str, Any]) -> str:
        """Return the document, ending in a line break."""
        run = shown(run)
        driver = {"name": "tracekit", "version": run.version or "0", "rules": _rules(run)}
        scan: dict[str, Any] = {
            "tool": {"driver": driver},
            "columnKind": "unicodeCodePoints",
            "results": [*(_result(f) for f in run.findings if f.evidence), *(_suppressed(s) for s in run.suppressed if s.finding.evidence)],
        }
        scan["invocations"] = [_invocation(run)]
        schema = "https://json.schemastore.org/sarif-2.1.0.json"
        return dumped({"$schema": schema, "version": "2.1.0", "runs": [scan]}) + "\n"


def _invocation(run: Run) -> dict[str, Any]:
    """Return whether the run was whole; why not as notifications, which viewers show above the results."""
    told = [{"level": "warning", "descriptor": {"id": d.kind}, "message": {"text": d.text}} for d in run.doubts]
    told += [{"level": "note", "descriptor": {"id": "settings"}, "message": {"text": text}} for text in run.settings]
    return {"executionSuccessful": not run.doubts, "toolExecutionNotifications": told}


def _rules(run: Run) -> list[dict[str, Any]]:
    named = {f.code: f.name for f in (*run.findings, *(s.finding for s in run.suppressed)) if f.evidence}
    return [
        {"id": code, "name": name, "shortDescription": {"text": name}, "properties": {"tags": ["reliability"]}}
        for code, name in sorted(named.items())
    ]


def _suppressed(s: Suppressed) -> dict[str, Any]:
    """A result that viewers keep out of sight, with the reason."""
    return {**_result(s.finding), "suppressions": [{"kind": "external", "justification": s.reason or s.by}]}


def _result(f: Finding) -> dict[str, Any]:
    quiet = f.explained_by is not None or is_fact(f)
    body = f"{f.summary} ({f.subject.label}; {f.grade or 'information'})"
    return {
        "ruleId": f.code,
        "level": "note" if quiet else _LEVEL[f.severity or "info"],
        "message": {"text": body + (f" {f.advice}" if f.advice else "")},
        "locations": [_location(e) for e in chosen(f.evidence, 1)[0]],
        "relatedLocations": [{"id": i, **_location(e), "message": {"text": e.role}} for i, e in enumerate(leading(f.evidence))],
        "partialFingerprints": {"tracekit/v1": f.fingerprint},
        "properties": {"grade": f.grade, "explainedBy": f.explained_by, "subject": f.subject.label},
    }


def _location(e: Evidence) -> dict[str, Any]:
    region: dict[str, Any] = {"startLine": max(1, e.line)}
    if e.line_end is not None:
        region["endLine"] = max(e.line, e.line_end)
    if e.text:
        region["snippet"] = {"text": e.text}
    return {"physicalLocation": {"artifactLocation": {"uri": quote(e.source, errors="backslashreplace")}, "region": region}}
