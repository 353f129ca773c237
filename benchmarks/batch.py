"""Figures of batches: `python benchmarks/batch.py [--cases N] [--archive GB] [--report CASES]`.

Writes the part "Batches" of docs/performance.md. Small logs of 5 to 200 KB are cut from the samples and, where TRACEKIT_CAPTURES names
them, from recorded captures. Every figure is a whole process of the command line, start-up included.
"""

import argparse
import io
import math
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import polars as pl
from inputs import lines

from tracekit.batch.results import Results, Writer
from tracekit.batch.rows import TABLES

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "performance.md"
TITLE = "## Batches"
OF_INTEREST = re.compile("vfio-pci|xen:events|default/read/poll")  # 2 % of a generated log; of gigabytes of a real one next to nothing
COPIED = 50_000  # cases of a part that is written for the report over many
TRACEKIT = str(Path(sys.executable).parent / "tracekit")


def originals() -> list[list[bytes]]:
    """Return the lines of logs of at least 5 KB to cut from."""
    roots = [HERE.parent / "sample_traces", *(Path(p) for p in [os.environ.get("TRACEKIT_CAPTURES", "")] if p)]
    files = [f for root in roots for f in sorted(root.rglob("*")) if f.is_file() and f.suffix in (".txt", ".log")]
    texts = [f.read_bytes() for f in files]
    return [t.splitlines(keepends=True) for t in texts if len(t) >= 5_000 and b"\0" not in t]


def small_logs(folder: Path, count: int) -> int:
    """Write that many small logs, the same at every run; returns their bytes."""
    rnd, total = random.Random(3), 0
    sources = originals()
    sources += [[line.encode() for line, _ in zip(lines("dmesg"), range(4000), strict=False)]] * max(len(sources) // 4, 1)
    folder.mkdir(parents=True)
    for i in range(count):
        size = int(math.exp(rnd.uniform(math.log(5_000), math.log(200_000))))
        piece = _cut(rnd.choice(sources), size, rnd)
        (folder / f"case{i:05}.log").write_bytes(piece)
        total += len(piece)
    old = time.time() - 60
    for file in folder.iterdir():
        os.utime(file, (old, old))
    return total


def _cut(source: Sequence[bytes], size: int, rnd: random.Random) -> bytes:
    """About `size` bytes of whole lines from anywhere in a log."""
    begin = rnd.randrange(max(len(source) - 20, 1))
    out = bytearray()
    for line in source[begin:]:
        if len(out) >= size:
            break
        out += line
    return bytes(out)


def timed(*command: str) -> float:
    """Return the seconds of a process that must come to its end: 1 is a finding, 3 a doubtful all-clear."""
    begin = time.perf_counter()
    if (status := subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode) not in (0, 1, 3):
        raise SystemExit(f"{' '.join(command)} ended with {status}")
    return time.perf_counter() - begin


def batch(folder: Path, results: Path, *options: str, fresh: bool = True) -> float:
    """Return the seconds of a batch over a folder."""
    if fresh:
        shutil.rmtree(results, ignore_errors=True)
    return timed(TRACEKIT, "batch", str(folder), "-o", str(results), *options)


@contextmanager
def cluster(workers: int) -> Iterator[str]:
    """A Dask cluster on loopback with warm workers."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = subprocess.Popen([*dask, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"], **quiet)  # type: ignore[call-overload]
    time.sleep(4)
    address = f"tcp://127.0.0.1:{port}"
    worker = subprocess.Popen([*dask, "worker", address, "--nworkers", str(workers), "--nthreads", "1", "--no-dashboard"], **quiet)  # type: ignore[call-overload]
    time.sleep(6)
    try:
        yield f"dask://127.0.0.1:{port}"
    finally:
        for process in (worker, scheduler):
            process.terminate()
            process.wait()


def many(tmp: Path, count: int) -> list[str]:
    """Rates of many small logs, by workers, on a cluster, and once more unchanged."""
    size = small_logs(tmp / "logs", count)
    one = batch(tmp / "logs", tmp / "one", "-j", "1")
    twos, dasks = [], []
    for _ in range(2):
        twos.append(batch(tmp / "logs", tmp / "two", "-j", "2"))
        with cluster(2) as address:
            dasks.append(batch(tmp / "logs", tmp / "dask", "--executor", address))
    two, dask = min(twos), min(dasks)
    again = batch(tmp / "logs", tmp / "two", "-j", "2", fresh=False)
    reports = {
        subprocess.run([TRACEKIT, "report", "--fail-on", "never", str(tmp / r)], capture_output=True, check=True).stdout
        for r in ("one", "two", "dask")
    }
    assert len(reports) == 1
    rows = [
        f"{count:,} logs, {size / 1e6:,.0f} MB, cut from samples and captures; two workers and Dask in turns, the better of two runs each",
        f"(two workers {' and '.join(f'{s:.1f}' for s in twos)} s, Dask {' and '.join(f'{s:.1f}' for s in dasks)} s):",
        "",
        "| run | seconds | logs/s | |",
        "|---|---|---|---|",
    ]
    rows.append(f"| one worker | {one:.1f} | {count / one:.0f} | |")
    rows.append(f"| two workers | {two:.1f} | {count / two:.0f} | {one / two:.2f} times one |")
    rows.append(
        f"| Dask on loopback, two workers | {dask:.1f} | {count / dask:.0f} | {100 * (dask / two - 1):+.0f} % against the processes |"
    )
    rows.append(f"| once more, unchanged | {again:.2f} | {count / again:,.0f} | {100 * again / two:.1f} % of the first |")
    stored = sum(f.stat().st_size for f in (tmp / "two").rglob("*") if f.is_file())
    return [*rows, "", f"Results take {stored / count:,.0f} bytes a case."]


def report(tmp: Path, count: int) -> list[str]:
    """The report over that many cases: those of the batch, over and over under other names, since nobody waits for a million of them."""
    large = tmp / "large"
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:  # the peak of a process counts that of the one it comes from
        cases = pool.submit(_repeated, tmp / "two", large, count).result()
    begin = time.perf_counter()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([TRACEKIT, "report", "--fail-on", "never", str(large)], **quiet)  # type: ignore[call-overload]
    _, _, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    faults = Results(large).table("findings").filter(pl.col("grade").is_not_null()).select(pl.len()).collect().item()
    head = ["| report over | graded findings | seconds | s of CPU | peak MiB |", "|---|---|---|---|---|"]
    cpu = usage.ru_utime + usage.ru_stime
    return [*head, f"| {cases:,} cases | {faults:,} | {seconds:.2f} | {cpu:.2f} | {usage.ru_maxrss / 1024:.0f} |"]


def _repeated(original: Path, path: Path, count: int) -> int:
    """Write the cases of a dataset over and over; returns how many there are."""
    results = Results(original)
    frames = {name: results.table(name).collect() for name in TABLES}
    last, own = max(frames["cases"]["result"].to_list(), default=1), frames["cases"].height
    w = Writer(path, results.manifest["engine"], {}, results.manifest["versions"])
    copies = -(-count // own)
    for first in range(0, copies, step := max(COPIED // own, 1)):
        numbers = pl.DataFrame({"copy": range(first, min(first + step, copies))})
        w.add_part({name: _copies(frame, numbers, last) for name, frame in frames.items()})
    w.finish()
    return copies * own


def _copies(frame: pl.DataFrame, numbers: pl.DataFrame, last: int) -> pl.DataFrame:
    """The rows of a table once for each number, as those of other cases."""
    own = (pl.col("result") + pl.col("copy") * last, pl.col("case") + "." + pl.col("copy").cast(pl.String))
    return numbers.join(frame, how="cross").with_columns(*own).select(frame.columns)


def archive(tmp: Path, size: float) -> list[str]:
    """One large archive: time and peak memory of its analysis."""
    path = tmp / "large.tar.gz"
    _large(path, int(size))
    begin = time.perf_counter()
    process = subprocess.Popen([TRACEKIT, "analyze", str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    head = ["| archive | packed | seconds | MB/s | peak MiB |", "|---|---|---|---|---|"]
    packed = path.stat().st_size
    return [
        *head,
        f"| {size / 1e9:.1f} GB | {packed / 1e9:.2f} GB | {seconds:.0f} | {size / 1e6 / seconds:.0f} | {usage.ru_maxrss / 1024:.0f} |",
    ]


def _large(path: Path, size: int) -> None:
    """A sosreport of that many bytes: a long dmesg and journal, rotated messages, and files that are no logs."""
    ordinary = (line for line, _ in zip(lines("dmesg"), range(200_000), strict=False) if not OF_INTEREST.search(line))
    block = "".join(ordinary).encode()
    names = [
        "sos_commands/kernel/dmesg",
        "sos_commands/logs/journalctl_--no-pager",
        "var/log/messages-20261101",
        "var/log/messages",
        "etc/data",
    ]
    with tarfile.open(path, "w:gz", compresslevel=1) as t:
        for name in names:
            info = tarfile.TarInfo(f"sosreport-host1-2026-11-20-abc/{name}")
            info.size = size // len(names)
            t.addfile(info, _Repeated(block, info.size))


class _Repeated(io.RawIOBase):
    """A block over and over, up to a size, every copy a little different."""

    def __init__(self, block: bytes, size: int) -> None:
        self.block, self.left, self.at, self.rnd = block, size, 0, random.Random(1)

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        size = min(size, self.left, 1 << 20)
        if self.at + size > len(self.block):
            self.at = self.rnd.randrange(1000)
        piece = self.block[self.at : self.at + size]
        self.at += size
        self.left -= len(piece)
        return piece


def write_page(section: str) -> None:
    """Put the section in the place of the old one."""
    before = PAGE.read_text().split(TITLE)[0] if PAGE.exists() else "# Performance\n\n"
    PAGE.write_text(before.rstrip() + "\n\n" + section)


def main() -> None:
    """Measure everything and write the section."""
    options = argparse.ArgumentParser()
    options.add_argument("--cases", type=int, default=10_000)
    options.add_argument("--archive", type=float, default=6.0, metavar="GB", help="0: none")
    options.add_argument("--report", type=int, default=1_000_000, metavar="CASES", help="0: none")
    options.add_argument("--dry", action="store_true", help="print only")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        parts = [many(Path(name), given.cases)]
        parts += [report(Path(name), given.report)] if given.report else []
        parts += [archive(Path(name), given.archive * 1e9)] if given.archive else []
    command = f"python benchmarks/batch.py --cases {given.cases} --archive {given.archive:g}"
    told = f"{TITLE}\n\nMeasured with `{command}` on {os.cpu_count()} cores.\n"
    section = told + "".join("\n" + "\n".join(p) + "\n" for p in parts)
    print(re.sub(r"\n{3,}", "\n\n", section))
    if not given.dry:
        write_page(section)


if __name__ == "__main__":
    main()
