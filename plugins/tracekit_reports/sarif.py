"""The run as SARIF 2.1.0, as GitHub code scanning and the viewers of IDEs read it."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, metadata
from posixpath import normpath
from typing import Any
from urllib.parse import quote

from tracekit import Evidence, Finding, Run, Suppressed
from tracekit_reports.json import dumped
from tracekit_reports.story import chain_of, chosen, is_fact, leading, shown

_LEVEL = {"critical": "error", "high": "error", "medium": "warning", "low": "note", "info": "note"}
_WHAT = {"cause": "Cause", "effect": "Effect", "context": "Context", "cure": "Cure"}
_SECTION = re.compile(r"^([A-Z][a-z][a-z ]{2,30}):", re.MULTILINE)  # Why it matters: ...
_HERE, _ROOT = "SRCROOT", "ROOT"  # bases of relative and of absolute paths; who reads the report gives the first one's folder
_BASES = {
    _HERE: {"description": {"text": "The folder that tracekit ran in: paths that were given are relative to it."}},
    _ROOT: {"uri": "file:///", "description": {"text": "The root of the file system: for paths that were given from there."}},
}


class SarifReport:
    """`--format sarif`: findings that have lines as results, with the chain of their causes; consequences and facts as notes."""

    name = "sarif"

    def write(self, run: Run, options: Mapping[str, Any]) -> str:
        """Return the document, ending in a line break."""
        pages, run = run.pages, shown(run)
        rules = list(_rules(run, pages))
        at = {rule["id"]: i for i, rule in enumerate(rules)}
        found = [f for f in run.findings if f.evidence]
        scan: dict[str, Any] = {
            "tool": {"driver": {**_driver(run.version or "0"), "rules": rules}},
            "invocations": [_invocation(run)],
            "originalUriBaseIds": _BASES,
            "columnKind": "unicodeCodePoints",
            "results": [
                *({**_result(f), "ruleIndex": at[f.code], "codeFlows": [_flow(chain_of(f, found))]} for f in found),
                *({**_suppressed(s), "ruleIndex": at[s.finding.code]} for s in run.suppressed if s.finding.evidence),
            ],
        }
        schema = "https://json.schemastore.org/sarif-2.1.0.json"
        return dumped({"$schema": schema, "version": "2.1.0", "runs": [scan]}) + "\n"


def _driver(version: str) -> dict[str, str]:
    """Return what the tool says of itself; its home page is that of the installed package, if it names one."""
    told = {"name": "tracekit", "fullName": f"tracekit {version}", "version": version}
    with suppress(PackageNotFoundError):
        urls = dict(url.split(", ", 1) for url in metadata("tracekit").get_all("Project-URL") or ())
        told |= {"informationUri": urls["Homepage"]} if "Homepage" in urls else {}
    return told


def _invocation(run: Run) -> dict[str, Any]:
    """Return whether the run was whole; why not as notifications, which viewers show above the results."""
    told = [{"level": "warning", "descriptor": {"id": d.kind}, "message": {"text": d.text}} for d in run.doubts]
    told += [{"level": "note", "descriptor": {"id": "settings"}, "message": {"text": text}} for text in run.settings]
    return {"executionSuccessful": not run.doubts, "toolExecutionNotifications": told}


def _rules(run: Run, pages: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    first: dict[str, Finding] = {}
    for f in (*run.findings, *(s.finding for s in run.suppressed)):
        if f.evidence:
            first.setdefault(f.code, f)
    for code, f in sorted(first.items()):
        page = pages.get(code) or f.meaning or f.name
        yield {
            "id": code,
            "name": f.name,
            "shortDescription": {"text": page.partition("\n\n")[0].strip() or f.name},
            "fullDescription": {"text": f.meaning or page.partition("\n\n")[0].strip() or f.name},
            "help": {"text": page, "markdown": _markdown(f"{f.name} ({code})", page)},
            "defaultConfiguration": {"level": _LEVEL[f.severity or "info"]},
            "properties": {"tags": ["reliability"]},
        }


def _markdown(title: str, page: str) -> str:
    """Return a page as Markdown: its sections are paragraphs that begin with their names in bold."""
    return f"# {title}\n\n" + _SECTION.sub(r"\n**\1:**", page).replace("\n\n\n", "\n\n")


def _suppressed(s: Suppressed) -> dict[str, Any]:
    """A result that viewers keep out of sight, with the reason."""
    return {**_result(s.finding), "suppressions": [{"kind": "external", "justification": s.reason or s.by}]}


def _result(f: Finding) -> dict[str, Any]:
    quiet = f.explained_by is not None or is_fact(f)
    body = f"{f.summary.rstrip('.')} ({f.subject.label}; {f.grade or 'information'})."
    return {
        "ruleId": f.code,
        "level": "note" if quiet else _LEVEL[f.severity or "info"],
        "message": {"text": body + (f" {f.advice}" if f.advice else "")},
        "locations": [_location(e) for e in chosen(f.evidence, 1)[0]],
        "relatedLocations": [{"id": i, **_location(e), "message": {"text": e.role}} for i, e in enumerate(leading(f.evidence))],
        "partialFingerprints": {"tracekit/v1": f.fingerprint},
        "properties": {"grade": f.grade, "explainedBy": f.explained_by, "subject": f.subject.label},
    }


def _flow(chain: list[Finding]) -> dict[str, Any]:
    """Return the way from the root cause to a finding: the lines of each finding of the chain, in the order of the log."""
    steps = [(f, e) for f in chain for e in sorted(f.evidence, key=lambda e: (e.source, e.line))]
    told = [{"location": {**_location(e), "message": {"text": f"{_WHAT.get(e.role, e.role)}: {f.summary}"}}} for f, e in steps]
    return {"threadFlows": [{"locations": told}]}


def _location(e: Evidence) -> dict[str, Any]:
    region: dict[str, Any] = {"startLine": max(1, e.line)}
    if e.line_end is not None:
        region["endLine"] = max(1, e.line, e.line_end)
    if e.text:
        region["snippet"] = {"text": e.text}
    return {"physicalLocation": {"artifactLocation": artifact(e.source), "region": region}}


def artifact(source: str) -> dict[str, str]:
    """Return where a source is: a path that is relative to one of the bases."""
    absolute = source.startswith("/")
    path = normpath(source).lstrip("/") if source else "-"
    return {"uri": quote(path, errors="backslashreplace"), "uriBaseId": _ROOT if absolute else _HERE}
