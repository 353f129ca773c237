"""The guards of windows that are inferred from vector events, and of the replay of SET_IRQS, each from both sides."""

import pytest
from kprobes import Trace

from tracekit.findings import Finding
from tracekit.testing import findings, tables

BDF = "0000:41:00.0"


def recorded(*events: str, task: str = "qemu-100") -> str:
    """Lines 3, 4, ...: one event a millisecond, handlers by an idle CPU, others by `task` or the task before `|`."""
    lines = []
    for i, event in enumerate(events):
        who, _, what = event.rpartition("|")
        who = who or ("<idle>-0" if "irq_handler" in event else task)
        lines.append(f" {who} [001] ..... {100 + i / 1000:12.6f}: {what}\n")
    return "# tracer: nop\n#\n" + "".join(lines)


def alloc(irq: int, ret: int = 0) -> str:
    return f"vector_alloc: irq={irq} vector={irq - 21} reserved=1 ret={ret}"


def cleared(irq: int) -> str:
    return f"vector_clear: irq={irq} vector={irq - 21} cpu=1 prev_vector=0 prev_cpu=0"


def freed(irq: int) -> str:
    return f"vector_teardown: irq={irq} is_managed=0 has_reserved=0"


def handled(irq: int, vector: int) -> str:
    return f"irq_handler_entry: irq={irq} name=vfio-msix[{vector}]({BDF})"


FIRST = (alloc(61), handled(61, 0))
AFTER = (handled(61, 0), handled(62, 1))


def windows(text: str) -> list[Finding]:
    return [f for f in findings(text) if f.code == "VFIO-002"]


@pytest.mark.parametrize("down", [cleared(61), "vector_deactivate: irq=61 is_managed=0 can_reserve=1 reserve=0"])
def test_an_irq_that_loses_its_vector_and_returns_with_another_is_a_window(down: str) -> None:
    (f,) = windows(recorded(*FIRST, down, freed(61), alloc(61), alloc(62), *AFTER))
    assert (f.grade, f.subject.bdf, f.values["basis"]) == ("probable", BDF, "vectors")
    assert (f.values["old"], f.values["new"], f.values["vectors_in_use"], f.values["longest_ns"]) == (1, 2, [0], 2_000_000)
    assert [(e.line, e.role) for e in f.evidence] == [(4, "context"), (5, "cause"), (7, "cause")]


@pytest.mark.parametrize(
    "events",
    [
        (*FIRST, cleared(61), freed(61), alloc(61), handled(61, 0)),  # as many as before
        (*FIRST, cleared(61), alloc(61), alloc(62), *AFTER),  # the irq was not freed: it moved to another CPU
        (*FIRST, cleared(61), freed(61), f"kworker-7|{alloc(61)}", f"kworker-7|{alloc(62)}", *AFTER),  # another task
        (*FIRST, cleared(61), freed(61), alloc(61, -28), *AFTER),  # it was refused
        (alloc(61), alloc(62), *AFTER),  # nothing went down
    ],
    ids=["no more", "moved", "another task", "refused", "first enable"],
)
def test_what_is_no_growth_is_no_window(events: tuple[str, ...]) -> None:
    assert windows(recorded(*events)) == []


def test_with_the_requests_themselves_nothing_is_inferred() -> None:
    request = "p_set: (vfio_pci_set_irqs_ioctl+0x4/0xd0) vdev=0xff11000000001000 flags=0x21 index=2 start=0 count=0"
    text = recorded(request, *FIRST, cleared(61), freed(61), alloc(61), alloc(62), *AFTER)
    assert "vectors" not in tables(text)["windows"]["basis"].to_list()


@pytest.mark.parametrize(
    ("index", "flags", "ret", "found"), [(2, 0x24, 3, 1), (1, 0x24, 3, 1), (0, 0x24, 3, 0), (2, 0x24, 0, 0), (2, 0x21, 3, 0)]
)
def test_a_positive_result_of_set_irqs_is_a_short_grant(index: int, flags: int, ret: int, found: int) -> None:
    t = Trace()
    t.open()
    first, last = t.set_irqs(flags, index, 0, 8, ret)
    told = [f for f in findings(str(t)) if f.code == "MSI-004"]
    assert [(f.grade, f.values, [(e.line, e.line_end) for e in f.evidence]) for f in told] == [
        ("proven", {"asked": 8, "granted": ret}, [(first, last)])
    ] * found
