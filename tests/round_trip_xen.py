"""Random guests of Xen, the console that they would print, and the analysis of it: what was simulated is found, and nothing else."""

import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from round_trip import SEED, analyzed, told_of

from tracekit.findings import Finding
from tracekit.simulate.answer import Answer

# What a guest's kernel log shows; that Xen has no MSI left to map is in the device model's log (XEN-005).
NAMED, OF_THE_DOMAIN = {"XEN-001", "XEN-004"}, {"XEN-002", "XEN-003"}
IN_THE_MODEL = {"XEN-005"}  # of the guest's devices
# What may come of a low limit on the command line of Xen, and what follows from a request of dom0 that is refused.
BESIDE = {"CFG-004", "XEN-007"}
KINDS = [("xen",), ("xen", "dm"), ("dm",), ("dom0",), ("xen", "dm", "dom0")]


def invented(r: random.Random) -> dict[str, Any]:
    """A guest of Xen with one to three functions, which come and go."""
    sessions = r.randint(1, 6)
    devices = []
    for n in range(r.choice([1, 1, 2, 2, 3])):
        used = sorted(r.sample(range(1, sessions + 1), r.randint(1, sessions)))
        sizes = [r.choice([1, 1, 2, 4, 8, 12]) for _ in range(r.choice([1, 2]))]
        devices.append({"name": f"0000:00:0{5 + n}.0", "table": sizes, "sessions": used, "reload": r.random() < 0.6})
    host: dict[str, Any] = {"xen": r.choice(["4.4", "4.8", "4.12", "4.17"]), "pirqs": r.choice([32, 32, 8, 64])}
    if r.random() < 0.15:
        host["event_channels"] = r.randint(26, 40)
    return {
        "host": host,
        "client": {"version": r.choice(["1.7", "2.0", "2.5", "2.11", "7.2"])},
        "guest": {"kernel": r.choice(["3.10", "4.4.30", "4.9", "4.14", "5.10.100", "6.6"])},
        "sessions": sessions,
        "devices": devices,
    }


def crowded(r: random.Random, tree: dict[str, Any]) -> dict[str, Any]:
    """The same host where Xen has few irqs left, or where dom0 has drivers of its own and few pirqs."""
    host, devices = dict(tree["host"]), list(tree["devices"])
    if r.random() < 0.3:
        host |= {"cpus": 1, "in_use": r.randint(160, 184)}
    if r.random() < 0.4:
        host["dom0_pirqs"] = r.randint(2, 16)
        devices += [
            {"name": f"0000:00:1{n}.0", "driver": "host", "table": [r.choice([1, 3, 9])], "enables": r.choice([[], [1, 3]])} for n in (1, 2)
        ]
    return {**tree, "host": host, "devices": devices}


def disagreements(numbers: Sequence[int], folder: Path, seed: int = SEED) -> list[str]:
    """What differs between the answers to random guests, by their numbers, and the findings of their lines."""
    trees, kinds = {}, {}
    for n in numbers:
        more = random.Random(seed * 40_000_000 + n)
        place = str(folder / f"xen-{n}")
        trees[place], kinds[place] = crowded(more, invented(random.Random(seed * 30_000_000 + n))), more.choice(KINDS)
    told_wrong = []
    for place, answer, findings in analyzed(trees, kinds):
        if wrong := _difference(answer, findings, kinds[place]):
            told_wrong.append(told_of(place, kinds[place], wrong, trees[place]))
    return told_wrong


def _difference(answer: Answer, findings: Sequence[Finding], kinds: tuple[str, ...]) -> str:
    own = {e.device for e in answer.events if e.kind == "dom0"}
    shown = set()
    for f in answer.faults:
        if f.subject in own:
            shown |= {(f.code, "dom0")} if "dom0" in kinds else set()
        elif f.code in IN_THE_MODEL and "dm" in kinds or f.code in OF_THE_DOMAIN and "xen" in kinds:
            shown |= {(f.code, "")} if f.code != "XEN-003" or _leak_shown(answer) else set()
        elif f.code in NAMED and "xen" in kinds:
            shown.add((f.code, f.subject))
    found = {(f.code, _place(f)) for f in findings if f.code not in BESIDE}
    if "dm" in kinds:  # it shows more of a leak, and of numbers used twice: by the functions as the guest has them
        found = {(code, place) for code, place in found if (code, place) in shown or code not in {f.code for f in answer.faults}}
    parts = (("not found", shown - found), ("not simulated", found - shown))
    return "; ".join(f"{what}: {sorted(those)}" for what, those in parts if those)


def _place(f: Finding) -> str:
    return f.subject.label if f.code in NAMED else "dom0" if any(e.source.endswith("dom0.txt") for e in f.evidence) else ""


def _leak_shown(answer: Answer) -> bool:
    """Whether three numbers are seen to be let go, and a later request gets a lower one or none: the release itself is not printed.

    Where any number is handed out a second time, the analysis takes it that Xen gets them back.
    """
    given_out = [m[1] for e in answer.events if e.kind == "message" and (m := re.search(r": xen: msi bound to pirq=(\d+)", e.function))]
    if len(set(given_out)) < len(given_out):
        return False
    serving: dict[str, tuple[str, int]] = {}  # irq -> the device and its number
    gone: set[int] = set()
    seen: set[int] = set()
    for e in (e for e in answer.events if e.kind == "message"):
        if "pci function" in e.function:
            gone |= {pirq for device, pirq in serving.values() if device == e.device}
        elif (bound := re.search(r"pirq=(\d+) --> irq=(\d+)", e.function)) is not None:
            given = int(bound[1])
            seen |= {p for p in gone if p > given}  # a number whose irq this one takes is known to be gone from here on
            gone |= {pirq for irq, (_, pirq) in serving.items() if irq == bound[2] and pirq != given}
            serving[bound[2]] = e.device, given
        elif "Failed to create" in e.function:
            seen |= gone
    return len(seen) >= 3
