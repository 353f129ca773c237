"""What to do about vectors that were refused follows the errno; a driver that finds no irq at all says so."""

import pytest

from tracekit.testing import findings, shape

REFUSED = "apex 0000:03:00.0: Couldn't initialize interrupts: {}"
GAVE_UP = "apex: probe of 0000:03:00.0 failed with error {}"


def log(*messages: str) -> str:
    return "".join(f"[{20 + n:12.6f}] {message}\n" for n, message in enumerate(messages))


@pytest.mark.parametrize(
    ("errno", "advice"),
    [
        (-28, "Raise what is short"),
        (-34, "Raise what is short"),
        (-22, "Nothing is short: the platform's MSI domain does not take"),
        (-524, "Nothing is short: the platform, its irq domain or the function has no such MSI"),
        (-19, "Nothing is short: the platform, its irq domain or the function has no such MSI"),
        (-16, "Nothing is short: something of the device is in use already"),
        (-5, "No line tells why"),
    ],
)
def test_only_a_shortage_is_raised(errno: int, advice: str) -> None:
    (found,) = [f for f in findings(log(REFUSED.format(errno))) if f.code == "MSI-004"]
    assert found.advice.startswith(advice)


@pytest.mark.parametrize("errno", [-12, -517])
def test_want_of_memory_is_no_refusal_of_vectors(errno: int) -> None:
    assert findings(log(REFUSED.format(errno), GAVE_UP.format(errno))) == []


def test_a_refusal_that_a_driver_passes_on_is_no_second_one() -> None:
    told = findings(log("hailo 0000:05:00.0: Failed to enable MSI -28", "hailo 0000:05:00.0: Failed Enabling interrupts -28"))
    assert shape(told) == [("MSI-004", "probable", "0000:05:00.0", None, [1])]
    other = findings(log("hailo 0000:05:00.0: Failed to enable MSI -28", "qep 0000:06:00.0: failed to request irq 45: -28"))
    assert "VEC-001" in [f.code for f in other]


@pytest.mark.parametrize(
    ("said", "gave_up", "device"),
    [
        (
            "NVRM: Can't find an IRQ for your NVIDIA card!",
            "nvidia 0000:c4:00.0: probe with driver nvidia failed with error -1",
            "0000:c4:00.0",
        ),
        ("datadev: No IRQ associated with PCI device", "datadev: probe of 0000:01:00.0 failed with error -22", "0000:01:00.0"),
        ("qep 0000:01:00.0: no IRQ found, aborting", "qep: probe of 0000:01:00.0 failed with error -19", "0000:01:00.0"),
    ],
)
def test_a_driver_that_finds_no_irq_and_gives_up(said: str, gave_up: str, device: str) -> None:
    (found,) = findings(log(said, gave_up))
    assert shape([found]) == [("MSI-004", "probable", device, None, [1, 2])]
    assert (found.severity, found.summary) == ("high", f"no irq was found for {device}, and its driver gave up")
    assert "was given none" in found.advice


@pytest.mark.parametrize(
    "said",
    [
        "NVRM: Can't find an IRQ for your NVIDIA card!",  # no line says of which device, nor that it was given up
        "serial8250: no IRQ found",
        "rtc_cmos 00:01: no IRQ assigned",
        "qep 0000:01:00.0: no interrupt storm detected",
        "qep 0000:01:00.0: no irq_chip for the parent",
    ],
)
def test_words_of_no_irq_that_name_no_function_are_none(said: str) -> None:
    assert findings(log(said)) == []


def test_a_host_controller_without_an_irq_ends_its_probe_with_that() -> None:
    said = "xhci_hcd 0000:05:00.0: Found HC with no IRQ.{}Check BIOS/PCI 0000:05:00.0 setup!"
    for blanks in (" ", "  "):
        (found,) = findings(log(said.format(blanks)))
        assert shape([found]) == [("MSI-004", "probable", "0000:05:00.0", None, [1])]
        assert (found.severity, found.summary) == ("medium", "no irq was found for 0000:05:00.0, and its driver gave up")
    assert findings(log("xhci_hcd 0000:05:00.0: Found HC with no IRQ, polls")) == []


def test_a_driver_that_finds_no_kind_of_interrupt_gives_up_with_that() -> None:
    back = "NVRM: GPU 0000:01:00.0: Failed to enable MSI; falling back to PCIe virtual-wire interrupts."
    (found,) = findings(log(back, "NVRM: GPU 0000:01:00.0: No interrupts of any type are available. Cannot use this GPU."))
    assert (found.code, found.subject.bdf, found.severity) == ("MSI-004", "0000:01:00.0", "medium")
    (alone,) = findings(log("qep 0000:01:00.0: no interrupts available, cannot use the card"))
    assert (alone.grade, alone.summary) == ("probable", "no irq was found for 0000:01:00.0, and its driver gave up")
    for other in ("no interrupts in 5 s", "no interrupts available, polling", "No interrupts for queue 3"):
        assert findings(log(f"qep 0000:01:00.0: {other}")) == []


@pytest.mark.parametrize(
    ("driver", "said"),
    [
        ("mpt3sas", "mpt3sas_cm0: pci_alloc_irq_vectors failed (r=-28) !!!"),
        ("mpi3mr", "mpi3mr0: cannot allocate irq vectors: ret -28"),
    ],
)
def test_the_only_controller_of_a_driver_is_the_first_one(driver: str, said: str) -> None:
    enabled = f"{driver} 0000:01:00.0: enabling device (0000 -> 0002)"
    (found,) = findings(log(enabled, said))
    assert (found.code, found.subject.label, found.subject.how) == ("MSI-004", "0000:01:00.0", f"the only function of {driver} here")
    gave_up = f"{driver}: probe of 0000:01:00.0 failed with error -28"
    (high,) = [f for f in findings(log(enabled, said, gave_up)) if f.code == "MSI-004"]
    assert (high.severity, [e.line for e in high.evidence]) == ("high", [2, 3])
    instance = said.partition(":")[0]
    for others in ([enabled, enabled.replace("01:00", "02:00")], [enabled.replace(driver, "other")], []):
        (unnamed,) = findings(log(*others, said))
        assert (unnamed.subject.label, unnamed.subject.how) == (instance, None)
    second = said.replace(instance, instance[:-1] + "1")
    assert [f.subject.label for f in findings(log(enabled, second))] == [instance[:-1] + "1"]
