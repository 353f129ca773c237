"""The vector pool and the remapping table as machines, and the pool against a reference that only counts."""

import random

from tracekit_irq.machines.irte_pool import FULL, IrtePool
from tracekit_irq.machines.vector_pool import ANY, VectorPool, activation

OK = frozenset({0})
ENOSPC = frozenset({-28})


def pool(*vectors: int) -> VectorPool:
    p = VectorPool()
    for cpu, n in enumerate(vectors):
        p.online(cpu, n)
    return p


def test_reservations_never_fail_and_warn_when_they_first_exceed_what_there_is() -> None:
    p = pool(2)
    assert [p.reserve(irq) for irq in (1, 2, 3)] == [OK, OK, OK]
    assert (p.reserved, p.available, p.warnings) == (3, 2, 1)


def test_the_last_activation_fails_although_all_were_granted() -> None:
    p = pool(1, 1)
    for irq in (1, 2, 3):
        p.reserve(irq)
    assert [p.activate(irq, early=True) for irq in (1, 2, 3)] == [OK, OK, OK]
    assert [p.activate(irq) for irq in (1, 2, 3)] == [OK, OK, ENOSPC]
    p.free(1)
    assert p.activate(3) == OK


def test_deactivation_gives_the_vector_back_and_keeps_the_reservation() -> None:
    p = pool(1)
    p.reserve(1)
    p.activate(1)
    assert (p.available, p.reserved) == (0, 0)
    p.deactivate(1)
    assert (p.available, p.reserved) == (1, 1)


def test_a_managed_irq_takes_a_slot_on_every_cpu_or_none() -> None:
    p = pool(1, 2)
    assert p.reserve_managed(1, (0, 1)) == OK
    assert p.reserve_managed(2, (0, 1)) == ENOSPC
    assert p.available == 1
    assert p.activate(1) == OK
    assert p.activate(1) == OK
    p.free(1)
    assert p.available == 3


def test_a_managed_irq_without_online_cpus_cannot_start() -> None:
    p = pool(1)
    p.reserve_managed(1, (0,))
    p.cpus[0].online = False
    assert p.activate(1) == ENOSPC


def test_what_is_available_decides_an_activation_and_unknown_decides_nothing() -> None:
    assert (activation(1), activation(0), activation(None)) == (OK, ENOSPC, ANY)


def test_the_pool_agrees_with_counting() -> None:
    """Integers only: vectors in use never exceed the sum, an activation fails exactly when they are all in use."""
    r = random.Random(1)
    for _ in range(2000):
        sizes = [r.randint(0, 3) for _ in range(r.randint(1, 3))]
        p, live, known = pool(*sizes), set(), set()
        for _ in range(20):
            irq, what = r.randint(1, 8), r.choice(["reserve", "activate", "deactivate", "free"])
            if what == "reserve" and irq not in known:
                assert p.reserve(irq) == OK
                known.add(irq)
            elif what == "activate" and irq in known:
                fits = irq in live or len(live) < sum(sizes)
                assert p.activate(irq) == (OK if fits else ENOSPC)
                live |= {irq} if fits else set()
            elif what == "deactivate" and irq in known:
                p.deactivate(irq)
                live.discard(irq)
            elif what == "free":
                p.free(irq)
                live.discard(irq)
                known.discard(irq)
            assert (p.available, p.reserved) == (sum(sizes) - len(live), len(known - live))


def test_a_remapping_table_is_full_when_no_aligned_room_is_left() -> None:
    t = IrtePool(size=8)
    assert t.allocate("a", 4) == OK
    assert t.allocate("b") == OK
    assert t.allocate("c", 4) == FULL
    t.free("b")
    assert t.allocate("c", 4) == OK


def test_a_message_passes_only_with_its_own_entry() -> None:
    t = IrtePool(size=8)
    t.allocate("a")
    assert (t.blocked("a", 0), t.blocked("b", 0), t.blocked("a", 1), t.blocked("a", 8)) == (None, 0x26, 0x22, 0x21)


def test_an_unknown_table_predicts_anything() -> None:
    assert IrtePool(size=None).allocate("a") == FULL | OK


def test_an_irq_leaves_the_wanted_cpus_only_where_these_are_full() -> None:
    p = VectorPool()
    p.online(0, 1)
    p.online(1, 9)
    assert [p.activate(irq, wanted=(0,)) for irq in (1, 2)] == [OK, OK]
    assert [p.irqs[irq].cpu for irq in (1, 2)] == [0, 1]
    assert p.broken == 1
    assert (p.activate(3), p.broken) == (OK, 1)
