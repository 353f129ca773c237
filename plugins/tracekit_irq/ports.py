"""Ports that did not interrupt, beside what tells that the port itself was in error."""

from tracekit import at_once, rows_below
from tracekit_irq.evidence import Rows

REACH_MS, REACH = 2_000, 8  # libata reports on a port right after it stopped, or as many lines below
WAITED_MS = 3_000  # pciehp waits 1 s, or 2.5 s for power; what was issued longer ago it only finds at its next command


def sound(silences: Rows, exceptions: Rows) -> Rows:
    """Return the silences without those of ports whose link was in error right after: a drive that left, or dies, does not interrupt."""
    links: dict[str, Rows] = {}
    for e in exceptions:
        if e["link_errors"]:
            links.setdefault(e["port"], []).append(e)
    return [s for s in silences if s["kind"] != "port" or not _in_error(s, links.get(s["device"], []))]


def _in_error(silence: dict[str, object], errors: Rows) -> bool:
    return any(at_once(silence, e, REACH, REACH_MS) for e in rows_below(silence, errors))


def waited(commands: Rows) -> bool:
    """Return whether a hotplug port's driver waited for a command in vain. Some ports never tell the end of most commands (CF118)."""
    return any(c["ms"] <= WAITED_MS for c in commands)
