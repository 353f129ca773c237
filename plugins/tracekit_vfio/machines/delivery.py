"""The delivery of an interrupt, which depends on the state of its vector when the device signals."""

from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["delivered", "delayed", "lost-possible"]
# on: enabled, unmasked, wired; pending: enabled, entry or function masked; freed: irq freed, MSI-X still on; off: Enable is 0.
Phase = Literal["on", "pending", "freed", "off"]
VERDICTS: dict[Phase, Verdict] = {"on": "delivered", "pending": "delayed", "freed": "delayed", "off": "lost-possible"}


@dataclass
class Delivery:
    """One vector of one function (PCIe 6.1.4: a message may be sent only while enabled and unmasked, a masked one is pending).

    What is signalled while Enable is 0 is gone, or appears as INTx; what is pending while the irq is freed survives only if the device
    keeps its pending bits over the disable that follows, which nothing demands.
    """

    phase: Phase = "off"
    keeps_pending: bool | None = None
    pending: int = 0
    signals: list[Verdict] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)  # places in `signals` of what is pending

    def signal(self) -> Verdict:
        """Signal an interrupt from the device."""
        verdict = VERDICTS[self.phase]
        if verdict == "delayed":
            self.waiting.append(len(self.signals))
            self.pending = 1
        self.signals.append(verdict)
        return verdict

    def move(self, phase: Phase) -> int:
        """Change the state of the vector. Return the handler runs that this causes (pending signals merge into one)."""
        if phase == "off" and self.pending and not self.keeps_pending:
            for place in self.waiting:
                self.signals[place] = "lost-possible"
            self.pending, self.waiting = 0, []
        runs = 1 if phase == "on" and self.pending else 0
        if runs:
            self.pending, self.waiting = 0, []
        self.phase = phase
        return runs

    def lost(self) -> int:
        """Return the signals that may never have arrived."""
        return self.signals.count("lost-possible")
