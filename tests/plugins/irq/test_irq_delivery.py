"""IRQ-001, IRQ-002, IRQ-004 to IRQ-007: what became of an interrupt after its message."""

import pytest

from tracekit.testing import findings, outcome, run, shape


def log(*messages: str, start: float = 100) -> str:
    return "".join(f"[{start + 60 * i:12.6f}] {m}\n" for i, m in enumerate(messages))


@pytest.mark.parametrize(
    "message",
    [
        "do_IRQ: 1.55 No irq handler for vector",
        "do_IRQ: 0.89 No irq handler for vector (irq -1)",
        "__common_interrupt: 3.34 No irq handler for vector",
        "No irq handler for 3.34",
    ],
)
def test_a_vector_without_an_irq(message: str) -> None:
    found = findings(log(message))
    assert shape(found) == [("IRQ-004", "proven", "host", None, [1])]
    assert found[0].severity == "low"


@pytest.mark.parametrize(("status", "found"), [("00(40)", 1), ("40(00)", 1), ("41(41)", 1), ("01(01)", 0), ("00(80)", 0), ("3f(bf)", 0)])
def test_an_apic_error_is_of_a_vector_where_bit_6_is_set(status: str, found: int) -> None:
    assert shape(findings(log(f"APIC error on CPU3: {status}"))) == [("IRQ-004", "possible", "host", None, [1])] * found


@pytest.mark.parametrize(("after_us", "timeouts"), [(0, 1), (65_000_000, 1), (65_000_001, 0)])
def test_a_time_out_follows_a_stray_from_the_same_stamp_to_65_s(after_us: int, timeouts: int) -> None:
    stray, late = "__common_interrupt: 3.34 No irq handler for vector", "nvme nvme0: I/O 8 QID 1 timeout, completion polled"
    text = f"[  100.000000] {stray}\n[{100 + after_us / 1e6:12.6f}] {late}\n"
    assert [(f.severity, f.values["timeouts"]) for f in findings(text) if f.code == "IRQ-004"] == [
        ("high" if timeouts else "low", timeouts)
    ]


def test_no_stray_in_an_ordinary_log() -> None:
    text = log("Linux version 6.1.0", "irq 7: handled", "PME: Spurious native interrupt!", "unexpected IRQ trap at vector 00")
    assert findings(text) == []
    assert outcome(run(text), "IRQ-004").outcome == "clear"


def cared(flow: str) -> str:
    return log('irq 16: nobody cared (try booting with the "irqpoll" option)', f" {flow}+0x8d/0x1a0", "handlers:", "Disabling IRQ #16")


def test_a_line_that_nobody_claims() -> None:
    found = findings(cared("handle_fasteoi_irq"))
    assert shape(found) == [("IRQ-006", "proven", "irq 16", None, [1, 2, 4])]
    assert (found[0].severity, found[0].values["flow"]) == ("medium", "line")


def test_an_msi_that_nobody_claims_is_low() -> None:
    found = findings(cared("handle_edge_irq"))
    assert (found[0].code, found[0].severity, found[0].values["flow"]) == ("IRQ-006", "low", "edge")


def test_handlers_in_another_stack_trace_are_no_report() -> None:
    assert findings(log("Call Trace:", " handle_fasteoi_irq+0x8d/0x1a0")) == []
    (end,) = findings(log("Call Trace:", " handle_fasteoi_irq+0x8d/0x1a0", "Disabling IRQ #16"))
    assert end.values["flow"] == "unknown"


def test_the_end_of_a_report_alone_is_enough() -> None:
    told = findings(log("Disabling IRQ #16", "Disabling IRQ #17", "Disabling IRQ #16"))
    assert shape(told) == [("IRQ-006", "proven", "irq 16", None, [1, 3]), ("IRQ-006", "proven", "irq 17", None, [2])]
    assert [f.code for f in findings(cared("handle_edge_irq"))] == ["IRQ-006"], "no second one for the end of a whole report"


def test_nvme_completions_found_by_polling() -> None:
    polled = "nvme nvme3: I/O tag {0} (100{0}) QID 2 timeout, completion polled"
    found = findings(log("nvme nvme3: pci function 0000:5e:00.0", polled.format(1), polled.format(2)))
    assert shape(found) == [("IRQ-007", "proven", "nvme3", None, [1, 2, 3])]
    assert (found[0].subject.bdf, found[0].values["queues"], found[0].values["count"]) == ("0000:5e:00.0", ["2"], 2)


@pytest.mark.parametrize("end", ["aborting", "reset controller", "disable controller", "aborting req_op:READ(0) size:4096"])
def test_nvme_commands_that_were_not_complete_are_another_fault(end: str) -> None:
    assert findings(log(f"nvme nvme3: I/O 206 QID 6 timeout, {end}")) == []


def test_mlx5_events_recovered_after_a_timeout() -> None:
    found = findings(
        log(
            "mlx5_core 0000:d8:00.1: mlx5_cmd_eq_recover:245:(pid 1416): Recovered 1 EQEs on cmd_eq",
            "mlx5_core 0000:d8:00.1: wait_func_handle_exec_timeout:1062:(pid 1416): cmd[0]: CREATE_EQ(0x301) recovered after timeout",
        )
    )
    assert shape(found) == [("IRQ-007", "proven", "0000:d8:00.1", None, [1, 2])]
    assert found[0].values["events"] == 1


def test_a_wireless_driver_that_polls_for_its_answer() -> None:
    text = log("ath12k_pci 0000:03:00.0: failed to receive control response completion, polling..")
    assert shape(findings(text)) == [("IRQ-007", "proven", "0000:03:00.0", None, [1])]


@pytest.mark.parametrize(
    "message",
    [
        "mlx5_core 0000:41:00.0 enp65s0f0: Recovered 2 eqes on EQ 0xa",
        "ena 0000:00:05.0 eth0: The ena device sent a completion but the driver didn't receive a MSI-X interrupt (cmd 9), autopolling mode is OFF",
        "ena 0000:00:05.0 ens5: Potential MSIX issue on Rx side Queue = 3. Reset the device",
    ],
)
def test_a_network_driver_that_finds_work_untold(message: str) -> None:
    assert shape(findings(log(message))) == [("IRQ-007", "proven", message.split()[1], None, [1])]


@pytest.mark.parametrize(
    "message",
    [
        "mlx4_core 0000:07:00.0: NOP command failed to generate MSI-X interrupt IRQ 48)",
        "tg3 0000:10:00.0 eth0: No interrupt was generated using MSI. Switching to INTx mode. Please report this failure to the PCI maintainer",
        "sky2 0000:01:00.0: No interrupt was generated using MSI, switching to INTx mode. Please report this failure to the PCI maintainer",
    ],
)
def test_a_driver_whose_own_interrupt_test_failed(message: str) -> None:
    assert shape(findings(log(message))) == [("IRQ-007", "probable", message.split()[1].rstrip(":"), None, [1])]


@pytest.mark.parametrize(
    "message",
    [
        "mlx5_core 0000:41:00.0 enp65s0f0: TX timeout detected",
        "mlx5_core 0000:41:00.0 enp65s0f0: EQ 0xa: Cons = 0x12, irqn = 0x34",
        "ena 0000:00:05.0 eth0: Found a Tx that wasn't completed on time, qid 3, index 114.",
        "tg3 0000:10:00.0 eth0: Link is up at 1000 Mbps, full duplex",
        "igb 0000:01:00.0: Using MSI-X interrupts. 4 rx queue(s), 4 tx queue(s)",
    ],
)
def test_a_network_driver_whose_work_is_not_done_or_well(message: str) -> None:
    assert findings(log(message)) == []


def test_a_driver_that_never_timed_out() -> None:
    text = log("nvme nvme0: pci function 0000:5e:00.0", "nvme nvme0: 8/0/0 default/read/poll queues")
    assert findings(text) == []


def qemu(*spans: tuple[int, int]) -> str:
    """Config accesses of one device: for each span the command register before and within it."""
    lines = []
    for before, within in spans:
        lines += [
            f"pci_cfg_write edu 00:0b.0 @0x4 <- 0x{before:x}",
            "pci_cfg_write edu 00:0b.0 @0xa2 <- 0x8003",
            "msix_write_config dev edu enabled 1 masked 0",
            f"pci_cfg_write edu 00:0b.0 @0x4 <- 0x{within:x}",
            "pci_cfg_write edu 00:0b.0 @0xa2 <- 0x3",
            "msix_write_config dev edu enabled 0 masked 0",
        ]
    return "\n".join(lines) + "\n"


def test_a_device_that_may_never_master_the_bus() -> None:
    found = findings(qemu((0x103, 0x503), (0x103, 0x103)))
    assert shape(found) == [("IRQ-005", "proven", "00:0b.0 (edu)", None, [1, 2, 6, 8])]
    assert (found[0].subject.bdf, found[0].values["spans"]) == ("0000:00:0b.0", 2)


@pytest.mark.parametrize("spans", [((0x103, 0x107),), ((0x107, 0x107),), ((0x103, 0x103), (0x107, 0x107))])
def test_bus_mastering_in_any_span_is_enough(spans: tuple[tuple[int, int], ...]) -> None:
    assert findings(qemu(*spans)) == []
    assert outcome(run(qemu(*spans)), "IRQ-005").outcome == "clear"


def test_a_last_user_that_leaves_bus_mastering_off_is_no_all_clear() -> None:
    text = qemu((0x103, 0x107), (0x107, 0x107), (0x103, 0x503))
    assert findings(text) == []
    told = outcome(run(text), "IRQ-005")
    assert (told.outcome, "in its last 1 span (line 15 of " in told.reason) == ("inconclusive", True)
    cut = "\n".join(qemu((0x107, 0x107), (0x103, 0x503)).splitlines()[:-1]) + "\n"
    assert outcome(run(cut), "IRQ-005").outcome == "clear"  # it may set the bit later


def test_a_masked_enable_and_a_closed_device_are_no_span() -> None:
    text = qemu((0x103, 0x103)).replace("enabled 1 masked 0", "enabled 1 masked 1")
    assert findings(text) == []


def test_a_pending_interrupt_that_nobody_unmasks_is_possible() -> None:
    text = "vfio_msix_enable (0000:01:00.0)\nvfio_msix_vector_do_use (0000:01:00.0) vector 0 used\nvfio_msix_pba_enable (0000:01:00.0)\n"
    assert [s for s in shape(findings(text)) if s[0] == "IRQ-002"] == [("IRQ-002", "possible", "0000:01:00.0", None, [3])]
    later = text + "vfio_msix_vector_do_use (0000:01:00.0) vector 0 used\n"
    assert [f.code for f in findings(later) if f.code == "IRQ-002"] == []


def delivered(count: int, lost: set[int], *, inject_all: bool = True) -> str:
    """Handler entries every 10 ms, 300 ms after each lost one; each but the lost ones is followed by its injection."""
    lines, t = [], 1.0
    for i in range(count):
        lines.append(f"          <idle>-0       [000] d.h1. {t:12.6f}: irq_handler_entry: irq=50 name=vfio-msix[1](0000:65:00.0)")
        if i not in lost and inject_all:
            lines.append(f"          <idle>-0       [000] d.h1. {t + 0.00002:12.6f}: kvm_msi_set_irq: dst 1 vec 40 (Fixed|physical|edge)")
        t += 0.3 if i in lost else 0.01
    lines.append(f"          <idle>-0       [000] d.h1. {t + 1:12.6f}: kvm_msi_set_irq: dst 0 vec 99 (Fixed|physical|edge)")
    return "# tracer: nop\n#\n" + "\n".join(lines) + "\n"


def test_an_interrupt_that_the_host_had_and_the_guest_never() -> None:
    assert shape(findings(delivered(20, {15}))) == [("IRQ-001", "proven", "0000:65:00.0", None, [33])]


def test_every_interrupt_injected() -> None:
    assert findings(delivered(20, set())) == []
    assert outcome(run(delivered(20, set())), "IRQ-001").outcome == "clear"


def test_a_vector_that_is_never_injected_may_belong_to_no_guest() -> None:
    assert findings(delivered(20, set(), inject_all=False)) == []


def test_two_entries_close_together_may_have_merged() -> None:
    text = delivered(20, {15}).replace("name=vfio-msix[1]", "name=vfio-msix[1]")
    line = text.splitlines()[32]
    merged = line.replace(line.split()[3], f"{float(line.split()[3].rstrip(':')) + 0.00001:.6f}:")
    extra = merged.replace(
        "irq_handler_entry: irq=50 name=vfio-msix[1](0000:65:00.0)", "kvm_msi_set_irq: dst 1 vec 40 (Fixed|physical|edge)"
    )
    assert findings("\n".join([*text.splitlines()[:33], merged, extra, *text.splitlines()[33:]]) + "\n") == []


def test_a_recording_that_lost_events_proves_no_loss() -> None:
    text = delivered(20, {15}).splitlines()
    assert findings("\n".join([*text[:20], "CPU:0 [LOST 303 EVENTS]", *text[20:]]) + "\n") == []


def lspci(command: str, enable: str, what: str = "Ethernet controller") -> str:
    return (
        f"65:00.0 {what}: Example Corp. Device 1234 (rev 01)\n"
        f"\tControl: I/O- Mem+ BusMaster{command} SpecCycle- MemWINV- VGASnoop- ParErr- Stepping- SERR+ FastB2B- DisINTx+\n"
        f"\tCapabilities: [b0] MSI-X: Enable{enable} Count=64 Masked-\n"
    )


def test_a_snapshot_with_msix_on_and_bus_mastering_off_is_possible() -> None:
    assert shape(findings(lspci("-", "+"))) == [("IRQ-005", "possible", "0000:65:00.0", None, [2, 3])]


@pytest.mark.parametrize(("command", "enable"), [("+", "+"), ("-", "-")])
def test_a_closed_device_or_a_working_one_is_quiet(command: str, enable: str) -> None:
    assert findings(lspci(command, enable)) == []


@pytest.mark.parametrize("what", ["IOMMU", "IOMMU [0806]", "Class 0806", "Class [0806]"])
def test_an_iommu_interrupts_without_mastering_the_bus(what: str) -> None:
    assert findings(lspci("-", "+", what)) == []
    two = lspci("-", "+", what) + lspci("-", "+").replace("65:", "66:")
    assert shape(findings(two)) == [("IRQ-005", "possible", "0000:66:00.0", None, [5, 6])]


def test_a_device_that_was_seen_to_interrupt_may_master_the_bus() -> None:
    assert findings(lspci("-", "+"), delivered(20, set())) == []


TIMEOUT = "nvme nvme0: I/O 320 QID 2 timeout, aborting"


@pytest.mark.parametrize(
    ("vector", "fate", "severity"),
    [("0xef", "Acked", "high"), ("0xd3", "Acked", "low"), ("0xef", "Not pending!", None), ("0xff", "Acked", None)],
)
def test_a_spurious_vector_that_was_acknowledged_came_from_a_device(vector: str, fate: str, severity: str | None) -> None:
    found = findings(log(f"Spurious interrupt (vector {vector}) on CPU#12. {fate}", TIMEOUT))
    assert [(f.code, f.severity) for f in found] == ([("IRQ-004", severity)] if severity else [])


def test_a_time_out_before_a_stray_or_long_after_it_is_none_of_its_own() -> None:
    stray = "Spurious interrupt (vector 0xef) on CPU#0. Acked"
    assert [f.severity for f in findings(log(TIMEOUT, stray))] == ["low"]
    assert [f.severity for f in findings(log(stray, *["x"] * 6, TIMEOUT))] == ["low"]
    assert [(f.severity, f.values["timeouts"]) for f in findings(log(stray, TIMEOUT, TIMEOUT))] == [("high", 2)]


@pytest.mark.parametrize("suffix", ["", "+0x0/0x60"])
def test_an_its_that_takes_no_commands_maps_nothing(suffix: str) -> None:
    (found,) = findings(log("ITS queue timeout (12640 12609)", f"ITS cmd its_build_mapd_cmd{suffix} failed", start=9))
    assert (found.code, found.grade, found.severity, found.values["commands"]) == ("MSI-006", "proven", "high", ["mapd"])
    assert "the table of a device" in found.summary
    assert findings(log("ITS [mem 0x08080000-0x0809ffff]", "ITS@0x0000000008080000: Using ITS number 0")) == []


def test_commands_of_an_iommu_may_be_about_something_else() -> None:
    assert shape(findings(log("iommu ivhd2: AMD-Vi: Completion-Wait loop timed out"))) == [("IRQ-008", "possible", "IOMMU", None, [1])]
    (found,) = findings(log("DMAR: VT-d detected Invalidation Time-out Error: SID 4100"))
    assert (found.code, found.grade, found.values["devices"]) == ("IRQ-008", "possible", ["0000:41:00.0"])


GONE = "Unable to change power state from D3cold to D0, device inaccessible"


@pytest.mark.parametrize(
    ("messages", "label"),
    [
        ([f"nouveau 0000:01:00.0: {GONE}"], "0000:01:00.0"),
        (["mlx5_core 0000:41:00.1: not ready 65535ms after FLR; giving up"], "0000:41:00.1"),
        (["vfio-pci 0000:41:00.1: Failed to return from FLR"], "0000:41:00.1"),
        (["igc 0000:06:00.0 eth1: PCIe link lost, device now detached"], "0000:06:00.0"),
        (["NVRM: GPU 0000:88:00.0: GPU has fallen off the bus."], "0000:88:00.0"),
        (
            ["nvme nvme3: pci function 0000:5e:00.0", "nvme nvme3: controller is down; will reset: CSTS=0xffffffff, PCI_STATUS=0x10"],
            "0000:5e:00.0",
        ),
        ([f"vfio-pci <bdf>: {GONE}"], "an unnamed device"),
        (["amdgpu 0000:03:00.0: amdgpu: device lost from bus!"], "0000:03:00.0"),
        (["vfio-pci 0000:05:00.0: Refused to change power state, currently in D3"], "0000:05:00.0"),
        (["vfio-pci 0000:05:00.0: Refused to change power state from D3hot to D0"], "0000:05:00.0"),
    ],
)
def test_a_device_that_does_not_answer_is_told_and_is_no_alarm(messages: list[str], label: str) -> None:
    (found,) = findings(log(*messages))
    assert (found.code, found.severity, found.subject.label) == ("IRQ-009", "info", label)


def test_a_device_that_comes_back_is_not_gone() -> None:
    assert findings(log("vfio-pci 0000:84:00.0: not ready 1023ms after FLR; waiting", "vfio-pci 0000:84:00.0: reset done")) == []
    assert findings(log("nvme nvme0: controller is down; will reset: CSTS=0x3, PCI_STATUS=0x10")) == []
    assert findings(log("xhci_hcd 0000:00:14.0: Refused to change power state, currently in D0")) == []
    assert findings(log("pci 0000:00:1f.0: Refused to change power state from D0 to D3hot")) == []


@pytest.mark.parametrize("quote", ["`", "", "'"])
def test_qemu_ends_itself_over_a_pin_that_reads_all_ones(quote: str) -> None:
    text = f"qemu-system-x86_64: ../hw/pci/pci.c:1500: pci_irq_handler: Assertion {quote}0 <= irq_num && irq_num < PCI_NUM_PINS' failed.\n"
    (found,) = findings(text)
    assert (found.code, found.grade, found.severity, found.subject.label) == ("IRQ-009", "probable", "info", "an unnamed device")
    assert findings("qemu-system-x86_64: ../hw/pci/pci.c:1500: pci_set_irq: Assertion `bus->nirq > 0' failed.\n") == []


def test_an_invalidation_without_a_source_names_no_device() -> None:
    (found,) = findings(log("DMAR: VT-d detected Invalidation Time-out Error: SID 0"))
    assert (found.code, found.values["devices"]) == ("IRQ-008", [])


def test_both_functions_of_a_card_are_one_remark() -> None:
    (found,) = findings(log(f"vfio-pci 0000:84:00.1: {GONE}", f"vfio-pci 0000:84:00.0: {GONE}"))
    assert (found.subject.bdf, found.subject.aliases) == ("0000:84:00.1", ("0000:84:00.0",))
    assert len(findings(log(f"vfio-pci 0000:84:00.0: {GONE}", f"vfio-pci 0000:85:00.0: {GONE}"))) == 2


def test_a_line_that_is_not_shared() -> None:
    text = log("genirq: Flags mismatch irq 8. 00000088 (mmc0) vs. 00000000 (rtc0)")
    assert shape(findings(text)) == [("IRQ-010", "proven", "irq 8", None, [1])]
    assert findings(text)[0].severity == "info"


def test_old_kernels_do_not_tell_the_fate_of_a_spurious_vector() -> None:
    old = "spurious APIC interrupt through vector {} on CPU#0, should never happen."
    assert [f.code for f in findings(log(old.format("ef")))] == ["IRQ-004"]
    assert findings(log(old.format("ff"))) == []


@pytest.mark.parametrize(
    "line",
    [
        "(XEN) CPU#: No irq handler for vector ## (IRQ -2147483648, LAPIC)",
        "[  100.000000] do_IRQ: x.xx No irq handler for vector",
        "[  100.000000] No irq handler for #.##",
    ],
)
def test_a_stray_vector_whose_numbers_were_taken_out(line: str) -> None:
    (found,) = findings(line)
    assert (found.code, found.values["vectors"]) == ("IRQ-004", ["?.?"])
