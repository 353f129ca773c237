"""IRQ-005 of passed-through devices, from QEMU's accesses to their config space."""

import pytest

from tracekit.findings import Finding
from tracekit.testing import findings


def of(code: str, *texts: str) -> list[Finding]:
    return [f for f in findings(*texts) if f.code == code]


def accesses(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


GIVEN = "0000:41:00.0"


def given(*steps: str, cap: str = "vfio_msix_early_setup {0} PCI MSI-X CAP @0x70, BAR 4, offset 0x0, entries 8", name: str = GIVEN) -> str:
    written = {
        "off": "vfio_pci_write_config  ({0}, @0x4, 0x102, len=0x2)",
        "on": "vfio_pci_write_config  ({0}, @0x4, 0x106, len=0x2)",
        "found off": "vfio_pci_read_config  ({0}, @0x4, len=0x2) 0x102",
        "enable": "vfio_pci_write_config  ({0}, @0x72, 0x8007, len=0x2)",
        "enable wide": "vfio_pci_write_config  ({0}, @0x70, 0x80070011, len=0x4)",
        "masked": "vfio_pci_write_config  ({0}, @0x72, 0xc007, len=0x2)",
        "disable": "vfio_pci_write_config  ({0}, @0x72, 0x7, len=0x2)",
        "reset": "vfio_msix_disable  ({0})",
        "enable msi": "vfio_pci_write_config  ({0}, @0x52, 0x81, len=0x2)",
        "disable msi": "vfio_pci_write_config  ({0}, @0x52, 0x80, len=0x2)",
        "interrupt": "vfio_msi_interrupt  ({0}) vector 0 0xfee00000/0x4021",
        "handler": "  <idle>-0 [000] d.h1. 10.000000: irq_handler_entry: irq=61 name=vfio-msix[0]({0})",
    }
    return accesses(cap.format(name), *(written[step].format(name) for step in steps))


MSI = "vfio_msi_setup {0} PCI MSI CAP @0x50"


@pytest.mark.parametrize(
    ("text", "grades"),
    [
        (given("off", "enable", "disable"), ["proven"]),
        (given("off", "enable wide", "disable"), ["proven"]),
        (given("off", "enable", "reset"), ["proven"]),
        (given("off", "masked", "enable", "found off", "disable"), ["proven"]),
        (given("found off", "enable"), ["possible"]),
        (given("off", "enable msi", "disable msi", cap=MSI), ["proven"]),
        (given("off", "enable", "on", "disable"), []),
        (given("on", "enable", "disable"), []),
        (given("off", "masked", "disable"), []),
        (given("off", "enable", "disable", "on", "enable"), []),
        (given("enable", "disable"), []),  # the register is not told
        (given("off", "enable", "disable", "interrupt"), []),
        (given("off", "enable", "disable", cap=MSI), []),  # other registers than those of its capability
        (given("off", "enable", "disable") + given("on", "enable", name="0000:42:00.0"), ["proven"]),
    ],
)
def test_bus_mastering_of_a_passed_through_device(text: str, grades: list[str]) -> None:
    found = of("IRQ-005", text)
    assert [(f.grade, f.subject.bdf) for f in found] == [(grade, GIVEN) for grade in grades]


def test_the_lines_of_a_passed_through_device_without_bus_mastering() -> None:
    (f,) = of("IRQ-005", given("off", "enable", "disable"))
    assert [(e.line, e.role) for e in f.evidence] == [(2, "cause"), (3, "cause"), (4, "context")]
    assert of("IRQ-005", given("off", "enable", "disable"), "# tracer: nop\n" + given("handler", cap="")) == []


def test_a_mediated_device_has_no_bdf() -> None:
    (f,) = of("IRQ-005", given("off", "enable", "disable", name="34658867-146a-4656-9fa5-890fdbc37010"))
    assert (f.subject.bdf, f.subject.label) == (None, "34658867-146a-4656-9fa5-890fdbc37010")
