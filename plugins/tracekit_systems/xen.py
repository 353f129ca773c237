"""The pirqs of one Xen domain: how many its devices ask for, how many there are, and who gives them back."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import polars as pl

from tracekit import CAP_MSIX, DOMID_SELF, ENODEV, ENOSPC, Fix, Row, System, gate_value, rows_of

LEAST_LEAK = 3  # numbers that must be lost before it is called a leak
MOST = 20_000  # steps of one domain that are replayed
PLENTY = 4096  # a space that nothing recorded can exhaust
SPACE = {"higher_limit": False, "fewer_vectors": False}  # gates of every domain
Machines = Mapping[str, Any]
Gates = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """A device asks for `number` vectors, or gives one back (0)."""

    device: str
    number: int


@dataclass
class Domain:
    """The recording of a domain: its label, its steps, and their pirq space. `told`: from calls or lives, not from refusals."""

    label: str
    steps: list[Step] = field(default_factory=list)
    room: int = PLENTY
    source: str = ""
    assumptions: tuple[str, ...] = ()
    told: bool = True


class XenPirqs(System):
    """What dom0 asks for, replayed on a space of the recorded or a larger size. It keeps no number in a message and has no device model."""

    name: ClassVar[str] = "xen-pirqs"
    reads: ClassVar[tuple[str, ...]] = ("op_xen_setup", "op_xen_bind", "op_xen_destroy", "xen_map_failed")
    switches: ClassVar[tuple[str, ...]] = ("higher_limit", "fewer_vectors")
    fixes: ClassVar[tuple[Fix, ...]] = (
        Fix("higher_limit", True, ("XEN-002",), "a higher extra_guest_irqs=<domU>,<dom0> on Xen's command line"),
        Fix("fewer_vectors", True, ("XEN-002",), "fewer queues a device, so that fewer vectors are asked for"),
    )

    def __init__(self, machines: Machines, recorded: Domain, gates: Gates) -> None:
        self.machines, self.recorded, self.base = machines, recorded, gates

    @classmethod
    def instances(cls, machines: Machines, tables: Mapping[str, pl.DataFrame]) -> Sequence[System]:
        """Yield one system per source of dom0 with requests."""
        return [cls(machines, d, dict(SPACE)) for d in _dom0(tables)] if "PirqSpace" in machines else []

    def subject(self) -> str:
        return self.recorded.label

    def gates(self) -> Gates:
        return self.base

    def faults(self, gates: Gates) -> frozenset[str]:
        return self._replayed(gates)[0]

    def cost(self, gates: Gates) -> Mapping[str, int]:
        """Return the most pirqs held at once and, where fewer are asked for, the vectors that devices do without."""
        if gates["fewer_vectors"]:
            _, _, without = self._replayed(gates)
            return {**self.cost({**gates, "fewer_vectors": False}), "vectors": -without}
        return {"pirqs": self._replayed(gates)[1]}

    def refutable(self) -> frozenset[str] | None:
        """Return None (all) where requests are granted and given back too; no code where only refusals are recorded."""
        return None if self.recorded.told else frozenset()

    def assumptions(self) -> tuple[str, ...]:
        return self.recorded.assumptions

    def _space(self, gates: Gates) -> Any:
        return self.machines["PirqSpace"].fresh(0, PLENTY if gates["higher_limit"] else self.recorded.room)

    def _replayed(self, gates: Gates) -> tuple[frozenset[str], int, int]:
        """Return the faults, the most pirqs held, vectors done without.

        A request is granted whole or given back, a freed number is free at once.
        """
        space = self._space(gates)
        held: dict[str, list[int]] = {}
        seen: set[str] = set()
        most = without = 0
        for step in self.recorded.steps:
            mine = held.setdefault(step.device, [])
            if step.number == 0:
                if mine:
                    space.unmap(mine.pop())
                continue
            wanted = min(step.number, len(space.free)) if gates["fewer_vectors"] else step.number
            without += step.number - wanted
            if wanted > len(space.free):
                seen.add("XEN-002")
            else:
                mine += space.take(wanted)
            most = max(most, len(space.held))
        return frozenset(seen), most, without


class HvmPirqs(XenPirqs):
    """What an HVM guest asks for, by either kind of guest kernel and device model."""

    name: ClassVar[str] = "xen-hvm-pirqs"
    reads: ClassVar[tuple[str, ...]] = ("pirq_lives", "xen_msi_create_failed", "gates")
    fixes: ClassVar[tuple[Fix, ...]] = (
        *XenPirqs.fixes,
        Fix("KV5", True, ("XEN-001", "XEN-004"), "a guest kernel with c74fd80f2f41 ({KV5}, and stable kernels): always a fresh pirq"),
        Fix("KV5", False, ("XEN-002", "XEN-003")),
        Fix("QV1", True, ("XEN-002", "XEN-003"), "a device model that unmaps pirqs on disable ({QV1} or later)"),
        Fix("QV1", False, ("XEN-001", "XEN-004")),
        Fix("XV1", True, ("XEN-002", "XEN-003"), "a toolstack of {XV1} or later, which brings such a device model"),
    )

    @classmethod
    def instances(cls, machines: Machines, tables: Mapping[str, pl.DataFrame]) -> Sequence[System]:
        """Yield one system per source of a guest with the lives of its pirqs."""
        if "PirqSpace" not in machines or "HvmGuest" not in machines:
            return []
        return [cls(machines, d, _gates(d, tables.get("gates"), tables)) for d in _guests(tables)]

    def _replayed(self, gates: Gates) -> tuple[frozenset[str], int, int]:
        """Replay one device of the machine per vector; count the pirqs shared, lost or refused."""
        guest = self.machines["HvmGuest"](self._space(gates), not gates["KV5"], gates["QV1"] or gates["XV1"])
        on: dict[str, list[str]] = {}
        seen: set[str] = set()
        most = without = 0
        for step in self.recorded.steps:
            mine = on.setdefault(step.device, [])
            if step.number == 0:
                if mine:
                    guest.disable(mine.pop(0))
                continue
            if gates["fewer_vectors"] and not guest.space.free:
                without += 1
                continue
            slot = next(f"{step.device} {n}" for n in range(len(mine) + 1) if f"{step.device} {n}" not in mine)
            if guest.enable(slot) == ENODEV:
                seen.add("XEN-002")
            else:
                mine.append(slot)
            seen |= ({"XEN-001"} if guest.shared else set()) | ({"XEN-004"} if guest.deaf else set())
            most = max(most, len(guest.space.held))
        lost = [p for p in guest.space.held if not guest.users.get(p)]
        return frozenset(seen | ({"XEN-003"} if len(lost) >= LEAST_LEAK else set())), most, without


def _gates(recorded: Domain, gates: pl.DataFrame | None, tables: Mapping[str, pl.DataFrame]) -> Gates:
    """Return the gates as recorded, whatever the release: numbers that come twice were given back, numbers that only fall were not."""
    unmaps = gate_value(gates, "QV1", recorded.source)
    lives = [x for x in rows_of(tables["pirq_lives"]) if x.source == recorded.source and x.basis == "guest"]
    given = [x.pirq for x in lives if x.given]
    fresh = not any(x.reused for x in lives)
    if not fresh or len(set(given)) < len(given):
        unmaps = True
    elif _passed_over(lives):
        unmaps = False
    return {**SPACE, "KV5": fresh, "QV1": unmaps is not False, "XV1": False}


def _passed_over(lives: Sequence[Row]) -> bool:
    """Return whether a number was let go and a later request got a lower one: Xen gives the highest free one, so it was not free."""
    lowest: int | None = None
    later = sorted((x for x in lives if x.given), key=lambda x: x.line)
    for x in sorted((x for x in lives if x.end and x.line_end is not None), key=lambda x: x.line_end, reverse=True):
        while later and later[-1].line >= x.line_end:
            lowest = min(later[-1].pirq, lowest if lowest is not None else PLENTY)
            later.pop()
        if lowest is not None and lowest < x.pirq:
            return True
    return False


def _dom0(tables: Mapping[str, pl.DataFrame]) -> Iterator[Domain]:
    """Yield dom0 from its calls; where none are recorded, from the messages of refused requests."""
    places: dict[tuple[Any, ...], list[tuple[int, str, Row]]] = {}
    for name, frame in ((n, tables[n]) for n in ("op_xen_setup", "op_xen_bind", "op_xen_destroy") if n in tables):
        for row in rows_of(frame):
            places.setdefault((row.source, row.machine, row.boot), []).append((row.line_end or row.line, name, row))
    for place, rows in places.items():
        yield _from_calls(place[0], [(name, row) for _, name, row in sorted(rows, key=lambda r: r[0])])
    if not places and (told := tables.get("xen_map_failed")) is not None:
        mine = told.filter((pl.col("ret") == ENOSPC) & pl.col("domid").is_in([0, DOMID_SELF]))
        for source in mine["source"].unique(maintain_order=True):
            steps = [Step(r.bdf or "", 1) for r in rows_of(mine.filter(pl.col("source") == source))]
            yield Domain("dom0", steps, 0, source, ("each refused request is taken to be for one pirq when none was left",), told=False)


def _from_calls(source: str, rows: list[tuple[str, Row]]) -> Domain:
    """Requests and releases in order. A request for MSI after one for MSI-X was refused is the driver's way out, not a wish of its own."""
    made = Domain("dom0", source=source)
    owner: dict[int, str] = {}
    refused: set[str] = set()
    live = 0
    for name, row in rows:
        device = f"{row.device:#x}" if row.device is not None else str(row.bdf or "")
        if name == "op_xen_bind" and (irq := row.irq if row.irq is not None else row.ret) is not None and irq > 0:
            owner[irq] = device
            live += 1
        elif name == "op_xen_destroy" and row.ret in (0, None) and row.irq in owner:
            made.steps.append(Step(owner.pop(row.irq), 0))
            live -= 1
        elif name == "op_xen_setup" and row.nvec:
            if row.ret == ENOSPC and made.room == PLENTY:
                made.room = live
                made.assumptions = (f"pirqs for what is recorded: {live}, those held when the first request was refused",)
            if row.type == CAP_MSIX or device not in refused:
                made.steps.append(Step(device, row.nvec))
            refused = refused | {device} if row.ret == ENOSPC else refused - {device} if row.type == CAP_MSIX else refused
    return made


def _guests(tables: Mapping[str, pl.DataFrame]) -> Iterator[Domain]:
    """Yield HVM guests from the lives of their pirqs and their refused requests."""
    lives = tables.get("pirq_lives")
    if lives is None:
        return
    guest = lives.filter((pl.col("basis") == "guest") & pl.col("bdf").is_not_null())
    failed = tables.get("xen_msi_create_failed")
    for source in guest["source"].unique(maintain_order=True):
        mine = list(rows_of(guest.filter(pl.col("source") == source)))
        timed = [(x.line, 1, Step(x.bdf, 1)) for x in mine]
        timed += [(x.line_end, 0, Step(x.bdf, 0)) for x in mine if x.line_end is not None and x.end]
        refused = list(rows_of(failed.filter((pl.col("source") == source) & (pl.col("ret") == ENODEV)))) if failed is not None else []
        timed += [(r.line, 1, Step(r.bdf or "", 1)) for r in refused]
        numbers = {x.pirq for x in mine}
        room = min(max(numbers) - min(numbers) + 1, PLENTY) if refused else PLENTY
        notes = ("a vector is given back where its number is seen to serve another one, or its device is enabled anew",)
        steps = [s for _, _, s in sorted(timed, key=lambda t: t[:2])][:MOST]
        yield Domain("", steps, room, source, notes)
