"""What the lines beside a fault say of it: a record beside its status, a device beside a time-out, flags beside a refusal."""

import pytest

from tracekit.testing import findings, run, shape

STATUS = "DMAR: DRHD: handling fault status reg {}"
MEMORY = "DMAR: [DMA Write] Request device [00:02.0] PASID ffffffff fault addr 0 [fault reason 02] Present bit in context entry is clear"
NONE = "DMAR: [INTR-REMAP] Request device [01:00.0] fault index 0x20 [fault reason 0x22] Present field in the IRTE entry is clear"
PANIC = "Kernel panic - not syncing: timer doesn't work through Interrupt-remapped IO-APIC"
WAIT = "AMD-Vi: Completion-Wait loop timed out"
UNANSWERED = "iommu ivhd0: AMD-Vi: Event logged [IOTLB_INV_TIMEOUT device=0000:0b:00.0 address=0x1002147e0]"


def log(*messages: str) -> str:
    return "".join(f"[{20 + n:12.6f}] {message}\n" for n, message in enumerate(messages))


def outcome(text: str, code: str) -> str:
    return next(o.outcome for o in run(text).outcomes if o.code == code)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ((STATUS.format(2),), "inconclusive"),
        ((STATUS.format(3), MEMORY), "clear"),
        ((STATUS.format(3), MEMORY, *["usb 1-1: reset"] * 20, STATUS.format(2)), "inconclusive"),
        ((STATUS.format(40),), "clear"),  # of the queue: no record is pending
        ((STATUS.format(102),), "inconclusive"),
    ],
)
def test_a_fault_interrupt_that_a_record_of_memory_explains_is_none_of_messages(messages: tuple[str, ...], expected: str) -> None:
    text = log("DMAR-IR: Enabled IRQ remapping in x2apic mode", *messages)
    assert (findings(text), outcome(text, "IRQ-003")) == ([], expected)


def test_a_timer_that_does_not_interrupt_stops_the_kernel() -> None:
    (found,) = findings(log(PANIC))
    assert (found.code, found.grade, found.severity, [e.line for e in found.evidence]) == ("IRQ-003", "probable", "critical", [1])
    assert [(f.code, f.severity) for f in findings(log(WAIT, PANIC))] == [("IRQ-008", "critical")]
    assert [(f.code, f.severity) for f in findings(log(NONE, PANIC))] == [("IRQ-003", "critical")]
    assert findings(log("Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009")) == []


def test_a_device_that_does_not_answer_an_iommu_of_amds_is_named() -> None:
    (alone,) = findings(log(UNANSWERED))
    assert shape([alone]) == [("IRQ-008", "possible", "IOMMU", None, [1])]
    (both,) = findings(log(UNANSWERED, WAIT, WAIT))
    assert both.values == {"count": 2, "devices": ["0000:0b:00.0"]}
    assert "0000:0b:00.0" in both.advice
    assert "intel_iommu" not in both.unchecked[0].would_settle
    (unnamed,) = findings(log(WAIT))
    assert unnamed.values["devices"] == []


def test_lines_of_one_error_of_a_queue_are_counted_once() -> None:
    error = ("DMAR: VT-d detected Invalidation Time-out Error: SID 100", "DMAR: Invalidation Time-out Error (ITE) cleared")
    (found,) = findings(log(*error))
    assert found.values == {"count": 1, "devices": ["0000:01:00.0"]}
    (old,) = findings(log(error[1]))
    assert old.values == {"count": 1, "devices": []}


@pytest.mark.parametrize(
    ("irq", "flags", "holder", "other", "said"),
    [
        (16, "00000080 (a)", "00000000", "b", "the two do not share it"),
        (16, "00000080 (a)", "00000084", "b", "both would share it, but their triggers differ"),
        (9, "00000088 (pinctrl_foo)", "00002080", "acpi", "both would share it, but ONESHOT differs"),  # the holder took the line's trigger
        (9, "00002088 (a)", "00000084", "b", "both would share it, but their triggers differ"),
        (39, "00002084 (PCIe bwctrl)", "00200084", "PCIe PME", "both would share it, but ONESHOT differs"),
        (14, "00200081 (a)", "00200081", "a", "it has it already and both would share it, but its trigger is set up another way"),
        (0, "00000080 (virtio418)", "00015a00", "timer", "irq 0 stands for none"),
        (16, "XXXX (a)", "00000080", "b", "the two do not share it"),
    ],
)
def test_flags_tell_why_two_do_not_go_together(irq: int, flags: str, holder: str, other: str, said: str) -> None:
    (found,) = findings(log(f"genirq: Flags mismatch irq {irq}. {flags} vs. {holder} ({other})"))
    assert (found.code, said in found.summary) == ("IRQ-010", True)


def test_a_gpu_that_the_lines_above_name() -> None:
    lines = (
        "NVRM: The NVIDIA GPU 0000:b3:00.0",
        "NVRM: (PCI ID: 10de:26b5) installed in this system has",
        "NVRM: fallen off the bus and is not responding to commands.",
    )
    assert shape(findings(log(*lines))) == [("IRQ-009", "proven", "0000:b3:00.0", None, [3])]
    assert shape(findings(log(lines[2]))) == [("IRQ-009", "proven", "an unnamed device", None, [1])]


def test_a_controller_that_is_set_up_again_is_not_gone() -> None:
    gone = "nvme nvme0: controller is down; will reset: CSTS=0xffffffff, PCI_STATUS={}"
    again = "nvme nvme0: 4/0/0 default/read/poll queues"
    assert [f.code for f in findings(log(gone.format("0x10")))] == ["IRQ-009"]
    assert findings(log(gone.format("0x10"), again)) == []
    assert [f.code for f in findings(log(gone.format("0xffff"), again))] == ["IRQ-009"]


def test_the_event_and_the_command_of_one_recovery_are_one() -> None:
    eqe = "mlx5_core 0000:42:00.2: mlx5_cmd_eq_recover:264:(pid 3390): Recovered 1 EQEs on cmd_eq"
    command = "mlx5_core 0000:42:00.2: wait_func_handle_exec_timeout:1051:(pid 3390): cmd0: CREATE_EQ(0x301) recovered after timeout"
    (found,) = findings(log(eqe, command))
    assert found.summary.startswith("1 completion of 0000:42:00.2")


def test_what_no_cpu_accepts_is_a_question() -> None:
    text = log("APIC error on CPU0: 00(08)", "APIC error on CPU1: 04(04)")
    assert (findings(text), outcome(text, "IRQ-004")) == ([], "inconclusive")
    assert outcome(log("APIC error on CPU0: 00(02)", "Linux version 6.1.0"), "IRQ-004") != "inconclusive"
    assert [f.code for f in findings(log("APIC error on CPU0: 00(40)"))] == ["IRQ-004"]


def test_a_stray_of_xen_is_settled_by_xen() -> None:
    (xen,) = findings("(XEN) CPU2: No irq handler for vector eb (IRQ -2147483648, LAPIC)\n")
    (linux,) = findings(log("do_IRQ: 2.232 No irq handler for vector"))
    assert [u.would_settle.startswith("xl ") for u in (xen.unchecked[1], linux.unchecked[1])] == [True, False]


def test_a_late_stray_is_not_called_harmless() -> None:
    (late,) = [
        f
        for f in findings(log("do_IRQ: 2.232 No irq handler for vector", "nvme nvme1: I/O 206 QID 6 timeout, reset controller"))
        if f.code == "IRQ-004"
    ]
    assert (late.severity, "harmless" in late.advice) == ("high", False)


def test_a_write_to_a_doorbell_as_xen_prints_it() -> None:
    words = ("0x0000000800000010", "0x0000008000000000", "0x0000000008090040", "0x0000000000000000")
    text = "(XEN) SMMUv3: /smmuv3@9050000: event 0x10 received:\n" + "".join(f"(XEN) SMMUv3: /smmuv3@9050000:  {w}\n" for w in words)
    (found,) = findings(text)
    assert (found.code, found.grade, found.values["iova"]) == ("IRQ-003", "probable", "0x8090040")
    assert findings(text.replace("08090040", "48090040")) == []


def test_a_record_that_a_mailer_broke() -> None:
    request = "DMAR: [INTR-REMAP] Request device [0xc9:0x05.0] fault index 0xa00"
    reason = "[fault reason 0x25] Blocked a compatibility format interrupt request"
    (found,) = findings(f"{STATUS.format(2)}\n{request}\n{reason}\n")
    assert (found.code, found.subject.label, found.values["reasons"]) == ("IRQ-003", "0000:c9:05.0", [0x25])
    assert (
        findings(f"{STATUS.format(2)}\nDMAR: [DMA Write] Request device [03:00.0] fault addr ffe65000\n[fault reason 02] Present bit\n")
        == []
    )


@pytest.mark.parametrize(
    ("iovas", "expected"),
    [
        (("0xffffe040", "0xffffe040"), "inconclusive"),
        (("0xffffe040", "0xffffd040"), "clear"),  # a buffer's
        (("0xffffe080",), "clear"),
    ],
)
def test_a_fault_where_a_doorbell_has_its_word_is_a_question(iovas: tuple[str, ...], expected: str) -> None:
    event = "arm-smmu-v3 arm-smmu-v3.0.auto: event: F_TRANSLATION client: 0000:01:00.0 sid: 0x100 ssid: 0x0 iova: {}"
    text = log(*(event.format(iova) for iova in iovas))
    assert findings(text) == []
    assert (outcome(text, "IRQ-003") == "inconclusive") is (expected == "inconclusive")


def test_msi_that_a_driver_switches_off_is_a_question() -> None:
    text = log("snd_hda_intel 0000:00:1f.3: No response from codec, disabling MSI: last cmd=0x20270503")
    assert (findings(text), outcome(text, "IRQ-007")) == ([], "inconclusive")
    other = log("snd_hda_intel 0000:00:1f.3: Codec #2 probe error; disabling it...")
    assert (findings(other), outcome(other, "IRQ-007")) == ([], "not evaluated")


def test_none_that_was_missed_is_none() -> None:
    assert findings(log("mlx5_core 0000:3b:00.0: health: recovered 0 missed interrupts")) == []
    assert [f.code for f in findings(log("mlx5_core 0000:3b:00.0: health: recovered 2 missed interrupts"))] == ["IRQ-007"]


@pytest.mark.parametrize(
    "text",
    [
        "bcm2708_spi.0: couldn't allocate a DMA channel",
        "usb 1-1: device lost its address, error -71",
        "md/raid1:md0: array lost its redundancy",
    ],
)
def test_words_that_are_no_carriers_of_interrupts_leave_no_doubt(text: str) -> None:
    assert not any("not understood" in d.text for d in run(log(text)).doubts)
    assert any("not understood" in d.text for d in run(log("qep 0000:01:00.0: ITS: cannot map the command, error -22")).doubts)


@pytest.mark.parametrize(
    ("all_ones", "others"),
    [
        (
            "r8169 0000:02:00.0 eth0: PCI error (cmd = 0xffff, status = 0xffff)",
            "r8169 0000:02:00.0 eth0: PCI error (cmd = 0x0006, status = 0x0010)",
        ),
        (
            "xhci_hcd 0000:6b:00.0: HW not ready after 5 sec (HC bug?) status = 0xffffffff",
            "xhci_hcd 0000:6b:00.0: HW not ready after 5 sec (HC bug?) status = 0x811",
        ),
    ],
)
def test_registers_of_all_ones_as_drivers_tell_them(all_ones: str, others: str) -> None:
    assert [f.code for f in findings(log(all_ones))] == ["IRQ-009"]
    assert findings(log(others)) == []


STRAY = "do_IRQ: 3.{} No irq handler for vector (irq -1)"


def test_a_stray_in_the_words_of_old_kernels() -> None:
    (found,) = findings(log("do_IRQ: cpu: 3 vector: 55 no irq handler for vector"))
    assert (*shape([found]), found.values["vectors"]) == (("IRQ-004", "proven", "host", None, [1]), ["3.55"])


USB = [f"usb 1-{n}: new high-speed USB device number {n}" for n in range(1, 9)]


@pytest.mark.parametrize("mark", ["kern  :emerg : ", ""])
def test_strays_that_are_printed_again_without_stamps_are_counted_once(mark: str) -> None:
    def told(below: tuple[int, ...], text: str = "") -> list[tuple[int, list[int]]]:
        again = "".join(f"{mark}{line}\n" for line in [*USB, *(STRAY.format(vector) for vector in below)])
        return [(f.values["count"], [e.line for e in f.evidence]) for f in findings(text + again)]

    stamped = log(*USB, STRAY.format(55), STRAY.format(56))
    assert told((55, 56), stamped) == [(2, [9, 10])]
    assert told((55, 57), stamped) == [(3, [9, 10, 20])]
    assert told((55, 56, 56), stamped) == [(3, [9, 10, 21])]
    assert told((55, 55)) == [(2, [9, 10])]
    (twice,) = findings(log(*USB, STRAY.format(55), STRAY.format(55)))
    assert twice.values["count"] == 2
