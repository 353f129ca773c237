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
        Column("tries", _INT, "Number of failed tries in the attempt, one line per try."),
        Column("global_avl", _INT, "Vectors available on all CPUs together, as last printed before."),
        Column("total_alloc", _INT, "Vectors allocated on all CPUs together, as last printed before."),
        Column("avl_line", _INT, "The line that prints `global_avl` and `total_alloc`."),
        Column("begin_line", _INT, "First line of the activation; for kind alloc, of the reservation before it."),
    ),
    keys=("source", "line", "irq"),
)

VECTOR_LIVES = Table(
    "vector_lives",
    "The time in which an irq holds a CPU vector, placed where it gets the vector.",
    (Column("irq", _INT), Column("vector", _INT, "The CPU vector.")),
    keys=("source", "line", "irq"),
)

SMMU_FAULTS = Table(
    "smmu_faults",
    "A fault of Arm's SMMU with its address, in any of the kernel's formats.",
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
    "An interrupt request that remapping hardware refused, from the fault records of any Linux release and of Xen.",
    (
        Column("bdf", _TEXT, "The function that sent it, with segment."),
        Column("index", _INT, "Index of the IRTE that it named."),
        Column("reason", _INT, "Fault reason of VT-d, 0x20 to 0x26."),
        Column("text", _TEXT, "The reason as the log prints it."),
        Column("status_line", _INT, "The line of the fault interrupt before it."),
    ),
)

DRIVER_REFUSALS = Table(
    "driver_refusals",
    "A driver reports in its own wording that MSI, MSI-X or an irq was refused, or that fewer vectors were granted than requested.",
    (
        Column("driver", _TEXT, "Name of the driver, or of the instance where the driver prints that."),
        Column("bdf", _TEXT),
        Column("device", _TEXT, "The device as the driver names it (`nvme0`), where that is no address."),
        Column("what", _TEXT, "vectors (they are allocated) or irq (one is requested)."),
        Column("errno", _INT, "The errno as a negative number, however it is printed; null where the message has none."),
        Column("asked", _INT, "Vectors asked for."),
        Column("granted", _INT, "Vectors granted or available."),
        Column("falls_back", pl.Boolean(), "Whether the driver continues with another kind of interrupt, or with fewer vectors."),
        Column("of_vfs", pl.Boolean(), "Whether the message concerns the function's VFs."),
        Column("text", _TEXT, "The message as printed."),
    ),
)

DRIVER_SILENCES = Table(
    "driver_silences",
    "A driver reports in its own wording that an interrupt did not arrive.",
    (
        Column("driver", _TEXT, "The driver."),
        Column("bdf", _TEXT),
        Column("device", _TEXT, "The device as the driver names it (`nvme0`), where that is no address."),
        Column(
            "kind",
            _TEXT,
            "found (a completion without its interrupt), fence (found by a graphics driver's timer), ring (done, "
            "and a task still waits), msi or irq (missed), port (libata says so), hedged (it "
            "guesses), announced (a poll begins), test (the driver's own test failed).",
        ),
        Column("queue", _TEXT, "The queue or ring that the message names."),
        Column("text", _TEXT, "The message as printed."),
    ),
)
