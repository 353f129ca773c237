"""The tables of this family: calls, devices, operations, and how clocks relate."""

import polars as pl

from tracekit import Column, Table

_INT, _TEXT, _FLAG, _POINTER = pl.Int64(), pl.String(), pl.Boolean(), pl.UInt64()

CALLS = Table(
    "calls",
    "A call of a function, placed where its entry stands, or its return where no entry is recorded.",
    (
        Column("id", _INT, "Number of the call, unique in a case; computed from source and line."),
        Column("parent", _INT, "The calling call (`calls.id`); null where no call around it is recorded."),
        Column("depth", _INT, "Number of recorded calls around it."),
        Column("function", _TEXT, "Name of the called function; null where no line names it."),
        Column("function_hint", _TEXT, "The function that the probe's name suggests, where no line names it for certain."),
        Column("probe", _TEXT, "Event name of the probe; null for calls of a function graph."),
        Column("caller", _TEXT, "The function in the other half of a return's parentheses, or that a function graph names."),
        Column("lane", _TEXT, "The context in which calls nest: a task, else a CPU of a function graph, else the source."),
        Column("lane_assumed", _FLAG, "Whether the lane rests on the task that was shown before, not on the line itself."),
        Column(
            "args",
            pl.List(pl.Struct({"name": pl.String, "value": pl.Int64, "text": pl.String})),
            "The arguments in the order printed: name, value (a pointer as its signed 64-bit pattern), text as printed.",
        ),
        Column("ret", _INT, "Return value, sign-extended from 32 bits for int functions; null where it is not recorded."),
        Column("ret_kind", _TEXT, "Return type: int, bool, pointer, void."),
        Column("complete", _TEXT, "Which ends of the call are recorded: both, entry, return."),
        Column("begin", _INT, "Time of its entry; null where no entry is recorded.", "ns"),
        Column("end", _INT, "Time of its return; null where no return is recorded.", "ns"),
    ),
    keys=("id",),
)

DEVICES = Table(
    "devices",
    "The life of a device pointer, with the PCI function that it belongs to.",
    (
        Column("pointer", _POINTER, "Address of the object."),
        Column("kind", _TEXT, "Type of the object at the address: pci_dev, vdev, domain."),
        Column("entity", _INT, "Number of the device, unique in a case; pointers of one device share it."),
        Column("bdf", _TEXT, "The PCI function; null where nothing names it."),
        Column("how", _TEXT, "How the BDF is known: seen, or `inferred: ` and why."),
        Column("bdf_source", _TEXT, "The source that names the BDF."),
        Column("bdf_line", _INT, "The line that names the BDF."),
    ),
    keys=("source", "line", "pointer", "kind"),
)

COMMON = (
    Column("device", _POINTER),
    Column("vdev", _POINTER),
    Column("bdf", _TEXT),
    Column("entity", _INT),
    Column("ret", _INT, "Return value of the call; null where it is neither recorded nor implied."),
    Column("inferred", _FLAG),
    Column("hint", _FLAG),
    Column("call", _INT, "The call that performs the operation (`calls.id`)."),
    Column("attempt", _INT, "The enable or single allocation around the operation (`calls.id`); null outside of one."),
    Column("request", _INT),
)


def _operation(name: str, row: str, *columns: Column) -> Table:
    """Return an operation's table: the columns that all of them have, then its own."""
    return Table(name, row, (*COMMON, *columns), keys=("source", "line", "call"))


_HWSIZE = Column("hwsize", _INT, "Size of the irq domain, from the argument or a call inside.")
_KIND = Column("kind", _TEXT, "msix or msi; null where the call allows both.")
OPERATIONS = (
    _operation("op_open", "A VFIO user opened a device (vfio_pci_core_enable)."),
    _operation(
        "op_close",
        "A VFIO user closed a device, or a driver was unbound: one row per close, however many calls show it.",
        Column("how", _TEXT, "What shows it: close_device, index5 (the kernel's own SET_IRQS while closing), rebind."),
    ),
    _operation("op_reset", "A VFIO user reset a device (VFIO_DEVICE_RESET)."),
    _operation(
        "op_set_irqs",
        "A VFIO_DEVICE_SET_IRQS request; one row even where several levels of the call are recorded.",
        Column("flags", _INT, "VFIO_IRQ_SET_* flags."),
        Column("index", _INT, "Kind of interrupt: 0 INTx, 1 MSI, 2 MSI-X, 3 error, 4 request; 5 from the closing kernel."),
        Column("start", _INT, "The first vector."),
        Column("count", _INT, "Number of vectors, from `start`."),
        Column("data", _TEXT, "What the request carries: none, bool, eventfd; null where unknown."),
        Column("closing", _FLAG, "Whether the closing kernel makes it (vfio_pci_core_disable, or index 5)."),
    ),
    _operation(
        "op_alloc",
        "An enable of MSI-X or MSI.",
        _KIND,
        Column("min", _INT, "The fewest vectors that the caller takes."),
        Column("max", _INT, "The most vectors that the caller asks for."),
    ),
    _operation("op_domain_setup", "The kernel sets up a device's irq domain: it creates one or keeps the existing one.", _KIND, _HWSIZE),
    _operation(
        "op_domain_create",
        "A device's irq domain is created; its size is fixed here.",
        _KIND,
        Column("domid", _INT, "Number of the domain among those of the device."),
        _HWSIZE,
    ),
    _operation(
        "op_domain_remove", "A device's irq domain is removed.", Column("domid", _INT, "Number of the domain among those of the device.")
    ),
    _operation(
        "op_insert",
        "An MSI descriptor is inserted at an index of a domain.",
        Column("index", _INT, "MSI index: the argument, else the position among the inserts of its enable."),
        Column("hwsize", _INT, "Size of the domain, where the graph shows how it is read."),
    ),
    _operation(
        "op_domain_size",
        "The size of a device's irq domain is read while vectors are enabled, outside of an insert.",
        Column("hwsize", _INT, "Size of the irq domain."),
    ),
    _operation("op_alloc_at", "One more vector is added to an enabled MSI-X set.", Column("index", _INT, "The index asked for.")),
    _operation(
        "op_table_size",
        "The size of a device's MSI-X table is read.",
        Column("count", _INT, "Entries of the table."),
        Column("origin", _TEXT, "Who read it: the kernel's function, or lspci."),
    ),
    _operation(
        "op_vector",
        "One vector of a VFIO device gets or loses its eventfd.",
        Column("vector", _INT, "MSI-X vector: the argument, else the position in the block that the request wires."),
        Column("fd", _INT, "The eventfd; -1 detaches the vector."),
        Column("irq", _INT, "The irq set up inside."),
    ),
    _operation("op_free", "All vectors of a device are freed."),
    _operation("op_attach", "A VFIO group is attached to a container.", Column("group", _POINTER, "Address of the `struct iommu_group`.")),
    _operation(
        "op_xen_setup",
        "A Xen domain's kernel sets up the irqs of an MSI request.",
        Column("nvec", _INT, "How many vectors."),
        Column("type", _INT, "Capability id: 5 MSI, 17 MSI-X."),
        Column("function", pl.String(), "The kernel function that sets them up; the meaning of an errno depends on it."),
    ),
    _operation(
        "op_xen_bind",
        "A pirq is bound to a Linux irq (xen_bind_pirq_msi_to_irq).",
        Column("pirq", _INT),
        Column("irq", _INT, "The irq, which is the return value; null where the call failed."),
    ),
    _operation("op_xen_destroy", "The irq of a pirq is destroyed (xen_destroy_irq).", Column("irq", _INT)),
)

CLOCK_RELATIONS = Table(
    "clock_relations",
    "A kernel log and a trace that may be of one machine and boot: time in `other` is that in `source` plus `offset`, give or take `err`.",
    (
        Column("other", _TEXT, "The trace."),
        Column("offset", _INT, "Value to add to a time stamp of `source`.", "ns"),
        Column("err", _INT, "How far the offset may be off to either side.", "ns"),
        Column("pairs", _INT, "Number of pairs of message and call that fix the offset."),
        Column(
            "basis", _TEXT, "fixed: by messages of at least two calls; assumed: by one, or the nearest of several offsets; none: none fits."
        ),
        Column("lines", pl.List(pl.Int64()), "The messages, lines of `source`."),
        Column("other_lines", pl.List(pl.Int64()), "The calls, lines of `other`."),
    ),
    keys=("source", "machine", "boot", "other"),
)

PLATFORMS = Table(
    "platforms",
    "The platform of a machine that the case names, or of a source that names none.",
    (
        Column("arch", _TEXT, "Architecture: x86, arm64, ...; empty where unknown."),
        Column("parent", _TEXT, "Parent of the MSI irq domains: GIC ITS, Hyper-V, Xen pirqs, ...; empty where unknown."),
        Column("why", _TEXT, "The text or event that shows it."),
    ),
    keys=("source", "line"),
)
