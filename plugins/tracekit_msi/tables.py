"""The tables of this family: enables, irq domains, sets of vectors, reports of the kernel."""

import polars as pl

from tracekit import Column, Table

_INT, _TEXT, _FLAG, _POINTER = pl.Int64(), pl.String(), pl.Boolean(), pl.UInt64()

ENABLES = Table(
    "enables",
    "A call that enables MSI or MSI-X or adds a vector, with what was seen inside of it.",
    (
        Column("device", _POINTER),
        Column("vdev", _POINTER),
        Column("entity", _INT),
        Column("call", _INT, "The enabling call (`calls.id`)."),
        Column("request", _INT),
        Column("bdf", _TEXT),
        Column("kind", _TEXT, "msix or msi; null where the call allows both."),
        Column("operation", _TEXT, "enable, or alloc_at: one vector more."),
        Column("hwsize_how", _TEXT, "How `hwsize` is known: seen, or deduced from the first index refused."),
        Column("live_how", _TEXT, "Origin of `live`: the set-up's argument, or the kernel function that read it."),
        Column("min", _INT, "The fewest vectors that the caller takes; of alloc_at the index."),
        Column("max", _INT, "The most vectors that the caller asks for; of alloc_at the index and one."),
        Column("ret", _INT, "Vectors granted, or the errno; null where it is not recorded."),
        Column("live", _INT, "Size of the device's MSI-X table in this attempt; null where unknown."),
        Column("live_line", _INT, "The line that shows `live`."),
        Column("hwsize", _INT, "Size of the irq domain in use; null where unknown."),
        Column("made_line", _INT, "First line of the call that created the domain."),
        Column("made_end", _INT, "Last line of the call that created the domain."),
        Column("removed_line", _INT, "The line at which a domain of the device was last removed."),
        Column("setup_line", _INT, "First line of the domain's set-up inside the attempt."),
        Column("setup_end", _INT, "Last line of that set-up."),
        Column("inserted", _INT, "Number of MSI descriptors inserted."),
        Column("first_line", _INT, "The first insert."),
        Column("last_line", _INT, "The end of the last insert that passed."),
        Column("insert_hwsize_line", _INT, "The insert, or the call of the enable, that shows the domain's size as it is read."),
        Column("fail_index", _INT, "Index of the insert that was refused: its argument, else counted."),
        Column("fail_line", _INT, "First line of the refused insert."),
        Column("fail_end", _INT, "Last line of the refused insert."),
        Column("fail_ret", _INT, "Return value of the refused insert."),
        Column("fail_call", _INT, "The refused insert (`calls.id`)."),
        Column("created", _FLAG, "Whether a domain was created inside."),
        Column("armed", _FLAG, "Whether the recording would have shown the creation of a domain."),
        Column("whole", _FLAG, "Whether all calls inside are recorded."),
        Column("index_seen", _FLAG, "Whether the refused index is an argument, not counted."),
        Column("first", _FLAG, "Whether this is the first enable since the device was opened."),
        Column("hint", _FLAG),
        Column("inferred", _FLAG),
        Column("made_source", _TEXT, "The source of the call that created the domain."),
    ),
    keys=("source", "line", "call"),
)

MSI_DOMAINS = Table(
    "msi_domains",
    "The life of a device's irq domain, from the call that created it, else from its removal where the creation is not recorded.",
    (
        Column("device", _POINTER),
        Column("entity", _INT),
        Column("bdf", _TEXT),
        Column("kind", _TEXT, "msix."),
        Column("hwsize", _INT, "Size of the domain (hwsize), fixed at its creation; null where unknown."),
        Column("how", _TEXT, "How the size is known: seen, or deduced from the first index refused."),
        Column("cause", _TEXT, "What ended it: removed, replaced; null while it lasts."),
    ),
    keys=("source", "line", "ts_end", "line_end"),
)

VECTOR_SETS = Table(
    "vector_sets",
    "The life of a function's MSI or MSI-X vectors, from the return of the enabling call.",
    (
        Column("device", _POINTER),
        Column("vdev", _POINTER),
        Column("entity", _INT),
        Column("count", _INT, "Number of vectors, including those added in place."),
        Column("bdf", _TEXT),
        Column("kind", _TEXT, "msix or msi; null where the call allows both."),
        Column("cause", _TEXT, "What ended it: freed, closed, replaced; null where the recording ends first."),
    ),
    keys=("source", "line", "kind"),
)

KERNEL_REPORTS = Table(
    "kernel_reports",
    "A WARNING, an Oops or bare frames of the kernel with a function of the MSI code as the place or near the top of the stack.",
    (
        Column("kind", _TEXT, "warning, oops, or bare: frames without a head."),
        Column("place", _TEXT, "File and line of a WARNING."),
        Column("function", _TEXT, "The function at the instruction pointer."),
        Column("msi_function", _TEXT, "The function of the MSI code, without the compiler's suffix."),
        Column("msi_line", _INT, "The line that names it."),
        Column("what", _TEXT, "The first line of an Oops."),
        Column("rbx", _POINTER, "Register RBX: the pci_dev in the error path of an enable (6.12)."),
        Column("rbp", _POINTER, "Register RBP: the errno in the error path of an enable (6.12)."),
        Column("named", _TEXT, "BDF of the PCI function that a line before names."),
        Column("how", _TEXT, "Why the report is attributed to that PCI function."),
        Column("lines", pl.List(pl.Int64()), "All lines of the report that show this."),
        Column("frames", _INT, "Reliable frames of the report that were read."),
    ),
)

IRQ_MISUSES = Table(
    "irq_misuses",
    "A mistake of a driver with an irq that the irq core warns of.",
    (
        Column("what", _TEXT, "freed: an irq that nobody held; enabled: a handler switched interrupts on."),
        Column("irq", _INT),
        Column("function", _TEXT, "The handler, or the driver's function that freed; null where no frame names it."),
        Column("lines", pl.List(pl.Int64()), "All lines of the report that show this."),
    ),
    keys=("source", "line"),
)
