"""MSI-009 of the hypervisor: Xen's own BUG, WARN or failed assertion counts where its MSI code is the place or on the stack."""

import pytest

from tracekit.testing import findings, shape

LOCK = "(XEN) Assertion 'd || pcidevs_locked()' failed at drivers/passthrough/pci.c:534\n"
TRACE = "(XEN) Xen call trace:\n(XEN)    [<ffff82d040285a3b>] R pci_get_pdev+0x4c/0xab\n"


def frame(function: str) -> str:
    """A caller on Xen's stack."""
    return f"(XEN)    [<ffff82d04034742e>] F {function}+0x1d/0xb4\n"


@pytest.mark.parametrize(
    ("text", "lines", "said"),
    [
        (LOCK + TRACE + frame("arch/x86/msi.c#__pci_enable_msi"), [1, 4], "assertion failed at drivers/passthrough/pci.c:534"),
        (LOCK + TRACE + frame("arch/x86/msi.c#msix_capability_init"), [1, 4], "with msix_capability_init on its stack"),
        ("(XEN) Xen BUG at arch/x86/msi.c:1123\n", [1], "BUG at arch/x86/msi.c:1123"),
        ("(XEN) Assertion 'entry->arch.pirq != INVALID_PIRQ' failed at vmsi.c:843\n", [1], "assertion failed at vmsi.c:843"),
    ],
)
def test_xen_stops_in_its_msi_code(text: str, lines: list[int], said: str) -> None:
    [found] = findings(text)
    assert shape([found]) == [("MSI-009", "proven", found.subject.label, None, lines)]
    assert found.summary.startswith("Xen reports: ")
    assert said in found.summary


def test_a_warning_of_xen_is_milder() -> None:
    [found] = findings("(XEN) Xen WARN at arch/x86/msi.c:500\n")
    assert (found.code, found.severity) == ("MSI-009", "medium")


@pytest.mark.parametrize(
    "text",
    [
        LOCK,
        LOCK + TRACE + frame("arch/x86/hvm/svm/svm.c#svm_vmexit_handler"),
        # Beyond the tenth frame; and without the head of the frames.
        LOCK + TRACE + frame("schedule") * 9 + frame("pci_enable_msi"),
        LOCK + frame("pci_enable_msi"),
        "(XEN) Xen BUG at common/spinlock.c:132\n(XEN) Xen call trace:\n" + frame("pt_update_irq"),
        "(XEN) Xen BUG at mm-locks.h:82\n",
        # A trace that was asked for (debug key) has no head.
        "(XEN) Xen call trace:\n" + frame("pci_enable_msi"),
    ],
)
def test_other_reports_of_xen_are_no_fault_of_interrupts(text: str) -> None:
    assert findings(text) == []
