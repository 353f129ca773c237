"""The interrupts of a function that a program serves, not a device: an eventfd is signalled, or there is none."""

from dataclasses import dataclass

from tracekit_msi.machines.interrupt_source import InterruptSource, Signal


@dataclass
class EventfdSource(InterruptSource):
    """One function of an mdev driver, or of a vfio-user server: no mask, no pending bit, no message.

    A signal without an eventfd is gone: i915 GVT (drivers/gpu/drm/i915/gvt/interrupt.c, inject_virtual_interrupt), mtty
    (samples/vfio-mdev/mtty.c, mtty_trigger_interrupt), libvfio-user (lib/irq.c, vfu_irq_trigger, -2).
    """

    def signal(self, vector: int, at: int) -> Signal:
        """Signal the eventfd of a vector."""
        s = Signal(at, vector, "pending")
        self.signals.append(s)
        if vector in self.handled:
            s.arrives(at)
        else:
            s.ends("lost", "it has no eventfd, and nothing keeps it")
        return s
