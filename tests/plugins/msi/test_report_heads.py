"""Reports of the kernel whose head alone tells that they are of its MSI code, and what they say."""

import pytest

from tracekit.testing import findings


def log(*messages: str) -> str:
    return "".join(f"[{20 + n:12.6f}] {message}\n" for n, message in enumerate(messages))


@pytest.mark.parametrize(
    ("head", "said", "severity"),
    [
        ("Kernel BUG at drivers/pci/msi.c:910", "BUG at drivers/pci/msi.c:910, a file of the MSI core", "high"),
        ("kernel BUG at drivers/pci/msi/msi.c:376!", "BUG at drivers/pci/msi/msi.c:376, a file of the MSI core", "high"),
        (
            "kernel BUG at /build/linux-b5/linux-3.13.0/drivers/pci/msi.c:9!",
            "BUG at /build/linux-b5/linux-3.13.0/drivers/pci/msi.c:9, a file of the MSI core",
            "high",
        ),
        ("BUG: warning at drivers/pci/msi.c:680/pci_enable_msi()", "WARNING, a file of the MSI core", "medium"),
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


# How x86 kernels say where the CPU stood: up to 4.10, since, and of 32 bits; up to 4.8 a line about the task stands above it.
@pytest.mark.parametrize(
    "position",
    [
        "RIP: 0010:[<ffffffff8139c2d1>]  [<ffffffff8139c2d1>] {}",
        "RIP: e030:[<ffffffff8139c2d1>] [<ffffffff8139c2d1>] {}",
        "RIP: 0010:{}",
        "EIP is at {}",
        "EIP: {}",
    ],
)
def test_where_the_cpu_stood_in_a_report_of_x86(position: str) -> None:
    head, task = "kernel BUG at mm/place.c:376!", "task: ffff88046b5317f0 ti: ffff880465b48000 task.ti: ffff880465b48000"
    (found,) = findings(log(head, task, position.format("free_msi_irqs+0x8c/0x1a0")))
    assert found.summary == "the kernel reports: BUG at mm/place.c:376 in free_msi_irqs"
    assert [e.line for e in found.evidence] == [1, 3]
    assert findings(log(head, task, position.format("free_irq+0x8c/0x1a0"))) == []


@pytest.mark.parametrize(
    "head",
    [
        "task:kworker/2:1H    state:D stack:0     pid:171   tgid:171   ppid:2      flags:0x00004000",
        "BUG: soft lockup - CPU#2 stuck for 23s! [modprobe:171]",
        "NMI watchdog: BUG: soft lockup - CPU#2 stuck for 23s! [modprobe:171]",
        "watchdog: BUG: soft lockup - CPU#2 stuck for 26s! [modprobe:171]",
        "NMI watchdog: Watchdog detected hard LOCKUP on cpu 2",
        "INFO: rcu_sched self-detected stall on CPU { 2}  (t=15000 jiffies g=171 c=170 q=9)",
        "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
        "BUG: workqueue lockup - pool cpus=2 node=0 flags=0x0 nice=0 stuck for 41s!",
        "SysRq : Show Blocked State",
        "sysrq: Show State",
    ],
)
def test_a_dump_of_what_hangs_is_none(head: str) -> None:
    stood = "RIP: 0010:[<ffffffff8139c2d1>]  [<ffffffff8139c2d1>] pci_msix_shutdown+0x8c/0x1a0"
    assert findings(log(head, stood, "Call Trace:", " [<ffffffff8139c3f1>] pci_disable_msix+0x3d/0x50")) == []


def test_a_report_without_its_head_tells_where_the_cpu_stood() -> None:
    stood, trace = "RIP: 0010:msi_set_affinity+0x278/0x330", ("Call Trace:", " irq_do_set_affinity+0x55/0x120")
    (found,) = findings(log(stood, *trace))
    assert (found.code, found.grade, found.severity) == ("MSI-009", "probable", "medium")
    assert found.summary == "the CPU stood in msi_set_affinity and the kernel reported it; its head was not read"
    assert [e.line for e in found.evidence] == [1]
    assert findings(log(stood)) == []  # no report at all
    assert findings(log(stood.replace("msi_set_affinity", "apic_set_affinity"), *trace)) == []
    assert findings(log("NMI backtrace for cpu 3", stood, *trace)) == []
    arm = log("pc : readl_relaxed+0x278/0x330", "lr : msi_set_mask_bit+0x34/0x90", *trace)
    assert [f.values["msi_function"] for f in findings(arm)] == ["msi_set_mask_bit"]


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


@pytest.mark.parametrize("head", ["-> #4 (lock#7){+.+.}-{3:3}:", "-> #0 (&group->group_lock){++++}-{4:4}:"])
def test_a_lock_chain_that_begins_with_one_of_its_locks_is_no_report(head: str) -> None:
    chain = (
        "       lock_acquire+0xd1/0x2d0",
        "       irq_bypass_register_producer+0x5a/0x1b0",
        "       vfio_msi_set_vector_signal+0x1de/0x2d0",
    )
    assert findings(log(head, *chain)) == []
    (found,) = findings(log("Call Trace:", *chain))  # without it a trace whose head is not there
    assert (found.code, found.grade) == ("MSI-009", "probable")


def test_a_trace_without_its_head_says_so() -> None:
    (found,) = findings(log("Call Trace:", " qep_wait+0x15c/0x270", " vfio_msi_set_vector_signal+0xa8/0x350"))
    assert found.summary == "a call trace has vfio_msi_set_vector_signal on its stack; its head was not read"
    assert found.advice.startswith("The head of the report says what happened")
    assert [u.guard for u in found.unchecked] == ["what the kernel reported"]


def test_a_head_without_its_trace_says_so() -> None:
    (found,) = findings(log("kernel BUG at drivers/pci/msi/msi.c:158!"))
    assert found.advice.startswith("Find the call trace below this line")
    assert found.subject.how == "the driver in the call trace below names it"
    (whole,) = findings(log("kernel BUG at drivers/pci/msi/msi.c:158!", "Call Trace:", " qep_probe+0x15c/0x270"))
    assert whole.advice.startswith("Look for the reason of the failure first")


OOPS = "Unable to handle kernel NULL pointer dereference at virtual address 00000000000000a8"


@pytest.mark.parametrize(
    "function",
    [
        "its_cpu_init",
        "its_irq_set_vcpu_affinity",
        "its_send_single_command",
        "imsic_vector_free",
        "dw_msi_mask_irq",
        "pch_msi_domain_alloc",
    ],
)
def test_a_report_in_the_driver_of_a_controller_of_messages(function: str) -> None:
    warned = f"WARNING: CPU: 3 PID: 0 at drivers/irqchip/irq-place.c:3074 {function}+0x814/0xae0"
    (found,) = findings(log(warned))
    assert (found.code, found.grade, found.severity) == ("MSI-009", "proven", "medium")
    assert (found.summary, found.subject.label) == (f"the kernel reports: WARNING in {function}", "interrupt controller")
    assert found.advice.startswith("The driver of the interrupt controller")
    (oops,) = findings(log(OOPS, f"pc : {function}+0x58c/0x95c", "lr : vfs_read+0x1e0/0x95c"))
    assert (oops.severity, [e.line for e in oops.evidence]) == ("high", [1, 2])
    # as a caller it shows nothing: what it called is another's
    assert findings(log(OOPS, "pc : memset+0x58c/0x95c", f"lr : {function}+0x1e0/0x95c", "Call trace:", f" {function}+0x1e0/0x95c")) == []


@pytest.mark.parametrize(
    "function", ["its_return_thunk", "its_select_mitigation", "vgic_its_save_tables", "xhci_msi_irq", "msi_wmi_notify", "msi_ec_probe"]
)
def test_functions_with_such_a_name_are_none_of_it(function: str) -> None:
    assert findings(log(f"WARNING: CPU: 3 PID: 0 at drivers/place/place.c:307 {function}+0x814/0xae0")) == []
    assert findings(log(OOPS, f"RIP: 0010:{function}+0x58c/0x95c")) == []


def test_a_report_below_vfio_is_of_the_function_that_vfio_named_last() -> None:
    named = "vfio-pci 0000:db:00.0: irq bypass producer (token 000000004409229f) registration fails: -16"
    bug = ("kernel BUG at drivers/pci/msi.c:352!", "RIP: 0010:free_msi_irqs+0x180/0x1b0", "Call Trace:", " pci_disable_msix+0xf3/0x120")
    of_vfio, of_another = " vfio_msi_disable+0x89/0xb0 [vfio_pci]", " bnx2_free_irq+0x42/0x60 [bnx2]"
    (found,) = [f for f in findings(log(named, *bug, of_vfio)) if f.code == "MSI-009"]
    assert (found.subject.bdf, found.subject.how) == ("0000:db:00.0", "inferred: the last function vfio-pci named before (line 1)")
    assert [e.line for e in found.evidence] == [1, 2, 3, 5, 6]
    for other in (log(named, *bug, of_another), log(*bug, of_vfio), log(named, *bug, of_vfio.replace(" vfio", " ? vfio"))):
        assert [f.subject.bdf for f in findings(other) if f.code == "MSI-009"] == [None]
    late = f"[  1.000000] {named}\n" + log(*("usb 1-1: new device",) * 90, *bug, of_vfio)
    assert [f.subject.bdf for f in findings(late) if f.code == "MSI-009"] == [None]
