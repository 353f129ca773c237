"""Run a batch: select the cases to analyze, hand them to workers, collect the results. One code path serves this machine and a cluster."""

import os
import pickle
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b

import polars as pl

from tracekit import __version__
from tracekit.batch import fingerprint, marks, supervise
from tracekit.batch.cases import Case
from tracekit.batch.results import Results, ResultsError, Writer
from tracekit.batch.rows import TABLES, Reply
from tracekit.batch.supervise import Refused, Task
from tracekit.batch.worker import Job
from tracekit.errors import TracekitError
from tracekit.plugins.isolation import IN_PROCESS, Isolation
from tracekit.reading import archive
from tracekit.redaction.tokens import Tokens

_TASK_BYTES = 8 << 20  # of logs in one task
_TASKS = 4  # a worker, at least, where there are that many cases
_LEAST = 32  # cases of a task, where there are so many: fewer would take longer together
_FLUSH_S, _FLUSH_CASES = 5.0, 2000
_TICK_S = 1.0
_LOSSES = 20  # tasks in a row that may be lost with their executor's workers
_SETTLED = marks.SETTLED
# Failures that say nothing about the case: it is tried again by the next batch.
_PASSING = ("start", "killed", "unseen", "io")


@dataclass(frozen=True)
class Settings:
    """The settings of a batch.

    `jobs`: workers that are kept busy; `together`: small cases in one task, whose logs are parsed together; `retry`: failed cases are
    tried again; `rehash`: file times are not trusted; `redaction`: tokens in place of names and addresses, also of the cases' own paths;
    `asked`: which diagnoses, severities and settings the user wants (`Control.asked`); `changes`: what plugins change
    about diagnoses of others, in words; `trace`: hears where errors were raised, each place once.
    """

    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    together: int = 256
    limits: supervise.Budget = field(default_factory=supervise.Budget)
    archives: archive.Limits = field(default_factory=archive.Limits.given)
    retry: bool = False
    rehash: bool = False
    redaction: Tokens | None = None
    isolation: Isolation = IN_PROCESS
    asked: str = ""
    changes: tuple[str, ...] = ()
    trace: Callable[[str], None] = lambda _: None

    @property
    def engine(self) -> str:
        """Return what decides the result of a case: the code, the limits of archives and plugins, the key of the tokens, the settings."""
        key = self.redaction.key if self.redaction else b""
        limits = blake2b(repr((self.archives, self.isolation, self.asked)).encode(), key=key, digest_size=4).hexdigest()
        return f"{fingerprint.digest()}-{limits}"

    def label(self, case: Case) -> str:
        """Return the name of a case in the results: its path, or a token for it."""
        return self.redaction.of("case", case.label) if self.redaction else case.label


@dataclass
class Progress:
    """The progress of a batch: cases and bytes, in all and done; cases with a finding; `unchanged`: cases that need no look; `same`: those
    looked at whose content turned out to be what it was, so that they were not analyzed; `damaged`: files of the results that were missing,
    cut or changed, whose cases are analyzed again."""

    cases: int = 0
    bytes: int = 0
    done: int = 0
    bytes_done: int = 0
    found: int = 0
    failed: int = 0
    unchanged: int = 0
    same: int = 0
    damaged: Sequence[str] = ()
    begun: float = field(default_factory=time.monotonic)


def run(
    cases: Sequence[Case],
    results: str,
    executor: Callable[[], Executor] | None = None,
    settings: Settings | None = None,
    tell: Callable[[Progress], None] = lambda _: None,
) -> Progress:
    """Analyze the cases that are new or changed and add what comes out to `results`.

    `executor` creates the executor, again when its workers broke; without it local processes do the work. Errors: Refused where a
    worker cannot take part, ResultsError where results cannot be written; what was done until then is kept.
    """
    settings = settings or Settings()
    writer = Writer(results, settings.engine, _told(settings), {"tracekit": __version__, "polars": pl.__version__})
    writer.plan([settings.label(c) for c in cases])
    todo, before = _todo(cases, writer.known(), settings)
    progress = Progress(len(todo), sum(j.size for j in todo), unchanged=len(cases) - len(todo))
    progress.damaged = [d.text for d in writer.dropped]
    tell(progress)
    traced: set[str] = set()
    try:
        with closing(_replies(todo, executor or (lambda: Processes(settings.jobs)), settings)) as replies:
            for reply in replies:
                if reply is not None:
                    if settings.redaction:
                        settings.redaction.values.update(reply.tokens)
                    _take(writer, reply, before, settings.engine)
                    _count(progress, reply)
                    for text in [t for t in dict.fromkeys(reply.traces) if t not in traced]:
                        traced.add(text)
                        settings.trace(text)
                if writer.waiting >= _FLUSH_CASES or time.monotonic() - writer.flushed > _FLUSH_S:
                    writer.flush()
                tell(progress)
        writer.finish()
    except (TracekitError, KeyboardInterrupt) as error:
        with suppress(ResultsError):
            writer.finish(str(error) or "the batch was interrupted")
        raise
    return progress


def rests(cases: Sequence[Case], results: str, settings: Settings) -> bool:
    """Return whether a batch over these cases would find nothing to do, and leave the results as they are. Errors: ResultsError."""
    kept = Results(results)
    same = kept.manifest["complete"] and kept.manifest["engine"] == settings.engine and kept.manifest["settings"] == _told(settings)
    return same and not _todo(cases, kept.table("cases").collect(), settings)[0]


class Processes(ThreadPoolExecutor):
    """An executor for one machine: each of its threads supervises one process (see `supervise`)."""

    def __init__(self, jobs: int) -> None:
        self._kept: list[supervise.Process] = []
        super().__init__(jobs, "case", supervise.adopt, (self._kept,))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes too, whatever they are doing."""
        super().shutdown(wait=False, cancel_futures=cancel_futures)
        for process in self._kept:
            process.close()


def _told(settings: Settings) -> dict[str, object]:
    return {
        "seconds": settings.limits.seconds,
        "memory": settings.limits.memory,
        "asked": settings.asked,
        "changes": list(settings.changes),
        **{f"max_{k}": v for k, v in asdict(settings.archives).items()},
    }


def _todo(cases: Sequence[Case], known: pl.DataFrame, settings: Settings) -> tuple[list[Job], dict[str, dict[str, object]]]:
    """Return (the cases to look at, largest first; the rows of those that were analyzed before by the same engine)."""
    now = time.time_ns()
    found = pl.DataFrame(
        [(settings.label(c), i, c.size, c.mark, now - c.changed > _SETTLED) for i, c in enumerate(cases)],
        schema={"case": pl.String, "place": pl.Int64, "size": pl.Int64, "now": pl.String, "settled": pl.Boolean},
        orient="row",
    )
    tried = pl.col("failure").is_in(_PASSING) | (pl.col("status") == "failed") & settings.retry
    valid = known.filter((pl.col("engine") == settings.engine) & ~tried)
    joined = found.join(valid, on="case", how="left", maintain_order="left")
    same = (pl.col("mark") == pl.col("now")) & pl.col("settled") & (not settings.rehash)
    todo = joined.filter(~same.fill_null(False)).sort("size", descending=True, maintain_order=True)
    key = settings.redaction.key if settings.redaction else None
    jobs = [
        Job(cases[place].path, size, mark if settled else "", digest or "", settings.archives, key, settings.asked)
        for place, size, mark, settled, digest in todo.select("place", "size", "now", "settled", "digest").iter_rows()
    ]
    before = todo.filter(pl.col("digest").is_not_null()).select(known.columns)
    return jobs, {str(row["case"]): row for row in before.iter_rows(named=True)}


def _tasks(jobs: Sequence[Job], settings: Settings) -> Iterator[Task]:
    """Yield tasks: a large case is a task of its own, small cases are grouped. There are at least a few tasks per worker, and the last
    ones are smaller, so that no worker is the last one for long."""
    least = max(1, min(_LEAST, settings.together, len(jobs) // (_TASKS * settings.jobs)))
    held: list[Job] = []
    size = 0
    together = _together(len(jobs), least, settings)
    for taken, job in enumerate(jobs):
        if held and (len(held) >= together or size + job.size > _TASK_BYTES):
            yield _task(held, settings)
            held, size, together = [], 0, _together(len(jobs) - taken, least, settings)
        held.append(job)
        size += job.size
    if held:
        yield _task(held, settings)


def _together(left: int, least: int, settings: Settings) -> int:
    """Return how many of the cases that are left are the next task."""
    return max(least, min(settings.together, left // (_TASKS * settings.jobs)))


def _task(jobs: Sequence[Job], settings: Settings) -> Task:
    return Task(tuple(jobs), fingerprint.digest(), settings.limits, os.getcwd(), settings.isolation)


def _replies(jobs: Sequence[Job], make: Callable[[], Executor], settings: Settings) -> Generator[Reply | None, None, None]:
    """Yield the result of each case, and None now and then while there is none. Tasks lost with a worker are given out again."""
    waiting = deque(_tasks(jobs, settings))
    losses = _Losses()
    while waiting:
        executor = make()
        flying: dict[Future[list[bytes]], Task] = {}
        try:
            while waiting or flying:
                while waiting and len(flying) < 2 * settings.jobs:
                    future = executor.submit(supervise.perform, waiting[0])
                    flying[future] = waiting.popleft()
                done, _ = wait(flying, _TICK_S, FIRST_COMPLETED)
                for future in done:
                    task = flying.pop(future)
                    if losses.count(_error(future)):
                        waiting.append(task)
                    else:
                        yield from map(_seen, map(pickle.loads, future.result()))
                if not done:
                    yield None
        except BrokenExecutor as error:
            losses.count(error)
            waiting.extend(flying.values())
        finally:
            for future in flying:  # a cluster's executor does not take `cancel_futures`
                future.cancel()
            executor.shutdown(wait=False)


class _Losses:
    """A count of consecutive tasks that were lost with their workers."""

    def __init__(self) -> None:
        self.in_a_row = 0

    def count(self, error: BaseException | None) -> bool:
        """Return whether the task was lost. Errors: its own, and TracekitError once too many were lost."""
        self.in_a_row = self.in_a_row + 1 if error else 0
        if isinstance(error, TracekitError):
            raise error
        if self.in_a_row > _LOSSES:
            raise TracekitError(f"the workers are lost again and again: {type(error).__name__}: {error}")
        return error is not None


def _error(future: "Future[list[bytes]]") -> BaseException | None:
    try:
        return future.exception()
    except CancelledError as error:
        return error


def _seen(reply: Reply) -> Reply:
    """Return a case that its worker does not see: it is gone, or the worker has no such path and cannot take part."""
    if reply.kind == "unseen" and os.path.exists(reply.case):
        raise Refused(f"{reply.reason}: {reply.case}; the logs must be there under the same path")
    return replace(reply, reason="it is gone") if reply.kind == "unseen" else reply


def _take(writer: Writer, reply: Reply, before: dict[str, dict[str, object]], engine: str) -> None:
    if reply.status == "same":
        writer.same(before[reply.case], reply.mark)
    else:
        writer.add(reply, engine)


def _count(progress: Progress, reply: Reply) -> None:
    progress.done += 1
    progress.bytes_done += reply.bytes
    progress.failed += reply.status == "failed"
    progress.same += reply.status == "same"
    progress.found += any(_alarms(reply))


def _alarms(reply: Reply) -> Iterator[bool]:
    """Yield whether each finding of a case is a fault: graded, of medium severity or higher, and explained by no other."""
    columns = [c for c in TABLES["findings"] if c not in ("result", "case")]
    at = {c: columns.index(c) for c in ("grade", "severity", "explained_by")}
    for row in reply.tables.get("findings", ()):
        yield row[at["grade"]] in ("proven", "probable") and row[at["severity"]] not in ("low", "info") and row[at["explained_by"]] is None
