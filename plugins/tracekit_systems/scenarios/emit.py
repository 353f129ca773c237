"""The lines that a run would print: kprobes and trace events as ftrace writes them, and the kernel log beside them."""

from collections.abc import Iterator, Mapping

from tracekit import Answer, Scenario, full_bdf, release_of
from tracekit_systems.scenarios.world import Event, name_of

BEGIN_S = 200  # the run begins so many seconds after the boot
TASKS = {"kvmtool": "kvm-vcpu-0-4211", "program": "vfio-program-4211"}
VDEV, PCI_DEV, STEP = 0xFF11000010000000, 0xFF11000020000000, 0x4000
COMPILERS = {"x86": "x86_64", "arm64": "aarch64", "powerpc": "powerpc64le", "s390": "s390x", "loongarch": "loongarch64"}
OF_VFIO = ("vfio_",)
OF_MSI_CORE = ("msi_",)
VFIO_MODULE = " [vfio_pci_core]"
CALLERS = {  # function -> from where it is called, as a return probe prints it
    "vfio_pci_set_irqs_ioctl": "vfio_pci_core_ioctl+0x109/0xf60 [vfio_pci_core]",
    "__pci_enable_msix_range": "pci_alloc_irq_vectors_affinity+0xad/0x110",
    "__pci_enable_msi_range": "pci_alloc_irq_vectors_affinity+0xd1/0x110",
    "pci_setup_msix_device_domain": "__pci_enable_msix_range+0x1a4/0x520",
    "msi_create_device_irq_domain": "pci_setup_msix_device_domain+0x72/0xa0",
    "msi_insert_desc": "msix_setup_msi_descs+0xe1/0x120",
    "msi_add_msi_desc": "msix_setup_msi_descs+0xdc/0x110",
    "pci_msix_alloc_irq_at": "vfio_msi_alloc_irq+0x4a/0x80 [vfio_pci_core]",
    "request_threaded_irq": "vfio_msi_set_vector_signal+0x1c2/0x320 [vfio_pci_core]",
    "vfio_msi_set_vector_signal": "vfio_msi_set_block+0x60/0xc0 [vfio_pci_core]",
}

CLOSING = {
    "vfio_pci_set_irqs_ioctl": "vfio_pci_core_disable+0x6a/0x340 [vfio_pci_core]",
    "vfio_msi_set_vector_signal": "vfio_msi_disable+0x58/0xe0 [vfio_pci_core]",
}


def ftrace(answer: Answer, scenario: Scenario) -> str:
    """Return the run as a trace with kprobes and kretprobes."""
    names = {name: n for n, name in enumerate(dict.fromkeys(e.device for e in answer.events if e.device and e.kind != "client"))}
    kinds = {name_of(d.name, n): d.kind for d in scenario.devices if d.kind != "msix" for n in range(d.functions)}
    task = TASKS.get(scenario.client.name, "qemu-system-x86-4211")
    offset = 0xC8 if release_of(scenario.host.kernel) >= (6, 2) else 0xD0  # of `dev` in `struct pci_dev`
    closing: set[str] = set()
    told = []
    for e in answer.events:
        if e.kind == "message" or e.kind == "client":
            continue
        if e.function == "vfio_pci_core_enable":
            closing.discard(e.device)
        elif e.function == "vfio_pci_core_close_device":
            closing.add(e.device)
        told.append(_line(e, names, kinds.get(e.device, "msix"), offset, task, e.device in closing))
    return "\n".join(["# tracer: nop", "#", *told]) + "\n"


def dmesg(answer: Answer, scenario: Scenario) -> str:
    """Return the kernel log: the banner, interrupt remapping, and what the kernel says of the devices."""
    return "\n".join([*_boot(scenario), *(f"[{stamp(e.at, 12)}] {e.function}" for e in answer.events if e.kind == "message")]) + "\n"


def _boot(scenario: Scenario) -> Iterator[str]:
    host = scenario.host
    machine = COMPILERS.get(host.arch, host.arch)
    yield f"[    0.000000] Linux version {host.kernel} (builder@example) ({machine}-linux-gnu-gcc 12.2.0) #1 SMP"
    if host.arch == "arm64":
        yield "[    0.000000] GICv3: 480 SPIs implemented"
        yield "[    0.000000] ITS [mem 0x08080000-0x0809ffff]"
    elif host.arch == "x86":
        yield "[    0.000000] Command line: BOOT_IMAGE=/vmlinuz root=/dev/vda1 ro" + (" intel_iommu=on" if host.iommu == "intel" else "")
        if host.remapping:
            yield "[    0.900000] " + (
                "DMAR-IR: Enabled IRQ remapping in x2apic mode" if host.iommu == "intel" else "AMD-Vi: Interrupt remapping enabled"
            )


def _line(e: Event, names: Mapping[str, int], kind: str, offset: int, task: str, closing: bool) -> str:
    who = "<idle>-0" if e.function == "irq_handler_entry" else task
    return f"  {who} [001] ..... {stamp(e.at, 12)}: {_text(e, names, kind, offset, closing)}"


def _text(e: Event, names: Mapping[str, int], kind: str, offset: int, closing: bool) -> str:
    """Return the event behind the stamp.

    k_vfio_pci_set_irqs_ioctl: (vfio_pci_set_irqs_ioctl+0x4/0xd0 [vfio_pci_core]) vdev=0xff.. flags=0x24 index=2 start=0 count=8
    r_vfio_pci_set_irqs_ioctl: (vfio_pci_core_ioctl+0x109/0xf60 [vfio_pci_core] <- vfio_pci_set_irqs_ioctl) ret=0
    irq_handler_entry: irq=32 name=vfio-msix[0](0000:00:08.0)
    """
    if e.kind == "event":
        if e.function == "irq_handler_entry" and not e.device:  # the host's disk
            return f"irq_handler_entry: irq={e.args['irq']} name=nvme0q1"
        if e.function == "irq_handler_entry" and "line" in e.args:
            return f"irq_handler_entry: irq={e.args['irq']} name=vfio-intx({full_bdf(e.device)})"
        if e.function == "irq_handler_entry":
            return f"irq_handler_entry: irq={e.args['irq']} name=vfio-{kind}[{e.args['vector']}]({full_bdf(e.device)})"
        return f"{e.function}: {_arguments(e.args)}"
    if e.kind == "return":
        callers = CLOSING if closing else CALLERS
        return f"r_{e.function}: ({callers.get(e.function, '[unknown/kretprobe]')} <- {e.function}) ret={e.ret}"
    module = VFIO_MODULE if e.function.startswith(OF_VFIO) else ""
    pointer = "" if e.function == "request_threaded_irq" else _pointer(e.function, names[e.device], offset)
    told = f"{pointer} {_arguments(e.args)}".strip()
    return f"k_{e.function}: ({e.function}+0x4/0x320{module}) {told}"


def _pointer(function: str, number: int, offset: int) -> str:
    """Return the first argument: VFIO has its own object, the MSI core the device inside the PCI function."""
    if function.startswith(OF_VFIO):
        return f"vdev={VDEV + number * STEP:#x}"
    device = PCI_DEV + number * STEP
    return f"dev={device + offset if function.startswith(OF_MSI_CORE) else device:#x}"


def _arguments(args: Mapping[str, int]) -> str:
    return " ".join([f"{k}={v:#x}" if k == "flags" else f"{k}={v}" for k, v in args.items()])


def stamp(at: int, width: int) -> str:
    """Return a time of the run in seconds since the boot."""
    us = BEGIN_S * 1_000_000 + at // 1000
    return f"{us // 1_000_000}.{us % 1_000_000:06d}".rjust(width)
