"""A guest, a host and a client combined: whether a growth may lose interrupts, and whether the guest learns of a shortage."""

from dataclasses import dataclass
from typing import Literal

from tracekit_vfio.machines.guest import Kind
from tracekit_vfio.machines.vmm import Policy

Device = Literal["MSI", "MSI-X", "IMS"]
Growth = Literal["lossy", "safe", "refused"]
Shortage = Literal["blind", "told", "refused"]


@dataclass(frozen=True, slots=True)
class Configuration:
    """One device of one guest.

    `reworked`: a host that takes vectors without tearing others down, or all at once (gates KV4 and QV3; kvmtool). `dynamic`: its
    parent irq domain can add vectors in place (MSI_FLAG_PCI_MSIX_ALLOC_DYN). `reservation`: CPU vectors are taken when an irq is requested,
    not when it is allocated (gate KV1). No hypervisor has an interface for guests of kind b yet.
    """

    guest: Kind = "a"
    reworked: bool = False
    policy: Policy = "incr"
    dynamic: bool = False
    device: Device = "MSI-X"
    reservation: bool = True

    @property
    def acts_as(self) -> Policy:
        """Return the client's effective policy: in place only where the host can."""
        return "incr" if self.policy == "dyn" and not self.dynamic else self.policy

    def growth(self) -> Growth:
        """Vectors of plain MSI change with a disable only; of MSI-X where the client takes them down; IMS is not offered by an old host."""
        if self.device == "IMS":
            return "safe" if self.reworked else "refused"
        return "lossy" if self.device == "MSI" or self.acts_as == "incr" else "safe"

    def shortage(self) -> Shortage:
        """Return how a shortage shows. A PCI unmask cannot fail, so only a guest that asks the host before it allocates learns of one."""
        if self.growth() == "refused":
            return "refused"
        return "told" if self.guest == "b" and self.reworked and self.growth() == "safe" else "blind"

    def pressure(self) -> bool:
        """Return whether unused vectors occupy CPU vectors: the whole table, on a host without reservations."""
        return self.acts_as == "full" and not self.reservation

    def falls_back(self) -> bool:
        """Return whether the client would add in place and the host cannot (CFG-001)."""
        return self.policy == "dyn" and not self.dynamic and self.device == "MSI-X"
