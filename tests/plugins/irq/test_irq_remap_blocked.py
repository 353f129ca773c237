"""IRQ-003: remapping faults in all their forms."""

import pytest

from tracekit.testing import findings, outcome, run, shape, tables

STATUS = "DMAR: DRHD: handling fault status reg 2"
MISSING = "Present field in the IRTE entry is clear"
BLOCKED = "Blocked a compatibility format interrupt request"
FOREIGN = "Blocked an interrupt request due to source-id verification failure"


def log(*messages: str, start: float = 500) -> str:
    return "".join(f"[{start + i / 10:12.6f}] {m}\n" for i, m in enumerate(messages))


def new(bdf: str, index: int, reason: int, text: str) -> str:
    return f"DMAR: [INTR-REMAP] Request device [{bdf}] fault index 0x{index:x} [fault reason 0x{reason:02x}] {text}"


def test_a_refused_message_names_device_index_and_reason() -> None:
    found = findings(log(STATUS, new("17:00.1", 0x42, 0x22, MISSING), STATUS, new("17:00.1", 0x42, 0x22, MISSING)))
    assert shape(found) == [("IRQ-003", "proven", "0000:17:00.1", None, [1, 2, 3, 4])]
    assert (found[0].severity, found[0].values["count"], found[0].values["index"], found[0].values["reasons"]) == (
        "high",
        2,
        [0x42],
        [0x22],
    )


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["DMAR: [INTR-REMAP] Request device [42:00.2] fault index 1600 [fault reason 37] " + BLOCKED], ("0000:42:00.2", 0x1600, 0x25)),
        (["DMAR: [INTR-REMAP] Request device [42:00.2] fault index 28 [fault reason 38] " + FOREIGN], ("0000:42:00.2", 0x28, 0x26)),
        (
            ["DMAR: [INTR-REMAP] Request device [0x64:0x00.5] fault index 0x8800 [fault reason 0x25] " + BLOCKED],
            ("0000:64:00.5", 0x8800, 0x25),
        ),
        ([new("0001:64:00.5", 0x8800, 0x25, BLOCKED)], ("0001:64:00.5", 0x8800, 0x25)),
        (
            ["DMAR: INTR-REMAP: Request device [[05:00.0] fault index a0", "INTR-REMAP:[fault reason 34] " + MISSING],
            ("0000:05:00.0", 0xA0, 0x22),
        ),
    ],
)
def test_each_wording_gives_the_same_row(lines: list[str], expected: tuple[str, int, int]) -> None:
    assert tables(log(*lines))["remap_faults"].select("bdf", "index", "reason").rows() == [expected]


def test_xen_prints_two_lines_and_hexadecimal() -> None:
    old = (
        "(XEN) [VT-D]iommu.c:827: INTR-REMAP: Request device [06:00.1] fault index 2a, iommu reg = ffff82c3fff57000\n"
        f"(XEN) INTR-REMAP:[fault reason 22h] {MISSING}\n"
    )
    assert [(f.subject.bdf, f.grade, [(e.line, e.line_end) for e in f.evidence]) for f in findings(old)] == [
        ("0000:06:00.1", "proven", [(1, 2)])
    ]
    request = "(XEN) [VT-D]INTR-REMAP: Request device [0000:05:00.0] fault index 1f, iommu reg = ffff82c00021f000"
    text = f"{request}\n(XEN) [VT-D]INTR-REMAP: reason 22 - {MISSING}\n"
    assert shape(findings(text)) == [("IRQ-003", "proven", "0000:05:00.0", None, [1])]


def test_each_device_has_its_finding() -> None:
    text = log(new("01:00.0", 1, 0x22, MISSING), new("02:00.0", 2, 0x26, FOREIGN))
    assert [s[2] for s in shape(findings(text))] == ["0000:01:00.0", "0000:02:00.0"]


@pytest.mark.parametrize(
    ("lines", "start", "severity"),
    [
        ([new("01:00.0", 1, 0x22, MISSING)], 500, "high"),
        ([new("01:00.0", 0, 0x25, BLOCKED)], 500, "medium"),
        ([new("01:00.0", 1, 0x22, MISSING)], 1.5, "low"),
        ([new("f0:1f.0", 0, 0x25, BLOCKED)], 500, "low"),
        ([new("00:1f.0", 0, 0x25, BLOCKED)], 500, "low"),
        (["pci 0000:00:1c.4: [8086:a114] type 01 class 0x060400 PCIe Root Port", new("00:1c.4", 3, 0x26, FOREIGN)], 500, "low"),
        (["pci 0000:00:1c.4: [8086:a114] type 00 class 0x020000", new("00:1c.4", 3, 0x26, FOREIGN)], 500, "high"),
        (["Linux version 6.1.0 (a@b) #1", new("01:00.0", 1, 0x22, MISSING)], 1.7e9, "low"),
        (["ACPI: PM: Low-level resume complete", new("01:00.0", 0, 0x25, BLOCKED)], 500, "low"),
    ],
)
def test_severity_by_reason_time_and_kind_of_source(lines: list[str], start: float, severity: str) -> None:
    assert [f.severity for f in findings(log(*lines, start=start))] == [severity]


@pytest.mark.parametrize(
    "message",
    [
        "DMAR: [DMA Read] Request device [01:00.0] fault addr 8e480000 [fault reason 06] PTE Read access is not set",
        "DMAR: [DMA Write NO_PASID] Request device [01:00.0] fault addr 0x8e480000 [fault reason 0x05] PTE Write access is not set",
        "nvme 0000:01:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000c address=0xffffffffcf9be000 flags=0x0000]",
        "AMD-Vi: Event logged [IO_PAGE_FAULT device=01:00.0 domain=0x000c address=0x00000000fee00000 flags=0x0020]",
        "DMAR-IR: Enabled IRQ remapping in x2apic mode",
    ],
)
def test_dma_faults_and_set_up_are_quiet(message: str) -> None:
    assert findings(log(message)) == []


def test_amd_events_with_the_interrupt_flag() -> None:
    text = log("AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:0b:00.0 domain=0x0001 address=0xfee00000 flags=0x0008]")
    assert shape(findings(text)) == [("IRQ-003", "proven", "0000:0b:00.0", None, [1])]


def xen(message: str) -> str:
    return f"(XEN) [   12.100000] Xen version 4.17.7 (Debian)\n(XEN) [   92.100000] {message}\n"


def test_xen_tells_amd_events_in_words_of_its_own() -> None:
    found = findings(xen("AMD-Vi: IO_PAGE_FAULT: 0000:0b:00.0 d1 addr 00000000fee00000 flags 0x8 I"))
    assert shape(found) == [("IRQ-003", "proven", "0000:0b:00.0", None, [2])]


@pytest.mark.parametrize("flags", ["0x20 RW", "0", "0x70 PE RW PR"])
def test_a_dma_fault_that_xen_tells_is_quiet(flags: str) -> None:
    assert findings(xen(f"AMD-Vi: IO_PAGE_FAULT: 0000:0b:00.0 d1 addr 00000000fffe0000 flags {flags}")) == []


def test_the_fault_interrupt_alone_is_inconclusive() -> None:
    text = log(STATUS)
    assert findings(text) == []
    assert outcome(run(text), "IRQ-003").outcome == "inconclusive"


def test_the_handler_of_the_fault_interrupt_asks_for_the_kernel_log() -> None:
    text = "# tracer: nop\n#\n          <idle>-0       [000] d.h1.    17.808607: irq_handler_entry: irq=24 name=dmar0\n"
    assert findings(text) == []
    assert outcome(run(text), "IRQ-003").outcome == "inconclusive"
    assert "1 time" in outcome(run(text), "IRQ-003").reason


def test_remapping_without_a_fault_is_clear() -> None:
    assert outcome(run(log("DMAR-IR: Enabled IRQ remapping in x2apic mode")), "IRQ-003").outcome == "clear"


def test_an_emulated_iommu_prints_the_source_id() -> None:
    text = "qemu-system-x86_64: vtd_irte_get: invalid IRTE SID (index=5, sid=129, source_id=65280)\n"
    assert shape(findings(text)) == [("IRQ-003", "probable", "0000:00:10.1", None, [1])]


@pytest.mark.parametrize("unit", ["iommu ivhd1: ", "iommu ivhd12: ", "vfio-pci 0000:42:00.0: ", ""])
def test_amd_names_its_unit_before_the_event(unit: str) -> None:
    event = f"{unit}AMD-Vi: Event logged [IO_PAGE_FAULT device=42:00.0 domain=0x005e address=0xfffffffdf8000000 flags=0x0008]"
    assert shape(findings(log(event))) == [("IRQ-003", "proven", "0000:42:00.0", None, [1])]
    assert findings(log(event.replace("flags=0x0008", "flags=0x0000"))) == []


@pytest.mark.parametrize(
    ("printed", "bdf"),
    [
        ("10000:e1:00.0", "10000:e1:00.0"),
        ("xx:xx.x", None),
        ("<bdf>", None),
        ("redacted", None),
        ("##:##.#", None),
        ("BB:DD.F", None),
        ("REDACTED", None),
    ],
)
def test_long_segments_and_placeholders_stand_where_a_device_stands(printed: str, bdf: str | None) -> None:
    (found,) = findings(log(new(printed, 0x1E, 0x26, FOREIGN)))
    assert (found.code, found.grade, found.subject.bdf) == ("IRQ-003", "proven", bdf)


@pytest.mark.parametrize(
    ("line", "bdf"),
    [
        ("qemu-system-x86_64: failed to remap interrupt from devid 0x48", "0000:00:09.0"),
        ("qemu-system-x86_64: amdvi_mem_ir_write: failed to remap interrupt from devid 0x100", "0000:01:00.0"),
        ("qemu-system-x86_64: vtd_irte_get: detected non-zero reserved IRTE (index=4, high=0x1, low=0x2)", None),
        ("412@1700000000.123456:amdvi_ir_err RemapEn is not set", None),
        ("412@1700000000.123456:amdvi_ir_target_abort Interrupt is not remapped", None),
    ],
)
def test_an_emulated_iommu_tells_what_it_refused(line: str, bdf: str | None) -> None:
    (found,) = findings(line)
    assert (found.code, found.grade, found.subject.bdf) == ("IRQ-003", "probable", bdf)


EVENT = "arm-smmu-v3 arm-smmu-v3.0.auto: event: F_TRANSLATION client: {} sid: 0x100 ssid: 0x0 iova: {} ipa: 0x0"


@pytest.mark.parametrize(
    ("line", "subject"),
    [
        (EVENT.format("0000:01:00.0", "0x8000040"), "0000:01:00.0"),
        (EVENT.format("(unassigned sid)", "0x8000040"), "host"),
        ("arm-smmu 5000000.iommu: Unhandled context fault: fsr=0x402, iova=0x08000040, fsynr=0x1, cbfrsynra=0x100, cb=3", "host"),
    ],
)
def test_a_fault_of_an_smmu_at_a_doorbell_is_a_refused_interrupt(line: str, subject: str) -> None:
    assert shape(findings(log(line))) == [("IRQ-003", "probable", subject, None, [1])]
    assert findings(log(line.replace("08000040", "ff000040").replace("0x8000040", "0xff000040"))) == []


def raw(number: int, address: int, gap: str = "\t") -> str:
    """An event of an SMMUv3 as kernels up to 6.13 print it."""
    words = (0x0000010000000000 | number, 0x0000020000000000, address, 0)
    unit = "arm-smmu-v3 arm-smmu-v3.0.auto:"
    return log(f"{unit} event {number:#04x} received:", *(f"{unit} {gap}{w:#018x}" for w in words))


def test_an_event_in_raw_words_is_read_by_its_address() -> None:
    for gap in ("\t", "        ", "#011"):
        (found,) = findings(raw(0x10, 0x8000040, gap))
        assert (found.code, found.values["iova"], "stream 0x100" in found.summary) == ("IRQ-003", "0x8000040", True)
    assert findings(raw(0x10, 0xFFFF0040)) == []
    assert findings(raw(0x02, 0x8000040)) == []
    assert findings(log("arm-smmu-v3 arm-smmu-v3.0.auto: ias 44-bit, oas 44-bit (features 0x00008305)")) == []


def test_two_records_that_a_collector_put_on_one_line() -> None:
    for between in (" ", "#012"):
        line = f"dmar: INTR-REMAP: Request device [[f0:1f.7] fault index 0{between}INTR-REMAP:[fault reason 34] {MISSING}"
        assert tables(log(line))["remap_faults"].select("bdf", "index", "reason").rows() == [("0000:f0:1f.7", 0, 0x22)]
