"""Vectors that were refused since MSI is off, and drivers that work without."""

import pytest

from tracekit.testing import findings, shape

NOMSI = "Kernel command line: BOOT_IMAGE=/vmlinuz root=/dev/sda2 ro pci=nomsi quiet"
REFUSED = "atl1 0000:02:00.0: Unable to enable MSI: -22"
GAVE_UP = "atl1: probe of 0000:02:00.0 failed with error -22"


def log(*messages: str) -> str:
    return "".join(f"[{20 + n:12.6f}] {message}\n" for n, message in enumerate(messages))


@pytest.mark.parametrize(
    ("off", "why", "cure"),
    [
        (NOMSI, "by an option of the kernel", "take `nomsi` out"),
        ("Kernel command line: pci=noaer,nomsi", "by an option of the kernel", "take `nomsi` out"),
        ("Kernel command line: pci=assign-busses,nomsi,nocrs ro", "by an option of the kernel", "take `nomsi` out"),
        ("ACPI FADT declares the system doesn't support MSI, so disable it", "by the firmware", "update the firmware"),
        ("pci 0000:00:00.0: MSI quirk detected; MSI disabled", "for a quirk of the chipset", "see which fault"),
    ],
)
@pytest.mark.parametrize(
    "refused", [REFUSED, "iwlwifi 0000:02:00.0: pci_enable_msi failed - -38", "r8169 0000:02:00.0: no MSI. Back to INTx."]
)
def test_a_refusal_where_msi_is_off_is_told_with_that(off: str, why: str, cure: str, refused: str) -> None:
    (found,) = findings(log(off, refused))
    assert (found.code, found.severity, [e.line for e in found.evidence]) == ("MSI-004", "low", [1, 2])
    assert found.summary.endswith(f": MSI is off {why}")
    assert cure in found.advice


def test_it_stays_grave_where_the_driver_gives_up() -> None:
    (found,) = findings(log(NOMSI, REFUSED, GAVE_UP))
    assert (found.severity, [e.line for e in found.evidence]) == ("high", [1, 2, 3])
    assert found.summary.endswith(": MSI is off by an option of the kernel")


@pytest.mark.parametrize(
    "other",
    [
        "Kernel command line: pci=nommconf ro",
        "Kernel command line: qep.nomsi=1 vpci=nomsi",
        "Kernel command line: pci=noaer nomsi",
        "pci 0000:00:02.0: MSI quirk detected; subordinate MSI disabled",  # of what is below that bridge
    ],
)
def test_what_is_near_to_it_is_no_reason(other: str) -> None:
    (found,) = findings(log(other, REFUSED))
    assert shape([found]) == [("MSI-004", "probable", "0000:02:00.0", None, [2])]
    assert (found.severity, "MSI is off" in found.summary) == ("medium", False)


@pytest.mark.parametrize("refused", ["mhi 0000:02:00.0: Failed to enable MSI, ret:-28", "qep 0000:02:00.0: failed to request irq 45: -22"])
def test_it_explains_no_other_refusal(refused: str) -> None:
    assert "MSI is off" not in "".join(f.summary for f in findings(log(NOMSI, refused)))
    assert findings(log(NOMSI)) == []


@pytest.mark.parametrize(
    "up",
    [
        "atl1 0000:02:00.0: eth0 link is up 100 Mbps full duplex",
        "atl1 0000:02:00.0 eth0: NIC Link is Up 1000 Mbps Full Duplex",
        "atl1 0000:02:00.0 enp2s0: link up",
    ],
)
def test_an_interface_whose_link_comes_up_does_without(up: str) -> None:
    assert [f.severity for f in findings(log(REFUSED, up))] == ["low"]
    assert [f.severity for f in findings(log(REFUSED, up.replace("0000:02", "0000:03")))] == ["medium"]
    assert [f.severity for f in findings(log(REFUSED, up.replace("up", "down").replace("Up", "Down")))] == ["medium"]
    assert [f.severity for f in findings(log(REFUSED, GAVE_UP, up))] == ["high"]


def test_the_errno_with_which_a_driver_gives_up_at_once_is_that_of_its_refusal() -> None:
    refused = "hisi_dma 0000:7b:00.0: Failed to allocate MSI vectors!"
    (found,) = findings(log(refused, "hisi_dma: probe of 0000:7b:00.0 failed with error -28"))
    assert (found.severity, found.advice[:26]) == ("high", "As a rule nothing is short")
    (other,) = findings(log(refused, "hisi_dma: probe of 0000:7b:00.0 failed with error -5"))
    assert other.advice.startswith("No line tells why")
