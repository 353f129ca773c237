"""Simulations against the brute-force reference: each SET_IRQS of MSI-X returns what the rules alone say, and leaves the same vectors wired.

The reference knows no pools: scenarios in which the host is short of something are left out.
"""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from brute_force import Reference
from round_trip import SEED, engine, invented, program

from tracekit import VFIO_DATA_EVENTFD, VFIO_MSIX
from tracekit.simulate.answer import Answer
from tracekit.simulate.scenario import Scenario
from tracekit.simulate.settings import scenario, written
from tracekit.simulate.simulator import Parts

Step = tuple[str, int, int, int]  # operation, two numbers, result
SHORT = "VEC"  # the host had too little of something
SET_IRQS, OPENED, CLOSED = "vfio_pci_set_irqs_ioctl", "vfio_pci_core_enable", "vfio_pci_core_close_device"


def answered(tree: dict[str, Any]) -> tuple[Scenario, Answer]:
    registry = engine().registry
    asked = scenario(tree)
    return asked, registry.simulators[0]().run(asked, Parts(registry.machines, registry.gates))


def steps(asked: Scenario, answer: Answer, name: str, table: tuple[int, ...]) -> Iterator[Step]:
    """The operations of one function, with the results that the simulated kernel returned."""
    session, closing, call = 0, False, None
    for e in (e for e in answer.events if e.device == name):
        if e.function == OPENED and e.kind == "call":
            session, closing = session + 1, False
            if session in asked.rebinds:
                yield "rebind", 0, 0, 0
            yield "resize", table[min(session, len(table)) - 1], 0, 0
        elif e.function == CLOSED:
            closing = True
            yield "close", 0, 0, 0
        elif e.function == SET_IRQS and not closing:
            if e.kind == "call":
                call = e.args
            elif call is not None and call["index"] == VFIO_MSIX:
                what = "enable" if call["flags"] & VFIO_DATA_EVENTFD else "disable"
                yield what, call["start"], call["count"], e.ret


def differs(tree: dict[str, Any]) -> str:
    """The first result that the reference does not have; nothing where all agree, or where the reference cannot say."""
    asked, answer = answered(tree)
    if any(f.code.startswith(SHORT) for f in answer.faults):
        return ""
    for d in (d for d in asked.devices if d.kind == "msix"):
        reference = Reference(answer.gates["KV2"], answer.gates["KV4"], d.table[0])
        for n, (what, a, b, ret) in enumerate(steps(asked, answer, d.name, d.table)):
            if (wanted := reference.step(what, a, b)) != ret:
                return f"{d.name}, operation {n}: {what} {a} {b} returned {ret}, not {wanted}\n{written(asked)}"
    return ""


@pytest.mark.parametrize("block", range(4))
def test_programs_get_what_the_rules_say(block: int) -> None:
    told = [text for n in range(block * 250, block * 250 + 250) if (text := differs(program(random.Random(n))))]
    assert told == []


@pytest.mark.parametrize("block", range(4))
def test_clients_get_what_the_rules_say(block: int) -> None:
    told = [text for n in range(block * 250, block * 250 + 250) if (text := differs(invented(random.Random(SEED * 10_000_000 + n))))]
    assert told == []
