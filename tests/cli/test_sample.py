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


def test_mistakes_are_one_line(long: Path, tmp_path: Path) -> None:
    assert "no finding MSI-001 in it; there are IRQ-003" in tracekit("sample", long, "--finding", "MSI-001").stderr
    assert "is there already" in tracekit("sample", long, "--finding", "IRQ-003", "-o", tmp_path).stderr


def test_two_sources_of_one_name_stay_apart() -> None:
    assert names([Line("a/dmesg.txt", 1, b""), Line("b.tar!b/dmesg.txt", 1, b""), Line("-", 1, b"")]) == {
        "a/dmesg.txt": "dmesg.txt",
        "b.tar!b/dmesg.txt": "1-dmesg.txt",
        "-": "log.txt",
    }
