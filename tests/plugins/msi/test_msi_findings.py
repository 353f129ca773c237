"""MSI-001 to MSI-006 and VFIO-004 on constructed host traces: each fires, and its near twin stays quiet."""

import pytest
from kprobes import Trace

from tracekit.findings import Finding
from tracekit.testing import findings, outcome, run, shape

MSI = ("MSI-001", "MSI-002", "MSI-003", "MSI-004", "VFIO-003", "VFIO-004", "VFIO-005")


def codes(text: Trace) -> list[tuple[str, str | None]]:
    return [(f.code, f.grade) for f in findings(str(text)) if f.code in MSI]


def only(text: Trace, code: str) -> Finding:
    return next(f for f in findings(str(text)) if f.code == code)


def session(t: Trace, old: int) -> None:
    """A first user with `old` vectors, on a table of `old`."""
    t.open()
    t.enable(old, old, made=old)
    t.interrupts(0)
    t.disable()
    t.close()


@pytest.mark.parametrize(("old", "live", "bdf"), [(8, 64, "0000:41:00.1"), (1, 2, "0001:03:1f.7"), (33, 40, "0000:00:02.0")])
def test_s1_a_table_that_grew_between_two_users_is_refused_at_the_old_size(old: int, live: int, bdf: str) -> None:
    t = Trace(bdf)
    session(t, old)
    t.open()
    t.enable(live, live, limit=old)
    found = only(t, "MSI-001")
    assert (found.grade, found.subject.bdf, found.severity) == ("proven", bdf, "high")
    assert {k: found.values[k] for k in ("old_size", "live", "index", "asked", "errno")} == {
        "old_size": old, "live": live, "index": old, "asked": live, "errno": -34,
    }  # fmt: skip
    assert codes(t) == [("MSI-001", "proven")]


def test_s1_a_growth_vector_by_vector_is_also_a_failed_enable() -> None:
    t = Trace()
    session(t, 2)
    t.open()
    t.enable(1, 6)
    t.interrupts(0, 0)
    t.disable()
    t.enable(2, 6)
    t.interrupts(0)
    down = t.disable()
    up = t.enable(3, 6, limit=2)
    t.wait(4000)
    t.close()
    assert shape([f for f in findings(str(t)) if f.code == "VFIO-003"])[0][:4] == ("VFIO-003", "proven", t.bdf, "MSI-001")
    found = only(t, "VFIO-003")
    assert {(e.line, e.line_end) for e in found.evidence} >= {down, up}
    assert (found.values["last_working"], found.values["asked"], found.values["errno"]) == (2, 3, -34)
    assert only(t, "MSI-001").severity == "critical"


def test_s2_a_rebind_between_is_the_cure() -> None:
    t = Trace()
    session(t, 8)
    t.entry("msi_remove_device_irq_domain", f"dev={t.dev + 0xC8:#x} domid=0")
    t.open()
    t.enable(64, 64, made=64)
    assert codes(t) == []


def test_s3_the_global_domain_of_6_1_has_no_size() -> None:
    t = Trace()
    t.open()
    for count in (8, 16):
        t.begin(0x24, 2, 0, count)
        t.entry("__pci_enable_msix_range", f"dev={t.dev:#x} minvec=1 maxvec={count}")
        for _ in range(count):
            t.leave("msi_add_msi_desc", 0)
        t.leave("__pci_enable_msix_range", count)
        t.leave("vfio_pci_set_irqs_ioctl", 0)
        t.disable()
        t.close()
        t.open()
    assert codes(t) == []


def test_s4_a_vector_added_in_place_beyond_the_old_size_dies_alone() -> None:
    t = Trace()
    session(t, 4)
    t.open()
    t.enable(1, 9)
    t.interrupts(0)
    for vector in (1, 2, 3):
        t.add(vector, 0)
    t.add(4, -34)
    t.interrupts(0)
    assert codes(t) == [("MSI-001", "proven"), ("VFIO-004", "proven")]
    assert only(t, "VFIO-004").explained_by == "MSI-001"
    assert only(t, "VFIO-004").values["vectors"] == [4]


def test_the_limit_is_deduced_where_the_making_was_not_recorded() -> None:
    t = Trace()
    t.open()
    t.enable(12, 12, limit=5)
    assert codes(t) == [("MSI-001", "probable")]  # nothing shows that a creation would have been recorded
    t.entry("msi_remove_device_irq_domain", f"dev={t.dev + 0xC8:#x} domid=0")
    t.open()
    t.enable(12, 12, made=12)
    found = only(t, "MSI-001")
    assert (found.grade, found.values["old_size"], found.values["old_size_how"], found.values["cured"]) == ("proven", 5, "deduced", True)


def test_every_index_refused_is_no_domain_and_not_a_stale_one() -> None:
    t = Trace()
    t.open()
    t.enable(8, 8, limit=0)
    assert codes(t) == []


@pytest.mark.parametrize("index", [0, 3, 8, 15])
def test_any_index_refused_by_a_domain_of_known_size_below_the_table_is_a_stale_one(index: int) -> None:
    t = Trace()
    session(t, 8)
    t.open()
    t.enable(16, 16, limit=index)
    found = only(t, "MSI-001")
    assert (found.grade, found.values["old_size"], found.values["live"], found.values["index"]) == ("proven", 8, 16, index)


@pytest.mark.parametrize(("unbound", "fires"), [("0000:41:00.1", True), ("0000:2e:00.1", False)])
def test_the_rebind_of_another_function_is_no_cure_of_sizes_seen_twice(unbound: str, fires: bool) -> None:
    seen = "".join(
        f"2e:00.1 Ethernet controller: Example VF\n\tCapabilities: [a0] MSI-X: Enable{on} Count={count} Masked-\n"
        for count, on in ((8, "-"), (16, "+"))
    )
    t = Trace(unbound)
    t.open()
    t.enable(2, 2, made=2)
    t.interrupts(0)
    t.disable()
    t.close()
    t.entry("msi_remove_device_irq_domain", f"dev={t.dev + 0xC8:#x} domid=0")
    found = findings(seen + "qemu-system-x86_64: vfio: failed to enable vectors, -1\n", str(t))
    assert [f.grade for f in found if f.code == "MSI-001"] == (["possible"] if fires else [])


def test_without_the_refused_insert_nothing_is_claimed() -> None:
    t = Trace()
    session(t, 8)
    t.open()
    t.enable(16, 16, limit=8)
    t.text = [line for line in t.text if "index=8" not in line and "msi_insert_desc) rc=-34" not in line]
    assert codes(t) == [("MSI-002", "proven")]
    assert outcome(run(str(t)), "MSI-001").outcome == "inconclusive"


def test_msi_002_a_size_that_nothing_has_hit_yet() -> None:
    t = Trace()
    session(t, 8)
    t.open()
    t.enable(4, 32)
    assert codes(t) == [("MSI-002", "proven")]
    assert only(t, "MSI-002").values["live"] == 32


def test_msi_003_a_table_that_shrank() -> None:
    t = Trace()
    session(t, 64)
    t.open()
    t.enable(8, 8)
    assert codes(t) == [("MSI-003", "proven")]


def test_s16_an_enable_of_nothing_is_not_a_stale_size() -> None:
    t = Trace()
    t.open()
    t.begin(0x24, 2, 0, 0)
    t.entry("__pci_enable_msix_range", f"dev={t.dev:#x} minvec=1 maxvec=0")
    t.leave("__pci_enable_msix_range", -34)
    t.leave("vfio_pci_set_irqs_ioctl", -34)
    assert codes(t) == [("VFIO-005", "proven")]


def test_msi_004_fewer_than_asked_on_a_larger_table() -> None:
    t = Trace()
    t.entry("__pci_enable_msix_range", f"dev={t.dev:#x} minvec=2 maxvec=32")
    t.entry("pci_setup_msix_device_domain", f"dev={t.dev:#x} hwsize=64")
    t.leave("pci_setup_msix_device_domain", 1)
    t.leave("__pci_enable_msix_range", 9)
    assert codes(t) == [("MSI-004", "proven")]
    t.text = [line.replace("hwsize=64", "hwsize=9") for line in t.text]
    assert codes(t) == []


def test_two_devices_do_not_lend_each_other_their_sizes() -> None:
    a, b = Trace("0000:41:00.1"), Trace("0000:42:00.0", vdev=0xFF1100010BEE0000, dev=0xFF11000105000000, task="qemu-kvm-900", irq=90)
    session(a, 4)
    b.text, b.at = a.text, a.at
    b.open()
    b.enable(16, 16, made=16)
    b.interrupts(0)
    a.at = b.at
    a.open()
    a.enable(8, 8, limit=4)
    assert [(f.code, f.subject.bdf) for f in findings(str(a)) if f.code in MSI] == [("MSI-001", "0000:41:00.1")]


ABORT = """\
[    2.100001] SError Interrupt on CPU0, code 0xbf000000 -- SError
[    2.100002] pc : {function}+0x4e4/0x608
[    2.100003] lr : {function}+0x498/0x608
[    2.100004] Call trace:
[    2.100005]  {function}+0x4e4/0x608
[    2.100006]  pci_alloc_irq_vectors_affinity+0xdc/0x150
"""


def test_a_bus_abort_in_the_enable_is_a_table_that_is_not_there() -> None:
    assert [(f.code, f.grade, f.explained_by) for f in findings(ABORT.format(function="__pci_enable_msix_range"))] == [
        ("MSI-007", "probable", None),
        ("MSI-009", "proven", "MSI-007"),
    ]


def test_a_bus_abort_elsewhere_is_not_about_the_table() -> None:
    assert findings(ABORT.format(function="ahci_init_one").replace("pci_alloc_irq_vectors_affinity", "local_pci_probe")) == []


OOPS = """\
[    9.000001] BUG: kernel NULL pointer dereference, address: 0000000000000000
[    9.000002] Oops: Oops: 0000 [#1] SMP
[    9.000003] RIP: 0010:some_driver_start+0x3c/0x90
[    9.000004] Call Trace:
"""


@pytest.mark.parametrize(
    ("frames", "fires"),
    [
        (["msix_setup_interrupts+0x10e/0x290"], True),
        (["? msix_setup_interrupts+0x10e/0x290"], False),
        ([f"frame_{i}+0x1/0x2" for i in range(9)] + ["pci_msi_mask_irq+0x48/0x4c"], True),
        ([f"frame_{i}+0x1/0x2" for i in range(10)] + ["pci_msi_mask_irq+0x48/0x4c"], False),
        (["pci_read_config_word+0x1/0x2"], False),
    ],
)
def test_a_report_counts_by_its_first_ten_reliable_frames(frames: list[str], fires: bool) -> None:
    log = OOPS + "".join(f"[    9.{i + 5:06d}]  {f}\n" for i, f in enumerate(frames))
    assert [(f.code, f.grade, f.severity) for f in findings(log)] == [("MSI-009", "proven", "high")] * fires


@pytest.mark.parametrize(
    "head", ["INFO: task kworker/3:1:77 blocked for more than 120 seconds.", "WARNING: possible circular locking dependency detected"]
)
def test_frames_of_a_hanging_task_or_a_lock_chain_are_no_report(head: str) -> None:
    log = f"[    9.000001] {head}\n[    9.000002] Call Trace:\n[    9.000003]  msi_domain_free_irqs+0x34/0x58\n"
    assert findings(log) == []
    assert [(f.code, f.grade) for f in findings(log.split("\n", 1)[1])] == [("MSI-009", "probable")]


@pytest.mark.parametrize(
    "position",
    [
        "TPC: <{}+0x34/0x60>",
        "RPC: <{}+0x34/0x60>",
        "Krnl PSW : 0704c00180000000 0000000012345678 ({}+0x12/0x34)",
        "NIP [c000000000123456] {}+0x10/0x20",
        "LR [c000000000123456] {}+0x10/0x20",
        "PC is at {}+0x1/0x2",
        "LR is at {}+0x1/0x2",
        "pc : {}+0x10/0x20",
        "lr : {}+0x10/0x20",
        "epc : {}+0x2c/0x3e",
        "epc   : 8010abcd {}+0x1c/0x40",
        "ERA: 9000000000a4c1b0 {}+0x1c/0x40",
    ],
)
def test_a_position_of_any_architecture_counts(position: str) -> None:
    log = "[    9.000001] Unable to handle kernel NULL pointer dereference\n[    9.000002] {}\n[    9.000003] Call Trace:\n"
    assert [(f.code, f.grade) for f in findings(log.format(position.format("msi_domain_prepare_irqs")))] == [("MSI-009", "proven")]
    assert findings(log.format(position.format("ext4_writepages"))) == []
