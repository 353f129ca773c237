"""QEMU's trace and its messages in one file: which device's enable failed, and whether vectors worked before."""

import pytest

from tracekit.findings import Finding
from tracekit.testing import findings, tables

A, B = "0000:01:00.0", "0000:02:00.0"
FAILED = "2026-11-21T00:15:06.024777Z qemu-system-x86_64: vfio: failed to enable vectors, -1\n"
NO_VECTOR = "2026-11-21T00:15:06.024777Z qemu-system-x86_64: vfio: failed to enable MSI-X, -1\n"
NOT_WIRED = (
    "qemu-system-x86_64: vfio {}: Failed to set up TRIGGER eventfd signaling for interrupt MSIX-{}: VFIO_DEVICE_SET_IRQS failure: {}\n"
)


def opened(name: str, rest: str = "") -> str:
    return f"4211@1795220106.001000:vfio_msix_early_setup {name} PCI MSI-X CAP @0xb0, BAR 4, offset 0x0, entries 16{rest}\n"


def on(name: str) -> str:
    return f"4211@1795220106.002000:vfio_msix_enable  ({name})\n"


def use(name: str, *vectors: int) -> str:
    return "".join(f"4211@1795220106.003000:vfio_msix_vector_do_use  ({name}) vector {v} used\n" for v in vectors)


def release(name: str, vector: int) -> str:
    return f"4211@1795220106.003500:vfio_msix_vector_release  ({name}) vector {vector} released\n"


def of(code: str, *texts: str) -> list[Finding]:
    return [f for f in findings(*texts) if f.code == code]


def lines(f: Finding) -> list[tuple[int, str]]:
    return sorted((e.line, e.role) for e in f.evidence)


def test_a_growth_that_failed_names_the_device_and_what_worked() -> None:
    (f,) = of("VFIO-003", opened(A) + on(A) + use(A, 0, 1, 2) + FAILED + use(A, 3) + FAILED)
    assert (f.grade, f.subject.bdf, f.values) == ("probable", A, {"message": "-1", "messages": 2, "asked": 3, "last_working": 2})
    assert lines(f) == [(2, "context"), (5, "cause"), (6, "effect"), (8, "effect")]


def test_two_devices_have_a_finding_each() -> None:
    text = "".join(opened(x) + on(x) + use(x, 0, 1) for x in (A, B)) + use(A, 2) + FAILED + use(B, 2) + FAILED
    assert [(f.subject.bdf, lines(f)) for f in of("VFIO-003", text)] == [
        (A, [(2, "context"), (9, "cause"), (10, "effect")]),
        (B, [(6, "context"), (11, "cause"), (12, "effect")]),
    ]


@pytest.mark.parametrize(
    "text",
    [
        opened(A) + use(A, 0, 1, 2) + FAILED + on(A),  # the vectors that the guest had unmasked, all at once
        opened(A) + use(A, 0) + FAILED + release(A, 0) + on(A),
        opened(A) + use(A, 0) + FAILED + release(A, 0) + on(A) + use(A, 0, 1) + FAILED,  # nothing is taken down by the second one
        opened(A) + NO_VECTOR + on(A),
        opened(B) + on(B) + use(B, 0) + opened(A) + NO_VECTOR + on(A),
    ],
)
def test_an_enable_that_failed_with_nothing_enabled_before_is_none(text: str) -> None:
    assert of("VFIO-003", text) == []


@pytest.mark.parametrize("text", [use(A, 0, 1, 2) + FAILED + on(A), FAILED, NO_VECTOR, opened(A) + on(A) + use(A, 0) + NO_VECTOR + on(A)])
def test_a_trace_that_does_not_show_the_begin_leaves_it_open(text: str) -> None:
    assert [(f.grade, f.subject.label) for f in of("VFIO-003", text)] == [("possible", "an unnamed device")]


MSI = "4211@1795220106.000001:vfio_msi_setup 0000:3d:00.0 PCI MSI CAP @0x50\n"
MSI_ON = "4211@1795220106.000002:vfio_msi_enable  (0000:3d:00.0) Enabled 4 MSI vectors\n"
MSI_OFF = "4211@1795220106.000003:vfio_msi_disable  (0000:3d:00.0)\n"
MSI_FAILED = "qemu-system-x86_64: vfio: Error: Failed to setup MSI fds: No space left on device\nqemu-system-x86_64: vfio: Error: Failed to enable MSI\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (MSI + MSI_FAILED, 0),  # a first enable
        (MSI + MSI_ON + MSI + MSI_FAILED, 0),  # of the next start
        (MSI + MSI_ON + MSI_OFF + MSI_FAILED, 1),
        (MSI_ON + MSI_OFF + MSI_FAILED, 1),
        (MSI_FAILED, 1),  # nothing tells what was before
    ],
)
def test_plain_msi_that_is_enabled_first_is_none(text: str, found: int) -> None:
    assert len(of("VFIO-003", text)) == found


def test_a_growth_between_the_enable_and_its_end_is_one() -> None:
    """QEMU before 7.1 takes vector 0, releases it, then adds those that the guest has unmasked one by one."""
    text = opened(A) + use(A, 0) + release(A, 0) + use(A, 0, 1, 2) + FAILED + on(A)
    assert [(f.subject.bdf, f.values["last_working"], f.values["asked"]) for f in of("VFIO-003", text)] == [(A, 2, 3)]
    assert of("VFIO-002", text) == []  # the guest has no interrupt before its enable ends


def test_the_next_start_of_qemu_confirms_no_growth() -> None:
    grown = opened(A) + on(A) + use(A, 0, 1)
    assert of("VFIO-002", grown + opened(A) + use(A, 0) + release(A, 0) + on(A)) == []
    assert [f.subject.bdf for f in of("VFIO-002", grown + use(A, 2))] == [A]


def test_a_later_growth_that_works_recovers() -> None:
    text = opened(A) + on(A) + use(A, 0, 1) + FAILED + use(A, 2, 3)
    assert of("VFIO-003", text) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (opened(A, ", noresize 0") + on(A) + use(A, 0, 1) + NOT_WIRED.format(A, 1, "No space left on device"), [A]),
        (opened(A) + on(A) + use(A, 0, 1, 2) + release(A, 1) + use(A, 1) + NOT_WIRED.format(A, 1, "No such device"), [A]),  # growths worked
        (opened(A) + use(A, 0) + FAILED + release(A, 0) + on(A) + use(A, 0) + NOT_WIRED.format(A, 0, "No space left on device"), []),
        (opened(A) + on(A) + use(A, 0, 1) + FAILED + use(A, 0) + NOT_WIRED.format(A, 0, "No such device"), []),
        (opened(A) + on(A) + use(A, 0, 1) + FAILED + opened(A) + on(A) + use(A, 0) + NOT_WIRED.format(A, 0, "No such device"), [A]),
    ],
)
def test_a_single_vector_fails_only_where_others_go_on(text: str, found: list[str]) -> None:
    assert [f.subject.bdf for f in of("VFIO-004", text)] == found


@pytest.mark.parametrize(("what", "ret"), [("vectors", "-34"), ("MSI-X", "-34"), ("MSI-X", "Numerical result out of range")])
def test_the_errno_of_an_enable_tells_of_a_stale_size(what: str, ret: str) -> None:
    failed = f"qemu-system-x86_64: vfio: failed to enable {what}, {ret}\n"
    assert [(f.subject.bdf, f.grade) for f in of("MSI-001", failed)] == [(None, "possible")]


def test_the_trace_names_the_device_of_an_errno() -> None:
    traced = opened(A) + on(A) + use(A, 0, 1, 2) + "qemu-system-x86_64: vfio: failed to enable vectors, -34\n"
    assert [(f.subject.bdf, f.grade, [e.line for e in f.evidence]) for f in of("MSI-001", traced)] == [(A, "possible", [6])]
    assert [(f.subject.bdf, f.explained_by) for f in of("VFIO-003", traced)] == [(A, "MSI-001")]


def test_each_device_whose_errno_the_trace_names_is_one_finding() -> None:
    failed = "qemu-system-x86_64: vfio: failed to enable vectors, -34\n"
    grown = "".join(opened(name) + on(name) + use(name, 0, 1, 2) + failed * 2 for name in (A, B))
    assert sorted((f.subject.bdf, [e.line for e in f.evidence]) for f in of("MSI-001", grown)) == [(A, [6]), (B, [13])]


@pytest.mark.parametrize("ret", ["-1", "34", "-28", "-340", "No space left on device"])
def test_another_errno_tells_of_no_stale_size(ret: str) -> None:
    assert of("MSI-001", opened(A) + on(A) + use(A, 0, 1, 2) + f"qemu-system-x86_64: vfio: failed to enable vectors, {ret}\n") == []


@pytest.mark.parametrize(("reason", "found"), [("Numerical result out of range", [(A, "possible")]), ("No space left on device", [])])
def test_the_errno_of_a_single_vector_tells_of_a_stale_size(reason: str, found: list[tuple[str, str]]) -> None:
    text = NOT_WIRED.format(A, 8, reason) + NOT_WIRED.format(A, 9, reason)
    assert [(f.subject.bdf, f.grade) for f in of("MSI-001", text)] == found


def interrupted(name: str, *vectors: int) -> str:
    return "".join(f"4211@1795220106.004000:vfio_msi_interrupt  ({name}) vector {v} 0xfee01004/0x22\n" for v in vectors)


def grown(text: str) -> list[tuple[object, ...]]:
    """(kind, old, new, vectors in use) of each window."""
    rows = tables(opened(A) + on(A) + use(A, 0) + text)["windows"].select("kind", "old", "new", "in_use").rows()
    return [(kind, old, new, [u["vector"] for u in used]) for kind, old, new, used in rows]


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        (interrupted(A, 0) + use(A, 1) + interrupted(A, 0), [("growth", 1, 2, [0])]),
        (interrupted(A, 0) + use(A, 1) + interrupted(A, 1), [("growth", 1, 2, [0])]),
        (
            interrupted(A, 0) + use(A, 1) + interrupted(A, 2),
            [("open", 1, 2, [0])],
        ),  # a vector that no growth has: nothing confirms this one
        (interrupted(A, 0) + use(A, 1), [("open", 1, 2, [0])]),
        (interrupted(A, 0, 1) + use(A, 1) + interrupted(A, 0), [("growth", 1, 2, [0])]),  # the vector that is new was not in use
        (use(A, 1) + interrupted(A, 0), [("growth", 1, 2, [])]),
        (interrupted(A, 0) + use(A, 1) + use(A, 2) + interrupted(A, 2), [("growth", 1, 2, [0]), ("growth", 2, 3, [])]),
    ],
)
def test_a_growth_is_confirmed_by_its_own_vectors_and_has_those_in_use_before(text: str, windows: list[tuple[object, ...]]) -> None:
    assert grown(text) == windows
