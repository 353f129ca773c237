"""One line of each event of the Xen vocabularies: its rule takes it, and no other one does but the catch-all of `xen:events:`."""

import re

import pytest

from tracekit.grammar import load as grammar

FILES = {"xen.lark", "xen_hypervisor.lark", "xen_dm.lark"}
LINES = {
    "xen_pv_sign": "pcifront pci-0: Installing PCI frontend",
    "xen_vpci_hidden": "d0 0000:03:00.0: fail to add MSIX ctrl handler rc=-17",
    "xen_vpci_table_wrong": "DEVICE BUG: 0000:03:00.0: MSI-X vector table offset 0x2000 size 0x400 outside of BAR0 size 0x2000",
    "xen_vpci_masked": "d0 0000:03:00.0: init legacy cap 17 fail rc=-17, mask it",
    "xen_vpci_overlap": "d0v0 0000:03:00.0: existing mapping (mfn: fe1a0 type: 5) at fe1a0 clobbers MSIX MMIO area",
    "xen_pt_not_mapped": "[00:05.0] xen_pt_msgctrl_reg_write: Warning: Can not map MSI (register: 81)!",
    "libxl_pirq_refused": "libxl: error: libxl_pci.c:1461:pci_add_dm_done: Domain 4:xc_physdev_map_pirq irq=19 (error=-1): Function not implemented",
    "libxl_unmap_refused": "libxl: libxl_pci.c:2017:do_pci_remove: Domain 23:xc_physdev_unmap_pirq irq=16: Invalid argument",
    "libxl_device_refused": "libxl: error: libxl_pci.c:1809:device_pci_add_done: Domain 4:libxl__device_pci_add failed for PCI device 0:2:0.1 (rc -3)",
    "xen_map_failed": "e1000e 0000:00:06.0: xen map irq failed -28 for 32752 domain",
    "xen_gsi_map_failed": "xen map irq failed -22",
    "xen_msi_bound": "nvme 0000:00:04.0: xen: msi bound to pirq=101",
    "xen_msi_bind": "nvme 0000:00:04.0: xen: msi --> pirq=101 --> irq=60",
    "xen_msi_reused": "nvme 0000:00:04.0: xen: msi already bound to pirq=101",
    "xen_msi_create_failed": "nvme 0000:00:04.0: Failed to create MSI-X! ret=-19!",
    "xen_gsi_bind": "xen: --> pirq=20 -> irq=20 (gsi=20)",
    "xen_frontend_missing": "nvme 0000:00:04.0: Xen PCI frontend has not registered MSI/MSI-X support!",
    "xen_frontend_error": "e1000e 0000:00:00.0: Xen PCI frontend error: -22!",
    "xen_pciback_failed": "pciback 0000:65:00.0: xen_pciback: error enabling MSI for guest 2: err -22",
    "xen_irq_obtain_failed": "xen:events: Failed to obtain physical IRQ 62",
    "xen_unmap_failed": "xen:events: unmap irq failed -22",
    "xen_domain_gone": "xen:events: domain 5 does not have 87 anymore",
    "xen_evtchn_created": "xen:events: creating evtchn using pirq 101 irq 290",
    "xen_evtchn_closed": "xen:events: shutdown_pirq: closing evtchn for pirq 96 irq 295",
    "xen_pirq_returned": "xen:events: xen_destroy_irq: get_free_pirq returned pirq 93",
    "xen_irq_destroyed": "xen:events: xen_destroy_irq: pirq 98 irq 295",
    "xen_domain_kind": "xen:events: shutdown_pirq: xen_domain() == 1, xen_pv_domain() == 0, xen_hvm_domain() == 1, xen_initial_domain() == 0",
    "xen_events_said": "xen:events: Using FIFO-based ABI",
    "xen_gsi_registered": "xen: registering gsi 20 triggering 0 polarity 1",
    "xen_gsi_refused": "Failed to setup GSI :20, err_code:-22",
    "xen_gsi_bound": "pci 0000:00:03.0: Xen PCI mapped GSI20 to IRQ48",
    "xen_gsi_bind_failed": "pci 0000:00:03.0: Xen PCI: failed to bind GSI20 (PIRQ20) to IRQ: -28",
    "xen_port_map_failed": "xen:events: irq48: Failed to set port to irq mapping (-12)",
    "xen_pirq_restore_failed": "xen:events: xen map irq failed gsi=0 irq=48 pirq=87 rc=-22",
    "xen_pirq_restored": "xen:events: xen: --> irq=48, pirq=87",
    "xen_pciback_msi": "pciback 0000:65:00.0: MSI-X[2]: 87",
    "xen_isr_off": "pciback 0000:65:00.0: 0000:65:00.0 IRQ line is not shared with other domains. Turning ISR off",
    "xen_fake_handler_failed": "pciback 0000:65:00.0: 0000:65:00.0: failed to install fake IRQ handler for IRQ 16! (rc:-16)",
    "xen_frontend_said": "pcifront pci-0: enable msix get value 0",
    "xen_device_unknown": "pci 0000:65:00.0: Failed to add - passthrough or MSI/MSI-X might fail!",
    "xen_msix_unprepared": "pciback 0000:65:00.0: MSI-X preparation failed (-6)",
    "xen_pciback_backend": "xen_pciback: backend is vpci",
    "xen_platform": "Booting paravirtualized kernel on Xen HVM",
    "xen_release": "Xen version: 4.17.7 (preserve-AD)",
    "xen_info_command_line": "xen_commandline        : loglvl=all extra_guest_irqs=,14",
    "xen_port_of_pirq": "  21: VCPU 1: Physical IRQ 37",
    "xen_command_line": "Command line: loglvl=all extra_guest_irqs=,14",
    "xen_irq_limits": "IRQ limits: 24 GSI, 392 MSI/MSI-X",
    "xen_max_pirqs": "d0 has maximum 416 PIRQs",
    "xen_irqs_bounded": "domU IRQs bounded to 128",
    "xen_irq": "   IRQ:  25 affinity:01 vec:59 type=PCI-MSI/-X      status=00000010 in-flight=0 domain-list=0:415(---),",
    "xen_msi_state": " MSI-X   25 vec=59  fixed  edge   assert phys    cpu dest=00000001 mask=1/  /0",
    "xen_ports_of": "Event channel information for domain 0:",
    "xen_port": "      21 [0/0/  -   ]: s=4 n=1 x=0 p=415 i=25",
    "xen_pci_device": "0000:00:04.0 - d0 - node -1  - MSIs < 25 26 27 >",
    "xen_no_free_pirq": "arch/x86/irq.c:2963: dom1: no free pirq",
    "xen_already_mapped": "irq.c:2812: dom0: -1:-1 already mapped to -640",
    "xen_not_mapped": "dom1: pirq 87 not mapped",
    "xen_forced_unbind": "irq.c:2200: dom3: forcing unbind of pirq 87",
    "xen_evtchnop_failed": "event_channel.c:1200:d1v0 EVTCHNOP failure: error -17",
    "xen_vpci_map_failed": "vmsi.c:762:d0v0 0000:00:19.0: failed to map PIRQ: -16",
    "xen_delivery_mode": "d[IDLE]v16: Unsupported MSI delivery mode 7 for Dom15",
    "xen_msix_table": "d1v0 0000:03:00.0: Failed to map first MSI-X table page: -22",
    "xen_vpci_enable_failed": "d0v0 0000:03:00.0: unable to enable entry 0: -16",
    "xen_vpci_bind_failed": "vmsi.c:840:d0v0 0000:03:00.0: failed to bind PIRQ 87: -22",
    "xen_irq_in_use": "irq.c:2240: dom1: irq 48 (pirq 87) in use (xhci)",
    "xen_secondary_msi": "irq.c:2310: dom1: trying to unmap secondary MSI pirq 88",
    "xen_action_missing": "irq.c:1850: d1: pirq 87: desc->action is NULL!",
    "xen_emuirq_mapped": "irq.c:2560: dom1: pirq 87 or emuirq 4 already mapped",
    "xen_access_refused": "dom1: could not permit access to IRQ48 (pirq 87)",
    "xen_no_irq": "irq.c:2140: dom1: can't create irq for msi!",
    "xen_bind_refused": "Cannot bind IRQ16 to dom1. In use by 'ns16550'.",
    "xen_irq_state": "IRQ48 a={0-3}[{2},{3}] v=59[61] t=PCI-MSI/-X s=00000030",
    "xen_forced_eoi": "IRQ48: 1/2 handler(s) still in flight at forced EOI",
    "xen_msi_mode_conflict": "MSI-X already in use on 0000:03:00.0",
    "xen_mask_failed": "cannot mask IRQ 48: masking MSI-X on Dom1's 0000:03:00.0",
    "xen_msix_insecure": "Potentially insecure use of MSI-X on 0000:03:00.0 by d1",
    "xen_pt_bind_refused": "pt_irq_create_bind failed (-22) for dom5",
    "xen_vioapic_refused": "d0v0 vioapic: error mapping GSI 20: -16",
    "xen_direct_vector": "   0xfe -> error_interrupt()",
    "xen_msix_state_set": "0000:02:00.0: unexpected initial MSI-X state (MASKALL=0, ENABLE=1), fixing",
    "xen_report": "Assertion 'entry->arch.pirq != INVALID_PIRQ' failed at arch/x86/hvm/vmsi.c:843",
    "xen_trace_begin": "Xen call trace:",
    "xen_frame": "   [<ffff82d04034742e>] F arch/x86/msi.c#__pci_enable_msi+0x1d/0xb4",
    "xen_hvm_bind": "d1: bind: m_gsi=16 g_gsi=36 dev=00.00.5 intx=0",
    "xen_frontend_refused": "e1000e 0000:00:00.0: enable msix get err fffffffb",
    "xen_affinity_failed": "Cannot set affinity for IRQ48",
    "xen_affinity_broken": "Broke affinity for IRQ48, new: {0-2}",
    "xen_pt_assigned": "[00:05.0] xen_pt_realize: Assigning real physical device 3b:00.2 to devfn 0x28",
    "xen_pt_requested": "[00:05.0] msi_msix_setup: requested pirq 87 for MSI-X (vec: 0, entry: 0x1)",
    "xen_pt_map_failed": "[00:09.0] msi_msix_setup: Error: Mapping of MSI (err: 19, vec: 0x25, entry 0x0)",
    "xen_pt_mapped": "[00:05.0] xen_pt_msi_setup: MSI mapped with pirq 87.",
    "xen_pt_update": "[00:05.0] msi_msix_update: Updating MSI-X with pirq 87 gvec 0x51 gflags 0x0 (entry: 0x1)",
    "xen_pt_update_failed": "[00:05.0] msi_msix_update: Error: Updating of MSI-X failed. (err: 22)",
    "xen_pt_unbind": "[00:05.0] msi_msix_disable: Unbind MSI-X with pirq 87, gvec 0x51",
    "xen_pt_unbind_failed": "[00:05.0] msi_msix_disable: Error: Unbinding of MSI-X failed. (err: 22, pirq: 87, gvec: 0x51)",
    "xen_pt_unmap": "[00:05.0] msi_msix_disable: Unmap MSI pirq 87",
    "xen_pt_unmap_failed": "[00:05.0] msi_msix_disable: Error: Unmapping of MSI pirq 87 failed. (err: 22)",
    "xen_pt_invalid_pirq": "[00:05.0] msi_msix_setup: Error: Invalid pirq number: 4096.",
    "xen_pt_switched": "[00:05.0] msix_set_enable: enabling MSI-X.",
    "xen_pt_entry_invalid": "[00:05.0] pci_msix_write: Error: asked MSI-X entry '4096' invalid!",
    "xen_pt_line_failed": "[00:05.0] xen_pt_realize: Error: Mapping machine irq 16 to pirq -1 failed, (err: 22)",
    "xen_pt_write_inhibited": "[00:05.0] xen_pt_pci_write_config: Warning: Write-back to unknown field 0x44 (partially) inhibited (0x00)",
    "xen_pt_old_mapped": "pt_msi_setup: msi mapped with pirq 57",
    "xen_pt_old_update": "pt_msix_update_one: now update msix entry 0 with pirq 57 gvec 51",
    "xen_pt_old_unmap": "pt_msix_disable: Unmap msix with pirq 57",
    "xen_pt_old_map_failed": "pt_msix_update_one: error map msix entry 3",
}
# How earlier releases of Xen print what the lines above print.
EARLIER = {
    "irq.c:2136: dom1: pirq 87 or irq 48 already mapped": "xen_already_mapped",
    "Cannot bind IRQ16 to dom1. Already at max share.": "xen_bind_refused",
    "Cannot bind IRQ16 to dom1. Will not share with others.": "xen_bind_refused",
    "Cannot bind IRQ16 to dom1. Out of memory.": "xen_bind_refused",
    "msi.c:712: MSI-X is already in use on device 0000:03:00.0": "xen_msi_mode_conflict",
    "msi.c:705: irq 48 has already mapped to MSIX on device 0000:03:00.0": "xen_msi_mode_conflict",
    "Potentially insecure use of MSI-X on 0000:03:00.0 by Dom1": "xen_msix_insecure",
    "Dom0 has maximum 416 PIRQs": "xen_max_pirqs",
    "register_real_device: Assigning real physical device 3b:00.2 ...": "xen_pt_assigned",
    "register_real_device: Real physical device 3b:00.2 registered successfuly!": "xen_pt_assigned",
    "0000:03:00.0 - dom 1   - MSIs < 48 49 >": "xen_pci_device",
}
RULES = {r.name: r for r in grammar.load().events.values() if r.file in FILES}


def test_every_rule_has_a_line() -> None:
    assert set(RULES) == set(LINES)


@pytest.mark.parametrize(("event", "line"), LINES.items())
def test_its_rule_takes_the_line(event: str, line: str) -> None:
    assert {r.name for r in RULES.values() if re.match(r.regex, line)} - {"xen_events_said"} == {event} - {"xen_events_said"}
    assert any(text in line for text in RULES[event].texts)


@pytest.mark.parametrize(("line", "event"), EARLIER.items())
def test_earlier_releases(line: str, event: str) -> None:
    assert [r.name for r in RULES.values() if re.match(r.regex, line)] == [event]
