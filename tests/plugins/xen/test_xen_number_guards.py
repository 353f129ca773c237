"""The numbers and sides of XEN-001 to XEN-008 and CFG-004: how many, of which domain, device, call or log."""

import pytest

from tracekit.findings import Finding
from tracekit.testing import findings, outcome, run, tables

HVM = "[    0.000000] Hypervisor detected: Xen HVM\n"
PV = "[    0.000000] Hypervisor detected: Xen PV\n"


def of(code: str, *texts: str) -> list[Finding]:
    return [f for f in findings(*texts) if f.code == code]


def lines(f: Finding) -> list[tuple[int, str]]:
    return [(e.line, e.role) for e in f.evidence]


def log(*messages: str, start: float = 10) -> str:
    return "".join(f"[{start + i / 1000:12.6f}] {m}\n" for i, m in enumerate(messages))


def bound(slot: int, pirq: int, irq: int) -> tuple[str, str]:
    """An HVM guest gets a number for a device, and binds it."""
    nvme = f"nvme 0000:00:{slot:02}.0: xen: msi"
    return f"{nvme} bound to pirq={pirq}", f"{nvme} --> pirq={pirq} --> irq={irq}"


def again(slot: int, pirq: int, irq: int) -> tuple[str, str]:
    """It takes the number in the device's message again."""
    nvme = f"nvme 0000:00:{slot:02}.0: xen: msi"
    return f"{nvme} already bound to pirq={pirq}", f"{nvme} --> pirq={pirq} --> irq={irq}"


def trace(*calls: str) -> str:
    return "# tracer: nop\n#\n" + "".join(f"     modprobe-9       [000] .....     1.{i:06d}: {c}\n" for i, c in enumerate(calls))


DEVICE, OTHER = "0xffff888005622000", "0xffff888004d1f000"


def setup(ret: int, nvec: int = 1, device: str = DEVICE, *inside: str) -> tuple[str, ...]:
    begin = f"a: (xen_initdom_setup_msi_irqs+0x0/0x340) dev={device} nvec={nvec} type=17"
    return begin, *inside, f"d: (msi_domain_alloc_irqs_descs_locked+0x39/0xb0 <- xen_initdom_setup_msi_irqs) ret={ret}"


def enable(ret: int, *inside: str, device: str = DEVICE) -> tuple[str, ...]:
    begin = f"m: (__pci_enable_msix_range+0x0/0x520) dev={device} minvec=1 maxvec=1"
    return begin, *inside, f"n: (pci_alloc_irq_vectors_affinity+0xad/0x110 <- __pci_enable_msix_range) ret={ret}"


def bind(pirq: int, irq: int, device: str = DEVICE) -> tuple[str, str]:
    return (
        f"b: (xen_bind_pirq_msi_to_irq+0x0/0x1b0) dev={device} desc=0xffff888007202080 pirq={pirq} nvec=1",
        f"c: (xen_initdom_setup_msi_irqs+0xad/0x340 <- xen_bind_pirq_msi_to_irq) irq={irq}",
    )


def destroy(irq: int, ret: int) -> tuple[str, str]:
    return f"e: (xen_destroy_irq+0x0/0x120) irq={irq}", f"f: (xen_teardown_msi_irqs+0x3b/0x70 <- xen_destroy_irq) ret={ret}"


# XEN-001


DEBUG = {
    "made": "xen:events: creating evtchn using pirq {} irq {}",
    "closed": "xen:events: shutdown_pirq: closing evtchn for pirq {} irq {}",
}
MADE, CLOSED = DEBUG["made"], DEBUG["closed"]
CONTRADICTION = [CLOSED.format(n, n + 40) for n in range(3)]  # ends without a begin
TWICE = [MADE.format(101, 290), MADE.format(100, 291), CLOSED.format(100, 291), MADE.format(101, 295)]
SHARED = [*bound(4, 101, 80), *bound(5, 101, 81), *again(4, 101, 82)]


def test_only_the_debug_lines_of_the_log_that_contradicts_itself_are_doubted() -> None:
    assert [f.grade for f in of("XEN-001", log(*CONTRADICTION, *TWICE))] == []
    (f,) = of("XEN-001", log(*CONTRADICTION), log(*TWICE))
    assert (f.grade, lines(f)) == ("possible", [(1, "cause"), (4, "cause")])
    (f,) = of("XEN-001", HVM + log(*CONTRADICTION, *SHARED))
    assert (f.summary, lines(f)) == ("0000:00:04.0 and 0000:00:05.0 use the same pirq 101", [(7, "cause"), (9, "cause")])


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        (again(4, 101, 80), ("inconclusive", "who used pirq 101 before line 2 is not recorded")),
        ((*bound(4, 101, 80), *again(4, 101, 81)), ("clear", "no pirq served two owners at once")),
        ((*bound(4, 100, 80), *again(4, 101, 81)), ("inconclusive", "who used pirq 101 before line 4 is not recorded")),
        (bound(4, 101, 80), ("clear", "no pirq served two owners at once")),
    ],
)
def test_a_number_that_is_used_again_was_perhaps_another_devices(messages: tuple[str, ...], told: tuple[str, str]) -> None:
    result = outcome(run(HVM + log(*messages)), "XEN-001")
    assert (result.outcome, result.reason) == told


def test_the_debug_lines_of_a_channel_are_not_held_against_the_messages_of_its_guest() -> None:
    assert of("XEN-001", HVM + log(*bound(4, 101, 80), MADE.format(77, 277), CLOSED.format(77, 277), MADE.format(101, 290))) == []


@pytest.mark.parametrize(("address", "named"), [("0000:00:05.0", True), ("<bdf>", False)])
def test_two_users_are_proven_only_where_both_are_named(address: str, named: bool) -> None:
    refused = "xen:events: Failed to obtain physical IRQ 82"
    (f,) = of("XEN-001", HVM + log(*(m.replace("0000:00:05.0", address) for m in SHARED), refused))
    whose = "0000:00:04.0 and 0000:00:05.0" if named else "irq 81 and irq 82"
    assert (f.grade, f.summary) == (
        "proven" if named else "possible",
        f"{whose} use the same pirq 101; Xen refused the event channel of irq 82",
    )


# XEN-002


def inventory(*pirqs: int) -> str:
    return "".join(
        f"(XEN)    IRQ:{24 + i:4} vec:{0x31 + i:02x} PCI-MSI/-X      status=010 aff:{{0}}/{{0-1}} in-flight=0 d0:{p:3}(---)\n"
        for i, p in enumerate(pirqs)
    )


LIMITS = "(XEN) Command line: com1=115200,8n1 extra_guest_irqs=,{}\n(XEN) IRQ limits: 24 GSI, 392 MSI/MSI-X\n"
REFUSED = "[  108.926011] e1000e 0000:3b:00.1: xen map irq failed -28 for 32752 domain\n"


@pytest.mark.parametrize(("held", "grade"), [(5, "probable"), (6, "probable"), (7, "proven"), (8, "proven")])
def test_a_space_is_short_where_less_than_a_quarter_is_left(held: int, grade: str) -> None:
    """Of 8 numbers a quarter is 2."""
    (f,) = of("XEN-002", LIMITS.format(8) + inventory(*range(31, 31 - held, -1)) + REFUSED)
    assert (f.grade, "MSI pirqs above 24 GSIs are bound" in f.summary) == (grade, grade == "proven")


@pytest.mark.parametrize(("nvec", "grade"), [(3, "probable"), (4, "probable"), (5, "proven")])
def test_a_space_is_short_where_less_than_was_wanted_is_left(nvec: int, grade: str) -> None:
    """Of 8 numbers four are bound."""
    (f,) = of("XEN-002", trace(*setup(-28, nvec)), LIMITS.format(8) + inventory(31, 30, 29, 28))
    assert (f.grade, f.values["wanted"]) == (grade, nvec)


@pytest.mark.parametrize(("lowest", "grade"), [(25, "probable"), (24, "proven"), (23, "proven")])
def test_numbers_that_went_down_to_the_gsis_are_all_used(lowest: int, grade: str) -> None:
    (f,) = of("XEN-002", trace(*setup(0, 1, DEVICE, *bind(lowest, 46)), *setup(-28, 1, OTHER)), LIMITS.format(200))
    assert (f.grade, f"the numbers went down to {lowest}, the count of GSIs" in f.summary) == (grade, grade == "proven")
    assert f.advice.startswith("Raise extra_guest_irqs=,N on Xen's command line (now 200) and boot anew")


def test_where_the_size_is_not_told_the_advice_names_none() -> None:
    (f,) = of("XEN-002", trace(*setup(-28)))
    assert f.advice.startswith("Raise extra_guest_irqs=,N on Xen's command line and boot anew")


@pytest.mark.parametrize(("count", "grade"), [(31, "probable"), (32, "proven")])
def test_a_guest_has_32_numbers_by_default(count: int, grade: str) -> None:
    took = (m for n in range(count) for m in bound(4, 101 - n, 60 + n))
    (f,) = of("XEN-002", HVM + log(*took, "nvme 0000:00:05.0: Failed to create MSI-X! ret=-19!"))
    assert (f.grade, "all 32 of its MSI pirqs were handed out (101..70)" in f.summary) == (grade, grade == "proven")


def test_a_number_of_another_domain_or_of_unknown_origin_is_not_the_domains_lowest() -> None:
    """The guest has 24 too, its own; a bind without a begin does not show who allocated the number."""
    refused = "nvme 0000:00:05.0: Failed to create MSI-X! ret=-19!"
    (f,) = of("XEN-002", REFUSED + LIMITS.format(200), HVM + log(*bound(4, 24, 60)))
    assert (f.subject.label, f.grade) == ("dom0 (0000:3b:00.1)", "probable")
    returned = log("xen:events: shutdown_pirq: get_free_pirq returned pirq 24")  # the debug code's own request, in a guest
    assert [f.grade for f in of("XEN-002", REFUSED + LIMITS.format(200), returned)] == ["probable"]
    (f,) = of("XEN-002", HVM + log(*bound(4, 55, 60), "nvme 0000:00:06.0: xen: msi --> pirq=50 --> irq=61", refused))
    assert lines(f) == [(2, "context"), (5, "effect")]


def test_the_enable_around_a_refused_set_up_is_shown() -> None:
    first, second = enable(-28, *setup(-28)), enable(0, *setup(0, 1, OTHER, *bind(25, 46, OTHER)), device=OTHER)
    (f,) = of("XEN-002", trace(*second, *first))
    assert [(e.line, e.line_end, e.role) for e in f.evidence] == [
        *((5, None, "context"), (9, 12, "context"), (10, 11, "context"), (11, None, "effect")),
    ]
    (f,) = of("XEN-002", trace(*setup(-28)), trace(*second, *second))
    assert [(e.line, e.line_end, e.role) for e in f.evidence] == [(3, 4, "context"), (4, None, "effect")]


# XEN-004

FAILED = "xen:events: Failed to obtain physical IRQ {}"


@pytest.mark.parametrize(("irq", "found"), [(15, 0), (16, 1)])
def test_the_first_16_irqs_are_legacy_lines(irq: int, found: int) -> None:
    assert [f.values["irq"] for f in of("XEN-004", HVM + log(FAILED.format(irq)))] == [irq] * found


def test_refused_channels_are_told_by_device() -> None:
    text = HVM + log(*bound(4, 101, 80), *bound(5, 100, 81), FAILED.format(80), FAILED.format(81), FAILED.format(99))
    told = of("XEN-004", text)
    assert [(f.subject.label, lines(f)) for f in told] == [
        ("0000:00:04.0", [(2, "context"), (6, "effect")]),
        ("0000:00:05.0", [(4, "context"), (7, "effect")]),
        ("an unnamed device", [(8, "effect")]),
    ]
    assert " of 0000:00:04.0, pirq 101: no" in told[0].summary


@pytest.mark.parametrize(("error", "shown"), [(-17, 1), (-22, 0)])
def test_only_a_channel_that_is_there_already_is_shown_beside_the_refusal(error: int, shown: int) -> None:
    text = HVM + log(*bound(4, 101, 80), FAILED.format(80)) + f"(XEN) event_channel.c:319:d3v0 EVTCHNOP failure: error {error}\n"
    (f,) = of("XEN-004", text)
    assert lines(f) == [(2, "context"), (4, "effect"), *[(5, "context")] * shown]


@pytest.mark.parametrize(("irq", "explained"), [(81, "XEN-001"), (82, "XEN-001"), (83, None)])
def test_a_shared_number_explains_the_refusals_of_both_users_and_no_others(irq: int, explained: str | None) -> None:
    (f,) = of("XEN-004", HVM + log(*bound(6, 99, 83), *SHARED, FAILED.format(irq)))
    assert f.explained_by == explained


# XEN-005

MAP_FAILED = "[  1.000000] ice 0000:3b:00.1: xen map irq failed {} for 32752 domain\n"


@pytest.mark.parametrize(
    ("errno", "reason", "advice"),
    [
        (-1, ": the caller may not", "Check the toolstack's permissions for the device (`xl pci-assignable-list`, the flask policy)."),
        (-17, ": the pirq is mapped already", "Look for two users of one pirq (XEN-001)."),
        (-5, "", "See what the hypervisor's log says at that time."),
    ],
)
def test_the_reason_of_a_refused_mapping_is_its_errnos(errno: int, reason: str, advice: str) -> None:
    (f,) = of("XEN-005", MAP_FAILED.format(errno).replace("[  1.", "[    1."))
    assert (f.summary, f.advice) == (f"Xen refused to map MSI of 0000:3b:00.1 with {errno}, once in the log{reason}", advice)


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        (("xen map irq failed -22",), ("inconclusive", "Xen refused line interrupts (GSI), once in the log; no line names the device")),
        ((), ("clear", "no mapping was refused but for want of a free pirq")),
    ],
)
def test_a_gsi_that_was_refused_leaves_open_whether_the_device_has_msi(messages: tuple[str, ...], told: tuple[str, str]) -> None:
    result = outcome(run(PV + log(*messages)), "XEN-005")
    assert (result.outcome, result.reason) == told


# XEN-006

LINUX = "[    0.000000] Linux version 5.15.0-generic (builder@lab) (gcc) #1 SMP\n"
COMPLAINT = log("nvme nvme0: I/O 12 QID 1 timeout, completion polled", start=40)


def interrupts(*rows: tuple[int, str]) -> str:
    return "            CPU0\n" + "".join(f" {60 + i}: {n:10}  xen-pirq    -msi-x     {name}\n" for i, (n, name) in enumerate(rows))


MUTE = interrupts((0, "nvme0q0"), (0, "nvme0q1"))


@pytest.mark.parametrize(
    ("platform", "rows", "found"),
    [
        (HVM, MUTE, 1),
        (HVM, interrupts((0, "nvme0q0"), (5, "nvme0q1")), 0),  # one vector has counted
        (HVM, interrupts((0, "nvme0q0")), 0),  # one irq may be a line
        (PV, MUTE, 0),
        ("", MUTE, 0),
    ],
)
def test_a_device_of_an_hvm_guest_with_several_mute_vectors_is_never_unmasked(platform: str, rows: str, found: int) -> None:
    assert len(of("XEN-006", LINUX + platform + COMPLAINT, rows)) == found


@pytest.mark.parametrize(
    ("platform", "rows", "told"),
    [
        (HVM, MUTE, ("inconclusive", "MSI rows without an interrupt: nvme0")),
        (HVM, interrupts((0, "nvme0q0"), (5, "nvme0q1")), ("clear", "a vector of every device that has several has counted")),
        (
            PV,
            MUTE,
            ("not evaluated", "no /proc/interrupts with the kernel's boot log, which tells whether the guest is HVM"),
        ),
        (
            HVM,
            "            CPU0\n 60:          0  PCI-MSIX-0000:00:05.0    0-edge      nvme0q0\n",
            ("clear", "no pirqs in /proc/interrupts"),
        ),
    ],
)
def test_vectors_without_a_complaint_leave_it_open_in_an_hvm_guest_alone(platform: str, rows: str, told: tuple[str, str]) -> None:
    result = outcome(run(LINUX + platform, rows), "XEN-006")
    assert (result.outcome, result.reason) == told


# XEN-007


@pytest.mark.parametrize(
    ("between", "context"),
    [
        (destroy(46, 0), [(6, "context")]),
        ((), []),
        (destroy(47, 0), []),  # another irq
        (destroy(46, -22)[:1], []),  # its result is not recorded
    ],
)
def test_the_earlier_release_of_an_irq_that_is_freed_twice_is_shown(between: tuple[str, ...], context: list[tuple[int, str]]) -> None:
    text = trace("tick: 1", *setup(-28), *between, *destroy(46, -22))
    (f,) = of("XEN-007", text)
    last = 6 + len(between)
    assert (f.severity, lines(f)) == ("low", [(5, "cause"), *context, (last, "effect")])


def test_a_release_before_the_refused_request_or_in_another_log_is_not_of_it() -> None:
    text = trace(*destroy(46, 0), *setup(-28), *destroy(46, -22))
    (f,) = of("XEN-007", text)
    assert lines(f) == [(6, "cause"), (7, "effect")]
    (f,) = of("XEN-007", trace("tick: 1", *setup(-28), "tick: 1", *destroy(46, -22)), trace(*["tick: 1"] * 3, *destroy(46, 0)))
    assert lines(f) == [(5, "cause"), (7, "effect")]


@pytest.mark.parametrize(("name", "returned"), [("p_{}_0", "r_{}_0"), ("{}", "{}__return")])
def test_a_release_by_a_guessed_function_is_probable(name: str, returned: str) -> None:
    def line(probe: str, function: str, place: str, rest: str) -> str:
        return f"  modprobe-9   [000]   115.108750: {probe.format(function)}: ({place}) {rest}\n"

    there, back = "ffffffff8181e654", "ffffffff8181e654 <- ffffffff813d1784"
    freed = line(name, "xen_destroy_irq", there, "irq=46") + line(returned, "xen_destroy_irq", back, "ret=-22")
    (f,) = of("XEN-007", "cpus=1\n" + freed)
    assert (f.grade, f.explained_by, lines(f), len(f.unchecked)) == ("probable", None, [(2, "effect")], 1)
    assert of("XEN-007", "cpus=1\n" + freed.replace("ret=-22", "ret=0")) == []
    setup = "xen_initdom_setup_msi_irqs"
    refused = line(name, setup, "ffffffff819f2ef4", f"dev={DEVICE} nvec=3 type=17")
    refused += line(returned, setup, "ffffffff819f2ef4 <- ffffffff81c0e634", "ret=-28")
    (f,) = of("XEN-007", "cpus=1\n" + refused + freed)
    assert (f.grade, f.severity, f.explained_by, lines(f)) == ("probable", "low", "XEN-002", [(3, "cause"), (4, "effect")])


# XEN-008


@pytest.mark.parametrize(
    ("status", "errno"), [("fffffffb", -5), ("ffffffff", -1), ("80000000", -(1 << 31)), ("7fffffff", (1 << 31) - 1), ("1", 1)]
)
def test_an_errno_of_the_frontend_has_32_bits(status: str, errno: int) -> None:
    (f,) = of("XEN-008", PV + log(f"e1000e 0000:00:00.0: enable msix get err {status}"))
    assert (f.summary, f.values) == (f"the PCI backend refused MSI to 0000:00:00.0 with {errno}", {"errno": errno})


# CFG-004


@pytest.mark.parametrize(("given", "facts"), [(",0", []), (",1", [(0, 1)]), ("0", [(None, 0)]), ("0,0", [(None, 0)])])
def test_0_for_dom0_is_xens_default(given: str, facts: list[tuple[int | None, int]]) -> None:
    text = f"(XEN) Command line: com1=115200,8n1 extra_guest_irqs={given}\n"
    rows = tables(text).get("pirq_facts")
    assert (rows.select("domid", "value").rows() if rows is not None else []) == facts


def test_limits_that_are_large_are_clear() -> None:
    assert outcome(run(LIMITS.format(200)), "CFG-004").reason == "the limits that are told leave interrupts enough"


@pytest.mark.parametrize(("number", "found"), [((1 << 24) - 1, 1), (1 << 24, 0)])
def test_no_domain_has_more_numbers_than_24_bits_hold(number: int, found: int) -> None:
    rows = tables(f"(XEN) Command line: com1=115200,8n1 extra_guest_irqs={number}\n").get("pirq_facts")
    assert (rows.select("domid", "value").rows() if rows is not None else []) == [(None, number)] * found


# Lives of pirqs


@pytest.mark.parametrize(("later", "end"), [("10:00:01.000000000", ""), ("10:00:01.000000001", "enabled anew")])
def test_an_enable_takes_all_its_numbers_within_a_second(later: str, end: str) -> None:
    """A stamp is known to one step: a nanosecond."""
    line = "2026-03-01T{}Z guest kernel: nvme 0000:00:04.0: xen: msi bound to pirq={}\n"
    lives = tables(line.format("10:00:00.000000000", 55) + line.format(later, 54))["pirq_lives"]
    assert lives.sort("line").select("pirq", "end").rows() == [(55, end), (54, "")]


# Results in messages


def test_a_refusal_that_a_message_tells_is_of_the_device_that_it_names() -> None:
    text = log("nvme 0000:00:04.0: Failed to create MSI-X! ret=-19!", "nvme <bdf>: Failed to create MSI! ret=-19!")
    text += log(
        "nvme 0000:00:04.0: xen map irq failed -28 for 32752 domain", "nvme <bdf>: xen map irq failed -28 for 32752 domain", start=11
    )
    text += log("xen:events: unmap irq failed -22", start=11.1)
    rows = tables(text)["predictions"].sort("line").select("operation", "subject", "rule", "predicted", "basis").rows()
    assert rows == [
        ("set up MSI (message)", "0000:00:04.0", "PirqSpace", None, None),
        ("set up MSI (message)", "an unnamed device", "PirqSpace", None, None),
        ("map_pirq (message)", "0000:00:04.0", "PirqSpace", None, None),
        ("map_pirq (message)", "an unnamed device", "PirqSpace", None, None),
        ("unmap_pirq (message)", "dom0", "PirqSpace.unmap: an irq that was freed has no pirq", "-22", "known"),
    ]
