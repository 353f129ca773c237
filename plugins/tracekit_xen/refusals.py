"""Refused requests for pirqs, from any source: dom0's messages and calls, an HVM guest, the device model, the hypervisor."""

from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from tracekit import ENODEV, ENOSPC, Row, Subject, subject_of
from tracekit_xen.places import domain_of, guest_function, rows

HVM_SETUP = "xen_hvm_setup_msi_irqs"  # it returns -19 whatever Xen said
HVM_CALLBACK = "HVM callback vector"  # `xen:events: Xen HVM callback vector for event delivery is enabled`
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
        """Return whether no number was free: -28, or an HVM guest's own message, which prints -19 whatever Xen said."""
        return self.errno == ENOSPC or (self.by == "guest" and self.errno == ENODEV)


def refused(ret: int | None) -> bool:
    """Return whether a set-up of MSIs failed."""
    return ret is not None and ret < 0


def of_dom0(messages: pl.DataFrame | None, setups: pl.DataFrame | None, hvm: Set[str] = frozenset()) -> Iterator[Refusal]:
    """Yield refusals in `xen map irq failed` and in failed set-ups of MSI: dom0's, or a guest's where the source is in `hvm`."""
    for m in rows(messages):
        yield Refusal(m, "dom0", domain_of(m.domid), m.ret, subject_of(m))
    for c in rows(setups):
        if refused(c.ret):
            guest = c.source in hvm
            yield Refusal(c, "guest" if guest else "call", None if guest else 0, c.ret, subject_of(c), c.nvec)


def of_guest(created: pl.DataFrame | None, missing: pl.DataFrame | None, hvm: set[str]) -> Iterator[Refusal]:
    """Yield refusals that an HVM guest prints; a PV guest without frontend prints the older message too, so only sources in `hvm` count."""
    for m in rows(created):
        yield Refusal(m, "guest", None, m.ret, subject_of(m))
    for m in rows(missing):
        if m.source in hvm:
            yield Refusal(m, "guest", None, ENODEV, subject_of(m))


def of_device_model(
    refused: pl.DataFrame | None, old: pl.DataFrame | None, assigned: pl.DataFrame | None, unmapped: pl.DataFrame | None = None
) -> Iterator[Refusal]:
    """Yield refusals that the device model prints: errno without sign, and the guest's function, for which `assigned` names the host's.

    `unmapped` is its note that MSI was not mapped, for functions of which no refusal is told.
    """
    told: set[tuple[str, str | None]] = set()
    real = {(a.source, a.guest_bdf): a for a in rows(assigned) if a.guest_bdf}
    for m in rows(refused):
        known = real.get((m.source, m.guest_bdf))
        told.add((m.source, m.guest_bdf))
        yield Refusal(m, "device model", None, -abs(m.err), subject_of(known) if known else guest_function(m.guest_bdf))
    for m in rows(unmapped):
        if (m.source, m.guest_bdf) not in told:
            known = real.get((m.source, m.guest_bdf))
            yield Refusal(m, "device model", None, 0, subject_of(known) if known else guest_function(m.guest_bdf))
    only = _only_devices(assigned)
    for m in rows(old):
        known = only.get(m.source)
        yield Refusal(m, "device model", None, 0, subject_of(known) if known else guest_function(None))


def _only_devices(assigned: pl.DataFrame | None) -> dict[str, Row]:
    """Return by source the only device that qemu-xen-traditional has: its refusals name none."""
    found: dict[str, dict[str, Row]] = {}
    for a in rows(assigned):
        if not a.guest_bdf:
            found.setdefault(a.source, {}).setdefault(a.bdf, a)
    return {source: next(iter(devices.values())) for source, devices in found.items() if len(devices) == 1}


def of_backend(backend: pl.DataFrame | None, vpci: pl.DataFrame | None) -> Iterator[Refusal]:
    """Yield refusals by pciback (for a PV guest) and by Xen's own emulation of a function's MSI."""
    for m in rows(backend):
        yield Refusal(m, "backend", domain_of(m.domid), m.ret, subject_of(m))
    for m in rows(vpci):
        yield Refusal(m, "vpci", None, m.ret, subject_of(m))


def of_hypervisor(said: pl.DataFrame | None) -> Iterator[Refusal]:
    """Yield the refusals that a debug build of Xen prints: no number is free."""
    for m in rows(said):
        yield Refusal(m, "hypervisor", m.domid, ENOSPC, Subject("unknown", "unknown"))


def hvm_sources(
    platform: pl.DataFrame | None, lives: pl.DataFrame | None, setups: pl.DataFrame | None = None, said: pl.DataFrame | None = None
) -> set[str]:
    """Return the sources of HVM guests: the kernel says so, or its messages or calls are of that path.

    A trace says so too where the kernel log of its machine does, and no other kind of domain is told there.
    """
    kinds = [(r.source, r.machine, (r.platform or "").upper() == "HVM") for r in rows(platform)]
    kinds += [
        (source, machine, True) for source, machine, rest in _columns(said, "source", "machine", "rest") if HVM_CALLBACK in (rest or "")
    ]
    found = {source for source, _, hvm in kinds if hvm}
    guests = {machine for _, machine, hvm in kinds if hvm} - {machine for _, machine, hvm in kinds if not hvm}
    called = _columns(setups, "source", "machine", "function")
    found |= {source for source, machine, function in called if function == HVM_SETUP or machine in guests}
    return found | {source for source, basis in _columns(lives, "source", "basis") if basis == "guest"}


def _columns(frame: pl.DataFrame | None, *names: str) -> Iterator[tuple[Any, ...]]:
    """Yield some columns of a table with a row per interrupt; a missing table has no rows."""
    if frame is not None:
        for part in frame.iter_slices():  # few cells at a time are Python's
            yield from zip(*(part[n].to_list() for n in names), strict=True)
