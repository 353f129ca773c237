"""The samples, and the model alone."""

from pathlib import Path

import pytest
from tracekit_acme import tracekit_diagnoses
from tracekit_acme.doorbells import Doorbells

from tracekit.testing import check_sample, findings, play, samples, shape, tables, unsampled

SAMPLES = Path(__file__).parent.parent / "sample_traces"
LOG = "[    1.000000] acme 0000:03:00.0: doorbell 7\n[    2.000000] acme 0000:03:00.0: irq 44 cause 0x1\n"


@pytest.mark.parametrize("case", samples(SAMPLES), ids=lambda case: f"{case.parent.name}/{case.name}")
def test_sample(case: Path) -> None:
    check_sample(case)


def test_every_diagnosis_fires_in_a_sample_and_stays_quiet_in_another() -> None:
    assert unsampled(SAMPLES, tracekit_diagnoses()) == {}


def test_an_interrupt_answers_a_doorbell() -> None:
    heard = {name: table for name, table in tables(LOG).items() if name in Doorbells.hears()}
    assert play(Doorbells, heard)["acme_doorbells"].select("queue", "answered", "line", "line_end").rows() == [(7, True, 1, 2)]


def test_the_finding_names_its_line() -> None:
    assert shape(findings(LOG.splitlines()[0])) == [("ACME-001", "probable", "0000:03:00.0", None, [1])]
