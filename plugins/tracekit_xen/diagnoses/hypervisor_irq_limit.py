"""CFG-004: the hypervisor gives a domain few interrupt numbers."""

from collections.abc import Iterator

import polars as pl

from tracekit import Finding, Row, Verdict, clear, diagnosis, in_order
from tracekit_xen.places import domain, rows, whole
from tracekit_xen.room import room


@diagnosis(
    "cfg.hypervisor-irq-limit",
    code="CFG-004",
    severity="info",
    record="xl dmesg from the boot of Xen on, and `xl debug-keys i; xl dmesg`",
    absent="no line tells how many pirqs a domain may have",
)
def hypervisor_irq_limit(
    pirq_facts: pl.DataFrame, *, few_dom0: int = 64, few_domu: int = 32, few_left: int = 32
) -> Iterator[Finding | Verdict]:
    """Xen gives a domain few pirqs for MSI; a device with many queues may get none.

    What it finds: `extra_guest_irqs=[domU][,dom0]` below `few_domu` or `few_dom0`, `IRQs bounded to N`, or `dN has maximum M PIRQs` with
    less than `few_left` above the GSIs; and the demand, where an inventory shows it.
    Why it matters: nothing yet; it predicts XEN-002, and is dropped where that is found.
    Stays quiet when: the numbers are what Xen computes itself, hundreds above the GSIs.
    Affected: Xen.
    What to do: raise `extra_guest_irqs=` before devices with many queues are added.
    References: Xen 4.17, docs/misc/xen-command-line.pandoc, `extra_guest_irqs`; xen/arch/x86/io_apic.c.
    """
    seen: set[tuple[int | None, str, int]] = set()
    gsis = {r.source: r for r in rows(pirq_facts) if r.fact == "gsis"}
    for r in rows(pirq_facts):
        key = (r.domid, r.fact, r.value)
        if key in seen or not _few(r, gsis.get(r.source), few_dom0, few_domu, few_left):
            continue
        seen.add(key)
        yield _finding(r, gsis.get(r.source), pirq_facts)
    yield clear("the limits that are told leave interrupts enough")  # holds only where nothing was found


def _few(r: Row, gsis: Row | None, few_dom0: int, few_domu: int, few_left: int) -> bool:
    if r.fact == "extra":
        return bool(r.value < (few_dom0 if r.domid == 0 else few_domu))
    if r.fact == "limit":
        return gsis is not None and r.value - gsis.value < few_left
    return bool(r.fact == "bounded")


def _finding(r: Row, gsis: Row | None, facts: pl.DataFrame) -> Finding:
    who = "any domU" if r.domid is None else f"dom{r.domid}"
    space = room(facts, r.domid)
    left = r.value - gsis.value if r.fact == "limit" and gsis else r.value
    in_use = f"; {len(space.held)} are bound" if space.inventory else ""
    what = f"is bounded to {r.value} IRQs" if r.fact == "bounded" else f"has {left} pirqs for MSI{in_use}"
    lines = [
        whole(r, "cause"),
        *([whole(gsis, "context")] if gsis else []),
        *([whole(space.inventory, "context")] if space.inventory else []),
    ]
    return Finding(
        f"{who} {what}, by Xen's {'command line' if r.fact == 'extra' else 'own limit'}",
        None,
        in_order(lines),
        domain(r.domid),
        advice="Raise extra_guest_irqs=<domU>,<dom0> on Xen's command line.",
        values={"pirqs": left, "bound": len(space.held)},
    )
