"""Stamps that are coarse, or jump: what is near, at once or apart is told by them only as far as they can, else by the order of the lines."""

from datetime import UTC, datetime, timedelta

import pytest

from tracekit.diagnosing.moments import apart, tick, within
from tracekit.testing import findings, shape

BEGIN = datetime(2026, 3, 1, 10, 0, 0, tzinfo=UTC)
SECOND = 1_000_000_000


def syslog(*messages: tuple[float, str]) -> str:
    """Whole seconds, as rsyslog's traditional file and `journalctl -o short` print them."""
    return "".join(f"{BEGIN + timedelta(seconds=at):%b %e %H:%M:%S} alpha kernel: {text}\n" for at, text in messages)


def printk(*messages: tuple[float, str]) -> str:
    return "".join(f"[{at + 100:12.6f}] {text}\n" for at, text in messages)


def iso(*messages: tuple[float, str]) -> str:
    """Milliseconds."""
    return "".join(f"{(BEGIN + timedelta(seconds=at)).isoformat(timespec='milliseconds')} alpha kernel: {text}\n" for at, text in messages)


@pytest.mark.parametrize(
    ("raw", "ts", "step"),
    [
        ("Mar  1 10:00:00", 5 * SECOND, SECOND),
        ("2026-03-01T10:00:00.120+00:00", 5 * SECOND + 120_000_000, 1_000_000),
        ("2026-03-01 10:00:00,120000", 5 * SECOND, 1_000),
        ("12.345678", 12_345_678_000, 1_000),
        ("123", 123_000, 1_000),  # microseconds from the start of a buffer
    ],
)
def test_the_step_of_a_stamp_is_its_last_digit(raw: str, ts: int, step: int) -> None:
    assert tick({"ts": ts, "ts_raw": raw}) == step


def test_a_distance_is_known_to_one_step() -> None:
    first = {"ts": 5 * SECOND, "ts_raw": "10:00:05"}
    assert apart(first, {"ts": 6 * SECOND, "ts_raw": "10:00:06"}) == (0, 2 * SECOND)
    assert within(first, {"ts": 6 * SECOND, "ts_raw": "10:00:06"}, 100) is None
    assert within(first, {"ts": 7 * SECOND, "ts_raw": "10:00:07"}, 100) is False
    assert within(first, {"ts": 7 * SECOND, "ts_raw": "10:00:07"}, 1000) is True
    assert apart(first, {"ts": 2 * SECOND, "ts_raw": "10:00:02"}) is None  # the clock was set back
    assert apart(first, {"ts": None, "ts_raw": None}) is None


POLLED = "nvme {}: I/O 320 QID 2 timeout, completion polled"


@pytest.mark.parametrize(
    ("log", "gap", "causes"), [(syslog, 0.9, 1), (iso, 0.9, 1), (printk, 0.9, 1), (syslog, 4, 2), (iso, 4, 2), (printk, 4, 2)]
)
def test_devices_that_fail_within_a_second_have_one_cause(log: object, gap: float, causes: int) -> None:
    text = log((0.8, POLLED.format("nvme0")), (0.8 + gap, POLLED.format("nvme1")))  # type: ignore[operator]
    assert [f.code for f in findings(text)] == ["IRQ-007"] * causes


BANNER = "Linux version 6.12.95 (builder@alpha) (gcc 14.2.0) #1 SMP"
FAULT = "DMAR: [INTR-REMAP] Request device [02:00.0] fault index 0x22 [fault reason 0x22] Present field in the IRTE entry is clear"
REMAP = "DMAR-IR: Enabled IRQ remapping in x2apic mode"


def severity(*messages: tuple[float, str]) -> str | None:
    return next(f.severity for f in findings(syslog(*messages)) if f.code == "IRQ-003")


def test_the_first_seconds_of_a_boot_by_a_wall_clock() -> None:
    start = [(0.0, BANNER), (0.0, REMAP)]
    assert severity(*start, (4, FAULT)) == "low"
    assert severity(*start, (60, FAULT)) == "high"


def test_a_clock_that_was_set_back_leaves_it_to_the_lines() -> None:
    start = [(7200.0, BANNER), (7200.0, REMAP)]
    said = [(0.0, f"usb 1-{n}: new high-speed USB device number {n} using xhci_hcd") for n in range(900)]
    assert severity(*start, (0.0, FAULT)) == "low"
    assert severity(*start, *said, (0.0, FAULT)) == "high"


def bound(at: float, pirq: int, irq: int) -> list[tuple[float, str]]:
    device = "nvme 0000:00:04.0: xen:"
    return [(at, f"{device} msi bound to pirq={pirq}"), (at, f"{device} msi --> pirq={pirq} --> irq={irq}")]


def test_an_enable_over_the_turn_of_a_second_is_one_enable() -> None:
    said = [(0.0, "Hypervisor detected: Xen HVM")]
    for n in range(4):
        said += bound(10.9 + 30 * n, 101 - 2 * n, 60) + bound(11.05 + 30 * n, 100 - 2 * n, 61)
    fine, coarse = (shape([f for f in findings(log(*said)) if f.code.startswith("XEN")]) for log in (printk, syslog))
    assert fine != []
    assert coarse == fine


REFUSED = "nvme 0000:00:06.0: xen map irq failed -28 for 32752 domain"
UNMAP = "xen:events: unmap irq failed -22"


@pytest.mark.parametrize(("gap", "lines", "near"), [(0.9, 0, True), (-3600, 0, True), (-3600, 300, False), (3, 0, False)])
def test_what_follows_at_once_in_whole_seconds(gap: float, lines: int, near: bool) -> None:
    start = [(0.0, "Hypervisor detected: Xen PV"), (7200.8, REFUSED)]
    between = [(7200.8 + gap, f"usb 1-{n}: new high-speed USB device number {n} using xhci_hcd") for n in range(lines)]
    found = findings(syslog(*start, *between, (7200.8 + gap, UNMAP)))
    assert [f.subject.bdf for f in found if f.code == "XEN-007"] == ["0000:00:06.0" if near else None]
