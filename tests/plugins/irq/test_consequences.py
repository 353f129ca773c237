"""A refusal is as severe as what it led to; what explains a silence stands above it."""

import pytest

from tracekit.testing import findings, shape

BLOCKED = "DMAR: [INTR-REMAP] Request device [f0:1f.7] fault index 0x0 [fault reason 0x25] Blocked a compatibility format interrupt request"
PANIC = "Kernel panic - not syncing: timer doesn't work through Interrupt-remapped IO-APIC"
REFUSED = "nvme 0000:01:00.0: Failed to enable MSI-X: -28"


def line(at: float, message: str) -> str:
    return f"[{at:12.6f}] {message}\n"


@pytest.mark.parametrize("message", [BLOCKED, REFUSED])
@pytest.mark.parametrize(
    ("panic", "after"),
    [
        (PANIC, 0.1),
        ("Kernel panic - not syncing: IO-APIC + timer doesn't work!", 1.5),
        ("Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)", 30),
    ],
)
def test_a_panic_right_after_a_refusal_makes_it_critical(message: str, panic: str, after: float) -> None:
    (found,) = (f for f in findings(line(0.5, message) + line(0.5 + after, panic)) if f.code != "IRQ-007")  # the silent timer itself
    assert (found.severity, [e.line for e in found.evidence]) == ("critical", [1, 2])


@pytest.mark.parametrize("message", [BLOCKED, REFUSED])
@pytest.mark.parametrize(
    ("panic", "after"),
    [
        ("Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009", 20),  # another story
        (PANIC, 300),
        ("Kernel panic - not syncing: sysrq triggered crash", -0.1),  # before it
        ("Kernel panic - not syncing: sysrq triggered crash", 0.1),  # forced
        ("Kernel panic - not syncing: Fatal exception", 1.5),  # an Oops
        ("Kernel panic - not syncing: Fatal exception in interrupt", 0.5),  # one in a handler
        ("Kernel panic - not syncing: Aiee, killing interrupt handler!", 0.5),
    ],
)
def test_a_panic_of_another_time_is_not_its_consequence(message: str, panic: str, after: float) -> None:
    lines = sorted([(200.5, message), (200.5 + after, panic)])
    assert "critical" not in [f.severity for f in findings("".join(line(*x) for x in lines))]


NO_ROOT = "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"


@pytest.mark.parametrize(
    ("driver", "severity"),
    [
        *[(name, "critical") for name in ("nvme", "ahci", "megaraid_sas", "mpt3sas", "virtio-pci", "xhci_hcd", "vmd", "qla2xxx")],
        *[(name, "medium") for name in ("alx", "ixgbe", "snd_hda_intel", "i915", "virtio_net", "iwlwifi", "satellite", "nic_mptcp")],
    ],
)
def test_no_root_is_of_a_device_that_the_root_may_be_behind(driver: str, severity: str) -> None:
    text = line(20, f"{driver} 0000:01:00.0: Failed to enable MSI-X: -28") + line(50, NO_ROOT)
    assert [(f.code, f.severity) for f in findings(text)] == [("MSI-004", severity)]


@pytest.mark.parametrize("message", [BLOCKED, REFUSED])
def test_a_panic_with_an_earlier_stamp_is_of_another_boot(message: str) -> None:
    assert "critical" not in [f.severity for f in findings(line(20, message) + line(1.5, NO_ROOT))]


def test_a_panic_of_the_next_boot_is_not_its_consequence() -> None:
    text = line(0.0, "Linux version 6.1.0") + line(0.5, BLOCKED) + line(0.0, "Linux version 6.1.0") + line(0.6, PANIC)
    found = {f.severity: [e.line for e in f.evidence] for f in findings(text) if f.code == "IRQ-003"}
    assert found == {"low": [2], "critical": [4]}, "each boot's own"


FAULT = "DMAR: [INTR-REMAP] Request device [01:00.0] fault index 0x20 [fault reason 0x22] Present field in the IRTE entry is clear"
NAMED = "nvme nvme0: pci function 0000:01:00.0"
POLLED = "nvme nvme0: I/O 7 QID 3 timeout, completion polled"


AMD = "nvme 0000:01:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0012 address=0xfffffffdf8020000 flags=0x0008]"
SMMU = "arm-smmu-v3 arm-smmu-v3.0.auto: event: F_TRANSLATION client: 0000:01:00.0 sid: 0x100 ssid: 0x0 iova: 0x8090040"


@pytest.mark.parametrize("fault", [AMD, SMMU])
def test_so_does_one_that_amds_or_arms_refused(fault: str) -> None:
    told = [(f.code, f.explained_by) for f in findings(line(20, NAMED) + line(100, fault) + line(130, POLLED))]
    assert told == [("IRQ-003", None), ("IRQ-007", "IRQ-003")]
    other = fault.replace("0000:01:00.0", "0000:02:00.0")
    assert ("IRQ-007", None) in [(f.code, f.explained_by) for f in findings(line(20, NAMED) + line(100, other) + line(130, POLLED))]


def test_advice_about_a_guess_begins_with_the_question_whether_it_is_right() -> None:
    (guess,) = findings(line(20, "foo 0000:01:00.0 eth0: Potential MSIX issue on Tx side Queue = 3"))
    (sure,) = findings(line(20, POLLED))
    assert (guess.grade, guess.advice.startswith("Only a guess")) == ("possible", True)
    assert (sure.grade, sure.advice.startswith("The work was done")) == ("proven", True)


def test_a_message_that_the_iommu_refused_explains_the_silence_of_its_device() -> None:
    found = findings(line(20, NAMED) + line(100, FAULT) + line(130, POLLED))
    assert shape(found) == [("IRQ-003", "proven", "0000:01:00.0", None, [2]), ("IRQ-007", "proven", "nvme0", "IRQ-003", [1, 3])]


@pytest.mark.parametrize(
    "text",
    [
        line(20, NAMED.replace("01:00", "02:00")) + line(100, FAULT) + line(130, POLLED),  # another device's
        line(20, NAMED) + line(100, FAULT) + line(1300, POLLED),  # long before
        line(20, NAMED) + line(130, POLLED) + line(140, FAULT),  # after it
    ],
)
def test_a_refusal_of_another_device_or_time_explains_nothing(text: str) -> None:
    assert {f.explained_by for f in findings(text)} == {None}


FELL_BACK = [
    "igb 0000:01:00.0: Failed to initialize MSI-X interrupts.  Falling back to MSI interrupts.",
    "e1000e 0000:01:00.0 0000:01:00.0 (uninitialized): Failed to initialize MSI interrupts.  Falling back to legacy interrupts.",
]


@pytest.mark.parametrize("said", FELL_BACK)
@pytest.mark.parametrize(("gave_up", "told"), [(None, []), (-28, ["high"]), (-16, ["high"]), (-5, [])])
def test_a_fall_back_that_did_not_help_is_high(said: str, gave_up: int | None, told: list[str]) -> None:
    text = line(20, said) + (line(20.1, f"e1000e: probe of 0000:01:00.0 failed with error {gave_up}") if gave_up else "")
    found = [f for f in findings(text) if f.code != "VEC-001"]
    assert [(f.code, f.grade, f.severity) for f in found] == [("MSI-004", "probable", severity) for severity in told]


@pytest.mark.parametrize(
    "said",
    ["e1000e 0000:01:00.0 eth0: MSI interrupt test failed, using legacy interrupt.", "i40e 0000:01:00.0: MSI-X not available, trying MSI"],
)
def test_another_kind_that_no_failure_is_told_of_is_quiet(said: str) -> None:
    assert findings(line(20, said)) == []


@pytest.mark.parametrize(
    ("later", "severity"),
    [
        ("ixgbe 0000:01:00.0: Multiqueue Enabled: Rx Queue count = 6, Tx Queue count = 6 XDP Queue count = 0", "low"),
        ("igb 0000:01:00.0: Using MSI-X interrupts. 2 rx queue(s), 2 tx queue(s)", "low"),
        ("bnx2x 0000:01:00.0 eth2: using MSI-X  IRQs: sp 64  fp[0] 66 ... fp[7] 73", "low"),
        ("ixgbe 0000:01:00.0: Multiqueue Disabled: Rx Queue count = 1, Tx Queue count = 1 XDP Queue count = 0", "medium"),
        ("ixgbe 0000:02:00.0: Multiqueue Enabled: Rx Queue count = 6, Tx Queue count = 6 XDP Queue count = 0", "medium"),
    ],
)
@pytest.mark.parametrize("said", ["Failed to allocate MSI-X interrupts. Err: -28", "could not get 9 MSI-X vectors: -28"])
def test_vectors_that_a_later_try_got_lower_it(said: str, later: str, severity: str) -> None:
    assert [f.severity for f in findings(line(20, f"ixgbe 0000:01:00.0: {said}") + line(20.2, later))] == [severity]
    assert [f.severity for f in findings(line(20, later) + line(20.2, f"ixgbe 0000:01:00.0: {said}"))] == ["medium"]
