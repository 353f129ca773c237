"""A program that opens functions through VFIO and serves no guest: it sends the requests that the scenario lists."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tracekit import VFIO_ERR, VFIO_INTX, VFIO_REQ, Request

KINDS = {"intx": VFIO_INTX, "error": VFIO_ERR, "request": VFIO_REQ}
NAMES = {"intx": "INTx", "error": "the notifier of errors", "request": "the notifier of requests"}


@dataclass(frozen=True, slots=True)
class Sent:
    """One SET_IRQS as it goes out. `data` none with count 0 disables."""

    index: int
    start: int
    count: int
    data: Literal["none", "eventfd"]
    action: str = "trigger"
    empty: frozenset[int] = frozenset()


def sent(r: Request, index: int) -> Sent:
    """Return a request for a device whose vectors have this index."""
    kind = KINDS.get(r.kind, index)
    if r.what == "disable":
        return Sent(kind, 0, 0, "none")
    if r.what in ("mask", "unmask"):
        return Sent(kind, 0, 1, "none", r.what)
    return Sent(kind, r.start, r.count, "eventfd")


def grouped(requests: Sequence[Request]) -> Iterator[tuple[Request, ...]]:
    """Yield what belongs together: a disable, and the enable of more vectors that follows at once, are one resize."""
    left = [r for r in requests for _ in range(r.times)]
    most = 0
    while left:
        first = left.pop(0)
        if first.kind != "vectors":
            yield (first,)
            continue
        after = left[0] if left else None
        if first.what == "disable" and most and after is not None and _enables(after) and after.start + after.count > most:
            left.pop(0)
            most = after.start + after.count
            yield first, after
            continue
        most = 0 if first.what == "disable" else max(most, first.start + first.count)
        yield (first,)


def _enables(r: Request) -> bool:
    return r.kind == "vectors" and r.what == "enable"


def words(group: Sequence[Request]) -> str:
    """Return what the program does."""
    return "the program " + " and ".join(_words(r) for r in group)


def _words(r: Request) -> str:
    if r.kind != "vectors":
        return f"{r.what}s {NAMES[r.kind]}"
    if r.what == "disable":
        return "disables its vectors"
    return f"enables vector{'' if r.count == 1 else 's'} {r.start}{'' if r.count <= 1 else f' to {r.start + r.count - 1}'}"
