"""Analyze mutated logs and count what must not happen.

    python benchmarks/fuzz.py                          # 20,000 inputs by two processes
    python benchmarks/fuzz.py --count 1000000 --jobs 8
    python benchmarks/fuzz.py --begin 4711 --count 1   # one input again
    python benchmarks/fuzz.py --begin 4711 --show      # what is in it

Inputs are whole small samples and excerpts of longer ones and of recordings (`TRACEKIT_CAPTURES`), with one to four mutations each
(`mutations.py`); number and seed tell the input. Sixteen are parsed together as in a batch, each is answered alone; the reports of one in
eight are written in every format. Counted, each kind once with all its inputs:

* `exception`: an analysis or a report raises anything but a `SourceError`, or warns;
* `plugin`: a model, a diagnosis, a system or a lane failed;
* `evidence`: a finding has no lines;
* `lines`: the classes of the lines of a source do not add up;
* `slow`: twelve times the CPU of an ordinary log of that size, and more than forty times that of the smallest one;
* `memory`: a peak of 300 MB more than before;
* `died`: the process hung, or ended, and how: signal 9 where nothing else is told may be a machine without memory left.

The first input of each kind is made as small as it goes and kept below `--keep`; `tests/test_fuzz.py` analyzes what is in `tests/fuzz`.
Exit status 1 where anything is found, or memory grows by more than 150 MB.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

from mutations import ROOT, made

from tracekit.errors import SourceError
from tracekit.findings import Finding
from tracekit.pipeline import Engine, Opened, Options, analyze_opened, open_together
from tracekit.reading.source import discover
from tracekit.run import Run

GROUP = 16  # inputs that are parsed together
REPORTED = 8  # one in so many has its reports written
SLOW = 12  # ordinary logs of that size
LARGEST = 40  # smallest ordinary logs: what the largest table there is costs, 2,048 vectors unmasked one by one under each gate
PEAK_MB, GROWTH_MB = 300, 150
PATIENCE_S = 60  # for a group, before its process is ended
SMALLER_S, SMALLER_TRIES = 20, 300  # what making an input smaller may cost
Logs = dict[str, bytes]


@dataclass
class Worker:
    """Analyze inputs one after another and tell what is found in each."""

    folder: Path
    engine: Engine = field(default_factory=Engine.load)
    usual: tuple[float, float] = (1.0, 0.0)  # CPU of an ordinary log: for any, and for each of its bytes

    def __post_init__(self) -> None:
        """Learn what an ordinary log costs."""
        line = "[    1.{:06}] usb 1-1: new high-speed USB device number {}\n"
        small, large = ("".join(line.format(i, i) for i in range(count)).encode() for count in (20, 200))
        least = [min(self._cost({"a.log": log}) for _ in range(8)) for log in (small, large)]
        self.usual = least[0], max(0.0, least[1] - least[0]) / (len(large) - len(small))

    def _cost(self, logs: Logs) -> float:
        begin = time.process_time()
        analyze_opened(Opened(*discover([self.written("ordinary", logs)])), Options(), self.engine)
        return time.process_time() - begin

    def written(self, name: str, logs: Logs) -> str:
        """Write an input as a folder; return its path."""
        place = self.folder / name
        place.mkdir(exist_ok=True)
        for old in place.iterdir():
            old.unlink()
        for log, data in logs.items():
            (place / log).write_bytes(data)
        return str(place)

    def group(self, numbers: Sequence[int], inputs: Sequence[Logs]) -> Iterator[tuple[int, str]]:
        """Yield (number, kind) of what is found in inputs that are parsed together."""
        paths = [self.written(str(i), logs) for i, logs in enumerate(inputs)]
        begin, peak = time.process_time(), peak_mb()
        try:
            opened = open_together(paths, self.engine)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            opened = {}
        suspect = not opened or time.process_time() - begin > 3 * sum(map(self.limit, inputs)) / SLOW
        for number, path, logs in zip(numbers, paths, inputs, strict=True):
            begin = time.process_time()
            kinds = self.alone(path, number % REPORTED == 0, opened.get(path))
            taken = time.process_time() - begin
            if suspect:
                kinds |= self.alone(path, False)
            if (suspect or taken > self.limit(logs)) and number % REPORTED and self.is_slow(logs):
                kinds.add("slow")
            yield from ((number, kind) for kind in sorted(kinds))
        if peak_mb() > peak + PEAK_MB:
            yield from ((n, "memory") for n, logs in zip(numbers, inputs, strict=True) if self.is_large(logs))

    def kinds(self, logs: Logs, reported: bool) -> set[str]:
        """Return all kinds of mistakes that an input shows alone."""
        found = self.alone(self.written("alone", logs), reported)
        return found | {k for k, true in (("slow", self.is_slow), ("memory", self.is_large)) if true(logs)}

    def limit(self, logs: Logs) -> float:
        """CPU that an input may take."""
        usual = SLOW * (self.usual[0] * max(1, len(logs)) + self.usual[1] * sum(map(len, logs.values())))
        return max(usual, LARGEST * self.usual[0])

    def is_slow(self, logs: Logs) -> bool:
        """Whether an input takes too much CPU each time."""
        path = self.written("slow", logs)
        for _ in range(3):
            begin = time.process_time()
            self.alone(path, False)
            if time.process_time() - begin <= self.limit(logs):
                return False
        return True

    def is_large(self, logs: Logs) -> bool:
        """Whether an input takes too much memory."""
        path = self.written("large", logs)
        Path("/proc/self/clear_refs").write_text("5")
        before = peak_mb()
        self.alone(path, False)
        return peak_mb() > before + PEAK_MB

    def alone(self, path: str, reported: bool, opened: Opened | None = None) -> set[str]:
        """Return the kinds of mistakes in the analysis of one input, and of its reports."""
        try:
            case = opened or Opened(*discover([path]))
            run = analyze_opened(case, Options(pictures=reported), self.engine)
            told = set(wrong(run))
            if reported:
                for report in self.engine.registry.reports:
                    report().write(run, {"width": 100, "color": False, "full": True})
        except SourceError:
            return set()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            return {raised(error)}
        return told


def wrong(run: Run) -> Iterator[str]:
    """Yield what a run itself tells to be wrong."""
    for plugin in run.plugins:
        yield from (f"plugin {plugin.name}: {without_numbers(e)}" for e in plugin.errors)
    yield from ("lines" for s in run.sources if sum(s.classes.values()) != s.lines)
    yield from (f"evidence {f.code}" for f in run.findings if f.code != "OBS-001" and not placed(f))


def placed(finding: Finding) -> bool:
    """Whether a finding has lines, all of them in a log."""
    return bool(finding.evidence) and all(e.line >= 1 for e in finding.evidence)


def raised(error: BaseException) -> str:
    """Return the kind of an exception: its type and the functions of tracekit that it went through last."""
    steps = [f"{Path(s.filename).stem}.{s.name}" for s in traceback.extract_tb(error.__traceback__) if "tracekit" in s.filename]
    return f"exception {type(error).__name__} in {' > '.join(steps[-2:])}"


def without_numbers(text: str) -> str:
    """Return the text of an error without what differs from input to input."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|\d+", "N", text)[:200]


def peak_mb() -> float:
    """Return the peak of this process's memory."""
    return memory("VmHWM")


def memory(what: str) -> float:
    """Return a figure of this process's memory in MB."""
    found = re.search(rf"{what}:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def smaller(worker: Worker, logs: Logs, kind: str, reported: bool) -> Logs:
    """Return the input with logs, lines and pieces of lines left out that the mistake does not need."""
    end, tries = time.monotonic() + SMALLER_S, [SMALLER_TRIES]

    def still(changed: Logs) -> bool:
        tries[0] -= 1
        return bool(changed) and tries[0] > 0 and time.monotonic() < end and kind in worker.kinds(changed, reported)

    if not still(logs):
        return logs
    for name in list(logs):
        if still(fewer := {n: d for n, d in logs.items() if n != name}):
            logs = fewer
    for part in (rb"[^\n]*\n|[^\n]+", rb"\s+|\S+", rb"(?s)."):
        for name in list(logs):
            parts, size = re.findall(part, logs[name]), 1 << 12
            while size := size // 2:
                at = 0
                while at < len(parts) and tries[0] > 0:
                    rest = parts[:at] + parts[at + size :]
                    if rest and still({**logs, name: b"".join(rest)}):
                        parts = rest
                    else:
                        at += size
            logs = {**logs, name: b"".join(parts)}
    return logs


def work(begin: int, end: int, seed: int, folder: Path, keep: Path) -> None:
    """Analyze the inputs of a range; print each thing found, and at the end how memory grew, as lines of JSON."""
    import faulthandler

    warnings.simplefilter("error")
    worker, seen, first = Worker(folder), set[str](), 0.0
    for at in range(begin, end, GROUP):
        numbers = range(at, min(at + GROUP, end))
        print(json.dumps({"at": at}), flush=True)
        faulthandler.dump_traceback_later(PATIENCE_S, exit=True)
        inputs = [made(seed, n) for n in numbers]
        for number, kind in worker.group(numbers, inputs):
            place = ""
            if kind not in seen:
                seen.add(kind)
                faulthandler.dump_traceback_later(PATIENCE_S + SMALLER_S, exit=True)
                place = kept(keep, kind, smaller(worker, inputs[number - at], kind, number % REPORTED == 0))
            print(json.dumps({"number": number, "kind": kind, "place": place}), flush=True)
        faulthandler.cancel_dump_traceback_later()
        if not first and at - begin >= (end - begin) // 4:
            first = memory("VmRSS")
    print(json.dumps({"growth": memory("VmRSS") - first}), flush=True)


def kept(keep: Path, kind: str, logs: Logs) -> str:
    """Write a found input below a folder; return its place."""
    slug = re.sub(r"[^a-z0-9]+", "-", kind.lower())[:40].strip("-")
    place = keep / f"{slug}-{sha256(repr((kind, sorted(logs.items()))).encode()).hexdigest()[:6]}"
    place.mkdir(parents=True, exist_ok=True)
    for name, data in logs.items():
        (place / name).write_bytes(data)
    return str(place)


@dataclass
class Part:
    """One range of inputs, and the process that works on it; a process that ends early costs its group and is started again behind it."""

    begin: int
    end: int
    given: argparse.Namespace
    at: int = 0
    how: str = ""  # the process ended

    def results(self) -> Iterator[dict[str, Any]]:
        """Yield what is found."""
        begin = self.begin
        while begin < self.end:
            ended = yield from self._once(begin)
            if ended:
                return
            yield {"number": self.at, "kind": f"died {self.how}", "place": f"--begin {self.at} --count {GROUP}"}
            begin = self.at + GROUP

    def _once(self, begin: int) -> Generator[dict[str, Any], None, bool]:
        command = [sys.executable, __file__, "--work", str(begin), str(self.end), "--seed", str(self.given.seed), "--keep", self.given.keep]
        self.at, ended = begin, False
        environment = os.environ | {"POLARS_MAX_THREADS": "1"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout
            for line in process.stdout:
                told = json.loads(line)
                self.at = told.get("at", self.at)
                ended |= "growth" in told
                if "at" not in told:
                    yield told
        code = process.returncode
        self.how = f"by signal {-code}" if code < 0 else "or hung, as printed above" if code == 1 else f"with status {code}"
        return ended


def all_of(given: argparse.Namespace) -> int:
    """Run all parts side by side, print what is found, and return the exit status."""
    from concurrent.futures import ThreadPoolExecutor

    begin, jobs = time.monotonic(), max(1, min(given.jobs, given.count))
    edges = [given.begin + given.count * i // jobs for i in range(jobs + 1)]
    found, growth = Counter[str](), [0.0]

    def run(part: Part) -> None:
        for told in part.results():
            if "growth" in told:
                growth.append(told["growth"])
                continue
            found[told["kind"]] += 1
            if told["place"]:
                print(f"input {told['number']}: {told['kind']}\n    {told['place']}", flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        for done in [pool.submit(run, Part(a, b, given)) for a, b in pairwise(edges)]:
            done.result()
    print(f"{given.count} inputs of seed {given.seed} in {time.monotonic() - begin:.0f} s; memory grew by at most {max(growth):.0f} MB")
    for kind, count in found.most_common():
        print(f"{count:7} {kind}")
    print("nothing found" if not found else f"{len(found)} kinds found")
    return int(bool(found) or max(growth) > GROWTH_MB)


def main() -> int:
    """Read the command line."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--count", type=int, default=20_000, help="how many inputs")
    options.add_argument("--begin", type=int, default=0, help="the number of the first one")
    options.add_argument("--jobs", type=int, default=2, help="how many processes")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--keep", default=str(ROOT / "tests" / "fuzz"), help="where found inputs are kept")
    options.add_argument("--show", action="store_true", help="print the input of --begin")
    options.add_argument("--work", nargs=2, type=int, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.show:
        for name, data in made(given.seed, given.begin).items():
            print(f"--- {name}\n{data!r}")
        return 0
    if given.work:
        with tempfile.TemporaryDirectory(prefix="tracekit-fuzz-") as folder, suppress(KeyboardInterrupt):
            begin, end = given.work
            work(begin, end, given.seed, Path(folder), Path(given.keep))
        return 0
    return all_of(given)


if __name__ == "__main__":
    raise SystemExit(main())
