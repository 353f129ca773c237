"""What if, on one function: a fault vanishes under its own fixes, stays under the others, and the fix has a price."""

import os
from pathlib import Path
from typing import Any

import pytest
from kprobes import Trace

from tracekit.diagnosing.places import Places
from tracekit.pipeline import Options, analyze, flipped, whatif
from tracekit.plugins import registry as plugins
from tracekit.replay.whatif import Flip
from tracekit.run import Run
from tracekit.testing import run

CAPTURES = Path(os.environ.get("TRACEKIT_CAPTURES") or Path(__file__).parents[4] / "shared" / "captures")


def flips_of(result: Run) -> dict[tuple[str, Any], Flip]:
    """By gate and new value; one function a case."""
    made = flipped(plugins.load(), Places(result.tables))
    assert len({f.subject for f in made}) <= 1
    return {(f.gate, f.to): f for f in made}


def cured(result: Run, code: str) -> list[str]:
    """The gates under which a fault vanishes."""
    return [gate for (gate, _), f in flips_of(result).items() if code in f.vanished]


def confirmed(result: Run) -> dict[str, bool | None]:
    return {f.code: f.confirmed_by_replay for f in result.findings if not f.code.startswith(("OBS", "CFG"))}


def stale(*, rebound: bool = False) -> Run:
    """A session of 3 vectors, then one of 7 on a table that has grown."""
    t = Trace()
    t.open()
    t.enable(3, 3, made=3)
    t.interrupts(0, 1, 2)
    t.disable()
    t.close()
    if rebound:
        t.entry("msi_remove_device_irq_domain", f"dev={t.dev + 0xC8:#x} domid=0")
    t.open()
    t.enable(7, 7, made=7 if rebound else None, limit=None if rebound else 3)
    t.close()
    return run(str(t))


def grown(*counts: int, live: int = 9, interrupts: bool = True, release: str | None = None) -> Run:
    """A client that tears down to grow from each count to the next."""
    t = Trace()
    t.open()
    for i, count in enumerate(counts):
        if i:
            t.disable()
        t.enable(count, live, made=None if i else live)
        if interrupts:
            t.interrupts(*range(count))
        else:
            t.line(f"irq_handler_entry: irq=9 name=vfio-msix[0]({t.bdf})", "<idle>-0") if i == 0 else None
    t.disable()
    t.close()
    return run(**{"trace.txt": str(t), **({"uname.txt": f"Linux host {release} #1 SMP x86_64 GNU/Linux\n"} if release else {})})


def test_a_stale_size_vanishes_with_a_new_domain_and_with_nothing_else() -> None:
    result = stale()
    assert confirmed(result) == {"MSI-001": True}
    assert cured(result, "MSI-001") == ["rebind_between_sessions", "domain_removed_on_disable", "KV2"]
    flips = flips_of(result)
    assert (flips["QV3", True].vanished, flips["QV3", True].remaining, flips["QV3", True].new) == ((), ("MSI-001",), ())
    assert (flips["vectors_up_front", True].remaining, flips["in_place_growth", True].remaining) == (("MSI-001",), ("MSI-001",))
    assert flips["rebind_between_sessions", True].cost == {"vectors": 4, "irtes": 4, "cpu_vectors": 4}
    assert next(f for f in result.findings if f.code == "MSI-001").fixes[0].startswith("unbind and bind the driver")


def test_its_twin_with_a_rebind_between_has_no_fault_under_any_gate_that_holds_today() -> None:
    result = stale(rebound=True)
    assert confirmed(result) == {}
    assert {g: f.vanished + f.remaining + f.new for g, f in flips_of(result).items() if f.vanished + f.remaining + f.new} == {}


def test_windows_vanish_in_place_and_up_front_at_a_price() -> None:
    result = grown(1, 2, 3)
    assert confirmed(result)["VFIO-002"] is True
    assert cured(result, "VFIO-002") == ["in_place_growth", "vectors_up_front"]
    flips = flips_of(result)
    assert dict(flips["vectors_up_front", True].cost) == {"vectors": 6, "irtes": 6}
    assert dict(flips["in_place_growth", True].cost) == {}
    assert "VFIO-002" in flips["domain_removed_on_disable", True].remaining
    assert "VFIO-002" in flips["noresize_removed", True].remaining


def test_on_a_host_that_can_grow_in_place_a_newer_qemu_is_enough() -> None:
    result = grown(1, 2, release="6.12.7")
    assert confirmed(result) == {"VFIO-002": True, "VFIO-006": True}
    assert "QV3" in cured(result, "VFIO-002")
    assert flips_of(result)["KV4", False].vanished == ("VFIO-006",)
    older = grown(1, 2, release="6.1.90")
    assert confirmed(older) == {"VFIO-002": True}
    assert "QV3" not in cured(older, "VFIO-002")


def test_without_interrupts_there_is_no_window_to_lose() -> None:
    assert "VFIO-002" not in cured(grown(1, 2, interrupts=False), "VFIO-002")


def test_a_growth_that_fails_is_cured_by_the_domain_and_becomes_one_dead_vector_in_place() -> None:
    t = Trace()
    t.open()
    t.enable(2, 2, made=2)
    t.disable()
    t.close()
    t.open()
    t.enable(1, 4)
    t.interrupts(0)
    t.disable()
    t.enable(2, 4)
    t.interrupts(0, 1)
    t.disable()
    t.enable(3, 4, limit=2)
    result = run(str(t))
    assert {c: v for c, v in confirmed(result).items() if c != "VFIO-006"} == {"MSI-001": True, "VFIO-002": True, "VFIO-003": True}
    flips = flips_of(result)
    assert flips["rebind_between_sessions", True].vanished == ("MSI-001", "VFIO-003")
    in_place = flips["in_place_growth", True]
    assert (in_place.vanished, in_place.remaining, in_place.new) == (("VFIO-002", "VFIO-003"), ("MSI-001",), ("VFIO-004",))


def test_an_append_that_the_host_refuses_is_the_clients_or_the_hosts_to_mend() -> None:
    t = Trace()
    t.open()
    t.enable(1, 6)
    t.interrupts(0)
    t.set_irqs(0x24, 2, 1, 2, -22)
    t.disable()
    t.close()
    result = run(str(t))
    assert confirmed(result)["VFIO-005"] is True
    assert cured(result, "VFIO-005") == ["in_place_growth", "vectors_up_front", "client_heeds_noresize", "KV4"]
    assert flips_of(result)["client_heeds_noresize", True].new == ("VFIO-002",)


def test_a_case_without_stimuli_has_nothing_to_flip() -> None:
    assert flipped(plugins.load(), Places(run("[    1.000000] Linux version 6.12.7 (gcc) #1 SMP\n").tables)) == []


STALE = [p.name for p in sorted(CAPTURES.glob("stale-hwsize-*"))]
GROWTH = [p.name for p in sorted(CAPTURES.glob("qemu72-vfio-growth-*"))]
NO_INPUT = ("README.md", "events-of-interest.md")


def recorded(folder: str) -> list[str]:
    return [str(p) for p in sorted((CAPTURES / folder).iterdir()) if p.name not in NO_INPUT and p.suffix != ".dat"]


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="no recordings here: set TRACEKIT_CAPTURES to a folder of them")
@pytest.mark.parametrize("folder", STALE)
def test_recorded_stale_sizes_are_confirmed(folder: str) -> None:
    result = analyze(recorded(folder), Options(keep_tables=("*",)))
    assert {f.confirmed_by_replay for f in result.findings if f.code == "MSI-001"} == {True}
    flips = flipped(plugins.load(), Places(result.tables))
    assert {f.gate for f in flips if "MSI-001" in f.vanished} == {"rebind_between_sessions", "domain_removed_on_disable", "KV2"}
    assert all("MSI-001" in f.remaining for f in flips if f.gate == "QV3" and (f.vanished or f.remaining))


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="no recordings here: set TRACEKIT_CAPTURES to a folder of them")
@pytest.mark.parametrize("folder", GROWTH)
def test_recorded_growth_is_cured_in_place_and_up_front(folder: str) -> None:
    flips = whatif(recorded(folder))
    cures = {f.gate: f for f in flips if "VFIO-002" in f.vanished}
    assert {"in_place_growth", "vectors_up_front"} <= set(cures)
    assert "domain_removed_on_disable" not in cures
    assert cures["vectors_up_front"].cost["vectors"] > 0


def test_a_vector_added_in_place_meets_a_stale_size_too() -> None:
    """The vectors below the limit live on; a new domain would have held all."""
    t = Trace()
    t.open()
    t.enable(2, 2, made=2)
    t.disable()
    t.close()
    t.open()
    t.enable(1, 5)
    t.interrupts(0)
    t.add(1, 0)
    t.add(2, -34)
    t.interrupts(0, 1)
    result = run(str(t))
    assert confirmed(result) == {"MSI-001": True, "VFIO-004": True}
    assert cured(result, "MSI-001") == ["rebind_between_sessions", "domain_removed_on_disable", "KV2"]


def test_each_miss_of_the_replay_has_its_cause() -> None:
    """Set-up, enable and request fail where a healthy function would have given what was asked for."""
    missed = stale().tables["divergences"]
    assert missed.select("operation", "predicted", "observed", "explained_by").rows() == [
        ("insert", "0", "-34", "MSI-001"),
        ("enable", "7", "-34", "MSI-001"),
        ("set_irqs", "0", "-34", "MSI-001"),
    ]
    assert stale(rebound=True).tables["divergences"].is_empty()
    assert grown(1, 2, 3).tables["divergences"].is_empty()


SAMPLES = Path(__file__).parents[3] / "sample_traces"


@pytest.mark.parametrize(
    ("sample", "code"),
    [("vfio.lost-on-resize/fires-silent-until-polled", "VFIO-001"), ("vfio.intx-spill/fires-line-interrupt-in-the-window", "VFIO-009")],
)
def test_what_was_lost_in_a_window_vanishes_with_the_window(sample: str, code: str) -> None:
    (case,) = {f.subject for f in whatif([str(SAMPLES / sample)])}
    made = [f for f in whatif([str(SAMPLES / sample)]) if {"VFIO-002"} & {*f.vanished, *f.remaining}]
    assert case == "0000:41:00.0"
    assert [f.gate for f in made if code in f.vanished] == [f.gate for f in made if "VFIO-002" in f.vanished] != []
    assert all(code in {*f.vanished, *f.remaining} for f in made)


def test_a_table_whose_size_nothing_tells_is_taken_to_be_what_was_asked_for() -> None:
    t = Trace()
    t.open()
    t.set_irqs(0x24, 2, 0, 1, 0)
    t.interrupts(0)
    t.disable()
    t.set_irqs(0x24, 2, 0, 3, 0)
    flips = flips_of(run(str(t)))
    assert "the table is taken to have 3 entries, the most that was asked for: nothing tells its size" in flips["KV1", False].assumptions
    assert not any("table" in a for a in flips_of(grown(1, 4))["KV1", False].assumptions)


def test_a_size_that_one_refusal_alone_tells_is_not_confirmed() -> None:
    """The domain of that size is taken from the line that the finding repeats."""
    t = Trace()
    t.open()
    t.enable(8, 8, limit=4)
    assert confirmed(run(str(t)))["MSI-001"] is None


def plain_msi(old: int, new: int) -> str:
    """A client that grows plain MSI, whose vectors interrupted before."""
    t = Trace()
    t.open()
    for count in (old, new):
        first = t.begin(0x24, 1, 0, count)
        t.entry("__pci_enable_msi_range", f"dev={t.dev:#x} minvec=1 maxvec={count}")
        t.leave("__pci_enable_msi_range", count)
        for vector in range(count):
            t.entry("vfio_msi_set_vector_signal", f"vdev={t.vdev:#x} vector={vector} fd={20 + vector} msix=0")
            t.leave("vfio_msi_set_vector_signal", 0)
        t.leave("vfio_pci_set_irqs_ioctl", 0)
        assert first
        t.line(f"irq_handler_entry: irq={t.irq} name=vfio-msi[0]({t.bdf})", "<idle>-0")
        if count == old:
            t.disable(index=1)
    return str(t)


def test_a_window_of_plain_msi_is_replayed_like_one_of_msi_x() -> None:
    """No host adds vectors to a block, so only a client that asks for all of them at once has no window."""
    result = run(plain_msi(1, 4))
    assert confirmed(result) == {"VFIO-002": True}
    assert cured(result, "VFIO-002") == ["vectors_up_front"]
    assert confirmed(run(plain_msi(4, 4))) == {}
