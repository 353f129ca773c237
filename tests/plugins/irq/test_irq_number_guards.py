"""The numbers and sides of IRQ-001 to IRQ-010: how near, how many, of which device or log."""

import pytest

from tracekit.findings import Finding
from tracekit.testing import findings, outcome, run


def of(code: str, *texts: str) -> list[Finding]:
    return [f for f in findings(*texts) if f.code == code]


def log(*messages: str, start: float = 100, step: float = 1) -> str:
    return "".join(f"[{start + i * step:12.6f}] {m}\n" for i, m in enumerate(messages))


# IRQ-001


def handler(at: float, name: str = "vfio-msix[1](0000:41:00.0)") -> str:
    return f"          <idle>-0 [000] d.h1. {at:.9f}: irq_handler_entry: irq=61 name={name}\n"


def injection(at: float, vector: int = 49) -> str:
    return f"          <idle>-0 [000] d.h1. {at:.9f}: kvm_msi_set_irq: dst 2 vec {vector} (Fixed|physical|edge)\n"


def delivered(count: int, name: str = "vfio-msix[1](0000:41:00.0)", after: float = 0.00002) -> str:
    """So many interrupts a second apart, each followed by its injection."""
    return "".join(handler(10 + i, name) + injection(10 + i + after) for i in range(count))


def trace(*parts: str) -> str:
    return "# tracer: nop\n#\n" + "".join(parts)


OTHERS = injection(50, 99)  # another vector's, to the end


@pytest.mark.parametrize(("name", "found"), [("vfio-msix[1](0000:41:00.0)", 1), ("vfio-msi[0](0000:41:00.0)", 1), ("nvme0q1", 0)])
def test_a_handler_of_the_hosts_own_driver_injects_nothing(name: str, found: int) -> None:
    told = of("IRQ-001", trace(delivered(9, name), handler(30, name), OTHERS))
    assert [(f.subject.label, f.values["vector"]) for f in told] == [("0000:41:00.0", name)] * found


@pytest.mark.parametrize(("after", "found"), [(0.001, 1), (0.001000001, 0)])
def test_an_injection_comes_within_a_millisecond(after: float, found: int) -> None:
    assert len(of("IRQ-001", trace(delivered(9, after=after), handler(30), OTHERS))) == found


@pytest.mark.parametrize(("step_us", "more_us", "found"), [(1_001_000, 0, 1), (1_000_000, 0, 0), (1_000_000, 1000, 1)])
def test_stamps_that_may_be_of_whole_seconds_pair_nothing(step_us: int, more_us: int, found: int) -> None:
    """The latency format prints microseconds as one number; these are of whole milliseconds, or of whole seconds: all, or all but the last."""
    entry, route = "irq_handler_entry: irq=61 name=vfio-msix[1](0000:41:00.0)", "kvm_msi_set_irq: dst 2 vec {} (Fixed|physical|edge)"
    events = [(i, e) for i in range(10, 19) for e in (entry, route.format(49))] + [(30, entry), (50, route.format(99))]
    stamped = [(i * step_us + (more_us if i == 30 else 0), e) for i, e in events]
    text = trace(*(f"  <idle>-0       0d.h1. {at:9d}us : {e}\n" for at, e in stamped))
    assert len(of("IRQ-001", text)) == found


@pytest.mark.parametrize(
    ("next_injection", "next_handler", "last", "found"),
    [
        (31, 31, 50, 1),
        (30.1, 31, 50, 0),  # a merge may still be under way for 100 ms
        (30.100000001, 31, 50, 1),
        (31, 30.1, 50, 0),
        (31, 30.100000001, 50, 1),
        (None, None, 50, 1),
        (None, None, 30.1, 0),  # the recording ends too early
        (None, None, 30.100000001, 1),
    ],
)
def test_a_lost_interrupt_is_alone_for_100_ms(next_injection: float | None, next_handler: float | None, last: float, found: int) -> None:
    later = [(at, line(at)) for at, line in ((next_injection, injection), (next_handler, handler)) if at is not None]
    text = trace(delivered(9), handler(30), *(line for _, line in sorted(later)), injection(last, 99))
    lost = [line for f in of("IRQ-001", text) for line in [e.line for e in f.evidence]]
    assert lost.count(21) == found


@pytest.mark.parametrize(
    "line",
    [
        "CPU:0 [LOST 303 EVENTS]\n",
        "          <idle>-0 [000] d.h1.    40.000000: kvm_pi_irte_update: PI is enabled and being updated for irq 61, vcpu 0, gsi: 0x18, gvec: 0x31, pi_desc_addr: 0x1234000\n",
    ],
)
def test_a_recording_with_gaps_or_posted_interrupts_proves_no_loss(line: str) -> None:
    lost = (delivered(9), handler(30), OTHERS)
    assert of("IRQ-001", trace(*lost, line)) == []
    assert outcome(run(trace(*lost, line)), "IRQ-001").outcome == "inconclusive"
    assert len(of("IRQ-001", trace(*lost), trace(line))) == 1  # another log


def test_each_vector_is_judged_by_itself_and_an_injection_of_another_log_is_none() -> None:
    second = "vfio-msix[2](0000:41:00.0)"
    assert outcome(run(trace(delivered(9), handler(30, second), injection(30.00002, 50))), "IRQ-001").outcome == "clear"
    lost = trace(delivered(9), handler(30), OTHERS)
    assert len(of("IRQ-001", lost, trace(injection(30.00002)))) == 1


@pytest.mark.parametrize("count", [24, 25])
def test_at_most_24_lost_interrupts_are_shown(count: int) -> None:
    (f,) = of("IRQ-001", trace(delivered(9), *(handler(20 + i) for i in range(count)), injection(90, 99)))
    assert (f.values["lost"], len(f.evidence)) == (count, 24)


# IRQ-003

DOORBELL = "arm-smmu-v3 arm-smmu-v3.0.auto: event: F_TRANSLATION client: {} sid: {} ssid: 0x0 iova: 0x{:x} ipa: 0x0"


@pytest.mark.parametrize(("iova", "found"), [(0x7FFFFFF, 0), (0x8000000, 1), (0x80FFFFF, 1), (0x8100000, 0)])
def test_doorbells_are_in_a_window_of_one_mebibyte(iova: int, found: int) -> None:
    assert len(of("IRQ-003", log(DOORBELL.format("0000:01:00.0", "0x100", iova)))) == found


@pytest.mark.parametrize("count", [4, 5])
def test_at_most_four_addresses_of_doorbells_are_named(count: int) -> None:
    (f,) = of("IRQ-003", log(*(DOORBELL.format("0000:01:00.0", "0x100", 0x8000040 + n) for n in range(count))))
    assert (f.values["count"], f.values["iova"]) == (count, "0x8000040, 0x8000041, 0x8000042, 0x8000043")


def test_writes_to_doorbells_are_told_by_device_or_stream() -> None:
    text = log(
        *(DOORBELL.format(*x, 0x8000040) for x in (("0000:01:00.0", "0x100"), ("(unassigned sid)", "0x200"), ("0000:01:00.0", "0x100")))
    )
    told = [(f.subject.label, f.values["count"], [e.line for e in f.evidence]) for f in of("IRQ-003", text)]
    assert told == [("0000:01:00.0", 2, [1, 3]), ("host", 1, [2])]
    assert "of stream 0x200 to" in of("IRQ-003", text)[1].summary


@pytest.mark.parametrize(
    ("name", "function", "told"),
    [
        ("dmar0", None, True),
        ("dmar12", None, True),
        ("dmar0-qi", None, False),
        ("i915", "dmar_fault", True),
        ("i915", "dmar_enable", False),
    ],
)
def test_only_the_handler_of_a_remapping_unit_asks_for_the_kernel_log(name: str, function: str | None, told: bool) -> None:
    text = trace(handler(1, name), *([f"  modprobe-9 [000] .....  2.000000: k: ({function}+0x0/0x60)\n"] if function else []))
    assert (outcome(run(text), "IRQ-003").outcome == "inconclusive") is told


# IRQ-004

STRAY = "__common_interrupt: 3.{} No irq handler for vector"
SPURIOUS = "Spurious interrupt (vector 0x{:x}) on CPU#1. Acked"
ABORTED = "nvme nvme0: I/O 8 QID 1 timeout, aborting"


@pytest.mark.parametrize("count", [6, 7])
def test_at_most_six_places_of_strays_are_named(count: int) -> None:
    numbers = range(40, 40 + count)
    (f,) = of("IRQ-004", log(*(STRAY.format(n) for n in numbers)))
    places = [f"3.{n}" for n in numbers]
    assert f.summary == f"{count} interrupts without an irq at CPU.vector {', '.join(places[:6])}"
    assert f.values["vectors"] == places
    (f,) = of("IRQ-004", log(*(SPURIOUS.format(n) for n in numbers)))
    assert f.summary == f"{count} spurious interrupts at vector {', '.join(f'0x{n:x}' for n in list(numbers)[:6])}, which no irq has"
    (f,) = of("IRQ-004", log(*(f"APIC error on CPU{n}: 00(40)" for n in numbers)))
    assert f.summary.startswith(f"the local APIC of CPU {', '.join(str(n) for n in list(numbers)[:6])} received an illegal vector")


@pytest.mark.parametrize(
    ("vector", "grade", "late"), [(0xEE, "low", 0), (0xEF, "high", 1), (0xF0, "low", 0), (0xFE, "low", 0), (0xFF, None, 0)]
)
def test_only_0xef_is_the_placeholder_and_0xff_the_apics_own(vector: int, grade: str | None, late: int) -> None:
    told = [(f.severity, f.values["timeouts"]) for f in of("IRQ-004", log(SPURIOUS.format(vector), ABORTED))]
    assert told == ([(grade, late)] if grade else [])


@pytest.mark.parametrize(
    ("stray", "begin", "end", "late"),
    [
        (SPURIOUS.format(0xEF), "10:00:00", "10:05:00", 1),
        (SPURIOUS.format(0xEF), "10:00:00", "10:05:00.000000001", 0),
        (SPURIOUS.format(0xEF), "10:00:00.000000001", "10:00:00", 0),  # a clock that was set back
        (STRAY.format(34), "10:00:00", "10:01:05", 1),
        (STRAY.format(34), "10:00:00", "10:01:05.000000001", 0),
        (STRAY.format(34), "10:00:00", "10:00:00", 1),
    ],
)
def test_a_time_out_follows_the_placeholder_within_300_s_and_another_vector_within_65(stray: str, begin: str, end: str, late: int) -> None:
    text = "".join(f"2026-03-01T{at}Z host kernel: {m}\n" for at, m in ((begin, stray), (end, ABORTED)))
    assert [f.values["timeouts"] for f in of("IRQ-004", text)] == [late]


def test_a_time_out_of_another_log_or_above_the_stray_is_none_of_its_own() -> None:
    for stray in (STRAY.format(34), SPURIOUS.format(0xEF)):
        assert [f.values["timeouts"] for f in of("IRQ-004", log(stray), log("x", ABORTED))] == [0]
        assert [f.values["timeouts"] for f in of("IRQ-004", log(ABORTED, stray, step=0))] == [0]
        assert [f.values["timeouts"] for f in of("IRQ-004", f"{stray}\n{ABORTED}\n")] == [1]  # no stamps: by its place
        assert [f.values["timeouts"] for f in of("IRQ-004", f"{stray}\n{log(ABORTED)}")] == [1]


# IRQ-005

MSIX_ON = ("pci_cfg_write edu 00:09.0 @0x42 <- 0x8000", "msix_write_config dev edu enabled 1 masked 0")
MSIX_OFF = ("pci_cfg_write edu 00:09.0 @0x42 <- 0x0", "msix_write_config dev edu enabled 0 masked 0")


@pytest.mark.parametrize("count", [4, 5])
def test_at_most_four_values_of_the_command_register_are_named(count: int) -> None:
    values = [0x100 + n for n in (0, 1, 2, 3, 8)][:count]  # bit 2 is clear in all of them
    writes = [f"pci_cfg_write edu 00:09.0 @0x4 <- 0x{v:x}" for v in values]
    (f,) = of("IRQ-005", "".join(f"{line}\n" for line in (writes[0], *MSIX_ON, *writes[1:], *MSIX_OFF)))
    assert (f.values["command"], "(command register 0x100, 0x101, 0x102, 0x103)" in f.summary) == (values, True)


@pytest.mark.parametrize(
    ("access", "found"),
    [
        ("pci_cfg_write edu 00:09.0 @0x4 <- 0x3", 1),
        ("pci_cfg_read edu 00:09.0 @0x4 -> 0x3", 1),
        ("pci_cfg_write edu 00:09.0 @0x5 <- 0x3", 0),
    ],
)
def test_the_command_register_is_at_offset_4(access: str, found: int) -> None:
    assert len(of("IRQ-005", "".join(f"{line}\n" for line in (access, *MSIX_ON, *MSIX_OFF)))) == found


# IRQ-006


def cared(irq: int, *frames: str) -> tuple[str, ...]:
    return (f'irq {irq}: nobody cared (try booting with the "irqpoll" option)', *(f" {f}+0x8d/0x1a0" for f in frames))


OFF = "Disabling IRQ #{}"


@pytest.mark.parametrize(("below", "switched_off"), [(120, True), (121, False)])
def test_a_report_is_at_most_120_lines_long_where_stamps_do_not_tell(below: int, switched_off: bool) -> None:
    text = "\n".join((*cared(16), *["x"] * (below - 1), OFF.format(16)))
    assert [f.values["switched_off"] for f in of("IRQ-006", text)] == [switched_off]


@pytest.mark.parametrize(("ms", "switched_off"), [(1000, True), (1000.5, False)])
def test_a_longer_report_ends_within_a_second(ms: float, switched_off: bool) -> None:
    text = log(*cared(16), *["x"] * 130, step=0) + log(OFF.format(16), start=100 + ms / 1000)
    assert [f.values["switched_off"] for f in of("IRQ-006", text)] == [switched_off]


def test_each_irq_that_nobody_claims_has_its_own_report() -> None:
    text = log(*cared(16, "handle_fasteoi_irq"), OFF.format(17), *cared(17, "handle_edge_irq"), OFF.format(17), *cared(16), step=400)
    told = [
        (f.values["irq"], f.values["count"], f.values["switched_off"], [(e.line, e.role) for e in f.evidence]) for f in of("IRQ-006", text)
    ]
    assert told == [
        (16, 2, False, [(1, "cause"), (2, "context"), (7, "cause")]),
        (17, 1, True, [(4, "cause"), (5, "context"), (6, "effect")]),
    ]


# IRQ-007


@pytest.mark.parametrize("count", [8, 9])
def test_at_most_eight_devices_are_named(count: int) -> None:
    names = ", ".join(f"nvme{n}" for n in range(8))
    polled = "nvme nvme{}: I/O 1 QID {} timeout, completion polled"
    (f,) = of("IRQ-007", log(*(polled.format(n, n + 1) for n in range(count)), step=0))
    assert (f"of {count} devices ({names})" in f.summary, len(f.values["devices"])) == (True, count)
    (f,) = of("IRQ-007", log(*(f"nvme nvme{n}: I/O 1 QID 5 timeout, aborting" for n in range(count)), step=0))
    assert (f"timed out on {names} within seconds" in f.summary, len(f.values["devices"])) == (True, count)


WATCHDOG = "NETDEV WATCHDOG: CPU: 3: transmit queue 5 timed out 5004 ms"


def test_interfaces_that_are_not_named_are_not_several() -> None:
    result = run(log(f"e1000e 0000:00:06.0 eth0: {WATCHDOG}", WATCHDOG))
    assert (result.errors, [f for f in result.findings if f.code == "IRQ-007"]) == ((), [])
    (f,) = of("IRQ-007", log(f"e1000e 0000:00:06.0 eth0: {WATCHDOG}", f"e1000e 0000:00:07.0 eth1: {WATCHDOG}"))
    assert f.values["devices"] == ["eth0", "eth1"]
    (f,) = of("IRQ-007", log(*(f"NETDEV WATCHDOG: eth{n} (e1000e): transmit queue 5 timed out" for n in (2, 3))))
    assert f.values["devices"] == ["eth2", "eth3"]
    (f,) = of("IRQ-007", log(*(f"e1000e 0000:00:0{n}.0: {WATCHDOG}" for n in (6, 7))))
    assert f.values["devices"] == ["0000:00:06.0", "0000:00:07.0"]


FAULT = "DMAR: [INTR-REMAP] Request device [01:00.0] fault index 0x20 [fault reason 0x22] Present field in the IRTE entry is clear"
NAMED = "nvme nvme0: pci function 0000:01:00.0"
POLLED = "nvme nvme0: I/O 7 QID 3 timeout, completion polled"


@pytest.mark.parametrize(("after", "explained"), [(90, "IRQ-003"), (90.0005, None)])
def test_a_refused_message_explains_a_silence_that_is_found_within_90_s(after: float, explained: str | None) -> None:
    text = log(NAMED, FAULT, start=19) + log(POLLED, start=20 + after)
    assert [f.explained_by for f in of("IRQ-007", text)] == [explained]


def test_a_refusal_explains_nothing_where_the_device_is_not_named() -> None:
    unnamed = FAULT.replace("01:00.0", "xx:xx.x")
    assert [f.explained_by for f in of("IRQ-007", log(unnamed, POLLED))] == [None]


@pytest.mark.parametrize(
    ("other", "bdf"),
    [
        (None, "0000:01:00.0"),
        ("vfio_pci_set_irqs", None),
        ("qemu", None),
    ],
)
def test_a_function_that_a_guest_names_is_not_the_hosts(other: str | None, bdf: str | None) -> None:
    texts = {
        "vfio_pci_set_irqs": trace(
            "  qemu-9 [001] .....  77.000017: k_setirqs: (vfio_pci_set_irqs_ioctl+0x4/0xd0 [vfio_pci_core]) vdev=0xffff8881234a9000"
            " flags=0x24 index=2 start=0 count=4\n"
        ),
        "qemu": "qemu-system-x86_64: vfio: failed to enable vectors, -28\n",
    }
    (f,) = of("IRQ-007", log(NAMED, POLLED), *([texts[other]] if other else []))
    assert (f.subject.bdf, "0000:01:00.0" in f.subject.aliases) == (bdf, True)


@pytest.mark.parametrize(
    ("message", "told", "reason"),
    [
        (ABORTED, "clear", "drivers that looked after a time-out found no completed work"),
        (f"e1000e 0000:00:06.0 eth0: {WATCHDOG}", "inconclusive", "a transmit queue timed out; no line says whether its work was complete"),
    ],
)
def test_a_time_out_alone_is_no_silence(message: str, told: str, reason: str) -> None:
    result = outcome(run(log("Linux version 6.1.0", message, start=0)), "IRQ-007")
    assert (result.outcome, result.reason) == (told, reason)


@pytest.mark.parametrize(
    ("message", "aliases"),
    [
        (POLLED, ("0000:01:00.0",)),
        ("mlx5_core 0000:d8:00.1: mlx5_cmd_eq_recover:245:(pid 1416): Recovered 1 EQEs on cmd_eq", ()),
    ],
)
def test_a_function_is_another_name_of_a_device_that_has_a_name_of_its_own(message: str, aliases: tuple[str, ...]) -> None:
    assert [f.subject.aliases for f in of("IRQ-007", log(NAMED, message))] == [aliases]


# IRQ-008

SID = "DMAR: VT-d detected Invalidation Time-out Error: SID {:x}"


@pytest.mark.parametrize(("sid", "devices"), [(0, []), (1, ["0000:00:00.1"]), (0xFFFF, []), (0xFFFE, ["0000:ff:1f.6"]), (0x10000, [])])
def test_a_source_id_has_16_bits_and_0_is_none(sid: int, devices: list[str]) -> None:
    assert [f.values["devices"] for f in of("IRQ-008", log(SID.format(sid)))] == [devices]


@pytest.mark.parametrize("count", [4, 5])
def test_at_most_four_devices_that_do_not_answer_are_named(count: int) -> None:
    (f,) = of("IRQ-008", log(*(SID.format(0x100 * n) for n in range(1, count + 1))))
    assert f.summary.endswith("; 0000:01:00.0, 0000:02:00.0, 0000:03:00.0, 0000:04:00.0 did not answer")
    assert len(f.values["devices"]) == count


# IRQ-009


@pytest.mark.parametrize(
    ("said", "bdf"),
    [
        ("NVRM: Xid (PCI:0000:02:00): 79, pid=1234, GPU has fallen off the bus.", "0000:02:00.0"),
        ("NVRM: GPU 0000:02:00.1: GPU has fallen off the bus.", "0000:02:00.1"),
        ("NVRM: GPU at 0000:02:00.1 has failed. GPU has fallen off the bus.", "0000:02:00.1"),
    ],
)
def test_a_gpu_without_a_function_is_function_0(said: str, bdf: str) -> None:
    assert [f.subject.bdf for f in of("IRQ-009", log(said))] == [bdf]


GONE = "vfio-pci {}: Unable to change power state from D3cold to D0, device inaccessible"
STOPPED = "qemu-system-x86_64: vfio_err_notifier_handler({}) Unrecoverable error detected. Please collect any data possible and then kill the guest"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (STOPPED.format("0000:41:00.1"), "0000:41:00.1 does not answer: it reported a fatal error, for which QEMU stops its guest"),
        (
            "qemu-system-x86_64: ../hw/pci/pci.c:1500: pci_irq_handler: Assertion `0 <= irq_num && irq_num < PCI_NUM_PINS' failed.",
            "a device does not answer: its interrupt pin reads as none that exists, over which QEMU ended itself: its config space reads",
        ),
        (
            "igc 0000:41:00.1 eth1: PCIe link lost, device now detached",
            "0000:41:00.1 does not answer: it is off the bus or its registers read all ones",
        ),
    ],
)
def test_what_the_line_says_of_a_device_that_is_gone(line: str, what: str) -> None:
    (f,) = of("IRQ-009", f"{line}\n")
    assert f.summary.startswith(what)


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ((GONE.format("0000:84:00.0"), "NVRM: Xid 79: GPU has fallen off the bus."), [("0000:84:00.0", 2)]),
        (
            (GONE.format("0000:84:00.0"), GONE.format("0000:85:00.0"), "NVRM: Xid 79: GPU has fallen off the bus."),
            [("0000:84:00.0", 1), ("0000:85:00.0", 1), ("an unnamed device", 1)],
        ),
        (("NVRM: Xid 79: GPU has fallen off the bus.",), [("an unnamed device", 1)]),
    ],
)
def test_a_line_without_a_device_is_of_the_only_card(messages: tuple[str, ...], told: list[tuple[str, int]]) -> None:
    assert [(f.subject.label, f.values["count"]) for f in of("IRQ-009", log(*messages))] == told


# IRQ-010

MISMATCH = "genirq: Flags mismatch irq {}. 00000000 ({}) vs. 00000080 ({})"


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        (((8, "mmc0", "rtc0"),), [(8, "mmc0", "rtc0", 1)]),
        (((8, "mmc0", "rtc0"), (8, "mmc1", "rtc1")), [(8, "mmc1", "rtc1", 2)]),  # the last one as it is now
        (((16, "gpu", "usb"), (16, "smbus", "usb"), (16, "gpu", "usb")), [(16, "gpu, smbus", "usb", 3)]),
        (((8, "mmc0", "rtc0"), (9, "acpi", "i2c")), [(8, "mmc0", "rtc0", 1), (9, "acpi", "i2c", 1)]),
        (((16, "vfio-intx(0000:01:00.0)", "ehci_hcd:usb1"),), []),  # VFIO-012
        (((16, "", ""),), [(16, "a driver", "another one", 1)]),
    ],
)
def test_a_line_that_is_not_shared_is_told_of_each_irq(messages: tuple[tuple[object, ...], ...], told: list[tuple[object, ...]]) -> None:
    found = of("IRQ-010", log(*(MISMATCH.format(*m) for m in messages)))
    assert [(f.values["irq"], f.values["wants"], f.values["has"], f.values["count"]) for f in found] == told
