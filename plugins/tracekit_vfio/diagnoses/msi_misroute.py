"""KVMT-003: plain MSI vectors all arrive at one vector of the guest."""

from collections.abc import Iterator

import polars as pl

from tracekit import Finding, Subject, Unchecked, Verdict, clear, diagnosis, distinct, numbered, span

RECORD = "irq_handler_entry and kvm_msi_set_irq events of the host in one trace"
NEAR = 6  # lines between the host's handler and KVM's injection


@diagnosis("kvmt.msi-misroute", code="KVMT-003", severity="high", record=RECORD)
def msi_misroute(irq_handler_entry: pl.DataFrame, kvm_msi_set_irq: pl.DataFrame) -> Iterator[Finding | Verdict]:
    """Several plain MSI vectors of one device all reach the guest as one vector.

    What it finds: handlers `vfio-msi[0]`, `vfio-msi[1]`, ... of one device, each followed by an injection of the same guest vector.
    Why it matters: the guest's driver sees all its events on its first vector; the others never run.
    Stays quiet when: MSI-X is in use, only one vector interrupts, or the guest's vectors differ.
    Affected: kvmtool before e554aef; for devices without per-vector masking before 3a36d34.
    What to do: update kvmtool (e554aef; for devices without per-vector masking 3a36d34).
    References: kvmtool vfio/pci.c (e554aef: message data was the same for all vectors).
    """
    msi = irq_handler_entry.filter(pl.col("name").str.starts_with("vfio-msi["))
    if msi.is_empty():
        yield clear("no plain MSI of VFIO interrupts")
        return
    named = msi.with_columns(
        pl.col("name").str.extract(r"\[([0-9]{1,4})\]").cast(pl.Int64).alias("vector"),
        pl.col("name").str.extract(r"\((.*)\)$").alias("bdf"),
    ).drop_nulls(["vector", "bdf"])  # a name that is cut
    injected = kvm_msi_set_irq.select("source", pl.col("line").alias("injected"), "vec").sort("injected")
    pairs = named.sort("line").join_asof(
        injected, left_on="line", right_on="injected", by="source", strategy="forward", check_sortedness=False
    )
    pairs = pairs.filter(pl.col("injected") - pl.col("line") <= NEAR)
    merged = pairs.group_by("source", "bdf", maintain_order=True).agg(
        pl.col("vector").n_unique().alias("vectors"), pl.col("vec").n_unique().alias("targets"), pl.len()
    )
    wrong = merged.filter((pl.col("vectors") > 1) & (pl.col("targets") == 1))
    for source, bdf in wrong.select("source", "bdf").iter_rows():
        mine = pairs.filter((pl.col("source") == source) & (pl.col("bdf") == bdf)).unique("vector", keep="first", maintain_order=True)
        first = mine.row(0, named=True)
        yield Finding(
            summary=f"MSI {numbered(mine['vector'])} of {bdf} all reach the guest as vector {first['vec']}",
            grade="probable",
            subject=Subject(str(bdf), "pci", str(bdf)),
            evidence=distinct(
                e
                for r in mine.head(4).iter_rows(named=True)
                for e in (*span(source, r["line"]), *span(source, r["injected"], role="cause"))
            ),
            unchecked=(Unchecked("the guest gave each vector its own message", "the guest's /proc/interrupts"),),
            values={"vectors": sorted(mine["vector"].to_list()), "guest_vector": first["vec"]},
            advice="Update kvmtool.",
        )
    if wrong.is_empty():
        yield clear("the guest's vectors differ")
