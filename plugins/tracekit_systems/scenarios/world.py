"""The host while a scenario runs: its clock, its pools, what happened so far."""

import re
from bisect import insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tracekit import Bar, Fault, Scenario, Step

US, MS = 1_000, 1_000_000
# 0000:3d:00.0
BDF = re.compile(r"([0-9a-f]{4}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])")
SOURCE = "simulation"


@dataclass(frozen=True, slots=True)
class Event:
    """A call, a return, a trace event, or a message of the kernel log, which is then in `function`. `ret`: what a return gives back.

    A `client` event is a line of QEMU: its trace event, or its message where `ret` is not 0. A `model` event is a line of QEMU as the
    device model of a Xen guest, which is then in `function`; `dom0` is one of the kernel log of its dom0.
    """

    at: int
    kind: str
    device: str
    function: str
    args: Mapping[str, int]
    ret: int = 0


@dataclass
class World:
    """What all devices share. `vectors` is the machine of the CPU vectors; `entries` are those of interrupt remapping, None without it."""

    scenario: Scenario
    machines: Mapping[str, Any]
    gates: Mapping[str, bool]
    vectors: Any
    entries: Any = None
    now: int = 0
    steps: list[Step] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    bars: dict[str, list[Bar]] = field(default_factory=dict)
    pools: dict[str, tuple[int, int | None]] = field(default_factory=dict)  # the most that was taken, of how many there were then
    due: list[tuple[int, Callable[[], None]]] = field(default_factory=list)  # what happens at once, whatever else goes on
    acts: list[tuple[int, Callable[[], None]]] = field(default_factory=list)  # what waits for the end of a call

    def step(self, subject: str, what: str, ends: str = "") -> Step:
        """Note one step."""
        self.steps.append(Step(len(self.steps) + 1, self.now, subject, what, ends))
        return self.steps[-1]

    def fault(self, code: str, subject: str, step: Step | None = None) -> None:
        """Note a fault at a step; at the last one where none is given."""
        if not any(f.code == code and f.subject == subject for f in self.faults):
            self.faults.append(Fault(code, subject, step or self.steps[-1]))

    def wait(self, ns: int) -> None:
        """Let time pass; interrupts that are due come on their way."""
        until = self.now + ns
        while self.due and self.due[0][0] <= until:
            at, signal = self.due.pop(0)
            self.now = max(self.now, at)
            signal()
        self.now = until

    def at(self, at: int, happens: Callable[[], None]) -> None:
        """Put something on the clock."""
        insort(self.due, (at, happens), key=lambda d: d[0])

    def idle(self, ns: int) -> None:
        """Let time pass outside of calls: the acts of guest and host that are due come too."""
        until = self.now + ns
        while self.acts and self.acts[0][0] <= until:
            at, act = self.acts.pop(0)
            self.wait(max(at - self.now, 0))
            act()
        self.wait(max(until - self.now, 0))

    def settle(self) -> None:
        """Let time pass until nothing is on the clock any more."""
        while left := [at for at, _ in (*self.due, *self.acts)]:
            self.idle(max(max(left) - self.now, 0) + MS)

    def call(self, device: str, function: str, **args: int) -> None:
        """Note a call of a kernel function."""
        self.now += US
        self.events.append(Event(self.now, "call", device, function, args))

    def back(self, device: str, function: str, ret: int) -> None:
        """Note its return."""
        self.now += US
        self.events.append(Event(self.now, "return", device, function, {}, ret))

    def irq(self, device: str, name: str, **args: int) -> None:
        """Note a trace event about an irq."""
        self.now += US
        self.events.append(Event(self.now, "event", device, name, args))

    def message(self, device: str, text: str) -> None:
        """Note a line of the kernel log."""
        self.now += US
        self.events.append(Event(self.now, "message", device, text, {}))

    def client(self, device: str, name: str, ret: int = 0, **args: int) -> None:
        """Note a line of the client, which takes no time of its own."""
        self.events.append(Event(self.now, "client", device, name, args, ret))

    def dom0(self, device: str, text: str) -> None:
        """Note a line of the kernel log of a Xen dom0."""
        self.now += US
        self.events.append(Event(self.now, "dom0", device, text, {}))

    def model(self, device: str, text: str) -> None:
        """Note a line of the device model of a Xen guest, which has no stamp."""
        self.events.append(Event(self.now, "model", device, text, {}))

    def begin(self, lane: str, text: str, tone: Any) -> None:
        """Begin a bar in a lane, which ends the one before it."""
        self.end(lane)
        self.bars.setdefault(lane, []).append(Bar(self.now, None, text, tone, SOURCE, len(self.steps)))

    def end(self, lane: str) -> None:
        """End the bar that is open in a lane."""
        bars = self.bars.get(lane)
        if bars and bars[-1].end is None:
            last = bars[-1]
            bars[-1] = Bar(last.begin, self.now, last.text, last.tone, SOURCE, last.line, len(self.steps))

    def peak(self, name: str, taken: int, size: int | None = None) -> None:
        """Keep the worst moment of a pool: that with the least left, or the most taken where there is no bound."""
        worst = self.pools.get(name)
        if worst is None or _left(taken, size) < _left(*worst):
            self.pools[name] = taken, size

    def most(self, name: str) -> int:
        """Return the most that was taken of a pool."""
        return self.pools.get(name, (0, None))[0]

    def measure(self) -> None:
        """Keep the worst moment of the pools of CPUs and IOMMU. Only x86 has so few vectors a CPU that they run out."""
        bound = self.scenario.host.arch == "x86"
        online = [c for c in self.vectors.cpus.values() if c.online]
        taken = [c.allocated + c.managed - c.managed_used for c in online]
        sizes = [t + c.available for t, c in zip(taken, online, strict=True)]
        self.peak("CPU vectors" if bound else "vectors", sum(taken), sum(sizes) if bound else None)
        if self.entries is not None:
            self.peak("IRTEs" if self.entries.shared else "IRTEs of a device", self.entries.taken(), self.entries.size)
        if bound and len(sizes) > 1:
            worst = min(range(len(sizes)), key=lambda n: sizes[n] - taken[n])
            self.peak("vectors of the fullest CPU", taken[worst], sizes[worst])
        if bound and (reserved := self.vectors.reserved):
            self.peak("vectors reserved and not requested yet", reserved, self.vectors.available)
        if managed := sum(c.managed for c in self.vectors.cpus.values()):
            self.peak("vectors set aside for managed irqs", managed)


def _left(taken: int, size: int | None) -> int:
    return -taken if size is None else size - taken


def power_of_two(count: int) -> int:
    """Return the least power of two that is not below a count: plain MSI has blocks of these sizes alone."""
    return 1 << (count - 1).bit_length()


def vectors(count: int) -> str:
    """Return a count in words."""
    return f"{count} vector" if count == 1 else f"{count} vectors"


def name_of(first: str, number: int) -> str:
    """Return the BDF of a function so many after the first; a name that is none is counted."""
    if number == 0:
        return first
    if (m := BDF.fullmatch(first)) is None:
        return f"{first} #{number}"
    at = (int(m[2], 16) << 8 | int(m[3], 16) << 3 | int(m[4])) + number
    return f"{m[1]}:{at >> 8:02x}:{at >> 3 & 0x1F:02x}.{at & 7}"
