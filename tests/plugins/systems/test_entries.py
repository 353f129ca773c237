"""Entries of interrupt remapping: MSI-X takes any, a block of plain MSI lies at a multiple of its size."""

from typing import Any

import pytest
from round_trip import engine
from tracekit_systems.scenarios.entries import Entries

from tracekit.simulate.settings import scenario
from tracekit.simulate.simulator import Parts


def numbers(e: Entries, device: str) -> list[int]:
    return [n for n in range(e.size) if e.held.get(device, 0) >> n & 1]


def test_msix_takes_the_lowest_one_by_one() -> None:
    e = Entries(8, True)
    e.take("a", 3)
    e.take("b", 2)
    e.free("a")
    e.take("c", 4)
    assert [numbers(e, d) for d in "abc"] == [[], [3, 4], [0, 1, 2, 5]]
    assert e.add("b") and numbers(e, "b") == [3, 4, 6]
    assert e.add("b") and not e.add("b")
    assert (e.left("b"), e.left("c"), e.taken()) == (4, 4, 8)


@pytest.mark.parametrize(
    ("shared", "size", "count", "found"),
    [
        (True, 16, 4, [4, 5, 6, 7]),  # 0 is taken: the next multiple of 4
        (True, 16, 3, [4, 5, 6, 7]),  # Intel rounds up
        (False, 16, 3, [0, 1, 2]),  # AMD takes three of a table that only this device has
        (True, 7, 4, []),  # six are free, and none of four side by side at a multiple of 4
        (True, 7, 2, [2, 3]),
        (True, 7, 1, [1]),
        (False, 3, 4, []),
    ],
)
def test_a_block_begins_at_a_multiple_of_its_size(shared: bool, size: int, count: int, found: list[int]) -> None:
    e = Entries(size, shared)
    e.take("other", 1)
    assert (e.block("mine", count), numbers(e, "mine")) == (bool(found), found)


ONE: dict[str, Any] = {"name": "0000:05:00.0", "table": [1]}
MSI: dict[str, Any] = {"name": "0000:3d:00.0", "kind": "msi", "table": [4]}


@pytest.mark.parametrize(
    ("host", "verdict", "asked"),
    [
        ({"irtes": 8}, "none", "SET_IRQS 0+4 eventfd: 0"),
        # Six entries are left, and none of four from a multiple of four on: the kernel tries one, QEMU asks again for it.
        ({"irtes": 7}, "MSI-004, VEC-005", "SET_IRQS 0+4 eventfd: 1; SET_IRQS 0+1 eventfd: 0"),
        ({"irtes": 4, "iommu": "amd"}, "none", "SET_IRQS 0+4 eventfd: 0"),
        ({"cpus": 1, "vectors": 4}, "MSI-004, VEC-002", "SET_IRQS 0+4 eventfd: 1; SET_IRQS 0+1 eventfd: 0"),
        ({"cpus": 1, "vectors": 1}, "VEC-002", "SET_IRQS 0+4 eventfd: -28"),
    ],
)
def test_a_block_that_does_not_fit_is_cut_to_one(host: dict[str, Any], verdict: str, asked: str) -> None:
    registry = engine().registry
    told = registry.simulators[0]().run(scenario({"host": host, "devices": [ONE, MSI]}), Parts(registry.machines, registry.gates))
    enabled = next(s for s in told.steps if s.what == "the guest enables MSI")
    assert (told.verdict, enabled.ends) == (verdict, asked)
