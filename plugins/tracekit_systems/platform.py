"""The platform of a recording, from the lines of the case."""

from collections.abc import Mapping

import polars as pl


def platform_of(tables: Mapping[str, pl.DataFrame], source: str) -> tuple[str, str]:
    """Return the architecture and interrupt parent that the same source shows, else those on which all others agree; empty if unknown."""
    frame = tables.get("platforms")
    if frame is None or frame.is_empty():
        return "", ""
    own = frame.filter(pl.col("source") == source)
    told = (own if own.height else frame).select("arch", "parent").unique()
    return (told["arch"][0], told["parent"][0]) if told.height == 1 else ("", "")
