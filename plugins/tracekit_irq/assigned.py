"""Accesses to the config space of passed-through devices, as QEMU's trace of vfio-pci tells them."""

import re

import polars as pl

ASSIGNED = "vfio-pci"  # the type of all of them
COMMAND = 0x4  # offset of the command register
CONTROL = 0x2  # offset of Message Control in its capability
ENABLE = {"MSI-X": 0x8000, "MSI": 0x1}
MASK_ALL = 0x4000  # of MSI-X
BDF = re.compile(r"(?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


def assigned_accesses(
    writes: pl.DataFrame | None,
    reads: pl.DataFrame | None,
    msix: pl.DataFrame | None,
    msi: pl.DataFrame | None,
    disables: tuple[pl.DataFrame | None, ...],
) -> pl.DataFrame | None:
    """Return what was written to Message Control (`write`, `enabled`, `masked`) and what stood in the command register (`value`), in order.

    None where the place of no capability is told.
    """
    capabilities = [_places(f, kind) for f, kind in ((msix, "MSI-X"), (msi, "MSI")) if f is not None]
    if writes is None or not capabilities:
        return None
    written = _accesses(writes)
    controls = _controls(written, pl.concat(capabilities).unique())
    accesses = pl.concat([written, *([_accesses(reads)] if reads is not None else [])])
    commands = accesses.filter(pl.col("offset") == COMMAND).join(controls.select("source", "name"), on=["source", "name"], how="semi")
    off = [f.select("source", "line", "name", write="line", enabled=pl.lit(False), masked=pl.lit(False)) for f in disables if f is not None]
    events = pl.concat([controls, *off, commands.select("source", "line", "name", "value")], how="diagonal")
    return events.rename({"name": "slot"}).with_columns(dev=pl.lit(ASSIGNED)).sort("source", "line")


def _places(capability: pl.DataFrame, kind: str) -> pl.DataFrame:
    return capability.select("source", "name", pl.col("cap") + CONTROL, kind=pl.lit(kind))


def _accesses(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select("source", "line", pl.col("config_name").alias("name"), "offset", "value", "len")


def _controls(written: pl.DataFrame, places: pl.DataFrame) -> pl.DataFrame:
    """Return the writes to Message Control; one of four bytes has it in its upper half, behind the capability's id."""
    wide = pl.col("len") == 4
    at = written.with_columns(cap=pl.when(wide).then(pl.col("offset") + CONTROL).otherwise("offset"))
    found = at.join(places, on=["source", "name", "cap"])
    control = pl.when(wide).then(pl.col("value") // 0x10000).otherwise("value")
    bit = pl.col("kind").replace_strict(ENABLE, return_dtype=pl.Int64)
    return found.select(
        "source",
        "line",
        "name",
        write="line",
        enabled=(control & bit) != 0,
        masked=(pl.col("kind") == "MSI-X") & ((control & MASK_ALL) != 0),
    )
