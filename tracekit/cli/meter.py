"""A progress line for the reading of one case, on a terminal; it is erased at the end."""

import os
import sys
import time
from collections.abc import Iterable

_PACKED = (".gz", ".xz", ".bz2", ".zst", ".tar", ".tgz", ".zip", ".dat")  # what is read of them is not their size


class ReadMeter:
    """A progress line on standard error. It appears only on a terminal, and only when reading takes long."""

    def __init__(self, total: int = 0, patience_s: float = 1.0) -> None:
        self.read, self.total = 0, total
        self.shown = False
        self.begin = time.monotonic()
        self.patience_s = patience_s

    def __call__(self, count: int) -> None:
        """Add `count` bytes that were read."""
        self.read += count
        took = time.monotonic() - self.begin
        if took >= self.patience_s:
            self.shown = True
            print(f"\r{told(self.read, self.total, took)}\x1b[K", end="", file=sys.stderr, flush=True)

    def done(self) -> None:
        """Take the line away."""
        if self.shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def told(read: int, total: int, took: float) -> str:
    """Return how much was read, how fast, and the time left. `total`: 0 where it is not known."""
    rate = read / max(took, 1e-3)
    if not total or read >= total or not rate:
        return f"read {read / 1e6:,.0f} MB, {rate / 1e6:,.0f} MB/s"
    left = round((total - read) / rate)
    return f"read {read / 1e6:,.0f} of {total / 1e6:,.0f} MB, {rate / 1e6:,.0f} MB/s, {left // 60}:{left % 60:02} left"


def size_of(paths: Iterable[str]) -> int:
    """Return the bytes that plain files have together; 0 where a path is no plain file."""
    known = [os.path.getsize(p) if os.path.isfile(p) and not p.lower().endswith(_PACKED) else 0 for p in paths]
    return sum(known) if all(known) else 0
