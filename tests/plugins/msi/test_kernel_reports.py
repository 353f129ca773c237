"""Which of the kernel's reports have their cause in its MSI code: the place, or one of the first ten reliable frames."""

import pytest
from kprobes import Trace

from tracekit.testing import findings, shape, tables

MSI = "__pci_enable_msix_range+0x33/0x100"
WARNING = "WARNING: CPU: 1 PID: 11 at {}:123 {}+0x33/0x100"
HUNG = "INFO: task modprobe:411 blocked for more than 120 seconds."
TRACE = "Call Trace:"


def reports(*lines: str, apart: float = 0.0) -> list[tuple[object, ...]]:
    """(kind, function, MSI function, line of the head, line of that function) of each report; its lines a microsecond apart."""
    text = "".join(f"[{10 + i * max(apart, 1e-6):12.6f}] {line}\n" for i, line in enumerate(lines))
    found = tables(text).get("kernel_reports")
    return found.select("kind", "function", "msi_function", "line", "msi_line").rows() if found is not None else []


def frames(*functions: str) -> list[str]:
    return [f" {f}" if "+" in f else f" {f}+0x1/0x20" for f in functions]


def others(count: int) -> list[str]:
    return frames(*(f"other_{n}" for n in range(count)))


def test_a_warning_at_a_function_of_msi_code_needs_no_trace() -> None:
    head = WARNING.format("kernel/irq/msi.c", "msi_domain_free_irqs")
    assert reports(head) == [("warning", "msi_domain_free_irqs", "msi_domain_free_irqs", 1, 1)]
    assert reports(WARNING.format("kernel/irq/manage.c", "free_irq")) == []


@pytest.mark.parametrize("behind", [") dev=0x1 domid=0", " <- msi_insert_desc) ret=0", " [vfio_pci_core] <- f) ret=-34", " <-"])
def test_the_end_of_a_wrapped_line_of_a_probe_is_no_frame(behind: str) -> None:
    assert reports(*[f"(msi_domain_alloc_irqs_all_locked+0x4/0xa0{behind}"] * 3) == []
    assert reports(TRACE, "(msi_domain_alloc_irqs_all_locked+0x4/0xa0) from (driver_probe+0x4/0x8)") != []


def test_a_warning_of_the_tracer_is_no_report_of_what_it_traced() -> None:
    head = WARNING.format("kernel/trace/trace.h", "{}")
    assert reports(head.format("trace_recursion_start"), TRACE, *frames(MSI)) == []
    assert reports(head.format("remove_proc_entry"), TRACE, *frames(MSI)) == [
        ("warning", "remove_proc_entry", "__pci_enable_msix_range", 1, 3)
    ]


@pytest.mark.parametrize(("above", "found"), [(0, 1), (9, 1), (10, 0)])
def test_the_first_ten_frames_show_what_failed(above: int, found: int) -> None:
    head = WARNING.format("mm/page_alloc.c", "__alloc_pages")
    told = reports(head, TRACE, *others(above), *frames(MSI))
    assert told == [("warning", "__alloc_pages", "__pci_enable_msix_range", 1, 3 + above)] * found


def test_a_frame_that_the_kernel_is_not_sure_of_counts_and_shows_nothing() -> None:
    head = WARNING.format("mm/page_alloc.c", "__alloc_pages")
    unsure = [f" ? {f.strip()}" for f in others(12)]
    assert reports(head, TRACE, " ? " + MSI) == []
    assert [row[4] for row in reports(head, TRACE, *unsure, *frames(MSI))] == [15]


def test_bug_oops_and_position_are_one_report() -> None:
    lines = ["BUG: unable to handle page fault for address: ffffc90040010000", "Oops: 0002 [#1] PREEMPT SMP NOPTI"]
    told = reports(*lines, f"RIP: 0010:{MSI}", TRACE, *others(2))
    assert told == [("oops", "__pci_enable_msix_range", "__pci_enable_msix_range", 1, 3)]
    again = reports(*lines, f"RIP: 0010:{MSI}", TRACE, *others(2), *lines, f"RIP: 0010:{MSI}", TRACE)
    assert [row[3] for row in again] == [1, 7]


def test_a_task_that_hangs_has_all_its_traces() -> None:
    assert reports(HUNG, TRACE, *frames(MSI)) == []
    assert reports(HUNG, TRACE, *others(1), TRACE, *frames(MSI)) == []


def test_a_trace_without_a_head_is_a_report_of_its_own() -> None:
    head = WARNING.format("mm/page_alloc.c", "__alloc_pages")
    assert reports(TRACE, *others(1), *frames(MSI)) == [("bare", None, "__pci_enable_msix_range", 2, 3)]
    second = reports(head, TRACE, *others(1), TRACE, *frames(MSI))
    assert second == [("bare", None, "__pci_enable_msix_range", 5, 5)]


@pytest.mark.parametrize(
    ("top", "found"),
    [
        (["dump_stack", "driver_probe_done"], 0),  # a driver's own call
        (["dump_stack_lvl", "dump_stack", "driver_probe_done"], 0),
        (["dump_stack", "print_bad_irq_bug"], 1),
        (["dump_stack", "warn_alloc"], 1),
        (["driver_probe_done", "dump_stack", "driver_probe_more"], 1),  # not at its top
        (["driver_probe_done"], 1),
    ],
)
def test_a_trace_that_somebody_printed_on_purpose_is_none(top: list[str], found: int) -> None:
    assert len(reports(TRACE, *frames(*top, MSI))) == found


@pytest.mark.parametrize(("between", "apart", "found"), [(79, 0.1, 1), (80, 0.1, 0), (200, 1e-6, 1)])
def test_frames_stand_within_80_lines_or_a_second_of_the_line_before(between: int, apart: float, found: int) -> None:
    head = WARNING.format("mm/page_alloc.c", "__alloc_pages")
    told = reports(head, *["usb 1-1: device number 3"] * between, TRACE, *frames(MSI), apart=apart)
    assert [row[0] for row in told if row[0] == "warning"] == ["warning"] * found


@pytest.mark.parametrize(("at", "found"), [("11.000000", 1), ("11.000500", 0)])
def test_frames_far_below_are_of_the_report_where_they_come_within_a_second(at: str, found: int) -> None:
    head = f"[   10.000000] {WARNING.format('mm/page_alloc.c', '__alloc_pages')}\n"
    text = head + "[   10.500000] usb 1-1: x\n" * 100 + "".join(f"[   {at}] {line}\n" for line in [TRACE, *frames(MSI)])
    assert [row["kind"] for row in tables(text)["kernel_reports"].to_dicts()] == ["warning" if found else "bare"]


def test_eleven_frames_of_msi_code_and_their_callers_are_lines_of_a_report() -> None:
    head = WARNING.format("mm/page_alloc.c", "__alloc_pages")
    text = "".join(f"[   10.{i:06d}] {line}\n" for i, line in enumerate([head, TRACE, *frames(*[MSI] * 14)]))
    assert tables(text)["kernel_reports"]["lines"].to_list() == [[1, *range(3, 14)]]


@pytest.mark.parametrize(("rbx", "bdf"), [(0xFF11000104AC8000, "0000:41:00.1"), (0xFF11000104AC9000, None), (0xFF1100010A5B2000, None)])
def test_the_pointer_of_a_report_is_a_function_where_a_trace_names_it(rbx: int, bdf: str | None) -> None:
    """RBX of the warning in iounmap() is the pci_dev; another pointer of the trace, as that of VFIO's device, is none."""
    t = Trace()
    t.open()
    t.enable(2, 16, made=16)
    t.interrupts(0, 1)
    lines = (
        WARNING.format("mm/vmalloc.c", "iounmap"),
        "RIP: 0010:iounmap+0x33/0x100",
        f"RAX: 0000000000000000 RBX: {rbx:x} RCX: 0000000000000000",
        TRACE,
        *frames("free_msi_irqs", MSI),
    )
    log = "".join(f"[  250.{i:06d}] {line}\n" for i, line in enumerate(lines))
    (f,) = [f for f in findings(dmesg=log, trace=str(t)) if f.code == "MSI-009"]
    assert (f.subject.bdf, f.subject.label) == (bdf, bdf or f"pci_dev {rbx:#x}")


def log(*parts: list[str]) -> str:
    """A kernel log of several reports, ten seconds apart."""
    return "".join(f"[{10 * n + 10:5d}.{i:06d}] {line}\n" for n, part in enumerate(parts) for i, line in enumerate(part))


BARE = [TRACE, *frames("other", MSI)]
OOPS = ["BUG: unable to handle page fault for address: ffffc90040010000", f"RIP: 0010:{MSI}"]


def warned(function: str) -> list[str]:
    return [WARNING.format("mm/page_alloc.c", function), TRACE, *frames(MSI)]


@pytest.mark.parametrize(
    ("parts", "kind", "grade", "guards", "first"),
    [
        ([BARE], "bare", "probable", 1, 2),  # its frames, one that called the MSI code among them
        ([BARE, warned("one")], "warning", "proven", 1, 4),
        ([warned("one"), BARE], "warning", "proven", 1, 1),
        ([BARE, warned("one"), OOPS], "oops", "proven", 0, 7),
        ([OOPS, warned("one")], "oops", "proven", 0, 1),
    ],
)
def test_of_several_reports_the_gravest_is_told(parts: list[list[str]], kind: str, grade: str, guards: int, first: int) -> None:
    (f,) = [f for f in findings(log(*parts)) if f.code == "MSI-009"]
    assert (f.values["kind"], f.values["reports"], f.grade, len(f.unchecked)) == (kind, len(parts), grade, guards)
    assert f.evidence[0].line == first


def test_the_lines_of_four_reports_are_named_and_the_gravest_is_among_them() -> None:
    (f,) = [f for f in findings(log(*(warned(name) for name in ("a", "b", "c", "d")), OOPS)) if f.code == "MSI-009"]
    assert (f.values["reports"], [e.line for e in f.evidence]) == (5, [13, 14, 1, 3, 4, 6, 7, 9])


SIGNAL = WARNING.format("fs/eventfd.c", "eventfd_signal")


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ((SIGNAL, TRACE, *frames("vfio_msihandler", "__handle_irq_event_percpu")), [("warning", "eventfd_signal", "vfio_msihandler", 1, 3)]),
        ((SIGNAL.replace("signal+", "signal_mask+"), TRACE, " <IRQ>", *frames("vfio_send_intx_eventfd", "vfio_intx_handler")),
         [("warning", "eventfd_signal_mask", "vfio_send_intx_eventfd", 1, 4)]),
        (("RIP: 0010:eventfd_signal+0x89/0xa0", TRACE, *frames("vfio_msihandler")), [("bare", "eventfd_signal", "vfio_msihandler", 3, 3)]),
        ((SIGNAL, TRACE, *frames("ioeventfd_write", "__kvm_io_bus_write", "kvm_io_bus_write", "vfio_msihandler")), []),
        ((SIGNAL, TRACE, *frames("aio_complete")), []),
        ((WARNING.format("kernel/sched/core.c", "try_to_wake_up"), TRACE, *frames("irqfd_wakeup", "eventfd_signal", "vfio_msihandler")), []),
        ((TRACE, *frames("vfio_msihandler")), []),
    ],
)  # fmt: skip
def test_an_interrupt_that_a_handler_of_vfio_could_not_signal(lines: tuple[str, ...], found: list[tuple[object, ...]]) -> None:
    assert reports(*lines) == found


def test_such_an_interrupt_is_lost() -> None:
    text = "".join(f"[   10.00000{i}] {line}\n" for i, line in enumerate((SIGNAL, TRACE, *frames("vfio_msihandler"))))
    (found,) = findings(text)
    assert shape([found]) == [("MSI-009", "proven", "an unnamed device", None, [1, 3])]
    assert (found.severity, "was lost" in found.summary, "5.15" in found.advice) == ("high", True, True)
