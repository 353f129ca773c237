"""The command line as a user meets it: exit status, one clear line for each mistake, nothing heavy for --help."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import tracekit

from tracekit.cli import main as cli
from tracekit.cli import status
from tracekit.cli.analysis import _offset as offset
from tracekit.cli.meter import ReadMeter, size_of, told
from tracekit.errors import UsageError
from tracekit.findings import Finding
from tracekit.run import Run, SourceReport

LOG = "[    1.000000] Linux version 6.12.0 (test)\n[    2.000000] nothing to see\n"


def process(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[str]:
    """Run the program as a process of its own; its output as text."""
    done = subprocess.run([sys.executable, "-m", "tracekit", *arguments], input=given, capture_output=True, timeout=120)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "dmesg.txt"
    path.write_text(LOG)
    return path


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_help_and_version_load_nothing_heavy(option: str) -> None:
    code = (
        "import sys; from tracekit.cli import main as cli\nsys.argv = ['tracekit', %r]\ntry: cli.main()\nexcept SystemExit as e: assert not e.code\n"
        "print('LOADED', sorted({m.split('.')[0] for m in sys.modules} & {'polars', 'lark', 'pluggy', 'rich', 'numpy'}))"
    )
    done = subprocess.run([sys.executable, "-c", code % option], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "LOADED []", done.stderr


def test_a_command_is_loaded_alone() -> None:
    code = "import sys; from tracekit.cli import main as cli\nsys.argv = ['tracekit', 'redact', '--help']\ntry: cli.main()\nexcept SystemExit: pass\n"
    code += "print('LOADED', *sorted({m.split('.')[2] for m in sys.modules if m.startswith('tracekit.cli.')} & {'redact', 'batch', 'watch', 'analyze'}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "LOADED redact", done.stderr


def test_paths_alone_load_no_typer_and_say_the_same(log: Path) -> None:
    code = "import sys; from tracekit.cli import main as cli\nsys.argv = ['tracekit', 'analyze', *%r]\ntry: cli.main()\nexcept SystemExit: pass\n"
    code += "print('LOADED', *sorted({m.split('.')[0] for m in sys.modules} & {'typer', 'pydantic'}))"
    alone, with_options = (
        subprocess.run([sys.executable, "-c", code % (arguments,)], capture_output=True, text=True, timeout=60).stdout
        for arguments in ([str(log)], [str(log), "--width", "80"])
    )
    assert alone.splitlines()[-1] == "LOADED"
    assert "typer" in with_options.splitlines()[-1]
    assert alone.splitlines()[:-1] == with_options.splitlines()[:-1]


@pytest.mark.parametrize("arguments", [["-"], ["-", "--width", "80"]])
def test_an_interrupt_of_an_analysis_ends_with_130(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from tracekit import pipeline

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "analyze", interrupted)
    done = tracekit("analyze", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize(("given", "read"), [(None, "dirty_decay_ms:300,muzzy_decay_ms:0"), ("narenas:1", "narenas:1")])
def test_the_allocator_is_asked_to_return_memory_before_polars_starts_it(
    given: str | None, read: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "_RJEM_MALLOC_CONF"
    monkeypatch.delenv(name, raising=False) if given is None else monkeypatch.setenv(name, given)
    code = "import os, sys; from tracekit.cli import main as cli\n"
    code += f"cli._called = lambda: print(os.environ.get('{name}'), 'polars' in sys.modules) or 0\ncli.main()"
    for command, found in (("analyze", read), ("report", read), ("batch", given)):
        done = subprocess.run([sys.executable, "-c", code, command], capture_output=True, text=True, timeout=60)
        assert done.stdout == f"{found} False\n", done.stderr


def test_a_process_ends_without_a_search_for_cycles(log: Path) -> None:
    """What a later function at the end prints still arrives; what a plugin holds in a cycle is not searched for."""
    code = (
        "import atexit, gc, sys; from tracekit.cli import main as cli\n"
        "class Held:\n  def __del__(self): print('searched')\n"
        "atexit.register(lambda: print('kept', gc.get_freeze_count() > 10_000))\n"
        "held = Held(); held.itself = held; del held\nsys.argv = ['tracekit', 'analyze', %r]\ncli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code % str(log)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.splitlines()[-1], done.stderr) == (0, "kept True", "")


def test_version() -> None:
    assert process("--version").stdout == "tracekit 0.1.0\n"


def test_a_healthy_log_is_two_lines_and_status_0(log: Path) -> None:
    done = tracekit("analyze", str(log), COLUMNS="200")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Nothing wrong found in ")
    assert lines[1].startswith("Checked and clear: ")
    assert len(lines) == 2


def test_json_is_one_document_and_nothing_else(log: Path) -> None:
    done = tracekit("analyze", str(log), "--format", "json")
    assert json.loads(done.stdout)["sources"][0]["path"] == str(log)
    assert done.stderr == ""


def test_standard_input_is_a_source() -> None:
    done = process("analyze", "-", "--format", "json", given=LOG.encode())
    assert [s["lines"] for s in json.loads(done.stdout)["sources"]] == [2]


def test_a_report_goes_into_a_file(log: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = tracekit("analyze", str(log), "--format", "html", "-o", str(page))
    assert (done.returncode, done.stdout) == (0, "")
    assert page.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["analyze"], "Missing argument"),
        (["analize"], "No such command"),
        (["LOG"], "No such command 'LOG'; to analyze it: tracekit analyze LOG"),
        (["analyze", "--json", "LOG"], "No such option: --json; the report is -f json"),
        (["analyze", "--jsonl", "LOG"], "No such option: --jsonl (Possible options"),
        (["analyze", "LOG", "--format", "pdf"], "no report is called pdf; there are csv, github, gitlab"),
        (["analyze", "LOG", "--fail-on", "sure"], "--fail-on sure: give one of proven, probable, possible"),
        (["analyze", "LOG", "--clock", "LOG"], "give SOURCE=OFFSET"),
        (["analyze", "LOG", "--clock", "other.log=+1s"], "no source is called other.log"),
        (["analyze", "LOG", "--side", "LOG=moon"], "give SOURCE=guest or SOURCE=host"),
        (["analyze", "LOG", "--color", "blue"], "--color blue: give auto, always or never"),
        (["analyze", "LOG", "-o", "/nowhere/x"], "cannot write /nowhere/x: No such file or directory"),
        (["analyze", "/nowhere/dmesg.txt"], "/nowhere/dmesg.txt: no such file or folder"),
        (["explain", "MSI-999"], "no diagnosis and no gate is called MSI-999"),
        (["schema", "no_such_table"], "no table is called no_such_table"),
    ],
)
def test_each_mistake_is_one_clear_line_and_status_2(log: Path, arguments: list[str], says: str) -> None:
    done = tracekit(*(a.replace("LOG", str(log)) for a in arguments))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("tracekit: ")
    assert says.replace("LOG", str(log)) in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("name", "content"), [("empty.log", b""), ("image.bin", bytes(range(256)) * 64), ("folder/", b"")])
def test_what_is_no_log_gets_one_clear_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.mkdir() if name.endswith("/") else path.write_bytes(content)
    done = tracekit("analyze", str(path))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert name.rstrip("/") in done.stderr


def test_a_log_without_a_known_line_says_so(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("buy milk\ncall home\n")
    done = tracekit("analyze", str(path), COLUMNS="200")
    assert done.returncode == 3
    assert done.stdout.startswith("Nothing could be checked in ")


def test_a_missing_file_beside_a_good_one_is_reported_and_makes_the_all_clear_doubtful(log: Path) -> None:
    done = tracekit("analyze", str(log), "/nowhere/x")
    assert done.returncode == 3
    assert done.stderr == "tracekit: /nowhere/x: no such file or folder\n"


def test_names_of_files_write_nothing_on_the_terminal(tmp_path: Path) -> None:
    done = process("analyze", str(tmp_path / "a\x1b[31m"))
    assert "\x1b" not in done.stderr
    assert "\\x1b[31m" in done.stderr


def test_a_reader_that_goes_away_is_no_error(log: Path) -> None:
    command = f"{sys.executable} -m tracekit analyze {log} --format json | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("{", "")


def test_explain_and_plugins_print() -> None:
    plugins = tracekit("plugins").stdout
    assert "tracekit_reports 0.1.0: 11 reports" in plugins
    assert "tracekit_systems 0.1.0: 9 systems" in plugins
    page = tracekit("explain", "msi-001").stdout
    assert page.startswith("msi.stale-hwsize (MSI-001), severity high\n")
    assert "Stays quiet when:" in page
    assert "What to do:" in tracekit("explain", "OBS-001").stdout
    gate = tracekit("explain", "KV6").stdout
    assert gate == tracekit("explain", "xen-owns-masks").stdout
    assert "- x86: 5.18 (commit 7e0815b3e099" in gate
    overview = tracekit("explain").stdout
    assert "MSI-001   msi.stale-hwsize " in overview and "KV6       xen-owns-masks " in overview
    assert "did you mean msi.stale-hwsize?" in tracekit("explain", "msi.stale-hwsise").stderr


@pytest.mark.parametrize("width", [80, 200])
def test_a_page_is_as_wide_as_the_terminal_and_no_wider_than_the_eye_likes(width: int) -> None:
    page = tracekit("explain", "msi-001", COLUMNS=str(width)).stdout.splitlines()
    assert min(width, 120) - 20 < max(map(len, page)) <= min(width, 120)
    assert [line.split(":")[0] for line in page if line.startswith(("What", "Why", "Stays", "Affected", "References", "commands"))] == [
        "What it finds", "Why it matters", "Stays quiet when", "Affected", "What to do", "References", "commands",
    ]  # fmt: skip


def test_a_source_in_a_folder_is_called_by_its_path(log: Path) -> None:
    done = tracekit("analyze", str(log.parent), "--clock", f"{log.name}=+1s")
    assert (done.returncode, done.stderr) == (2, f"tracekit: no source is called {log.name}; call it {log}\n")
    assert tracekit("analyze", str(log.parent), "--clock", f"{log}=+1s").returncode == 0


@pytest.mark.parametrize(
    ("text", "ns"),
    [("+12.5s", 12_500_000_000), ("-3ms", -3_000_000), ("0.000001", 1_000), ("7us", 7_000), ("+1.0000000001s", 1_000_000_000)],
)
def test_clock_offsets_are_exact(text: str, ns: int) -> None:
    assert offset(f"a=b.log={text}") == ("a=b.log", ns)


@pytest.mark.parametrize("text", ["a.log", "=1s", "a.log=fast", "a.log=1h", "a.log=1e3s"])
def test_clock_offsets_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UsageError):
        offset(text)


@pytest.mark.parametrize(
    ("fail_on", "alarms"),
    [("probable:medium", 2), ("proven", 1), ("possible:info", 5), ("possible:medium", 3), ("proven:critical", 0), ("never", 0)],
)
def test_what_makes_the_exit_status_1(fail_on: str, alarms: int) -> None:
    def finding(grade: str | None, severity: str, code: str = "MSI-001", **more: str) -> Finding:
        return Finding("x", grade, (), severity=severity, code=code, name="a.b", **more)  # type: ignore[arg-type]

    found = (
        finding("proven", "high"),
        finding("probable", "medium"),
        finding("possible", "high"),
        finding("possible", "low"),
        finding("proven", "info"),
        finding("proven", "high", explained_by="MSI-009"),
        finding("proven", "high", "CFG-001"),
        finding(None, "info", "OBS-001"),
    )
    limit = status.threshold(fail_on)
    assert sum(limit is not None and limit.alarms(f.code, f.grade, f.severity, f.explained_by) for f in found) == alarms
    assert status.of_run(Run((SourceReport("a", 1),), found, ()), limit) == (alarms > 0)


def test_progress_waits_until_it_takes_long_and_goes_away(capsys: pytest.CaptureFixture[str]) -> None:
    quick, slow = ReadMeter(patience_s=1000), ReadMeter(patience_s=0)
    for p in (quick, slow):
        p(3_000_000)
        p.done()
    assert re.fullmatch(r"\rread 3 MB, [0-9,]+ MB/s\x1b\[K\r\x1b\[K", capsys.readouterr().err)


def test_progress_tells_rate_and_time_left_where_the_size_is_known(log: Path) -> None:
    assert told(50_000_000, 200_000_000, 2.0) == "read 50 of 200 MB, 25 MB/s, 0:06 left"
    assert told(50_000_000, 0, 2.0) == "read 50 MB, 25 MB/s"
    assert size_of([str(log)]) == len(LOG)
    assert size_of([str(log), "-"]) == 0


def test_an_interrupt_is_status_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "application", lambda _: interrupted)
    assert cli._status() == 130


def test_an_error_of_our_own_is_one_line_and_asks_for_debug(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(**_: object) -> int:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(cli, "application", lambda _: broken)
    monkeypatch.setattr(sys, "argv", ["tracekit", "explain", "x"])
    assert cli._status() == 2
    assert capsys.readouterr().err == "tracekit: internal error: ZeroDivisionError: division by zero (--debug shows where)\n"
    monkeypatch.setattr(sys, "argv", ["tracekit", "explain", "x", "--debug"])
    with pytest.raises(ZeroDivisionError):
        cli._status()


SAMPLES = Path(__file__).parents[2] / "sample_traces"


def test_whatif_tells_first_what_helps_and_the_rest_in_a_line() -> None:
    done = tracekit("whatif", str(SAMPLES / "cfg.lossy-policy" / "fires-noresize"))
    assert done.stdout == (
        "0000:41:00.0:\n"
        "  policy dyn -> full: CFG-001 vanishes; CFG-002 stays\n"
        "      all vectors at the enable: a guest or a VMM that takes the whole table at once\n"
        "  dynamic False -> True: CFG-001 vanishes; CFG-002 stays\n"
        "      Linux 6.5 or later, where the parent irq domain can add vectors\n"
        "  asks_first False -> True: CFG-001, CFG-002 vanish\n"
        "      a guest that asks the host before it allocates; no hypervisor has such an interface yet\n"
        "  CFG-001, CFG-002 stay with guest a -> b, guest a -> c, reworked False -> True, reservation True -> False\n"
    )


def test_whatif_without_a_fault_says_so_once() -> None:
    done = tracekit("whatif", str(SAMPLES / "msi.stale-hwsize" / "quiet-rebind-16-6.12"))
    assert [line for line in done.stdout.splitlines() if "whichever gate" in line] == ["0000:00:08.0: no fault, whichever gate is flipped"]
