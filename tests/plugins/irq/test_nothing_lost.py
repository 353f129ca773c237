"""Words of a lost interrupt that tell of none: counts of zero, options, and other things that are lost."""

import pytest
from kernel_log import BOOT, log, outcome

from tracekit.testing import findings


@pytest.mark.parametrize(
    "message",
    [
        "foo 0000:08:00.0: lost interrupts: 0",
        "foo 0000:08:00.0: lost interrupts 0, spurious 3",
        "foo 0000:08:00.0: interrupts lost: 0",
        "foo 0000:08:00.0: interrupts lost 0",
        "foo 0000:08:00.0: Missed interrupts: 0x00000000",
        "foo 0000:08:00.0: lost 0 interrupts",
        "foo 0000:08:00.0: lost interrupt none",
        "foo 0000:08:00.0: lost interrupt count = 0",
        "i915 0000:00:02.0: [drm] Missed IRQs: 0x00000000",
        "gvnic 0000:00:04.0: MSI-X vectors 17, missed irq kicks: 0",
        "foo 0000:08:00.0 eth2: MSI-X interrupts missed: 0",
        "mlx5_core 0000:3b:00.0 eth2: Recovered 0 eqes on EQ 0x11",
        "mlx5_core 0000:3b:00.0: mlx5_cmd_eq_recover:245:(pid 1416): Recovered 0 EQEs on cmd_eq",
        "i2c i2c-1: arbitration lost interrupt",
        "foo 0000:08:00.0: carrier lost interrupt",
        "peak_pci 0000:05:00.0: message lost interrupt enabled",
        "foo 0000:05:00.0: lost interrupt workaround enabled",
        "foo 0000:05:00.0: lost interrupt detection is off.",
        "i915 0000:00:02.0: [drm] PSR: vblank interrupt lost, retraining link: ok",
        "ena 0000:00:05.0: Potential MSIX issue check disabled",
        "foo 0000:05:00.0: missing interrupt resource",
        "foo 0000:05:00.0: missing MSI-X capability",
    ],
)
def test_nothing_was_lost(message: str) -> None:
    text = log(BOOT, message)
    assert (findings(text), outcome(text, "IRQ-007") == "inconclusive") == ([], False)


@pytest.mark.parametrize(
    ("message", "grade"),
    [
        ("foo 0000:08:00.0: lost interrupts: 3", "possible"),
        ("foo 0000:08:00.0: Missed interrupts: 0x00000004", "possible"),
        ("foo 0000:08:00.0: lost interrupt on queue: 0", "possible"),
        ("foo 0000:08:00.0: lost interrupt, status: 0", "possible"),
        ("foo 0000:08:00.0: lost IRQ 0", "possible"),
        ("foo 0000:08:00.0: queue 3 lost interrupt", "possible"),
        ("foo 0000:08:00.0: device lost interrupt, reset is on", "possible"),
        ("foo 0000:08:00.0: missed MSI-X, polling is enabled", "probable"),
        ("foo 0000:08:00.0: MSI-X interrupt lost on vector 0", "probable"),
        ("mlx5_core 0000:3b:00.0 eth2: Recovered 10 eqes on EQ 0x11", "proven"),
    ],
)
def test_one_was(message: str, grade: str) -> None:
    assert [(f.code, f.grade, f.subject.label) for f in findings(log(BOOT, message))] == [
        ("IRQ-007", grade, message.split()[1].rstrip(":"))
    ]
