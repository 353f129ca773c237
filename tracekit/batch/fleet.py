"""The report on a batch: which fault on how many machines, since when, what is new, and what could not be read."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from tracekit.batch import spread
from tracekit.batch.results import Results
from tracekit.batch.view import View
from tracekit.findings import GRADES, SEVERITIES
from tracekit.fleet import Fleet, FleetFault

BY = ("kernel", "qemu", "xen", "driver", "device")  # what the machines of a fault are counted by


def fleet(results: Results, against: Results | None = None) -> Fleet:
    """Sum up the results of a batch, and compare them with an earlier batch where one is given."""
    cases = results.table("cases").select("result", "case", "status", "machine", "kernel", "qemu", "xen", "doubts").collect()
    found = _faults(results, cases)
    done = _placed(cases.filter(pl.col("status") == "done"), found)
    earlier = _Earlier(against, done) if against else None
    doubtful = _doubtful(cases, found)
    missing = results.missing()
    rows, more = spread.cases(found, results)
    failures = results.table("failures").select("case", "member", "kind", "reason").unique().sort(pl.all()).collect()
    return Fleet(
        cases={
            "total": cases.height + missing.height,
            "done": cases.filter(pl.col("status") == "done").height,
            "failed": cases.filter(pl.col("status") != "done").height,
            "missing": missing.height,
            "doubtful": len(doubtful),
        },
        machines=_named(done),
        faulty=_named(found),
        nameless=_nameless(done),
        faulty_nameless=_nameless(found),
        faults=[_fault(group, results, earlier.state(group) if earlier else "") for group in _groups(found)],
        gone=earlier.gone(found) if earlier else [],
        failures=failures.to_dicts(),
        missing=missing.sort("case").to_dicts(),
        doubtful=doubtful,
        versions=results.manifest["versions"],
        stopped=results.stopped,
        compared=earlier.compared if earlier else {},
        kernels=spread.kernels(done),
        suppressed=results.suppressed if isinstance(results, View) else 0,
        settings=list(results.notes()) if isinstance(results, View) else [],
        found=rows,
        more=more,
    )


class _Earlier:
    """The results of an earlier batch for the machines that are in both. A case without a host name is identified by its path."""

    def __init__(self, results: Results, done: pl.DataFrame) -> None:
        cases = results.table("cases").collect()
        found = _faults(results, cases)
        there = set(_placed(cases.filter(pl.col("status") == "done"), found)["place"])
        here = set(done["place"])
        self.both = here & there
        self.compared = {"both": len(self.both), "only_here": len(here - there), "only_there": len(there - here)}
        self.found = self._shared(found)

    def state(self, group: pl.DataFrame) -> str:
        """Return `known` or `new`; nothing for a fault that no machine of both has now."""
        if group["group"][0] in set(self.found["group"]):
            return "known"
        return "new" if self._shared(group).height else ""

    def gone(self, found: pl.DataFrame) -> list[dict[str, Any]]:
        """Return the faults that machines of both had and have not any more."""
        gone = self.found.join(self._shared(found).select("group").unique(), on="group", how="anti")
        told = gone.group_by("group", "code", "name", "role").agg(pl.col("place").n_unique().alias("machines"))
        return told.sort("code", "group").to_dicts()

    def _shared(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.filter(pl.col("place").is_in(self.both))


def _faults(results: Results, cases: pl.DataFrame) -> pl.DataFrame:
    """Return the findings that are faults of their own: graded, and explained by no other; with the machine and releases of their case.

    `machine` is null where no log of the case names a host; `place` is the machine, or else the path of the case.
    """
    of_case = cases.select("result", pl.col("machine").alias("host"), "kernel", "qemu", "xen")
    frame = results.table("findings").filter(pl.col("grade").is_not_null() & pl.col("explained_by").is_null())
    frame = frame.select(
        *("result", "case", "finding", "group", "code", "name", "severity", "grade", "role", "driver", "device", "machine", "subject"),
        *("summary", "advice", "first_seen", "last_seen", "seen_by"),
    )
    joined = frame.collect().join(of_case, on="result", how="left")
    return joined.with_columns(_name("machine", "host").alias("machine")).drop("host").with_columns(_place())


def _doubtful(cases: pl.DataFrame, found: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the cases without a fault whose all-clear is not to be trusted, and the first reason."""
    quiet = cases.filter((pl.col("status") == "done") & (pl.col("doubts").list.len() > 0)).join(found, on="result", how="anti")
    return quiet.select("case", pl.col("doubts").list.first().alias("reason")).sort("case").to_dicts()


def _placed(cases: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """Return (case, machine, kernel, place) of the cases, and of every machine of a case of several that has a fault."""
    machines = cases.select("case", _name("machine").alias("machine"), "kernel").with_columns(_place())
    return pl.concat([machines, found.select("case", "machine", "kernel", "place")])


def _name(*columns: str) -> pl.Expr:
    return pl.coalesce(*(pl.when(pl.col(c) != "").then(pl.col(c)) for c in columns))


def _place() -> pl.Expr:
    return pl.coalesce("machine", "case").alias("place")


def _named(frame: pl.DataFrame) -> int:
    """Count the machines that a log names."""
    return frame["machine"].drop_nulls().n_unique()


def _nameless(frame: pl.DataFrame) -> int:
    """Count the cases whose logs name no machine."""
    named = frame.filter(pl.col("machine").is_not_null()).select("case").unique()
    return frame.join(named, on="case", how="anti")["case"].n_unique()


def _groups(found: pl.DataFrame) -> list[pl.DataFrame]:
    """Return the findings of each group; the worst first, then those on most machines."""
    groups = found.sort("case", "finding").partition_by("group", maintain_order=True)

    def rank(g: pl.DataFrame) -> tuple[Any, ...]:
        return (
            min(map(SEVERITIES.index, g["severity"])),
            min(map(GRADES.index, g["grade"])),
            -g["place"].n_unique(),
            g["code"][0],
            g["group"][0],
        )

    return sorted(groups, key=rank)


def _fault(group: pl.DataFrame, results: Results, state: str) -> FleetFault:
    first = group.row(0, named=True)
    return FleetFault(
        group=first["group"],
        code=first["code"],
        name=first["name"],
        severity=min(group["severity"], key=SEVERITIES.index),
        grade=min(group["grade"], key=GRADES.index),
        role=first["role"],
        state=state,
        machines=_named(group),
        nameless=_nameless(group),
        cases=group["case"].n_unique(),
        findings=group.height,
        first_seen=min(group["first_seen"].drop_nulls(), default=None),
        last_seen=max(group["last_seen"].drop_nulls(), default=None),
        seen_by="stamp" if (group["seen_by"] == "stamp").all() else "file",
        by={column: _counts(group, column) for column in BY},
        on=sorted(group["place"].unique()),
        example={**{k: first[k] or "" for k in ("case", "summary", "advice")}, **_evidence(results, first)},
        grid=spread.grid(group),
        days=spread.days(group),
    )


def _counts(group: pl.DataFrame, column: str) -> dict[str, int]:
    """Count the places per value, the most frequent first."""
    known = group.filter(pl.col(column) != "")
    counts = known.group_by(column).agg(pl.col("place").n_unique().alias("n")).sort("n", column, descending=[True, False])
    return dict(counts.iter_rows())


def _evidence(results: Results, finding: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first line that a finding rests on."""
    rows = (
        results.table("evidence")
        .filter((pl.col("result") == finding["result"]) & (pl.col("finding") == finding["finding"]))
        .head(1)
        .collect()
    )
    return rows.select("source", "line", "text").row(0, named=True) if rows.height else {"source": "", "line": None, "text": ""}
