"""Whose rows are whose: machines and boots of sources, and the same line told by several logs."""

import json
from pathlib import Path

import pytest

from tracekit.pipeline import Options, analyze
from tracekit.run import Run

REFUSALS = (
    "nvme nvme0: pci function 0000:00:11.0",
    "nvme nvme1: pci function 0000:00:12.0",
    "Interrupt reservation exceeds available resources",
    "nvme nvme0: request_irq failed: -28",
    "nvme 0000:00:11.0: probe with driver nvme failed with error -28",
    "e1000e 0000:00:06.0 eth0: Unable to allocate interrupt, Error: -28",
)
MONTH = "Nov 21 03:00:{second:02d} {host}kernel: {text}"


def dmesg(*messages: str, start: int = 10) -> str:
    return "".join(f"[   {start + i}.000123] {m}\n" for i, m in enumerate(messages))


def syslog(*messages: str, host: str = "h1 ") -> str:
    return "".join(MONTH.format(second=i, host=host, text=m) + "\n" for i, m in enumerate(messages))


def case(folder: Path, options: Options | None = None, /, **logs: str) -> Run:
    for name, text in logs.items():
        (folder / f"{name}.log").write_text(text)
    return analyze([str(folder / f"{name}.log") for name in logs], options)


def told(run: Run) -> list[tuple[str, str, list[tuple[str, int, list[tuple[str, int]]]]]]:
    """(code, machine, evidence with the other places of each line) of every finding."""
    return [
        (f.code, f.machine, [(Path(e.source).name, e.line, [(Path(s).name, n) for s, n in e.also]) for e in f.evidence])
        for f in run.findings
        if f.grade
    ]


OVERCOMMIT = "Interrupt reservation exceeds available resources"


def test_equal_lines_with_equal_stamps_are_one_row_in_several_places(tmp_path: Path) -> None:
    run = case(tmp_path, a=dmesg(OVERCOMMIT), b=dmesg("hello", start=9) + dmesg(OVERCOMMIT))
    assert told(run) == [("VEC-003", "", [("a.log", 1, [("b.log", 2)])])]


def test_equal_lines_with_other_stamps_are_two(tmp_path: Path) -> None:
    run = case(tmp_path, a=dmesg(OVERCOMMIT), b=dmesg(OVERCOMMIT, start=20))
    assert told(run) == [("VEC-003", "", [("a.log", 1, []), ("b.log", 1, [])])]


def test_a_source_without_a_host_name_is_of_the_one_machine_that_is_named(tmp_path: Path) -> None:
    stamps = {"__REALTIME_TIMESTAMP": "1763694010000123", "_SOURCE_MONOTONIC_TIMESTAMP": "10000123"}
    record = {"_HOSTNAME": "h1", "_TRANSPORT": "kernel", "SYSLOG_IDENTIFIER": "kernel", "MESSAGE": OVERCOMMIT, **stamps}
    run = case(tmp_path, a=dmesg(OVERCOMMIT), b=json.dumps(record) + "\n")
    assert told(run) == [("VEC-003", "h1", [("a.log", 1, [("b.log", 1)])])]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (dmesg("Linux version 6.1.0-1 (a@b) #1 SMP", start=0) + dmesg(OVERCOMMIT, start=40), Options()),
        (dmesg("hello", OVERCOMMIT, start=40), Options(sides={"a.log": "guest"})),
    ],
)
def test_a_guest_or_another_kernel_stays_its_own_machine(tmp_path: Path, text: str, options: Options) -> None:
    sides = {str(tmp_path / name): side for name, side in options.sides.items()}
    run = case(tmp_path, Options(sides=sides), a=text, b=syslog("Linux version 6.12.9 (a@b) #1 SMP", OVERCOMMIT))
    assert told(run) == [("VEC-003", "", [("a.log", 2, [])]), ("VEC-003", "h1", [("b.log", 2, [])])]


def test_two_named_machines_leave_the_nameless_alone(tmp_path: Path) -> None:
    run = case(tmp_path, a=dmesg(OVERCOMMIT), b=syslog(OVERCOMMIT), c=syslog(OVERCOMMIT, host="h2 "))
    assert sorted(machine for _, machine, _ in told(run)) == ["", "h1", "h2"]


def test_a_wall_clock_log_repeats_what_it_shares_in_a_run(tmp_path: Path) -> None:
    run = case(tmp_path, a=dmesg(*REFUSALS), b=syslog("hello", *REFUSALS))
    places = [(e, also) for code, _, evidence in told(run) if code == "VEC-003" for _, e, also in evidence]
    assert places == [(3, [("b.log", 4)])]


def test_a_few_equal_lines_without_a_common_stamp_are_kept(tmp_path: Path) -> None:
    run = case(tmp_path, a=dmesg(*REFUSALS[2:5]), b=syslog(*REFUSALS[2:5]))
    assert [also for _, _, evidence in told(run) for _, _, also in evidence if also] == []


def test_what_one_log_says_twice_is_repeated_once(tmp_path: Path) -> None:
    run = case(tmp_path, a=dmesg(*REFUSALS), b=syslog(*REFUSALS, *REFUSALS))
    kept = [(source, line) for code, _, evidence in told(run) if code == "VEC-003" for source, line, _ in evidence]
    assert kept == [("a.log", 3), ("b.log", 9)]


def test_a_linux_version_that_starts_anew_is_another_boot(tmp_path: Path) -> None:
    boot = dmesg("Linux version 6.12.9 (a@b) #1 SMP", start=0) + dmesg(OVERCOMMIT)
    run = case(tmp_path, a=boot + boot)
    assert [(f.boot, [e.line for e in f.evidence]) for f in run.findings if f.grade] == [(0, [2]), (1, [4])]
