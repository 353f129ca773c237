"""The report on a batch: which fault on how many machines, since when, what is new, and what could not be read."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from tracekit.batch.results import Results
from tracekit.findings import GRADES, SEVERITIES

SCHEMA = "tracekit.fleet/1"
FORMATS = ("terminal", "json", "markdown", "csv")
_BY = {"kernel": "kernel", "qemu": "QEMU", "xen": "Xen", "driver": "driver", "device": "device"}
_MOST = 6  # machines, releases, drivers or devices that a line names
_MANY = 8  # faults from which on they are listed in brief first


@dataclass(frozen=True)
class Fault:
    """One fault over all machines: the findings that share a group (code, role of the device, causal shape)."""

    group: str
    code: str
    name: str
    severity: str
    grade: str
    role: str
    state: str  # new, known, or "" where there is nothing to compare with
    machines: int
    cases: int
    findings: int
    first_seen: str | None
    last_seen: str | None
    seen_by: str
    by: Mapping[str, Mapping[str, int]]  # kernel, qemu, xen, driver, device -> machines
    on: Sequence[str]  # the machines; a case whose logs name no host is one by its path
    example: Mapping[str, Any]  # case, summary, source, line, text


@dataclass(frozen=True)
class Fleet:
    """What a batch found: faults, the worst and most frequent first, and what is missing."""

    cases: Mapping[str, int]  # total, done, failed, missing
    machines: int
    faulty: int  # machines that have a fault
    faults: Sequence[Fault]
    gone: Sequence[Mapping[str, Any]] = ()  # faults of the earlier batch that are not here: group, code, name, role, machines
    failures: Sequence[Mapping[str, Any]] = ()  # case, member, kind, reason
    missing: Sequence[Mapping[str, Any]] = ()  # case, reason
    versions: Mapping[str, str] = field(default_factory=dict)


def fleet(results: Results, against: Results | None = None) -> Fleet:
    """Sum up the results of a batch, against those of an earlier one where given."""
    cases = results.table("cases").select("result", "case", "status", "machine", "kernel", "qemu", "xen").collect()
    found = _faults(results, cases)
    earlier = _faults(against, against.table("cases").collect()) if against else None
    known = set(earlier["group"]) if earlier is not None else set()
    missing = results.missing()
    failures = results.table("failures").select("case", "member", "kind", "reason").unique().sort(pl.all()).collect()
    done = cases.filter(pl.col("status") == "done")
    faults = [
        _fault(group, results, "" if earlier is None else "known" if group["group"][0] in known else "new") for group in _groups(found)
    ]
    return Fleet(
        cases={
            "total": cases.height + missing.height,
            "done": done.height,
            "failed": cases.height - done.height,
            "missing": missing.height,
        },
        machines=_machines(done, found),
        faulty=found["machine"].n_unique(),
        faults=faults,
        gone=_gone(earlier, found) if earlier is not None else [],
        failures=failures.to_dicts(),
        missing=missing.sort("case").to_dicts(),
        versions=results.manifest["versions"],
    )


def render(report: Fleet, format: str) -> str:
    """The report as text: one of FORMATS."""
    return {"terminal": _terminal, "json": _json, "markdown": _markdown, "csv": _csv}[format](report)


def _faults(results: Results, cases: pl.DataFrame) -> pl.DataFrame:
    """The findings that are faults of their own: graded, and explained by no other; with the machine and releases of their case."""
    of_case = cases.select("result", pl.col("machine").alias("host"), "kernel", "qemu", "xen")
    frame = results.table("findings").filter(pl.col("grade").is_not_null() & pl.col("explained_by").is_null())
    frame = frame.select(
        *("result", "case", "finding", "group", "code", "name", "severity", "grade", "role", "driver", "device", "machine", "summary"),
        *("first_seen", "last_seen", "seen_by"),
    )
    host = pl.coalesce(*(pl.when(pl.col(c) != "").then(pl.col(c)) for c in ("machine", "host")), "case")
    return frame.collect().join(of_case, on="result", how="left").with_columns(host.alias("machine")).drop("host")


def _groups(found: pl.DataFrame) -> list[pl.DataFrame]:
    """The findings of each group; the worst first, then those on most machines."""
    groups = found.sort("case", "finding").partition_by("group", maintain_order=True)

    def rank(g: pl.DataFrame) -> tuple[Any, ...]:
        return (
            min(map(SEVERITIES.index, g["severity"])),
            min(map(GRADES.index, g["grade"])),
            -g["machine"].n_unique(),
            g["code"][0],
            g["group"][0],
        )

    return sorted(groups, key=rank)


def _fault(group: pl.DataFrame, results: Results, state: str) -> Fault:
    first = group.row(0, named=True)
    return Fault(
        group=first["group"],
        code=first["code"],
        name=first["name"],
        severity=min(group["severity"], key=SEVERITIES.index),
        grade=min(group["grade"], key=GRADES.index),
        role=first["role"],
        state=state,
        machines=group["machine"].n_unique(),
        cases=group["case"].n_unique(),
        findings=group.height,
        first_seen=min(group["first_seen"].drop_nulls(), default=None),
        last_seen=max(group["last_seen"].drop_nulls(), default=None),
        seen_by="stamp" if (group["seen_by"] == "stamp").all() else "file",
        by={column: _counts(group, column) for column in _BY},
        on=sorted(group["machine"].unique()),
        example={"case": first["case"], "summary": first["summary"], **_evidence(results, first)},
    )


def _counts(group: pl.DataFrame, column: str) -> dict[str, int]:
    """How many machines have each value, the most frequent first."""
    known = group.filter(pl.col(column) != "")
    counts = known.group_by(column).agg(pl.col("machine").n_unique().alias("n")).sort("n", column, descending=[True, False])
    return dict(counts.iter_rows())


def _evidence(results: Results, finding: Mapping[str, Any]) -> dict[str, Any]:
    """The first line that a finding rests on."""
    rows = (
        results.table("evidence")
        .filter((pl.col("result") == finding["result"]) & (pl.col("finding") == finding["finding"]))
        .head(1)
        .collect()
    )
    return rows.select("source", "line", "text").row(0, named=True) if rows.height else {"source": "", "line": None, "text": ""}


def _gone(earlier: pl.DataFrame, found: pl.DataFrame) -> list[dict[str, Any]]:
    gone = earlier.join(found.select("group").unique(), on="group", how="anti")
    told = gone.group_by("group", "code", "name", "role").agg(pl.col("machine").n_unique().alias("machines"))
    return told.sort("code", "group").to_dicts()


def _machines(cases: pl.DataFrame, found: pl.DataFrame) -> int:
    """How many machines there are: those of the cases, and those in a case of several that have a fault."""
    of_case = cases.select(pl.when(pl.col("machine") != "").then("machine").otherwise("case").alias("machine"))
    return pl.concat([of_case, found.select("machine")])["machine"].n_unique()


def _json(report: Fleet) -> str:
    return json.dumps({"schema": SCHEMA, **_dict(report)}, indent=1, ensure_ascii=False) + "\n"


def _dict(report: Fleet) -> dict[str, Any]:
    return {**vars(report), "faults": [vars(f) for f in report.faults]}


def _terminal(report: Fleet) -> str:
    lines = [_headline(report), "", *_overview(report)]
    for f in report.faults:
        state = f"  {f.state.upper()}" if f.state else ""
        lines.append(
            f"{f.severity.upper():<8} {f.code}  {f.name}  {f.grade}{state}: {plural(f.machines, 'machine')}, {plural(f.cases, 'case')}"
        )
        lines += [f"  {line}" for line in _story(f)]
        lines.append("")
    lines += [_visible(f"gone     {g['code']}  {g['name']}: was on {plural(g['machines'], 'machine')}") for g in report.gone]
    for title, rows in _troubles(report):
        lines += [title, *(f"  {_visible(row)}" for row in rows)]
    return "\n".join(_trimmed(lines)) + "\n"


def _overview(report: Fleet) -> Iterator[str]:
    """One line a fault, where they are too many to be seen at once."""
    if len(report.faults) < _MANY:
        return
    width = max(len(f.name) for f in report.faults)
    for f in report.faults:
        days = sorted({seen[:10] for seen in (f.first_seen, f.last_seen) if seen})
        when = " to ".join(days)
        told = f"{f.severity.upper():<8} {f.code:<8} {f.name:<{width}}  {f.grade:<8}  {f.machines:>6,}  {f.state:<5}  {when:<24}  {f.role}"
        yield _visible(told.rstrip())
    yield ""


def _markdown(report: Fleet) -> str:
    lines = [f"# {_headline(report)}", ""]
    if len(report.faults) >= _MANY:
        lines += [
            "| severity | code | fault | grade | machines | state | first seen | last seen | device |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for f in report.faults:
            cells = (f.severity, f.code, f.name, f.grade, f"{f.machines:,}", f.state, f.first_seen or "", f.last_seen or "", f.role)
            lines.append(f"| {' | '.join(map(_escaped, cells))} |")
        lines.append("")
    for f in report.faults:
        state = f" ({f.state})" if f.state else ""
        lines += [
            f"## {f.code} {f.name}{state}: {plural(f.machines, 'machine')}",
            "",
            f"{f.severity}, {f.grade}, {plural(f.cases, 'case')}",
            "",
        ]
        lines += [f"- {_escaped(line)}" for line in _story(f)] + [""]
    if report.gone:
        lines += ["## Gone", "", *(f"- {g['code']} {g['name']}: was on {plural(g['machines'], 'machine')}" for g in report.gone), ""]
    for title, rows in _troubles(report):
        lines += [f"## {title}", "", *(f"- {_escaped(row)}" for row in rows), ""]
    return "\n".join(_trimmed(lines)) + "\n"


def _csv(report: Fleet) -> str:
    out = io.StringIO()
    rows = csv.writer(out)
    head = ("record", "code", "name", "severity", "grade", "state", "role", "machines", "cases", "first_seen", "last_seen")
    rows.writerow((*head, *_BY, "on", "case", "source", "line", "text"))
    for f in report.faults:
        story = (f.code, f.name, f.severity, f.grade, f.state, f.role, f.machines, f.cases, f.first_seen, f.last_seen)
        place = (f.example["case"], f.example["source"], f.example["line"], f.example["summary"])
        rows.writerow(_cells("fault", *story, *("; ".join(f"{k} ({n})" for k, n in f.by[c].items()) for c in _BY), "; ".join(f.on), *place))
    blank = [""] * (len(head) + len(_BY))
    for g in report.gone:
        rows.writerow(_cells("gone", g["code"], g["name"], "", "", "gone", g["role"], g["machines"], *[""] * (len(_BY) + 8)))
    for x in report.failures:
        rows.writerow(_cells("failure", *blank, x["case"], x["member"], "", f"{x['kind']}: {x['reason']}"))
    for x in report.missing:
        rows.writerow(_cells("missing", *blank, x["case"], "", "", x["reason"]))
    return out.getvalue()


def _cells(*values: Any) -> list[str]:
    """Values as text that no spreadsheet takes for a formula."""
    texts = ["" if v is None else _visible(str(v)) for v in values]
    return ["'" + t if t.lstrip()[:1] in {"=", "+", "-", "@", "＝", "＋", "－", "＠"} else t for t in texts]


def _headline(report: Fleet) -> str:
    n = report.cases
    told = f"{plural(len(report.faults), 'fault')} on {report.faulty:,} of {plural(report.machines, 'machine')}"
    told += f" ({plural(n['total'], 'case')}"
    told += f", {n['failed']} failed" if n["failed"] else ""
    return told + (f", {n['missing']} not analyzed)" if n["missing"] else ")")


def _story(f: Fault) -> Iterator[str]:
    """The lines below a fault: an example, where and since when."""
    yield _visible(f.example["summary"])
    yield f"on: {_first(f.on)}"
    if f.role:
        yield f"role: {_visible(f.role)}"
    for column, title in _BY.items():
        if counts := f.by[column]:
            yield f"{title}: {_first([f'{value} ({n})' for value, n in counts.items()])}"
    if f.first_seen:
        how = "" if f.seen_by == "stamp" else " (by the time of the file)"
        yield f"seen: {f.first_seen} to {f.last_seen}{how}" if f.first_seen != f.last_seen else f"seen: {f.first_seen}{how}"
    if f.example["source"]:
        yield _visible(f"for example {f.example['source']}:{f.example['line']}: {f.example['text'].strip()}")


def _first(told: Sequence[str]) -> str:
    more = f", and {len(told) - _MOST:,} more" if len(told) > _MOST else ""
    return _visible(", ".join(told[:_MOST])) + more


def _troubles(report: Fleet) -> Iterator[tuple[str, list[str]]]:
    """(title, rows) of what failed and what is missing."""
    whole = [x for x in report.failures if not x["member"]]
    parts = [x for x in report.failures if x["member"]]
    if whole:
        yield f"{plural(len(whole), 'case')} failed", [f"{x['case']}: {_without(x['reason'], x['case'])}" for x in whole]
    if parts:
        yield f"{plural(len(parts), 'part')} of cases could not be read", [f"{x['member']}: {x['reason']}" for x in parts]
    if report.missing:
        yield f"{plural(len(report.missing), 'case')} not analyzed", [f"{x['case']}: {x['reason']}" for x in report.missing]


def _without(reason: str, case: str) -> str:
    return reason.removeprefix(f"{case}: ")


def plural(count: int, noun: str) -> str:
    """`1 case`, `2 cases`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _trimmed(lines: list[str]) -> list[str]:
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _visible(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _escaped(text: str) -> str:
    """Without what Markdown or HTML would obey."""
    marked = "".join(f"\\{c}" if c in "\\`*_[]#|~!" else c for c in _visible(text))
    return marked.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
