"""Operations of many calls, which come from columns, are those of few calls, which are read one by one."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal
from tracekit_linux.calls.functions import FUNCTIONS
from tracekit_linux.operations import model
from tracekit_linux.operations.columns import related
from tracekit_linux.operations.reading import Reading
from tracekit_linux.operations.tree import REMOVALS, SET_IRQS
from tracekit_linux.tables import OPERATIONS

from tracekit.pipeline import Options, analyze
from tracekit.testing import engine, play, tables

LOGS = sorted((Path(__file__).parents[3] / "sample_traces").glob("*/*/*.t*xt"))
TRACES = [p for p in LOGS if "msi_insert_desc" in p.read_text(encoding="utf-8", errors="replace")]
OFTEN = (
    *SET_IRQS, "__pci_enable_msix_range", "pci_alloc_irq_vectors_affinity", "msi_insert_desc", "msi_domain_insert_msi_desc",
    "vfio_msi_set_vector_signal", "vfio_pci_core_enable", "vfio_pci_core_disable", "vfio_pci_core_close_device", "request_threaded_irq",
    "pci_setup_msix_device_domain", "msi_create_device_irq_domain", "msi_remove_device_irq_domain", "free_irq", "msi_get_device_domain",
    "msi_domain_get_hwsize", "vfio_msi_disable", "pci_free_irq_vectors", "pci_msix_vec_count",
)  # fmt: skip
ALL = (*FUNCTIONS, *REMOVALS, "some_driver_fn")
POINTERS = {"dev": 0xFF11000000000000, "vdev": 0xFF22000000000000, "group": 0xFF33000000000000}
NUMBERS = {"flags": (0x24, 0x21, 4, 2), "index": (0, 1, 2, 2, 2, 3, 5), "hwsize": (4, 70000), "irq": (-1, 21, 22), "fd": (-1, 7)}


@pytest.mark.parametrize("log", TRACES, ids=lambda p: f"{p.parent.parent.name}/{p.parent.name}")
def test_the_same_operations(log, monkeypatch):
    few, many = (operations(log, most, monkeypatch) for most in (1 << 30, 0))
    assert few.keys() == many.keys()
    for name, rows in few.items():
        assert_frame_equal(many[name], rows)


def operations(log, most, monkeypatch):
    """The tables of operations where a table of at most so many rows is made row by row."""
    monkeypatch.setattr(model, "FEW", most)
    tables = analyze([str(log)], Options(keep_tables=("*",)), engine("*")).tables
    return {t.name: tables[t.name] for t in OPERATIONS if t.name in tables and tables[t.name].height}


@pytest.mark.parametrize("seed", range(24))
def test_the_same_devices_and_operations_of_any_calls(seed, monkeypatch):
    heard = {name: t for name, t in tables(trace(random.Random(seed))).items() if name in model.Operations.hears()}
    monkeypatch.setattr(model, "FEW", 1 << 30)
    few = play(model.Operations, heard)
    monkeypatch.setattr(model, "FEW", 0)
    many = play(model.Operations, heard)
    for name, rows in few.items():
        assert_frame_equal(many[name], rows)


def test_calls_with_all_arguments_and_results_are_not_read_one_by_one(monkeypatch):
    monkeypatch.setattr(model, "FEW", 0)
    monkeypatch.setattr(Reading, "operations", None)
    text = "".join(f" qemu-7 [001] .....  1.{n:06}: {line}\n" for n, line in enumerate(SESSION.splitlines()))
    made = tables(text)
    assert made["op_insert"].select("index", "ret", "line").rows() == [(0, 0, 3), (1, -34, 5)]
    assert made["op_set_irqs"].select("data", "count", "ret", "line", "line_end").rows() == [("eventfd", 2, -28, 1, 8)]
    assert made["op_alloc"]["entity"].to_list() == made["op_set_irqs"]["entity"].to_list() != [None]


def test_calls_with_one_number_are_no_columns():
    calls = tables(" qemu-7 [001] .....  1.000001: k_i: (msi_insert_desc+0x4/0x130) index=1\n")["calls"]
    assert related(calls) is not None
    assert related(calls.vstack(calls)) is None


SESSION = """\
k_set: (vfio_pci_set_irqs_ioctl+0x4/0xd0) vdev=0xff22000000001000 flags=0x24 index=2 start=0 count=2
k_msix: (__pci_enable_msix_range+0x4/0x520) dev=0xff11000000001000 minvec=1 maxvec=2
k_ins: (msi_insert_desc+0x4/0x130) dev=0xff110000000010c8 domid=0 index=0
r_ins: (msix_setup_msi_descs+0xe1/0x220 <- msi_insert_desc) ret=0
k_ins: (msi_insert_desc+0x4/0x130) dev=0xff110000000010c8 domid=0 index=1
r_ins: (msix_setup_msi_descs+0xe1/0x220 <- msi_insert_desc) ret=-34
r_msix: (pci_alloc_irq_vectors_affinity+0xa9/0x110 <- __pci_enable_msix_range) ret=-28
r_set: (vfio_pci_core_ioctl+0x965/0x1090 <- vfio_pci_set_irqs_ioctl) ret=-28
"""


def trace(rnd: random.Random) -> str:
    """Calls of several tasks, interleaved, some at one time: addresses used again, arguments, results, entries and returns lost."""
    argued, unanswered, lost = rnd.choice((1, 0.9, 0.5)), rnd.choice((0, 0, 0.1, 0.9)), rnd.choice((0, 0, 0.02, 0.2))
    silent = set(rnd.sample(ALL, rnd.choice((0, 0, 5, 20))))
    lanes: dict[int, list[str]] = {}
    for _ in range(rnd.randint(4, 30)):
        lanes.setdefault(rnd.choice((0, 7, 8, 9, 10)), []).extend(call(rnd, silent, argued, unanswered, 0))
    lanes.setdefault(7, []).append("sys_enter_ioctl: fd: 0x00000006, cmd: 0x00003b6e, arg: 0x2f89e6e0")
    lines, ts = [], 0
    while lanes := {task: texts for task, texts in lanes.items() if texts}:
        task, ts = rnd.choice(list(lanes)), ts + rnd.choice((0, 1))
        lines.append(f" vfio-{task:<5} [00{rnd.randint(0, 1)}] .....  1.{ts:06}: {lanes[task].pop(0)}\n")
        if rnd.random() < 0.05:
            name = f"vfio-msix[{rnd.randint(0, 3)}](0000:{rnd.randint(1, 3):02x}:00.0)"
            lines.append(f" <idle>-0     [001] d.h1.  1.{ts:06}: irq_handler_entry: irq={rnd.randint(20, 30)} name={name}\n")
    return "".join(line for line in lines if rnd.random() >= lost)


def call(rnd: random.Random, silent: set[str], argued: float, unanswered: float, depth: int) -> Iterator[str]:
    """What kprobes show of a call and of what it calls."""
    name = rnd.choice(OFTEN if rnd.random() < 0.5 else ALL)
    parameters = FUNCTIONS[name].parameters if name in FUNCTIONS else ("dev",)
    yield f"k_{name}: ({name}+0x4/0x130) " + " ".join(f"{a}={value(rnd, a)}" for a in parameters if rnd.random() < argued)
    for _ in range(rnd.choice((0, 1, 1, 2, 3)) if depth < 5 else 0):
        yield from call(rnd, silent, argued, unanswered, depth + 1)
    if rnd.random() < 0.2:
        yield f"vector_activate: irq={rnd.randint(20, 30)} is_managed=0 can_reserve=1 reserve=1"
    if name not in silent:
        found = "ret=" + (
            value(rnd, "dev") if name in ("msi_get_device_domain", "msi_desc_to_pci_dev") else str(rnd.choice((0, 1, 2, -34)))
        )
        yield f"r_{name}: ({rnd.choice(ALL)}+0xe1/0x220 <- {name}) " + (found if rnd.random() >= unanswered else "")


def value(rnd: random.Random, argument: str) -> str:
    if argument in POINTERS:
        return hex(POINTERS[argument] + rnd.randrange(3) * 0x1000 + (rnd.choice((0, 0xC8, 0xD0)) if argument == "dev" else 0))
    return str(rnd.choice(NUMBERS.get(argument, (0, 1, 2, 3, -1))))
