"""Which sources are of a kernel that runs in a PV domain, by signs that a log without its beginning has too."""

import polars as pl

from tracekit_xen.places import rows

CODE_SELECTOR = "e030"  # of a PV kernel's code: `RIP: e030:`; that of its stack is e02b
ENTRIES = ("xen_start_kernel", "xen_pv_evtchn_do_upcall", "xen_hypercall_iret")


def pv_sources(
    platform: pl.DataFrame | None, positions: pl.DataFrame | None, frames: pl.DataFrame | None, signs: pl.DataFrame | None
) -> set[str]:
    """Return the sources whose boot line says PV, or that show a PV kernel's selectors, its entry points, or the PV frontend of PCI."""
    found = {r.source for r in rows(platform) if (r.platform or "PV").upper() == "PV"} | {r.source for r in rows(signs)}
    if positions is not None:
        found |= set(positions.filter(pl.col("segment") == CODE_SELECTOR)["source"])
    if frames is not None:
        found |= set(frames.filter(pl.col("frame_function").is_in(ENTRIES))["source"])
    return found
