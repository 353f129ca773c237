"""Supervise the process that analyzes cases. A hang, a crash or excessive memory costs one case and one process, never the batch.

This side is light: it loads neither polars nor plugins. It runs in the threads of one machine's batch, or in the workers of a cluster.
"""

import json
import os
import pickle
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection

from tracekit.batch import fingerprint
from tracekit.batch.rows import Reply
from tracekit.batch.worker import Job
from tracekit.errors import TracekitError
from tracekit.plugins.isolation import IN_PROCESS, Isolation
from tracekit.process import memory
from tracekit.reading.source import is_url

_LOOK = 0.05  # s between two looks at the process
_START = 120.0  # s that a process may take to come up
# A signal from outside says nothing about the case, a process that did not come up even less; a crash is tried once more.
_TRIES = {"start": 20, "killed": 8, "crash": 2}
_STALE = 600 << 20  # a process that holds more than this between two cases is replaced


class Refused(TracekitError):
    """A worker refused a task: its version of tracekit differs, or it cannot see the paths."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits of one case: seconds, and bytes of memory."""

    seconds: float = 300.0
    memory: int = 2 << 30


@dataclass(frozen=True, slots=True)
class Task:
    """Cases for one worker, and the fingerprint that the worker must have."""

    jobs: tuple[Job, ...]
    fingerprint: str
    limits: Budget = field(default_factory=Budget)
    root: str = ""  # where relative paths begin
    isolation: Isolation = IN_PROCESS


def perform(task: Task) -> list[bytes]:
    """Analyze the cases of a task in this thread's process, which is started when there is none. Errors: Refused.

    Each answer is a pickled `Reply`, as the process sent it: a worker of a cluster hands it on unread.
    """
    if fingerprint.digest() != task.fingerprint:
        mine, wanted = fingerprint.digest()[:8], task.fingerprint[:8]
        raise Refused(f"{here()} has another tracekit, plugin or grammar than this batch ({mine}, not {wanted}): install the same there")
    if task.root and not os.path.isdir(task.root):
        raise Refused(f"{here()} does not see the folder {task.root}: the logs must be there under the same path")
    if not hasattr(_own, "process"):
        adopt([])
    _own.process.root, _own.process.isolation = task.root, task.isolation
    seen = [job for job in task.jobs if _sees(task.root, job.path)]
    return [*_own.process.answers(seen, task.limits), *(pickle.dumps(_unseen(job)) for job in task.jobs if job not in seen)]


def adopt(kept: "list[Process]") -> None:
    """Give this thread a process of its own, and note it in `kept`."""
    _own.process = Process()
    kept.append(_own.process)


def _sees(root: str, path: str) -> bool:
    return is_url(path) or os.path.exists(os.path.join(root, path))


def _unseen(job: Job) -> Reply:
    return Reply(job.label, "failed", "unseen", f"{here()} does not see it", mark=job.mark, bytes=job.size)


# One process a thread of the executor: it must outlive a task, and an executor has no other place for it.
_own = threading.local()


def here() -> str:
    """Return this worker's name in messages."""
    return f"worker {socket.gethostname()}:{os.getpid()}"


class Process:
    """A process that analyzes cases. It is started on demand, and again after it was lost."""

    def __init__(self) -> None:
        self.root = self._root = ""
        self.isolation = self._isolation = IN_PROCESS
        self._closed = False
        self._child: subprocess.Popen[bytes] | None = None

    def answers(self, jobs: Sequence[Job], limits: Budget) -> list[bytes]:
        """Analyze some cases, each within its limits. When the process is lost over several, those that it did not answer are asked for
        alone: their logs are parsed together, so any of them may be the reason."""
        replies = self._try(jobs, limits)[0] if len(jobs) > 1 else []
        return replies + [self._answer(job, limits) for job in jobs[len(replies) :]]

    def _answer(self, job: Job, limits: Budget) -> bytes:
        tries: Counter[str] = Counter()
        while True:
            start = time.monotonic()
            replies, kind, reason = self._try([job], limits)
            if replies:
                return replies[0]
            tries[kind] += 1
            if self._closed or tries[kind] >= _TRIES.get(kind, 1):
                told = f"{reason} ({tries[kind]} times)" if kind in _TRIES else reason
                return pickle.dumps(Reply(job.label, "failed", kind, told, "", job.mark, job.size, time.monotonic() - start))

    def close(self) -> None:
        """End the process, also from another thread; none is started again."""
        self._closed = True
        if self._child is not None:
            self._child.kill()

    def stop(self) -> None:
        """Stop the process."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._connection.close()
            self._said.close()
            self._child = None

    def _try(self, jobs: Sequence[Job], limits: Budget) -> tuple[list[bytes], str, str]:
        """Return (the answers to the first of the jobs, why there is none to the next: kind and reason, "" where all are answered)."""
        replies: list[bytes] = []
        kind = reason = ""
        begun = False
        try:
            child = self._started()
            begun = True
            self._connection.send(tuple(jobs))
            while not kind and len(replies) < len(jobs):
                kind, reason = self._wait(child, limits, time.monotonic())
                if not kind:
                    replies.append(self._connection.recv_bytes())
            if not kind and memory(child.pid) <= _STALE:
                return replies, "", ""
        except (EOFError, OSError):
            kind, reason = self._lost() if begun else ("start", f"its process does not come up: {self._lost()[1]}")
        self.stop()
        return replies, kind, reason

    def _wait(self, child: "subprocess.Popen[bytes]", limits: Budget, start: float) -> tuple[str, str]:
        """Return ("", "") once the process has answered or ended; else the limit that was passed."""
        while not self._connection.poll(_LOOK):
            if time.monotonic() - start > limits.seconds:
                return "time", f"it takes longer than {limits.seconds:g} s"
            if memory(child.pid) > limits.memory:
                return "memory", f"it takes more memory than {limits.memory >> 20} MiB"
        return "", ""

    def _started(self) -> "subprocess.Popen[bytes]":
        """Return the process, ready. Errors: EOFError where it does not come up, Refused where it is another tracekit."""
        if self._child is not None and self._child.poll() is None and (self._root, self._isolation) == (self.root, self.isolation):
            return self._child
        self.stop()
        if self._closed:
            raise EOFError
        ours, theirs = socket.socketpair()
        with theirs:
            self._said = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the process
            self._connection, self._root, self._isolation = Connection(ours.detach()), self.root, self.isolation
            isolation = json.dumps(asdict(self.isolation))
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-m", "tracekit.batch.worker", str(theirs.fileno()), str(os.getpid()), isolation],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                cwd=self.root or None,
                start_new_session=True,  # an interrupt from the keyboard is for the batch; it ends its workers itself
                env={**os.environ, "POLARS_MAX_THREADS": os.environ.get("POLARS_MAX_THREADS", "1")},
            )
        if not self._connection.poll(_START):
            raise EOFError
        if (other := self._connection.recv()) != fingerprint.digest():
            raise Refused(f"{here()} starts another tracekit ({other[:8]}) than its own: it was changed while it ran; start it again")
        return self._child

    def _lost(self) -> tuple[str, str]:
        """Return why the process is gone: (kind, reason)."""
        if self._child is None:
            return "crash", "its process could not be started"
        try:
            status = self._child.wait(5)
        except subprocess.TimeoutExpired:
            return "crash", "its process stopped answering"
        if status in (-9, -15):
            return "killed", f"its process was ended from outside (signal {-status})"
        self._said.seek(0)
        last = self._said.read()[-2000:].decode("utf-8", "replace").strip().splitlines()
        told = f": {last[-1].strip()[:200]}" if last else ""
        return "crash", f"its process crashed ({f'signal {-status}' if status < 0 else f'status {status}'}){told}"
