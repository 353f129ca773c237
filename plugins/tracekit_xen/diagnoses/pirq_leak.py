"""XEN-003: pirqs are taken and never come back."""

from collections.abc import Iterator, Set
from dataclasses import dataclass
from itertools import pairwise

import polars as pl

from tracekit import Evidence, Finding, Row, Unchecked, Verdict, clear, diagnosis, in_order, inconclusive
from tracekit_xen.places import domain, guest_function, rows, spans, whole
from tracekit_xen.refusals import hvm_sources, of_guest

RELEASED = ("irq again", "enabled anew", "destroyed")
RECORD = "in the guest: dynamic debug of arch/x86/pci/xen.c over several driver reloads; the device model's log with XEN_PT_LOGGING_ENABLED"


@dataclass(frozen=True, slots=True)
class _Leak:
    """Numbers that are lost, how that is known, whose they are, and the lines."""

    numbers: tuple[int, ...]
    how: str
    advice: str
    guest_bdf: str | None
    domid: int | None
    evidence: tuple[Evidence, ...]


@diagnosis(
    "xen.pirq-leak",
    code="XEN-003",
    severity="high",
    explains=("XEN-002",),
    record=RECORD,
    needs_any=("pirq_lives", "xen_pt_requested"),
    absent="no line tells which pirqs were taken",
)
def pirq_leak(
    pirq_lives: pl.DataFrame | None = None,
    xen_pt_requested: pl.DataFrame | None = None,
    xen_pt_unmap: pl.DataFrame | None = None,
    op_xen_setup: pl.DataFrame | None = None,
    xen_platform: pl.DataFrame | None = None,
    xen_events_said: pl.DataFrame | None = None,
    xen_msi_create_failed: pl.DataFrame | None = None,
    xen_frontend_missing: pl.DataFrame | None = None,
    *,
    least: int = 3,
) -> Iterator[Finding | Verdict]:
    """Each time a device is enabled it takes new pirqs, and the old ones do not come back.

    What it finds: at least `least` numbers that were let go (their irq serves another number, or their device is enabled anew) while
    later requests got lower numbers only, or none, though Xen hands out the highest free one; or numbers that the device model maps anew
    for an entry without an unmap; or numbers that debug code allocated and nobody mapped. Probable: the release itself is not printed.
    Why it matters: the domain has some 32 numbers for MSI; when they are gone, no device gets MSI until the domain is restarted.
    Stays quiet when: any number is handed out a second time: Xen got it back, which is the healthy case.
    Affected: guest kernels with c74fd80f2f41 on a device model that does not unmap; guests that allocate without enabling; debug prints
    that ask.
    What to do: a device model that unmaps on disable ({QV1}, {XV1}, or later); restart the domain, the leak dies with it.
    References: QEMU c976437c7dba; Linux c74fd80f2f41; Xen xen/arch/x86/irq.c, get_free_pirq().
    """
    lives = list(rows(*(part.filter("given") for part in pirq_lives.iter_slices()) if pirq_lives is not None else ()))
    hvm = hvm_sources(xen_platform, pirq_lives, op_xen_setup, xen_events_said)
    refused = [r.row for r in of_guest(xen_msi_create_failed, xen_frontend_missing, hvm) if r.starved]
    leaks = [*_withheld(lives, refused, least, hvm), *_never_unmapped(xen_pt_requested, xen_pt_unmap, least), *_never_mapped(lives, least)]
    yield from map(_finding, leaks)
    if leaks:
        return
    gone = {x.source for x in lives if x.end in RELEASED}
    if _recurs(lives) and all(_recurs([x for x in lives if x.source == source]) for source in gone):
        yield clear("numbers that were let go are handed out again")
    else:
        yield inconclusive("no number was let go and asked for again in this log", RECORD)


def _withheld(lives: list[Row], refused: list[Row], least: int, hvm: Set[str]) -> Iterator[_Leak]:
    """Yield numbers let go that Xen passed over: a later request got a lower one, or none. None of the source's numbers may come twice."""
    for source in dict.fromkeys(x.source for x in lives):
        mine = [x for x in lives if x.source == source and x.basis in ("guest", "calls")]
        if _recurs(mine):
            continue
        let_go = [x for x in mine if x.end in RELEASED]
        lower = [x for x in let_go if any(y.line >= x.line_end and y.pirq < x.pirq for y in mine)]
        none = [m for m in refused if m.source == source and any(m.line >= x.line_end for x in let_go)]
        gone = [x for x in let_go if x in lower or any(m.line >= x.line_end for m in none)]
        numbers = tuple(sorted({x.pirq for x in gone}, reverse=True))
        if len(numbers) >= least:
            how = "let go, but later requests got " + ("lower numbers only" if lower else "none")
            advice = "Use a device model that unmaps on disable ({QV1}, {XV1}, or later); restart the domain."
            yield _Leak(
                numbers,
                how,
                advice,
                None,
                0 if mine[0].basis == "calls" and source not in hvm else None,
                (*(whole(x, "cause") for x in gone), *(() if lower else (whole(m, "effect") for m in none[:1]))),
            )


def _never_unmapped(requested: pl.DataFrame | None, unmaps: pl.DataFrame | None, least: int) -> Iterator[_Leak]:
    """Yield numbers for which the device model asked a successor for the same entry without unmapping them."""
    entries: dict[tuple[str, str | None, str | None, str], list[Row]] = {}
    for r in rows(requested):
        entries.setdefault((r.source, r.guest_bdf, r.x, r.entry), []).append(r)
    released = [(u.source, u.pirq, u.line) for u in rows(unmaps)]
    lost: dict[tuple[str, str | None], list[tuple[Row, Row]]] = {}
    for (source, bdf, _, _), asked in entries.items():
        if len({r.pirq for r in asked}) == len(asked):
            kept = [
                (a, b) for a, b in pairwise(asked) if not any(s == source and p == a.pirq and a.line < n < b.line for s, p, n in released)
            ]
            lost.setdefault((source, bdf), []).extend(kept)
    for (_, bdf), pairs in lost.items():
        numbers = tuple(sorted({a.pirq for a, _ in pairs}, reverse=True))
        if len(numbers) >= least:
            lines = tuple(whole(r, "cause") for pair in pairs for r in pair)
            yield _Leak(
                numbers, "mapped, and not unmapped before their entries were mapped anew", "Update the device model.", bdf, None, lines
            )


def _never_mapped(lives: list[Row], least: int) -> Iterator[_Leak]:
    """Yield numbers that debug code allocated: they were never mapped, so they can never be given back."""
    for source in dict.fromkeys(x.source for x in lives):
        latest = {x.pirq: x for x in sorted(lives, key=lambda x: x.line) if x.source == source and x.basis == "debug"}
        gone = sorted((x for x in latest.values() if x.irq is None), key=lambda x: x.line)
        numbers = tuple(sorted({x.pirq for x in gone}, reverse=True))
        if len(numbers) >= least:
            how = "allocated by the debug code's own get_free_pirq and never mapped"
            lines = tuple(Evidence(x.source, x.line, "cause") for x in gone)
            yield _Leak(numbers, how, "Take the debug calls out; restart the domain.", None, None, lines)


def _recurs(lives: list[Row]) -> bool:
    """Return whether a number was handed out twice in one source."""
    return len({(x.source, x.pirq) for x in lives}) < len(lives)


def _finding(leak: _Leak) -> Finding:
    subject = guest_function(leak.guest_bdf) if leak.guest_bdf else domain(leak.domid)
    return Finding(
        f"{len(leak.numbers)} pirqs of {subject.label} are lost ({spans(leak.numbers)}): {leak.how}",
        "probable",
        in_order(leak.evidence),
        subject,
        advice=leak.advice,
        unchecked=(Unchecked("that Xen still counts the numbers as taken", "xl debug-keys i; xl dmesg, after each reload"),),
        values={"pirqs": len(leak.numbers), "highest": leak.numbers[0], "lowest": leak.numbers[-1]},
    )
