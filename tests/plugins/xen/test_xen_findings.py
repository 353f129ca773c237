"""XEN-001 to XEN-009 and CFG-004: each fires on its story, and stays quiet on a near one."""

import pytest

from tracekit.testing import findings, outcome, run, shape

HVM = "[    0.000000] Hypervisor detected: Xen HVM\n"
PV = "[    0.000000] Hypervisor detected: Xen PV\n"


def bound(t: float, bdf: str, pirq: int, irq: int, how: str = "msi bound to") -> str:
    """What an HVM guest prints for one vector."""
    return f"[{t:12.6f}] nvme {bdf}: xen: {how} pirq={pirq}\n[{t + 0.000001:12.6f}] nvme {bdf}: xen: msi --> pirq={pirq} --> irq={irq}\n"


def reused(last: str) -> str:
    """Two controllers; the first one takes its cached number while the second has it."""
    return (
        HVM
        + bound(1.0, "0000:00:04.0", 101, 60)
        + bound(1.5, "0000:00:05.0", 101, 61)
        + bound(1.6, "0000:00:04.0", 101, 62, "msi already bound to")
        + last
    )


def xen(text: str, **named: str) -> list[tuple[str, str | None, str, str | None, list[int]]]:
    """The shape of the Xen findings."""
    return shape([f for f in findings(text, **named) if f.code.startswith(("XEN", "CFG-004"))])


def test_one_number_for_two_devices_is_proven_by_the_refused_channel() -> None:
    assert xen(reused("[    1.600003] xen:events: Failed to obtain physical IRQ 62\n")) == [
        ("XEN-001", "proven", "0000:00:04.0", None, [4, 6, 8]),
        ("XEN-004", "proven", "0000:00:04.0", "XEN-001", [6, 8]),
    ]


def test_without_the_refusal_it_is_possible() -> None:
    assert xen(reused("")) == [("XEN-001", "possible", "0000:00:04.0", None, [4, 6])]


@pytest.mark.parametrize(("error", "grade", "lines"), [(-17, "proven", [4, 6, 1]), (-22, "possible", [4, 6])])
def test_xen_proves_it_by_a_channel_that_is_there_already(error: int, grade: str, lines: list[int]) -> None:
    refused = f"(XEN) event_channel.c:319:d3v0 EVTCHNOP failure: error {error}\n"
    assert xen(reused(""), xl=refused) == [("XEN-001", grade, "0000:00:04.0", None, lines)]


def test_one_device_that_takes_its_own_number_again_is_quiet() -> None:
    text = HVM + bound(1.0, "0000:00:04.0", 101, 60) + bound(1.5, "0000:00:04.0", 101, 61, "msi already bound to")
    assert xen(text) == []


def test_a_number_that_xen_hands_to_another_device_is_quiet() -> None:
    text = HVM + bound(1.0, "0000:00:04.0", 101, 60) + bound(1.5, "0000:00:05.0", 101, 60)
    assert xen(text) == []


DEBUG_TWICE = """\
[   10.000000] xen:events: creating evtchn using pirq 101 irq 290
[   10.100000] xen:events: creating evtchn using pirq 100 irq 291
[   11.000000] xen:events: shutdown_pirq: closing evtchn for pirq 100 irq 291
[   12.000000] xen:events: creating evtchn using pirq 101 irq 295
"""


def test_a_second_channel_on_an_open_one_is_possible_while_the_devices_are_unknown() -> None:
    assert xen(DEBUG_TWICE) == [("XEN-001", "possible", "an unnamed device", None, [1, 4])]


def test_two_functions_that_share_several_numbers_are_one_finding() -> None:
    text = DEBUG_TWICE.replace("[   12", "[   11.500000] xen:events: creating evtchn using pirq 99 irq 296\n[   12")
    text += "[   13.000000] xen:events: creating evtchn using pirq 99 irq 297\n"
    assert xen(text) == [("XEN-001", "possible", "an unnamed device", None, [1, 4, 5, 6])]


def test_debug_lines_that_contradict_each_other_are_inconclusive() -> None:
    ends = "".join(f"[    9.{n}00000] xen:events: shutdown_pirq: closing evtchn for pirq {n} irq {n + 40}\n" for n in range(3))
    assert xen(ends + DEBUG_TWICE) == []
    assert outcome(run(ends + DEBUG_TWICE), "XEN-001").outcome == "inconclusive"


def test_a_second_channel_after_a_close_is_quiet() -> None:
    closed = "[   11.500000] xen:events: shutdown_pirq: closing evtchn for pirq 101 irq 290\n"
    head, tail = DEBUG_TWICE[: DEBUG_TWICE.index("[   12")], DEBUG_TWICE[DEBUG_TWICE.index("[   12") :]
    assert xen(head + closed + tail) == []


def falling(cycles: int, lowest: int | None = None) -> str:
    """A guest that takes a fresh number each time, over a device model that unmaps (lowest given: it does not)."""
    text = HVM
    for i in range(cycles):
        text += bound(10.0 + 5 * i, "0000:00:04.0", 101 if lowest is None else 101 - i, 60)
    return text


def test_numbers_that_fall_to_the_end_are_a_leak_and_starve_the_guest() -> None:
    text = falling(32, 70) + "[  500.000000] nvme 0000:00:04.0: Failed to create MSI-X! ret=-19!\n"
    found = xen(text)
    assert [f[:4] for f in found] == [("XEN-003", "probable", "guest", None), ("XEN-002", "proven", "guest (0000:00:04.0)", "XEN-003")]
    assert found[0][4] == [2 + 2 * i for i in range(31)]
    assert found[1][4] == [*(2 + 2 * i for i in range(32)), 66]


def test_numbers_let_go_before_a_request_that_gets_none_are_a_leak() -> None:
    """A guest with four numbers, over a device model that does not unmap, reloads its driver; its twin is probed no second time."""
    probe = "[   {}.000000] nvme nvme0: pci function 0000:00:04.0\n"
    took = "".join(bound(10.0 + i / 1000, "0000:00:04.0", 27 - i, 60 + i) for i in range(4))
    refused = "[   20.000100] nvme 0000:00:04.0: Failed to create MSI-X! ret=-19!\n"
    found = xen(HVM + probe.format(10) + took + probe.format(20) + refused)
    assert found[0] == ("XEN-003", "probable", "guest", None, [3, 5, 7, 9, 12])
    assert [(f[0], f[3]) for f in found[1:]] == [("XEN-002", "XEN-003")]
    assert [f[0] for f in xen(HVM + probe.format(10) + took + refused)] == ["XEN-002"]


def test_numbers_that_recur_over_fifty_reloads_are_quiet() -> None:
    result = run(falling(50))
    assert [f for f in result.findings if f.code.startswith("XEN")] == []
    assert outcome(result, "XEN-003").reason == "numbers that were let go are handed out again"


def test_many_vectors_of_one_enable_are_no_leak() -> None:
    text = HVM + "".join(bound(10.0 + i / 1000, "0000:00:04.0", 101 - i, 60 + i) for i in range(8))
    assert xen(text) == []


def test_numbers_that_debug_code_takes_are_lost() -> None:
    text = "".join(f"[{i + 1:5}.000000] xen:events: shutdown_pirq: get_free_pirq returned pirq {93 - i}\n" for i in range(3))
    assert xen(text) == [("XEN-003", "probable", "guest", None, [1, 2, 3])]
    assert xen(text.replace("pirq 92", "pirq 93")) == []


def requested(pirqs: list[int], unmap: bool) -> str:
    """A device model's log: one entry, mapped anew again and again."""
    text = ""
    for p in pirqs:
        text += f"[00:05.0] msi_msix_setup: requested pirq {p} for MSI-X (vec: 0, entry: 0)\n"
        text += f"[00:05.0] msi_msix_disable: Unmap MSI-X pirq {p}\n" if unmap else "[00:05.0] msix_set_enable: disabling MSI-X.\n"
    return text


def test_a_device_model_that_never_unmaps_leaks() -> None:
    assert xen(requested([87, 86, 85, 84], unmap=False)) == [("XEN-003", "probable", "guest's 00:05.0", None, [1, 3, 5, 7])]
    assert xen(requested([87, 86, 85, 84], unmap=True)) == []


REFUSED = """\
[  108.926011] e1000e 0000:3b:00.1: xen map irq failed -28 for 32752 domain
[  108.928161] xen:events: unmap irq failed -22
[  108.941758] e1000e 0000:3b:00.1 0000:3b:00.1 (uninitialized): Failed to initialize MSI-X interrupts.  Falling back to MSI interrupts.
"""


def inventory(*pirqs: int) -> str:
    return "".join(
        f"(XEN)    IRQ:{24 + i:4} vec:{0x31 + i:02x} PCI-MSI/-X      status=010 aff:{{0}}/{{0-1}} in-flight=0 d0:{p:3}(---)\n"
        for i, p in enumerate(pirqs)
    )


LIMITS = "(XEN) Command line: com1=115200,8n1 extra_guest_irqs=,6\n(XEN) IRQ limits: 24 GSI, 392 MSI/MSI-X\n"


def test_a_refusal_alone_is_probable() -> None:
    assert xen(REFUSED) == [
        ("XEN-002", "probable", "dom0 (0000:3b:00.1)", None, [1]),
        ("XEN-007", "proven", "0000:3b:00.1", "XEN-002", [2]),
    ]


def test_the_inventory_proves_it() -> None:
    found = findings(LIMITS + REFUSED + inventory(29, 28, 27, 26, 25))
    assert shape([f for f in found if f.code == "XEN-002"]) == [("XEN-002", "proven", "dom0 (0000:3b:00.1)", None, [1, 2, 3, 6])]
    assert dict(found[0].values) == {"errno": -28, "refusals": 1, "extra": 6, "gsis": 24, "held": 5}
    assert [f.code for f in found if f.code == "CFG-004"] == []


def test_two_logs_prove_it_together() -> None:
    found = findings(dmesg=REFUSED, xl=LIMITS + inventory(29, 28, 27, 26, 25))
    assert [(f.code, f.grade) for f in found if f.code.startswith("XEN")] == [("XEN-002", "proven"), ("XEN-007", "proven")]


def test_a_domain_with_room_left_is_not_proven() -> None:
    found = xen(LIMITS.replace(",6", ",40") + REFUSED + inventory(63, 62))
    assert found[0][:2] == ("XEN-002", "probable")


def test_a_debug_hypervisor_says_it_itself() -> None:
    assert xen("(XEN) arch/x86/irq.c:2963: dom1: no free pirq\n") == [("XEN-002", "proven", "dom1", None, [1])]


def test_the_old_words_mean_a_missing_pirq_in_an_hvm_guest_only() -> None:
    line = "[    5.000000] nvme 0000:00:04.0: Xen PCI frontend has not registered MSI/MSI-X support!\n"
    assert xen(HVM + line) == [("XEN-002", "probable", "guest (0000:00:04.0)", None, [2])]
    assert xen(PV + line) == [("XEN-008", "proven", "0000:00:04.0", None, [2])]
    assert xen(line) == [("XEN-008", "probable", "0000:00:04.0", None, [1])]


def test_multi_vector_msi_that_is_cut_to_one_is_quiet() -> None:
    assert (
        xen("""\
     modprobe-9       [000] .....     1.000001: a: (xen_initdom_setup_msi_irqs+0x0/0x340) dev=0xffff888005622000 nvec=4 type=5
     modprobe-9       [000] .....     1.000002: d: (msi_domain_alloc_irqs_descs_locked+0x39/0xb0 <- xen_initdom_setup_msi_irqs) ret=1
     modprobe-9       [000] .....     1.000003: a: (xen_initdom_setup_msi_irqs+0x0/0x340) dev=0xffff888005622000 nvec=1 type=5
     modprobe-9       [000] .....     1.000004: d: (msi_domain_alloc_irqs_descs_locked+0x39/0xb0 <- xen_initdom_setup_msi_irqs) ret=0
""")
        == []
    )


def test_an_unmap_that_fails_alone_is_no_by_product() -> None:
    found = [f for f in findings(PV + "[  200.000000] xen:events: unmap irq failed -22\n") if f.code.startswith("XEN")]
    assert shape(found) == [("XEN-007", "proven", "an unnamed device", None, [2])]
    assert found[0].severity == "medium"
    assert xen(PV + "[  200.000000] xen:events: domain 5 does not have 87 anymore\n") == []


def test_a_forced_unbind_and_a_device_models_refusal() -> None:
    assert xen("(XEN) irq.c:2200: dom3: forcing unbind of pirq 87\n") == [("XEN-007", "proven", "dom3", None, [1])]
    text = "[00:05.0] msi_msix_disable: Error: Unmapping of MSI-X pirq 87 failed. (err: 22)\n"
    assert xen(text) == [("XEN-007", "proven", "guest's 00:05.0", None, [1])]


def test_a_mapping_refused_for_another_reason() -> None:
    assert xen("[  1.000000] ice 0000:3b:00.1: xen map irq failed -19 for 32752 domain\n") == [
        ("XEN-005", "proven", "0000:3b:00.1", None, [1])
    ]
    assert xen("[  1.000000] xen map irq failed -22\n") == []


def test_the_device_models_errno_and_the_real_function() -> None:
    text = "[00:09.0] xen_pt_realize: Real physical device 3b:00.2 registered successfully\n"
    text += "[00:09.0] msi_msix_setup: Error: Mapping of MSI-X (err: 19, vec: 0xef, entry 0x0)\n"
    text += "[00:09.0] msi_msix_setup: Error: Mapping of MSI-X (err: 19, vec: 0xef, entry 0x1)\n"
    assert xen(text) == [("XEN-005", "proven", "0000:3b:00.2", None, [2, 3])]
    assert (
        xen(
            text.replace("Error: Mapping of", "Updating").replace("(err: 19, vec: 0xef, entry", "with pirq 87 gvec 0xef gflags 0x0 (entry:")
        )
        == []
    )


def test_pcibacks_refusal() -> None:
    text = PV + "[  207.342964] pciback 0000:65:00.0: xen_pciback: error enabling MSI-X for guest 2: err -22!\n"
    assert xen(text) == [("XEN-005", "proven", "0000:65:00.0", None, [2])]


def test_a_refused_channel_without_a_shared_number() -> None:
    assert xen(HVM + bound(1.0, "0000:00:04.0", 101, 60) + "[    1.100000] xen:events: Failed to obtain physical IRQ 60\n") == [
        ("XEN-004", "proven", "0000:00:04.0", None, [2, 4])
    ]
    assert xen(HVM + "[    1.100000] xen:events: Failed to obtain physical IRQ 9\n") == []


def test_a_backend_that_refuses() -> None:
    text = "[    7.2] e1000e 0000:00:00.0: enable msix get err fffffffb\n".replace("7.2]", "7.239661]")
    text += "[    7.239684] e1000e 0000:00:00.0: Xen PCI frontend error: -22!\n"
    assert xen(PV + text) == [("XEN-008", "proven", "0000:00:00.0", None, [2, 3])]


def test_a_message_of_all_ones() -> None:
    text = "(XEN) d[IDLE]v16: Unsupported MSI delivery mode 7 for Dom15\n(XEN) d15v0: Unsupported MSI delivery mode 7 for Dom15\n"
    assert xen(text) == [("XEN-009", "proven", "dom15", None, [1, 2])]


FAULT = """\
[    9.000000] BUG: unable to handle page fault for address: ffffc90000a3500c
[    9.000001] #PF: supervisor write access in kernel mode
[    9.000002] #PF: error_code(0x0003) - permissions violation
[    9.000003] Oops: 0003 [#1] PREEMPT SMP NOPTI
[    9.000004] RIP: e030:__pci_write_msi_msg+0x59/0x150
"""


def test_a_write_to_a_read_only_table_under_xen() -> None:
    assert [f for f in xen(PV + FAULT) if f[0] == "XEN-009"] == [("XEN-009", "probable", "host", None, [5, 6])]
    assert xen(FAULT.replace("e030", "0010")) == []
    assert [f for f in xen(PV + FAULT.replace("Oops: 0003", "Oops: 0002")) if f[0] == "XEN-009"] == []


SILENT = """\
[    0.000000] Linux version 5.15.0-generic (builder@lab) (gcc) #1 SMP
[    0.000000] Hypervisor detected: Xen HVM
[   40.000000] nvme nvme0: I/O 12 QID 1 timeout, completion polled
"""
ROWS = """\
            CPU0       CPU1
 60:          0          0  xen-pirq    -msi-x     nvme0q0
 61:          0          0  xen-pirq    -msi-x     nvme0q1
 62:         31          4  xen-pirq    -msi-x     eth0
"""


def test_a_device_that_never_interrupts_in_an_hvm_guest() -> None:
    found = [f for f in findings(dmesg=SILENT, interrupts=ROWS) if f.code == "XEN-006"]
    assert [(f.code, f.grade, f.subject.label) for f in found] == [("XEN-006", "probable", "nvme0")]
    assert sorted((e.source.rsplit("/")[-1], e.line) for e in found[0].evidence) == [
        ("dmesg", 1), ("dmesg", 2), ("dmesg", 3), ("interrupts", 2), ("interrupts", 3)
    ]  # fmt: skip


def test_an_idle_device_and_a_fixed_kernel_are_not_found() -> None:
    idle = run(dmesg=SILENT[: SILENT.index("[   40")], interrupts=ROWS)
    assert outcome(idle, "XEN-006").outcome == "inconclusive"
    fixed = run(dmesg=SILENT.replace("5.15.0", "6.1.0"), interrupts=ROWS)
    assert outcome(fixed, "XEN-006").outcome == "inconclusive"


def test_a_small_limit_is_told_and_a_large_one_is_not() -> None:
    assert xen(LIMITS) == [("CFG-004", None, "dom0", None, [1, 2])]
    assert xen(LIMITS.replace("=,6", "=64,256")) == []
    assert xen("(XEN) IRQ limits: 24 GSI, 392 MSI/MSI-X\n(XEN) d0 has maximum 416 PIRQs\n") == []
    assert xen("(XEN) IRQ limits: 24 GSI, 40 MSI/MSI-X\n(XEN) d0 has maximum 40 PIRQs\n") == [("CFG-004", None, "dom0", None, [1, 2])]


def test_an_ordinary_boot_under_xen_is_quiet() -> None:
    assert (
        xen("""\
[    0.000000] Hypervisor detected: Xen PV
[    2.273037] Xen version: 4.17.7 (preserve-AD)
[    3.603270] xen:events: Using FIFO-based ABI
[    3.611182] xen: --> pirq=1 -> irq=1 (gsi=1)
[   57.985771] xen: registering gsi 22 triggering 0 polarity 0
[   95.163419] Already setup the GSI :20
(XEN) Dom0 has maximum 8 VCPUs
(XEN) physdev.c:162: dom0: wrong map_pirq type 3
""")
        == []
    )


REDACTED = "[  100.000000] pciback {}: xen_map irq failed -28 for {} domain\n"


def test_a_placeholder_stands_where_an_address_or_a_domain_stands() -> None:
    for address in ("<pci-address>", "xx:xx.x", "XXXX:XX:XX.X", "0000:##:##.#", "[redacted]", "BB:DD.F", "0000:**:**.*", "REDACTED"):
        for domid in ("<domid>", "[redacted]", "X", "##", "REDACTED"):
            (found,) = findings(REDACTED.format(address, domid))
            assert (found.code, found.grade, found.subject.label) == ("XEN-002", "probable", "guest")
    assert xen(REDACTED.format("0000:41:00.0", "3")) == [("XEN-002", "probable", "dom3 (0000:41:00.0)", None, [1])]


def test_an_absurd_domain_number_costs_its_own_row() -> None:
    row = "(XEN)    IRQ:  33 vec:83 PCI-MSI/-X      status=010 aff:{0}/{0-1} in-flight=0 d%s:406(---)\n"
    made = run(row % 18446744073709551615 + row.replace("33", "34") % 0)
    assert made.errors == ()
    assert findings(row % 18446744073709551615 + "(XEN) Command line: extra_guest_irqs=99999999999999999999999,8\n")[0].code == "CFG-004"


def enabled(t: float, pirqs: list[int], irq: int, ret: int = 0, function: str = "xen_hvm_setup_msi_irqs") -> str:
    """A traced enable of a guest: each vector's pirq is bound to an irq."""
    task = "     modprobe-9       [000] ..... "
    lines = [f"{task}{t:12.6f}: a: ({function}+0x0/0x1a0) dev=0xffff888005622000 nvec=4 type=17"]
    for i, pirq in enumerate(pirqs):
        lines.append(f"{task}{t + i / 1e4:12.6f}: b: (xen_bind_pirq_msi_to_irq+0x0/0x1e0) dev=0xffff888005622000 pirq={pirq} nvec=1")
        lines.append(f"{task}{t + i / 1e4:12.6f}: c: (xen_hvm_setup_msi_irqs+0xf3/0x1a0 <- xen_bind_pirq_msi_to_irq) ret={irq + i}")
    lines.append(f"{task}{t + 0.01:12.6f}: d: (msi_domain_alloc_irqs_descs_locked+0x39/0xb0 <- {function}) ret={ret}")
    return "\n".join(lines) + "\n"


def destroyed(t: float, irqs: list[int]) -> str:
    """A traced disable of it."""
    task = "     modprobe-9       [000] ..... "
    return "".join(
        f"{task}{t + i / 1e4:12.6f}: e: (xen_destroy_irq+0x0/0xc0) irq={irq}\n{task}{t + i / 1e4:12.6f}: f: (x+0x1/0x2 <- xen_destroy_irq) ret=0\n"
        for i, irq in enumerate(irqs)
    )


def test_a_leak_of_an_hvm_guest_leads_to_its_refusal() -> None:
    cycles = "".join(
        enabled(10.0 * n, [90 - 4 * n, 89 - 4 * n, 88 - 4 * n, 87 - 4 * n], 60 + 4 * n)
        + destroyed(10.0 * n + 5, [60 + 4 * n + i for i in range(4)])
        for n in range(1, 4)
    )
    found = [f for f in findings(cycles + enabled(50.0, [], 80, ret=-19)) if f.code.startswith("XEN")]
    assert [(f.code, f.explained_by, f.subject.label.partition(" ")[0]) for f in found] == [
        ("XEN-003", None, "guest"),
        ("XEN-002", "XEN-003", "guest"),
    ]


def test_a_guests_minus_19_is_no_refusal_of_the_device() -> None:
    assert [f.code for f in findings(enabled(50.0, [], 80, ret=-19)) if f.code.startswith("XEN")] == ["XEN-002"]
    dom0 = enabled(50.0, [], 80, ret=-19, function="xen_initdom_setup_msi_irqs")
    assert [f.code for f in findings(dom0) if f.code.startswith("XEN")] == ["XEN-005"]


def test_the_log_of_a_guest_tells_whose_trace_it_is() -> None:
    trace = enabled(50.0, [], 80, ret=-28, function="xen_initdom_setup_msi_irqs")
    said = "[    0.100000] xen:events: Xen HVM callback vector for event delivery is enabled\n"
    (guest,) = [f for f in findings(trace=trace, dmesg=said) if f.code == "XEN-002"]
    (dom0,) = [f for f in findings(trace=trace, dmesg=PV) if f.code == "XEN-002"]
    assert (guest.subject.label.partition(" ")[0], dom0.subject.label.partition(" ")[0]) == ("guest", "dom0")
    assert ("Raise extra_guest_irqs=N on" in guest.advice, "Raise extra_guest_irqs=,N on" in dom0.advice) == (True, True)


TABLE = "(XEN) DEVICE BUG: 0000:03:00.0: MSI-X vector table offset 0x2000 size 0x400 outside of BAR0 size 0x2000\n"
HIDDEN = "(XEN) d0 0000:03:00.0: fail to add MSIX ctrl handler rc=-17\n"


def test_vpci_hides_a_table_that_it_cannot_use() -> None:
    assert xen(TABLE + HIDDEN) == [("XEN-009", "proven", "0000:03:00.0", None, [1, 2])]
    assert xen(HIDDEN) == [("XEN-009", "proven", "0000:03:00.0", None, [1])]
    assert xen("(XEN) d0 0000:03:00.0: MSI-X found at 0xb0\n(XEN) DEVICE BUG: 0000:03:00.0: Lo and Hi power not equal\n") == []


SELECTORS = """\
[    9.000001] BUG: unable to handle page fault for address: ffffc900400a5000
[    9.000002] Oops: 0003 [#1] SMP NOPTI
[    9.000003] RIP: {}:__pci_write_msi_msg+0x5a/0x150
[    9.000004] RSP: {}:ffffc9004003bc40 EFLAGS: 00010246
"""


def test_a_pv_kernel_is_known_by_its_selectors() -> None:
    assert [f.code for f in findings(SELECTORS.format("e030", "e02b")) if f.code.startswith("XEN")] == ["XEN-009"]
    assert [f.code for f in findings(SELECTORS.format("0010", "0018")) if f.code.startswith("XEN")] == []


def test_a_frontend_in_the_log_tells_a_pv_guest() -> None:
    missing = "[    5.000000] nvme 0000:00:04.0: Xen PCI frontend has not registered MSI/MSI-X support!\n"
    signs = ["pcifront pci-0: Installing PCI frontend", "RSP: e02b:ffffc9004003bc40 EFLAGS: 00010246", " xen_start_kernel+0x52b/0x530"]
    assert [xen(f"[    1.000000] {sign}\n" + missing)[0][1] for sign in signs] == ["proven"] * 3
    assert xen("[    1.000000]  start_kernel+0x52b/0x530\n" + missing)[0][1] == "probable"


def test_vt_d_of_xen_says_that_its_table_is_full() -> None:
    said = "(XEN) [VT-D]drivers/passthrough/vtd/intremap.c:551: {} intremap index (65536) larger than maximum index (65535){}\n"
    assert [(f.code, f.grade) for f in findings(said.format("MSI", "!"))] == [("VEC-005", "proven")]
    assert findings(said.format("IO-APIC", "")) == []


OVERLAP = "(XEN) d0v0 0000:03:00.0: existing mapping (mfn: 1c1880 type: 0) at 0 clobbers MSIX MMIO area\n"


@pytest.mark.parametrize(
    ("text", "lines", "said"),
    [
        (OVERLAP, [1], "MSI-X of"),
        ("(XEN) d0 0000:03:00.0: init legacy cap 17 fail rc=-17, mask it\n", [1], "MSI-X of"),
        ("(XEN) d0 0000:03:00.0: init legacy cap 5 fail rc=-12, mask it\n", [1], "MSI of"),
        (OVERLAP + "(XEN) d0 0000:03:00.0: init legacy cap 17 fail rc=-17, mask it\n", [1, 2], "something is mapped"),
    ],
)
def test_vpci_masks_a_capability(text: str, lines: list[int], said: str) -> None:
    (found,) = findings(text)
    assert shape([found]) == [("XEN-009", "proven", "0000:03:00.0", None, lines)]
    assert said in found.summary


def test_vpci_masks_a_capability_that_is_not_of_interrupts() -> None:
    assert xen("(XEN) d0 0000:03:00.0: init legacy cap 1 fail rc=-12, mask it\n") == []
    assert xen("(XEN) d0 0000:03:00.0: init extended cap 16 fail rc=-12, mask it\n") == []


MODEL = "[00:09.0] msi_msix_setup: Error: Mapping of {} (err: {}, vec: 0xef, entry {})\n"
PCIBACK = "[  1.000000] pciback 0000:3b:00.1: xen map irq failed {} for {} domain\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PCIBACK.format(-19, 32752), "Give the device back to its domain"),
        (PCIBACK.format(-19, 1), "Assign the device to the guest in Xen"),
        ("[  1.0] pciback 0000:3b:00.1: error enabling MSI for guest 1: err -19\n".replace("1.0]", "1.000000]"), "Assign the device"),
        (MODEL.format("MSI", 19, "0x0"), "Assign the device to the guest in Xen"),
        (MODEL.format("MSI-X", 22, "0x3"), "where its table has grown"),
        (MODEL.format("MSI-X", 22, "0x0"), "See `xl dmesg`"),
        (MODEL.format("MSI", 22, "0x0"), "See `xl dmesg`"),
        (PCIBACK.format(-22, 1), "pci=nomsi"),
    ],
)
def test_what_to_do_depends_on_who_was_refused(text: str, said: str) -> None:
    (found,) = findings(text)
    assert (found.code, said in found.advice) == ("XEN-005", True)


FORCED = "(XEN) irq.c:2812: dom0: -1:-1 already mapped to {}\n"
BUSY = "(XEN) vmsi.c:762:d0v0 0000:03:00.0: failed to map PIRQ: -16\n"


@pytest.mark.parametrize(
    ("text", "lines", "forced"),
    [
        (FORCED.format(-640) + BUSY, [1, 2], True),
        (FORCED.format(640) + BUSY, [2], False),
        (FORCED.format(-640) + "(XEN) x\n" * 4 + BUSY, [6], False),
        (BUSY + FORCED.format(-640), [1], False),
        (FORCED.format(-640) + BUSY.replace("-16", "-22"), [2], False),
    ],
)
def test_a_number_unbound_by_force_is_of_the_same_domain(text: str, lines: list[int], forced: bool) -> None:
    (found,) = [f for f in findings(text) if f.code == "XEN-005"]
    assert shape([found]) == [("XEN-005", "proven", "0000:03:00.0", None, lines)]
    assert ("No other domain" in found.advice, "unbound by force" in found.summary) == (forced, forced)


NOT_MAPPED = "[00:{}.0] xen_pt_msgctrl_reg_write: Warning: Can not map MSI (register: 81)!\n"


def test_the_device_model_did_not_map_msi() -> None:
    real = "[00:0a.0] xen_pt_realize: Real physical device 3b:00.2 registered successfully\n"
    assert xen(real + NOT_MAPPED.format("0a")) == [("XEN-005", "proven", "0000:3b:00.2", None, [2])]
    assert xen(MODEL.format("MSI", 19, "0x0") + NOT_MAPPED.format("09")) == [("XEN-005", "proven", "guest's 00:09.0", None, [1])]


LIBXL = "libxl: error: libxl_pci.c:1461:pci_add_dm_done: {}xc_physdev_map_pirq irq=19 (error=-1): {}\n"
GIVEN_UP = "libxl: error: libxl_pci.c:1809:device_pci_add_done: Domain {}:libxl__device_pci_add failed for PCI device 0:2:0.1 (rc -3)\n"


def test_a_line_that_libxl_cannot_map_takes_the_device_with_it() -> None:
    text = LIBXL.format("Domain 4:", "Function not implemented")
    assert xen(text + GIVEN_UP.format(4)) == [("XEN-005", "proven", "0000:02:00.1", None, [1, 2])]
    assert xen(text + GIVEN_UP.format(5)) == [("XEN-005", "probable", "dom4", None, [1])]
    assert xen(LIBXL.format("", "Operation not permitted")) == [("XEN-005", "probable", "guest", None, [1])]
    assert xen(GIVEN_UP.format(4)) == []
    (found,) = findings(text)
    assert (found.severity, "PVH" in found.advice) == ("medium", True)


@pytest.mark.parametrize(
    ("errno", "said"), [(-114, "has this mode on already"), (-6, "the other mode on"), (-22, "check that dom0 has MSI on")]
)
def test_what_pciback_answers_tells_what_to_do(errno: int, said: str) -> None:
    (found,) = findings(PV + f"[    7.239684] e1000e 0000:00:00.0: Xen PCI frontend error: {errno}!\n")
    assert (found.code, said in found.advice) == ("XEN-008", True)


def test_a_refused_channel_names_the_domain_alone_in_old_builds() -> None:
    refused = "[    1.100000] xen:events: Failed to obtain physical IRQ 60\n"
    old = "(XEN) event_channel.c:271:d1 EVTCHNOP failure: error -17\n"
    assert xen(HVM + bound(1.0, "0000:00:04.0", 101, 60) + refused, hypervisor=old) == xen(
        HVM + bound(1.0, "0000:00:04.0", 101, 60) + refused, hypervisor=old.replace("d1 ", "d1v0 ")
    )
    assert xen(old) == [("XEN-004", "possible", "dom1", None, [1])]


NO_IRQ = "(XEN) irq.c:2263: dom4: can't create irq for msi!\n"
MODEL_REFUSED = "[00:07.0] msi_msix_setup: Error: Mapping of MSI-X (err: {}, vec: 0x40, entry 0x2)\n"


def test_xen_that_has_no_irq_left_says_so() -> None:
    (f,) = findings(NO_IRQ * 2)
    assert (shape([f]), f.values) == ([("XEN-005", "proven", "dom4", None, [1, 2])], {"errno": -22, "refusals": 2})
    assert "nr_irqs=" in f.advice
    assert findings("(XEN) irq.c:2263: dom4: map invalid irq 4000\n") == []


@pytest.mark.parametrize(
    ("err", "found"), [(22, [("guest's 00:07.0", [1, 2], True)]), (19, [("dom4", [1], True), ("guest's 00:07.0", [2], False)])]
)
def test_what_others_see_of_it_is_one_finding_and_another_errno_is_not(err: int, found: list[tuple[str, list[int], bool]]) -> None:
    told = sorted(findings(NO_IRQ + MODEL_REFUSED.format(err)), key=lambda f: f.subject.label)
    assert [(f.subject.label, sorted(e.line for e in f.evidence), "nr_irqs=" in f.advice) for f in told] == found


@pytest.mark.parametrize(("caller", "domid"), [("d4v1", 4), ("d4", 4), ("d12v0", 12)])
def test_a_hypervisor_alone_refuses_a_guests_channel(caller: str, domid: int) -> None:
    (f,) = findings(f"(XEN) event_channel.c:332:{caller} EVTCHNOP failure: error -17\n")
    assert (shape([f]), f.severity) == ([("XEN-004", "possible", f"dom{domid}", None, [1])], "medium")


@pytest.mark.parametrize(
    "said", ["d0v2 EVTCHNOP failure: error -17", "d4v1 EVTCHNOP failure: error -22", "d0 EVTCHNOP failure: domain 9, error -17"]
)
def test_dom0_and_other_errnos_are_quiet(said: str) -> None:
    assert findings(f"(XEN) event_channel.c:332:{said}\n") == []


def test_the_guests_own_word_decides() -> None:
    text = HVM + "[    1.100000] xen:events: Failed to obtain physical IRQ 60\n"
    found = xen(text + "(XEN) event_channel.c:332:d4v1 EVTCHNOP failure: error -17\n")
    assert found == [("XEN-004", "proven", "an unnamed device", None, [2, 3])]


OBTAIN = "[    6.200000] Failed to obtain physical IRQ {}\n"
REQUEST = "[    6.{}0000] igb 0000:00:05.0: eth1: request_irq failed -19\n"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (OBTAIN.format(61) + REQUEST.format("21"), "XEN-004"),
        (REQUEST.format("19") + OBTAIN.format(61), None),
        (OBTAIN.format(61) + "[    6.300000] usb 1-1: new device\n" * 4 + REQUEST.format("40"), None),
        (OBTAIN.format(9) + REQUEST.format("21"), None),  # a legacy line that is merely probed
    ],
)
def test_a_driver_that_is_refused_its_irq_for_want_of_a_channel(text: str, cause: str | None) -> None:
    assert [f.explained_by for f in findings(HVM + text) if f.code == "MSI-004"] == [cause]


MODEL_28 = "[00:05.0] msi_msix_setup: Error: Mapping of MSI-X (err: 28, vec: 0, entry 0x20)\n"


@pytest.mark.parametrize(
    ("xl", "found"),
    [
        ("(XEN) irq.c:2957: dom5: no free pirq\n", [("proven", "dom5 (guest's 00:05.0)", [1, 1])]),
        # Two guests were refused: which of them the device model is about is not told.
        (
            "(XEN) irq.c:2957: dom5: no free pirq\n(XEN) irq.c:2957: dom6: no free pirq\n",
            [("proven", "dom5", [1]), ("proven", "dom6", [2]), ("probable", "guest (guest's 00:05.0)", [1])],
        ),
        ("(XEN) irq.c:2957: dom0: no free pirq\n", [("proven", "dom0", [1]), ("probable", "guest (guest's 00:05.0)", [1])]),
    ],
)
def test_both_sides_of_a_guests_refusal_are_one_finding(xl: str, found: list[tuple[str, str, list[int]]]) -> None:
    shown = [f for f in findings(MODEL_28, xl=xl) if f.code == "XEN-002"]
    assert [(f.grade, f.subject.label, [e.line for e in f.evidence]) for f in shown] == found


UNBOUND = "(XEN) pt_irq_create_bind failed (-22) for dom5\n"


@pytest.mark.parametrize(
    ("text", "model", "found"),
    [
        (UNBOUND * 2, None, [("probable", "dom5", [1, 2])]),
        (UNBOUND.replace("dom5", "d5"), None, [("probable", "dom5", [1])]),
        (UNBOUND, "[00:05.0] msi_msix_update: Error: Updating of MSI-X failed. (err: 22)\n", [("proven", "guest's 00:05.0", [1, 1])]),
        # A line interrupt: the device model says so, or Xen itself, which gives the line to no second owner.
        (UNBOUND, "[00:05.0] xen_pt_realize: Error: Binding of interrupt 16 failed! (err: 22)\n", []),
        ("(XEN) Cannot bind IRQ16 to dom5. In use by 'ns16550'.\n" + UNBOUND.replace("-22", "-16"), None, []),
        ("(XEN) pt_irq_destroy_bind failed (-22) for dom5\n", None, []),
    ],
)
def test_a_binding_that_xen_refuses_to_the_device_model(text: str, model: str | None, found: list[tuple[str, str, list[int]]]) -> None:
    named = {"qemu": model} if model else {}
    assert [(f.grade, f.subject.label, [e.line for e in f.evidence]) for f in findings(text, **named) if f.code == "XEN-004"] == found


@pytest.mark.parametrize(
    ("note", "lines", "said"),
    [
        ("pci 0000:3b:02.1: Failed to add - passthrough or MSI/MSI-X might fail!", [1, 2], "dom0 could not tell Xen of the function"),
        ("pci 0000:3b:02.1: Failed to delete - passthrough or MSI/MSI-X might fail!", [2], "Xen does not count the device as the caller's"),
        ("pci 0000:3b:02.2: Failed to add - passthrough or MSI/MSI-X might fail!", [2], "Xen does not count the device as the caller's"),
    ],
)
def test_a_function_that_xen_was_not_told_of(note: str, lines: list[int], said: str) -> None:
    refusal = "[   12.000000] iavf 0000:3b:02.1: xen map irq failed -19 for 32752 domain\n"
    [found] = [f for f in findings(f"[    2.000000] {note}\n{refusal}") if f.code == "XEN-005"]
    assert ([e.line for e in found.evidence], said in found.summary) == (lines, True)


def test_a_function_that_dom0_could_not_add_is_no_fault_by_itself() -> None:
    assert findings(PV + "[    0.458825] pci 0000:00:00.0: Failed to add - passthrough or MSI/MSI-X might fail!\n") == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("(XEN) cannot mask IRQ 67: masking MSI-X on Dom3's 0000:3b:02.1\n", "inconclusive"),
        ("(XEN) cannot disable IRQ 67: masking MSI-X on 0000:3b:02.1\n", "inconclusive"),
        ("(XEN) Xen version 4.17.3 (b@h) debug=n\n", "clear"),
    ],
)
def test_a_table_that_xen_could_not_reach_is_not_cleared(text: str, told: str) -> None:
    ran = run(text)
    assert (outcome(ran, "XEN-009").outcome, [f.code for f in ran.findings if f.code != "OBS-001"]) == (told, [])


def test_a_line_that_a_pvh_dom0_is_refused_is_not_cleared() -> None:
    ran = run(PV + "(XEN) d0v0 vioapic: error mapping GSI 20: -16\n(XEN) d0v0 unable to bind gsi 20 to hardware domain: -16\n")
    assert (outcome(ran, "XEN-005").outcome, [f.code for f in ran.findings if f.code != "OBS-001"]) == ("inconclusive", [])


@pytest.mark.parametrize(
    ("head", "function", "call", "said"),
    [
        ("libxl: error: ", "libxl__arch_hvm_map_gsi", "xc_physdev_map_pirq_gsi gsi=28", "refused to map the line interrupt 28"),
        ("libxl: ", "pci_add_dm_done", "xc_physdev_map_pirq irq=28", "refused to map the line interrupt 28"),
        ("libxl: error: ", "pci_add_dm_done", "xc_domain_irq_permission irq=28 (error=-1)", "refused permission for the line interrupt 28"),
        ("libxl: error: ", "libxl__arch_hvm_map_gsi", "xc_domain_gsi_permission gsi=28", "refused permission for the line interrupt 28"),
        ("libxl: error: ", "libxl__arch_hvm_unmap_gsi", "xc_physdev_map_pirq_gsi gsi=28", ""),
        ("libxl: error: ", "do_pci_remove", "xc_physdev_unmap_pirq irq=28", ""),
    ],
)
def test_the_words_of_libxl_for_a_line(head: str, function: str, call: str, said: str) -> None:
    found = [f.summary for f in findings(f"{head}libxl_pci.c:1404:{function}: Domain 3:{call}: Operation not permitted\n")]
    assert (len(found) == 1 and said in found[0]) if said else found == []


@pytest.mark.parametrize(("limit", "grade"), [(1096, "possible"), (250, "possible"), (240, "probable"), (140, "proven")])
def test_numbers_to_spare_speak_against_a_shortage(limit: int, grade: str) -> None:
    held = "".join(
        f"(XEN)    IRQ:{120 + i:4d} vec:59 PCI-MSI/-X      status=030 aff:{{1}}/{{0-7}} in-flight=0 d0:{i + 120}(---)\n" for i in range(2)
    )
    xl = f"(XEN) IRQ limits: 120 GSI, 2984 MSI/MSI-X\n(XEN) d0 has maximum {limit} PIRQs\n(XEN) IRQ information:\n{held}"
    refusal = PV + "[   20.000000] ice 0000:04:00.0: xen map irq failed -28 for 32752 domain\n"
    if grade == "proven":
        xl = xl.replace("140 PIRQs", "122 PIRQs")
    assert [f.grade for f in findings(refusal, xl=xl) if f.code == "XEN-002"] == [grade]


UNPREPARED = "[  100.000000] pciback 0000:05:00.0: xen_pciback: MSI-X preparation failed (-6)\n"
NO_DATA = (
    "[00:05.0] xen_pt_realize: Real physical device 05:00.0 registered successfully\n"
    "[00:05.0] msi_msix_setup: Error: Mapping of MSI-X (err: 61, vec: 0x30, entry 0)\n"
)


@pytest.mark.parametrize(("dmesg", "lines"), [(UNPREPARED, [1, 2]), (UNPREPARED.replace("05:", "06:"), [2])])
def test_a_table_that_xen_was_not_told_of(dmesg: str, lines: list[int]) -> None:
    [found] = [f for f in findings(dmesg=dmesg, qemu=NO_DATA) if f.code == "XEN-005"]
    assert ([e.line for e in found.evidence], "Xen was not told where its MSI-X table is" in found.summary) == (lines, True)


def test_a_table_that_could_not_be_prepared_is_not_cleared() -> None:
    ran = run(PV + UNPREPARED)
    assert (outcome(ran, "XEN-005").outcome, [f.code for f in ran.findings if f.code != "OBS-001"]) == ("inconclusive", [])


AT = "[2025-01-09 06:52:59] "


@pytest.mark.parametrize(
    ("line", "errno"),
    [
        (f"{AT}[00:0a.0] msi_msix_setup: Error: Mapping of MSI (err: 19, vec: 0x25, entry 0{AT}x0)\n", -19),
        (f"{AT}[00:0a.0] msi_msix_setup: Error: Mappi{AT}ng of MSI (err: 16, vec: 0x25, entry 0x0)\n", -16),
    ],
)
def test_a_stamp_of_the_console_daemon_within_a_line(line: str, errno: int) -> None:
    [found] = findings(line)
    assert (found.code, found.values["errno"]) == ("XEN-005", errno)


def test_xens_own_stamp_behind_that_of_the_daemon_stays() -> None:
    [found] = findings(f"{AT}(XEN) {AT}d7v0: Unsupported MSI delivery mode 7 for Dom7\n")
    assert (found.code, [e.line for e in found.evidence]) == ("XEN-009", [1])


OLD_DEVICE = "register_real_device: Assigning real physical device 06:00.0 ...\n"
OLD_REFUSAL = "pt_msi_setup: Error: Mapping of MSI failed.\n"


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        (OLD_DEVICE + OLD_REFUSAL, "0000:06:00.0"),
        (OLD_DEVICE + OLD_DEVICE.replace("06:", "07:") + OLD_REFUSAL, "guest"),
        (OLD_REFUSAL, "guest"),
    ],
)
def test_the_old_device_model_names_its_only_device(text: str, subject: str) -> None:
    assert [(f.code, f.subject.label) for f in findings(text)] == [("XEN-005", subject)]
