"""Numbers of the kernel's and Xen's interfaces: errnos as calls return them, VFIO's indexes and flags, capability ids."""

# include/uapi/asm-generic/errno-base.h and errno.h; ENOTSUPP is the kernel's own (include/linux/errno.h).
EPERM, ENOENT, EIO, ENXIO, EBADF, ENOMEM, EBUSY, EEXIST, ENODEV = -1, -2, -5, -6, -9, -12, -16, -17, -19
EINVAL, ENOTTY, ENOSPC, ERANGE, ENOSYS, ENODATA, EOPNOTSUPP, ENOTSUPP = -22, -25, -28, -34, -38, -61, -95, -524

# Kinds of interrupt of a VFIO PCI device (VFIO_PCI_*_IRQ_INDEX, include/uapi/linux/vfio.h). The kernel keeps VFIO_NONE where none is
# enabled, and only the closing kernel asks for it (vfio_pci_core_disable).
VFIO_INTX, VFIO_MSI, VFIO_MSIX, VFIO_ERR, VFIO_REQ, VFIO_NONE = range(6)
VFIO_SET_IRQS = 0x3B6E  # the ioctl's command
# VFIO_IRQ_SET_DATA_* and VFIO_IRQ_SET_ACTION_*
VFIO_DATA_NONE, VFIO_DATA_BOOL, VFIO_DATA_EVENTFD, VFIO_MASK, VFIO_UNMASK, VFIO_TRIGGER = (1 << n for n in range(6))

# Capability ids (PCI_CAP_ID_MSI, PCI_CAP_ID_MSIX, include/uapi/linux/pci_regs.h).
CAP_MSI, CAP_MSIX = 0x05, 0x11
LARGEST_TABLE = 2048  # entries of an MSI-X table: its size field has 11 bits (PCI_MSIX_FLAGS_QSIZE)
MAX_INDEX = 0xFFFF  # MSI_MAX_INDEX, include/linux/msi_api.h: the largest index of an irq domain

# Kernels whose vector_alloc swaps its arguments print the return value as the vector: -28 shows as 4294967268.
SWAPPED = 1 << 31

DOMID_SELF = 0x7FF0  # the calling domain itself (xen/include/public/xen.h)


def in_table(begin: int, end: int) -> range:
    """Return the vectors from `begin` up to `end`; none where an MSI-X table has no such place, so that no number of a log costs memory."""
    return range(begin, end) if begin >= 0 and end <= LARGEST_TABLE else range(0)
