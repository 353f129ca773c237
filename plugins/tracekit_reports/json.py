"""The run as one JSON document: the contract that other programs may rely on."""

import json
from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any

from tracekit import Evidence, Finding, Outcome, Run, SourceReport
from tracekit_reports.story import leading

if TYPE_CHECKING:  # what the document of one log does without
    from tracekit import Answer, Fleet, Grid, Plan

SCHEMA = "tracekit.run/1"
_LARGEST = 2**64  # of the numbers that logs have; Python itself prints none of more than 4,300 digits
_DEEPEST = 20
FLEET_SCHEMA = "tracekit.fleet/1"
ANSWER_SCHEMA = "tracekit.answer/1"
PLAN_SCHEMA = "tracekit.plan/1"


class JsonReport:
    """`--format json`: one document of schema `tracekit.run/1`, described by `run.schema.json` beside this file.

    Lists are in stable order, log text is unaltered (escaped by JSON itself).
    """

    name = "json"

    def write(self, run: Run, options: Mapping[str, Any]) -> str:
        """Return the document, ending in a line break."""
        return dumped(document(run)) + "\n"

    def write_fleet(self, fleet: "Fleet", options: Mapping[str, Any]) -> str:
        """Return the document of a batch, of schema `tracekit.fleet/1`."""
        told = {"schema": FLEET_SCHEMA, **vars(fleet), "faults": [vars(f) for f in fleet.faults], "found": [vars(c) for c in fleet.found]}
        return dumped(told) + "\n"

    def write_answer(self, answer: "Answer", options: Mapping[str, Any]) -> str:
        """Return the answer to a scenario, of schema `tracekit.answer/1`."""
        from tracekit_reports import simulation

        return dumped({"schema": ANSWER_SCHEMA, **simulation.document(answer)}) + "\n"

    def write_grid(self, grid: "Grid", options: Mapping[str, Any]) -> str:
        """Return the cells of a grid, of the same schema."""
        from tracekit_reports import simulation

        return dumped({"schema": ANSWER_SCHEMA, "cells": simulation.cells(grid)}) + "\n"

    def write_plan(self, plan: "Plan", options: Mapping[str, Any]) -> str:
        """Return what a change leads to, of schema `tracekit.plan/1`."""
        from tracekit_reports import plans

        return dumped({"schema": PLAN_SCHEMA, **plans.document(plan)}) + "\n"


def dumped(value: Any) -> str:
    """Return JSON that strict readers take, whatever plugins left in values: ASCII, no NaN, no lone surrogate, keys that are texts."""
    return json.dumps(_strict(value), indent=1, ensure_ascii=True, allow_nan=False).replace("\x7f", "\\u007f")


def _strict(value: Any, depth: int = 0) -> Any:
    """Return a value as JSON types; numbers without a value, and what is nested without end, as text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value).encode("utf-8", "backslashreplace").decode("utf-8")  # lone surrogates, written out
    if isinstance(value, int):
        return int(value) if -_LARGEST <= value <= _LARGEST else hex(value)
    if isinstance(value, float):
        return float(value) if isfinite(value) else str(float(value))
    if depth < _DEEPEST and isinstance(value, Mapping):
        return {_strict(str(k)): _strict(v, depth + 1) for k, v in value.items()}
    if depth < _DEEPEST and isinstance(value, list | tuple | set | frozenset):
        return [_strict(v, depth + 1) for v in value]
    try:
        return _strict(str(value)) if depth < _DEEPEST else "..."
    except Exception:  # an object of a plugin that cannot be printed
        return f"<{type(value).__name__}>"


def document(run: Run) -> dict[str, Any]:
    """Return the run as JSON types."""
    return {
        "schema": SCHEMA,
        "version": run.version,
        "sources": [_source(s) for s in run.sources],
        "findings": [_finding(f) for f in run.findings],
        "outcomes": [_outcome(o) for o in run.outcomes],
        "gates": [dict(g) for g in run.gates],
        "plugins": [
            {"name": p.name, "version": p.version, "diagnoses": list(p.diagnoses), "models": list(p.models), "errors": list(p.errors)}
            for p in run.plugins
        ],
        "errors": list(run.errors),
        "trust": {"trusted": not run.doubts, "reasons": [{"kind": d.kind, "text": d.text} for d in run.doubts]},
        "suppressed": [{"by": s.by, "reason": s.reason, "finding": _finding(s.finding)} for s in run.suppressed],
        "settings": list(run.settings),
    }


def _source(s: SourceReport) -> dict[str, Any]:
    return {
        "path": s.path,
        "lines": s.lines,
        "events": sum(s.events.values()),
        "envelopes": dict(s.envelopes),
        "not_understood": sum(n.count for n in s.not_understood),
        "clock": s.clock,
        "classes": dict(s.classes),
        "events_by_name": dict(sorted(s.events.items())),
        "examples": [{"event": n.event, "count": n.count, "line": n.line, "text": n.text} for n in s.not_understood],
        "notes": list(s.notes),
    }


def _finding(f: Finding) -> dict[str, Any]:
    s = f.subject
    return {
        "name": f.name,
        "code": f.code,
        "severity": f.severity,
        "grade": f.grade,
        "subject": s.label,
        "entity": {"kind": s.kind, "bdf": s.bdf, "label": s.label, "aliases": list(s.aliases), "how": s.how},
        "summary": f.summary,
        "meaning": f.meaning,
        "advice": f.advice,
        "evidence": [_evidence(e) for e in leading(f.evidence)],
        "explains": list(f.explains),
        "explained_by": f.explained_by,
        "confirmed_by_replay": f.confirmed_by_replay,
        "fixes": list(f.fixes),
        "unchecked": [{"guard": u.guard, "would_settle": u.would_settle} for u in f.unchecked],
        "related": list(f.related),
        "windows": [dict(w) for w in f.windows],
        "values": dict(f.values),
        "machine": f.machine,
        "boot": f.boot,
        "fingerprint": f.fingerprint,
    }


def _evidence(e: Evidence) -> dict[str, Any]:
    also = [{"source": source, "line": line} for source, line in e.also]
    place = {"source": e.source, "line": e.line, "line_end": e.line_end, "role": e.role}
    return {**place, "text": e.text, "text_end": e.text_end or None, "also": also}


def _outcome(o: Outcome) -> dict[str, Any]:
    return {"name": o.name, "code": o.code, "outcome": o.outcome, "reason": o.reason, "record": o.record}
