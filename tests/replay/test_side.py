"""Side sources: probe definitions, releases, interrupt rows, lspci, xl info; and what only looks like them."""

import re
from typing import Any

import pytest

from tracekit.grammar.load import load

RULES = load().events
SIDE = {name: re.compile(rule.regex) for name, rule in RULES.items() if rule.file in ("side.lark", "tracer.lark")}


def read(line: str) -> tuple[str, dict[str, Any]]:
    """The rule that reads a line, and its fields."""
    for name, expression in SIDE.items():
        if found := expression.match(line):
            rule = RULES[name]
            fields = {c: next((found[g] for g in groups if found[g] is not None), None) for c, groups in rule.groups.items()}
            return name, {c: v for c, v in fields.items() if v is not None}
    return "", {}


LINES: dict[str, tuple[str, dict[str, str]]] = {
    "p:kprobes/k_set vfio_pci_set_irqs_ioctl vdev=%di flags=%si:x32": (
        "kprobe_definition",
        {"returns": "p", "group": "kprobes", "probe": "k_set", "function": "vfio_pci_set_irqs_ioctl", "args": "vdev=%di flags=%si:x32"},
    ),
    "r10:mine/ret __pci_enable_msix_range ret=$retval:s32": (
        "kprobe_definition",
        {"returns": "r", "group": "mine", "probe": "ret", "function": "__pci_enable_msix_range", "args": "ret=$retval:s32"},
    ),
    "echo 'p:ev vfio_pci_core:vfio_msi_disable+0x4 a=$arg1' >> kprobe_events": (
        "kprobe_definition",
        {"returns": "p", "probe": "ev", "module": "vfio_pci_core", "function": "vfio_msi_disable", "offset": "0x4", "args": "a=$arg1"},
    ),
    "Linux version 6.1.0-56-amd64 (debian@x) (gcc-12)": (
        "kernel_version",
        {"release": "6.1.0-56-amd64", "text": "(debian@x) (gcc-12)"},
    ),
    "Linux (none) 6.12.95+deb12-amd64 #1 SMP PREEMPT_DYNAMIC x86_64 GNU/Linux": (
        "kernel_version",
        {"release": "6.12.95+deb12-amd64", "text": "#1 SMP PREEMPT_DYNAMIC x86_64 GNU/Linux"},
    ),
    "-- Boot 11111111222233334444555566667777 --": ("boot_marker", {"boot_id": "11111111222233334444555566667777"}),
    " 24:          0         12  PCI-MSIX-0000:00:04.0   0-edge      nvme0q0": (
        "interrupt_row",
        {"irq": "24", "counts": "0         12  ", "chip": "PCI-MSIX-0000:00:04.0", "hwirq": "0", "actions": "nvme0q0"},
    ),
    "213:          0  IR-PCI-MSI 131256-edge      vfio-msix[184](0000:00:08.0)": (
        "interrupt_row",
        {"irq": "213", "counts": "0  ", "chip": "IR-PCI-MSI", "hwirq": "131256", "actions": "vfio-msix[184](0000:00:08.0)"},
    ),
    " 40:          0          3  xen-pirq    -msi-x     virtio0-config": (
        "interrupt_row",
        {"irq": "40", "counts": "0          3  ", "chip": "xen-pirq", "actions": "virtio0-config"},
    ),
    " 45:    2316334          0  IR-PCI-MSI-edge      vfio-msi[0](0000:07:00.0)": (
        "interrupt_row",
        {"irq": "45", "counts": "2316334          0  ", "chip_typed": "IR-PCI-MSI-edge", "actions": "vfio-msi[0](0000:07:00.0)"},
    ),
    " 16:         31          0   IO-APIC-fasteoi   ehci_hcd:usb3, vfio-intx(0000:08:00.0)": (
        "interrupt_row",
        {
            "irq": "16",
            "counts": "31          0   ",
            "chip_typed": "IO-APIC-fasteoi",
            "actions": "ehci_hcd:usb3, vfio-intx(0000:08:00.0)",
        },
    ),
    " 11:    2201   GICv3  27 Level     arch_timer": (
        "interrupt_row",
        {"irq": "11", "counts": "2201   ", "chip": "GICv3", "hwirq": "27 ", "actions": "arch_timer"},
    ),
    "0000:01:00.1 Ethernet controller: Intel Corporation Device 1889 (rev 02)": (
        "lspci_device",
        {"bdf": "0000:01:00.1", "text": "Intel Corporation Device 1889 (rev 02)"},
    ),
    "00:08.0 Class [0500]: Device [1af4:1110] (rev 01)": (
        "lspci_device",
        {"bdf": "00:08.0", "class_name": "Class [0500]", "text": "Device [1af4:1110] (rev 01)"},
    ),
    "\tCapabilities: [40] MSI-X: Enable+ Count=65 Masked-": (
        "lspci_capability",
        {"kind": "MSI-X", "enable": "+", "count": "65", "masked": "-"},
    ),
    "\tCapabilities: [50] MSI: Enable- Count=1/16 Maskable+ 64bit+": (
        "lspci_capability",
        {"kind": "MSI", "enable": "-", "allocated": "1", "count": "16", "masked": "+", "rest": " 64bit+"},
    ),
    "xen_version            : 4.17.7": ("xl_info", {"key": "xen_version", "value": "4.17.7"}),
    "name:   vIR-PCI-MSIX-0000:00:08.0-12": ("irq_domain_listed", {"domain": "vIR-PCI-MSIX-0000:00:08.0-12"}),
    "ffffffffc0a01230 t vfio_msi_disable\t[vfio_pci_core]": (
        "kallsyms_symbol",
        {"address": "ffffffffc0a01230", "kind_letter": "t", "symbol": "vfio_msi_disable", "module": "vfio_pci_core"},
    ),
    "CPU:1 [LOST 358 EVENTS]": ("gap", {"cpu": "1", "what": "LOST", "count": "358"}),
    "CPU:0 [LOST EVENTS]": ("gap", {"cpu": "0", "what": "LOST"}),
    "CPU:3 [123 EVENTS DROPPED]": ("gap", {"cpu": "3", "what": "DROPPED", "count": "123"}),
    "** 12 printk messages dropped **": ("gap", {"count": "12"}),
    "systemd-journald[233]: Missed 57 kernel messages": ("gap", {"count": "57"}),
    "imjournal: 34 messages lost due to rate-limiting": ("gap", {"count": "34"}),
    "imjournal: 119806 messages lost due to rate-limiting (20000 allowed within 600 seconds)": (
        "gap",
        {"count": "119806", "limit": "20000 allowed within 600 seconds"},
    ),
    "dmar_fault: 34 callbacks suppressed": ("held_back", {"function": "dmar_fault", "count": "34"}),
}


@pytest.mark.parametrize("line", LINES)
def test_side_lines(line: str) -> None:
    name, fields = read(line)
    expected, values = LINES[line]
    assert name == expected
    assert {c: v for c, v in fields.items() if c in values} == values


ORDINARY = [
    "Linux agpgart interface v0.103",
    "ACPI: IRQ0 used by override.",
    "pci 0000:00:04.0: [1b36:0010] type 00 class 0x010802 PCIe Endpoint",
    "0000:03:00.0: failed to map PIRQ: -16",
    "00:02.2: [8086:3c06] type 01 class 0x060400",
    "p: a list of things",
    "r8:  0000000000000000",
    "NMI:          0   Non-maskable interrupts",
    "   1: VCPU 0: Virtual IRQ 0",
    "  1: 0 0 something else",
    "printk: console [ttyS0] enabled",
    "IOAPIC[0]: apic_id 0, version 32, address 0xfec00000, GSI 0-23",
    "version = 6",
]


@pytest.mark.parametrize("line", ORDINARY)
def test_ordinary_lines_are_none(line: str) -> None:
    assert read(line)[0] == ""
