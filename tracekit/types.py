"""Columns and their types: what every row carries, and which terminal of `common.lark` gives which type."""

import polars as pl

# The envelope columns of every event row; field rules may not use these names.
#   source   path as given by the user (members of archives: path!member)
#   line     1-based physical line, broken at LF only
#   ts       ns on the clock of the row's source, shifted to the case's reference clock once that is known; null if unknown
#   ts_raw   the stamp as printed
#   machine  host name of the envelope, else "" (one machine a case)
#   boot     0-based boot of that machine within the source
#   side     kernel | guest | host | hypervisor | device-model | guestN (a Xen guest's console, "(dN)")
#   on_cpu, task, tid   where the envelope prints them
ENVELOPE: dict[str, pl.DataType] = {
    "source": pl.String(),
    "line": pl.Int64(),
    "ts": pl.Int64(),
    "ts_raw": pl.String(),
    "machine": pl.String(),
    "boot": pl.Int32(),
    "side": pl.String(),
    "on_cpu": pl.Int32(),
    "task": pl.String(),
    "tid": pl.Int64(),
}

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
    """The full schema of an event table: the envelope columns, then the rule's own."""
    return {**ENVELOPE, **fields}
