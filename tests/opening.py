"""Probe lines of one opening of a device, one call or return each."""

TASK = " vfio-11 [000] ....."
VDEV, DEV = "0xff11000000001000", "0xff11000000002000"


def trace(*events):
    """One ftrace line an event; `name(...)` of another task by `irq:` in front."""
    return "".join(f"{TASK}  {1 + i / 1000:.6f}: {e}\n" for i, e in enumerate(events))


def call(function, args):
    return f"k: ({function}+0x4/0xd0) {args}"


def back(function, ret):
    return f"r: (caller+0x1/0x2 <- {function}) ret={ret}"


def session(vdev=VDEV, dev=DEV, vector=0, irq=32):
    return (
        call("vfio_pci_set_irqs_ioctl", f"vdev={vdev} flags=0x24 index=2 start=0 count=1"),
        call("__pci_enable_msix_range", f"dev={dev} minvec=1 maxvec=1"),
        back("__pci_enable_msix_range", 1),
        call("vfio_msi_set_vector_signal", f"vdev={vdev} vector={vector} fd=7 msix=1"),
        f"vector_alloc: irq={irq} vector=39 reserved=1 ret=0",
        back("vfio_msi_set_vector_signal", 0),
        back("vfio_pci_set_irqs_ioctl", 0),
    )
