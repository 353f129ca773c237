"""Findings as what code hosts show beside the lines of a change: GitHub's workflow commands, GitLab's code quality report."""

from collections.abc import Mapping
from typing import Any

from tracekit import Evidence, Finding, Run
from tracekit_reports.json import dumped
from tracekit_reports.story import chosen, is_fact, settings, shown

_GITHUB = {"critical": "error", "high": "error", "medium": "warning"}
_GITLAB = {"critical": "blocker", "high": "critical", "medium": "major", "low": "minor", "info": "info"}


class GithubReport:
    """`--format github`: a workflow command per finding with lines, which a job prints."""

    name = "github"

    def write(self, run: Run, options: Mapping[str, Any]) -> str:
        """Return one line per finding, then one per reason not to trust an all-clear, then what settings suppress."""
        run = shown(run)
        lines = [_command(f, e) for f, e in _placed(run)]
        lines += [f"::warning title=not to be trusted::{_data(d.text)}" for d in run.doubts]
        lines += [f"::notice title=suppressed::{_data(text)}" for text in settings(run)]
        return "".join(f"{line}\n" for line in lines)


class GitlabReport:
    """`--format gitlab`: findings with lines as a code quality report (`artifacts: reports: codequality`)."""

    name = "gitlab"

    def write(self, run: Run, options: Mapping[str, Any]) -> str:
        """Return the document, ending in a line break."""
        return dumped([_issue(f, e) for f, e in _placed(shown(run))]) + "\n"


def _placed(run: Run) -> list[tuple[Finding, Evidence]]:
    return [(f, chosen(f.evidence, 1)[0][0]) for f in run.findings if f.evidence]


def _quiet(f: Finding) -> bool:
    return f.explained_by is not None or is_fact(f)


def _command(f: Finding, e: Evidence) -> str:
    level = "notice" if _quiet(f) else _GITHUB.get(f.severity or "info", "notice")
    place = f"file={_property(e.source)},line={max(1, e.line)}" + (f",endLine={max(e.line, e.line_end)}" if e.line_end is not None else "")
    return f"::{level} {place},title={_property(f'{f.code} {f.name}')}::{_data(_text(f))}"


def _issue(f: Finding, e: Evidence) -> dict[str, Any]:
    lines = {"begin": max(1, e.line), "end": max(1, e.line, e.line_end or 0)}
    return {
        "description": f"{f.code}: {_text(f)}",
        "check_name": f.name,
        "fingerprint": f.fingerprint,
        "severity": "info" if _quiet(f) else _GITLAB[f.severity or "info"],
        "location": {"path": e.source, "lines": lines},
    }


def _text(f: Finding) -> str:
    return f"{f.summary} ({f.subject.label}; {f.grade or 'information'})" + (f". {f.advice}" if f.advice else "")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
