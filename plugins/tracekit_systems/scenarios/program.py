"""A program that opens functions through VFIO and serves no guest: it sends the requests that the scenario lists."""

from collections.abc import Sequence
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


def take(left: list[Request], enabled: int, size: int) -> list[Request]:
    """Take what comes next: a disable of `enabled` vectors, and the enable of more that follows at once, are one resize.

    `size`: entries of the table. What disables again, or asks beyond the table, changes nothing between the two.
    """
    first = left.pop(0)
    if first.kind != "vectors" or first.what != "disable" or not enabled:
        return [first]
    idle = 0
    while idle < len(left) and left[idle].kind == "vectors" and (left[idle].what == "disable" or beyond(left[idle], size)):
        idle += 1
    if idle < len(left) and _enables(left[idle]) and left[idle].start + left[idle].count > enabled:
        following = left[: idle + 1]
        del left[: idle + 1]
        return [first, *following]
    return [first]


def beyond(r: Request, size: int) -> bool:
    """Return whether a request is for vectors that the table has not."""
    return _enables(r) and r.start + r.count > size


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
