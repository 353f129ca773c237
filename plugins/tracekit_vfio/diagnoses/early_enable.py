"""KVMT-002: MSI-X was on in hardware before the guest enabled it."""

from collections.abc import Iterator

import polars as pl

from tracekit import VFIO_MSIX, Finding, Unchecked, Verdict, clear, diagnosis, distinct, span, subject_of
from tracekit_vfio.diagnoses.resize_window import CALLS

RECORD = "VMM and host on one clock: the guest's accesses to the device's BAR (vfio_region_read) and SET_IRQS"
CONFIG = 20  # where a legacy virtio driver reads with MSI-X off; with MSI-X on the fields start at 24


@diagnosis(
    "kvmt.early-enable",
    code="KVMT-002",
    severity="high",
    record=RECORD,
    needs_any=("virtio_legacy",),
    across=("virtio_legacy",),
    shown_by=(CALLS, "vfio_region_read"),
    absent="no legacy virtio device whose BAR is read beside SET_IRQS calls in the input",
)
def early_enable(
    vfio_region_read: pl.DataFrame,
    op_set_irqs: pl.DataFrame,
) -> Iterator[Finding | Verdict]:
    """The client enabled MSI-X before the guest did, and a legacy virtio device moved its configuration by four bytes.

    What it finds: reads of a legacy virtio device's configuration at offset 20, in the same recording, while the host's MSI-X is enabled
    and the guest has not enabled it.
    Why it matters: the driver reads shifted bytes: a wrong MAC, capacity or queue count.
    Stays quiet when: the device is not legacy virtio, or the guest enabled MSI-X first.
    Affected: clients that enable MSI-X at their set-up; kvmtool before c9888d9571ca.
    What to do: the client must enable MSI-X only when the guest does.
    References: Linux include/uapi/linux/virtio_pci.h, VIRTIO_PCI_CONFIG_OFF(); kvmtool c9888d9571ca.
    """
    enabled = op_set_irqs.filter((pl.col("index") == VFIO_MSIX) & (pl.col("data") == "eventfd") & (pl.col("ret") == 0))
    reads = vfio_region_read.filter((pl.col("region") == 0) & (pl.col("offset") == CONFIG))
    early = reads.join_where(
        enabled.select("source", pl.col("line_end").alias("since")),
        pl.col("source") == pl.col("source_right"),
        pl.col("line") > pl.col("since"),
    )
    for row in early.head(1).iter_rows(named=True):
        first = enabled.filter(pl.col("source") == row["source"]).row(0, named=True)
        subject = subject_of(first)
        yield Finding(
            summary=f"MSI-X of {subject.label} was on while the guest read its configuration at offset {CONFIG}",
            grade="possible",
            subject=subject,
            evidence=distinct(
                [*span(first["source"], first["line"], first["line_end"], "cause"), *span(row["source"], row["line"], role="effect")]
            ),
            unchecked=(Unchecked("the guest had not enabled MSI-X", "the guest's writes to Message Control (vfio_pci_write_config)"),),
            values={"offset": CONFIG},
            advice="Use a client that enables MSI-X when the guest does.",
        )
    if early.is_empty():
        yield clear("no configuration was read with MSI-X on")
