"""Disturb a batch again and again and hold its results against those of an undisturbed one.

    python benchmarks/faults.py                        # 20 rounds
    python benchmarks/faults.py --rounds 200
    python benchmarks/faults.py --only scheduler --rounds 5

A round is a batch of small logs and one of these, at a random moment of a fixed seed; where it stops the batch, the same command goes on:

* `worker`: SIGKILL of the processes that analyze, several times;
* `parent`: SIGKILL of the batch itself, up to three times;
* `limit`: files may not grow beyond a few KB;
* `full`, `readonly`: the disk of the results is full, or becomes read-only (a tmpfs; left out where it cannot be mounted);
* `clock`: the time of day goes back by minutes again and again;
* `dask`, `scheduler`: SIGKILL of the workers of a Dask cluster, or of its scheduler and them (left out without `distributed`).

Held against the undisturbed batch: every case is there once, none failed, and the report has the same bytes. A batch that stops must say
why in one line. Exit status 1 where one of it does not hold.
"""

import argparse
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tracekit_reports.json import JsonReport

from tracekit.batch.fleet import fleet
from tracekit.batch.results import Results

CASES = 60
PATIENCE_S = 120
TRACEKIT = [sys.executable, "-P", "-m", "tracekit"]
DASK = [sys.executable, "-P", "-m", "dask"]
# Python 3.11 keeps what it could write of a module's bytecode: the next import of it fails.
NO_BYTECODE = {"PYTHONDONTWRITEBYTECODE": "1"}
BACK = """
import time
_now, _begun = time.time, time.monotonic()


def back():
    return _now() - 600 * ((time.monotonic() - _begun) // 0.2)


time.time, time.time_ns = back, lambda: int(back() * 1e9)
"""


class Wrong(Exception):
    """What does not hold."""


@dataclass
class Round:
    """One batch that is disturbed."""

    chance: random.Random
    logs: Path
    place: Path
    before: list[int] = field(default_factory=list)

    @property
    def results(self) -> Path:
        """Return where the results are."""
        return self.place / "results"

    def start(self, *more: str, **given: Any) -> "subprocess.Popen[str]":
        """Start the batch, or go on with it."""
        command = [*TRACEKIT, "batch", str(self.logs), "-o", str(self.results), *(more or ("-j", "2"))]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **given)

    def wait(self, longest: float = 1.5) -> None:
        """Let some time of the batch go by."""
        time.sleep(self.chance.uniform(0.2, longest))

    def ended(self, process: "subprocess.Popen[str]") -> bool:
        """Return whether the batch came to its end; one that stops says why in one line, and loses nothing."""
        _, told = process.communicate(timeout=PATIENCE_S)
        if process.returncode == 1:
            return True
        lines = [line for line in told.splitlines() if line.startswith("tracekit: ")]
        if process.returncode not in (2, -signal.SIGKILL) or "Traceback" in told or (process.returncode == 2 and len(lines) != 1):
            raise Wrong(f"status {process.returncode}: {told.strip()[-3000:]}")
        if (self.results / "manifest.json").exists():
            done = Results(self.results).table("cases").collect().height
            if self.before and done < self.before[-1]:
                raise Wrong(f"{done} cases are done, {self.before[-1]} were")
            self.before.append(done)
        return False

    def killed(self, process: "subprocess.Popen[str]") -> None:
        """Kill a batch, and wait until its workers are gone too."""
        workers = below(process.pid)
        process.kill()
        process.wait()
        end = time.monotonic() + 30
        while any(map(alive, workers)):
            if time.monotonic() > end:
                raise Wrong("workers outlive the batch")
            time.sleep(0.05)


def worker(given: Round) -> bool:
    """Kill the processes that analyze."""
    process = given.start()
    for _ in range(given.chance.randrange(1, 4)):
        given.wait()
        kill(below(process.pid))
    return given.ended(process)


def parent(given: Round) -> bool:
    """Kill the batch."""
    for _ in range(given.chance.randrange(1, 4)):
        process = given.start()
        given.wait(2.5)
        if process.poll() is None:
            given.killed(process)
        given.ended(process)
    return False


def limit(given: Round) -> bool:
    """Let no file grow beyond some KB."""
    size = given.chance.choice((1, 4, 8, 16)) << 10
    small = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))  # noqa: E731
    return given.ended(given.start(preexec_fn=small, env=os.environ | NO_BYTECODE))


def full(given: Round) -> bool:
    """Write to a disk that is too small, and go on when it is larger."""
    with mounted(given.results, f"{given.chance.choice((16, 32, 64))}k"):
        ended = given.ended(given.start())
        remounted(given.results, "size=64m")
        return ended or given.ended(given.start()) or checked_inside(given)


def readonly(given: Round) -> bool:
    """Let the disk of the results become read-only."""
    with mounted(given.results, "64m"):
        process = given.start()
        given.wait(2.5)
        with suppress(subprocess.CalledProcessError):  # a file is open for writing just now
            remounted(given.results, "ro")
        given.ended(process)
        remounted(given.results, "rw")
        return given.ended(given.start()) or checked_inside(given)


def checked_inside(given: Round) -> bool:
    """Say that a batch did not end where it should have."""
    raise Wrong(f"the batch in {given.results} does not go on")


def clock(given: Round) -> bool:
    """Let the time of day go back again and again."""
    (given.place / "sitecustomize.py").write_text(BACK)
    environment = os.environ | {"PYTHONPATH": str(given.place)}
    process = given.start(env=environment)
    if given.chance.random() < 0.5:
        given.wait(2.5)
        given.killed(process)
    return given.ended(process)


def dask(given: Round) -> bool:
    """Kill the workers of a cluster: their nannies start them again."""
    with cluster(given.place) as (address, _, workers):
        process = given.start("--executor", address)
        given.wait(3)
        kill(below(workers))
        return given.ended(process)


def scheduler(given: Round) -> bool:
    """Kill the scheduler of a cluster."""
    with cluster(given.place) as (address, boss, workers):
        process = given.start("--executor", address)
        given.wait(4)
        kill({boss, workers, *below(workers)})
        return given.ended(process)


KINDS: tuple[Callable[[Round], bool], ...] = (worker, parent, limit, full, readonly, clock, dask, scheduler)


@contextmanager
def mounted(place: Path, size: str) -> Iterator[None]:
    """Mount a small file system; what it holds stays when it goes."""
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True, capture_output=True)
    kept = place.with_name("kept")
    try:
        yield
        shutil.copytree(place, kept)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
    place.rmdir()
    kept.rename(place)


def remounted(place: Path, options: str) -> None:
    """Change how a file system is mounted."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True, capture_output=True)


def can_mount(folder: Path) -> bool:
    """Whether a file system can be mounted here."""
    with suppress(OSError, subprocess.CalledProcessError), mounted(folder / "mounted", "64k"):
        return True
    return False


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, int, int]]:
    """Run a Dask cluster on loopback: its address, and the processes of its scheduler and of its workers."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    boss = subprocess.Popen([*DASK, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"], **quiet)
    options = ["--nworkers", "2", "--nthreads", "1", "--no-dashboard"]
    workers = subprocess.Popen([*DASK, "worker", f"tcp://127.0.0.1:{port}", *options], **quiet)
    try:
        until_up(port, workers)
        yield f"dask://127.0.0.1:{port}", boss.pid, workers.pid
    finally:
        for process in (workers, boss):
            kill(below(process.pid))
            process.kill()
            process.wait()


def until_up(port: int, workers: "subprocess.Popen[bytes]") -> None:
    """Wait until a cluster answers."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            if len(below(workers.pid)) >= 2:
                time.sleep(1)
                return
        time.sleep(0.2)
    raise Wrong("the cluster does not come up")


def below(pid: int) -> set[int]:
    """Return the processes that a process started, and theirs."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = {pid}
    while more := {p for p, by in parents.items() if by in found} - found:
        found |= more
    return found - {pid}


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def kill(pids: set[int]) -> None:
    """Kill processes."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def written(folder: Path) -> Path:
    """Write the logs of a batch: a third of them with a fault."""
    folder.mkdir()
    boot = "[    0.000000] Linux version 6.1.0 (x@y) (gcc 12) #1 SMP\n" + "".join(
        f"[{i:5d}.000000] usb 1-1: device {i}\n" for i in range(1, 60)
    )
    for n in range(CASES):
        fault = f"[  100.{n:06}] DMAR: [INTR-REMAP] Request device [0{n % 9 + 1}:00.0] fault index 0x3000 "
        fault += "[fault reason 0x22] Present field in the IRTE entry is clear\n"
        (folder / f"case{n:03}.log").write_text(boot + fault * (n % 3 == 0))
    return folder


def told(results: Path) -> tuple[str, list[str]]:
    """Return (the report of results, what is wrong with their cases)."""
    cases = Results(results).table("cases").select("case", "status").collect()
    wrong = [f"{case}: {status}" for case, status in cases.iter_rows() if status != "done"]
    if cases["case"].n_unique() != CASES or cases.height != CASES:
        wrong.append(f"{cases.height} rows of {cases['case'].n_unique()} cases, not {CASES}")
    return JsonReport().write_fleet(fleet(Results(results)), {}), wrong


def disturbed(kind: Callable[[Round], bool], chance: random.Random, logs: Path, place: Path, reference: str) -> str:
    """Return what does not hold of one round, "" if all does."""
    place.mkdir()
    try:
        given = Round(chance, logs, place)
        if not kind(given) and not given.ended(given.start()):
            return "the same command does not come to its end"
        report, wrong = told(given.results)
    except (Wrong, subprocess.TimeoutExpired) as error:
        return str(error)
    return "; ".join(wrong) or ("" if report == reference else "the report differs")


def main() -> int:
    """Run the rounds and print what does not hold."""
    names = [k.__name__ for k in KINDS]
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--rounds", type=int, default=20)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only", choices=names, action="append", help="a kind of fault; may be given again")
    given = options.parse_args()
    begin, counted, wrong = time.monotonic(), Counter[str](), 0
    with tempfile.TemporaryDirectory(prefix="tracekit-faults-") as made:
        folder = Path(made)
        left_out = set() if can_mount(folder) else {"full", "readonly"}
        left_out |= set() if find_spec("distributed") else {"dask", "scheduler"}
        kinds = [k for k in KINDS if k.__name__ in (given.only or names) and k.__name__ not in left_out]
        logs = written(folder / "logs")
        (folder / "reference").mkdir()
        first = Round(random.Random(), logs, folder / "reference")
        if not first.ended(first.start()):
            raise SystemExit("the undisturbed batch does not come to its end")
        reference, _ = told(first.results)
        for n in range(given.rounds if kinds else 0):
            kind = kinds[n % len(kinds)]
            place = folder / f"round{n}"
            mistake = disturbed(kind, random.Random(f"{given.seed}/{n}"), logs, place, reference)
            counted[kind.__name__] += 1
            wrong += bool(mistake)
            if mistake:
                print(f"round {n}, {kind.__name__}: {mistake}", flush=True)
            shutil.rmtree(place)
    print(f"{sum(counted.values())} rounds in {time.monotonic() - begin:.0f} s: " + ", ".join(f"{c} {k}" for k, c in counted.items()))
    if left_out:
        print(f"left out here: {', '.join(sorted(left_out))}")
    print(f"{wrong} of them differ from the undisturbed batch" if wrong else "all are what the undisturbed batch is")
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
