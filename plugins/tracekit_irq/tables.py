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

SMMU_FAULTS = Table(
    "smmu_faults",
    "A fault of Arm's SMMU with its address, in whatever form the kernel printed it.",
    (
        Column("bdf", _TEXT),
        Column("sid", _INT, "Stream id of the device, where it is printed."),
        Column("iova", pl.UInt64(), "Address that the device wrote to."),
    ),
    keys=("source", "line"),
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

DRIVER_REFUSALS = Table(
    "driver_refusals",
    "A driver says in words of its own that it was refused MSI, MSI-X or an irq, or got fewer vectors than it asked for.",
    (
        Column("driver", _TEXT, "The driver, or the instance that it prints in its place."),
        Column("bdf", _TEXT),
        Column("device", _TEXT, "The device as the driver names it (`nvme0`), where that is no address."),
        Column("what", _TEXT, "vectors (they are allocated) or irq (one is requested)."),
        Column("errno", _INT, "The errno in any of its spellings, negative; null where the sentence has none."),
        Column("asked", _INT, "Vectors asked for."),
        Column("granted", _INT, "Vectors that were to be had."),
        Column("falls_back", pl.Boolean(), "It goes on with another kind of interrupt, or with fewer."),
        Column("of_vfs", pl.Boolean(), "The sentence is about the function's VFs."),
        Column("text", _TEXT, "The sentence."),
    ),
)

DRIVER_SILENCES = Table(
    "driver_silences",
    "A driver says in words of its own that an interrupt did not come.",
    (
        Column("driver", _TEXT, "The driver."),
        Column("bdf", _TEXT),
        Column("device", _TEXT, "The device as the driver names it (`nvme0`), where that is no address."),
        Column(
            "kind",
            _TEXT,
            "found (work was done and not told), fence (the same of a graphics driver's timer), msi or irq (one was missed), hedged (it "
            "guesses), announced (a poll begins).",
        ),
        Column("queue", _TEXT, "The queue or ring that the sentence names."),
        Column("text", _TEXT, "The sentence."),
    ),
)
