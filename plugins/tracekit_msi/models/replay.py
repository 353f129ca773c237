"""Replays operations through the machine of a PCI function and compares what it predicts with what was observed."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import polars as pl

from tracekit import Model, Row, Schema, gate_value
from tracekit_msi.machines.msi_domain import ERANGE, MAX_INDEX, MsiDomain, Prediction
from tracekit_msi.machines.pci_function import PciFunction
from tracekit_msi.models.enables import Key, key_of

PREDICTION = {
    **dict.fromkeys(("operation", "subject", "rule", "predicted", "observed"), pl.String()),
    "agrees": pl.Boolean(),
    "explained_by": pl.String(),
}

ENABLED = "min, max, table size, domain, in this order"
OPERATIONS = {"enable_msix": "enable"}


class Worlds:
    """The machines of one function under every value that unknown gates may have; what is observed holds in all of them."""

    def __init__(self, per_device: bool | None, reservation: bool) -> None:
        choices = (True, False) if per_device is None else (per_device,)
        self.machines = [PciFunction(MsiDomain(c), reservation=reservation) for c in choices]

    def predict(self, operation: str, *arguments: Any, healthy: bool = False) -> Prediction:
        """The union of what an operation may return; it changes nothing. `healthy`: if no domain were smaller than its table."""
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
        """An insert was refused with -34: only a device's own domain does that, and the first index refused is its size."""
        self.machines = [m for m in self.machines if m.domain.per_device] or self.machines
        for machine in self.machines:
            machine.domain.learn(index, ERANGE)


def _table(machine: PciFunction) -> int | None:
    """The size that a device's own domain has if it follows the table; None for a domain without a size."""
    if not machine.domain.per_device or machine.domain.kind not in ("msix", None):
        return None
    return max(machine.domain.hwsize or 0, machine.msix_count or MAX_INDEX)


def _tried(machine: PciFunction, operation: str, arguments: tuple[Any, ...], size: int | None) -> Prediction:
    """What an operation returns; the machine is a copy that may change."""
    if size is not None:
        machine.domain.hwsize = size
    if operation == "enable_msix":
        machine.free()
    predicted: Prediction = getattr(machine, operation)(*arguments)
    return predicted


class MsiReplay(Model):
    """Predictions for enables, inserts, single allocations and the making of domains (tables `predictions`).

    State that the recording does not show is unknown: what depends on it is not predicted.
    """

    tables: ClassVar[dict[str, Schema]] = {"predictions": PREDICTION}
    needs: ClassVar[tuple[str, ...]] = ("gates",)
    gates: ClassVar[tuple[str, ...]] = ("KV1", "KV2")

    def __init__(self) -> None:
        super().__init__()
        self.functions: dict[Key, Worlds] = {}
        self.per_device: bool | None = None
        self.reservation = True
        self.started: set[int | None] = set()  # attempts whose first insert was heard

    def run(self, rows: Iterable[tuple[str, Row]], tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
        self.per_device = gate_value(tables.get("gates"), "KV2")
        self.reservation = gate_value(tables.get("gates"), "KV1") is not False
        return super().run(rows, tables)

    def on_op_table_size(self, e: Row) -> None:
        for machine in self._worlds(e).machines:
            machine.msix_count = e.count

    def on_op_domain_create(self, e: Row) -> None:
        """Predicted where the kind of the domain before is known."""
        kinds = {m.domain.kind for m in self._worlds(e).machines if m.domain.per_device}
        known = None if None in kinds else frozenset({int(k != "msix") for k in kinds})
        self._compare(e, "domain_create", "made only where no domain of the kind exists", known, 1)
        for machine in self._worlds(e).machines:
            if machine.domain.per_device:
                machine.domain.create("msix", e.hwsize)

    def on_op_domain_setup(self, e: Row) -> None:
        if e.hwsize is not None and e.kind != "msi":
            for machine in self._worlds(e).machines:
                machine.msix_count = e.hwsize

    def on_op_domain_remove(self, e: Row) -> None:
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
        if e.index is None or e.ret is None:
            return
        if e.ret == ERANGE and e.index > 0:
            worlds.bounded(e.index)
        self._judge(e, "insert", "every index below the table's size", worlds, e.index)
        for machine in worlds.machines:
            machine.domain.learn(e.index, e.ret)

    def on_op_alloc(self, e: Row) -> None:
        worlds = self._worlds(e)
        if e.ret is not None and (e.kind != "msix" or e.min is None or e.max is None):
            self._compare(e, "enable", ENABLED, None, e.ret)
        elif e.ret is not None:
            self._judge(e, "enable_msix", ENABLED, worlds, e.min, e.max)
        for machine in worlds.machines:
            machine.free()
            if e.ret is not None and e.ret > 0 and e.kind == "msix":
                machine.granted(e.ret)

    def on_op_alloc_at(self, e: Row) -> None:
        worlds = self._worlds(e)
        if e.index is None or e.ret is None:
            return
        for machine in worlds.machines:
            machine.dynamic = True
            machine.domain.taken.discard(e.index)  # the insert inside it was heard before
        if all(m.msix_enabled for m in worlds.machines):
            self._judge(e, "alloc_at", "the index, or the insert's error", worlds, e.index)
        else:
            self._compare(e, "alloc_at", "the index, or the insert's error", None, e.ret)
        for machine in worlds.machines:
            if e.ret >= 0:
                machine.domain.taken.add(e.index)
                machine.vectors.add(e.index)

    def on_op_free(self, e: Row) -> None:
        for machine in self._worlds(e).machines:
            machine.free()

    def on_op_close(self, e: Row) -> None:
        for machine in self._worlds(e).machines:
            machine.unbind() if e.how == "rebind" else machine.free()
            machine.at_least = 0  # before the next session the table may change

    def _worlds(self, e: Row) -> Worlds:
        key = key_of(e)
        if (worlds := self.functions.get(key)) is None:
            worlds = self.functions[key] = Worlds(self.per_device, self.reservation)
        return worlds

    def _judge(self, e: Row, operation: str, rule: str, worlds: Worlds, *arguments: Any) -> None:
        """Compare with a function whose domain is as large as its table; a miss that the domain's own size predicts is MSI-001's."""
        actual = worlds.predict(operation, *arguments)
        healthy = actual if actual is None or e.ret in actual and e.ret >= 0 else worlds.predict(operation, *arguments, healthy=True)
        stale = e.ret == ERANGE and actual == frozenset((ERANGE,)) and any(m.domain.per_device for m in worlds.machines)
        self._compare(e, OPERATIONS.get(operation, operation), rule, healthy, e.ret, "MSI-001" if stale else None)

    def _compare(self, e: Row, operation: str, rule: str, predicted: Prediction, observed: int, code: str | None = None) -> None:
        label = e.bdf or (f"pci_dev {e.device:#x}" if e.device is not None else "an unnamed device")
        agrees = None if predicted is None else observed in predicted
        self.emit(
            "predictions",
            e,
            operation=operation,
            subject=label,
            rule=rule,
            predicted=None if predicted is None else " or ".join(map(str, sorted(predicted))),
            observed=str(observed),
            agrees=agrees,
            explained_by=code if agrees is False else None,
            ts_end=getattr(e, "ts_end", None),
            line_end=getattr(e, "line_end", None),
        )
