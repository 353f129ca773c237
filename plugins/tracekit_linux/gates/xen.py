"""Gates of Xen, read up to 4.21."""

from tracekit import Gate, Since

XEN = (
    Gate(
        "XV1",
        "toolstack-unmaps-pirqs",
        "Xen",
        "The toolstack brings a device model that unmaps pirqs on disable.",
        "As dm-unmaps-pirqs, for guests of this hypervisor's own device model.",
        ("the release",),
        (Since((4, 5), source="ships QEMU 2.1 or later (tools/qemu-xen)"),),
        "Use a Xen toolstack of {XV1} or later, which brings a device model that unmaps.",
    ),
)
