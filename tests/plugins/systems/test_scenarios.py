"""Scenarios run forward: what the machines say of a host, a client and a guest that nobody has recorded."""

import pytest

from tracekit import Answer, Parts, TracekitError
from tracekit.plugins import registry as plugins
from tracekit.simulate.ask import flips
from tracekit.simulate.settings import changed, scenario

REGISTRY = plugins.load(simulators=True)
SIMULATOR = REGISTRY.simulators[0]()
GROWN = ("devices.queues=12", "devices.table=8,16")
NVME = {"name": "0000:00:05.0", "table": [1], "sessions": [1, 3]}
OTHER = {"name": "0000:00:06.0", "table": [1], "sessions": [2, 3], "reload": False}


def ask(*settings: str, flip: str = "", **tree: object) -> Answer:
    parts = Parts(REGISTRY.machines, REGISTRY.gates, flips(flip, REGISTRY.gates, SIMULATOR.switches))
    return SIMULATOR.run(scenario(changed(tree, settings)), parts)


@pytest.mark.parametrize(
    ("kernel", "qemu", "rebinds", "verdict"),
    [
        ("6.1", "8.1", "", "VFIO-002"),
        ("6.12", "8.1", "", "MSI-001, VFIO-002, VFIO-003, VFIO-006"),
        ("6.12", "10.1", "", "MSI-001, VFIO-004"),
        ("6.12", "10.1", "2", "none"),
        ("6.12", "8.1", "2", "VFIO-002, VFIO-006"),  # a rebind mends the stale domain; the client still takes its vectors down
        ("6.1", "10.1", "", "VFIO-002"),
    ],
)
def test_twelve_queues_and_a_table_from_8_to_16(kernel: str, qemu: str, rebinds: str, verdict: str) -> None:
    assert ask(*GROWN, f"host.kernel={kernel}", f"client.version={qemu}", f"rebinds={rebinds}").verdict == verdict


def test_each_fault_is_told_at_its_first_step() -> None:
    told = {f.code: (f.step.what, f.step.ends) for f in ask(*GROWN, "client.version=8.1").first()}
    first, stale = "SET_IRQS 0+0 none: 0; SET_IRQS 0+2 eventfd: 0", "SET_IRQS 0+0 none: 0; SET_IRQS 0+9 eventfd: -34"
    assert told == {
        "VFIO-002": ("the guest unmasks vector 1", first),
        "VFIO-006": ("the guest unmasks vector 1", first),
        "MSI-001": ("the guest unmasks vector 8", stale),
        "VFIO-003": ("the guest unmasks vector 8", stale),
    }


def test_what_the_guest_sees() -> None:
    assert ask(*GROWN, "client.version=10.1").guest == (
        "0000:3d:00.0: 8 of 12 vectors interrupt; 8 to 11 never: no write to a mask can fail, so its driver is not told",
    )
    assert ask(*GROWN, "host.kernel=6.1").guest == ("0000:3d:00.0: all 12 vectors interrupt",)
    asks = ask(*GROWN, "client.version=10.1", "guest.kind=b")
    assert (asks.verdict, asks.guest) == (
        "MSI-002",
        ("0000:3d:00.0: the host grants 8 vectors and the driver is told: it takes fewer queues",),
    )


# The scenarios of the MSI model's acceptance list, as settings and verdict.
SCENARIOS = {
    "S1": (("devices.table=8,64", "devices.queues=9", "client.version=8.1"), "MSI-001, VFIO-002, VFIO-003, VFIO-006"),
    "S2": (("devices.table=8,64", "devices.queues=9", "client.version=10.1", "rebinds=2"), "none"),
    "S3": (("devices.table=8,64", "devices.queues=9", "host.kernel=6.1", "client.policy=full"), "none"),
    "S4": (("devices.table=8,64", "devices.queues=9", "client.version=10.1"), "MSI-001, VFIO-004"),
    "S5": (("devices.table=64,8", "client.version=10.1"), "MSI-003"),
    "S7": (("devices.table=4", "host.kernel=6.1", "guest.traffic=false"), "none"),
    "S9": (("devices.table=4", "client.version=8.1"), "VFIO-002, VFIO-006"),
    "S10": (("devices.table=8", "host.cpus=1", "host.vectors=5", "client.version=10.1"), "VEC-001, VFIO-004"),
    "S17": (("devices.table=8,16", "host.kernel=6.1", "client.policy=full"), "none"),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_acceptance_scenarios(name: str) -> None:
    settings, verdict = SCENARIOS[name]
    assert ask(*settings).verdict == verdict


def test_s7_names_the_policy_as_a_risk() -> None:
    assert ask(*SCENARIOS["S7"][0]).risks == ("CFG-001",)


def test_s6_an_interrupt_in_a_window_is_lost_one_beside_it_is_not() -> None:
    settings = ("devices.table=4", "host.kernel=6.1")
    first = ask(*settings).first()[0].step
    inside, beside = first.at / 1e6 + 0.1, first.at / 1e6 + 0.9
    lost = ask(*settings, interrupts=[{"at": inside}])
    assert (lost.verdict, lost.signals[0].fate) == ("VFIO-001, VFIO-002", "lost")
    kept = ask(*settings, interrupts=[{"at": beside}])
    assert (kept.verdict, kept.signals[0].fate) == ("VFIO-002", "delivered")


def test_s11_a_cached_pirq_of_another_device() -> None:
    settings = ("host.xen=4.12", "guest.kernel=4.9", "client.version=2.11")
    assert ask(*settings, devices=[NVME, OTHER]).verdict == "XEN-001, XEN-004"
    assert ask(*settings, "guest.kernel=4.14", devices=[NVME, OTHER]).verdict == "none"


def test_s12_numbers_fall_to_the_floor() -> None:
    told = ask("host.xen=4.4", "guest.kernel=4.14", "client.version=1.6", "sessions=40", "devices.table=1")
    assert (told.verdict, told.pools[0].most, told.pools[0].size) == ("XEN-002, XEN-003", 32, 32)


def test_s13_numbers_recur() -> None:
    assert ask("host.xen=4.12", "guest.kernel=4.14", "client.version=2.11", "sessions=50", "devices.table=1").verdict == "none"


def test_gates_are_flipped_together() -> None:
    assert ask(*GROWN, "client.version=8.1", flip="KV2").verdict == "VFIO-002, VFIO-006"
    assert ask(*GROWN, "client.version=8.1", flip="QV3").verdict == "MSI-001, VFIO-004"
    assert ask(*GROWN, "client.version=8.1", flip="device-msi-domains,QV3").verdict == "none"
    assert ask(*GROWN, "client.version=10.1", flip="domain_removed_on_disable").verdict == "none"


def test_an_its_has_the_stale_domain_later_and_never_grows_in_place() -> None:
    arm = (*GROWN, "host.arch=arm64", "client.version=10.1")
    assert ask(*arm, "host.kernel=6.6").verdict == "VFIO-002"
    assert ask(*arm, "host.kernel=6.12").verdict == "MSI-001, VFIO-002, VFIO-003"


@pytest.mark.parametrize(
    ("settings", "verdict", "taken"),
    [
        (("guest.count=30", "host.cpus=96"), "none", (480, 19296)),
        (("guest.count=30", "host.cpus=2"), "VEC-001, VEC-003", (402, 402)),
        (("guest.count=30", "host.cpus=2", "host.kernel=4.14"), "MSI-004, VEC-002", (402, 402)),
    ],
)
def test_thirty_guests_of_sixteen_queues(settings: tuple[str, ...], verdict: str, taken: tuple[int, int]) -> None:
    told = ask("devices.table=16", "guest.unmask=before enable", "client.version=10.1", *settings)
    assert told.verdict == verdict
    assert told.pools[0].size == taken[1]


def test_entries_of_the_remapping_table_run_out() -> None:
    told = ask("devices.table=16", "host.irtes=8", "guest.unmask=before enable", "client.version=10.1")
    assert (told.verdict, told.pools[1].size) == ("MSI-004, VEC-005", 8)
    assert ask("devices.table=16", "host.irtes=16", "guest.unmask=before enable", "client.version=10.1").verdict == "none"
    grown = ask("devices.table=8", "host.irtes=3", "client.version=10.1")
    assert (grown.verdict, grown.guest[0].split(";")[0]) == ("VEC-005, VFIO-004", "0000:3d:00.0: 3 of 8 vectors interrupt")


def test_an_interrupt_of_no_vector_is_refused() -> None:
    with pytest.raises(TracekitError, match=r"the table of 0000:3d:00\.0 has 8 entries"):
        ask(interrupts=[{"vector": 8}])


def test_the_picture_shows_the_domain_beside_the_table() -> None:
    drawn = ask(*GROWN, "client.version=10.1").timeline
    assert drawn is not None
    lanes = {lane.name: [bar.text for bar in lane.bars] for lane in drawn.lanes}
    assert (lanes["table"], lanes["domain"]) == (["table 8", "table 16"], ["hwsize 8"])


@pytest.mark.parametrize(
    "settings", [("devices.table=4096",), ("devices.table=2048",), ("devices.functions=100000",), ("sessions=100000",)]
)
def test_a_run_that_would_take_minutes_is_refused(settings: tuple[str, ...]) -> None:
    with pytest.raises(TracekitError):
        ask(*settings)
