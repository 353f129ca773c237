"""MSI-004 of a device that did not answer: why its vectors were refused with -22."""

import pytest
from kernel_log import log

from tracekit.findings import Finding
from tracekit.testing import findings

INACCESSIBLE = "sdhci-pci 0000:2f:00.0: Unable to change power state from D3cold to D0, device inaccessible"
NOT_READY = "sdhci-pci 0000:2f:00.0: not ready 65535ms after resume; {}"
REFUSED, OF_INSTANCE = "drv 0000:2f:00.0: Failed to enable MSI-X: {}", "mmc0: enable PCI MSI failed, error={}"
KNOWN = "vmxnet3 0000:2f:00.0: Failed to enable MSI-X, error: {}"


def refusals(*messages: str, step: float = 0.1) -> list[Finding]:
    return [f for f in findings(log(*messages, step=step)) if f.code == "MSI-004"]


@pytest.mark.parametrize("refused", [REFUSED, OF_INSTANCE, KNOWN])
@pytest.mark.parametrize("gone", [INACCESSIBLE, NOT_READY.format("giving up")])
def test_a_device_that_does_not_answer_is_refused_its_vectors(gone: str, refused: str) -> None:
    assert [f.explained_by for f in refusals(gone, refused.format(-22))] == ["IRQ-009"]
    assert [f.explained_by for f in refusals(gone, refused.format(-28))] == [None]  # it answers, and its vectors are short
    assert [f.explained_by for f in refusals(refused.format(-22), gone)] == [None]
    assert [f.explained_by for f in refusals(gone, refused.format(-22), step=60)] == [None]


def test_another_device_that_does_not_answer_is_no_reason() -> None:
    assert [f.explained_by for f in refusals(INACCESSIBLE.replace("2f", "30"), REFUSED.format(-22))] == [None]
    two = (INACCESSIBLE, INACCESSIBLE.replace("2f", "30"))
    assert [f.explained_by for f in refusals(*two, OF_INSTANCE.format(-22))] == [None]
    assert [f.explained_by for f in refusals(*two, REFUSED.format(-22))] == ["IRQ-009"]
    assert [f.explained_by for f in refusals(NOT_READY.format("waiting"), REFUSED.format(-22))] == [None]
