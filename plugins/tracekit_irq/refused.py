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
        r["who"] = r["bdf"] or bdfs.get(r["device"]) or r["device"] or "unknown"
    told.sort(key=lambda r: (r["source"], r["line"]))
    return [{**r, "step": "vectors"} if r["step"] == "irq" and _is_echo(r, told) else r for r in told]


def _is_echo(irq: Mapping[str, Any], told: Rows) -> bool:
    """Return whether the refusal of vectors just above is what a driver passes on in words of its own: `Failed Enabling interrupts -28`
    below `Failed to enable MSI -28`. It requested no irq."""
    return any(
        r["step"] == "vectors" and (r["source"], r["who"]) == (irq["source"], irq["who"]) and 0 < irq["line"] - r["line"] <= NEAR
        for r in told
    )


def names_interrupts(told: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether one of the refusals is about interrupts by its own words."""
    return any(r["step"] == "irq" for r in told)


def follows(probe: Mapping[str, Any], told: Rows, near: int) -> bool:
    """Return whether a refusal that names interrupts stands just before: without the warning, -28 of a probe may be about anything."""
    return any(r["step"] != "probe" and r["source"] == probe["source"] and 0 < probe["line"] - r["line"] <= near for r in told)
