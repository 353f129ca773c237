"""What the case says about a gate."""

import polars as pl


def known_gate(gates: pl.DataFrame | None, name: str, source: str) -> bool | None:
    """A gate's value by the same source, else by all others if they agree; observed rows come before assumed ones. None: not known."""
    if gates is None:
        return None
    mine = gates.filter(pl.col("gate") == name)
    for part in (mine.filter(pl.col("source") == source), mine):
        for basis in ("observed", "assumed"):
            values = set(part.filter(pl.col("basis") == basis)["value"].to_list())
            if values:
                return values.pop() if len(values) == 1 else None
    return None
