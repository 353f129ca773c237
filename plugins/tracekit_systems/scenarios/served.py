"""A function that a program serves in a scenario, an mdev driver or a vfio-user server: it takes nothing of the host's pools."""

from typing import Any

from tracekit import EINVAL, VFIO_MSI, VFIO_MSIX, VFIO_NONE, Device
from tracekit_systems.scenarios.interrupts import Interrupts
from tracekit_systems.scenarios.world import US, World

MDEV = ("gvt", "mtty")


class Served:
    """What stands behind SET_IRQS in place of the kernel's MSI code: eventfds, set and cleared.

    mdev: one vector of plain MSI, NORESIZE set, which means nothing for one (drivers/gpu/drm/i915/gvt/kvmgt.c, intel_vgpu_set_irqs;
    samples/vfio-mdev/mtty.c, mtty_set_irqs). vfio-user: as many as the server has declared, NORESIZE clear
    (libvfio-user lib/irq.c, dev_get_irqinfo, handle_device_set_irqs). A disable that finds nothing returns 0 in all of them.
    """

    def __init__(self, world: World, device: Device, irq: int, index: int, interrupts: Interrupts) -> None:
        self.world, self.irq, self.index, self.interrupts = world, irq, index, interrupts
        self.dynamic = device.backend == "vfio-user" and index == VFIO_MSIX
        self.noticed: list[str] = []
        self.size = 1

    def resize(self, size: int) -> None:
        """Serve so many vectors from now on."""
        self.size = size

    def unbind(self) -> None:
        """Do nothing: no irq domain hangs on it."""

    def close(self, vfio: Any) -> None:
        """Close the device: its eventfds go."""
        vfio.close()
        self.interrupts.disable()

    def room(self, count: int) -> int:
        """Return how many vectors could be had."""
        return min(count, self.size)

    def set_irqs(self, vfio: Any, r: Any) -> int:
        """Set or clear eventfds, and return the result."""
        wanted = range(r.start, r.start + r.count)
        if r.count and wanted[-1] >= self.size:
            return EINVAL
        window = self.world.scenario.client.window * US
        if r.data == "eventfd":
            self.world.wait(window * 3 // 5)
            vfio.irq_type = r.index
            for v in wanted:
                vfio.allocated.add(v)
                if v in r.empty:
                    continue
                vfio.wired.add(v)
                self.interrupts.attach(v)
            return 0
        if r.count == 0 and vfio.irq_type != VFIO_NONE:
            self.close(vfio)
        self.world.wait(window * 2 // 5)
        return 0


def index_of(device: Device) -> int:
    """Return the index that the guest's driver uses."""
    return VFIO_MSI if device.backend in MDEV or device.kind == "msi" else VFIO_MSIX
