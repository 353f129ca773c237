"""The pirq space of a Xen domain as an executable machine: its known state, and the result of each operation.

`PirqSpace` is Xen's side (xen/arch/x86/irq.c: get_free_pirq, map_domain_pirq, unmap_domain_pirq; xen/common/event_channel.c:
evtchn_bind_pirq). `HvmGuest` adds the guest's rule (re-use the cached number, or always a fresh one) and the device model's (unmap
on disable, or not). An observer who starts in the middle does not know every number's state: its predictions are then wider.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from heapq import nlargest
from typing import Literal

from tracekit import EEXIST, EINVAL, ENODEV, ENOSPC

# Extra pirqs of a domU unless `extra_guest_irqs=` says otherwise (xen/common/domain.c, the same from 4.4 to 4.20).
DEFAULT_DOMU_EXTRA = 32

# A gap of more numbers than that is not enumerated.
LARGEST = 4096

# `forced`: unmapped by force while the event channel was open; free once that is closed.
Held = Literal["allocated", "mapped", "bound", "forced"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What an operation may return: one of `results`, or, where these are unknown, anything but `excluded`."""

    results: frozenset[int] | None = None
    excluded: frozenset[int] = frozenset()

    def agrees(self, observed: int) -> bool | None:
        """Return whether an observed result is as predicted; None without a prediction."""
        if self.results is not None:
            return observed in self.results
        return False if observed in self.excluded else None

    def __str__(self) -> str:
        if self.results is None:
            return "any but " + _spans(self.excluded) if self.excluded else ""
        return str(*self.results) if len(self.results) == 1 else _spans(self.results)


ANY = Prediction()


@lru_cache(maxsize=LARGEST)
def one(result: int) -> Prediction:
    """Return the prediction of a single result."""
    return Prediction(frozenset({result}))


@dataclass
class PirqSpace:
    """The MSI pirqs of one domain: `held` numbers and their state, `free` ones, and `perhaps` ones that may be free by now.

    Xen hands out the highest free number and never goes below `floor`, the count of GSIs. So a number handed out tells that all above
    it were taken: from `known_from` up, a number is free only if it is in `free` or `perhaps`. None: the rest may be anything.
    """

    floor: int | None = None
    limit: int | None = None
    known_from: int | None = None
    held: dict[int, Held] = field(default_factory=dict)
    free: set[int] = field(default_factory=set)
    perhaps: set[int] = field(default_factory=set)

    @classmethod
    def fresh(cls, floor: int, limit: int) -> "PirqSpace":
        """Return the space of a domain that has allocated no pirq yet."""
        return cls(floor, limit, floor, {}, set(range(floor, limit)))

    def next_number(self, seen: int | None = None) -> Prediction:
        """Return the result of the next request for a pirq (get_free_pirq): the highest free number, or -28.

        `seen`: the number that came; where little is known, the prediction then says of that one only whether it can be.
        """
        best = max(self.free, default=None)
        if self.known_from is None or self.known_from - (best or self.floor or 0) > LARGEST or len(self.perhaps) > LARGEST:
            return self._unbounded(best, seen)
        above = {p for p in self.perhaps if best is None or p > best}
        if best is not None and best >= self.known_from:
            return Prediction(frozenset(above | {best}))
        low = best if best is not None else self.floor
        if low is None and self.known_from > 0:
            return self._unbounded(best, seen)
        unknown = set(range(low or 0, self.known_from)) - self.held.keys()
        return Prediction(frozenset(unknown | above | {ENOSPC if best is None else best}))

    def _unbounded(self, best: int | None, seen: int | None) -> Prediction:
        """Predict with unknown numbers: any may be returned except those held, and those free but not the highest."""
        if seen is not None:
            out = seen in self.held or (best is not None and (seen in self.free and seen < best or seen == ENOSPC))
            return Prediction(None, frozenset({seen} if out else ()))
        lower = {p for p in self.free if best is not None and p < best}
        refused = {ENOSPC} if best is not None else set()
        return Prediction(None, frozenset(self.held) | lower | refused)

    def allocated(self, pirq: int, *, alone: bool = True) -> None:
        """Adopt an allocated number: all above it were taken, so any above that counted as free was never returned.

        Not `alone`: others took numbers at the same time, and those above may just not have been heard of yet.
        """
        if max(self.free, default=pirq) > pirq:
            if not alone:
                self.perhaps |= {p for p in self.free if p > pirq}
            self.free = {p for p in self.free if p <= pirq}
        self.free.discard(pirq)
        self.perhaps.discard(pirq)
        self.held[pirq] = "allocated"
        if self.known_from is None or pirq < self.known_from:
            self.known_from = pirq

    def take(self, count: int) -> list[int]:
        """Allocate and map so many numbers of a space of which all is known, the highest first. Errors: ValueError where fewer are free."""
        if count > len(self.free):
            raise ValueError(f"{count} numbers of {len(self.free)}")
        numbers = nlargest(count, self.free)
        self.free.difference_update(numbers)
        self.held |= dict.fromkeys(numbers, "mapped")
        return numbers

    def refused(self) -> None:
        """Adopt a request refused with -28: no number is free."""
        self.free.clear()
        self.known_from = 0

    def map(self, pirq: int) -> Prediction:
        """Map a number to a physical MSI (map_domain_pirq): one that is mapped already gives a warning and success."""
        if self.limit is not None and not 0 <= pirq < self.limit:
            return one(EINVAL)
        self.free.discard(pirq)
        if self.held.get(pirq, "allocated") == "allocated":
            self.held[pirq] = "mapped"
        return one(0)

    def bind(self, pirq: int) -> Prediction:
        """Open an event channel on a number (evtchn_bind_pirq): -17 where one is open, -22 where it is not mapped."""
        state = self.held.get(pirq)
        if state == "mapped":
            self.held[pirq] = "bound"
            return one(0)
        if state is None and pirq not in self.free:
            return ANY
        return one(EEXIST if state == "bound" else EINVAL)

    def close(self, pirq: int) -> Prediction:
        """Close the event channel: in an HVM guest the number stays mapped."""
        state = self.held.get(pirq)
        if state == "bound":
            self.held[pirq] = "mapped"
        elif state == "forced":
            self._give_back(pirq)
        return one(0)

    def unmap(self, pirq: int) -> Prediction:
        """Unmap a number (unmap_domain_pirq). One that was allocated and never mapped cannot be given back: it is lost."""
        state = self.held.get(pirq)
        if state == "bound":
            self.held[pirq] = "forced"
            return one(0)
        if state in ("allocated", "forced") or pirq in self.free:
            return one(EINVAL)
        self._give_back(pirq)
        return one(0) if state else ANY

    def released(self, pirq: int) -> None:
        """Release a number in the guest; whether the device model unmapped it is not recorded."""
        if self.held.pop(pirq, None) is not None:
            self.perhaps.add(pirq)

    def _give_back(self, pirq: int) -> None:
        self.held.pop(pirq, None)
        self.free.add(pirq)

    def lost_sight(self) -> None:
        """Forget which numbers are taken: a number not seen before was returned."""
        self.known_from = None


@dataclass
class HvmGuest:
    """A guest's devices on a pirq space, one vector each. `reuses`: the guest takes the number it finds in the device's message if one
    of its irqs is on it (kernels from af42b8d12f8a to c74fd80f2f41); `unmaps`: the device model unmaps on disable (QEMU 2.1).

    `channels`: event channels left for pirqs (xen/common/event_channel.c, get_free_port), None for enough. `mappable`: MSIs that Xen can
    still map for the domain (create_irq, by map_domain_pirq), None for enough.
    """

    space: PirqSpace
    reuses: bool
    unmaps: bool
    channels: int | None = None
    mappable: int | None = None
    cached: dict[str, int] = field(default_factory=dict)
    users: dict[int, list[str]] = field(default_factory=dict)
    deaf: set[str] = field(default_factory=set)

    def enable(self, device: str) -> int:
        """Enable the device's MSI: the pirq, or -19 where none was free. A device whose event channel is refused is `deaf`."""
        pirq = self.finds(device)
        if pirq is None:
            pirq = min(self.space.next_number().results or {ENOSPC})
            if pirq == ENOSPC:
                return ENODEV
            self.space.allocated(pirq)
        self.cached[device] = pirq
        if self.mappable is None or self.mapped < self.mappable:
            self.space.map(pirq)
        full = self.channels is not None and self.opened >= self.channels
        if full or self.space.bind(pirq).agrees(0) is False:
            self.deaf.add(device)
        self.users.setdefault(pirq, []).append(device)
        return pirq

    def finds(self, device: str) -> int | None:
        """Return the number in the device's message that the guest takes again, None where it asks for a fresh one."""
        pirq = self.cached.get(device)
        return pirq if self.reuses and pirq is not None and self.users.get(pirq) else None

    def disable(self, device: str) -> None:
        """Disable the device's MSI: its event channel, if any, is closed; the number goes back only if the device model unmaps it."""
        pirq = self.cached[device]
        self.users[pirq].remove(device)
        if device in self.deaf:
            self.deaf.remove(device)
        else:
            self.space.close(pirq)
        if self.unmaps:
            self.space.unmap(pirq)

    @property
    def mapped(self) -> int:
        """Return how many numbers stand for a physical MSI."""
        return sum(state in ("mapped", "bound") for state in self.space.held.values())

    @property
    def opened(self) -> int:
        """Return how many numbers have an event channel."""
        return sum(state == "bound" for state in self.space.held.values())

    @property
    def shared(self) -> set[int]:
        """Return the numbers that two devices use at once."""
        return {p for p, devices in self.users.items() if len(devices) > 1}


def _spans(numbers: Iterable[int]) -> str:
    """Return numbers as text, runs joined: `-28, 24..31`."""
    runs: list[list[int]] = []
    for n in sorted(numbers):
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return ", ".join(str(a) if a == b else f"{a}..{b}" for a, b in runs)
