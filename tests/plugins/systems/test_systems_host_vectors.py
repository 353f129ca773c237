"""What if, on a host's CPU vectors: more of them, or fewer asked for; reservations only move the refusal."""

from typing import Any

from tracekit.diagnosing.places import Places
from tracekit.pipeline import flipped
from tracekit.plugins import registry as plugins
from tracekit.replay.whatif import Flip
from tracekit.run import Run
from tracekit.testing import run


def flips_of(result: Run) -> dict[tuple[str, Any], Flip]:
    return {(f.gate, f.to): f for f in flipped(plugins.load(), Places(result.tables))}


def confirmed(result: Run) -> dict[str, bool | None]:
    return {f.code: f.confirmed_by_replay for f in result.findings if not f.code.startswith(("OBS", "CFG"))}


def trace(*events: str) -> str:
    lines = [f"{'udevd-77':>24} [002] d..2.    31.{i:06d}: {e}" for i, e in enumerate(events)]
    return "# tracer: nop\n#\n" + "\n".join(lines) + "\n"


def asks(irq: int, granted: bool = True) -> tuple[str, ...]:
    """An activation: granted, or refused after both masks."""
    given = (f"vector_alloc: irq={irq} vector={irq + 20} reserved=1 ret=0",)
    refused = (f"vector_alloc: irq={irq} vector=0 reserved=1 ret=-28",) * 2
    return f"vector_activate: irq={irq} is_managed=0 can_reserve=1 reserve=0", *(given if granted else refused)


def gives(irq: int) -> str:
    return f"vector_clear: irq={irq} vector={irq + 20} cpu=2 prev_vector=0 prev_cpu=2"


def test_a_refusal_vanishes_with_more_vectors_or_fewer_requests() -> None:
    result = run(trace(*asks(41), *asks(42), *asks(43, False), *asks(44, False)))
    assert confirmed(result) == {"VEC-001": True}
    flips = flips_of(result)
    assert flips["more_vectors", True].vanished == flips["fewer_requested", True].vanished == ("VEC-001",)
    assert dict(flips["more_vectors", True].cost) == {"cpu_vectors": 2}


def test_without_reservations_the_refusal_comes_at_the_allocation() -> None:
    flip = flips_of(run(trace(*asks(41), *asks(42, False))))["KV1", False]
    assert (flip.vanished, flip.new) == (("VEC-001",), ("VEC-002",))


def test_its_twin_gives_a_vector_back_in_time() -> None:
    result = run(trace(*asks(41), *asks(42), gives(41), *asks(43)))
    assert confirmed(result) == {}
    assert flips_of(result) == {}


def test_a_vector_given_back_serves_the_next_request() -> None:
    """After the release one of two gets through: the pool is replayed, not the results."""
    result = run(trace(*asks(41), *asks(42, False), gives(41), *asks(43), *asks(44, False)))
    assert confirmed(result) == {"VEC-001": True}
    assert dict(flips_of(result)["more_vectors", True].cost) == {"cpu_vectors": 2}


def test_no_slot_for_a_managed_irq_is_mended_by_more_vectors() -> None:
    result = run(trace(*asks(41), "vector_reserve_managed: irq=50 ret=-28"))
    assert confirmed(result) == {"VEC-002": True}
    assert flips_of(result)["more_vectors", True].vanished == ("VEC-002",)


def test_what_a_message_alone_tells_is_not_confirmed() -> None:
    result = run("[  100.000000] irq 4: Affinity broken due to vector space exhaustion.\n")
    assert confirmed(result) == {"VEC-004": None}
    (finding,) = result.findings[:1]
    assert finding.fixes


def test_a_refusal_alone_is_not_confirmed_and_neither_is_one_that_the_pool_denies() -> None:
    assert confirmed(run(trace(*asks(43, False)))) == {"VEC-001": None}
    free = "irq_matrix_free: bit=61 cpu=2 online=1 avl=5 alloc=3 managed=0 online_maps=1 global_avl=5, global_rsvd=0, total_alloc=3"
    assert confirmed(run(trace(*asks(41), free, *asks(43, False))))["VEC-001"] is None
