"""Rows as evidence, and whom a row of a Xen log is about."""

from collections.abc import Iterable, Iterator
from typing import Literal

import polars as pl

from tracekit import DOMID_SELF, Evidence, Row, Subject, at, rows_of

Role = Literal["cause", "effect", "context", "cure"]


def rows(*frames: pl.DataFrame | None) -> Iterator[Row]:
    """Yield the rows of several tables, one table after the other."""
    for frame in frames:
        if frame is not None:
            yield from rows_of(frame)


def whole(row: Row, role: Role = "effect") -> Evidence:
    """Return the line of a row; of a call or a span, its first line with the last one."""
    return at(row, role, end="line_end")


def at_end(row: Row, role: Role = "effect") -> Evidence:
    """Return the line on which a call returned."""
    return at(row, role, line="line_end")


def guest_function(bdf: str | None) -> Subject:
    """Return a function as its guest numbers it, which is no BDF of the host."""
    if not bdf:
        return Subject("guest", "domain")
    return Subject(f"guest's {bdf}", "pci", how="the device model's `Real physical device` line names the host's function")


def domain_of(domid: int | None) -> int | None:
    """Return the domain that a dom0 message means: 32752 is dom0 itself."""
    return 0 if domid == DOMID_SELF else domid


def domain(domid: int | None, about: Iterable[Subject] = ()) -> Subject:
    """Return a domain, with the functions that it is about: those with a BDF, else their pointers."""
    name = "guest" if domid is None else f"dom{domid}"
    known = sorted({s.label for s in about if s.kind == "pci"})
    shown = [x for x in known if not x.startswith("pci_dev ")] or known
    return Subject(f"{name} ({', '.join(shown)})" if shown else name, "domain", aliases=tuple(known))


def times(n: int) -> str:
    """Return how often, in words."""
    return "once" if n == 1 else f"{n} times"


def spans(numbers: Iterable[int]) -> str:
    """Return numbers as text, falling, runs joined: `37..25`."""
    runs: list[list[int]] = []
    for n in sorted(set(numbers), reverse=True):
        if runs and n == runs[-1][1] - 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return ", ".join(str(a) if a == b else f"{a}..{b}" for a, b in runs)
