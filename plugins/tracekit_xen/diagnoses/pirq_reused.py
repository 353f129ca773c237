"""XEN-001: two devices of one domain use the same pirq."""

from collections import Counter
from collections.abc import Iterator

import polars as pl

from tracekit import EEXIST, Finding, Row, Shown, Unchecked, Verdict, clear, diagnosis, in_order, inconclusive, subject_of
from tracekit_xen.places import rows, spans, whole

RECORD = "in the guest: echo 'file arch/x86/pci/xen.c +p' > /sys/kernel/debug/dynamic_debug/control, then dmesg"


@diagnosis(
    "xen.pirq-reused",
    code="XEN-001",
    severity="critical",
    explains=("XEN-004",),
    record=RECORD,
    shown_by=(Shown("pirq_lives", where=pl.col("basis").is_in(["guest", "debug"])),),
    absent="no line of a guest tells which pirq its MSIs use",
)
def pirq_reused(
    pirq_lives: pl.DataFrame,
    xen_irq_obtain_failed: pl.DataFrame | None = None,
    xen_evtchnop_failed: pl.DataFrame | None = None,
    xen_pt_unmap: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """Two devices of a guest use one pirq: the guest trusted a number that the device model had given back.

    What it finds: `msi already bound to pirq=N` for one device while Xen has since given N to another one; or, in a reporter's debug
    lines, a second irq on a pirq whose first one was not closed. Proven with the bind failure that follows.
    Why it matters: the second device gets no event channel and is deaf; its driver times out.
    Stays quiet when: a number recurs because Xen handed it out again (`msi bound to`: it was free); one device takes its own number
    again; several vectors of one device; a reporter's debug lines contradict each other (as many ends without a begin as whole lives).
    Affected: guest kernels before c74fd80f2f41 ({KV5}, and stable kernels) on a device model that unmaps ({QV1}, {XV1}, or later).
    What to do: update the guest kernel (c74fd80f2f41, {KV5}, in many stable kernels); until then reload drivers one by one.
    References: af42b8d12f8a brought the re-use, c74fd80f2f41 removed it; QEMU c976437c7dba (2.1) unmaps on disable.
    """
    doubtful = _contradictory(pirq_lives)
    credible = [life for life in rows(pirq_lives) if life.basis != "debug" or life.source not in doubtful]
    refused = list(rows(xen_irq_obtain_failed)), [e for e in rows(xen_evtchnop_failed) if e.ret == EEXIST]
    shared = _shared(credible)
    for pairs in shared:
        yield _finding(pairs, refused, list(rows(xen_pt_unmap)))
    if not shared:
        yield _quiet(credible, len(credible) < pirq_lives.height)


def _contradictory(lives: pl.DataFrame) -> list[str]:
    """Return the sources in which most ends have no begin: the log has a hole, or the lines of several guests or boots."""
    debug = lives["basis"] == "debug"
    if not debug.any():
        return []
    ended = debug & ((lives["end"] == "closed") | (lives["end"] == "destroyed"))
    ends, begun = (Counter(lives["source"].filter(which)) for which in (ended, ended & lives["began"]))
    return [source for source, count in ends.items() if begun[source] * 2 < count]


def _shared(lives: list[Row]) -> list[list[tuple[Row, Row]]]:
    """Return the pairs of lives that have one pirq at one time, grouped by the two functions; each pirq once per group."""
    users: dict[tuple[str, int], list[Row]] = {}
    ended = any(x.end in ("closed", "destroyed") for x in lives)
    pairs: dict[tuple[str, str | None, str | None], dict[int, tuple[Row, Row]]] = {}
    for life in sorted(lives, key=lambda x: (x.source, x.line)):
        mine = users.setdefault((life.source, life.pirq), [])
        mine[:] = [x for x in mine if x.line_end is None or x.line_end > life.line]
        other = _other_user(life, mine, ended)
        mine.append(life)
        if other is not None:
            pairs.setdefault((life.source, life.bdf, other.bdf), {}).setdefault(life.pirq, (life, other))
    return [list(p.values()) for p in pairs.values()]


def _quiet(lives: list[Row], contradicted: bool) -> Verdict:
    """Return why there is no finding."""
    if contradicted:
        return inconclusive("the debug lines contradict each other: most ends of event channels have no begin", "the log from its boot on")
    if (hole := next((x for x in lives if x.end == "lost sight"), None)) is not None:
        return inconclusive(f"the log has a hole after line {hole.line}: who had a number then is not recorded", RECORD)
    if (stray := _strays(lives)) is not None:
        return inconclusive(f"who used pirq {stray.pirq} before line {stray.line} is not recorded", RECORD)
    return clear("no pirq served two owners at once")


def _strays(lives: list[Row]) -> Row | None:
    """Return a guest's re-use of a pirq whose earlier use is not in the log: it may have been another device's."""
    seen: set[tuple[str, int]] = set()
    for x in sorted(lives, key=lambda x: (x.source, x.line)):
        if x.reused and (x.source, x.pirq) not in seen:
            return x
        seen.add((x.source, x.pirq))
    return None


def _other_user(life: Row, users: list[Row], ended: bool) -> Row | None:
    """Return the other user of a re-used pirq, or of an open event channel. `users` have not ended; `ended`: the log prints ends at all."""
    users = [x for x in users if x.irq is None or x.irq != life.irq]
    if life.reused:
        return max((x for x in users if x.bdf != life.bdf), key=lambda x: x.line, default=None)
    if life.basis != "debug" or life.irq is None or not life.began or not ended:
        return None
    mine = [x for x in users if x.basis == "debug" and x.irq is not None]
    return max(mine, key=lambda x: x.line, default=None)


def _finding(shared: list[tuple[Row, Row]], refused: tuple[list[Row], list[Row]], unmaps: list[Row]) -> Finding:
    """Return one finding for two users, however many numbers they share."""
    life, other = shared[0]
    irqs, pirqs = {x.irq for pair in shared for x in pair}, [x.pirq for x, _ in shared]
    failures = [m for m in refused[0] if m.source == life.source and m.line > life.line and m.irq in irqs] + refused[1]
    named = life.bdf is not None and other.bdf is not None
    grade = "possible" if not (named and failures) else "proven"
    unchecked = () if failures else (Unchecked("that the second device is deaf", "dmesg of the guest: `Failed to obtain physical IRQ`"),)
    whose = f"{life.bdf} and {other.bdf}" if named else f"irq {other.irq} and irq {life.irq}"
    given_back = [whole(u, "context") for u in unmaps if u.pirq in pirqs]
    return Finding(
        f"{whose} use the same {'pirq' if len(pirqs) == 1 else 'pirqs'} {spans(pirqs)}"
        + (f"; Xen refused the event channel of irq {life.irq}" if failures and life.irq else ""),
        grade,  # type: ignore[arg-type]
        in_order(
            [*(whole(_begin(x), "cause") for life, other in shared for x in (other, life)), *(whole(m) for m in failures), *given_back]
        ),
        subject_of(life),
        advice="Update the guest kernel to one with c74fd80f2f41 ({KV5} and stable kernels); until then reload drivers one by one.",
        unchecked=unchecked,
        values={"pirq": life.pirq, "irq": life.irq},
        related=tuple(b for b in (other.bdf,) if b),
    )


def _begin(life: Row) -> Row:
    """Return a life's first line alone."""
    return Row(source=life.source, line=life.line)
