"""The guards of IRQ-001, IRQ-002, IRQ-005 and IRQ-007, each from both sides."""

import pytest

from tracekit.findings import Finding
from tracekit.testing import findings, outcome, run, tables

BANNER = "[    0.000000] Linux version 6.12.0 (x@y) (gcc 12) #1 SMP\n"
POLLED = "[   30.000000] nvme nvme0: I/O 1 QID 3 timeout, completion polled\n"


def of(code: str, *texts: str) -> list[Finding]:
    return [f for f in findings(*texts) if f.code == code]


# IRQ-001


def interrupt(at: float, vector: int = 1, injected: bool = True) -> str:
    handler = f"          <idle>-0 [000] d.h1. {at:12.6f}: irq_handler_entry: irq=61 name=vfio-msix[{vector}](0000:41:00.0)\n"
    return handler + (
        f"          <idle>-0 [000] d.h1. {at + 0.00002:12.6f}: kvm_msi_set_irq: dst 2 vec 49 (Fixed|physical|edge)\n" if injected else ""
    )


def recording(delivered: int, *, lost_at: float = 0.5, after: int = 4) -> str:
    """So many interrupts that were injected, one that was not, and others after it, 1 s apart."""
    before = "".join(interrupt(100 + i) for i in range(delivered - after))
    later = "".join(interrupt(100 + delivered - after + i) for i in range(after))
    return f"# tracer: nop\n#\n{before}{interrupt(100 + delivered - after - 1 + lost_at, injected=False)}{later}"


@pytest.mark.parametrize(("delivered", "lost"), [(8, 1), (12, 1), (7, 0)])
def test_a_loss_is_told_where_eight_deliveries_show_the_route(delivered: int, lost: int) -> None:
    found = of("IRQ-001", recording(delivered))
    assert [(f.grade, f.values["lost"], f.values["delivered"]) for f in found] == [("proven", 1, delivered)] * lost


def test_an_interrupt_right_before_a_delivered_one_may_have_merged() -> None:
    assert of("IRQ-001", recording(12, lost_at=0.95)) == []


# IRQ-002


@pytest.mark.parametrize(("name", "bdf"), [("0000:41:00.0", "0000:41:00.0"), ("41:00.0", None), ("hostdev0", None)])
def test_a_pending_interrupt_is_of_the_function_that_qemu_names(name: str, bdf: str | None) -> None:
    lines = f"vfio_msix_enable ({name})\nvfio_msix_vector_do_use ({name}) vector 0 used\nvfio_msix_pba_enable ({name})\n"
    (f,) = of("IRQ-002", lines)
    assert (f.subject.label, f.subject.bdf, [e.line for e in f.evidence]) == (name, bdf, [3])


@pytest.mark.parametrize("later", ["vfio_msix_pba_disable ({0})", "vfio_msix_disable ({0})", "vfio_msix_vector_do_use ({0}) vector 0 used"])
def test_a_pending_interrupt_that_something_ends_is_none(later: str) -> None:
    begun = "vfio_msix_enable ({0})\nvfio_msix_vector_do_use ({0}) vector 0 used\nvfio_msix_pba_enable ({0})\n"
    mine, other = "0000:41:00.0", "0000:42:00.0"
    assert of("IRQ-002", begun.format(mine) + later.format(mine) + "\n") == []
    assert [f.subject.bdf for f in of("IRQ-002", begun.format(mine) + later.format(other) + "\n")] == [mine]
    assert [f.subject.bdf for f in of("IRQ-002", later.format(mine) + "\n" + begun.format(mine))] == [mine]
    assert [f.subject.bdf for f in of("IRQ-002", begun.format(mine), later.format(mine) + "\n")] == [mine]  # another log


# IRQ-005


def snapshot(master: str, enable: str = "+") -> str:
    return (
        "41:00.0 Ethernet controller: Example Devices NIC\n"
        f"\tControl: I/O- Mem+ BusMaster{master} SpecCycle- MemWINV- VGASnoop- ParErr- Stepping- SERR- FastB2B- DisINTx+\n"
        f"\tCapabilities: [a0] MSI-X: Enable{enable} Count=8 Masked-\n"
    )


def test_a_snapshot_with_msix_on_and_the_bus_master_off_is_possible() -> None:
    (f,) = of("IRQ-005", snapshot("-"))
    assert (f.grade, f.subject.bdf) == ("possible", "0000:41:00.0")


@pytest.mark.parametrize("text", [snapshot("+"), snapshot("-", "-")])
def test_a_snapshot_of_a_healthy_device_does_not_clear_it(text: str) -> None:
    assert of("IRQ-005", text) == []
    assert outcome(run(text), "IRQ-005").outcome == "not evaluated"


@pytest.mark.parametrize("left_out", ["Control", "MSI-X", "Ethernet"])
def test_a_snapshot_without_one_of_its_lines_tells_nothing(left_out: str) -> None:
    text = "".join(line for line in snapshot("-").splitlines(keepends=True) if left_out not in line)
    result = run(text)
    assert (result.errors, [f.code for f in result.findings if f.code == "IRQ-005"]) == ((), [])


# IRQ-007

OOPS = """\
[   20.000000] BUG: unable to handle page fault for address: ffa0000000000010
[   20.000001] #PF: supervisor write access in kernel mode
[   20.000002] Oops: Oops: 0002 [#1] PREEMPT SMP NOPTI
[   20.000003] CPU: 0 UID: 0 PID: 262 Comm: vfioirq Not tainted 6.12.0 #1
[   20.000004] RIP: 0010:pci_msix_write_vector_ctrl+0x33/0x100
[   20.000005] Call Trace:
[   20.000006]  <TASK>
[   20.000007]  msix_mask_irq+0x29/0x50
"""
WARNING = """\
[   20.000000] ------------[ cut here ]------------
[   20.000001] WARNING: CPU: 0 PID: 262 at drivers/pci/msi/msi.c:461 pci_msix_write_vector_ctrl+0x33/0x100
[   20.000002] CPU: 0 UID: 0 PID: 262 Comm: vfioirq Not tainted 6.12.0 #1
[   20.000003] RIP: 0010:pci_msix_write_vector_ctrl+0x33/0x100
[   20.000004] Call Trace:
[   20.000005]  <TASK>
[   20.000006]  msix_mask_irq+0x29/0x50
"""


def test_a_crash_of_msi_code_explains_the_silence() -> None:
    (f,) = of("IRQ-007", BANNER + OOPS + POLLED)
    assert f.explained_by == "MSI-009"


def test_a_warning_of_msi_code_does_not() -> None:
    assert [f.code for f in findings(BANNER + WARNING) if f.code == "MSI-009"] == ["MSI-009"]
    (f,) = of("IRQ-007", BANNER + WARNING + POLLED)
    assert f.explained_by is None


def test_a_crash_in_another_log_does_not() -> None:
    (f,) = of("IRQ-007", BANNER + POLLED, OOPS)
    assert f.explained_by is None


def timeout(at: float, queue: int, device: str = "nvme0", end: str = "completion polled") -> str:
    return f"[{at:12.6f}] nvme {device}: I/O 1 QID {queue} timeout, {end}\n"


def test_two_devices_whose_queues_differ_name_both() -> None:
    (f,) = of("IRQ-007", timeout(10, 3) + timeout(10.1, 4, "nvme1"))
    assert (f.subject.label, f.values["devices"], f.values["queues"], f.values["count"]) == ("host", ["nvme0", "nvme1"], ["3", "4"], 2)
    assert "perhaps the vector of its CPU" not in f.summary


def test_two_devices_of_one_queue_point_at_its_cpu_but_not_those_of_the_admin_queue() -> None:
    for queue, told in ((3, True), (0, False)):
        (f,) = of("IRQ-007", timeout(10, queue) + timeout(10.1, queue, "nvme1"))
        assert ("perhaps the vector of its CPU" in f.summary) is told


@pytest.mark.parametrize(("count", "named"), [(6, 6), (7, 6)])
def test_at_most_six_queues_are_named(count: int, named: int) -> None:
    (f,) = of("IRQ-007", "".join(timeout(10 + n, n) for n in range(1, count + 1)))
    assert f"(queue {', '.join(str(n) for n in range(1, named + 1))})" in f.summary
    assert len(f.values["queues"]) == count


ATH = "[   30.{0}00000] ath12k_pci 0000:0{1}:00.0: failed to receive control response completion, polling..\n"
COMPATIBILITY = (
    "[   20.000000] DMAR: [INTR-REMAP] Request device [00:1c.0] fault index 0x0 [fault reason 0x25] "
    "Blocked a compatibility format interrupt request\n"
)
MISSING = COMPATIBILITY.replace("0x25", "0x22").replace(
    "Blocked a compatibility format interrupt request", "Present field in the IRTE entry is clear"
)


def test_a_wireless_device_that_copies_a_guests_address_is_blocked_by_the_iommu() -> None:
    (f,) = of("IRQ-007", BANNER + COMPATIBILITY + ATH.format(1, 3))
    assert f.explained_by == "IRQ-003"
    (f,) = of("IRQ-007", BANNER + MISSING + ATH.format(1, 3))
    assert f.explained_by is None


def test_two_devices_at_once_have_a_cause_of_their_own() -> None:
    (f,) = of("IRQ-007", BANNER + COMPATIBILITY + ATH.format(1, 3) + ATH.format(2, 4))
    assert (f.values["count"], f.explained_by) == (2, None)


def test_time_outs_without_stamps_are_not_known_to_be_at_once() -> None:
    lost = [timeout(40 + n, 5, f"nvme{n}", "aborting") for n in range(2)]
    assert len(of("IRQ-007", "".join(lost))) == 1
    result = run("".join(line.partition("] ")[2] for line in lost))
    assert (result.errors, [f.code for f in result.findings if f.code == "IRQ-007"]) == ((), [])


# VEC-004, IRQ-003


@pytest.mark.parametrize(("count", "named"), [(8, 8), (9, 8)])
def test_at_most_eight_irqs_are_named(count: int, named: int) -> None:
    text = BANNER + "".join(f"[{10 + n:12.6f}] irq {n}: Affinity broken due to vector space exhaustion.\n" for n in range(1, count + 1))
    (f,) = of("VEC-004", text)
    assert f.summary.startswith(f"{count} irqs ({', '.join(str(n) for n in range(1, named + 1))}) got a vector")
    assert f.values == {"irqs": list(range(1, count + 1)), "count": count}


@pytest.mark.parametrize(("between", "found"), [(0, 1), (3, 1), (4, 0)])
def test_the_reason_of_a_blocked_request_stands_at_most_four_lines_below(between: int, found: int) -> None:
    lines = [
        "DMAR: INTR-REMAP: Request device [[05:00.0] fault index a0",
        *["usb 1-1: new device"] * between,
        "INTR-REMAP:[fault reason 34] Present field in the IRTE entry is clear",
    ]
    text = "[    0.000000] Linux version 4.9.0 (x@y) (gcc 6) #1 SMP\n" + "".join(f"[{10 + n:12.6f}] {m}\n" for n, m in enumerate(lines))
    assert [(f.subject.bdf, f.grade) for f in of("IRQ-003", text)] == [("0000:05:00.0", "proven")] * found


# IRQ-005 from QEMU's accesses


def accesses(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


OFF, ON = "pci_cfg_write edu 00:09.0 @0x4 <- 0x2", "pci_cfg_write edu 00:09.0 @0x4 <- 0x6"
MSIX_ON, MSIX_OFF = (
    ("pci_cfg_write edu 00:09.0 @0x42 <- 0x8000", "msix_write_config dev edu enabled 1 masked 0"),
    (
        "pci_cfg_write edu 00:09.0 @0x42 <- 0x0",
        "msix_write_config dev edu enabled 0 masked 0",
    ),
)
MASKED = ("pci_cfg_write edu 00:09.0 @0x42 <- 0xc000", "msix_write_config dev edu enabled 1 masked 1")


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ((OFF, *MSIX_ON, *MSIX_OFF), 1),
        ((OFF, *MSIX_ON), 1),
        ((ON, *MSIX_ON, *MSIX_OFF), 0),
        ((OFF, *MSIX_ON, ON, *MSIX_OFF), 0),  # set within the span
        ((ON, OFF, *MSIX_ON, *MSIX_OFF), 1),  # the last value before it counts
        ((OFF, *MSIX_ON, *MSIX_OFF, ON, *MSIX_ON), 0),  # on in one of two spans
        ((OFF, *MASKED, *MSIX_OFF), 0),  # it was never unmasked
        ((*MSIX_ON, *MSIX_OFF), 0),  # the register was never seen
    ],
)
def test_msix_on_and_the_bus_master_off_from_first_to_last(lines: tuple[str, ...], found: int) -> None:
    assert len(of("IRQ-005", accesses(*lines))) == found


@pytest.mark.parametrize(
    ("devices", "slots"), [(1, "00:11.0"), (4, "00:11.0, 00:12.0, 00:13.0, 00:14.0"), (5, "00:11.0, 00:12.0, 00:13.0, 00:14.0")]
)
def test_of_devices_whose_command_register_nobody_wrote_four_are_named(devices: int, slots: str) -> None:
    pairs = (
        line.replace("00:09.0", f"00:1{n}.0").replace("edu", f"edu{n}") for n in range(1, devices + 1) for line in (*MSIX_ON, *MSIX_OFF)
    )
    told = outcome(run(accesses(*pairs)), "IRQ-005")
    assert (told.outcome, told.reason) == (
        "inconclusive",
        f"MSI-X was enabled, and no access to the command register of {slots} is recorded",
    )


@pytest.mark.parametrize(("second", "over"), [(30.0, ""), (30.2, "; over 0.2 s"), (61.5, "; over 31.5 s")])
def test_completions_of_one_moment_span_no_time(second: float, over: str) -> None:
    found = [f for f in findings(timeout(30, 3) + timeout(second, 4)) if "of nvme0" in f.summary]
    assert [f.summary.partition("; over ")[1] + f.summary.partition("; over ")[2] for f in found] == [over]


RECOVERED = "[{:12.6f}] mlx5_core 0000:d8:00.1: mlx5_cmd_eq_recover:245:(pid 1416): Recovered {} EQEs on cmd_eq\n"


@pytest.mark.parametrize(("text", "count", "events"), [(RECOVERED.format(10, 3) + RECOVERED.format(20, 4), 2, 7), (timeout(10, 3), 1, 0)])
def test_the_events_that_were_recovered_are_counted_where_a_driver_counts_them(text: str, count: int, events: int) -> None:
    (f,) = of("IRQ-007", text)
    assert (f.grade, f.values["count"], f.values["events"], [e.line for e in f.evidence]) == (
        *("proven", count, events),
        list(range(1, count + 1)),
    )


COMMAND = (
    "[{:12.6f}] mlx5_core 0000:d8:00.1: wait_func_handle_exec_timeout:1062:(pid 1416): cmd[0]: CREATE_EQ(0x301) recovered after timeout\n"
)


@pytest.mark.parametrize(
    ("text", "completions"),
    [
        (RECOVERED.format(10, 1) + COMMAND.format(10.1), "1 completion of"),  # the command is the event that was recovered
        (COMMAND.format(10), "1 completion of"),
        (COMMAND.format(10) + COMMAND.format(90), "2 completions of"),
        (RECOVERED.format(10, 1) + RECOVERED.format(20, 1) + COMMAND.format(20.1), "2 completions of"),
    ],
)
def test_a_command_is_not_counted_beside_its_own_event(text: str, completions: str) -> None:
    (f,) = of("IRQ-007", text)
    assert (f.grade, f.summary.startswith(completions), f.values["count"]) == ("proven", True, text.count("\n"))


# Raw events of an SMMU


def raw(*lines: str) -> list[tuple[int, int, int, int]]:
    """(sid, iova, line, line_end) of the events; each line is `unit what`."""
    text = "".join(
        f"[   12.0000{i:02d}] arm-smmu-v3 arm-smmu-v3.{unit}.auto: {what}\n"
        for i, (unit, _, what) in enumerate(line.partition(" ") for line in lines)
    )
    faults = tables(text).get("smmu_faults")
    return faults.select("sid", "iova", "line", "line_end").rows() if faults is not None else []


def event(number: int, unit: int = 0) -> str:
    return f"{unit} event {number:#04x} received:"


def words(*units: int) -> list[str]:
    """The four words, each of a unit: stream 0x100, address 0x8090040."""
    return [f"{unit} \t{word:#018x}" for unit, word in zip(units, (0x10000000010, 0x208, 0x8090040, 0), strict=True)]


@pytest.mark.parametrize(("number", "found"), [(0x0F, 0), (0x10, 1), (0x11, 1), (0x12, 1), (0x13, 1), (0x14, 0)])
def test_a_raw_event_has_an_address_where_its_number_is_of_a_translation(number: int, found: int) -> None:
    assert raw(event(number), *words(0, 0, 0, 0)) == [(0x100, 0x8090040, 1, 5)] * found


def test_the_words_of_another_smmu_are_not_those_of_the_event() -> None:
    assert raw(event(0x10), *words(0, 1, 0, 0)) == []
    assert raw(event(0x10), "1 \t0x0000000000000007", *words(0, 0, 0, 0)) == [(0x100, 0x8090040, 1, 6)]


def test_words_without_a_head_or_beyond_the_fourth_are_no_event() -> None:
    assert raw(*words(0, 0, 0, 0)) == []
    assert raw(event(0x10), *words(0, 0, 0, 0), *words(0, 0, 0, 0)) == [(0x100, 0x8090040, 1, 5)]
    assert raw(event(0x10), *words(0, 0, 0, 0)[:3], event(0x10), *words(0, 0, 0, 0)) == [(0x100, 0x8090040, 5, 9)]


# VEC-003 from a trace


@pytest.mark.parametrize(
    ("reserved", "times", "line"),
    [((4, 5), None, None), ((4, 5, 6), "1 time", 5), ((4, 6, 7, 8), "1 time", 4), ((5, 6, 4, 6), "2 times", 4)],
)
def test_reservations_beyond_the_five_vectors_are_counted_as_often_as_they_rise(
    reserved: tuple[int, ...], times: str | None, line: int | None
) -> None:
    text = "# tracer: nop\n#\n" + "".join(
        f"     modprobe-9       [000] d..1.     1.{i:06d}: irq_matrix_reserve: online_maps=1 global_avl=5, global_rsvd={n}, total_alloc=9\n"
        for i, n in enumerate(reserved)
    )
    told = of("VEC-003", text)
    values = {"warnings": 0, "global_rsvd": 6, "global_avl": 5}
    assert [(f.grade, f.values, [(e.line, e.role) for e in f.evidence]) for f in told] == [("proven", values, [(line, "cause")])] * bool(
        times
    )
    assert all(f"({times})" in f.summary for f in told)


@pytest.mark.parametrize(("number", "reason"), [("0x2a", 0x2A), ("2a", 0x2A), ("0x40", 0x40), ("40", 40)])
def test_a_reason_that_no_text_tells_is_hexadecimal_by_its_sign_or_digit(number: str, reason: int) -> None:
    text = f"[    1.000000] DMAR: [INTR-REMAP] Request device [00:09.0] fault index 0x3000 [fault reason {number}] Something new\n"
    assert tables(text)["remap_faults"]["reason"].to_list() == [reason]


# VEC-007

STUCK = "CPU {} has {} vectors, {} available. Cannot disable CPU\n"


@pytest.mark.parametrize(
    ("vectors", "room", "miscounted"),
    [(256, 85, False), (257, 85, True), (116, (1 << 31) - 1, False), (116, 1 << 31, True), (116, 0, False)],
)
def test_a_cpu_has_no_more_than_256_vectors(vectors: int, room: int, miscounted: bool) -> None:
    (f,) = of("VEC-007", STUCK.format(3, vectors, room))
    assert ("miscounts" in f.summary, f.subject.label) == (miscounted, "CPU 3")


@pytest.mark.parametrize(("cpu", "lines", "told"), [(3, 1, True), (3, 12, True), (3, 13, False), (4, 1, False)])
def test_the_errno_of_the_offlining_stands_within_twelve_lines(cpu: int, lines: int, told: bool) -> None:
    failed = f"Error taking CPU{cpu} down: -28\n"
    (f,) = of("VEC-007", STUCK.format(3, 116, 85) + "x\n" * (lines - 1) + failed)
    assert ([e.role for e in f.evidence], "(-28)" in f.summary) == (["cause"] + ["effect"] * told, told)


# IRQ-009


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("Unable to change power state from D3cold to D0, device inaccessible", "its power state cannot be changed from D3cold to D0"),
        ("Refused to change power state from D3hot to D0", "it does not leave D3hot"),
        ("Refused to change power state, currently in D3", "it does not leave D3 "),
        ("not ready 65535ms after bus reset; giving up", "it did not come back within 65535 ms after bus reset"),
    ],
)
def test_what_a_device_that_is_gone_does_not_do(said: str, what: str) -> None:
    (f,) = of("IRQ-009", f"[  812.000000] vfio-pci 0000:84:00.1: {said}\n")
    assert (f.subject.bdf, what in f.summary) == ("0000:84:00.1", True)


# IRQ-002

A, B = "0000:41:00.0", "0000:42:00.0"


def used(vector: int, name: str = A) -> str:
    return f"vfio_msix_vector_do_use ({name}) vector {vector} used\n"


def signalled(vector: int, name: str = A) -> str:
    return f"vfio_msi_interrupt ({name}) vector {vector} 0xfee00000/0x4021\n"


PENDING = f"vfio_msix_pba_enable ({A})\n"


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("", signalled(0) + used(0), "clear"),
        ("", signalled(1) + used(0), "inconclusive"),  # another vector was unmasked
        ("", signalled(1) + used(0) + used(1), "clear"),
        ("", used(0), "inconclusive"),  # which one is pending is not recorded
        (signalled(0), used(0), "inconclusive"),  # an earlier one, that was delivered
        (signalled(1), signalled(0) + signalled(1) + used(0), "clear"),  # the first below
        ("", signalled(1, B) + signalled(0) + used(0), "clear"),  # of another device
        ("", signalled(0, B) + used(0), "inconclusive"),
    ],
)
def test_a_pending_interrupt_is_of_the_vector_that_qemu_names_below_it(before: str, after: str, told: str) -> None:
    """QEMU's vfio_msi_interrupt() prints vfio_msix_pba_enable where the vector is masked, then the vector."""
    begun = f"vfio_msix_enable ({A})\n{used(0)}{before}{PENDING}"
    assert outcome(run(begun + after), "IRQ-002").outcome == told
    assert outcome(run(begun + used(0), "\n" * begun.count("\n") + signalled(0)), "IRQ-002").outcome == "inconclusive"  # another log


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Detected reserved fields in the decoded interrupt-remapped request", 0x20),
        ("Interrupt index exceeded the interrupt-remapping table size", 0x21),
        ("Present field in the IRTE entry is clear", 0x22),
        ("Error accessing interrupt-remapping table pointed by IRTA_REG", 0x23),
        ("Detected reserved fields in the IRTE entry", 0x24),
        ("Blocked a compatibility format interrupt request", 0x25),
        ("Blocked an interrupt request due to source-id verification failure", 0x26),
    ],
)
def test_a_reason_is_the_one_of_its_text(text: str, reason: int) -> None:
    line = f"[    1.000000] DMAR: [INTR-REMAP] Request device [00:09.0] fault index 0x3000 [fault reason 0x01] {text}\n"
    assert tables(line)["remap_faults"]["reason"].to_list() == [reason]


# IRQ-001: which guest vector is the host's


def paired(*routes: tuple[int, int] | None, step: float = 1.0) -> str:
    """One handler entry a step, each with an injection by destination and vector, or none; another vector's injections to the end."""
    text = ""
    for i, route in enumerate(routes):
        text += interrupt(10 + i * step, injected=False)
        if route is not None:
            text += f"          <idle>-0 [000] d.h1. {10 + i * step + 0.00002:12.6f}: kvm_msi_set_irq: dst {route[0]:x} vec {route[1]} (Fixed|physical|edge)\n"
    return (
        text + f"          <idle>-0 [000] d.h1. {10 + len(routes) * step + 1:12.6f}: kvm_msi_set_irq: dst 0 vec 99 (Fixed|physical|edge)\n"
    )


@pytest.mark.parametrize(("entries", "told"), [(8, "inconclusive"), (9, "clear")])
def test_nine_entries_of_a_vector_show_that_nothing_was_lost(entries: int, told: str) -> None:
    assert outcome(run(paired(*[(2, 49)] * entries)), "IRQ-001").outcome == told


@pytest.mark.parametrize(("other", "found"), [((2, 49), 1), ((1, 49), 0), ((2, 50), 0)])
def test_a_vector_is_learned_where_destination_and_vector_are_always_the_same(other: tuple[int, int], found: int) -> None:
    assert len(of("IRQ-001", paired(*[(2, 49)] * 8, None, other))) == found
