"""Reports of the kernel whose head alone tells that they are of its MSI code, and what they say."""

import pytest

from tracekit.testing import findings


def log(*messages: str) -> str:
    return "".join(f"[{20 + n:12.6f}] {message}\n" for n, message in enumerate(messages))


@pytest.mark.parametrize(
    ("head", "said", "severity"),
    [
        ("Kernel BUG at drivers/pci/msi.c:910", "BUG at drivers/pci/msi.c:910, with the MSI core on its stack", "high"),
        ("kernel BUG at drivers/pci/msi/msi.c:376!", "BUG at drivers/pci/msi/msi.c:376, with the MSI core on its stack", "high"),
        ("BUG: warning at drivers/pci/msi.c:680/pci_enable_msi()", "WARNING, with the MSI core on its stack", "medium"),
        ("WARNING: CPU: 4 PID: 7 at drivers/pci/msi.c:1272 pci_irq_get_affinity+0x66/0x80", "WARNING in pci_irq_get_affinity", "medium"),
    ],
)
def test_a_file_of_the_msi_core(head: str, said: str, severity: str) -> None:
    (found,) = findings(log(head))
    assert (found.code, found.grade, found.severity, found.summary) == ("MSI-009", "proven", severity, f"the kernel reports: {said}")
    assert findings(log(head.replace("/msi", "/probe"))) == []


def test_a_handler_that_was_still_requested() -> None:
    held = log("kernel BUG at drivers/pci/msi.c:376!", "Internal error: Oops - BUG: 0 [#1] SMP", "pc : free_msi_irqs+0x17c/0x1a0")
    (found,) = findings(held)
    assert found.summary == "the kernel reports: BUG at drivers/pci/msi.c:376 in free_msi_irqs"
    assert found.advice.startswith("A driver gave up its vectors while a handler was still requested")


def test_a_lock_chain_without_its_head_is_no_report() -> None:
    chain = (
        "which lock already depends on the new lock.",
        "the existing dependency chain (in reverse order) is:",
        "-> #1 (cpu_hotplug_lock){++++}-{0:0}:",
        "       cpus_read_lock+0x3e/0xc0",
        "       irq_calc_affinity_vectors+0x5f/0x91",
        "       __pci_enable_msix_range+0x10f/0x9a0",
    )
    assert findings(log(*chain)) == []
    assert findings(log(*chain[1:])) == []
