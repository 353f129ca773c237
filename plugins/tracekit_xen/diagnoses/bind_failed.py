"""XEN-004: a pirq got no event channel."""

import re
from bisect import bisect_right
from collections.abc import Iterator

import polars as pl

from tracekit import EEXIST, Finding, Row, Unchecked, Verdict, clear, diagnosis, in_order, near, subject_of
from tracekit_xen.places import domain, guest_function, rows, spans, times, whole

CALLER = re.compile(r"d([0-9]+)")
BESIDE = 2  # lines between Xen's word about a line that another has, and the binding that fails for it


@diagnosis(
    "xen.bind-failed",
    code="XEN-004",
    severity="high",
    record="dmesg of the guest; xl dmesg of a debug hypervisor",
    shown_by=("xen_platform",),
    absent="no kernel log of a Xen guest from its start",
)
def bind_failed(
    xen_irq_obtain_failed: pl.DataFrame | None = None,
    xen_evtchnop_failed: pl.DataFrame | None = None,
    pirq_lives: pl.DataFrame | None = None,
    xen_port_map_failed: pl.DataFrame | None = None,
    xen_pirq_restore_failed: pl.DataFrame | None = None,
    xen_pt_update_failed: pl.DataFrame | None = None,
    xen_pt_bind_refused: pl.DataFrame | None = None,
    xen_pt_line_failed: pl.DataFrame | None = None,
    xen_bind_refused: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """Xen refused the event channel of a pirq; Linux counts the irq as started all the same.

    What it finds: `Failed to obtain physical IRQ N` in the kernel's log (proven: it is the refusal), with the device where its messages
    tell whose irq N is, and a debug hypervisor's -17 (a channel is open already; possible where a guest has it alone). Also: no room for
    the channel's number (`Failed to set port to irq mapping`), a pirq that a resume did not bring back, and the device model's `Updating
    of MSI failed`, with Xen's `pt_irq_create_bind failed` beside it. Xen's line alone is probable: it names neither the device nor the kind
    of the interrupt.
    Why it matters: the device is deaf on that vector, and no driver is told.
    Stays quiet when: the number is one of a legacy line (below 16), which the kernel merely probes; the binding that failed is a line
    interrupt's, as the device model says (`Binding of interrupt N failed`) or Xen (`Cannot bind IRQN to domD`).
    Affected: any release.
    What to do: look for two users of one pirq (XEN-001), which explains it.
    References: Linux drivers/xen/events/events_base.c, __startup_pirq(); Xen xen/common/event_channel.c, evtchn_bind_pirq(), and
    xen/drivers/passthrough/x86/hvm.c, pt_irq_create_bind().
    """
    lives = sorted(rows(pirq_lives), key=lambda x: x.line) if xen_irq_obtain_failed is not None else []
    serving: dict[tuple[str, int | None], list[Row]] = {}
    for x in lives:
        serving.setdefault((x.source, x.irq), []).append(x)
    reused = {(x.source, x.pirq) for x in lives if x.reused}
    found: dict[str, list[tuple[Row, Row | None]]] = {}
    for m in rows(xen_irq_obtain_failed):
        if m.irq >= 16:
            life = _life_of(m, serving.get((m.source, m.irq), []))
            found.setdefault(subject_of(life or m).label, []).append((m, life))
    refused = [e for e in rows(xen_evtchnop_failed) if e.ret == EEXIST]
    for pairs in found.values():
        yield _finding(pairs, reused, refused)
    if not found and (pirq_lives is None or not pirq_lives["reused"].any()):  # else it is XEN-001 that has its lines
        yield from _by_hypervisor(refused)
    bindings = list(_of_msi(xen_pt_bind_refused, xen_pt_line_failed, xen_bind_refused))
    yield from _others(xen_port_map_failed, xen_pirq_restore_failed, xen_pt_update_failed, bindings)
    if xen_pt_update_failed is None:  # else these are the hypervisor's side of it
        yield from _bindings(bindings)
    yield clear("every pirq was bound to its event channel")  # holds only where nothing was found


def _finding(pairs: list[tuple[Row, Row | None]], reused: set[tuple[str, int]], refused: list[Row]) -> Finding:
    message, life = pairs[0]
    whose = f" of {subject_of(life).label}, pirq {life.pirq}" if life else ""
    uses = [x for _, x in pairs if x is not None]
    shared = any((x.source, x.pirq) in reused for x in uses)
    return Finding(
        f"Xen refused an event channel for irq {spans(m.irq for m, _ in pairs)}{whose}: no interrupt arrives there",
        "proven",
        in_order([*(whole(m) for m, _ in pairs), *(whole(x, "context") for x in uses), *(whole(e, "context") for e in refused)]),
        subject_of(life or message),
        advice="See who else uses that pirq (XEN-001).",
        explained_by="XEN-001" if shared else None,
        values={"irq": message.irq},
    )


def _by_hypervisor(refused: list[Row]) -> Iterator[Finding]:
    """Yield what a debug hypervisor says of a guest alone; dom0 tries lines, and its boot log, which would say it, is missing."""
    groups: dict[int, list[Row]] = {}
    for e in refused:
        if domid := _caller(e):
            groups.setdefault(domid, []).append(e)
    for domid, mine in groups.items():
        yield Finding(
            f"Xen refused an event channel to dom{domid} ({EEXIST}), {times(len(mine))} in the log: one is open already, of the same pirq "
            "or virtual interrupt",
            "possible",
            in_order(whole(e) for e in mine),
            domain(domid),
            severity="medium",
            advice="See the guest's kernel log for `Failed to obtain physical IRQ`, and who else uses the pirq (XEN-001).",
            unchecked=(Unchecked("that it is a pirq, and no virtual interrupt", "dmesg of the guest, from its start"),),
            values={"errno": EEXIST, "refusals": len(mine)},
        )


def _caller(e: Row) -> int | None:
    """Return the domain that asked: `d3v0`, before 4.11 `d3`; the domain behind it is the one that it asked about."""
    found = CALLER.match(e.vcpu_name or "")
    return int(found[1]) if found else None


def _of_msi(bindings: pl.DataFrame | None, lines: pl.DataFrame | None, held: pl.DataFrame | None) -> Iterator[Row]:
    """Yield the bindings that Xen refused to a guest's device, but those of line interrupts: the device model's errno or Xen tells them."""
    line_errnos = {-abs(m.err) for m in rows(lines)}
    taken = list(rows(held))
    for b in rows(bindings):
        if b.ret not in line_errnos and not any(near(h, b, BESIDE) for h in taken):
            yield b


def _bindings(refused: list[Row]) -> Iterator[Finding]:
    """Yield the bindings of passed-through interrupts that Xen refused, by domain, where the device model's log is not there."""
    groups: dict[tuple[int, int], list[Row]] = {}
    for b in refused:
        groups.setdefault((b.domid, b.ret), []).append(b)
    for (domid, errno), mine in groups.items():
        yield Finding(
            f"Xen refused to bind an interrupt of a device that is passed through to dom{domid} ({errno}), {times(len(mine))} in the log",
            "probable",
            in_order(whole(b) for b in mine),
            domain(domid),
            severity="medium",
            advice="See the device model's log (qemu-dm-*.log) for the device, and whether its MSI or its line interrupt was meant; then "
            "restart the domain.",
            unchecked=(Unchecked("which device it is, and that it is its MSI", "the device model's log: `Updating of MSI failed`"),),
            values={"errno": errno, "refusals": len(mine)},
        )


def _others(
    ports: pl.DataFrame | None, restored: pl.DataFrame | None, updated: pl.DataFrame | None, bindings: list[Row]
) -> Iterator[Finding]:
    """Yield bindings that failed at another step: one finding a step, with the lines of the hypervisor about it."""
    for frame, what, errno in (
        (ports, "Linux has no room for the event channel of irq {irq}", "ret"),
        (restored, "after a resume Xen did not map pirq {pirq} (irq {irq}) again", "ret"),
        (updated, "Xen refused to bind an MSI to the guest's vector", "err"),
    ):
        mine = list(rows(frame))
        if mine:
            first = mine[0]
            number = -abs(getattr(first, errno))
            told = what.format(irq=getattr(first, "irq", None), pirq=getattr(first, "pirq", None))
            yield Finding(
                f"{told} ({number}): no interrupt arrives there",
                "proven",
                in_order([*(whole(m) for m in mine), *(whole(b, "context") for b in bindings if frame is updated and b.ret == number)]),
                guest_function(first.guest_bdf) if frame is updated else subject_of(first),
                advice="See the hypervisor's log (xl dmesg) at that time, and restart the domain.",
                values={"errno": number, "count": len(mine)},
            )


def _life_of(m: Row, lives: list[Row]) -> Row | None:
    """Return the latest of the uses of an irq, in order, that began before the message."""
    before = bisect_right(lives, m.line, key=lambda x: x.line)
    return lives[before - 1] if before else None
