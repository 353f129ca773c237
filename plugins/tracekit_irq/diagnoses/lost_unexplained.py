"""IRQ-001: an interrupt was lost after the host had it, with no window and no failed set-up."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from tracekit import Evidence, Finding, Shown, Subject, Unchecked, Verdict, clear, diagnosis, inconclusive, tick_of, times

RECORD = (
    "echo 1 > events/irq/irq_handler_entry/enable; echo 1 > events/kvm/kvm_msi_set_irq/enable; device and driver counters of both sides"
)
# ns: eventfd to KVM is microseconds; a busy host needs more. It is a property of the host: a recording whose stamps are coarser than this
# cannot pair handlers with injections, and is left out.
SOON = 1_000_000
LATE = 100_000_000  # ns without any injection of that vector: no merge can still be under way
LEARNED = 8  # deliveries that must have shown which guest vector belongs to the host's


OF_VFIO = pl.col("name").str.starts_with("vfio-msi") & pl.col("ts").is_not_null()


@diagnosis(
    "irq.lost-unexplained",
    code="IRQ-001",
    severity="critical",
    record=RECORD,
    shown_by=(Shown("irq_handler_entry", where=OF_VFIO),),
    absent="no trace with both VFIO's handlers and KVM's injections, and no count of what a device raised",
)
def lost_unexplained(
    irq_handler_entry: pl.DataFrame,
    kvm_msi_set_irq: pl.DataFrame,
    kvm_pi_irte_update: pl.DataFrame | None = None,
    gap: pl.DataFrame | None = None,
    windows: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """An interrupt reached the host and never the guest, and no resize or failed set-up explains it.

    What it finds: VFIO's handler ran for a vector that is otherwise injected each time within a millisecond, and this time was not, with no
    injection of it for 100 ms on, while others were recorded.

    Why it matters: the loss is behind the host's handler (eventfd, irqfd, route), where no log line tells.

    Stays quiet when: interrupts are posted (the host sees none), the recording has gaps, signals may have merged, the device is in a resize
    window, or no injections are recorded.

    Affected: any release.

    What to do: record both kernels and the device's counters; check the routes of that vector.

    References: virt/kvm/eventfd.c, irqfd_wakeup(); arch/x86/kvm/irq_comm.c, the kvm_msi_set_irq tracepoint.
    """
    handlers = irq_handler_entry.select("source", "boot", "machine", "line", "ts", "ts_raw", "name").filter(OF_VFIO)
    if handlers.is_empty():
        return
    sources = [f["source"].unique() for f in (gap, windows, kvm_pi_irte_update) if f is not None]
    excluded = pl.concat(sources).unique().to_list() if sources else []
    judged = False
    for source in handlers["source"].unique(maintain_order=True):
        own = handlers.filter(pl.col("source") == source)
        if source in excluded or not (_fine(own.head(LEARNED)) or _fine(own)):
            continue
        after = _injections(kvm_msi_set_irq.filter(pl.col("source") == source))
        for (name,), mine in own.partition_by(["name"], as_dict=True).items():
            if mine.height > LEARNED:
                judged = True
                if lost := missed(mine.sort("ts"), after):
                    yield _finding(source, str(name), lost, mine)
    if judged:  # what follows holds only where nothing was found
        yield clear("each handler entry of a VFIO vector was followed by its injection")
    else:
        why = "too few interrupts, coarse stamps, lost events or a resize: which injection belongs to which vector cannot be learned"
        yield inconclusive(why, RECORD)


def _fine(rows: pl.DataFrame) -> bool:
    """Return whether a stamp of these rows is fine enough to pair a handler with an injection."""
    return bool(rows.select((tick_of(pl.col("ts"), pl.col("ts_raw")) <= SOON).any()).item())


def _injections(injected: pl.DataFrame) -> pl.DataFrame:
    """When which guest vector was injected: ts, target (destination and vector)."""
    target = pl.concat_str("dst", "vec", separator=" ")
    return injected.drop_nulls("ts").select("ts", pl.col("ts").alias("next"), target.alias("target")).sort("ts")


def missed(handlers: pl.DataFrame, after: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the handler entries of one vector without the injection that follows all others."""
    joined = handlers.select("ts", "line", "machine", "boot").join_asof(after, on="ts", strategy="forward", tolerance=SOON)
    targets = joined["target"].drop_nulls().unique().to_list()
    if len(targets) != 1 or joined["target"].is_not_null().sum() < LEARNED:
        return []
    own = after.filter(pl.col("target") == targets[0]).select("ts", "next")
    again = handlers.select("ts", "line", "machine", "boot").join_asof(own, on="ts", strategy="forward")
    last = int(str(after["ts"][-1]))
    following = pl.col("ts").shift(-1)
    alone = again.with_columns(following.alias("following")).filter(
        (pl.col("next").is_null() | (pl.col("next") - pl.col("ts") > LATE))
        & (pl.col("ts") + LATE < last)
        & (pl.col("following").is_null() | (pl.col("following") - pl.col("ts") > LATE))
    )
    return alone.to_dicts()


def _finding(source: str, name: str, lost: Sequence[Mapping[str, Any]], handlers: pl.DataFrame) -> Finding:
    bdf = name[name.rindex("(") + 1 : -1] if name.endswith(")") else None
    return Finding(
        f"{times(len(lost), 'interrupt')} of {name} reached the host and not the guest; {handlers.height - len(lost)} others did",
        "proven",
        tuple(Evidence(source, r["line"], "cause") for r in lost[:24]),
        subject=Subject(bdf or name, bdf=bdf),
        advice="Lost behind the host's handler: look at irqfd, the MSI route of the vector, and the VMM.",
        values={"vector": name, "lost": len(lost), "delivered": handlers.height - len(lost)},
        unchecked=(Unchecked("what the guest saw", "irq_handler_entry in the guest, on a clock that is stated"),),
    )
