"""From log text to the lives of pirqs and to facts on the room for them."""

import polars as pl

from tracekit.testing import tables

# The debug lines of a report, quoted four deep and wrapped as a mail program does.
QUOTED = """\
> >>> >> I tried to call it on both sides; the log:
> >>> >>
> >>> >> [3697700.390188] xen:events: creating evtchn using pirq 101 irq 290
> >>> >> [3697700.390214] xen:events: creating evtchn using pirq 100 irq 291
> >>> >> [3697700.392789] ixgbevf 0000:00:03.0: NIC Link is Up 10 Gbps
> >>> >>
> >>> >> nic 3 uses pirq 100-101.
> >>> >>
> >>> >> [3697705.470151] xen:events: shutdown_pirq: xen_domain() == 1,
> >>> >> xen_pv_domain() == 0, xen_hvm_domain() == 1, xen_initial_domain() ==
> >>> >> 0, xen_pvh_domain() == 0
> >>> >>
> >>> >> [3697778.781463] xen:events: shutdown_pirq: get_free_pirq returned pirq 93
> >>> >> [3697778.781465] xen:events: shutdown_pirq: closing evtchn for pirq 100 irq 291
> >>> >> [3697778.781475] xen:events: shutdown_pirq: get_free_pirq returned pirq 92
> >>> >>
> >>> >> [3700084.714686] xen:events: shutdown_pirq: closing evtchn for pirq 98 irq 295
> >>> >> [3700084.775598] xen:events: xen_destroy_irq: get_free_pirq returned pirq 100
> >>> >> [3700084.775599] xen:events: xen_destroy_irq: pirq 98 irq 295
"""


def lives(*texts: str) -> list[tuple[object, ...]]:
    frame = tables(*texts)["pirq_lives"]
    return frame.select("pirq", "irq", "bdf", "line", "line_end", "end").rows()


def test_debug_lines_of_a_mail_show_the_lives_to_the_last_line() -> None:
    found = tables(QUOTED)
    assert found["pirq_lives"].select("pirq", "irq", "line", "line_end", "end", "began").rows() == [
        (101, 290, 3, 17, "lost sight", True),
        (100, 291, 4, 14, "closed", True),
        (93, None, 13, 17, "lost sight", True),
        (92, None, 15, 17, "lost sight", True),
        (98, 295, 17, 19, "destroyed", False),
        (100, None, 18, None, "", True),
    ]
    kind = found["xen_domain_kind"].select("line", "function", "pv", "hvm", "initial").rows()
    assert kind == [(9, "shutdown_pirq", 0, 1, 0)]


def test_a_number_that_returns_ends_one_life_and_begins_another() -> None:
    assert lives("""\
[    1.000000] nvme 0000:00:04.0: xen: msi bound to pirq=55
[    1.000001] nvme 0000:00:04.0: xen: msi --> pirq=55 --> irq=120
[    3.000000] nvme 0000:00:05.0: xen: msi bound to pirq=55
[    3.000001] nvme 0000:00:05.0: xen: msi --> pirq=55 --> irq=120
""") == [(55, 120, "0000:00:04.0", 1, 3, "handed out again"), (55, 120, "0000:00:05.0", 3, None, "")]


def test_an_irq_that_serves_another_number_has_left_the_first() -> None:
    assert lives("""\
[    1.000000] nvme 0000:00:04.0: xen: msi bound to pirq=55
[    1.000001] nvme 0000:00:04.0: xen: msi --> pirq=55 --> irq=120
[    1.200000] nvme 0000:00:04.0: xen: msi bound to pirq=54
[    1.200001] nvme 0000:00:04.0: xen: msi --> pirq=54 --> irq=120
""") == [(55, 120, "0000:00:04.0", 1, 4, "irq again"), (54, 120, "0000:00:04.0", 3, None, "")]


def test_the_device_models_lives_end_at_the_unmap() -> None:
    assert lives("""\
[00:05.0] msi_msix_setup: requested pirq 87 for MSI-X (vec: 0, entry: 0x1)
[00:05.0] msi_msix_update: Updating MSI-X with pirq 87 gvec 0x51 gflags 0x0 (entry: 0x1)
[00:05.0] msi_msix_disable: Unbind MSI-X with pirq 87, gvec 0x51
[00:05.0] msi_msix_disable: Unmap MSI-X pirq 87
""") == [(87, None, "00:05.0", 1, 4, "unmapped")]


def test_the_traditional_device_model_prints_hexadecimal() -> None:
    text = "pt_msix_update_one: now update msix entry 0 with pirq 57 gvec 51\npt_msix_disable: Unmap msix with pirq 57\n"
    assert lives(text) == [(0x57, None, None, 1, 2, "unmapped")]


DOM0 = """\
# tracer: nop
#
     modprobe-9       [000] .....     1.000001: a: (xen_initdom_setup_msi_irqs+0x0/0x340) dev=0xffff888005622000 nvec=2 type=17
     modprobe-9       [000] .....     1.000002: b: (xen_bind_pirq_msi_to_irq+0x0/0x1b0) dev=0xffff888005622000 desc=0xffff888007202080 pirq=25 nvec=1
     modprobe-9       [000] .....     1.000003: c: (xen_initdom_setup_msi_irqs+0xad/0x340 <- xen_bind_pirq_msi_to_irq) irq=46
     modprobe-9       [000] .....     1.000004: b: (xen_bind_pirq_msi_to_irq+0x0/0x1b0) dev=0xffff888005622000 desc=0xffff888007202080 pirq=24 nvec=1
     modprobe-9       [000] .....     1.000005: c: (xen_initdom_setup_msi_irqs+0xad/0x340 <- xen_bind_pirq_msi_to_irq) irq=47
     modprobe-9       [000] .....     1.000006: d: (msi_domain_alloc_irqs_descs_locked+0x39/0xb0 <- xen_initdom_setup_msi_irqs) ret=0
     modprobe-9       [000] .....     2.000001: a: (xen_initdom_setup_msi_irqs+0x0/0x340) dev=0xffff888004d1f000 nvec=1 type=17
     modprobe-9       [000] .....     2.000002: d: (msi_domain_alloc_irqs_descs_locked+0x39/0xb0 <- xen_initdom_setup_msi_irqs) ret=-28
        rmmod-11      [000] .....     3.000001: e: (xen_destroy_irq+0x0/0x120) irq=46
        rmmod-11      [000] .....     3.000002: f: (xen_teardown_msi_irqs+0x3b/0x70 <- xen_destroy_irq) ret=0
        rmmod-11      [000] .....     3.000003: e: (xen_destroy_irq+0x0/0x120) irq=46
        rmmod-11      [000] .....     3.000004: f: (xen_teardown_msi_irqs+0x3b/0x70 <- xen_destroy_irq) ret=-22
     modprobe-12      [000] .....     4.000001: a: (xen_initdom_setup_msi_irqs+0x0/0x340) dev=0xffff888004d1f000 nvec=1 type=17
     modprobe-12      [000] .....     4.000002: b: (xen_bind_pirq_msi_to_irq+0x0/0x1b0) dev=0xffff888004d1f000 desc=0xffff888007202080 pirq=25 nvec=1
     modprobe-12      [000] .....     4.000003: c: (xen_initdom_setup_msi_irqs+0xad/0x340 <- xen_bind_pirq_msi_to_irq) irq=46
     modprobe-12      [000] .....     4.000004: d: (msi_domain_alloc_irqs_descs_locked+0x39/0xb0 <- xen_initdom_setup_msi_irqs) ret=0
"""


def test_dom0s_calls_are_held_against_the_machine() -> None:
    found = tables(DOM0)
    own = found["pirq_lives"].select("pirq", "irq", "device", "line", "line_end", "end").rows()
    assert own == [
        (25, 46, 0xFFFF888005622000, 4, 12, "destroyed"),
        (24, 47, 0xFFFF888005622000, 6, None, ""),
        (25, 46, 0xFFFF888004D1F000, 16, None, ""),
    ]
    mine = found["predictions"].filter(pl.col("operation").is_in(["get_free_pirq", "xen_initdom_setup_msi_irqs", "xen_destroy_irq"]))
    assert mine.select("operation", "line", "predicted", "observed", "agrees", "basis").rows() == [
        ("get_free_pirq", 4, "a free number", "25", True, "healthy"),
        ("get_free_pirq", 6, "a free number", "24", True, "healthy"),
        ("xen_initdom_setup_msi_irqs", 3, "0", "0", True, "known"),
        ("xen_initdom_setup_msi_irqs", 9, "0", "-28", False, "known"),
        ("xen_destroy_irq", 11, "0", "0", True, "known"),
        ("xen_destroy_irq", 13, "-22", "-22", True, "known"),
        ("get_free_pirq", 16, "25", "25", True, "known"),
        ("xen_initdom_setup_msi_irqs", 15, "0", "0", True, "known"),
    ]


def test_a_wrong_number_is_a_divergence() -> None:
    wrong = DOM0.replace(
        "desc=0xffff888007202080 pirq=25 nvec=1\n     modprobe-12", "desc=0xffff888007202080 pirq=23 nvec=1\n     modprobe-12"
    )
    own = tables(wrong)["divergences"].select("operation", "line", "predicted", "observed", "explained_by").rows()
    assert own == [("xen_initdom_setup_msi_irqs", 9, "0", "-28", "XEN-002"), ("get_free_pirq", 16, "25", "23", None)]


NEW = """\
(XEN)    IRQ:  20 vec:c0 IO-APIC-level   status=002 aff:{0-1}/{0} mapped, unbound
(XEN)    IRQ:  24 vec:38 DMA_MSI         status=000 aff:{0-1}/{0} drivers/passthrough/vtd/iommu.c#iommu_page_fault()
(XEN)    IRQ:  25 vec:59 PCI-MSI/-X      status=010 aff:{1}/{1} in-flight=0 d0:415(---)
(XEN)    IRQ:  26 vec:61 PCI-MSI/-X      status=030 aff:{0}/{0-1} in-flight=0 d7: 87(-M-)
(XEN)    IRQ:  27 vec:69 PCI-MSI/-X      status=030 aff:{0}/{0-1} in-flight=0 d0:414(---)
"""
OLD = """\
(XEN)    IRQ:  25 affinity:01 vec:59 type=PCI-MSI/-X      status=00000010 in-flight=0 domain-list=0:415(---),
(XEN)    IRQ:  26 affinity:03 vec:61 type=PCI-MSI         status=00000030 in-flight=0 domain-list=7: 87(-M-),
"""


def facts(text: str) -> list[tuple[object, ...]]:
    return tables(text)["pirq_facts"].select("fact", "domid", "value", "pirqs", "line", "line_end").rows()


def test_inventories_of_both_releases() -> None:
    assert facts(NEW) == [("held", 0, 2, [415, 414], 3, 5), ("held", 7, 1, [87], 4, 4)]
    assert facts(OLD) == [("held", 0, 1, [415], 1, 1), ("held", 7, 1, [87], 2, 2)]


def test_a_second_dump_is_another_inventory() -> None:
    assert [(f[0], f[1], f[4]) for f in facts(NEW + NEW)] == [("held", 0, 3), ("held", 7, 4), ("held", 0, 8), ("held", 7, 9)]


def test_event_channels_of_a_domain_without_its_gsis() -> None:
    assert facts("""\
(XEN) 'e' pressed -> dumping event-channel info
(XEN) Event channel information for domain 0:
(XEN) Polling vCPUs: {}
(XEN)     port [p/m/s]
(XEN)       18 [0/0/  -   ]: s=4 n=1 x=0 p=12 i=12
(XEN)       21 [0/0/  -   ]: s=4 n=1 x=0 p=415 i=25
(XEN)       22 [0/0/  -   ]: s=4 n=0 x=0 p=414 i=26
(XEN)       26 [0/0/  -   ]: s=3 n=0 x=0 d=0 p=13
""") == [("ports", 0, 2, [415, 414], 6, 7)]


def test_limits_of_the_command_line_and_of_xen() -> None:
    assert facts("""\
(XEN) Command line: com1=115200,8n1 extra_guest_irqs=40,14 loglvl=all
(XEN) IRQ limits: 24 GSI, 392 MSI/MSI-X
(XEN) d0 has maximum 416 PIRQs
(XEN) Dom0 has maximum 8 VCPUs
(XEN) hwdom IRQs bounded to 128
""") == [
        ("extra", None, 40, None, 1, 1),
        ("extra", 0, 14, None, 1, 1),
        ("gsis", None, 24, None, 2, 2),
        ("limit", 0, 416, None, 3, 3),
        ("bounded", 0, 128, None, 5, 5),
    ]


def test_xen_gates() -> None:
    found = tables("""\
[    0.000000] Xen version: 4.4 (preserve-AD)
[    1.000000] nvme 0000:00:04.0: xen: msi already bound to pirq=55
""")["gates"]
    own = found.filter(pl.col("gate").is_in(["XV1", "KV5"])).select("gate", "value", "basis").rows()
    assert sorted(own) == [("KV5", False, "observed"), ("XV1", False, "assumed")]


def test_numbers_that_two_tasks_take_at_once_are_not_predicted() -> None:
    """Xen hands them out in an order that the returns of the two tasks do not show."""
    both = """\
        kworker/1-31     [001] .....     1.000001: a: (xen_initdom_setup_msi_irqs+0x0/0x2a0) dev=0xffff888005622000 nvec=1 type=17
        kworker/1-31     [001] .....     1.000002: b: (xen_bind_pirq_msi_to_irq+0x0/0x1a0) dev=0xffff888005622000 desc=0xffff888007202080 pirq=33 nvec=1
        kworker/1-31     [001] .....     1.000003: c: (xen_initdom_setup_msi_irqs+0x1/0x2a0 <- xen_bind_pirq_msi_to_irq) ret=46
        kworker/1-31     [001] .....     1.000004: d: (msi_domain_alloc_irqs_descs_locked+0x39/0xb0 <- xen_initdom_setup_msi_irqs) ret=0
        kworker/1-31     [001] .....     1.000005: e: (xen_destroy_irq+0x0/0x100) irq=46
        kworker/1-31     [001] .....     1.000006: f: (xen_teardown+0x0/0x100 <- xen_destroy_irq) ret=0
        kworker/1-31     [001] .....     2.000001: a: (xen_initdom_setup_msi_irqs+0x0/0x2a0) dev=0xffff888005622000 nvec=1 type=17
        kworker/2-32     [000] .....     2.000002: a: (xen_initdom_setup_msi_irqs+0x0/0x2a0) dev=0xffff888004d1f000 nvec=1 type=17
        kworker/2-32     [000] .....     2.000003: b: (xen_bind_pirq_msi_to_irq+0x0/0x1a0) dev=0xffff888004d1f000 desc=0xffff888007202090 pirq=32 nvec=1
        kworker/2-32     [000] .....     2.000004: c: (xen_initdom_setup_msi_irqs+0x1/0x2a0 <- xen_bind_pirq_msi_to_irq) ret=47
        kworker/2-32     [000] .....     2.000005: d: (msi_domain_alloc_irqs_descs_locked+0x39/0xb0 <- xen_initdom_setup_msi_irqs) ret=0
        kworker/1-31     [001] .....     2.000006: b: (xen_bind_pirq_msi_to_irq+0x0/0x1a0) dev=0xffff888005622000 desc=0xffff888007202080 pirq=33 nvec=1
        kworker/1-31     [001] .....     2.000007: c: (xen_initdom_setup_msi_irqs+0x1/0x2a0 <- xen_bind_pirq_msi_to_irq) ret=46
        kworker/1-31     [001] .....     2.000008: d: (msi_domain_alloc_irqs_descs_locked+0x39/0xb0 <- xen_initdom_setup_msi_irqs) ret=0
"""
    found = tables(both)
    mine = found["predictions"].filter(pl.col("operation") == "get_free_pirq")
    assert mine.select("line", "basis", "observed").rows() == [(2, "healthy", "33"), (9, "healthy", "32"), (12, "healthy", "33")]
    assert found["divergences"].is_empty()
    one_by_one = "".join(line for line in both.splitlines(True) if "kworker/2" in line).replace("pirq=32", "pirq=31")
    before = "".join(line for line in both.splitlines(True) if " 1.00" in line)
    assert tables(before + one_by_one)["divergences"].select("line", "predicted", "observed").rows() == [(8, "33", "31")]


def test_lives_stand_in_the_order_of_their_begins_whichever_ends_first() -> None:
    assert lives("""\
[    1.000000] xen:events: creating evtchn using pirq 60 irq 30
[    1.100000] xen:events: creating evtchn using pirq 61 irq 31
[    1.200000] xen:events: xen_destroy_irq: pirq 61 irq 31
[    1.300000] xen:events: creating evtchn using pirq 61 irq 31
[    1.400000] xen:events: shutdown_pirq: closing evtchn for pirq 60 irq 30
[    1.500000] xen:events: creating evtchn using pirq 62 irq 32
[    1.600000] xen:events: xen_destroy_irq: pirq 60 irq 30
[    1.700000] xen:events: xen_destroy_irq: pirq 62 irq 32
[    1.800000] xen:events: creating evtchn using pirq 63 irq 33
""") == [
        (60, 30, None, 1, 7, "destroyed"),
        (61, 31, None, 2, 3, "destroyed"),
        (61, 31, None, 4, None, ""),
        (62, 32, None, 6, 8, "destroyed"),
        (63, 33, None, 9, None, ""),
    ]


def test_a_life_without_a_begin_ends_those_that_are_open() -> None:
    assert lives("""\
[    1.000000] xen:events: creating evtchn using pirq 60 irq 30
[    1.100000] xen:events: xen_destroy_irq: pirq 70 irq 40
[    1.200000] xen:events: xen_destroy_irq: pirq 60 irq 30
""") == [
        (60, 30, None, 1, 2, "lost sight"),
        (70, 40, None, 2, 2, "destroyed"),
        (60, 30, None, 3, 3, "destroyed"),
    ]
