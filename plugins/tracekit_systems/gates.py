"""What the case says about a gate."""

import polars as pl


def known_gate(gates: pl.DataFrame | None, name: str, source: str) -> bool | None:
    """A gate's value by the same source, else by all others if they agree; observed rows come before assumed ones. None: not known."""
    if gates is None:
        return None
    told: dict[tuple[bool, str], set[bool]] = {}
    for gate, value, basis, by in zip(gates["gate"], gates["value"], gates["basis"], gates["source"], strict=True):
        if gate == name:
            told.setdefault((False, basis), set()).add(value)
            if by == source:
                told.setdefault((True, basis), set()).add(value)
    for key in ((True, "observed"), (True, "assumed"), (False, "observed"), (False, "assumed")):
        if values := told.get(key):
            return values.pop() if len(values) == 1 else None
    return None
