"""Functions whose messages the device tree of their host bridge does not map to an MSI controller."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from tracekit import EINVAL, ENODEV, ENOENT, ENOSPC, ENOTSUPP, Finding, Subject, distinct, span

OF_NO_MAP = (EINVAL, ENODEV, ENOENT, ENOSPC, ENOTSUPP)  # what a probe ends with where a bridge or an enable refuses for it
ADVICE = (
    "Nothing is short: give the bridge's `msi-map` (and `iommu-map`) in the device tree an entry for this requester, or a `msi-map-mask`. "
    "Some boot loaders write the map for the devices that they find, so that one behind a switch, or a VF, needs their newer version."
)


def name(requester: int) -> str:
    """Return bus, device and function of a requester."""
    return f"{requester >> 8 & 0xFF:02x}:{requester >> 3 & 0x1F:02x}.{requester & 7}"


class MsiMap:
    """The functions that a bridge's map leaves out, and those of them on which a driver gave up."""

    def __init__(self, missing: pl.DataFrame | None, gone: pl.DataFrame | None) -> None:
        self.missing = {name(r["requester"]): r for r in reversed(_rows(missing))}
        failed = (r for r in reversed(_rows(gone)) if r["bdf"] and int(r["ret"]) in OF_NO_MAP) if self.missing else ()
        self.gone = {r["bdf"]: r for r in failed if self.of(r["bdf"]) is not None}

    def of(self, bdf: str | None) -> Mapping[str, Any] | None:
        """Return the line that says that a function is left out."""
        return self.missing.get(bdf.partition(":")[2]) if bdf else None

    def findings(self) -> Iterator[Finding]:
        """Yield the functions on which a driver gave up."""
        for bdf, gone in reversed(self.gone.items()):
            told = self.of(bdf) or gone
            yield Finding(
                f"{told['bridge']} maps no messages of {bdf}, and its driver gave up with {gone['ret']}",
                "probable",
                distinct((*span(told["source"], told["line"], role="cause"), *span(gone["source"], gone["line"], role="effect"))),
                subject=Subject(bdf, "pci", bdf),
                severity="high",
                advice=ADVICE,
                values={"bridge": told["bridge"], "requester": told["requester"], "errno": int(gone["ret"])},
            )


def _rows(frame: pl.DataFrame | None) -> list[dict[str, Any]]:
    return frame.to_dicts() if frame is not None else []
