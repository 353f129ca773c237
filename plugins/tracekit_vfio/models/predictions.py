"""Replay SET_IRQS through the machine of an opened device, and compare predicted with observed results."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, ClassVar

from tracekit import (
    ENOSPC,
    ENOTTY,
    ERANGE,
    PREDICTIONS,
    VFIO_MASK,
    VFIO_NONE,
    VFIO_TRIGGER,
    VFIO_UNMASK,
    Inputs,
    Model,
    Row,
    Table,
    device_of,
    gate_value,
    in_table,
)
from tracekit_vfio.machines.vfio_device import Action, Prediction, VfioDevice
from tracekit_vfio.models.windows import Key

# What an error of the calls inside a request is a sign of, where these should have worked.
CAUSES = {ERANGE: "MSI-001", ENOSPC: "VEC-001"}
Asked = tuple[int, int, int, Any]  # index, start, count, data
ACTIONS: dict[int, Action] = {VFIO_TRIGGER: "trigger", VFIO_UNMASK: "unmask", VFIO_MASK: "mask"}
# What hosts there are: those that add vectors in place, and those that do not, with the range of a request checked or not.
HOSTS = ((True, True), (False, True), (False, False))
RULE = "mode, range and what is enabled; then the allocation's result, then the wiring's"


class VfioReplay(Model):
    """Predict SET_IRQS (table `predictions`) from the vectors enabled since the open, and the results of the calls inside.

    `basis`: known, or healthy: what the request returns if everything inside it works and it fits what is enabled, where that is not shown.

    `KV4` or `KV7` unknown: the union over the hosts that may be.
    """

    tables: ClassVar[tuple[Table, ...]] = (PREDICTIONS,)
    needs: ClassVar[tuple[str, ...]] = ("gates",)
    gates: ClassVar[tuple[str, ...]] = ("KV4", "KV7")

    def __init__(self) -> None:
        super().__init__()
        self.devices: dict[Key, list[VfioDevice]] = {}
        self.only: dict[str, Key | None] = {}  # source -> its only device, where it has one: rows without a name are about it
        self.ended: set[Key] = set()  # devices that were closed
        self.choices: tuple[tuple[bool, bool], ...] = HOSTS
        self.allocated: dict[int | None, int] = {}  # request -> result of the enable inside
        self.added: dict[int | None, dict[int, int]] = {}  # request -> index -> result
        self.wired: dict[int | None, int] = {}  # request -> first error of a wiring, else 0

    def play(self, rows: Iterable[tuple[str, Row]], tables: Inputs) -> None:
        dynamic, sparse = (gate_value(tables.get("gates"), code) for code in self.gates)
        self.choices = tuple(c for c in HOSTS if dynamic in (None, c[0]) and (sparse in (None, c[1]) or c[0])) or HOSTS
        heard = list(rows)
        named: dict[str, set[Key]] = {}
        for name, row in heard:
            if name.startswith("op_"):
                named.setdefault(row.source, set()).update(key for key in (device_of(row),) if key is not None)
        self.only = {source: next(iter(keys), ("source", source)) for source, keys in named.items() if len(keys) < 2}
        super().play(heard, tables)

    def _key(self, e: Row) -> Key | None:
        return device_of(e) or self.only.get(e.source)

    def on_op_open(self, e: Row) -> None:
        if (key := self._key(e)) is not None:
            self.ended.discard(key)
            self.devices[key] = [VfioDevice(dynamic=d, sparse=s) for d, s in self.choices]

    def on_op_close(self, e: Row) -> None:
        """Close the device: the kernel's own last SET_IRQS may still follow; a later request finds nothing enabled."""
        if (key := self._key(e)) is not None:
            self.ended.add(key)

    def on_op_alloc(self, e: Row) -> None:
        if e.ret is not None:
            self.allocated[e.request] = e.ret

    def on_op_alloc_at(self, e: Row) -> None:
        if e.ret is not None and e.index is not None:
            self.added.setdefault(e.request, {})[e.index] = e.ret

    def on_op_vector(self, e: Row) -> None:
        if e.ret is not None and (e.fd is None or e.fd >= 0):
            self.wired[e.request] = self.wired.get(e.request) or min(e.ret, 0)

    def on_op_set_irqs(self, e: Row) -> None:
        action = _action(e)
        asked = _asked(e)
        devices = self._devices(e)
        key = self._key(e)
        if not e.closing and key in self.ended:
            self.ended.discard(key)
            for device in devices:
                device.close()
        if e.call in self.allocated:  # the kernel allocates vectors only where none are enabled
            for device in (d for d in devices if d.irq_type is None):
                device.close()
        if e.ret is not None:
            self._compare(e, devices, asked, action)
        for device in devices:
            if asked is None and e.flags is None or asked is not None and e.ret is None and action == "trigger":
                device.unknown()  # what the request did is not recorded
            elif asked is not None and action is not None and e.ret is not None:
                device.observed(*asked, e.ret, action)

    def _actual(self, e: Row, devices: list[VfioDevice], asked: Asked | None, action: Action | None) -> Prediction:
        """Return the results that follow from the enabled vectors and from the calls inside."""
        if not devices or action is None:
            return None
        if asked is None:
            return _closed(devices) if e.closing else None

        def alloc(_: int) -> Prediction:
            return frozenset((self.allocated[e.call],)) if e.call in self.allocated else None

        def alloc_at(index: int) -> Prediction:
            found = self.added.get(e.call, {}).get(index)
            return None if found is None else frozenset((found,))

        return _union(asked, action, devices, alloc, alloc_at, self.wired.get(e.call))

    def _devices(self, e: Row) -> list[VfioDevice]:
        key = self._key(e)
        if key is None:
            return []
        return self.devices.setdefault(key, [VfioDevice(dynamic=d, sparse=s, irq_type=None) for d, s in self.choices])

    def _compare(self, e: Row, devices: list[VfioDevice], asked: Asked | None, action: Action | None) -> None:
        """Explain a failure: by a failed call inside; where the calls inside are unknown, a healthy request succeeds."""
        label = e.bdf or (f"vdev {e.vdev:#x}" if e.vdev is not None else "an unnamed device")
        actual = self._actual(e, devices, asked, action)
        code = CAUSES.get(e.ret) if actual is None or actual == frozenset((e.ret,)) else None
        predicted = actual
        if actual is None or code:
            predicted = _healthy(asked, action, devices) if devices and asked is not None and action is not None else None
        agrees = None if predicted is None else e.ret in predicted
        self.emit(
            "predictions",
            e,
            operation="set_irqs",
            subject=label,
            rule=RULE,
            predicted=None if predicted is None else " or ".join(map(str, sorted(predicted))),
            observed=str(e.ret),
            basis=None if predicted is None else "healthy" if actual is None else "known",
            agrees=agrees,
            explained_by=code if agrees is False else None,
            ts_end=e.ts_end,
            line_end=e.line_end,
        )


def _asked(e: Row) -> Asked | None:
    """Return the request. One known only by its effects starts at vector 0."""
    start = 0 if e.start is None and e.flags is None else e.start
    if None in (e.index, start, e.count, e.data):
        return None
    return e.index, start, e.count, e.data


def _action(e: Row) -> Action | None:
    """Return the action of the flags (VFIO_IRQ_SET_ACTION_*, include/uapi/linux/vfio.h). A request known by its effects is a trigger."""
    if e.flags is None:
        return "trigger"
    return next((action for bit, action in ACTIONS.items() if e.flags & bit), None)


Call = Callable[[int], Prediction]


def _union(asked: Asked, action: Action, devices: list[VfioDevice], alloc: Call, alloc_at: Call, wiring: int | None) -> Prediction:
    """Return the possible results of the request on any of the devices, without a change of state."""
    results: set[int] = set()
    for device in [d.copy() for d in devices]:
        one = device.set_irqs(*asked, alloc=alloc, alloc_at=alloc_at, wiring=wiring, action=action)
        if one is None:
            return None
        results |= one
    return frozenset(results)


def _healthy(asked: Asked, action: Action, devices: list[VfioDevice]) -> Prediction:
    """Return the results if every call inside succeeds, for any enabled set where that is unknown. No vectors are never enabled."""
    index, start, count, _ = asked
    known = [d for d in devices if d.irq_type is not None]
    for d in (d for d in devices if d.irq_type is None):
        reached = set(in_table(0, start + count))
        known += [replace(d, irq_type=VFIO_NONE), replace(d, irq_type=index, allocated=reached, wired=set(reached))]
    return _union(asked, action, known, lambda n: frozenset((n if n > 0 else ERANGE,)), lambda i: frozenset((i,)), 0)


def _closed(devices: list[VfioDevice]) -> Prediction:
    """Return the result of the kernel's own last request (vfio_pci_core_disable): 0 where vectors are enabled, else ENOTTY."""
    results: set[int] = set()
    for d in devices:
        results |= {ENOTTY, 0} if d.irq_type is None else {ENOTTY} if d.irq_type == VFIO_NONE else {0}
    return frozenset(results)
