"""What kvmtool, crosvm, DPDK and old QEMU say of vectors and of INTx: which device, which vector, how sure."""

import polars as pl
import pytest

from tracekit.findings import Finding
from tracekit.parsing.complaint import complaints
from tracekit.testing import findings, outcome, run, shape

A, B = "0000:0a:00.0", "0000:0b:00.1"
KVMTOOL = "  Error: {}: {}\n"
CROSVM = (
    "[ERROR:devices/src/pci/vfio_pci.rs:1004] {}failed to {} {}: failed to set vfio device's irq: No space left on device (os error 28)\n"
)
DPDK_PROBE = "EAL: Probe PCI driver: net_ice (8086:1593) device: {} (socket 0)\n"
OLD_INTX = "qemu-kvm: {}vfio: Error: Failed to setup INTx fd: Device or resource busy\n"
GIVEN_UP = "qemu-kvm: -device vfio-pci,host={},id=hostdev3: Device initialization failed\n"


def only(text: str) -> Finding:
    (found,) = findings(text)
    return found


def test_kvmtool_names_the_vector_and_what_it_could_not_have() -> None:
    text = KVMTOOL.format(A, "cannot create MSI-X route") + KVMTOOL.format(A, "failed to configure MSIX vector 5")
    f = only(text + KVMTOOL.format(A, "failed to configure MSIX vector 7"))
    assert (shape([f]), f.values["vectors"], f.subject.bdf) == ([("VFIO-004", "probable", A, None, [1, 2, 3])], [5, 7], A)
    assert f.summary == f"vectors 5, 7 of {A} could not be wired: kvmtool cannot create MSI-X route"
    assert "KVM_SET_GSI_ROUTING" in f.advice


@pytest.mark.parametrize(
    ("what", "advice"), [("setup irqfd", "KVM_IRQFD"), ("create eventfd", "open files"), ("create MSI-X route", "KVM_SET_GSI_ROUTING")]
)
def test_kvmtool_without_the_vector_is_possible(what: str, advice: str) -> None:
    f = only(KVMTOOL.format(A, f"cannot {what}"))
    assert (shape([f]), f.values) == ([("VFIO-004", "possible", A, None, [1])], {"vectors": [], "messages": 1})
    assert advice in f.advice


def test_each_device_of_kvmtool_has_its_finding() -> None:
    text = "".join(KVMTOOL.format(bdf, "failed to configure MSIX vector 1") for bdf in (A, B, A))
    assert shape(findings(text)) == [("VFIO-004", "probable", A, None, [1, 3]), ("VFIO-004", "probable", B, None, [2])]


def test_kvmtool_that_cannot_enable_is_one_finding_of_all_vectors() -> None:
    text = (
        KVMTOOL.format(A, "cannot setup irqfd")
        + "VFIO_DEVICE_SET_IRQS(multi): Invalid argument\n"
        + KVMTOOL.format(A, "cannot enable MSIX")
    )
    f = only(text)
    assert (f.code, f.grade, f.subject.bdf, sorted(e.line for e in f.evidence)) == ("VFIO-003", "possible", A, [2, 3])
    assert f.values["message"] == "Invalid argument"


@pytest.mark.parametrize("line", [f"  Info: {A}: assigned to device number 0x1 in group 9\n", "  Error: cannot create the pipe\n"])
def test_other_words_of_kvmtool_are_quiet(line: str) -> None:
    assert findings(line) == []


@pytest.mark.parametrize("kind", ["msi", "msix"])
@pytest.mark.parametrize(
    ("label", "bdf"), [(f"vfio {A} device ", A), ("", None), ("vfio 12345678-9abc-def0-1234-56789abcdef0 device ", None)]
)
def test_crosvm_names_the_device(kind: str, label: str, bdf: str | None) -> None:
    f = only(CROSVM.format(label, "enable", kind))
    assert (f.code, f.grade, f.subject.bdf) == ("VFIO-003", "possible", bdf)
    assert findings(CROSVM.format(label, "disable", kind)) == []


@pytest.mark.parametrize(("step", "verb"), [("enabling", "enable"), ("unmasking", "unmask")])
def test_dpdk_could_not_set_intx_up(step: str, verb: str) -> None:
    text = DPDK_PROBE.format(A) + DPDK_PROBE.format(B) + f"EAL: Error {step} INTx interrupts for fd 42\n"
    f = only(text)
    assert (shape([f]), f.summary) == ([("VFIO-012", "possible", B, None, [3])], f"DPDK could not {verb} INTx of {B}")
    assert only(f"EAL: Error {step} INTx interrupts for fd 42\n").subject.label == "an unnamed device"
    assert findings(DPDK_PROBE.format(A) + "EAL: Error disabling INTx interrupts for fd 42\n") == []


@pytest.mark.parametrize("option", ["vfio-pci,host=0a:00.0,id=h1", '{"driver":"vfio-pci","host":"0000:0a:00.0","id":"h1"}'])
@pytest.mark.parametrize("kernel", [False, True])
def test_an_option_names_the_function_as_the_kernel_does(option: str, kernel: bool) -> None:
    text = OLD_INTX.format(f"-device {option}: ")
    mismatch = f"[  901.204417] genirq: Flags mismatch irq 18. 00000000 (vfio-intx({A})) vs. 00000080 (snd_ice1712)\n"
    f = only(mismatch + text if kernel else text)
    assert (f.code, f.grade, f.subject.bdf, len(f.evidence)) == ("VFIO-012", "proven" if kernel else "probable", A, 1 + kernel)


def test_a_path_of_sysfs_names_the_function() -> None:
    assert only(OLD_INTX.format(f"-device vfio-pci,sysfsdev=/sys/bus/pci/devices/{A},id=h1: ")).subject.bdf == A


def test_the_option_that_is_given_up_below_names_the_device() -> None:
    named = OLD_INTX.format("") + GIVEN_UP.format("0a:00.0")
    assert shape(findings(named + named.replace("0a:", "0b:"))) == [
        ("VFIO-012", "probable", "0000:0a:00.0", None, [1]),
        ("VFIO-012", "probable", "0000:0b:00.0", None, [3]),
    ]


@pytest.mark.parametrize(
    "text", [GIVEN_UP.format("0a:00.0") + OLD_INTX.format(""), OLD_INTX.format("") + "\n" * 5 + GIVEN_UP.format("0a:00.0")]
)
def test_an_option_above_or_far_below_is_another_matter(text: str) -> None:
    assert [f.subject.label for f in findings(text)] == ["an unnamed device"]


def test_kvms_own_assignment_could_not_have_the_line() -> None:
    f = only('qemu-system-x86_64: -device pci-assign,host=0a:00.0,id=nic2: Failed to assign irq for "nic2": Input/output error\n')
    assert (shape([f]), f.values["reason"]) == ([("VFIO-012", "probable", A, None, [1])], "Input/output error")
    assert only('qemu-kvm: Failed to assign irq for "nic2": Operation not permitted\n').subject.label == "nic2"


@pytest.mark.parametrize("words", ["vfio: Error: Failed to setup INTx unmask fd", f"warning: vfio {A}: failed to setup resample irqfd"])
def test_intx_by_way_of_qemu_is_slow_and_works(words: str) -> None:
    f = only(f"qemu-system-x86_64: {words}: Device or resource busy\n")
    assert (f.code, f.severity, f.grade, f.subject.bdf) == ("VFIO-010", "info", "probable", A if A in words else None)


def test_an_irqfd_that_was_not_taken_back_is_no_way() -> None:
    text = "qemu-system-x86_64: vfio: Error: Failed to disable INTx irqfd: Invalid argument\n"
    assert findings(text) == []
    assert outcome(run(text), "VFIO-010").outcome == "inconclusive"


def test_a_guest_notifier_that_was_not_bound_is_a_complaint() -> None:
    lines = [
        "Error binding guest notifier: 28",
        "unable to start vhost net: 28: falling back on userspace virtio",
        "guest notifier 3 bound",
    ]
    assert complaints(pl.Series(lines)).to_list() == [True, False, False]


STEPS = (
    "vfio_msix_enable  ({})",
    "vfio_msix_vector_do_use  ({}) vector 0 used",
    "vfio_msi_interrupt  ({}) vector 0 0xfee01004/0x24",
    "vfio_msix_vector_do_use  ({}) vector 1 used",
    "vfio_msi_interrupt  ({}) vector 0 0xfee01004/0x24",
    "vfio_msix_disable  ({})",
)


def syslog(second: str, rounds: int) -> str:
    """Rounds of an enable and a growth, all within one second of a syslog."""
    return "".join(f"Mar  4 11:20:{second} host qemu-system-x86_64[77]: {step.format(A)}\n" for _ in range(rounds) for step in STEPS)


@pytest.mark.parametrize("rounds", [1, 2, 4])
def test_windows_of_one_second_are_counted_each(rounds: int) -> None:
    f = next(f for f in findings(syslog("31", rounds)) if f.code == "VFIO-002")
    assert f.values["windows"] == rounds


def test_the_same_syslog_twice_has_its_windows_once() -> None:
    (f,) = (f for f in findings(syslog("31", 3), syslog("31", 3)) if f.code == "VFIO-002")
    assert f.values["windows"] == 3


ARGUMENTS = "{}:ioctl(VFIO_DEVICE_SET_IRQS) [index = {}, start = 0, count = {}, flags = {}]: {}"
FULL, NO = "No space left on device", "Invalid argument"


@pytest.mark.parametrize(
    ("line", "bdf"),
    [
        (ARGUMENTS.format(A, 2, 5, "0x24", FULL), A),
        ("vlib_pci_bind_to_uio: " + ARGUMENTS.format(A, 1, 1, "0x24", NO), A),
        (f"lkl_vfio: ioctl VFIO_DEVICE_SET_IRQS failed: {FULL}", None),
        (f"VFIO_DEVICE_SET_IRQS failed {FULL}", None),
        (f"enable msix: VFIO_DEVICE_SET_IRQS ioctl failed: {FULL}", None),
    ],
)
def test_a_program_that_could_not_enable_vectors(line: str, bdf: str | None) -> None:
    (f,) = (f for f in findings(f"{line}\n") if f.code == "VFIO-003")
    assert (f.grade, f.severity, f.subject.bdf, [e.line for e in f.evidence]) == ("possible", "medium", bdf, [1])


@pytest.mark.parametrize(
    "line",
    [
        ARGUMENTS.format(A, 0, 1, "0x24", "Device or resource busy"),  # INTx
        ARGUMENTS.format(A, 2, 0, "0x21", NO),  # a disable where nothing is enabled
        ARGUMENTS.format(A, 2, 1, "0x22", NO),  # a trigger for nothing
        f"VFIO_DEVICE_SET_IRQS failed {NO}",  # for what is not told
        "VFIO_DEVICE_SET_IRQS failed Success",
    ],
)
def test_a_refused_ioctl_that_is_for_no_vectors(line: str) -> None:
    assert findings(f"{line}\n") == []
