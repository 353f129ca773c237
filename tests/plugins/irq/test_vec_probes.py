"""VEC-001, VEC-002 and VEC-005 by what probed functions returned: the innermost one decides, and ordinary returns stay quiet."""

import pytest
from opening import back, call

from tracekit.findings import Finding
from tracekit.testing import findings, outcome, run

ACTIVATE, ASSIGN, MATRIX, ALLOCATE = "x86_vector_activate", "assign_vector_locked", "irq_matrix_alloc", "x86_vector_alloc_irqs"
REQUEST, SIGNAL, SET_IRQS, ENABLE = (
    "request_threaded_irq",
    "vfio_msi_set_vector_signal",
    "vfio_pci_set_irqs_ioctl",
    "__pci_enable_msix_range",
)
ANY = "assign_irq_vector_any_locked"


def trace(*events: str | tuple[int, str]) -> str:
    """One line an event, of a thread by its number; 7 where none is given."""
    given = (e if isinstance(e, tuple) else (7, e) for e in events)
    return "".join(f"        modprobe-{tid:<7} [000] .....     5.{i:06d}: {e}\n" for i, (tid, e) in enumerate(given))


def tried(ret: int, caller: str = ANY, function: str = ASSIGN) -> str:
    return f"r: ({caller}+0x5c/0x170 <- {function}) ret={ret}"


def of(text: str, **named: str) -> list[tuple[str, str | None, list[tuple[int, str]]]]:
    return [(f.code, f.grade, [(e.line, e.role) for e in f.evidence]) for f in findings(text, **named) if f.code.startswith("VEC")]


def only(text: str) -> Finding:
    (found,) = findings(text)
    return found


def test_an_activation_that_found_no_vector_proves_it_and_who_handed_it_on_is_shown() -> None:
    text = trace(
        call(SET_IRQS, "vdev=0xff1100010a5b2000 flags=0x24 index=2 start=0 count=64"), back(ACTIVATE, 0), back(REQUEST, 0), back(ACTIVATE, -28),
        back(REQUEST, -28), back(SIGNAL, -28), back(SET_IRQS, -28),
    )  # fmt: skip
    assert of(text) == [("VEC-001", "proven", [(4, "cause"), (5, "effect"), (6, "effect"), (7, "effect")])]
    assert only(text).values["requester"] == ["modprobe"]
    assert "1 request for an interrupt failed with -28 (x86_vector_activate by modprobe)" in only(text).summary


def test_every_activation_that_failed_is_counted_once() -> None:
    lines = [x for _ in range(40) for x in (back(ACTIVATE, -28), back(REQUEST, -28))]
    assert only(trace(*lines)).values["attempts"] == 40


def test_the_same_in_a_function_graph() -> None:
    text = (
        "# tracer: function_graph\n#\n"
        " 2)               |  request_threaded_irq() {\n"
        " 2)   3.120 us    |    x86_vector_activate(); /* = -28 */\n"
        " 2)   9.700 us    |  } /* request_threaded_irq = -28 */\n"
    )
    assert of(text) == [("VEC-001", "proven", [(4, "cause"), (5, "effect")])]


@pytest.mark.parametrize(
    ("function", "grade"),
    [(REQUEST, "probable"), ("irq_domain_activate_irq", "probable"), (SIGNAL, None), ("free_irq", None), (ACTIVATE, "proven")],
)
def test_what_hands_any_refusal_on_is_no_proof(function: str, grade: str | None) -> None:
    assert of(trace(back(function, -28))) == ([("VEC-001", grade, [(1, "cause")])] if grade else [])
    assert of(trace(back(function, -16))) == []
    assert of(trace(back(function, 0))) == []


def test_two_tries_in_a_row_are_all_masks_and_one_may_be_a_move() -> None:
    assert of(trace(tried(-28), tried(-28))) == [("VEC-001", "proven", [(1, "cause"), (2, "cause")])]
    assert of(trace(tried(-28))) == []


@pytest.mark.parametrize(
    "events",
    [
        (tried(-28), tried(-28), tried(0)),  # the third mask had one
        (tried(-28), tried(0), tried(-28), tried(0)),
        (tried(-28), (9, tried(-28))),  # two threads, one try each
        (tried(-28, "apic_set_affinity"), tried(-28, "apic_set_affinity")),  # changes of affinity
        (tried(-28, "apic_set_affinity"), tried(-28)),
    ],
)
def test_tries_that_another_mask_follows_and_changes_of_affinity_are_quiet(events: tuple[str | tuple[int, str], ...]) -> None:
    assert of(trace(*events)) == []


def test_the_matrix_alone_does_not_tell_a_request_from_a_change_of_affinity() -> None:
    two = tried(-28, ASSIGN, MATRIX), tried(-28, ASSIGN, MATRIX)
    assert of(trace(*two)) == [("VEC-001", "probable", [(1, "cause"), (2, "cause")])]
    assert of(trace(*two, back(REQUEST, -28))) == [("VEC-001", "proven", [(1, "cause"), (2, "cause"), (3, "effect")])]


def test_at_an_allocation_it_is_vec_002() -> None:
    text = trace(tried(-28), tried(-28), back(ALLOCATE, -28), back(ENABLE, -28))
    assert of(text) == [("VEC-002", "proven", [(3, "cause")])]
    assert of(trace(back(ALLOCATE, 0), back(ENABLE, 3))) == []


def test_names_that_are_guessed_are_no_proof() -> None:
    text = "cpus=1\n  modprobe-7   [000]    56.570521: r_x86_vector_activate_0:  (ffffffff817a5d44 <- ffffffff817a46ad) ret=-28\n"
    assert of(text) == [("VEC-001", "probable", [(2, "cause")])]


def test_tracepoints_tell_more_than_probes() -> None:
    failed = "vector_alloc: irq=31 vector=0 reserved=1 ret=-28"
    text = trace("vector_activate: irq=31 is_managed=0 can_reserve=1 reserve=0", failed, failed, back(ACTIVATE, -28), back(REQUEST, -28))
    assert [(c, g) for c, g, _ in of(text)] == [("VEC-001", "proven")]
    assert only(text).values["irqs"] == [31]


# -28 of a request or an enable alone


def asked(ret: int, *inside: str) -> str:
    return trace(call(SET_IRQS, "vdev=0xff1100010a5b2000 flags=0x24 index=2 start=0 count=64"), *inside, back(SET_IRQS, ret))


def test_the_28_of_set_irqs_alone_is_possible() -> None:
    assert of(asked(-28)) == [("VEC-001", "possible", [(1, "effect")])]
    assert of(asked(-22)) == []
    assert of(asked(5)) == []


@pytest.mark.parametrize(("least", "ret", "found"), [(1, -28, True), (1, -22, False), (1, 3, False), (4, -28, False), (None, -28, False)])
def test_the_28_of_an_enable_that_would_have_taken_one_vector_is_possible(least: int | None, ret: int, found: bool) -> None:
    entry = () if least is None else (call(ENABLE, f"dev=0xff11000104ac8000 minvec={least} maxvec=8"),)
    text = trace(*entry, back(ENABLE, ret))
    assert of(text) == ([("VEC-002", "possible", [(1, "effect")])] if found else [])


def test_a_request_whose_enable_failed_is_told_once() -> None:
    text = asked(-28, call(ENABLE, "dev=0xff11000104ac8000 minvec=1 maxvec=64"), back(ENABLE, -28))
    assert of(text) == [("VEC-002", "possible", [(2, "effect")])]


ARM = "            CPU0\n 60:          7  ITS-PCI-MSIX-0000:00:05.0    0 Edge      nvme0q0\n"


@pytest.mark.parametrize(
    "events",
    [
        (call(ENABLE, "dev=0xff11000104ac8000 minvec=1 maxvec=8"), back(ENABLE, -28)),
        (back(REQUEST, -28),),
        (call(SET_IRQS, "vdev=0xff1100010a5b2000 flags=0x24 index=2 start=0 count=64"), back(SET_IRQS, -28)),
    ],
)
def test_another_architecture_has_no_cpu_vectors(events: tuple[str, ...]) -> None:
    assert len(of(trace(*events))) == 1
    assert of(trace(*events), interrupts=ARM) == []


def test_a_domain_of_xen_has_pirqs_and_no_vectors() -> None:
    setup = call("xen_initdom_setup_msi_irqs", "dev=0xff11000104ac8000 nvec=1 type=17"), back("xen_initdom_setup_msi_irqs", -28)
    assert of(trace(call(ENABLE, "dev=0xff11000104ac8000 minvec=1 maxvec=8"), *setup, back(ENABLE, -28), back(REQUEST, -28))) == []


# Entries of the remapping table


@pytest.mark.parametrize(
    ("function", "ret", "grade"),
    [
        ("alloc_irte", -12, "proven"),
        ("alloc_irte", -1, "probable"),  # or a block that is too large
        ("alloc_irte", 0, None),
        ("alloc_irte", 219, None),
        ("alloc_irq_index", -28, "proven"),
        ("alloc_irq_index", -19, None),  # no table at all
        ("alloc_irq_index", 3, None),
    ],
)
def test_a_refused_entry_is_vec_005_and_explains_the_28_of_the_enable(function: str, ret: int, grade: str | None) -> None:
    enable = call(ENABLE, "dev=0xff11000104ac8000 minvec=1 maxvec=8"), back(function, ret), back(ENABLE, -28 if grade else 8)
    assert of(trace(*enable)) == ([("VEC-005", grade, [(2, "cause")])] if grade else [])


def test_without_a_kernel_log_entries_that_were_granted_are_not_all_there_is_to_know() -> None:
    assert outcome(run(trace(back("alloc_irte", 7))), "VEC-005").outcome == "not evaluated"
