"""The guards of VFIO-001, VFIO-004, VFIO-006, VFIO-007 and VFIO-009 at windows of an opened device, each from both sides."""

import re
from pathlib import Path

import pytest
from kprobes import Trace

from tracekit.findings import Finding
from tracekit.pipeline import Options, analyze
from tracekit.testing import findings, outcome, run, tables

POLLED = "[{:13.6f}] nvme nvme0: I/O 8 QID 0 timeout, completion polled\n"


def of(code: str, *texts: str, **named: str) -> list[Finding]:
    return [f for f in findings(*texts, **named) if f.code == code]


def lines(f: Finding) -> list[tuple[int, int | None, str]]:
    return [(e.line, e.line_end, e.role) for e in f.evidence]


# VFIO-001


def grown(*after: int) -> tuple[Trace, list[tuple[int, int | None, str]], int]:
    """A growth from 1 to 2 vectors of which vector 0 was in use; the lines of the window, and the microsecond in which it ends."""
    t = Trace()
    t.open()
    t.enable(1, 16, made=16)
    t.interrupts(0)
    down = t.disable()
    up = t.enable(2, 16)
    ends = 200_000_000 + t.at
    t.interrupts(*after)
    return t, [(*down, "cause"), (*up, "cause")], ends


@pytest.mark.parametrize(
    ("later_us", "grade"),
    [
        (-1_000_001, None),
        (-1_000_000, "probable"),  # a console prints a line a little after its stamp
        (0, "probable"),
        (120_000_000, "probable"),
        (120_000_001, None),  # no driver waits so long
    ],
)
def test_a_time_out_in_the_same_log_follows_the_window_within_two_minutes(later_us: int, grade: str | None) -> None:
    t, window, ends = grown()
    told = of("VFIO-001", f"{t}{POLLED.format((ends + later_us) / 1e6)}")
    effect = (str(t).count("\n") + 1, None, "effect")
    assert [(f.grade, lines(f), f.values["queue"]) for f in told] == [(grade, [*window, effect], 0)] * (grade is not None)


@pytest.mark.parametrize(("later_us", "found"), [(-1, 0), (0, 1), (120_000_000, 1), (120_000_001, 0)])
def test_a_time_out_on_the_same_clock_follows_the_window_within_two_minutes(tmp_path: Path, later_us: int, found: int) -> None:
    t, _, ends = grown()
    (tmp_path / "host.txt").write_text(str(t))
    (tmp_path / "guest.txt").write_text(POLLED.format((ends + later_us) / 1e6))
    result = analyze([str(tmp_path / n) for n in ("host.txt", "guest.txt")], Options(clocks={str(tmp_path / "guest.txt"): 0}))
    assert [(f.grade, f.values["queue"]) for f in result.findings if f.code == "VFIO-001"] == [("probable", 0)] * found


@pytest.mark.parametrize(("late_ns", "found"), [(0, 1), (50, 0)])
def test_the_two_minutes_are_exact_where_stamps_have_nanoseconds(late_ns: int, found: int) -> None:
    t, _, ends = grown()
    text = re.sub(r" (\d+)\.(\d{6}):", lambda m: f" {(int(m[1] + m[2]) * 1000 - late_ns) / 1e9:.9f}:", str(t))
    assert len(of("VFIO-001", text + POLLED.format((ends + 120_000_000) / 1e6))) == found


# VFIO-002 of a device that no line names


def unnamed(devices: int, *handlers: str) -> str:
    """Each device enables two vectors, handlers run, and each device grows to four; no irq is recorded."""
    t = Trace()
    sessions = [(0xFF11000000001000 + n * 0x1000, f"qemu-{100 + n}") for n in range(devices)]
    for t.vdev, t.task in sessions:
        t.open()
        t.set_irqs(0x24, 2, 0, 2, 0)
    for i, bdf in enumerate(handlers):
        t.line(f"irq_handler_entry: irq={57 + 10 * i} name=vfio-msix[0]({bdf})", "<idle>-0")
    for t.vdev, t.task in sessions:
        t.disable()
        t.set_irqs(0x24, 2, 0, 4, 0)
    return str(t)


@pytest.mark.parametrize(
    ("devices", "handlers", "grades"),
    [
        (1, ("0000:41:00.1",), ["proven"]),
        (2, ("0000:41:00.1",), []),  # either may have interrupted
        (1, ("0000:41:00.1", "0000:42:00.0"), []),
        (1, (), ["probable"]),
        (2, (), ["probable", "probable"]),
    ],
)
def test_the_handler_of_one_device_shows_the_use_of_the_only_one(devices: int, handlers: tuple[str, ...], grades: list[str]) -> None:
    told = of("VFIO-002", unnamed(devices, *handlers))
    used = [0] if grades == ["proven"] else []
    assert [(f.grade, f.values["vectors_in_use"], f.values["old"], f.values["new"]) for f in told] == [(g, used, 2, 4) for g in grades]


@pytest.mark.parametrize(
    ("devices", "vectors", "runs", "told"),
    [
        (1, 1, 1, [("proven", [0])]),
        (1, 2, 1, [("proven", [])]),  # one of the two, which one is not recorded
        (1, 1, 0, [("probable", [])]),
        (2, 1, 1, []),  # a function graph does not say whose handler ran
    ],
)
def test_a_handler_in_a_function_graph_is_of_the_only_device(
    devices: int, vectors: int, runs: int, told: list[tuple[str, list[int]]]
) -> None:
    t = Trace()
    sessions = [(0xFF11000000001000 + n * 0x1000, f"qemu-{100 + n}") for n in range(devices)]
    for t.vdev, t.task in sessions:
        t.open()
        t.set_irqs(0x24, 2, 0, vectors, 0)
    for _ in range(runs):
        t.line("funcgraph_entry:        1.000 us   |  vfio_msihandler();", "<idle>-0")
    for t.vdev, t.task in sessions:
        t.disable()
        t.set_irqs(0x24, 2, 0, vectors + 2, 0)
    assert [(f.grade, f.values["vectors_in_use"]) for f in of("VFIO-002", str(t))] == told


# VFIO-004


@pytest.mark.parametrize(("start", "count"), [(2, 2), (5, 2), (0, 4)])
def test_a_vector_that_could_not_be_added_is_told_by_the_call_that_adds_it(start: int, count: int) -> None:
    t = Trace()
    t.open()
    t.enable(4, 16, made=16)
    first, last = t.add(4, -28)
    t.set_irqs(0x24, 2, start, count, 0)
    (f,) = of("VFIO-004", str(t))
    assert (f.grade, f.subject.label, f.values) == ("proven", f"pci_dev {t.dev:#x}", {"vectors": [4], "errno": -28})
    assert lines(f) == [(first + 1, last - 1, "cause"), (first, last, "effect")]


# VFIO-007


def failed_block(*devices: str) -> str:
    """Four vectors are enabled, handlers of some devices run, and wiring the four again fails; no line ties an irq to the call."""
    t = Trace()
    t.open()
    t.set_irqs(0x24, 2, 0, 4, 0)
    for i, bdf in enumerate(devices):
        t.line(f"irq_handler_entry: irq={57 + 10 * i} name=vfio-msix[0]({bdf})", "<idle>-0")
    t.set_irqs(0x24, 2, 0, 4, -9)
    return str(t)


@pytest.mark.parametrize(
    ("devices", "expected"), [(("0000:41:00.1",), "found"), (("0000:41:00.1", "0000:42:00.0"), "inconclusive"), ((), "inconclusive")]
)
def test_handlers_of_several_devices_do_not_tell_which_vectors_went_down(devices: tuple[str, ...], expected: str) -> None:
    text = failed_block(*devices)
    assert outcome(run(text), "VFIO-007").outcome == expected
    assert [(f.grade, f.values, lines(f)) for f in of("VFIO-007", text)] == [
        ("probable", {"vectors": [0], "failed": 3, "errno": -9}, [(6, None, "context"), (7, 8, "cause")])
    ] * (expected == "found")


@pytest.mark.parametrize(("mine", "vectors"), [((0,), [0]), ((0, 2), [0, 2]), ((), None)])
def test_of_a_named_device_its_own_handlers_count(mine: tuple[int, ...], vectors: list[int] | None) -> None:
    t = Trace()
    t.open()
    t.enable(4, 8, made=8)
    t.interrupts(*mine)
    t.line("irq_handler_entry: irq=90 name=vfio-msix[1](0000:42:00.0)", "<idle>-0")
    t.set_irqs(0x24, 2, 0, 4, -9)
    t.interrupts(3)  # names the device
    told = of("VFIO-007", str(t))
    assert [(f.grade, f.subject.bdf, f.values["vectors"]) for f in told] == [("probable", t.bdf, vectors)] * bool(vectors)


@pytest.mark.parametrize(("arguments", "expected"), [("start=0 count=4", "found"), ("count=4", "inconclusive")])
def test_of_a_block_whose_line_is_cut_it_is_open_what_went_down(arguments: str, expected: str) -> None:
    t = Trace()
    t.open()
    t.set_irqs(0x24, 2, 0, 4, 0)
    t.interrupts(0)
    t.entry("vfio_pci_set_irqs_ioctl", f"vdev={t.vdev:#x} flags=0x24 index=2 {arguments}")
    t.leave("vfio_pci_set_irqs_ioctl", -9)
    assert outcome(run(str(t)), "VFIO-007").outcome == expected


@pytest.mark.parametrize(("ret", "expected"), [(-9, "found"), (0, "clear"), (1, "clear")])
def test_a_block_that_is_wired_again_took_nothing_down(ret: int, expected: str) -> None:
    t = Trace()
    t.open()
    t.set_irqs(0x24, 2, 0, 4, 0)
    t.interrupts(0)
    t.set_irqs(0x24, 2, 0, 4, ret)
    assert outcome(run(str(t)), "VFIO-007").outcome == expected


# The vectors that a request wires


@pytest.mark.parametrize(
    ("fds", "failed", "wired"),
    [((20, 21, 22, 23), (), [0, 1, 2, 3]), ((20, -1, 0, -1), (), [0, 2]), ((20, 21, 22, 23), (3,), [0, 1, 2])],
)
def test_a_vector_is_wired_by_a_call_with_an_eventfd_that_succeeds(fds: tuple[int, ...], failed: tuple[int, ...], wired: list[int]) -> None:
    t = Trace()
    t.open()
    t.begin(0x24, 2, 0, 4)
    for vector, fd in enumerate(fds):
        t.entry("vfio_msi_set_vector_signal", f"vdev={t.vdev:#x} vector={vector} fd={fd} msix=1")
        if vector in wired:
            t.line(f"vector_alloc: irq={t.irq + vector} vector={40 + vector} reserved=1 ret=0")
        t.leave("vfio_msi_set_vector_signal", -9 if vector in failed else 0)
    t.leave("vfio_pci_set_irqs_ioctl", 0)
    t.disable()
    t.set_irqs(0x24, 2, 0, 5, 0)
    rows = tables(str(t))["windows"].select("old", "new", "wired", "irqs").rows()
    assert rows == [(4, 5, wired, [t.irq + v for v in wired])]


# VFIO-009


@pytest.mark.parametrize(
    ("other", "inside", "expected"),
    [
        (False, False, ("inconclusive", "runs of line interrupts are not recorded beside the window of line 18")),
        (True, False, ("clear", "no INTx inside a window")),
        (True, True, ("found", "1 finding")),
        (False, True, ("found", "1 finding")),
    ],
)
def test_a_recording_of_vfios_handlers_alone_clears_no_line(other: bool, inside: bool, expected: tuple[str, str]) -> None:
    t = Trace()
    t.open()
    t.enable(1, 16, made=16)
    t.interrupts(0)
    if other:
        t.line("irq_handler_entry: irq=1 name=i8042", "<idle>-0")
    t.disable()
    if inside:
        t.line(f"irq_handler_entry: irq=16 name=vfio-intx({t.bdf})", "<idle>-0")
    t.enable(4, 16)
    told = outcome(run(str(t)), "VFIO-009")
    assert (told.outcome, told.reason) == expected


def test_a_line_that_is_used_in_the_window_is_shown_five_times() -> None:
    t = Trace()
    t.open()
    t.enable(1, 16, made=16)
    t.interrupts(0)
    t.disable()
    ran = [t.line(f"irq_handler_entry: irq=16 name=vfio-intx({t.bdf})", "<idle>-0") for _ in range(6)]
    t.enable(4, 16)
    (f,) = of("VFIO-009", str(t))
    assert [line for line, _, role in lines(f) if role == "effect"] == ran[:5]
    assert f.values["interrupts"] == 5


# VFIO-002 of two recordings


@pytest.mark.parametrize(
    ("down_us", "up_us", "without_ns"),
    [(100, 100, 400_000), (0, 100, 500_000), (100, 0, 400_000), (-1, 100, None), (100, -1, None)],
)
def test_vector_events_of_another_recording_bound_the_window_of_the_calls(down_us: int, up_us: int, without_ns: int | None) -> None:
    """On one clock; the first event comes `down_us` after the first call, the last call returns `up_us` after the last event."""
    t = Trace()
    t.open()
    t.enable(1, 16, made=16)
    t.interrupts(0)

    def event(text: str, us: int) -> int:
        t.at += us - 100
        return t.line(text)

    t.begin(0x21, 2, 0, 0)
    inside = [event("vector_clear: irq=57 vector=40 cpu=1 prev_vector=0 prev_cpu=0", down_us)]
    inside += [event("vector_teardown: irq=57 is_managed=0 has_reserved=0", 200 - down_us)]
    t.leave("vfio_pci_set_irqs_ioctl", 0)
    t.begin(0x24, 2, 0, 2)
    inside += [event(f"vector_alloc: irq={irq} vector=40 reserved=1 ret=0", us) for irq, us in ((57, 100), (58, 0))]
    t.at += up_us - 100
    t.leave("vfio_pci_set_irqs_ioctl", 0)
    t.at += 200
    t.interrupts(0, 1)
    recorded = dict(enumerate(t.text, 3))
    calls = [text for n, text in recorded.items() if n not in inside]
    events = [text for n, text in recorded.items() if n in inside or ": vector_" in text or "irq_handler" in text]
    (f,) = of("VFIO-002", *("\n".join(["# tracer: nop", "#", *part]) + "\n" for part in (calls, events)))
    assert (f.values["basis"], f.values["longest_no_vectors_ns"]) == ("calls", without_ns)


# VFIO-006 and CFG-002


def grown_on(*releases: str, called: bool = False) -> list[tuple[str, dict[str, object], list[str]]]:
    """What VFIO-006 says of one growth beside logs of these releases; `called`: the host adds a vector in place afterwards."""
    t, _, _ = grown(0)
    if called:
        t.add(2, 0)
    told = of("VFIO-006", str(t), *(f"Linux host {r} #1 SMP x86_64 GNU/Linux\n" for r in releases))
    return [(str(f.grade), dict(f.values), [u.guard for u in f.unchecked]) for f in told]


def test_a_host_is_known_to_grow_in_place_by_a_call_and_likely_by_its_release() -> None:
    assumed = {"windows": 1, "gate": "Linux 6.12.0", "basis": "assumed"}
    observed = {"windows": 1, "gate": "pci_msix_alloc_irq_at was called", "basis": "observed"}
    assert grown_on("6.12.0") == [("probable", assumed, ["the device's MSI-X can grow in place"])]
    assert grown_on(called=True) == [("proven", observed, [])]
    assert grown_on("6.1.0", called=True) == [("proven", observed, [])]  # what is observed beats a release
    assert [grown_on(*releases) for releases in ((), ("6.1.0",), ("6.12.0", "6.1.0"))] == [[], [], []]


def few_vectors(left: int, *, index: int = 2, flags: int = 0x24, ret: int = 0, alloc: int = 0) -> str:
    t = Trace()
    t.open()
    t.begin(flags, index, 0, 1)
    matrix = f"bit=40 cpu=1 online=1 avl={left} alloc=9 managed=0 online_maps=1 global_avl={left}, global_rsvd=2, total_alloc=9"
    t.line(f"irq_matrix_alloc: {matrix}")
    t.line(f"vector_alloc: irq=60 vector=40 reserved=1 ret={alloc}")
    t.leave("vfio_pci_set_irqs_ioctl", ret)
    return str(t)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (few_vectors(15), 1),
        (few_vectors(16), 0),
        (few_vectors(15, index=1), 1),
        (few_vectors(15, index=0), 0),  # a line takes no vector of the guest's
        (few_vectors(15, index=3), 0),
        (few_vectors(15, flags=0x21), 0),  # nothing is enabled
        (few_vectors(15, ret=-22), 0),
        (few_vectors(15, alloc=-28), 0),  # the shortage is acute: VEC-001
    ],
)
def test_few_vectors_left_are_told_where_a_guest_takes_them(text: str, found: int) -> None:
    told = of("CFG-002", text)
    assert [(f.grade, f.subject.label, f.values, lines(f)) for f in told] == [
        (None, "host", {"global_avl": 15}, [(5, None, "context")])
    ] * found
