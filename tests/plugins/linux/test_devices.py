from opening import DEV, TASK, VDEV, back, call, session, trace

from tracekit.testing import tables


def devices(*texts):
    """(kind, pointer, bdf, how without its reason, bdf_line) of all devices by line; pointers as printed."""
    found = tables(*texts)["devices"].sort("line")
    return [
        (k, f"{p:#x}", b, h and h.partition(":")[0], n)
        for k, p, b, h, n in found.select("kind", "pointer", "bdf", "how", "bdf_line").rows()
    ]


def test_the_handler_of_a_vector_names_both_pointers():
    text = trace(*session(), "irq_handler_entry: irq=32 name=vfio-msix[0](0000:3d:00.1)")
    assert devices(text) == [("vdev", VDEV, "0000:3d:00.1", "seen", 8), ("pci_dev", DEV, "0000:3d:00.1", "seen", 8)]


def test_the_handler_of_another_vector_or_irq_names_nothing():
    for name in ("irq=32 name=vfio-msix[1](0000:3d:00.1)", "irq=33 name=vfio-msix[0](0000:3d:00.1)", "irq=32 name=nvme0q0"):
        assert [d[2] for d in devices(trace(*session(), "irq_handler_entry: " + name))] == [None, None]


def test_a_handler_before_the_irq_was_set_up_names_nothing():
    text = trace("irq_handler_entry: irq=32 name=vfio-msix[0](0000:3d:00.1)", *session())
    assert [d[2] for d in devices(text)] == [None, None]


def test_an_irq_that_went_to_another_device_names_that_one():
    other = session(vdev="0xff11000000007000", dev="0xff11000000008000")
    text = trace(*session(), *other, "irq_handler_entry: irq=32 name=vfio-msix[0](0000:3d:00.1)")
    assert [d[2] for d in devices(text)] == [None, None, "0000:3d:00.1", "0000:3d:00.1"]


def test_two_names_for_one_pointer_are_no_name():
    text = trace(
        *session(),
        "irq_handler_entry: irq=32 name=vfio-msix[0](0000:3d:00.1)",
        *session(),
        "irq_handler_entry: irq=32 name=vfio-msix[0](0000:3d:00.2)",
    )
    assert [d[2] for d in devices(text)] == [None, None]


def test_the_struct_device_inside_is_the_same_device():
    text = trace(
        call("__pci_enable_msix_range", f"dev={DEV} minvec=1 maxvec=1"),
        call("msi_insert_desc", "dev=0xff110000000020d0 desc=0x1 domid=0 index=0"),
        back("msi_insert_desc", 0),
        back("__pci_enable_msix_range", 1),
    )
    assert devices(text) == [("pci_dev", DEV, None, None, None)]
    assert tables(text)["op_insert"]["device"].to_list() == [int(DEV, 16)]


def test_a_vdev_ends_when_its_driver_is_unbound():
    unbind = " sh-12 [000] .....  2.000000: k: (msi_remove_device_irq_domain+0x4/0xd0) dev=0xff110000000020c8 domid=0\n"
    again = trace(*session(dev="0xff11000000008000")).replace("  1.", "  3.")
    found = tables(trace(*session()) + unbind + again)["devices"].sort("line")
    assert found.select("kind", "line", "line_end").rows() == [
        ("vdev", 1, 8),
        ("pci_dev", 2, None),
        ("vdev", 9, None),
        ("pci_dev", 10, None),
    ]
    entities = found["entity"].to_list()
    assert entities[0] == entities[1] and entities[2] == entities[3] and entities[0] != entities[2]


def test_a_vdev_pointer_used_again_for_another_device_is_another_life():
    found = tables(trace(*session(), *session(dev="0xff11000000008000")))["devices"]
    entities = dict(found.sort("line").select("pointer", "entity").rows())
    assert found.height == 4
    assert entities[int(DEV, 16)] != entities[0xFF11000000008000]


GRAPH = """\
# tracer: function_graph
#
# CPU  TASK/PID         DURATION                  FUNCTION CALLS
# |     |    |           |   |                     |   |   |   |
 0)   vfioirq-90   |               |  vfio_pci_set_irqs_ioctl() {
 0)   vfioirq-90   |   1.000 us    |      msi_get_device_domain(); /* = 0xffff888002168600 */
 0)   vfioirq-90   |   1.000 us    |      msi_desc_to_pci_dev(); /* = 0xffff888000580000 */
 0)   vfioirq-90   | + 20.000 us   |  } /* vfio_pci_set_irqs_ioctl = 0x0 */
 0)   vfioirq-91   |               |  vfio_pci_set_irqs_ioctl() {
 0)   vfioirq-91   |   1.000 us    |      msi_get_device_domain(); /* = 0xffff888002168600 */
 0)   vfioirq-91   | + 20.000 us   |  } /* vfio_pci_set_irqs_ioctl = -34 */
"""


def test_a_domain_ties_two_sessions_to_one_device():
    assert [d[:2] for d in devices(GRAPH)] == [("domain", "0xffff888002168600"), ("pci_dev", "0xffff888000580000")]
    assert tables(GRAPH)["op_set_irqs"]["device"].to_list() == [0xFFFF888000580000] * 2


def test_a_domain_of_several_devices_ties_nothing():
    text = GRAPH.replace("= -34", "= 0x0") + GRAPH.split("|   |\n")[-1].replace("0xffff888000580000", "0xffff888000770000")
    assert {d[0] for d in devices(text)} == {"pci_dev"}


def test_proc_interrupts_names_the_device_by_inference():
    snapshot = (
        "           CPU0       CPU1\n 32:          5          0  IR-PCI-MSIX-0000:3d:00.1    0-edge      vfio-msix[0](0000:3d:00.1)\n"
    )
    assert [d[2:4] for d in devices(trace(*session()), snapshot)] == [("0000:3d:00.1", "inferred")] * 2


def opening(vdev=VDEV, start="1.000000", end="1.900000"):
    """A device opened and closed by a task, without any name."""
    return (
        f"{TASK}  {start}: {call('vfio_pci_core_enable', f'vdev={vdev}')}\n"
        f"{TASK}  {end}: {call('vfio_pci_core_close_device', f'vdev={vdev}')}\n"
    )


BOGUS = "[    1.500000] vfio-pci 0000:3d:00.1: Hardware bug: VF reports bogus INTx pin 1\n"


def test_the_kernel_log_names_the_only_device_that_was_open():
    assert devices(opening(), BOGUS) == [("vdev", VDEV, "0000:3d:00.1", "inferred", 1)]
    (device,) = tables(opening(), BOGUS)["devices"].rows(named=True)
    assert device["bdf_source"].endswith("b.log")
    assert device["how"] == (
        "inferred: vfio_bogus_intx (line 1) names it while it alone was open; clocks assumed by 1 message and the calls around"
    )


def test_a_log_of_another_time_names_nothing():
    assert [d[2] for d in devices(opening(), BOGUS.replace(" 1.5", "71.5"))] == [None]


def test_a_log_whose_clock_is_far_but_fixed_names_the_device():
    vdevs = (VDEV, "0xff11000000007000")
    text = opening(end="1.100000") + opening(vdevs[1], "1.300000", "1.400000")
    log = BOGUS.replace(" 1.500", "71.550") + BOGUS.replace(" 1.500", "71.850").replace("3d", "3e")
    assert [d[1:3] for d in devices(text, log)] == [(vdevs[0], "0000:3d:00.1"), (vdevs[1], "0000:3e:00.1")]


def test_the_kernel_log_names_nothing_outside_of_the_session_or_when_two_are_open():
    assert [d[2] for d in devices(opening(), BOGUS.replace("1.5", "2.5"))] == [None]
    assert [d[2] for d in devices(opening() + opening(vdev="0xff11000000007000", start="1.200000", end="1.950000"), BOGUS)] == [None, None]
    assert [d[2] for d in devices(opening(), BOGUS + BOGUS.replace("3d:00.1", "3d:00.2").replace("1.5", "1.6"))] == [None]


def test_a_handler_beats_the_kernel_log():
    text = opening(end="1.000001") + trace(*session(), "irq_handler_entry: irq=32 name=vfio-msix[0](0000:3d:00.7)").replace("  1.", "  2.")
    log = BOGUS.replace("1.500000", "1.000000")
    assert {d[2:4] for d in devices(text, log)} == {("0000:3d:00.7", "seen")}


def test_the_only_listed_domain_names_the_only_device():
    listing = "name:   vIR-PCI-MSIX-0000:3d:00.1-12\n"
    assert [d[2:4] for d in devices(trace(*session()), listing)] == [("0000:3d:00.1", "inferred")] * 2
    assert [d[2] for d in devices(trace(*session()), listing + listing.replace("00.1-12", "00.2-14"))] == [None, None]


def test_where_no_event_tells_whose_an_irq_is_the_only_function_that_interrupts_is_the_only_one_traced():
    lines = [line for line in session() if not line.startswith("vector_")]
    handler = "irq_handler_entry: irq=32 name=vfio-msix[0](0000:3d:00.1)"
    assert {d[2:4] for d in devices(trace(*lines, handler))} == {("0000:3d:00.1", "inferred")}
    assert {d[2] for d in devices(trace(handler, *lines))} == {None}  # it had vectors before
    assert {d[2] for d in devices(trace(*lines, handler.replace("[0]", "[7]")))} == {None}  # a vector that nobody asked for
    assert {d[2] for d in devices(trace(*lines, handler, handler.replace("00.1", "00.2")))} == {None}
