"""IRQ-006 and IRQ-010, who is behind a line; IRQ-003, ids that are no device's and entries that nobody used."""

from functools import partial

import kernel_log
import pytest
from kernel_log import BOOT, of

from tracekit.testing import findings, run, shape

log = partial(kernel_log.log, step=0.01)


# IRQ-006


def cared(irq: int, *handlers: str) -> list[str]:
    report = [
        f'irq {irq}: nobody cared (try booting with the "irqpoll" option)',
        "Call Trace:",
        " handle_fasteoi_irq+0x9c/0x150",
        "handlers:",
    ]
    return [*report, *(f"[<00000000b16d0a1c>] {h}" for h in handlers), f"Disabling IRQ #{irq}"]


@pytest.mark.parametrize(
    ("handlers", "names", "of_a_guest"),
    [
        (("vfio_intx_handler [vfio_pci_core]",), ["vfio_intx_handler"], True),
        (("vfio_intx_handler",), ["vfio_intx_handler"], True),
        (("i801_isr [i2c_i801]", "vfio_intx_handler [vfio_pci]"), ["i801_isr", "vfio_intx_handler"], True),
        (("i801_isr [i2c_i801]",), ["i801_isr"], False),
        (("(usb_hcd_irq+0x0/0x80)",), ["usb_hcd_irq"], False),
        (("irq_default_primary_handler threaded [<00000000cc33dd44>] i801_thread [i2c_i801]",), ["i801_thread"], False),
        (("irq_default_primary_handler",), ["irq_default_primary_handler"], False),
        (("foo_isr threaded [<00000000cc33dd44>] foo_thread",), ["foo_isr"], False),
    ],
)
def test_the_handlers_below_a_report_are_named(handlers: tuple[str, ...], names: list[str], of_a_guest: bool) -> None:
    (found,) = findings(log(*cared(31, *handlers)))
    lines = [1, 3, *range(5, 5 + len(handlers)), 5 + len(handlers)]
    assert shape([found]) == [("IRQ-006", "proven", "irq 31", None, lines)]
    assert (found.values["handlers"], "passed-through" in found.advice) == (names, of_a_guest)


def test_the_handlers_of_another_report_are_its_own() -> None:
    found = {
        f.subject.label: f.values["handlers"] for f in findings(log(*cared(31, "vfio_intx_handler"), *cared(16, "i801_isr [i2c_i801]")))
    }
    assert found == {"irq 31": ["vfio_intx_handler"], "irq 16": ["i801_isr"]}


@pytest.mark.parametrize(
    "frame", ["[<ffffffff810b3b4a>] handle_irq_event+0x3a/0x60", "[<c0b12d60>] (vfio_intx_handler) from [<c006b0f8>] (x+0x9/0xf)"]
)
def test_a_frame_of_a_stack_trace_is_no_handler(frame: str) -> None:
    (found,) = findings(log(cared(31)[0], frame, "Disabling IRQ #31"))
    assert "handlers" not in found.values


def test_a_frame_of_arm_names_the_flow_handler_as_its_caller() -> None:
    frame = "[<8014f1a0>] (handle_irq_event) from [<80152360>] ({}+0xe4/0x118)"
    told = {
        flow: findings(log(cared(31)[0], frame.format(flow)))[0].values["flow"] for flow in ("handle_level_irq", "handle_edge_irq", "foo")
    }
    assert told == {"handle_level_irq": "line", "handle_edge_irq": "edge", "foo": "unknown"}


# IRQ-010

MISMATCH = "genirq: Flags mismatch irq {}. {} ({}) vs. {} ({})"
OF_A_PORT = MISMATCH.format(39, "00002084", "PCIe bwctrl", "00200084", "PCIe PME")
SERVICE = "pcie_bwctrl 0000:00:1c.0:pcie010: probe with driver pcie_bwctrl failed with error {}"
NO_AER, OF_A_CARD = "pcieport 0000:00:1c.0: AER: request AER IRQ 39 failed", MISMATCH.format(17, "00000080", "foo", "00000000", "bar")
GAVE_UP = "foo: probe of 0000:07:00.0 failed with error {}"
VIRTIO, OF_VIRTIO = (
    "virtio-pci 0000:{}: virtio_pci: leaving for legacy driver",
    MISMATCH.format(0, "00000080", "virtio4", "00015a00", "timer"),
)


@pytest.mark.parametrize(
    ("messages", "subject", "severity", "lines"),
    [
        ([OF_A_PORT, SERVICE.format(-16)], "0000:00:1c.0", "low", [1, 2]),
        ([OF_A_PORT, NO_AER], "0000:00:1c.0", "low", [1, 2]),
        ([OF_A_CARD, "foo 0000:07:00.0: starting", GAVE_UP.format(-16)], "0000:07:00.0", "medium", [1, 3]),
        ([VIRTIO.format("b3:00.0"), OF_VIRTIO], "0000:b3:00.0", "low", [2]),
        ([VIRTIO.format("b2:00.0"), VIRTIO.format("b3:00.0"), OF_VIRTIO], "0000:b3:00.0", "low", [3]),
        # a remark, as before
        ([OF_A_CARD], "irq 17", "info", [1]),
        ([OF_A_CARD, GAVE_UP.format(-19)], "irq 17", "info", [1]),
        ([OF_A_PORT, NO_AER.replace("39", "40")], "irq 39", "info", [1]),
        ([GAVE_UP.format(-16), OF_A_CARD], "irq 17", "info", [2]),
        ([VIRTIO.format("b3:00.0"), *["usb 1-1: reset"] * 5, OF_VIRTIO], "irq 0", "info", [7]),
        ([VIRTIO.format("b3:00.0"), OF_A_CARD], "irq 17", "info", [2]),
    ],
)
def test_a_device_that_its_driver_gives_up_on_is_named(messages: list[str], subject: str, severity: str, lines: list[int]) -> None:
    (found,) = of("IRQ-010", log(*messages))
    assert (shape([found]), found.severity) == ([("IRQ-010", "proven", subject, None, lines)], severity)


def test_a_driver_that_gives_up_is_of_the_mismatch_right_above_it() -> None:
    found = {f.subject.label: f.severity for f in of("IRQ-010", log(OF_A_PORT, OF_A_CARD, GAVE_UP.format(-16)))}
    assert found == {"irq 39": "info", "0000:07:00.0": "medium"}
    late = log(OF_A_CARD) + log(GAVE_UP.format(-16), start=300)
    assert [f.severity for f in of("IRQ-010", late)] == ["info"]


def test_a_service_of_a_port_that_got_no_irq_is_understood_and_a_question_alone() -> None:
    for text, told in ((log(BOOT, OF_A_PORT, NO_AER), "found"), (log(BOOT, NO_AER), "inconclusive")):
        read = run(text)
        assert ([d for d in read.doubts if d.kind == "not understood"], next(o.outcome for o in read.outcomes if o.code == "IRQ-010")) == (
            [],
            told,
        )


# IRQ-003

OF_AMD = "iommu ivhd0: AMD-Vi: Event logged [INVALID_DEVICE_REQUEST device=0000:{} pasid=0x00000 address=0xfdf8000020 flags=0x0a00]"
OF_XEN = "(XEN) AMD-Vi: IO_PAGE_FAULT: 0000:{} d0 addr 000000fdf8010140 flags 0x8 I\n"
OF_INTEL = "DMAR: [INTR-REMAP] Request device [{}] fault index 0x20 [fault reason 0x22] Present field in the IRTE entry is clear"


@pytest.mark.parametrize(
    ("bdf", "severity"), [("00:00.1", "low"), ("00:14.0", "low"), ("00:14.3", "high"), ("40:00.1", "high"), ("01:00.0", "high")]
)
def test_ids_of_io_apics_on_amd_are_no_device(bdf: str, severity: str) -> None:
    for text in (log(OF_AMD.format(bdf), start=500), OF_XEN.format(bdf)):
        assert [(f.code, f.severity, f.subject.label) for f in findings(text)] == [("IRQ-003", severity, f"0000:{bdf}")]


def test_the_same_id_on_intel_is_a_device() -> None:
    assert [f.severity for f in findings(log(OF_INTEL.format("00:14.0"), start=500))] == ["high"]


ABSENT = "qemu-system-x86_64: vtd_irte_get: detected non-present IRTE (index={}, high=0xff00, low=0x100)\n"
FOREIGN = "qemu-system-x86_64: vtd_irte_get: invalid IRTE SID (index=4, sid=16, source_id=24)\n"


def test_an_entry_that_qemu_looked_up_is_no_proof_of_a_message() -> None:
    for index in (0, 7):
        (found,) = findings(ABSENT.format(index))
        assert (found.code, found.grade, found.severity, "refused" in found.summary) == ("IRQ-003", "possible", "low", False)
    for text in (FOREIGN, FOREIGN + ABSENT.format(0)):
        (found,) = findings(text)
        assert (found.code, found.grade, found.severity) == ("IRQ-003", "probable", "high")


HEAD = "arm-smmu-v3 arm-smmu-v3.0.auto: event 0x10 received:"


@pytest.mark.parametrize("word", ["0x00000180 00000010", "0x0000018000000010"])
def test_a_word_of_an_smmu_whose_halves_stand_apart(word: str) -> None:
    words = (word, "0x0000020000000000", "0x0000000008090040", "0x0000000000000000")
    (found,) = findings(log(HEAD, *(f"arm-smmu-v3 arm-smmu-v3.0.auto: {w}" for w in words)))
    assert shape([found]) == [("IRQ-003", "probable", "host", None, [1])]
    assert "of stream 0x180 to 0x8090040" in found.summary
