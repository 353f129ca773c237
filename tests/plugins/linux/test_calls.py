import re

import pytest

from tracekit.testing import tables

KPROBES = """\
 vfio-11 [000] .....  1.000000: k_set: (vfio_pci_set_irqs_ioctl+0x4/0xd0 [vfio_pci_core]) vdev=0xff11000000001000 flags=0x24 index=2 start=0 count=2
 vfio-11 [000] .....  1.000001: k_msix: (__pci_enable_msix_range+0x4/0x520) dev=0xff11000000002000 minvec=1 maxvec=2
 irq-12 [001] .....  1.000002: k_msix: (__pci_enable_msix_range+0x4/0x520) dev=0xff11000000009000 minvec=1 maxvec=1
 vfio-11 [000] .....  1.000003: r_ins: (msix_setup_msi_descs+0xe1/0x120 <- msi_insert_desc) ret=0xffffffde
 vfio-11 [000] .....  1.000004: r_msix: (pci_alloc_irq_vectors_affinity+0xad/0x110 <- __pci_enable_msix_range) ret=-34
 irq-12 [001] .....  1.000005: r_msix: (pci_alloc_irq_vectors_affinity+0xad/0x110 <- __pci_enable_msix_range) ret=1
 vfio-11 [000] .....  1.000006: r_set: (vfio_pci_core_ioctl+0x109/0xf60 [vfio_pci_core] <- vfio_pci_set_irqs_ioctl) ret=18446744073709551582
"""


def calls(*texts, **named):
    """(line, line_end, depth, function or ?hint, ret, complete) of all calls, by line."""
    found = tables(*texts, **named)["calls"].sort("line")
    rows = found.select("line", "line_end", "depth", "function", "function_hint", "ret", "complete").rows()
    return [(a, b, d, f or f"?{h}", r, c) for a, b, d, f, h, r, c in rows]


def test_kprobes_pair_and_nest_by_task():
    assert calls(KPROBES) == [
        (1, 7, 0, "vfio_pci_set_irqs_ioctl", -34, "both"),
        (2, 5, 1, "__pci_enable_msix_range", -34, "both"),
        (3, 6, 0, "__pci_enable_msix_range", 1, "both"),
        (4, 4, 2, "msi_insert_desc", -34, "return"),
    ]


def test_arguments_have_the_names_of_the_parameters():
    text = """\
 a-1 [000] .....  1.000000: x: (pci_setup_msix_device_domain+0x4/0xa0) pdev=0xff11000000002000 hwsize=0x10
 a-1 [000] .....  1.100000: y: (vfio_msi_set_vector_signal+0x0/0x320 [vfio_pci_core]) arg1=0xff11000000001000 arg2=3 arg3=-1 whatever=7
"""
    args = tables(text)["calls"].sort("line")["args"].to_list()
    assert [[(a["name"], a["text"]) for a in row] for row in args] == [
        [("dev", "0xff11000000002000"), ("hwsize", "0x10")],
        [("vdev", "0xff11000000001000"), ("vector", "3"), ("fd", "-1"), ("whatever", "7")],
    ]
    assert args[0][0]["value"] == 0xFF11000000002000 - (1 << 64)


def test_a_definition_says_what_an_argument_is():
    definitions = "p:grp/in msi_insert_desc where=%cx:u32 index=%dx:u32\nr10:grp/out msi_insert_desc index=$retval:s32 x=%di\n"
    trace = """\
 a-1 [000] .....  1.000000: in: (msi_insert_desc+0x0/0x130) where=5 index=0
 a-1 [000] .....  1.000001: out: (msix_setup_msi_descs+0xe1/0x120 <- msi_insert_desc) index=-34 x=0x1
"""
    found = tables(definitions, trace)["calls"].row(0, named=True)
    assert [(a["name"], a["value"]) for a in found["args"]] == [("index", 5), ("domid", 0)]
    assert found["ret"] == -34


def test_addresses_give_a_guess_and_returns_are_the_other_way_round():
    text = """\
cpus=2
         vfioirq-356   [000]    56.570360: sys_enter_ioctl:      fd: 0x00000006, cmd: 0x00003b6e, arg: 0x2f89e6e0
         vfioirq-356   [000]    56.570521: range:                (ffffffff817a5d44) dev=0xff11000004cac000 minvec=1 maxvec=12
         vfioirq-356   [000]    56.570703: insert_ret:           (ffffffff81179c30 <- ffffffff817a5cf1) rc=0
         vfioirq-356   [000]    56.570853: done:                 (ffffffff817a5d40 <- ffffffff817a46ad) rc=-34
         vfioirq-356   [000]    56.570872: sys_exit_ioctl:       0xffffffffffffffde
"""
    assert calls(text) == [
        (2, 6, 0, "sys_ioctl", -34, "both"),
        (3, 5, 1, "?__pci_enable_msix_range", -34, "both"),
        (4, 4, 2, "?msi_insert_desc", 0, "return"),
    ]


def test_a_definition_names_the_function_of_an_address():
    definitions = "p:range __pci_enable_msix_range dev=%di minvec=%dx:s32 maxvec=%cx:s32\n"
    trace = "cpus=1\n         vfioirq-356   [000]    56.570521: range:                (ffffffff817a5d44) dev=0xff11000004cac000 minvec=1 maxvec=12\n"
    assert [c[3] for c in calls(definitions, trace)] == ["__pci_enable_msix_range"]


def test_a_call_without_recorded_returns_encloses_what_only_it_can_have_made():
    text = """\
 a-1 [000] .....  1.000000: set: (vfio_pci_set_irqs_ioctl+0x4/0xd0 [vfio_pci_core]) vdev=0xff11000000001000 flags=0x24 index=2 start=0 count=1
 a-1 [000] .....  1.100000: dom: (pci_setup_msix_device_domain+0x4/0xa0) dev=0xff11000000002000 hwsize=8
 a-1 [000] .....  1.200000: ins: (msi_insert_desc+0x0/0x130) dev=0xff110000000020c8 desc=0x1 domid=0 index=0
 a-1 [000] .....  1.300000: set: (vfio_pci_set_irqs_ioctl+0x4/0xd0 [vfio_pci_core]) vdev=0xff11000000001000 flags=0x21 index=2 start=0 count=0
"""
    assert [c[:4] for c in calls(text)] == [
        (1, None, 0, "vfio_pci_set_irqs_ioctl"),
        (2, None, 1, "pci_setup_msix_device_domain"),
        (3, None, 1, "msi_insert_desc"),
        (4, None, 0, "vfio_pci_set_irqs_ioctl"),
    ]


def test_a_close_without_return_does_not_enclose_another_device():
    text = """\
 q-1 [000] .....  1.000000: c: (vfio_pci_core_close_device+0x4/0x90 [vfio_pci_core]) vdev=0xff11000000001000
 q-1 [000] .....  1.100000: s: (vfio_pci_set_irqs_ioctl+0x4/0xd0 [vfio_pci_core]) vdev=0xff11000000005000 flags=0x21 index=2 start=0 count=0
"""
    assert [c[2:4] for c in calls(text)] == [(0, "vfio_pci_core_close_device"), (0, "vfio_pci_set_irqs_ioctl")]


GRAPH = """\
# tracer: function_graph
#
# CPU  TASK/PID         DURATION                  FUNCTION CALLS
# |     |    |           |   |                     |   |   |   |
 0)   vfioirq-90   |               |  vfio_pci_set_irqs_ioctl [vfio_pci_core]() {
 0)   vfioirq-90   |               |    pci_alloc_irq_vectors_affinity() {
 1)     other-91   |               |  pci_disable_msix.part.0() {
 0)   vfioirq-90   |   5.658 us    |      pci_msix_vec_count(); /* = 0x10 */
 0)   vfioirq-90   | ! 402.863 us  |      msi_create_device_irq_domain(); /* = 0xb0ac01 */
 0)   vfioirq-90   |               |  /* vfio_pci_set_irqs_ioctl() { */
 0)   vfioirq-90   | # 2583.633 us |    } /* pci_alloc_irq_vectors_affinity = -34 */
 1)     other-91   | + 12.000 us   |  }
 0)   vfioirq-90   | # 2675.649 us |  } /* vfio_pci_set_irqs_ioctl [vfio_pci_core] = -34 */
"""


def test_function_graph_nests_by_depth_and_masks_truth_values():
    assert calls(GRAPH) == [
        (5, 13, 0, "vfio_pci_set_irqs_ioctl", -34, "both"),
        (6, 11, 1, "pci_alloc_irq_vectors_affinity", -34, "both"),
        (7, 12, 0, "pci_disable_msix", None, "both"),
        (8, 8, 2, "pci_msix_vec_count", 16, "both"),
        (9, 9, 2, "msi_create_device_irq_domain", 1, "both"),
    ]


@pytest.mark.parametrize(
    "head", [" {cpu}) ", " {cpu})   {task}   | ", "    5.000001 |   {cpu}) ", "  {task}   | ", "    5.000001 |    {task}   | "]
)
def test_function_graph_without_durations_has_the_same_calls(head):
    lines = [re.match(r" (\d)\) +(\S+) +\|.{15}\|  (.*)", line) for line in GRAPH.splitlines()]
    plain = "".join("#\n" if m is None else head.format(cpu=m[1], task=m[2]) + m[3] + "\n" for m in lines)
    assert " us " not in plain and calls(plain) == calls(GRAPH)


def test_function_graph_without_tasks_follows_the_switches():
    text = """\
# tracer: function_graph
#
# CPU  DURATION                  FUNCTION CALLS
# |     |   |                     |   |   |   |
 0)               |  vfio_pci_set_irqs_ioctl() {
 ------------------------------------------
 0)   vfioirq-90   =>    kworker-7
 ------------------------------------------

 0)   1.000 us    |    pci_msix_vec_count();
 ------------------------------------------
 0)    kworker-7   =>   vfioirq-90
 ------------------------------------------

 0)   2.000 us    |    vfio_msi_disable();
 0) + 20.000 us   |  }
"""
    assert [c[:4] for c in calls(text)] == [
        (5, 16, 0, "vfio_pci_set_irqs_ioctl"),
        (10, 10, 0, "pci_msix_vec_count"),
        (15, 15, 1, "vfio_msi_disable"),
    ]


def test_an_interrupt_is_not_called_by_what_it_interrupts():
    text = """\
# tracer: function_graph
#
# CPU  TASK/PID         DURATION                  FUNCTION CALLS
# |     |    |           |   |                     |   |   |   |
 0)   vfioirq-90   |               |  vfio_pci_set_irqs_ioctl() {
 0)   vfioirq-90   |   ==========> |
 0)   vfioirq-90   |   1.000 us    |    vfio_msihandler();
 0)   vfioirq-90   |   <========== |
 0)   vfioirq-90   |   2.000 us    |    vfio_msi_disable();
 0)   vfioirq-90   | + 20.000 us   |  }
"""
    assert [c[:4] for c in calls(text)] == [
        (5, 10, 0, "vfio_pci_set_irqs_ioctl"),
        (7, 7, 0, "vfio_msihandler"),
        (9, 9, 1, "vfio_msi_disable"),
    ]


def test_a_graph_that_begins_and_ends_in_the_middle():
    text = """\
# tracer: function_graph
#
# CPU  TASK/PID         DURATION                  FUNCTION CALLS
# |     |    |           |   |                     |   |   |   |
 0)   vfioirq-90   |   1.000 us    |      msi_insert_desc(); /* = 0x0 */
 0)   vfioirq-90   | + 20.000 us   |    } /* __pci_enable_msix_range = 0x1 */
 0)   vfioirq-90   |               |    vfio_msi_set_block() {
"""
    assert calls(text) == [
        (5, 5, 1, "msi_insert_desc", 0, "both"),
        (6, 6, 0, "__pci_enable_msix_range", 1, "return"),
        (7, None, 0, "vfio_msi_set_block", None, "entry"),
    ]


def test_arguments_and_return_addresses_of_newer_graphs():
    text = """\
# tracer: function_graph
#
# CPU  TASK/PID         DURATION                  FUNCTION CALLS
# |     |    |           |   |                     |   |   |   |
 1)      sh-53     |               |  __pci_enable_msix_range(dev=0xffff8d2c419e1000, entries=0x0, minvec=1, maxvec=9, affd=0x0, flags=7) { /* <-x+0x1/0x2 */
 1)      sh-53     | # 3939.005 us |    pci_setup_msix_device_domain(pdev=0xffff8d2c419e1000, hwsize=0x41); /* <-__pci_enable_msix_range+0x1a2/0x670 ret=0x1 */
 1)      sh-53     | # 3999.005 us |  } /* __pci_enable_msix_range ret=-28 */
"""
    assert calls(text) == [
        (5, 7, 0, "__pci_enable_msix_range", -28, "both"),
        (6, 6, 1, "pci_setup_msix_device_domain", 1, "both"),
    ]
    args = tables(text)["calls"].sort("line")["args"].to_list()
    assert [(a["name"], a["value"]) for a in args[1]] == [("dev", 0xFFFF8D2C419E1000 - (1 << 64)), ("hwsize", 0x41)]


def test_without_task_the_source_is_one_lane_and_says_so():
    text = """\
[   27.083774] k: (vfio_pci_set_irqs_ioctl+0x4/0xd0 [vfio_pci_core]) vdev=0xff11000005111800 flags=0x24 index=2 start=0 count=1
[   27.083775] r: (vfio_pci_core_ioctl+0x109/0xf60 [vfio_pci_core] <- vfio_pci_set_irqs_ioctl) ret=0
"""
    assert tables(text)["calls"].select("lane", "lane_assumed", "complete").rows() == [("source", True, "both")]


def test_what_a_test_writes_is_no_call():
    text = " a-1 [000] .....  1.000000: tracing_mark_write: (vfio_pci_core_enable+0x4/0x370 [vfio_pci_core]) vdev=0x1000\n"
    assert calls(KPROBES + text) == calls(KPROBES)


def test_symbols_name_the_function_of_an_address():
    symbols = "ffffffff817a5d40 T __pci_enable_msix_range\nffffffff817a6b10 t pci_setup_msix_device_domain\n"
    trace = "cpus=1\n         vfioirq-356   [000]    56.570521: x:                    (ffffffff817a5d44) dev=0xff11000004cac000 n=1\n"
    assert [c[3] for c in calls(symbols, trace)] == ["__pci_enable_msix_range"]
    assert [c[3] for c in calls(symbols.replace("5d40", "5d00"), trace)] == ["?None"]
