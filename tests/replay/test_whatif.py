"""Flipped gates: which faults vanish, what that confirms."""

from collections.abc import Mapping
from typing import Any, ClassVar

from tracekit.findings import Finding, Subject
from tracekit.replay.whatif import Fix, System, confirmed, flips

BDF = "0000:00:08.0"


class Domain(System):
    """A toy: a session of 8 vectors, then one of 16, with the size of the first cached."""

    fixes: ClassVar = (
        Fix("removed_on_disable", True, ("MSI-001",), "remove the domain when MSI is disabled"),
        Fix("rebind", True, ("MSI-001",), "unbind and bind the driver"),
        Fix("vmm_grows_in_place", True, ("VFIO-002",), "newer QEMU"),
        Fix("all_up_front", True, (), "all vectors at enable"),
    )

    def subject(self) -> str:
        return BDF

    def gates(self) -> Mapping[str, Any]:
        return {"removed_on_disable": False, "rebind": False, "vmm_grows_in_place": True}

    def faults(self, gates: Mapping[str, Any]) -> frozenset[str]:
        cured = gates["removed_on_disable"] or gates["rebind"]
        return frozenset() if cured else frozenset({"MSI-001"})

    def cost(self, gates: Mapping[str, Any]) -> Mapping[str, int]:
        return {"vectors": 16 if gates.get("all_up_front") else 8}

    def assumptions(self) -> tuple[str, ...]:
        return ("table size from lspci",)


def test_each_fix_is_flipped_alone_and_a_gate_that_already_holds_is_not() -> None:
    rows = [f.as_json() for f in flips([Domain()])]
    assert rows[0] == {
        "gate": "removed_on_disable",
        "from": False,
        "to": True,
        "vanished": ["MSI-001"],
        "remaining": [],
        "new": [],
        "cost": {},
        "assumptions": ["table size from lspci"],
    }
    assert [r["gate"] for r in rows] == ["removed_on_disable", "rebind", "all_up_front"]
    assert (rows[2]["remaining"], rows[2]["cost"]) == (["MSI-001"], {"vectors": 8})


def test_a_finding_is_confirmed_by_its_own_fixes_only() -> None:
    here = Finding("x", "proven", (), Subject(BDF, bdf=BDF), code="MSI-001")
    elsewhere = Finding("x", "proven", (), Subject("0000:00:09.0"), code="MSI-001")
    other = Finding("x", "proven", (), Subject(BDF, bdf=BDF), code="VEC-001")
    told = confirmed([here, elsewhere, other], flips([Domain()]))
    assert [(f.confirmed_by_replay, f.fixes) for f in told] == [
        (True, ("remove the domain when MSI is disabled", "unbind and bind the driver")),
        (None, ()),
        (None, ()),
    ]


class Everything(Domain):
    """A toy in which any change helps: then the replay explains nothing."""

    def faults(self, gates: Mapping[str, Any]) -> frozenset[str]:
        return frozenset({"MSI-001"}) if gates == self.gates() else frozenset()


def test_a_fault_that_vanishes_under_a_stranger_s_fix_is_not_confirmed() -> None:
    here = Finding("x", "proven", (), Subject(BDF, bdf=BDF), code="MSI-001")
    assert [f.confirmed_by_replay for f in confirmed([here], flips([Everything()]))] == [False]


class Restated(Domain):
    """A toy whose only stimulus is the line that the finding repeats."""

    def refutable(self) -> frozenset[str]:
        return frozenset()


def test_a_replay_that_cannot_say_no_names_fixes_and_confirms_nothing() -> None:
    here = Finding("x", "proven", (), Subject(BDF, bdf=BDF), code="MSI-001")
    (told,) = confirmed([here], flips([Restated()]))
    assert (told.confirmed_by_replay, told.fixes) == (None, ("remove the domain when MSI is disabled", "unbind and bind the driver"))
