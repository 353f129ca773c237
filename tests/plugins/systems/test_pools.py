"""What is limited on a host: CPU vectors by CPU, reserved or managed, entries of the IOMMU, what Xen has; and CPUs that come and go."""

from typing import Any

import pytest
from tracekit_irq.machines.vector_pool import VectorPool

from tracekit import Answer, Parts, TracekitError
from tracekit.errors import UsageError
from tracekit.plugins import registry as plugins
from tracekit.simulate.settings import changed, scenario

REGISTRY = plugins.load(simulators=True)
SIMULATOR = REGISTRY.simulators[0]()
NEW = ("client.version=10.1", "guest.unmask=before enable")
NVME = {"name": "0000:01:00.0", "driver": "managed", "table": [64]}


def ask(*settings: str, **tree: Any) -> Answer:
    return SIMULATOR.run(scenario(changed(tree, settings)), Parts(REGISTRY.machines, REGISTRY.gates))


def cost(answer: Answer) -> dict[str, tuple[int, int | None]]:
    return {p.name: (p.most, p.size) for p in answer.pools}


def plugged(answer: Answer) -> list[tuple[str, str, str]]:
    return [(s.subject, s.what, s.ends) for s in answer.steps if s.subject.startswith("CPU") or "vector" in s.what and "shut" in s.what]


def test_vectors_of_an_offline_cpu_move_and_managed_ones_stop_with_their_last_cpu() -> None:
    pool = VectorPool()
    for cpu in range(3):
        pool.online(cpu, 4, others=1)
    pool.reserve_managed(100, (1, 2))
    pool.reserve_managed(101, (2,))
    for irq in (1, 2, 3, 100, 101):
        pool.allocate(irq) if irq < 100 else None
        pool.activate(irq)
    assert pool.stuck(2) is None
    assert pool.offline(2) == [101]
    assert (pool.irqs[100].cpu, pool.irqs[101].cpu, pool.available, pool.cpus[2].others) == (1, None, 8 - 1 - 3 - 1, 0)
    assert pool.activate(101) == {0}  # a request while it is shut down takes nothing
    assert pool.irqs[101].cpu is None
    assert pool.online(2, 0) == [101]
    assert (pool.irqs[101].cpu, pool.available) == (2, 3 + 5 - 2)


def test_a_cpu_whose_vectors_do_not_fit_stays() -> None:
    pool = VectorPool()
    pool.online(0, 2)
    pool.online(1, 3)
    for irq in range(4):
        pool.allocate(irq)
        pool.activate(irq)
    assert pool.stuck(1) == (2, 0)
    pool.free(0)
    pool.free(1)
    assert pool.stuck(1) is None


@pytest.mark.parametrize(
    ("settings", "hotplug", "verdict", "steps"),
    [
        (("host.cpus=2", "host.vectors=16"), [1], "none", [("CPU 1", "goes offline", "8 vectors moved, 0 shut down")]),
        (
            ("host.cpus=2", "host.vectors=15"),
            [1],
            "VEC-007",
            [
                (
                    "CPU 1",
                    "cannot go offline: its vectors do not fit on the others",
                    "-28: CPU 1 has 8 vectors, 7 available. Cannot disable CPU",
                )
            ],
        ),
        (("host.cpus=1",), [0], "none", [("CPU 0", "cannot go offline: it is the last one", "-16")]),
        (("host.cpus=2", "host.vectors=15", "host.arch=arm64"), [1], "none", [("CPU 1", "goes offline", "8 vectors moved, 0 shut down")]),
        # what others hold has to fit too
        (
            ("host.cpus=2", "host.vectors=20", "host.in_use=10"),
            [1],
            "VEC-007",
            [
                (
                    "CPU 1",
                    "cannot go offline: its vectors do not fit on the others",
                    "-28: CPU 1 has 13 vectors, 7 available. Cannot disable CPU",
                )
            ],
        ),
    ],
)
def test_a_shortage_at_the_offline(settings: tuple[str, ...], hotplug: list[int], verdict: str, steps: list[tuple[str, str, str]]) -> None:
    told = ask(*NEW, "devices.table=16", *settings, hotplug=[{"cpu": c, "at": 20} for c in hotplug])
    assert (told.verdict, plugged(told)) == (verdict, steps)


def test_the_picture_shows_the_cpus_that_are_online() -> None:
    there = [{"cpu": 3, "at": 20}, {"cpu": 3, "at": 30, "online": True}, {"cpu": 3, "at": 35, "online": True}]
    drawn = ask("host.cpus=4", "client.version=10.1", "devices.table=1", hotplug=there, interrupts=[{"at": 25}]).timeline
    assert drawn is not None
    lanes = {lane.name: lane for lane in drawn.lanes}
    assert [b.text for b in lanes["CPUs"].bars] == ["4 CPUs", "3 CPUs", "4 CPUs"]
    assert [(m.text, m.tone) for m in lanes["interrupts"].marks] == [("0000:3d:00.0 vector 0: delivered", "good")]


def test_reservations_that_no_longer_fit_are_a_warning() -> None:
    whole = ("client.name=kvmtool", "devices.table=16", "devices.queues=4", "host.cpus=2")  # 16 are reserved, 4 requested
    short = ask(*whole, "host.vectors=12", hotplug=[{"cpu": 1, "at": 20}])
    assert (short.verdict, [f.subject for f in short.faults]) == ("VEC-003", ["CPU 1"])
    assert cost(short)["vectors reserved and not requested yet"] == (12, 8)
    assert [e.function for e in short.events if e.kind == "message"][-1] == "Reserved vectors 12 > available 8. IRQ request may fail"
    assert ask(*whole, "host.vectors=16", hotplug=[{"cpu": 1, "at": 20}]).verdict == "none"


def test_managed_vectors_take_a_slot_on_each_cpu_of_their_share() -> None:
    told = ask("host.cpus=4", "client.version=10.1", devices=[{"table": [1]}, {**NVME, "queues": 2}])
    assert cost(told) == {
        "CPU vectors": (5, 804),
        "IRTEs": (3, 65536),
        "vectors of the fullest CPU": (2, 201),
        "vectors set aside for managed irqs": (4, None),
    }
    assert told.guest[-1] == "0000:01:00.0: the host's driver has 2 of 2 vectors"
    down = ask("host.cpus=4", "client.version=10.1", devices=[{"table": [1]}, {**NVME, "queues": 2}], hotplug=[{"cpu": 3, "at": 20}])
    assert (down.guest[-1], plugged(down)) == (told.guest[-1], [("CPU 3", "goes offline", "0 vectors moved, 0 shut down")])
    both = ask(
        "host.cpus=4",
        "client.version=10.1",
        devices=[{"table": [1]}, {**NVME, "queues": 2}],
        hotplug=[{"cpu": c, "at": 20} for c in (3, 2)],
    )
    assert (both.verdict, both.guest[-1]) == ("none", "0000:01:00.0: the host's driver has 2 of 2 vectors, 1 of them shut down")


def test_an_interrupt_of_a_vector_that_is_shut_down_waits_for_its_cpu() -> None:
    there = [{"cpu": 3, "at": 20}, {"cpu": 3, "at": 50, "online": True}]
    told = ask(
        "host.cpus=4",
        "client.version=10.1",
        devices=[{"table": [1]}, NVME],
        hotplug=there,
        interrupts=[{"device": NVME["name"], "vector": 3, "at": 40}],
    )
    assert [(s.fate, s.why, (s.late or 0) // 1000) for s in told.signals] == [("late", "its entry is masked", 10000)]


def test_a_managed_driver_gets_fewer_where_a_cpu_is_full() -> None:
    full = ask(*NEW, "host.cpus=2", "host.vectors=4", devices=[{"table": [8]}, NVME])
    assert (full.verdict, full.guest[-1]) == ("MSI-004, VEC-002", "0000:01:00.0: the host's driver has 0 of 2 vectors")
    fits = ask(*NEW, "host.cpus=2", "host.vectors=5", devices=[{"table": [8]}, NVME])
    assert (fits.verdict, fits.guest[-1]) == ("none", "0000:01:00.0: the host's driver has 2 of 2 vectors")


def test_a_driver_of_the_host_takes_what_a_guest_then_lacks() -> None:
    mine = {"name": "0000:01:00.0", "driver": "host", "table": [8]}
    lacks = ask("host.cpus=1", "host.vectors=10", *NEW, devices=[mine, {"table": [4]}])
    assert (lacks.verdict, [f.subject for f in lacks.first()]) == ("VEC-001, VEC-003", ["0000:3d:00.0"] * 2)
    assert lacks.guest[0] == "0000:01:00.0: the host's driver has 8 of 8 vectors"
    assert ask("host.cpus=1", "host.vectors=12", *NEW, devices=[mine, {"table": [4]}]).verdict == "none"
    after = ask("host.cpus=1", "host.vectors=10", *NEW, devices=[{"table": [4]}, mine])
    assert (after.first()[-1].subject, after.guest[1]) == ("0000:01:00.0", "0000:01:00.0: the host's driver has 0 of 8 vectors")


def test_the_table_of_amd_is_a_devices_own() -> None:
    two = [{"name": f"0000:0{n}:00.0", "table": [300]} for n in (1, 2)]
    assert cost(ask("host.iommu=amd", *NEW, devices=two))["IRTEs of a device"] == (300, 512)
    assert cost(ask("host.iommu=intel", *NEW, devices=two))["IRTEs"] == (600, 65536)


def test_more_guests_than_xen_has_msis_for() -> None:
    xen = ("host.xen=4.12", "client.version=2.11", "guest.kernel=6.1", "devices.table=8", "host.cpus=2")
    few, many = ask(*xen, "guest.count=49"), ask(*xen, "guest.count=50")
    assert (few.verdict, cost(few)["MSIs of Xen"]) == ("none", (392, 392))
    assert (many.verdict, cost(many)["MSIs of Xen"]) == ("XEN-004, XEN-005", (392, 392))


@pytest.mark.parametrize(
    ("settings", "limit"),
    [
        ((), 1023),
        (("host.event_channels=200000",), 131071),
        (("host.event_channels=200000", "host.xen=4.3"), 4095),
        (("host.event_channels=200000", "guest.kernel=3.13"), 4095),
        (("host.event_channels=200000", "host.events=2-level"), 4095),
    ],
)
def test_event_channels_by_configuration_and_by_how_they_are_kept(settings: tuple[str, ...], limit: int) -> None:
    told = ask("host.xen=4.12", "client.version=2.11", "guest.kernel=6.1", "devices.table=4", *settings)
    assert (told.verdict, cost(told)["event channels"]) == ("none", (4 * 6 + 2 + 4, limit))


def test_no_event_channel_is_left() -> None:
    told = ask("host.xen=4.12", "client.version=2.11", "guest.kernel=6.1", "devices.table=4", "host.event_channels=29")
    assert (told.verdict, cost(told)["event channels"]) == ("XEN-004", (29, 29))
    assert told.guest == ("0000:3d:00.0 3: no interrupt; Linux counts it as started",)


def test_a_cpu_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match=r"hotplug\.cpu = 8: the host has 8 CPUs, the first is 0"):
        ask(hotplug=[{"cpu": 8}])
    with pytest.raises(TracekitError, match="at most 8192 CPUs"):
        ask("host.cpus=8193")
