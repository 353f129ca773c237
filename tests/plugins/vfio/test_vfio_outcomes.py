"""Outcomes of VFIO-001, -002, -005, -006, -007, -008 and -010 over short logs: each side of what they ask for, with the lines."""

import pytest
from kprobes import Trace

from tracekit.testing import findings, outcome, run, tables

ASSIGNED = "0000:41:00.0: assigned to device number 0x0 in group 12\n"
A, B = "0000:01:00.0", "0000:02:00.0"


def event(text: str) -> str:
    return f"4211@1795220106.001000:{text}\n"


def use(*vectors: int, n: str = A) -> str:
    return "".join(event(f"vfio_msix_vector_do_use  ({n}) vector {v} used") for v in vectors)


def release(vector: int, n: str = A) -> str:
    return event(f"vfio_msix_vector_release  ({n}) vector {vector} released")


def interrupt(*vectors: int, n: str = A) -> str:
    return "".join(event(f"vfio_msi_interrupt  ({n}) vector {v} 0xfee00000/0x4021") for v in vectors)


def traced(*vectors: int) -> str:
    """Return QEMU's trace from the enable on: vectors that are used, and each interrupts once, but the last."""
    begin = event(f"vfio_msix_early_setup {A} PCI MSI-X CAP @0xb0, BAR 4, offset 0x0, entries 16") + event(f"vfio_msix_enable  ({A})")
    return begin + "".join(use(v) + (interrupt(v) if v != vectors[-1] else "") for v in vectors)


def calls(*steps: int | tuple[int, int, int, int, int]) -> str:
    """Return a host's trace: a vector that interrupts, or a SET_IRQS (flags, index, start, count, result)."""
    t = Trace()
    t.open()
    for step in steps:
        if isinstance(step, int):
            t.interrupts(step)
        else:
            t.set_irqs(*step)
    return str(t)


def block(ret: int, start: int, count: int, index: int = 2) -> tuple[int, int, int, int, int]:
    return 0x24, index, start, count, ret


# The code, what is shown, the log, then the outcome and the findings with their lines: `c` cause or context, `e` effect.
CASES: list[tuple[str, str, str, list[str]]] = [
    (
        "VFIO-001",
        "without times",
        traced(0, 1, 2),
        ["inconclusive: 1 gap of vectors in use, and nothing that tells whether the device signalled in them"],
    ),
    (
        "VFIO-002",
        "an open growth",
        traced(0, 1),
        ["inconclusive: a growth is the last event of its device in QEMU's trace; whether it worked is not shown"],
    ),
    (
        "VFIO-010",
        "two in a row",
        use(0) + interrupt(0, 0),
        ["found: 1 finding", "proven: vector 0 of 0000:01:00.0: QEMU itself hands interrupts to the guest, lines 1-Nonec 2-3e"],
    ),
    ("VFIO-010", "one", use(0) + interrupt(0), ["clear: interrupts through QEMU only while masked"]),
    ("VFIO-010", "two while masked", use(0) + release(0) + interrupt(0, 0), ["clear: interrupts through QEMU only while masked"]),
    ("VFIO-010", "a mask between", use(0) + interrupt(0) + release(0) + interrupt(0), ["clear: interrupts through QEMU only while masked"]),
    (
        "VFIO-010",
        "another unmask between",
        use(0) + interrupt(0) + use(0) + interrupt(0),
        ["clear: interrupts through QEMU only while masked"],
    ),
    ("VFIO-010", "before the unmask", interrupt(0, 0) + use(0), ["clear: interrupts through QEMU only while masked"]),
    (
        "VFIO-010",
        "no unmask in the log",
        interrupt(0, 0),
        ["inconclusive: interrupts went through QEMU; whether their vectors were masked is not recorded"],
    ),
    (
        "VFIO-010",
        "no interrupt in the log",
        use(0) + release(0),
        [
            "not evaluated: no vfio_msi_interrupt of QEMU's trace and no kernel's note about a bypass: what goes through QEMU is not recorded"
        ],
    ),
    ("VFIO-010", "another vector", use(0, 1) + interrupt(0, 1), ["clear: interrupts through QEMU only while masked"]),
    (
        "VFIO-010",
        "another device",
        use(0) + use(0, n=B) + interrupt(0) + interrupt(0, n=B),
        ["clear: interrupts through QEMU only while masked"],
    ),
    (
        "VFIO-010",
        "two vectors",
        use(0, 3) + interrupt(0, 3, 3, 0, 0),
        [
            "found: 1 finding",
            "proven: vectors 0, 3 of 0000:01:00.0: QEMU itself hands interrupts to the guest, lines 1-Nonec 3-7e 2-Nonec 4-5e",
        ],
    ),
    (
        "VFIO-010",
        "two devices",
        use(0) + use(1, n=B) + interrupt(0, 0) + interrupt(1, 1, n=B),
        [
            "found: 2 findings",
            "proven: vector 0 of 0000:01:00.0: QEMU itself hands interrupts to the guest, lines 1-Nonec 3-4e",
            "proven: vector 1 of 0000:02:00.0: QEMU itself hands interrupts to the guest, lines 2-Nonec 5-6e",
        ],
    ),
    (
        "VFIO-010",
        "twice",
        use(0) + interrupt(0, 0) + release(0) + use(0) + interrupt(0, 0, 0),
        [
            "found: 1 finding",
            "proven: vector 0 of 0000:01:00.0: QEMU itself hands interrupts to the guest, lines 1-Nonec 2-3e 5-Nonec 6-8e",
        ],
    ),
    (
        "VFIO-007",
        "all again",
        calls(block(0, 0, 4), 0, block(-9, 0, 4)),
        ["found: 1 finding", "probable: vector 0 of 0000:41:00.1 worked, and went down when vector 3 failed with -9, lines 6-Nonec 7-8c"],
    ),
    (
        "VFIO-007",
        "two of them",
        calls(block(0, 0, 4), 0, 1, 2, block(-9, 1, 2)),
        ["found: 1 finding", "probable: vector 1 of 0000:41:00.1 worked, and went down when vector 2 failed with -9, lines 7-Nonec 9-10c"],
    ),
    ("VFIO-007", "one of them", calls(block(0, 0, 4), 0, block(-9, 0, 1)), ["clear: no block of enabled vectors failed"]),
    ("VFIO-007", "beyond them", calls(block(0, 0, 4), 0, block(-28, 2, 4)), ["clear: no block of enabled vectors failed"]),
    (
        "VFIO-007",
        "none was in use",
        calls(block(0, 0, 4), 3, block(-9, 0, 2)),
        ["inconclusive: a block of 0000:41:00.1 failed with -9; whether its vectors had been interrupting is not shown"],
    ),
    (
        "VFIO-007",
        "none interrupted",
        calls(block(0, 0, 4), block(-9, 0, 4)),
        ["inconclusive: a block of vdev 0xff1100010a5b2000 failed with -9; whether its vectors had been interrupting is not shown"],
    ),
    ("VFIO-007", "-22", calls(block(0, 0, 4), 0, block(-22, 0, 4)), ["clear: no block of enabled vectors failed"]),
    ("VFIO-007", "it works", calls(block(0, 0, 4), 0, block(0, 0, 4)), ["clear: no block of enabled vectors failed"]),
    (
        "VFIO-007",
        "after a disable",
        calls(block(0, 0, 4), 0, (0x21, 2, 0, 0, 0), block(-9, 0, 4)),
        ["clear: no block of enabled vectors failed"],
    ),
    (
        "VFIO-007",
        "interrupts later",
        calls(block(0, 0, 4), block(-9, 0, 4), 0),
        ["inconclusive: a block of 0000:41:00.1 failed with -9; whether its vectors had been interrupting is not shown"],
    ),
    (
        "VFIO-007",
        "twice",
        calls(block(0, 0, 4), 0, block(-9, 0, 4), block(-9, 0, 2)),
        [
            "found: 2 findings",
            "probable: vector 0 of 0000:41:00.1 worked, and went down when vector 3 failed with -9, lines 6-Nonec 7-8c",
            "probable: vector 0 of 0000:41:00.1 worked, and went down when vector 1 failed with -9, lines 6-Nonec 9-10c",
        ],
    ),
    (
        "VFIO-005",
        "beyond them",
        calls(block(0, 0, 4), block(-22, 4, 2)),
        [
            "found: 1 finding",
            "proven: SET_IRQS of vdev 0xff1100010a5b2000 was refused with -22: 4 enabled, start 4 count 2 asked in place, lines 4-5c 6-7c",
        ],
    ),
    ("VFIO-005", "within them", calls(block(0, 0, 4), block(-22, 2, 2)), ["clear: no SET_IRQS was refused for its range"]),
    (
        "VFIO-005",
        "one more",
        calls(block(0, 0, 4), block(-22, 4, 1)),
        [
            "found: 1 finding",
            "proven: SET_IRQS of vdev 0xff1100010a5b2000 was refused with -22: 4 enabled, start 4 count 1 asked in place, lines 4-5c 6-7c",
        ],
    ),
    (
        "VFIO-005",
        "another index",
        calls(block(0, 0, 4), block(-22, 0, 5, index=1)),
        [
            "found: 1 finding",
            "proven: SET_IRQS of vdev 0xff1100010a5b2000 was refused with -22: index 1 asked while index 2 is on, lines 4-5c 6-7c",
        ],
    ),
    ("VFIO-005", "another errno", calls(block(0, 0, 4), block(-28, 4, 1)), ["clear: no SET_IRQS was refused for its range"]),
    ("VFIO-005", "nothing on", calls(block(-22, 0, 4)), ["clear: no SET_IRQS was refused for its range"]),
    (
        "VFIO-006",
        "1 to 2",
        calls(block(0, 0, 1), 0, (0x21, 2, 0, 0, 0), block(0, 0, 2)),
        ["inconclusive: whether the host can grow in place is not known: no release, no flags of GET_IRQ_INFO"],
    ),
    ("VFIO-006", "2 to 2", calls(block(0, 0, 2), 0, (0x21, 2, 0, 0, 0), block(0, 0, 2)), ["clear: no growth window"]),
    (
        "VFIO-006",
        "none in use",
        calls(block(0, 0, 1), (0x21, 2, 0, 0, 0), block(0, 0, 2)),
        ["inconclusive: whether the host can grow in place is not known: no release, no flags of GET_IRQ_INFO"],
    ),
    ("VFIO-008", "short", calls(block(-28, 0, 4)), ["inconclusive: SET_IRQS returned -28; whether the guest was told is not shown"]),
    ("VFIO-008", "short of one", calls(block(-28, 0, 1)), ["inconclusive: SET_IRQS returned -28; whether the guest was told is not shown"]),
    (
        "VFIO-008",
        "of the line",
        calls((0x24, 0, 0, 1, -28)),
        ["inconclusive: SET_IRQS returned -28; whether the guest was told is not shown"],
    ),
    (
        "VFIO-002",
        "fewer",
        calls(block(0, 0, 4), 0, (0x21, 2, 0, 0, 0), block(0, 0, 2)),
        ["clear: no index was enabled with more vectors after a disable"],
    ),
    (
        "VFIO-001",
        "fewer",
        calls(block(0, 0, 4), 0, (0x21, 2, 0, 0, 0), block(0, 0, 2)),
        [
            "inconclusive: 1 gap of vectors in use, the longest of at most 0.300 ms, and nothing that tells whether the device signalled in them"
        ],
    ),
    (
        "VFIO-001",
        "fewer, unused",
        calls(block(0, 0, 4), (0x21, 2, 0, 0, 0), block(0, 0, 2)),
        ["clear: no vector in use was taken down and enabled again"],
    ),
]


@pytest.mark.parametrize(("code", "log", "told"), [(c, log, t) for c, _, log, t in CASES], ids=[f"{c} {what}" for c, what, _, _ in CASES])
def test_each_side_of_what_a_diagnosis_asks_for(code: str, log: str, told: list[str]) -> None:
    result = run(log)
    found = [f for f in result.findings if f.code == code]
    assert told == [
        f"{outcome(result, code).outcome}: {outcome(result, code).reason}",
        *(f"{f.grade}: {f.summary}, lines {' '.join(f'{e.line}-{e.line_end}{e.role[0]}' for e in f.evidence)}" for f in found),
    ]


@pytest.mark.parametrize("faults", [5, 6])
def test_five_of_the_messages_that_the_iommu_blocked_in_a_window_are_shown(faults: int) -> None:
    t = Trace()
    t.open()
    t.enable(1, 16, made=16)
    t.interrupts(0)
    t.disable()
    for _ in range(faults):
        t.line("DMAR: [INTR-REMAP] Request device [41:00.1] fault index 0x31 [fault reason 0x22] Present field in the IRTE entry is clear")
    t.enable(2, 16)
    (f,) = (f for f in findings(str(t)) if f.code == "VFIO-001")
    assert (f.values["blocked"], [e.role for e in f.evidence].count("effect")) == (faults, 5)


@pytest.mark.parametrize("line", ["vfio: failed to modify vector, -22", "vfio: Error: event_notifier_init failed"])
@pytest.mark.parametrize("count", [5, 6])
def test_five_of_the_messages_without_a_device_are_shown(line: str, count: int) -> None:
    (f,) = (f for f in findings(f"{line}\n" * count) if f.code == "VFIO-004")
    assert (f.grade, f.values["messages"], len(f.evidence)) == ("possible", count, 5)


@pytest.mark.parametrize(
    ("real", "seen", "offset"),
    [
        ("9186", "4086", 0x40),
        ("9186", "fc86", 0xFC),
        ("9186", "3c86", None),  # capabilities begin at 0x40
        ("9186", "4186", None),  # and stand at multiples of four
        ("9186", "4087", None),  # another low byte
        ("8086", "8086", None),
    ],
)
def test_the_offset_of_a_capability_in_a_vendor_id(real: str, seen: str, offset: int | None) -> None:
    host = f"[    0.000000] Linux version 6.1.90 (x@y) (gcc 12) #1 SMP\n[    1.000000] pci 0000:41:00.0: [{real}:10fb] type 00 class 0x020000\n"
    guest = f"[    1.000000] pci 0000:00:00.0: [{seen}:10fb] type 00 class 0x020000\n"
    told = [f for f in findings(**{"host-dmesg.txt": host, "guest-dmesg.txt": guest, "lkvm.log": ASSIGNED}) if f.code == "KVMT-001"]
    assert [(f.subject.bdf, f.values["offset"]) for f in told] == [("0000:41:00.0", offset)] * (offset is not None)


def test_vectors_from_the_start_of_the_request_on_are_wired() -> None:
    t = Trace()
    t.open()
    t.set_irqs(0x24, 2, 2, 2, 0)
    t.disable()
    t.set_irqs(0x24, 2, 0, 8, 0)
    assert tables(str(t))["windows"]["wired"].to_list() == [[2, 3]]


@pytest.mark.parametrize(("index", "told"), [(0, "inconclusive"), (2, "clear")])
def test_a_call_for_intx_whose_result_is_not_recorded_leaves_it_open(index: int, told: str) -> None:
    t = Trace()
    t.open()
    t.set_irqs(0x24, 0, 0, 1, 0)
    t.begin(0x24, index, 0, 1)
    assert outcome(run(str(t)), "VFIO-012").outcome == told
