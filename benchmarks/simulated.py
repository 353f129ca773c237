"""Simulate random scenarios, write the lines that they would print, analyze these, and compare: what was simulated must be found.

    python benchmarks/simulated.py                     # 10,000 scenarios on all processors
    python benchmarks/simulated.py 1000000 --jobs 64
    python benchmarks/simulated.py 500 --seed 7 --first 2000
    python benchmarks/simulated.py 10000 --only xen

Half of them are hosts with guests of QEMU or kvmtool, a quarter guests of Xen, a quarter programs that send SET_IRQS without a guest.

Prints each scenario that differs, as TOML for `tracekit simulate`, then how many there were and what one costs. Exit status 1 where one
differs.
"""

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path

os.environ["POLARS_MAX_THREADS"] = "1"

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

BLOCK = 160
KINDS = ("hosts", "xen", "hosts", "programs")  # of one block after the other


def checked(block: tuple[range, str], seed: int) -> tuple[int, list[str]]:
    """Return how many scenarios of a kind were compared, and what differs."""
    import round_trip
    import round_trip_xen

    numbers, kind = block
    with tempfile.TemporaryDirectory() as folder:
        if kind == "xen":
            return len(numbers), round_trip_xen.disagreements(numbers, Path(folder), seed)
        return len(numbers), round_trip.disagreements(numbers, Path(folder), seed, programs=kind == "programs")


def main() -> int:
    """Compare as many as are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, nargs="?", default=10_000)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="number of the first scenario")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", choices=sorted(set(KINDS)), help="one kind of scenarios")
    asked = parser.parse_args()
    end, begun, done, wrong = asked.first + asked.count, time.monotonic(), 0, 0
    starts = range(asked.first, end, BLOCK)
    kinds = cycle([asked.only] if asked.only else KINDS)
    blocks = [(range(n, min(n + BLOCK, end)), kind) for n, kind in zip(starts, kinds, strict=False)]
    with ProcessPoolExecutor(asked.jobs, mp_context=get_context("spawn")) as pool:
        for count, told in pool.map(partial(checked, seed=asked.seed), blocks):
            done, wrong = done + count, wrong + len(told)
            for text in told:
                print(text, flush=True)
    took = time.monotonic() - begun
    print(f"{done} scenarios, {wrong} differ; {took:.0f} s, {took * asked.jobs / max(done, 1) * 1000:.0f} ms of a processor for one")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
