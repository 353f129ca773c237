"""Gates of QEMU, read up to 10.2."""

from tracekit import Gate, Since

QEMU = (
    Gate(
        "QV1",
        "dm-unmaps-pirqs",
        "QEMU",
        "The device model of a Xen guest unmaps the pirqs of a function when its MSI or MSI-X is disabled.",
        "Pirqs come back to the domain; a guest that re-uses cached numbers then gets one that is another's.",
        ("the device model's unmap messages", "pirqs that recur, or only fall", "the release"),
        (Since((2, 1), commit="c976437c7dba", source="hw/xen/xen_pt_msi.c"),),
        "Use a device model that unmaps pirqs on disable ({QV1}, {XV1}, or later).",
    ),
    Gate(
        "QV2",
        "batched-enable",
        "QEMU",
        "Vectors that the guest has unmasked before it enables MSI-X are enabled by one SET_IRQS.",
        "Such guests cause one enable and no growth.",
        ("a first SET_IRQS of more than one vector", "the release"),
        (Since((7, 1), commit="dc580d51f7dd", source="hw/vfio/pci.c"),),
    ),
    Gate(
        "QV3",
        "vmm-grows-in-place",
        "QEMU",
        "QEMU adds an MSI-X vector without taking the others down where the host reports NORESIZE clear.",
        "The window between disable and enable, and what is lost in it, is gone on hosts that can.",
        ("vfio_msix_early_setup prints noresize", "the release"),
        (Since((8, 2), commit="45d85f622811", source="with d9e6710d7d59, 5ebffa4e87e7; hw/vfio/pci.c"),),
        "Use {QV3} or later on a host that adds vectors in place ({KV4}).",
    ),
    Gate(
        "QV4",
        "errno-as-text",
        "QEMU",
        "`vfio: failed to enable vectors` tells the errno in words.",
        "The message tells a stale limit from a shortage; before, it ends in -1.",
        ("the message",),
        (Since((10, 1), source="pull request of May 2025, `vfio: consistently handle return value for helpers`"),),
    ),
    Gate(
        "QV5",
        "vfio-user-client",
        "QEMU",
        "QEMU has a vfio-user client: a device whose SET_IRQS go to a server process and not to the kernel.",
        "Lines of such a device (vfio-user-pci) tell nothing about the host kernel, its NORESIZE or its vectors.",
        ("vfio-user-pci on the command line or in messages", "the release"),
        (Since((10, 1), source="pull request of 26 Jun 2025; docs/system/devices/vfio-user"),),
    ),
)
