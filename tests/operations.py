"""The operations that an analysis sees in a log, in order, with their results: what a recording and a simulation of it are compared by."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import polars as pl

ARGUMENTS = {
    "op_open": (),
    "op_close": (),
    "op_set_irqs": ("index", "start", "count", "data"),
    "op_alloc": ("kind", "min", "max"),
    "op_domain_setup": ("hwsize",),
    "op_domain_create": ("hwsize",),
    "op_domain_remove": (),
    "op_insert": ("index",),
    "op_alloc_at": ("index",),
    "op_vector": ("vector",),
    "op_free": (),
    "vector_reserve_managed": (),
    "vector_alloc": (),
    "vector_alloc_managed": (),
}
TABLES = tuple(ARGUMENTS)
CLOSING, UNKNOWN = "closing set_irqs", "unknown set_irqs"


class Operation(NamedTuple):
    """One operation: its kind, its arguments and its result; None for what the log does not show."""

    kind: str
    arguments: tuple[Any, ...]
    ret: int | None
    line: int


def operations(tables: Mapping[str, pl.DataFrame], source: str | None = None) -> list[Operation]:
    """The operations of one source; of a vector, whether it is wired or detached.

    A request of which nothing is shown may be the kernel's own, with which it closes.
    """
    found = []
    for kind, names in ARGUMENTS.items():
        frame = tables.get(kind)
        for row in frame.iter_rows(named=True) if frame is not None else ():
            if source is None or row["source"] == source:
                told = tuple(row[name] for name in names)
                wired = () if kind != "op_vector" else ("detached" if row["fd"] == -1 else "wired",)
                name = kind if kind != "op_set_irqs" else CLOSING if row["closing"] else UNKNOWN if told == (None,) * 4 else kind
                ret = None if kind == "op_close" else row.get("ret")
                at = row.get("line_end") or row["line"] if kind == "op_vector" else row["line"]  # of some only the return is recorded
                found.append((at, TABLES.index(kind), Operation(name, (*told, *wired), ret, row["line"])))
    return [op for *_, op in sorted(found, key=lambda f: f[:2])]


def differences(recorded: Sequence[Operation], simulated: Sequence[Operation], late: bool = False) -> tuple[int, list[str]]:
    """How many operations are equal, in order, and those that differ.

    What a recording does not show of one is not compared, nor are kinds of which it has none: these were not traced. `late`: it begins in
    the middle of what is simulated; what comes after its end is left out. Vectors of CPUs are an order of their own, since they come from
    another event than the rest.
    """
    kinds = {op.kind for op in recorded} | {"op_set_irqs"}
    choices = [kinds, kinds | {CLOSING}] if UNKNOWN in kinds else [kinds]
    best = max((_pairs(recorded, [op for op in simulated if op.kind in of], late) for of in choices), key=_agreed)
    return _agreed(best), [f"line {a.line}: {_text(a)}, simulated: {_text(b)}" for a, b in best if not _agree(a, b)]


Pairs = list[tuple[Operation, Operation | None]]


def _pairs(recorded: Sequence[Operation], simulated: Sequence[Operation], late: bool) -> Pairs:
    found: Pairs = []
    for of_cpus in (False, True):
        mine, left = ([op for op in ops if op.kind.startswith("vector_") == of_cpus] for ops in (recorded, simulated))
        begins = [left[n:] for n in range(max(len(left), 1) if late else 1)]
        found += max(([*zip_longest(mine, ops[: len(mine)])] for ops in begins), key=_agreed)
    return found


def _agreed(pairs: Pairs) -> int:
    return sum(_agree(a, b) for a, b in pairs)


def _agree(recorded: Operation, simulated: Operation | None) -> bool:
    if simulated is None or simulated.kind not in ((CLOSING, "op_set_irqs") if recorded.kind == UNKNOWN else (recorded.kind,)):
        return False
    pairs = zip((*recorded.arguments, recorded.ret), (*simulated.arguments, simulated.ret), strict=True)
    return all(a is None or a == b for a, b in pairs)


def _text(op: Operation | None) -> str:
    return "nothing" if op is None else f"{op.kind.removeprefix('op_')} {' '.join(map(str, op.arguments))} -> {op.ret}"
