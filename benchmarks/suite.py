"""CPU time of the test suite, by file; and of the tests that another checkout has too.

    python benchmarks/suite.py                            # the dearest files and tests
    python benchmarks/suite.py --keep FILE                # keep the time of each test
    python benchmarks/suite.py --against FILE             # what the tests of both cost now and there
    python benchmarks/suite.py --root CHECKOUT --keep FILE
    python benchmarks/suite.py tests/plugins/msi          # a part of the tests

Tests run one after the other in one process; the time of processes that they start is part of theirs. A test is known by its name and
parameters, so that one that was moved to another file is still the same.
"""

import argparse
import json
import os
import sys
from collections import defaultdict
from collections.abc import Generator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MOST = 20  # files and tests that are printed


class Clock:
    """A plugin of pytest that notes the CPU time of each test, in s."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Run one test."""
        begin = spent()
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] = spent() - begin


def spent() -> float:
    """Return the CPU time of this process and of those that it waited for."""
    return sum(os.times()[:4])


def shared(own: Mapping[str, float], other: Mapping[str, float]) -> tuple[int, float, float]:
    """Return how many tests both have, and what they cost here and there."""
    here = defaultdict(list)
    for test, seconds in own.items():
        here[test.partition("::")[2]].append(seconds)
    pairs = [(here[name].pop(), there) for test, there in other.items() if here.get(name := test.partition("::")[2])]
    return len(pairs), sum(now for now, _ in pairs), sum(there for _, there in pairs)


def dearest(seconds: Mapping[str, float]) -> list[tuple[float, str]]:
    """Return the files and the tests that cost most."""
    files: dict[str, float] = defaultdict(float)
    for test, cost in seconds.items():
        files[test.partition("::")[0]] += cost
    return [(cost, name) for group in (files, seconds) for name, cost in sorted(group.items(), key=lambda g: -g[1])[:MOST]]


def main() -> int:
    """Run the tests and print what they cost; return pytest's status."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("paths", nargs="*", help="files and folders of tests; all where none is given")
    options.add_argument("--root", type=Path, default=ROOT, help="the checkout whose tests run; its own interpreter must run this")
    options.add_argument("--keep", type=Path, help="a file for the time of each test")
    options.add_argument("--against", type=Path, help="a file that --keep wrote")
    given = options.parse_args()
    keep, against = (path and path.absolute() for path in (given.keep, given.against))
    clock = Clock()
    os.chdir(given.root)
    status = pytest.main(["-q", "-p", "no:cacheprovider", *given.paths], plugins=[clock])
    for cost, name in dearest(clock.seconds):
        print(f"{cost:8.2f} s  {name}")
    print(f"{len(clock.seconds):,} tests, {sum(clock.seconds.values()):,.0f} s of CPU time")
    if keep:
        keep.write_text(json.dumps(clock.seconds), encoding="utf-8")
    if against:
        other = json.loads(against.read_text(encoding="utf-8"))
        tests, now, there = shared(clock.seconds, other)
        share = f" ({100 * now / there:.0f} %)" if there else ""
        print(f"{tests:,} of {len(other):,} tests there are here too: {now:,.0f} s here, {there:,.0f} s there{share}")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
