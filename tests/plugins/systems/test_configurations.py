"""Functions that a program serves (mdev, vfio-user), interrupt message storage, and guests that ask their host for vectors."""

from typing import Any

import pytest

from tracekit import Answer, Parts, TracekitError
from tracekit.plugins import registry as plugins
from tracekit.simulate.settings import changed, scenario

REGISTRY = plugins.load(simulators=True)
SIMULATOR = REGISTRY.simulators[0]()
LOST = "it has no eventfd, and nothing keeps it"
NAME = "0000:3d:00.0"


def ask(*settings: str, **tree: Any) -> Answer:
    return SIMULATOR.run(scenario(changed(tree, settings)), Parts(REGISTRY.machines, REGISTRY.gates))


def steps(answer: Answer) -> list[tuple[str, str]]:
    return [(s.what, s.ends) for s in answer.steps]


@pytest.mark.parametrize("backend", ["gvt", "mtty"])
def test_an_mdev_function_has_one_vector_of_msi_and_takes_none_of_the_host(backend: str) -> None:
    asked = {"interrupts": [{"at": 0.1}, {"at": 2}]}
    told = ask(f"devices.backend={backend}", "client.version=8.1", "devices.table=8,16", "sessions=1", "host.remapping=false", **asked)
    assert (told.verdict, told.risks, told.guest) == ("none", (), (f"{NAME}: its vector interrupts",))
    assert [(s.fate, s.why) for s in told.signals] == [("lost", LOST), ("delivered", "")]
    assert [(p.name, p.most) for p in told.pools] == [("CPU vectors", 0), ("vectors of the fullest CPU", 0)]
    assert steps(told)[1] == ("the guest enables MSI", "SET_IRQS 0+1 eventfd: 0")
    assert [e for e in told.events if e.device and e.kind != "client"] == []  # no line of vfio-pci, and no irq


def test_a_vfio_user_server_lets_a_client_add_vectors_and_knows_no_stale_domain() -> None:
    served = ("devices.backend=vfio-user", "devices.table=2,4", "client.version=10.1")
    told = ask(*served)
    assert (told.verdict, told.guest, told.pools[0].most) == ("none", (f"{NAME}: all 4 vectors interrupt",), 0)
    assert steps(told)[-2] == ("the guest unmasks vector 3", "SET_IRQS 3+1 eventfd: 0")
    assert ask("devices.table=2,4", "client.version=10.1").verdict == "MSI-001, VFIO-004"
    window = ask(*served, "client.policy=incr", "sessions=1", interrupts=[{"at": 2.52}, {"at": 3.0}])
    assert (window.verdict, [(s.fate, s.why) for s in window.signals]) == (
        "VFIO-001, VFIO-002, VFIO-006",
        [("lost", LOST), ("delivered", "")],
    )


def test_the_client_vfio_user_serves_every_function() -> None:
    told = ask("client.name=vfio-user", "client.version=10.1", "devices.table=2,4")
    assert (told.verdict, told.guest, told.pools[0].most) == ("none", (f"{NAME}: all 4 vectors interrupt",), 0)
    with pytest.raises(TracekitError, match="qemu 9.2 has no vfio-user client"):
        ask("client.name=vfio-user", "client.version=9.2")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (("devices.backend=vfio-user",), "qemu 8.2 has no vfio-user client; QEMU has it from 10.1 on"),
        (("host.xen=4.12", "hotplug.cpu=1"), "hotplug: a guest of Xen is simulated without"),
        (("host.xen=4.12", "devices.kind=intx"), "under Xen, MSI and MSI-X of passed-through functions and of dom0 are simulated"),
        (("devices.backend=vfio-user", "client.name=kvmtool"), "kvmtool 8.2 has no vfio-user client"),
        (("devices.backend=gvt", "devices.kind=intx"), "gvt is simulated with MSI and MSI-X alone"),
        (("devices.backend=mtty", "devices.driver=host"), f"that is of a passed-through function, and {NAME} is the host's"),
    ],
)
def test_what_such_a_function_cannot_be_is_said(settings: tuple[str, ...], told: str) -> None:
    with pytest.raises(TracekitError, match=told):
        ask(*settings)


IMS = ("devices.kind=ims", "devices.table=4")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ((), "the guest has no interface to ask the host"),
        (("guest.kind=c",), "the host does not answer"),
        (("guest.kind=b",), "Linux 6.12 has none, it was in 6.2 to 6.9"),
        (("guest.kind=b", "host.kernel=6.1"), "the client takes vectors down to add one"),
        (("guest.kind=b", "host.kernel=6.8", "client.version=8.1"), "the client takes vectors down to add one"),
        (("devices.driver=host",), "Linux 6.12 has none, it was in 6.2 to 6.9"),
        (("devices.driver=host", "host.kernel=6.8", "host.arch=arm64"), "there is no interrupt remapping that has it"),
    ],
)
def test_a_driver_without_message_storage_falls_back_to_msix(settings: tuple[str, ...], why: str) -> None:
    told = ask(*IMS, "client.version=10.1", *settings)
    assert "CFG-003" in told.codes
    assert next(f for f in told.faults if f.code == "CFG-003").step.ends == f"refused: {why}"
    assert told.guest[0] in (f"{NAME}: all 4 vectors interrupt", f"{NAME}: the host's driver has 4 of 4 vectors")


def test_message_storage_gives_what_the_pools_have_and_says_so() -> None:
    there = (*IMS, "client.version=10.1", "host.kernel=6.8", "guest.kind=b")
    told = ask(*there)
    assert (told.verdict, told.guest, told.pools[0].most) == ("none", (f"{NAME}: all 4 vectors interrupt",), 4)
    assert steps(told)[1] == ("the guest asks for 4 vectors of message storage", "4 granted")
    few = ask(*there, "host.irtes=3")
    assert (few.verdict, few.guest) == ("none", (f"{NAME}: the host grants 3 vectors and the driver is told: it takes fewer queues",))
    mine = ask(*IMS, "devices.driver=host", "host.kernel=6.8")
    assert (mine.verdict, mine.guest, mine.pools[0].most) == ("none", (f"{NAME}: the host's driver has 4 of 4 vectors",), 4)


@pytest.mark.parametrize(
    ("kind", "verdict", "asked", "seen"),
    [
        ("a", "VEC-001, VEC-003", None, "0 of 16 vectors interrupt; 0 to 15 never: no write to a mask can fail, so its driver is not told"),
        ("b", "none", "0 granted", "the host grants 0 vectors and the driver is told: it takes fewer queues"),
        (
            "c",
            "VEC-001, VEC-003",
            "no answer",
            "0 of 16 vectors interrupt; 0 to 15 never: no write to a mask can fail, so its driver is not told",
        ),
    ],
)
def test_a_guest_that_asks_is_told_of_a_shortage_if_the_host_answers(kind: str, verdict: str, asked: str | None, seen: str) -> None:
    crowded = ("host.cpus=2", "guest.count=30", "devices.table=16", "guest.unmask=before enable", "client.version=10.1")
    told = ask(*crowded, f"guest.kind={kind}")
    assert (told.verdict, told.guest) == (verdict, (f"{NAME}: {seen}",))
    answers = [ends for what, ends in steps(told) if what.startswith("the guest asks")]
    assert answers == ([] if asked is None else [asked])
