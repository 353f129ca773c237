"""IRQ-004: a vector came in that belongs to no irq."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from tracekit import Finding, Unchecked, Verdict, at, diagnosis, in_order, inconclusive, near, rows_below, times
from tracekit_irq.evidence import Rows, shown, sorted_rows
from tracekit_irq.thrown_away import thrown_away

PLACEHOLDER = 0xEF  # MANAGED_IRQ_SHUTDOWN_VECTOR (arch/x86/include/asm/irq_vectors.h): what an irq without a vector has in its message
SPURIOUS = 0xFF  # the local APIC's own, which no device sends
RECEIVED_ILLEGAL = 0x40  # bit 6 of the local APIC's error register: a vector below 16 came in
WAIT = 300_000_000_000  # ns from a stray to the time-out of what it should have told: drivers wait 30 or 60 s, some retry
SOON = 65_000_000_000  # ns: the default time-outs, 30 or 60 s, with a moment for the driver to speak
RECORD = "dmesg; events/irq_vectors/{vector_clear,vector_free_moved,vector_update}"
COMPARE = "Compare with what was freed or moved just before"
ADVICE = f"{COMPARE}; at boot one such line is common and harmless."
SEVERAL = (
    f"{COMPARE}. One vector, once on each CPU as it starts, is firmware's and harmless; several are no single late message, but irqs that "
    "moved or were freed while their devices still send."
)
NEXT = 2  # lines within which Xen prints the state of the irq
NEVER = -(2**31)  # Xen's number of a vector that no irq had: others are the complement of the irq that had it
UNACCEPTED = 0x0C  # bits 2 and 3: a message that was sent, or came in, was accepted by no CPU
OWNER = "whose vector it was"
PLACED = (
    "A device still sends with the message of an irq that was shut down or never got a vector: it was not masked, or its new message was "
    "not written to it."
)


@diagnosis(
    "irq.stray-vector",
    code="IRQ-004",
    severity="low",
    record=RECORD,
    log="kernel",
)
def stray_vector(
    irq_no_handler: pl.DataFrame | None = None,
    xen_no_handler: pl.DataFrame | None = None,
    irq_spurious_vector: pl.DataFrame | None = None,
    nvme_timeout: pl.DataFrame | None = None,
    nvme_completion_polled: pl.DataFrame | None = None,
    net_tx_timeout: pl.DataFrame | None = None,
    apic_error: pl.DataFrame | None = None,
    xen_irq_state: pl.DataFrame | None = None,
    timer_stops_boot: pl.DataFrame | None = None,
    irq_desc_dumped: pl.DataFrame | None = None,
    irq_desc_flow: pl.DataFrame | None = None,
    irq_desc_action: pl.DataFrame | None = None,
    irq_desc_handler: pl.DataFrame | None = None,
    irq_unexpected_trap: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """A CPU received a vector that no irq owns.

    What it finds: `No irq handler for vector` (or, since 6.12, `No irq handler for CPU.VECTOR`), in Linux or Xen; and a spurious vector
    that x86 acknowledged. 0xef is the placeholder of an irq that was shut down: with a driver's time-out after it, severity is high;
    so it is where a time-out follows a vector without a handler within a minute.
    An irq without a flow handler, whose interrupts the kernel throws away (`handle_bad_irq`): medium where a handler waits for it.
    An APIC error of bit 6: a message with a vector below 16 came in, which no CPU takes (of a device, if it is one's: possible). One of
    bit 2 or 3, of a message that no CPU accepted, is a question that is left.

    Why it matters: a message arrived after its irq was freed or moved, or at the wrong CPU; the interrupt it stood for is gone.

    Stays quiet when: the message is not there, or is about the local APIC's own vector 0xff, or one that was not pending, or an irq number
    alone (`unexpected IRQ trap at vector 00`), or one such interrupt came to an irq that no driver has requested. Its absence
    excludes nothing: a slot just torn down swallows the first stray silently.

    Affected: x86; an irq without a flow handler is possible anywhere.

    What to do: see which irq had that vector on that CPU last (vector_clear, vector_update), and what its device does meanwhile.

    References: arch/x86/kernel/irq.c, common_interrupt() (do_IRQ() before 5.8); kernel/irq/handle.c, handle_bad_irq(); xen/arch/x86/irq.c.
    """
    acknowledged = irq_spurious_vector.filter(acked(irq_spurious_vector)) if irq_spurious_vector is not None else None
    timeouts = (nvme_timeout, nvme_completion_polled, net_tx_timeout)
    linux, xen, spurious = _printed_once(sorted_rows(irq_no_handler)), sorted_rows(xen_no_handler), sorted_rows(acknowledged)
    illegal = [r for r in sorted_rows(apic_error) if (r["status_before"] | r["status_after"]) & RECEIVED_ILLEGAL]
    if illegal:
        yield _illegal(illegal)
    if spurious:
        yield _acknowledged(spurious, [r for f in timeouts for r in sorted_rows(f)])
    if linux or xen:
        late = [t for f in timeouts for t in sorted_rows(f) if any(_follows(s, t, SOON) for s in linux)]
        yield _strays(linux, xen, _states(xen, sorted_rows(xen_irq_state)), late, timer_stops_boot is not None)
    yield from thrown_away(irq_desc_dumped, irq_desc_flow, irq_desc_action, irq_desc_handler, irq_unexpected_trap)
    untaken = [r for r in sorted_rows(apic_error) if r["status_after"] & UNACCEPTED or r["status_before"] & UNACCEPTED]
    if untaken:  # holds only where nothing was found
        yield inconclusive(f"{times(len(untaken), 'time')} no CPU accepted a message; no line tells whose it was", RECORD)


def _strays(linux: Rows, xen: Rows, states: Rows, late: Rows, stopped: bool) -> Finding:
    """Return the finding about vectors without a handler; `late` are the time-outs after them, `stopped` whether Xen's timer is silent."""
    places = [f"{_number(r['cpu'])}.{_number(r['vector'])}" for r in linux]
    places += [f"{_number(r['cpu'])}.{_number(r['vector_hex'], '#x')}" for r in xen]
    unique = list(dict.fromkeys(places))
    owners = sorted({~r["irq"] for r in xen if NEVER < r["irq"] < 0})
    effect = f"; {times(len(late), 'time-out')} of a driver after it" if late else ""
    whose = f", of irq {', '.join(map(str, owners[:6]))} before" if owners else ""
    hotplug = Unchecked("CPU hotplug at that moment", "dmesg")
    asked = Unchecked(OWNER, "events/irq_vectors/vector_clear and vector_update" if linux else "xl debug-keys i; xl dmesg")
    return Finding(
        f"{times(len(places), 'interrupt')} without an irq at CPU.vector {', '.join(unique[:6])}{whose}{effect}",
        "proven",
        in_order(
            [*(at(r) for r in shown(linux + xen)), *(at(s, "context") for s in shown(states)), *(at(t, "effect") for t in shown(late))]
        ),
        severity="high" if late else None,
        advice=f"{COMPARE}." if late or stopped else SEVERAL if len(unique) > 1 else ADVICE,
        values={"count": len(places), "vectors": unique, "timeouts": len(late), **({"irqs": owners} if owners else {})},
        unchecked=(hotplug,) if owners and not linux else (hotplug, asked),
    )


def _printed_once(strays: Rows) -> Rows:
    """Return the rows without those that a log prints again below without stamps, as `dmesg` does after the journal."""
    stamped = Counter((r["source"], r["cpu"], r["vector"]) for r in strays if r["ts"] is not None)
    seen: Counter[tuple[Any, ...]] = Counter()
    left = []
    for r in strays:
        key = (r["source"], r["cpu"], r["vector"])
        seen[key] += r["ts"] is None
        if r["ts"] is not None or seen[key] > stamped[key]:
            left.append(r)
    return left


def _states(strays: Rows, states: Rows) -> Rows:
    """Return the states of the irqs that had the vectors of strays, which Xen prints on the next line. Both are in order."""
    found: Rows = []
    for s in strays:
        found += [x for x in rows_below(s, states) if near(s, x, NEXT, 0) and x["irq"] == ~s["irq"]]
    return found


def _number(value: int | None, form: str = "d") -> str:
    """Return a number, or a question mark where a person took it out."""
    return format(value, form) if value is not None else "?"


def acked(events: pl.DataFrame) -> pl.Series:
    """Spurious vectors that a device sent: pending in the local APIC, and not its own. Up to 5.2 the log does not say which."""
    fate = events["fate"].str.to_lowercase()
    pending = fate.str.contains("acked", literal=True) | fate.str.contains("should never happen", literal=True)
    return pending & (events["number"].str.to_integer(base=16, strict=False) != SPURIOUS)


def _acknowledged(spurious: Rows, timeouts: Rows) -> Finding:
    vectors = list(dict.fromkeys(int(r["number"], 16) for r in spurious))
    placeholder = PLACEHOLDER in vectors
    late = [t for t in timeouts if placeholder and any(_follows(s, t) for s in spurious)]
    names = ", ".join(f"0x{v:x}" for v in vectors[:6])
    what = ", the placeholder of an irq that was shut down: a message still carries it" if placeholder else ", which no irq has"
    effect = f"; {times(len(late), 'time-out')} of a driver after it" if late else ""
    return Finding(
        f"{times(len(spurious), 'spurious interrupt')} at vector {names}{what}{effect}",
        "proven",
        in_order([*(at(r) for r in shown(spurious)), *(at(t, "effect") for t in shown(late))]),
        severity="high" if late else None,
        advice=PLACED if placeholder else ADVICE,
        values={"count": len(spurious), "vectors": [f"0x{v:x}" for v in vectors], "timeouts": len(late)},
        unchecked=(Unchecked("whose message it was", "events/irq_vectors/vector_deactivate; lspci -vv (address and data of the message)"),),
    )


def _illegal(errors: Rows) -> Finding:
    cpus = list(dict.fromkeys(_number(r["cpu"]) for r in errors))
    return Finding(
        f"the local APIC of CPU {', '.join(cpus[:6])} received an illegal vector, {times(len(errors), 'error')}: that interrupt is lost",
        "possible",
        in_order(at(r) for r in shown(errors)),
        advice="A message with a vector below 16: an MSI whose data is not written or was overwritten, or firmware's own. " + ADVICE,
        values={"count": len(errors), "cpus": cpus},
        unchecked=(Unchecked("that the message was a device's MSI", "lspci -vvv (address and data of its messages)"),),
    )


def _follows(stray: Mapping[str, Any], timeout: Mapping[str, Any], wait: int = WAIT) -> bool:
    """Return whether a time-out stands below a stray of the same log, as long after it as drivers wait."""
    if stray["source"] != timeout["source"] or timeout["line"] < stray["line"]:
        return False
    return stray["ts"] is None or timeout["ts"] is None or 0 <= timeout["ts"] - stray["ts"] <= wait
