"""Programs that send SET_IRQS themselves, and drivers of the host that enable more than once."""

from pathlib import Path
from typing import Any

import pytest
from round_trip import engine, simulated

from tracekit.simulate.answer import Answer
from tracekit.simulate.settings import scenario
from tracekit.simulate.simulator import Parts

BDF = "0000:3d:00.0"
SET_8: dict[str, Any] = {"count": 8}


def program(requests: list[dict[str, Any]], **tree: Any) -> dict[str, Any]:
    return {"client": {"name": "program"}, "devices": [{"table": [8, 16]}], "requests": requests, **tree}


def answer(tree: dict[str, Any]) -> Answer:
    registry = engine().registry
    return registry.simulators[0]().run(scenario(tree), Parts(registry.machines, registry.gates))


OFF = {"what": "disable"}
GROWN = [{"table": [2, 8]}]
SECOND = [{"session": 2, "count": 2}]


@pytest.mark.parametrize(
    ("tree", "faults"),
    [
        (program([SET_8, OFF, {"session": 2, "count": 16}]), {"MSI-001"}),
        (program([SET_8, OFF, {"session": 2, "count": 16}], rebinds=[2]), set()),
        (program([{}, OFF, {"count": 4}], host={"kernel": "6.1"}), {"VFIO-002"}),
        (program([{}, OFF, {"count": 4}], host={"kernel": "6.1"}, guest={"traffic": False}), set()),
        (program([{}, OFF, {}], host={"kernel": "6.1"}), set()),  # no more vectors than before: no growth
        (program([{}, {"start": 1, "count": 3}], host={"kernel": "6.1"}), {"VFIO-005"}),
        (program([{}, {"start": 1, "count": 3}], host={"kernel": "6.12"}), set()),
        (program([{}, {"count": 3}], gates=["-KV4"]), {"VFIO-005", "VFIO-007"}),  # the block begins with a vector that is wired
        (program([OFF, OFF]), set()),
        (program([{"count": 2}, OFF, *SECOND, {"session": 2, **OFF}, {"session": 2, "count": 8}], devices=GROWN), {"MSI-001", "VFIO-003"}),
        (program([{"count": 2}, OFF, *SECOND, {"session": 2, **OFF}, {"session": 2, "count": 8}, *SECOND], devices=GROWN), {"MSI-001"}),
        # A domain of two entries: the block takes vectors 0 and 1 down with it; a block beyond them leaves them alone.
        (program([{"count": 2}, OFF, *SECOND, {"session": 2, "count": 3}], devices=GROWN), {"MSI-001", "VFIO-004", "VFIO-007"}),
        (program([{"count": 2}, OFF, *SECOND, {"session": 2, "start": 2, "count": 2}], devices=GROWN), {"MSI-001", "VFIO-004"}),
        # A disable that finds nothing, and a request beyond the table, change nothing between a disable and the enable of more.
        (program([{}, OFF, OFF, {"count": 9}, {"count": 4}], host={"kernel": "6.1"}), {"VFIO-002"}),
        (program([SET_8, {"count": 9}, {"start": 8}]), set()),  # no vectors of this table: the ioctl refuses them
    ],
)
def test_requests_of_a_program(tree: dict[str, Any], faults: set[str], tmp_path: Path) -> None:
    told, findings = simulated(tree, tmp_path)
    assert {f.code for f in told.faults} == {f.code for f in findings} == faults


def test_what_a_program_sends_and_gets() -> None:
    told = answer(program([{"kind": "intx"}, {"kind": "intx", "what": "mask"}, {"kind": "intx", "what": "disable"}, SET_8, OFF]))
    assert [(s.what, s.ends) for s in told.steps[1:6]] == [
        ("the program enables INTx", "SET_IRQS 0+1 eventfd: 0"),
        ("the program masks INTx", "SET_IRQS 0+1 none: 0"),
        ("the program disables INTx", "SET_IRQS 0+0 none: 0"),
        ("the program enables vectors 0 to 7", "SET_IRQS 0+8 eventfd: 0"),
        ("the program disables its vectors", "SET_IRQS 0+0 none: 0"),
    ]
    assert told.risks == ()  # it has no guest that could not learn of a shortage


def test_a_driver_enables_twice() -> None:
    told = answer(
        {"devices": [{"driver": "managed", "enables": [1, 5], "pre_vectors": 1}], "host": {"cpus": 4}, "rebinds": [2], "sessions": 2}
    )
    assert [(e.function, e.args.get("maxvec"), e.ret) for e in told.events if e.function == "__pci_enable_msix_range"] == [
        (name, most, ret)
        for n in (1, 5) * 2
        for name, most, ret in (("__pci_enable_msix_range", n, 0), ("__pci_enable_msix_range", None, n))
    ]
    assert sum(e.function == "vector_alloc_managed" for e in told.events) == 8  # not the first vector
    assert list(told.guest) == [f"{BDF}: the host's driver has 5 of 5 vectors"]


def test_a_guests_driver_enables_twice() -> None:
    told = answer({"devices": [{"enables": [1, 3], "table": [4]}], "client": {"version": "10.1"}})
    assert [s.what for s in told.steps[1:8]] == [
        "the guest enables MSI-X",
        "the guest unmasks vector 0",
        "the guest disables MSI-X",
        "the guest enables MSI-X",
        "the guest unmasks vector 0",
        "the guest unmasks vector 1",
        "the guest unmasks vector 2",
    ]
    assert told.faults == ()
