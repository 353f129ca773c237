"""The verdicts of a configuration: may a growth lose interrupts, and can the guest be told of a shortage."""

from typing import Any

import pytest
from kprobes import Trace
from tracekit_vfio.machines.configuration import Configuration

from tracekit.diagnosing.places import Places
from tracekit.pipeline import flipped
from tracekit.plugins import registry as plugins
from tracekit.replay.whatif import Flip
from tracekit.testing import tables

EVERY = ("a", "b", "c")


@pytest.mark.parametrize(
    ("guests", "given", "growth", "shortage"),
    [
        (EVERY, {}, "lossy", "blind"),
        ("ac", {"reworked": True, "policy": "full"}, "safe", "blind"),
        ("ac", {"reworked": True, "policy": "dyn", "dynamic": True}, "safe", "blind"),
        ("ac", {"reworked": True, "policy": "dyn"}, "lossy", "blind"),
        ("b", {"reworked": True, "policy": "full"}, "safe", "told"),
        ("b", {"reworked": True, "policy": "dyn", "dynamic": True}, "safe", "told"),
        (EVERY, {"device": "MSI"}, "lossy", "blind"),
        (EVERY, {"device": "MSI", "reworked": True}, "lossy", "blind"),
        (EVERY, {"device": "IMS", "policy": "full"}, "refused", "refused"),
        ("ac", {"device": "IMS", "reworked": True}, "safe", "blind"),
        ("b", {"device": "IMS", "reworked": True}, "safe", "told"),
    ],
)
def test_what_can_be_lost_and_who_is_told(guests: str, given: dict[str, Any], growth: str, shortage: str) -> None:
    made = [Configuration(guest=g, **given) for g in guests]  # type: ignore[arg-type]
    assert [(c.growth(), c.shortage()) for c in made] == [(growth, shortage)] * len(made)


def test_the_whole_table_presses_on_vectors_only_where_the_host_does_not_reserve() -> None:
    assert [Configuration(policy=p, reservation=r).pressure() for p in ("full", "incr") for r in (False, True)] == [
        True,
        False,
        False,
        False,
    ]  # type: ignore[arg-type]


def test_a_client_that_would_add_in_place_falls_back_where_the_host_cannot() -> None:
    given = [("dyn", False), ("dyn", True), ("incr", False)]
    assert [Configuration(policy=p, dynamic=d).falls_back() for p, d in given] == [True, False, False]  # type: ignore[arg-type]


SET_UP = "vfio_msix_early_setup 0000:41:00.0 PCI MSI-X CAP @0xb0, BAR 4, offset 0x0, entries 32{}\n"


def flips_of(**logs: str) -> dict[tuple[str, Any], Flip]:
    """By gate and new value, those of the configuration alone."""
    made = flipped(plugins.load(), Places(tables(**logs)))
    return {(f.gate, f.to): f for f in made if f.gate in ("policy", "dynamic", "guest", "reworked", "reservation", "asks_first")}


@pytest.mark.parametrize(
    ("noresize", "cured"),
    [
        ("", {("policy", "full")}),  # before 8.2; a newer QEMU alone does not help where the host cannot add
        (", noresize 1", {("policy", "full"), ("dynamic", True)}),
        (", noresize 0", set()),
    ],
)
def test_what_would_cure_a_lossy_configuration(noresize: str, cured: set[tuple[str, Any]]) -> None:
    flips = flips_of(**{"qemu.log": SET_UP.format(noresize)})
    assert {k for k, f in flips.items() if "CFG-001" in f.vanished and k[0] != "asks_first"} == cured
    assert (("asks_first", True) in flips) and "CFG-002" in flips["asks_first", True].vanished
    told = {k for k, f in flips.items() if "CFG-002" in f.vanished} - {("asks_first", True)}
    assert told == ({("guest", "b")} if noresize == ", noresize 0" else set())


def test_a_device_of_one_vector_has_nothing_to_grow() -> None:
    flips = flips_of(**{"qemu.log": SET_UP.format(", noresize 1").replace("entries 32", "entries 1")})
    assert {f.gate for f in flips.values() if "CFG-001" in (*f.vanished, *f.remaining, *f.new)} == set()


def test_what_the_host_can_do_is_taken_from_its_own_log_where_qemu_does_not_print_it() -> None:
    flips = flips_of(**{"qemu.log": SET_UP.format(""), "uname.txt": "Linux host 6.12.0 #1 SMP x86_64 GNU/Linux\n"})
    assert "CFG-001" in flips["policy", "dyn"].vanished


def test_a_guest_that_was_not_told_would_be_if_it_asked_first() -> None:
    t = Trace()
    t.open()
    t.set_irqs(0x24, 2, 0, 4, -28)
    flips = flips_of(**{"trace.txt": str(t)})
    assert flips["asks_first", True].vanished == ("CFG-001", "VFIO-008")
    assert {k for k, f in flips.items() if "VFIO-008" in f.vanished} == {("asks_first", True)}
    t = Trace()
    t.open()
    t.enable(4, 8, made=8)
    assert flips_of(**{"trace.txt": str(t)}) == {}
