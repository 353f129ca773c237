"""XEN-002: a domain has no free pirq for MSI."""

from collections import Counter
from collections.abc import Iterator, Set

import polars as pl

from tracekit import Evidence, Finding, Row, Shown, Unchecked, Verdict, diagnosis, in_order
from tracekit_xen.machines.xen_domain import DEFAULT_DOMU_EXTRA
from tracekit_xen.places import at_end, domain, rows, spans, times, whole
from tracekit_xen.refusals import Refusal, hvm_sources, of_backend, of_device_model, of_dom0, of_guest, of_hypervisor, refused
from tracekit_xen.room import Room, room

# Only the search for a number gives -28 on Intel; AMD's remapping table of a device does too (drivers/passthrough/amd/iommu_intr.c).
ROOM = "See an inventory from while the refusal lasts; with numbers to spare, AMD's interrupt remapping table of the device may be full."
RECORD = "xl dmesg from the boot of Xen on, and `xl debug-keys i; xl dmesg` while the refusal lasts"


@diagnosis(
    "xen.pirq-starved",
    code="XEN-002",
    severity="high",
    explains=("XEN-007", "MSI-004"),
    supersedes=("CFG-004",),
    record="dmesg; " + RECORD,
    shown_by=("xen_platform", Shown("op_xen_setup", "set-up of Xen's MSIs", ("ret",))),
    absent="no Xen kernel log and no calls of Xen's MSI set-up",
    when={
        "op_xen_setup": refused,
        **dict.fromkeys(("xen_map_failed", "xen_msi_create_failed", "xen_frontend_missing", "xen_pt_map_failed")),
        **dict.fromkeys(("xen_pciback_failed", "xen_no_free_pirq")),
    },
    otherwise="no request failed for want of a free pirq",
)
def pirq_starved(
    xen_map_failed: pl.DataFrame | None = None,
    op_xen_setup: pl.DataFrame | None = None,
    op_alloc: pl.DataFrame | None = None,
    xen_msi_create_failed: pl.DataFrame | None = None,
    xen_frontend_missing: pl.DataFrame | None = None,
    xen_pt_map_failed: pl.DataFrame | None = None,
    xen_pt_assigned: pl.DataFrame | None = None,
    xen_pciback_failed: pl.DataFrame | None = None,
    xen_no_free_pirq: pl.DataFrame | None = None,
    xen_platform: pl.DataFrame | None = None,
    xen_events_said: pl.DataFrame | None = None,
    pirq_facts: pl.DataFrame | None = None,
    pirq_lives: pl.DataFrame | None = None,
    *,
    short: float = 0.25,
    ample: int = 128,
) -> Iterator[Finding | Verdict]:
    """A domain has no free pirq, so Xen refuses its MSI or MSI-X.

    What it finds: PHYSDEVOP_map_pirq or get_free_pirq answered -28 (an HVM guest has -19 for any allocation that failed), in messages or
    as the return of its set-up. Proven where the space is seen to be short too: an inventory leaves less than was wanted, or less than
    the share `short` of `extra_guest_irqs`, or the numbers went down to the GSIs, or Xen itself says that none is free. Possible where an
    inventory leaves `ample` numbers, and more than are bound.
    Why it matters: the device falls back to fewer vectors, to MSI or to a line interrupt; a release hypervisor says nothing about it.
    Stays quiet when: the errno is another one (XEN-005); a PV frontend was refused (XEN-008).
    Affected: dom0 with a small extra_guest_irqs=,N; a domU with more than 32 vectors, or one that leaks (XEN-003).
    What to do: raise `extra_guest_irqs=<domU>,<dom0>` on Xen's command line, cap the queues of each device, or find the leak (XEN-003).
    References: Xen 4.17 and 4.20, xen/arch/x86/irq.c, get_free_pirq() and allocate_pirq(); Linux arch/x86/pci/xen.c.
    """
    found: dict[int | None, list[Refusal]] = {}
    hvm = hvm_sources(xen_platform, pirq_lives, op_xen_setup, xen_events_said)
    for r in (
        *of_dom0(xen_map_failed, op_xen_setup, hvm),
        *of_guest(xen_msi_create_failed, xen_frontend_missing, hvm),
        *of_device_model(xen_pt_map_failed, None, xen_pt_assigned),
        *of_backend(xen_pciback_failed, None),
        *of_hypervisor(xen_no_free_pirq),
    ):
        if r.starved:
            found.setdefault(r.domid, []).append(r)
    _join_sides(found)
    for domid, refusals in found.items():
        space = room(pirq_facts, domid, frozenset(r.row.source for r in refusals))
        yield _finding(domid, refusals, space, _handed_out(pirq_lives, domid, hvm), list(rows(op_alloc)), short, ample)


def _join_sides(found: dict[int | None, list[Refusal]]) -> None:
    """Join what the device model saw, which names no domain, with what Xen said of the only guest that it refused: they are one refusal."""
    told = [domid for domid, refusals in found.items() if domid and any(r.by == "hypervisor" for r in refusals)]
    unnamed = found.get(None, [])
    if len(told) == 1 and unnamed and all(r.by == "device model" for r in unnamed):
        found[told[0]] += found.pop(None)


def _handed_out(lives: pl.DataFrame | None, domid: int | None, hvm: Set[str]) -> list[Row]:
    """Return the lives of the numbers that the domain was given: dom0's calls, or a guest's messages and calls."""
    return [x for x in rows(lives) if x.given and _owner(x, hvm) == domid]


def _owner(life: Row, hvm: Set[str]) -> int | None:
    """Return the domain that Xen gave the pirq; null for a domU."""
    return 0 if life.basis == "calls" and life.source not in hvm else None


def _finding(
    domid: int | None, refusals: list[Refusal], space: Room, lives: list[Row], asked: list[Row], short: float, ample: int
) -> Finding:
    wanted = max((r.wanted for r in refusals if r.wanted is not None), default=None)
    lowest = min(lives, key=lambda x: x.pirq, default=None)
    why, told = _shortage(refusals, space, lives, wanted, short)
    subject = domain(domid, [r.subject for r in refusals])
    count = max(Counter(r.by for r in refusals).values())
    seen = [e for r in refusals for e in _refused(r, asked)]
    shown = [whole(lowest, "context")] if lowest is not None and lowest.source in {r.row.source for r in refusals} else []
    spare = not why and space.free is not None and space.free >= max(ample, len(space.held))
    if spare:
        why, told = f"yet {len(space.held)} of its {space.extra} MSI pirqs are bound in an inventory", space.evidence
    values = {"errno": refusals[0].errno, "refusals": count, "wanted": wanted}
    values |= {"extra": space.extra, "gsis": space.floor, "held": len(space.held) or None}
    return Finding(
        f"{subject.label} has no free pirq for MSI: refused with {refusals[0].errno} {times(count)}" + (f"; {why}" if why else ""),
        "possible" if spare else "proven" if why else "probable",
        in_order([*told, *seen, *shown]),
        subject,
        advice=ROOM if spare else _advice(domid, space),
        unchecked=() if why and not spare else (Unchecked("that the domain's pirqs were used up", RECORD),),
        values={k: v for k, v in values.items() if v is not None},
    )


def _refused(r: Refusal, asked: list[Row]) -> Iterator[Evidence]:
    """Yield the line of the refusal; of a call, its span too, and that of the enable around it."""
    yield at_end(r.row)
    if whole(r.row).line_end is not None:
        yield whole(r.row, "context")
    if (attempt := getattr(r.row, "attempt", None)) is not None:
        yield from (whole(a, "context") for a in asked if a.source == r.row.source and a.call == attempt)


def _shortage(refusals: list[Refusal], space: Room, lives: list[Row], wanted: int | None, short: float) -> tuple[str, tuple[Evidence, ...]]:
    """Return the evidence that the pirq space was short, and its lines; empty without evidence."""
    if any(r.by == "hypervisor" for r in refusals):
        return "Xen says that none is free", ()
    free, extra = space.free, space.extra
    if free is not None and extra is not None and any(free < least for least in (wanted, extra * short) if least is not None):
        floor = f" above {space.floor} GSIs" if space.floor is not None else ""
        return f"{len(space.held)} of its {extra} MSI pirqs{floor} are bound ({spans(space.held)})", space.evidence
    held = [x for x in lives if x.end != "handed out again"]
    numbers = {x.pirq for x in held}
    if space.floor is not None and numbers and min(numbers) <= space.floor:
        return f"the numbers went down to {min(numbers)}, the count of GSIs", space.evidence
    extra = extra or (DEFAULT_DOMU_EXTRA if refusals[0].domid is None else None)
    if extra is not None and len(numbers) >= extra:
        return f"all {extra} of its MSI pirqs were handed out ({spans(numbers)})", tuple(whole(x, "cause") for x in held)
    return "", ()


def _advice(domid: int | None, space: Room) -> str:
    now = f" (now {space.extra})" if space.extra is not None else ""
    option = "extra_guest_irqs=,N" if domid == 0 else "extra_guest_irqs=N"
    return f"Raise {option} on Xen's command line{now} and boot anew, or give each device fewer queues."
