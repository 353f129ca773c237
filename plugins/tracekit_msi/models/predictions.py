"""Replay operations through the machine of a PCI function, and compare predicted with observed results."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from tracekit import EINVAL, ERANGE, PREDICTIONS, Inputs, Model, Row, Table, gate_value, in_table
from tracekit_msi.machines.msi_domain import LARGEST, MsiDomain, Prediction, one
from tracekit_msi.machines.pci_function import PciFunction
from tracekit_msi.models.enables import Key, granted, key_of

ENABLED = "min, max, table size, domain, in this order"
CREATED = "created only where no domain of the kind exists"
OPERATIONS = {"enable_msix": "enable", "enable_msi": "enable"}


@dataclass
class Inserts:
    """The inserts of one enable: how many descriptors passed, and the error of the one refused."""

    passed: int = 0
    refused: int | None = None


class Worlds:
    """The machines of one function, one per value of the unknown gates. Observations apply to all of them."""

    def __init__(self, per_device: bool | None, reservation: bool) -> None:
        choices = (True, False) if per_device is None else (per_device,)
        self.machines = [PciFunction(MsiDomain(c), reservation=reservation) for c in choices]
        self.unbound = False  # whether the domain may be gone: a session ended, and removals are not recorded
        self.granted = 0  # the most MSI-X vectors that the function has had: its table is no smaller, unless it was resized

    def predict(self, operation: str, *arguments: Any, healthy: bool = False) -> Prediction:
        """Return the union of possible results, without a change of state. `healthy`: as if no domain were smaller than its table."""
        results: frozenset[int] = frozenset()
        for machine in self.machines:
            size = _table(machine) if healthy else None
            if operation == "insert":
                predicted = machine.domain.check(arguments[0], size)
            else:
                predicted = _tried(machine.copy(), operation, arguments, size)
            if predicted is None:
                return None
            results = results | predicted if results else predicted
        return results

    def bounded(self, index: int) -> None:
        """Adopt an insert refused with -34: only a per-device domain does that, and the first index refused is its size."""
        self.machines = [m for m in self.machines if m.domain.per_device] or self.machines
        for machine in self.machines:
            machine.domain.learn(index, ERANGE)

    def reaches(self, kind: str | None, count: int) -> None:
        """Adopt that a SET_IRQS passed VFIO's range check, so the function has that many vectors."""
        for machine in self.machines:
            if kind == "msix":
                machine.at_least = max(machine.at_least, count)
            elif kind == "msi":
                machine.msi_count = max(machine.msi_count or count, count)


def _table(machine: PciFunction) -> int | None:
    """Return the size of a per-device domain that follows the table; None for a domain without a size."""
    if not machine.domain.per_device or machine.domain.kind not in ("msix", None):
        return None
    table = machine.msix_count or LARGEST
    return max(machine.domain.hwsize or table, table)


def _tried(machine: PciFunction, operation: str, arguments: tuple[Any, ...], size: int | None) -> Prediction:
    """Return the results of an operation on a copy that may change. A free of an enabled function may be unrecorded."""
    if size is not None:
        machine.domain.hwsize = size
    twice: Prediction = frozenset()
    if operation in OPERATIONS:
        twice = one(EINVAL) if machine.msix_enabled or machine.msi_enabled else frozenset()
        machine.free()
    predicted: Prediction = getattr(machine, operation)(*arguments)
    return None if predicted is None else predicted | twice if twice else predicted


class MsiReplay(Model):
    """Predict enables, inserts, single allocations and the creation of domains (table `predictions`).

    `basis`: known, from the state that the recording shows; healthy, what a system without a fault returns where that state is not shown:
    an index that the kernel tries lies in the table, a request that VFIO let pass has its vectors.
    """

    tables: ClassVar[tuple[Table, ...]] = (PREDICTIONS,)
    needs: ClassVar[tuple[str, ...]] = ("gates",)
    gates: ClassVar[tuple[str, ...]] = ("KV1", "KV2")

    def __init__(self) -> None:
        super().__init__()
        self.functions: dict[Key, Worlds] = {}
        self.per_device: bool | None = None
        self.reservation = True
        self.removals: set[str] = set()  # sources that record the removal of domains
        self.started: set[int | None] = set()  # attempts whose first insert was heard
        self.inserts: dict[int | None, Inserts] = {}  # attempt -> what it inserted
        self.xen: dict[int | None, int] = {}  # attempt -> what Xen's set-up of its irqs says

    def play(self, rows: Iterable[tuple[str, Row]], tables: Inputs) -> None:
        gates = tables.get("gates")
        self.per_device = gate_value(gates, "KV2")
        self.reservation = gate_value(gates, "KV1") is not False
        super().play(rows, tables)

    def on_op_table_size(self, e: Row) -> None:
        for machine in self._worlds(e).machines:
            machine.msix_count = e.count

    def on_op_domain_create(self, e: Row) -> None:
        """Predict a creation where the kind of the earlier domain is known; a healthy kernel succeeds whenever it tries."""
        kind: Literal["msi", "msix"] = "msi" if e.kind == "msi" else "msix"
        worlds = self._worlds(e)
        kinds = {m.domain.kind for m in worlds.machines if m.domain.per_device}
        known = None if None in kinds or not kinds or worlds.unbound else frozenset({int(k != kind) for k in kinds})
        self._compare(e, "domain_create", CREATED, known, int(e.ret != 0), healthy=one(1))
        worlds.unbound = False
        for machine in worlds.machines:
            if machine.domain.per_device:
                machine.domain.create(kind, e.hwsize)

    def on_op_domain_setup(self, e: Row) -> None:
        """Read from the set-up the size of the MSI-X table, or the vectors of the MSI capability."""
        for machine in self._worlds(e).machines:
            if e.hwsize is not None and e.kind == "msi":
                machine.msi_count = e.hwsize
            elif e.hwsize is not None:
                machine.msix_count = e.hwsize
            if machine.domain.per_device and machine.domain.kind is None and e.ret:
                machine.domain.kind = "msi" if e.kind == "msi" else "msix"

    def on_op_domain_remove(self, e: Row) -> None:
        self.removals.add(e.source)
        for machine in self._worlds(e).machines:
            machine.unbind()

    def on_op_insert(self, e: Row) -> None:
        worlds = self._worlds(e)
        if e.attempt not in self.started:
            self.started.add(e.attempt)
            for machine in worlds.machines:
                if e.index in machine.vectors:
                    machine.free()  # a new enable: its disable is not among the calls recorded
                machine.domain.taken.intersection_update(machine.vectors)
        if e.hwsize is not None:
            for machine in worlds.machines:
                if machine.domain.per_device:
                    machine.domain.kind, machine.domain.hwsize = "msix", e.hwsize
        made = self.inserts.setdefault(e.attempt, Inserts())
        if e.ret is not None and e.ret < 0:
            made.refused = e.ret if made.refused is None else made.refused
        else:
            made.passed += 1
        if e.index is None or e.ret is None:
            return
        if e.ret == ERANGE:
            worlds.bounded(e.index)
        # The kernel cuts a request off at the table, so an index that it tries lies in it.
        healthy = one(0) if e.attempt is not None else None
        self._judge(e, "insert", "every index below the table's size", worlds, e.index, healthy=healthy)
        for machine in worlds.machines:
            machine.domain.learn(e.index, e.ret)

    def on_op_xen_setup(self, e: Row) -> None:
        """Note the result of Xen's set-up of the irqs: the enable around it returns the same error."""
        if e.ret is not None and e.nvec:
            self.xen[e.attempt] = e.nvec if e.ret == 0 else e.ret

    def on_op_alloc(self, e: Row) -> None:
        worlds = self._worlds(e)
        if e.request is not None and e.max is not None:
            worlds.reaches(e.kind, e.max)
        if e.ret is not None:
            self._enable(e, worlds)
        vectors = granted(e)
        for machine in worlds.machines:
            machine.free()
            if vectors and e.kind == "msix":
                machine.granted(vectors)
            elif vectors:  # plain MSI, or either: neither can be enabled again
                machine.msi_enabled, machine.vectors = True, set(in_table(0, vectors))
        if e.kind == "msix":
            worlds.granted = max(worlds.granted, vectors)

    def _enable(self, e: Row, worlds: Worlds) -> None:
        """Predict by arguments and state, else by the calls inside, else by the table size that the request or an earlier enable shows."""
        inside = self._inside(e)
        healthy = None
        if e.max is not None and e.request is not None:
            healthy = one(e.max)
        elif e.max is not None and e.kind != "msi" and worlds.granted and (e.min or 1) <= 1:
            healthy = frozenset(in_table(min(e.max, worlds.granted), e.max + 1)) or None
        operation = {"msix": "enable_msix", "msi": "enable_msi"}.get(e.kind)
        if operation is None or e.min is None or e.max is None or worlds.predict(operation, e.min, e.max) is None:
            self._compare(e, "enable", "as many as were inserted, or the error of the call inside", inside, e.ret, healthy=healthy)
        else:
            self._judge(e, operation, ENABLED, worlds, e.min, e.max)

    def _inside(self, e: Row) -> Prediction:
        """Return the results of an enable that follow from the recorded calls inside."""
        if e.call in self.xen:
            return one(self.xen[e.call])
        made = self.inserts.get(e.call)
        if made is None:
            return None
        if made.refused is not None:
            return one(made.refused)
        return one(made.passed) if e.kind == "msix" else None  # one descriptor stands for a block of plain MSI

    def on_op_alloc_at(self, e: Row) -> None:
        worlds = self._worlds(e)
        if e.index is None or e.ret is None:
            return
        for machine in worlds.machines:
            machine.dynamic = True
            machine.domain.taken.discard(e.index)  # the insert inside it was heard before
        healthy = one(e.index) if e.request is not None else None
        if all(m.msix_enabled for m in worlds.machines):
            self._judge(e, "alloc_at", "the index, or the insert's error", worlds, e.index, healthy=healthy)
        else:
            self._compare(e, "alloc_at", "the index, or the insert's error", None, e.ret, healthy=healthy)
        for machine in worlds.machines:
            if e.ret >= 0:
                machine.domain.taken.add(e.index)
                machine.vectors.add(e.index)

    def on_op_free(self, e: Row) -> None:
        for machine in self._worlds(e).machines:
            machine.free()

    def on_op_close(self, e: Row) -> None:
        self._worlds(e).unbound = e.source not in self.removals
        for machine in self._worlds(e).machines:
            machine.unbind() if e.how == "rebind" else machine.free()
            machine.at_least = 0  # before the next session the table may change

    def _worlds(self, e: Row) -> Worlds:
        key = key_of(e)
        if (worlds := self.functions.get(key)) is None:
            worlds = self.functions[key] = Worlds(self.per_device, self.reservation)
        return worlds

    def _judge(self, e: Row, operation: str, rule: str, worlds: Worlds, *arguments: Any, healthy: Prediction = None) -> None:
        """Compare with a function whose domain is as large as its table; a miss that the domain's own size predicts is MSI-001's."""
        actual = worlds.predict(operation, *arguments)
        known = actual if actual is None or e.ret in actual and e.ret != ERANGE else worlds.predict(operation, *arguments, healthy=True)
        stale = e.ret == ERANGE and actual == frozenset((ERANGE,)) and any(m.domain.per_device for m in worlds.machines)
        name = OPERATIONS.get(operation, operation)
        self._compare(e, name, rule, known, e.ret, "MSI-001" if stale else None, healthy=healthy)

    def _compare(
        self,
        e: Row,
        operation: str,
        rule: str,
        known: Prediction,
        observed: int,
        code: str | None = None,
        *,
        healthy: Prediction = None,
    ) -> None:
        label = e.bdf or (f"pci_dev {e.device:#x}" if e.device is not None else "an unnamed device")
        predicted = healthy if known is None else known
        agrees = None if predicted is None else observed in predicted
        self.emit(
            "predictions",
            e,
            operation=operation,
            subject=label,
            rule=rule,
            predicted=None if predicted is None else shown(predicted),
            observed=str(observed),
            basis=None if predicted is None else "healthy" if known is None else "known",
            agrees=agrees,
            explained_by=code if agrees is False else None,
            ts_end=getattr(e, "ts_end", None),
            line_end=getattr(e, "line_end", None),
        )


def shown(predicted: frozenset[int]) -> str:
    """Return results as text: `-28 or 1..16`."""
    parts: list[list[int]] = []
    for n in sorted(predicted):
        if parts and n == parts[-1][-1] + 1 and n > 1:
            parts[-1].append(n)
        else:
            parts.append([n])
    return " or ".join(f"{p[0]}..{p[-1]}" if len(p) > 2 else " or ".join(map(str, p)) for p in parts)
