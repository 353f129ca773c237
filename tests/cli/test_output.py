"""Output that cannot be written: one clear line and status 2; a reader that has seen enough changes nothing."""

import io
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from tracekit.cli.output import Output, write
from tracekit.errors import OutputError

CASE = Path(__file__).parents[2] / "sample_traces" / "irq.remap-blocked" / "fires-entry-not-present-6.12"
FULL = "cannot write to standard output: No space left on device"
COMMANDS = {
    "analyze": ["analyze", str(CASE)],
    "query": ["query", str(CASE / "dmesg.txt"), "select * from findings"],
    "report": ["report", "RESULTS"],
    "batch": ["batch", str(CASE), "-o", "RESULTS", "-j", "1"],
    "expect": ["expect", str(CASE)],
}
STATUS = {"analyze": 1}  # of the command where all is well; 0 else


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results") / "r"
    assert tracekit(["batch", str(CASE), "-o", str(folder), "-j", "1"], subprocess.DEVNULL).returncode == 1  # a fault is found
    return folder


def tracekit(command: list[str], stdout: int | IO[bytes], first: Callable[[], None] | None = None) -> "subprocess.CompletedProcess[bytes]":
    # Python 3.11 keeps what it could write of a module's bytecode where files must stay small: the next import of it fails.
    env = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-m", "tracekit", *command], stdout=stdout, stderr=subprocess.PIPE, preexec_fn=first, check=False, env=env
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_device(name: str, results: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = tracekit([word.replace("RESULTS", str(results)) for word in COMMANDS[name]], full)
    assert (done.returncode, done.stderr.decode()) == (2, f"tracekit: {FULL}\n")


@pytest.mark.parametrize("name", ["analyze", "expect"])
def test_a_reader_that_has_seen_enough(name: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = tracekit(COMMANDS[name], writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (STATUS.get(name, 0), b"")


def test_standard_output_that_is_closed() -> None:
    done = tracekit(COMMANDS["analyze"], subprocess.DEVNULL, lambda: os.close(1))
    assert (done.returncode, done.stderr) == (2, b"tracekit: cannot write to standard output: it is closed\n")


def test_a_disk_without_room_for_the_report_and_for_results(tmp_path: Path) -> None:
    """No file may be larger than 4 KiB."""

    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    page = tmp_path / "page.html"
    done = tracekit(["analyze", str(CASE), "-f", "html", "-o", str(page)], subprocess.DEVNULL, small_files)
    assert (done.returncode, done.stderr.decode(), page.exists()) == (2, f"tracekit: cannot write {page}: File too large\n", False)
    with open(tmp_path / "page", "wb") as out:
        done = tracekit(["analyze", str(CASE), "-f", "html"], out, small_files)
    assert (done.returncode, done.stderr.decode()) == (2, "tracekit: cannot write to standard output: File too large\n")
    log, kept, copy = tmp_path / "a.log", tmp_path / "run", tmp_path / "copy"
    log.write_text("".join(f"[{i:5d}.000000] usb 1-1: device number {i}\n" for i in range(200)))
    for command, out in ((["analyze", str(CASE), "--save", str(kept)], kept), (["redact", str(log), "-o", str(copy)], copy)):
        done = tracekit(command, subprocess.DEVNULL, small_files)
        assert (done.returncode, done.stderr.decode(), out.exists()) == (2, f"tracekit: cannot write {out}: File too large\n", False)
    done = tracekit(["batch", str(CASE), "-o", str(tmp_path / "r"), "-j", "1"], subprocess.DEVNULL, small_files)
    assert done.returncode == 2
    assert re.fullmatch(r"tracekit: .*/r: cannot be written: .*\n", done.stderr.decode())


class Broken(io.StringIO):
    """A stream that fails, and says no more than how."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error, self.handle = error, os.open(os.devnull, os.O_WRONLY)

    def fileno(self) -> int:
        return self.handle

    def write(self, text: str) -> int:
        raise self.error


def test_what_cannot_be_said_on_standard_error_is_dropped() -> None:
    for stream in (None, Broken(OSError(28, "No space left on device")), Broken(BrokenPipeError())):
        errors = Output(stream, needed=False)
        assert errors.write("x") == 1
        errors.flush()
        assert not errors.isatty()


def test_after_a_failure_nothing_is_tried_again() -> None:
    output = Output(Broken(OSError(28, "No space left on device")))
    with pytest.raises(OutputError, match=FULL):
        output.write("x")
    output.write("y")
    output.flush()


def test_a_report_that_can_be_written_stays(tmp_path: Path) -> None:
    write("text", tmp_path / "page")
    assert (tmp_path / "page").read_text() == "text"
    with pytest.raises(OutputError, match="cannot write .*/missing/page: No such file or directory"):
        write("text", tmp_path / "missing" / "page")
