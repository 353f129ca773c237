"""Lines as people paste them: what collectors, managers and web pages put around a line that tells a fault."""

import json
from pathlib import Path

import pytest

from tracekit.pipeline import Engine, Options, analyze

POLLED = "nvme nvme3: I/O 12 QID 7 timeout, completion polled"
STAMPED = f"[ 4711.123456] {POLLED}"
REFUSED = "vfio 0000:41:00.0: Failed to set up TRIGGER eventfd signaling for interrupt MSIX-2: VFIO_DEVICE_SET_IRQS failure: No space left on device"


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load()


def codes(text: str, engine: Engine, folder: Path) -> set[str]:
    log = folder / "a.log"
    log.write_text(text)
    return {f.code for f in analyze([str(log)], Options(), engine).findings}


@pytest.mark.parametrize(
    "head",
    [
        f"[ 4711.123456] [     T7] {POLLED}",
        f"[ 4711.123456] kernel: {POLLED}",
        f"host kernel: {POLLED}",
        f"  2024-10-13T20:13:25.1+00:00 host kernel: {POLLED}",
        f"Mar  1 18:54:13  kernel: {POLLED}",
        f"[ 4711.123456] c3 {POLLED}",
        f"[ 4711.123456] I[3:   kworker/3:1: 1234] {POLLED}",
        f"[ 4711.123456]  (3)[123:kworker/3:1H]{POLLED}",
        f"  * `{STAMPED}`",
        f'      "{STAMPED}",',
        f"| 1 | {STAMPED} |",
        f"<pre>{STAMPED}</pre>",
        f"[code]{STAMPED}[/code]",
        f"{{code:title=dmesg}}{STAMPED}{{code}}",
        f"\t{STAMPED}",
        f"level=warning msg='{STAMPED}' node=a",
        f"level=warning msg=`{STAMPED}` node=a",
        f"web_1      | {STAMPED}",
        f"[pod/virt-launcher-a/compute] {STAMPED}",
        f'time="2024-10-13T20:13:25Z" level=warning msg="{STAMPED}"',
        json.dumps({"host": {"name": "h"}, "@timestamp": "2024-10-13T20:13:25Z", "message": POLLED}),
        json.dumps({"result": {"_raw": f"Oct 13 20:13:25 h kernel: {POLLED}"}}),
        f"[ 4711.123456] host kernel: {POLLED}",
        f"host login: {STAMPED}",
        f"**{STAMPED}**",
        f"{STAMPED} \\",
        STAMPED.replace("[", "\\[").replace("]", "\\]"),
        f"`[ 4711.123456] systemd: can't say so\n{STAMPED}`",
        f"\t{POLLED}",
        f"\t\t{POLLED}",
        f"/var/log/kern.log:{STAMPED}",
        f"kern.log.1:1042:{STAMPED}",
        f"dmesg.txt-1042-{STAMPED}",
        f"1042:{STAMPED}",
        f"  1042\t{STAMPED}",
        f"[9:41 AM] {STAMPED}",
        f'  "{STAMPED}\\n"',
        f"[ 4711.123456] c3   1234 {POLLED}",
    ],
)
def test_heads(head: str, engine: Engine, tmp_path: Path) -> None:
    assert "IRQ-007" in codes(f"some words before\n\n{head}\n", engine, tmp_path)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("[ 4711.123456] edge 0000:0a:00.0: Couldn\u2019t initialize interrupts: \u201328", "MSI-004"),
        ("[ 4711.123456] irq 19: nobody cared (try booting with the \u201cirqpoll\u201d option)", "IRQ-006"),
        (f"[ 4711.123456]\u202f{POLLED}", "IRQ-007"),
        (f"\ufeff{STAMPED}", "IRQ-007"),
        ("[ 4711.123456] nvme nvme3: I/O 12 QID 7 timeout,\u200b completion polled", "IRQ-007"),
        ("[ 4711.123456] ath10k_pci 0000:01:00.0: failed to receive control response completion, polling\u2026", "IRQ-007"),
    ],
)
def test_what_forums_make_of_what_was_typed(line: str, code: str, engine: Engine, tmp_path: Path) -> None:
    assert code in codes(f"{line}\n", engine, tmp_path)
    assert code in codes(f"[ 4711.000000] pci 0000:00:00.0: a line before\n{line}\n", engine, tmp_path)


@pytest.mark.parametrize("tail", ["```", "</details>", "root@host:~# ", "$ ", "Thanks", "cheers, M.", "[/quote]", "lines 1-24/24 (END)"])
def test_tails(tail: str, engine: Engine, tmp_path: Path) -> None:
    assert "IRQ-007" in codes(f"{STAMPED}\n{tail}\n", engine, tmp_path)


@pytest.mark.parametrize("width", [80, 100, 120, 132])
def test_a_terminal_breaks_words_at_its_edge(width: int, engine: Engine, tmp_path: Path) -> None:
    line = "[ 4711.123456] NVRM: Xid (PCI:0000:c1:00): 79, pid=1, name=p".ljust(width - 13, "x") + ", GPU has fallen off the bus."
    broken = line[:width] + "\n" + line[width:]
    assert "IRQ-009" in codes(f"words before\n\n{broken}\n\nThanks\n", engine, tmp_path)
    blank = f"[ 4711.123456] {POLLED[:-18]}".ljust(width - 1)
    assert "IRQ-007" not in codes(f"words before\n\n{blank}\ncompletion polled by me\n\nThanks\n", engine, tmp_path)


def test_a_wrapped_line_is_still_joined(engine: Engine, tmp_path: Path) -> None:
    first = "> [    5.000010] DMAR: [INTR-REMAP] Request device [02:00.0] fault index 0x1e"
    second = "> [fault reason 0x26] Blocked an interrupt request due to source-id verification failure"
    assert "IRQ-003" in codes(f"{first}\n{second}\n", engine, tmp_path)


def test_a_trace_behind_a_message_is_no_tail(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "qemu.log"
    retry = "qemu-system-x86_64: vfio: Error: Failed to enable 4 MSI vectors, retry with 1"
    log.write_text(f"{retry}\nvfio_msi_enable  (0000:01:00.0) Enabled 1 MSI vectors\n")
    run = analyze([str(log)], Options(), engine)
    assert (run.sources[0].lines, run.sources[0].not_understood, len(run.findings)) == (2, (), 0)


@pytest.mark.parametrize(
    "text",
    [
        f"qemu-system-x86_64:/run/lxd/guest/qemu.conf:271: {REFUSED}",
        f"error: internal error: qemu unexpectedly closed the monitor: 2024-10-13T20:13:25.1Z qemu-kvm: {REFUSED}",
        f"Oct 13 20:13:25 host pvedaemon[4711]: start failed: QEMU exited with code 1: kvm: {REFUSED}",
        f"  Warning  SyncFailed  2m  virt-handler  failed: \"LibvirtError(Message='internal error: qemu-kvm: {REFUSED}')\"",
    ],
)
def test_managers(text: str, engine: Engine, tmp_path: Path) -> None:
    assert codes(f"{text}\n", engine, tmp_path) & {"VFIO-004", "VEC-001", "VFIO-003"}


def test_backspaces_are_cleaned_to_the_end(engine: Engine, tmp_path: Path) -> None:
    assert "IRQ-007" in codes(f"{STAMPED[:16]}abcd\b\b\b\b{STAMPED[16:]}\n", engine, tmp_path)


def test_evidence_of_json_is_time_host_and_message(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "a.json"
    log.write_text(json.dumps({"padding": "x" * 400, "host": "h", "timestamp": "2024-10-13T20:13:25Z", "message": POLLED}) + "\n")
    (found,) = (f for f in analyze([str(log)], Options(), engine).findings if f.code == "IRQ-007")
    assert {e.text for e in found.evidence} == {f"2024-10-13T20:13:25Z h kernel: {POLLED}"}
