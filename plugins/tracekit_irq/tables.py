"""The tables of this family: vectors and faults of interrupt remapping."""

import polars as pl

from tracekit import Column, Table

_INT, _TEXT = pl.Int64(), pl.String()

VECTOR_FAILURES = Table(
    "vector_failures",
    "A failed attempt to get a CPU vector; the kernel tries several masks and prints a line for each.",
    (
        Column(
            "kind",
            _TEXT,
            "request (at request_irq), alloc (a real vector at allocation: entries that cannot be masked), managed (no slot on some CPU), "
            "managed-start, move (an affinity change), unknown (activations are not recorded).",
        ),
        Column("irq", _INT),
        Column("tries", _INT, "Lines of the attempt."),
        Column("global_avl", _INT, "Vectors available on all CPUs together, as last printed before."),
        Column("total_alloc", _INT, "Vectors allocated on all CPUs together, as last printed before."),
        Column("avl_line", _INT, "The line that printed these two."),
        Column("begin_line", _INT, "The activation; of kind alloc the reservation before it."),
    ),
    keys=("source", "line", "irq"),
)

VECTOR_LIVES = Table(
    "vector_lives",
    "The time in which an irq has a CPU vector, placed where it gets it.",
    (Column("irq", _INT), Column("vector", _INT, "The CPU vector.")),
    keys=("source", "line", "irq"),
)

VECTOR_OVERCOMMITS = Table(
    "vector_overcommits",
    "Reservations rise above the vectors that are available.",
    (
        Column("global_rsvd", _INT, "Vectors reserved on all CPUs together."),
        Column("global_avl", _INT, "Vectors available on all CPUs together."),
    ),
)

REMAP_FAULTS = Table(
    "remap_faults",
    "An interrupt request that remapping hardware refused, in one form for the records of Linux of all ages and Xen's.",
    (
        Column("bdf", _TEXT, "The function that sent it, with segment."),
        Column("index", _INT, "Index of the IRTE that it named."),
        Column("reason", _INT, "Fault reason of VT-d, 0x20 to 0x26."),
        Column("text", _TEXT, "The reason in the log's words."),
        Column("status_line", _INT, "The line of the fault interrupt before it."),
    ),
)
