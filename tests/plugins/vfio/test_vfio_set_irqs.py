"""What SET_IRQS of an opened device make of its vectors: windows, refusals, and the results that follow from what is enabled."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
from kprobes import Trace

from tracekit.testing import tables

BANNER = "[    0.000000] Linux version {} (build@x) (aarch64-linux-gnu-gcc 13) #1 SMP\n"
SET = "vfio_pci_set_irqs_ioctl"
Step = Callable[[Trace], object]


class Case(NamedTuple):
    """Calls, and what they are held against: `observed of predicted, basis, cause` of each, then windows and refusals.

    `late`: the same where the recording does not show the open; `new` and `old`: below 6.12 and 6.1.
    """

    steps: list[Step]
    predictions: list[str]
    windows: list[str]
    refusals: list[str]
    late: list[str] | None = None
    new: list[str] | None = None
    old: list[str] | None = None


def calls(flags: int, index: int, start: int, count: int, ret: int | None, *inside: Step) -> Step:
    """Return a SET_IRQS with the calls inside it; `ret`: None where its return is not recorded."""

    def step(t: Trace) -> None:
        t.begin(flags, index, start, count)
        for call in inside:
            call(t)
        if ret is not None:
            t.leave(SET, ret)

    return step


def on(count: int, ret: int | None = 0, start: int = 0, index: int = 2) -> Step:
    return calls(0x24, index, start, count, ret)


def off(ret: int | None = 0, index: int = 2) -> Step:
    return calls(0x21, index, 0, 0, ret)


def bare(ret: int) -> Step:
    """Return a SET_IRQS whose arguments are not recorded."""
    return lambda t: (t.entry(SET, ""), t.leave(SET, ret))


def wire(vector: int, fd: int, ret: int) -> Step:
    function = "vfio_msi_set_vector_signal"
    return lambda t: (t.entry(function, f"vdev={t.vdev:#x} vector={vector} fd={fd} msix=1"), t.leave(function, ret))


def alloc(count: int, ret: int) -> Step:
    function = "__pci_enable_msix_range"
    return lambda t: (t.entry(function, f"dev={t.dev:#x} minvec=1 maxvec={count}"), t.leave(function, ret))


def add(index: int, ret: int) -> Step:
    return lambda t: (t.entry("pci_msix_alloc_irq_at", f"dev={t.dev:#x} index={index}"), t.leave("pci_msix_alloc_irq_at", ret))


CASES = {
    "intx on": Case(
        [on(2), off(), calls(0x24, 0, 0, 1, 0)],
        ["0 of 0, healthy", "0 of 0, known", "0 of -28 or -22 or -19 or -16 or -12 or -9 or 0, known"],
        ["close 2>None ret=None"],
        [],
    ),
    "intx on, msi again": Case(
        [on(2), off(), calls(0x24, 0, 0, 1, 0), calls(0x21, 0, 0, 0, 0), on(3)],
        ["0 of 0, healthy", "0 of 0, known", "0 of -28 or -22 or -19 or -16 or -12 or -9 or 0, known", "0 of 0, known", "0 of 0, healthy"],
        ["wanted 2>3 ret=0"],
        [],
    ),
    "intx trigger none": Case(
        [on(2), off(), calls(0x21, 0, 0, 1, 0), on(3)],
        ["0 of 0, healthy", "0 of 0, known", "0 of -22, known", "0 of 0, healthy"],
        ["growth 2>3 ret=0"],
        [],
    ),
    "intx refused": Case(
        [on(2), off(), calls(0x24, 0, 0, 1, -16), on(3)],
        ["0 of 0, healthy", "0 of 0, known", "-16 of -28 or -22 or -19 or -16 or -12 or -9 or 0, known", "0 of 0, healthy"],
        ["growth 2>3 ret=0"],
        [],
    ),
    "intx after enable failed": Case(
        [on(2), off(), on(3, -28), calls(0x24, 0, 0, 1, 0), on(2)],
        [
            "0 of 0, healthy",
            "0 of 0, known",
            "-28 of 0, healthy, VEC-001",
            "0 of -28 or -22 or -19 or -16 or -12 or -9 or 0, known",
            "0 of -22, known",
        ],
        ["failed 2>3 ret=-28 works at 12"],
        [],
    ),
    "intx only": Case(
        [calls(0x24, 0, 0, 1, 0), on(3)],
        ["0 of -28 or -22 or -19 or -16 or -12 or -9 or 0, known", "0 of -22, known"],
        [],
        [],
        late=["0 of 0, healthy", "0 of -22, known"],
    ),
    "off refused": Case(
        [on(2), off(-22), on(3, -22)],
        ["0 of 0, healthy", "-22 of 0, known", "-22 of -22 or 0, healthy"],
        [],
        ["growth ret=-22 of 2 lost []"],
        new=["0 of 0, healthy", "-22 of 0, known", "-22 of -28 or -22 or -16 or -12 or -9, known"],
        old=["0 of 0, healthy", "-22 of 0, known", "-22 of -22, known"],
    ),
    "off twice": Case(
        [on(2), off(), off(-22), on(3)],
        ["0 of 0, healthy", "0 of 0, known", "-22 of -22, known", "0 of 0, healthy"],
        ["growth 2>3 ret=0"],
        [],
    ),
    "off twice 0": Case(
        [on(2), off(), off(0), on(3)], ["0 of 0, healthy", "0 of 0, known", "0 of -22, known", "0 of 0, healthy"], ["growth 2>3 ret=0"], []
    ),
    "nothing on": Case(
        [off(-22), on(3)], ["-22 of -22, known", "0 of 0, healthy"], [], [], late=["-22 of -22 or 0, healthy", "0 of 0, healthy"]
    ),
    "nothing on 0": Case(
        [off(0), on(3)], ["0 of -22, known", "0 of 0, healthy"], [], [], late=["0 of -22 or 0, healthy", "0 of 0, healthy"]
    ),
    "the eventfd of errors in between": Case(
        [on(2), off(), calls(0x24, 3, 0, 1, 0), on(3)],
        ["0 of 0, healthy", "0 of 0, known", "0 of -25 or -22 or -9 or 0, known", "0 of 0, healthy"],
        ["growth 2>3 ret=0"],
        [],
    ),
    "mask": Case(
        [on(2), off(), calls(0xC, 2, 0, 1, -25), on(3)],
        ["0 of 0, healthy", "0 of 0, known", "-25 of -25, known", "0 of 0, healthy"],
        ["growth 2>3 ret=0"],
        [],
    ),
    "close": Case(
        [on(2), off(), Trace.close], ["0 of 0, healthy", "0 of 0, known", "-25 of -25, known"], ["close 2>None ret=None closed at 8"], []
    ),
    "close on": Case([on(2), Trace.close, Trace.open, on(3)], ["0 of 0, healthy", "-25 of -25, known", "0 of 0, healthy"], [], []),
    "failed recovered": Case(
        [on(2), off(), on(9, -28), on(2)],
        ["0 of 0, healthy", "0 of 0, known", "-28 of 0, healthy, VEC-001", "0 of 0, healthy"],
        ["failed 2>9 ret=-28 works at 10"],
        [],
    ),
    "failed failed": Case(
        [on(2), off(), on(9, -28), on(4, -28), Trace.close],
        ["0 of 0, healthy", "0 of 0, known", "-28 of 0, healthy, VEC-001", "-28 of 0, healthy, VEC-001", "-25 of -25, known"],
        ["failed 2>9 ret=-28 closed at 12"],
        [],
    ),
    "growth in place refused": Case([on(2), on(1, -22, 2)], ["0 of 0, healthy", "-22 of -22, known"], [], ["growth ret=-22 of 2 lost []"]),
    "growth in place": Case(
        [on(2), on(1, 0, 2), off(), on(4)],
        ["0 of 0, healthy", "0 of -22 or 0, healthy", "0 of 0, known", "0 of 0, healthy"],
        ["growth 3>4 ret=0"],
        [],
        new=["0 of 0, healthy", "0 of -22, known", "0 of 0, known", "0 of 0, healthy"],
        old=["0 of 0, healthy", "0 of -22, known", "0 of 0, known", "0 of 0, healthy"],
    ),
    "in place -28": Case(
        [on(2), on(1, -28, 2)],
        ["0 of 0, healthy", "-28 of -22 or 0, healthy, VEC-001"],
        [],
        [],
        new=["0 of 0, healthy", "-28 of -22, known"],
        old=["0 of 0, healthy", "-28 of -22, known"],
    ),
    "rewire": Case(
        [on(2), on(1, -9, 1)], ["0 of 0, healthy", "-9 of -28 or -22 or -16 or -12 or -9 or 0, known"], [], ["rollback ret=-9 of 2 lost []"]
    ),
    "rewire -22": Case([on(2), on(1, -22, 1)], ["0 of 0, healthy", "-22 of -28 or -22 or -16 or -12 or -9 or 0, known"], [], []),
    "mode": Case([on(2), on(1, -22, 0, 1)], ["0 of 0, healthy", "-22 of -22, known"], [], ["mode ret=-22 of 2 lost []"]),
    "mode same": Case(
        [on(2, 0, 0, 1), off(0, 1), on(4, 0, 0, 2)], ["0 of 0, healthy", "0 of 0, known", "0 of 0, healthy"], ["close 2>None ret=None"], []
    ),
    "empty": Case([on(0, -34)], ["-34 of -34, healthy"], [], ["empty ret=-34 of 0 lost []"], late=["-34 of -34 or 0, healthy"]),
    "empty2": Case(
        [off(-22), on(0, -34), on(1, -34)],
        ["-22 of -22, known", "-34 of -34, healthy", "-34 of 0, healthy, MSI-001"],
        [],
        ["empty ret=-34 of 0 lost []"],
        late=["-22 of -22 or 0, healthy", "-34 of -34, healthy", "-34 of 0, healthy, MSI-001"],
    ),
    "detach": Case(
        [
            calls(0x24, 2, 0, 2, 0, alloc(2, 2), wire(0, 20, 0), wire(1, 21, 0)),
            calls(0x24, 2, 0, 3, -28, wire(0, 20, 0), wire(1, 21, 0), add(2, -28), wire(0, -1, 0), wire(1, -1, 0)),
        ],
        ["0 of 0, known", "-28 of 0, known, VEC-001"],
        [],
        ["rollback ret=-28 of 2 lost [0, 1]"],
    ),
    "detach2": Case(
        [
            calls(0x24, 2, 0, 2, 0, alloc(2, 2), wire(0, 20, 0), wire(1, 21, 0)),
            calls(0x24, 2, 0, 3, -22, wire(0, 20, 0), wire(1, 0, -22), wire(0, -1, 0)),
        ],
        ["0 of 0, known", "-22 of -22 or 0, healthy"],
        [],
        ["growth ret=-22 of 2 lost [0]", "rollback ret=-22 of 2 lost [0]"],
        new=["0 of 0, known", "-22 of -22, known"],
        old=["0 of 0, known", "-22 of -22, known"],
    ),
    "detach0": Case(
        [calls(0x24, 2, 0, 2, 0, alloc(2, 2), wire(0, 20, 0), wire(1, 21, 0)), calls(0x24, 2, 2, 1, -28, add(2, -28), wire(0, 0, -28))],
        ["0 of 0, known", "-28 of 0, known, VEC-001"],
        [],
        [],
    ),
    "fewer": Case([on(4), off(), on(2)], ["0 of 0, healthy", "0 of 0, known", "0 of 0, healthy"], ["same-or-fewer 4>2 ret=0"], []),
    "same": Case([on(4), off(), on(4)], ["0 of 0, healthy", "0 of 0, known", "0 of 0, healthy"], ["same-or-fewer 4>4 ret=0"], []),
    "start": Case(
        [calls(0x24, 2, 1, 2, 0), off(), calls(0x24, 2, 2, 2, 0)],
        ["0 of 0, healthy", "0 of 0, known", "0 of 0, healthy"],
        ["growth 3>4 ret=0"],
        [],
    ),
    "a count of none": Case(
        [on(2), calls(0x24, 2, 0, 0, 0), off(), on(3)],
        ["0 of 0, healthy", "0 of 0, known", "0 of 0, known", "0 of 0, healthy"],
        ["growth 2>3 ret=0"],
        [],
    ),
    "short": Case(
        [on(2), off(), on(4, 3), on(3)],
        ["0 of 0, healthy", "0 of 0, known", "3 of 0, healthy", "0 of 0, healthy"],
        ["failed 2>4 ret=3 works at 10"],
        [],
    ),
    "alloc -34": Case([calls(0x24, 2, 0, 4, -34, alloc(4, -34))], ["-34 of 0, known, MSI-001"], [], []),
    "alloc short": Case([calls(0x24, 2, 0, 4, 3, alloc(4, 3))], ["3 of 3, known"], [], []),
    "alloc wiring": Case([calls(0x24, 2, 0, 2, -9, alloc(2, 2), wire(0, 20, 0), wire(1, 21, -9))], ["-9 of -9, known"], [], []),
    "alloc wiring first": Case([calls(0x24, 2, 0, 2, -12, alloc(2, 2), wire(0, 20, -12), wire(1, -1, -9))], ["-12 of -12, known"], [], []),
    "alloc ok": Case(
        [calls(0x24, 2, 0, 2, 0, alloc(2, 2), wire(0, 20, 0), wire(1, 21, 0)), off(), off(-22)],
        ["0 of 0, known", "0 of 0, known", "-22 of -22, known"],
        ["close 2>None ret=None"],
        [],
    ),
    "added": Case(
        [on(2), calls(0x24, 2, 2, 1, 0, add(2, 2), wire(2, 22, 0)), off()],
        ["0 of 0, healthy", "0 of 0, known", "0 of 0, known"],
        ["close 3>None ret=None"],
        [],
    ),
    "added at 0": Case(
        [on(1, 0, 1), calls(0x24, 2, 0, 1, 0, add(0, 0), wire(0, 22, 0)), off()],
        ["0 of 0, healthy", "0 of 0, known", "0 of 0, known"],
        ["close 2>None ret=None"],
        [],
    ),
    "added -28": Case([on(2), calls(0x24, 2, 2, 1, -28, add(2, -28))], ["0 of 0, healthy", "-28 of 0, known, VEC-001"], [], []),
    "close noisy": Case([on(2), Trace.close], ["0 of 0, healthy", "-25 of -25, known"], [], []),
    "close never on": Case([Trace.close], ["-25 of -25, known"], [], []),
    "close off": Case(
        [on(2), off(), Trace.close], ["0 of 0, healthy", "0 of 0, known", "-25 of -25, known"], ["close 2>None ret=None closed at 8"], []
    ),
    "after close": Case([on(2), Trace.close, on(2)], ["0 of 0, healthy", "-25 of -25, known", "0 of 0, healthy"], [], []),
    "after close off": Case([on(2), Trace.close, off(-22)], ["0 of 0, healthy", "-25 of -25, known", "-22 of -22, known"], [], []),
    "unknown flags": Case(
        [on(2), calls(0x0, 2, 0, 1, 0), off()], ["0 of 0, healthy", "None", "0 of 0, known"], ["close 2>None ret=None"], []
    ),
    "off without a return": Case([on(2), off(None), on(3)], ["0 of 0, healthy", "0 of 0, healthy"], ["growth 2>3 ret=0"], []),
    "intx without a return": Case(
        [on(2), off(), calls(0x24, 0, 0, 1, None), on(3)], ["0 of 0, healthy", "0 of 0, known", "0 of 0, healthy"], ["wanted 2>3 ret=0"], []
    ),
    "on without a return": Case([on(2), off(), on(3, None), on(1)], ["0 of 0, healthy", "0 of 0, known", "0 of 0, healthy"], [], []),
    "first on without a return": Case(
        [on(2, None), off(), on(3)], ["0 of -22 or 0, healthy", "0 of 0, healthy"], ["unknown None>3 ret=0"], []
    ),
    "on without a return, wired": Case(
        [calls(0x24, 2, 0, 2, None, wire(0, 20, 0), wire(1, 21, 0)), off(), on(3)],
        ["0 of -22 or 0, healthy", "0 of 0, healthy"],
        ["growth 2>3 ret=0"],
        [],
    ),
    "on without a return, refused inside": Case(
        [on(2), off(), calls(0x24, 2, 0, 3, None, alloc(3, -28)), on(2)], ["0 of 0, healthy", "0 of 0, known", "0 of 0, healthy"], [], []
    ),
    "a call without arguments": Case(
        [on(2), bare(0), off(), on(3)],
        ["0 of 0, healthy", "None", "0 of -22 or 0, healthy", "0 of 0, healthy"],
        ["unknown None>3 ret=0"],
        [],
    ),
    "a call without arguments, refused": Case(
        [on(2), off(), bare(-28), on(3)], ["0 of 0, healthy", "0 of 0, known", "None", "0 of 0, healthy"], [], []
    ),
    "another index rewired": Case(
        [on(2), on(5, 0, 0, 1), off(), on(3)],
        ["0 of 0, healthy", "0 of -22, known", "0 of -22, known", "0 of 0, healthy"],
        ["growth 2>3 ret=0"],
        [],
    ),
    "rewired without a return": Case(
        [on(2), on(5, None), off(), on(3)],
        ["0 of 0, healthy", "0 of -22 or 0, healthy", "0 of 0, healthy"],
        ["same-or-fewer 5>3 ret=0"],
        [],
    ),
    "rewired, refused": Case(
        [on(2), on(5, -28), off(), on(3)],
        ["0 of 0, healthy", "-28 of -22 or 0, healthy, VEC-001", "0 of 0, known", "0 of 0, healthy"],
        ["growth 2>3 ret=0"],
        [],
        new=["0 of 0, healthy", "-28 of -28 or -22 or -16 or -12 or -9, known", "0 of 0, known", "0 of 0, healthy"],
        old=["0 of 0, healthy", "-28 of -22, known", "0 of 0, known", "0 of 0, healthy"],
    ),
    "plain msi grows": Case(
        [on(2, 0, 0, 1), off(0, 1), on(4, 0, 0, 1)], ["0 of 0, healthy", "0 of 0, known", "0 of 0, healthy"], ["growth 2>4 ret=0"], []
    ),
    "fd 0": Case(
        [calls(0x24, 2, 0, 1, 0, alloc(1, 1), wire(0, 0, 0)), off(), on(2)],
        ["0 of 0, known", "0 of 0, known", "0 of 0, healthy"],
        ["growth 1>2 ret=0"],
        [],
    ),
    "bool": Case(
        [on(2), calls(0x22, 2, 0, 1, 0), calls(0x22, 2, 2, 1, -22), off(0)],
        ["0 of 0, healthy", "0 of 0, known", "-22 of -22 or 0, known", "0 of 0, known"],
        ["close 2>None ret=None"],
        [],
        new=["0 of 0, healthy", "0 of 0, known", "-22 of 0, known", "0 of 0, known"],
        old=["0 of 0, healthy", "0 of 0, known", "-22 of -22, known", "0 of 0, known"],
    ),
    "unmask and mask intx": Case(
        [
            calls(0x24, 0, 0, 1, 0),
            calls(0x09, 0, 0, 1, 0),
            calls(0x11, 0, 0, 1, 0),
            calls(0x0C, 0, 0, 1, -25),
            calls(0x14, 0, 0, 1, 0),
            calls(0x09, 0, 1, 1, -22),
            calls(0x21, 0, 0, 0, 0),
            calls(0x09, 0, 0, 1, -22),
        ],
        [
            "0 of -28 or -22 or -19 or -16 or -12 or -9 or 0, known",
            *["0 of 0, known"] * 2,
            "-25 of -25, known",
            "0 of -28 or -22 or -16 or -12 or -9 or 0, known",
            "-22 of -22, known",
            "0 of 0, known",
            "-22 of -22, known",
        ],
        [],
        [],
        late=[
            "0 of 0, healthy",
            *["0 of 0, known"] * 2,
            "-25 of -25, known",
            "0 of -28 or -22 or -16 or -12 or -9 or 0, known",
            "-22 of -22, known",
            "0 of 0, known",
            "-22 of -22, known",
        ],
    ),
    "notifiers": Case(
        [
            calls(0x24, 3, 0, 1, 0),
            calls(0x24, 4, 0, 1, 0),
            calls(0x24, 4, 1, 1, -22),
            calls(0x24, 4, 0, 2, -22),
            calls(0x21, 4, 0, 0, 0),
            calls(0x24, 4, 0, 0, -22),
            calls(0x22, 4, 0, 1, 0),
        ],
        [
            "0 of -25 or -22 or -9 or 0, known",
            "0 of -22 or -9 or 0, known",
            *["-22 of -22, known"] * 2,
            "0 of -22 or 0, known",
            "-22 of -22, known",
            "0 of 0, known",
        ],
        [],
        [],
    ),
    "reserved": Case([calls(0x24, 5, 0, 1, -25)], ["-25 of -25, known"], [], []),
    "nothing": Case(
        [on(2), calls(0x24, 2, 0, 0, 0), calls(0x24, 2, 2, 0, 0), calls(0x24, 2, 3, 0, -22)],
        ["0 of 0, healthy", "0 of 0, known", "0 of 0, known", "-22 of -22, known"],
        [],
        ["growth ret=-22 of 2 lost []"],
    ),
}


def told(case: Case, *, opened: bool = True, release: str = "") -> tuple[list[str], list[str], list[str]]:
    t = Trace()
    if opened:
        t.open()
    for step in case.steps:
        step(t)
    found = tables(**{"trace.txt": (BANNER.format(release) if release else "") + str(t)})
    rows = {name: frame.rows(named=True) for name, frame in found.items() if name in ("predictions", "windows", "refusals")}
    predictions = [
        f"{r['observed']} of {r['predicted']}, {r['basis']}{', ' + r['explained_by'] if r['explained_by'] else ''}"
        if r["basis"]
        else "None"
        for r in rows.get("predictions", [])
        if r["operation"] == "set_irqs"
    ]
    windows = [
        f"{r['kind']} {r['old']}>{r['new']} ret={r['ret']}{' inferred' if r['inferred'] else ''}"
        f"{f' works at {at}' if (at := r['recovered_line']) else ''}{f' closed at {at}' if (at := r['closed_line']) else ''}"
        for r in rows.get("windows", [])
    ]
    refusals = [f"{r['kind']} ret={r['ret']} of {r['enabled']} lost {r['detached']}" for r in rows.get("refusals", [])]
    return predictions, windows, refusals


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_windows_and_results_follow_from_what_is_enabled(case: Case) -> None:
    assert told(case) == (case.predictions, case.windows, case.refusals)
    assert told(case, opened=False)[0] == (case.late or case.predictions)


@pytest.mark.parametrize("case", [c for c in CASES.values() if c.new or c.old], ids=[n for n, c in CASES.items() if c.new or c.old])
def test_a_host_of_a_known_release_has_its_own_results(case: Case) -> None:
    assert told(case, release="6.12.10")[0] == (case.new or case.predictions)
    assert told(case, release="6.1.170")[0] == (case.old or case.predictions)
