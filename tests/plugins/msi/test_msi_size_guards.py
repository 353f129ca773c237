"""The guards of MSI-002, MSI-004 and MSI-005 and of the replay of late recordings, each from both sides."""

import pytest
from kprobes import Trace

from tracekit.findings import Finding
from tracekit.testing import findings, outcome, run, tables


def of(code: str, *texts: str, **named: str) -> list[Finding]:
    return [f for f in findings(*texts, **named) if f.code == code]


def lines(f: Finding) -> list[tuple[int, int | None, str]]:
    return [(e.line, e.line_end, e.role) for e in f.evidence]


# MSI-002


def unsized(kind: str) -> str:
    """A domain of 8 is made for MSI-X; a later enable of a kind does not look at the table."""
    t = Trace()
    domain = "msi_create_device_irq_domain"
    for index, name in ((2, "msix"), (2 if kind == "msix" else 1, kind)):
        t.open()
        t.begin(0x24, index, 0, 2)
        t.entry(f"__pci_enable_{name}_range", f"dev={t.dev:#x} minvec=1 maxvec=2")
        if domain:
            t.entry(domain, f"dev={t.dev + 0xC8:#x} domid=0 hwsize=8")
            t.leave(domain, 1)
        domain = ""
        t.leave(f"__pci_enable_{name}_range", 2)
        t.leave("vfio_pci_set_irqs_ioctl", 0)
        t.disable(index=index)
        t.close()
    return str(t)


@pytest.mark.parametrize(("kind", "expected"), [("msix", "inconclusive"), ("msi", "clear")])
def test_a_later_enable_of_msix_without_the_tables_size_clears_nothing(kind: str, expected: str) -> None:
    assert outcome(run(unsized(kind)), "MSI-002").outcome == expected


@pytest.mark.parametrize("later", [1, 2, 3, 4])
def test_three_of_the_enables_with_the_old_domain_are_named_and_all_counted(later: int) -> None:
    t = Trace()
    t.open()
    made = t.enable(2, 8, made=8)[0] + 3
    setups = []
    for _ in range(later):
        t.disable()
        setups.append(t.enable(2, 16)[0] + 2)
    (f,) = of("MSI-002", str(t))
    assert (f.grade, f.values) == ("proven", {"old_size": 8, "live": 16, "enables": later})
    assert lines(f) == [(made, made + 1, "cause"), *((n, n + 1, "cause") for n in setups[:3])]


def test_enables_with_another_size_of_the_table_are_not_those_of_the_first_one() -> None:
    t = Trace()
    t.open()
    t.enable(2, 8, made=8)
    for live in (12, 16, 8):
        t.disable()
        t.enable(2, live)
    (f,) = of("MSI-002", str(t))
    assert (f.values, len(f.evidence)) == ({"old_size": 8, "live": 12, "enables": 1}, 2)


# MSI-003


@pytest.mark.parametrize(("old", "live", "found"), [(16, 8, 1), (16, 1, 1), (2047, 8, 1), (2048, 8, 0), (8, 8, 0), (8, 16, 0)])
def test_a_table_shrank_where_the_domain_had_a_size_of_its_own(old: int, live: int, found: int) -> None:
    t = Trace()
    t.open()
    made = t.enable(1, old, made=old)[0] + 3
    t.disable()
    used = t.enable(1, live)[0] + 2
    told = of("MSI-003", str(t))
    assert [(f.grade, f.values, lines(f)) for f in told] == [
        ("proven", {"old_size": old, "live": live, "enables": 1}, [(made, made + 1, "cause"), (used, used + 1, "cause")])
    ] * found


def test_of_two_functions_whose_tables_shrank_each_is_a_finding_of_its_own_enables() -> None:
    one, other = Trace("0000:41:00.1"), Trace("0000:42:00.0", 0xFF1100010BEE0000, 0xFF11000105000000, "qemu-kvm-900", 90)
    other.text = one.text
    for t, old, live, enables in ((one, 16, 8, 1), (other, 32, 4, 2)):
        t.at = max(one.at, other.at)
        t.open()
        t.enable(1, old, made=old)
        t.interrupts(0)
        for _ in range(enables):
            t.disable()
            t.enable(1, live)
    told = [(f.subject.bdf, f.values) for f in of("MSI-003", str(one))]
    assert told == [
        ("0000:41:00.1", {"old_size": 16, "live": 8, "enables": 1}),
        ("0000:42:00.0", {"old_size": 32, "live": 4, "enables": 2}),
    ]


def read_again(made: int, first: int | None, then: int | None) -> tuple[str, int | None, int | None]:
    """A domain, whose set-up is not recorded; what pci_msix_vec_count() returned before and in the next enable; the lines of both."""
    t = Trace()

    def size(count: int | None) -> int | None:
        if count is None:
            return None
        line = t.entry("pci_msix_vec_count", f"dev={t.dev:#x}")
        t.leave("pci_msix_vec_count", count)
        return line

    size(first)
    shown: list[int | None] = []
    for domain in (made, None):
        t.open()
        t.begin(0x24, 2, 0, 1)
        t.entry("__pci_enable_msix_range", f"dev={t.dev:#x} minvec=1 maxvec=1")
        if domain is not None:
            shown.append(t.entry("msi_create_device_irq_domain", f"dev={t.dev + 0xC8:#x} domid=0 hwsize={domain}"))
            t.leave("msi_create_device_irq_domain", 1)
        else:
            shown.append(size(then))
        t.leave("__pci_enable_msix_range", 1)
        t.leave("vfio_pci_set_irqs_ioctl", 0)
        t.disable()
        t.close()
    return str(t), shown[0], shown[1]


@pytest.mark.parametrize(
    ("made", "first", "then", "latent", "shrunk"),
    [
        (16, None, 8, "clear", "found"),
        (16, None, 16, "clear", "clear"),
        (16, None, 32, "found", "clear"),
        (16, None, None, "inconclusive", "not evaluated"),
        (16, 16, None, "inconclusive", "inconclusive"),  # read before the domain was made, and not again
        (16, 8, None, "inconclusive", "not evaluated"),  # the domain shows that the table became another since
        (16, 32, None, "inconclusive", "not evaluated"),
    ],
)
def test_the_size_of_the_table_counts_where_it_was_read_since_the_domain_was_made(
    made: int, first: int | None, then: int | None, latent: str, shrunk: str
) -> None:
    text, created, read = read_again(made, first, then)
    result = run(text)
    assert [outcome(result, code).outcome for code in ("MSI-002", "MSI-003")] == [latent, shrunk]
    for f in (f for f in result.findings if f.code in ("MSI-002", "MSI-003")):
        assert (f.grade, f.values) == ("proven", {"old_size": made, "live": then, "enables": 1})
        assert created is not None
        assert lines(f) == [(created, created + 1, "cause"), (read, None, "cause")]


# MSI-004


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("enabled", ("clear", "every enable got what it asked for, or what the table holds")),
        ("", ("not evaluated", "no enabling of vectors in the input")),
    ],
)
def test_enables_that_got_all_vectors_clear_the_shortage(text: str, told: tuple[str, str]) -> None:
    t = Trace()
    t.open()
    if text:
        t.enable(2, 8, made=8)
    verdict = outcome(run(str(t)), "MSI-004")
    assert (verdict.outcome, verdict.reason) == told


@pytest.mark.parametrize(
    ("flags", "index", "ret", "told"),
    [
        (0, 2, 2, "clear"),
        (0, 2, -34, "clear"),  # MSI-001
        (0, 2, -16, "inconclusive"),
        (0x24, 2, -14, "inconclusive"),
        (0x24, 1, -14, "inconclusive"),
        (0x24, 2, 0, "not evaluated"),
        (0x24, 2, -22, "not evaluated"),  # VFIO-005
        (0x24, 0, -14, "not evaluated"),  # a line
        (0x21, 2, -14, "not evaluated"),  # it enables nothing
    ],
)
def test_an_error_that_nothing_explains_is_left_open(flags: int, index: int, ret: int, told: str) -> None:
    t = Trace()
    t.open()
    if flags:
        t.set_irqs(flags, index, 0, 2 if flags == 0x24 else 0, ret)
    else:
        t.entry("__pci_enable_msix_range", f"dev={t.dev:#x} minvec=1 maxvec=2")
        t.leave("__pci_enable_msix_range", ret)
    verdict = outcome(run(str(t)), "MSI-004")
    assert (verdict.outcome, f"of line 4 failed with {ret}" in verdict.reason) == (told, told == "inconclusive")


REFUSAL = "[   10.000000] foo_probe: failed to enable MSI-X vectors: -28\n"
GAVE_UP = "[   10.100000] {}: probe of 0000:01:00.0 failed with error {}\n"


@pytest.mark.parametrize(
    ("before", "after", "bdf"),
    [
        ("", GAVE_UP.format("foo", -28), "0000:01:00.0"),
        ("", GAVE_UP.format("bar", -28), None),  # another driver
        ("", GAVE_UP.format("foo", -12), None),  # for another reason
        (GAVE_UP.format("foo", -28), "", None),  # it gave up before
    ],
)
def test_a_driver_that_names_no_device_is_of_the_one_on_which_it_gives_up_next(before: str, after: str, bdf: str | None) -> None:
    (f,) = of("MSI-004", before + REFUSAL + after)
    cause = 1 + before.count("\n")
    assert (f.grade, f.subject.label, f.subject.bdf) == ("probable", bdf or "foo_probe", bdf)
    assert (f.severity, lines(f)) == (("high", [(1, None, "cause"), (2, None, "effect")]) if bdf else ("medium", [(cause, None, "cause")]))


# MSI-005

WARNING = """\
[   20.000000] ------------[ cut here ]------------
[   20.000001] WARNING: CPU: 0 PID: 262 at {place}:809 {function}+0x33/0x100
[   20.000002] CPU: 0 UID: 0 PID: 262 Comm: modprobe Not tainted 6.12.0 #1
[   20.000003] RIP: 0010:{function}+0x33/0x100
[   20.000004] Call Trace:
[   20.000005]  <TASK>
[   20.000006]  pci_alloc_irq_vectors_affinity+0x29/0x50
"""
MSI, ENABLE = "drivers/pci/msi/msi.c", "__pci_enable_msix_range"
REFUSED = "[   19.000000] foo 0000:01:00.0: can't enable MSI (MSI-X already enabled)\n"


@pytest.mark.parametrize(
    ("place", "function", "found"),
    [(MSI, ENABLE, 1), (MSI, "__pci_enable_msi_range", 1), (MSI, "msix_prepare_msi_desc", 0), ("arch/x86/mm/ioremap.c", ENABLE, 0)],
)
def test_a_warning_of_the_enabling_function_itself_is_a_second_enable(place: str, function: str, found: int) -> None:
    told = of("MSI-005", WARNING.format(place=place, function=function))
    assert [(f.grade, f.subject.kind, f.values, lines(f)) for f in told] == [
        ("proven", "unknown", {"place": f"{place}:809"}, [(2, None, "cause")])
    ] * found


def test_the_line_that_names_the_device_stands_for_the_warning_too() -> None:
    (f,) = of("MSI-005", REFUSED + WARNING.format(place=MSI, function=ENABLE))
    assert (f.grade, f.subject.bdf, lines(f)) == ("proven", "0000:01:00.0", [(1, None, "cause")])


# MSI-006


@pytest.mark.parametrize(
    ("function", "found"), [("pci_msi_setup_msi_irqs", 1), ("pci_msi_setup_msi_irqs.part.0", 1), ("msix_setup_entries", 0)]
)
def test_a_warning_that_there_is_no_fallback_is_reported_once(function: str, found: int) -> None:
    text = WARNING.format(place="drivers/pci/msi/legacy.c", function=function)
    told = of("MSI-006", text + text.replace("[   20", "[   30"))
    assert [(f.grade, f.subject.kind, f.values, lines(f)) for f in told] == [
        ("probable", "unknown", {"function": function}, [(2, None, "cause")])
    ] * found


# MSI-009

OOPS = """\
[   {0}.000000] BUG: unable to handle page fault for address: ffa0000000000010
[   {0}.000001] #PF: supervisor write access in kernel mode
[   {0}.000002] Oops: Oops: 0002 [#1] PREEMPT SMP NOPTI
[   {0}.000003] CPU: 0 UID: 0 PID: 262 Comm: vmm Not tainted 6.12.0 #1
[   {0}.000004] RIP: 0010:pci_msix_write_vector_ctrl+0x33/0x100
[   {0}.000005] Call Trace:
[   {0}.000006]  <TASK>
[   {0}.000007]  msix_mask_irq+0x29/0x50
"""


@pytest.mark.parametrize("at", [10, 30])
def test_of_a_warning_and_an_oops_the_oops_is_the_report(at: int) -> None:
    parts = sorted([(at, OOPS.format(at)), (20, WARNING.format(place=MSI, function=ENABLE))])
    (f,) = of("MSI-009", "".join(text for _, text in parts))
    assert (f.grade, f.severity, f.values["kind"], f.values["function"], f.values["reports"]) == (
        *("proven", "high", "oops", "pci_msix_write_vector_ctrl"),
        2,
    )


# The vectors that a function holds


@pytest.mark.parametrize("entered", [True, False])
def test_vectors_are_held_from_the_return_of_the_enabling_call(entered: bool) -> None:
    t = Trace()
    if entered:
        t.entry(ENABLE, f"dev={t.dev:#x} minvec=1 maxvec=2")
    ended = t.leave(ENABLE, 2)
    freed = t.entry("pci_free_irq_vectors", f"dev={t.dev:#x}")
    t.leave("pci_free_irq_vectors", 0)
    sets = tables(str(t))["vector_sets"].select("line", "line_end", "count", "cause").rows()
    assert sets == ([(ended, freed, 2, "freed")] if entered else [(ended, None, 2, None)])  # which function is freed is not known


@pytest.mark.parametrize(("index", "ret", "count"), [(2, 2, 3), (0, 0, 3), (2, -28, 2)])
def test_a_vector_that_is_added_in_place_is_held_too(index: int, ret: int, count: int) -> None:
    t = Trace()
    t.entry(ENABLE, f"dev={t.dev:#x} minvec=1 maxvec=2")
    t.leave(ENABLE, 2)
    t.entry("pci_msix_alloc_irq_at", f"dev={t.dev:#x} index={index}")
    t.leave("pci_msix_alloc_irq_at", ret)
    assert tables(str(t))["vector_sets"]["count"].to_list() == [count]


# The replay of an enable under Xen


@pytest.mark.parametrize(
    ("setup", "ret", "row"), [(0, 2, ("2", "2", True)), (-28, -28, ("-28", "-28", True)), (-28, 2, ("-28", "2", False))]
)
def test_an_enable_of_dom0_returns_what_xens_set_up_says(setup: int, ret: int, row: tuple[str, str, bool]) -> None:
    t = Trace()
    t.entry(ENABLE, f"dev={t.dev:#x} minvec=1 maxvec=2")
    t.entry("xen_initdom_setup_msi_irqs", f"dev={t.dev:#x} nvec=2 type=17")
    t.leave("xen_initdom_setup_msi_irqs", setup)
    t.leave(ENABLE, ret)
    rows = tables(str(t))["predictions"]
    assert rows.filter(rows["operation"] == "enable").select("predicted", "observed", "agrees").rows() == [row]


# The replay of SET_IRQS in a recording that begins late


@pytest.mark.parametrize("count", [1, 2])
def test_a_late_recording_predicts_that_a_request_of_one_vector_works_too(count: int) -> None:
    t = Trace()
    t.set_irqs(0x24, 2, 0, count, 0)
    assert tables(str(t))["predictions"].select("predicted", "observed", "basis", "agrees").rows() == [("0", "0", "healthy", True)]


@pytest.mark.parametrize(("ret", "lives"), [(1, [("msix", 8)]), (0, [])])
def test_a_domain_whose_creation_failed_has_no_life(ret: int, lives: list[tuple[str, int]]) -> None:
    t = Trace()
    t.open()
    t.begin(0x24, 2, 0, 2)
    t.entry("__pci_enable_msix_range", f"dev={t.dev:#x} minvec=1 maxvec=2")
    t.entry("pci_setup_msix_device_domain", f"dev={t.dev:#x} hwsize=8")
    t.entry("msi_create_device_irq_domain", f"dev={t.dev + 0xC8:#x} domid=0 hwsize=8")
    t.leave("msi_create_device_irq_domain", ret)
    t.leave("pci_setup_msix_device_domain", ret)
    t.leave("__pci_enable_msix_range", 2 if ret else -524)
    t.leave("vfio_pci_set_irqs_ioctl", 0 if ret else -524)
    found = tables(str(t))
    seen = found["msi_domains"].select("kind", "hwsize").rows() if "msi_domains" in found else []
    assert seen == lives
    assert found["enables"].select("hwsize", "hwsize_how").rows() == [(8, "seen") if ret else (None, None)]


# MSI-005 by Xen's log


@pytest.mark.parametrize("x", ["", "-X"])
def test_xens_conflict_names_the_kind_in_use(x: str) -> None:
    (f,) = of("MSI-005", f"(XEN) MSI{x} already in use on 0000:03:00.0\n")
    assert f.summary == f"Xen was asked for an interrupt of 0000:03:00.0 while MSI{x} of it was in use"
    assert (f.grade, f.subject.bdf, lines(f)) == ("proven", "0000:03:00.0", [(1, None, "cause")])


# the replay of inserts and closes


@pytest.mark.parametrize(("live", "found"), [(8, 1), (16, 0)])
def test_after_a_close_the_table_may_be_another(live: int, found: int) -> None:
    t = Trace()
    t.open()
    t.enable(16, 16, made=16)
    t.disable()
    t.close()
    t.open()
    t.enable(4, live)
    assert len(of("MSI-003", str(t))) == found


def wrapped(inner: int, outer: int | None) -> str:
    """An enabling call inside of pci_alloc_irq_vectors_affinity, with the result of each."""
    t = Trace()
    t.entry("pci_alloc_irq_vectors_affinity", f"dev={t.dev:#x} min_vecs=1 max_vecs=4 flags=0x4")
    t.entry("__pci_enable_msix_range", f"dev={t.dev:#x} minvec=1 maxvec=4")
    t.leave("__pci_enable_msix_range", inner)
    if outer is not None:
        t.leave("pci_alloc_irq_vectors_affinity", outer)
    return str(t)


@pytest.mark.parametrize("guessed", ["__pci_enable_msix_range", "pci_setup_msix_device_domain", "msi_insert_desc", ""])
def test_an_enable_rests_on_a_guess_where_one_of_its_calls_has_no_name(guessed: str) -> None:
    t = Trace()
    t.enable(1, 8)
    named = str(t)
    for function in filter(None, [guessed]):
        named = named.replace(f"in_{function[:9]}", function).replace(f"out_{function[:9]}", f"{function}_ret")
        named = named.replace(f"({function}+0x4/0x320)", "(ffffffff817a5d44)").replace(f"<- {function})", "<- ffffffff817a46ad)")
    assert tables(named)["enables"]["hint"].to_list() == [guessed != ""]


@pytest.mark.parametrize(("outer", "rows"), [(4, 1), (None, 1)])
def test_a_wrapper_with_the_result_of_its_call_is_no_second_enable(outer: int | None, rows: int) -> None:
    assert tables(wrapped(4, outer))["enables"]["ret"].to_list()[:1] == [4]
    assert tables(wrapped(4, outer))["enables"].height == rows
