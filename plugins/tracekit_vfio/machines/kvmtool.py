"""kvmtool's vfio-pci client: the whole table at the enable, and a second time when its first eventfd comes."""

from dataclasses import dataclass, field

from tracekit import VFIO_INTX, VFIO_MSIX, in_table
from tracekit_vfio.machines.vmm import DISABLE, Request, SetIrqs

LEGACY_CONFIG = 20  # offset of the device's own registers in a legacy virtio device, include/uapi/linux/virtio_pci.h
LEGACY_CONFIG_MSIX = 24  # the same while MSI-X is on


@dataclass
class Kvmtool:
    """One device with MSI-X (vfio/pci.c). Of its states, `enabled`, `masked` are the guest's of the function; `on`, `empty` the host's.

    `empty`: on in the host with no eventfd registered. `routed`: entries that the guest has written, each with a route and an eventfd;
    `attached`: those whose eventfd injects, since their entry is unmasked. A masked entry's eventfd stays registered in the kernel: what
    comes meanwhile is one interrupt at the unmask (virt/kvm/eventfd.c, kvm_irqfd_assign). `own_copy`: the walk over the capabilities works
    on a copy of the header (as merged in 2018, not as posted in 2017); `per_vector`: plain MSI numbers its messages (e554aef).
    """

    table: int
    own_copy: bool = True
    per_vector: bool = True
    enabled: bool = False
    masked: bool = False
    on: bool = False
    routed: set[int] = field(default_factory=set)
    attached: set[int] = field(default_factory=set)
    given: set[int] = field(default_factory=set)  # entries whose eventfd the kernel has
    signalled: set[int] = field(default_factory=set)  # eventfds that are readable
    failures: list[int] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Return whether MSI-X is enabled in the host without any eventfd."""
        return self.on and not self.given

    def guest_writes_control(self, enable: bool, masked: bool, send: SetIrqs) -> None:
        """Write Message Control as the guest; INTx returns where it clears Enable (since 2019)."""
        was, self.enabled, self.masked = self.enabled, enable, masked
        if enable:
            self._update(send)
        elif was:
            send(DISABLE)
            self.on = False
            self.given.clear()
            send(Request(VFIO_INTX, 0, 1, "eventfd"))

    def guest_writes_entry(self, vector: int, masked: bool, send: SetIrqs) -> int:
        """Write an entry's control word as the guest. Return the interrupts that this injects."""
        self.routed.add(vector)
        if masked:
            self.attached.discard(vector)
        else:
            self.attached.add(vector)
        injected = int(not masked and vector in self.signalled)
        self.signalled -= self.attached
        self._update(send)
        return injected

    def signal(self, vector: int) -> bool:
        """Signal a vector's eventfd from the host's handler. Return whether the guest is interrupted at once."""
        if vector not in self.given:
            return False
        if vector not in self.attached:
            self.signalled.add(vector)
            return False
        return True

    def config_offset(self) -> int:
        """Return the offset of a legacy virtio device's own registers: a guest that has not enabled MSI-X reads them at 20."""
        return LEGACY_CONFIG_MSIX if self.on else LEGACY_CONFIG

    def vendor_id(self, vendor: int, capability: int) -> int:
        """Return the id that the guest reads after a capability was appended at that offset: a stray pointer overwrites the high byte."""
        return vendor if self.own_copy else vendor & 0xFF | capability << 8

    def message(self, data: int, vector: int) -> int:
        """Return the data of a plain MSI vector's message: its low bits are the vector's number."""
        return data | vector if self.per_vector else data

    def _update(self, send: SetIrqs) -> None:
        """Enable vectors (vfio_pci_enable_msis): all entries at first and at the first eventfd; then new ones one by one."""
        if not self.enabled:
            return
        if not self.on or self.empty and not self.masked:
            if self._sent(Request(VFIO_MSIX, 0, self.table, "eventfd", frozenset(in_table(0, self.table)) - self.routed), send):
                self.on, self.given = True, set(self.routed)
        elif not self.masked:
            for vector in sorted(self.routed - self.given):
                if self._sent(Request(VFIO_MSIX, vector, 1, "eventfd"), send):
                    self.given.add(vector)

    def _sent(self, request: Request, send: SetIrqs) -> bool:
        if (ret := send(request)) != 0:
            self.failures.append(ret)
        return ret == 0
