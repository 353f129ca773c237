"""The exit status of analyze, batch and report: 0 nothing wrong, 1 a finding, 2 nothing could be read, 3 an all-clear not to be trusted."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from tracekit.errors import UsageError
from tracekit.findings import GRADES, SEVERITIES

if TYPE_CHECKING:
    from tracekit.batch.results import Results
    from tracekit.run import Run

FAIL_ON = "probable:medium"
_INFORMS = ("CFG", "OBS")  # families of codes that never make an alarm


class Threshold(NamedTuple):
    """The grades and severities from which a finding makes the exit status 1."""

    grades: tuple[str, ...]
    severities: tuple[str, ...]

    def alarms(self, code: str, grade: str | None, severity: str | None, explained_by: str | None) -> bool:
        """Return whether a finding makes the exit status 1: never a consequence, nor what only informs."""
        root = explained_by is None and not code.startswith(_INFORMS)
        return root and grade in self.grades and (severity or "info") in self.severities


def threshold(text: str, origin: str = "--fail-on") -> Threshold | None:
    """Return what `--fail-on`, or the file at `origin`, says; None for `never`. Errors: UsageError."""
    if text == "never":
        return None
    grade, _, severity = text.partition(":")
    severity = severity or "medium"
    if grade not in GRADES or severity not in SEVERITIES:
        told = origin if origin == "--fail-on" else f"{origin}: fail-on ="
        raise UsageError(f"{told} {text}: give one of {', '.join(GRADES)}, then if you like : and one of {', '.join(SEVERITIES)}")
    return Threshold(GRADES[: GRADES.index(grade) + 1], SEVERITIES[: SEVERITIES.index(severity) + 1])


def of_run(run: "Run", limit: Threshold | None) -> int:
    """Return the exit status of a finished analysis. A finding takes precedence over an all-clear that cannot be trusted."""
    if limit is None:
        return 0
    return 1 if any(limit.alarms(f.code, f.grade, f.severity, f.explained_by) for f in run.findings) else 3 if run.doubts else 0


def of_results(results: "Results", limit: Threshold | None, cases: Iterable[str] | None = None) -> int:
    """Return the exit status of a batch or of its report: that of all its cases together.

    A finding of any case wins. Without one a case that failed, is missing or is not to be trusted makes 3; where no case could be read it
    is 2. `cases`: the paths that count, all if null.
    """
    import polars as pl

    if limit is None:
        return 0
    done = results.table("cases").select("result", "case", "status", (pl.col("doubts").list.len() > 0).alias("doubtful"))
    found = results.table("findings").select("result", "code", "grade", "severity", "explained_by")
    if cases is not None:
        done = done.filter(pl.col("case").is_in(list(cases)))
        found = found.join(done.select("result"), on="result", how="semi")
    if any(limit.alarms(*row) for row in found.drop("result").unique().collect().iter_rows()):
        return 1
    counts = done.select(pl.len(), (pl.col("status") != "done").sum().alias("failed"), pl.col("doubtful").any()).collect()
    total, failed, doubtful = counts.row(0)
    if failed and failed == total:
        return 2
    return 3 if failed or doubtful or results.stopped else 0
