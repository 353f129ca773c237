"""VFIO-007: one vector's error detached its whole block."""

from collections.abc import Iterator

import polars as pl

from tracekit import Finding, Unchecked, Verdict, diagnosis, distinct, inconclusive, numbered, rows_where, span, subject_of
from tracekit_vfio.diagnoses.resize_window import CALLS, NO_CALL

RECORD = "kprobe and kretprobe on vfio_pci_set_irqs_ioctl and vfio_msi_set_vector_signal, with irq_handler_entry events"
# vfio-msix[3](0000:00:08.0), vfio-msi[0](0000:00:09.0): the action of a VFIO vector.
VFIO_ACTION = r"^vfio-msix?\[(?<vector>[0-9]{1,4})\]\((?<who>[0-9a-fA-F:.]+)\)$"
BEYOND = "Ask for no vector beyond those enabled (heed VFIO_IRQ_INFO_NORESIZE), and wire again the vectors that worked."


def rolled_back(kind: str | None, count: int | None) -> bool:
    """Return whether a block of several vectors was taken down for one of them."""
    return kind == "rollback" and count is not None and count > 1


@diagnosis(
    "vfio.block-rollback",
    code="VFIO-007",
    severity="high",
    explains=("VFIO-004",),
    record=RECORD,
    shown_by=(CALLS,),
    absent=NO_CALL,
    when={"refusals": rolled_back},
    otherwise="no block of enabled vectors failed",
)
def block_rollback(
    op_vector: pl.DataFrame | None = None,
    refusals: pl.DataFrame | None = None,
    irq_handler_entry: pl.DataFrame | None = None,
    devices: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """One vector of a block could not be wired, and the vectors below it, which had been working, were detached with it.

    What it finds: a SET_IRQS of several vectors, some of them enabled, which fails after vectors of its block had been interrupting: an
    eventfd that is none, a vector that no CPU has, one that cannot be added in place, or, from {KV7} on a host that does not add in
    place, a vector beyond those enabled.
    Why it matters: queues that worked fall silent because of another one's error.
    Stays quiet when: the request is for one vector, nothing was enabled before, or none of the block had ever interrupted.
    Affected: any kernel; for vectors beyond those enabled {KV7} and later.
    What to do: fix the vector that failed, ask for none beyond those enabled where NORESIZE is set; the client must wire the others again.
    References: Linux drivers/vfio/pci/vfio_pci_intrs.c, vfio_msi_set_block().
    """
    for r in rows_where(refusals, rolled_back):
        subject = subject_of(r, devices)
        stop = (
            op_vector.filter((pl.col("request") == r["request"]) & (pl.col("ret") < 0) & (pl.col("source") == r["source"]))
            if op_vector is not None
            else None
        )
        known = None not in (r["start"], r["enabled"])  # a cut line shows neither
        last = r["start"] + r["count"] - 1 if known else None
        first_bad = stop["vector"][0] if stop is not None and stop.height else last
        block = range(r["start"], min(first_bad, r["enabled"])) if known and first_bad is not None else range(0)
        used = _interrupted(irq_handler_entry, r["source"], r["bdf"], block, r["since_line"], r["line"])
        if not used:
            yield inconclusive(
                f"a block of {subject.label} failed with {r['ret']}; whether its vectors had been interrupting is not shown", RECORD
            )
            continue
        bad = (
            [e for s in stop.head(1).iter_rows(named=True) for e in span(s["source"], s["line"], s["line_end"], "cause")]
            if stop is not None
            else []
        )
        yield Finding(
            summary=f"{numbered(used)} of {subject.label} worked, and went down when vector {first_bad} failed with {r['ret']}",
            grade="proven" if stop is not None and stop.height else "probable",
            subject=subject,
            evidence=distinct([*span(r["source"], min(used.values())), *bad, *span(r["source"], r["line"], r["line_end"], "cause")]),
            unchecked=() if bad else (Unchecked("which vector failed", RECORD),),
            values={"vectors": sorted(used), "failed": first_bad, "errno": r["ret"]},
            advice=BEYOND if first_bad >= r["enabled"] else "Find the reason of the errno, and wire the other vectors again.",
            explained_by="VFIO-005" if first_bad >= r["enabled"] else None,
        )


def _interrupted(entries: pl.DataFrame | None, source: str, bdf: str | None, block: range, since: int | None, until: int) -> dict[int, int]:
    """Return the vectors of the block that interrupted since they were enabled, with their last line; without a BDF of the only device."""
    if entries is None or since is None:
        return {}
    action = pl.col("name").str.extract_groups(VFIO_ACTION)
    mine = entries.filter(pl.col("source") == source).with_columns(action.alias("action")).unnest("action").drop_nulls("vector")
    if bdf is None and mine["who"].n_unique() != 1:
        return {}
    seen = mine.filter(pl.col("line").is_between(since, until) & ((pl.col("who") == bdf) if bdf else True))
    last = {int(v): line for v, line in seen.select("vector", "line").iter_rows()}
    return {v: line for v, line in last.items() if v in block}
