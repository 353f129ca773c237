"""The process that analyzes the cases of a batch, one after another; it loads everything once.

It gets its jobs over a socket whose number is its first argument, and dies with the process that started it, its second. The third says
which plugins run in a process of their own.
"""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from tracekit.batch import fingerprint, rows
from tracekit.batch.rows import Reply
from tracekit.errors import SourceError
from tracekit.guard import trace
from tracekit.plugins.isolation import Isolation
from tracekit.process import die_with
from tracekit.reading.archive import Limits
from tracekit.reading.source import shown
from tracekit.redaction.tokens import Tokens
from tracekit.speed import in_pool, search_rarely

_SMALL = 1 << 20  # bytes of a log that may be parsed together with others


@dataclass(frozen=True, slots=True)
class Job:
    """One case to analyze.

    `known`: the digest of its content when it was analyzed last, "" if it must be analyzed whatever it is now; `limits`: what its archives
    may cost; `key`: of the tokens that stand for names and addresses, null where nothing is redacted; `asked`: the user's settings.
    """

    path: str
    size: int
    mark: str
    known: str = ""
    limits: Limits = field(default_factory=Limits)
    key: bytes | None = field(default=None, repr=False)
    asked: str = ""

    @property
    def label(self) -> str:
        """Return the name of the case in the results."""
        return shown(self.path) if self.key is None else Tokens(self.key).of("case", shown(self.path))


@dataclass(frozen=True, slots=True)
class Ready:
    """Work done for several cases at once, by path: digests and opened cases. `share`: seconds per case."""

    digests: Mapping[str, str] = field(default_factory=dict)
    opened: Mapping[str, Any] = field(default_factory=dict)
    share: float = 0.0


def main() -> None:
    """Say which tracekit this is, then answer jobs."""
    die_with(int(sys.argv[2]))
    connection = Connection(int(sys.argv[1]))
    search_rarely()
    from tracekit.pipeline import Engine

    engine = Engine.load(isolation=Isolation(**json.loads(sys.argv[3])), simulators=True)
    connection.send(fingerprint.digest())
    in_pool(partial(_serve, connection, engine))


def _serve(connection: "Connection[Any, Any]", engine: Any) -> None:
    """Answer jobs until the parent closes the connection."""
    while True:
        try:
            jobs = connection.recv()
        except EOFError:
            return
        ready = together(jobs, engine)
        for job in jobs:
            connection.send(answer(job, engine, ready))


def together(jobs: Sequence[Job], engine: Any) -> Ready:
    """Open the small files among some cases, and parse their logs in one go. Where one of them fails none is ready: each is analyzed alone
    then, and tells its reason."""
    from tracekit.batch import cases
    from tracekit.pipeline import open_together

    small = [job for job in jobs if job.size <= _SMALL and not job.known and job.key is None and os.path.isfile(job.path)]
    if len(small) < 2:
        return Ready()
    start = time.perf_counter()
    try:
        digests = {job.path: cases.digest(job.path) for job in small}  # of what is parsed or, if it changes meanwhile, of what was before
        opened = open_together([job.path for job in small], engine, small[0].limits)
    except BaseException as error:  # a panic of polars is no Exception
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return Ready()
    return Ready(digests, opened, (time.perf_counter() - start) / len(small))


def answer(job: Job, engine: Any, ready: Ready) -> Reply:
    """Analyze one case; whatever it raises becomes a failed case."""
    start = time.perf_counter() - (ready.share if job.path in ready.digests else 0.0)
    tokens = None if job.key is None else Tokens(job.key)
    traces: tuple[str, ...] = ()
    try:
        status, facts, tables, digest, traces = _analyzed(job, engine, ready, tokens)
        kind = reason = ""
    except SourceError as error:
        status, kind, reason, facts, tables, digest = "failed", "unreadable", str(error), {}, {}, ""
    except OSError as error:
        status, kind, reason, facts, tables, digest = "failed", "io", f"{error.strerror or error}", {}, {}, ""
    except MemoryError:
        status, kind, reason, facts, tables, digest = "failed", "memory", "it needs more memory than there is", {}, {}, ""
    except BaseException as error:  # a panic of polars is no Exception
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        status, kind, facts, tables, digest = "failed", "error", {}, {}, ""
        reason, traces = f"internal error: {type(error).__name__}: {' '.join(str(error).split())}", (trace(error),)
    if tokens is not None:
        reason = reason.replace(shown(job.path), tokens.of("case", shown(job.path)))
    told = tokens.values if tokens else {}
    return Reply(job.label, status, kind, reason, digest, job.mark, job.size, time.perf_counter() - start, facts, tables, told, traces)


def _analyzed(
    job: Job, engine: Any, ready: Ready, tokens: Tokens | None
) -> tuple[str, dict[str, Any], dict[str, list[tuple[Any, ...]]], str, tuple[str, ...]]:
    from tracekit.batch import cases
    from tracekit.config.control import Control
    from tracekit.pipeline import Options, analyze, analyze_opened

    digest = ready.digests.get(job.path) or cases.digest(job.path)
    if digest == job.known:
        return "same", {}, {}, digest, ()
    telling = engine.vocabulary.telling
    simulator = next((s() for s in engine.registry.simulators), None)
    kept = (*rows.needed(telling), *(simulator.reads if simulator else ()))
    options = Options(keep_tables=kept, limits=job.limits, redaction=tokens, case=job.label if tokens else "")
    engine = replace(engine, control=Control.of_asked(job.asked))
    opened = ready.opened.get(job.path)
    run = analyze([job.path], options, engine) if opened is None else analyze_opened(opened, options, engine)
    mtime = os.stat(job.path).st_mtime if os.path.exists(job.path) else 0.0
    return (
        "done",
        *rows.of_run(run, mtime, telling, simulator.like if simulator else None),
        digest,
        tuple(t for p in run.plugins for t in p.traces),
    )


if __name__ == "__main__":
    main()
