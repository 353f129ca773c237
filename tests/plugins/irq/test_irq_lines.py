"""One line of each event of the vocabularies about vectors, interrupts, remapping, drivers and KVM: exactly one rule takes it."""

import re

import pytest

from tracekit.grammar import load as grammar

FILES = {"irq_vectors.lark", "irq_matrix.lark", "irq.lark", "iommu.lark", "drivers.lark", "kvm.lark"}
CELL = "bit=35 cpu=0 online=1 avl=0 alloc=201 managed=0 online_maps=1 global_avl=0, global_rsvd=422, total_alloc=201"
TOTALS = "online_maps=1 global_avl=0, global_rsvd=13, total_alloc=201"
LINES = {
    "vector_config": "vector_config: irq=9 vector=33 cpu=0 apicdest=0x00000001",
    "vector_update": "vector_update: irq=9 vector=33 cpu=0 prev_vector=0 prev_cpu=0",
    "vector_clear": "vector_clear:         irq=32 vector=39 cpu=0 prev_vector=0 prev_cpu=0",
    "vector_reserve": "vector_reserve: irq=150 ret=0",
    "vector_reserve_managed": "vector_reserve_managed: irq=226 ret=-28",
    "vector_alloc": "                |   /* vector_alloc: irq=219 vector=4294967268 reserved=1 ret=0 */",
    "vector_alloc_managed": "vector_alloc_managed: irq=30 vector=35 ret=0",
    "vector_activate": "vector_activate: irq=9 is_managed=0 can_reserve=1 early=0",
    "vector_deactivate": "vector_deactivate: irq=9 is_managed=0 can_reserve=1 reserve=0",
    "vector_setup": "vector_setup: irq=1 is_legacy=0 ret=0",
    "vector_teardown": "vector_teardown: irq=1 is_managed=0 has_reserved=1",
    "vector_free_moved": "vector_free_moved: irq=30 cpu=1 vector=35 is_managed=0",
    "spurious_apic_entry": "spurious_apic_entry: vector=255",
    "error_apic_entry": "error_apic_entry: vector=254",
    "irq_matrix_assign_system": f"irq_matrix_assign_system: bit=236 {TOTALS}",
    **{f"irq_matrix_{w}": f"irq_matrix_{w}: {TOTALS}" for w in ("online", "offline", "reserve", "remove_reserved")},
    **{
        f"irq_matrix_{w}": f"irq_matrix_{w}:     {CELL}"
        for w in ("alloc", "free", "assign", "alloc_managed", "reserve_managed", "remove_managed", "alloc_reserved")
    },
    "irq_handler_entry": "irq_handler_entry: irq=33 name=vfio-msix[1](0000:00:08.0)",
    "irq_handler_exit": "irq_handler_exit:     irq=32 ret=unhandled",
    "irq_no_handler": "__common_interrupt: 3.34 No irq handler for vector",
    "xen_no_handler": "CPU0: No irq handler for vector b9 (IRQ -2147483648, LAPIC)",
    "irq_nobody_cared": 'irq 48: nobody cared (try booting with the "irqpoll" option)',
    "irq_disabled": "Disabling IRQ #48",
    "irq_bogus_return": "irq event 9: bogus return value ffffffff",
    "irq_frame_edge": " ? handle_edge_irq+0x8d/0x1a0",
    "irq_frame_line": "[c0b12d60] [c006b0f8] handle_level_irq+0x98/0xfc",
    "irq_overcommit": "Interrupt reservation exceeds available resources",
    "irq_affinity_broken": "APIC: irq 889: Affinity broken due to vector space exhaustion.",
    "irq_managed_lost": "Managed startup irq 42, no vector available",
    "irq_cpu_stuck": "CPU 0 has 4294967295 vectors, 589 available. Cannot disable CPU",
    "irq_reserved_exceeds": "Reserved vectors 12 > available 4. IRQ request may fail",
    "irq_move_pending": "IRQ fixup: irq 30 move in progress, old vector 35",
    "irq_spurious_vector": "Spurious interrupt (vector 0xef) on CPU#0. Acked",
    "irq_unexpected_trap": "unexpected IRQ trap at vector 1f",
    "irq_flags_mismatch": "genirq: Flags mismatch irq 16. 00000080 (eth0) vs. 00000000 (usb1)",
    "irq_affinity_failed": "IRQ16: set affinity failed(-22).",
    "irq_trigger_failed": "genirq: Setting trigger mode 3 for irq 48 failed (msi_set_type+0x0/0x10)",
    "irq_oneshot_missing": "genirq: Threaded irq requested with handler=NULL and !ONESHOT for my device (irq 48)",
    "irq_affinity_untold": "genirq: irq_chip PCI-MSIX-0000:00:08.0 did not update eff. affinity mask of irq 48",
    "irq_affinity_offline": "Eff. affinity 2-3 of IRQ 48 contains only offline CPUs after offlining CPU 3",
    "irq_left_cpu": "IRQ 48: no longer affine to CPU3",
    "irq_thread_exits": 'genirq: exiting task "irq/48-nvme" (311) is an active IRQ thread (irq 48)',
    "irq_thread_missing": "IRQ 48 device my device returned IRQ_WAKE_THREAD but no thread function available.",
    "irq_handler_slow": "[CPU3] long duration of IRQ[48:nvme_irq], took: 1203 us",
    "irq_mapped": "irq: irq 1 on domain PCI-MSIX-0000:00:08.0-12 mapped to virtual irq 48",
    "irq_mapping_failed": "irq: PCI-MSIX-0000:00:08.0-12 didn't like hwirq-0x1 to VIRQ48 mapping (rc=-28)",
    "irq_hierarchy_trimmed": "irq: IRQ48: trimming hierarchy from :soc:interrupt-controller@1000",
    "irq_number_failed": "Failed to add kobject for irq 48",
    "irq_numbers": "NR_IRQS: 524544, nr_irqs: 456, preallocated irqs: 16",
    "irq_moves_on": "IRQ 48 schedule cleanup for offline CPU 3",
    "pm_suspend": "PM: suspend entry (deep)",
    "pm_resume": "PM: Timekeeping suspended for 12.345 seconds",
    "remap_fault": "DMAR: [INTR-REMAP] Request device [00:09.0] fault index 0x3000 [fault reason 0x22] Present field",
    "remap_fault_request": "DMAR: INTR-REMAP: Request device [[f0:1f.0] fault index 0",
    "remap_fault_reason": "               INTR-REMAP:[fault reason 37] Blocked a compatibility format interrupt request",
    "dmar_fault_status": "DMAR: DRHD: handling fault status reg 2",
    "dma_fault": "DMAR: [DMA Read] Request device [01:00.0] fault addr 8e480000 [fault reason 06] PTE Read access is not set",
    "amd_iommu_event": "AMD-Vi: Event logged [INVALID_DEVICE_REQUEST device=0000:01:00.0 pasid=0x00000 address=0xfdf8000000 flags=0x0a00]",
    "irte_exhausted": "DMAR-IR: IR1: can't allocate an IRTE",
    "remap_enabled": "DMAR-IR: Enabled IRQ remapping in x2apic mode",
    "remap_disabled": "DMAR-IR: Not enabling interrupt remapping",
    "remap_copied": "DMAR-IR: Copied IR table for dmar0 from previous kernel",
    "qi_error": "DMAR: Invalidation Time-out Error (ITE) cleared",
    "qi_submit": "qi_submit: iec_inv dmar0: 0x1200000014 0x0 0x0 0x0",
    "io_page_fault": "io_page_fault: IOMMU:pci 0000:01:00.0 iova=0x00000000fee00000 flags=0x0000",
    "pci_enumerated": "pci 0000:00:1c.1: [8086:a111] type 01 class 0x060400 PCIe Root Port",
    "irte_mask_exceeded": "DMAR-IR: Requested mask 6 exceeds the max invalidation handle mask value 0",
    "irte_posting_failed": "DMAR-IR: Failed to setup IRQ 48 for posted mode",
    "dmar_ioapic": "DMAR-IR: IOAPIC id 0 under DRHD base  0xfed90000 IOMMU 0",
    "amd_apic_mode": "AMD-Vi: X2APIC enabled",
    "amd_wait_timed_out": "AMD-Vi: Completion-Wait loop timed out",
    "xen_amd_event": "AMD-Vi: IO_PAGE_FAULT: 0000:0b:00.0 d1 addr 00000000fee00000 flags 0x8 I",
    "xen_irte_unexpected": "unexpected IRTE 0000000000000000_0000000000310001 (expected 0000000000000000_0000000000310003)",
    "xen_ioapic_remap_failed": "Remapping IO-APIC 0x8 pin 2 failed (-19)",
    "driver_irq_refused": "e1000e 0000:00:06.0 (unnamed net_device) (uninitialized): Unable to allocate interrupt, Error: -28",
    "driver_vectors_refused": "ath11k_pci 0006:01:00.0: ath11k_pci_alloc_msi - requesting one vector failed: -28",
    "driver_vectors_reduced": "i40e 0000:01:00.0: MSI-X vector limit reached with 4, wanted 9, attempting to redistribute vectors",
    "driver_irq_fallback": "e1000e 0000:00:06.0 eth0: MSI interrupt test failed, using legacy interrupt.",
    "driver_probe_failed": "virtio_blk virtio2: probe with driver virtio_blk failed with error -28",
    "nvme_completion_polled": "nvme nvme0: I/O tag 0 (1000) QID 0 timeout, completion polled",
    "nvme_timeout": "nvme nvme0: I/O tag 0 (1000) opcode 0x2 (I/O Cmd) QID 3 timeout, aborting req_op:READ(0) size:4096",
    "mlx5_eqe_recovered": "mlx5_core 0000:d8:00.0: mlx5_cmd_eq_recover:245:(pid 1416): Recovered 1 EQEs on cmd_eq",
    "mlx5_command_recovered": "mlx5_core 0000:d8:00.0: wait_func:1062:(pid 6): cmd[0]: CREATE_EQ(0x301) recovered after timeout",
    "driver_interrupt_missed": "ena 0000:00:05.0 ens5: Potential MSIX issue on Rx side Queue = 3. Reset the device",
    "driver_interrupt_test_failed": "mlx4_core 0000:07:00.0: NOP command failed to generate MSI-X interrupt IRQ 48)",
    "driver_vectors_told": "megaraid_sas 0000:05:00.0: requested/available msix 128/127 poll_queue 0",
    "driver_vf_vectors": "mlx5_core 0000:07:00.0: failed to set MSI-X vector counts VF 2, err -28",
    "ath_response_polled": "ath11k_pci 0000:00:06.0: failed to receive control response completion, polling..",
    "nvme_queues": "nvme nvme0: 4/0/0 default/read/poll queues",
    "net_tx_timeout": "e1000e 0000:00:06.0 eth0: NETDEV WATCHDOG: CPU: 3: transmit queue 0 timed out 5004 ms",
    "pci_function": "nvme nvme0: pci function 0000:00:11.0",
    "kvm_set_irq": "kvm:kvm_set_irq: gsi 4 level 1 source 0",
    "kvm_msi_set_irq": "kvm_msi_set_irq: dst 65 vec 35 (Fixed|physical|edge)",
    "kvm_ack_irq": "kvm_ack_irq: irqchip PIC master pin 4",
    "kvm_ioapic_set_irq": "kvm_ioapic_set_irq: pin 4 dst 0 vec 0 (Fixed|physical|edge) (coalesced)",
    "kvm_ioapic_delayed_eoi_inj": "kvm_ioapic_delayed_eoi_inj: pin 4 dst 0 vec 49 (Fixed|physical|level)",
    "kvm_pic_set_irq": "kvm_pic_set_irq: chip 0 pin 4 (edge)",
    "kvm_apic_accept_irq": "kvm_apic_accept_irq: apicid 0 vec 236 (Fixed|edge)",
    "kvm_apicv_accept_irq": "kvm_apicv_accept_irq: apicid 0 vec 236 (Fixed|edge)",
    "kvm_inj_virq": "kvm_inj_virq: IRQ 0xec [reinjected]",
    "kvm_eoi": "kvm_eoi: apicid 0 vector 236",
    "kvm_pv_eoi": "kvm_pv_eoi: apicid 0 vector 236",
    "kvm_pi_irte_update": "kvm_pi_irte_update: VT-d PI is disabled for irq 13, vcpu 0, gsi: 0x18, gvec: 0x21, pi_desc_addr: 0x1234",
    "kvm_apicv_inhibit_changed": "kvm_apicv_inhibit_changed: set reason=3, inhibits=0x8 IRQWIN",
    "kvm_userspace_exit": "kvm_userspace_exit: reason KVM_EXIT_MMIO (6)",
    "kvm_mmio": "kvm_mmio: mmio write len 4 gpa 0xfe003000 val 0x1",
}
# Other spellings of the same events.
ALSO = [
    ("driver_irq_refused", "DMAR: DRHD 97bfc000: failed to enable fault, interrupt, ret -28"),
    ("remap_fault", "  DMAR: [INTR-REMAP] Request device [00:11.0] fault index 3b [fault reason 38] Blocked an interrupt request"),
    ("irq_overcommit", "    Interrupt reservation exceeds available resources"),
    ("irq_nobody_cared", '    irq 16: nobody cared (try booting with the "irqpoll" option)'),
    ("irq_flags_mismatch", "genirq: Flags mismatch irq 16. 00000000 (vfio-intx(0000:01:00.0)) vs. 00000080 (i801_smbus)"),
    ("driver_vectors_refused", "mpt3sas_cm0: pci_alloc_irq_vectors failed (r=-28) !!!"),
    ("driver_vectors_refused", "qla2xxx [0000:05:00.0]-00c7:1: MSI-X: Failed to enable support, giving up -- 32/-28."),
    ("driver_vectors_refused", "hns3 0000:7d:00.0: failed(-28) to allocate MSI/MSI-X vectors"),
    ("driver_vectors_refused", "ixgbevf 0000:00:06.0: Unable to allocate MSI-X interrupts"),
    ("driver_vectors_refused", "apex 0000:04:00.0: Couldn't initialize interrupts: -22"),
    ("driver_vectors_refused", "vmxnet3 0000:0b:00.0: Failed to enable MSI-X, error: -28"),
    ("driver_vectors_refused", "iwlwifi 0000:03:00.0: pci_enable_msi failed - -28"),
    ("driver_vectors_refused", "idxd 0000:6a:01.0: Failed enabling 9 MSIX entries: -28"),
    ("driver_vectors_refused", "lpfc 0000:0c:00.0: 0:0484 PCI enable MSI-X failed (-28)"),
    ("driver_vectors_refused", "lpfc 0000:0c:00.1: 11:0488 PCI enable MSI mode failed (-22)"),
    ("driver_vectors_refused", "mlx5_core 0000:07:00.0: mlx5_load:1234:(pid 512): Failed to alloc IRQs"),
    ("driver_vectors_refused", "mlx5_core 0000:07:00.0: alloc irq vectors failed"),
    ("driver_vectors_refused", "be2net 0000:08:00.0: MSIx enable failed"),
    ("driver_vectors_refused", "xhci_hcd 0000:00:14.0: No msi-x/msi found and no IRQ in BIOS"),
    ("driver_vectors_reduced", "sfc 0000:09:00.0 eth2: WARNING: Insufficient MSI-X vectors available (8 < 33)."),
    ("driver_vectors_reduced", "hns3 0000:7d:00.0: requested 64 MSI/MSI-X, but allocated 33 MSI/MSI-X"),
    ("irq_spurious_vector", "spurious APIC interrupt through vector ef on CPU#0, should never happen."),
    ("irq_moves_on", "Moved interrupt pending in old target APIC 4"),
    ("irq_mapping_failed", "irq: no irq domain found for /soc/pci@1000 !"),
    ("irq_mapping_failed", "irq: type mismatch, failed to map hwirq-12 for /soc/gic@1000!"),
    ("remap_fault_reason", "INTR-REMAP:[fault reason 22h] Present field in the IRTE entry is clear"),
    ("driver_vectors_refused", "qla2xxx [0000:05:00.0]-00c7:1: MSI-X: Failed to enable support, giving   up -- 32/-28."),
    ("driver_vectors_refused", "pds_vdpa 0000:08:00.3: Couldn't get 65 msix vectors: -ENOSPC"),
    ("driver_irq_refused", "qla2xxx [0000:05:00.0]-00cb:1: MSI-X: unable to register handler -- 2/-28."),
    ("driver_irq_refused", "megaraid_sas 0000:05:00.0: Failed to register IRQ for vector 12."),
    ("mlx5_eqe_recovered", "mlx5_core 0000:41:00.0 enp65s0f0: Recovered 2 eqes on EQ 0xa"),
    ("driver_interrupt_missed", "The erdma device sent a completion but the driver didn't receive a MSI-X interrupt."),
    (
        "driver_interrupt_missed",
        "ena 0000:00:05.0 eth0: The ena device sent a completion but the driver didn't receive a MSI-X interrupt (cmd 9), autopolling mode is OFF",
    ),
    ("driver_interrupt_test_failed", "tg3: eth0: No interrupt was generated using MSI, switching to INTx mode. Please report this failure"),
    (
        "driver_interrupt_test_failed",
        "tg3 0000:10:00.0 eth0: No interrupt was generated using MSI. Switching to INTx mode. Please report this",
    ),
    ("driver_interrupt_test_failed", "sky2 0000:01:00.0: No interrupt was generated using MSI, switching to INTx mode."),
    ("driver_interrupt_test_failed", "ib_mthca 0000:07:00.0: NOP command failed to generate interrupt (IRQ 48)."),
    ("driver_vectors_told", "igb 0000:01:00.0: Using MSI-X interrupts. 4 rx queue(s), 4 tx queue(s)"),
    ("driver_vectors_told", "i40e 0000:01:00.0: MSI-X vector distribution: PF 8, VMDq 0, FDSB 0, iWARP 0"),
    ("driver_vectors_told", "qla2xxx [0000:05:00.0]-00c6:1: MSI-X: Using 32 vectors"),
    ("driver_vectors_told", "mpt3sas_cm0: MSI-X vectors supported: 96"),
    ("driver_vf_vectors", "ice 0000:17:00.0: Can't set 64 vectors on VF 2, falling back to 16"),
    (
        "driver_vf_vectors",
        "mlx5_core 0000:07:00.0: mlx5_irq_table_create:612:(pid 71): Not enough IRQs for SFs. SF may run at lower performance",
    ),
    ("amd_iommu_event", "INVALID_DEVICE_REQUEST device=00:00.1 address=0x000000fdf8000020 flags=0x0a00]"),
    ("remap_disabled", "Not enabling interrupt remapping due to skipped IO-APIC setup"),
    (
        "driver_vectors_reduced",
        "ice 0000:17:00.0: Only 0 MSI-X interrupts available for SR-IOV. Not enough to support minimum of 2 MSI-X interrupts per VF for 4 VFs",
    ),
]
RULES = grammar.load().events


@pytest.mark.parametrize(
    ("behind", "taken"),
    [("", True), (' (try booting with the "irqpoll" option)', True), (" (try", True), (" since the update, and the port is dead", False)],
)
def test_prose_about_an_unhandled_irq_is_no_report(behind: str, taken: bool) -> None:
    assert (re.match(RULES["irq_nobody_cared"].regex, f"irq 16: nobody cared{behind}") is not None) == taken


def test_every_rule_of_these_files_has_a_line() -> None:
    assert {r.name for r in RULES.values() if r.file in FILES} == set(LINES)


@pytest.mark.parametrize(("event", "line"), [*LINES.items(), *ALSO])
def test_exactly_one_rule_takes_the_line(event: str, line: str) -> None:
    assert [r.name for r in RULES.values() if r.file in FILES and re.match(r.regex, line)] == [event]
    assert any(text in line for text in RULES[event].literals)
