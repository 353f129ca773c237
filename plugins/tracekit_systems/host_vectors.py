"""The CPU vectors of a host: their requests, their frees, and the size of the pool."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import polars as pl

from tracekit import ENOSPC, SWAPPED, Fix, System, gate_value, in_table, rows_of

TRIED = ("vector_alloc", "vector_reserve_managed", "vector_clear")
MANY = 1 << 16  # more than a device has vectors; irqs that were never tried get numbers below zero
CURED = ("VEC-001", "VEC-002", "VEC-003", "VEC-004")
Machines = Mapping[str, Any]
Gates = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """An irq wants a vector (at request or at allocation, or managed slots), or gives its own back; `granted`: what was recorded."""

    what: Literal["request", "alloc", "managed", "release"]
    irq: int
    granted: bool | None = None


@dataclass
class Host:
    """What was recorded in one source: the steps; `room`, vectors free at its begin; `excess`, by how much reservations exceeded them.

    `outside`: irqs that got a vector outside the wanted CPUs. `left`: vectors that the matrix had at the first refusal, None if it is not
    recorded.
    """

    source: str
    steps: list[Step] = field(default_factory=list)
    room: int = 0
    excess: int = 0
    outside: tuple[int, ...] = ()
    left: int | None = None


class HostVectors(System):
    """Requests for CPU vectors of one boot, replayed on the pool that was left at the first refusal, or on a larger one."""

    name: ClassVar[str] = "host-vectors"
    reads: ClassVar[tuple[str, ...]] = (*TRIED, "vector_failures", "vector_overcommits", "irq_affinity_broken", "op_set_irqs", "gates")
    switches: ClassVar[tuple[str, ...]] = ("more_vectors", "fewer_requested")
    fixes: ClassVar[tuple[Fix, ...]] = (
        Fix(
            "more_vectors",
            True,
            CURED,
            "more CPUs (each has some 200 vectors), with interrupts spread over them",
        ),
        Fix("fewer_requested", True, CURED, "fewer queues a device, so that fewer vectors are requested"),
        Fix("KV1", False, ("VEC-001", "VEC-003")),
        Fix("KV1", True, ("VEC-002",)),
    )

    def __init__(self, machines: Machines, recorded: Sequence[Host], reserves: bool) -> None:
        self.machines, self.recorded, self.reserves = machines, recorded, reserves

    @classmethod
    def instances(cls, machines: Machines, tables: Mapping[str, pl.DataFrame]) -> Sequence[System]:
        """Yield one system for all sources in which a vector was refused or reservations exceeded the vectors."""
        if "VectorPool" not in machines:
            return []
        hosts = list(_hosts(tables))
        return [cls(machines, hosts, gate_value(tables.get("gates"), "KV1", hosts[0].source) is not False)] if hosts else []

    def subject(self) -> str:
        return "host"

    def gates(self) -> Gates:
        return {"KV1": self.reserves, "more_vectors": False, "fewer_requested": False}

    def faults(self, gates: Gates) -> frozenset[str]:
        return frozenset().union(*(self._replayed(h, gates)[0] for h in self.recorded))

    def cost(self, gates: Gates) -> Mapping[str, int]:
        """Return the peak of CPU vectors in use."""
        return {"cpu_vectors": max(self._replayed(h, gates)[1] for h in self.recorded)}

    def refutable(self) -> frozenset[str]:
        """Return refusals among other requests, where the pool reproduces the recording. A message alone is not replayed."""
        replayed = [h for h in self.recorded if any(s.granted or s.what == "release" for s in h.steps)]
        return frozenset(("VEC-001", "VEC-002")) if replayed and all(map(self._agrees, replayed)) else frozenset()

    def _agrees(self, host: Host) -> bool:
        """Return whether the recorded pool grants and refuses as recorded, with no vector left in the matrix at the refusal."""
        if host.left:
            return False
        pool = self.machines["VectorPool"]()
        pool.online(0, host.room)
        for s in host.steps:
            if s.what == "release":
                _release(pool, s.irq)
                continue
            result = pool.reserve_managed(s.irq, (0,)) if s.what == "managed" else pool.activate(s.irq)
            if s.granted is not None and (ENOSPC not in result) != s.granted:
                return False
        return True

    def assumptions(self) -> tuple[str, ...]:
        return ("no vector was left at the first refusal; those in use before the recording come back as they are released",)

    def _replayed(self, host: Host, gates: Gates) -> tuple[frozenset[str], int]:
        """Faults, and the most vectors in use. Without reservations a refusal comes at the allocation already (VEC-002)."""
        pool = self.machines["VectorPool"]()
        asked = len({s.irq for s in host.steps if s.what != "release"})
        pool.online(0, host.room + (asked + host.excess if gates["more_vectors"] else 0))
        scarce = not gates["more_vectors"] and not gates["fewer_requested"]
        seen: set[str] = {"VEC-003"} if host.excess and gates["KV1"] and scarce else set()
        seen |= {"VEC-004"} if self._crowded(host, gates) else set()
        most = 0
        for s in host.steps:
            if s.what == "release":
                _release(pool, s.irq)
            elif not (gates["fewer_requested"] and pool.available == 0):
                result = pool.reserve_managed(s.irq, (0,)) if s.what == "managed" else pool.activate(s.irq)
                if ENOSPC in result:
                    seen.add("VEC-001" if s.what == "request" and gates["KV1"] else "VEC-002")
            most = max(most, pool.cpus[0].allocated)
        return frozenset(seen), most

    def _crowded(self, host: Host, gates: Gates) -> bool:
        """Return whether an irq leaves the wanted CPU, which has no vector left, for another one."""
        pool = self.machines["VectorPool"]()
        pool.online(0, len(host.outside) if gates["more_vectors"] else 0)
        pool.online(1, len(host.outside))
        for irq in host.outside:
            if not (gates["fewer_requested"] and pool.cpus[0].available == 0):
                pool.activate(irq, wanted=(0,))
        return bool(pool.broken)


def _release(pool: Any, irq: int) -> None:
    """Give a vector back; one that was in use before the recording makes room too."""
    if irq in pool.irqs:
        pool.free(irq)
    else:
        pool.cpus[0].available += 1


def scarce(tables: Mapping[str, pl.DataFrame]) -> int | None:
    """Return how many vectors were left at the begin of the source in which one was refused first; None where none was."""
    failures = tables.get("vector_failures")
    if failures is None or failures.is_empty():
        return None
    return next((h.room for h in _hosts(tables)), None)


def _hosts(tables: Mapping[str, pl.DataFrame]) -> Iterator[Host]:
    """Yield the sources that show a shortage, with their steps in order."""
    failures, excess = tables.get("vector_failures"), _excess(tables)
    kinds: dict[tuple[str, int], str] = {}
    for f in rows_of(failures) if failures is not None else ():
        kinds[f.source, f.irq] = f.kind
    outside = _outside(tables.get("irq_affinity_broken"))
    for source in dict.fromkeys([*(s for s, _ in kinds), *excess, *outside]):
        host = Host(source, list(_steps(source, kinds, tables)), 0, excess.get(source, 0), outside.get(source, ()))
        host.left = next((f.global_avl for f in rows_of(failures) if f.source == source), None) if failures is not None else None
        host.room = _left(host.steps, {irq for s, irq in kinds if s == source})
        yield host


def _outside(messages: pl.DataFrame | None) -> dict[str, tuple[int, ...]]:
    """Return the irqs whose affinity was broken, by source."""
    found: dict[str, tuple[int, ...]] = {}
    for r in rows_of(messages) if messages is not None else ():
        found[r.source] = (*found.get(r.source, ()), r.irq)
    return found


def _steps(source: str, kinds: Mapping[tuple[str, int], str], tables: Mapping[str, pl.DataFrame]) -> Iterator[Step]:
    timed: list[tuple[int, Step]] = []
    for name in TRIED:
        if (frame := tables.get(name)) is None:
            continue
        for row in rows_of(frame.filter(pl.col("source") == source)):
            kind = kinds.get((source, row.irq), "request")
            if name == "vector_clear":
                timed.append((row.line, Step("release", row.irq)))
            elif name == "vector_reserve_managed":
                timed.append((row.line, Step("managed", row.irq, row.ret >= 0)))
            elif kind in ("request", "unknown", "alloc") or row.ret >= 0 and 0 <= row.vector < SWAPPED:
                granted = row.ret >= 0 and 0 <= row.vector < SWAPPED
                timed.append((row.line, Step("alloc" if kind == "alloc" else "request", row.irq, granted)))
    timed += _not_tried(source, timed, tables)
    yield from (s for _, s in sorted(timed, key=lambda t: t[0]))


def _not_tried(source: str, timed: Sequence[tuple[int, Step]], tables: Mapping[str, pl.DataFrame]) -> Iterator[tuple[int, Step]]:
    """Yield what a SET_IRQS asked for beyond the vector that was refused: the kernel stops there, a larger pool would not."""
    if (requests := tables.get("op_set_irqs")) is None:
        return
    wanted = (pl.col("source") == source) & (pl.col("ret") == ENOSPC) & (pl.col("data") == "eventfd") & (pl.col("count") > 0)
    for r in rows_of(requests.filter(wanted)):
        tried = [(line, s.irq) for line, s in timed if r.line < line < (r.line_end or r.line) and s.what == "request"]
        missing = len(in_table(0, r.count)) - len({irq for _, irq in tried})
        yield from ((max(line for line, _ in tried), Step("request", -r.line * MANY - n)) for n in range(missing if tried else 0))


def _left(steps: Sequence[Step], refused: set[int]) -> int:
    """Vectors free at the begin: so many that the first irq that was refused finds none."""
    taken: set[int] = set()
    given = 0
    for s in steps:
        if s.irq in refused and s.what != "release":
            return max(len(taken) - given, 0)
        if s.what != "release":
            taken.add(s.irq)
        elif s.irq in taken:
            taken.discard(s.irq)
        else:
            given += 1
    return len(taken) + 1


def _excess(tables: Mapping[str, pl.DataFrame]) -> dict[str, int]:
    """Return by how much reservations exceeded the vectors, by source."""
    found = tables.get("vector_overcommits")
    if found is None or found.is_empty():
        return {}
    most = found.group_by("source", maintain_order=True).agg((pl.col("global_rsvd") - pl.col("global_avl")).max().alias("most"))
    return {source: int(n) for source, n in most.iter_rows()}
