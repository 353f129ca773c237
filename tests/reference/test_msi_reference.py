"""The machines against a brute-force reference of sets and integers, written from the rules alone, over random operations."""

import random

import pytest
from brute_force import Reference
from tracekit_msi.machines.msi_domain import MsiDomain
from tracekit_msi.machines.pci_function import PciFunction
from tracekit_vfio.machines.vfio_device import VfioDevice

SEQUENCES = 100_000
LENGTH = 10
TABLES = (1, 2, 3, 5, 8)
Step = tuple[str, int, int]
# What a client asks of the line: data, count, action.
LINE = {
    "line on": ("eventfd", 1, "trigger"),
    "line off": ("none", 0, "trigger"),
    "mask": ("none", 1, "mask"),
    "unmask": ("none", 1, "unmask"),
}
# What a client asks of MSI-X and MSI: index, data, start, count.
CLASSES = {
    "enable": (2, "eventfd", 0, 0),
    "disable": (2, "none", 0, 0),
    "msi on": (1, "eventfd", 0, 1),
    "msi off": (1, "none", 0, 0),
}


class Machines:
    """The shipped machines, composed as the kernel composes them."""

    def __init__(self, own_domain: bool, grows: bool, table: int) -> None:
        self.function = PciFunction(MsiDomain(own_domain, "none" if own_domain else "global"), msix_count=table, msi_count=4, dynamic=grows)
        self.vfio = VfioDevice(dynamic=grows)
        self.resized = False  # since the domain of MSI-X was made

    def step(self, what: str, a: int, b: int) -> int:
        before = self.function.domain.kind
        self.resized |= what == "resize"
        ret = self.apply(what, a, b)
        if self.function.domain.kind != before:
            self.resized = False
        return ret

    def broken(self, ret: int) -> list[str]:
        """The invariants of msi-model.md 1.5 that do not hold, and those of what VFIO has against what the PCI core has.

        I6 (a message changes only while its entry is masked) is about writes to the table, which no machine makes.
        """
        f, v, d = self.function, self.vfio, self.function.domain
        holds = {
            "I1": not (f.msi_enabled and f.msix_enabled),
            "I2": d.kind != "msix" or all(i < (d.hwsize or 0) for i in d.taken),
            "I3, else a table that was resized": d.kind != "msix" or d.hwsize == f.msix_count or self.resized,
            "I4": f.msi_enabled or f.msix_enabled or not f.vectors and not d.taken,
            "I5": ret != 0 or v.irq_type not in (1, 2) or v.allocated == f.vectors,
            "descriptors are the vectors'": not f.msix_enabled or d.taken == f.vectors,
            "what is wired is allocated": v.wired <= v.allocated,
            "what is enabled is so in both": (f.msi_enabled, f.msix_enabled) == (v.irq_type == 1, v.irq_type == 2),
        }
        return [name for name, held in holds.items() if not held]

    def apply(self, what: str, a: int, b: int) -> int:
        f, v = self.function, self.vfio
        if what == "resize":
            f.msix_count = a
        elif what == "rebind":
            v.close()
            f.unbind()
        elif what == "close":
            v.close()
            f.free()
        elif what in LINE:
            index, data, count, action = 0, *LINE[what]
            (ret,) = v.set_irqs(index, 0, count, data, alloc=lambda n: None, wiring=0, action=action) or ()  # type: ignore[arg-type]
            return ret
        else:
            index, data, start, count = CLASSES[what]
            if what == "enable":
                start, count = a, b
            enable = f.enable_msix if index == 2 else f.enable_msi
            was = v.irq_type
            got = v.set_irqs(index, start, count, data, alloc=lambda n: enable(1, n), alloc_at=f.alloc_at, wiring=0)  # type: ignore[arg-type]
            assert got is not None and len(got) == 1
            ret = next(iter(got))
            if data == "none" and ret == 0 or data == "eventfd" and was == 5 and ret != 0:
                f.free()
            return ret
        return 0

    def state(self) -> tuple[bool, bool, set[int], set[int]]:
        return self.vfio.irq_type == 2, self.vfio.irq_type == 0, self.vfio.allocated, self.vfio.wired


def sequence(rng: random.Random) -> list[Step]:
    steps: list[Step] = []
    for _ in range(LENGTH):
        what = rng.choice(("enable", "enable", "enable", "disable", "resize", "rebind", "close", "msi on", "msi off", *LINE))
        if what == "enable":
            first = rng.choice((0, 0, 0, 1, 3))
            steps.append((what, first, rng.choice((0, 1, 2, 3, 5, 8)) if first == 0 else rng.choice((1, 2, 3))))
        else:
            steps.append((what, rng.choice(TABLES), 0))
    return steps


def disagreements(count: int, seed: int) -> list[tuple[list[Step], int]]:
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        own, grows, table = rng.random() < 0.8, rng.random() < 0.5, rng.choice(TABLES)
        steps = sequence(rng)
        want, got = Reference(own, grows, table), Machines(own, grows, table)
        for i, step in enumerate(steps):
            ret = got.step(*step)
            if want.step(*step) != ret or got.broken(ret) or want.state() != got.state():
                found.append((steps[: i + 1], i))
                break
    return found


def test_both_agree_on_a_few() -> None:
    assert disagreements(3_000, 1) == []


@pytest.mark.slow
def test_both_agree_on_100_000_sequences() -> None:
    assert disagreements(SEQUENCES, 2) == []
