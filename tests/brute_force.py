"""One function under VFIO as sets and integers, written from the rules alone: what the machines and the simulations are held against."""

from dataclasses import dataclass, field


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
    msi: bool = False

    def bound(self) -> int:
        return self.size if self.own_domain and self.size is not None else 1 << 16

    def state(self) -> tuple[bool, bool, set[int], set[int]]:
        return self.on, self.line, self.have or ({0} if self.msi else set()), self.wired or ({0} if self.msi else set())

    def clear(self) -> None:
        self.on, self.have, self.wired = False, set(), set()

    def step(self, what: str, a: int, b: int) -> int:
        if what == "resize":
            self.table = a
        elif what == "rebind":
            self.clear()
            self.size, self.line, self.msi = None, False, False
        elif what == "close":
            self.clear()
            self.line = self.msi = False
        elif what == "msi on":
            if not self.msi and not self.on and not self.line:
                self.size, self.msi = None, True
            return 0 if self.msi else -22
        elif what == "msi off":
            was, self.msi = self.msi, False
            return 0 if was else -22
        elif what == "line on":
            self.line = self.line or not self.on and not self.msi
            return 0 if self.line else -22
        elif what in ("line off", "mask", "unmask"):
            was, self.line = self.line, self.line and what != "line off"
            return 0 if was else -22
        elif what == "disable":
            was = self.on
            self.clear()
            return 0 if was else -22
        elif what == "enable" and (self.line or self.msi):
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
