"""IRQ-002: an interrupt is pending on a vector that nobody unmasks."""

from collections.abc import Iterator

import polars as pl

from tracekit import Finding, Subject, Unchecked, Verdict, at, clear, diagnosis, in_order, inconclusive

RECORD = "QEMU: -trace 'vfio_msi*'"


@diagnosis("irq.stuck-pending", code="IRQ-002", severity="medium", record=RECORD)
def stuck_pending(
    vfio_msix_pba_enable: pl.DataFrame,
    vfio_msix_pba_disable: pl.DataFrame | None = None,
    vfio_msix_vector_do_use: pl.DataFrame | None = None,
    vfio_msi_interrupt: pl.DataFrame | None = None,
    vfio_msix_disable: pl.DataFrame | None = None,
    vfio_msix_enable: pl.DataFrame | None = None,
    vfio_pci_reset: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """An interrupt waits as a pending bit of a masked vector, and the vector is not unmasked to the end of the log.

    What it finds: QEMU's `vfio_msix_pba_enable` with no later use of a vector, no `vfio_msix_pba_disable`, reset or disable of that device.

    Why it matters: the device has signalled and the guest will not hear of it before it unmasks the vector.

    Stays quiet when: the guest masks on purpose and unmasks later, or switches MSI-X off.

    Affected: guests of QEMU.

    What to do: see why the guest keeps it masked: its driver, or an unmask that was lost.

    References: hw/vfio/pci.c, vfio_msi_interrupt(): QEMU emulates pending bits while a vector is masked.
    """
    other = None
    later = [f for f in (vfio_msix_pba_disable, vfio_msix_disable, vfio_msix_enable, vfio_pci_reset) if f is not None]
    for row in vfio_msix_pba_enable.sort("source", "line").unique(["source", "name"], keep="last", maintain_order=True).to_dicts():
        after = (pl.col("source") == row["source"]) & (pl.col("name") == row["name"]) & (pl.col("line") > row["line"])
        if any(f.filter(after).height for f in later):
            continue
        used = vfio_msix_vector_do_use.filter(after)["vector"].to_list() if vfio_msix_vector_do_use is not None else []
        if used:
            other = row if _vector(after, vfio_msi_interrupt) not in used else other
            continue
        yield Finding(
            f"an interrupt of {row['name']} is pending on a masked vector, and no vector is unmasked after it",
            "possible",
            in_order([at(row)]),
            subject=Subject(row["name"], bdf=row["name"] if row["name"].count(":") == 2 else None),
            advice="Look in the guest: is the driver holding the vector masked, or was its unmask lost?",
            values={"device": row["name"]},
            unchecked=(Unchecked("what came after the end of the log", "a longer QEMU trace: -trace 'vfio_msi*'"),),
        )
    if other is not None:
        told = f"a vector of {other['name']} was unmasked after line {other['line']}; whether it is the one that is pending is not recorded"
        yield inconclusive(told, RECORD)
    yield clear("each pending interrupt was followed by an unmask, a disable or a reset")  # holds only where nothing was found


def _vector(after: pl.Expr, interrupts: pl.DataFrame | None) -> int | None:
    """Return the vector that is pending: QEMU prints `vfio_msi_interrupt (0000:01:00.0) vector 3 0xfee01004/0x4023` right below."""
    below = interrupts.filter(after).sort("line") if interrupts is not None else pl.DataFrame()
    return int(below["vector"][0]) if below.height else None
