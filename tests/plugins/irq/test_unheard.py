"""Interrupts that a kernel throws away, that a driver does not hear, and that a boot waits for: each with its quiet twin."""

import pytest
from kernel_log import BOOT, log, outcome

from tracekit.testing import findings, run, shape

# IRQ-004: an irq without a flow handler


def dump(irq: int, *, flow: str = "handle_bad_irq", action: str = "00000000a1b2c3d4", handler: str | None = "foo_intr") -> list[str]:
    """The lines of print_irq_desc()."""
    return [
        f"irq {irq}, desc: 00000000e81b2c3d, depth: 0, count: 0, unhandled: 0",
        f"->handle_irq():  000000001a2b3c4d, {flow}+0x0/0x270",
        "->irq_data.chip(): 00000000c0ffee00, foo_chip+0x0/0x120",
        f"->action(): {action}",
        *([f"->action->handler(): 00000000d1d2d3d4, {handler}+0x0/0x3e8 [foo]"] if handler else []),
    ]


NONE = "0000000000000000"


@pytest.mark.parametrize(
    ("lines", "severity", "handler", "named"),
    [
        (dump(17), "medium", "foo_intr", [1, 2, 4, 5]),
        (dump(17, handler=None), "medium", None, [1, 2, 4]),
        (dump(17, action=NONE, handler=None) * 2, "low", None, [1, 5, 2, 4, 6, 8]),
        (dump(17, action="          (null)", handler=None) * 2, "low", None, [1, 5, 2, 4, 6, 8]),
        ([*dump(17, action="(null)", handler=None)[:2], "unexpected IRQ trap at vector 11"] * 2, "low", None, [1, 4, 2, 3, 5, 6]),
    ],
)
def test_an_interrupt_at_an_irq_without_a_flow_handler_is_thrown_away(
    lines: list[str], severity: str, handler: str | None, named: list[int]
) -> None:
    (found,) = findings(log(*lines, step=0.001))
    assert shape([found]) == [("IRQ-004", "proven", "irq 17", None, sorted(named))]
    count = sum(line.startswith("irq 17") for line in lines)
    assert (found.severity, found.values) == (severity, {"irq": 17, "count": count, "handler": handler})


def test_each_irq_has_its_own_dump() -> None:
    text = log(*dump(17), *dump(18, action=NONE, handler=None) * 2, *dump(17), step=0.001)
    assert {f.subject.label: (f.severity, f.values["count"]) for f in findings(text)} == {"irq 17": ("medium", 2), "irq 18": ("low", 2)}


@pytest.mark.parametrize(
    "lines",
    [
        dump(17, flow="handle_edge_irq"),  # the dump of no chip: ack_bad() says no more
        dump(17, action=NONE, handler=None),  # a late message of an irq that was just freed
        dump(17)[:1],
        dump(17)[1:],
        ["unexpected IRQ trap at vector 00"],
        ["unexpected IRQ trap at vector 6f"],
    ],
)
def test_a_dump_that_does_not_say_so_is_none(lines: list[str]) -> None:
    text = log(BOOT, *lines, step=0.001)
    assert (findings(text), outcome(text, "IRQ-004")) == ([], "clear")


def test_a_flood_of_dumps_shows_as_many_lines_as_others_do() -> None:
    (found,) = findings(log(*(line for _ in range(2000) for line in dump(17)), step=0.001))
    assert (found.values["count"], len([e for e in found.evidence if e.role == "cause"])) == (2000, 24)


# IRQ-004 of Xen

STRAY, STATE = (
    "(XEN) CPU{}: No irq handler for vector {:x} (IRQ {}, LAPIC)\n",
    "(XEN) IRQ{} a={} v=cb[ffffffff] t=IO-APIC-level s=00000030\n",
)


@pytest.mark.parametrize("masks", ["0001[0001,0000]", "{0-3}[{0},{}]", "000f[0001,0000]"])
def test_the_irq_that_had_a_stray_vector_on_xen(masks: str) -> None:
    masks = masks.replace("{}]", "{1}]")
    (found,) = findings(STRAY.format(2, 0xEB, -23) + STATE.format(22, masks))
    assert ([(e.line, e.role) for e in found.evidence], found.values["irqs"]) == ([(1, "cause"), (2, "context")], [22])
    assert [u.guard for u in found.unchecked] == ["CPU hotplug at that moment"]
    assert "harmless" in found.advice


def test_another_irq_or_none_is_not_the_owner() -> None:
    (other,) = findings(STRAY.format(2, 0xEB, -24) + STATE.format(22, "0001[0001,0000]"))
    assert [e.line for e in other.evidence] == [1]
    (none,) = findings(STRAY.format(2, 0xEB, -(2**31)))
    assert ("irqs" in none.values, len(none.unchecked)) == (False, 2)


def test_several_vectors_are_no_single_late_message() -> None:
    (found,) = findings(STRAY.format(2, 0xEB, -23) + STRAY.format(1, 0x2C, -22))
    assert ("several are no single late message" in found.advice, "one such line" in found.advice) == (True, False)


# IRQ-007: the timer

PANIC = "Kernel panic - not syncing: IO-APIC + timer doesn't work!  Boot with apic=debug and send a report."
PIN = "..MP-BIOS bug: 8254 timer not connected to IO-APIC"
OF_XEN = f"(XEN) {PIN}\n(XEN) Panic on CPU 0:\n(XEN) IO-APIC + timer doesn't work!  Boot with apic_verbosity=debug and send a report.\n"


@pytest.mark.parametrize(("text", "lines"), [(log(PIN, PANIC), [2, 1]), (log(PANIC), [1]), (OF_XEN, [3, 1])])
def test_a_boot_that_stops_since_its_timer_is_silent(text: str, lines: list[int]) -> None:
    (found,) = findings(text)
    assert shape([found]) == [("IRQ-007", "probable", "host", None, sorted(lines))]
    assert found.severity == "critical"


def test_a_pin_that_is_silent_is_only_the_first_way() -> None:
    for text in (
        log(BOOT, PIN, "...trying to set up timer as Virtual Wire IRQ... works."),
        log("Kernel panic - not syncing: Fatal exception"),
    ):
        assert (findings(text), outcome(text, "IRQ-007")) == ([], "not evaluated")


def test_a_stray_beside_a_silent_timer_is_not_called_harmless() -> None:
    found = {f.code: f for f in findings(STRAY.format(0, 0xE7, -8) + OF_XEN)}
    assert (sorted(found), "harmless" in found["IRQ-004"].advice) == (["IRQ-004", "IRQ-007"], False)


# IRQ-007: what drivers do not hear

HANGCHECK = "[drm:i915_hangcheck_elapsed{}] *ERROR* Hangcheck timer elapsed... {}"


@pytest.mark.parametrize(
    ("message", "queue"),
    [
        (HANGCHECK.format("", "render ring idle [waiting on 501, at 501], missed IRQ?"), "render"),
        (HANGCHECK.format(" [i915]", "bsd ring idle"), "bsd"),
        (HANGCHECK.format("", "video enhancement ring idle"), "video"),
    ],
)
def test_a_ring_that_is_done_and_waited_for(message: str, queue: str) -> None:
    (found,) = findings(log(message))
    assert shape([found]) == [("IRQ-007", "probable", "i915", None, [1])]
    assert found.values["queues"] == [queue]


def test_a_gpu_that_hangs_is_no_lost_interrupt() -> None:
    assert findings(log(BOOT, HANGCHECK.format("", "GPU hung"), HANGCHECK.format("", "bsd ring stuck"))) == []


@pytest.mark.parametrize("message", ["ata3: lost interrupt (Status 0x50)", "ata12: lost interrupt (Status 0x0)", "hdc: lost interrupt"])
def test_a_port_whose_interrupt_was_lost_is_a_possibility(message: str) -> None:
    (found,) = findings(log(message))
    assert shape([found]) == [("IRQ-007", "possible", message.partition(":")[0], None, [1])]
    assert (found.severity, "guess" in found.summary + found.advice) == ("medium", False)


def exception(port: str, link_errors: str) -> str:
    return f"{port}.00: exception Emask 0x0 SAct 0x0 SErr {link_errors} action 0x6 frozen"


def test_a_port_whose_link_is_in_error_is_a_question() -> None:
    lost = "ata3: lost interrupt (Status 0x50)"
    text = log(BOOT, lost, exception("ata3", "0x40d0202"), step=0.01)
    assert (findings(text), outcome(text, "IRQ-007")) == ([], "inconclusive")
    for other in (exception("ata3", "0x0"), exception("ata4", "0x40d0202")):
        assert [(f.code, f.grade) for f in findings(log(BOOT, lost, other, step=0.01))] == [("IRQ-007", "possible")]
    assert [f.grade for f in findings(log(BOOT, lost, exception("ata3", "0x40d0202"), step=60))] == ["possible"]


def test_a_hotplug_command_of_long_ago_is_of_a_port_that_never_tells() -> None:
    text = log(BOOT, "pcieport 0000:00:1c.0: pciehp: Timeout on hotplug command 0x1038 (issued 81000 msec ago)")
    assert (findings(text), outcome(text, "IRQ-007")) == ([], "clear")


UNHEARD = (
    "bnxt_en 0000:17:00.0 ens1f0: Resp cmpl intr err msg: 0x51",
    "bnxt_en 0000:17:00.0 ens1f0: TX timeout detected, starting reset task!",
    "mlx4_en 0000:17:00.0 ens1: TX timeout on queue: 4, QP: 0x218, CQ: 0x84",
    "pcieport 0001:00:00.0: pciehp: Timeout on hotplug command 0x03c0 (issued 2004 msec ago)",
    "pciehp 0000:00:1c.4:pcie04: Timeout on hotplug command 0x1038 (issued 1000 msec ago)",
    "amdgpu 0000:0c:00.0: amdgpu: IH ring buffer overflow (0x00084480, 0x00004A00, 0x00004490)",
    "radeon 0000:0c:00.0: IH ring buffer overflow (0x00084480, 0x00004A00, 0x00004490)",
    "snd_hda_intel 0000:00:1f.3: azx_get_response timeout, switching to polling mode: last cmd=0x20170503",
)


@pytest.mark.parametrize("message", UNHEARD)
def test_what_tells_no_cause_is_a_question(message: str) -> None:
    text = log(BOOT, message)
    assert (findings(text), outcome(text, "IRQ-007")) == ([], "inconclusive")


OVERFLOW, FENCE, FINISHING = (
    UNHEARD[5],
    "[drm] Fence fallback timer expired on ring sdma0",
    "amdgpu 0000:0c:00.0: amdgpu: finishing device.",
)


def test_a_driver_that_gives_msi_up_is_asked_about_once() -> None:
    given_up = "snd_hda_intel 0000:00:1f.3: No response from codec, disabling MSI: last cmd=0x20170503"
    reasons = {o.reason for o in run(log(BOOT, UNHEARD[-1], given_up)).outcomes if o.outcome == "inconclusive"}
    assert [("polling" in r, "MSI off" in r) for r in reasons] == [(False, True)]
    single = log(BOOT, "snd_hda_intel 0000:00:1f.3: azx_get_response timeout, switching to single_cmd mode: last cmd=0x20170503")
    assert (findings(single), outcome(single, "IRQ-007")) == ([], "not evaluated")


def test_a_ring_of_interrupts_that_ran_over_is_why_a_timer_finds_fences() -> None:
    (found,) = findings(log(OVERFLOW, FENCE))
    assert shape([found]) == [("IRQ-007", "probable", "0000:0c:00.0", None, [1, 2])]
    assert ([e.role for e in found.evidence], found.severity) == (["cause", "effect"], "medium")
    for apart in (log(FENCE, OVERFLOW), log(OVERFLOW, FENCE, step=300), log(OVERFLOW, f"amdgpu 0000:0d:00.0: {FENCE[6:]}")):
        assert [(f.grade, len(f.evidence)) for f in findings(apart)] == [("possible", 1)]


@pytest.mark.parametrize("of", ["", "amdgpu 0000:0c:00.0: amdgpu: "])
def test_a_device_that_its_driver_lets_go_of_has_its_interrupts_off(of: str) -> None:
    fence = of + FENCE[6 if of else 0 :]
    text = log(FINISHING, fence, fence)
    assert (findings(text), outcome(text, "IRQ-007")) == ([], "clear")
    assert [f.code for f in findings(log(fence, FINISHING))] == ["IRQ-007"]
    assert [f.code for f in findings(log(FINISHING, "amdgpu 0000:0d:00.0: Fence fallback timer expired on ring gfx"))] == ["IRQ-007"]


def test_a_fence_that_a_timer_found_is_no_guess() -> None:
    (found,) = findings(log(FENCE))
    assert ("guess" in found.summary + found.advice, "found finished by its driver's timer" in found.summary) == (False, True)


RING = "amdgpu 0000:{}: amdgpu: ring {} uses VM inv eng 12 on hub 0"


@pytest.mark.parametrize(
    ("messages", "subject", "lines"),
    [
        ([FENCE, RING.format("0c:00.0", "gfx"), RING.format("0c:00.0", "sdma0")], "0000:0c:00.0", [1, 3]),
        ([RING.format("0c:00.0", "gfx"), FENCE], "0000:0c:00.0", [1, 2]),  # the only card
        ([RING.format("0c:00.0", "gfx"), RING.format("0d:00.0", "sdma0"), FENCE], "0000:0d:00.0", [2, 3]),
        ([RING.format("0c:00.0", "sdma0"), RING.format("0d:00.0", "sdma0"), FENCE], "an unnamed device", [3]),
        ([RING.format("0c:00.0", "gfx"), RING.format("0d:00.0", "gfx"), FENCE], "an unnamed device", [3]),
        ([RING.format("0c:00.0", "sdma0"), f"amdgpu 0000:0d:00.0: {FENCE[6:]}"], "0000:0d:00.0", [2]),
    ],
)
def test_a_fence_without_a_device_is_of_the_card_that_has_such_a_ring(messages: list[str], subject: str, lines: list[int]) -> None:
    (found,) = findings(log(*messages))
    assert shape([found]) == [("IRQ-007", "possible", subject, None, lines)]


@pytest.mark.parametrize(("count", "severity"), [(1, "low"), (2, "medium"), (3, "medium"), (4, "high"), (40, "high")])
def test_a_fence_or_two_of_a_gpu_that_goes_on_are_no_alarm(count: int, severity: str) -> None:
    (found,) = findings(log(*[FENCE] * count))
    assert (found.severity, found.values["count"]) == (severity, count)
    (other,) = findings(log(*["foo 0000:01:00.0: missed MSI"] * count))
    assert other.severity == "high"


def test_texts_name_no_span_of_nothing_and_no_resize_at_probe() -> None:
    (polled,) = findings(log(*(f"nvme nvme0: I/O 7 QID {q} timeout, completion polled" for q in (2, 3)), step=0.00002))
    assert "over" not in polled.summary
    (tested,) = findings(log("sky2 0000:01:00.0: No interrupt generated using MSI, switching to INTx mode."))
    assert ("resize" in tested.advice, "no interrupt" in tested.advice) == (False, False)


# What the IOMMU refused before it

REFUSED = "DMAR: [INTR-REMAP] Request device [42:00.2] fault index 1600 [fault reason 37] Blocked a compatibility format interrupt request"
RECOVERED = "mlx5_core 0000:42:00.2: mlx5_cmd_eq_recover:264:(pid 339): Recovered 1 EQEs on cmd_eq"


@pytest.mark.parametrize(
    "text",
    [
        log(REFUSED, RECOVERED, step=60),
        f"{REFUSED}\n{RECOVERED}\n",
        f"[Thu Oct 22 08:54:51 2026] {REFUSED}\n[Thu Oct 22 08:55:54 2026] {RECOVERED}\n",
    ],
)
def test_a_refusal_is_as_severe_as_the_silence_that_it_explains(text: str) -> None:
    found = findings(text)
    assert [(f.code, f.explained_by, f.severity) for f in found] == [("IRQ-003", None, "high"), ("IRQ-007", "IRQ-003", "high")]


def test_a_refusal_of_another_device_stays_as_mild_as_it_is() -> None:
    other = REFUSED.replace("42:00.2", "43:00.0")
    found = {f.subject.label: (f.code, f.explained_by, f.severity) for f in findings(log(other, RECOVERED))}
    assert found == {"0000:43:00.0": ("IRQ-003", None, "medium"), "0000:42:00.2": ("IRQ-007", None, "high")}
    both = findings(log(other, REFUSED, RECOVERED))
    assert [(f.subject.label, f.severity) for f in both if f.code == "IRQ-003"] == [("0000:42:00.2", "high"), ("0000:43:00.0", "medium")]


# IRQ-007: a machine that stood still

POLLED = "nvme nvme0: I/O 12 QID 2 timeout, completion polled"


def stuck(task: str, head: str = "watchdog: ") -> str:
    return f"{head}BUG: soft lockup - CPU#1 stuck for 62s! [{task}]"


@pytest.mark.parametrize(
    ("lines", "step", "found"),
    [
        ([stuck("swapper/1:0"), POLLED], 0.2, False),
        ([POLLED, stuck("swapper/1:0", "NMI watchdog: ")], 0.2, False),
        ([stuck("swapper/0:0", ""), "usb 1-1: new device", POLLED], 3, False),
        ([stuck("kworker/1:2:4711"), POLLED], 0.2, True),  # code of this kernel holds the CPU up
        ([stuck("swapper/1:0"), POLLED], 30, True),
        ([POLLED, stuck("swapper/1:0"), POLLED], 30, True),
        ([stuck("swapper/1:0"), POLLED, "usb 1-1: new device", POLLED], 9, True),  # the last is long after
    ],
)
def test_time_outs_of_a_machine_that_stood_still_are_no_lost_interrupts(lines: list[str], step: float, found: bool) -> None:
    text = log(BOOT, *lines, step=step)
    assert [f.code for f in findings(text)] == ["IRQ-007"] * found
    assert outcome(text, "IRQ-007") == ("found" if found else "inconclusive")
