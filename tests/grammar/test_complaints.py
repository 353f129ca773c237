"""Every event that complains has a reader: a diagnosis, a model, or a reason why none reads it."""

import re

from tracekit.pipeline import Engine

# A rule is named for what it says; these words in its name make it a complaint.
COMPLAINT = re.compile(
    r"fail|refus|reject|exceed|wrong|stuck|invalid|missing|exhaust|time[d_]*out|unexpected|fault|error|lost|broken|spurious|unheard|"
    r"conflict|mismatch|cannot|bogus|short|insecure|unfit|inhibited|gone|denied|foreign|in_use|offline|untold|too_wide|_off$|no_irq|slow|unknown"
)
DMA = "a DMA fault: memory, not an interrupt"
COUNTER = "a count or note that healthy machines show too"
LINE = "a line interrupt that is no device's MSI; the message stands beside the driver's own failure, which is read"
DETAIL = "the detail of a failure whose own message or return value is read"
DEBUG = "printed by debug builds of Xen alone, beside the refusal that the caller prints, which is read"
HANDLER = "interrupts come in: it is their handler, or a chip's number without a driver, that is wrong, and no device's MSI is lost"
EMULATED = "about a device that QEMU emulates: none that is passed through"
OWNER = "who has the device, or how it is reset, when it changes hands; its interrupts are not concerned"
UNREAD = {
    **dict.fromkeys(("io_page_fault", "dma_fault_reason"), DMA),
    **dict.fromkeys(("error_apic_entry", "spurious_apic_entry", "irq_handler_slow", "irq_affinity_untold", "irte_posting_failed"), COUNTER),
    **dict.fromkeys(("kvmtool_fds_short", "xen_domain_gone", "xen_isr_off", "xen_gsi_refused", "xen_pt_write_inhibited"), COUNTER),
    **dict.fromkeys(("irq_mapping_failed", "xen_gsi_bind_failed"), LINE),
    **dict.fromkeys(("vfio_intx_broken", "xen_fake_handler_failed"), LINE),
    "kvm_x86_fixup_msi_error": DETAIL,
    **dict.fromkeys(("xen_pt_invalid_pirq", "xen_pt_entry_invalid", "xen_irte_unexpected"), DETAIL),
    **dict.fromkeys(("xen_access_refused", "xen_action_missing", "xen_irq_in_use"), DEBUG),
    **dict.fromkeys(("irq_bogus_return", "irq_thread_missing", "irq_number_failed"), HANDLER),
    "libxl_unmap_refused": COUNTER,
    **dict.fromkeys(("xen_affinity_broken", "vfio_irq_info_refused", "vfio_config_conflict", "xen_msix_insecure"), COUNTER),
    **dict.fromkeys(("qemu_msi_vector_unknown", "qemu_virtio_vectors_failed"), EMULATED),
    **dict.fromkeys(("vfio_device_in_use", "vfio_request_unheard", "vfio_vf_foreign", "qemu_reset_refused"), OWNER),
    "xen_ioapic_remap_failed": LINE,
}


def unread() -> set[str]:
    """The complaints that neither a diagnosis nor a model asks for."""
    engine = Engine.load()
    heard = {name for d in engine.registry.diagnoses for name in (*d.needs, *d.wants)}
    heard |= {name for model in engine.registry.models for name in model.hears()}
    return {name for name in engine.vocabulary.rules if COMPLAINT.search(name) and name not in heard}


def test_every_complaint_is_read_or_has_a_reason() -> None:
    assert sorted(unread() - UNREAD.keys()) == []


def test_no_reason_outlives_its_need() -> None:
    assert sorted(UNREAD.keys() - unread()) == []
