"""What no line shows: each diagnosis is clear only where its fault would have been recorded, and says what to record where not."""

import pytest

from tracekit.plugins import registry as plugins
from tracekit.testing import outcome, run

DIAGNOSES = plugins.load().diagnoses
NOTHING = run("hello\n")


@pytest.mark.parametrize("code", [d.code for d in DIAGNOSES])
def test_on_a_text_without_events_nothing_is_evaluated_and_each_says_what_to_record(code: str) -> None:
    told = outcome(NOTHING, code)
    assert told.outcome == "not evaluated"
    assert told.reason and told.record


def ftrace(*events: str, task: str = "qemu-100") -> str:
    """The events as ftrace prints them, a millisecond apart."""
    return "".join(f" {task}     [001] .....    {10 + n / 1000:9.6f}: {e}\n" for n, e in enumerate(events))


def dmesg(*messages: str, at: float = 20.0) -> str:
    """The messages as the kernel prints them, a second apart."""
    return "".join(f"[{at + n:12.6f}] {m}\n" for n, m in enumerate(messages))


BOOT = "[    0.000000] Linux version 6.1.0 (x@y) #1 SMP\n"
GRANTED = "vector_alloc: irq=60 vector=36 reserved=1 ret=0"
REFUSED = "vector_alloc: irq=61 vector=0 reserved=1 ret=-28"
MANAGED = "vector_reserve_managed: irq=70 ret=0"
MISCOUNTED = "Reserved vectors 4294967295 > available 170. IRQ request may fail"
CALL = "k_set: (vfio_pci_set_irqs_ioctl+0x4/0xd0 [vfio_pci_core]) vdev=0xff11000005067000 flags={} index={} start=0 count={}"
DONE = "r_set: (vfio_pci_core_ioctl+0x109/0xf60 [vfio_pci_core] <- vfio_pci_set_irqs_ioctl) ret={}"
ATTACH = "k_attach: (vfio_iommu_type1_attach_group+0x4/0xc90 [vfio_iommu_type1]) data=0xff11000004f4db40 group=0xff11000004bf0c00"
ATTACHED = "r_attach: (vfio_fops_unl_ioctl+0x1bf/0x320 [vfio] <- vfio_iommu_type1_attach_group) ret={}"
ENABLE = "k_msix: (__pci_enable_msix_range+0x4/0x520) dev=0xffff88810a3c5000 minvec=1 maxvec=8"
ENABLED = "r_msix: (pci_alloc_irq_vectors_affinity+0xad/0x110 <- __pci_enable_msix_range) ret={}"
NAME = "(0000:41:00.0)"
PENDING = f"vfio_msix_enable {NAME}\nvfio_msix_vector_release {NAME} vector 3 released\nvfio_msix_pba_enable {NAME}\n"
RAISED = f"vfio_msi_interrupt {NAME} vector 3 0xfee01004/0x22\n"
BUS = "msix_write_config dev nvme enabled 1 masked 0\n"
CONFIG = "pci_cfg_write nvme 00:08.0 @0x42 <- 0x8007\n"
COMMAND = "pci_cfg_read nvme 00:08.0 @0x4 -> 0x507\n"
XEN = dmesg("Hypervisor detected: Xen HVM", at=0)


def bound(bdf: str, pirq: int, irq: int, already: bool = False) -> tuple[str, str]:
    """What a guest's dynamic debug prints of one MSI."""
    how = f"msi already bound to pirq={pirq}" if already else f"msi bound to pirq={pirq}"
    return f"nvme {bdf}: xen: {how}", f"nvme {bdf}: xen: msi --> pirq={pirq} --> irq={irq}"


CASES = [
    # The counts of a CPU that leaves are below zero: they are no reservation, and no all-clear either.
    ("VEC-003", BOOT + dmesg(MISCOUNTED), "inconclusive", "are below zero"),
    ("VEC-003", BOOT + dmesg("usb 1-1: new device"), "clear", "never exceeded"),
    ("VEC-003", dmesg("usb 1-1: new device"), "not evaluated", "no kernel log from the boot on"),
    ("VEC-003", ftrace("irq_matrix_reserve: online_maps=2 global_avl=300 global_rsvd=20 total_alloc=9"), "clear", "never exceeded"),
    ("VEC-002", ftrace(GRANTED), "not evaluated", "no event of a managed irq"),
    ("VEC-002", ftrace(GRANTED, MANAGED), "clear", "no allocation failed"),
    ("VEC-002", ftrace(MANAGED, REFUSED), "inconclusive", "whether at an allocation or at a request is not recorded"),
    ("VEC-001", ftrace(GRANTED), "clear", "every activation got a vector"),
    ("VEC-001", "CPU:1 [LOST 77 EVENTS]\n" + ftrace(GRANTED), "inconclusive", "77 events lost in the recording (line 1 of"),
    ("VEC-001", ftrace("vector_activate: irq=29 is_managed=0 can_reserve=1 reserve=1"), "not evaluated", "no vector_alloc event"),
    ("VFIO-010", f"vfio_msix_vector_do_use {NAME} vector 0 used\n", "not evaluated", "no vfio_msi_interrupt"),
    ("VFIO-010", RAISED, "inconclusive", "whether their vectors were masked is not recorded"),
    ("VFIO-010", f"vfio_msix_vector_do_use {NAME} vector 0 used\n{RAISED}", "clear", "only while masked"),
    # Which vector is pending stands beside the line.
    ("IRQ-002", f"{PENDING}{RAISED}vfio_msix_vector_do_use {NAME} vector 3 used\n", "clear", "followed by an unmask"),
    ("IRQ-002", f"{PENDING}{RAISED}vfio_msix_vector_do_use {NAME} vector 4 used\n", "inconclusive", "the one that is pending"),
    ("IRQ-002", f"{PENDING}vfio_msix_vector_do_use {NAME} vector 3 used\n", "inconclusive", "the one that is pending"),
    ("IRQ-002", f"{PENDING}{RAISED}vfio_msix_pba_disable {NAME}\n", "clear", "followed by an unmask"),
    ("IRQ-005", BUS, "inconclusive", "no access to the command register"),
    ("IRQ-005", CONFIG + BUS, "inconclusive", "no access to the command register of 00:08.0"),
    ("IRQ-005", COMMAND + CONFIG + BUS, "clear", "bus mastering was on"),
    # Who had a number before is not in the log: the dynamic debug was switched on later.
    ("XEN-001", BOOT + XEN + dmesg(*bound("0000:00:05.0", 101, 80, already=True)), "inconclusive", "who used pirq 101 before"),
    (
        "XEN-001",
        BOOT + XEN + dmesg(*bound("0000:00:05.0", 101, 80), *bound("0000:00:05.0", 101, 80, already=True)),
        "clear",
        "no pirq served two owners",
    ),
    ("VFIO-011", ftrace(ATTACH, ATTACHED.format(0)), "clear", "groups were attached"),
    ("VFIO-011", ftrace(ATTACH, ATTACHED.format(-22)), "inconclusive", "failed with -22; the reason is not recorded"),
    ("VFIO-011", ftrace(ATTACH), "inconclusive", "no return value"),
    ("MSI-007", ftrace(ENABLE, ENABLED.format(-12)), "inconclusive", "whether its BAR has an address is not recorded"),
    ("MSI-007", ftrace(ENABLE, ENABLED.format(8)), "clear", "no enable failed"),
    # An attempt that failed for a reason that no line tells is no all-clear.
    ("MSI-004", ftrace(ENABLE, ENABLED.format(-5)), "inconclusive", "the enable of line 1 failed with -5; no line says why"),
    ("MSI-004", ftrace(ENABLE, ENABLED.format(8)), "clear", "every enable got what it asked for"),
    ("MSI-004", ftrace(CALL.format("0x24", 2, 4), DONE.format(-12)), "inconclusive", "the SET_IRQS of line 1 failed with -12"),
    ("MSI-004", ftrace(CALL.format("0x24", 2, 4), DONE.format(0)), "not evaluated", "no enabling of vectors"),
    ("MSI-006", dmesg("WARNING: CPU: 0 PID: 1 at drivers/usb/core/hub.c:1 hub_port+0x1/0x2"), "not evaluated", "no enabling of vectors"),
    ("VFIO-012", ftrace(CALL.format("0x24", 0, 1), DONE.format(0)), "clear", "every INTx that was asked for"),
    ("VFIO-012", ftrace(CALL.format("0x24", 0, 1)), "inconclusive", "one SET_IRQS call has no return value"),
    ("VFIO-003", ftrace(CALL.format("0x24", 2, 4), DONE.format(4)), "clear", "no enable failed after a disable"),
    ("VFIO-003", ftrace(CALL.format("0x24", 2, 4)), "inconclusive", "one SET_IRQS call has no return value"),
    ("IRQ-007", dmesg("nvme nvme0: I/O 12 QID 3 timeout, aborting"), "clear", "found no completed work"),
    (
        "IRQ-007",
        dmesg("NETDEV WATCHDOG: eth0 (igb): transmit queue 3 timed out"),
        "inconclusive",
        "no line says whether its work was complete",
    ),
    (
        "IRQ-001",
        ftrace("irq_handler_entry: irq=30 name=vfio-msix[0](0000:41:00.0)", "kvm_msi_set_irq: dst 1 vec 40 (Fixed|physical|edge)"),
        "inconclusive",
        "too few",
    ),
    ("MSI-009", BOOT + dmesg("usb 1-1: new device"), "clear", "no such line in the kernel log"),
    ("MSI-009", ftrace(GRANTED), "not evaluated", "no kernel log from the boot on"),
    # A release in a trace or of `uname -a` is no kernel log.
    ("MSI-009", "Linux box 6.1.0-18-amd64 #1 SMP Debian 6.1.76-1 x86_64 GNU/Linux\n", "not evaluated", "no kernel log from the boot on"),
    ("VEC-004", "Mar  1 10:00:00 box kernel: Linux version 6.1.0 (x@y) #1 SMP\n", "clear", "no such line in the kernel log"),
    ("VFIO-013", "QEMU emulator version 8.2.1\n", "clear", "no container, group or memory was refused"),
]


@pytest.mark.parametrize(("code", "log", "kind", "reason"), CASES, ids=[f"{c[0]}-{c[2]}-{n}" for n, c in enumerate(CASES)])
def test_it_is_clear_only_where_the_fault_would_have_been_recorded(code: str, log: str, kind: str, reason: str) -> None:
    told = outcome(run(log), code)
    assert (told.outcome, reason in told.reason) == (kind, True), told
    assert told.record or kind == "clear"


def test_a_domain_whose_numbers_come_back_does_not_clear_another() -> None:
    """Two guests' logs: the numbers of the first recur, of the second some were let go and not asked for again."""
    back = BOOT + XEN + dmesg(*bound("0000:00:05.0", 101, 80), *bound("0000:00:05.0", 101, 80))
    gone = BOOT + XEN + dmesg(*bound("0000:00:05.0", 91, 80), *bound("0000:00:05.0", 90, 80))
    assert outcome(run(back), "XEN-003").outcome == "clear"
    assert outcome(run(back, gone), "XEN-003").outcome == "inconclusive"


@pytest.mark.parametrize(("entries", "kind"), [("34/34", "clear"), ("34/500", "inconclusive")])
def test_a_ring_that_was_overwritten_clears_nothing(entries: str, kind: str) -> None:
    head = f"# tracer: nop\n#\n# entries-in-buffer/entries-written: {entries}   #P:2\n#\n"
    told = outcome(run(head + ftrace(GRANTED)), "VEC-001")
    assert told.outcome == kind
    assert ("466 events were overwritten before the first one (line 3 of" in told.reason) == (kind == "inconclusive")
