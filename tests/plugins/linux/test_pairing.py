"""Pairing by column gives the same calls as pairing row by row, on random traces: events lost, orphans, overruns, tasks interleaved."""

import random
from collections.abc import Iterator

import pytest
from row_by_row import calls
from tracekit_linux.calls import model
from tracekit_linux.calls.rows import KINDS

from tracekit.testing import tables

KNOWN = (
    "vfio_pci_core_enable", "vfio_pci_set_irqs_ioctl", "vfio_pci_set_msi_trigger", "pci_alloc_irq_vectors_affinity", "__pci_enable_msix_range",
    "pci_setup_msix_device_domain", "msi_create_device_irq_domain", "msi_insert_desc", "msi_domain_get_hwsize", "pci_irq_vector",
    "vfio_msi_set_vector_signal", "request_threaded_irq", "vfio_msi_disable", "pci_free_irq_vectors", "xen_destroy_irq", "free_irq",
)  # fmt: skip
RANKED = (*KNOWN[1:2], *KNOWN[3:6], "pci_irq_vector")  # each can call those behind it
OTHERS = ("ktime_get", "mutex_lock", "irq_domain_alloc_descs")
ARGUMENTS = ("dev", "vdev", "pdev", "index", "flags", "count", "hwsize", "arg2", "minvec", "whatever")
VALUES = ("0x0", "0xff11000000001000", "0xff11000000002000", "-1", "3", "18446744073709551582", "{1,2}", '"msi-x"', "0xzz", "1_0", "")
RETURNS = ("ret=0", "ret=0xffffffde", "rc=-34", "a=1 result=2", "a=1 b=2", "ret=none", "", "ret=0xff11000000002001")
DEFINITIONS = "p:grp/defined msi_insert_desc where=%cx:u32 index=%dx:u32\nr10:grp/answer msi_insert_desc index=$retval:s32 x=%di\n"


def probes(rnd: random.Random) -> Iterator[tuple[int, str]]:
    """(task, text) of probes, well nested; some have an address only, some functions have no return probe."""
    silent = set(rnd.sample(KNOWN, 3))
    for _ in range(rnd.randint(2, 8)):
        task = rnd.choice((0, 7, 8, 9))
        yield from ((task, text) for text in _nested(rnd, silent, 0))


def _nested(rnd: random.Random, silent: set[str], depth: int) -> Iterator[str]:
    name = rnd.choice(KNOWN)
    args = " ".join(f"{a}={rnd.choice(VALUES)}" for a in rnd.sample(ARGUMENTS, rnd.randint(0, 4)))
    address = 0xFFFFFFFF81000000 + 64 * KNOWN.index(name)
    bare, probe = rnd.random() < 0.2, rnd.choice((f"k_{name}", "defined", "plain", name))
    yield f"{probe}: ({address:x}) {args}" if bare else f"{probe}: ({name}+0x4/0x130) {args}"
    if depth < 5:
        for _ in range(rnd.choice((0, 1, 1, 2))):
            yield from _nested(rnd, silent, depth + 1)
    if name not in silent:
        caller, result = rnd.choice(KNOWN), rnd.choice(RETURNS)
        place = f"{address + 999:x} <- {address:x}" if bare else f"{caller}+0xe1/0x220 <- {name}"
        yield f"{rnd.choice(('r_' + name, 'answer'))}: ({place}) {result}".rstrip()


def traced(rnd: random.Random) -> str:
    """Probes and system calls of several tasks, interleaved, with events lost and repeated."""
    lanes: dict[int, list[str]] = {}
    for task, text in probes(rnd):
        lanes.setdefault(task, []).append(text)
        if rnd.random() < 0.1:
            cmd = rnd.choice((0x3B6E, 0x3B6A, 0xAE80))
            lanes[task] += [f"sys_enter_ioctl: fd: 0x00000006, cmd: 0x{cmd:08x}, arg: 0x2f89e6e0"]
        if rnd.random() < 0.1:
            lanes[task] += [f"sys_exit_ioctl: {rnd.choice(('0x0', '0xffffffde'))}"]
    lines = []
    while lanes:
        task = rnd.choice(list(lanes))
        lines.append(f" vfio-{task:<5} [00{rnd.randint(0, 1)}] .....  1.{len(lines):06}: {lanes[task].pop(0)}")
        if not lanes[task]:
            del lanes[task]
    return "".join(f"{line}\n" for line in _damaged(rnd, lines))


def tidy(rnd: random.Random) -> str:
    """Probes of several tasks, each call with its return below one that can call it; one task may lose an event."""
    lanes = {task: list(_ranked(rnd, 0)) for task in (0, 7, 8, 9)}
    if rnd.random() < 0.5:
        del lanes[7][rnd.randrange(len(lanes[7]))]
    lines = []
    while lanes := {task: texts for task, texts in lanes.items() if texts}:
        task = rnd.choice(list(lanes))
        lines.append(f" vfio-{task:<5} [001] .....  1.{len(lines):06}: {lanes[task].pop(0)}\n")
    return "".join(lines)


def _ranked(rnd: random.Random, at: int) -> Iterator[str]:
    for _ in range(rnd.randint(1, 3)):
        n = rnd.randrange(at, len(RANKED))
        yield f"k_{RANKED[n]}: ({RANKED[n]}+0x4/0x130) vdev={rnd.choice(VALUES[1:3])} index={n}"
        if n + 1 < len(RANKED):
            yield from _ranked(rnd, n + 1)
        yield f"r_{RANKED[n]}: (ret_from_fork+0xe1/0x220 <- {RANKED[n]}) ret={n}"


def graph(rnd: random.Random) -> str:
    """A function graph of two CPUs, with or without a column for the task, with switches, interrupts and losses."""
    with_task = rnd.random() < 0.5
    lines = []
    for _ in range(rnd.randint(2, 6)):
        cpu, pid = rnd.randint(0, 1), rnd.randint(100, 103)
        head = f" {cpu})  qemu-{pid:<5} |" if with_task else f" {cpu})"
        for depth, text in _calls(rnd, 0):
            duration = "0.512 us   " if text.endswith(";") or text.startswith("}") else " " * 11
            lines.append(f"{head}   {duration}|  {' ' * 2 * depth}{text}")
        if rnd.random() < 0.3:
            lines.append(f"{head}   ==========> |")
            lines += [f"{head}   {'0.512 us   '}|  {text}();" for text in rnd.sample(KNOWN, 2)]
            lines.append(f"{head}   <========== |")
        if rnd.random() < 0.3:
            lines += [" ------------------------------------------", f" {cpu})  qemu-{pid}  =>  kvm-{pid + 1}", " " + "-" * 42]
    return "# tracer: function_graph\n" + "".join(f"{line}\n" for line in _damaged(rnd, lines))


def _calls(rnd: random.Random, depth: int) -> Iterator[tuple[int, str]]:
    name = rnd.choice(KNOWN if rnd.random() < 0.6 else OTHERS)
    args = rnd.choice(("", "dev=0xff11000000002000, index=3", "x=0"))
    result = rnd.choice(("", " /* = 0x0 */", " /* ret=-34 */"))
    if depth > 4 or rnd.random() < 0.3:
        yield depth, f"{name}({args});{result}"
        return
    yield depth, f"{name}({args}) {{"
    for _ in range(rnd.randint(0, 3)):
        yield from _calls(rnd, depth + 1)
    yield depth, "}" + rnd.choice(("", f" /* {name} */", result))


def _damaged(rnd: random.Random, lines: list[str]) -> Iterator[str]:
    lost = rnd.choice((0, 0, 0.02, 0.1, 0.4))
    for line in lines[rnd.choice((0, 0, len(lines) // 3)) :]:
        if rnd.random() < lost:
            continue
        yield line
        if rnd.random() < lost / 4:
            yield rnd.choice((line, "CPU:0 [LOST 27 EVENTS]", "##### CPU 1 buffer started ####"))


@pytest.mark.parametrize("few", [0, 1 << 30], ids=["columns", "few"])
@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("kind", [traced, tidy, graph], ids=["probes", "tidy", "graph"])
def test_the_same_calls_as_row_by_row(seed, kind, few, monkeypatch):
    monkeypatch.setattr(model, "FEW", few)
    made = tables(DEFINITIONS, kind(random.Random(seed)))
    expected = calls(made)
    assert made["calls"].select(list(expected[0])).to_dicts() == expected if expected else made["calls"].is_empty()


@pytest.fixture
def looped(monkeypatch):
    """Return a list that gets the rows which are not paired by column."""
    found = []
    monkeypatch.setattr(model, "FEW", 0)
    monkeypatch.setattr(model, "_looped", lambda rows, names, own=model._looped: found.append(rows) or own(rows, names))
    return found


@pytest.mark.parametrize("seed", range(10))
def test_a_lane_that_lost_nothing_is_paired_by_column(seed, looped):
    assert tables(tidy(random.Random(seed)))["calls"].height
    assert set(looped[0]["tid"]) <= {7}


def probed(*steps: str) -> str:
    """Return a trace of task 7: `>f` enters a function and `<f` returns, other steps are as they stand."""
    texts = {">": "k: ({}+0x4/0x130) vdev=0x1", "<": "r: (ret_from_fork+0xe1/0x220 <- {}) ret=0"}
    given = [texts[step[0]].format(step[1:]) if step[0] in texts else step for step in steps]
    return "".join(f" vfio-7     [001] .....  1.{n:06}: {text}\n" for n, text in enumerate(given))


SHOWN = " ------------------------------------------\n 1)  vfio-6    =>  vfio-7  \n ------------------------------------------\n"


@pytest.mark.parametrize(
    "text",
    [
        probed(">vfio_pci_core_enable", "<vfio_msi_disable"),
        probed("<pci_irq_vector", ">pci_irq_vector"),
        probed(">pci_irq_vector", ">pci_irq_vector", "<pci_irq_vector", "<pci_irq_vector"),
        probed(">vfio_msi_disable", ">vfio_pci_core_enable", "<vfio_pci_core_enable", "<vfio_msi_disable"),
        probed(">pci_irq_vector.part.0", ">free_irq", "<free_irq", "<pci_irq_vector.part.0"),
        probed("sys_enter_ioctl: fd: 0x6, cmd: 0x0000ae80, arg: 0x0", ">pci_irq_vector", "<pci_irq_vector", "sys_exit_ioctl: 0x0"),
        SHOWN
        + " 1)               |  vfio_pci_core_enable() {\n"
        + probed(">vfio_msi_disable", "<vfio_msi_disable")
        + " 1)   0.5 us      |  }\n",
    ],
    ids=["another's return", "return first", "in itself", "above its caller", "suffix", "other ioctl", "task of a CPU"],
)
def test_a_lane_that_columns_do_not_tell_takes_the_loop(text, looped):
    made = tables(text)
    expected = calls(made)
    assert made["calls"].select(list(expected[0])).to_dicts() == expected
    assert looped[0].height == sum(made[kind].height for kind in KINDS if kind in made)
