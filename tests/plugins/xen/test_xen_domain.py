"""The pirq machine against a plain reference, and the four combinations of guest and device model."""

import random

import pytest
from tracekit_xen.machines.xen_domain import ANY, HvmGuest, PirqSpace, Prediction, one

from tracekit import EEXIST, EINVAL, ENODEV, ENOSPC

FLOOR, LIMIT = 4, 10


class Reference:
    """Xen's side as a list of states, nothing inferred: free, allocated, mapped, bound, forced."""

    def __init__(self) -> None:
        self.state = dict.fromkeys(range(FLOOR, LIMIT), "free")

    def get_free(self) -> int:
        free = [p for p, s in self.state.items() if s == "free"]
        if not free:
            return ENOSPC
        self.state[max(free)] = "allocated"
        return max(free)

    def map(self, p: int) -> int:
        if self.state[p] in ("free", "allocated"):
            self.state[p] = "mapped"
        return 0

    def bind(self, p: int) -> int:
        if self.state[p] == "mapped":
            self.state[p] = "bound"
            return 0
        return EEXIST if self.state[p] == "bound" else EINVAL

    def close(self, p: int) -> int:
        self.state[p] = {"bound": "mapped", "forced": "free"}.get(self.state[p], self.state[p])
        return 0

    def unmap(self, p: int) -> int:
        after = {"bound": "forced", "mapped": "free"}.get(self.state[p])
        if after is None:
            return EINVAL
        self.state[p] = after
        return 0


def request(space: PirqSpace, reference: Reference) -> tuple[Prediction, int]:
    predicted, got = space.next_number(), reference.get_free()
    if got == ENOSPC:
        space.refused()
    else:
        space.allocated(got)
    return predicted, got


def step(rng: random.Random, space: PirqSpace, reference: Reference, numbers: list[int]) -> tuple[str, Prediction, int]:
    op = rng.choice(["get", "get", "map", "bind", "close", "unmap", "unmap"])
    if op == "get" or not numbers:
        return "get", *request(space, reference)
    p = rng.choice(numbers)
    return op, getattr(space, op)(p), getattr(reference, op)(p)


@pytest.mark.parametrize("seed", range(300))
def test_a_machine_that_knows_all_predicts_the_one_result(seed: int) -> None:
    rng = random.Random(seed)
    space, reference = PirqSpace.fresh(FLOOR, LIMIT), Reference()
    for _ in range(60):
        op, predicted, got = step(rng, space, reference, list(range(FLOOR, LIMIT)))
        assert predicted == one(got), (op, predicted, got)


@pytest.mark.parametrize("floor", [None, FLOOR])
@pytest.mark.parametrize("seed", range(300))
def test_an_observer_from_the_middle_is_never_wrong(seed: int, floor: int | None) -> None:
    rng = random.Random(seed)
    reference = Reference()
    for _ in range(rng.randrange(20)):
        step(rng, PirqSpace(), reference, list(range(FLOOR, LIMIT)))
    space = PirqSpace(floor)
    predictions = []
    for _ in range(60):
        op, predicted, got = step(rng, space, reference, sorted(space.held.keys() | space.free))
        predictions.append(predicted)
        assert predicted.agrees(got) is not False, (op, predicted, got)
    assert any(p != ANY for p in predictions)


def test_a_number_given_back_is_the_next_one() -> None:
    space = PirqSpace()
    for p in (415, 414, 413):
        space.allocated(p)
        space.map(p)
    assert space.next_number() == Prediction(None, frozenset({413, 414, 415}))
    assert space.unmap(414) == one(0)
    assert space.next_number() == one(414)


def test_after_a_refusal_all_is_known() -> None:
    space = PirqSpace()
    space.allocated(24)
    space.map(24)
    space.refused()
    assert space.next_number() == one(ENOSPC)
    space.unmap(24)
    assert space.next_number() == one(24)


def test_an_allocated_number_that_was_never_mapped_is_lost() -> None:
    space = PirqSpace.fresh(FLOOR, LIMIT)
    space.allocated(9)
    assert space.unmap(9) == one(EINVAL)
    assert space.next_number() == one(8)


def test_predictions_as_text() -> None:
    assert str(Prediction(frozenset({ENOSPC, 24, 25, 26}))) == "-28, 24..26"
    assert str(Prediction(None, frozenset({7}))) == "any but 7"
    assert str(ANY) == ""


def reload(guest: HvmGuest, cycles: int) -> list[list[int]]:
    """Two controllers are enabled and disabled together, again and again."""
    taken = []
    for _ in range(cycles):
        taken.append([guest.enable("A"), guest.enable("B")])
        guest.disable("A")
        guest.disable("B")
    return taken


def test_fresh_numbers_and_a_device_model_that_unmaps_recur_for_ever() -> None:
    taken = reload(HvmGuest(PirqSpace.fresh(70, 102), reuses=False, unmaps=True), 50)
    assert {tuple(sorted(t)) for t in taken} == {(100, 101)}


def test_fresh_numbers_without_unmap_fall_until_none_is_left() -> None:
    guest = HvmGuest(PirqSpace.fresh(70, 102), reuses=False, unmaps=False)
    assert [p for pair in reload(guest, 16) for p in pair] == list(range(101, 69, -1))
    assert guest.enable("A") == ENODEV


def test_a_cached_number_that_was_unmapped_is_shared() -> None:
    guest = HvmGuest(PirqSpace.fresh(70, 102), reuses=True, unmaps=True)
    assert guest.enable("A") == 101
    guest.disable("A")
    assert guest.enable("B") == 101
    assert guest.enable("A") == 101
    assert guest.shared == {101}
    assert guest.deaf == {"A"}


def test_the_same_story_with_the_fixed_guest_shares_nothing() -> None:
    guest = HvmGuest(PirqSpace.fresh(70, 102), reuses=False, unmaps=True)
    guest.enable("A")
    guest.disable("A")
    guest.enable("B")
    assert guest.enable("A") == 100
    assert (guest.shared, guest.deaf) == (set(), set())
