"""The kernel's side of one function in a scenario: SET_IRQS into the PCI core, the irq domain, CPU vectors and remapping entries."""

from collections.abc import Set
from typing import Any

from tracekit import (
    EINVAL,
    ENOSPC,
    ENOTTY,
    ERANGE,
    LARGEST_TABLE,
    VFIO_DATA_EVENTFD,
    VFIO_DATA_NONE,
    VFIO_ERR,
    VFIO_INTX,
    VFIO_MASK,
    VFIO_MSI,
    VFIO_MSIX,
    VFIO_NONE,
    VFIO_REQ,
    VFIO_TRIGGER,
    VFIO_UNMASK,
    Device,
)
from tracekit_systems.scenarios.interrupts import LINE, Interrupts
from tracekit_systems.scenarios.world import US, World, power_of_two

# Parts of the time that a disable or an enable takes, in percent, as recorded under 6.1 (4 vectors and 8).
FREEING = 40  # of a disable: the irqs are freed one after the other; then Enable is cleared
BEFORE = 5  # of an enable: Enable is still clear
ALLOCATING = 25  # Enable is set and every entry is masked; then the irqs are requested one after the other
REWIRED = 10  # of the time for one vector: between the free and the request of its irq
LINE_VECTOR = 37  # of the line's irq
SIGNAL = "vfio_msi_set_vector_signal"
ACTIONS = {"trigger": VFIO_TRIGGER, "mask": VFIO_MASK, "unmask": VFIO_UNMASK}


class Kernel:
    """The machines of `drivers/pci/msi/` for one function, with the pools of the host behind them.

    `noticed`: faults of the last request that show below VFIO.
    """

    def __init__(self, world: World, device: Device, name: str, irq: int, index: int, interrupts: Interrupts) -> None:
        gates, host = world.gates, world.scenario.host
        own = gates.get("KV2", False)
        self.world, self.name, self.irq, self.index, self.interrupts = world, name, irq, index, interrupts
        self.maskable = index == VFIO_MSIX or device.maskable
        self.domain = world.machines["MsiDomain"](own, "none" if own else "global")
        self.dynamic = gates.get("KV4", False) and index == VFIO_MSIX
        self.early = not self.maskable and host.arch == "x86"  # an irq whose entry cannot be masked is activated when it is allocated
        self.function = world.machines["PciFunction"](
            self.domain,
            dynamic=self.dynamic,
            strict=gates.get("KV3", False),
            by_count=gates.get("KV8", False),
            several=host.remapping or host.arch != "x86",
        )
        self.noticed: list[str] = []
        self.masks: list[tuple[int, ...]] = []  # of managed vectors
        self.block: list[int] = []  # vectors of the request that are not wired yet
        self.empty: Set[int] = frozenset()  # those that have no eventfd
        self.ends = self.each = 0  # when the request ends, and the time for each vector

    def load(self, count: int) -> int:
        """Enable and request vectors for a driver of the host, and return how many it has: one that cannot be requested ends it."""
        got = max(int(min(self._alloc(count))), 0)
        for v in range(got):
            ret = ENOSPC if ENOSPC in self.world.vectors.activate(self.irq + v) else 0
            if ret or not self.early:
                self._vector_events(self.irq + v, 40 + v % 180, ret, managed=self._is_managed(v))
            if ret:
                self.noticed.append("VEC-001")
                self.free()
                return 0
            self.interrupts.attach(v)
        return got

    def restart(self, vector: int) -> None:
        """Start a managed vector again, whose CPU has come back."""
        self.interrupts.attach(vector)
        self._vector_events(self.irq + vector, 40 + vector % 180, 0, managed=True)

    def _is_managed(self, vector: int) -> bool:
        return vector < len(self.masks) and bool(self.masks[vector])

    def resize(self, size: int) -> None:
        """Let the table have another size."""
        if self.index == VFIO_INTX:
            return
        if self.index == VFIO_MSI:
            self.function.msi_count = power_of_two(size)  # so the capability counts
        else:
            self.function.msix_count = size
        self.world.begin(f"{self.name} table", f"table {size}", "calm")

    def unbind(self) -> None:
        """Unbind the driver, which removes the domain."""
        if self.domain.per_device and self.domain.kind != "none":
            self.world.call(self.name, "msi_remove_device_irq_domain", domid=0)
        self.function.unbind()
        self.world.end(f"{self.name} domain")

    def close(self, vfio: Any) -> None:
        """Close the device: what is enabled is freed."""
        on, flags = vfio.irq_type, VFIO_TRIGGER | VFIO_DATA_NONE
        self.world.call(self.name, "vfio_pci_set_irqs_ioctl", flags=flags, index=on, start=0, count=0)
        if on != VFIO_NONE:
            self._detach(self._wired(vfio))
            vfio.close()
            self.interrupts.line_off()
            self.function.free()
            self._freed()
        self.world.back(self.name, "vfio_pci_set_irqs_ioctl", 0 if on != VFIO_NONE else ENOTTY)
        self.world.end(f"{self.name} vectors")

    def room(self, count: int) -> int:
        """Return how many vectors could be had: what the domain, the remapping table and the CPUs still give."""
        limits = [count, self.world.vectors.available]
        size = self.domain.limit() if self.domain.kind == "msix" else None
        limits += [size] if size is not None else []
        limits += [self.world.entries.left(self.name)] if self.world.entries is not None else []
        return max(int(min(limits)), 0)

    def set_irqs(self, vfio: Any, r: Any) -> int:
        """Carry out one request, and return its result."""
        data = VFIO_DATA_EVENTFD if r.data == "eventfd" else VFIO_DATA_NONE
        flags = ACTIONS[r.action] | data
        self.world.call(self.name, "vfio_pci_set_irqs_ioctl", flags=flags, index=r.index, start=r.start, count=r.count)
        if r.index in (VFIO_ERR, VFIO_REQ):
            self.world.wait(US)  # there is an eventfd for each
            ret = 0
        else:
            ret = self._set_line(vfio, r) if r.index == VFIO_INTX else self._vectors(vfio, r)
        self.world.back(self.name, "vfio_pci_set_irqs_ioctl", ret)
        return ret

    def _vectors(self, vfio: Any, r: Any) -> int:
        """Enable, add to, wire anew or disable the vectors."""
        wanted = range(r.start, r.start + r.count)
        self.ends, self.each, self.empty = self._takes(vfio, r), 0, r.empty
        self.block = list(wanted) if r.data == "eventfd" else []
        new = sum(v not in vfio.wired and v not in r.empty for v in wanted)
        short = r.data == "eventfd" and self.world.gates.get("KV1", True) and self.world.vectors.available < new
        was, wiring = bool(vfio.allocated), ENOSPC if short else 0
        got = vfio.set_irqs(r.index, r.start, r.count, r.data, alloc=self._alloc, alloc_at=self._alloc_at, wiring=wiring)
        ret = int(min(got)) if got else 0
        if r.data == "eventfd":
            self._wire(vfio, wanted, ret, was)
            vfio.wired -= r.empty
        elif ret == 0 and r.count == 0:
            self.free()
        if r.data == "eventfd" and ret != 0 and not vfio.allocated and self.function.vectors:
            self._detach([] if self.world.gates.get("KV7", False) else sorted(self.function.vectors))
            self.free()
        return ret

    def free(self) -> None:
        """Free all vectors of the function."""
        self.world.call(self.name, "pci_free_irq_vectors")
        self.function.free()
        self._freed()

    def _wired(self, vfio: Any) -> list[int]:
        """Return the vectors that a disable detaches: before {KV7} all of the set, from it on those that have an irq."""
        return sorted(vfio.wired if self.world.gates.get("KV7", False) else vfio.allocated)

    def _detach(self, vectors: list[int], each: int = 0) -> None:
        """Take the eventfds of vectors away, which frees their irqs."""
        for v in vectors:
            self._call_signal(v, -1)
            self.interrupts.detach(v)
            self.world.wait(max(each - 2 * US, 0))
            self.world.back(self.name, SIGNAL, 0)

    def _takes(self, vfio: Any, r: Any) -> int:
        """Let the first part of a request take its time, and return when the whole ends.

        A disable frees the irqs of all vectors, then clears Enable (drivers/vfio/pci/vfio_pci_intrs.c, vfio_msi_disable).
        """
        window = self.world.scenario.client.window * US  # a disable takes two fifths of it, the enable the rest
        if r.data == "eventfd":
            whole = window * 3 // 5
            ends = self.world.now + whole
            self.world.wait(whole * BEFORE // 100)
            return ends
        whole = window * 2 // 5
        mine = self._wired(vfio) if r.count == 0 and vfio.irq_type == r.index else []
        self._detach(mine, whole * FREEING // 100 // max(len(mine), 1))
        if mine:
            self.interrupts.disable()
            self.world.wait(whole * (100 - FREEING) // 100 - US)  # the free of all takes the rest
        else:
            self.world.wait(whole)
        return self.world.now

    def _set_line(self, vfio: Any, r: Any) -> int:
        """Switch INTx on or off, or mask it (drivers/vfio/pci/vfio_pci_intrs.c, vfio_intx_enable, vfio_intx_disable)."""
        got = vfio.set_irqs(r.index, r.start, r.count, r.data, alloc=self._alloc, wiring=0, action=r.action)
        ret = int(min(got)) if got else 0
        if r.action != "trigger":
            return ret
        self.world.wait(self.world.scenario.client.window * US * (3 if r.data == "eventfd" else 2) // 5)
        if ret == 0 and r.data == "eventfd":
            self.interrupts.line_on()
            if self.world.scenario.host.arch == "x86":
                self.world.irq(self.name, "vector_alloc", irq=LINE, vector=LINE_VECTOR, reserved=1, ret=0)
        elif ret == 0:
            self.interrupts.line_off()
        return ret

    def _wire(self, vfio: Any, wanted: range, ret: int, was: bool) -> None:
        """Wire what is left of a request's vectors, up to the first that fails; then nothing of the request stays wired.

        `was`: vectors were enabled before. Where the range is not held against them ({KV7}), the first that is missing fails.
        """
        sparse = self.world.gates.get("KV7", False)
        have = vfio.allocated or self.function.vectors
        if ret > 0 or was and ret == EINVAL and not sparse:
            return
        failed = 0
        while self.block and self.block[0] in have and not failed:
            failed = self._wire_next()
        if was and ret == EINVAL and self.block and not failed:
            self._call_signal(missing := self.block.pop(0), 20 + missing)
            self.world.back(self.name, SIGNAL, EINVAL)
        if ret == 0:
            return
        self._detach([v for v in wanted if v not in self.block] if have else [])
        for v in wanted:
            if v not in vfio.wired:
                self.interrupts.detach(v)
                self.world.vectors.deactivate(self.irq + v)

    def _wire_next(self, add: bool = False) -> int:
        """Wire the next vector of the request, and return its error: here the CPU vector is taken; none for one without an eventfd.

        An irq that is requested already is freed before (vfio_msi_set_vector_signal); one that is not there is added (`add`).
        """
        self.each = self.each or max(self.ends - self.world.now, 0) // len(self.block)
        v = self.block.pop(0)
        self.world.wait(self.each * (100 - REWIRED) // 100)
        self.interrupts.detach(v)
        self.world.wait(self.each * REWIRED // 100)
        self._call_signal(v, -1 if v in self.empty else 20 + v)
        got = self._add(v) if add else 0
        wires = got == 0 and v not in self.empty
        got = self._request(v) if wires else got
        self.world.back(self.name, SIGNAL, got)
        if wires and got == 0:
            self.interrupts.attach(v)
        return got

    def _request(self, v: int) -> int:
        """Request the irq of a vector, and return the error. An irq that was activated when it was allocated has its CPU vector."""
        got = ENOSPC if ENOSPC in self.world.vectors.activate(self.irq + v) else 0
        if not self.early or got:
            self._vector_events(self.irq + v, 40 + v % 180, got)
        self.noticed += ["VEC-001"] if got else []
        return got

    def _call_signal(self, v: int, fd: int) -> None:
        self.world.call(self.name, SIGNAL, vector=v, fd=fd, msix=int(self.index == VFIO_MSIX))

    def _vector_events(self, irq: int, vector: int, got: int, managed: bool = False) -> None:
        """Note the trace events of x86's vectors, where a refused irq is tried on the wanted CPUs, then on any; elsewhere the request."""
        if self.world.scenario.host.arch != "x86":
            self.world.call(self.name, "request_threaded_irq", irq=irq)
            self.world.back(self.name, "request_threaded_irq", got)
            return
        self.world.irq(self.name, "vector_activate", irq=irq, is_managed=int(managed), can_reserve=int(not managed), reserve=0)
        if managed:
            self.world.irq(self.name, "vector_alloc_managed", irq=irq, vector=0 if got else vector, ret=got)
            return
        for _ in range(2 if got else 1):
            self.world.irq(self.name, "vector_alloc", irq=irq, vector=0 if got else vector, reserved=1, ret=got)

    def _alloc(self, count: int) -> Any:
        """Enable so many vectors."""
        if self.index == VFIO_MSI:
            return self._alloc_msi(count)
        kept, size = self.domain.kind == "msix", self.function.msix_count
        self.world.call(self.name, "__pci_enable_msix_range", minvec=1, maxvec=count)
        self._limit()
        self.interrupts.enable(VFIO_MSIX)
        result = self.function.enable_msix(1, count)
        ret = int(min(result))
        if self.domain.per_device:
            self._set_up(kept, size)
        self._inserts(min(count, size), ret)
        if ret > 0:
            self.world.wait(self.world.scenario.client.window * US * 3 // 5 * ALLOCATING // 100)
            self.interrupts.unmask_function()
        else:
            self.interrupts.disable()
        self.world.back(self.name, "__pci_enable_msix_range", ret)
        if kept and self._smaller():
            self.noticed.append("MSI-001" if ret == ERANGE else "MSI-002")
        elif kept and self.domain.hwsize is not None and self.domain.hwsize > size:
            self.noticed.append("MSI-003")
        self._granted(ret, count)
        return result

    def _alloc_msi(self, count: int) -> Any:
        """Enable a block of plain MSI: where one of several vectors is not to be had, a single one is tried (msi_handle_pci_fail)."""
        self.world.call(self.name, "__pci_enable_msi_range", minvec=1, maxvec=count)
        wanted = min(count, self.function.msi_count or 1)
        for size in dict.fromkeys((wanted, 1)):
            if self._has_block(size):
                result = self.function.enable_msi(1, size)
                break
        else:
            result = frozenset((ENOSPC,))
        if (ret := int(min(result))) > 0:
            self.interrupts.enable(VFIO_MSI, range(ret))
        for v in range(max(ret, 0)) if self.early else ():
            self._vector_events(self.irq + v, 40 + v % 180, 0)
        self.world.back(self.name, "__pci_enable_msi_range", ret)
        self.noticed += ["MSI-004"] if 0 < ret < count else []
        self._allocated(ret)
        return result

    def _has_block(self, size: int) -> bool:
        """Take entries for a block of plain MSI, and return whether there are as many CPU vectors too."""
        now = self.early or not self.world.gates.get("KV1", True)  # else a vector is taken at the request of its irq
        if now and size > self.world.vectors.available:
            self.noticed.append("VEC-002")
            return False
        if self.world.entries is not None and not self.world.entries.block(self.name, size):
            self._no_entry()
            return False
        return True

    def _granted(self, ret: int, count: int) -> None:
        """Take what an enable of MSI-X needs of the host's pools."""
        if 0 < ret < count or ret == ENOSPC:
            if self.world.entries is not None and self.world.entries.left(self.name) < count:
                self._no_entry()
            else:
                self.noticed.append("VEC-002")
            self.noticed += ["MSI-004"] if ret > 0 or count > 1 else []
        if self.world.entries is not None:
            self.world.entries.take(self.name, max(ret, 0))
        self._allocated(ret)

    def _allocated(self, ret: int) -> None:
        """Allocate the irqs of vectors that were granted."""
        for v in range(max(ret, 0)):
            if not self._is_managed(v):
                self.world.vectors.allocate(self.irq + v, maskable=self.maskable)
        if self.world.vectors.warnings:
            self.world.vectors.warnings = 0
            self.world.message(self.name, "Interrupt reservation exceeds available resources")
            self.noticed.append("VEC-003")

    def _alloc_at(self, index: int) -> Any:
        """Add one vector in place, after the vectors of the request that come before it."""
        while self.block[0] < index:
            if got := self._wire_next():
                return frozenset((got,))
        return frozenset((self._wire_next(add=True),))

    def _add(self, index: int) -> int:
        """Add one vector to those enabled, and return the error."""
        self.world.call(self.name, "pci_msix_alloc_irq_at", index=index)
        result = self.function.alloc_at(index)
        if min(result) >= 0 and self.world.entries is not None and not self.world.entries.add(self.name):
            self.function.free_at(index)
            result = frozenset((ENOSPC,))
            self._no_entry()
        ret = int(min(result))
        if self.domain.per_device:
            self._insert(index, ERANGE if ret == ERANGE else 0)
        self.world.back(self.name, "pci_msix_alloc_irq_at", ret)
        if ret == ERANGE and self._smaller():
            self.noticed.append("MSI-001")
        if ret >= 0:
            self.world.vectors.allocate(self.irq + index)
        return min(ret, 0)

    def _no_entry(self) -> None:
        """Note that the remapping table is full."""
        intel = self.world.scenario.host.iommu == "intel"
        self.noticed.append("VEC-005")
        self.world.message(self.name, "DMAR-IR: IR0: can't allocate an IRTE" if intel else "AMD-Vi: Failed to allocate IRTE")

    def _limit(self) -> None:
        """Say how many irqs the parent can give: remapping entries, and CPU vectors where these are taken at the allocation."""
        limits = [self.world.entries.left(self.name)] if self.world.entries is not None else []
        limits += [self.world.vectors.available] if not self.world.gates.get("KV1", True) else []
        limits += [self._managed(limits)] if self.masks else []
        self.function.room = min(limits) if limits else None

    def _managed(self, limits: list[int]) -> int:
        """Set slots aside for managed vectors, and return for how many there are enough (x86_vector_alloc_irqs, reserve_managed_vector)."""
        for n, mask in enumerate(self.masks[: min(limits, default=len(self.masks))]):
            got = min(self.world.vectors.reserve_managed(self.irq + n, mask)) if mask else 0
            if mask:
                self.world.irq(self.name, "vector_reserve_managed", irq=self.irq + n, ret=got)
            if got:
                return n
        return min([len(self.masks), *limits])

    def _smaller(self) -> bool:
        return bool(self.domain.per_device and self.domain.hwsize is not None and self.domain.hwsize < self.function.msix_count)

    def _set_up(self, kept: bool, size: int) -> None:
        """Note whether the irq domain was found or created."""
        self.world.call(self.name, "pci_setup_msix_device_domain", hwsize=size)
        if not kept and self.domain.kind == "msix":
            self.world.call(self.name, "msi_create_device_irq_domain", domid=0, hwsize=size)
            self.world.back(self.name, "msi_create_device_irq_domain", 1)
            self.world.begin(f"{self.name} domain", f"hwsize {size}", "domain")
        self.world.back(self.name, "pci_setup_msix_device_domain", 1)

    def _inserts(self, count: int, ret: int) -> None:
        """Note the descriptors: one after the other up to the first that is refused."""
        limit = self.domain.limit() if self.domain.per_device else None
        for index in range(count):
            refused = ret == ERANGE and limit is not None and index >= limit
            self._insert(index, ERANGE if refused else 0)
            if refused:
                return

    def _insert(self, index: int, ret: int) -> None:
        name = "msi_insert_desc" if self.domain.per_device else "msi_add_msi_desc"
        self.world.call(self.name, name, **({"domid": 0} if self.domain.per_device else {}), index=index)
        self.world.back(self.name, name, ret)

    def _freed(self) -> None:
        """Give everything back to the pools."""
        self.interrupts.disable()
        for irq in [i for i in self.world.vectors.irqs if self.irq <= i < self.irq + LARGEST_TABLE]:
            self.world.vectors.free(irq)
        if self.world.entries is not None:
            self.world.entries.free(self.name)
        if self.world.gates["domain_removed_on_disable"]:
            self.unbind()
