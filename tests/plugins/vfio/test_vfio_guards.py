"""The guards of windows that are inferred from vector events, and of the replay of SET_IRQS, each from both sides."""

import pytest
from kprobes import Trace

from tracekit.findings import Finding
from tracekit.testing import findings, outcome, run, tables

BDF = "0000:41:00.0"


def recorded(*events: str, task: str = "qemu-100") -> str:
    """Lines 3, 4, ...: one event a millisecond, handlers by an idle CPU, others by `task` or the task before `|`."""
    lines = []
    for i, event in enumerate(events):
        who, _, what = event.partition("|") if event.startswith(("<", "kworker")) else ("", "", event)
        who = who or ("<idle>-0" if "irq_handler" in event else task)
        lines.append(f" {who} [001] ..... {100 + i / 1000:12.6f}: {what}\n")
    return "# tracer: nop\n#\n" + "".join(lines)


def alloc(irq: int, ret: int = 0) -> str:
    return f"vector_alloc: irq={irq} vector={irq - 21} reserved=1 ret={ret}"


def cleared(irq: int) -> str:
    return f"vector_clear: irq={irq} vector={irq - 21} cpu=1 prev_vector=0 prev_cpu=0"


def freed(irq: int) -> str:
    return f"vector_teardown: irq={irq} is_managed=0 has_reserved=0"


def handled(irq: int, vector: int) -> str:
    return f"irq_handler_entry: irq={irq} name=vfio-msix[{vector}]({BDF})"


FIRST = (alloc(61), handled(61, 0))
AFTER = (handled(61, 0), handled(62, 1))


def windows(text: str) -> list[Finding]:
    return [f for f in findings(text) if f.code == "VFIO-002"]


@pytest.mark.parametrize("down", [cleared(61), "vector_deactivate: irq=61 is_managed=0 can_reserve=1 reserve=0"])
def test_an_irq_that_loses_its_vector_and_returns_with_another_is_a_window(down: str) -> None:
    (f,) = windows(recorded(*FIRST, down, freed(61), alloc(61), alloc(62), *AFTER))
    assert (f.grade, f.subject.bdf, f.values["basis"]) == ("probable", BDF, "vectors")
    assert (f.values["old"], f.values["new"], f.values["vectors_in_use"], f.values["longest_ns"]) == (1, 2, [0], 2_000_000)
    assert [(e.line, e.role) for e in f.evidence] == [(5, "cause"), (7, "cause"), (4, "context")]
    assert f.values["longest_no_vectors_ns"] is None  # a bound inside of the window: here the events are the window


@pytest.mark.parametrize(
    "events",
    [
        (*FIRST, cleared(61), freed(61), alloc(61), handled(61, 0)),  # as many as before
        (*FIRST, cleared(61), alloc(61), alloc(62), *AFTER),  # the irq was not freed: it moved to another CPU
        (*FIRST, cleared(61), freed(61), f"kworker-7|{alloc(61)}", f"kworker-7|{alloc(62)}", *AFTER),  # another task
        (*FIRST, cleared(61), freed(61), alloc(61, -28), *AFTER),  # it was refused
        (alloc(61), alloc(62), *AFTER),  # nothing went down
        (alloc(61), alloc(62), *AFTER, cleared(61), freed(61), alloc(61), alloc(63), handled(63, 2)),  # one of two came back with another
    ],
    ids=["no more", "moved", "another task", "refused", "first enable", "one of two"],
)
def test_what_is_no_growth_is_no_window(events: tuple[str, ...]) -> None:
    assert windows(recorded(*events)) == []


def test_with_the_requests_themselves_nothing_is_inferred() -> None:
    request = "p_set: (vfio_pci_set_irqs_ioctl+0x4/0xd0) vdev=0xff11000000001000 flags=0x21 index=2 start=0 count=0"
    text = recorded(request, *FIRST, cleared(61), freed(61), alloc(61), alloc(62), *AFTER)
    assert "vectors" not in tables(text)["windows"]["basis"].to_list()


@pytest.mark.parametrize(
    ("index", "flags", "ret", "found"),
    [(2, 0x24, 3, 1), (2, 0x24, 1, 1), (1, 0x24, 3, 1), (0, 0x24, 3, 0), (2, 0x24, 0, 0), (2, 0x21, 3, 0)],
)
def test_a_positive_result_of_set_irqs_is_a_short_grant(index: int, flags: int, ret: int, found: int) -> None:
    t = Trace()
    t.open()
    first, last = t.set_irqs(flags, index, 0, 8, ret)
    told = [f for f in findings(str(t)) if f.code == "MSI-004"]
    assert [(f.grade, f.values, [(e.line, e.line_end) for e in f.evidence]) for f in told] == [
        ("proven", {"asked": 8, "granted": ret}, [(first, last)])
    ] * found


# VFIO-008, VFIO-012


@pytest.mark.parametrize(
    ("flags", "ret", "told"),
    [(0x24, -28, "inconclusive"), (0x24, 0, "clear"), (0x24, -22, "clear"), (0x21, -28, "clear"), (0x21, 0, "clear")],
)
def test_whether_a_guest_was_told_is_asked_where_an_enable_was_short_of_vectors(flags: int, ret: int, told: str) -> None:
    t = Trace()
    t.open()
    t.set_irqs(flags, 2, 0, 4 if flags == 0x24 else 0, ret)
    assert outcome(run(str(t)), "VFIO-008").outcome == told


MISMATCH = "[  100.00000{0}] genirq: Flags mismatch irq 16. 00000000 (vfio-intx(0000:03:00.0)) vs. 00000080 (ehci_hcd:usb1)\n"
BUSY = (
    "qemu-system-x86_64: vfio 0000:03:00.0: Failed to set up TRIGGER eventfd signaling for interrupt INTX-0: "
    "VFIO_DEVICE_SET_IRQS failure: Device or resource busy\n"
)


@pytest.mark.parametrize("count", [5, 6, 7])
def test_of_a_refused_intx_five_lines_each_are_named(count: int) -> None:
    (f,) = (f for f in findings("".join(map(MISMATCH.format, range(count))), BUSY * count) if f.code == "VFIO-012")
    assert (f.values["messages"], f.values["irq"], f.values["shares_with"]) == (count, 16, "ehci_hcd:usb1")
    assert [e.role for e in f.evidence] == ["cause"] * 5 + ["effect"] * 5


@pytest.mark.parametrize("count", [5, 6, 7])
def test_of_refused_calls_for_intx_five_are_named(count: int) -> None:
    t = Trace()
    t.open()
    for _ in range(count):
        t.set_irqs(0x24, 0, 0, 1, -16)
    (f,) = (f for f in findings(str(t)) if f.code == "VFIO-012")
    assert (f.grade, f.values, [e.role for e in f.evidence]) == (
        "proven",
        {"errno": -16, "calls": count},
        ["cause"] * 5,
    )


@pytest.mark.parametrize(("flags", "index", "ret"), [(0x24, 0, 0), (0x24, 0, -22), (0x24, 2, -16), (0x21, 0, -16)])
def test_other_results_and_other_indexes_are_no_refused_intx(flags: int, index: int, ret: int) -> None:
    t = Trace()
    t.open()
    t.set_irqs(flags, index, 0, 1 if flags == 0x24 else 0, ret)
    assert [f.code for f in findings(str(t)) if f.code == "VFIO-012"] == []


# VFIO-009


def spilled(*places: str) -> str:
    """A growth from 1 to 4 vectors, with a run of `vfio-intx` before it, inside of it, or after it."""
    t = Trace()

    def intx(place: str) -> None:
        if place in places:
            t.line(f"irq_handler_entry: irq=16 name=vfio-intx({t.bdf})", "<idle>-0")

    t.open()
    t.enable(1, 16, made=16)
    t.interrupts(0)
    intx("before")
    t.disable()
    intx("inside")
    t.enable(4, 16)
    intx("after")
    t.interrupts(0)
    return str(t)


@pytest.mark.parametrize(
    ("places", "found"), [(("inside",), 1), (("before", "inside"), 0), (("after",), 0), (("before",), 0), (("inside", "after"), 1), ((), 0)]
)
def test_a_line_interrupt_inside_a_window_and_none_before(places: tuple[str, ...], found: int) -> None:
    told = [f for f in findings(spilled(*places)) if f.name == "vfio.intx-spill"]
    assert [f.values["interrupts"] for f in told] == [1] * found


# VFIO-004


@pytest.mark.parametrize(
    ("flags", "start", "count", "ret", "found"),
    [
        (0x24, 4, 1, 0, 0),  # it works at a later try
        (0x24, 3, 2, 0, 0),
        (0x24, 4, 3, 0, 0),
        (0x24, 2, 2, 0, 1),  # others
        (0x24, 5, 2, 0, 1),
        (0x24, 4, 1, -28, 1),
        (0x21, 4, 1, 0, 1),  # a trigger by software wires nothing
    ],
)
def test_a_vector_that_works_at_a_later_try_is_not_dead(flags: int, start: int, count: int, ret: int, found: int) -> None:
    t = Trace()
    t.open()
    t.enable(4, 16, made=16)
    t.add(4, -28)
    t.set_irqs(flags, 2, start, count, ret)
    told = [f for f in findings(str(t)) if f.code == "VFIO-004"]
    assert [(f.values["vectors"], f.values["errno"]) for f in told] == [([4], -28)] * found


def test_a_try_before_is_none_after() -> None:
    t = Trace()
    t.open()
    t.enable(5, 16, made=16)
    t.add(4, -28)
    assert [f.values["vectors"] for f in findings(str(t)) if f.code == "VFIO-004"] == [[4]]


@pytest.mark.parametrize(
    ("wired", "start", "count", "ret", "then", "found"),
    [
        (2, 2, 1, -28, (), [[2]]),  # added by the PCI core, refused when its irq is requested
        (2, 1, 1, -28, (), [[1]]),  # wired anew
        (1, 0, 1, -28, (), []),  # the only one
        (2, 2, 1, -22, (), []),  # a matter of range
        (2, 0, 2, -28, (), []),  # a block
        (2, 2, 1, -28, (2, 1, 0), []),  # a later try works
        (2, 2, 1, -28, (1, 1, 0), [[2]]),  # another's
        (2, 2, 1, -28, (3, 1, -28), [[2, 3]]),
    ],
)
def test_a_vector_whose_irq_is_refused_while_others_live(
    wired: int, start: int, count: int, ret: int, then: tuple[int, ...], found: list[list[int]]
) -> None:
    t = Trace()
    t.open()
    t.enable(wired, 16, made=16)
    for request in ((start, count, ret), then) if then else ((start, count, ret),):
        t.set_irqs(0x24, 2, *request)
    assert [f.values["vectors"] for f in findings(str(t)) if f.code == "VFIO-004"] == found


def test_a_vector_that_is_refused_after_a_disable_is_no_single_one() -> None:
    t = Trace()
    t.open()
    t.enable(2, 16, made=16)
    t.disable()
    t.set_irqs(0x24, 2, 0, 1, -28)
    assert [f.code for f in findings(str(t)) if f.code == "VFIO-004"] == []


@pytest.mark.parametrize("added", [True, False])
@pytest.mark.parametrize(("closes", "found"), [(True, [[4]]), (False, [])])
def test_a_vector_that_works_in_a_later_session_was_dead_in_this_one(closes: bool, added: bool, found: list[list[int]]) -> None:
    t = Trace()
    t.open()
    t.enable(4, 16, made=16)
    if added:
        t.add(4, -28)
    else:
        t.set_irqs(0x24, 2, 4, 1, -28)
    if closes:
        t.close()
        t.open()
    t.set_irqs(0x24, 2, 0, 8, 0)
    assert [f.values["vectors"] for f in findings(str(t)) if f.code == "VFIO-004"] == found


# CFG-003


@pytest.mark.parametrize("asked", [2, 3, 4])
def test_three_refusals_of_an_ims_domain_are_shown(asked: int) -> None:
    call = "k_ims: (pci_create_ims_domain+0x4/0x90) pdev=0xffff88810a3c5000", "r_ims: (x+0x1/0x5 <- pci_create_ims_domain) ret=0"
    (f,) = [f for f in findings(recorded(*call * asked)) if f.code == "CFG-003"]
    assert (f.values["refused"], len(f.evidence)) == (asked, min(asked, 3))


# VFIO-003


@pytest.mark.parametrize(
    ("ret", "closed", "found"), [(3, False, 0), (1, False, 0), (3, True, 1), (1, True, 1), (-28, False, 1), (-28, True, 1), (0, True, 0)]
)
def test_a_smaller_grant_after_a_disable_is_a_failure_where_the_client_closes(ret: int, closed: bool, found: int) -> None:
    """A positive result is the number that there is: the client tries again with it, or gives up."""
    t = Trace()
    t.open()
    t.enable(1, 16, made=16)
    t.interrupts(0)
    t.disable()
    t.set_irqs(0x24, 2, 0, 4, ret)
    if closed:
        t.close()
    told = run(str(t))
    failures = [f for f in told.findings if f.code == "VFIO-003"]
    assert [(f.grade, f.values["errno"]) for f in failures] == [("proven", ret)] * found
    assert all((f"failed: the kernel would have granted {ret}" if ret > 0 else f"failed with {ret}") in f.summary for f in failures)
    reason = "1 finding" if found else "no enable failed after a disable"
    assert outcome(told, "VFIO-003").reason == reason


# KVMT-003


def injected(vector: int, target: int, between: int) -> tuple[str, ...]:
    """A handler of plain MSI, other lines, and the injection that follows."""
    handler = f"irq_handler_entry: irq={70 + vector} name=vfio-msi[{vector}]({BDF})"
    return (handler, *["sched_waking: comm=x pid=1"] * between, f"<idle>-0|kvm_msi_set_irq: dst 1 vec {target} (Fixed|physical|edge)")


@pytest.mark.parametrize(
    ("targets", "between", "found"),
    [((40, 40), 0, 1), ((40, 40), 5, 1), ((40, 40), 6, 0), ((40, 41), 0, 0), ((40,), 0, 0), ((40, 40, 40), 0, 1), ((40, 40, 41), 0, 0)],
)
def test_vectors_of_plain_msi_that_all_arrive_as_one(targets: tuple[int, ...], between: int, found: int) -> None:
    text = recorded(*(line for v, target in enumerate(targets) for line in injected(v, target, between)))
    told = [f for f in findings(text) if f.code == "KVMT-003"]
    assert [(f.grade, f.subject.bdf, f.values) for f in told] == [
        ("probable", BDF, {"vectors": list(range(len(targets))), "guest_vector": 40})
    ] * found


def test_four_vectors_of_the_five_that_arrive_as_one_are_shown() -> None:
    told = [line for v in range(5) for line in injected(v, 41, 1)]
    (f,) = [f for f in findings(recorded(*told)) if f.code == "KVMT-003"]
    assert f.summary == f"MSI vectors 0, 1, 2, 3, 4 of {BDF} all reach the guest as vector 41"
    assert [(e.line, e.role) for e in f.evidence] == [(3 + 3 * v + n, role) for v in range(4) for n, role in ((0, "context"), (2, "cause"))]


# VFIO-007


def block(*handled_vectors: int, bad: int = 2, wired: bool = True, count: int = 4, bdf: str = BDF, early: int | None = None) -> str:
    """Four vectors are enabled, some interrupt, and a request for `count` fails at vector `bad`; `wired`: single vectors are recorded."""
    t = Trace(bdf)
    t.open()
    if early is not None:
        t.enable(4, 8, made=8)
        t.interrupts(early)
        t.disable()
    t.enable(4, 8, made=8)
    for vector in handled_vectors:
        t.interrupts(vector)
    t.begin(0x24, 2, 0, count)
    for vector in range(bad if wired else 0):
        t.wire(vector)
    if wired:
        t.entry("vfio_msi_set_vector_signal", f"vdev={t.vdev:#x} vector={bad} fd=999 msix=1")
        t.leave("vfio_msi_set_vector_signal", -9)
    t.leave("vfio_pci_set_irqs_ioctl", -9)
    return str(t)


def rolled_back(text: str) -> list[Finding]:
    return [f for f in findings(text) if f.code == "VFIO-007"]


@pytest.mark.parametrize(
    ("handled_vectors", "bad", "vectors"),
    [
        ((0, 1), 2, [0, 1]),
        ((0, 1, 2, 3), 2, [0, 1]),  # those from the bad one on were not detached by it
        ((1,), 2, [1]),
        ((1,), 1, None),
        ((0,), 1, [0]),
        ((2, 3), 2, None),
        ((), 2, None),
    ],
)
def test_vectors_below_the_bad_one_that_had_interrupted_went_down(
    handled_vectors: tuple[int, ...], bad: int, vectors: list[int] | None
) -> None:
    told = rolled_back(block(*handled_vectors, bad=bad))
    expected = [("proven", BDF, {"vectors": vectors, "failed": bad, "errno": -9}, None, ())] if vectors else []
    assert [(f.grade, f.subject.bdf, f.values, f.explained_by, f.unchecked) for f in told] == expected


def test_without_single_vectors_all_of_the_block_may_have_gone_down() -> None:
    (f,) = rolled_back(block(0, 2, wired=False))
    assert (f.grade, f.values) == ("probable", {"vectors": [0, 2], "failed": 3, "errno": -9})
    assert [u.guard for u in f.unchecked] == ["which vector failed"]


def test_a_vector_that_interrupted_before_the_last_enable_only_did_not_work() -> None:
    assert rolled_back(block(early=0)) == []
    (f,) = rolled_back(block(1, early=0))
    assert f.values["vectors"] == [1]


def test_a_request_for_a_single_vector_takes_no_other_one_down() -> None:
    assert rolled_back(block(0, 1, bad=0, count=1)) == []


# VFIO-003


GRAPH = {
    "first": [
        "__pci_enable_msix_range() {",
        "  msi_insert_desc();",
        "} /* __pci_enable_msix_range */",
        *["vfio_msi_set_vector_signal() {", "  request_threaded_irq();", "} /* vfio_msi_set_vector_signal */"],
    ],
    "down": ["vfio_msi_disable() {", "  pci_free_irq_vectors();", "} /* vfio_msi_disable */"],
    "up": [
        "__pci_enable_msix_range() {",
        "  pci_setup_msix_device_domain() {",
        "    msi_match_device_irq_domain();",
        "  } /* pci_setup_msix_device_domain */",
        "  msix_setup_msi_descs() {",
        "    msi_insert_desc();",
        "    msi_insert_desc();",
        "  } /* msix_setup_msi_descs */",
        "  msi_domain_free_irqs_all_locked();",
        "} /* __pci_enable_msix_range */",
    ],
}


def test_a_failed_enable_without_a_result_is_worded_without_one() -> None:
    text = "# tracer: function_graph\n#\n"
    for inside in GRAPH.values():
        for line in ("vfio_pci_set_irqs_ioctl() {", *(f"  {x}" for x in inside), "} /* vfio_pci_set_irqs_ioctl */"):
            text += f" 1)  vmm-7 | {'              ' if line.endswith('{') else '   1.072 us   '} |  {line}\n"
    (f,) = [f for f in findings(text) if f.code == "VFIO-003"]
    assert f.summary.endswith("and that failed")
    assert f.values["errno"] is None


# VFIO-012


@pytest.mark.parametrize(
    ("errno", "host", "grade", "unchecked"),
    [
        ("Device or resource busy", False, "probable", 1),
        ("Device or resource busy", True, "proven", 0),
        ("Invalid argument", False, "probable", 1),
        ("Cannot allocate memory", False, "probable", 0),  # nothing is said of the cause, so nothing is left to check
    ],
)
def test_what_an_errno_of_intx_means_is_unchecked_without_the_hosts_log(errno: str, host: bool, grade: str, unchecked: int) -> None:
    qemu = f"qemu-system-x86_64: vfio 0000:03:00.0: Failed to set up TRIGGER eventfd signaling for interrupt INTX-0: VFIO_DEVICE_SET_IRQS failure: {errno}\n"
    kernel = "[    9.000000] genirq: Flags mismatch irq 16. 00000000 (vfio-intx(0000:03:00.0)) vs. 00000080 (ehci_hcd:usb1)\n"
    (f,) = [f for f in findings(qemu, *([kernel] if host else [])) if f.code == "VFIO-012"]
    assert (f.grade, len(f.unchecked)) == (grade, unchecked)


# KVMT-001

ENTRY = "[    1.{0:06d}] pci 0000:{1}:00.0: [{2}:10fb] type 00 class 0x020000\n"


@pytest.mark.parametrize(("other", "found"), [("5086", 1), ("8086", 0), ("5087", 0)])
def test_a_vendor_whose_high_byte_alone_differs_was_overwritten(other: str, found: int) -> None:
    kvmtool = "0000:41:00.0: assigned to device number 0x0 in group 12\n"
    host = "[    0.000000] Linux version 6.1.90 (b@e) (gcc 12.2.0) #1 SMP\n" + ENTRY.format(0, "41", "8086")
    told = [f for f in findings(host, ENTRY.format(0, "00", other), kvmtool) if f.code == "KVMT-001"]
    assert len(told) == found
    both = host + ENTRY.format(1, "00", other)  # one log, two lines
    assert len([f for f in findings(both, kvmtool) if f.code == "KVMT-001"]) == found
