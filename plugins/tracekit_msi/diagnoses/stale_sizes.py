"""Table sizes of one function that were read twice and differ, before an enable that failed: what MSI-001 concludes from them."""

from collections.abc import Iterator
from typing import Any

import polars as pl

from tracekit import Finding, Subject, Unchecked, distinct, fallback, full_bdf, span
from tracekit_msi.refused_index import RECORD

# `-1` is what every failed ioctl gave QEMU before 10.1; another errno has another cause.
REASON = r"^-1$|^-34\b|Operation not permitted|Numerical result out of range"
FIXED_SIZE = (6, 2)  # the first release with an irq domain a device
ORDER = Unchecked(
    "the table grew from the smaller to the larger size, with the driver bound", "lspci -vv with a date, and the driver's unbinding"
)
RELEASE = r"^([0-9]+)\.([0-9]+)"


@fallback
def sizes(
    op_table_size: pl.DataFrame,
    qemu_enable_vectors_failed: pl.DataFrame | None = None,
    qemu_enable_msix_failed: pl.DataFrame | None = None,
    op_close: pl.DataFrame | None = None,
    kernel_version: pl.DataFrame | None = None,
) -> Iterator[Finding]:
    """Yield functions whose table was smaller at another time, where a client could not enable vectors and no rebind came between."""
    messages = [m for m in (qemu_enable_vectors_failed, qemu_enable_msix_failed) if m is not None]
    if not messages or _too_old(kernel_version):
        return
    failed = next((r for m in messages for r in m.filter(pl.col("reason").str.contains(REASON)).iter_rows(named=True)), None)
    functions = op_table_size["bdf"].drop_nulls().unique().sort()
    grown = [pair for bdf in functions if (pair := _pair(op_table_size.filter(pl.col("bdf") == bdf))) is not None]
    if failed is None or len(grown) != 1:
        return
    small, large = grown[0]
    if _rebound(op_close, small["bdf"]):
        return
    read = f"{small['count']} and {large['count']} entries"
    yield Finding(
        summary=f"the MSI-X table of {small['bdf']} had {read}, no rebind is seen, and an enable failed: an irq domain of the smaller size "
        "refuses what lies beyond it; errno not recorded",
        grade="possible",
        subject=Subject(small["bdf"], bdf=small["bdf"]),
        evidence=distinct(
            [
                *span(small["source"], small["line"], role="cause"),
                *span(large["source"], large["line"], role="cause"),
                *span(failed["source"], failed["line"], role="effect"),
            ]
        ),
        unchecked=(*(() if small["source"] == large["source"] else (ORDER,)), Unchecked("the errno and the refused index", RECORD)),
        values={"old_size": small["count"], "live": large["count"], "errno": None},
        advice="Unbind and rebind the driver of the device, then start the guest again.",
    )


def _rebound(closes: pl.DataFrame | None, bdf: str) -> bool:
    """Return whether the driver of this function, or of a function without a name, was unbound."""
    own = pl.col("bdf").is_null() | pl.col("bdf").is_in([bdf, full_bdf(bdf)])
    return closes is not None and closes.filter((pl.col("how") == "rebind") & own).height > 0


def _pair(mine: pl.DataFrame) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return the rows of the smaller and the larger size; in one source the smaller must come first."""
    rows = mine.sort("count", "line").to_dicts()
    small, large = rows[0], rows[-1]
    if small["count"] == large["count"] or (small["source"] == large["source"] and small["line"] > large["line"]):
        return None
    return small, large


def _too_old(versions: pl.DataFrame | None) -> bool:
    """Return whether every release of the case is older than the domains that have a size."""
    if versions is None or versions.is_empty():
        return False
    found = versions["release"].str.extract_groups(RELEASE).struct.unnest().drop_nulls()
    return found.height > 0 and all((int(a), int(b)) < FIXED_SIZE for a, b in found.iter_rows())
