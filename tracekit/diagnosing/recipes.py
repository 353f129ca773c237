"""Recipes: the commands that record what the diagnoses of a family need, and nothing that slows the machine.

Facts: Linux kernel/trace (kprobe_events, tracefs), drivers/pci/msi, kernel/irq/msi.c, drivers/vfio/pci, arch/x86/pci/xen.c, releases 5.15
to 6.12 (a probe on a function that a kernel lacks is refused alone, the others stand); QEMU hw/*/trace-events; Xen `xl debug-keys h`.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from tracekit.findings import Outcome


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe: its question, the codes of the diagnoses that it serves (own ones first), its commands.

    `tracing`: they set up tracefs; `program`: a file beside this one that records without tracekit, in place of a shell script.
    """

    asks: str
    feeds: tuple[str, ...]
    commands: str
    tracing: bool = True
    program: str = ""


def script(recipe: Recipe) -> str:
    """Return the commands as text for a shell (sh, as root): set-up, the recipe's own, and what to save once the fault was seen."""
    head = f"# {recipe.asks}\n# Feeds {' '.join(recipe.feeds)}.\n# As root, in an empty folder; load the drivers first.\n"
    own = recipe.commands.strip() + "\n"
    return "\n".join([head, _BEGIN, own, _END] if recipe.tracing else [head, own, _SIDE])


def family_of(code: str) -> str | None:
    """Return the family whose recipe records for a diagnosis."""
    return next((name for name, recipe in RECIPES.items() if code in recipe.feeds), None)


@lru_cache(maxsize=512)
def named(outcome: Outcome) -> Outcome:
    """Return the outcome with the command that prints how to record what it needs."""
    family = family_of(outcome.code)
    return replace(outcome, record=f"{outcome.record} (tracekit record {family})") if outcome.record and family else outcome


def _probes(text: str) -> str:
    """Return lines `p|r name function fetches`, comments and blank lines kept, as definitions of kprobe_events in the group tk."""
    return re.sub(r"^([pr]) (.+)$", r"echo '\1:tk/\2' >> $T/kprobe_events", text.strip(), flags=re.MULTILINE)


_BEGIN = """\
T=/sys/kernel/tracing
echo 0 > $T/tracing_on; echo nop > $T/current_tracer; echo > $T/set_event; echo > $T/trace
# One clock for traces and QEMU; `local` instead fits the stamps of dmesg.
echo mono > $T/trace_clock
# KiB for each CPU. A trace with lost events cannot prove that something did not happen.
echo 16384 > $T/buffer_size_kb
"""
_SIDE = """\
# Beside it: names, sizes, holders and releases are often in no trace.
dmesg > dmesg.txt; cat /proc/interrupts > interrupts.txt; lspci -vvnn > lspci.txt; uname -a > uname.txt
tracekit analyze .
"""
_END = f"""\
echo 1 > $T/tracing_on
# Now bring the fault about; then go on.
echo 0 > $T/tracing_on; cat $T/trace > trace.txt
# The definitions say what the probes' arguments mean.
cat $T/kprobe_events > kprobe_events.txt
echo > $T/set_event
for f in irq intel_iommu; do [ -f $T/events/$f/filter ] && echo 0 > $T/events/$f/filter; done
for e in $T/events/tk/*/; do [ -d "$e" ] && echo "-:tk/$(basename "$e")" >> $T/kprobe_events; done

{_SIDE}"""

_SET_IRQS = """\
# Every request for a device's interrupts, by whom and with which result.
p set_irqs vfio_pci_set_irqs_ioctl vdev=$arg1:x64 flags=$arg2:x32 index=$arg3:u32 start=$arg4:u32 count=$arg5:u32
r set_irqs_ret vfio_pci_set_irqs_ioctl ret=$retval:s32
"""
_ENABLE = """\
# What an enable asked for and was granted.
p enable __pci_enable_msix_range dev=$arg1:x64 minvec=$arg3:s32 maxvec=$arg4:s32
r enable_ret __pci_enable_msix_range ret=$retval:s32
p alloc pci_alloc_irq_vectors_affinity dev=$arg1:x64 min=$arg2:s32 max=$arg3:s32
r alloc_ret pci_alloc_irq_vectors_affinity ret=$retval:s32
"""


def _printed(probe: str, text: str, *values: str) -> str:
    """Return a probe of bpftrace that prints a line in ftrace's layout."""
    line = f"%16s-%-7d [%03d] ..... %5llu.%06llu: {text}"
    stamp = "comm, tid, cpu, nsecs / 1000000000, nsecs % 1000000000 / 1000"
    return f'{probe} {{ printf("{line}\\n", {", ".join([stamp, *values])}); }}\n'


def _entered(function: str, name: str, arguments: str, *numbers: int) -> str:
    return _printed(f"kprobe:{function}", f"{name}: ({function}+0x0/0x0) {arguments}", *(f"arg{n}" for n in numbers))


def _left(function: str, name: str) -> str:
    return _printed(f"kretprobe:{function}", f"{name}: ([unknown/kretprobe'd] <- {function}) ret=%d", "(int32)retval")


_BPFTRACE = (
    "// Every request for a device's interrupts, and its result: VFIO-002, VFIO-003, VFIO-005.\n"
    + _entered("vfio_pci_set_irqs_ioctl", "set_irqs", "vdev=0x%llx flags=0x%x index=%u start=%u count=%u", 0, 1, 2, 3, 4)
    + _left("vfio_pci_set_irqs_ioctl", "set_irqs_ret")
    + "// What an enable was granted, the domain's size, the index that is refused: MSI-001.\n"
    + _entered("__pci_enable_msix_range", "enable", "dev=0x%llx minvec=%d maxvec=%d", 0, 2, 3)
    + _left("__pci_enable_msix_range", "enable_ret")
    + _entered("pci_setup_msix_device_domain", "setup", "dev=0x%llx hwsize=%u", 0, 1)
    + _entered("msi_create_device_irq_domain", "create", "dev=0x%llx domid=%u hwsize=%u", 0, 1, 3)
    + _left("msi_insert_desc", "insert_ret")
    + "// The vectors' handlers: which were in use, and of which function: VFIO-002.\n"
    + _printed("tracepoint:irq:irq_handler_entry", "irq_handler_entry: irq=%d name=%s", "args->irq", "str(args->name)")
)

RECIPES: dict[str, Recipe] = {
    "stale-hwsize": Recipe(
        "Was the MSI irq domain of a function made for the size of an earlier table?",
        (*("MSI-001", "MSI-002", "MSI-003", "MSI-004", "MSI-006", "MSI-007", "MSI-005", "MSI-008", "MSI-009", "CFG-003"), "VFIO-003"),
        _probes(f"""
# The size a domain is made with, and its end. Without an end between two enables the old size holds: MSI-001, MSI-002, MSI-003.
p setup pci_setup_msix_device_domain dev=$arg1:x64 hwsize=$arg2:u32
r setup_ret pci_setup_msix_device_domain ret=$retval:u8
p create msi_create_device_irq_domain dev=$arg1:x64 domid=$arg2:u32 hwsize=$arg4:u32
p remove msi_remove_device_irq_domain dev=$arg1:x64 domid=$arg2:u32
# The size of the table as the device tells it: MSI-002, MSI-004.
p table pci_msix_vec_count dev=$arg1:x64
r table_ret pci_msix_vec_count ret=$retval:s32
# The index that is refused (-34). Some kernels inline the first function: MSI-001.
p insert msi_insert_desc dev=$arg1:x64 domid=$arg3:u32 index=$arg4:u32
r insert_ret msi_insert_desc ret=$retval:s32
{_ENABLE}{_SET_IRQS}
# Whether a domain for interrupt message stores could be made: CFG-003.
r ims_ret pci_create_ims_domain ret=$retval:u8
""")
        + """
echo 1 > $T/events/tk/enable
# Where drgn is: the sizes of all domains and tables now, also of a core dump (tracekit record hwsize): MSI-002.
""".rstrip(),
    ),
    "resize": Recipe(
        "Which vectors were taken away while a guest enabled more of them, and what arrived in between?",
        (
            *("VFIO-001", "VFIO-002", "VFIO-003", "VFIO-004", "VFIO-005", "VFIO-006", "VFIO-007", "VFIO-008", "VFIO-009"),
            *("KVMT-002", "CFG-002"),
        ),
        _probes(f"""
{_SET_IRQS}
# Each vector as it is given up or set up; since 6.5 one is added without a window: VFIO-004, VFIO-006, VFIO-007.
p signal vfio_msi_set_vector_signal vdev=$arg1:x64 vector=$arg2:s32 fd=$arg3:s32
r signal_ret vfio_msi_set_vector_signal ret=$retval:s32
p alloc_at pci_msix_alloc_irq_at dev=$arg1:x64 index=$arg2:s32
r alloc_at_ret pci_msix_alloc_irq_at ret=$retval:s32
# Begin and end of the device's use; what is let go there is no fault.
p disable vfio_pci_core_disable vdev=$arg1:x64
{_ENABLE}
""")
        + """
# The device's interrupts and nobody else's; they name the function and show which vectors were in use: VFIO-001, VFIO-002.
echo 'name ~ "vfio-*"' > $T/events/irq/irq_handler_entry/filter
for e in tk irq/irq_handler_entry irq_matrix; do echo 1 > $T/events/$e/enable; done
# Beside it the guest's own log: its timeouts tell what was lost (tracekit analyze --side guest.txt=guest): VFIO-001, VFIO-008.
""",
    ),
    "pirq": Recipe(
        "Under Xen: which pirqs did a domain take, give back, or share, and who refused one?",
        ("XEN-001", "XEN-002", "XEN-003", "XEN-004", "XEN-005", "XEN-006", "XEN-007", "XEN-008"),
        _probes("""
# In the domain that has the device. The irqs asked for, and the pirq each is bound to: XEN-001, XEN-002, XEN-003.
p hvm xen_hvm_setup_msi_irqs dev=$arg1:x64 nvec=$arg2:s32 type=$arg3:s32
r hvm_ret xen_hvm_setup_msi_irqs ret=$retval:s32
p dom0 xen_initdom_setup_msi_irqs dev=$arg1:x64 nvec=$arg2:s32 type=$arg3:s32
r dom0_ret xen_initdom_setup_msi_irqs ret=$retval:s32
p bind xen_bind_pirq_msi_to_irq dev=$arg1:x64 pirq=$arg3:s32 nvec=$arg4:s32
r bind_ret xen_bind_pirq_msi_to_irq ret=$retval:s32
# The end of a pirq; without one its number is gone: XEN-003, XEN-007.
p destroy xen_destroy_irq irq=$arg1:s32
r destroy_ret xen_destroy_irq ret=$retval:s32
""")
        + """
echo 1 > $T/events/tk/enable
# Xen's own words in the guest's kernel log (`xen: msi bound to pirq`): XEN-001, XEN-003. No cost outside of set-up.
echo 'file arch/x86/pci/xen.c +p' > /sys/kernel/debug/dynamic_debug/control
echo 'file drivers/xen/events/events_base.c +p' > /sys/kernel/debug/dynamic_debug/control
# Reload the driver several times: a leak shows as numbers that only fall. In dom0 at the same time: tracekit record xen-hypervisor.
# The device model's log, where it runs: /var/log/xen/qemu-dm-*.log (XEN-005, XEN-007).
""",
    ),
    "vectors": Recipe(
        "Which CPU ran out of interrupt vectors, at whose request, and who held them?",
        ("VEC-001", "VEC-002", "VEC-003", "VEC-004", "VEC-006", "VEC-007", "VEC-008", "CFG-002", "VEC-005"),
        """
# Each request, its result, and the room that is left: VEC-001, VEC-002, VEC-003, VEC-006, CFG-002.
# Not all of irq_vectors: the entries of timers and IPIs would push everything else out of the buffer.
for e in irq_matrix irq_vectors/vector_alloc irq_vectors/vector_alloc_managed irq_vectors/vector_reserve_managed \\
    irq_vectors/vector_activate irq_vectors/vector_deactivate irq_vectors/vector_teardown irq_vectors/vector_setup; do
    echo 1 > $T/events/$e/enable
done
# Kernels with CONFIG_GENERIC_IRQ_DEBUGFS tell each CPU's share.
cat /sys/kernel/debug/irq/domains/VECTOR > vector-domain.txt 2>/dev/null
# Affinities that broke, and remapping entries that ran out, are in dmesg: VEC-004, VEC-005.
""",
    ),
    "remapping": Recipe(
        "Which interrupt messages did the IOMMU block, of which device, and what became of their entries?",
        ("IRQ-003", "IRQ-004", "IRQ-008", "VEC-005", "VFIO-011", "VFIO-012", "VFIO-013"),
        """
# Faults are printed by a rate-limited handler: keep the whole log, and the first ones: IRQ-003, VEC-005, VFIO-011.
dmesg -w > dmesg-live.txt & live=$!
# Intel: invalidations of remapping entries only (IRQ-003); those of DMA are many.
echo '(qw0 & 4) && !(qw0 & 3)' > $T/events/intel_iommu/qi_submit/filter
echo 1 > $T/events/intel_iommu/qi_submit/enable
# Vectors that moved or were cleared while a message was on its way: IRQ-004.
for e in vector_clear vector_update vector_free_moved; do echo 1 > $T/events/irq_vectors/$e/enable; done
# The entries now, and again after the fault (CONFIG_INTEL_IOMMU_DEBUGFS).
cat /sys/kernel/debug/iommu/intel/ir_translation_struct > irte-before.txt 2>/dev/null
# After the fault also: kill $live
""",
    ),
    "delivery": Recipe(
        "A device interrupts, the guest does not notice: at which stage do its interrupts end?",
        ("IRQ-001", "KVMT-003", "IRQ-006", "IRQ-007", "IRQ-009", "IRQ-010", "KVMT-001", "IRQ-004"),
        """
# Host handler, injection, acceptance, end of interrupt, in one trace and on one clock: IRQ-001, KVMT-003. Posted interrupts pass both of
# the first by, then kvm_pi_irte_update is what shows. Stop it with Ctrl-C.
trace-cmd record -C mono -o trace.dat -e irq:irq_handler_entry -f 'name ~ "vfio-*"' -e kvm:kvm_msi_set_irq \\
    -e kvm:kvm_pi_irte_update -e kvm:kvm_apic_accept_irq -e kvm:kvm_eoi
trace-cmd report trace.dat > trace.txt
# In the guest: does its handler run, does its driver poll (IRQ-007), which functions does it see (KVMT-001)?
#   echo 1 > /sys/kernel/tracing/events/irq/irq_handler_entry/enable; sleep 10; cat /sys/kernel/tracing/trace > guest-trace.txt
#   dmesg > guest-dmesg.txt; cat /proc/interrupts > guest-interrupts.txt
# A line that nobody handles: the counts of the irq N that dmesg names: IRQ-006.
#   grep . /proc/irq/N/spurious
""",
        tracing=False,
    ),
    "xen-hypervisor": Recipe(
        "What does Xen itself say of a domain's pirqs, MSIs and event channels?",
        ("CFG-004", "XEN-009", "XEN-002", "XEN-004", "XEN-005", "XEN-006", "XEN-007", "IRQ-003"),
        """
# Boot Xen with: loglvl=all guest_loglvl=all console_timestamps=datems. A debug build says more. The log from the boot on has the limits of
# irqs: CFG-004, XEN-002.
xl dmesg -c > xl-dmesg-boot.txt
xl info > xl-info.txt
# Now bring the fault about. While it lasts:
# i: irqs, their domains and pirqs (XEN-002, XEN-005, XEN-007).  M: MSIs and who masks them (XEN-006, XEN-009).
# e: event channels, pending and masked (XEN-004).  Q: PCI functions and their domains.  V: remapping entries (IRQ-003).
for key in i M e Q V; do xl debug-keys $key; done
xl dmesg > xl-dmesg.txt
cp /var/log/xen/qemu-dm-*.log . 2>/dev/null
""",
        tracing=False,
    ),
    "qemu": Recipe(
        "What did the guest ask of its device, and what did QEMU make of it?",
        ("VFIO-010", "CFG-001", "IRQ-002", "IRQ-005", "VFIO-001", "VFIO-002", "VFIO-003", "VFIO-006", "VFIO-009", "IRQ-003"),
        """
# Options to add to QEMU's command line (libvirt: <qemu:commandline>), in a file:
cat > trace-events.txt <<'END'
# Enables, disables, vectors taken into use, whether the set is resized: VFIO-001, VFIO-002, VFIO-003, VFIO-006, CFG-001, IRQ-002.
vfio_msi*
# The INTx line in between: VFIO-009.
vfio_intx_*
vfio_pci_intx_eoi
# The guest's own writes to the MSI-X control and to the command register (bus mastering): IRQ-005.
msix_write_config
pci_cfg_write
# Routes into KVM; a vector without one takes the slow path: VFIO-010.
kvm_irqchip_add_msi_route
kvm_irqchip_release_virq
# Emulated remapping: IRQ-003.
vtd_ir_*
END
# qemu-system-x86_64 ... -trace events=trace-events.txt -msg timestamp=on -D qemu-trace.log 2> qemu-stderr.log
# pci_cfg_read and vfio_region_* are called often: leave them out. `mono` in the host's trace (tracekit record resize) fits these stamps.
""",
        tracing=False,
    ),
    "perf-trace": Recipe(
        "Which ioctls did a client make, and what did the kernel do in each (perf trace)?",
        ("VFIO-002", "VFIO-003", "VFIO-005", "MSI-001"),
        "T=/sys/kernel/tracing\n"
        + _probes(f"""
{_SET_IRQS}{_ENABLE}
# The size a domain is made with, and the index that is refused: MSI-001.
p setup pci_setup_msix_device_domain dev=$arg1:x64 hwsize=$arg2:u32
p create msi_create_device_irq_domain dev=$arg1:x64 domid=$arg2:u32 hwsize=$arg4:u32
r insert_ret msi_insert_desc ret=$retval:s32
""")
        + """
# System calls with the probes between them, until ^C; the vectors' handlers name the function: VFIO-002, VFIO-003, VFIO-005.
perf trace -a -T -o perf-trace.txt -e ioctl -e 'tk:*' -e irq:irq_handler_entry --filter 'name ~ "vfio-*"'
# perf prints addresses: the definitions say which functions they are.
cat $T/kprobe_events > kprobe_events.txt
for e in $T/events/tk/*/; do [ -d "$e" ] && echo "-:tk/$(basename "$e")" >> $T/kprobe_events; done
""",
        tracing=False,
    ),
    "hwsize": Recipe(
        "Is the irq domain of any function smaller than its MSI-X table, now or in a core dump?",
        ("MSI-002",),
        """
# Reads the kernel's memory with drgn (pip install drgn) and its debug information; nothing is changed: MSI-002.
tracekit record hwsize --script > hwsizes.py
drgn hwsizes.py > hwsizes.txt
# Of a core dump: drgn -c vmcore -s vmlinux hwsizes.py > hwsizes.txt
""",
        tracing=False,
        program="hwsizes.py",
    ),
    "bpftrace": Recipe(
        "The same as resize, where tracefs is not at hand and bpftrace is.",
        ("VFIO-002", "VFIO-003", "VFIO-005", "MSI-001"),
        f"""
cat > set-irqs.bt <<'END'
{_BPFTRACE}END
# Lines as ftrace prints them, until ^C; a function that this kernel lacks or inlines: take its probe out.
bpftrace set-irqs.bt -o trace.txt
""",
        tracing=False,
    ),
}
