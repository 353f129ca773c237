"""The guards of Xen's models and diagnoses, each from both sides."""

import pytest

from tracekit.testing import findings, outcome, run, tables

PORT = "   {0}: VCPU 0: Physical IRQ {1}\n"


@pytest.mark.parametrize(
    ("ports", "dumps"),
    [
        (((5, 17), (6, 18), (9, 19)), [[19, 18, 17]]),
        (((5, 17), (6, 18), (6, 18)), [[18, 17], [18]]),  # a number that does not rise begins another dump
        (((5, 17), (6, 18), (5, 17)), [[18, 17], [17]]),
        (((5, 17), (5, 17)), [[17], [17]]),
    ],
)
def test_a_list_of_ports_ends_where_the_number_does_not_rise(ports: tuple[tuple[int, int], ...], dumps: list[list[int]]) -> None:
    facts = tables("".join(PORT.format(*p) for p in ports))["pirq_facts"]
    assert facts.filter(facts["fact"] == "ports").select("domid", "value", "pirqs").rows() == [(0, len(p), p) for p in dumps]


HELD = "(XEN)    IRQ:  25 vec:59 {}      status=010 aff:{{1}}/{{1}} in-flight=0 d{}:{}(---)\n"


@pytest.mark.parametrize(
    ("kind", "domid", "pirq", "found"),
    [
        ("PCI-MSI/-X", 7, 415, 1),
        ("PCI-MSI", 0x7FFF, 415, 1),
        ("PCI-MSI", 0x8000, 415, 0),  # no domain has that number
        ("PCI-MSI", 7, 0xFFFFFF, 1),
        ("PCI-MSI", 7, 0x1000000, 0),
        ("IO-APIC-level", 7, 415, 0),
    ],
)
def test_a_holder_is_a_domain_that_can_be(kind: str, domid: int, pirq: int, found: int) -> None:
    rows = tables(HELD.format(kind, domid, pirq)).get("pirq_facts")
    held = rows.select("fact", "domid", "value", "pirqs", "line").rows() if rows is not None else []
    assert held == [("held", domid, 1, [pirq], 1)] * found


# CFG-004


@pytest.mark.parametrize(
    ("given", "subjects"),
    [(",63", ["dom0"]), (",64", []), ("31", ["guest"]), ("32", []), ("32,64", []), ("31,63", ["dom0", "guest"])],
)
def test_extra_irqs_are_few_below_64_for_dom0_and_below_32_for_others(given: str, subjects: list[str]) -> None:
    text = f"(XEN) Command line: com1=115200,8n1 extra_guest_irqs={given}\n(XEN) IRQ limits: 24 GSI, 392 MSI/MSI-X\n"
    assert sorted(f.subject.label for f in findings(text) if f.code == "CFG-004") == subjects


# XEN-009

OOPS = """\
[   20.000000] BUG: unable to handle page fault for address: ffffc90040010000
[   20.000001] #PF: supervisor write access in kernel mode
[   20.000002] #PF: error_code(0x0003) - permissions violation
[   20.000003] Oops: 0003 [#1] PREEMPT SMP NOPTI
[   20.000004] CPU: 0 PID: 1 Comm: swapper/0 Not tainted 6.1.0 #1
[   20.000005] RIP: 0010:{0}+0x33/0x100
"""
BANNER = "[    0.000000] Linux version 6.1.0 (x@y) (gcc 12) #1 SMP\n"
UNDER_XEN = "[    0.100000] Booting paravirtualized kernel on Xen PV\n"
MODE = "(XEN) d7v0: Unsupported MSI delivery mode {} for Dom{}\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BANNER + OOPS.format("kfree"), "not evaluated"),
        (BANNER + UNDER_XEN + OOPS.format("kfree"), "clear"),
        ("(XEN) Xen version 4.17.3 (builder@example) (gcc 12.2.0) debug=n\n", "clear"),
        (MODE.format(7, 7), "found"),
    ],
)
def test_a_table_is_cleared_only_where_xen_speaks(text: str, told: str) -> None:
    assert outcome(run(text), "XEN-009").outcome == told


@pytest.mark.parametrize(("mode", "garbage"), [(7, True), (6, False), (3, False)])
def test_a_mode_of_all_ones_is_a_device_that_was_down(mode: int, garbage: bool) -> None:
    (f,) = findings(MODE.format(mode, 7) + MODE.format(mode, 3))
    assert (f.code, f.values) == ("XEN-009", {"delivery_mode": mode, "domids": [3, 7]})
    assert ("all ones" in f.summary) is garbage


@pytest.mark.parametrize(
    ("xen", "function", "found"), [(UNDER_XEN, "__pci_write_msi_msg", 1), ("", "__pci_write_msi_msg", 0), (UNDER_XEN, "kfree", 0)]
)
def test_a_write_to_a_read_only_table_is_xens(xen: str, function: str, found: int) -> None:
    assert [f.grade for f in findings(BANNER + xen + OOPS.format(function)) if f.code == "XEN-009"] == ["probable"] * found


@pytest.mark.parametrize(("between", "found"), [(38, 1), (39, 0)])
def test_the_position_of_a_fault_stands_at_most_40_lines_below_its_head(between: int, found: int) -> None:
    """By a slow console: what is printed within 10 ms is near whatever stands between."""
    head, _, position = OOPS.format("__pci_write_msi_msg").rpartition("[   20.000005]")
    text = BANNER + UNDER_XEN + head + "[   20.300000] Hardware name: x\n" * between + f"[   20.600000]{position}"
    assert [f.grade for f in findings(text) if f.code == "XEN-009"] == ["probable"] * found


# XEN-001 from debug lines

DEBUG = "[{:12.6f}] xen:events: {}\n"


def debug(*events: str) -> list[tuple[object, ...]]:
    """(grade, values, lines) of XEN-001; a close of another number shows that the log prints ends."""
    ends = ("creating evtchn using pirq 77 irq 277", "shutdown_pirq: closing evtchn for pirq 77 irq 277")
    text = "".join(DEBUG.format(10 + i, e) for i, e in enumerate((*ends, *events)))
    return [(f.grade, f.values, [(e.line, e.role) for e in f.evidence]) for f in findings(text) if f.code == "XEN-001"]


MADE = "creating evtchn using pirq {} irq {}"
RETURNED = "shutdown_pirq: get_free_pirq returned pirq {}"
CLOSED = "shutdown_pirq: closing evtchn for pirq {} irq {}"


@pytest.mark.parametrize(
    ("between", "second", "found"),
    [
        ((), (101, 295), 1),
        ((), (101, 290), 0),  # the same irq
        ((), (100, 295), 0),  # another number
        ((RETURNED.format(101),), (101, 295), 0),  # Xen handed it out again
        ((RETURNED.format(100),), (101, 295), 1),
        ((CLOSED.format(101, 290),), (101, 295), 0),
        ((MADE.format(100, 291), CLOSED.format(100, 291)), (101, 295), 1),
        ((CLOSED.format(100, 290),), (101, 295), 0),  # an end without a begin: the log has a hole
    ],
)
def test_a_second_channel_on_a_number_that_nobody_gave_back(between: tuple[str, ...], second: tuple[int, int], found: int) -> None:
    last = 4 + len(between)
    told = debug(MADE.format(101, 290), *between, MADE.format(*second))
    assert told == [("possible", {"pirq": 101, "irq": 295}, [(3, "cause"), (last, "cause")])] * found


def test_a_log_that_prints_no_ends_shows_no_second_channel() -> None:
    text = DEBUG.format(10, MADE.format(101, 290)) + DEBUG.format(11, MADE.format(101, 295))
    assert [f.code for f in findings(text) if f.code == "XEN-001"] == []


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ((MADE.format(101, 290), CLOSED.format(101, 290)), ("clear", "no pirq served two owners at once")),
        (
            (MADE.format(101, 290), CLOSED.format(100, 290)),
            ("inconclusive", "the debug lines contradict each other: most ends of event channels have no begin"),
        ),
        (
            (MADE.format(101, 290), MADE.format(102, 291), CLOSED.format(101, 290), CLOSED.format(100, 290)),
            ("inconclusive", "the log has a hole after line 2: who had a number then is not recorded"),
        ),
    ],
)
def test_ends_that_all_have_a_begin_clear_the_numbers(events: tuple[str, ...], told: tuple[str, str]) -> None:
    verdict = outcome(run("".join(DEBUG.format(10 + i, e) for i, e in enumerate(events))), "XEN-001")
    assert (verdict.outcome, verdict.reason) == told


# XEN-002 from dom0's calls

SETUP, BIND = "xen_initdom_setup_msi_irqs", "xen_bind_pirq_msi_to_irq"


def dom0(ret: int, *pirqs: int) -> str:
    """A set-up that binds numbers, and another one that ends with `ret`."""
    calls = [f"a: ({SETUP}+0x0/0x340) dev=0xffff888005622000 nvec={len(pirqs)} type=17"]
    for i, pirq in enumerate(pirqs):
        calls.append(f"b: ({BIND}+0x0/0x1b0) dev=0xffff888005622000 desc=0xffff888007202080 pirq={pirq} nvec=1")
        calls.append(f"c: ({SETUP}+0xad/0x340 <- {BIND}) irq={46 + i}")
    calls.append(f"d: (msi_domain_alloc_irqs_descs_locked+0x39/0xb0 <- {SETUP}) ret=0")
    calls.append(f"a: ({SETUP}+0x0/0x340) dev=0xffff888004d1f000 nvec=1 type=17")
    calls.append(f"d: (msi_domain_alloc_irqs_descs_locked+0x39/0xb0 <- {SETUP}) ret={ret}")
    return "# tracer: nop\n#\n" + "".join(f"     modprobe-9       [000] .....     1.{i:06d}: {c}\n" for i, c in enumerate(calls))


@pytest.mark.parametrize(("ret", "found"), [(-28, 1), (0, 0), (-22, 0)])
@pytest.mark.parametrize(("pirqs", "lowest"), [((25, 24), 6), ((24, 25), 4)])
def test_the_lowest_number_of_dom0_stands_beside_its_refusal(pirqs: tuple[int, ...], lowest: int, ret: int, found: int) -> None:
    told = [f for f in findings(dom0(ret, *pirqs)) if f.code == "XEN-002"]
    assert [(f.subject.label, f.values["errno"], f.values["refusals"]) for f in told] == [
        ("dom0 (pci_dev 0xffff888004d1f000)", -28, 1)
    ] * found
    assert [[(e.line, e.line_end, e.role) for e in f.evidence] for f in told] == [
        [(lowest, None, "context"), (9, 10, "context"), (10, None, "effect")]
    ] * found


# CFG-004


@pytest.mark.parametrize(
    ("log", "few"),
    [
        ("(XEN) Command line: extra_guest_irqs=32,64 loglvl=all\n", []),
        ("(XEN) Command line: extra_guest_irqs=31,64 loglvl=all\n", ["any domU has 31"]),
        ("(XEN) Command line: extra_guest_irqs=32,63 loglvl=all\n", ["dom0 has 63"]),
        ("(XEN) IRQ limits: 24 GSI, 392 MSI/MSI-X\n(XEN) d0 has maximum 55 PIRQs\n", ["dom0 has 31"]),
        ("(XEN) IRQ limits: 24 GSI, 392 MSI/MSI-X\n(XEN) d0 has maximum 56 PIRQs\n", []),
        ("(XEN) d0 has maximum 26 PIRQs\n", []),  # how many are GSIs is not known
        ("(XEN) hwdom IRQs bounded to 128\n" * 2, ["dom0 is bounded to 128"]),
    ],
)
def test_few_pirqs_for_msi(log: str, few: list[str]) -> None:
    told = [f.summary for f in findings(log) if f.code == "CFG-004"]
    assert [s.startswith(begin) for s, begin in zip(told, few, strict=True)] == [True] * len(few)


# XEN-006


@pytest.mark.parametrize(("release", "found"), [("5.12.19", 0), ("5.13.0", 1), ("5.15.12", 1), ("4.19.200", 0)])
def test_only_kernels_from_5_13_mask_all_entries_late(release: str, found: int) -> None:
    log = (
        f"[    0.000000] Linux version {release} (b@e) (gcc 11.2.0) #1 SMP\n"
        "[    0.000113] Hypervisor detected: Xen HVM\n"
        "[    2.000000] nvme nvme0: pci function 0000:00:05.0\n"
        "[   62.400000] nvme nvme0: I/O 12 QID 0 timeout, completion polled\n"
    )
    rows = "           CPU0\n 80:          0  xen-pirq    -msi-x     nvme0q0\n 81:          0  xen-pirq    -msi-x     nvme0q1\n"
    assert [(f.grade, f.values) for f in findings(log, rows) if f.code == "XEN-006"] == [("probable", {"vectors": 2})] * found


# XEN-001

REUSED = """\
[    5.000113] nvme 0000:00:05.0: xen: msi bound to pirq=101
[    5.000226] nvme 0000:00:05.0: xen: msi --> pirq=101 --> irq=80
[    5.200113] nvme 0000:00:06.0: xen: msi bound to pirq=101
[    5.200226] nvme 0000:00:06.0: xen: msi --> pirq=101 --> irq=81
[    5.400000] nvme 0000:00:05.0: xen: msi already bound to pirq=101
[    5.400113] nvme 0000:00:05.0: xen: msi --> pirq=101 --> irq=80
"""


@pytest.mark.parametrize(("irq", "grade", "told"), [(80, "proven", True), (None, "possible", False), (99, "possible", False)])
def test_a_shared_pirq_is_proven_by_the_refusal_of_its_irq(irq: int | None, grade: str, told: bool) -> None:
    refusal = f"[    5.400226] xen:events: Failed to obtain physical IRQ {irq}\n" if irq is not None else ""
    (f,) = [f for f in findings(REUSED + refusal) if f.code == "XEN-001"]
    assert (f.grade, f.summary) == (
        grade,
        "0000:00:05.0 and 0000:00:06.0 use the same pirq 101" + ("; Xen refused the event channel of irq 80" if told else ""),
    )
    assert len(f.unchecked) == (not told)
