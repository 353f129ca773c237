"""The platform of a recording, from the lines of the case."""

from collections.abc import Mapping

import polars as pl

from tracekit import rows_where


def platform_of(tables: Mapping[str, pl.DataFrame], source: str) -> tuple[str, str]:
    """Return the architecture and interrupt parent that the same source shows, else those on which all others agree; empty if unknown."""
    frame = tables.get("platforms")
    told = rows_where(frame, None)
    own = [r for r in told if r["source"] == source]
    places = {(r["arch"], r["parent"]) for r in own or told}
    return places.pop() if len(places) == 1 else ("", "")
