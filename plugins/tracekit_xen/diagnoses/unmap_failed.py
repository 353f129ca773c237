"""XEN-007: a pirq could not be given back."""

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from tracekit import Evidence, Finding, Row, Shown, Subject, Verdict, at_once, clear, diagnosis, in_order, subject_of, unnamed
from tracekit_xen.places import at_end, domain, guest_function, rows, whole
from tracekit_xen.refusals import Refusal, hvm_sources, of_dom0

AT_ONCE_LINES, AT_ONCE_MS = 12, 100


@dataclass(frozen=True, slots=True)
class _Unmap:
    """One refused release, and the refused request right before it."""

    row: Row
    errno: int | None
    subject: Subject
    after: Refusal | None


@diagnosis(
    "xen.unmap-failed",
    code="XEN-007",
    severity="medium",
    record="dmesg of dom0, the device model's log, xl dmesg",
    shown_by=("xen_platform", Shown("op_xen_destroy", "call of xen_destroy_irq", ("ret",))),
    absent="no Xen kernel log and no calls of xen_destroy_irq",
)
def unmap_failed(
    xen_unmap_failed: pl.DataFrame | None = None,
    op_xen_destroy: pl.DataFrame | None = None,
    xen_pt_unmap_failed: pl.DataFrame | None = None,
    xen_forced_unbind: pl.DataFrame | None = None,
    xen_not_mapped: pl.DataFrame | None = None,
    xen_map_failed: pl.DataFrame | None = None,
    op_xen_setup: pl.DataFrame | None = None,
    xen_platform: pl.DataFrame | None = None,
    xen_pt_unbind_failed: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """Xen refused to take a pirq back; it stays busy, or was taken by force.

    What it finds: `unmap irq failed`, a failing xen_destroy_irq, the device model's `Unmapping` or `Unbinding of MSI`, or a debug
    hypervisor's `forcing unbind` and `not mapped`. Proven: the lines are the refusal.
    Why it matters: a number that is not given back is missing until the domain dies.
    Stays quiet when: `domain D does not have P anymore` (the domain died first); `mapped, unbound` in an inventory (a device at rest).
    Right after a refused request it is a by-product, low: the error path frees the same irq twice (seen on 6.1).
    Affected: any release.
    What to do: nothing, if a refused request explains it; else look for the leak (XEN-003) and restart the domain.
    References: Linux drivers/xen/events/events_base.c, xen_destroy_irq(); Xen xen/arch/x86/irq.c, unmap_domain_pirq().
    """
    refusals = list(of_dom0(xen_map_failed, op_xen_setup, hvm_sources(xen_platform, None, op_xen_setup)))
    found: dict[tuple[str, str | None], list[_Unmap]] = {}
    for u in _unmaps(
        xen_unmap_failed, op_xen_destroy, (xen_pt_unmap_failed, xen_pt_unbind_failed), (xen_forced_unbind, xen_not_mapped), refusals
    ):
        cause = _cause(u.after)
        found.setdefault(("by-product" if cause else u.subject.label, cause), []).append(u)
    for unmaps in found.values():
        yield _finding(unmaps, op_xen_destroy)
    yield clear("no pirq that was given back was refused")  # holds only where nothing was found


def _unmaps(
    messages: pl.DataFrame | None,
    destroys: pl.DataFrame | None,
    model: tuple[pl.DataFrame | None, ...],
    hypervisor: tuple[pl.DataFrame | None, ...],
    refusals: list[Refusal],
) -> Iterator[_Unmap]:
    for row in (*rows(messages), *(d for d in rows(destroys) if d.ret is not None and d.ret < 0)):
        after = _right_before(row, refusals)
        yield _Unmap(row, row.ret, _subject(row, after), after)
    for row in rows(*model):
        yield _Unmap(row, -abs(row.err), guest_function(row.guest_bdf), None)
    for row in rows(*hypervisor):
        yield _Unmap(row, None, domain(row.domid), None)


def _subject(row: Row, after: Refusal | None) -> Subject:
    """Return the function of the refused request before it: the message names none."""
    if after is None:
        return subject_of(row)
    s = after.subject
    return Subject(s.label, s.kind, s.bdf, s.aliases, "by position: right after the refused request of this function")


def _right_before(row: Row, refusals: list[Refusal]) -> Refusal | None:
    """Return the latest refusal of the same source, if it was a moment ago."""
    earlier = [r for r in refusals if r.row.source == row.source and _last(r.row) < row.line]
    latest = max(earlier, key=lambda r: _last(r.row), default=None)
    return latest if latest is not None and at_once(latest.row, row, AT_ONCE_LINES, AT_ONCE_MS) else None


def _finding(unmaps: list[_Unmap], destroys: pl.DataFrame | None) -> Finding:
    first = min(unmaps, key=lambda u: u.subject.bdf is None)
    explained = _cause(first.after)
    errno = f" with {first.errno}" if first.errno is not None else ""
    tail = ": the error path of the refused request frees its irq twice" if explained else ""
    hint = all(getattr(u.row, "hint", False) for u in unmaps)
    whose = f" of {first.subject.label}" if first.subject.kind != "unknown" else ""
    return Finding(
        f"Xen refused to take back a pirq{whose}{errno}{tail}",
        "probable" if hint else "proven",
        in_order(e for u in unmaps for e in _evidence(u, destroys)),
        first.subject,
        severity="low" if explained else None,
        advice="Nothing: see the refused request." if explained else "Look for numbers that never come back (XEN-003); restart the domain.",
        explained_by=explained,
        values={"errno": first.errno} if first.errno is not None else {},
        unchecked=unnamed(hint),
    )


def _evidence(u: _Unmap, destroys: pl.DataFrame | None) -> Iterator[Evidence]:
    """Yield the refusal to take back; of a call, also the earlier one that gave the same irq back."""
    yield whole(u.row)
    irq = getattr(u.row, "irq", None)
    if irq is None or u.after is None:
        return
    for d in rows(destroys):
        if d.source == u.row.source and d.irq == irq and d.ret == 0 and _last(u.after.row) < d.line < u.row.line:
            yield whole(d, "context")
    yield at_end(u.after.row, "cause")


def _cause(after: Refusal | None) -> str | None:
    return None if after is None else "XEN-002" if after.starved else "XEN-005"


def _last(row: Row) -> int:
    return int(getattr(row, "line_end", None) or row.line)
