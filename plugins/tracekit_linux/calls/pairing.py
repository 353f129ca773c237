"""Pairing: entries and returns of functions become calls, nested by what ran inside what."""

import re
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tracekit_linux.calls.functions import FUNCTIONS

ENTRY, RETURN, BOTH = "entry", "return", "both"


@dataclass(slots=True)
class Lane:
    """The calls that are open in one lane, and those that ended last, as numbers of the rows where they began."""

    name: str
    assumed: bool
    stack: list[int] = field(default_factory=list)
    ended: deque[int] = field(default_factory=lambda: deque(maxlen=4096))


class Pairing:
    """The lanes of one source. A call is the number of the row where it began, or of its return if nothing else is recorded.

    Its methods are named for the tables whose rows they take.
    """

    def __init__(self, columns: Mapping[str, Sequence[Any]], returning: Collection[str]) -> None:
        self.returning = returning  # keys of functions whose returns are recorded
        self.on_cpu, self.tid = columns["on_cpu"], columns["tid"]
        self.of_lane, self.assumed = columns["lane"], columns["assumed"]
        self.key: Sequence[str] = columns["key"]  # what an entry and its return have in common
        self.rank: Sequence[int | None] = columns["rank"]  # with `reach`: what it can call, and what can call it
        self.reach: Sequence[int] = columns["reach"]
        self.vdev, self.came_from, self.indent = columns["vdev"], columns["caller"], columns["indent"]
        self.known: Sequence[bool] = columns["is_known"]  # false: holds a place in a function graph, but is not reported
        self.previous, self.next = columns["previous"], columns["next"]
        self.parent: list[int | None] = [None] * len(self.key)
        self.end: list[int | None] = [None] * len(self.key)
        self.complete = [ENTRY] * len(self.key)
        self.lanes: dict[str, Lane] = {}
        self.shown: dict[int | None, int] = {}  # the task that a function graph without task column shows, by CPU
        self.interrupted: dict[str, int] = {}  # lane -> depth of interrupts
        self.row = 0  # that is taken
        self.done: list[int] = []
        self.done_in: list[Lane] = []
        self.done_by: list[int] = []  # the row that closed each call

    def pair(self, kinds: Sequence[str]) -> None:
        """Take all rows, given their kinds; what is open at the end of the recording has no return."""
        takers = {kind: getattr(self, kind) for kind in set(kinds)}
        for self.row, kind in enumerate(kinds):
            takers[kind](self.row)
        self.row = len(kinds)
        for lane in self.lanes.values():
            self._drop(lane, 0)

    def probe_entry(self, n: int) -> None:
        """Open a call; one whose return is not recorded encloses what only it can have called."""
        lane = self._lane(n)
        self._leave(lane, n)
        self.parent[n] = self._innermost(lane)
        if self.rank[n] is None and self.key[n] not in self.returning:
            self._close(lane, n)
        else:
            lane.stack.append(n)

    def probe_return(self, n: int) -> None:
        """Close the innermost open call of that function, else report a call of which only the return is recorded."""
        lane = self._lane(n)
        call = self._opened(lane, self.key[n])
        if call is None:
            call = n
            self.complete[n] = RETURN
            self._leave(lane, n)
            caller = self.came_from[n]
            found = (c for c in reversed(lane.stack) if self.known[c] and self.key[c] == caller)
            self.parent[n] = next(found, self._innermost(lane))
            self._adopt(lane, n)
        else:
            self.complete[call] = BOTH
        self.end[call] = n
        self._close(lane, call)

    def graph_entry(self, n: int) -> None:
        """Open a call of a function graph; calls at its depth or deeper have ended unseen."""
        lane = self._lane(n)
        self._leave_graph(lane, self.indent[n])
        self.parent[n] = self._innermost(lane)
        lane.stack.append(n)

    def graph_leaf(self, n: int) -> None:
        """Add a call that a function graph prints in one line."""
        lane = self._lane(n)
        self._leave_graph(lane, self.indent[n])
        self.parent[n], self.complete[n], self.end[n] = self._innermost(lane), BOTH, n
        self._close(lane, n)

    def graph_exit(self, n: int) -> None:
        """Close the call at this depth; without one, its entry was before the recording."""
        lane, indent = self._lane(n), self.indent[n]
        self._leave_graph(lane, indent + 1)
        call = lane.stack.pop() if lane.stack and self.indent[lane.stack[-1]] == indent else None
        if call is None and self.key[n] in FUNCTIONS:
            call = n
            self.parent[n], self.complete[n] = self._innermost(lane), RETURN
            self._adopt(lane, n)
        if call is None or not self.known[call]:
            return
        self.complete[call] = BOTH if self.complete[call] == ENTRY else self.complete[call]
        self.end[call] = n
        self._close(lane, call)

    def graph_irq_entry(self, n: int) -> None:
        """Begin an interrupt: what follows in this lane was not called by the open calls."""
        name = self._lane_name(n)[0]
        self.interrupted[name] = self.interrupted.get(name, 0) + 1

    def graph_irq_exit(self, n: int) -> None:
        """Return from the interrupt: its calls have ended."""
        lane = self._lane(n)
        name = self._lane_name(n)[0]
        if self.interrupted.get(name):
            self._leave_graph(lane, 0)
            self.interrupted[name] -= 1

    def graph_switch(self, n: int) -> None:
        """Go on with another task of this CPU, in a function graph without a task column."""
        before, after = (re.search(r"-([0-9]+) *$", t) for t in (self.previous[n] or "", self.next[n] or ""))
        cpu = self.on_cpu[n]
        if before and cpu not in self.shown and (lane := self.lanes.pop(f"cpu:{cpu}", None)) is not None:
            lane.name = f"tid:{before[1]}"
            self.lanes[lane.name] = lane
        if after:
            self.shown[cpu] = int(after[1])

    def sys_enter_ioctl(self, n: int) -> None:
        """Open an ioctl; commands of other subsystems only hold their place."""
        lane = self._lane(n)
        self._leave(lane, n)
        self.parent[n] = self._innermost(lane)
        lane.stack.append(n)

    def sys_exit_ioctl(self, n: int) -> None:
        """Close the ioctl of this lane, else report its return alone."""
        lane = self._lane(n)
        call = self._opened(lane, self.key[n])
        if call is None:
            call = n
            self.parent[n], self.complete[n] = self._innermost(lane), RETURN
        else:
            self.complete[call] = BOTH
        self.end[call] = n
        self._close(lane, call)

    def _lane_name(self, n: int) -> tuple[str, bool]:
        name = self.of_lane[n]
        if name is not None:
            return name, self.assumed[n]
        shown = self.shown.get(self.on_cpu[n])
        return (f"tid:{shown}", False) if shown else (f"cpu:{self.on_cpu[n]}", shown is None)

    def _lane(self, n: int) -> Lane:
        name, assumed = self._lane_name(n)
        if self.interrupted.get(name):
            name += "/irq"
        lane = self.lanes.get(name)
        if lane is None:
            lane = self.lanes[name] = Lane(name, assumed)
        return lane

    def _innermost(self, lane: Lane) -> int | None:
        """Return the innermost open call that is reported."""
        return next((c for c in reversed(lane.stack) if self.known[c]), None)

    def _opened(self, lane: Lane, key: str) -> int | None:
        """Return the innermost open call of a function, taken off the stack; what it had called has ended unseen."""
        for i in range(len(lane.stack) - 1, -1, -1):
            if self.key[lane.stack[i]] == key:
                self._drop(lane, i + 1)
                return lane.stack.pop()
        return None

    def _leave(self, lane: Lane, n: int) -> None:
        """End open calls that cannot be callers of a probe's entry: their returns are not recorded."""
        key = self.key[n]
        for i, c in enumerate(lane.stack):
            if self.indent[c] >= 0:
                continue
            elsewhere = self.key[c] not in self.returning and self._other_device(c, n)
            if self.key[c] == key or elsewhere or not self._may_call(c, n):
                self._drop(lane, i)
                return

    def _may_call(self, outer: int, inner: int) -> bool:
        """Return whether one call can stand below another; helpers (without rank) may be anywhere."""
        rank, below = self.rank[outer], self.rank[inner]
        return rank is None or below is None or rank < below <= self.reach[outer]

    def _other_device(self, outer: int, inner: int) -> bool:
        """Return whether both name the VFIO device they work on, and it is not the same."""
        one, other = self.vdev[outer], self.vdev[inner]
        return one is not None and other is not None and one != other

    def _leave_graph(self, lane: Lane, indent: int) -> None:
        while lane.stack and self.indent[lane.stack[-1]] >= indent:
            self._close(lane, lane.stack.pop())

    def _drop(self, lane: Lane, depth: int) -> None:
        while len(lane.stack) > depth:
            self._close(lane, lane.stack.pop())

    def _adopt(self, lane: Lane, call: int) -> None:
        """Put below a call without an entry what ended before it and only it can have called."""
        for c in reversed(lane.ended):
            if self.indent[call] >= 0:
                made = self.indent[c] > self.indent[call]
            elif self.rank[call] is None:
                end = self.end[c]
                made = end is not None and self.came_from[end] == self.key[call]
            else:
                made = self._may_call(call, c)
            if not made:
                return
            if self.parent[c] == self.parent[call]:
                self.parent[c] = call

    def _close(self, lane: Lane, call: int) -> None:
        if self.known[call]:
            lane.ended.append(call)
            self.done.append(call)
            self.done_in.append(lane)
            self.done_by.append(self.row)
