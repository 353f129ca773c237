"""Drivers' lines that refuse an interrupt for want of a number (-28)."""

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from tracekit import ENOSPC
from tracekit_irq.evidence import Rows, sorted_rows

NEAR = 8  # lines in which a driver passes a refusal on
NOT_X86 = "ITS|GIC|XIVE|XICS|PLIC"


def maybe_x86(interrupts: pl.DataFrame | None) -> bool:
    """Return whether no irq chip of /proc/interrupts is another architecture's."""
    return interrupts is None or not interrupts["chip"].str.contains(NOT_X86).any()


def lines(
    irqs: pl.DataFrame | None,
    vectors: pl.DataFrame | None,
    refusals: pl.DataFrame | None,
    probes: pl.DataFrame | None,
    functions: pl.DataFrame | None,
) -> Rows:
    """Return drivers' lines with -28, in order, with `who` (a BDF where one is known) and `step` (irq, vectors, probe)."""
    bdfs = {f["device"]: f["bdf"] for f in sorted_rows(functions)}
    steps = (("irq", sorted_rows(irqs)), ("vectors", sorted_rows(vectors) + sorted_rows(refusals)), ("probe", sorted_rows(probes)))
    rows = [{**r, "step": r.get("what", step)} for step, part in steps for r in part]
    told = [r for r in rows if r.get("errno") == ENOSPC or r.get("ret") == str(ENOSPC) or r.get("ret_hex") == f"{ENOSPC & 0xFFFFFFFF:x}"]
    for r in told:
        r["who"] = r["bdf"] or bdfs.get(r["device"]) or r["device"] or r.get("driver") or "unknown"
    return _without_echoes(sorted(told, key=lambda r: (r["source"], r["line"])))


def _without_echoes(told: Rows) -> Rows:
    """Return the refusals, where one of an irq just below that of its device's vectors is of vectors too: a driver passes that on in words
    of its own, as `Failed Enabling interrupts -28` below `Failed to enable MSI -28`, and requested no irq."""
    last: dict[tuple[str, str], int] = {}
    found = []
    for r in told:
        device = r["source"], r["who"]
        if r["step"] == "vectors":
            last[device] = r["line"]
        is_echo = r["step"] == "irq" and device in last and r["line"] - last[device] <= NEAR
        found.append({**r, "step": "vectors"} if is_echo else r)
    return found


def names_interrupts(told: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether one of the refusals is about interrupts by its own words."""
    return any(r["step"] == "irq" for r in told)


def follows(probe: Mapping[str, Any], told: Rows, near: int) -> bool:
    """Return whether a refusal that names interrupts stands just before: without the warning, -28 of a probe may be about anything."""
    return any(r["step"] != "probe" and r["source"] == probe["source"] and 0 < probe["line"] - r["line"] <= near for r in told)
