"""Replays SET_IRQS through the machine of an opened device and compares what it predicts with what was observed."""

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

import polars as pl

from tracekit import Model, Row, Schema, gate_value
from tracekit_vfio.machines.vfio_device import Action, Prediction, VfioDevice
from tracekit_vfio.models.windows import Key, identity

PREDICTION = {
    **dict.fromkeys(("operation", "subject", "rule", "predicted", "observed"), pl.String()),
    "agrees": pl.Boolean(),
    "explained_by": pl.String(),
}
# What an error of the calls inside a request is a sign of, where these should have worked.
CAUSES = {-34: "MSI-001", -28: "VEC-001"}
ACTIONS: dict[int, Action] = {0x20: "trigger", 0x10: "unmask", 0x8: "mask"}
RULE = "mode, range and what is enabled; then the allocation's result, then the wiring's"


class VfioReplay(Model):
    """Predictions for SET_IRQS (table `predictions`): from what the open has enabled, and the results of the calls inside.

    `KV4` unknown: the union over hosts that can grow in place and hosts that cannot.
    """

    tables: ClassVar[dict[str, Schema]] = {"predictions": PREDICTION}
    needs: ClassVar[tuple[str, ...]] = ("gates",)
    gates: ClassVar[tuple[str, ...]] = ("KV4",)

    def __init__(self) -> None:
        super().__init__()
        self.devices: dict[Key, list[VfioDevice]] = {}
        self.ended: set[Key | None] = set()  # devices that were closed
        self.choices: tuple[bool, ...] = (True, False)
        self.allocated: dict[int | None, int] = {}  # request -> result of the enable inside
        self.added: dict[int | None, dict[int, int]] = {}  # request -> index -> result
        self.wired: dict[int | None, int] = {}  # request -> first error of a wiring, else 0

    def run(self, rows: Iterable[tuple[str, Row]], tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
        known = gate_value(tables.get("gates"), "KV4")
        self.choices = self.choices if known is None else (known,)
        return super().run(rows, tables)

    def on_op_open(self, e: Row) -> None:
        if (key := identity(e)) is not None:
            self.ended.discard(key)
            self.devices[key] = [VfioDevice(dynamic=c) for c in self.choices]

    def on_op_close(self, e: Row) -> None:
        """The kernel's own last SET_IRQS may still follow; what comes after it finds nothing enabled."""
        if (key := identity(e)) is not None:
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
        known = None not in (e.index, e.start, e.count, e.data) and action is not None
        devices = self._devices(e)
        if not e.closing and identity(e) in self.ended:
            self.ended.discard(identity(e))
            for device in devices:
                device.close()
        if e.call in self.allocated:  # the kernel allocates vectors only where none are enabled
            for device in (d for d in devices if d.irq_type is None):
                device.close()
        named = known and identity(e) is not None
        if e.ret is not None:
            self._compare(e, self._predict(e, devices) if named else None, devices)
        for device in devices:
            if not known and e.flags is None:
                device.unknown()
            elif known and action is not None and e.ret is not None:
                device.observed(e.index, e.start, e.count, e.data, e.ret, action)

    def _predict(self, e: Row, devices: list[VfioDevice]) -> Prediction:
        def alloc(_: int) -> Prediction:
            return frozenset((self.allocated[e.call],)) if e.call in self.allocated else None

        def alloc_at(index: int) -> Prediction:
            found = self.added.get(e.call, {}).get(index)
            return None if found is None else frozenset((found,))

        return _union(e, devices, alloc, alloc_at, self.wired.get(e.call))

    def _healthy(self, e: Row, devices: list[VfioDevice]) -> Prediction:
        """What the request would return if everything inside it worked; an enable of no vectors never does."""
        return _union(e, devices, lambda n: frozenset((n if n > 0 else -34,)), lambda i: frozenset((i,)), 0)

    def _devices(self, e: Row) -> list[VfioDevice]:
        key = identity(e)
        if key is None:
            return []
        return self.devices.setdefault(key, [VfioDevice(dynamic=c, irq_type=None) for c in self.choices])

    def _compare(self, e: Row, actual: Prediction, devices: list[VfioDevice]) -> None:
        """A request that fails as a call inside it did is a miss with a cause; where the calls inside are not known, so is the result."""
        label = e.bdf or (f"vdev {e.vdev:#x}" if e.vdev is not None else "an unnamed device")
        code = CAUSES.get(e.ret) if actual == frozenset((e.ret,)) else None
        predicted = self._healthy(e, devices) if code else actual
        agrees = None if predicted is None else e.ret in predicted
        self.emit(
            "predictions",
            e,
            operation="set_irqs",
            subject=label,
            rule=RULE,
            predicted=None if predicted is None else " or ".join(map(str, sorted(predicted))),
            observed=str(e.ret),
            agrees=agrees,
            explained_by=code if agrees is False else None,
            ts_end=e.ts_end,
            line_end=e.line_end,
        )


def _action(e: Row) -> Action | None:
    """What the flags ask for (VFIO_IRQ_SET_ACTION_*, include/uapi/linux/vfio.h); a request known by what it did is a trigger."""
    if e.flags is None:
        return "trigger"
    return next((action for bit, action in ACTIONS.items() if e.flags & bit), None)


Call = Callable[[int], Prediction]


def _union(e: Row, devices: list[VfioDevice], alloc: Call, alloc_at: Call, wiring: int | None) -> Prediction:
    """What the request may return on any of the devices; it changes none of them."""
    results: set[int] = set()
    for device in [d.copy() for d in devices]:
        one = device.set_irqs(
            e.index, e.start, e.count, e.data, alloc=alloc, alloc_at=alloc_at, wiring=wiring, action=_action(e) or "trigger"
        )
        if one is None:
            return None
        results |= one
    return frozenset(results)
