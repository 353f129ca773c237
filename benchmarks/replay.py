"""Measure the replay: operations per second through the machines and the driver. `python benchmarks/replay.py [SESSIONS]`.

The operations are those of VFIO sessions (open, enable of 8 vectors, disable, close) of many devices, and dom0 set-ups under Xen. One
process a core takes its share of the devices, as batches do.
"""

import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import polars as pl

from tracekit.plugins import registry as plugins
from tracekit.replay.model import replay

VECTORS = 8
STREAM = pl.DataFrame([("ops", 0, False)], schema={"source": pl.String, "stream": pl.Int64, "merged": pl.Boolean}, orient="row")
REPLAYED = ("MsiReplay", "VfioReplay", "PirqLives")


def session(n: int, at: int) -> list[tuple[str, dict[str, Any]]]:
    """One session of device `n`, from line `at` on; rows are emitted as calls end."""
    device, vdev = 0xFF11000000000000 + n * 0x1000, 0xFF11000100000000 + n * 0x1000
    enable, request, off = at + 1, at + 1, at + 30
    who = {"device": device, "vdev": vdev, "bdf": f"0000:{n % 256:02x}:00.0", "entity": n}
    irqs = {"flags": 0x24, "index": 2, "start": 0, "closing": False}
    rows: list[tuple[str, dict[str, Any]]] = [("op_open", {**who, "line": at})]
    rows += [("op_domain_setup", {**who, "kind": "msix", "hwsize": VECTORS, "attempt": enable, "line": at + 2, "line_end": at + 2})]
    for i in range(VECTORS):
        rows.append(("op_insert", {**who, "index": i, "ret": 0, "attempt": enable, "request": request, "line": at + 3 + i}))
    rows.append(
        ("op_alloc", {**who, "kind": "msix", "min": 1, "max": VECTORS, "ret": VECTORS, "call": enable, "request": request, "line": at + 12})
    )
    for i in range(VECTORS):
        rows.append(("op_vector", {**who, "vector": i, "fd": 20 + i, "irq": 40 + i, "ret": 0, "request": request, "line": at + 13 + i}))
    rows.append(("op_set_irqs", {**who, **irqs, "count": VECTORS, "data": "eventfd", "ret": 0, "call": request, "line": at + 22}))
    rows.append(("op_free", {**who, "request": off, "line": at + 23}))
    rows.append(("op_set_irqs", {**who, **irqs, "flags": 0x21, "count": 0, "data": "none", "ret": 0, "call": off, "line": at + 24}))
    rows.append(("op_close", {**who, "how": "close_device", "line": at + 25}))
    return rows


def set_up(n: int, at: int) -> list[tuple[str, dict[str, Any]]]:
    """A dom0 set-up of two vectors and their teardown."""
    who = {"device": 0xFFFF888000000000 + n % 8 * 0x1000, "tid": 7}
    rows = [("op_xen_bind", {**who, "pirq": 400 - i, "irq": 40 + i, "ret": 40 + i, "line": at + 1 + i}) for i in range(2)]
    rows.append(("op_xen_setup", {**who, "nvec": 2, "type": 17, "ret": 0, "line": at, "line_end": at + 3}))
    rows += [("op_xen_destroy", {**who, "irq": 41 - i, "ret": 0, "line": at + 4 + i, "line_end": at + 4 + i}) for i in range(2)]
    return rows


def tables(sessions: int) -> dict[str, pl.DataFrame]:
    """The operations as frames of the schemas that the models declare."""
    made: dict[str, list[dict[str, Any]]] = {}
    for n in range(sessions):
        for name, row in [*session(n % 64, n * 50), *set_up(n, n * 50 + 32)]:
            made.setdefault(name, []).append({"source": "ops", "boot": 0, **row})
    schemas = {name: schema for m in plugins.load().models for name, schema in m.schemas().items()}
    gate = {"source": "ops", "line": 0, "boot": 0, "gate": "KV2", "value": True, "basis": "observed", "why": ""}
    made["gates"] = [gate, {**gate, "gate": "KV4"}]
    return {name: pl.DataFrame(rows, schema=schemas[name], orient="row") for name, rows in made.items()}


def replayed(sessions: int) -> tuple[int, float]:
    """(operations, seconds of the replay) of one process."""
    frames = tables(sessions)
    models = [m for m in plugins.load().models if m.__name__ in REPLAYED]
    begin = time.perf_counter()
    emitted = replay(models, frames, STREAM, _raise)
    seconds = time.perf_counter() - begin
    assert emitted["predictions"]["agrees"].drop_nulls().all()
    return sum(f.height for name, f in frames.items() if name.startswith("op_")), seconds


def _raise(model: type, error: BaseException) -> None:
    raise error


def main() -> None:
    """Print operations, seconds, and operations a second of one process and of all cores together."""
    sessions = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    cores = len(os.sched_getaffinity(0))
    alone = replayed(sessions)
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        shares = list(pool.map(replayed, [sessions] * cores))
    together = sum(n for n, _ in shares), max(s for _, s in shares)
    for name, (operations, seconds) in (("one process", alone), (f"{cores} processes", together)):
        print(f"{name}: {operations:,} operations in {seconds:.2f} s, {operations / seconds:,.0f} a second")


if __name__ == "__main__":
    main()
