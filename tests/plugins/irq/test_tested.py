"""Drivers whose own test saw no interrupt, that have had none, or that waited for one in vain."""

import pytest
from kernel_log import BOOT, log, outcome

from tracekit.testing import findings, shape


@pytest.mark.parametrize(
    ("message", "label"),
    [
        ("ipr 0000:02:00.0: MSI test failed.  Falling back to LSI.", "0000:02:00.0"),
        ("foo 0000:02:00.0: MSI-X interrupt self-test failed, falling back to legacy interrupts", "0000:02:00.0"),
        ("lpfc 0000:05:00.0: 0:0447 Configure interrupt mode (2) failed active interrupt test.", "0000:05:00.0"),
        ("sfc 0000:07:00.0 eth2: timed out waiting for interrupt", "0000:07:00.0"),
        ("ib_qib 0000:05:00.0: MSIx interrupt not detected, trying INTx interrupts", "0000:05:00.0"),
        ("ehci_hcd 0000:00:1d.7: Unlink after no-IRQ?  Controller is probably using the wrong IRQ.", "0000:00:1d.7"),
        ("eth3: Interrupt posted but not delivered -- IRQ blocked by another device?", "eth3"),
    ],
)
def test_a_test_that_saw_no_interrupt_is_probable(message: str, label: str) -> None:
    (found,) = findings(log(BOOT, message))
    works = any(word in message for word in ("alling back", "using legacy", "trying INTx"))
    assert (*shape([found]), found.severity) == (("IRQ-007", "probable", label, None, [2]), "medium" if works else "high")


def test_a_line_may_be_what_does_not_arrive() -> None:
    advice = {
        message: findings(log(f"foo 0000:02:00.0: {message}"))[0].advice[:3] for message in ("MSI test failed", "interrupt test failed")
    }
    assert advice == {"MSI test failed": "MSI", "interrupt test failed": "See"}


def test_the_first_command_of_a_raid_controller_is_a_guess() -> None:
    (found,) = findings(log("aacraid: aac_fib_send: first asynchronous command timed out."))
    assert shape([found]) == [("IRQ-007", "possible", "an unnamed device", None, [1])]


@pytest.mark.parametrize(
    "message",
    [
        "foo 0000:02:00.0: MSI test passed",
        "foo 0000:02:00.0: no interrupt test failed",
        "foo 0000:02:00.0 eth2: link test failed, MSI-X interrupts in use",
        "foo 0000:02:00.0: running MSI-X interrupt test",
        "aacraid: aac_fib_send: command timed out.",
    ],
)
def test_another_test_or_one_that_passed_is_none(message: str) -> None:
    text = log(BOOT, message)
    assert (findings(text), outcome(text, "IRQ-007") == "inconclusive") == ([], False)


@pytest.mark.parametrize(
    "message",
    ["i801_smbus 0000:00:1f.3: Timeout waiting for interrupt!", "foo 0000:02:00.0 eth2: timed out while waiting for an MSI-X interrupt"],
)
def test_a_wait_in_vain_is_a_question(message: str) -> None:
    text = log(BOOT, message)
    assert (findings(text), outcome(text, "IRQ-007")) == ([], "inconclusive")
