"""Whether an all-clear can be trusted: the first line of every report, the exit status, and the rows of a batch."""

import gzip
import json
import os
from pathlib import Path

import pytest
from commands import tracekit

from tracekit.batch import rows
from tracekit.parsing.complaint import complaints, weight
from tracekit.pipeline import Engine, analyze
from tracekit.reading import source as reading
from tracekit.testing import run

QUIET = "[    0.000000] Linux version 6.1.0 (x@y) #1 SMP\n" + "".join(
    f"[    {n}.000000] usb 1-{n}: new high-speed USB device number {n} using xhci_hcd\n" for n in range(1, 10)
)
FAULT = "[    5.000000] nvme nvme0: I/O 12 QID 3 timeout, completion polled\n"
UNKNOWN = "[    6.000000] frob 0000:01:00.0: MSI-X table programming failed at entry 3\n"


def kinds(text: str) -> list[str]:
    return [d.kind for d in run(text).doubts]


def status(*paths: Path | str, form: str = "terminal") -> tuple[int, str]:
    done = tracekit("analyze", *paths, "--format", form, "--width", "900")
    return done.returncode, done.stdout


def cut(tmp_path: Path) -> Path:
    path = tmp_path / "dmesg.txt.gz"
    noise = "".join(f"[   10.{n:06}] usb 2-1: {n * 7919 % 10007} {n * 104729 % 99991}\n" for n in range(5000))
    packed = gzip.compress((QUIET + noise).encode())
    path.write_bytes(packed[: len(packed) * 3 // 4])
    return path


def test_a_quiet_log_that_is_whole_is_trusted() -> None:
    assert kinds(QUIET) == []


def test_text_that_is_no_log_is_no_all_clear() -> None:
    assert kinds("root:x:0:0:root:/root:/bin/sh\nbin:x:1:1::/:/sbin/nologin\n") == ["nothing evaluated"]


def test_a_log_of_something_else_is_no_all_clear() -> None:
    assert kinds("Mar  1 10:00:00 web nginx[12]: started\nMar  1 10:00:01 web nginx[12]: ready\n") == ["nothing evaluated"]


def test_a_complaint_that_no_rule_reads_is_told() -> None:
    (doubt,) = run(QUIET + UNKNOWN).doubts
    assert doubt.kind == "not understood"
    assert ":11: 1 line with the words of a fault not understood, for example: [    6.000000] frob" in doubt.text


@pytest.mark.parametrize(
    "text",
    [
        "[    1.0] EDAC DEBUG: edac_mc_register_sysfs_main: device mc created",
        "[    1.0] AMD-Vi: IOMMU performance counters supported",
        "[    1.0] pci 0000:00:00.2: AMD-Vi: Unable to read/write to IOMMU perf counter.",
        "[    1.0] AMD-Vi: Interrupt remapping enabled",
        "[    1.0] [drm] Initialized amdgpu framebuffer default vector type 20",
        "[    1.0] Kernel command line: root=/dev/sda1 panic=10 intel_iommu=on vfio-pci.ids=10de:1eb8",
        "[    1.0] spurious 8259A interrupt: IRQ7.",
        "[    1.0] usb 3-1-port3: cannot disable (err = -71)",
        "[    1.0] pcieport 0000:00:1c.0: AER: enabled with IRQ 122",
        "SPU:          0          0   Spurious interrupts",
        "ERR:          0",
        " DFR:          0          0   Deferred Error APIC interrupts",
        "[    1.0] DMAR: dmar0: reg_base_addr fed90000 ver 1:0 cap 1c0000c40660462 ecap 19e2ff0505e",
        "[    1.0] iommu: Default domain type: Translated",
        "[    1.0] igb 0000:01:00.0: Using MSI-X interrupts. 4 rx queue(s), 4 tx queue(s)",
        "[    1.0] smo8800 SMO8810:00: failed to obtain IRQ",
        "[   25.851309] irq 33, desc: 00000000fb6d32aa, depth: 1, count: 0, unhandled: 0",
        "[   52.456140] IRQ 2: Unable to migrate away",
        "[    1.0] rtc_cmos 00:00: failed to set irq wake",
        "[    1.0] mmc0: Timeout waiting for hardware interrupt.",
        "[    1.0] floppy: [fd0] Couldn't request interrupt",
        "[    1.0] brcm-pcie fd500000.pcie: error -EPROBE_DEFER: failed to get msi parent",
        "[    1.0] msi_ec: Your device doesn't support MSI EC: failed",
        "[    1.0] be2net 0000:04:00.0: be2net(MSI-X) link failed to come up",
        "[    1.0] x2apic not enabled, IRQ remapping init failed.",
        "[    1.0] arm-smmu 15000000.iommu: Failed to disable prefetcher [errata #841119], check ACR.CACHE_LOCK",
        "[    1.0] arm_arch_timer: WARNING: Invalid trigger for IRQ29, assuming level low",
        "[    0.3] irq: Cannot allocate irq_descs @ IRQ80, assuming pre-allocated",
        "[    1.0] cam_cci_irq: 237 Base:ccc1e000, M0_Q1 NACK ERROR: 0x10000000",
        "[    1.0] device-mapper: remap error: invalid block",
        "[    1.0] usb 1-11: Manufacturer: MSI failed",
        "[    1.0] Modules linked in: xt_REJECT nf_reject_ipv4 vfio_pci vfio kvm",
        "systemd[1]: Failed to start an interrupt balancer: vfio",
        "[    1.0] vfio_net 0000:01:00.0 eth0: 12 packets dropped, MSI-X on",
        "[    1.0] alg: ffdhe6144(dh): test failed on vector 1, err=-22",
        '[    1.0] alg: shash: crc64 test failed (wrong result) on test vector 0, cfg="init+update"',
        "[    1.0] EDAC MC0: Giving out device to module foo_edac controller mc_err: DEV mc_err (INTERRUPT)",
        "[    1.0] mce: [Hardware Error]: PROCESSOR 0:50657 TIME 1605843017 SOCKET 1 APIC 40 microcode 5000021",
        "[    1.0] i915 0000:00:02.0: Disabling error capture for VT-d workaround",
        "[    1.0] iosf_mbi_pci 0000:00:00.0: Adding to IOMMU failed: -19",
        "[    1.0] kfd kfd: error getting iommu info. is the iommu enabled?",
        "[    1.0] Failed to set up IOMMU for device 57000000.gpu; retaining platform DMA ops",
        "[    1.0] rtw_8821ce 0000:07:00.0: unhandled firmware c2h interrupt",
        "irqbalance[1138]: Cannot change IRQ 81 affinity: No such file or directory",
    ],
)
def test_ordinary_lines_are_no_complaints(text: str) -> None:
    import polars as pl

    assert complaints(pl.Series([text])).to_list() == [False]


@pytest.mark.parametrize(
    "text",
    [
        "[    1.0] xhci_hcd 0000:00:14.0: Failed to enable MSI-X",
        "[    1.0] foo 0000:07:00.0: test failed on MSI vector 1, err=-22",
        "[    1.0] foo 0000:07:00.0: unhandled interrupt on vector 3",
        "[    1.0] foo 0000:07:00.0: Adding to IOMMU failed: -12",
        "[    1.0] vfio-pci 0000:07:00.0: Failed to set up IOMMU for device",
        "qemu-system-aarch64: ../hw/vfio/pci.c:602: do_it: Assertion `vdev' failed.",
        "qemu-system-aarch64: vfio_enable_vectors failed to register S1 MSI binding for vector 0(-2)",
        "(XEN) AMD-Vi: Error initialization",
        "[IO_PAGE_FAULT domain=0x000c address=0xffffc080 flags=0x0050]",
        "[    1.0] acme 0000:01:00.0: could not get irq vectors, rc=-28",
        "[    1.0] acme 0000:01:00.0: interrupt timed out",
        "[    1.0] acme acme0: irq setup failed",
        "[    1.0] irqbalance: Cannot change IRQ 24 affinity: No space left on device",
        "[    1.0] acme 0000:01:00.0: link(MSI-X) failed, MSI refused",
        "[    1.0] acme: can\u2019t remap the interrupt",
        "WARN pci_core::msi:  dropped MSI interrupt to disconnected target",
    ],
)
def test_lines_that_complain_of_interrupts_are_complaints(text: str) -> None:
    import polars as pl

    assert complaints(pl.Series([text])).to_list() == [True]


@pytest.mark.parametrize(
    "text",
    [
        "Starting with kernel v6.1.16, when the guest was started, the kernel would immediately report errors via vfio-pci.",
        "So: MSI setup failed once in a thousand boots, and interrupts were lost.",
        "I also get VFIO errors: can't find IRQ, see my config.",
        "vfio/pci: Fix INTx unmask error path when request_irq() fails",
        "    wifi: ath11k: pci: fix multiple MSI vectors failing on hosts with one MSI",
        "0d2ff1b6bd9a genirq/msi: don't lose interrupts when the MSI allocation fails",
        '-\t\tpci_err(pdev, "Failed to allocate MSI-X vectors: %d", ret);',
        "> If the driver fails to allocate MSI-X vectors, then we lose interrupts.",
    ],
)
def test_sentences_of_people_are_no_complaints(text: str) -> None:
    assert kinds(QUIET) == kinds(QUIET + "\n" + text + "\n") == []


@pytest.mark.parametrize(
    "text",
    [
        "frob 0000:01:00.0: interrupt frobnication failed, MSI lost",
        "frob frob0: MSI lost, fault 7",
        "frobd[123]: MSI lost, fault 7",
        "kvm: -device vfio-pci,host=0000:01:00.0: vfio frobnication failed",
        "/usr/bin/frob: vfio: MSI fault",
        "FROB: GPU 0000:01:00.0: MSI fault",
        "irq 44: unexpected fault of its vector",
        "(XEN) unexpected MSI fault",
        "AMD-Vi: unexpected fault",
        "TASK ERROR: vfio fault",
    ],
)
def test_messages_without_a_stamp_are(text: str) -> None:
    assert kinds(QUIET + text + "\n") == ["not understood"]


def test_what_looks_most_like_a_fault_is_shown_first() -> None:
    mild = "[    7.000000] acme 0000:01:00.0: bad irq\n"
    hard = "[    8.000000] acme 0000:01:00.0: bad frame, irq fault, unexpected overflow\n"
    assert weight(hard) > weight(mild)
    (source,) = run(QUIET + mild + hard).sources
    assert [(n.count, n.line) for n in source.not_understood] == [(2, 12)]


def test_the_exit_status_tells_a_doubtful_all_clear_and_a_finding_wins(tmp_path: Path) -> None:
    whole, found = tmp_path / "whole.txt", tmp_path / "found.txt"
    whole.write_text(QUIET)
    found.write_text(QUIET + FAULT + UNKNOWN)
    assert status(whole)[0] == 0
    assert status(found)[0] == 1
    code, page = status(cut(tmp_path))
    assert code == 3
    assert "this all-clear is not to be trusted" in page.splitlines()[0]
    assert "end early or are damaged" in page.splitlines()[0]
    assert status(tmp_path / "nothing")[0] == 2


@pytest.mark.parametrize("form", ["markdown", "html", "csv", "sarif", "json"])
def test_every_format_says_so(tmp_path: Path, form: str) -> None:
    code, text = status(cut(tmp_path), form=form)
    assert code == 3
    assert "not to be trusted" in text or json.loads(text)
    if form == "json":
        trust = json.loads(text)["trust"]
        assert trust["trusted"] is False
        assert [r["kind"] for r in trust["reasons"]] == ["cut"]
    if form == "sarif":
        (invocation,) = json.loads(text)["runs"][0]["invocations"]
        assert invocation["executionSuccessful"] is False
        assert invocation["toolExecutionNotifications"][0]["descriptor"] == {"id": "cut"}


def test_a_file_that_shrinks_while_it_is_read_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "dmesg.txt"
    path.write_text(QUIET * 100)
    (source,), _ = reading.discover([str(path)])
    chunks = source.chunks(1000)
    next(chunks)
    os.truncate(path, 5000)
    list(chunks)
    assert [loss for loss in source.losses() if "shrank" in loss]
    (again,), _ = reading.discover([str(path)])
    list(again.chunks(1000))
    assert again.losses() == []


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shut").mkdir()
    (tmp_path / "dmesg.txt").write_text(QUIET)
    scan = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert [(d.kind, "shut" in d.text) for d in analyze([str(tmp_path)]).doubts] == [("unread", True)]


def test_a_case_that_is_not_to_be_trusted_keeps_its_reasons(tmp_path: Path) -> None:
    engine = Engine.load()
    facts, _ = rows.of_run(analyze([str(cut(tmp_path))], None, engine), 0.0, engine.vocabulary.telling)
    assert [("end early" in d) for d in facts["doubts"]] == [True]


@pytest.mark.parametrize(
    ("tag", "text", "doubted"),
    [
        ("kernel", "frob 0000:01:00.0: MSI table programming failed at entry 3", True),
        ("openrgb[44]", "MSI Mystic Wave: failed to open device", False),
        ("wine[10]", "err:msi:ITERATE_Actions execution failed", False),
        ("gsi-ssh[3]", "GSI authentication failed", False),
        ("distccd[7]", "COMPILE_ERROR exit:1 gcc arch/x86/kvm/../../../virt/kvm/iommu.c", False),
        ("irqbalance[700]", "irq 24: failed to set affinity", False),
        ("mycloud[9]", "vfio 0000:01:00.0: failed to open it", True),
        ("qemu-kvm[9]", "0000:01:00.0: MSI table programming failed at entry 3", True),
    ],
)
def test_other_programs_complain_of_interrupts_in_words_that_mean_nothing_else(tmp_path: Path, tag: str, text: str, doubted: bool) -> None:
    log = tmp_path / "messages"
    log.write_text(f"Jun  1 10:00:01 host {tag}: {text}\nJun  1 10:00:02 host kernel: usb 1-1: new device\n")
    assert [d.kind for d in analyze([str(log)]).doubts] == ["not understood"] * doubted
