"""Speed and memory, as ratios against other tools in the same run: `python benchmarks/speed.py [--quick]`. Writes docs/performance.md.

Every figure is a whole process, start-up included. `rg` (ripgrep) must be installed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from inputs import write

HERE = Path(__file__).resolve().parent
# What is of interest in the generated logs; beside it, all the literals by which tracekit itself finds lines.
LITERALS = r"vfio-pci |xen:events: |default/read/poll queues|irq_handler_entry: |INTR-REMAP|No irq handler|nobody cared"


def measure(command: Sequence[str], repeats: int = 3) -> tuple[float, float]:
    """(seconds, peak MB) of a process: the best of some runs."""
    best = (float("inf"), 0.0)
    for _ in range(repeats):
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, _, usage = os.wait4(process.pid, 0)
        best = min(best, (time.perf_counter() - begin, usage.ru_maxrss / 1024))
    return best


def generated(folder: Path, kind: str, size: float) -> Path:
    """A log of that kind and size."""
    path = folder / f"{kind}-{int(size)}.log"
    with path.open("w") as out:
        write(kind, int(size), out)
    return path


def tracekit(*args: str) -> list[str]:
    """The command line of this environment's tracekit."""
    return [str(Path(sys.executable).parent / "tracekit"), *args]


def vocabulary(folder: Path) -> tuple[Path, int]:
    """A file of the literals of the whole vocabulary, one a line, and how many they are."""
    from tracekit.pipeline import Engine

    rules = Engine.load().vocabulary.rules.values()
    texts = sorted({text for r in rules if r.marks.sought_in != "small-sources" for text in r.texts})
    (folder / "literals").write_text("".join(f"{text}\n" for text in texts))
    return folder / "literals", len(texts)


def dmesg_rows(folder: Path, sizes: Sequence[float]) -> list[str]:
    """Ordinary dmesg of growing size against `rg -c`: with the literals that tracekit looks for, and with those of this input only."""
    literals, count = vocabulary(folder)
    head = f"| dmesg | tracekit | `rg -c`, the same {count} literals | ratio | `rg -c`, 7 literals | ratio | MB/s | peak MB |"
    rows = [head, "|---|---|---|---|---|---|---|---|"]
    for size in sizes:
        log = generated(folder, "dmesg", size)
        same, _ = measure(["rg", "-c", "-F", "-f", str(literals), str(log)])
        few, _ = measure(["rg", "-c", LITERALS, str(log)])
        seconds, peak = measure(tracekit("analyze", str(log)))
        ratios = f"{same:.2f} s | {seconds / same:.1f} | {few:.2f} s | {seconds / few:.1f}"
        rows.append(f"| {size / 2**20:,.0f} MiB | {seconds:.2f} s | {ratios} | {size / 1e6 / seconds:.0f} | {peak:.0f} |")
        log.unlink()
    return rows


def ftrace_rows(folder: Path, size: float) -> list[str]:
    """Dense ftrace: parsing, replay and diagnoses."""
    log = generated(folder, "ftrace", size)
    base, _ = measure(["rg", "-c", LITERALS, str(log)])
    seconds, peak = measure(tracekit("analyze", str(log)))
    head = ["| dense ftrace | tracekit | rg -c | MB/s | peak MB |", "|---|---|---|---|---|"]
    return [*head, f"| {size / 1e6:,.0f} MB | {seconds:.2f} s | {base:.2f} s | {size / 1e6 / seconds:.0f} | {peak:.0f} |"]


def trace_rows(folder: Path, size: float) -> list[str]:
    """Traces of calls, which become operations one by one: kprobes, and a function graph."""
    rows = ["| trace | lines | tracekit | rg -c | ratio | peak MB |", "|---|---|---|---|---|---|"]
    for kind in ("calls", "graph"):
        log = generated(folder, kind, size)
        with log.open("rb") as text:
            count = sum(1 for _ in text)
        base, _ = measure(["rg", "-c", r"vfio_pci|msi_insert_desc|irq_handler_entry: ", str(log)])
        seconds, peak = measure(tracekit("analyze", str(log)), 1)
        rows.append(f"| {kind}, {size / 1e6:,.0f} MB | {count:,} | {seconds:.2f} s | {base:.2f} s | {seconds / base:.0f} | {peak:.0f} |")
        log.unlink()
    return rows


def engine_rows() -> list[str]:
    """The lowered engine against lark's Earley parser on the same lines, one core each."""
    import polars as pl

    from tracekit.grammar.lowering import lower_file
    from tracekit.grammar.reference import reference
    from tracekit.grammar.rules import built_in_folder

    rules = {r.name: (p, r) for p in built_in_folder().glob("events/*.lark") for r in lower_file(p)}
    path, rule = rules["vector_alloc"]
    text = [f"vector_alloc: irq={i} vector={i % 200} reserved=1 ret=0" for i in range(300_000)]
    parser = reference(path, rule.name)
    begin = time.perf_counter()
    for line in text[:600]:
        parser.parse(line)
    earley = 600 / (time.perf_counter() - begin)
    series = pl.Series(text)
    begin = time.perf_counter()
    series.str.extract_groups(rule.regex)
    lowered = len(text) / (time.perf_counter() - begin)
    head = ["| engine | lines/s |", "|---|---|"]
    return [*head, f"| lark, Earley | {earley:,.0f} |", f"| lowered | {lowered:,.0f} |", f"| ratio | {lowered / earley:,.0f} |"]


def startup_rows() -> list[str]:
    """Start-up of the command line against importing typer."""
    base, _ = measure([sys.executable, "-c", "import typer"], 7)
    rows = ["| start | seconds | times `import typer` |", "|---|---|---|"]
    for option in ("--version", "--help"):
        seconds, _ = measure(tracekit(option), 7)
        rows.append(f"| `tracekit {option}` | {seconds:.3f} | {seconds / base:.1f} |")
    return rows


def main() -> None:
    """Measure everything and write the page."""
    options = argparse.ArgumentParser()
    options.add_argument("--quick", action="store_true", help="small inputs; for trying the script")
    quick = options.parse_args().quick
    scale = 0.02 if quick else 1.0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as tmp:
        folder = Path(tmp)
        parts = [
            dmesg_rows(folder, [s * scale for s in (10 * 2**20, 100 * 2**20, 2**30)]),
            ftrace_rows(folder, 218e6 * scale),
            trace_rows(folder, 50e6 * scale),
            engine_rows(),
            startup_rows(),
        ]
    measured = f"Measured with `python benchmarks/speed.py` on {os.cpu_count()} cores; whole processes, start-up included, best of three."
    engine = "hyperscan (`tracekit[fast]`)" if find_spec("hyperscan") else "one expression, hyperscan is not installed"
    measured += f" What finds the lines of large logs: {engine}."
    title = f"# Performance\n\n{measured}\n"
    page = title + "".join("\n" + "\n".join(p) + "\n" for p in parts)
    print(page)
    if not quick:
        place = HERE.parent / "docs" / "performance.md"
        rest = (place.read_text() if place.exists() else "").partition("\n## Batches")  # what benchmarks/batch.py measured stays
        place.write_text(page + rest[1] + rest[2])


if __name__ == "__main__":
    main()
