"""The columns that every table has, and those that the tables of models have besides."""

import polars as pl

from tracekit.tables.declaration import Column

# Field rules and models may not use these names for columns of their own.
ENVELOPE_COLUMNS = (
    Column("source", pl.String(), "Path as the user gave it; of a member of an archive `path!member`."),
    Column("line", pl.Int64(), "Physical line in the source, from 1, broken at LF only."),
    Column(
        "ts", pl.Int64(), "Time on the clock of the source, shifted to the case's reference clock where that is known, else null.", "ns"
    ),
    Column("ts_raw", pl.String(), "The stamp as printed."),
    Column("machine", pl.String(), "Host name of the envelope, else empty: one machine a case."),
    Column("boot", pl.Int32(), "Boot of that machine within the source, from 0."),
    Column("side", pl.String(), "Who speaks: kernel, guest, host, hypervisor, device-model, or guestN, a Xen guest's console."),
    Column("on_cpu", pl.Int32(), "CPU on which the line was printed, where the envelope names it."),
    Column("task", pl.String(), "Name of the task, where the envelope names it."),
    Column("tid", pl.Int64(), "Thread id of the task, where the envelope names it."),
)
SPAN_COLUMNS = (
    Column("ts_end", pl.Int64(), "Time at which it ended; null while it lasts, or where the end has no stamp.", "ns"),
    Column("line_end", pl.Int64(), "Line at which it ended; null where the recording ends first."),
)
