"""The report on a batch: which fault on how many machines, since when, what is new, and what could not be read."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from tracekit.batch import spread
from tracekit.batch.results import Results
from tracekit.batch.view import View
from tracekit.findings import GRADES, SEVERITIES
from tracekit.fleet import Fleet, FleetFault

BY = ("kernel", "qemu", "xen", "driver", "device")  # what the machines of a fault are counted by
_AT = {"result": pl.Int64, "finding": pl.Int64}  # which finding
_NAME = pl.coalesce(pl.col("machine").cast(pl.String), "case").alias("name")  # of a place


def fleet(results: Results, against: Results | None = None) -> Fleet:
    """Sum up the results of a batch, and compare them with an earlier batch where one is given."""
    cases = _cases(results, named=against is not None)
    found = _faults(results, cases)
    done = _placed(cases.filter(pl.col("status") == "done"), found)
    earlier = _Earlier(against, done) if against else None
    doubtful = _doubtful(cases, found)
    missing = results.missing()
    rows, more = spread.cases(found, results)
    groups = _groups(found)
    firsts = _firsts([group.row(0, named=True) for group in groups], results)
    failures = results.table("failures").select("case", "member", "kind", "reason").unique().sort(pl.all()).collect()
    return Fleet(
        cases={
            "total": cases.height + missing.height,
            "done": cases.filter(pl.col("status") == "done").height,
            "failed": cases.filter(pl.col("status") != "done").height,
            "missing": missing.height,
            "doubtful": doubtful.height,
        },
        machines=_named(done),
        faulty=_named(found),
        nameless=_nameless(done),
        faulty_nameless=_nameless(found),
        faults=[_fault(group, first, earlier.state(group) if earlier else "") for group, first in zip(groups, firsts, strict=True)],
        gone=earlier.gone(found, against) if earlier and against else [],
        failures=failures.to_dicts(),
        missing=missing.sort("case").to_dicts(),
        doubtful=_reasons(doubtful.head(spread.MOST), results),
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
        cases = _cases(results, named=True)
        found = _faults(results, cases)
        there = _names(_placed(cases.filter(pl.col("status") == "done"), found))
        here = _names(done)
        self.both = here & there
        self.compared = {"both": len(self.both), "only_here": len(here - there), "only_there": len(there - here)}
        self.found = self._shared(found)
        self.known = set(self.found["group"])

    def state(self, group: pl.DataFrame) -> str:
        """Return `known` or `new`; nothing for a fault that no machine of both has now."""
        if group["group"][0] in self.known:
            return "known"
        return "new" if self._shared(group).height else ""

    def gone(self, found: pl.DataFrame, results: Results) -> list[dict[str, Any]]:
        """Return the faults that machines of both had and have not any more. `results`: the earlier ones."""
        gone = self.found.join(self._shared(found).select("group").unique(), on="group", how="anti")
        told = gone.group_by("group", "role").agg(pl.col("place").n_unique().alias("machines"), pl.col("result", "finding").first())
        named = _joined(told, results, "code", "name").drop("result", "finding").with_columns(pl.col("group", "role").cast(pl.String))
        return named.select("group", "code", "name", "role", "machines").sort("code", "group").to_dicts()

    def _shared(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.filter(_NAME.is_in(self.both))


def _cases(results: Results, named: bool) -> pl.DataFrame:
    """Return (result, status, machine, kernel, qemu, xen, doubtful) of all cases; `doubtful`: an all-clear is not to be trusted.

    `named`: with `case` too. The paths of a million cases take more memory than all else of them.
    """
    releases = pl.col("kernel", "qemu", "xen").cast(pl.Categorical)
    doubtful = (pl.col("doubts").list.len() > 0).alias("doubtful")
    columns = ("result", *(["case"] if named else []), "status", "machine")
    return results.table("cases").select(*columns, releases, doubtful).collect(engine="streaming")


def _faults(results: Results, cases: pl.DataFrame) -> pl.DataFrame:
    """Return the findings that are faults of their own: graded, and explained by no other; with the machine and releases of their case.

    They are in the order of their cases. `machine` is null where no log of the case names a host; `place` is the machine, or else the
    case. What repeats in many rows is a category: a million cases fit in little memory.
    """
    of_case = cases.select("result", pl.col("machine").alias("host"), "kernel", "qemu", "xen")
    frame = results.table("findings").filter(pl.col("grade").is_not_null() & pl.col("explained_by").is_null())
    frame = frame.select(
        *("result", "case", "finding", "first_seen", "last_seen"),
        pl.col("machine", "subject", "group", "code", "role", "driver", "device", "seen_by").cast(pl.Categorical),
        pl.col("severity").cast(pl.Enum(SEVERITIES)),
        pl.col("grade").cast(pl.Enum(GRADES)),
    )
    found = frame.collect(engine="streaming").sort("case", "finding")
    of_case = of_case.filter(pl.col("result").is_in(found["result"].unique().implode()))  # a join with few rows takes little memory
    joined = found.join(of_case, on="result", how="left", maintain_order="left")
    return joined.with_columns(_name("machine", "host").alias("machine")).drop("host").with_columns(_place())


def _doubtful(cases: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """Return the cases without a fault whose all-clear is not to be trusted."""
    quiet = cases.filter((pl.col("status") == "done") & pl.col("doubtful"))
    return quiet.select("result").join(found, on="result", how="anti", maintain_order="left")


def _reasons(cases: pl.DataFrame, results: Results) -> list[dict[str, Any]]:
    """Return cases with the first reason for doubt."""
    told = results.table("cases").join(cases.lazy(), on="result", how="semi")
    return told.select("case", pl.col("doubts").list.first().alias("reason")).sort("case").collect(engine="streaming").to_dicts()


def _placed(cases: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """Return (result, machine, kernel, place) of the cases, with `case` where they have it, and of every machine of a case of several that
    has a fault."""
    machines = cases.with_columns(_name("machine").alias("machine")).with_columns(_place())
    columns = [c for c in ("result", "case", "machine", "kernel", "place") if c in machines.columns]
    return pl.concat([machines.select(columns), found.select(columns)])


def _name(*columns: str) -> pl.Expr:
    """Return the machine that one of the columns names, null where none does."""
    return pl.coalesce(*(pl.when(pl.col(c) != "").then(pl.col(c)) for c in columns)).cast(pl.Categorical)


def _place() -> pl.Expr:
    """Return the number of a place: that of the machine's name, below zero, else that of the case."""
    return pl.coalesce(-1 - pl.col("machine").to_physical().cast(pl.Int64), "result").alias("place")


def _names(placed: pl.DataFrame) -> set[str]:
    """Return the names of places: the machine's, else the path of the case."""
    return set(placed.select(_NAME).to_series())


def _named(frame: pl.DataFrame) -> int:
    """Count the machines that a log names."""
    return frame["machine"].drop_nulls().n_unique()


def _nameless(frame: pl.DataFrame) -> int:
    """Count the cases whose logs name no machine."""
    named = frame.filter(pl.col("machine").is_not_null())["result"]
    return (frame if named.is_empty() else frame.filter(~pl.col("result").is_in(named.implode())))["result"].n_unique()


def _groups(found: pl.DataFrame) -> list[pl.DataFrame]:
    """Return the findings of each group; the worst first, then those on most machines."""
    groups = found.partition_by("group", maintain_order=True)

    def rank(g: pl.DataFrame) -> tuple[Any, ...]:
        return (
            g["severity"].to_physical().min(),
            g["grade"].to_physical().min(),
            -g["place"].n_unique(),
            g["code"][0],
            g["group"][0],
        )

    return sorted(groups, key=rank)


def _fault(group: pl.DataFrame, first: Mapping[str, Any], state: str) -> FleetFault:
    return FleetFault(
        group=first["group"],
        code=first["code"],
        name=first["name"],
        severity=group["severity"].min(),  # type: ignore[arg-type]
        grade=group["grade"].min(),  # type: ignore[arg-type]
        role=first["role"],
        state=state,
        machines=_named(group),
        nameless=_nameless(group),
        cases=group["result"].n_unique(),
        findings=group.height,
        first_seen=group["first_seen"].min(),  # type: ignore[arg-type]
        last_seen=group["last_seen"].max(),  # type: ignore[arg-type]
        seen_by="stamp" if (group["seen_by"] == "stamp").all() else "file",
        by={column: _counts(group, column) for column in BY},
        on=group.select("place", "machine", "case").unique("place").select(_NAME).to_series().sort().to_list(),
        example={**{k: first[k] or "" for k in ("case", "summary", "advice")}, **{k: first[k] for k in ("source", "line", "text")}},
        grid=spread.grid(group),
        days=spread.days(group),
    )


def _counts(group: pl.DataFrame, column: str) -> dict[str, int]:
    """Count the places per value, the most frequent first."""
    known = group.select(column, "place").filter(pl.col(column) != "")
    counts = known.group_by(pl.col(column).cast(pl.String)).agg(pl.col("place").n_unique().alias("n"))
    return dict(counts.sort("n", column, descending=[True, False]).iter_rows())


def _firsts(findings: Sequence[Mapping[str, Any]], results: Results) -> list[dict[str, Any]]:
    """Return findings with their texts, and the first line that each rests on."""
    at = pl.DataFrame([{k: f[k] for k in ("result", "finding")} for f in findings], schema=_AT)
    texts = _joined(at, results, "name", "summary", "advice")
    lines = spread.first_lines(at, results)
    told = texts.join(lines, on=list(_AT), how="left", maintain_order="left").with_columns(pl.col("source", "text").fill_null(""))
    return [{**f, **more} for f, more in zip(findings, told.iter_rows(named=True), strict=True)]


def _joined(rows: pl.DataFrame, results: Results, *columns: str) -> pl.DataFrame:
    """Return a few rows of findings with more of their columns."""
    few = results.table("findings").join(rows.lazy().select(*_AT), on=list(_AT), how="semi").select(*_AT, *columns)
    return rows.join(few.collect(engine="streaming"), on=list(_AT), how="left", maintain_order="left")
