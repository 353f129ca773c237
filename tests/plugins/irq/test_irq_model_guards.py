"""The guards of the models of interrupts: faults in one form, drivers' complaints, attempts for a vector."""

import pytest

from tracekit.testing import tables

HEAD = "# tracer: nop\n#\n"
MISSING = "Present field in the IRTE entry is clear"
STATUS = "DMAR: DRHD: handling fault status reg 2"
FAULT = f"DMAR: [INTR-REMAP] Request device [01:00.0] fault index 0x20 [fault reason 0x22] {MISSING}"


def log(*messages: str, step: float = 1) -> str:
    return "".join(f"[{100 + i * step:12.6f}] {m}\n" for i, m in enumerate(messages))


def rows(name: str, text: str, *columns: str) -> list[tuple[object, ...]]:
    found = tables(text).get(name)
    return found.select(columns).rows() if found is not None else []


# Remapping faults


@pytest.mark.parametrize(("between", "line"), [(0, 1), (3, 1), (4, None)])
def test_the_fault_interrupt_stands_at_most_four_lines_above(between: int, line: int | None) -> None:
    assert rows("remap_faults", log(STATUS, *["x"] * between, FAULT), "status_line") == [(line,)]


def test_a_fault_interrupt_is_of_the_first_fault_below_it() -> None:
    assert rows("remap_faults", log(STATUS, FAULT, FAULT, STATUS, FAULT), "status_line") == [(1,), (None,), (4,)]


@pytest.mark.parametrize(
    ("printed", "bdf"),
    [("01:00.0", "0000:01:00.0"), ("0x64:0x00.5", "0000:64:00.5"), ("0001:64:00.7", "0001:64:00.7"), ("xx:xx.0", None), ("xx:xx.x", None)],
)
def test_a_device_is_named_in_full_or_not_at_all(printed: str, bdf: str | None) -> None:
    assert rows("remap_faults", log(FAULT.replace("01:00.0", printed)), "bdf") == [(bdf,)]


# Raw events of an SMMU

UNIT = "arm-smmu-v3 arm-smmu-v3.0.auto: "


@pytest.mark.parametrize(("between", "found"), [(4, 1), (5, 0)])
def test_the_words_of_a_raw_event_stand_within_eight_lines(between: int, found: int) -> None:
    words = [f"{UNIT}\t{w:#018x}" for w in (0x10000000010, 0x208, 0x8090040, 0)]
    text = log(f"{UNIT}event 0x10 received:", *words[:3], *["x"] * between, words[3])
    assert rows("smmu_faults", text, "sid", "iova", "line", "line_end") == [(0x100, 0x8090040, 1, 5 + between)] * found


# Results that drivers tell


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("e1000e 0000:03:00.0 enp3s0: Unable to allocate interrupt, Error: -28", [("request_irq (message)", "0000:03:00.0", "-28")]),
        ("hns3 0000:7d:00.0: failed(-28) to allocate MSI/MSI-X vectors", [("allocate vectors (message)", "0000:7d:00.0", "-28")]),
        ("megaraid_sas 0000:05:00.0: Failed to register IRQ for vector 12.", []),  # it tells no result
    ],
)
def test_a_result_that_a_driver_prints_is_an_operation(message: str, told: list[tuple[object, ...]]) -> None:
    assert rows("predictions", log(message), "operation", "subject", "observed") == told


# Attempts for a vector


def trace(*events: str) -> str:
    """Events one line below the other; `task|event` is of another task."""
    lines = (e.rpartition("|")[::2] for e in events)
    return HEAD + "".join(f"{t or 'modprobe-41':>24} [000] d..2.    10.{i:06d}: {e}\n" for i, (t, e) in enumerate(lines))


def matrix(what: str, avl: int, rsvd: int = 0, total: int = 9) -> str:
    cell = "" if what in ("reserve", "remove_reserved") else f"bit=40 cpu=0 online=1 avl={avl} alloc={total} managed=0 "
    return f"irq_matrix_{what}: {cell}online_maps=1 global_avl={avl}, global_rsvd={rsvd}, total_alloc={total}"


REAL = "vector_activate: irq={} is_managed=0 can_reserve=1 reserve=0"
FAILED = "vector_alloc: irq={} vector=0 reserved=1 ret=-28"
TAKEN = "vector_alloc: irq={} vector=40 reserved=1 ret=0"
RESERVED = "vector_reserve: irq={} ret=0"
DEACTIVATED = "vector_deactivate: irq={} is_managed=0 can_reserve=1 reserve=0"
COLUMNS = ("kind", "irq", "tries", "global_avl", "total_alloc", "avl_line", "begin_line", "line", "line_end")


@pytest.mark.parametrize(
    ("events", "attempts"),
    [
        ((REAL.format(31), FAILED.format(31)), [("request", 31, 1, None, None, None, 3, 4, 4)]),
        ((matrix("alloc", 0), REAL.format(31), *[FAILED.format(31)] * 3), [("request", 31, 3, 0, 9, 3, 4, 5, 7)]),
        # Two irqs in one lane are two attempts; the second has no activation of its own.
        ((REAL.format(31), FAILED.format(31), FAILED.format(32)), [
            ("request", 31, 1, None, None, None, 3, 4, 4), ("move", 32, 1, None, None, None, 5, 5, 5),
        ]),
        # The activation is of another irq.
        ((REAL.format(30), FAILED.format(31)), [("move", 31, 1, None, None, None, 4, 4, 4)]),
        # A reservation that nothing activated yet: the irq needs a vector at once.
        ((matrix("reserve", 0), REAL.format(31), FAILED.format(31)), [("alloc", 31, 1, 0, 9, 3, 3, 5, 5)]),
        ((matrix("reserve", 0), RESERVED.format(31), REAL.format(31), FAILED.format(31)), [("alloc", 31, 1, 0, 9, 3, 3, 6, 6)]),
        # ... of another irq.
        ((matrix("reserve", 0), RESERVED.format(30), REAL.format(31), FAILED.format(31)), [("request", 31, 1, 0, 9, 3, 5, 6, 6)]),
        # ... of a vector that was given back: its irq is no new one.
        ((DEACTIVATED.format(31), matrix("reserve", 0), REAL.format(31), FAILED.format(31)), [("request", 31, 1, 0, 9, 4, 5, 6, 6)]),
        # Two tasks at once.
        ((REAL.format(31), f"fio-7|{REAL.format(32)}", FAILED.format(31), f"fio-7|{FAILED.format(32)}"), [
            ("request", 31, 1, None, None, None, 3, 5, 5), ("request", 32, 1, None, None, None, 4, 6, 6),
        ]),
        # What was left when the first of its tries failed.
        ((matrix("alloc", 0), REAL.format(31), FAILED.format(31), f"fio-7|{matrix('free', 1)}", FAILED.format(31)), [
            ("request", 31, 2, 0, 9, 3, 4, 5, 7),
        ]),
        # Up to 6.3 the error stands in the vector's field.
        ((REAL.format(31), "vector_alloc: irq=31 vector=4294967268 reserved=1 ret=0"), [("request", 31, 1, None, None, None, 3, 4, 4)]),
        ((REAL.format(31), f"vector_alloc: irq=31 vector={1 << 31} reserved=1 ret=0"), [("request", 31, 1, None, None, None, 3, 4, 4)]),
        ((REAL.format(31), f"vector_alloc: irq=31 vector={(1 << 31) - 1} reserved=1 ret=0"), []),
        # A managed irq.
        (("vector_alloc_managed: irq=31 vector=0 ret=-28",), [("managed-start", 31, 1, None, None, None, 3, 3, 3)]),
        (("vector_alloc_managed: irq=31 vector=40 ret=0",), []),
        (("vector_reserve_managed: irq=31 ret=-28",), [("managed", 31, 1, None, None, None, 3, 3, 3)]),
        (("vector_reserve_managed: irq=31 ret=0",), []),
    ],
)  # fmt: skip
def test_the_tries_of_one_irq_in_one_task_are_an_attempt(events: tuple[str, ...], attempts: list[tuple[object, ...]]) -> None:
    assert sorted(rows("vector_failures", trace(*events), *COLUMNS), key=lambda r: r[-1]) == attempts  # type: ignore[arg-type, return-value]


def test_two_threads_of_one_name_or_two_cpus_without_threads_have_attempts_of_their_own() -> None:
    events = [REAL.format(31), REAL.format(32), FAILED.format(31), FAILED.format(32)]
    threads = trace(*(f"fio-{7 + i % 2}|{e}" for i, e in enumerate(events)))
    cpus = "# tracer: function_graph\n#\n" + "".join(f" {i % 2})               |  /* {e} */\n" for i, e in enumerate(events))
    for text in (threads, cpus):
        assert sorted(rows("vector_failures", text, "irq", "kind", "begin_line")) == [(31, "request", 3), (32, "request", 4)]


@pytest.mark.parametrize(
    ("counts", "crossings"),
    [
        (((5, 5), (5, 6), (5, 7)), [(4, 6, 5)]),  # once a crossing
        (((5, 6), (5, 5), (5, 6)), [(3, 6, 5), (5, 6, 5)]),
        (((5, 5), (4, 5)), [(4, 5, 4)]),
    ],
)
def test_reservations_cross_what_is_available(counts: tuple[tuple[int, int], ...], crossings: list[tuple[object, ...]]) -> None:
    text = trace(*(matrix("reserve", *c) for c in counts))
    assert rows("vector_overcommits", text, "line", "global_rsvd", "global_avl") == crossings


@pytest.mark.parametrize(("left", "explained"), [(0, "VEC-001"), (3, None)])
def test_an_attempt_that_fails_is_explained_where_no_vector_was_left(left: int, explained: str | None) -> None:
    text = trace(matrix("alloc", left), REAL.format(31), FAILED.format(31))
    assert rows("predictions", text, "observed", "basis", "agrees", "explained_by") == [("-28", "known", False, explained)]


# Complaints of drivers


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("[    1.000000] {}", 1),
        ("Mar  1 10:00:00 host kernel: {}", 1),
        ("(d3) {}", 1),  # a guest's kernel on Xen's console
        ("(XEN) {}", 0),
        ("Mar  1 10:00:00 host qemu-system-x86_64[12]: {}", 0),
    ],
)
def test_a_complaint_is_a_drivers_where_a_kernel_prints_it(line: str, found: int) -> None:
    text = line.format("mydrv 0000:05:00.0: MSI-X init refused: -28") + "\n"
    assert rows("driver_refusals", text, "driver", "bdf", "errno") == [("mydrv", "0000:05:00.0", -28)] * found
