"""Requests for pirqs that were refused, whoever tells: dom0's messages and calls, an HVM guest, the device model, the hypervisor."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import polars as pl

from tracekit import ENODEV, ENOSPC, Row, Subject
from tracekit_xen.places import domain_of, function, guest_function, rows

By = Literal["dom0", "call", "guest", "device model", "backend", "vpci", "hypervisor"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal. `domid`: whose pirq it was to be (null: an unnamed domU); `errno` 0 where none is printed."""

    row: Row
    by: By
    domid: int | None
    errno: int
    subject: Subject
    wanted: int | None = None

    @property
    def starved(self) -> bool:
        """Whether no number was free: -28, or an HVM guest's own message, which prints -19 whatever Xen said."""
        return self.errno == ENOSPC or (self.by == "guest" and self.errno == ENODEV)


def of_dom0(messages: pl.DataFrame | None, setups: pl.DataFrame | None) -> Iterator[Refusal]:
    """`xen map irq failed` and xen_initdom_setup_msi_irqs with an error."""
    for m in rows(messages):
        yield Refusal(m, "dom0", domain_of(m.domid), m.ret, function(m))
    for c in rows(setups):
        if c.ret is not None and c.ret < 0:
            yield Refusal(c, "call", 0, c.ret, function(c), c.nvec)


def of_guest(created: pl.DataFrame | None, missing: pl.DataFrame | None, hvm: set[str]) -> Iterator[Refusal]:
    """An HVM guest that got no number; the older words are those of a PV guest without frontend, so only sources in `hvm` count."""
    for m in rows(created):
        yield Refusal(m, "guest", None, m.ret, function(m))
    for m in rows(missing):
        if m.source in hvm:
            yield Refusal(m, "guest", None, ENODEV, function(m))


def of_device_model(refused: pl.DataFrame | None, old: pl.DataFrame | None, assigned: pl.DataFrame | None) -> Iterator[Refusal]:
    """The device model's mappings; it prints the errno without sign, and the guest's function, for which `assigned` names the real one."""
    real = {(a.source, a.guest_bdf): a for a in rows(assigned) if a.guest_bdf}
    for m in rows(refused):
        known = real.get((m.source, m.guest_bdf))
        yield Refusal(m, "device model", None, -abs(m.err), function(known) if known else guest_function(m.guest_bdf))
    for m in rows(old):
        yield Refusal(m, "device model", None, 0, guest_function(None))


def of_backend(backend: pl.DataFrame | None, vpci: pl.DataFrame | None) -> Iterator[Refusal]:
    """pciback for a PV guest, and Xen's own emulation of a function's MSI."""
    for m in rows(backend):
        yield Refusal(m, "backend", domain_of(m.domid), m.ret, function(m))
    for m in rows(vpci):
        yield Refusal(m, "vpci", None, m.ret, function(m))


def of_hypervisor(said: pl.DataFrame | None) -> Iterator[Refusal]:
    """A debug build of Xen says itself that no number is free."""
    for m in rows(said):
        yield Refusal(m, "hypervisor", m.domid, ENOSPC, Subject("unknown", "unknown"))


def hvm_sources(platform: pl.DataFrame | None, lives: pl.DataFrame | None) -> set[str]:
    """Sources of a kernel that is an HVM guest: it says so, or has the messages of that path."""
    said = {r.source for r in rows(platform) if (r.platform or "").upper() == "HVM"}
    return said if lives is None else said | set(lives.filter(pl.col("basis") == "guest")["source"])
