"""The guards of VEC-001 to VEC-008, each from both sides."""

import pytest

from tracekit.findings import Finding
from tracekit.testing import findings, outcome, run

HEAD = "# tracer: nop\n#\n"


def of(code: str, *texts: str, **named: str) -> list[Finding]:
    return [f for f in findings(*texts, **named) if f.code == code]


def log(*messages: str) -> str:
    return "".join(f"[{10 + i:12.6f}] {m}\n" for i, m in enumerate(messages))


def trace(*events: str, task: str = "modprobe-41") -> str:
    """Events one line below the other; `task|event` is of another task."""
    lines = (e.rpartition("|")[::2] for e in events)
    return HEAD + "".join(f"{t or task:>24} [000] d..2.    10.{i:06d}: {e}\n" for i, (t, e) in enumerate(lines))


def matrix(avl: int, total: int = 9) -> str:
    return f"irq_matrix_alloc: bit=40 cpu=0 online=1 avl={avl} alloc={total} managed=0 online_maps=1 global_avl={avl}, global_rsvd=0, total_alloc={total}"


REAL = "vector_activate: irq={} is_managed=0 can_reserve=1 reserve=0"
FAILED = "vector_alloc: irq={} vector=0 reserved=1 ret=-28"
TAKEN = "vector_alloc: irq={} vector=40 reserved=1 ret=0"
MANAGED = "vector_reserve_managed: irq={} ret=-28"


def refused(irq: int) -> tuple[str, str]:
    return REAL.format(irq), FAILED.format(irq)


# How many are named.


def several(template: str, count: int) -> str:
    return log(*(template.format(n) for n in range(1, count + 1)))


@pytest.mark.parametrize("count", [6, 7])
def test_at_most_six_irqs_of_failed_attempts_are_named(count: int) -> None:
    irqs = list(range(41, 41 + count))
    told = f"(irq {', '.join(str(n) for n in irqs[:6])}"
    (f,) = of("VEC-002", trace(*(MANAGED.format(n) for n in irqs)))
    assert (f"{told})" in f.summary, f.values["irqs"], f.values["requester"]) == (True, irqs, ["modprobe"])
    (f,) = of("VEC-001", trace(*(e for n in irqs for e in refused(n))))
    assert (f"{told} by modprobe)" in f.summary, f.values["irqs"]) == (True, irqs)


@pytest.mark.parametrize(
    ("tasks", "by"), [(("a", "b", "c"), " by a, b, c)"), (("a", "b", "c", "d"), " by a, b, c)"), (("a", "a"), " by a)")]
)
def test_at_most_three_tasks_of_failed_requests_are_named(tasks: tuple[str, ...], by: str) -> None:
    (f,) = of("VEC-001", trace(*(f"{t}-{i + 41}|{e}" for i, t in enumerate(tasks) for e in refused(i + 60))))
    assert (by in f.summary, f.values["requester"]) == (True, list(dict.fromkeys(tasks)))


@pytest.mark.parametrize("count", [8, 9])
def test_at_most_eight_irqs_or_devices_are_named(count: int) -> None:
    numbers = list(range(1, count + 1))
    (f,) = of("VEC-006", several("Managed startup irq {}, no vector available", count))
    assert f.summary.startswith(f"managed irq {', '.join(map(str, numbers[:8]))} could not start")
    assert f.values == {"irqs": numbers, "count": count}
    (f,) = of("VEC-001", several("e1000e 0000:0{}:00.0 eth0: Unable to allocate interrupt, Error: -28", count))
    devices = [f"0000:0{n}:00.0" for n in numbers]
    assert f.summary == f"interrupt set-up failed with -28 for {count} devices ({', '.join(devices[:8])})"
    assert f.values["devices"] == devices


# VEC-001: what stands around the first attempt


SET_IRQS = "k_setirqs: (vfio_pci_set_irqs_ioctl+0x4/0xd0 [vfio_pci_core]) vdev=0xffff8881234a9000 flags=0x24 index=2 start={} count={}"
SET_DONE = "r_setirqs: (vfio_pci_core_ioctl+0x109/0xf60 [vfio_pci_core] <- vfio_pci_set_irqs_ioctl) ret={}"
ALLOC = "k_msix: (__pci_enable_msix_range+0x4/0x520) dev=0xffff88810a3c5000 minvec=1 maxvec={}"
ALLOC_DONE = "r_msix: (pci_alloc_irq_vectors_affinity+0xad/0x110 <- __pci_enable_msix_range) ret={}"
SIGNAL = "k_vec: (vfio_msi_set_vector_signal+0x0/0x320 [vfio_pci_core]) vdev=0xffff8881234a9000 vector=0 fd=20 msix=1"
SIGNAL_DONE = "r_vec: (vfio_msi_set_block+0x60/0xc0 [vfio_pci_core] <- vfio_msi_set_vector_signal) ret={}"


def lines_of(*texts: str, **named: str) -> list[tuple[int, int | None, str]]:
    """(line, line_end, role) of what VEC-001 shows."""
    (f,) = of("VEC-001", *texts, **named)
    return [(e.line, e.line_end, e.role) for e in f.evidence]


ASKED = [SET_IRQS.format(0, 4), ALLOC.format(4), ALLOC_DONE.format(4), SIGNAL, *refused(60), SIGNAL_DONE.format(-28), SET_DONE.format(-28)]


def test_the_grant_and_the_returns_of_the_request_that_failed_are_shown() -> None:
    (f,) = of("VEC-001", trace(*ASKED))
    assert (f.values["asked"], f.values["granted"], "4 of 4 vectors had been granted" in f.summary) == (4, 4, True)
    assert [(e.line, e.line_end, e.role) for e in f.evidence] == [
        *((3, None, "context"), (4, None, "context"), (5, None, "context")),
        *((8, None, "cause"), (9, None, "effect"), (10, None, "effect")),
    ]


@pytest.mark.parametrize(
    ("before", "inside", "granted"),
    [
        ([], ASKED[1:3], 4),
        (ASKED[1:3], [], None),  # granted to another request, before this one
        ([], [ALLOC.format(8), ALLOC_DONE.format(-28), *ASKED[1:3]], 4),
        ([], [*ASKED[1:3], ALLOC.format(8), ALLOC_DONE.format(-28)], 4),  # a refusal grants nothing
        ([], [ALLOC.format(8), ALLOC_DONE.format(2), *ASKED[1:3]], 4),  # the last grant counts
        ([], [ALLOC.format(8), ALLOC_DONE.format(1)], 1),
    ],
)
def test_what_was_granted_within_the_same_request_is_told(before: list[str], inside: list[str], granted: int | None) -> None:
    (f,) = of("VEC-001", trace(*before, ASKED[0], *inside, *ASKED[3:]))
    assert f.values["granted"] == granted


def test_calls_of_another_log_are_not_those_of_the_attempt() -> None:
    """The other log's calls have line numbers around the attempt's."""
    (f,) = of("VEC-001", trace("vector_clear: irq=9 vector=1 cpu=0 prev_vector=0 prev_cpu=0", *refused(60)), trace(*ASKED[:4], *ASKED[6:]))
    assert (f.values["granted"], [(e.line, e.role) for e in f.evidence]) == (None, [(5, "cause")])


@pytest.mark.parametrize(("ret", "shown"), [(-28, 1), (-22, 0), (0, 0)])
def test_calls_that_gave_the_refusal_back_are_shown(ret: int, shown: int) -> None:
    assert lines_of(trace(SIGNAL, *refused(60), SIGNAL_DONE.format(ret))) == [(5, None, "cause")] + [(6, None, "effect")] * shown


@pytest.mark.parametrize(("between", "shown"), [(7, 1), (8, 0)])
def test_a_return_without_its_entry_follows_within_eight_lines(between: int, shown: int) -> None:
    text = trace(*refused(60), *["tick: 1"] * between, SIGNAL_DONE.format(-28))
    assert lines_of(text) == [(4, None, "cause")] + [(5 + between, None, "effect")] * shown


@pytest.mark.parametrize(
    ("before", "line", "line_end"),
    [((matrix(0),), 3, 4), ((matrix(0), *["tick: 1"] * 7), 3, 11), ((matrix(0), *["tick: 1"] * 8), 3, None)],
)
def test_the_pool_is_shown_up_to_the_activation_that_follows_within_eight_lines(
    before: tuple[str, ...], line: int, line_end: int | None
) -> None:
    first, second = lines_of(trace(*before, *refused(60)))
    assert (first, second) == ((line, line_end, "cause"), (4 + len(before), None, "cause"))


def test_where_the_pool_is_not_recorded_no_number_is_told() -> None:
    (f,) = of("VEC-001", trace(*refused(60)))
    assert f.summary == "1 request for an interrupt failed with -28 (irq 60 by modprobe): no CPU vector left at line 4"
    (f,) = of("VEC-001", trace(matrix(0), *refused(60)))
    assert f.summary == "1 request for an interrupt failed with -28 (irq 60 by modprobe): 0 of the host's CPU vectors left at line 5"


# VEC-001: who holds the vectors


def snapshot(*actions: str) -> str:
    return "           CPU0\n" + "".join(
        f"{i + 30:>4}:          1  PCI-MSIX-0000:01:00.0    {i}-edge      {a}\n" for i, a in enumerate(actions)
    )


@pytest.mark.parametrize(
    ("actions", "holders"),
    [
        (("nvme0q0", "nvme0q1", "eth0-TxRx-0"), {"nvme0": 2}),
        (("nvme0q0", "eth0-TxRx-0"), {}),  # two of one name show who holds many
        (("nvme0q0", "nvme0q1", "nvme0q2", "eth0-TxRx-0", "eth0-TxRx-1"), {"nvme0": 3, "eth0": 2}),
    ],
)
def test_those_that_hold_two_vectors_or_more_are_holders(actions: tuple[str, ...], holders: dict[str, int]) -> None:
    (f,) = of("VEC-001", trace(*refused(60)), snapshot(*actions))
    assert f.values["holders"] == holders
    assert ("holds" in f.summary, "who holds the vectors" in [u.guard for u in f.unchecked]) == (bool(holders), not holders)


def test_five_holders_are_told_and_the_largest_by_name() -> None:
    names = [f"dev{c}" for c in "abcdef" for _ in range(2 + (c == "d"))]
    (f,) = of("VEC-001", trace(*refused(60)), snapshot(*(f"{n}q{i}" for i, n in enumerate(names))))
    assert (len(f.values["holders"]), f.values["holders"]["devd"], "devd holds 3" in f.summary) == (5, 3, True)


def test_of_two_snapshots_the_longer_is_of_the_shortage() -> None:
    few, many = snapshot("nvme0q0", "nvme0q1"), snapshot("eth0-TxRx-0", "eth0-TxRx-1", "eth0-TxRx-2")
    for texts in ((few, many), (many, few)):
        (f,) = of("VEC-001", trace(*refused(60)), *texts)
        assert f.values["holders"] == {"eth0": 3}


CLEARED = "vector_clear: irq={} vector=40 cpu=0 prev_vector=0 prev_cpu=0"


@pytest.mark.parametrize(
    ("total", "before", "after", "holders"),
    [
        (4, (), (), {"fio": 2}),
        (5, (), (), {}),  # most of them were taken before the recording
        (3, (), (), {"fio": 2}),
        (2, (CLEARED.format(31),), (), {"fio": 1}),
        (4, (CLEARED.format(31),), (), {}),
        (4, (), (CLEARED.format(31),), {"fio": 2}),  # given back after the attempt
        (4, (CLEARED.format(31),), (f"fio-7|{TAKEN.format(33)}",), {}),  # taken after it
        (0, (), (), {}),
    ],
)
def test_the_tasks_that_took_half_of_the_vectors_or_more_hold_them(
    total: int, before: tuple[str, ...], after: tuple[str, ...], holders: dict[str, int]
) -> None:
    taken = [f"fio-7|{e.format(n)}" for n in (31, 32) for e in (REAL, TAKEN)]
    (f,) = of("VEC-001", trace(*taken, matrix(0, total), *before, *refused(60), *after))
    assert f.values["holders"] == holders


def test_vectors_of_another_log_are_not_held_in_this_one() -> None:
    taken = [f"fio-7|{e.format(n)}" for n in (31, 32) for e in (REAL, TAKEN)]
    (f,) = of("VEC-001", trace("tick: 1", "tick: 1", "tick: 1", "tick: 1", matrix(0, 2), *refused(60)), trace(*taken))
    assert f.values["holders"] == {}


def test_an_inventory_counts_before_what_was_taken() -> None:
    taken = [f"fio-7|{e.format(n)}" for n in (31, 32) for e in (REAL, TAKEN)]
    (f,) = of("VEC-001", trace(*taken, matrix(0, 2), *refused(60)), snapshot("nvme0q0", "nvme0q1"))
    assert f.values["holders"] == {"nvme0": 2}


# VEC-001: drivers

REFUSED = "e1000e 0000:03:00.0 enp3s0: Unable to allocate interrupt, Error: -28"
OTHER = "igb 0000:04:00.0: Error -28 getting interrupt"
PROBE = "nvme nvme7: Removing after probe failure status: -28"
OVERCOMMIT = "Interrupt reservation exceeds available resources"


@pytest.mark.parametrize("shortage", ["DMAR-IR: Failed to allocate IRTE", "igb 0000:01:00.0: xen map irq failed -28 for 32752 domain"])
def test_a_drivers_refusal_beside_an_attempt_is_shown_unless_another_shortage_has_a_line(shortage: str) -> None:
    attempt = trace(*refused(60))
    for text, devices in ((log(REFUSED), ["0000:03:00.0"]), (log(shortage, REFUSED), [])):
        (f,) = of("VEC-001", attempt, text)
        assert (f.grade, f.values["devices"]) == ("proven", devices)
    assert of("VEC-001", log(shortage, REFUSED)) == []


@pytest.mark.parametrize(("chip", "found"), [("PCI-MSIX-0000:01:00.0", 1), ("ITS-PCI-MSIX-0000:01:00.0", 0)])
def test_only_x86_runs_out_of_the_vectors_of_cpus(chip: str, found: int) -> None:
    row = f"           CPU0\n  30:          1  {chip}    0-edge      nvme0q0\n"
    assert len(of("VEC-001", log(REFUSED), row)) == found


@pytest.mark.parametrize(
    ("messages", "grade", "lines"),
    [
        ((OVERCOMMIT, REFUSED, OTHER), "probable", [(1, "cause"), (2, "effect"), (3, "effect")]),
        ((OVERCOMMIT, REFUSED), "possible", [(1, "cause"), (2, "effect")]),  # one device
        ((OVERCOMMIT, REFUSED, PROBE), "probable", [(1, "cause"), (2, "effect"), (3, "effect")]),
        ((OTHER, OVERCOMMIT, REFUSED), "possible", [(2, "cause"), (3, "effect")]),  # one was refused before the warning
        ((OTHER, OVERCOMMIT, PROBE), "possible", [(2, "cause"), (3, "effect")]),  # after it none names interrupts
        ((REFUSED, OTHER, OVERCOMMIT), "possible", [(1, "effect"), (2, "effect")]),  # the warning comes after both
        ((REFUSED, OTHER), "possible", [(1, "effect"), (2, "effect")]),
        ((OVERCOMMIT, REFUSED, OVERCOMMIT, OTHER), "probable", [(1, "cause"), (2, "effect"), (3, "cause"), (4, "effect")]),
    ],
)
def test_two_devices_after_a_warning_make_an_exhaustion_probable(
    messages: tuple[str, ...], grade: str, lines: list[tuple[int, str]]
) -> None:
    (f,) = of("VEC-001", log(*messages))
    assert (f.grade, [(e.line, e.role) for e in f.evidence]) == (grade, lines)


def test_a_warning_of_another_log_makes_nothing_probable() -> None:
    (f,) = of("VEC-001", log("x", "y", REFUSED, OTHER), log(OVERCOMMIT))
    assert (f.grade, f.values["warnings"], len({e.source for e in f.evidence})) == ("possible", 0, 1)
    (f,) = of("VEC-001", log(OVERCOMMIT, REFUSED), log("x", "y", OTHER))
    assert (f.grade, f.values["devices"]) == ("possible", ["0000:03:00.0"])


@pytest.mark.parametrize(("between", "devices"), [(7, 2), (8, 1)])
def test_a_probe_that_fails_within_eight_lines_of_a_refusal_is_of_it(between: int, devices: int) -> None:
    (f,) = of("VEC-001", log(REFUSED, *["r8169 0000:02:00.0: text"] * between, PROBE))
    assert len(f.values["devices"]) == devices


# VEC-002, VEC-003


def test_an_attempt_without_activations_leaves_open_which_step_failed() -> None:
    told = outcome(run(trace("tick: 1", FAILED.format(60), FAILED.format(60), FAILED.format(61))), "VEC-002")
    assert (told.outcome, told.reason) == (
        "inconclusive",
        "no vector was left at line 4; whether at an allocation or at a request is not recorded",
    )


RESERVED = "Reserved vectors {} > available {}. IRQ request may fail"


@pytest.mark.parametrize(
    ("vectors", "room", "found"), [((1 << 31) - 1, 85, 1), (1 << 31, 85, 0), (96, 85, 1), (96, (1 << 31) - 1, 1), (96, 1 << 31, 0)]
)
def test_a_count_below_zero_is_no_reservation(vectors: int, room: int, found: int) -> None:
    text = log("x", RESERVED.format(vectors, room))
    assert [(f.values["warnings"], [e.line for e in f.evidence]) for f in of("VEC-003", text)] == [(1, [2])] * found
    if not found:
        reason = "the kernel's counts of line 2 are below zero: what is reserved is not known"
        assert outcome(run(text), "VEC-003").reason == reason


# VEC-005


@pytest.mark.parametrize(
    ("messages", "unit"),
    [
        (("DMAR-IR: IR3: can't allocate an IRTE", "DMAR-IR: IR1: can't allocate an IRTE"), " of IR1, IR3"),
        (("DMAR-IR: Failed to allocate IRTE",), ""),
    ],
)
def test_a_full_table_is_of_the_units_that_are_named(messages: tuple[str, ...], unit: str) -> None:
    (f,) = of("VEC-005", log(*messages))
    assert f.summary.startswith(f"the interrupt-remapping table{unit} is full: {len(messages)} message")


# VEC-007


def test_each_cpu_that_cannot_go_has_its_own_counts_and_errno() -> None:
    stuck, failed = "CPU {} has {} vectors, {} available. Cannot disable CPU", "Error taking CPU{} down: {}"
    text = log(stuck.format(3, 90, 80), failed.format(3, -28), stuck.format(4, 70, 60), failed.format(4, -16), stuck.format(3, 100, 50))
    values = [(f.values["cpu"], f.values["vectors"], f.values["count"], f.values["errno"]) for f in of("VEC-007", text)]
    assert values == [(3, 100, 2, -28), (4, 70, 1, -16)]


@pytest.mark.parametrize(("after", "told"), [(1.0, True), (1.0005, False)])
def test_the_errno_of_the_offlining_stands_within_a_second(after: float, told: bool) -> None:
    stuck = "CPU 3 has 90 vectors, 80 available. Cannot disable CPU"
    text = log(stuck, *["x"] * 13) + f"[{10 + after:12.6f}] Error taking CPU3 down: -28\n"
    assert [f.values["errno"] for f in of("VEC-007", text)] == [-28 if told else None]


# VEC-008


def test_each_irq_that_stays_has_its_own_reason() -> None:
    failed, stays = "IRQ{}: set affinity failed({}).", "Eff. affinity {} of IRQ {} contains only offline CPUs after offlining CPU {}"
    text = log(failed.format(30, -28), failed.format(31, -22), stays.format(7, 32, 3), failed.format(33, -28), stays.format(7, 33, 4))
    told = of("VEC-008", text)
    assert [(f.values["irq"], f.values["cpus"], f.values["errno"], [e.line for e in f.evidence]) for f in told] == [
        *((30, [], -28, [1]), (32, [3], None, [3]), (33, [4], -28, [4, 5])),
    ]
    assert [f.summary for f in told] == [
        "irq 30 could not leave its CPU, which went offline: no vector is left on the others (-28)",
        "irq 32 could not leave CPU 3, which went offline",
        "irq 33 could not leave CPU 4, which went offline: no vector is left on the others (-28)",
    ]
