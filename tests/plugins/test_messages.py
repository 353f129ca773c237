"""Operations that only a message gives a result for are counted, and predicted where the message before it tells the state."""

import pytest

from tracekit.testing import tables


def told(*lines: str) -> list[tuple[str, str | None, str, bool | None]]:
    text = "".join(f"[{100 + n:5d}.000000] {line}\n" for n, line in enumerate(lines))
    return tables(text)["predictions"].select("operation", "predicted", "observed", "agrees").rows()


REFUSED = "e1000e 0000:00:06.0: xen map irq failed -28 for 32752 domain"
UNMAP = "xen:events: unmap irq failed -22"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((REFUSED, UNMAP), [("map_pirq (message)", None, "-28", None), ("unmap_pirq (message)", "-22", "-22", True)]),
        ((UNMAP,), [("unmap_pirq (message)", None, "-22", None)]),
        ((REFUSED, UNMAP, UNMAP), [
            ("map_pirq (message)", None, "-28", None), ("unmap_pirq (message)", "-22", "-22", True), ("unmap_pirq (message)", None, "-22", None),
        ]),
        (("e1000e 0000:00:06.0: xen map irq failed -22 for 32752 domain", UNMAP), [
            ("map_pirq (message)", None, "-22", None), ("unmap_pirq (message)", None, "-22", None),
        ]),
    ],
)  # fmt: skip
def test_the_unmap_of_a_refused_request_finds_nothing(lines: tuple[str, ...], expected: list[tuple[object, ...]]) -> None:
    assert told(*lines) == expected


def test_what_drivers_tell_is_counted_and_not_predicted() -> None:
    found = told(
        "e1000e 0000:00:06.0 eth0: Unable to allocate interrupt, Error: -28",
        "hns3 0000:7d:00.0: failed(-28) to allocate MSI/MSI-X vectors",
        "be2net 0000:08:00.0: MSIx enable failed",
    )
    assert found == [("request_irq (message)", None, "-28", None), ("allocate vectors (message)", None, "-28", None)]
