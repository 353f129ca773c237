"""VFIO-003 and VFIO-004 from a client's messages alone: what they say, and what is left open."""

import pytest

from tracekit.findings import Finding
from tracekit.testing import findings, outcome, run

SIGNALING = "qemu-system-x86_64: vfio {}: Failed to set up {} eventfd signaling for interrupt {}: VFIO_DEVICE_SET_IRQS failure: {}\n"
NO_SPACE = "No space left on device"
ENABLE = [
    (f"qemu-system-x86_64: vfio: failed to enable vectors, {NO_SPACE}", NO_SPACE),
    (f"qemu-system-x86_64: vfio: failed to enable MSI-X, {NO_SPACE}", NO_SPACE),
    ("qemu-kvm: vfio: Error: Failed to setup MSI fds: Invalid argument", "Invalid argument"),
    ("qemu-system-x86_64: vfio: Error: Failed to enable MSI", "no reason"),
]


def of(code: str, *texts: str) -> list[Finding]:
    return [f for f in findings(*texts) if f.code == code]


@pytest.mark.parametrize(
    ("kind", "numbers", "said"), [("MSIX", [3], "vector 3"), ("MSI", [0], "vector 0"), ("MSIX", [2, 5], "vectors 2, 5")]
)
def test_a_vector_that_could_not_be_wired(kind: str, numbers: list[int], said: str) -> None:
    (f,) = of("VFIO-004", "".join(SIGNALING.format("0000:05:00.0", "TRIGGER", f"{kind}-{n}", NO_SPACE) for n in numbers))
    assert (f.grade, f.severity, f.subject.bdf) == ("probable", "high", "0000:05:00.0")
    assert f.values == {"vectors": numbers, "message": NO_SPACE}
    assert f.summary == f"{said} of 0000:05:00.0 could not be wired ({NO_SPACE})"
    assert [(e.line, e.role) for e in f.evidence] == [(n, "effect") for n in range(1, len(numbers) + 1)]
    assert [u.guard for u in f.unchecked] == ["the other vectors go on, and this one did not work later"]


@pytest.mark.parametrize(("action", "index"), [("MASK", "MSIX-3"), ("TRIGGER", "INTX-0"), ("UNMASK", "INTX-0")])
def test_another_action_or_the_line_interrupt_is_no_vector(action: str, index: str) -> None:
    text = SIGNALING.format("0000:05:00.0", action, index, "Invalid argument")
    assert of("VFIO-004", text) == []
    assert outcome(run(text), "VFIO-004").outcome == "not evaluated"


def test_each_device_has_its_finding_with_five_lines_at_most() -> None:
    seven = "".join(SIGNALING.format("0000:05:00.0", "TRIGGER", f"MSIX-{n}", NO_SPACE) for n in (6, 0, 1, 2, 3, 4, 5))
    found = of("VFIO-004", seven + SIGNALING.format("0000:06:00.0", "TRIGGER", "MSIX-1", "Invalid argument"))
    assert [(f.subject.bdf, f.values["vectors"], [e.line for e in f.evidence]) for f in found] == [
        ("0000:05:00.0", [0, 1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5]),
        ("0000:06:00.0", [1], [8]),
    ]


@pytest.mark.parametrize(("line", "reason"), ENABLE)
def test_an_enable_that_a_client_reports_is_of_an_unnamed_device(line: str, reason: str) -> None:
    (f,) = of("VFIO-003", f"{line}\n")
    assert (f.grade, f.subject.label) == ("possible", "an unnamed device")
    assert f.values == {"message": reason, "messages": 1, "asked": None, "last_working": None}
    assert f.summary == f"the client could not enable the vectors of an unnamed device ({reason})"
    assert f.unchecked[0].guard == "vectors had been enabled before"
    assert [(e.line, e.role) for e in f.evidence] == [(1, "effect")]


def test_seven_messages_are_counted_and_five_are_named() -> None:
    (f,) = of("VFIO-003", "".join(f"{line}\n" for line, _ in ENABLE[:1] * 7))
    assert (f.values["messages"], len(f.evidence)) == (7, 5)


@pytest.mark.parametrize(
    "line",
    [
        "qemu-system-x86_64: vfio: Error: Failed to enable 4 MSI vectors, retry with 1",
        "qemu-system-x86_64: warning: vfio 0000:05:00.0: Could not enable error recovery for the device",
    ],
)
def test_a_retry_or_another_warning_is_no_failed_enable(line: str) -> None:
    assert of("VFIO-003", f"{line}\n") == []


ASSERTED = "qemu-system-x86_64: {}: Assertion `{}' failed.\n"


@pytest.mark.parametrize(
    ("place", "condition", "function"),
    [
        ("../accel/kvm/kvm-all.c:1902: kvm_irqchip_commit_routes", "ret == 0", "kvm_irqchip_commit_routes"),
        ("/build/qemu-4.2/hw/pci/msix.c:511: msix_vector_use", "vector < dev->msix_entries_nr", "msix_vector_use"),
        ("../hw/pci/msix.c:230: void msix_table_mmio_write(void *, hwaddr, uint64_t, unsigned int)", "addr < 4", "msix_table_mmio_write"),
        ("../hw/vfio/pci.c:780: vfio_msix_enable", "vdev->msix", "vfio_msix_enable"),
        ("../hw/virtio/virtio-pci.c:900: kvm_virtio_pci_irqfd_use", "ret", "kvm_virtio_pci_irqfd_use"),
    ],
)
def test_qemu_ends_itself_in_its_code_of_interrupts(place: str, condition: str, function: str) -> None:
    (f,) = findings(ASSERTED.format(place, condition))
    assert (f.code, f.grade, f.severity, f.subject.label, [e.line for e in f.evidence]) == ("VFIO-003", "probable", "high", "host", [1])
    assert (f.values["function"], "KVM refused" in f.summary) == (function, "commit_routes" in function)


@pytest.mark.parametrize(
    "place", ["../block/qcow2.c:88: qcow2_open", "../hw/9pfs/9p.c:602: v9fs_set_msize", "../hw/pci/pci.c:1: pci_msize"]
)
def test_qemu_ends_itself_elsewhere(place: str) -> None:
    assert of("VFIO-003", ASSERTED.format(place, "x")) == []


PROBED = "EAL: Probe PCI driver: net_ice (8086:1593) device: 0000:{}:00.0 (socket -1)\n"
ENABLING = "EAL: Error enabling MSI-X interrupts for fd 71\n"


def test_dpdk_enables_first_and_the_device_is_the_last_that_it_probed() -> None:
    text = PROBED.format("4b") + PROBED.format("4c") + ENABLING + ENABLING.replace("enabling", "disabling") + ENABLING
    (f,) = of("VFIO-003", text)
    assert (f.grade, f.severity, f.subject.bdf, [e.line for e in f.evidence]) == ("possible", "medium", "0000:4c:00.0", [3, 5])
    assert "QEMU" not in f.advice + "".join(u.guard for u in f.unchecked)
    (old,) = of("VFIO-003", "EAL: PCI device 0000:01:00.0 on NUMA socket -1\n" + ENABLING)
    assert old.subject.bdf == "0000:01:00.0"


def test_dpdk_that_names_no_device_or_only_disables() -> None:
    (f,) = of("VFIO-003", ENABLING)
    assert (f.severity, f.subject.label) == ("medium", "an unnamed device")
    assert of("VFIO-003", PROBED.format("4b") + ENABLING.replace("enabling", "disabling")) == []


BYPASS = "[   20.000001] irq bypass {} (token 00000000f00dcafe) registration fails: {}\n"


@pytest.mark.parametrize(
    ("line", "errno"),
    [
        (BYPASS.format("consumer", -16), -16),
        ("[   20.000001] pi_update_irte: failed to update PI IRTE\n", None),
        ("[   20.000001] kvmppc_set_passthru_irq (irq 58, gsi 4970) fails: -2\n", -2),
    ],
)
def test_kvm_says_that_posted_delivery_is_off(line: str, errno: int | None) -> None:
    (f,) = findings(line)
    assert (f.code, f.severity, f.subject.label, f.values) == ("VFIO-010", "info", "host", {"messages": 1, "errno": errno})
    (both,) = findings(line + BYPASS.format("producer", -2).replace("irq bypass", "vfio-pci 0000:05:00.0: irq bypass"))
    assert (both.code, both.subject.label) == ("VFIO-010", "0000:05:00.0")


MISMATCH = "[   92.805176] genirq: Flags mismatch irq 16. 00000000 (vfio-intx(0000:0a:00.0)) vs. 00000080 ({})\n"


@pytest.mark.parametrize(
    ("other", "said", "unsaid"),
    [
        ("hpilo", "Unbind the host's driver that has the line (hpilo)", "one guest after another"),
        ("vfio-intx(0000:0b:00.0)", "one guest after another", "Unbind"),
    ],
)
def test_who_shares_the_line_decides_what_to_do(other: str, said: str, unsaid: str) -> None:
    (f,) = findings(MISMATCH.format(other))
    assert (f.code, said in f.advice, unsaid in f.advice, f.values["shares_with"]) == ("VFIO-012", True, False, other)
