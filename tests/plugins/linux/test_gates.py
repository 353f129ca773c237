import polars as pl
import pytest
from opening import DEV, back, call, trace
from tracekit_linux.gates.lines import lines

from tracekit import Inputs
from tracekit.testing import tables


def gates(*texts):
    """(gate, value, basis) of all gates."""
    return sorted(tables(*texts)["gates"].select("gate", "value", "basis").rows())


def test_functions_that_are_called_decide():
    assert gates(trace(call("pci_setup_msix_device_domain", f"dev={DEV} hwsize=8"))) == [("KV2", True, "observed")]
    assert gates(trace(back("msi_add_msi_desc", 0))) == [("KV2", False, "observed")]
    assert gates(trace(back("pci_msix_alloc_irq_at", 3))) == [("KV4", True, "observed")]


def test_a_refused_append_decides_that_growth_in_place_is_not_there():
    request = call("vfio_pci_set_irqs_ioctl", "vdev=0x1000 flags=0x24 index=2 start={} count=3")
    assert gates(trace(request.format(1), back("vfio_pci_set_irqs_ioctl", -22))) == [("KV4", False, "observed")]
    assert gates(trace(request.format(0), back("vfio_pci_set_irqs_ioctl", -22))) == []


def test_a_release_is_an_assumption_and_yields_to_what_is_seen():
    version = "[    0.000000] Linux version 6.1.0-44-amd64 (x@y) (gcc-12) #1 SMP Debian 6.1.192-2\n"
    told = {g[0]: g[1] for g in gates(version)}
    assert {g: told[g] for g in ("KV1", "KV2", "KV4", "KV5", "KV6")} == {"KV1": True, "KV2": False, "KV4": False, "KV5": True, "KV6": True}
    assert {g[2] for g in gates(version)} == {"assumed"}
    backported = version + "[   10.000000] k: (pci_setup_msix_device_domain+0x4/0xa0) dev=0xff11000000002000 hwsize=8\n"
    assert ("KV2", True, "observed") in gates(backported) and ("KV2", False, "assumed") not in gates(backported)


def test_irq_chips_decide():
    one = " 32:   5   0  IR-PCI-MSIX-0000:3d:00.1    0-edge      nvme0q0\n"
    bare = " 32:   5   0  IR-PCI-MSI  65536-edge      nvme0q0\n"
    head = "           CPU0       CPU1\n"
    assert gates(head + one) == [("KV2", True, "observed")]
    assert gates(head + bare) == [("KV2", False, "observed")]


def test_qemu_tells_what_the_host_reports():
    text = "vfio_msix_early_setup 0000:3d:00.0 PCI MSI-X CAP @0xb0, BAR 0, offset 0x2000, entries 9, noresize {}\n"
    assert gates(text.format(0)) == [("KV4", True, "observed"), ("QV3", True, "observed")]
    assert gates(text.format(1)) == [("KV4", False, "observed"), ("QV3", True, "observed")]


@pytest.mark.parametrize("package", ["", "package: 1ubuntu7 (A B <a@b.example> Tue, 08 Mar 2022), "])
def test_libvirt_s_log_of_a_domain_carries_the_release_of_qemu(package):
    line = "2022-05-18 10:00:00.000+0000: starting up libvirt version: 8.0.0, {}qemu version: {}, kernel: 5.15.0-27-generic, hostname: h\n"
    assert [g for g in gates(line.format(package, "7.2.7Debian 1:7.2+dfsg-7")) if g[0] == "QV3"] == [("QV3", False, "assumed")]
    assert [g for g in gates(line.format(package, "8.2.2")) if g[0] == "QV3"] == [("QV3", True, "assumed")]
    assert gates(line.format(package, "8.2.2").replace("starting up", "shutting down")) == []


def test_the_latency_format_carries_the_release():
    text = "# tracer: nop\n#\n# nop latency trace v1.1.5 on 6.12.95+deb12-amd64\n# " + "-" * 68 + "\n"
    line = "      sh-149       0d..2. 269983us+: irq_handler_entry: irq=32 name=vfio-msix[0](0000:00:08.0)\n"
    assert ("KV4", True, "assumed") in gates(text + line)


def test_arm_has_device_domains_later():
    assert ("KV2", False, "assumed") in gates("[    0.000000] Linux version 6.6.1-arm64 (x@y) (gcc-12) #1 SMP\n")
    assert ("KV2", True, "assumed") in gates("[    0.000000] Linux version 6.6.1-amd64 (x@y) (gcc-12) #1 SMP\n")


BOOT = "[    0.000000] Linux version {} (x@y) (gcc-12) #1 SMP\n"
DRIVER = "[    9.000000] nvme nvme0: pci function 0000:01:00.0\n"


def assumed(*texts):
    """Gate -> value of what the releases suggest."""
    return {gate: value for gate, value, basis in gates(*texts) if basis == "assumed"}


def place(*texts):
    return tables(*texts)["platforms"].select("arch", "parent").rows()


def test_the_its_offers_no_growth_in_place():
    its = "[    0.000000] ITS [mem 0x08080000-0x0809ffff]\n"
    assert place(BOOT.format("6.12.10-arm64") + its) == [("arm64", "GIC ITS")]
    assert assumed(BOOT.format("6.12.10-arm64") + its)["KV4"] is False
    assert assumed(BOOT.format("7.2.13-arm64"))["KV4"] is False  # whichever parent it has
    assert assumed(BOOT.format("6.12.10-amd64"))["KV4"] is True
    assert assumed(BOOT.format("6.12.10-arm64"))["KV2"] is True  # no kernel of it knows a GICv5, whose domains came later


def test_vectors_are_reserved_on_x86_only():
    assert assumed(BOOT.format("6.12.10-arm64"))["KV1"] is False
    assert assumed(BOOT.format("6.12.10-amd64"))["KV1"] is True


@pytest.mark.parametrize(
    "said", ["kvm-guest: stealtime: cpu 0", "DMI: QEMU Standard PC (Q35 + ICH9, 2009), BIOS 1.16.2", "kvm-clock: using sched offset"]
)
def test_a_guest_of_kvm_with_enlightenments_of_hyper_v_is_none_of_hyper_vs(said):
    boot = BOOT.format("6.12.0-x86_64") + "[    0.000000] Hypervisor detected: Microsoft Hyper-V\n"
    assert place(boot) == [("x86", "Hyper-V")]
    assert place(boot + f"[    0.000000] {said}\n") == [("x86", "")]


def test_domains_of_hyper_v_pseries_and_s390_have_releases_of_their_own():
    hyperv = "[    0.000000] Hypervisor detected: Microsoft Hyper-V\n"
    assert place(BOOT.format("6.12.0-x86_64") + hyperv) == [("x86", "Hyper-V")]
    assert [assumed(BOOT.format(f"{r}-x86_64") + hyperv)[g] for r in ("6.16.1", "6.17.1") for g in ("KV2", "KV4")] == [
        False,
        False,
        True,
        True,
    ]
    power = "[    0.000000] Using pSeries machine description\n"
    assert [assumed(BOOT.format(f"{r}.ppc64le") + power)["KV2"] for r in ("6.17.2", "6.18.1")] == [False, True]
    assert [assumed(BOOT.format(f"{r}.s390x"))["KV2"] for r in ("6.18.1", "6.19.0")] == [False, True]


def test_chips_functions_and_compilers_tell_the_platform():
    head = "           CPU0       CPU1\n"
    assert place(head + " 27:     12      0  ITS-PCI-MSIX-0000:00:0c.0   0 Edge      nvme0q0\n") == [("arm64", "GIC ITS")]
    assert place(head + " 32:      5      0  xen-pirq    -msi-x     nvme0q0\n") == [("x86", "Xen pirqs")]
    assert place(trace("its_alloc: (its_irq_domain_alloc+0x4/0x20) virq=40")) == [("arm64", "GIC ITS")]
    compiled = "[    0.000000] Linux version 6.8.0 (b@lcy02-amd64-080) (x86_64-linux-gnu-gcc-13 (Ubuntu) 13.2.0) #1 SMP\n"
    assert place(compiled) == [("x86", "")]
    assert place(BOOT.format("6.10.2-arch1-1") + DRIVER) == []


def test_two_parents_in_one_log_are_none():
    both = "[    0.000000] ITS [mem 0x08080000-0x0809ffff]\n[    0.000000] GICv2m: range[mem 0x09000000-0x09000fff], SPI[64:127]\n"
    assert place(BOOT.format("6.12.0-arm64") + both) == [("arm64", "")]


def test_a_generic_build_of_no_named_architecture_leaves_what_differs_open():
    assert "KV4" not in assumed(BOOT.format("6.12.0"))
    assert assumed(BOOT.format("6.12.0") + "[    0.000000] BIOS-e820: [mem 0x0-0x9fbff] usable\n")["KV4"] is True


def test_xen_s_own_domain_has_no_size():
    xen = "[    0.000000] Linux version 6.12.0-amd64 (x@y) (gcc-12) #1 SMP\n"
    rows = "           CPU0\n 32:      5  xen-pirq    -msi-x     nvme0q0\n"
    assert ("KV2", False, "assumed") in gates(xen, rows)


def test_a_set_up_is_called_where_no_domain_is_made_too():
    """On Xen and behind an ITS of 6.6 it returns without one."""
    setup = trace(call("pci_setup_msix_device_domain", f"dev={DEV} hwsize=8"))
    assert not [g for g in gates(setup + BOOT.format("6.6.1-arm64")) if g[:2] == ("KV2", True)]
    xen = trace(
        call("xen_initdom_setup_msi_irqs", f"dev={DEV} nvec=2 type=17"), call("pci_setup_msix_device_domain", f"dev={DEV} hwsize=8")
    )
    assert ("KV2", True, "observed") not in gates(xen)
    made = trace(call("msi_create_device_irq_domain", f"dev={DEV} domid=0 hwsize=8"))
    assert ("KV2", True, "observed") in gates(made + BOOT.format("6.12.1-arm64"))


def test_each_machine_has_its_own_platform():
    log = (
        "2026-03-01T10:00:00.5+00:00 box7 kernel: ITS [mem 0x08080000-0x0809ffff]\n"
        "2026-03-01T10:00:00.6+00:00 box8 kernel: DMI: Microsoft Corporation Virtual Machine/Virtual Machine, BIOS Hyper-V UEFI Release v4.1\n"
    )
    made = tables(log)["platforms"]
    assert sorted(made.select("machine", "arch", "parent").rows()) == [("box7", "arm64", "GIC ITS"), ("box8", "", "Hyper-V")]


ROWS = {
    "in order": [(1, "a", "x"), (2, "a", "y"), (3, "b", "x"), (4, "a", "x")],
    "of two files": [(3, "a", "x"), (5, "a", "y"), (1, "b", "x"), (2, "a", "x")],
    "of one machine": [(2, "a", "x"), (4, "a", "y"), (6, "a", "x")],
    "of no machine": [(2, None, "x"), (4, None, "y"), (6, "", "x")],
    "alike": [(7, None, "x"), (8, None, "x")],
}


@pytest.mark.parametrize("kinds", [(), ("machine",), ("machine", "name")], ids=str)
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_of_many_lines_the_first_of_each_kind_are_taken(rows, kinds):
    many = pl.DataFrame(rows * 200, schema={"line": pl.Int64, "machine": pl.String, "name": pl.String}, orient="row")
    first = {}
    for row in sorted(rows):
        first.setdefault(tuple(row[("machine", "name").index(k) + 1] for k in kinds), row)
    assert list(map(tuple, lines(Inputs({"heard": many}), "heard", *kinds))) == list(first.values())
