"""KVMT-001: an appended capability overwrote the vendor id."""

from collections.abc import Iterator

import polars as pl

from tracekit import Finding, Subject, Unchecked, Verdict, clear, diagnosis, distinct, span

RECORD = "the guest's dmesg (pci ...: [vendor:device] lines) beside the host's"


@diagnosis(
    "kvmt.caplist-clobber",
    code="KVMT-001",
    severity="critical",
    record=RECORD,
    needs_any=("kvmtool_assigned", "kvmtool_unknown_capability"),
    across=("pci_device_found",),
)
def caplist_clobber(pci_device_found: pl.DataFrame, kvmtool_assigned: pl.DataFrame | None = None) -> Iterator[Finding | Verdict]:
    """The guest sees a vendor id whose high byte is the offset of a capability.

    What it finds: a device of the guest with the device id of a host's device, the low byte of its vendor id, and a high byte that can be
    the place of a capability (0x40 to 0xfc, a multiple of 4), beside lines of kvmtool.
    Why it matters: no driver of the guest knows the device.
    Stays quiet when: the ids agree, or nothing of kvmtool is in the input.
    Affected: the revision posted in August 2017; no merged one.
    What to do: use merged kvmtool; only the revision posted in 2017 wrote there.
    References: kvmtool vfio/pci.c, revision 2 of "vfio-pci: add MSI-X support" (1 Aug 2017); include/kvm/pci.h, pci_for_each_cap().
    """
    seen = pci_device_found.select("source", "line", "machine", "boot", "bdf", "vendor", "device_id")
    pairs = seen.join(seen, on="device_id", suffix="_real")
    high = pl.col("vendor").floordiv(256)
    clobbered = pairs.filter(
        (pl.col("vendor") != pl.col("vendor_real"))
        & (pl.col("vendor").mod(256) == pl.col("vendor_real").mod(256))
        & high.is_between(0x40, 0xFC)
        & (high.mod(4) == 0)
    )
    # 5086 and 8086 could each be the other's: the real one is of the device that kvmtool assigned
    assigned = [] if kvmtool_assigned is None else kvmtool_assigned["bdf"].to_list()
    likely = clobbered.sort(~pl.col("bdf_real").is_in(assigned), "source", "line", "source_real", "line_real")
    for row in likely.head(1).iter_rows(named=True):
        yield Finding(
            summary=f"the guest's {row['bdf']} has vendor id {row['vendor']:#06x} for {row['vendor_real']:#06x}: "
            f"the high byte is the place of a capability",
            grade="probable",
            subject=Subject(row["bdf_real"], "pci", row["bdf_real"]),
            evidence=distinct([*span(row["source"], row["line"], role="cause"), *span(row["source_real"], row["line_real"])]),
            unchecked=(Unchecked("both lines are about one device", "kvmtool's command line, or lspci -nn on the host and in the guest"),),
            values={"seen": row["vendor"], "real": row["vendor_real"], "offset": row["vendor"] // 256},
            advice="Use merged kvmtool.",
        )
    if clobbered.is_empty():
        yield clear("no vendor id looks overwritten")
