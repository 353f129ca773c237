"""Columns and their types: what every row carries, and which terminal of `common.lark` gives which type."""

import polars as pl

from tracekit.tables.envelope import ENVELOPE_COLUMNS

# The envelope columns of every event row; field rules may not use these names.
ENVELOPE: dict[str, pl.DataType] = {c.name: c.type for c in ENVELOPE_COLUMNS}

# Type of a column = name of the one terminal that its rule names. Everything else is a String.
TERMINAL_TYPES: dict[str, pl.DataType] = {
    "DEC": pl.Int64(),  # [0-9]{1,18}
    "SDEC": pl.Int64(),  # -?[0-9]{1,18}
    "ID": pl.Int64(),  # a number, or a placeholder that a person put in its place (null)
    "HEX": pl.UInt64(),  # 0x[0-9a-f]{1,16}
    "BAREHEX": pl.UInt64(),  # [0-9a-f]{1,16}, hexadecimal without 0x
}

Schema = dict[str, pl.DataType]


def event_schema(fields: Schema) -> Schema:
    """Return the full schema of an event table: the envelope columns, then the rule's own."""
    return {**ENVELOPE, **fields}
