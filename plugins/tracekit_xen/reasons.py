"""What the errno of a refused mapping says, by who prints it; and what is to be done."""

from bisect import bisect_right
from collections.abc import Sequence

import polars as pl

from tracekit import EBUSY, EEXIST, EINVAL, ENODATA, ENODEV, ENOSYS, EOPNOTSUPP, EPERM, Row
from tracekit_xen.places import rows
from tracekit_xen.refusals import Refusal

REASONS = {
    EPERM: ("the caller may not", "Check the toolstack's permissions for the device (`xl pci-assignable-list`, the flask policy)"),
    EBUSY: ("the pirq or the device is busy", "Another domain or another mode of the device still holds it: detach it there first"),
    EEXIST: ("the pirq is mapped already", "Look for two users of one pirq (XEN-001)"),
    ENODEV: (
        "Xen does not count the device as the caller's",
        "Give the device back to its domain (`xl pci-assignable-remove`), or turn the IOMMU on",
    ),
    ENODATA: (
        "Xen was not told where its MSI-X table is",
        "Let xen-pciback of dom0 hold the device before the guest starts (`xl pci-assignable-add`), with the device awake and its memory "
        "decoded (`lspci -vv`, D0 and Mem+): it tells Xen of the table; see dom0's log for `MSI-X preparation failed`",
    ),
    EINVAL: ("the request is not valid", "See whether dom0 has MSI off (`pci=nomsi`), and whether MSI and MSI-X are asked for at once"),
    ENOSYS: ("the domain has no pirqs", "This kind of domain programs MSI natively: the caller should not ask"),
}
# The function has to be the guest's in Xen (xen/arch/x86/msi.c looks it up in the domain), and stands in dom_io while in quarantine.
NOT_THE_GUESTS = (
    "Xen does not count the device as the guest's",
    "Assign the device to the guest in Xen: turn the IOMMU on, `xl pci-assignable-add` it before the guest starts, and see that it was not "
    "left in quarantine or detached (`xl pci-list`, `xl debug-keys Q`)",
)
# __pci_enable_msix() of Xen refuses an entry beyond the size that it read when the device was added.
NO_ENTRY = (
    "Xen may know a smaller table than the device has now",
    "Compare `lspci -vv` of the device with the entry: where its table has grown, remove the device and add it again (`xl "
    "pci-assignable-remove` and `-add`, or a rescan in dom0), so that Xen reads its size anew; see `xl dmesg` too",
)
OF_THE_MODEL = ("the request is not valid", "See `xl dmesg` at that time, and whether MSI and MSI-X are asked for at once")
# create_irq() of Xen found no irq or no CPU vector; the caller is told -EINVAL (xen/arch/x86/irq.c, allocate_and_map_msi_pirq).
NO_IRQ = (
    "Xen has no irq or no CPU vector left for it",
    "See `xl debug-keys i` then `xl dmesg`: give the devices fewer vectors, take away those that are not used, or raise nr_irqs= on Xen's "
    "command line",
)
FORCED = (
    "an earlier pirq of the same domain was unbound by force, and its number is not free yet",
    "Xen keeps the number until the domain closes its event channel: unload the driver that has it, or restart the domain (for dom0 the "
    "host). No other domain is concerned",
)
# Xen refuses the interrupts of a function that it was not told about (xen/arch/x86/msi.c looks it up).
UNKNOWN = (
    "dom0 could not tell Xen of the function when it was found, so Xen does not know it",
    "See Xen's lines at that time (`xl dmesg`): a VF is known only where its PF is, and a function behind VMD is not; set up the function "
    "anew (a rescan in dom0) after Xen knows what is above it, or turn VMD off in the firmware",
)
# A PVH domain has no pirqs: PHYSDEVOP_map_pirq is refused to it, and to a toolstack in it.
NO_LINES = (
    "no line interrupts are mapped from this dom0, or for this domain",
    "A PVH dom0 needs a Xen and a kernel that map lines for its guests: update both, or boot a PV dom0",
)
ERRNOS = {
    "Operation not permitted": EPERM,
    "Device or resource busy": EBUSY,
    "File exists": EEXIST,
    "No such device": ENODEV,
    "Invalid argument": EINVAL,
    "No data available": ENODATA,
    "Function not implemented": ENOSYS,
    "Operation not supported": EOPNOTSUPP,
    "Not supported": EOPNOTSUPP,
}
ABOVE = 3  # lines from Xen's word about a number to the refusal that follows from it


def reason_of(refusal: Refusal, forced: Row | None = None, short: bool = False, unknown: bool = False) -> tuple[str, str]:
    """Return what a refusal means, and what to do; `forced` is Xen's line about a number that was unbound by force, `short` that it said
    to have no irq left, `unknown` that the kernel could not tell Xen of the function."""
    of_guest = refusal.by == "device model" or (refusal.by in ("dom0", "backend") and refusal.domid != 0)
    if forced is not None:
        return FORCED
    if unknown:
        return UNKNOWN
    if short:
        return NO_IRQ
    if refusal.errno == ENODEV and of_guest:
        return NOT_THE_GUESTS
    if refusal.errno == EINVAL and refusal.by == "device model":
        beyond = getattr(refusal.row, "x", None) and number(getattr(refusal.row, "entry", None)) > 0
        return NO_ENTRY if beyond else OF_THE_MODEL
    return REASONS.get(refusal.errno, ("", "See what the hypervisor's log says at that time"))


def number(text: str | None) -> int:
    """Return a number as the device model prints it (`0x1f`, `0`); 0 where there is none."""
    return int(text, 16) if text and text.startswith("0x") else int(text or 0)


class Forced:
    """Xen's lines about numbers below zero: pirqs that were unbound by force (xen/arch/x86/irq.c, unmap_domain_pirq)."""

    def __init__(self, mapped: pl.DataFrame | None) -> None:
        self.of: dict[str, list[Row]] = {}
        for m in rows(mapped):
            if (m.old_irq or 0) < 0:
                self.of.setdefault(m.source, []).append(m)
        self.lines = {source: [m.line for m in mine] for source, mine in self.of.items()}

    def above(self, refusal: Refusal) -> Row | None:
        """Return the line shortly above a refusal that vPCI tells as busy."""
        if refusal.by != "vpci" or refusal.errno != EBUSY:
            return None
        lines: Sequence[int] = self.lines.get(refusal.row.source, ())
        at = bisect_right(lines, refusal.row.line) - 1
        return self.of[refusal.row.source][at] if at >= 0 and refusal.row.line - lines[at] <= ABOVE else None
