"""MSI-008: a write to sriov_vf_msix_count was refused."""

from collections.abc import Iterator

import polars as pl

from tracekit import EBUSY, EINVAL, EOPNOTSUPP, Finding, Subject, Verdict, diagnosis, distinct, span

RECORD = "the shell's output of the write to /sys/bus/pci/devices/BDF/sriov_vf_msix_count"
WHY = {
    "Device or resource busy": (EBUSY, "a driver is bound to the VF", "Unbind the VF's driver first."),
    "Operation not supported": (EOPNOTSUPP, "the PF's driver cannot change it", "The PF's driver has no support for it, or is not bound."),
    "Invalid argument": (EINVAL, "the number is negative", "Write a number of zero or more."),
}


@diagnosis("msi.vf-count-refused", code="MSI-008", severity="low", record=RECORD)
def vf_count_refused(sriov_vf_msix_count_write: pl.DataFrame) -> Iterator[Finding | Verdict]:
    """A write to `sriov_vf_msix_count` was refused.

    What it finds: a shell's error for such a write, with its reason.
    Why it matters: the VF keeps its old table.
    Stays quiet when: there is no such line; the kernel prints none itself.
    Affected: Linux about 5.13 and later, which has the file.
    What to do: -16: unbind the VF's driver; -95: the PF's driver has no support; -22: the number was negative.
    References: Linux drivers/pci/iov.c, sriov_vf_msix_count_store() (since 5.13).
    """
    for row in sriov_vf_msix_count_write.filter(pl.col("reason").str.strip_chars() != "").iter_rows(named=True):
        vf = f"VF {row['bdf']}" if row["bdf"] else "a VF"
        errno, why, advice = WHY.get(row["reason"], (None, row["reason"], "See the reason."))
        yield Finding(
            summary=f"the MSI-X count of {vf} was not changed: {why}",
            grade="proven",
            subject=Subject(row["bdf"] or "a VF", "pci", row["bdf"]),
            evidence=distinct(span(row["source"], row["line"], role="cause")),
            values={"errno": errno, "reason": row["reason"]},
            advice=advice,
        )
