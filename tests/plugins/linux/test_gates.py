from opening import DEV, back, call, trace

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
    assert [g[:2] for g in gates(version)] == [("KV1", True), ("KV2", False), ("KV4", False), ("KV5", True), ("KV6", True)]
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


def test_the_latency_format_carries_the_release():
    text = "# tracer: nop\n#\n# nop latency trace v1.1.5 on 6.12.95+deb12-amd64\n# " + "-" * 68 + "\n"
    line = "      sh-149       0d..2. 269983us+: irq_handler_entry: irq=32 name=vfio-msix[0](0000:00:08.0)\n"
    assert ("KV4", True, "assumed") in gates(text + line)


def test_arm_has_device_domains_later():
    assert ("KV2", False, "assumed") in gates("[    0.000000] Linux version 6.6.1-arm64 (x@y) (gcc-12) #1 SMP\n")
    assert ("KV2", True, "assumed") in gates("[    0.000000] Linux version 6.6.1-amd64 (x@y) (gcc-12) #1 SMP\n")
