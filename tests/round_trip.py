"""Random scenarios, the lines that they would print, and the analysis of these: what was simulated is found, and nothing else."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tracekit_systems.scenarios.qemu import WIRING

from tracekit import ERANGE, release_of
from tracekit.findings import Finding
from tracekit.pipeline import Engine, Options, analyze, analyze_opened, open_together
from tracekit.run import Run
from tracekit.simulate.answer import Answer
from tracekit.simulate.settings import scenario, written
from tracekit.simulate.simulator import Parts

SEED = 20
TOGETHER = 64  # their lines are parsed in one go
# What a trace with kprobes and the kernel log can show. Not VEC-002, whose irqs no event names before they are requested; not VFIO-001,
# which needs what the guest saw. CFG codes and VFIO-008 are about what may come of it.
SHOWN = {
    *("MSI-001", "MSI-002", "MSI-003", "MSI-004", "VFIO-002", "VFIO-003", "VFIO-004", "VFIO-005", "VFIO-006", "VFIO-007", "VFIO-011"),
    *("VEC-001", "VEC-003", "VEC-005"),
}
# What QEMU's own trace and messages show, which have neither irqs nor, before 10.1, the errno of an enable.
BY_QEMU = {"MSI-001", "VFIO-002", "VFIO-003", "VFIO-004"}
KINDS = [("ftrace", "dmesg")] * 3 + [("ftrace", "dmesg", "qemu"), ("qemu",)]
BESIDE = {"OBS-001", "CFG-001", "CFG-002", "VFIO-008"}


@cache
def engine() -> Engine:
    return Engine.load(simulators=True)


def simulated(tree: dict[str, Any], folder: Path, kinds: Sequence[str] = KINDS[0]) -> tuple[Answer, tuple[Finding, ...]]:
    """The answer to a scenario, and the findings of what it would print."""
    answer = printed(tree, folder, kinds)
    return answer, findings_of(analyze([str(folder)], Options(), engine()))


def printed(tree: dict[str, Any], folder: Path, kinds: Sequence[str] = KINDS[0]) -> Answer:
    """The answer to a scenario, whose lines are written into a folder."""
    registry = engine().registry
    simulator, asked = registry.simulators[0](), scenario(tree)
    answer = simulator.run(asked, Parts(registry.machines, registry.gates))
    for kind in kinds:
        (folder / f"{kind}.txt").write_text(simulator.emit(answer, asked, kind))
    return answer


def findings_of(run: Run) -> tuple[Finding, ...]:
    """The findings that a simulation can foretell."""
    assert not run.errors
    return tuple(f for f in run.findings if f.code not in BESIDE)


def invented(r: random.Random) -> dict[str, Any]:
    """A host, a client, a guest and one to three functions."""
    host: dict[str, Any] = {
        "kernel": r.choice(["5.10.200", "6.1.90", "6.2", "6.6.17", "6.12.95", "7.2"]),
        "arch": r.choice(["x86"] * 5 + ["arm64"]),
        "iommu": r.choice(["intel", "intel", "amd"]),
        "remapping": r.random() > 0.05,
    }
    if r.random() < 0.2:
        host |= {"cpus": 1, "vectors": r.randint(3, 12)}
    if r.random() < 0.1:
        host["irtes"] = r.randint(4, 12)
    sizes = [r.choice([1, 2, 3, 4, 6, 8, 12, 16]) for _ in range(r.choice([1, 1, 2, 2, 3]))]
    device = {"name": r.choice(["0000:3d:00.0", "0001:41:00.1"]), "table": sizes, "queues": r.choice([0, 0, 2, 5, 12])}
    device |= {"kind": r.choice(["msix"] * 6 + ["msi"]), "functions": r.choice([1, 1, 1, 2])}
    second = {"name": "0000:05:00.0", "table": [r.choice([1, 4, 8]), r.choice([2, 8])]}
    return {
        "host": host,
        "client": {"name": r.choice(["qemu"] * 5 + ["kvmtool"]), "version": r.choice(["4.2", "7.0", "7.2", "8.1", "8.2", "10.1"])},
        "guest": {
            "unmask": r.choice(["after enable", "before enable"]),
            "traffic": r.random() > 0.15,
            "kind": r.choice("aaab"),
        },
        "devices": [device, second] if r.random() < 0.2 else [device],
        "rebinds": [2] if r.random() < 0.25 else [],
    }


def program(r: random.Random) -> dict[str, Any]:
    """A program that sends what it likes, to a table that changes its size, on any kernel."""
    sessions = r.randint(1, 4)
    requests: list[dict[str, Any]] = []
    for n in range(1, sessions + 1):
        for _ in range(r.randint(1, 6)):
            first = r.choice([0, 0, 0, 1, 3])
            enable = {"start": first, "count": r.choice([1, 2, 3, 5, 8])}
            requests.append({"session": n, **r.choice([enable, enable, enable, {"what": "disable"}])})
    return {
        "host": {"kernel": r.choice(["5.10.200", "6.1.90", "6.2", "6.6.17", "6.12.95", "7.2"]), "arch": r.choice(["x86", "x86", "arm64"])},
        "client": {"name": "program"},
        "devices": [{"table": [r.choice([1, 2, 3, 5, 8]) for _ in range(sessions)]}],
        "requests": requests,
        "rebinds": [n for n in range(2, sessions + 1) if r.random() < 0.3],
    }


def kinds_of(r: random.Random, tree: dict[str, Any]) -> tuple[str, ...]:
    """Which lines are written: kvmtool has no trace."""
    kinds = r.choice(KINDS)
    return kinds if tree["client"]["name"] == "qemu" else KINDS[0]


def told(answer: Answer, faults: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """The faults of devices that a trace names: those that interrupted; the others are pointers, and what is short is the host's."""
    named = {e.device for e in answer.events if e.function == "irq_handler_entry"}
    return {(code, subject if subject in named and not code.startswith("VEC") else "") for code, subject in faults if code in SHOWN}


def disagreements(numbers: Sequence[int], folder: Path, seed: int = SEED, programs: bool = False) -> list[str]:
    """What differs between the answers to random scenarios, by their numbers, and the findings of their lines."""
    draw = program if programs else invented
    trees = {str(folder / str(n)): draw(random.Random(seed * 10_000_000 + n)) for n in numbers}
    kinds = {place: kinds_of(random.Random(seed * 20_000_000 + n), tree) for n, (place, tree) in zip(numbers, trees.items(), strict=True)}
    told_wrong = []
    for place, answer, findings in analyzed(trees, kinds):
        differs = _difference_by_qemu(answer, findings, trees[place]) if kinds[place] == ("qemu",) else None
        if programs and any(f.code == "VFIO-007" for f in answer.faults):
            continue  # vectors that a block took down interrupted before: the analysis counts them as in use at a later disable
        if wrong := _difference(answer, findings) if differs is None else differs:
            told_wrong.append(told_of(place, kinds[place], wrong, trees[place]))
    return told_wrong


def analyzed(trees: Mapping[str, dict[str, Any]], kinds: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, Answer, tuple[Finding, ...]]]:
    """The folder of each scenario, its answer, and the findings of the lines that are written there; some are analyzed together."""
    for i in range(0, len(trees), TOGETHER):
        places = list(trees)[i : i + TOGETHER]
        for place in places:
            Path(place).mkdir()
        answers = {place: printed(trees[place], Path(place), kinds[place]) for place in places}
        opened = open_together(places, engine())
        yield from ((place, answers[place], findings_of(analyze_opened(opened[place], Options(), engine()))) for place in places)


def told_of(place: str, kinds: Sequence[str], wrong: str, tree: dict[str, Any]) -> str:
    """What differs, and the scenario as TOML."""
    return f"number {Path(place).name}, {','.join(kinds)}: {wrong}\n{written(scenario(tree))}"


def _difference(answer: Answer, findings: Sequence[Finding]) -> str:
    simulated_faults = told(answer, ((f.code, f.subject) for f in answer.faults))
    found = told(answer, ((f.code, f.subject.label) for f in findings))
    return _text(simulated_faults, found, {f.code for f in findings} - SHOWN - {"VEC-002"})


def _difference_by_qemu(answer: Answer, findings: Sequence[Finding], tree: dict[str, Any]) -> str:
    """What differs where QEMU's lines are alone: these name devices, but tell neither what interrupted nor each errno."""
    codes = BY_QEMU if tree["guest"]["traffic"] else BY_QEMU - {"VFIO-002"}
    words = {e.device for e in answer.events if e.kind == "client" and e.ret == ERANGE and (e.function == WIRING or _tells_errno(tree))}
    shown = {"MSI-001": words, "VFIO-002": _confirmed(answer)}
    faults = {(f.code, f.subject) for f in answer.faults if f.code in codes and f.subject in shown.get(f.code, {f.subject})}
    unnamed = {"MSI-001"} if any(f.code == "MSI-001" and f.subject.bdf is None for f in findings) else set()
    found = {(f.code, f.subject.label) for f in findings if f.code in codes}
    return _text(_without(faults, unnamed), _without(found, unnamed), {f.code for f in findings} - BY_QEMU)


def _confirmed(answer: Answer) -> set[str]:
    """The devices of which a vector is used after one was added: the last one may have been in vain."""
    found: set[str] = set()
    added: set[str] = set()
    for e in answer.events:
        if e.function == "start" and e.kind == "client":
            added.clear()
        elif e.kind == "client" and e.ret:
            added.discard(e.device)
        elif e.function == "vfio_msix_vector_do_use" and e.args["vector"]:
            found |= added & {e.device}
            added.add(e.device)
    return found


def _tells_errno(tree: dict[str, Any]) -> bool:
    return release_of(tree["client"]["version"]) >= (10, 1)


def _without(faults: set[tuple[str, str]], unnamed: set[str]) -> set[tuple[str, str]]:
    return {(code, "" if code in unnamed else subject) for code, subject in faults}


def _text(faults: set[tuple[str, str]], found: set[tuple[str, str]], beyond: set[str]) -> str:
    parts = (("not found", faults - found), ("not simulated", found - faults), ("found beside", beyond))
    return "; ".join(f"{what}: {sorted(those)}" for what, those in parts if those)
