"""MSI-004 of irqs: what the irq core refuses, and INT pins that lead to none."""

from functools import partial

import kernel_log
import pytest

from tracekit.findings import Finding
from tracekit.testing import findings, outcome, run, shape

log = partial(kernel_log.log, step=0.01)


def of(*messages: str) -> list[Finding]:
    return [f for f in findings(log(*messages)) if f.code == "MSI-004"]


def doubted(*messages: str) -> bool:
    return any("not understood" in d.text for d in run(log(*messages)).doubts)


GAVE_UP = "qep: probe of 0000:18:00.0 failed with error {}"


@pytest.mark.parametrize(
    ("refused", "errno", "said"),
    [
        (
            "genirq: Threaded irq requested with handler=NULL and !ONESHOT for irq 61",
            -22,
            "a thread without a handler needs IRQF_ONESHOT",
        ),
        (
            "genirq: Threaded irq requested with handler=NULL and !ONESHOT for qep (irq 61)",
            -22,
            "a thread without a handler needs IRQF_ONESHOT for qep",
        ),
        ("genirq: Failed to request resources for qep (irq 61) on irqchip my-gpio", -16, "its chip does not give it for qep"),
        ("genirq: Invalid attempt to share NMI for qep (irq 61) on irqchip GICv3.", -22, "its chip does not give it for qep"),
        ("IRQ handler type mismatch for IRQ 61", -16, "another driver has it with other flags"),
        ("genirq: Setting trigger mode 3 for irq 61 failed (my_set_type+0x0/0x10)", -22, "the chip does not take trigger mode 3"),
    ],
)
def test_an_irq_that_the_irq_core_refused_and_a_driver_that_gave_up(refused: str, errno: int, said: str) -> None:
    (found,) = of(refused, GAVE_UP.format(errno))
    assert shape([found]) == [("MSI-004", "probable", "0000:18:00.0", None, [1, 2])]
    assert (found.severity, found.summary) == ("high", f"an irq of 0000:18:00.0 was refused, and its driver gave up: {said}")
    assert found.advice.startswith("The driver asks for a thread" if "Threaded" in refused else "The irq core or its chip")


def test_a_refusal_of_the_irq_core_that_no_driver_gives_up_for() -> None:
    (found,) = of("genirq: Failed to request resources for qep (irq 61) on irqchip ITS-MSI", "usb 1-1: new device")
    assert (shape([found]), found.severity) == ([("MSI-004", "possible", "irq 61", None, [1])], "low")
    # The pin of a card slot, the line of a sensor.
    assert of("genirq: Threaded irq requested with handler=NULL and !ONESHOT for cd (irq 61)", "usb 1-1: new device") == []
    assert of("genirq: Failed to request resources for qep (irq 61) on irqchip my-gpio") == []
    # A trigger may be set without a request.
    assert of("genirq: Setting trigger mode 3 for irq 61 failed (my_set_type+0x0/0x10)") == []


@pytest.mark.parametrize(
    "below",
    [
        (GAVE_UP.format(-12),),  # memory
        (*["usb 1-1: new device"] * 150, GAVE_UP.format(-22)),  # later
    ],
)
def test_a_driver_that_gives_up_for_another_reason(below: tuple[str, ...]) -> None:
    told = of("genirq: Failed to request resources for qep (irq 61) on irqchip ITS-MSI", *below)
    assert [(f.subject.label, f.severity) for f in told] == [("irq 61", "low")]


def test_a_driver_that_gives_up_with_another_errno() -> None:
    assert of("genirq: Threaded irq requested with handler=NULL and !ONESHOT for irq 61", GAVE_UP.format(-110)) == []  # it returned -22


def test_a_refusal_that_the_driver_tells_too_is_one_finding() -> None:
    told = of(
        "genirq: Failed to request resources for qep (irq 61) on irqchip my-gpio",
        "qep 0000:18:00.0: request_irq failed: -16",
        GAVE_UP.format(-16),
    )
    assert shape(told) == [("MSI-004", "probable", "0000:18:00.0", None, [1, 2, 3])]
    assert told[0].summary.endswith("and its driver gave up: its chip does not give it for qep")


ROUTES = [
    "qep 0000:18:00.0: PCI INT A: no GSI",
    "qep 0000:18:00.0: PCI INT A: not connected",
    "qep 0000:18:00.0: can't find IRQ for PCI INT A; please try using pci=biosirq",
    "qep 0000:18:00.0: can't find IRQ for PCI INT A; probably buggy MP table",
    "PCI: No IRQ known for interrupt pin A of device 0000:18:00.0. Please try using pci=biosirq.",
    "ACPI: PCI interrupt 0000:18:00.0[A]: no GSI",
]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(("said", "errno"), [("qep 0000:18:00.0: request_irq failed", -107), ("qep phy0: request_irq failed", -16)])
def test_a_pin_that_leads_to_no_irq(route: str, said: str, errno: int) -> None:
    (found,) = of(route, said, GAVE_UP.format(errno))
    assert shape([found]) == [("MSI-004", "probable", "0000:18:00.0", None, [1, 2, 3])]
    assert (found.severity, found.summary.partition(": ")[2]) == ("high", "its INT A leads to no irq")
    assert "_PRT" in found.advice
    assert not doubted(route, said, GAVE_UP.format(errno))


def test_a_driver_without_a_word_that_gives_up_below_such_a_pin() -> None:
    (found,) = of(ROUTES[0], GAVE_UP.format(-107))
    assert (shape([found]), found.severity) == ([("MSI-004", "probable", "0000:18:00.0", None, [1, 2])], "high")


@pytest.mark.parametrize("errno", [-16, -22])
def test_an_errno_of_many_meanings_below_such_a_pin_is_a_question(errno: int) -> None:
    told = log(ROUTES[0], GAVE_UP.format(errno))
    assert (findings(told), outcome(run(told), "MSI-004").outcome) == ([], "inconclusive")


@pytest.mark.parametrize(
    "below",
    [
        (),
        ("qep 0000:18:00.0: MSI-X enabled, 8 vectors",),
        (GAVE_UP.format(-5),),
        (GAVE_UP.format(-107).replace("18:00", "19:00"),),
    ],
)
@pytest.mark.parametrize("route", ROUTES[:2] + ROUTES[3:4])
def test_a_pin_without_a_route_is_ordinary(route: str, below: tuple[str, ...]) -> None:
    assert findings(log(route, *below)) == []
    assert not doubted(route, *below)
    assert outcome(run(log(route, *below)), "MSI-004").outcome == "not evaluated"


def test_a_pin_that_the_bios_does_not_route_leaves_a_question() -> None:
    assert (findings(log(ROUTES[2])), outcome(run(log(ROUTES[2])), "MSI-004").outcome) == ([], "inconclusive")
    assert outcome(run(log(ROUTES[2].replace("qep", "pcieport"))), "MSI-004").outcome == "not evaluated"  # a port does without


def test_vectors_that_were_refused_are_no_matter_of_the_route() -> None:
    (found,) = of(ROUTES[0], "qep 0000:18:00.0: Failed to enable MSI-X: -28", GAVE_UP.format(-28))
    assert "INT A" not in found.summary and "_PRT" not in found.advice


@pytest.mark.parametrize("said", ["other 0000:19:00.0: failed to request irq 60", "other 0000:19:00.0: failed to request irq"])
def test_a_refusal_of_another_irq_or_later_is_another(said: str) -> None:
    refused = "genirq: Failed to request resources for qep (irq 61) on irqchip ITS-MSI"
    between = [] if said.endswith("60") else ["usb 1-1: new device"] * 30
    told = of(refused, *between, said)
    assert {f.subject.label: "chip" in f.summary for f in told} == {"0000:19:00.0": False, "irq 61": True}


def test_a_flood_of_refusals_is_judged_in_one_pass() -> None:
    part = ("genirq: Failed to request resources for qep (irq {}) on irqchip ITS-MSI", "qep 0000:18:00.0: PCI INT A: no GSI")
    told = of(*(line.format(n % 50) for n in range(4000) for line in part))
    assert len(told) == 50


def test_links_of_interrupts_leave_a_doubt() -> None:
    assert doubted("ACPI: Unable to set IRQ for PCI Interrupt Link [LNKD]. Try pci=noacpi or acpi=off")
    assert not doubted("ACPI: PCI Interrupt Link [LNKD] enabled at IRQ 11")


@pytest.mark.parametrize(
    "said",
    [
        "riscv-imsic: imsics@28000000: invalid cpuid for parent irq1",
        "riscv-imsic: imsics@28000000: hart ID for parent irq2 not found, error",
    ],
)
def test_a_hart_that_is_not_used_leaves_no_doubt(said: str) -> None:
    assert not doubted(said)


# What a driver says of its interrupts below a refusal of its vectors is that refusal's consequence.


@pytest.mark.parametrize(
    "below",
    ["Failed to enable and set the admin interrupts", "Can not reserve msix vectors", "failed to enable interrupts", "irq setup failed"],
)
def test_a_consequence_of_refused_vectors_leaves_no_doubt(below: str) -> None:
    messages = ("ena 0000:00:05.0: Failed to enable MSI-X. irq_cnt -524", f"ena 0000:00:05.0: {below}")
    assert shape(of(*messages)) == [("MSI-004", "proven", "0000:00:05.0", None, [1])]
    assert not doubted(*messages)


@pytest.mark.parametrize("said", ["failed to enable irq wake: -22", "failed to enable wake irq: -6"])
def test_waking_by_an_irq_is_no_request_of_one(said: str) -> None:
    assert findings(log(f"qep 0000:00:05.0: {said}")) == []


@pytest.mark.parametrize(("errno", "grade", "severity"), [(-524, "probable", "medium"), (-22, "possible", "low")])
def test_an_errno_that_only_a_missing_domain_gives_is_of_vectors(errno: int, grade: str, severity: str) -> None:
    (found,) = of(f"apex 0000:01:00.1: Couldn't reinit interrupts: {errno}")
    assert (found.grade, found.severity) == (grade, severity)
    assert found.summary.startswith("the vectors of" if errno == -524 else "an irq of")


# Several vectors of plain MSI


MULTI, SHORT = "As a rule nothing is short", "Raise what is short"


@pytest.mark.parametrize(
    ("said", "grade", "advice"),
    [
        ("failed to get 32 MSI vectors, only -28 available", "proven", MULTI),
        ("failed to enable msi: -28", "proven", MULTI),
        ("failed to allocate 4 MSI vectors: -28", "probable", MULTI),
        ("unable to allocate MSI vectors: -28", "probable", MULTI),
        ("failed to allocate 1 MSI vectors: -28", "probable", SHORT),
        ("failed to allocate 4 MSI-X vectors: -28", "probable", SHORT),
        ("failed to allocate MSI/MSI-X vectors: -28", "probable", SHORT),
        ("pci_enable_msi failed - -28", "proven", SHORT),
        ("failed to enable msi: -22", "proven", "Nothing is short"),
    ],
)
def test_several_vectors_of_plain_msi_need_a_domain_that_takes_them(said: str, grade: str, advice: str) -> None:
    (found,) = of(f"qep 0000:56:00.0: {said}")
    assert (found.grade, found.advice.startswith(advice)) == (grade, True)


@pytest.mark.parametrize("on", ["DMAR-IR: Enabled IRQ remapping in x2apic mode", "AMD-Vi: Interrupt remapping enabled"])
def test_remapping_that_is_on_is_not_to_be_turned_on(on: str) -> None:
    (found,) = of(on, "qep 0000:56:00.0: failed to get 32 MSI vectors, only -28 available")
    assert found.advice.startswith("Interrupt remapping is on")
    (other,) = of(on, "qep 0000:56:00.0: Failed to enable MSI-X, error: -28")
    assert other.advice.startswith(SHORT)


def test_the_line_with_the_number_of_vectors_is_cited() -> None:
    (found,) = of(
        "ath11k_pci 0000:56:00.0: failed to get 32 MSI vectors, only -28 available",
        "ath11k_pci 0000:56:00.0: failed to enable msi: -28",
        "ath11k_pci: probe of 0000:56:00.0 failed with error -28",
    )
    assert shape([found]) == [("MSI-004", "proven", "0000:56:00.0", None, [1, 3])]
    assert (found.severity, found.values) == ("high", {"asked": 32, "ret": "-28"})
    (fewer,) = of("ath11k_pci 0000:56:00.0: failed to get 32 MSI vectors, only 1 available")
    assert (fewer.summary, fewer.values) == ("the vectors of 0000:56:00.0 were reduced to 1", {"asked": 32, "granted": 1})


# A line that another driver has

MISMATCH = "genirq: Flags mismatch irq {}. 00000080 (i2c_foo) vs. 00015a00 (timer)"
NOT_GOT = "i2c_foo 0000:18:00.0: Failed to allocate irq 0: -16"


def test_a_line_that_is_not_shared_explains_the_refusal_below() -> None:
    told = findings(log(MISMATCH.format(0), NOT_GOT, "i2c_foo 0000:18:00.0: SMBus using polling"))
    assert sorted((f.code, f.severity, f.explained_by or "") for f in told) == [("IRQ-010", "low", ""), ("MSI-004", "low", "IRQ-010")]
    for other in (MISMATCH.format(5), "i2c_foo 0000:18:00.0: SMBus using polling"):
        assert [f.explained_by for f in of(other, NOT_GOT)] == [None]


def test_a_driver_that_gives_up_for_such_a_line_is_told_by_itself() -> None:
    (found,) = of(MISMATCH.format(0), NOT_GOT, "i2c_foo: probe of 0000:18:00.0 failed with error -16")
    assert (found.severity, found.explained_by) == ("high", None)
