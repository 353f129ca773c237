"""Devices that are gone since they were taken out, several that went at once, and those that may be off on purpose."""

import pytest
from kernel_log import BOOT, log

from tracekit.testing import findings, shape

UNPLUGGED = "pcieport 0000:04:01.0: pciehp: Slot(1): Card not present"
DEAD = "xhci_hcd 0000:05:00.0: xHCI host controller not responding, assume dead"
ASLEEP = "pcieport 0000:{}:00.0: Unable to change power state from {}, device inaccessible"

GONE = [
    "igb 0000:0a:00.0 enp10s0: PCIe link lost",
    DEAD,
    "nvme nvme0: Device not ready; aborting reset, CSTS=0xffffffff",
    "mlx5_core 0000:0a:00.0: print_health_info:491:(pid 0): PCI slot is unavailable",
    ASLEEP.format("0a", "D0 to D3hot"),
]


@pytest.mark.parametrize("gone", GONE)
@pytest.mark.parametrize(
    "unplugged", [UNPLUGGED, "pciehp 0000:00:1c.4:pcie04: Card not present on Slot(4)", "thunderbolt 0-1: device disconnected"]
)
def test_a_device_that_was_taken_out_is_gone_for_that(gone: str, unplugged: str) -> None:
    for text in (log(BOOT, unplugged, gone), log(BOOT, gone, unplugged), f"{unplugged}\n{gone}\n"):
        assert findings(text) == []
    for text in (log(BOOT, gone), log(BOOT, unplugged, gone, step=60), log(BOOT, "pcieport 0000:04:01.0: pciehp: Slot(1): Link Up", gone)):
        assert [f.code for f in findings(text)] == ["IRQ-009"]


def test_a_usb_host_that_its_driver_gives_up_may_be_gone() -> None:
    (found,) = findings(log(BOOT, DEAD))
    assert (*shape([found]), found.severity) == (("IRQ-009", "possible", "0000:05:00.0", None, [2]), "info")
    assert "MSI is not the cause" not in found.summary
    (both,) = findings(log(DEAD, "xhci_hcd 0000:05:00.0: Host not accessible, reset failed."))
    assert both.grade == "proven"


def test_the_sound_of_a_gpu_that_is_off_is_perhaps_no_fault() -> None:
    line = "{} 0000:01:00.1: Refused to change power state, currently in D3"
    (sound,) = findings(log(line.format("snd_hda_intel")))
    assert (*shape([sound]), "on purpose" in sound.summary) == (("IRQ-009", "possible", "0000:01:00.1", None, [1]), True)
    (other,) = findings(log(line.format("vfio-pci")))
    assert (other.grade, "on purpose" in other.summary) == ("proven", False)


def test_bridges_that_do_not_fall_asleep_in_one_second_are_one_remark() -> None:
    down = [ASLEEP.format(bus, "D0 to D3hot") for bus in ("04", "05", "06")]
    (found,) = findings(log(*down, step=0.01))
    assert shape([found]) == [("IRQ-009", "proven", "host", None, [1, 2, 3])]
    assert found.values == {"count": 3, "functions": ["0000:04:00.0", "0000:05:00.0", "0000:06:00.0"]}
    assert len(findings(log(*down, step=60))) == 3
    assert len(findings(log(*(ASLEEP.format(bus, "D3cold to D0") for bus in ("04", "05")), step=0.01))) == 2
