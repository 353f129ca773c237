"""Why a device did not get to its guest, in the words of QEMU and of the kernel: for which function, and for which of the reasons."""

import pytest

from tracekit.testing import findings, shape

OPTION = "2026-01-02T08:10:38.221320Z qemu-system-x86_64: -device vfio-pci,host={},id=hostdev3,bus=pci.4,addr=0x0: "
LISTENER = (
    "failed to setup container for group 17: memory listener initialization failed: Region pc.ram: vfio_dma_map(0x5, 0x1, 0x2, 0x7) = -14"
)
GROUP = "failed to setup container for group 17: Failed to set group container: Invalid argument"
PIN = "{}: ../hw/pci/pci.c:1487: pci_irq_handler: Assertion `0 <= irq_num && irq_num < PCI_NUM_PINS' failed."


@pytest.mark.parametrize(("why", "kind"), [(LISTENER, "memory"), (GROUP, "group")])
def test_a_container_that_memory_fails_is_not_the_groups_fault(why: str, kind: str) -> None:
    (found,) = findings(OPTION.format("0000:0b:00.0") + f"vfio 0000:0b:00.0: {why}\n")
    assert shape([found]) == [("VFIO-013", "proven", "0000:0b:00.0", None, [1])]
    assert found.values["kind"] == kind


@pytest.mark.parametrize(
    ("option", "device"),
    [
        ("09:00.0", "0000:09:00.0"),
        ("0000:09:00.0", "0000:09:00.0"),
    ],
)
def test_an_option_of_qemu_names_the_device(option: str, device: str) -> None:
    text = OPTION.format(option) + "vfio: Error: Failed to setup INTx fd: Device or resource busy\n"
    text += OPTION.format(option) + "Device initialization failed\n"
    assert shape(findings(text)) == [("VFIO-012", "probable", device, None, [1])]


def test_reserved_memory_behind_the_name_of_the_unit() -> None:
    text = "vfio-pci 0000:04:00.1: {}Device is ineligible for IOMMU domain attach due to platform RMRR requirement.\n"
    for unit in ("", "DMAR: "):
        assert shape(findings(text.format(unit))) == [("VFIO-013", "proven", "0000:04:00.1", None, [1])]


@pytest.mark.parametrize("function", ["vfio_iommu_type1_attach_group: ", ""])
def test_remapping_that_is_missing_is_told_without_the_function_too(function: str) -> None:
    text = f'{function}No interrupt remapping support.  Use the module param "allow_unsafe_interrupts" to enable VFIO IOMMU support\n'
    assert [f.code for f in findings(text)] == ["VFIO-011"]


@pytest.mark.parametrize("program", ["kvm", "qemu-system-x86_64", "/usr/bin/kvm"])
def test_an_assertion_of_qemu_under_any_of_its_names(program: str) -> None:
    assert [f.code for f in findings(PIN.format(program) + "\n")] == ["IRQ-009"]


def test_the_kernels_own_kvm_is_not_qemu() -> None:
    assert findings("[   20.000000] kvm: irq_num is below PCI_NUM_PINS: assertion holds\n") == []


def test_one_refusal_told_twice_is_one_finding() -> None:
    qemu = "qemu-system-x86_64: Failed to set up TRIGGER eventfd signaling for interrupt INTX-0: VFIO_DEVICE_SET_IRQS failure: "
    line = "[   20.000000] genirq: Flags mismatch irq 18. 00000000 (vfio-intx(0000:01:04.0)) vs. 00000080 (ehci_hcd:usb1)\n"
    assert shape(findings(f"{qemu}Device or resource busy\n{line}")) == [("VFIO-012", "proven", "0000:01:04.0", None, [2, 1])]


def test_a_device_that_qemu_cannot_wake() -> None:
    (found,) = findings("kvm: vfio: Unable to power on device, stuck in D3\n")
    assert (found.code, "it does not leave D3" in found.summary) == ("IRQ-009", True)


@pytest.mark.parametrize("head", ["EAL: ", "EAL:   ", "2022-11-25T01:10:52.810Z|00093|dpdk|ERR|EAL: "])
def test_a_group_that_dpdk_cannot_use(head: str) -> None:
    text = f"{head}0000:01:00.1 VFIO group is not viable! Not all devices in IOMMU group bound to VFIO or unbound\n"
    assert shape(findings(text)) == [("VFIO-013", "proven", "0000:01:00.1", None, [1])]


NAMED = "qemu-system-x86_64: -device vfio-pci,host=0000:0b:00.0: "
MAP = "qemu-system-x86_64: {}vfio_dma_map(0x5, 0x384000000000, 0x4000000, 0x7) = {}\n"
STOPPED = "qemu: hardware error: vfio: DMA mapping failed, unable to continue\n"


@pytest.mark.parametrize(
    ("errno", "means", "advice"),
    [
        ("-22 (Invalid argument)", "out of the IOMMU's reach", "host-phys-bits-limit"),
        ("-28 (No space left on device)", "more DMA mappings than the host allows", "dma_entry_limit"),
        ("-12 (Cannot allocate memory)", "could not be locked or mapped", "memlock"),
        ("-14 (Bad address)", "could not be pinned", "pin"),
        ("-5 (Input/output error)", "could not be locked or mapped", "See the errno"),
    ],
)
def test_the_errno_of_a_mapping_tells_what_to_do(errno: str, means: str, advice: str) -> None:
    why = f"memory listener initialization failed: Region pc.ram: vfio_dma_map(0x5, 0x100000, 0x2000, 0x7) = {errno}"
    (found,) = findings(f"{NAMED}vfio 0000:0b:00.0: failed to setup container for group 17: {why}\n")
    assert shape([found]) == [("VFIO-013", "proven", "0000:0b:00.0", None, [1])]
    assert (means in found.summary, advice in found.advice, found.values["errno"]) == (True, True, int(errno.split()[0]))
    assert ("memlock" in found.advice) == (errno.split()[0] not in ("-22", "-28", "-14"))


def test_the_line_above_has_the_errno_that_the_call_lost() -> None:
    text = "qemu-system-x86_64: VFIO_MAP_DMA failed: Invalid argument\n" + MAP.format("", "-2 (No such file or directory)")
    assert findings(text) == []  # registers of another device: QEMU goes on
    (found,) = findings(text + STOPPED)
    assert (shape([found]), found.values["errno"]) == ([("VFIO-013", "proven", "host", None, [1, 2, 3])], -22)
    assert found.summary.startswith("QEMU ended")


def test_a_mapping_alone_does_not_say_that_the_guest_had_no_device() -> None:
    (found,) = findings("2026-01-02T08:10:38.221320Z qemu-system-x86_64: VFIO_MAP_DMA failed: No space left on device\n")
    assert (shape([found]), found.values["errno"]) == ([("VFIO-013", "possible", "host", None, [1])], -28)
    assert "was not given" not in found.summary


@pytest.mark.parametrize("errno", ["-12 (Cannot allocate memory)", "-22 (Invalid argument)"])
def test_a_mapping_and_a_group_that_is_given_up(errno: str) -> None:
    given_up = "qemu-system-x86_64: vfio: failed to setup container for group 17\nqemu-system-x86_64: vfio: failed to get group 17\n"
    (found,) = findings(MAP.format("", errno) + given_up)
    assert shape([found]) == [("VFIO-013", "proven", "host", None, [1, 2, 3])]
    assert found.summary.startswith("a device was not given to its guest")


def test_what_comes_of_a_mapping_is_no_finding_of_its_own() -> None:
    assert findings(STOPPED) == []


TOKEN = "[   90.000001] vfio-pci 0000:03:10.2: {}\n"
REFUSED = "qemu-system-x86_64: -device vfio-pci,host=0000:03:10.2: vfio 0000:03:10.2: error getting device from group 14: {}\n"


@pytest.mark.parametrize("told", ["VF token required to access device", "Incorrect VF token provided for device"])
def test_a_vf_without_its_token(told: str) -> None:
    (found,) = findings(TOKEN.format(told) + REFUSED.format("Permission denied"))
    assert (shape([found]), found.values["kind"]) == ([("VFIO-013", "proven", "0000:03:10.2", None, [1, 2])], "token")
    assert "vf-token=" in found.advice


@pytest.mark.parametrize(("errno", "kind"), [("Permission denied", "token"), ("Device or resource busy", "group")])
def test_a_vf_of_a_captured_function_is_refused_for_its_token(errno: str, kind: str) -> None:
    captured = TOKEN.format("Captured SR-IOV VF 0000:03:10.2 driver_override").replace("03:10.2:", "03:00.0:")
    (found,) = findings(captured + REFUSED.format(errno))
    assert (found.values["kind"], [e.line for e in found.evidence]) == (kind, [2, 1] if kind == "token" else [2])


def test_no_model_of_an_iommu_and_its_effects() -> None:
    option = "qemu-system-x86_64: -device vfio-pci,host=0b:00.0: vfio: "
    lines = ("No available IOMMU models", "failed to setup container for group 17", "failed to get group 17")
    (found,) = findings("".join(f"{option}{line}\n" for line in lines))
    assert (shape([found]), found.values["kind"]) == ([("VFIO-013", "proven", "0000:0b:00.0", None, [1, 2, 3])], "models")
    assert "vfio_iommu_type1" in found.advice
    assert findings(f"{option}{lines[1]}\n{option}{lines[2]}\n") == []


@pytest.mark.parametrize(
    ("line", "device"),
    [
        (NAMED + "vfio 0000:0b:00.0: hardware reports invalid configuration, MSIX PBA outside of specified BAR", "0000:0b:00.0"),
        ("acrn-dm: Failed to map PBA page for MSI-X on 11/0/1: Bad file descriptor", "0000:0b:00.1"),
        ("bhyve: Failed to map table page for MSI-X on 11/0/1: Invalid argument", "0000:0b:00.1"),
    ],
)
def test_a_table_that_the_manager_cannot_use(line: str, device: str) -> None:
    (found,) = findings(line + "\n")
    assert (shape([found]), found.values["kind"]) == ([("VFIO-013", "proven", device, None, [1])], "capability")


@pytest.mark.parametrize(
    ("line", "bdf"),
    [
        ("QMP command failed: vfio 0000:01:00.1: group 1 used in multiple address spaces: unknown", "0000:01:00.1"),
        (OPTION.format("09:00.0") + "vfio 0000:09:00.0: group 12 used in multiple address spaces", "0000:09:00.0"),
        ("EAL:   0000:05:00.0 cannot add VFIO group to container, error 22 (Invalid argument)", "0000:05:00.0"),
        ("EAL: cannot add vfio group to container, error 22 (Invalid argument)", None),
    ],
)
def test_a_group_that_its_container_does_not_take(line: str, bdf: str | None) -> None:
    (found,) = findings(f"{line}\n")
    assert (found.code, found.grade, found.severity, found.subject.bdf) == ("VFIO-013", "proven", "info", bdf)


def test_dpdk_that_finds_no_container_may_go_on_with_another_driver() -> None:
    assert (
        findings("EAL:   cannot open VFIO container, error 2 (No such file or directory)\nEAL: VFIO support could not be initialized\n")
        == []
    )
