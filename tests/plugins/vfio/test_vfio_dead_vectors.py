"""VFIO-004: which failed requests for single vectors leave one dead while others go on."""

from collections.abc import Callable

import pytest
from kprobes import Trace

from tracekit.testing import findings

Step = Callable[[Trace], object]


def call(ret: int, start: int, count: int, flags: int = 0x24, index: int = 2) -> Step:
    return lambda t: t.set_irqs(flags, index, start, count, ret)


def off() -> Step:
    return call(0, 0, 0, flags=0x21)


def add(vector: int, ret: int) -> Step:
    return lambda t: t.add(vector, ret)


# Calls from line 3 on, and the findings with their lines: `e` an effect, `c` a cause.
CASES: dict[str, tuple[list[Step], list[str]]] = {
    "one of several": (
        [call(0, 0, 4), call(-28, 4, 1)],
        ["proven: vector 4 of vdev 0xff1100010a5b2000 could not be wired (-28); the others go on, lines 5-6e"],
    ),
    "one that was wired": (
        [call(0, 0, 4), call(-9, 2, 1)],
        ["proven: vector 2 of vdev 0xff1100010a5b2000 could not be wired (-9); the others go on, lines 5-6e"],
    ),
    "two of several": (
        [call(0, 0, 4), call(-28, 5, 1), call(-12, 4, 1)],
        ["proven: vectors 4, 5 of vdev 0xff1100010a5b2000 could not be wired (-28); the others go on, lines 5-6e 7-8e"],
    ),
    "plain MSI": (
        [call(0, 0, 4, index=1), call(-9, 2, 1, index=1)],
        ["proven: vector 2 of vdev 0xff1100010a5b2000 could not be wired (-9); the others go on, lines 5-6e"],
    ),
    "another index is on": ([call(0, 0, 4, index=1), call(-9, 2, 1)], []),
    "a line": ([call(0, 0, 1, index=0), call(-16, 0, 1, index=0)], []),
    "-22": ([call(0, 0, 4), call(-22, 4, 1)], []),
    "a positive result": ([call(0, 0, 4), call(1, 4, 1)], []),
    "several at once": ([call(0, 0, 4), call(-28, 4, 2)], []),
    "a trigger without data": ([call(0, 0, 4), call(-28, 1, 1, flags=0x21)], []),
    "nothing else is on": ([call(-28, 0, 1)], []),
    "nothing else was wired": ([call(0, 0, 1), call(-28, 0, 1)], []),
    "another one was wired": (
        [call(0, 1, 1), call(-28, 0, 1)],
        ["proven: vector 0 of vdev 0xff1100010a5b2000 could not be wired (-28); the others go on, lines 5-6e"],
    ),
    "several from there on were wired": (
        [call(0, 0, 2), call(-28, 0, 1)],
        ["proven: vector 0 of vdev 0xff1100010a5b2000 could not be wired (-28); the others go on, lines 5-6e"],
    ),
    "the others failed": ([call(-28, 0, 4), call(-28, 1, 1)], []),
    "after a disable": ([call(0, 0, 4), off(), call(-28, 1, 1)], []),
    "after a disable and an enable": (
        [call(0, 0, 4), off(), call(0, 0, 2), call(-28, 2, 1)],
        ["proven: vector 2 of vdev 0xff1100010a5b2000 could not be wired (-28); the others go on, lines 9-10e"],
    ),
    "works later": ([call(0, 0, 4), call(-28, 4, 1), call(0, 4, 1)], []),
    "works later in a block": ([call(0, 0, 4), call(-28, 4, 1), call(0, 3, 2)], []),
    "a block that ends before": (
        [call(0, 0, 4), call(-28, 4, 1), call(0, 2, 2)],
        ["proven: vector 4 of vdev 0xff1100010a5b2000 could not be wired (-28); the others go on, lines 5-6e"],
    ),
    "a block that begins after": (
        [call(0, 0, 4), call(-28, 4, 1), call(0, 5, 2)],
        ["proven: vector 4 of vdev 0xff1100010a5b2000 could not be wired (-28); the others go on, lines 5-6e"],
    ),
    "another index works later": (
        [call(0, 0, 4), call(-28, 4, 1), call(0, 4, 1, index=4)],
        ["proven: vector 4 of vdev 0xff1100010a5b2000 could not be wired (-28); the others go on, lines 5-6e"],
    ),
    "fails later": (
        [call(0, 0, 4), call(-28, 4, 1), call(-28, 4, 1)],
        ["proven: vector 4 of vdev 0xff1100010a5b2000 could not be wired (-28); the others go on, lines 5-6e 7-8e"],
    ),
    "works after the close": (
        [Trace.open, call(0, 0, 4), call(-28, 4, 1), Trace.close, Trace.open, call(0, 0, 5)],
        ["proven: vector 4 of vdev 0xff1100010a5b2000 could not be wired (-28); the others go on, lines 6-7e"],
    ),
    "worked before": (
        [call(0, 0, 5), call(-28, 4, 1)],
        ["proven: vector 4 of vdev 0xff1100010a5b2000 could not be wired (-28); the others go on, lines 5-6e"],
    ),
    "not added": (
        [call(0, 0, 4), add(4, -28)],
        ["proven: vector 4 of pci_dev 0xff11000104ac8000 could not be added (-28); the others go on, lines 6-7c 5-8e"],
    ),
    "not added, then wired": ([call(0, 0, 4), add(4, -28), add(4, 0)], []),
    "not added, another one is": (
        [call(0, 0, 4), add(4, -28), add(5, 0)],
        ["proven: vector 4 of pci_dev 0xff11000104ac8000 could not be added (-28); the others go on, lines 6-7c 5-8e"],
    ),
    "two not added": (
        [call(0, 0, 4), add(4, -28), add(5, -12)],
        ["proven: vectors 4, 5 of pci_dev 0xff11000104ac8000 could not be added (-28); the others go on, lines 6-7c 10-11c 5-8e"],
    ),
    "seven fail": (
        [call(0, 0, 4), *(call(-28, v, 1) for v in range(4, 11))],
        [
            "proven: vectors 4, 5, 6, 7, 8, 9, 10 of vdev 0xff1100010a5b2000 could not be wired (-28); the others go on, lines 5-6e 7-8e 9-10e 11-12e 13-14e"
        ],
    ),
    "seven are not added": (
        [call(0, 0, 4), *(add(v, -28) for v in range(4, 11))],
        [
            "proven: vectors 4, 5, 6, 7, 8, 9, 10 of pci_dev 0xff11000104ac8000 could not be added (-28); the others go on, lines 6-7c 10-11c 14-15c 18-19c 22-23c 5-8e"
        ],
    ),
}


@pytest.mark.parametrize(("steps", "told"), CASES.values(), ids=CASES)
def test_a_single_vector_that_failed_is_dead_while_others_live(steps: list[Step], told: list[str]) -> None:
    t = Trace()
    for step in steps:
        step(t)
    assert told == [
        f"{f.grade}: {f.summary}, lines {' '.join(f'{e.line}-{e.line_end}{e.role[0]}' for e in f.evidence)}"
        for f in findings(str(t))
        if f.code == "VFIO-004"
    ]
