"""Tables that the pipeline itself fills, beside those of grammars and models."""

import polars as pl

from tracekit.tables.declaration import Column, Table
from tracekit.tables.shared import PREDICTIONS

STREAMS = Table(
    "streams",
    "A source, and the stream that it belongs to. No envelope columns.",
    (
        Column("source", pl.String(), "Path as the user gave it."),
        Column("stream", pl.Int64(), "Number of the stream: sources of one stream are one in time."),
        Column("merged", pl.Boolean(), "Whether several sources make up the stream, since the user gave their clocks."),
    ),
    keys=("source",),
)
SOURCES = Table(
    "sources",
    "An event that was seen in a source, captured or only counted: a proof that it was recorded. No envelope columns.",
    (
        Column("source", pl.String(), "Path as the user gave it."),
        Column("clock", pl.String(), "What the stamps of the source are: printk, wall, trace, ..."),
        Column("kernel", pl.Boolean(), "Whether a collector's tag or dmesg's stamp says that it has messages of the kernel."),
        Column("lines", pl.Int64(), "Physical lines of the source."),
        Column("event", pl.String(), "Name of the event; null for a source in which none was seen."),
        Column("count", pl.Int64(), "How often it was seen."),
    ),
    keys=("source", "event"),
)
DIVERGENCES = Table(
    "divergences", "A prediction that the recording contradicts (`predictions` with `agrees` false).", PREDICTIONS.columns, PREDICTIONS.keys
)
RAW_EVENT = Table(
    "raw_event",
    "A trace event that no rule names; kept where it is asked for by name (tracekit query), counted always.",
    (
        Column("event", pl.String(), "Name of the event."),
        Column("args", pl.String(), "What is printed behind the name."),
    ),
)
OWN = (STREAMS, SOURCES, DIVERGENCES)
