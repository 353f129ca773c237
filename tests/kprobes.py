"""A host's trace as a recorder with kprobes would print it, written call by call."""

from dataclasses import dataclass, field

OPENED = "vfio_pci_core_enable"


@dataclass
class Trace:
    """One VFIO client and one device; event names are this recorder's own."""

    bdf: str = "0000:41:00.1"
    vdev: int = 0xFF1100010A5B2000
    dev: int = 0xFF11000104AC8000
    task: str = "qemu-kvm-811"
    irq: int = 57
    text: list[str] = field(default_factory=list)
    at: int = 0

    def line(self, what: str, task: str | None = None) -> int:
        """One line, 100 us after the last; its number."""
        self.at += 100
        self.text.append(f"  {task or self.task} [001] .....   {200 + self.at // 1_000_000}.{self.at % 1_000_000:06d}: {what}")
        return len(self.text) + 2

    def wait(self, ms: int) -> None:
        """Time passes."""
        self.at += ms * 1000

    def entry(self, function: str, args: str) -> int:
        return self.line(f"in_{function[:9]}: ({function}+0x4/0x320) {args}")

    def leave(self, function: str, ret: int) -> int:
        return self.line(f"out_{function[:9]}: (caller_of_it+0x61/0x90 <- {function}) rc={ret}")

    def open(self) -> int:
        return self.entry(OPENED, f"vdev={self.vdev:#x}")

    def close(self) -> None:
        self.entry("vfio_pci_core_close_device", f"vdev={self.vdev:#x}")
        self.set_irqs(0x21, 5, 0, 0, -25)

    def begin(self, flags: int, index: int, start: int, count: int) -> int:
        return self.entry("vfio_pci_set_irqs_ioctl", f"vdev={self.vdev:#x} flags={flags:#x} index={index} start={start} count={count}")

    def set_irqs(self, flags: int, index: int, start: int, count: int, ret: int) -> tuple[int, int]:
        """A SET_IRQS of which nothing inside is recorded."""
        return self.begin(flags, index, start, count), self.leave("vfio_pci_set_irqs_ioctl", ret)

    def disable(self, ret: int = 0, index: int = 2) -> tuple[int, int]:
        return self.set_irqs(0x21, index, 0, 0, ret)

    def enable(self, count: int, live: int, *, made: int | None = None, limit: int | None = None, index: int = 2) -> tuple[int, int]:
        """An enable of `count` vectors: `made` a domain of that size inside; `limit`: the index that is refused."""
        first = self.begin(0x24, index, 0, count)
        self.entry("__pci_enable_msix_range", f"dev={self.dev:#x} minvec=1 maxvec={count}")
        self.entry("pci_setup_msix_device_domain", f"dev={self.dev:#x} hwsize={live}")
        if made is not None:
            self.entry("msi_create_device_irq_domain", f"dev={self.dev + 0xC8:#x} domid=0 hwsize={made}")
            self.leave("msi_create_device_irq_domain", 1)
        self.leave("pci_setup_msix_device_domain", 1)
        ret = self._inserts(count, limit)
        self.leave("__pci_enable_msix_range", ret)
        if ret > 0:
            for vector in range(count):
                self.wire(vector)
        return first, self.leave("vfio_pci_set_irqs_ioctl", min(ret, 0))

    def _inserts(self, count: int, limit: int | None) -> int:
        for i in range(count):
            self.entry("msi_insert_desc", f"dev={self.dev + 0xC8:#x} domid=0 index={i}")
            refused = limit is not None and i >= limit
            self.leave("msi_insert_desc", -34 if refused else 0)
            if refused:
                return -34
        return count

    def wire(self, vector: int, ret: int = 0) -> None:
        self.entry("vfio_msi_set_vector_signal", f"vdev={self.vdev:#x} vector={vector} fd={20 + vector} msix=1")
        self.line(f"vector_alloc: irq={self.irq + vector} vector={40 + vector} reserved=1 ret=0")
        self.leave("vfio_msi_set_vector_signal", ret)

    def add(self, vector: int, ret: int) -> tuple[int, int]:
        """One vector added in place."""
        first = self.begin(0x24, 2, vector, 1)
        self.entry("pci_msix_alloc_irq_at", f"dev={self.dev:#x} index={vector}")
        self.leave("pci_msix_alloc_irq_at", vector if ret == 0 else ret)
        return first, self.leave("vfio_pci_set_irqs_ioctl", ret)

    def interrupts(self, *vectors: int) -> list[int]:
        """The vectors interrupt, one after the other."""
        return [self.line(f"irq_handler_entry: irq={self.irq + v} name=vfio-msix[{v}]({self.bdf})", "<idle>-0") for v in vectors]

    def __str__(self) -> str:
        return "\n".join(["# tracer: nop", "#", *self.text]) + "\n"
