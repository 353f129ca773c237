"""MSI-009: mistakes of drivers with their irqs that the irq core warns of."""

from functools import partial

import kernel_log
import pytest

from tracekit.testing import findings, shape

log = partial(kernel_log.log, step=0.001)


FREED = "Trying to free already-free IRQ 45"
HEAD = "WARNING: CPU: 1 PID: 88 at kernel/irq/manage.c:1893 free_irq+0xbf/0x350"
STACK = ["Call Trace:", " <TASK>", " ? __warn+0x81/0x170", " qep_free_vectors+0x42/0x90 [qep]", " qep_probe+0x4d/0x150 [qep]"]


@pytest.mark.parametrize(
    ("messages", "lines", "by"),
    [
        ((FREED, HEAD, *STACK), [1, 2, 6], " by qep_free_vectors"),
        ((FREED, HEAD), [1, 2], ""),
        ((FREED,), [1], ""),
        # up to 4.x the head stands first, and the stack begins with the report
        (
            (
                HEAD.replace("free_irq", "__free_irq"),
                FREED,
                "Call Trace:",
                " dump_stack+0x19/0x1b",
                " __warn+0xd8/0x100",
                " __free_irq+0xb3/0x280",
                " free_irq+0x39/0x90",
                " qep_close+0x11/0x20 [qep]",
            ),
            [1, 2, 8],
            " by qep_close",
        ),
        # what a driver left is freed by the core: it is not the driver
        ((FREED, HEAD, "Call Trace:", " devm_irq_release+0x11/0x20", " release_nodes+0x35/0x90", " qep_x+0x1/0x2 [qep]"), [1, 2], ""),
    ],
)
def test_an_irq_that_is_freed_and_not_held(messages: tuple[str, ...], lines: list[int], by: str) -> None:
    (found,) = findings(log(*messages))
    assert shape([found]) == [("MSI-009", "proven", "irq 45", None, lines)]
    assert (found.severity, found.summary) == ("low", f"a driver's mistake: irq 45 was freed{by}, and nobody held it")
    assert "request of the irq or a probe failed" in found.advice


def test_a_report_of_the_msi_code_beside_it_stays_a_finding() -> None:
    other = [
        "WARNING: CPU: 1 PID: 88 at kernel/irq/msi.c:292 msi_device_data_release+0x6c/0x9c",
        "Call Trace:",
        " release_nodes+0x64/0x13c",
    ]
    told = findings(log(FREED, HEAD, *STACK, *other))
    assert sorted((f.severity, f.subject.label) for f in told) == [("low", "irq 45"), ("medium", "an unnamed device")]


def test_a_double_free_below_vfio_is_one_finding() -> None:
    (found,) = findings(log(FREED, HEAD, "Call Trace:", " vfio_msi_set_vector_signal+0xa8/0x350 [vfio_pci_core]"))
    assert found.summary == "a driver's mistake: irq 45 was freed by vfio_msi_set_vector_signal, and nobody held it"


def test_many_irqs_of_one_driver_are_one_finding() -> None:
    (found,) = findings(log(*(FREED.replace("45", str(n)) for n in range(40, 70))))
    assert found.summary == "a driver's mistake: irq 40 (and 29 others) was freed, and nobody held it"


@pytest.mark.parametrize(
    "messages",
    [
        (HEAD, *STACK),  # a free without that message: an action that is not in the list, from interrupt context
        ("Trying to free nonexistent resource <0000000000009000-000000000000903f>",),
        ("irq 45 handler qep_irq+0x0/0x30 [qep] returned",),
    ],
)
def test_other_words_of_irqs_are_no_mistake(messages: tuple[str, ...]) -> None:
    assert findings(log(*messages)) == []


def test_a_handler_that_switches_interrupts_on() -> None:
    enabled = "irq 45 handler qep_irq+0x0/0x30 [qep] enabled interrupts"
    head = "WARNING: CPU: 0 PID: 0 at kernel/irq/handle.c:152 __handle_irq_event_percpu+0x1a5/0x1b0"
    for messages in ((enabled, head, "Call Trace:", " <IRQ>", " handle_irq_event+0x3c/0x80"), (enabled,)):
        (found,) = findings(log(*messages))
        assert shape([found]) == [("MSI-009", "proven", "irq 45", None, list(range(1, min(2, len(messages)) + 1)))]
        assert (found.severity, found.summary) == ("low", "a driver's mistake: qep_irq of irq 45 switched interrupts on")
