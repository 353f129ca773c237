"""The tables of this family: windows in which a device has no vectors, and refused requests."""

import polars as pl

from tracekit import Column, Table

_INT, _TEXT, _FLAG, _POINTER = pl.Int64(), pl.String(), pl.Boolean(), pl.UInt64()

WINDOWS = Table(
    "windows",
    "A disable of an opened device's vectors and the enable that follows, placed where the disable stands.",
    (
        Column("device", _POINTER),
        Column("vdev", _POINTER),
        Column("entity", _INT),
        Column("request", _INT, "The SET_IRQS that enables again (`calls.id`)."),
        Column("index", _INT, "What was enabled: 1 MSI, 2 MSI-X."),
        Column(
            "old",
            _INT,
            "Vectors before the disable; 0 where QEMU's trace shows that none had been enabled, null where it is not known how many.",
        ),
        Column("new", _INT, "Vectors after the enable; null where none followed."),
        Column("ret", _INT, "Return value of the enable; null where it is not recorded."),
        Column("bdf", _TEXT),
        Column(
            "kind",
            _TEXT,
            "growth, same-or-fewer, wanted (INTx came between: the client's or guest's own disable), failed (the enable returned "
            "an error), close (nothing followed but the end), open (whether the growth worked is not shown), unknown (how many vectors "
            "there were, or whether the device was closed between, is not shown).",
        ),
        Column("basis", _TEXT, "The events that show it: calls (SET_IRQS), vectors (irq_vectors events alone), qemu (QEMU's own trace)."),
        Column(
            "enabled_line",
            _INT,
            "The line at which the earlier vectors were enabled, or may have been; null where before the recording.",
        ),
        Column("disable_end", _INT, "Last line of the disable."),
        Column("disable_ts", _INT, "Time at which the disable began.", "ns"),
        Column("enable_line", _INT, "First line of the enable."),
        Column("enable_end", _INT, "Last line of the enable."),
        Column("enable_ts", _INT, "Time at which the enable ended.", "ns"),
        Column("recovered_line", _INT, "A later enable that worked, after one that failed."),
        Column("closed_line", _INT, "Where the device was closed, if that ended it."),
        Column("closed_ts", _INT, "Time of that close.", "ns"),
        Column(
            "span",
            _INT,
            "Time from the start of the disable to the end of the enable, and a step of their stamps where these are coarse: the window "
            "is no longer; null where the start of the disable is not recorded.",
            "ns",
        ),
        Column(
            "no_handler",
            _INT,
            "The longest time that a vector of both sets had no handler: from the call that took it away to the return of the one that set "
            "it, or to the allocation of its CPU vector in that; null where these are not recorded.",
            "ns",
        ),
        Column(
            "no_vectors",
            _INT,
            "Time from the call that freed the vectors to the return of the one that allocated new ones; null where they are not recorded.",
            "ns",
        ),
        Column("wired", pl.List(pl.Int64()), "The vectors that had an eventfd before the disable."),
        Column("irqs", pl.List(pl.Int64()), "Their irqs, where known."),
        Column(
            "in_use",
            pl.List(pl.Struct({"vector": pl.Int64(), "entries": pl.Int64(), "first": pl.Int64(), "last": pl.Int64()})),
            "The vectors that had interrupted since they were enabled: how often, and the first and the last line.",
        ),
        Column("sees_close", _FLAG, "Whether the recording would show that the device was closed between; null where no calls are read."),
        Column("handlers", _FLAG, "Whether the recording can show the device's interrupts: null where it shows some, and not whose."),
        Column("inferred", _FLAG),
        Column("hint", _FLAG),
    ),
    keys=("source", "line", "bdf", "device", "vdev", "basis"),
)

REFUSALS = Table(
    "refusals",
    "A SET_IRQS that the kernel refused.",
    (
        Column("device", _POINTER),
        Column("vdev", _POINTER),
        Column("entity", _INT),
        Column("request", _INT, "The request itself (`calls.id`)."),
        Column("index", _INT, "Requested index: 1 MSI, 2 MSI-X."),
        Column("start", _INT, "The first vector asked for."),
        Column("count", _INT, "Number of vectors, from `start`."),
        Column("ret", _INT, "The errno."),
        Column("enabled", _INT, "Vectors enabled at that time."),
        Column("active", _INT, "The index that was on then: 1 MSI, 2 MSI-X, 5 none."),
        Column("since_line", _INT, "First line of the SET_IRQS that had enabled those."),
        Column("since_end", _INT, "Last line of that SET_IRQS."),
        Column("bdf", _TEXT),
        Column(
            "kind",
            _TEXT,
            "growth (in place, -22), mode (another index is on), empty (an enable of no vectors), "
            "rollback (a vector of an enabled block failed, and the block with it).",
        ),
        Column("detached", pl.List(pl.Int64()), "Enabled vectors that lost their eventfds in the request, as the calls inside show."),
        Column("hint", _FLAG),
    ),
    keys=("source", "line", "request", "kind"),
)
