"""Windows of many rows, filled by columns, are those of few rows, filled one by one: which vectors were in use, and the bounds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kprobes import Trace
from tracekit_vfio.models import signals, windows

from tracekit.pipeline import Options, analyze
from tracekit.testing import engine, findings, outcome, run, tables

LOGS = sorted((Path(__file__).parents[3] / "sample_traces").glob("vfio.*/*/*.t*xt"))
TRACES = [p for p in LOGS if "vfio_pci_set_irqs_ioctl" in p.read_text(encoding="utf-8", errors="replace")]
OTHER = "0000:42:00.0"


@pytest.fixture(params=[1 << 30, -1], ids=["few", "many"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "FEW", request.param)


@pytest.mark.parametrize("log", TRACES, ids=lambda p: f"{p.parent.parent.name}/{p.parent.name}")
def test_the_same_windows_of_samples(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for few in (1 << 30, -1):
        monkeypatch.setattr(windows, "FEW", few)
        monkeypatch.setattr(signals, "FEW", max(few, 0))
        told = analyze([str(log)], Options(keep_tables=("*",)), engine("*")).tables
        found.append([told[name].rows(named=True) for name in ("windows", "refusals") if name in told])
    assert found[0] == found[1]


def last(*texts: str) -> dict[str, Any]:
    return tables(*texts)["windows"].filter(kind="growth").row(-1, named=True)


def handler(t: Trace, vector: int, bdf: str = "0000:41:00.1", irq: int = 57) -> int:
    return t.line(f"irq_handler_entry: irq={irq + vector} name=vfio-msix[{vector}]({bdf})", "<idle>-0")


def nameless(t: Trace, function: str = "vfio_msihandler") -> int:
    return t.line(f"funcgraph_entry:        1.000 us   |  {function}();", "<idle>-0")


def used(vector: int | None, *at: int) -> dict[str, int | None]:
    return {"vector": vector, "entries": len(at), "first": at[0], "last": at[-1]}


def second(t: Trace) -> None:
    """Another function of the same log opens and enables a vector."""
    t.line("in_vfio_pci: (vfio_pci_core_enable+0x4/0x320) vdev=0xff11000000002000", "qemu-kvm-900")
    call = "(vfio_pci_set_irqs_ioctl+0x4/0x320) vdev=0xff11000000002000 flags=0x24 index=2 start=0 count=1"
    t.line(f"in_vfio_pci: {call}", "qemu-kvm-900")
    t.line("out_vfio_pci: (x+0x61/0x90 <- vfio_pci_set_irqs_ioctl) rc=0", "qemu-kvm-900")


def grown(
    before: Callable[[Trace], Any], *, old: int = 1, inside: bool = True, ahead: Callable[[Trace], Any] = lambda t: None
) -> tuple[Trace, Any]:
    """A growth by one vector, and what happened before it; `inside`: whether the calls in SET_IRQS are recorded."""
    t = Trace()
    ahead(t)
    t.open()
    if inside:
        t.enable(old, 16)
    else:
        t.set_irqs(0x24, 2, 0, old, 0)
    at = before(t)
    t.disable()
    t.interrupts(0)  # after the disable began: no use of the old set
    if inside:
        t.enable(old + 1, 16)
    else:
        t.set_irqs(0x24, 2, 0, old + 1, 0)
    t.interrupts(0)
    return t, at


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("inside", [True, False])
def test_vectors_that_interrupt_between_the_enable_and_the_disable_were_in_use(inside: bool) -> None:
    t, at = grown(lambda t: [handler(t, v) for v in (1, 0, 0)], old=2, inside=inside, ahead=lambda t: handler(t, 0))
    w = last(str(t))
    assert (w["in_use"], w["handlers"]) == ([used(0, *at[1:]), used(1, at[0])], True)


@pytest.mark.usefixtures("way")
def test_a_handler_between_the_call_and_the_return_of_the_disable_is_no_use() -> None:
    t = Trace()
    t.open()
    t.enable(1, 16)
    first = t.begin(0x21, 2, 0, 0)
    t.interrupts(0)
    t.leave("vfio_pci_set_irqs_ioctl", 0)
    t.enable(2, 16)
    w = last(str(t))
    assert (w["line"], w["in_use"], w["handlers"]) == (first, [], True)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("before", "mine"),
    [
        (lambda t: [handler(t, 0, OTHER, irq=80)], False),  # another function, another irq
        (lambda t: [handler(t, 0, OTHER)], True),  # the irq is one of the set: only the name is another
        (lambda t: [handler(t, 0), handler(t, 0, OTHER, irq=80)], True),
    ],
)
def test_a_handler_is_of_the_set_by_its_irq_or_by_the_name_of_the_function(before: Callable[[Trace], list[int]], mine: bool) -> None:
    t, at = grown(before)
    assert last(str(t))["in_use"] == [used(0, at[0])] * mine


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(("old", "vector"), [(1, 0), (2, None)])
def test_a_handler_without_a_name_is_of_the_only_vector_of_the_only_device(old: int, vector: int | None) -> None:
    t, at = grown(lambda t: [nameless(t), nameless(t)], old=old)
    w = last(str(t))
    assert (w["in_use"], w["handlers"]) == ([used(vector, *at)], True)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    "text", ["h: (vfio_msihandler+0x0/0x20) irq=57", "h: (vfio_msihandler+0x0/0x20)", "vfio_msihandler <-__handle_irq_event_percpu"]
)
def test_a_probe_or_the_function_tracer_shows_the_handler_too(text: str) -> None:
    t, at = grown(lambda t: [t.line(text, "<idle>-0"), t.line(text, "qemu-kvm-811")])
    w = last(str(t))
    assert (w["in_use"], w["handlers"]) == ([used(0, *at)], True)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(("irq", "mine"), [(57, True), (80, False)])
def test_a_probed_irq_tells_whose_handler_it_is(irq: int, mine: bool) -> None:
    t, at = grown(lambda t: [t.line(f"h: (vfio_msihandler+0x0/0x20) irq={irq}", "<idle>-0")], ahead=second)
    assert last(str(t))["in_use"] == [used(0, at[0])] * mine


@pytest.mark.usefixtures("way")
def test_vectors_without_and_with_a_name_stand_apart() -> None:
    t, at = grown(lambda t: [nameless(t), handler(t, 1), handler(t, 0), nameless(t)], old=2)
    assert last(str(t))["in_use"] == [used(None, at[0], at[3]), used(0, at[2]), used(1, at[1])]


@pytest.mark.usefixtures("way")
def test_a_handler_without_a_name_is_nobodys_where_two_devices_are_open() -> None:
    t, _ = grown(lambda t: nameless(t), ahead=second)
    assert last(str(t))["in_use"] == []


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    "other", [lambda t: nameless(t, "handle_edge_irq"), lambda t: t.line("irq_handler_entry: irq=9 name=acpi", "<idle>-0")]
)
def test_other_handlers_are_no_use(other: Callable[[Trace], int]) -> None:
    t = Trace()
    t.open()
    t.enable(1, 16)
    other(t)
    t.disable()
    t.enable(2, 16)
    assert last(str(t))["in_use"] == []


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(("event", "recorded"), [("irq_handler_entry: irq=9 name=acpi", True), ("softirq_entry: vec=1", False)])
def test_that_no_vector_was_in_use_is_said_where_handlers_are_recorded(event: str, recorded: bool) -> None:
    t = Trace()
    t.open()
    t.enable(1, 16)
    t.line(event, "<idle>-0")
    t.disable()
    t.enable(2, 16)
    assert last(str(t))["handlers"] == recorded


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("name", "mine"), [(OTHER, True), ("0000:99:00.0", False)], ids=["the only function with handlers", "one of two functions"]
)
def test_handlers_of_one_name_are_those_of_an_unnamed_device(name: str, mine: bool) -> None:
    def before(t: Trace) -> list[int]:
        return [handler(t, 0, OTHER, irq=80), handler(t, 0, name, irq=90)]

    t = Trace()
    t.open()
    t.set_irqs(0x24, 2, 0, 1, 0)
    at = before(t)
    t.disable()
    t.set_irqs(0x24, 2, 0, 2, 0)
    assert last(str(t))["in_use"] == ([used(0, *at)] if mine else [])


THIRD = "0000:43:00.0"


def unnamed(others: int, *before: tuple[str, int]) -> str:
    """A growth 1 -> 2 of a device in a recording with others that are open, none of them named, after interrupts of some functions."""
    t = Trace()
    for n in range(others):
        t.line(f"in_vfio_pci: (vfio_pci_core_enable+0x4/0x320) vdev={0xFF11000000002000 + n:#x}", f"qemu-kvm-90{n}")
    t.open()
    t.set_irqs(0x24, 2, 0, 1, 0)
    for n, (bdf, vector) in enumerate(before):
        handler(t, vector, bdf, irq=80 + 10 * n)
    t.disable()
    t.set_irqs(0x24, 2, 0, 2, 0)
    return str(t)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("others", "before", "handlers"),
    [
        (0, [(OTHER, 0), (THIRD, 0)], None),  # it may be neither
        (1, [(OTHER, 0), (THIRD, 0)], False),  # whichever it is, it was in use
        (1, [(OTHER, 0), (THIRD, 5)], None),
        (1, [(OTHER, 0)], None),
        (2, [(OTHER, 0), (THIRD, 0)], None),
        (1, [(OTHER, 5), (THIRD, 5)], True),  # vectors that it does not have
        (1, [], True),
    ],
)
def test_interrupts_of_an_unknown_function_leave_open_whether_a_vector_was_in_use(
    others: int, before: list[tuple[str, int]], handlers: bool | None
) -> None:
    text = unnamed(others, *before, *([] if before else [("0000:00:00.0", 9)]))
    w = last(text)
    assert (w["in_use"], w["handlers"]) == ([], handlers)


def test_what_is_said_of_a_growth_after_interrupts_of_an_unknown_function() -> None:
    told = {
        n: (outcome(run(unnamed(1, *before)), "VFIO-002").outcome, [f.grade for f in findings(unnamed(1, *before))])
        for n, before in (("every", [(OTHER, 0), (THIRD, 0)]), ("some", [(OTHER, 0)]), ("none", [(OTHER, 5), (THIRD, 5)]))
    }
    assert told == {"every": ("found", ["probable"]), "some": ("inconclusive", []), "none": ("clear", [])}


# How long no handler was set, and no vectors existed.


def narrowed(
    *,
    fd: int = -1,
    own: str = "qemu-kvm-811",
    returns: bool = True,
    refused: int = 0,
    freed: bool = True,
    made: int = 2,
    alloc: bool = True,
) -> str:
    """A growth of which SET_IRQS shows the calls inside: one a 100 us."""
    t = Trace()
    t.open()
    t.enable(1, 16)
    t.begin(0x21, 2, 0, 0)
    t.line(f"in_vfio_msi: (vfio_msi_set_vector_signal+0x4/0x320) vdev={t.vdev:#x} vector=0 fd={fd} msix=1", own)
    t.line("out_vfio_msi: (x+0x61/0x90 <- vfio_msi_set_vector_signal) rc=0", own)
    if freed:
        t.line(f"in_free: (pci_free_irq_vectors+0x4/0x320) dev={t.dev:#x}")
    t.leave("vfio_pci_set_irqs_ioctl", 0)
    t.begin(0x24, 2, 0, 2)
    t.line(f"in_alloc: (pci_alloc_irq_vectors+0x4/0x320) dev={t.dev:#x} min_vecs=1 max_vecs=2 flags=0x4")
    t.line(f"out_alloc: (x+0x61/0x90 <- pci_alloc_irq_vectors) rc={made}")
    t.entry("vfio_msi_set_vector_signal", f"vdev={t.vdev:#x} vector=0 fd=20 msix=1")
    if alloc:
        t.line("vector_alloc: irq=57 vector=40 reserved=1 ret=0")
    if returns:
        t.leave("vfio_msi_set_vector_signal", refused)
    t.leave("vfio_pci_set_irqs_ioctl", 0)
    return str(t)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("change", "no_handler_us", "no_vectors_us"),
    [
        (
            {},
            900,
            400,
        ),  # from the call that detaches the vector to the return of the one that wires it; from the free to the alloc's return
        ({"fd": 0}, None, 400),  # a file descriptor: nothing was detached
        ({"own": "qemu-kvm-900"}, None, 400),  # another task's call
        ({"freed": False}, 800, None),
        ({"made": 1}, 900, 400),
        ({"made": 0}, 900, None),
        ({"made": -28}, 900, None),
        ({"refused": 1}, 900, 400),
        ({"refused": -28}, None, 400),  # the vector was not wired again
        ({"returns": False}, 800, 400),  # where its CPU vector was allocated
        ({"returns": False, "alloc": False}, 700, 400),  # where it was called
    ],
)
def test_the_calls_inside_narrow_a_window(change: dict[str, Any], no_handler_us: int | None, no_vectors_us: int | None) -> None:
    w = last(narrowed(**change))
    assert [None if w[c] is None else w[c] / 1000 for c in ("no_handler", "no_vectors")] == [no_handler_us, no_vectors_us]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("unknown", [False, True])
def test_vectors_enabled_before_the_recording_interrupt_from_its_start_or_from_a_call_that_shows_nothing(unknown: bool) -> None:
    t = Trace()
    at = [handler(t, 0)]
    if unknown:
        t.entry("vfio_pci_set_irqs_ioctl", "")
        t.leave("vfio_pci_set_irqs_ioctl", 0)
    at.append(handler(t, 1))
    first = t.begin(0x21, 2, 0, 0)
    for vector in range(2):
        t.entry("vfio_msi_set_vector_signal", f"vdev={t.vdev:#x} vector={vector} fd=-1 msix=1")
        t.line("out_vfio_msi_: (vfio_msi_disable+0x71/0xe0 <- vfio_msi_set_vector_signal) rc=0")
    t.leave("vfio_pci_set_irqs_ioctl", 0)
    t.set_irqs(0x24, 2, 0, 4, 0)
    w = last(str(t))
    assert (w["line"], w["old"], w["new"]) == (first, 2, 4)
    assert w["in_use"] == ([used(1, at[1])] if unknown else [used(0, at[0]), used(1, at[1])])
