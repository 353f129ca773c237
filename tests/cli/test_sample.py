"""`tracekit sample`: the smallest excerpt that still gives a finding with its grade, device and evidence."""

import random
from pathlib import Path

import pytest
from commands import tracekit

from tracekit.cli.excerpt import Line, names
from tracekit.testing import check_sample

SAMPLES = Path(__file__).parents[2] / "sample_traces"
CASE = SAMPLES / "irq.remap-blocked" / "fires-entry-not-present-6.12" / "dmesg.txt"


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """The log of a sample with 300 ordinary lines between its own."""
    own = CASE.read_text().splitlines()
    stamp = own[-1].split("]")[0] + "]"
    noise = [f"{stamp} usb 1-{n}: new high-speed USB device number {n} using xhci_hcd" for n in range(300)]
    at = sorted(random.Random(1).sample(range(300), len(own)))
    for n, line in zip(reversed(at), reversed(own), strict=True):
        noise.insert(n, line)
    (tmp_path / "dmesg.txt").write_text("\n".join(noise) + "\n")
    return tmp_path / "dmesg.txt"


def test_a_sample_is_small_and_passes_as_it_is_written(long: Path, tmp_path: Path) -> None:
    folder = tmp_path / "irq.remap-blocked" / "fires-cut"
    done = tracekit("sample", long, "--finding", "IRQ-003", "-o", folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert len((folder / "dmesg.txt").read_text().splitlines()) <= len(CASE.read_text().splitlines())
    assert "usb 1-" not in (folder / "dmesg.txt").read_text()
    check_sample(folder)
    assert tracekit("test", folder).returncode == 0


def test_a_few_tries_cut_less_and_lose_nothing(long: Path, tmp_path: Path) -> None:
    folder = tmp_path / "irq.remap-blocked" / "fires-cut"
    tracekit("sample", long, "--finding", "irq.remap-blocked", "--tries", "3", "-o", folder)
    assert len((folder / "dmesg.txt").read_text().splitlines()) < 320
    check_sample(folder)


def test_names_and_addresses_are_tokens_unless_they_shall_stay(long: Path, tmp_path: Path) -> None:
    named = "".join(f"2026-03-01T10:00:00.{n:06d}+00:00 vault-17 kernel: {line}\n" for n, line in enumerate(long.read_text().splitlines()))
    long.write_text(
        named + "2026-03-01T10:00:01.000000+00:00 vault-17 kernel: [  999.000000] mlx5_core 0000:17:00.0: MAC 52:54:00:ab:cd:ef\n"
    )
    folders = [tmp_path / "irq.remap-blocked" / name for name in ("fires-redacted", "fires-as-it-is")]
    for folder, option in zip(folders, ("--redact", "--as-it-is"), strict=True):
        done = tracekit("sample", long, "--finding", "IRQ-003", option, "-o", folder)
        assert (done.returncode, done.stderr) == (0, "")
        check_sample(folder)
    redacted, plain = ((folder / "dmesg.txt").read_text() for folder in folders)
    assert "vault-17" not in redacted and "vault-17" in plain
    assert [e.split(" vault-17 ")[-1] for e in plain.splitlines()] == [
        e.split(" kernel: ")[-1].join(("kernel: ", "")) for e in redacted.splitlines()
    ]


def test_mistakes_are_one_line(long: Path, tmp_path: Path) -> None:
    assert "no finding MSI-001 in it; there are IRQ-003" in tracekit("sample", long, "--finding", "MSI-001").stderr
    assert "is there already" in tracekit("sample", long, "--finding", "IRQ-003", "-o", tmp_path).stderr


def test_two_sources_of_one_name_stay_apart() -> None:
    assert names([Line("a/dmesg.txt", 1, b""), Line("b.tar!b/dmesg.txt", 1, b""), Line("-", 1, b"")]) == {
        "a/dmesg.txt": "dmesg.txt",
        "b.tar!b/dmesg.txt": "1-dmesg.txt",
        "-": "log.txt",
    }
