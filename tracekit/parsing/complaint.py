"""Complaints: lines with words of a fault that are about interrupts, their set-up, or the devices that deliver them."""

import re

import polars as pl

# pci 0000:01:00.0: failed to allocate 8 MSI-X vectors: -28;  Event logged [IO_PAGE_FAULT domain=0x000c]
# Words end where letters do: `EDAC DEBUG:` is no `BUG:`, `default` no fault; `IO_PAGE_FAULT` is one.
_FAULT = (
    r"fail(?:ed|s|ure|ures|ing)?|errors?|err|err(?:no)? ?[=:] ?-?[0-9]+|can ?not|can(?u:[\u2019'])t|could not|couldn(?u:[\u2019'])t|unable|"
    r"timeouts?|timed ?out|faults?|refus(?:ed|es|ing|al)|reject(?:ed|s|ing)?|denied|invalid|illegal|missed|lost|stuck|stalled|hung|"
    r"exhausted|no space|not enough|out of|insufficient|too (?:many|few)|nobody cared|spurious|stray|unexpected|unhandled|"
    # OpenVMM: WARN pci_core::msi:  dropped MSI interrupt to disconnected target
    r"overflow(?:ed)?|aborted|panic|oops|bad|already-free|dropped (?:msi(?:-?x)?|interrupts?|irqs?)"
)
_CARRIERS = (
    r"msi|msi-?x|msis|irqfds?|intx|gsi|pirqs?|evtchn|event channels?|guest notifiers?|"
    r"irte|(?:irq|interrupts?)[- ]remap(?:ping|ped)?|remapp(?:ing|ed) (?:irqs?|interrupts?)|intr-remap|"
    r"dmar|dmar:.*|amd-vi|vt-d|iommu|smmu|smmu-?v3|gic|gicv[0-9]|(?-i:ITS)|apic|x2apic|lapic|io_page_fault|vfio|vfio-pci"
)
_HEAVY = r"msi|msi-?x|irqs?|interrupts?|vectors?|pirqs?|irte|vfio|panic|io_page_fault"
# What drivers and firmware print at every boot: optional facilities, and counts of what went well.
#   AMD-Vi: Unable to read/write to IOMMU perf counter.
#   spurious 8259A interrupt: IRQ7.
#   Kernel command line: root=/dev/nvme0n1p2 panic=10 iommu=pt
# The counts at the end of /proc/interrupts: DFR:          0          0   Deferred Error APIC interrupts
_ORDINARY = (
    r"perf(?:ormance)? counter|not a bug|functionality not available|error (?:source|interrupts?|reporting)|"
    # Xen, before it says which fault: [VT-D]iommu_fault_status: Primary Pending Fault
    r"\b(?:no|0|without) (?:errors?|failures?|faults?)|fault handling|primary pending fault|(?:lost|spurious) ticks|end kernel panic|"
    r"spurious (?:lapic|8259a|native)|debug interrupt\?|resource region|command[ -]line|modules linked in|^> |\bpanic=|"
    r"unhandled: 0(?:$|[^0-9])|irq 2: unable to migrate|"
    # riscv-imsic: imsics@28000000: invalid cpuid for parent irq1: a hart that is not used
    r"(?:invalid cpuid|invalid hart ?id) for (?:parent irq|context)|hart id for parent irq|"
    # irqbalance: Cannot change IRQ 55 affinity: Input/output error (a managed irq), No such file or directory (its driver let it go)
    r"cannot change irq [0-9]+ affinity: (?:input/output|no such file)|"
    # DMAR: [Firmware Bug]: Your BIOS is broken; bad RMRR;  Cannot get hvm parameter CONSOLE_EVTCHN (18): -22! (each HVM guest)
    r"\[firmware bug\]|hvm parameter|out of dma mappings|"
    r"unknown symbol|^ *[a-z]{3,4}: {2,}[0-9]|eprobe_defer|error -517|: -517|^systemd(?:-[a-z]+)?\[[0-9]+\]: |"
    # x2apic not enabled, IRQ remapping init failed: no such hardware;  arm-smmu: Failed to disable prefetcher [errata #841119]
    r"x2apic not enabled, irq remapping|errata|invalid trigger for irq[0-9]+, assuming|irq_descs @ irq[0-9]+, assuming|"
    # alg: ffdhe6144(dh): test failed on vector 1: data of a test;  EDAC MC0: Giving out device ... DEV mc_err (INTERRUPT): how it works
    r"test(?:[ -]vector| failed on vector)|^(?:.*\] )?alg: |edac [a-z0-9]+: giving out device|"
    # mce: [Hardware Error]: ... SOCKET 1 APIC 40: which CPU;  i915: Disabling error capture for VT-d workaround
    r"socket [0-9]+ apic [0-9a-f]+|for vt-d workaround|"
    # a device behind no IOMMU: Adding to IOMMU failed: -19;  kfd kfd: error getting iommu info;  ...; retaining platform DMA ops
    r"adding to iommu failed: -19|error getting iommu info|retaining platform dma ops|"
    # the firmware's own: rtw_8821ce 0000:07:00.0: unhandled firmware c2h interrupt
    r"firmware c2h interrupt|"
    # the maker of a mouse: Manufacturer: MSI;  Device [MSI MYSTIC LIGHT ]
    r"manufacturer: msi|msi mystic|"
    # msi_ec: Your device doesn't support MSI EC: failed;  fwupd: failed to load MSI plugin
    r"(?:^|[^a-z])msi(?:[_-](?:wmi|ec|laptop)| (?:laptop|ec|plugin|update))(?:$|[^a-z])"
)
# What is said of MSI in passing, while something else failed.
#   be2net 0000:04:00.0: be2net(MSI-X) link failed to come up
#   bnxt_en 0000:17:00.0 eth0: Link Down, MSI-X intact, firmware error recovery not supported
#   msm_cci_irq:1797 MASTER_0 error 0x10000000
_PASSING = r"(?i)\(MSI(?:-?X)?\)|MSI(?:-?X)? (?:is |are )?(?:intact|enabled)|[a-z0-9]\w*_irq: ?[0-9]+"
# A plain irq, interrupt or vector is of a PCI device, or of the irq core, or a platform's own: rtc, floppy, hpet, a sensor.
#   smo8800 SMO8810:00: failed to obtain IRQ
#   i801_smbus 0000:00:1f.4: Timeout waiting for interrupt!;  nvme nvme0: irq setup failed;  IRQ 24: cannot be moved
_PLAIN = r"irqs?|interrupts?|vectors?"
_OWNED = (
    r"(?i)(?:^|[^0-9a-f])[0-9a-f]{2}:[0-9a-f]{2}\.[0-7](?:$|[^0-9a-f])|(?:^|\] )[a-z][\w-]* [a-z][a-z_-]*[0-9]+: |"
    r"(?:irq|vector)[ #:]*[0-9]+|genirq|irq_?matrix|apic|\(xen\)|xen|kvm|qemu|(?:lost|missed|missing) interrupt(?:$|[^a-z])|remap|spurious|"
    # ACPI: Unable to set IRQ for PCI Interrupt Link [LNKD]. Try pci=noacpi or acpi=off
    r"pci interrupt link|pci=noacpi"
)
# What names interrupts in any program's message. In those of others than the kernel, a VMM and Xen's tools, MSI is a maker and a kind of
# installer, GSI and APIC are products, and buttons are remapped: `openrgb[44]: MSI Mystic Light: failed to open device`.
_PATH = r"[\w./-]*/[\w.-]+"  # gcc-4.7 arch/x86/kvm/../../../virt/kvm/iommu.c
_CONCERNED = r"(?i)^(?:kernel|k?log|dmesg)$|qemu|kvm|virt|xen|^xl|vmm|hypervisor|vfio|dpdk|spdk"  # tags of those who set interrupts up
_UNMISTAKABLE = (
    r"(?i)(?:^|[^A-Za-z])(?:msi-?x|irqfds?|intx|pirqs?|evtchn|irte|dmar|amd-vi|io_page_fault|vfio|vfio-pci|iommu)(?:$|[^A-Za-z_])"
)
# How a message begins that has no stamp: a program, a driver with its device, a bracket, an irq. Sentences of mails do not, nor does a
# commit's subject (`vfio/pci: fix INTx`), whose words tell what to do.
#   WARN pci_core::msi: ...
#   libvirtd[900]: msi ...;  qemu-system-x86_64: vfio ...;  drv 0000:01:00.0: ...;  (XEN) ...;  [IO_PAGE_FAULT ...];  irq 16: ...
_HEAD = (
    r"^[ \t]*(?:[\[(<{\"']|(?:/[\w./\-]+/)?[a-z][\w.\-]*(?:\[[0-9]+\])?: "
    r"|[A-Z][A-Z0-9_\-]+(?: [A-Z]+)?(?:\[[^\]]*\])?: |[A-Z][A-Z0-9_\-]+:\[|(?:ERROR|WARN) +[a-z0-9_]+::[a-z0-9_:]+: |"
    r"[\w.\-]+:? (?:[A-Z]+ )?[\w.:\-@]*[0-9][\w.:\-@]*(?: [\w()]+){0,2}: |(?i:AMD-Vi|x2?apic|vt-d)\b)"
)
_TO_DO = (
    r"(?i)^[ \t]*(?:[\w./\-]+: )*(?:fix(?:e[sd])?|add(?:ed)?|do ?n[o']t|handle|avoid|prevent|ensure|revert|remove|"
    r"make|introduce|allow|work ?around|make sure|clean ?up|document|refactor|rework|check for)\b"
)
_NARRATED = r"^[ |]*/\*.*\*/ *$"  # what was written into a graph of calls
_FAULTY = f"(?:^|[^A-Za-z])(?i-u:{_FAULT})(?:$|[^A-Za-z])"
_IN_BYTES = re.sub(r"\(\?u:[^)]*\)", ".{1,3}", _FAULT)
# What every complaint holds, for engines that read the bytes of many lines: something stands before it, the end of the line above or a
# character of its own line.
FAULT_IN_BYTES = rf"(?i:[^a-z](?:{_IN_BYTES}))"
FAULT_WITHIN_LINE = rf"(?i:[^a-z\n](?:{_IN_BYTES}))"
_CARRIER = f"(?i)(?:^|[^A-Za-z])(?:{_CARRIERS})(?:$|[^A-Za-z_])"
_ABOUT = f"(?i)(?:^|[^A-Za-z])(?:{_CARRIERS}|{_PLAIN})(?:$|[^A-Za-z_])"
_QUIET = f"(?i){_ORDINARY}"
_WORDS = re.compile(f"(?i)(?<![A-Za-z])(?:{_FAULT}|{_HEAVY})(?![A-Za-z])")


def complaints(texts: pl.Series) -> pl.Series:
    """Return which texts complain."""
    found = texts.str.contains(_FAULTY)
    for test in (_named, _loud, _of_a_device):  # each on what those before it left
        rows = found.arg_true()
        if rows.is_empty():
            break
        found.scatter(rows.filter(~test(texts.gather(rows))), False)
    return found


def printed(peeled: pl.DataFrame) -> pl.Series:
    """Return which complaints, without their envelopes, a program printed: they have a stamp or a prefix, or begin like a message, as
    sentences of people do not. One that is no part of the machine's interrupts has to name these so that nothing else can be meant."""
    text, tag = peeled["msg"], peeled["tag"]
    stamped = (peeled["ts_raw"].is_not_null() | (peeled["side"] != "kernel")) & ~text.str.contains(_NARRATED)
    message = text.str.contains(_HEAD) & ~text.str.contains(_TO_DO)
    concerned = tag.is_null() | tag.str.contains(_CONCERNED).fill_null(True)
    return (stamped | message) & (concerned | text.str.replace_all(_PATH, "").str.contains(_UNMISTAKABLE))


def _named(texts: pl.Series) -> pl.Series:
    return texts.str.contains(_ABOUT)


def _loud(texts: pl.Series) -> pl.Series:
    return ~texts.str.contains(_QUIET)


def _of_a_device(texts: pl.Series) -> pl.Series:
    """Return which complaints are of MSI, remapping or a passed-through device, or of the interrupt of a PCI device."""
    told = texts.str.replace_all(_PASSING, "")
    return told.str.contains(_CARRIER) | told.str.contains(_ABOUT) & told.str.contains(_OWNED)


def weight(text: str) -> int:
    """Return how much a line looks like a fault: how many different words of one it has."""
    return len({m[0].lower() for m in _WORDS.finditer(text)})
