"""Machines beside each other prove nothing of one another."""

from tracekit.testing import findings

ALPHA = """\
2026-11-20T10:00:01.000000+00:00 alpha kernel: [    1.000000] Linux version 6.1.90 (b@e) (gcc 12) #1 SMP
2026-11-20T10:00:01.000000+00:00 alpha kernel: [    1.000000] Hypervisor detected: Xen PV
2026-11-20T10:00:40.000000+00:00 alpha kernel: [   40.000000] igb 0000:05:00.0: xen map irq failed -28 for 32752 domain
"""
BETA = """\
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN) Xen version 4.17.7 (Debian 4.17.7+13-g2445b30a44-0+deb12u1) (pkg-xen-devel@lists.alioth.debian.org) (x86_64-linux-gnu-gcc (Debian 12.2.0-14+deb12u1) 12.2.0) debug=n Wed Nov  4 16:52:28 UTC 2026
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN) build-id: 151b373fd64b321593bf987fd923cd10dabadac4
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN) Bootloader: qemu
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN) Command line: com1=115200,8n1 console=com1 loglvl=all guest_loglvl=all sync_console=0 dom0_mem=1500M,max:1500M noreboot=1 smap=0 smep=0 extra_guest_irqs=,14
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN) Xen image load base address: 0
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN) PCI: MCFG area at b0000000 reserved in E820
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN) PCI: Using MCFG for segment 0000 bus 00-ff
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN) Using ACPI (MADT) for SMP configuration information
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN) SMP: Allowing 2 CPUs (0 hotplug CPUs)
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN) IRQ limits: 24 GSI, 392 MSI/MSI-X
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN) BSP microcode revision: 0x00000001
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN) CPU0: Intel machine check reporting enabled
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN) Speculative mitigation facilities:
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN)   Hardware hints:
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN) IRQ information:
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN)    IRQ:   0 vec:f0 IO-APIC-edge    status=000 aff:{0}/{0} arch/x86/time.c#timer_interrupt()
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN)    IRQ:  20 vec:e0 IO-APIC-level   status=002 aff:{0-1}/{0-1} mapped, unbound
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN)    IRQ:  21 vec:31 IO-APIC-level   status=002 aff:{0-1}/{0-1} mapped, unbound
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN)    IRQ:  22 vec:b0 IO-APIC-level   status=010 aff:{0}/{0-1} in-flight=0 d0: 22(---)
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN)    IRQ:  23 vec:b8 IO-APIC-level   status=010 aff:{1}/{0-1} in-flight=0 d0: 23(---)
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN)    IRQ:  24 vec:c0 PCI-MSI/-X      status=030 aff:{0}/{0-1} in-flight=0 d0: 37(---)
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN)    IRQ:  25 vec:c8 PCI-MSI/-X      status=010 aff:{0}/{0-1} in-flight=0 d0: 36(---)
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN)    IRQ:  26 vec:d0 PCI-MSI/-X      status=030 aff:{0}/{0-1} in-flight=0 d0: 35(---)
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN)    IRQ:  27 vec:d8 PCI-MSI/-X      status=010 aff:{0}/{0-1} in-flight=0 d0: 34(---)
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN)    IRQ:  28 vec:49 PCI-MSI/-X      status=010 aff:{1}/{0-1} in-flight=0 d0: 33(---)
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN)    IRQ:  29 vec:51 PCI-MSI/-X      status=010 aff:{0}/{0-1} in-flight=0 d0: 32(---)
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN)    IRQ:  30 vec:59 PCI-MSI/-X      status=030 aff:{0}/{0-1} in-flight=0 d0: 31(---)
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN)    IRQ:  31 vec:61 PCI-MSI/-X      status=010 aff:{0}/{0-1} in-flight=0 d0: 30(---)
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN)    IRQ:  32 vec:69 PCI-MSI/-X      status=010 aff:{0}/{0-1} in-flight=0 d0: 29(---)
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN)    IRQ:  33 vec:71 PCI-MSI/-X      status=030 aff:{0}/{0-1} in-flight=0 d0: 28(---)
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN)    IRQ:  34 vec:79 PCI-MSI/-X      status=010 aff:{1}/{0-1} in-flight=0 d0: 27(---)
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN)    IRQ:  35 vec:81 PCI-MSI/-X      status=030 aff:{0}/{0-1} in-flight=0 d0: 26(---)
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN)    IRQ:  36 vec:89 PCI-MSI/-X      status=010 aff:{0}/{0-1} in-flight=0 d0: 25(---)
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN) Direct vector information:
2026-11-20T11:00:00.000000+00:00 beta conserver: (XEN)    0x22 -> irq_move_cleanup_interrupt()
"""
VMA = """\
2026-11-20T10:00:01.000000+00:00 vma kernel: [    1.000000] Linux version 5.15.12 (b@e) (gcc 11) #1 SMP
2026-11-20T10:00:01.000000+00:00 vma kernel: [    1.000000] Hypervisor detected: Xen HVM
2026-11-20T10:00:30.000000+00:00 vma sh:  80:          0          0  xen-pirq    -msi-x     nvme0q0
2026-11-20T10:00:30.000000+00:00 vma sh:  81:          0          0  xen-pirq    -msi-x     nvme0q1
"""
VMB = """\
2026-11-20T10:00:01.000000+00:00 vmb kernel: [    1.000000] Linux version 6.1.0 (b@e) (gcc 11) #1 SMP
2026-11-20T10:00:40.000000+00:00 vmb kernel: [   40.000000] nvme nvme0: I/O 12 QID 3 timeout, completion polled
"""


def test_a_refusal_of_one_xen_host_is_not_proven_by_the_pirqs_of_another() -> None:
    found = [(f.code, f.grade, f.machine, {e.source.rpartition("/")[2] for e in f.evidence}) for f in findings(ALPHA, BETA)]
    assert found == [("XEN-002", "probable", "alpha", {"a.log"}), ("CFG-004", None, "beta", {"b.log"})]


def test_silent_vectors_of_one_guest_are_not_joined_with_the_timeouts_of_another() -> None:
    assert [(f.code, f.grade, f.machine) for f in findings(VMA, VMB)] == [("IRQ-007", "proven", "vmb")]
