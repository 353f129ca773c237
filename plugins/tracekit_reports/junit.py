"""The run as JUnit XML: each diagnosis is a test, for the pages of continuous integration."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from tracekit import Finding, Outcome, Run
from tracekit_reports.story import is_fact, places, quoted, shown


class JunitReport:
    """`--format junit`: a fault fails its diagnosis, what follows from it or only informs does not; open questions are skipped."""

    name = "junit"

    def write(self, run: Run, options: Mapping[str, Any]) -> str:
        """Return the document, ending in a line break."""
        return "\n".join(_document(shown(run))) + "\n"


def _document(run: Run) -> Iterator[str]:
    faults = [f for f in run.findings if f.explained_by is None and not is_fact(f)]
    cases = [(o, [f for f in faults if f.code == o.code]) for o in run.outcomes]
    failed = sum(bool(mine) for _, mine in cases)
    hidden = {s.finding.code: s.by for s in run.suppressed}
    skipped = sum(not mine and (o.code in hidden or o.outcome in ("inconclusive", "not evaluated")) for o, mine in cases)
    counts = f'tests="{len(cases) + 1}" failures="{failed}" errors="{int(bool(run.doubts))}" skipped="{skipped}"'
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield f"<testsuites {counts}>"
    yield f'<testsuite name="tracekit" {counts}>'
    yield '<testcase classname="input" name="whole and known">' + "".join(_doubts(run)) + "</testcase>"
    for outcome, mine in cases:
        family, told = outcome.name.partition(".")[0], _told(outcome, mine, hidden)
        yield f'<testcase classname="{_safe(family)}" name="{_safe(f"{outcome.code} {outcome.name}")}">{told}</testcase>'
    yield "</testsuite>"
    yield "</testsuites>"


def _doubts(run: Run) -> Iterator[str]:
    if run.doubts:
        text = "\n".join(f"{d.kind}: {d.text}" for d in run.doubts)
        yield f'<error type="not to be trusted" message="{_safe(run.doubts[0].text)}">{_safe(text)}</error>'


def _told(outcome: Outcome, faults: list[Finding], hidden: Mapping[str, str]) -> str:
    if faults:
        kind = faults[0].grade or ""
        return f'<failure type="{kind}" message="{_safe(faults[0].summary)}">{_safe(chr(10).join(map(_fault, faults)))}</failure>'
    if outcome.code in hidden:
        return f'<skipped message="{_safe(f"suppressed by {hidden[outcome.code]}")}"/>'
    if outcome.outcome in ("inconclusive", "not evaluated"):
        record = f". To record: {outcome.record}" if outcome.record else ""
        return f'<skipped message="{_safe(f"{outcome.outcome}: {outcome.reason}{record}")}"/>'
    return ""


def _fault(f: Finding) -> str:
    lines = [f"{e.source}:{number}: {text}" for e in f.evidence for number, text in quoted(e)]
    return "\n".join([f"{f.subject.label} ({f.grade}; {places(f)}): {f.summary}", f.advice, *lines])


def _safe(text: str) -> str:
    return escape(text, quote=True)
