"""The guards of what findings tell: how many lines are shown, which row is the first, and when a remark is made, each from both sides."""

from pathlib import Path

import pytest
from kprobes import Trace

from tracekit.findings import Finding
from tracekit.pipeline import Options, analyze
from tracekit.testing import findings, outcome, run

A = "0000:01:00.0"
POLLED = "[{:13.6f}] nvme nvme0: I/O 8 QID 0 timeout, completion polled\n"
QEMU = "qemu-system-x86_64: "


def of(code: str, *texts: str, **named: str) -> list[Finding]:
    return [f for f in findings(*texts, **named) if f.code == code]


def lines(f: Finding, *roles: str) -> list[int]:
    return [e.line for e in f.evidence if not roles or e.role in roles]


def event(text: str) -> str:
    return f"4211@1795220106.001000:{text}\n"


def grown(index: int = 2) -> Trace:
    """A growth from 1 to 2 vectors of which vector 0 was in use."""
    t = Trace()
    t.open()
    t.enable(1, 16, made=16 if index == 2 else None, index=index)
    t.line(f"irq_handler_entry: irq={t.irq} name=vfio-msi{'x' * (index == 2)}[0]({t.bdf})", "<idle>-0")
    t.disable(index=index)
    t.enable(2, 16, index=index)
    return t


# VFIO-002


@pytest.mark.parametrize(("us", "told"), [(99, "0.099 ms"), (100, "0.1 ms"), (101, "0.1 ms")])
def test_from_a_tenth_of_a_millisecond_on_one_digit_is_enough(us: int, told: str) -> None:
    t = Trace()
    t.open()
    t.enable(1, 16, made=16)
    t.interrupts(0)
    t.begin(0x21, 2, 0, 0)
    t.entry("pci_free_irq_vectors", f"dev={t.dev:#x}")
    freed = t.at
    t.at = freed - 100
    t.leave("vfio_pci_set_irqs_ioctl", 0)
    t.at = freed - 100
    t.begin(0x24, 2, 0, 2)
    t.at = freed - 100
    t.entry("__pci_enable_msix_range", f"dev={t.dev:#x} minvec=1 maxvec=2")
    t.at = freed + us - 100
    t.leave("__pci_enable_msix_range", 2)
    t.leave("vfio_pci_set_irqs_ioctl", 0)
    (f,) = of("VFIO-002", str(t))
    assert f.summary.endswith(f"(no vectors {told})")
    assert f.values["longest_no_vectors_ns"] == us * 1000


def graphed(vectors: int) -> str:
    """A growth beside a function graph in which a handler ran, which does not say of which vector."""
    t = Trace()
    t.open()
    t.set_irqs(0x24, 2, 0, vectors, 0)
    t.line("funcgraph_entry:        1.000 us   |  vfio_msihandler();", "<idle>-0")
    t.disable()
    t.set_irqs(0x24, 2, 0, vectors + 2, 0)
    return str(t)


@pytest.mark.parametrize(("vectors", "using"), [(1, "vector 0 in use"), (2, "a vector in use")])
def test_a_vector_whose_number_is_not_recorded_was_in_use(vectors: int, using: str) -> None:
    (f,) = of("VFIO-002", graphed(vectors))
    assert f", {using}, longest at most" in f.summary


@pytest.mark.parametrize(
    ("inside", "other", "told"),
    [
        (True, 0, [("proven", "0000:41:00.1", 1)]),  # the same two pointers: the same device
        (True, 0x1000, [("proven", "0000:41:00.1", 1), ("probable", "pci_dev 0xff11000104ac9000", 1)]),
        (False, 0, [("proven", "0000:41:00.1", 1), ("probable", "vdev 0xff1100010a5b2000", 1)]),  # memory of a vdev is soon another's
    ],
)
def test_a_recording_that_names_the_function_names_it_for_another_one_of_the_same_pointers(
    inside: bool, other: int, told: list[tuple[str, str, int]]
) -> None:
    """Two recordings of one growth; only the first has handlers."""
    texts = []
    for n in range(2):
        t = Trace(dev=0xFF11000104AC8000 + n * other)
        t.open()
        for count in (1, 2):
            if inside:
                t.enable(count, 16)
            else:
                t.set_irqs(0x24, 2, 0, count, 0)
            if n == 0:
                t.interrupts(0)
            else:
                t.wait(0)
                t.at += 100
            if count == 1:
                t.disable()
        texts.append(str(t))
    assert [(f.grade, f.subject.label, f.values["windows"]) for f in of("VFIO-002", *texts)] == told


def qemu(*vectors: int, bdf: str = "0000:41:00.1") -> str:
    """QEMU's trace of a device whose vectors are unmasked one after the other, each confirmed by the next."""
    begin = event(f"vfio_msix_early_setup {bdf} PCI MSI-X CAP @0xb0, BAR 4, offset 0x0, entries 16") + event(f"vfio_msix_enable  ({bdf})")
    return begin + "".join(event(f"vfio_msix_vector_do_use  ({bdf}) vector {v} used") for v in (*vectors, vectors[-1]))


def idle(*, handler: str | None, steps: tuple[int, int] = (1, 2), used: bool = False) -> str:
    """A host's recording of a growth; `handler`: one that runs after it, of a function."""
    t = Trace()
    t.open()
    t.set_irqs(0x24, 2, 0, steps[0], 0)
    if used:
        t.interrupts(0)
    t.disable()
    t.set_irqs(0x24, 2, 0, steps[1], 0)
    if handler:
        t.line(f"irq_handler_entry: irq=57 name=vfio-msix[0]({handler})", "<idle>-0")
    return str(t)


@pytest.mark.parametrize(
    ("host", "bases"),
    [
        (None, ["qemu"]),
        (idle(handler="0000:41:00.1"), []),  # the handlers show that no vector was in use
        (idle(handler="0000:41:00.1", used=True), ["calls"]),
        (idle(handler=None), ["calls", "qemu"]),  # nothing shows it
        (idle(handler="0000:41:00.1", steps=(2, 3)), ["qemu"]),
        (idle(handler="0000:41:00.1", steps=(1, 3)), ["qemu"]),
        (idle(handler="0000:42:00.0"), ["qemu"]),  # another function
        (idle(handler="i8042"), []),  # a recording of all handlers, of a function without a name
    ],
)
def test_a_growth_of_qemus_trace_is_none_where_the_host_shows_that_no_vector_was_in_use(host: str | None, bases: list[str]) -> None:
    told = of("VFIO-002", qemu(0, 1), *([host] if host else []))
    assert sorted(str(f.values["basis"]) for f in told) == bases
    assert all(w["inferred"] == (f.values["basis"] == "qemu") for f in told for w in f.windows)


# VFIO-001


def nameless(bdf: str = "0000:41:00.1") -> Trace:
    """A growth of the only device; its handler has a name, and no line ties that to the calls."""
    t = Trace()
    t.open()
    t.set_irqs(0x24, 2, 0, 2, 0)
    t.line(f"irq_handler_entry: irq=57 name=vfio-msix[0]({bdf})", "<idle>-0")
    t.disable()
    t.set_irqs(0x24, 2, 0, 4, 0)
    return t


@pytest.mark.parametrize(("later", "grade"), [((1,), "proven"), ((0, 1), "proven"), ((), "probable")])
def test_a_vector_is_silent_where_others_ran_after_the_time_out(later: tuple[int, ...], grade: str) -> None:
    t = grown()
    text = str(t) + POLLED.format(200 + (t.at + 50) / 1e6)
    t.text.clear()
    t.interrupts(*later)
    (f,) = of("VFIO-001", text + "".join(f"{line}\n" for line in t.text))
    assert (f.grade, f.values["queue"]) == (grade, 0)


def test_no_silence_is_shown_by_handlers_without_a_name_or_of_a_device_without_one() -> None:
    later = "  <idle>-0 [001] .....   209.000000: irq_handler_entry: irq=90 name=vfio-msix[1](0000:42:00.0)\n"
    for text, after in ((graphed(1), ""), (str(nameless()), later)):
        (f,) = of("VFIO-001", text + POLLED.format(205.0) + after)
        assert (f.grade, f.values["queue"]) == ("probable", 0)


@pytest.mark.parametrize(("before_us", "grade"), [(0, "probable"), (-1, "proven")])
def test_a_run_of_the_handler_at_the_very_time_of_the_time_out_is_no_silence(tmp_path: Path, before_us: int, grade: str) -> None:
    t = grown()
    t.wait(1000)
    polled = t.at + 100 + before_us
    t.interrupts(0, 1)
    (tmp_path / "host.txt").write_text(str(t))
    (tmp_path / "guest.txt").write_text(POLLED.format(200 + polled / 1e6))
    result = analyze([str(tmp_path / n) for n in ("host.txt", "guest.txt")], Options(clocks={str(tmp_path / "guest.txt"): 0}))
    assert [f.grade for f in result.findings if f.code == "VFIO-001"] == [grade]


def test_the_first_of_two_time_outs_is_told() -> None:
    t = grown()
    n = str(t).count("\n")
    (f,) = of("VFIO-001", str(t) + POLLED.format(205.0) + POLLED.format(206.0))
    assert lines(f, "effect") == [n + 1]


@pytest.mark.parametrize(("after", "found"), [(True, 1), (False, 0)])
def test_a_time_out_without_a_stamp_follows_by_its_line(after: bool, found: int) -> None:
    bare = POLLED.format(0).partition("] ")[2]
    text = str(grown())
    assert len(of("VFIO-001", text + bare if after else bare + text)) == found


@pytest.mark.parametrize(("recovers", "found"), [(True, 1), (False, 0)])
def test_a_time_out_after_a_failed_enable_is_of_that_unless_a_later_one_works(recovers: bool, found: int) -> None:
    t = grown()
    t.interrupts(0, 1)
    t.disable()
    t.set_irqs(0x24, 2, 0, 4, -28)
    if recovers:
        t.enable(2, 16)
    assert len(of("VFIO-001", str(t) + POLLED.format(205.0))) == found


FAULT = "DMAR: [INTR-REMAP] Request device [{}] fault index 0x31 [fault reason {}] Present field in the IRTE entry is clear"


@pytest.mark.parametrize(
    ("device", "reason", "found"),
    [("41:00.1", "0x22", 1), ("41:00.1", "34", 1), ("41:00.1", "0x21", 0), ("41:00.1", "33", 0), ("41:00.2", "0x22", 0)],
)
def test_the_reason_of_a_blocked_message_is_that_the_entry_is_not_present(device: str, reason: str, found: int) -> None:
    """`fault reason 34` until Linux 5.12, `0x22` from then on."""
    t = Trace()
    t.open()
    t.enable(1, 16, made=16)
    t.interrupts(0)
    t.disable()
    t.line(FAULT.format(device, reason))
    t.enable(2, 16)
    assert [f.values["blocked"] for f in of("VFIO-001", str(t))] == [1] * found


@pytest.mark.parametrize(("us", "edge", "found"), [(0, "down", 0), (1, "down", 1), (-1, "up", 1), (0, "up", 0)])
def test_a_blocked_message_of_another_log_lies_between_the_two_calls(tmp_path: Path, us: int, edge: str, found: int) -> None:
    t = Trace()
    t.open()
    t.enable(1, 16, made=16)
    t.interrupts(0)
    edges = {"down": t.at + 100}
    t.disable()
    t.enable(2, 16)
    edges["up"] = t.at
    (tmp_path / "host.txt").write_text(str(t))
    (tmp_path / "dmesg.txt").write_text(f"[{200 + (edges[edge] + us) / 1e6:12.6f}] {FAULT.format('41:00.1', '0x22')}\n")
    result = analyze([str(tmp_path / n) for n in ("host.txt", "dmesg.txt")], Options(clocks={str(tmp_path / "dmesg.txt"): 0}))
    assert len([f for f in result.findings if f.code == "VFIO-001"]) == found


# VFIO-003


@pytest.mark.parametrize("count", [1, 2, 3])
def test_two_messages_of_a_client_stand_beside_the_call_that_failed(count: int) -> None:
    t = Trace()
    t.open()
    t.enable(1, 16, made=16)
    t.interrupts(0)
    t.disable()
    t.set_irqs(0x24, 2, 0, 4, -28)
    (f,) = of("VFIO-003", str(t), f"{QEMU}vfio: failed to enable vectors, -1\n" * count)
    assert [e.line for e in f.evidence if e.source.endswith("b.log")] == [1, 2, 3][: min(count, 2)]


def test_a_device_whose_enable_failed_twice_has_one_finding() -> None:
    t = Trace()
    for _ in range(2):
        t.open()
        t.enable(1, 16, made=16)
        t.disable()
        t.set_irqs(0x24, 2, 0, 4, -28)
        t.close()
    assert [f.values["errno"] for f in of("VFIO-003", str(t))] == [-28]


def test_a_message_beside_two_growths_that_nothing_confirms_is_of_the_last() -> None:
    begin = "".join(
        event(f"vfio_msix_early_setup {n} PCI MSI-X CAP @0xb0, BAR 4, offset 0x0, entries 16") + event(f"vfio_msix_enable  ({n})")
        for n in (A, "0000:02:00.0")
    )
    used = "".join(event(f"vfio_msix_vector_do_use  ({n}) vector {v} used") for n in (A, "0000:02:00.0") for v in (0, 1))
    (f,) = of("VFIO-003", begin + used, f"{QEMU}vfio: failed to enable vectors, -1\n")
    assert (f.grade, f.subject.bdf, f.values["asked"], f.values["last_working"]) == ("probable", "0000:02:00.0", 2, 1)


# VFIO-004


@pytest.mark.parametrize(("flags", "start", "count", "found"), [(0x21, 1, 1, [[4]]), (0x21, 0, 0, [])])
def test_a_vector_that_is_triggered_by_software_takes_no_others_down(flags: int, start: int, count: int, found: list[list[int]]) -> None:
    """DATA_NONE with a count fires vectors; with none it disables the index (include/uapi/linux/vfio.h)."""
    t = Trace()
    t.open()
    t.set_irqs(0x24, 2, 0, 4, 0)
    t.set_irqs(flags, 2, start, count, 0)
    t.set_irqs(0x24, 2, 4, 1, -28)
    assert [f.values["vectors"] for f in of("VFIO-004", str(t))] == found


@pytest.mark.parametrize(("ret", "found"), [(0, 0), (-28, 1)])
def test_the_index_that_the_kernel_returns_is_no_error(ret: int, found: int) -> None:
    """pci_msix_alloc_irq_at() returns the index, which is 0 of vector 0."""
    t = Trace()
    t.open()
    t.set_irqs(0x24, 2, 1, 3, 0)
    t.add(0, ret)
    assert len(of("VFIO-004", str(t))) == found


# VFIO-005


@pytest.mark.parametrize("count", [5, 6, 7])
def test_six_requests_that_a_server_refused_are_shown(count: int) -> None:
    refused = "[2021-03-04 10:41:33.02{}] vfio_user.c:1328:vfio_user_log: *ERROR*: /var/run/dev/8: invalid IRQ type {}\n"
    (f,) = of("VFIO-005", "".join(refused.format(n, 1 if n == 0 else 2) for n in range(count)))
    assert (f.grade, f.values, lines(f, "cause")) == ("probable", {"index": 1, "count": count}, list(range(1, min(count, 6) + 1)))


# VFIO-006


@pytest.mark.parametrize(("index", "found"), [(2, 1), (1, 0)])
def test_plain_msi_cannot_grow_in_place_anywhere(index: int, found: int) -> None:
    assert len(of("VFIO-006", str(grown(index)), "Linux host 6.12.0 #1 SMP x86_64 GNU/Linux\n")) == found


# VFIO-007


@pytest.mark.parametrize(
    ("bad", "beyond"),
    [(3, False), (4, True), (5, True)],
)
def test_a_vector_beyond_those_enabled_is_a_matter_of_range(bad: int, beyond: bool) -> None:
    t = Trace()
    t.open()
    t.enable(4, 8, made=8)
    t.interrupts(0)
    t.begin(0x24, 2, 0, 6)
    t.entry("vfio_msi_set_vector_signal", f"vdev={t.vdev:#x} vector={bad} fd=30 msix=1")
    t.leave("vfio_msi_set_vector_signal", -22)
    for vector in range(bad):
        t.entry("vfio_msi_set_vector_signal", f"vdev={t.vdev:#x} vector={vector} fd=-1 msix=1")
        t.leave("vfio_msi_set_vector_signal", 0)
    t.leave("vfio_pci_set_irqs_ioctl", -22)
    (f,) = of("VFIO-007", str(t))
    assert (f.values, f.explained_by, "NORESIZE" in f.advice) == (
        {"vectors": [0], "failed": bad, "errno": -22},
        "VFIO-005" if beyond else None,
        beyond,
    )


def test_of_a_block_whose_line_is_cut_the_vector_that_failed_tells_nothing() -> None:
    t = Trace()
    t.open()
    t.enable(4, 8, made=8)
    t.interrupts(0)
    t.entry("vfio_pci_set_irqs_ioctl", f"vdev={t.vdev:#x} flags=0x24 index=2 count=4")
    t.entry("vfio_msi_set_vector_signal", f"vdev={t.vdev:#x} vector=2 fd=999 msix=1")
    t.leave("vfio_msi_set_vector_signal", -9)
    t.leave("vfio_pci_set_irqs_ioctl", -9)
    result = run(str(t))
    assert (result.errors, outcome(result, "VFIO-007").outcome) == ((), "inconclusive")


# VFIO-008


def test_the_first_request_that_was_short_is_told_and_all_are_counted(tmp_path: Path) -> None:
    t = Trace()
    t.open()
    first, last = t.set_irqs(0x24, 2, 0, 4, -28)
    t.set_irqs(0x24, 2, 0, 3, -28)
    host, guest = tmp_path / "trace.txt", tmp_path / "dmesg.txt"
    host.write_text(str(t))
    guest.write_text("[    0.000000] Linux version 6.6.30 (b@e) (gcc 12.2.0) #1 SMP\n")
    result = analyze([str(host), str(guest)], Options(sides={str(guest): "guest"}))
    (f,) = (f for f in result.findings if f.code == "VFIO-008")
    assert f.values == {"asked": 4, "errno": -28, "failed": 2}
    assert [(e.line, e.line_end, e.role) for e in f.evidence] == [(first, last, "cause"), (1, None, "context")]


# VFIO-009


@pytest.mark.parametrize(("place", "own", "found"), [("inside", True, 1), ("before", True, 0), ("after", True, 0), ("inside", False, 0)])
def test_an_irq_that_nobody_cared_for_counts_between_the_lines_of_the_window(place: str, own: bool, found: int) -> None:
    """A console may print it into the trace; in a log of its own the number of its line says nothing."""
    t, other = Trace(), ["usb 1-1: new device"]

    def note(here: str) -> None:
        line = f'[  200.{t.at:06d}] irq 16: nobody cared (try booting with the "irqpoll" option)'
        if here == place and own:
            t.text.append(line)
        elif here == place:
            other.extend([*other * (len(t.text) + 1), line])

    t.open()
    t.enable(1, 16, made=16)
    t.interrupts(0)
    note("before")
    t.disable()
    note("inside")
    t.enable(4, 16)
    note("after")
    told = of("VFIO-009", str(t), "\n".join(other) + "\n")
    assert [f.values["interrupts"] for f in told] == [1] * found


# VFIO-010


def spell(interrupts: int, vector: int = 0) -> str:
    """A vector is unmasked, interrupts, and is masked."""
    return (
        event(f"vfio_msix_vector_do_use  ({A}) vector {vector} used")
        + event(f"vfio_msi_interrupt  ({A}) vector {vector} 0xfee00000/0x4021") * interrupts
        + event(f"vfio_msix_vector_release  ({A}) vector {vector} released")
    )


@pytest.mark.parametrize("spells", [5, 6, 7])
def test_six_times_that_a_vector_was_unmasked_are_shown_and_all_interrupts_are_counted(spells: int) -> None:
    (f,) = of("VFIO-010", spell(2) * spells)
    assert f.values == {"vectors": [0], "interrupts": 2 * spells}
    assert [(e.line, e.line_end) for e in f.evidence if e.role == "effect"] == [(4 * n + 2, 4 * n + 3) for n in range(min(spells, 6))]


def test_a_time_with_one_interrupt_counts_for_nothing() -> None:
    (f,) = of("VFIO-010", spell(1) + spell(3) + spell(1, 4))
    assert f.values == {"vectors": [0], "interrupts": 3}


@pytest.mark.parametrize("count", [2, 3, 4])
def test_three_vectors_without_posted_delivery_are_shown(count: int) -> None:
    said = "[  10.00000{}] vfio-pci 0000:2e:00.1: irq bypass producer (eventfd 00000000f00dcafe) registration fails: {}\n"
    (f,) = of("VFIO-010", "".join(said.format(n, -22 if n == 0 else -16) for n in range(count)))
    assert (f.values, lines(f)) == ({"vectors": count, "errno": -22}, list(range(1, min(count, 3) + 1)))


# VFIO-011


@pytest.mark.parametrize("count", [3, 4, 5])
def test_four_refused_groups_are_shown_and_the_first_is_the_subject(count: int) -> None:
    t = Trace()
    for n in range(count):
        t.entry("vfio_iommu_type1_attach_group", f"data=0x8 group={0x10 + n:#x}")
        t.leave("vfio_iommu_type1_attach_group", -1)
    (f,) = of("VFIO-011", str(t))
    assert (f.subject.label, f.values["refused"], lines(f)) == ("group 0x10", count, [3, 5, 7, 9][: min(count, 4)])


@pytest.mark.parametrize(("ret", "told"), [(0, "clear"), (-16, "inconclusive"), (-1, "found")])
def test_an_attach_that_failed_otherwise_leaves_the_reason_open(ret: int, told: str) -> None:
    t = Trace()
    for result in (0, ret, -12 if ret else 0):
        t.entry("vfio_iommu_type1_attach_group", "data=0x8 group=0x10")
        t.leave("vfio_iommu_type1_attach_group", result)
    of_it = outcome(run(str(t)), "VFIO-011")
    assert of_it.outcome == told
    assert told != "inconclusive" or "failed with -16;" in (of_it.reason or "")


# VFIO-012


@pytest.mark.parametrize(
    ("name", "kind"),
    [("0000:03:00.0", "pci"), ("0b5c1f6e-4d0c-4a3f-9d53-2f0f6f2f1c11", "unknown"), ("net.0", "unknown"), ("a:b", "unknown")],
)
def test_a_name_that_is_no_bdf_names_no_function(name: str, kind: str) -> None:
    text = f"{QEMU}vfio {name}: Failed to set up TRIGGER eventfd signaling for interrupt INTX-0: VFIO_DEVICE_SET_IRQS failure: Device or resource busy\n"
    (f,) = of("VFIO-012", text)
    assert (f.subject.label, f.subject.kind, f.subject.bdf) == (name, kind, name if kind == "pci" else None)


# VFIO-013


@pytest.mark.parametrize("count", [7, 8, 9])
def test_eight_lines_of_a_device_that_was_not_given_are_shown(count: int) -> None:
    (f,) = of("VFIO-013", "".join(f"[   10.00000{n}] vfio_lock_acct: RLIMIT_MEMLOCK (65536) exceeded\n" for n in range(count)))
    assert (f.values, [e.role for e in f.evidence]) == (
        {"kind": "memory", "lines": count, "errno": -12},
        ["cause"] + ["effect"] * (min(count, 8) - 1),
    )


# CFG-001


@pytest.mark.parametrize(
    ("entries", "noresize", "told"),
    [
        (1, None, None),
        (2, None, "older than"),
        (2, 0, None),
        (1, 1, None),
        (2, 1, "the host sets NORESIZE"),
    ],
)
def test_a_table_of_several_entries_may_grow_lossily(entries: int, noresize: int | None, told: str | None) -> None:
    rest = "" if noresize is None else f", noresize {noresize}"
    found = of("CFG-001", event(f"vfio_msix_early_setup {A} PCI MSI-X CAP @0xb0, BAR 4, offset 0x0, entries {entries}{rest}") * 2)
    assert [(f.values, (told or "") in f.summary) for f in found] == [({"entries": entries, "noresize": noresize}, True)] * (
        told is not None
    )


# CFG-002


def test_the_fewest_vectors_that_were_left_are_told() -> None:
    t = Trace()
    t.open()
    t.begin(0x24, 2, 0, 1)
    matrix = "irq_matrix_alloc: bit=40 cpu=1 online=1 avl=9 alloc=9 managed=0 online_maps=1 global_avl={}, global_rsvd=2, total_alloc=9"
    for left in (12, 9, 11):
        t.line(matrix.format(left))
    t.leave("vfio_pci_set_irqs_ioctl", 0)
    (f,) = of("CFG-002", str(t))
    assert (f.values, lines(f)) == ({"global_avl": 9}, [6])


# KVMT-001


@pytest.mark.parametrize("assigned", [True, False])
@pytest.mark.parametrize("first", ["host", "guest"])
def test_the_ids_of_the_assigned_device_are_the_real_ones(assigned: bool, first: str) -> None:
    """Both high bytes can be the place of a capability: what kvmtool assigned tells which one is."""
    line = "[    1.000000] pci 0000:{}:00.0: [{}:10fb] type 00 class 0x020000\n"
    logs = {"host": line.format("41", "8086"), "guest": line.format("00", "5086")}
    kvmtool = "0000:41:00.0: assigned to device number 0x0 in group 12\n" if assigned else "0000:41:00.0: unknown PCI capability 0x9\n"
    (f,) = of("KVMT-001", logs.pop(first), *logs.values(), kvmtool)
    real = "0000:41:00.0" if assigned or first == "guest" else "0000:00:00.0"
    assert (f.subject.bdf, f.values["offset"]) == (real, 0x50 if real == "0000:41:00.0" else 0x80)


# KVMT-002


READ = "vfio_region_read  (0000:41:00.0:region{}+{:#x}, 4) = 0x5452\n"
LEGACY = "[   77.000000] virtio-pci 0000:00:05.0: virtio_pci: leaving for legacy driver\n"


@pytest.mark.parametrize(
    ("index", "flags", "ret", "region", "offset", "found"),
    [
        (2, 0x24, 0, 0, 20, 1),
        (2, 0x24, 0, 1, 20, 0),  # another BAR
        (2, 0x24, 0, 0, 24, 0),  # where the fields are with MSI-X on
        (1, 0x24, 0, 0, 20, 0),  # plain MSI moves nothing
        (2, 0x21, 0, 0, 20, 0),
        (2, 0x24, -22, 0, 20, 0),
    ],
)
def test_a_read_of_the_configuration_where_it_is_with_msix_off(
    index: int, flags: int, ret: int, region: int, offset: int, found: int
) -> None:
    t = Trace()
    t.open()
    first, last = t.set_irqs(flags, index, 0, 2 if flags == 0x24 else 0, ret)
    t.set_irqs(0x24, 2, 0, 2, -22)
    told = of("KVMT-002", str(t) + READ.format(region, offset) * 2, LEGACY)
    assert [[(e.line, e.line_end, e.role) for e in f.evidence] for f in told] == [[(first, last, "cause"), (8, None, "effect")]] * found


def test_reads_before_the_enable_are_none() -> None:
    t = Trace()
    t.open()
    t.text.append(READ.format(0, 20).rstrip())
    t.set_irqs(0x24, 2, 0, 2, 0)
    assert outcome(run(str(t), LEGACY), "KVMT-002").outcome == "clear"
