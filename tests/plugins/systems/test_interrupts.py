"""What becomes of an interrupt at a time: lost, pending, late or delivered, by its class, its masks, and the moment in a window."""

from typing import Any

import pytest

from tracekit import Answer, Parts
from tracekit.plugins import registry as plugins
from tracekit.simulate.settings import changed, scenario

REGISTRY = plugins.load(simulators=True)
SIMULATOR = REGISTRY.simulators[0]()
FREED, OFF, SET_UP, WIRED = 2.52, 2.6, 2.7, 2.8  # of the first window: irqs freed, Enable clear, entries masked, all done
NONE_HOLDS = "no mask bit holds it back, and its message leads to no irq"
NO_INTX = "MSI and MSI-X are off, so nothing is sent"
MASKED, AT_DISABLE = "its entry is masked", "its entry is masked when MSI-X is disabled"
WITHDRAWN = "it asserts INTx, which has no handler, and the enable of MSI-X withdraws it"
HELD = "the guest has masked it, and the client holds it"


def ask(*settings: str, **tree: Any) -> Answer:
    return SIMULATOR.run(scenario(changed(tree, settings)), Parts(REGISTRY.machines, REGISTRY.gates))


def fates(answer: Answer) -> list[tuple[str, str, int | None]]:
    return [(s.fate, s.why, None if s.late is None else s.late // 1000) for s in answer.signals]


ONE_BY_ONE = "client.policy=incr"


@pytest.mark.parametrize(
    ("at", "settings", "fate", "verdict"),
    [
        (FREED, (), ("unsure", AT_DISABLE, 227), "VFIO-001, VFIO-002"),
        (FREED, ("devices.pending=kept",), ("late", MASKED, 227), "VFIO-002"),
        (FREED, ("devices.pending=cleared",), ("lost", f"{MASKED}, and the disable of MSI-X drops it", None), "VFIO-001, VFIO-002"),
        (FREED, ("devices.kind=msi", ONE_BY_ONE), ("lost", NONE_HOLDS, None), "VFIO-001, VFIO-002"),
        (FREED, ("devices.kind=msi", ONE_BY_ONE, "devices.maskable=true", "devices.pending=kept"), ("late", MASKED, 202), "VFIO-002"),
        (OFF, (), ("lost", NO_INTX, None), "VFIO-001, VFIO-002"),
        (OFF, ("devices.pending=kept",), ("lost", NO_INTX, None), "VFIO-001, VFIO-002"),
        (OFF, ("devices.kind=msi", ONE_BY_ONE), ("lost", NO_INTX, None), "VFIO-001, VFIO-002"),
        (OFF + 1.305, ("devices.intx=true",), ("lost", WITHDRAWN, None), "VFIO-001, VFIO-002, VFIO-009"),
        (SET_UP, (), ("late", MASKED, 47), "VFIO-002"),
        (SET_UP, ("devices.kind=msi", ONE_BY_ONE), ("late", "its irq is not requested yet", 18), "VFIO-002"),
        (SET_UP, ("devices.kind=msi", ONE_BY_ONE, "devices.maskable=true"), ("late", MASKED, 22), "VFIO-002"),
        (WIRED, (), ("delivered", "", None), "VFIO-002"),
        (OFF, ("client.version=10.1", "host.kernel=6.12"), ("delivered", "", None), "none"),
        (OFF, ("client.name=kvmtool",), ("delivered", "", None), "none"),
        (OFF, ("devices.kind=msi",), ("delivered", "", None), "none"),  # QEMU enables all of plain MSI at once
    ],
)
def test_a_moment_in_a_window(at: float, settings: tuple[str, ...], fate: tuple[str, str, int | None], verdict: str) -> None:
    told = ask("host.kernel=6.1", "client.version=8.1", "devices.table=4", *settings, interrupts=[{"at": at}])
    assert (fates(told), told.verdict) == ([fate], verdict)


def test_before_the_enable_and_after_the_close_nothing_is_sent() -> None:
    told = ask("client.version=10.1", interrupts=[{"at": 0.1}, {"at": 100}], acts=[{"what": "disable", "at": 50}])
    assert fates(told) == [("lost", NO_INTX, None), ("lost", NO_INTX, None)]
    assert (told.verdict, told.guest[-1]) == ("none", "0000:3d:00.0: its driver has MSI-X off")


@pytest.mark.parametrize("client", ["qemu", "kvmtool"])
def test_a_vector_that_the_guest_masks_waits_in_the_client(client: str) -> None:
    mask = [{"what": "mask", "at": 20, "vector": 1}, {"what": "unmask", "at": 21, "vector": 1}]
    both = [{"at": 20.5, "vector": 1}, {"at": 20.5, "vector": 0}, {"at": 21.5, "vector": 1}]
    told = ask(f"client.name={client}", "client.version=10.1", "devices.table=2", acts=mask, interrupts=both)
    assert fates(told) == [("late", HELD, 500), ("delivered", "", None), ("delivered", "", None)]
    never = ask(f"client.name={client}", "client.version=10.1", "devices.table=2", acts=mask[:1], interrupts=both)
    assert fates(never) == [("pending", HELD, None), ("delivered", "", None), ("pending", HELD, None)]


def test_the_function_mask_of_the_guest_holds_all_vectors() -> None:
    acts = [{"what": "mask all", "at": 20}, {"what": "unmask all", "at": 22}]
    told = ask("client.version=10.1", "devices.table=2", acts=acts, interrupts=[{"at": 21, "vector": v} for v in (0, 1)])
    assert fates(told) == [("late", HELD, 1000), ("late", HELD, 999)]


def test_a_guest_that_switches_msix_off_and_on_has_no_window() -> None:
    acts = [{"what": "disable", "at": 12}, {"what": "enable", "at": 14}]
    asked = {"acts": acts, "interrupts": [{"at": 13}, {"at": 30}]}
    own = ask("host.kernel=6.1", "client.version=8.1", "devices.table=1", **asked)
    assert (own.verdict, fates(own)) == ("none", [("lost", NO_INTX, None), ("delivered", "", None)])
    line = ask("host.kernel=6.1", "client.version=8.1", "devices.table=1", "devices.intx=true", **asked)
    assert (line.verdict, fates(line)) == ("none", [("delivered", "by INTx", None), ("delivered", "", None)])


def test_a_line_is_late_while_it_is_served_or_masked_and_never_lost() -> None:
    acts = [{"what": "mask", "at": 3}, {"what": "unmask", "at": 4}]
    told = ask("devices.kind=intx", acts=acts, interrupts=[{"at": t} for t in (2, 2.04, 3.5, 9)])
    assert fates(told) == [
        ("delivered", "", None),
        ("late", "INTx is masked while the guest serves it", 61),
        ("late", "INTx is masked", 500),
        ("delivered", "", None),
    ]
    assert (told.verdict, told.guest, [s.vector for s in told.signals]) == ("none", ("0000:3d:00.0: its line interrupts",), [None] * 4)
    before = ask("devices.kind=intx", interrupts=[{"at": 0.05}])
    assert fates(before) == [("late", "INTx has no handler", 133)]


def test_the_driver_that_takes_longer_delays_the_next_interrupt() -> None:
    told = ask("devices.kind=intx", "guest.handling=5000", interrupts=[{"at": 2}, {"at": 2.5}])
    assert fates(told)[1] == ("late", "INTx is masked while the guest serves it", 4501)


def test_a_vector_that_interrupts_within_an_enable_is_in_use_when_it_goes_down() -> None:
    asked = (
        "host.kernel=6.1",
        "client.version=7.0",
        "guest.unmask=before enable",
        "devices.table=3",
    )  # one by one, within one act of the guest
    told = ask(*asked, interrupts=[{"at": 0.42}])
    assert (told.verdict, fates(told)) == ("VFIO-002", [("delivered", "", None)])
    assert ask(*asked).verdict == "none"


def test_what_the_kernel_and_the_client_print_of_a_line_and_of_the_hosts_own() -> None:
    own = {"name": "0000:01:00.0", "driver": "host", "table": [1]}
    told = ask("client.version=10.1", devices=[{"kind": "intx"}, own], interrupts=[{"at": 2}, {"at": 4, "device": own["name"]}])
    handled = [(e.device, dict(e.args)) for e in told.events if e.function == "irq_handler_entry" and e.args["irq"] != 27]
    assert handled == [("0000:3d:00.0", {"irq": 16, "line": 1}), ("", {"irq": 2088})]
    text = SIMULATOR.emit(told, scenario({"devices": [{"kind": "intx"}, own]}), "ftrace")
    assert "irq_handler_entry: irq=16 name=vfio-intx(0000:3d:00.0)" in text
    assert "irq=2088 name=vfio" not in text


def test_a_window_that_ended_well_counts_beside_one_that_failed() -> None:
    asked = ("client.version=7.0", "guest.unmask=before enable", "devices.table=4", "host.cpus=1", "host.vectors=2")  # one act of the guest
    told = ask(*asked, interrupts=[{"at": 0.42}])
    assert (told.verdict, fates(told)) == ("VEC-001, VEC-003, VFIO-002, VFIO-003, VFIO-006", [("delivered", "", None)])
    assert ask(*asked).verdict == "VEC-001, VEC-003, VFIO-003"


def test_a_guest_that_cannot_enable_again_is_deaf() -> None:
    tree = {
        "devices": [{"table": [4]}, {"name": "0000:05:00.0", "table": [4]}],  # the second takes what the first has given back
        "acts": [{"what": "disable", "at": 0.5}, {"what": "enable", "at": 12}],
    }
    new = ("client.version=10.1", "guest.unmask=before enable", "host.cpus=1")
    deaf = ask(*new, "host.vectors=4", **tree)
    assert (deaf.verdict, deaf.guest[0].split(";")[0]) == ("VEC-001, VEC-003, VFIO-003", "0000:3d:00.0: 0 of 4 vectors interrupt")
    assert ask(*new, "host.vectors=8", **tree).verdict == "none"


def test_a_driver_switches_msix_off_only_when_it_is_loaded() -> None:
    told = ask("client.version=10.1", "devices.table=2", acts=[{"what": "disable", "at": 1}, {"what": "enable", "at": 1.5}])
    steps = [s.what for s in told.steps]
    load = ["the guest enables MSI-X", "the guest unmasks vector 0", "the guest unmasks vector 1"]
    assert steps[1:-1] == [*load, "the guest disables MSI-X", *load]
    assert (told.verdict, told.guest) == ("none", ("0000:3d:00.0: all 2 vectors interrupt",))
