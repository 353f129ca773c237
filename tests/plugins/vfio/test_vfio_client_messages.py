"""VFIO-003 and VFIO-004 from a client's messages alone: what they say, and what is left open."""

import pytest

from tracekit.findings import Finding
from tracekit.testing import findings, outcome, run

SIGNALING = "qemu-system-x86_64: vfio {}: Failed to set up {} eventfd signaling for interrupt {}: VFIO_DEVICE_SET_IRQS failure: {}\n"
NO_SPACE = "No space left on device"
ENABLE = [
    (f"qemu-system-x86_64: vfio: failed to enable vectors, {NO_SPACE}", NO_SPACE),
    (f"qemu-system-x86_64: vfio: failed to enable MSI-X, {NO_SPACE}", NO_SPACE),
    ("qemu-kvm: vfio: Error: Failed to setup MSI fds: Invalid argument", "Invalid argument"),
    ("qemu-system-x86_64: vfio: Error: Failed to enable MSI", "no reason"),
]


def of(code: str, *texts: str) -> list[Finding]:
    return [f for f in findings(*texts) if f.code == code]


@pytest.mark.parametrize(
    ("kind", "numbers", "said"), [("MSIX", [3], "vector 3"), ("MSI", [0], "vector 0"), ("MSIX", [2, 5], "vectors 2, 5")]
)
def test_a_vector_that_could_not_be_wired(kind: str, numbers: list[int], said: str) -> None:
    (f,) = of("VFIO-004", "".join(SIGNALING.format("0000:05:00.0", "TRIGGER", f"{kind}-{n}", NO_SPACE) for n in numbers))
    assert (f.grade, f.severity, f.subject.bdf) == ("probable", "high", "0000:05:00.0")
    assert f.values == {"vectors": numbers, "message": NO_SPACE}
    assert f.summary == f"{said} of 0000:05:00.0 could not be wired ({NO_SPACE})"
    assert [(e.line, e.role) for e in f.evidence] == [(n, "effect") for n in range(1, len(numbers) + 1)]
    assert [u.guard for u in f.unchecked] == ["the other vectors go on, and this one did not work later"]


@pytest.mark.parametrize(("action", "index"), [("MASK", "MSIX-3"), ("TRIGGER", "INTX-0"), ("UNMASK", "INTX-0")])
def test_another_action_or_the_line_interrupt_is_no_vector(action: str, index: str) -> None:
    text = SIGNALING.format("0000:05:00.0", action, index, "Invalid argument")
    assert of("VFIO-004", text) == []
    assert outcome(run(text), "VFIO-004").outcome == "not evaluated"


def test_each_device_has_its_finding_with_five_lines_at_most() -> None:
    seven = "".join(SIGNALING.format("0000:05:00.0", "TRIGGER", f"MSIX-{n}", NO_SPACE) for n in (6, 0, 1, 2, 3, 4, 5))
    found = of("VFIO-004", seven + SIGNALING.format("0000:06:00.0", "TRIGGER", "MSIX-1", "Invalid argument"))
    assert [(f.subject.bdf, f.values["vectors"], [e.line for e in f.evidence]) for f in found] == [
        ("0000:05:00.0", [0, 1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5]),
        ("0000:06:00.0", [1], [8]),
    ]


@pytest.mark.parametrize(("line", "reason"), ENABLE)
def test_an_enable_that_a_client_reports_is_of_an_unnamed_device(line: str, reason: str) -> None:
    (f,) = of("VFIO-003", f"{line}\n")
    assert (f.grade, f.subject.label) == ("possible", "an unnamed device")
    assert f.values == {"message": reason, "messages": 1, "asked": None, "last_working": None}
    assert f.summary == f"the client could not enable the vectors of an unnamed device ({reason})"
    assert f.unchecked[0].guard == "vectors had been enabled before"
    assert [(e.line, e.role) for e in f.evidence] == [(1, "effect")]


def test_seven_messages_are_counted_and_five_are_named() -> None:
    (f,) = of("VFIO-003", "".join(f"{line}\n" for line, _ in ENABLE[:1] * 7))
    assert (f.values["messages"], len(f.evidence)) == (7, 5)


@pytest.mark.parametrize(
    "line",
    [
        "qemu-system-x86_64: vfio: Error: Failed to enable 4 MSI vectors, retry with 1",
        "qemu-system-x86_64: warning: vfio 0000:05:00.0: Could not enable error recovery for the device",
    ],
)
def test_a_retry_or_another_warning_is_no_failed_enable(line: str) -> None:
    assert of("VFIO-003", f"{line}\n") == []
