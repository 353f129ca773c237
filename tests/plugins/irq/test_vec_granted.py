"""Events of vectors by column give the same predictions and lives as one by one."""

import random

import pytest
from polars.testing import assert_frame_equal
from tracekit_irq.models import granted, vectors

from tracekit import Inputs
from tracekit.testing import play, tables

LINES = (
    "vector_alloc: irq={irq} vector={vector} reserved=1 ret=0",
    "vector_alloc: irq={irq} vector={vector} reserved=0 ret=0",
    "vector_clear: irq={irq} vector={vector} cpu=0 prev_vector=0 prev_cpu=0",
    "vector_activate: irq={irq} is_managed=0 can_reserve=1 reserve=1",
    "vector_activate: irq={irq} is_managed=0 can_reserve=1 reserve=0",
    "vector_deactivate: irq={irq} is_managed=0 can_reserve=1 reserve=0",
    "vector_alloc_managed: irq={irq} vector={vector} ret=0",
    "vector_reserve: irq={irq} ret=0",
    "vector_reserve_managed: irq={irq} ret=0",
)
REFUSED = (
    "vector_alloc: irq=3 vector=0 reserved=1 ret=-28",
    "vector_alloc: irq=3 vector=2147483648 reserved=1 ret=0",
    "vector_alloc_managed: irq=3 vector=0 ret=-28",
    "vector_reserve_managed: irq=3 ret=-28",
)
MATRIX = "irq_matrix_alloc: bit=35 cpu=0 online=1 avl=1 alloc=1 managed=0 online_maps=8 global_avl=1 global_rsvd=0 total_alloc=2"


def trace(seed, *more):
    rnd = random.Random(seed)
    texts = [rnd.choice(LINES).format(irq=rnd.randint(1, 6), vector=rnd.randint(33, 40)) for _ in range(rnd.randint(20, 60))]
    texts.insert(rnd.randrange(20), LINES[0].format(irq=1, vector=33))
    for text in more:
        texts.insert(rnd.randrange(20), text)
    lines = (f" qemu-{rnd.choice((0, 7, 8)):<5} [00{rnd.randint(0, 1)}] d....  1.{n // 2:06}: {text}\n" for n, text in enumerate(texts))
    return {name: t for name, t in tables("".join(lines)).items() if name in vectors.Vectors.hears()}


@pytest.mark.parametrize("more", [(), *((text,) for text in REFUSED), (MATRIX,)], ids=lambda more: more[0][:24] if more else "granted")
@pytest.mark.parametrize("seed", range(4))
def test_the_same_tables(seed, more, monkeypatch):
    heard = trace(seed, *more)
    one_by_one = play(vectors.Vectors, heard)
    monkeypatch.setattr(vectors, "FEW", 0)
    for name, rows in play(vectors.Vectors, heard).items():
        assert_frame_equal(rows, one_by_one[name])


@pytest.mark.parametrize("text", REFUSED)
def test_a_failure_is_followed_one_by_one(text):
    assert granted.all_granted(Inputs(trace(1)))
    assert not granted.all_granted(Inputs(trace(1, text)))
