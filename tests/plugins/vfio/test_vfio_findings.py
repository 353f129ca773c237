"""VFIO-001, 002, 005, 006, 007, 009: windows told apart from closes, from the guest's own disables, and from shrinking."""

import re
from itertools import pairwise
from pathlib import Path
from zlib import crc32

import pytest
from kprobes import Trace

from tracekit.diagnosing.recorded import UNNAMED
from tracekit.findings import Finding
from tracekit.pipeline import Options, analyze
from tracekit.testing import findings, outcome, run, shape

WINDOWS = ("VFIO-001", "VFIO-002", "VFIO-003", "VFIO-005", "VFIO-006", "VFIO-009", "MSI-001")


def found(*texts: str, **named: str) -> list[Finding]:
    return [f for f in findings(*texts, **named) if f.code in WINDOWS]


def grown(t: Trace, *counts: int, used: tuple[int, ...] = (0,)) -> list[tuple[int, int]]:
    """Enables of growing counts, each after a disable; the lines of each window."""
    t.open()
    spans = []
    for i, count in enumerate(counts):
        down = t.disable()[0] if i else 0
        t.wait(40 if i else 0)
        up = t.enable(count, 16, made=16 if not i else None)[1]
        spans.append((down, up))
        if used:
            t.interrupts(*used)
    return spans[1:]


@pytest.mark.parametrize("counts", [(1, 4), (1, 4, 8), (2, 3, 4, 5)])
def test_each_growth_of_a_vector_in_use_is_a_window(counts: tuple[int, ...]) -> None:
    t = Trace()
    spans = grown(t, *counts)
    (f,) = found(str(t))
    assert (f.code, f.grade, f.subject.bdf) == ("VFIO-002", "proven", t.bdf)
    assert [(w["line"], w["line_end"]) for w in f.windows] == spans
    assert [(w["old"], w["new"]) for w in f.windows] == list(pairwise(counts))
    assert all(w["span_ns"] > 40_000_000 and w["vectors_in_use"] == [0] for w in f.windows)
    assert outcome(run(str(t)), "VFIO-001").outcome == "inconclusive"


def taken_down(t: Trace, *vectors: int) -> None:
    """A disable with the calls inside it."""
    t.begin(0x21, 2, 0, 0)
    for vector in vectors:
        t.entry("vfio_msi_set_vector_signal", f"vdev={t.vdev:#x} vector={vector} fd=-1 msix=1")
    t.entry("pci_free_irq_vectors", f"dev={t.dev:#x}")
    t.leave("vfio_pci_set_irqs_ioctl", 0)


def test_a_window_is_an_upper_bound_with_two_inner_ones() -> None:
    t = Trace()
    t.open()
    t.enable(1, 16, made=16)
    t.interrupts(0)
    taken_down(t, 0)  # lines 100 us apart: the handler goes in the 2nd, the vectors in the 3rd
    t.wait(2)
    t.enable(2, 16)
    t.interrupts(0)
    taken_down(t, 0, 1)
    t.enable(3, 16)
    (f,) = [f for f in found(str(t)) if f.code == "VFIO-002"]
    first, second = f.windows
    assert (first["no_handler_ns"] < first["span_ns"], first["no_vectors_ns"] < first["no_handler_ns"]) == (True, True)
    assert first["span_ns"] - first["no_handler_ns"] == 500_000  # the call before it, vector 1's and the return after it
    told = f"at most {first['span_ns'] / 1e6:.3f} ms (no handler {first['no_handler_ns'] / 1e6:.1f} ms, no vectors {first['no_vectors_ns'] / 1e6:.1f} ms)"
    assert f.summary.endswith(told)
    assert (f.values["longest_no_handler_ns"], f.values["longest_no_vectors_ns"]) == (first["no_handler_ns"], first["no_vectors_ns"])
    assert [e.role for e in f.evidence[:3]] == ["cause", "cause", "context"]
    assert f.evidence[0].line == first["line"]
    assert second["no_handler_ns"] is not None


def test_the_lines_of_the_longest_window_come_first() -> None:
    t = Trace()
    t.open()
    t.enable(1, 16, made=16)
    t.interrupts(0)
    for count, ms in ((2, 1), (3, 30), (4, 2)):
        t.disable()
        t.wait(ms)
        t.enable(count, 16)
        t.interrupts(0)
    (f,) = [f for f in found(str(t)) if f.code == "VFIO-002"]
    assert (f.evidence[0].line, f.windows[1]["new"]) == (f.windows[1]["line"], 3)
    assert (f.windows[1]["no_handler_ns"], f.summary.endswith(" ms")) == (None, True)  # the calls inside are not recorded


def test_a_recording_given_twice_has_its_windows_once() -> None:
    t = Trace()
    grown(t, 1, 4, 8)
    (f,) = found(str(t), str(t))
    assert [(w["old"], w["new"]) for w in f.windows] == [(1, 4), (4, 8)]
    assert outcome(run(str(t), str(t)), "VFIO-001").reason.startswith("2 gaps of vectors in use")


def addresses(text: str) -> str:
    """The same recording as trace-cmd report prints it: addresses in the parentheses, a return's the other way round."""

    def address(name: str) -> str:
        return f"ffffffff8{crc32(name.encode()) & 0xFFFFFFF:07x}"

    returned = re.sub(r"\((\w+)\+0x[0-9a-f/x]+[^()]* <- (\w+)\)", lambda m: f"({address(m[2])} <- {address(m[1])})", text)
    return re.sub(r"\((\w+)\+0x[0-9a-f/x]+[^()]*\)", lambda m: f"({address(m[1])})", returned)


def test_addresses_without_names_are_a_guess_that_the_same_run_with_names_settles() -> None:
    t = Trace()
    grown(t, 1, 4)
    bare = addresses(str(t))
    (f,) = found(bare)
    assert (f.code, f.grade, [u.guard for u in f.unchecked][-1]) == ("VFIO-002", "probable", UNNAMED.guard)
    (f,) = found(bare, str(t))
    assert (f.code, f.grade, len(f.windows), UNNAMED in f.unchecked) == ("VFIO-002", "proven", 1, False)


def test_a_recording_that_lost_events_clears_nothing() -> None:
    t = Trace()
    t.open()
    t.enable(4, 16, made=16)
    t.interrupts(0)
    assert outcome(run(str(t)), "VFIO-002").outcome == "clear"
    for lost in ("CPU:1 [LOST 248 EVENTS]", "CPU:0 [LOST EVENTS]"):
        told = outcome(run(f"{lost}\n{t}"), "VFIO-002")
        assert (told.outcome, "lost in the recording (line 1 of" in told.reason) == ("inconclusive", True)
    held_back = "[    5.000000] nfs_callback: 12 callbacks suppressed\n"
    assert outcome(run(str(t), held_back), "VFIO-002").outcome == "clear"


def test_vectors_that_never_interrupted_are_not_in_use() -> None:
    t = Trace()
    grown(t, 1, 4, used=())
    t.line("irq_handler_entry: irq=24 name=virtio0-requests", "<idle>-0")
    assert found(str(t)) == []
    assert outcome(run(str(t)), "VFIO-002").outcome == "clear"


def test_without_handler_events_whether_they_were_in_use_is_unknown() -> None:
    t = Trace()
    grown(t, 1, 4, used=())
    assert [(f.code, f.grade) for f in found(str(t))] == [("VFIO-002", "probable")]


def test_s17_a_growth_across_a_close_is_none() -> None:
    for ending in ("close", "open", "index 5"):
        t = Trace()
        t.open()
        t.enable(1, 16, made=16)
        t.interrupts(0, 0)
        t.disable()
        if ending == "close":
            t.close()
        elif ending == "index 5":
            t.set_irqs(0x21, 5, 0, 0, -25)
        if ending != "index 5":
            t.open()
        t.enable(4, 16)
        assert found(str(t)) == [], ending


def test_s8_the_guests_own_disable_gives_the_line_interrupt_back() -> None:
    t = Trace()
    t.open()
    t.enable(1, 16, made=16)
    t.interrupts(0, 0)
    t.disable()
    t.set_irqs(0x24, 0, 0, 1, 0)
    t.set_irqs(0x21, 0, 0, 0, 0)
    t.enable(3, 16)
    assert found(str(t)) == []


def test_s20_the_same_count_again_is_no_growth() -> None:
    t = Trace()
    t.open()
    t.enable(2, 16, made=16)
    t.interrupts(0, 1)
    t.disable()
    t.enable(2, 16)
    assert found(str(t)) == []
    assert outcome(run(str(t)), "VFIO-001").outcome == "inconclusive"


def test_s18_a_disable_of_the_guest_then_two_growths() -> None:
    t = Trace()
    t.open()
    t.enable(3, 16, made=16)
    t.interrupts(0)
    t.disable()
    t.disable(-22)
    for count in (1, 2, 3):
        t.enable(count, 16)
        t.interrupts(0)
        if count < 3:
            t.disable()
    (f,) = found(str(t))
    assert [(w["old"], w["new"]) for w in f.windows] == [(1, 2), (2, 3)]


def test_a_failed_enable_is_no_window_but_a_smaller_one_that_works_heals_it() -> None:
    t = Trace()
    t.open()
    t.enable(2, 16, made=16)
    t.interrupts(0)
    t.disable()
    t.set_irqs(0x24, 2, 0, 9, -28)
    assert [(f.code, f.grade) for f in found(str(t))] == [("VFIO-003", "proven")]
    t.enable(2, 16)
    assert found(str(t)) == []


def test_a_shortage_at_the_first_enable_is_no_failed_reenable() -> None:
    t = Trace()
    t.open()
    t.disable(-22)
    t.set_irqs(0x24, 2, 0, 600, -28)
    assert found(str(t)) == []


def test_s9_windows_on_a_host_that_can_grow_in_place_are_needless() -> None:
    t = Trace()
    grown(t, 1, 4)
    old, new = "Linux host 6.1.0-18-amd64 #1 SMP x86_64 GNU/Linux\n", "Linux host 6.12.9-amd64 #1 SMP x86_64 GNU/Linux\n"
    assert [(f.code, f.grade) for f in found(**{"t.trace": str(t), "uname.txt": new})] == [("VFIO-002", "proven"), ("VFIO-006", "probable")]
    assert [f.code for f in found(**{"t.trace": str(t), "uname.txt": old})] == ["VFIO-002"]
    assert [f.code for f in found(**{"t.trace": str(t), "a.txt": old, "b.txt": new})] == ["VFIO-002"]
    needless = found(**{"t.trace": str(t), "a.txt": new, "b.txt": new.replace("6.12.9", "6.6.1")})[-1]
    assert "(Linux 6.12.9-amd64 or Linux 6.6.1-amd64)" in needless.summary


def test_a_refused_append_keeps_the_old_vectors() -> None:
    t = Trace()
    t.open()
    made = t.enable(1, 16, made=16)
    t.interrupts(0)
    refused = t.set_irqs(0x24, 2, 1, 3, -22)
    (f,) = found(str(t))
    assert (f.code, f.grade, [(e.line, e.line_end) for e in f.evidence]) == ("VFIO-005", "proven", [made, refused])
    t.text = [line.replace("rc=-22", "rc=0") for line in t.text]
    assert found(str(t)) == []


def test_a_disable_with_nothing_enabled_is_harmless() -> None:
    t = Trace()
    t.open()
    t.disable(-22)
    t.disable(-22, index=1)
    t.set_irqs(0x21, 5, 0, 0, -25)
    assert found(str(t)) == []


def test_s6_a_blocked_message_inside_the_window_proves_the_loss() -> None:
    t = Trace("0000:41:00.1")
    t.open()
    t.enable(1, 16, made=16)
    t.interrupts(0)
    t.disable()
    t.line("DMAR: [INTR-REMAP] Request device [41:00.1] fault index 0x31 [fault reason 0x22] Present field in the IRTE entry is clear")
    t.enable(2, 16)
    losses = [f for f in found(printk(t)) if f.code == "VFIO-001"]
    assert [(f.grade, f.subject.bdf, f.values["blocked"]) for f in losses] == [("proven", t.bdf, 1)]
    t.text = [line.replace("[41:00.1]", "[42:00.0]") for line in t.text]
    assert [f.code for f in found(printk(t))] == ["VFIO-002"]


@pytest.mark.parametrize(("offset_s", "inside", "expected"), [(0, True, ["VFIO-001"]), (0, False, []), (None, True, []), (7, True, [])])
def test_a_blocked_message_in_another_log_proves_it_on_one_clock_only(
    offset_s: int | None, inside: bool, expected: list[str], tmp_path: Path
) -> None:
    t = Trace("0000:41:00.1")
    grown(t, 1, 2)
    (down,) = (float(m[1]) for line in t.text if (m := re.search(r" (\d+\.\d+): .*flags=0x21 index=2 start=0 count=0", line)))
    fault = "[{:>12.6f}] DMAR: [INTR-REMAP] Request device [41:00.1] fault index 0x31 [fault reason 0x22] Present field is clear\n"
    (tmp_path / "trace.txt").write_text(str(t))
    (tmp_path / "dmesg.txt").write_text(fault.format(down + (0.02 if inside else -0.02)))
    clocks = {str(tmp_path / "dmesg.txt"): offset_s * 10**9} if offset_s is not None else {}
    made = analyze([str(tmp_path / n) for n in ("trace.txt", "dmesg.txt")], Options(clocks=clocks))
    assert [f.code for f in made.findings if f.code == "VFIO-001"] == expected


GUEST = "[    1.000000] nvme nvme0: pci function 0000:00:05.0\n[{:>12.6f}] nvme nvme0: I/O 8 QID 0 timeout, completion polled\n"


@pytest.mark.parametrize(
    ("after", "polled", "offset_s", "expected"),
    [
        ((1, 0), 2.0, 200, [("VFIO-001", "proven")]),  # vector 0 is silent from the window to the time-out
        ((0, 1), 2.0, 200, [("VFIO-001", "probable")]),  # it interrupts once more before it
        ((1,), 2.0, 200, [("VFIO-001", "probable")]),  # nothing is recorded after the time-out
        ((1, 0), 0.001, 200, []),  # before the window
        ((1, 0), 190.0, 200, []),  # long after it
        ((1, 0), 2.0, None, [("VFIO-001", "possible")]),  # no common clock
    ],
)
def test_s6_a_completion_found_by_polling(
    after: tuple[int, ...], polled: float, offset_s: int | None, expected: list[tuple[str, str]], tmp_path: Path
) -> None:
    t = Trace()
    grown(t, 1, 2)
    t.text.pop()  # the interrupts after the window
    for vector in after:
        t.wait(1500)
        t.line(f"irq_handler_entry: irq={t.irq + vector} name=vfio-msix[{vector}]({t.bdf})", "<idle>-0")
    (tmp_path / "host.txt").write_text(str(t))
    (tmp_path / "guest.txt").write_text(GUEST.format(polled))
    clocks = {str(tmp_path / "guest.txt"): offset_s * 10**9} if offset_s is not None else {}
    made = analyze([str(tmp_path / n) for n in ("host.txt", "guest.txt")], Options(clocks=clocks))
    assert [(f.code, f.grade) for f in made.findings if f.code == "VFIO-001"] == expected


def printk(t: Trace) -> str:
    """The trace as `tp_printk` puts it into the kernel log."""
    return re.sub(r"(?m)^ .*? +(\d+\.\d+): ", r"[  \1] ", str(t))


QEMU = """\
vfio_msix_early_setup 0000:41:00.1 PCI MSI-X CAP @0x70, BAR 3, offset 0x0, entries 9{noresize}
vfio_msix_vector_do_use  (0000:41:00.1) vector 0 used
vfio_msix_vector_release  (0000:41:00.1) vector 0 released
vfio_msix_enable  (0000:41:00.1)
vfio_msix_vector_do_use  (0000:41:00.1) vector 0 used
vfio_msi_interrupt  (0000:41:00.1) vector 0 0xfee01004/0x22
vfio_msix_vector_do_use  (0000:41:00.1) vector 1 used
vfio_msi_interrupt  (0000:41:00.1) vector 0 0xfee01004/0x22
"""


@pytest.mark.parametrize(("noresize", "windows"), [("", 1), (", noresize 1", 1), (", noresize 0", 0)])
def test_qemus_trace_implies_a_window_unless_it_grows_in_place(noresize: str, windows: int) -> None:
    got = found(QEMU.format(noresize=noresize))
    assert [(f.code, f.grade, f.subject.bdf) for f in got] == [("VFIO-002", "probable", "0000:41:00.1")] * windows
    assert all([w["line"] for w in f.windows] == [7] for f in got)


def test_a_growth_that_nothing_follows_and_qemus_message_are_a_probable_failure() -> None:
    text = QEMU.format(noresize="").rsplit("\n", 2)[0] + "\n"
    message = "qemu-system-x86_64: vfio: failed to enable vectors, -1\n"
    assert found(text) == []
    assert [(f.code, f.grade, f.subject.label) for f in found(message)] == [("VFIO-003", "possible", "an unnamed device")]
    assert [(f.code, f.grade, f.subject.label) for f in found(**{"q.log": text, "stderr.txt": message})] == [
        ("VFIO-003", "probable", "0000:41:00.1")
    ]


def test_a_partial_grant_of_plain_msi_is_qemus_ordinary_retry() -> None:
    assert found("qemu-system-aarch64: vfio: Error: Failed to enable 4 MSI vectors, retry with 1\n") == []


def test_s15_events_lost_inside_a_window_or_an_enable_withhold_what_rests_on_absence() -> None:
    t = Trace()
    t.open()
    t.enable(1, 4, made=4)
    t.interrupts(0)
    t.disable()
    t.text.append("CPU:1 [LOST 358 EVENTS]")
    t.enable(3, 4)
    assert [(f.code, f.grade) for f in found(str(t))] == [("VFIO-002", "probable")]
    t.interrupts(0)
    t.close()
    t.open()
    start = len(t.text)
    t.enable(9, 9, limit=4)
    assert ("MSI-001", "proven") in [(f.code, f.grade) for f in found(str(t))]
    t.text.insert(start + 2, "CPU:0 [LOST EVENTS]")
    assert ("MSI-001", "probable") in [(f.code, f.grade) for f in found(str(t))]


INTX = "qemu-system-x86_64: vfio {}: Failed to set up {} eventfd signaling for interrupt {}: VFIO_DEVICE_SET_IRQS failure: {}\n"


@pytest.mark.parametrize(
    ("reason", "words"),
    [("Invalid argument", "another interrupt index"), ("Device or resource busy", "shared"), ("Bad file descriptor", None)],
)
def test_intx_that_was_refused_is_told_by_its_errno(reason: str, words: str | None) -> None:
    (found,) = findings(INTX.format("0000:c1:00.2", "TRIGGER", "INTX-0", reason))
    assert (found.code, found.grade, found.subject.bdf) == ("VFIO-012", "probable", "0000:c1:00.2")
    assert words is None or words in found.summary


def test_intx_on_a_line_that_another_device_has() -> None:
    mismatch = "[  100.000000] genirq: Flags mismatch irq 16. 00000000 (vfio-intx(0000:03:00.0)) vs. 00000080 (ehci_hcd:usb1)\n"
    (found,) = findings(mismatch)
    assert (found.code, found.grade, found.values["shares_with"]) == ("VFIO-012", "proven", "ehci_hcd:usb1")
    assert [f.code for f in findings(INTX.format("0000:c1:00.2", "TRIGGER", "MSIX-3", "Invalid argument"))] == ["VFIO-004"]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("qemu-system-x86_64: -device vfio-pci,host=41:00.0: VFIO_MAP_DMA failed: Cannot allocate memory", "memory"),
        ("kvm: -device vfio-pci,host=41:00.0: vfio error: 0000:41:00.0: no iommu_group found: No such file or directory", "group"),
        (
            "kvm: -device vfio-pci,host=41:00.0: vfio 0000:41:00.0: [iommufd=5] error attach 0000:41:00.0 (12) to id=3: Invalid argument",
            "group",
        ),
        ("[   10.000000] vfio_lock_acct: RLIMIT_MEMLOCK (65536) exceeded", "memory"),
        ("qemu-system-x86_64: -device vfio-pci,host=41:00.0: vfio 0000:41:00.0: group 61 is not viable", "group"),
        ("qemu-kvm: -device vfio-pci,host=41:00.0: vfio 0000:41:00.0: failed to open /dev/vfio/61: Permission denied", "group"),
        (
            "[   10.000000] vfio-pci 0000:41:00.0: Device is ineligible for IOMMU domain attach due to platform RMRR requirement.",
            "firmware",
        ),
    ],
)
def test_a_vm_that_never_started_is_told_and_is_no_alarm(line: str, kind: str) -> None:
    (found,) = findings(line + "\n")
    assert (found.code, found.severity, found.values["kind"]) == ("VFIO-013", "info", kind)


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("vfio 0000:41:00.0: group 61 is not viable", "0000:41:00.0"),
        (
            "vfio 0000:41:00.0: failed to setup container for group 61: Failed to set iommu for container: Input/output error",
            "0000:41:00.0",
        ),
        ("vfio error: 0000:41:00.0: no iommu_group found: No such file or directory", "0000:41:00.0"),
        ("vfio 0b5c1f6e-4d0c-4a3f-9d53-2f0f6f2f1c11: group 61 is not viable", "host"),
        ("vfio: error opening /dev/vfio/61: Permission denied", "host"),
    ],
)
def test_the_device_that_was_not_given_is_named(line: str, label: str) -> None:
    (found,) = findings(f"qemu-system-x86_64: -device vfio-pci,id=hostdev0,bus=pci.9: {line}\n")
    assert (found.code, found.subject.label) == ("VFIO-013", label)


def test_a_container_refused_for_want_of_remapping_is_no_such_remark() -> None:
    reason = "vfio 0000:41:00.0: failed to setup container for group 61: Failed to set iommu for container: Operation not permitted"
    assert [f.code for f in findings(f"qemu-system-x86_64: -device vfio-pci,host=41:00.0: {reason}\n")] == ["VFIO-011"]


@pytest.mark.parametrize("words", ["vfio: Error: Failed to setup INTx fd: {}", "vfio 0000:c1:00.2: failed to setup INTx fd: {}"])
def test_intx_that_was_refused_in_older_words(words: str) -> None:
    (found,) = findings("qemu-system-x86_64: " + words.format("Device or resource busy") + "\n")
    assert (found.code, found.grade) == ("VFIO-012", "probable")


BOOT = "[    0.000000] Linux version {} (x@y) (gcc-12) #1 SMP\n"
HYPERV = "[    0.000000] Hypervisor detected: Microsoft Hyper-V\n"
V2M = "[    0.000000] GICv2m: range[mem 0x09000000-0x09000fff], SPI[64:127]\n"


@pytest.mark.parametrize(
    ("boot", "told"),
    [
        (BOOT.format("6.12.1-amd64"), True),
        (BOOT.format("6.12.1-amd64") + HYPERV, False),
        (BOOT.format("6.17.2-amd64") + HYPERV, True),
        (BOOT.format("6.12.1-arm64"), False),
        (BOOT.format("7.3.1-arm64") + V2M, False),
        (BOOT.format("6.12.1"), True),  # the trace's vector events are x86's
    ],
)
def test_a_needless_resize_is_one_where_the_hosts_interrupt_parent_adds_vectors(boot: str, told: bool) -> None:
    t = Trace()
    grown(t, 1, 2)
    codes = {f.code for f in run(**{"dmesg.txt": boot, "trace.txt": str(t)}).findings}
    assert "VFIO-002" in codes
    assert ("VFIO-006" in codes) is told


@pytest.mark.parametrize(
    "line",
    [
        "cloud-hypervisor: 12.345s: <vcpu0> ERROR:pci/src/vfio.rs:512 -- Could not enable MSI-X: VfioDevice(SetDeviceIrq(Error(22)))",
        "cloud-hypervisor:  8.112003s: <vmm> WARN:pci/src/vfio.rs:640 -- Could not enable MSI: Invalid argument (os error 22)",
        "[2024-05-01T10:11:12.123456789+00:00 ERROR devices::pci::vfio_pci] failed to enable msix: set irq: Invalid argument (os error 22)",
        "[ERROR:devices/src/pci/vfio_pci.rs:512] failed to enable msi: failed to set vfio device's irq: Device or resource busy",
        "EAL: Error enabling MSI-X interrupts for fd 43",
        "EAL: Error enabling MSI-X interrupts for fd 43 (Invalid argument)",
    ],
)
def test_another_client_than_qemu_tells_that_it_could_not_enable_vectors(line: str) -> None:
    assert shape(findings(line + "\n")) == [("VFIO-003", "possible", "an unnamed device", None, [1])]


def test_what_these_clients_say_of_other_things_is_none_of_it() -> None:
    said = "cloud-hypervisor: 12.3s: <vmm> INFO:pci/src/vfio.rs:512 -- Enabled MSI-X with 9 vectors\nEAL: VFIO support initialized\n"
    assert findings(said) == []
