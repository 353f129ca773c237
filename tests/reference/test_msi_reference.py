"""The machines against a brute-force reference of sets and integers, written from the rules alone, over random operations."""

import random
from dataclasses import dataclass, field

import pytest
from tracekit_msi.msi_domain import MsiDomain
from tracekit_msi.pci_function import PciFunction
from tracekit_vfio.vfio_device import VfioDevice

SEQUENCES = 100_000
LENGTH = 10
TABLES = (1, 2, 3, 5, 8)
Step = tuple[str, int, int]
# What a client asks of the line: data, count, action.
LINE = {
    "line on": ("eventfd", 1, "trigger"),
    "line off": ("none", 0, "trigger"),
    "mask": ("none", 1, "mask"),
    "unmask": ("none", 1, "unmask"),
}


@dataclass
class Reference:
    """One function under VFIO: everything is a number or a set of numbers."""

    own_domain: bool
    grows: bool
    table: int
    size: int | None = None
    have: set[int] = field(default_factory=set)
    wired: set[int] = field(default_factory=set)
    on: bool = False
    line: bool = False

    def bound(self) -> int:
        return self.size if self.own_domain and self.size is not None else 1 << 16

    def clear(self) -> None:
        self.on, self.have, self.wired = False, set(), set()

    def step(self, what: str, a: int, b: int) -> int:
        if what == "resize":
            self.table = a
        elif what == "rebind":
            self.clear()
            self.size, self.line = None, False
        elif what == "close":
            self.clear()
            self.line = False
        elif what == "line on":
            self.line = self.line or not self.on
            return 0 if self.line else -22
        elif what in ("line off", "mask", "unmask"):
            was, self.line = self.line, self.line and what != "line off"
            return 0 if was else -22
        elif what == "disable":
            was = self.on
            self.clear()
            return 0 if was else -22
        elif what == "enable" and self.line:
            return -22
        elif what == "enable":
            return self.rewire(a, b) if self.on else self.start(a, b)
        return 0

    def start(self, first: int, count: int) -> int:
        top = first + count
        if top < 1:
            return -34
        if self.size is None:
            self.size = self.table
        got = top if top < self.table else self.table
        if got > self.bound():
            return -34
        if got != top:
            return got
        self.on, self.have, self.wired = True, set(range(top)), set(range(first, top))
        return 0

    def rewire(self, first: int, count: int) -> int:
        wanted = set(range(first, first + count))
        if not self.grows and any(v > max(self.have) for v in wanted):
            return -22
        for v in sorted(wanted):
            if v in self.have:
                continue
            if v >= self.bound():
                self.wired -= {w for w in wanted if w <= v}
                return -34
            self.have.add(v)
        self.wired |= wanted
        return 0


class Machines:
    """The shipped machines, composed as the kernel composes them."""

    def __init__(self, own_domain: bool, grows: bool, table: int) -> None:
        self.function = PciFunction(MsiDomain(own_domain, "none" if own_domain else "global"), msix_count=table, dynamic=grows)
        self.vfio = VfioDevice(dynamic=grows)

    def step(self, what: str, a: int, b: int) -> int:
        f, v = self.function, self.vfio
        if what == "resize":
            f.msix_count = a
        elif what == "rebind":
            v.close()
            f.unbind()
        elif what == "close":
            v.close()
            f.free()
        elif what in LINE:
            index, data, count, action = 0, *LINE[what]
            (ret,) = v.set_irqs(index, 0, count, data, alloc=lambda n: None, wiring=0, action=action) or ()  # type: ignore[arg-type]
            return ret
        else:
            data, start, count = ("eventfd", a, b) if what == "enable" else ("none", 0, 0)
            was = v.irq_type
            got = v.set_irqs(2, start, count, data, alloc=lambda n: f.enable_msix(1, n), alloc_at=f.alloc_at, wiring=0)  # type: ignore[arg-type]
            assert got is not None and len(got) == 1
            ret = next(iter(got))
            if what == "disable" or was != 2 and ret != 0:
                f.free()
            return ret
        return 0

    def state(self) -> tuple[bool, bool, set[int], set[int]]:
        return self.vfio.irq_type == 2, self.vfio.irq_type == 0, self.vfio.allocated, self.vfio.wired


def sequence(rng: random.Random) -> list[Step]:
    steps: list[Step] = []
    for _ in range(LENGTH):
        what = rng.choice(("enable", "enable", "enable", "disable", "resize", "rebind", "close", *LINE))
        if what == "enable":
            first = rng.choice((0, 0, 0, 1, 3))
            steps.append((what, first, rng.choice((0, 1, 2, 3, 5, 8)) if first == 0 else rng.choice((1, 2, 3))))
        else:
            steps.append((what, rng.choice(TABLES), 0))
    return steps


def disagreements(count: int, seed: int) -> list[tuple[list[Step], int]]:
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        own, grows, table = rng.random() < 0.8, rng.random() < 0.5, rng.choice(TABLES)
        steps = sequence(rng)
        want, got = Reference(own, grows, table), Machines(own, grows, table)
        for i, step in enumerate(steps):
            same = want.step(*step) == got.step(*step)
            if not same or (want.on, want.line, want.have, want.wired) != got.state():
                found.append((steps[: i + 1], i))
                break
    return found


def test_both_agree_on_a_few() -> None:
    assert disagreements(3_000, 1) == []


@pytest.mark.slow
def test_both_agree_on_100_000_sequences() -> None:
    assert disagreements(SEQUENCES, 2) == []
