"""How a device is named where the log does not name it; what the silence of a log says."""

import pytest

from tracekit.bdf import full_bdf
from tracekit.diagnosing.subjects import NAMED_BY, at_once, device_of, near, subject_of
from tracekit.replay.model import Row
from tracekit.testing import outcome, run

POINTERS = {"device": 0xFFFF888000001000, "vdev": 0xFFFF888000002000}
NONE = {"device": None, "vdev": None, "bdf": None}


@pytest.mark.parametrize(
    ("row", "label", "aliases", "how"),
    [
        (
            {**POINTERS, "bdf": "0000:41:00.0"},
            "0000:41:00.0",
            ("pci_dev 0xffff888000001000", "vdev 0xffff888000002000"),
            None,
        ),
        ({**POINTERS, "bdf": None}, "pci_dev 0xffff888000001000", ("vdev 0xffff888000002000",), NAMED_BY),
        ({**NONE, "vdev": 0x2000}, "vdev 0x2000", (), NAMED_BY),
        ({**NONE, "task": "qemu-kvm", "tid": 812}, "an unnamed device", (), f"of qemu-kvm-812; {NAMED_BY}"),
        ({**NONE, "task": "qemu-kvm", "tid": None}, "an unnamed device", (), NAMED_BY),
    ],
)
def test_the_best_name_there_is(row: dict[str, object], label: str, aliases: tuple[str, ...], how: str | None) -> None:
    subject = subject_of(row)
    assert (subject.label, subject.bdf, subject.aliases, subject.how) == (label, row["bdf"], aliases, how)


@pytest.mark.parametrize(
    ("line", "ts", "source", "answer"),
    [
        (14, None, "log", True),
        (15, None, "log", False),
        (15, 1_000_000, "log", True),
        (99, 11_000_000, "log", False),
        (14, 99_000_000, "log", True),
        (9, 0, "log", False),
        (11, 0, "other", False),
    ],
)
def test_near_is_a_few_lines_or_a_moment_below(line: int, ts: int | None, source: str, answer: bool) -> None:
    assert near({"source": "log", "line": 10, "ts": 0}, {"source": source, "line": line, "ts": ts}, 4) is answer


@pytest.mark.parametrize(
    ("line", "ts", "answer"),
    [(21, 500_000_000, False), (99, 109_000_000, True), (24, None, True), (25, None, False), (20, 101_000_000, False)],
)
def test_at_once_counts_from_the_end_by_time_else_by_lines(line: int, ts: int | None, answer: bool) -> None:
    earlier = {"source": "log", "line": 10, "ts": 0, "line_end": 20, "ts_end": 100_000_000}
    assert at_once(earlier, {"source": "log", "line": line, "ts": ts}, 4, 10) is answer
    assert at_once(Row(**earlier), Row(source="log", line=line, ts=ts), 4, 10) is answer
    assert not at_once(earlier, {"source": "other", "line": line, "ts": ts}, 4, 10)


@pytest.mark.parametrize(
    ("row", "device"),
    [
        ({**POINTERS, "bdf": "0000:41:00.0", "entity": 3}, ("entity", 3)),
        ({**POINTERS, "bdf": "0000:41:00.0"}, ("device", POINTERS["device"])),
        ({**NONE, "bdf": "0000:41:00.0"}, ("bdf", "0000:41:00.0")),
        (NONE, None),
        ({"irq": 3}, None),
    ],
)
def test_what_tells_best_which_device_a_row_is_about(row: dict[str, object], device: tuple[str, object] | None) -> None:
    assert device_of(row) == device_of(Row(**row)) == device


@pytest.mark.parametrize(
    ("printed", "full"),
    [
        ("00:09.0", "0000:00:09.0"),
        ("0x64:0x00.5", "0000:64:00.5"),
        ("0000:f0:1f.0", "0000:f0:1f.0"),
        ("10000:E1:00.0", "10000:e1:00.0"),
        ("nvme0", "nvme0"),
        ("pci_dev 0xffff888000001000", "pci_dev 0xffff888000001000"),
    ],
)
def test_a_bdf_in_full(printed: str, full: str) -> None:
    assert full_bdf(printed) == full


@pytest.mark.parametrize("code", ["IRQ-004", "IRQ-006", "VEC-004", "VEC-005", "MSI-005"])
def test_a_message_that_is_not_there_is_clear_only_in_a_kernel_log(code: str) -> None:
    boot = "[    0.000000] Linux version 6.12.9 (a@b) #1 SMP\n[    0.400000] pci 0000:00:01.0: [8086:100e] type 00 class 0x020000\n"
    trace = "  <idle>-0       [000] d.h1.    18.888509: irq_handler_entry: irq=32 name=eth0\n"
    assert outcome(run(boot), code).outcome == "clear"
    assert outcome(run(trace), code).outcome == "not evaluated"
    assert outcome(run(trace), code).reason == "no kernel log in the input"
