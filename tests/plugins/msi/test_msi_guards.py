"""The guards of MSI-001 and MSI-004 and of the replay of enables, each from both sides."""

import pytest
from kprobes import Trace
from opening import DEV, back, call, trace
from tracekit_msi.models.predictions import shown

from tracekit.findings import Finding
from tracekit.testing import findings, outcome, run, tables

ENABLE, INSERT = "__pci_enable_msix_range", "msi_insert_desc"
LSPCI = "2e:00.1 Ethernet controller: Example Devices VF\n\tCapabilities: [a0] MSI-X: Enable+ Count={} Masked-\n"
FAILED = "qemu-system-x86_64: vfio: failed to enable vectors, {}\n"


def of(code: str, *texts: str, **named: str) -> list[Finding]:
    return [f for f in findings(*texts, **named) if f.code == code]


# MSI-001 from two sizes and a client's message


@pytest.mark.parametrize(
    ("release", "found"), [("6.1.90", 0), ("5.15.0", 0), ("mainline", 1), ("6.2.0", 1), ("6.2.16", 1), ("6.12.0", 1), ("7.0.0", 1)]
)
def test_a_table_that_grew_matters_from_6_2_on(release: str, found: int) -> None:
    texts = (LSPCI.format(8), LSPCI.format(16), FAILED.format("-1"), f"Linux host {release} #1 SMP x86_64 GNU/Linux\n")
    assert [(f.grade, f.values) for f in of("MSI-001", *texts)] == [("possible", {"old_size": 8, "live": 16, "errno": None})] * found


@pytest.mark.parametrize(
    ("reason", "found"),
    [("-1", 1), ("-34", 1), ("Numerical result out of range", 1), ("Operation not permitted", 1), ("-28", 0), ("-12", 0), ("-22", 0)],
)
def test_another_errno_of_the_client_has_another_cause(reason: str, found: int) -> None:
    assert len(of("MSI-001", LSPCI.format(8), LSPCI.format(16), FAILED.format(reason))) == found


@pytest.mark.parametrize(("first", "second", "found"), [(8, 16, 1), (16, 8, 0), (8, 8, 0)])
def test_in_one_log_the_smaller_table_comes_first(first: int, second: int, found: int) -> None:
    log = LSPCI.format(first) + LSPCI.format(second)
    told = of("MSI-001", log, FAILED.format("-1"))
    assert [[u.guard for u in f.unchecked] for f in told] == [["the errno and the refused index"]] * found


def test_of_two_functions_that_grew_none_is_blamed() -> None:
    other = [LSPCI.format(n).replace("2e:00.1", "2e:00.2") for n in (4, 8)]
    assert of("MSI-001", LSPCI.format(8), LSPCI.format(16), *other, FAILED.format("-1")) == []


def test_an_insert_whose_return_is_not_recorded_is_no_refusal() -> None:
    t = Trace()
    t.open()
    t.enable(8, 8, made=8)
    t.disable()
    t.close()
    t.open()
    t.begin(0x24, 2, 0, 16)
    t.entry(ENABLE, f"dev={t.dev:#x} minvec=1 maxvec=16")
    t.entry("pci_setup_msix_device_domain", f"dev={t.dev:#x} hwsize=16")
    t.leave("pci_setup_msix_device_domain", 1)
    for index in range(4):
        t.entry(INSERT, f"dev={t.dev + 0xC8:#x} domid=0 index={index}")
        if index < 3:
            t.leave(INSERT, 0)
    assert of("MSI-001", str(t)) == []


# MSI-004


def granted(asked: int, least: int, got: int, live: int | None) -> str:
    """An enable by a driver of the host: what it asked for, what it got, and the size of the table where it is recorded."""
    size = (call("pci_setup_msix_device_domain", f"dev={DEV} hwsize={live}"), back("pci_setup_msix_device_domain", 1)) if live else ()
    return trace(call(ENABLE, f"dev={DEV} minvec={least} maxvec={asked}"), *size, back(ENABLE, got))


@pytest.mark.parametrize(
    ("asked", "least", "got", "live", "found"),
    [
        (8, 1, 4, 8, 1),
        (8, 1, 4, 5, 1),
        (8, 1, 4, 4, 0),  # the table has no more
        (8, 1, 4, None, 0),  # the table's size is not known
        (8, 1, 8, 16, 0),  # all it asked for
        (8, 1, 7, 16, 1),
        (8, 1, 1, 2, 1),
        (8, 8, 4, 16, 0),  # no range
        (8, 7, -28, None, 1),
        (8, 9, -28, 8, 0),
        (8, 1, -28, 8, 1),
        (8, 8, -28, 8, 0),  # a fixed count
        (8, 1, -22, 8, 0),
    ],
)
def test_fewer_than_asked_for_and_fewer_than_the_table_holds(asked: int, least: int, got: int, live: int | None, found: int) -> None:
    values = {"asked": asked, "min": least, "granted": max(got, 0), "live": live}
    assert [(f.grade, f.values) for f in of("MSI-004", granted(asked, least, got, live))] == [("proven", values)] * found


def test_plain_msi_may_have_fewer_and_an_added_vector_is_no_range() -> None:
    plain = granted(8, 1, 4, 8).replace(ENABLE, "__pci_enable_msi_range").replace("msix_device", "msi_device")
    added = trace(call("pci_msix_alloc_irq_at", f"dev={DEV} index=2"), back("pci_msix_alloc_irq_at", -28))
    assert of("MSI-004", plain) == of("MSI-004", added) == []


def test_two_short_enables_of_a_function_are_one_finding_of_the_first() -> None:
    (f,) = of("MSI-004", granted(8, 1, 4, 8) + granted(8, 1, 3, 8))
    assert (f.values["granted"], [e.line for e in f.evidence]) == (4, [1])


@pytest.mark.parametrize(
    ("index", "count", "ret", "found"), [(1, 4, 1, 1), (2, 4, 1, 1), (0, 1, 1, 0), (3, 1, 1, 0), (2, 4, 0, 0), (2, 4, -28, 0)]
)
def test_a_positive_result_of_set_irqs_is_what_could_be_had(index: int, count: int, ret: int, found: int) -> None:
    t = Trace()
    t.open()
    t.set_irqs(0x24, index, 0, count, ret)
    assert [(f.grade, f.values) for f in of("MSI-004", str(t))] == [("proven", {"asked": count, "granted": ret})] * found


@pytest.mark.parametrize(("asked", "granted", "found"), [(8, 7, 1), (8, 8, 0), (8, 9, 0), (1, 0, 1)])
def test_a_driver_that_got_all_it_asked_for_is_quiet(asked: int, granted: int, found: int) -> None:
    said = f"[    1.000000] ice 0000:01:00.0: not enough OS MSI-X vectors. requested = {asked}, obtained = {granted}\n"
    told = of("MSI-004", said)
    assert [(f.grade, f.values) for f in told] == [("proven", {"asked": asked, "granted": granted})] * found


@pytest.mark.parametrize(
    ("said", "errno"),
    [
        ("igb 0000:01:00.0: Unable to allocate interrupt, Error: -16", -16),
        ("igb 0000:01:00.0: Unable to allocate interrupt, Error: -12", None),  # memory
        ("igb 0000:01:00.0: Unable to allocate interrupt, Error: -517", None),  # later
        ("igb 0000:01:00.0: Unable to allocate interrupt, Error: -518", -518),
        ("bnxt_en 0000:01:00.0 eth0: bnxt_request_irq err: fffffff0", -16),
        ("bnxt_en 0000:01:00.0 eth0: bnxt_request_irq err: fffffff4", None),
        ("bnxt_en 0000:01:00.0 eth0: bnxt_request_irq err: fffffdfb", None),
    ],
)
def test_an_irq_that_was_refused_for_memory_or_for_now_is_quiet(said: str, errno: int | None) -> None:
    told = of("MSI-004", f"[    1.000000] {said}\n")
    assert [(f.grade, f.severity, f.values["errno"]) for f in told] == [("possible", "low", errno)] * (errno is not None)


@pytest.mark.parametrize(("lines", "named"), [(1, True), (8, True), (9, False)])
def test_a_driver_without_a_device_gives_up_within_eight_lines(lines: int, named: bool) -> None:
    between = "x\n" * (lines - 1)
    text = f"foo_probe: failed to enable MSI-X vectors: -28\n{between}foo: probe of 0000:01:00.0 failed with error -28\n"
    assert [f.subject.bdf for f in of("MSI-004", text)] == ["0000:01:00.0" if named else None]


REFUSED = "[   10.000000] foo 0000:01:00.0: failed to enable MSI-X: -28\n"


@pytest.mark.parametrize(
    ("later", "severity"),
    [
        ("[   10.100000] foo: probe of 0000:01:00.0 failed with error -28\n", "high"),
        ("[   10.100000] foo: probe of 0000:02:00.0 failed with error -28\n", "medium"),  # another device
        ("[   99.000000] usb 1-1: x\n" * 199 + "[  300.000000] foo: probe of 0000:01:00.0 failed with error -28\n", "high"),
        ("[   99.000000] usb 1-1: x\n" * 200 + "[  300.000000] foo: probe of 0000:01:00.0 failed with error -28\n", "medium"),  # far below
        ("[   20.000000] usb 1-1: x\n" * 200 + "[   70.000001] foo: probe of 0000:01:00.0 failed with error -28\n", "high"),  # in a minute
        ("[   20.000000] usb 1-1: x\n" * 200 + "[   70.000500] foo: probe of 0000:01:00.0 failed with error -28\n", "medium"),
    ],
)
def test_a_driver_that_gives_up_on_the_device_makes_the_refusal_severe(later: str, severity: str) -> None:
    banner = "[    0.000000] Linux version 6.1.0 (x@y) (gcc 12) #1 SMP\n"
    (f,) = of("MSI-004", banner + REFUSED + later)
    assert f.severity == severity


SHORT, OTHER, NONE = "Raise what is short", "Nothing is short", "No line tells why"


@pytest.mark.parametrize(
    ("said", "summary", "advice"),
    [
        ("MSIx enable failed", "refused", NONE),  # words that are known
        ("failed to enable msi: -28", "refused with -28", "As a rule nothing is short"),
        ("failed to enable msi: -22", "refused with -22", OTHER),
        ("Enable only 3 MSI-X (out of 9), reduce the number of queues", "reduced to 3", SHORT),
        ("could not get MSI-X vectors", "refused", NONE),  # words of its own
        ("could not get MSI-X vectors, ret -28", "refused with -28", SHORT),
        ("could not get MSI-X vectors, ret -22", "refused with -22", OTHER),
        ("could not get MSI-X vectors\n[   11.000000] foo 0000:01:00.0: pci_alloc_irq_vectors returned -28", "refused with -28", SHORT),
        (
            "could not get MSI-X vectors, ret -22\n[   11.000000] foo 0000:01:00.0: pci_alloc_irq_vectors returned -28",
            "refused with -22",
            OTHER,
        ),
    ],
)
def test_what_a_driver_says_tells_what_to_do(said: str, summary: str, advice: str) -> None:
    (f,) = of("MSI-004", f"[   10.000000] foo 0000:01:00.0: {said}\n")
    assert (f.summary, f.advice[: len(advice)]) == (f"the vectors of 0000:01:00.0 were {summary}", advice)


# The replay of enables


def predicted(text: str) -> list[tuple[str, str, str, str]]:
    return tables(text)["predictions"].select("operation", "predicted", "observed", "basis").rows()


@pytest.mark.parametrize(
    ("results", "text"),
    [
        ({2}, "2"),
        ({2, 3}, "2 or 3"),
        ({2, 3, 4}, "2..4"),
        ({-28, 1, 2, 3}, "-28 or 1..3"),
        ({0, 1}, "0 or 1"),
        ({-34, 0, 1, 2}, "-34 or 0 or 1 or 2"),
    ],
)
def test_results_are_shown_as_ranges_of_three_or_more(results: set[int], text: str) -> None:
    assert shown(frozenset(results)) == text


@pytest.mark.parametrize("known", ["bdf", "pointer", ""])
def test_a_prediction_is_about_the_function_by_its_best_name(known: str) -> None:
    t = Trace()
    t.open()
    t.enable(1, 8, made=8)
    if known == "bdf":
        t.interrupts(0)
    text = str(t) if known else trace(back(ENABLE, 1))
    named = {"bdf": t.bdf, "pointer": f"pci_dev {t.dev:#x}", "": "an unnamed device"}[known]
    rows = tables(text)["predictions"]
    assert rows.filter(rows["operation"] == "enable")["subject"].to_list() == [named]


def test_what_was_granted_once_can_be_had_again() -> None:
    free = (call("pci_free_irq_vectors", f"dev={DEV}"), back("pci_free_irq_vectors", 0))
    once = (call(ENABLE, f"dev={DEV} minvec=1 maxvec=8"), back(ENABLE, 8))
    again = (call(ENABLE, f"dev={DEV} minvec=1 maxvec=16"), back(ENABLE, 12))
    assert predicted(trace(*once, *free, *again))[-1] == ("enable", "8..16", "12", "healthy")


def test_an_enable_without_arguments_returns_the_refusal_of_its_first_insert() -> None:
    inside = (call(INSERT, f"dev={DEV} domid=0 index=0"), back(INSERT, -28))
    assert ("enable", "-28", "-28", "known") in predicted(trace(call(ENABLE, f"dev={DEV}"), *inside, back(ENABLE, -28)))


def test_an_enable_without_arguments_and_inserts_is_not_predicted() -> None:
    assert predicted(trace(call(ENABLE, f"dev={DEV}"), back(ENABLE, 4))) == [("enable", None, "4", None)]


# MSI-009

WARNED = """\
[    0.000000] Linux version 6.12.0 (x@y) (gcc 12) #1 SMP
[   26.000000] ------------[ cut here ]------------
[   26.000001] WARNING: CPU: 0 PID: 262 at arch/x86/mm/ioremap.c:461 {0}+0x33/0x100
[   26.000002] CPU: 0 UID: 0 PID: 262 Comm: vmm Not tainted 6.12.0 #1
[   26.000003] RIP: 0010:{0}+0x33/0x100
[   26.000004] RBP: {1} R08: ff110000054c90b8 R09: ff11000004045828
[   26.000005] Call Trace:
[   26.000006]  <TASK>
[   26.000007]  __pci_enable_msix_range+0x29b/0x520
"""


@pytest.mark.parametrize(
    ("function", "rbp", "errno"),
    [
        ("iounmap", "00000000ffffffde", -34),
        ("iounmap", "00000000fffff001", -4095),
        ("iounmap", "00000000fffff000", None),  # no errno is that large
        ("iounmap", "ff11000004cae000", None),
        ("vunmap", "00000000ffffffde", None),
    ],
)
def test_a_warning_of_iounmap_has_the_errno_in_a_register(function: str, rbp: str, errno: int | None) -> None:
    (f,) = of("MSI-009", WARNED.format(function, rbp))
    assert (f.grade, f.severity, f.values["errno"], f.values["msi_function"]) == ("proven", "medium", errno, "__pci_enable_msix_range")


# MSI-001 from an enable alone


@pytest.mark.parametrize(
    ("least", "most", "live", "grades"),
    [
        (16, 16, 16, ["probable"]),
        (1, 16, 16, ["probable"]),
        (16, 8, 16, []),  # the kernel refuses a range that is none
        (1, 1, 1, []),  # a table of one entry cannot be beyond
    ],
)
def test_an_enable_refused_without_a_recorded_insert(least: int, most: int, live: int, grades: list[str]) -> None:
    t = Trace()
    t.open()
    t.begin(0x24, 2, 0, most)
    t.entry(ENABLE, f"dev={t.dev:#x} minvec={least} maxvec={most}")
    t.entry("pci_setup_msix_device_domain", f"dev={t.dev:#x} hwsize={live}")
    t.leave("pci_setup_msix_device_domain", 1)
    t.leave(ENABLE, -34)
    t.leave("vfio_pci_set_irqs_ioctl", -34)
    assert [f.grade for f in of("MSI-001", str(t)) if f.grade != "possible"] == grades


def leaked(action: str, between: int, name: str = "e1000e 0000:03:00.0 eth0: (PCI Express:2.5GT/s:Width x1) 52:54:00:00:00:01") -> str:
    """An irq that is freed with a handler on it, and the WARNING below."""
    lines = [
        "Linux version 6.12.0 (x@y) (gcc 12) #1 SMP",
        name,
        "------------[ cut here ]------------",
        f"remove_proc_entry: removing non-empty directory 'irq/45', leaking at least '{action}'",
        *["usb 1-1: new device"] * between,
        "WARNING: CPU: 0 PID: 262 at fs/proc/generic.c:717 remove_proc_entry+0x19b/0x1b0",
        "CPU: 0 UID: 0 PID: 262 Comm: rmmod Not tainted 6.12.0 #1",
        "RIP: 0010:remove_proc_entry+0x19b/0x1b0",
        "Call Trace:",
        " <TASK>",
        " unregister_irq_proc+0xf3/0x120",
        " msi_domain_free_irqs_common+0x29/0x50",
    ]
    return "".join(f"[{10 + i:12.6f}] {line}\n" for i, line in enumerate(lines))


@pytest.mark.parametrize(
    ("action", "between", "bdf"),
    [
        ("eth0-rx-0", 0, "0000:03:00.0"),
        ("eth0-rx-0", 1, "0000:03:00.0"),
        ("eth0-rx-0", 2, None),  # too far above
        ("eth1-rx-0", 0, None),  # an interface that no line names
    ],
)
def test_a_leaked_action_is_of_the_function_whose_interface_it_names(action: str, between: int, bdf: str | None) -> None:
    (f,) = of("MSI-009", leaked(action, between))
    assert (f.subject.bdf, f.values["function"]) == (bdf, "remove_proc_entry")


def test_an_interface_of_another_log_is_not_that_of_the_leak() -> None:
    named = "[   11.000000] e1000e 0000:03:00.0 eth0: (PCI Express:2.5GT/s:Width x1) 52:54:00:00:00:01\n"
    (f,) = of("MSI-009", leaked("eth0-rx-0", 0, "usb 1-1: new device"), named)
    assert f.subject.bdf is None


# MSI-009 from a report that was cut before its call trace


@pytest.mark.parametrize(
    ("function", "found"),
    [("free_msi_irqs", 1), ("pci_free_msi_irqs", 1), ("arch_teardown_msi_irqs", 1), ("igb_msix_ring", 0), ("free_pages", 0)],
)
def test_a_report_whose_place_is_msi_code_needs_no_call_trace(function: str, found: int) -> None:
    text = f"[   14.000000] kernel BUG at mm/place.c:376!\n[   14.000001] RIP: 0010:{function}+0x182/0x1b0\n"
    assert [(f.grade, [e.line for e in f.evidence]) for f in of("MSI-009", text)] == [("proven", [1, 2])] * found


# MSI-007

PLACED = "[    0.000000] Linux version 6.12.30 (b@e) (gcc 12.2.0) #1 SMP\n"
UNPLACED = "[    1.900113] pci {}: BAR {} [mem size 0x00010000 64bit pref]: failed to assign\n"


def refused_enable(t: Trace, ret: int, descriptors: int = 0) -> tuple[int, int]:
    """A session that interrupts, then an enable that ends with `ret` after some descriptors; the lines of that enable."""
    t.open()
    t.enable(2, 8, made=8)
    t.interrupts(0)
    t.disable()
    outer = t.begin(0x24, 2, 0, 4)
    t.entry(ENABLE, f"dev={t.dev:#x} minvec=1 maxvec=4")
    for index in range(descriptors):
        t.entry(INSERT, f"dev={t.dev + 0xC8:#x} domid=0 index={index}")
        t.leave(INSERT, 0)
    t.leave(ENABLE, ret)
    return outer + 1, t.leave("vfio_pci_set_irqs_ioctl", ret) - 1


@pytest.mark.parametrize(
    ("ret", "descriptors", "bdf", "found"),
    [
        (-12, 0, "0000:41:00.1", 1),
        (-12, 0, "0000:41:00.2", 0),  # the BAR of another function
        (-12, 1, "0000:41:00.1", 0),  # the table was mapped: descriptors follow it
        (-28, 0, "0000:41:00.1", 0),
        (-22, 0, "0000:41:00.1", 0),
    ],
)
def test_only_the_functions_own_bar_explains_an_enable_that_returns_enomem(ret: int, descriptors: int, bdf: str, found: int) -> None:
    t = Trace()
    first, last = refused_enable(t, ret, descriptors)
    log = PLACED + UNPLACED.format("0000:41:00.7", 0) + UNPLACED.format(bdf, 2)
    told = of("MSI-007", **{"trace.txt": str(t), "dmesg.txt": log})
    assert [(f.grade, f.subject.bdf, f.values) for f in told] == [("probable", t.bdf, {"bar": 2, "errno": -12})] * found
    assert [[(e.line, e.line_end, e.role) for e in f.evidence] for f in told] == [[(3, None, "cause"), (first, last, "effect")]] * found


@pytest.mark.parametrize(("log", "expected"), [("", "inconclusive"), (PLACED, "clear")])
def test_without_the_log_of_the_boot_it_is_open_whether_a_bar_has_an_address(log: str, expected: str) -> None:
    t = Trace()
    first, _ = refused_enable(t, -12)
    told = outcome(run(str(t), *filter(None, [log])), "MSI-007")
    assert told.outcome == expected
    assert (f"the enable of line {first} returned -12" in told.reason) == (not log)


REPORT = """\
[    2.100001] {what}
[    2.100002] pc : {function}+0x4e4/0x608
[    2.100003] lr : {function}+0x498/0x608
[    2.100004] Call trace:
[    2.100005]  {function}+0x4e4/0x608
[    2.100006]  pci_alloc_irq_vectors_affinity+0xdc/0x150
"""
SERROR = "SError Interrupt on CPU0, code 0xbf000000 -- SError"
OOPS = "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008"


@pytest.mark.parametrize(
    ("what", "function", "found"),
    [
        (SERROR, "__pci_enable_msix_range", 1),
        (SERROR, "msix_prepare_msi_desc", 1),
        (OOPS, "__pci_enable_msix_range", 0),  # no access of the bus
        (SERROR, "irq_create_affinity_masks", 0),  # below the same call, and not at the table
    ],
)
def test_only_an_abort_at_the_table_says_that_nothing_answers_there(what: str, function: str, found: int) -> None:
    told = of("MSI-007", REPORT.format(what=what, function=function))
    assert [(f.grade, f.values["function"], [(e.line, e.role) for e in f.evidence]) for f in told] == [
        ("probable", function, [(1, "cause"), (2, "cause")])
    ] * found


def test_an_abort_is_reported_once_and_in_place_of_the_refused_enable() -> None:
    t = Trace()
    refused_enable(t, -12)
    abort = REPORT.format(what=SERROR, function="__pci_enable_msix_range")
    log = PLACED + UNPLACED.format(t.bdf, 2) + abort + abort.replace("2.1", "9.1").replace("0xbf", "0xbe")
    (f,) = of("MSI-007", **{"trace.txt": str(t), "dmesg.txt": log})
    assert ("aborted an access" in f.summary, [e.line for e in f.evidence]) == (True, [3, 4])


def test_plain_msi_has_no_table_in_a_bar() -> None:
    t = Trace()
    refused_enable(t, -12)
    plain = str(t).replace(ENABLE, "__pci_enable_msi_range").replace("index=2", "index=1").replace("vfio-msix", "vfio-msi")
    assert of("MSI-007", **{"trace.txt": plain, "dmesg.txt": PLACED + UNPLACED.format(t.bdf, 2)}) == []


def test_a_vector_that_cannot_be_added_is_no_table_without_an_address() -> None:
    t = Trace()
    t.open()
    t.enable(2, 8, made=8)
    t.interrupts(0)
    t.add(2, -12)
    result = run(**{"trace.txt": str(t), "dmesg.txt": PLACED + UNPLACED.format(t.bdf, 2)})
    assert outcome(result, "MSI-007").outcome == "clear"


# MSI-004 and the table of vector sets


@pytest.mark.parametrize(
    ("ret", "size", "said"), [(9, 64, "got 9, table 64"), (-28, 64, "was refused with -28, table 64"), (-28, None, "was refused with -28")]
)
def test_the_table_is_named_where_it_was_recorded(ret: int, size: int | None, said: str) -> None:
    t = Trace()
    t.entry(ENABLE, f"dev={t.dev:#x} minvec=2 maxvec=32")
    if size is not None:
        t.entry("pci_setup_msix_device_domain", f"dev={t.dev:#x} hwsize={size}")
        t.leave("pci_setup_msix_device_domain", 1)
    t.leave(ENABLE, ret)
    assert [f.summary.partition(" vectors and ")[2] for f in of("MSI-004", str(t))] == [said]


@pytest.mark.parametrize(("count", "limit", "sets"), [(1, None, 1), (2, None, 1), (2, 0, 0)])
def test_an_enable_of_one_vector_is_a_set_and_a_refused_one_is_none(count: int, limit: int | None, sets: int) -> None:
    t = Trace()
    t.open()
    t.enable(count, 8, made=8, limit=limit)
    t.disable()
    assert tables(str(t))["vector_sets"].height == sets
