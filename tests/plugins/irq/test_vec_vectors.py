"""Vector tracepoints: attempts, overcommit, predictions; VEC-001, VEC-002, VEC-003 and VEC-006 from traces."""

import re

import pytest

from tracekit.testing import findings, outcome, run, shape, tables

HEAD = "# tracer: nop\n#\n"


def trace(*events: str, task: str = "modprobe-41") -> str:
    lines = [f"{task:>24} [000] d..2.    10.{i:06d}: {e}" for i, e in enumerate(events)]
    return HEAD + "\n".join(lines) + "\n"


def matrix(what: str, avl: int, rsvd: int, total: int) -> str:
    cell = "" if what in ("reserve", "remove_reserved") else f"bit=40 cpu=0 online=1 avl={avl} alloc={total} managed=0 "
    return f"irq_matrix_{what}: {cell}online_maps=1 global_avl={avl}, global_rsvd={rsvd}, total_alloc={total}"


EARLY = "vector_activate: irq={} is_managed=0 can_reserve=1 reserve=1"
REAL = "vector_activate: irq={} is_managed=0 can_reserve=1 reserve=0"
FAILED = "vector_alloc: irq={} vector=0 reserved=1 ret=-28"


def taken(irq: int, vector: int, avl: int) -> tuple[str, ...]:
    return REAL.format(irq), matrix("alloc", avl, 0, 9), f"vector_alloc: irq={irq} vector={vector} reserved=1 ret=0"


EXHAUSTED = trace(
    matrix("reserve", 1, 1, 8), EARLY.format(30), matrix("reserve", 1, 2, 8), EARLY.format(31), *taken(30, 40, 0), REAL.format(31),
    FAILED.format(31), FAILED.format(31),
)  # fmt: skip


def test_two_failing_lines_are_one_attempt() -> None:
    rows = tables(EXHAUSTED)["vector_failures"]
    assert rows.select("kind", "irq", "tries", "global_avl", "avl_line", "begin_line", "line", "line_end").rows() == [
        ("request", 31, 2, 0, 8, 10, 11, 12)
    ]


def test_exhaustion_at_request_explains_the_overcommit() -> None:
    found = findings(EXHAUSTED)
    assert shape(found) == [("VEC-001", "proven", "host", None, [8, 11]), ("VEC-003", "proven", "host", "VEC-001", [5])]
    assert found[0].evidence[1].line_end == 12
    assert found[0].values["irqs"] == [31]
    assert found[0].values["requester"] == ["modprobe"]
    assert found[0].values["global_avl"] == 0


def test_the_swapped_encoding_is_a_failure_too() -> None:
    text = EXHAUSTED.replace("vector=0 reserved=1 ret=-28", "vector=4294967268 reserved=1 ret=0")
    assert [s[0] for s in shape(findings(text))] == ["VEC-001", "VEC-003"]


NAMES = {"avl": "available", "alloc": "allocated", "global_avl": "global_available", "total_alloc": "total_allocated"}
FLAGS = ("online", "reserved", "is_managed", "can_reserve", "reserve")


def as_fields(text: str) -> str:
    """The same events with options/fields: names of the format, hexadecimal before decimal numbers, flags in parentheses alone."""

    def field(m: re.Match[str]) -> str:
        name, value = m[1], int(m[2])
        return f"{NAMES.get(name, name)}=" + (f"({value})" if name in FLAGS else f"{value & 0xFFFFFFFF:#x} ({value})")

    return re.sub(r"\b(\w+)=(-?[0-9]+),?", field, text)


@pytest.mark.parametrize("swapped", [False, True])
def test_the_fields_of_events_tell_the_same(swapped: bool) -> None:
    text = EXHAUSTED.replace("vector=0 reserved=1 ret=-28", "vector=-28 reserved=1 ret=0") if swapped else EXHAUSTED
    assert "vector=0xffffffe4 (-28) reserved=(1) ret=0x0 (0)" in as_fields(text) or not swapped
    assert shape(findings(as_fields(text))) == shape(findings(EXHAUSTED))
    names = ("irq_matrix_alloc", "irq_matrix_reserve", "vector_activate", "vector_alloc", "vector_failures")
    for name in names[:3] if swapped else names:
        assert tables(as_fields(text))[name].drop("source").equals(tables(EXHAUSTED)[name].drop("source"))


def test_the_fields_of_a_healthy_host_are_clear() -> None:
    text = trace(*taken(30, 40, 3), *taken(31, 41, 2))
    assert findings(as_fields(text)) == []
    assert outcome(run(as_fields(text)), "VEC-001").outcome == "clear"


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("vector_config: irq=0x1b (27) vector=0x21 (33) cpu=0x2 (2) apicdest=0x4 (4)", {"irq": 27, "vector": 33, "cpu": 2, "apicdest": 4}),
        ("vector_reserve_managed: irq=0x1b (27) ret=0xffffffe4 (-28)", {"irq": 27, "ret": -28}),
        ("vector_setup: irq=0x1b (27) is_legacy=(0) ret=0x0 (0)", {"irq": 27, "is_legacy": 0, "ret": 0}),
        ("vector_teardown: irq=0x1b (27) is_managed=(0) has_reserved=(1)", {"is_managed": 0, "has_reserved": 1}),
    ],
)
def test_the_fields_of_other_events_are_read(line: str, values: dict[str, int]) -> None:
    (row,) = tables(trace(line))[line.partition(":")[0]].iter_rows(named=True)
    assert {name: row[name] for name in values} == values


def test_a_try_that_fails_before_one_that_succeeds_is_no_failure() -> None:
    text = trace(REAL.format(30), FAILED.format(30), matrix("alloc", 4, 0, 9), "vector_alloc: irq=30 vector=41 reserved=1 ret=0")
    assert findings(text) == []
    assert outcome(run(text), "VEC-001").outcome == "clear"


def test_an_affinity_change_without_room_is_no_failed_request() -> None:
    text = trace(*taken(30, 40, 3), FAILED.format(30))
    assert findings(text) == []
    assert outcome(run(text), "VEC-001").outcome == "inconclusive"


def test_failures_alone_are_reported_where_activations_are_not_recorded() -> None:
    assert shape(findings(trace(FAILED.format(30), FAILED.format(30)))) == [("VEC-001", "proven", "host", None, [3])]


def test_events_inside_function_graph_comments_are_read() -> None:
    graph = "# tracer: function_graph\n#\n" + "".join(f" 0)               |  /* {e} */\n" for e in (REAL.format(9), FAILED.format(9)))
    assert tables(graph)["vector_failures"].select("kind", "irq", "line").rows() == [("request", 9, 4)]


def test_a_managed_reservation_that_fails() -> None:
    text = trace(matrix("reserve", 3, 1, 8), EARLY.format(30), "vector_reserve_managed: irq=31 ret=-28")
    assert shape(findings(text)) == [("VEC-002", "proven", "host", None, [5])]


def test_a_managed_reservation_that_succeeds() -> None:
    text = trace("vector_reserve_managed: irq=31 ret=0", "vector_alloc_managed: irq=31 vector=40 ret=0")
    assert findings(text) == []
    assert [outcome(run(text), c).outcome for c in ("VEC-002", "VEC-006")] == ["clear", "clear"]
    assert outcome(run(text), "VEC-002").reason == "every managed irq got its slots"
    allocated = trace("vector_reserve_managed: irq=31 ret=0", "vector_alloc: irq=31 vector=40 reserved=1 ret=0")
    assert outcome(run(allocated), "VEC-002").reason == "no allocation failed for want of a vector"


def test_an_entry_that_cannot_be_masked_fails_at_allocation() -> None:
    text = trace(matrix("reserve", 0, 0, 9), REAL.format(31), FAILED.format(31), FAILED.format(31))
    found = findings(text)
    assert shape(found) == [("VEC-002", "proven", "host", None, [3])]
    assert found[0].evidence[0].line_end == 6


def test_a_managed_start_that_fails() -> None:
    assert shape(findings(trace("vector_alloc_managed: irq=31 vector=0 ret=-28"))) == [("VEC-006", "proven", "host", None, [3])]


def test_as_many_reservations_as_vectors_are_no_overcommit() -> None:
    text = trace(matrix("reserve", 2, 1, 8), matrix("reserve", 2, 2, 8))
    assert findings(text) == []
    assert outcome(run(text), "VEC-003").outcome == "clear"


def test_every_activation_agrees_with_the_pool() -> None:
    t = trace(*taken(29, 39, 1), *taken(30, 40, 0), REAL.format(31), FAILED.format(31), matrix("free", 1, 0, 8))
    rows = tables(t)["predictions"].filter(tables(t)["predictions"]["operation"] == "vector_activate")
    assert rows.select("subject", "basis", "predicted", "observed", "agrees").rows() == [
        ("irq 29", "healthy", "0", "0", True),
        ("irq 30", "known", "0", "0", True),
        ("irq 31", "known", "0", "-28", False),
    ]


def test_that_none_is_left_is_not_known_where_vectors_given_back_are_not_recorded() -> None:
    rows = tables(trace(*taken(30, 40, 0), *taken(31, 40, 0)))["predictions"]
    assert rows.select("subject", "basis").rows() == [("irq 30", "healthy"), ("irq 31", "healthy")]
    one_left = tables(trace(*taken(30, 40, 1), *taken(31, 40, 0)))["predictions"]
    assert one_left.select("subject", "basis").rows() == [("irq 30", "healthy"), ("irq 31", "known")]


@pytest.mark.parametrize(("left", "told"), [(0, [("known", "-28", False, "VEC-001")]), (3, [("healthy", "-28", False, "VEC-001")])])
def test_a_refusal_is_told_from_reservations_alone_where_none_was_left(left: int, told: list[tuple[object, ...]]) -> None:
    log = trace(matrix("reserve", left, 13, 201), EARLY.format(225), REAL.format(225), FAILED.format(225))
    made = tables(log)["predictions"].select("basis", "observed", "agrees", "explained_by").rows()
    assert made == told


def test_a_vector_lives_from_alloc_to_clear() -> None:
    t = trace(*taken(30, 40, 3), "vector_clear: irq=30 vector=40 cpu=0 prev_vector=0 prev_cpu=0", *taken(31, 40, 3))
    assert tables(t)["vector_lives"].select("irq", "vector", "line", "line_end").rows() == [(30, 40, 5, 6), (31, 40, 9, None)]
