"""Vector and table shortages as kernel logs tell them: VEC-001 without a trace, VEC-003, VEC-004, VEC-005, VEC-006."""

import pytest

from tracekit.testing import findings, outcome, run, shape, tables

OVERCOMMIT = "Interrupt reservation exceeds available resources"
REFUSED = "e1000e 0000:03:00.0 enp3s0: Unable to allocate interrupt, Error: -28"
PROBE = "nvme nvme7: Removing after probe failure status: -28"


def log(*messages: str) -> str:
    return "".join(f"[{12 + i:5d}.{i:06d}] {m}\n" for i, m in enumerate(messages))


def test_drivers_that_fail_after_the_overcommit_are_a_probable_exhaustion() -> None:
    found = findings(log("nvme nvme7: pci function 0000:41:00.0", OVERCOMMIT, PROBE, REFUSED))
    assert shape(found) == [("VEC-001", "probable", "host", None, [2, 3, 4]), ("VEC-003", "proven", "host", "VEC-001", [2])]
    assert found[0].values["devices"] == ["0000:41:00.0", "0000:03:00.0"]


def test_the_overcommit_alone_is_no_exhaustion() -> None:
    text = log(OVERCOMMIT, "e1000e 0000:03:00.0 enp3s0: Failed to initialize MSI-X interrupts.  Falling back to MSI interrupts.")
    assert shape(findings(text)) == [("VEC-003", "proven", "host", None, [1])]
    assert outcome(run(text), "VEC-001").outcome == "inconclusive"


def test_one_refused_request_is_only_possible() -> None:
    assert shape(findings(log("virtio_blk virtio4: 1/0/0 default/read/poll queues", "vp_find_vqs_msix return err=-28 <- here"))) == [
        ("VEC-001", "possible", "host", None, [2])
    ]


def test_without_the_overcommit_a_probe_counts_only_right_behind_a_refusal() -> None:
    sound = "snd_hda_intel: probe of 0000:00:1f.3 failed with error -28"
    near, far = (findings(log(REFUSED, *(["r8169 0000:02:00.0: text"] * n), sound))[0].values["devices"] for n in (0, 9))
    assert (near, far) == (["0000:03:00.0", "0000:00:1f.3"], ["0000:03:00.0"])


def test_a_refusal_before_the_overcommit_is_not_explained_by_it() -> None:
    assert [(f.code, f.grade) for f in findings(log(PROBE, REFUSED, OVERCOMMIT))] == [("VEC-001", "possible"), ("VEC-003", "proven")]


@pytest.mark.parametrize(
    "message",
    [
        "nouveau 0000:01:00.0: DRM: failed to initialise sync subsystem, -28",
        "nouveau: probe of 0000:01:00.0 failed with error -28",
        "usb 1-1.4: Not enough bandwidth for new device state.",
        "xhci_hcd 0000:00:14.0: ERROR: unexpected setup context command completion code 0x11, -28",
        "EXT4-fs error (device sda1): No space left on device -28",
        "e1000e 0000:03:00.0 enp3s0: Unable to allocate interrupt, Error: -12",
        "rtc_cmos 00:02: setting system clock to 2020-07-28T07:49:15 UTC",
        "i40e 0000:01:00.0: irq 102 for MSI/MSI-X",
    ],
)
def test_other_uses_of_the_errno_and_the_words_are_quiet(message: str) -> None:
    assert findings(log("Linux version 6.1.0", message, message)) == []


def test_a_probe_failure_says_nothing_about_interrupts_even_after_the_overcommit() -> None:
    assert [f.code for f in findings(log(OVERCOMMIT, PROBE, "virtio_blk: probe of virtio2 failed with error -28"))] == ["VEC-003"]


@pytest.mark.parametrize(
    "message", ["DMAR-IR: IR3: can't allocate an IRTE", "DMAR-IR: Failed to allocate IRTE", "AMD-Vi: Failed to allocate IRTE"]
)
def test_a_full_remapping_table(message: str) -> None:
    assert shape(findings(log(message))) == [("VEC-005", "proven", "host", None, [1])]


def test_a_full_table_is_not_also_a_vector_exhaustion() -> None:
    assert [f.code for f in findings(log("DMAR-IR: Failed to allocate IRTE", REFUSED))] == ["VEC-005"]


def test_an_io_apic_entry_is_no_device() -> None:
    text = log("Failed to allocate IRTE for ioapic 2")
    assert findings(text) == []
    assert outcome(run(text), "VEC-005").outcome == "clear"


def test_affinity_broken() -> None:
    found = findings(
        log("irq 77: Affinity broken due to vector space exhaustion.", "APIC: irq 78: Affinity broken due to vector space exhaustion.")
    )
    assert shape(found) == [("VEC-004", "proven", "host", None, [1, 2])]
    assert found[0].severity == "low"


def test_an_affinity_that_a_user_set_is_quiet() -> None:
    assert findings(log("IRQ 77: no longer affine to CPU3", "irq 77: set affinity by user")) == []


@pytest.mark.parametrize("message", ["Managed startup irq 41, no vector available", "Managed startup for irq 41, but no CPU"])
def test_a_managed_irq_that_could_not_start(message: str) -> None:
    assert shape(findings(log(message))) == [("VEC-006", "proven", "host", None, [1])]


@pytest.mark.parametrize(
    "message",
    [
        "igb 0000:03:00.0: Error -28 getting interrupt",
        "ixgbe 0000:03:00.0 eth2: request_irq failed, Error -28",
        "iavf 0000:03:00.0 eth2: Request_irq failed, error: -28",
        "ice 0000:03:00.0 eth2: MSIX request_irq failed, error: -28",
        "ixgbe 0000:03:00.0: request_irq for msix_lsc failed: -28",
        "mlx5_core 0000:03:00.0: mlx5_irq_request:212:(pid 22): Failed to request irq. err = -28",
        "bnxt_en 0000:03:00.0 eth2: bnxt_request_irq err: ffffffe4",
    ],
)
def test_drivers_in_their_own_words(message: str) -> None:
    assert shape(findings(log(OVERCOMMIT, PROBE, message)))[0] == ("VEC-001", "probable", "host", None, [1, 2, 3])


@pytest.mark.parametrize(
    ("vectors", "room", "miscounted"),
    [(116, 85, False), (201, 0, False), (4294967295, 85, True), (65530, 589, True), (3, 4294967290, True)],
)
def test_a_cpu_that_cannot_go_offline(vectors: int, room: int, miscounted: bool) -> None:
    text = f"[  901.000000] CPU 3 has {vectors} vectors, {room} available. Cannot disable CPU\n[  901.000100] Error taking CPU3 down: -28\n"
    (found,) = findings(text)
    assert (found.code, found.grade, found.values["miscounted"]) == ("VEC-007", "proven", miscounted)
    assert ("miscounts" in found.summary) is miscounted


def test_a_cpu_that_goes_offline_is_no_refusal() -> None:
    assert findings("[  901.000000] smpboot: CPU 31 is now offline\n[  902.000000] Error taking CPU7 down: -16\n") == []
    assert [f.code for f in findings("[  901.000000] Reserved vectors 96 > available 85. IRQ request may fail\n")] == ["VEC-003"]
    assert findings("[  901.000000] Reserved vectors 4294967291 > available 85. IRQ request may fail\n") == []


@pytest.mark.parametrize(
    ("line", "subject"),
    [
        ("e1000e 0000:00:06.0 eth0: Unable to allocate interrupt, Error: -28", "0000:00:06.0"),
        ("hns3 0000:7d:00.0: failed(-28) to allocate MSI/MSI-X vectors", "0000:7d:00.0"),
    ],
)
def test_a_request_that_a_driver_tells_of_is_its_devices(line: str, subject: str) -> None:
    assert tables(f"[    1.000000] {line}\n")["predictions"]["subject"].to_list() == [subject]


# Words of kernels before 4.15


BLOCK = "Unable to allocate 8 IRTE for PCI 0000:05:00.0"
TOO_LARGE = "DMAR-IR: Requested mask 3 exceeds the max invalidation handle mask value 0"


@pytest.mark.parametrize(
    ("messages", "found"),
    [
        ([BLOCK], [("VEC-005", "probable", "host", None, [1])]),
        (["IR1: can't allocate an IRTE", BLOCK], [("VEC-005", "proven", "host", None, [1, 2])]),
        ([TOO_LARGE, BLOCK], []),
        ([TOO_LARGE, *["usb 1-1: new device"] * 9, BLOCK], [("VEC-005", "probable", "host", None, [11])]),
    ],
)
def test_a_function_that_got_no_entries(messages: list[str], found: list[tuple[object, ...]]) -> None:
    assert shape(findings(log(*messages))) == found


def test_a_cpu_that_could_not_be_disabled() -> None:
    said = "CPU 3 disable failed: CPU has 90 vectors assigned and there are only 61 available."
    (found,) = findings(log("smpboot: CPU 2 is now offline", said))
    assert shape([found]) == [("VEC-007", "proven", "CPU 3", None, [2])]
    assert (found.severity, found.values["vectors"], found.values["available"]) == ("medium", 90, 61)


def test_an_irq_that_found_no_vector_elsewhere() -> None:
    said = "IRQ {} set affinity failed because there are no available vectors.  The device assigned to this IRQ is unstable."
    assert shape(findings(log(said.format(24), said.format(25)))) == [
        ("VEC-008", "proven", "irq 24", None, [1]),
        ("VEC-008", "proven", "irq 25", None, [2]),
    ]
    assert findings(log("Broke affinity for irq 24", "smpboot: CPU 3 is now offline")) == []
