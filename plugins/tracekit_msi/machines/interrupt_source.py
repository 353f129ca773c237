"""The interrupts of a PCI function at the device: Enable, masks, pending bits, where each message leads, and the INTx line.

What is signalled while a vector cannot send waits, or is gone; each `Signal` says which, and why.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from tracekit import VFIO_MSI, VFIO_MSIX, VFIO_NONE

# unsure: pending when MSI-X was switched off; PCI Express does not say whether the pending bit outlives that.
Fate = Literal["delivered", "late", "pending", "unsure", "lost"]
CLASSES = {VFIO_MSI: "MSI", VFIO_MSIX: "MSI-X"}


@dataclass
class Signal:
    """One interrupt of the device: `why` it is not delivered at once, and `until` when it waits."""

    at: int
    vector: int
    fate: Fate
    why: str = ""
    until: int | None = None

    def arrives(self, at: int) -> None:
        """Note the delivery; an unsure one is delivered then if it is delivered at all."""
        self.until = at
        if self.fate != "unsure":
            self.fate = "delivered" if at == self.at else "late"

    def ends(self, fate: Fate, why: str) -> None:
        """Note that it is not delivered, or perhaps not."""
        self.fate, self.why = fate, why


@dataclass
class InterruptSource:
    """One function. An operation returns the signals that reach their handler by it; those of one vector merge into one interrupt.

    MSI-X (PCI Express 6.1.4.5, 6.1.4.6): a vector sends while Enable is set and neither its entry nor the function is masked; else its
    pending bit is set, and the message is sent at the unmask. While Enable is clear nothing is sent but INTx. Plain MSI: the same with mask
    bits (`maskable`), which are optional; without them every signal is sent, wherever the message leads.
    Linux (drivers/pci/msi/msi.c, msix_capability_init and pci_msix_shutdown, the same from 3.x to 7.2): Enable with the function masked,
    all entries masked, function unmasked; at the disable all entries are masked, Enable is cleared and INTx is allowed again.
    A free_irq() masks the entry and writes a message of zeroes (kernel/irq/msi.c, msi_domain_deactivate). An irq that is not requested yet,
    and whose entry cannot be masked, is kept by genirq and sent again at the request (kernel/irq/chip.c, handle_edge_irq, irq_startup).
    `keeps`: whether pending bits outlive the disable (QEMU's device models keep them); `line`: whether the function has an INTx pin.
    INTx is level: it stays asserted until the driver has served the device, and the host masks it meanwhile
    (drivers/vfio/pci/vfio_pci_intrs.c, vfio_intx_handler).
    """

    maskable: bool = True
    line: bool = False
    keeps: bool | None = None
    enabled: int = VFIO_NONE
    function_masked: bool = False
    unmasked: set[int] = field(default_factory=set)
    handled: set[int] = field(default_factory=set)  # vectors whose irq is requested
    parked: set[int] = field(default_factory=set)  # vectors whose irq is not requested yet, and whose message leads to it
    intx_disabled: bool = False
    line_handled: bool = False
    line_masked: bool = False  # by the guest
    serving: bool = False  # by the guest, and masked by the host meanwhile
    asserted: list[Signal] = field(default_factory=list)
    waiting: dict[int, list[Signal]] = field(default_factory=dict)
    signals: list[Signal] = field(default_factory=list)

    def signal(self, vector: int, at: int) -> Signal:
        """Signal a vector."""
        s = Signal(at, vector, "pending")
        self.signals.append(s)
        if self.enabled == VFIO_NONE:
            self._by_line(s)
        elif self._masked(vector):
            s.why = "its entry is masked" if vector not in self.unmasked else "the function is masked"
            self.waiting.setdefault(vector, []).append(s)
        elif vector in self.handled:
            s.arrives(at)
        elif vector in self.parked:
            s.why = "its irq is not requested yet"
            self.waiting.setdefault(vector, []).append(s)
        else:
            s.ends("lost", "no mask bit holds it back, and its message leads to no irq")
        return s

    def enable(self, index: int, at: int, vectors: Iterable[int] = ()) -> None:
        """Set Enable. MSI-X begins with the function masked; plain MSI without mask bits sends at once (`vectors`: those that have an irq).

        A function that asserts INTx must withdraw it now: its handler, if there is one, has not run.
        """
        self.enabled, self.unmasked, self.function_masked = index, set(), index == VFIO_MSIX
        self.parked = set() if self._masks else set(vectors)
        for s in self.asserted:
            s.ends("lost", f"it asserts INTx, which has no handler, and the enable of {CLASSES[index]} withdraws it")
        self.asserted.clear()

    def disable(self) -> None:
        """Clear Enable; INTx is allowed again."""
        if self.enabled == VFIO_NONE:
            return
        was, held = CLASSES[self.enabled], self._masks
        self.enabled, self.function_masked, self.intx_disabled = VFIO_NONE, False, False
        self.unmasked.clear()
        self.handled.clear()
        self.parked.clear()
        for s in (s for waiting in self.waiting.values() for s in waiting):
            if not held or self.keeps is False:
                s.ends("lost", f"{s.why}, and the disable of {was} drops it")
            elif self.keeps is None and s.fate == "pending":
                s.ends("unsure", f"{s.why} when {was} is disabled")
        if not held or self.keeps is False:
            self.waiting.clear()

    def attach(self, vector: int, at: int) -> list[Signal]:
        """Request the irq of a vector, which writes the message and unmasks the entry."""
        self.handled.add(vector)
        self.parked.discard(vector)
        return self.unmask(vector, at)

    def detach(self, vector: int) -> None:
        """Free the irq of a vector."""
        self.handled.discard(vector)
        self.unmasked.discard(vector)

    def mask(self, vector: int) -> None:
        """Mask an entry."""
        self.unmasked.discard(vector)

    def unmask(self, vector: int, at: int) -> list[Signal]:
        """Unmask an entry: a message that is pending is sent now."""
        self.unmasked.add(vector)
        return self._sent(vector, at)

    def mask_function(self) -> None:
        """Set the Function Mask."""
        self.function_masked = True

    def unmask_function(self, at: int) -> list[Signal]:
        """Clear the Function Mask."""
        self.function_masked = False
        return [s for vector in sorted(self.waiting) for s in self._sent(vector, at)]

    def line_on(self, at: int) -> list[Signal]:
        """Request the irq of INTx: a line that is asserted interrupts now."""
        self.line_handled, self.serving = True, False
        return self._fired(at)

    def line_off(self) -> None:
        """Free the irq of INTx; the line stays as it is."""
        self.line_handled = self.serving = False

    def mask_line(self) -> None:
        """Mask INTx as the guest (Interrupt Disable, which VFIO keeps apart from its own mask: vfio_pci_intx_unmask_handler)."""
        self.line_masked = True

    def unmask_line(self, at: int) -> list[Signal]:
        """Unmask INTx as the guest; it stays masked by the host until the guest has served the device."""
        self.line_masked = False
        return self._fired(at)

    def served(self, at: int) -> list[Signal]:
        """Let the guest's driver serve the device: what was asserted before is done, what came since is still asserted at the unmask."""
        self.serving = False
        return self._fired(at)

    @property
    def _masks(self) -> bool:
        return self.maskable or self.enabled == VFIO_MSIX

    def _masked(self, vector: int) -> bool:
        return self._masks and (self.function_masked or vector not in self.unmasked)

    def _sent(self, vector: int, at: int) -> list[Signal]:
        if self._masked(vector) or vector not in self.handled:
            return []
        sent = self.waiting.pop(vector, [])
        for s in sent:
            s.arrives(at)
        return sent

    def _by_line(self, s: Signal) -> None:
        """Use INTx, where there is a pin and the command register allows it."""
        if not self.line or self.intx_disabled:
            s.ends("lost", "MSI and MSI-X are off" + (" and so is INTx" if self.line else "") + ", so nothing is sent")
            return
        masked = "INTx is masked while the guest serves it" if self.serving else "INTx is masked"
        s.why = masked if self.line_handled else "INTx has no handler"
        self.asserted.append(s)
        self._fired(s.at)

    def _fired(self, at: int) -> list[Signal]:
        """Run the handler if the line is asserted; it masks the line."""
        if not self.asserted or not self.line_handled or self.line_masked or self.serving or self.enabled != VFIO_NONE:
            return []
        fired, self.asserted, self.serving = self.asserted, [], True
        for s in fired:
            s.arrives(at)
            s.why = "by INTx" if s.fate == "delivered" else s.why
        return fired
