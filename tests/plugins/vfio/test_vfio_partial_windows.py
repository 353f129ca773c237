"""Windows of recordings that began late, or that show only some of the calls: what is found, and of what nothing is said."""

import pytest
from kprobes import Trace
from tracekit_vfio.models import windows

from tracekit.testing import findings, outcome, run, tables

SET, TRIGGER, WIRE = "vfio_pci_set_irqs_ioctl", "vfio_pci_set_msi_trigger", "vfio_msi_set_vector_signal"
BDF = "0000:41:00.1"
CODES = ("VFIO-001", "VFIO-002", "VFIO-003", "VFIO-006")


def told(text: str, *codes: str) -> list[tuple[str, str, str]]:
    """Code, grade and summary without the subject's name."""
    return [(f.code, f.grade, f.summary.replace(f.subject.label, "X")) for f in findings(str(text)) if f.code in (codes or CODES)]


def verdicts(text: str, *codes: str) -> dict[str, str]:
    result = run(str(text))
    return {code: outcome(result, code).outcome for code in codes or CODES}


def down(t: Trace, vectors: int, ret: int | None = 0) -> tuple[int, int]:
    """A disable inside of which vectors lose their eventfds."""
    first = last = t.begin(0x21, 2, 0, 0)
    for v in range(vectors):
        t.entry(WIRE, f"vdev={t.vdev:#x} vector={v} fd=-1 msix=1")
        last = t.line(f"out_vfio_msi_: (vfio_msi_disable+0x71/0xe0 <- {WIRE}) rc=0")
    return first, last if ret is None else t.leave(SET, ret)


# The recording began after the first enable.


@pytest.mark.parametrize("old", [1, 4, 7])
def test_the_vectors_that_a_disable_takes_down_were_enabled_before(old: int) -> None:
    t = Trace()
    used = t.interrupts(old - 1, old - 1)
    off, on = down(t, old), t.enable(8, 16)
    (f,) = (f for f in findings(str(t)) if f.code == "VFIO-002")
    assert (f.grade, f.values["old"], f.values["new"], f.values["vectors_in_use"]) == ("probable", old, 8, [old - 1])
    assert [(e.line, e.line_end) for e in f.evidence] == [off, on, tuple(used)]
    assert [u.guard for u in f.unchecked] == [
        "an interrupt was lost in a window",
        "no more vectors had been enabled than those that the disable freed",
    ]


@pytest.mark.parametrize("old", [8, 9])
def test_as_many_or_fewer_are_no_growth_however_late_the_recording_began(old: int) -> None:
    t = Trace()
    t.interrupts(0)
    down(t, old)
    t.enable(8, 16)
    assert (told(t), set(verdicts(t, "VFIO-002", "VFIO-006", "VFIO-009").values())) == ([], {"clear"})


@pytest.mark.parametrize(("recorded", "verdict"), [(False, "inconclusive"), (True, "clear")])
def test_use_before_the_recording_is_not_known_where_handlers_show_none(recorded: bool, verdict: str) -> None:
    t = Trace()
    if recorded:
        t.open()
        t.enable(4, 16)
    t.line("irq_handler_entry: irq=11 name=timer", "<idle>-0")
    down(t, 4)
    t.enable(8, 16)
    assert told(t) == []
    assert verdicts(t, "VFIO-001", "VFIO-002", "VFIO-006") == dict.fromkeys(("VFIO-001", "VFIO-002", "VFIO-006"), verdict)


@pytest.mark.parametrize(
    ("tasks", "grades"),
    [
        (["qemu-kvm-811"], ["probable"]),  # set_event_pid: interrupts of the idle task are not recorded
        (["qemu-kvm-811", "<idle>-0"], []),
        (["<idle>-0"], []),
    ],
)
@pytest.mark.parametrize("few", [True, False])
def test_handlers_of_the_client_alone_show_no_vector_idle(
    tasks: list[str], grades: list[str], few: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "FEW", 1 << 30 if few else -1)
    t = Trace()
    t.open()
    t.enable(1, 16)
    for task in tasks:
        t.line("irq_handler_entry: irq=11 name=timer", task)
    t.disable()
    t.enable(2, 16)
    assert [grade for _, grade, _ in told(t, "VFIO-002")] == grades
    assert verdicts(t, "VFIO-002") == {"VFIO-002": "found" if grades else "clear"}


@pytest.mark.parametrize(("handlers", "least"), [((3, 1), ", at least 4"), ((), "")])
def test_nothing_is_clear_where_it_is_not_known_how_many_there_were(handlers: tuple[int, ...], least: str) -> None:
    t = Trace()
    t.interrupts(*handlers)
    off, _ = t.disable()
    t.set_irqs(0x24, 2, 0, 8, 0)
    assert told(t) == []
    assert verdicts(t, *CODES, "VFIO-009") == {**dict.fromkeys((*CODES, "VFIO-009"), "inconclusive"), "VFIO-003": "clear"}
    where = f"vectors were disabled and enabled (line {off} of "
    reason = outcome(run(str(t)), "VFIO-002").reason
    assert reason.startswith(where)
    assert reason.endswith(f"); how many they were before the 8 that followed is not recorded{least}")


@pytest.mark.parametrize(
    "before",
    [
        lambda t: t.disable(-22),  # nothing was enabled: QEMU asks before each first enable
        lambda t: t.set_irqs(0x21, 0, 0, 0, 0),  # INTx
        lambda t: (t.open(), t.disable(-22)),
        lambda t: (t.disable(), t.close(), t.open()),
        lambda t: (t.disable(), t.set_irqs(0x24, 0, 0, 1, 0)),  # INTx came between: the guest's own disable
    ],
)
def test_ordinary_first_enables_stay_clear(before) -> None:
    t = Trace()
    before(t)
    t.enable(8, 16, made=16)
    assert (told(t), verdicts(t, "VFIO-002", "VFIO-003")) == ([], {"VFIO-002": "clear", "VFIO-003": "clear"})


def test_an_enable_that_fails_after_what_was_enabled_before_the_recording() -> None:
    t = Trace()
    off = t.disable()
    on = t.set_irqs(0x24, 2, 0, 8, -34)
    (f,) = (f for f in findings(str(t)) if f.code == "VFIO-003")
    assert f.summary.endswith(" had vectors enabled, all were disabled to enable 8, and that failed with -34")
    assert (f.grade, f.values["last_working"], [(e.line, e.line_end) for e in f.evidence]) == ("proven", None, [off, on])


# Only entries are recorded, or only returns.


def entries(*, apart: bool = False, wired: int = 4) -> Trace:
    t = Trace()
    for count, task, fds in ((1, t.task, 1), (0, t.task, 1), (4, "qemu-kvm-999" if apart else t.task, wired)):
        t.task = task
        t.begin(0x24 if count else 0x21, 2, 0, count)
        for v in range(fds):
            t.entry(WIRE, f"vdev={t.vdev:#x} vector={v} fd={20 + v if count else -1} msix=1")
            if count:
                t.line(f"vector_alloc: irq={t.irq + v} vector={40 + v} reserved=1 ret=0")
        if count == 1:
            t.interrupts(0)
    t.interrupts(3)
    return t


def test_entries_alone_show_a_growth_whose_results_are_unknown() -> None:
    (f,) = (f for f in findings(str(entries())) if f.code == "VFIO-002")
    assert (f.grade, f.values["old"], f.values["new"], f.values["vectors_in_use"], f.values["longest_ns"]) == ("probable", 1, 4, [0], None)
    assert [u.guard for u in f.unchecked] == ["an interrupt was lost in a window", "the SET_IRQS calls succeeded"]


@pytest.mark.parametrize("t", [entries(apart=True), entries(wired=0)], ids=["another task", "nothing wired"])
def test_entries_that_may_be_of_two_sessions_or_failed_show_none(t: Trace) -> None:
    assert (told(t), verdicts(t, "VFIO-002")) == ([], {"VFIO-002": "inconclusive"})


@pytest.mark.parametrize(("vector", "grades"), [(0, []), (3, ["probable"])])
def test_a_block_that_loses_a_vector_again_has_failed(vector: int, grades: list[str]) -> None:
    t = entries(wired=3)
    t.text.pop()  # the handler
    t.entry(WIRE, f"vdev={t.vdev:#x} vector={vector} fd=-1 msix=1")  # QEMU gives vectors that the guest has not unmasked no eventfd
    assert [grade for _, grade, _ in told(t)] == grades


def vector_events(*, returns: bool, between: str = "") -> Trace:
    """A growth 1 -> 4 in which vectors 0 and 3 interrupt."""
    t = Trace()

    def leave() -> None:
        if returns:
            t.leave(SET, 0)

    def alloc(count: int) -> None:
        for v in range(count):
            t.line(f"vector_alloc: irq={t.irq + v} vector={40 + v} reserved=1 ret=0")
        leave()

    alloc(1)
    t.interrupts(0)
    t.line(f"vector_clear: irq={t.irq} vector=40 cpu=1 prev_vector=0 prev_cpu=0")
    t.line(f"vector_teardown: irq={t.irq} is_managed=0 has_reserved=1")
    leave()
    if between:
        t.entry(between, f"vdev={t.vdev:#x}")
    alloc(4)
    t.interrupts(0, 3)
    return t


@pytest.mark.parametrize("returns", [False, True])
def test_returns_beside_vector_events_take_no_finding_away(returns: bool) -> None:
    summary = "1 window without interrupts while the vectors of X grew 1 -> 4, vector 0 in use, longest at most"
    ((code, grade, what),) = told(vector_events(returns=returns), "VFIO-002")
    assert (code, grade, what[: len(summary)]) == ("VFIO-002", "probable", summary)  # vector 3 is the fourth


def test_the_guests_own_disable_is_no_growth_where_an_earlier_request_is_cut() -> None:
    t = Trace()
    t.leave(SET, 0)  # the recording begins inside
    t.enable(1, 16)
    t.interrupts(0)
    t.begin(0x21, 2, 0, 0)
    t.line(f"vector_clear: irq={t.irq} vector=40 cpu=1 prev_vector=0 prev_cpu=0")
    t.line(f"vector_teardown: irq={t.irq} is_managed=0 has_reserved=1")
    t.leave(SET, 0)
    t.set_irqs(0x24, 0, 0, 1, 0)
    t.set_irqs(0x21, 0, 0, 0, 0)
    t.enable(4, 16)
    t.interrupts(0, 3)
    assert told(t) == []


@pytest.mark.parametrize("between", ["vfio_pci_core_close_device", "vfio_pci_core_enable"])
def test_vectors_of_two_sessions_are_no_growth(between: str) -> None:
    assert told(vector_events(returns=True, between=between), "VFIO-002") == []


# Only the function is probed that no close without vectors reaches.


def triggers(ret: int = 0, *, pause_ms: int = 0, task: str | None = None, more: str = "") -> Trace:
    t = Trace()

    def trigger(count: int, ret: int) -> None:
        t.entry(TRIGGER, f"vdev={t.vdev:#x} index=2 start=0 count={count} flags={0x24 if count else 0x21:#x}")
        t.leave(TRIGGER, ret)

    if more:
        t.entry(more, f"vdev={t.vdev:#x}")
    trigger(4, 0)
    t.interrupts(0)
    trigger(0, 0)
    t.wait(pause_ms)
    t.task = task or t.task
    trigger(8, ret)
    return t


@pytest.mark.parametrize(("ret", "code"), [(0, "VFIO-002"), (-34, "VFIO-003")])
def test_triggers_of_one_task_at_once_are_a_possible_fault(ret: int, code: str) -> None:
    (f,) = (f for f in findings(str(triggers(ret, pause_ms=900))) if f.code in CODES)
    assert (f.code, f.grade, f.unchecked[-1].guard) == (code, "possible", "the device was not closed between")


@pytest.mark.parametrize("ret", [0, -34])
@pytest.mark.parametrize("apart", [{"pause_ms": 1100}, {"task": "qemu-kvm-999"}], ids=["later", "another task"])
def test_triggers_of_two_sessions_are_none(ret: int, apart: dict) -> None:
    t = triggers(ret, **apart)
    assert told(t) == []
    assert verdicts(t) == {**dict.fromkeys(CODES, "inconclusive"), "VFIO-003": "inconclusive" if ret else "clear"}


def test_where_an_open_would_show_the_triggers_are_of_one_session() -> None:
    assert [(code, grade) for code, grade, _ in told(triggers(pause_ms=1100, more="vfio_pci_core_enable"))] == [("VFIO-002", "proven")]


# Requests without a count.


def uncounted(*, inside: bool) -> Trace:
    t = Trace()
    t.open()
    t.enable(2, 16)
    t.entry(SET, f"vdev={t.vdev:#x} flags=0x21 index=2")
    t.leave(SET, 0)
    t.entry(SET, f"vdev={t.vdev:#x} flags=0x24 index=2")
    if inside:
        t.entry("__pci_enable_msix_range", f"dev={t.dev:#x} minvec=1 maxvec=6")
        t.leave("__pci_enable_msix_range", -28)
    t.leave(SET, -28)
    return t


@pytest.mark.parametrize(("inside", "grade", "asked"), [(True, "proven", 6), (False, "probable", None)])
def test_a_failed_enable_without_a_count(inside: bool, grade: str, asked: int | None) -> None:
    (f,) = (f for f in findings(str(uncounted(inside=inside))) if f.code == "VFIO-003")
    what = f"had 2 vectors enabled, all were disabled to enable {asked or 'others'}, and that failed with -28"
    assert (f.grade, f.values["asked"], f.summary.partition(" had ")[2]) == (grade, asked, what.partition("had ")[2])


def test_an_enable_of_an_unknown_number_is_not_taken_for_none() -> None:
    t = Trace()
    t.open()
    t.enable(2, 16)
    t.disable()
    t.entry(SET, f"vdev={t.vdev:#x} flags=0x24 index=2")
    t.leave(SET, 0)
    assert (told(t), verdicts(t, "VFIO-002")) == ([], {"VFIO-002": "inconclusive"})
    assert tables(str(t))["windows"].select("kind", "old", "new").rows() == [("unknown", 2, None)]


def test_a_refused_range_is_told_as_far_as_it_is_recorded() -> None:
    t = Trace()
    t.open()
    t.enable(2, 16)
    t.entry(SET, f"vdev={t.vdev:#x} flags=0x24 index=2 count=3")
    t.leave(SET, -22)
    ((_, _, what),) = told(t, "VFIO-005")
    assert what == "SET_IRQS of X was refused with -22: 2 enabled, count 3 asked in place"


# How long it lasted.


@pytest.mark.parametrize(
    ("stamp", "longest", "bound", "inner"),
    [
        ("Jul 22 04:26:{0:02.0f} host kernel:", ", longest at most 1000.000 ms", 1_000_000_000, None),
        ("2026-07-22T04:26:{0:06.3f}+00:00 host kernel:", ", longest at most 304.000 ms", 304_000_000, None),
        ("2026-07-22T04:26:{0:09.6f}+00:00 host kernel:", ", longest at most 303.000 ms (no handler 302.8 ms)", 303_000_000, 302_800_000),
    ],
    ids=["seconds", "milliseconds", "microseconds"],
)
def test_a_bound_counts_the_step_of_coarse_stamps(stamp: str, longest: str, bound: int, inner: int | None) -> None:
    at = [10.0, 10.0002, 10.0004, 10.1, 10.2, 10.2001, 10.2003, 10.2004, 10.5, 10.5001, 10.5029, 10.503]
    calls = [
        (f"in: ({SET}+0x4/0x320) vdev=0xff1100010a5b2000 flags=0x24 index=2 start=0 count=1"),
        (f"wire: ({WIRE}+0x4/0x320) vdev=0xff1100010a5b2000 vector=0 fd=7 msix=1"),
        (f"out: (vfio_pci_core_ioctl+0x61/0x90 <- {SET}) rc=0"),
        (f"irq_handler_entry: irq=57 name=vfio-msix[0]({BDF})"),
        (f"in: ({SET}+0x4/0x320) vdev=0xff1100010a5b2000 flags=0x21 index=2 start=0 count=0"),
        (f"wire: ({WIRE}+0x4/0x320) vdev=0xff1100010a5b2000 vector=0 fd=-1 msix=1"),
        (f"wired: (vfio_msi_disable+0x61/0x90 <- {WIRE}) rc=0"),
        (f"out: (vfio_pci_core_ioctl+0x61/0x90 <- {SET}) rc=0"),
        (f"in: ({SET}+0x4/0x320) vdev=0xff1100010a5b2000 flags=0x24 index=2 start=0 count=4"),
        (f"wire: ({WIRE}+0x4/0x320) vdev=0xff1100010a5b2000 vector=0 fd=7 msix=1"),
        (f"wired: (vfio_msi_set_block+0x61/0x90 <- {WIRE}) rc=0"),
        (f"out: (vfio_pci_core_ioctl+0x61/0x90 <- {SET}) rc=0"),
    ]
    text = "".join(f"{stamp.format(int(t) if ':02.0f' in stamp else t)} {call}\n" for t, call in zip(at, calls, strict=True))
    (f,) = (f for f in findings(text) if f.code == "VFIO-002")
    assert f.summary.partition(" in use")[2] == longest
    assert (f.values["longest_ns"], f.values["longest_no_handler_ns"]) == (bound, inner)


def test_a_window_whose_start_is_not_recorded_lasted_at_least_from_the_return_of_the_disable() -> None:
    t = Trace()

    def ended(flags: int, count: int) -> None:
        t.line(f"fx: (vfio_pci_core_ioctl+0x61/0x90 <- {SET}) vdev={t.vdev:#x} flags={flags} index=2 start=0 count={count} ret=0")

    ended(0x24, 1)
    t.interrupts(0)
    ended(0x21, 0)
    t.wait(300)
    ended(0x24, 4)
    (f,) = (f for f in findings(str(t)) if f.code == "VFIO-002")
    assert f.summary.endswith(" grew 1 -> 4, vector 0 in use, longest at least 300.100 ms")
    assert (f.grade, f.values["longest_ns"]) == ("proven", None)
