"""The guards of Xen's models and diagnoses, each from both sides."""

import pytest

from tracekit.testing import tables

PORT = "   {0}: VCPU 0: Physical IRQ {1}\n"


@pytest.mark.parametrize(
    ("ports", "dumps"),
    [
        (((5, 17), (6, 18), (9, 19)), [[19, 18, 17]]),
        (((5, 17), (6, 18), (6, 18)), [[18, 17], [18]]),  # a number that does not rise begins another dump
        (((5, 17), (6, 18), (5, 17)), [[18, 17], [17]]),
        (((5, 17), (5, 17)), [[17], [17]]),
    ],
)
def test_a_list_of_ports_ends_where_the_number_does_not_rise(ports: tuple[tuple[int, int], ...], dumps: list[list[int]]) -> None:
    facts = tables("".join(PORT.format(*p) for p in ports))["pirq_facts"]
    assert facts.filter(facts["fact"] == "ports").select("domid", "value", "pirqs").rows() == [(0, len(p), p) for p in dumps]
