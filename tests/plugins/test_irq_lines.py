"""One line of each event of the vocabularies about vectors, interrupts, remapping, drivers and KVM: exactly one rule takes it."""

import re

import pytest

from tracekit import grammar

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
    "driver_irq_refused": "e1000e 0000:00:06.0 (unnamed net_device) (uninitialized): Unable to allocate interrupt, Error: -28",
    "driver_vectors_refused": "ath11k_pci 0006:01:00.0: ath11k_pci_alloc_msi - requesting one vector failed: -28",
    "driver_vectors_reduced": "i40e 0000:01:00.0: MSI-X vector limit reached with 4, wanted 9, attempting to redistribute vectors",
    "driver_irq_fallback": "e1000e 0000:00:06.0 eth0: MSI interrupt test failed, using legacy interrupt.",
    "driver_probe_failed": "virtio_blk virtio2: probe with driver virtio_blk failed with error -28",
    "nvme_completion_polled": "nvme nvme0: I/O tag 0 (1000) QID 0 timeout, completion polled",
    "nvme_timeout": "nvme nvme0: I/O tag 0 (1000) opcode 0x2 (I/O Cmd) QID 3 timeout, aborting req_op:READ(0) size:4096",
    "mlx5_eqe_recovered": "mlx5_core 0000:d8:00.0: mlx5_cmd_eq_recover:245:(pid 1416): Recovered 1 EQEs on cmd_eq",
    "mlx5_command_recovered": "mlx5_core 0000:d8:00.0: wait_func:1062:(pid 6): cmd[0]: CREATE_EQ(0x301) recovered after timeout",
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
