"""Mappings of memory for DMA that VFIO refused: which of them matter, and what their errno says."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from tracekit import EEXIST, EINVAL, ENOMEM, ENOSPC, near, rows_below, rows_where

EFAULT = -14
PEERS = (EINVAL, EFAULT, EEXIST)  # another device's BAR, which QEMU maps too and can do without
TEXTS = {
    "Invalid argument": EINVAL,
    "Cannot allocate memory": ENOMEM,
    "No space left on device": ENOSPC,
    "Bad address": EFAULT,
    "File exists": EEXIST,
}
NEXT = 2  # lines below the message with the errno, in which the failed call is told, its errno overwritten
BELOW = 6  # lines below a mapping, in which its consequence is told
PRINTED = re.compile(r"(?:= |^)(-[0-9]{1,3})(?![0-9])")
LOCKED = "the guest's memory could not be locked or mapped for DMA"
REASONS = {
    ENOMEM: (LOCKED, "Raise the limit of locked memory of the VM (memlock), or give the guest less memory."),
    ENOSPC: (
        "the guest's memory takes more DMA mappings than the host allows",
        "Raise dma_entry_limit of vfio_iommu_type1, or give the guest memory in fewer pieces.",
    ),
    EINVAL: (
        "an address of the guest's memory is out of the IOMMU's reach, or in a range that the host reserves",
        "Compare the address with the IOMMU's width and with reserved_regions of the group (/sys/kernel/iommu_groups): give the guest "
        "fewer physical address bits (host-phys-bits-limit), less memory, or memory and devices at other addresses.",
    ),
    EFAULT: (
        "pages of the guest's memory could not be pinned",
        "Give the guest memory that the kernel can pin: anonymous or huge pages, no file of a DAX file system and no device's memory.",
    ),
    None: (
        LOCKED,
        "See the errno, in the host's log too: -12 is the limit of locked memory (memlock), -28 dma_entry_limit of vfio_iommu_type1, -22 "
        "an address out of the IOMMU's reach or reserved.",
    ),
}


def errno_of(row: Mapping[str, Any]) -> int | None:
    """Return the errno of a refused mapping: a number, or its text."""
    if "limit" in row:  # RLIMIT_MEMLOCK exceeded
        return ENOMEM
    if row.get("ret") is not None:
        return int(row["ret"])
    told = str(row.get("reason") or row.get("why") or "")
    if found := PRINTED.search(told):
        return int(found[1])
    return next((number for text, number in TEXTS.items() if text in told), None)


def refused(maps: pl.DataFrame | None, stopped: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return refused mappings in order, each with its `errno`; those of another device's registers only where `stopped` tells of the end.

    The call that failed is printed after the message about it, and where that took its errno it prints another one (-2).
    """
    rows = sorted(rows_where(maps, None), key=lambda r: (r["source"], r["line"]))
    ends = sorted(stopped, key=lambda r: (r["source"], r["line"]))
    above: dict[str, Any] | None = None
    for r in rows:
        r["errno"] = errno_of(r)
        if above and r.get("ret") is not None and r["source"] == above["source"] and r["line"] - above["line"] <= NEXT:
            r["errno"] = above["errno"] or r["errno"]
        above = r if r.get("ret") is None else None
    return [r for r in rows if r["errno"] not in PEERS or any(near(r, e, BELOW, 0) for e in rows_below(r, ends))]
