"""`tracekit record --script`: shell that shellcheck passes, run against files that stand for tracefs."""

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from commands import tracekit

from tracekit.diagnosing.recipes import RECIPES
from tracekit.diagnosing.recording import script

SAMPLE = Path(__file__).parents[2] / "sample_traces" / "msi.stale-hwsize" / "fires-kprobe-8-16-6.12" / "trace.txt"
SCRIPTS = [name for name, recipe in RECIPES.items() if recipe.tracing]
SHELLS = [s for s in ("sh", "dash", "bash", "busybox") if shutil.which(s)]
FUNCTIONS = "pci_setup_msix_device_domain\nmsi_insert_desc\nvfio_pci_set_irqs_ioctl [vfio_pci_core]\n"


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck")
@pytest.mark.parametrize("device", [None, "0000:17:00.0"])
@pytest.mark.parametrize("family", SCRIPTS)
def test_shellcheck_passes_it(family: str, device: str | None) -> None:
    done = subprocess.run(["shellcheck", "-s", "sh", "-"], input=script(family, device), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.fixture
def tracefs(tmp_path: Path) -> Path:
    """A folder with the files of tracefs, as a recording finds them."""
    files = {
        "trace": "# tracer: nop\n",
        "trace_clock": "[local] global counter uptime perf mono\n",
        "buffer_size_kb": "7 (expanded: 1408)\n",
        "current_tracer": "nop\n",
        "tracing_on": "1\n",
        "kprobe_events": "",
        "available_filter_functions": FUNCTIONS,
        "events/tk/enable": "0\n",
        "events/tk/setup/id": "1\n",
        "events/irq/irq_handler_entry/enable": "0\n",
        "events/irq/irq_handler_entry/filter": "none\n",
    }
    for name, text in files.items():
        (tmp_path / "tracefs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tracefs" / name).write_text(text)
    return tmp_path / "tracefs"


def recorded(tracefs: Path, family: str, shell: str = "sh", sleep: str = "") -> tuple["subprocess.CompletedProcess[str]", Path]:
    """Run a script for a second; `sleep` is what happens meanwhile."""
    folder = tracefs.parent / "here"
    commands = tracefs.parent / "bin"
    folder.mkdir()
    commands.mkdir()
    (commands / "sleep").write_text(f"#!/bin/sh\ncat '{SAMPLE}' > '{tracefs}/trace'\n{sleep}\n")
    (commands / "sleep").chmod(0o755)
    env = {**os.environ, "TRACEFS": str(tracefs), "PATH": f"{commands}:{os.environ['PATH']}", "TMPDIR": str(tracefs.parent)}
    run = [shell, "sh"] if shell == "busybox" else [shell]
    done = subprocess.run([*run, "-s", "1"], input=script(family), cwd=folder, env=env, capture_output=True, text=True, timeout=60)
    return done, folder


def runs_its_own_sleep(shell: str) -> bool:
    """Some builds of busybox look for a command among their own before they look at PATH."""
    return shell == "busybox" and b"/" not in subprocess.run(["busybox", "sh", "-c", "command -v sleep"], capture_output=True).stdout


def text(path: Path) -> str:
    return path.read_text().strip()


@pytest.mark.parametrize("shell", SHELLS)
def test_it_leaves_one_archive_that_is_a_case_and_the_machine_as_it_was(tracefs: Path, shell: str) -> None:
    if runs_its_own_sleep(shell):
        pytest.skip("this shell would not run the command that writes the trace meanwhile")
    done, folder = recorded(tracefs, "stale-hwsize", shell)
    (archive,) = folder.iterdir()
    assert (done.returncode, done.stdout) == (0, f"{archive.name}\n"), done.stderr
    assert [f.name for f in tracefs.parent.glob("tracekit-*")] == []
    with tarfile.open(archive) as tar:
        names = {Path(n).name for n in tar.getnames()}
        skipped = tar.extractfile(next(n for n in tar.getnames() if n.endswith("skipped.txt")))
        assert skipped is not None
        assert "no such function here: pci_msix_vec_count\n" in skipped.read().decode()
    assert {"trace.txt", "kprobe_events.txt", "uname.txt", "skipped.txt"} <= names
    assert "MSI-001" in tracekit("analyze", archive).stdout
    probes = text(tracefs / "kprobe_events").splitlines()
    assert "p:tk/insert msi_insert_desc dev=$arg1:x64 domid=$arg3:u32 index=$arg4:u32" in probes
    assert not any("pci_msix_vec_count" in p for p in probes)
    assert probes[-1] == "-:tk/setup"
    assert text(tracefs / "trace_clock") == "local"
    assert text(tracefs / "buffer_size_kb") == "7"
    assert (text(tracefs / "tracing_on"), text(tracefs / "events/tk/enable")) == ("1", "0")


def test_ctrl_c_ends_the_recording_and_not_the_script(tracefs: Path) -> None:
    done, folder = recorded(tracefs, "resize", sleep="kill -INT $PPID")
    assert done.returncode == 0, done.stderr
    assert len(list(folder.iterdir())) == 1
    assert text(tracefs / "events/irq/irq_handler_entry/filter") == "0"


def test_what_ends_it_leaves_the_machine_as_it_was(tracefs: Path) -> None:
    done, folder = recorded(tracefs, "resize", sleep="kill -TERM $PPID")
    assert done.returncode == 130
    assert list(folder.iterdir()) == []
    assert text(tracefs / "trace_clock") == "local"
    assert [f.name for f in tracefs.parent.glob("tracekit-*")] == []


def test_without_tracefs_it_says_so(tmp_path: Path) -> None:
    env = {**os.environ, "TRACEFS": str(tmp_path / "nix")}
    done = subprocess.run(["sh", "-s", "1"], input=script("resize"), cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    if not os.access("/sys/kernel/debug/tracing/trace", os.W_OK):
        assert (done.returncode, done.stdout) == (1, "")
        assert "cannot be written: be root" in done.stderr


def test_a_code_finds_its_family_and_a_device_narrows_it() -> None:
    assert tracekit("record", "msi-001").stdout == tracekit("record", "stale-hwsize").stdout
    assert tracekit("record", "vfio.lost-on-resize").stdout == tracekit("record", "resize").stdout
    told = tracekit("record", "VFIO-001", "--device", "17:00.0").stdout
    assert """'name ~ "*0000:17:00.0*"' >""" in told
    assert "lspci -vvnn -s 0000:17:00.0 > lspci-device.txt" in told
    assert tracekit("record", "VFIO-001", "--script").stdout == script("resize")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("MSI-099",), "no family is called MSI-099; there are stale-hwsize,"),
        (("qemu", "--script"), "qemu is no script: its commands need more than a shell (tracekit record qemu); scripts are stale-hwsize,"),
        (("resize", "--device", "eth0"), "--device eth0: give a function, as in 0000:17:00.0"),
        (("--script",), "name what to record: stale-hwsize,"),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[str, ...], says: str) -> None:
    done = tracekit("record", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
