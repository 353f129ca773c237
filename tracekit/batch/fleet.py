"""The report on a batch: which fault on how many machines, since when, what is new, and what could not be read."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from tracekit.batch.results import Results
from tracekit.findings import GRADES, SEVERITIES
from tracekit.fleet import Fleet, FleetFault

BY = ("kernel", "qemu", "xen", "driver", "device")  # what the machines of a fault are counted by


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
        machines=group["machine"].n_unique(),
        cases=group["case"].n_unique(),
        findings=group.height,
        first_seen=min(group["first_seen"].drop_nulls(), default=None),
        last_seen=max(group["last_seen"].drop_nulls(), default=None),
        seen_by="stamp" if (group["seen_by"] == "stamp").all() else "file",
        by={column: _counts(group, column) for column in BY},
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
