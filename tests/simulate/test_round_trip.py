"""A scenario, the lines that it would print, and the analysis of these lines: what was simulated is found, and nothing else."""

from pathlib import Path

import pytest
import round_trip_xen
from round_trip import disagreements, simulated

NUMBERS = range(80)  # `.ci/run` draws 10,000 by benchmarks/simulated.py


@pytest.mark.no_cover
@pytest.mark.parametrize("programs", [False, True])
def test_what_is_simulated_is_found(programs: bool, tmp_path: Path) -> None:
    assert disagreements(NUMBERS, tmp_path, programs=programs) == []


@pytest.mark.no_cover
def test_what_a_guest_of_xen_is_simulated_to_meet_is_found(tmp_path: Path) -> None:
    assert round_trip_xen.disagreements(NUMBERS, tmp_path) == []


def test_the_lines_are_those_of_the_kernel(tmp_path: Path) -> None:
    simulated({"devices": [{"table": [2, 4]}], "client": {"version": "10.1"}, "guest": {"unmask": "before enable"}}, tmp_path)
    lines = (tmp_path / "ftrace.txt").read_text().splitlines()
    assert lines[2:8] == [
        "  qemu-system-x86-4211 [001] .....   200.000002: k_vfio_pci_core_enable: (vfio_pci_core_enable+0x4/0x320 [vfio_pci_core]) vdev=0xff11000010000000",
        "  qemu-system-x86-4211 [001] .....   200.000003: k_vfio_pci_set_irqs_ioctl: (vfio_pci_set_irqs_ioctl+0x4/0x320 [vfio_pci_core]) vdev=0xff11000010000000 flags=0x24 index=2 start=0 count=2",
        "  qemu-system-x86-4211 [001] .....   200.000013: k___pci_enable_msix_range: (__pci_enable_msix_range+0x4/0x320) dev=0xff11000020000000 minvec=1 maxvec=2",
        "  qemu-system-x86-4211 [001] .....   200.000014: k_pci_setup_msix_device_domain: (pci_setup_msix_device_domain+0x4/0x320) dev=0xff11000020000000 hwsize=2",
        "  qemu-system-x86-4211 [001] .....   200.000015: k_msi_create_device_irq_domain: (msi_create_device_irq_domain+0x4/0x320) dev=0xff110000200000c8 domid=0 hwsize=2",
        "  qemu-system-x86-4211 [001] .....   200.000016: r_msi_create_device_irq_domain: (pci_setup_msix_device_domain+0x72/0xa0 <- msi_create_device_irq_domain) ret=1",
    ]
    assert (tmp_path / "dmesg.txt").read_text().splitlines() == [
        "[    0.000000] Linux version 6.12 (builder@example) (x86_64-linux-gnu-gcc 12.2.0) #1 SMP",
        "[    0.000000] Command line: BOOT_IMAGE=/vmlinuz root=/dev/vda1 ro intel_iommu=on",
        "[    0.900000] DMAR-IR: Enabled IRQ remapping in x2apic mode",
        "[  200.000001] vfio-pci 0000:3d:00.0: enabling device (0000 -> 0002)",
        "[  200.002203] vfio-pci 0000:3d:00.0: enabling device (0000 -> 0002)",
    ]


def test_the_stale_domain_is_proven_by_the_lines(tmp_path: Path) -> None:
    tree = {"devices": [{"table": [8, 16], "queues": 12}], "client": {"version": "8.1"}}
    _, findings = simulated(tree, tmp_path)
    # that the host adds in place is known by its release alone: no line has the flags of GET_IRQ_INFO
    assert {(f.code, f.grade, f.subject.label) for f in findings} == {
        ("MSI-001", "proven", "0000:3d:00.0"),
        ("VFIO-002", "proven", "0000:3d:00.0"),
        ("VFIO-003", "proven", "0000:3d:00.0"),
        ("VFIO-006", "probable", "0000:3d:00.0"),
    }
