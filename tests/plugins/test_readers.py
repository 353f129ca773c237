"""Complaints that one line tells, each with its reader: which finding, and what near lines are none."""

import pytest

from tracekit.testing import findings, shape

BOOT = "[    0.000000] Linux version 6.1.0 (x@y) #1 SMP"
BDF = "0000:01:00.0"
TOLD = [
    ("[    2.000000] APIC error on CPU3: 00(40)", ("IRQ-004", "possible", "host")),
    ("[    2.000000] APIC error on CPU12: 60(00)", ("IRQ-004", "possible", "host")),
    ("(XEN) APIC error on CPU3: 40(40), Receive illegal vector", ("IRQ-004", "possible", "host")),
    ("[    2.000000] IRQ88: set affinity failed(-28).", ("VEC-008", "proven", "irq 88")),
    ("(XEN) Cannot set affinity for IRQ88", ("VEC-008", "proven", "irq 88")),
    ("[    2.000000] radeon 0000:01:00.0: arch assigned 64-bit MSI address 0x1000003fe0000 but device only supports 32 bits",
     ("MSI-006", "proven", BDF)),
    ("[    2.000000] hv_pci 47505500-0001-0000-3130-444531334632: Request for interrupt failed: 0xc000000d",
     ("MSI-006", "probable", "47505500-0001-0000-3130-444531334632")),
    ("[    2.000000] hv_pci 00000001-7870-47b5-b203-907d12ca697e: hv_irq_unmask() failed: 0x5",
     ("MSI-006", "probable", "00000001-7870-47b5-b203-907d12ca697e")),
    ("(XEN) irq 77 already mapped to MSI-X on 0000:01:00.0", ("MSI-005", "proven", BDF)),
    ("(XEN) MSI-X already in use on 0000:01:00.0", ("MSI-005", "proven", BDF)),
    ("qemu-system-x86_64: vfio: failed to modify vector, -22", ("VFIO-004", "possible", "an unnamed device")),
    ("qemu-system-x86_64: vfio: Error: event_notifier_init failed", ("VFIO-004", "possible", "an unnamed device")),
    ("qemu-system-x86_64: vfio: msix_set_vector_notifiers failed", ("VFIO-003", "possible", "an unnamed device")),
    ("[2021-03-04 10:41:33.020895] vfio_user.c:1328:vfio_user_log: *ERROR*: /var/run/dev/8: invalid IRQ type 1",
     ("VFIO-005", "probable", "/var/run/dev/8")),
    ("[    2.000000] vfio-pci 0000:01:00.0: Cannot bind to PF with SR-IOV enabled", ("VFIO-013", "proven", BDF)),
    ("qemu-system-x86_64: -device vfio-pci,host=0000:01:00.0: vfio 0000:01:00.0: failed to add PCI capability 0x11[0x50]@0xb0: table & pba overlap",
     ("VFIO-013", "proven", BDF)),
    ("[    2.000000] kvm_iommu_map_guest: No interrupt remapping support, disallowing device assignment. Re-enble with \"x=1\" module option.",
     ("VFIO-011", "proven", "host")),
    ('[    2.000000] vfio-pci 0000:01:00.0: MSI interrupts are not secure, they cannot be isolated by the platform. Check that platform '
     'features like interrupt remapping are enabled. Use the "allow_unsafe_interrupts" module parameter to override', ("VFIO-011", "proven", "host")),
    ("[    2.000000] megaraid_sas 0000:01:00.0: Failed to register IRQ for vector 7.", ("MSI-004", "possible", BDF)),
    ("[    2.000000] igb 0000:01:00.0: Unable to allocate interrupt, Error: -16", ("MSI-004", "possible", BDF)),
    ("[    2.000000] bnxt_en 0000:01:00.0 eth0: bnxt_request_irq err: fffffff0", ("MSI-004", "possible", BDF)),
    ("[    2.000000] foofc 0000:01:00.0: request_threaded_irq: -22", ("MSI-004", "possible", BDF)),
    ("qemu-system-x86_64: vfio_err_notifier_handler(0000:01:00.0) Unrecoverable error detected. Please collect any data possible",
     ("IRQ-009", "proven", BDF)),
    ("[    2.000000] e1000e 0000:01:00.0: enable msix get err fffffffb", ("XEN-008", "proven", BDF)),
    ("[    2.000000] xen:events: irq77: Failed to set port to irq mapping (-12)", ("XEN-004", "proven", "an unnamed device")),
    ("[    2.000000] xen:events: xen map irq failed gsi=0 irq=77 pirq=54 rc=-19", ("XEN-004", "proven", "an unnamed device")),
    ("[00:05.0] msi_msix_update: Updating of MSI-X failed. (err: 22)", ("XEN-004", "proven", "guest's 00:05.0")),
    ("[00:05.0] msi_msix_disable: Unbinding of MSI-X failed. (err: 22, pirq: 54, gvec: 0x59)", ("XEN-007", "proven", "guest's 00:05.0")),
    ("(XEN) d0v1 0000:01:00.0: unable to enable entry 3: -22", ("XEN-005", "proven", BDF)),
]  # fmt: skip


@pytest.mark.parametrize(("line", "told"), TOLD, ids=lambda x: x[:60] if isinstance(x, str) else x[0])
def test_a_line_that_complains_is_read(line: str, told: tuple[str, str, str]) -> None:
    code, grade, subject = told
    number = 2 if line.startswith("[    2") else 1
    assert shape(findings(f"{BOOT}\n{line}\n" if number == 2 else f"{line}\n")) == [(code, grade, subject, None, [number])]


@pytest.mark.parametrize(
    "line",
    [
        "[    2.000000] APIC error on CPU3: 00(80)",
        "[    2.000000] APIC error on CPU3: 08(08)",
        "[    2.000000] IRQ88: set affinity failed(-22).",
        "(XEN) Broke affinity for IRQ88, new: {0-3}",
        "(XEN) Cannot set affinity for IRQ0",
        "Mar  1 10:00:00 h1 irqbalance[700]: Cannot change IRQ 24 affinity: Input/output error",
        "qemu-kvm: warning: vfio 0000:06:00.0: Failed to set up TRIGGER eventfd signaling for interrupt ERR-0: VFIO_DEVICE_SET_IRQS "
        "failure: Invalid argument",
        "vfio 0000:06:00.0: Failed to set up TRIGGER eventfd signaling for interrupt REQ-0: VFIO_DEVICE_SET_IRQS failure: Invalid argument",
        "cloud-hypervisor: 702.118043ms: <vmm> WARN:vmm/src/vm.rs:1009 -- failed to deliver MSI message, blocked by guest",
        "[    2.000000] hv_pci 47505500-0001-0000-3130-444531334632: PCI VMBus probing: Using version 0x10004",
    ],
)
def test_near_lines_are_none_of_it(line: str) -> None:
    assert findings(f"{BOOT}\n{line}\n") == []


def test_the_kernels_warning_of_a_missing_domain_is_known_by_the_function_without_what_the_compiler_added() -> None:
    warned = "[    2.000000] WARNING: CPU: 0 PID: 1 at include/linux/msi.h:219 pci_msi_setup_msi_irqs.isra.0+0x28/0x40"
    assert shape(findings(f"{BOOT}\n{warned}\n")) == [
        ("MSI-006", "probable", "an unnamed device", None, [2]),
        ("MSI-009", "proven", "an unnamed device", "MSI-006", [2]),
    ]


STRAY = "__common_interrupt: 4.34 No irq handler for vector"
WAITED = "nvme nvme1: I/O 206 QID 6 timeout, reset controller"


@pytest.mark.parametrize(("later", "severity", "lines"), [(2, "high", [1, 2]), (61, "high", [1, 2]), (70, "low", [1]), (-2, "low", [2])])
def test_a_stray_is_as_severe_as_the_time_out_that_follows_it(later: int, severity: str, lines: list[int]) -> None:
    told = sorted([(100, STRAY), (100 + later, WAITED)])
    (found,) = findings("".join(f"[{at:5d}.000000] {message}\n" for at, message in told))
    assert (found.code, found.severity, [e.line for e in found.evidence]) == ("IRQ-004", severity, lines)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("drv 0000:01:00.0: Failed to enable MSI-X: -22", "Nothing is short"),
        ("ath11k_pci 0000:01:00.0: failed to enable msi: -22", "Nothing is short"),
        ("drv 0000:01:00.0: Failed to enable MSI-X: -28", "Raise what is short"),
        ("drv 0000:01:00.0: Failed to enable MSI-X", "No line tells why"),
        ("drv 0000:01:00.0: Failed to request irq 16: -16", "See why the irq was refused"),
    ],
)
def test_advice_about_a_refusal_fits_its_errno(said: str, words: str) -> None:
    (found,) = findings(f"[    5.000000] {said}\n")
    assert (found.code, found.advice.startswith(words)) == ("MSI-004", True)


def test_what_xen_refused_explains_the_drivers_own_complaint() -> None:
    lines = ("e1000e 0000:00:00.0: Xen PCI frontend error: -22!", "e1000e 0000:00:00.0: Failed to enable MSI-X: -22")
    assert shape(findings("".join(f"[    5.00000{n}] {line}\n" for n, line in enumerate(lines)))) == [
        ("XEN-008", "proven", "0000:00:00.0", None, [1]),
        ("MSI-004", "probable", "0000:00:00.0", "XEN-008", [2]),
    ]
