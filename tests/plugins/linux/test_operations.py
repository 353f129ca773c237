import polars as pl
import pytest
from kprobes import Trace
from opening import DEV, VDEV, back, call, session, trace
from tracekit_linux.operations.tree import Node

from tracekit.testing import run, tables

PLACE = ("source", "ts", "ts_raw", "machine", "boot", "side", "on_cpu", "task", "tid", "ts_end", "call", "attempt", "request", "entity")
CLOSE = call("vfio_pci_set_irqs_ioctl", f"vdev={VDEV} flags=0x21 index=5 start=0 count=0")


def op(name, *texts):
    """The rows of an operation table, without place columns, nulls and falsehoods."""
    return [
        {k: v for k, v in r.items() if k not in PLACE and v is not None and v is not False}
        for r in tables(*texts)[name].iter_rows(named=True)
    ]


WHO = {"device": int(DEV, 16), "vdev": int(VDEV, 16)}


def test_a_session_with_all_its_operations():
    text = trace(call("vfio_pci_core_enable", f"vdev={VDEV}"), *session(), CLOSE, back("vfio_pci_set_irqs_ioctl", -25))
    found = tables(text)
    assert op("op_open", text) == [{"line": 1, **WHO}]
    assert op("op_set_irqs", text) == [
        {"line": 2, "line_end": 8, **WHO, "ret": 0, "flags": 0x24, "index": 2, "start": 0, "count": 1, "data": "eventfd"},
        {"line": 9, "line_end": 10, **WHO, "ret": -25, "flags": 0x21, "index": 5, "start": 0, "count": 0, "data": "none", "closing": True},
    ]
    assert op("op_alloc", text) == [{"line": 3, "line_end": 4, **WHO, "ret": 1, "kind": "msix", "min": 1, "max": 1}]
    assert op("op_vector", text) == [{"line": 5, "line_end": 7, **WHO, "ret": 0, "vector": 0, "fd": 7, "irq": 32}]
    assert op("op_close", text) == [{"line": 9, "line_end": 10, **WHO, "ret": -25, "how": "index5"}]
    request = found["op_set_irqs"]["call"][0]
    assert found["op_alloc"].select("attempt", "request").row(0) == (found["op_alloc"]["call"][0], request)
    assert found["op_vector"].select("attempt", "request").row(0) == (None, request)


def test_a_close_is_one_however_many_calls_show_it():
    text = trace(*session(), call("vfio_pci_core_close_device", f"vdev={VDEV}"), CLOSE, back("vfio_pci_set_irqs_ioctl", -25))
    assert [(o["line"], o["how"]) for o in op("op_close", text)] == [(8, "close_device")]


def test_disabling_by_the_closing_kernel_is_no_request():
    disable = call("vfio_pci_set_irqs_ioctl", f"vdev={VDEV} flags=0x21 index=2 start=0 count=0")
    closing = trace(*session(), disable, "r: (vfio_pci_core_disable+0xbf/0x480 [vfio_pci_core] <- vfio_pci_set_irqs_ioctl) ret=0")
    asked = trace(*session(), disable, "r: (vfio_pci_core_ioctl+0xbf/0x480 [vfio_pci_core] <- vfio_pci_set_irqs_ioctl) ret=0")
    assert [o.get("closing", False) for o in op("op_set_irqs", closing)] == [False, True]
    assert [o.get("closing", False) for o in op("op_set_irqs", asked)] == [False, False]
    assert [len(op("op_close", t)) for t in (closing, asked)] == [1, 0]


def test_domain_and_inserts_belong_to_their_enable():
    text = trace(
        call("__pci_enable_msix_range", f"dev={DEV} minvec=1 maxvec=9"),
        call("pci_setup_msix_device_domain", f"dev={DEV} hwsize=9"),
        call("msi_create_device_irq_domain", "dev=0xff110000000020c8 domid=0 tmpl=0xff hwsize=9"),
        back("msi_create_device_irq_domain", "0x7701"),
        back("pci_setup_msix_device_domain", 1),
        call("msi_insert_desc", "dev=0xff110000000020c8 desc=0x1 domid=0 index=0"),
        back("msi_insert_desc", 0),
        back("msi_insert_desc", -34),
        back("__pci_enable_msix_range", -34),
    )
    device = {"device": int(DEV, 16)}
    assert op("op_domain_create", text) == [{"line": 3, "line_end": 4, **device, "ret": 1, "kind": "msix", "domid": 0, "hwsize": 9}]
    assert op("op_domain_setup", text) == [{"line": 2, "line_end": 5, **device, "ret": 1, "kind": "msix", "hwsize": 9}]
    assert op("op_insert", text) == [
        {"line": 6, "line_end": 7, **device, "ret": 0, "index": 0},
        {"line": 8, "line_end": 8, **device, "ret": -34, "index": 1},
    ]
    assert tables(text)["op_insert"]["attempt"].n_unique() == 1


def test_growth_in_place_counts_no_insert_of_an_enable():
    text = trace(
        call("vfio_pci_set_irqs_ioctl", f"vdev={VDEV} flags=0x24 index=2 start=4 count=1"),
        call("vfio_msi_set_vector_signal", f"vdev={VDEV} vector=4 fd=9 msix=1"),
        call("pci_msix_alloc_irq_at", f"dev={DEV} index=4"),
        back("msi_insert_desc", 0),
        back("pci_msix_alloc_irq_at", 4),
        back("vfio_msi_set_vector_signal", 0),
        back("vfio_pci_set_irqs_ioctl", 0),
    )
    assert op("op_alloc_at", text) == [{"line": 3, "line_end": 5, **WHO, "ret": 4, "index": 4}]
    assert op("op_insert", text) == [{"line": 4, "line_end": 4, **WHO, "ret": 0, "index": 4}]
    assert op("op_alloc", text) == []


def test_vectors_known_by_their_returns():
    signal = "r: (vfio_msi_set_block+0x76/0xd0 [vfio_pci_core] <- vfio_msi_set_vector_signal) ret={}"
    irq = "r: (vfio_msi_set_vector_signal+0x1/0x2 [vfio_pci_core] <- request_threaded_irq) ret={}"
    text = trace(
        call("vfio_pci_set_irqs_ioctl", f"vdev={VDEV} flags=0x24 index=2 start=0 count=3"),
        "vector_alloc: irq=29 vector=37 reserved=1 ret=0",
        irq.format(0),
        signal.format(0),
        "vector_alloc: irq=30 vector=37 reserved=1 ret=-28",
        irq.format(-28),
        signal.format(-28),
        signal.format(0),
        back("vfio_pci_set_irqs_ioctl", -28),
    )
    found = [{k: o.get(k) for k in ("line", "vector", "fd", "irq", "ret")} for o in op("op_vector", text)]
    assert found == [
        {"line": 4, "vector": 0, "fd": None, "irq": 29, "ret": 0},
        {"line": 7, "vector": 1, "fd": None, "irq": 30, "ret": -28},
        {"line": 8, "vector": None, "fd": -1, "irq": None, "ret": 0},
    ]


HEAD = """\
# tracer: function_graph
#
# CPU  TASK/PID         DURATION                  FUNCTION CALLS
# |     |    |           |   |                     |   |   |   |
"""


def graph(*lines):
    return HEAD + "".join(
        f" 0)   vfioirq-90   |               |  {x}\n" if "{" in x else f" 0)   vfioirq-90   |   1.000 us    |  {x}\n" for x in lines
    )


def test_an_enable_without_values_worked_if_vectors_were_wired_after_it():
    text = graph(
        "vfio_pci_set_irqs_ioctl() {",
        "  __pci_enable_msix_range() {",
        "    msi_add_msi_desc();",
        "    msi_add_msi_desc();",
        "  }",
        "  vfio_msi_set_block() {",
        "    vfio_msi_set_vector_signal() {",
        "      request_threaded_irq();",
        "    }",
        "    vfio_msi_set_vector_signal() {",
        "      request_threaded_irq();",
        "    }",
        "  }",
        "}",
    )
    assert op("op_alloc", text) == [{"line": 6, "line_end": 9, "ret": 2, "inferred": True, "kind": "msix"}]
    assert op("op_set_irqs", text) == [{"line": 5, "line_end": 18, "ret": 0, "inferred": True, "index": 2, "count": 2, "data": "eventfd"}]
    assert [(o["ret"], o["inferred"]) for o in op("op_vector", text)] == [(0, True), (0, True)]


def test_an_enable_without_values_failed_if_its_descriptors_were_freed_without_an_irq():
    def enable(*after):
        return graph("vfio_pci_set_irqs_ioctl() {", "  __pci_enable_msix_range() {", "    msi_insert_desc();", *after, "  }", "}")

    failed = enable("    pci_free_msi_irqs();")
    assert [(o.get("ret"), o.get("inferred")) for o in op("op_alloc", failed) + op("op_set_irqs", failed)] == [(None, True)] * 2
    for unclear in (enable(), enable("    x86_vector_alloc_irqs();", "    pci_free_msi_irqs();")):
        assert [(o.get("ret"), o.get("inferred")) for o in op("op_alloc", unclear)] == [(None, None)]


def test_a_disable_without_arguments():
    text = graph("vfio_pci_set_irqs_ioctl() {", "  vfio_msi_disable() {", "    pci_disable_msix();", "  }", "}")
    assert op("op_set_irqs", text) == [{"line": 5, "line_end": 9, "ret": 0, "inferred": True, "index": 2, "count": 0, "data": "none"}]


def test_a_request_without_children_says_nothing():
    assert op("op_set_irqs", graph("vfio_pci_set_irqs_ioctl();")) == [{"line": 5, "line_end": 5}]


def test_an_insert_shows_the_limit_it_met():
    text = graph("msi_insert_desc() {", "  msi_domain_get_hwsize(); /* = 0x8 */", "} /* msi_insert_desc = -34 */")
    assert [(o["ret"], o["hwsize"]) for o in op("op_insert", text)] == [(-34, 8)]


def test_the_system_call_counts_where_the_function_is_not_recorded():
    enter, leave = "sys_enter_ioctl: fd: 0x00000006, cmd: 0x00003b6e, arg: 0x2f89e6e0", "sys_exit_ioctl: 0xffffffffffffffde"
    assert op("op_set_irqs", trace(enter, leave)) == [{"line": 1, "line_end": 2, "ret": -34}]
    inside = trace(enter, *session(), leave)
    assert [(o["line"], o["flags"]) for o in op("op_set_irqs", inside)] == [(2, 0x24)]
    other = trace(enter.replace("3b6e", "3b6d"), leave)
    assert op("op_set_irqs", other) == []


def test_what_rests_on_a_guessed_function_is_marked():
    text = (
        "cpus=1\n"
        "         vfioirq-356   [000]    56.570521: msix_range:           (ffffffff817a5d44) dev=0xff11000004cac000 minvec=1 maxvec=12\n"
        "         vfioirq-356   [000]    56.570853: msix_range_ret:       (ffffffff817a5d44 <- ffffffff817a46ad) rc=-34\n"
    )
    assert op("op_alloc", text) == [
        {"line": 2, "line_end": 3, "device": 0xFF11000004CAC000, "ret": -34, "hint": True, "kind": "msix", "min": 1, "max": 12}
    ]


@pytest.mark.parametrize(
    ("probe", "function"),
    [
        ("p_xen_destroy_irq_0", "xen_destroy_irq"),
        ("r___pci_enable_msi_range_12", "__pci_enable_msi_range"),
        ("x86_vector_activate__return", "x86_vector_activate"),
        ("xen_hvm_setup_msi_irqs_1__return", None),  # no name that the kernel's tools make
        ("xen_hvm_setup_msi_irqs_1", "xen_hvm_setup_msi_irqs"),
        ("pci_free_irq_vectors", "pci_free_irq_vectors"),
        ("p_schedule_0", None),
        ("my_xen_destroy_irq", None),
    ],
)
def test_a_name_that_the_recorder_made_of_a_function_is_a_hint_of_it(probe, function):
    text = f"cpus=1\n     modprobe-9   [000]    56.570521: {probe}:  (ffffffff817a5d44 <- ffffffff817a46ad) ret=0\n"
    (told,) = tables(text)["calls"].select("function", "function_hint").rows()
    assert told == (None, function)


def test_xen_binds_and_destroys():
    text = trace(
        call("xen_initdom_setup_msi_irqs", f"dev={DEV} nvec=3 type=17"),
        call("xen_bind_pirq_msi_to_irq", f"dev={DEV} desc=0x1 pirq=24 nvec=1"),
        "r: (xen_initdom_setup_msi_irqs+0xad/0x340 <- xen_bind_pirq_msi_to_irq) irq=46",
        back("xen_initdom_setup_msi_irqs", -28),
        call("xen_destroy_irq", "irq=46"),
        back("xen_destroy_irq", -22),
    )
    device = {"device": int(DEV, 16)}
    assert op("op_xen_setup", text) == [
        {"line": 1, "line_end": 4, **device, "ret": -28, "nvec": 3, "type": 17, "function": "xen_initdom_setup_msi_irqs"}
    ]
    assert op("op_xen_bind", text) == [{"line": 2, "line_end": 3, **device, "ret": 46, "pirq": 24, "irq": 46}]
    assert op("op_xen_destroy", text) == [{"line": 5, "line_end": 6, **device, "ret": -22, "irq": 46}]


def test_a_removed_domain_outside_of_an_enable_is_an_unbinding():
    text = trace(call("msi_remove_device_irq_domain", "dev=0xff110000000020c8 domid=0"))
    assert [(o["line"], o["domid"]) for o in op("op_domain_remove", text)] == [(1, 0)]
    assert [o["how"] for o in op("op_close", text)] == ["rebind"]


def test_lspci_gives_table_sizes():
    text = (
        "00:08.0 RAM memory: Red Hat, Inc. Inter-VM shared memory (rev 01)\n"
        "\tCapabilities: [40] MSI-X: Enable+ Count=16 Masked-\n"
        "\t\tVector table: BAR=1 offset=00000000\n"
    )
    found = [(o["line"], o["bdf"], o["count"], o["origin"]) for o in op("op_table_size", text)]
    assert len(found) == 1 and found[0][0] == 2 and found[0][1].endswith("00:08.0") and found[0][2:] == (16, "lspci")


def test_numbers_that_no_table_of_vectors_can_have_are_not_believed():
    text = trace(call("vfio_pci_set_irqs_ioctl", f"vdev={VDEV} flags=0x24 index=2 start=0 count=2147483647"))
    assert [(o["start"], o.get("count")) for o in op("op_set_irqs", text)] == [(0, None)]


def test_damaged_numbers_of_system_calls_and_handlers_fail_nothing():
    text = (
        " a-1   [000]    56.570360: sys_enter_ioctl:      fd: 0xffffffffffffffff, cmd: 0x00003b6e, arg: 0x2f89e6e0\n"
        " a-1   [000]    56.570361: irq_handler_entry:    irq=32 name=vfio-msix[18446744073709551615](0000:3d:00.1)\n"
    )
    assert run("cpus=1\n" + text).errors == ()


@pytest.mark.parametrize(
    ("allocates", "predicted"), [(True, [("0", "known"), ("-22", "known")]), (False, [("0", "healthy"), ("-22 or 0", "healthy")])]
)
def test_an_allocation_inside_a_request_tells_that_nothing_was_enabled_before(allocates: bool, predicted: list[tuple[str, str]]) -> None:
    """The recording begins in the middle: without it the request may also have been a second one, or have met another index."""
    t = Trace()
    t.begin(0x24, 2, 0, 2)
    if allocates:
        t.entry("__pci_enable_msix_range", f"dev={t.dev:#x} minvec=1 maxvec=2")
        t.leave("__pci_enable_msix_range", 2)
    for vector in range(2):
        t.entry("vfio_msi_set_vector_signal", f"vdev={t.vdev:#x} vector={vector} fd={20 + vector} msix=1")
        t.leave("vfio_msi_set_vector_signal", -28 if vector else 0)
    t.leave("vfio_pci_set_irqs_ioctl", -28)
    t.set_irqs(0x21, 2, 0, 0, -22)
    rows = tables(**{"trace.txt": str(t)})["predictions"].filter(pl.col("operation") == "set_irqs")
    assert rows.select("predicted", "basis").rows() == predicted


def graph_of(vectors: int) -> str:
    """An enable of so many vectors in a function graph without results: all inserted, then all wired."""
    chain = ("vfio_pci_set_irqs_ioctl", "vfio_pci_set_msi_trigger", "__pci_enable_msix_range")
    begun = [f"{'  ' * depth}{name}() {{" for depth, name in enumerate(chain)]
    wired = ["    vfio_msi_set_vector_signal() {", "      request_threaded_irq();", "    }"]
    texts = [
        *begun,
        *["      msi_insert_desc();"] * vectors,
        "      msi_domain_alloc_irqs_all_locked();",
        "    }",
        *wired * vectors,
        "  }",
        "}",
    ]
    took = ("1.000 us" if text.endswith((";", "}")) else " " * 8 for text in texts)
    return "".join(f" 0)  qemu-kvm-777  |   {us}   |  {text}\n" for us, text in zip(took, texts, strict=True))


def test_the_work_for_an_enable_without_results_grows_with_its_vectors(monkeypatch):
    visits, below = [], Node.below
    monkeypatch.setattr(Node, "below", lambda node, *names: visits.append(node) or below(node, *names))
    work = []
    for vectors in (20, 40):
        visits.clear()
        made = tables(graph_of(vectors))
        assert made["op_alloc"].select("ret", "inferred").row(0) == (vectors, True)
        assert made["op_insert"].height == vectors
        work.append(len(visits))
    assert work[1] < 2.2 * work[0]
