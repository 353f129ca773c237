"""XEN-004: a pirq got no event channel."""

from collections.abc import Iterator

import polars as pl

from tracekit import Finding, Row, Verdict, clear, diagnosis, not_evaluated
from tracekit_xen.places import at, function, in_order, rows
from tracekit_xen.xen_domain import EEXIST


@diagnosis("xen.bind-failed", code="XEN-004", severity="high", record="dmesg of the guest; xl dmesg of a debug hypervisor")
def bind_failed(
    xen_irq_obtain_failed: pl.DataFrame | None = None,
    xen_evtchnop_failed: pl.DataFrame | None = None,
    pirq_lives: pl.DataFrame | None = None,
    xen_platform: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """Xen refused the event channel of a pirq; Linux counts the irq as started all the same.

    What it finds: `Failed to obtain physical IRQ N` in the kernel's log (proven: it is the refusal), with the device where its messages
    tell whose irq N is, and a debug hypervisor's -17 (a channel is open already).
    Why it matters: the device is deaf on that vector, and no driver is told.
    Stays quiet when: the number is one of a legacy line (below 16), which the kernel merely probes.
    What to do: look for two users of one pirq (XEN-001), which explains it.
    References: Linux drivers/xen/events/events_base.c, __startup_pirq(); Xen xen/common/event_channel.c, evtchn_bind_pirq().
    """
    lives = list(rows(pirq_lives)) if xen_irq_obtain_failed is not None else []
    found: dict[str, list[tuple[Row, Row | None]]] = {}
    for m in rows(xen_irq_obtain_failed):
        if m.irq >= 16:
            life = _life_of(m, lives)
            found.setdefault(function(life or m).label, []).append((m, life))
    refused = [e for e in rows(xen_evtchnop_failed) if e.ret == EEXIST]
    for pairs in found.values():
        yield _finding(pairs, lives, refused)
    if not found:
        yield (
            clear("every pirq was bound to its event channel")
            if xen_platform is not None or pirq_lives is not None
            else not_evaluated("no kernel log of a Xen guest")
        )


def _finding(pairs: list[tuple[Row, Row | None]], lives: list[Row], refused: list[Row]) -> Finding:
    message, life = pairs[0]
    whose = f" of {function(life).label}, pirq {life.pirq}" if life else ""
    uses = [x for _, x in pairs if x is not None]
    shared = any(_is_shared(x, lives) for x in uses)
    return Finding(
        f"Xen refused an event channel for irq {', '.join(str(m.irq) for m, _ in pairs)}{whose}: no interrupt arrives there",
        "proven",
        in_order([*(at(m) for m, _ in pairs), *(at(x, "context") for x in uses), *(at(e, "context") for e in refused)]),
        function(life or message),
        advice="See who else uses that pirq (XEN-001).",
        explained_by="XEN-001" if shared else None,
        values={"irq": message.irq},
    )


def _life_of(m: Row, lives: list[Row]) -> Row | None:
    """The latest use of an irq before the message, in the same log."""
    mine = [x for x in lives if x.source == m.source and x.irq == m.irq and x.line <= m.line]
    return max(mine, key=lambda x: x.line, default=None)


def _is_shared(life: Row, lives: list[Row]) -> bool:
    return any(x.reused and x.source == life.source and x.pirq == life.pirq for x in lives)
