"""A batch in which nothing changed: it is answered from the index of its results, and says what the batch says that looks at each case."""

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import pytest
from commands import tracekit

from tracekit.batch import fingerprint, lock, marks, supervise, worker
from tracekit.batch import run as batch
from tracekit.batch.results import Writer
from tracekit.cli import main as cli
from tracekit.pipeline import Engine

BOOT = "[    0.000000] Linux version 6.1.0 (x@y) (gcc 12) #1 SMP\n"
FAULT = (
    "[  100.00000{n}] DMAR: DRHD: handling fault status reg 2\n[  100.00000{n}] DMAR: [INTR-REMAP] Request device [0{n}:00.0] "
    "fault index 0x3000 [fault reason 0x22] Present field in the IRTE entry is clear\n"
)
LOOKS: Callable[[], int] = cli._called
ANSWERED, LOOKED = False, True


class Said(NamedTuple):
    """What a command said and ended with; whether it looked at each case."""

    status: int
    out: str
    err: str
    looked: bool


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load()


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine) -> Path:
    """A folder with three cases, one of them a folder, whose times are trusted though they were just written.

    They are analyzed in this process: one of its own takes a second to start.
    """
    monkeypatch.setattr(supervise, "perform", lambda task: [pickle.dumps(worker.answer(job, engine, worker.Ready())) for job in task.jobs])
    monkeypatch.setattr(batch, "_SETTLED", -(1 << 62))
    monkeypatch.setattr(marks, "SETTLED", -(1 << 62))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs/node").mkdir(parents=True)
    (tmp_path / "logs/a.log").write_text(BOOT + FAULT.format(n=1))
    (tmp_path / "logs/b.log").write_text(BOOT)
    (tmp_path / "logs/node/dmesg").write_text(BOOT + FAULT.format(n=2))
    return tmp_path


def said(*words: str) -> Said:
    """Run `tracekit batch logs -o r` with more words."""
    looked = []

    def called() -> int:
        looked.append(True)
        return LOOKS()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "_called", called)
        done = tracekit("batch", *(words if "-o" in words else ("logs", "-o", "r", "-j", "1", *words)))
    return Said(done.returncode, re.sub(r"in \d+\.\d s", "in some time", done.stdout), done.stderr, bool(looked))


def kept(folder: str = "r") -> dict[str, bytes]:
    """The results but for the lock and the index."""
    files = [f for f in Path(folder).rglob("*") if f.is_file() and f.name not in (".lock", "unchanged.index")]
    return {str(f.relative_to(folder)): f.read_bytes() for f in files}


def test_the_same_batch_is_answered_as_the_batch_that_looks() -> None:
    first = said()
    assert (first.status, first.looked, first.err) == (1, LOOKED, "")
    answered, results = said(), kept()
    Path("r/unchanged.index").unlink()
    looked = said()
    assert answered == looked._replace(looked=ANSWERED)
    assert answered.out == "0 cases analyzed, 0 with a fault, 0 failed, 3 unchanged, in some time. Next: tracekit report r\n"
    assert results == kept()
    assert said().looked is ANSWERED


def test_an_unchanged_batch_loads_neither_polars_nor_typer_nor_a_plugin(place: Path) -> None:
    run = "from tracekit.cli.main import main\ntry:\n    main()\nfinally:\n    print(sorted(WEIGHTY & sys.modules.keys()))"
    begin = "import sys\nsys.argv = ['tracekit', 'batch', 'logs', '-o', 'r', '-j', '1']\nWEIGHTY = {'polars', 'typer', 'tracekit_linux'}\n"
    trusting = "from tracekit.batch import marks, run\nrun._SETTLED = marks.SETTLED = -(1 << 62)\n"

    def output(program: str) -> str:
        return subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False).stdout

    assert "3 cases analyzed" in output(begin + trusting + run)
    out = output(begin + run)
    assert "3 unchanged" in out
    assert out.endswith("r\n[]\n")


def touched() -> None:
    os.utime("logs/a.log", ns=(1, 1))


def grown() -> None:
    with open("logs/b.log", "a") as log:
        log.write(FAULT.format(n=3))


def added() -> None:
    Path("logs/c.log").write_text(BOOT)


def removed() -> None:
    Path("logs/b.log").unlink()


def rewritten() -> None:
    """Another content of the same size, with the times of the first."""
    log = Path("logs/a.log")
    times = log.stat()
    log.write_text(log.read_text().replace("0x22", "0x23"))
    os.utime(log, ns=(times.st_atime_ns, times.st_mtime_ns))


def replaced() -> None:
    Path("elsewhere").write_text(BOOT)
    Path("logs/a.log").unlink()
    Path("logs/a.log").symlink_to("../elsewhere")


def grown_inside() -> None:
    with open("logs/node/dmesg", "a") as log:
        log.write(BOOT)


def added_inside() -> None:
    Path("logs/node/deep").mkdir()
    Path("logs/node/deep/messages").write_text(BOOT)


@pytest.mark.parametrize(
    ("change", "out"),
    [
        (touched, "0 cases analyzed, 0 with a fault, 0 failed, 3 unchanged"),
        (grown, "1 case analyzed, 1 with a fault, 0 failed, 2 unchanged"),
        (added, "1 case analyzed, 0 with a fault, 0 failed, 3 unchanged"),
        (removed, "0 cases analyzed, 0 with a fault, 0 failed, 2 unchanged"),
        (rewritten, "1 case analyzed, 1 with a fault, 0 failed, 2 unchanged"),
        (replaced, "1 case analyzed, 0 with a fault, 0 failed, 2 unchanged"),
        (grown_inside, "1 case analyzed, 1 with a fault, 0 failed, 2 unchanged"),
        (added_inside, "1 case analyzed, 1 with a fault, 0 failed, 2 unchanged"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_change_of_the_logs_is_looked_at(change: Callable[[], None], out: str) -> None:
    said()
    change()
    again = said()
    assert (again.looked, again.out.partition(", in some time")[0]) == (LOOKED, out)
    assert said().looked is ANSWERED


def test_a_hidden_file_is_no_change() -> None:
    said()
    Path("logs/.c.log").write_text(BOOT)
    assert said().looked is ANSWERED


def test_results_among_the_logs_are_no_change() -> None:
    words = ("logs", "-o", "logs/r", "-j", "1")
    assert (said(*words).looked, said(*words).looked) == (LOOKED, ANSWERED)
    added()
    assert "1 case analyzed" in said(*words).out


def settings(text: str) -> Callable[[pytest.MonkeyPatch], None]:
    def write(_: pytest.MonkeyPatch) -> None:
        Path("tracekit.toml").write_text(text)

    return write


@pytest.mark.parametrize(
    ("change", "more"),
    [
        (lambda _: None, ("--ignore", "IRQ-003")),
        (lambda _: None, ("--severity=IRQ=low",)),
        (lambda _: None, ("--fail-on", "never")),
        (lambda _: None, ("--max-ratio", "7")),
        (lambda patch: patch.setenv("TRACEKIT_MAX_RATIO", "7"), ()),
        (settings('fail-on = "never"'), ()),
        (settings('[[suppress]]\ncode = "IRQ"\nreason = "known"\n'), ()),
    ],
)
def test_another_setting_is_looked_at_and_then_answered(
    change: Callable[[pytest.MonkeyPatch], None], more: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    said()
    change(monkeypatch)
    assert said(*more).looked is LOOKED
    looked = said(*more, "--debug")
    assert said(*more) == looked._replace(looked=ANSWERED)
    assert said("--rehash").looked is LOOKED


def test_suppressions_are_counted_until_their_last_day(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("tracekit.toml").write_text('[[suppress]]\ncode = "IRQ"\nreason = "known"\nuntil = 2999-01-31\n')
    said()
    again = said()
    assert (again.looked, again.status, "; 2 findings suppressed." in again.out) == (ANSWERED, 0, True)
    with monkeypatch.context() as patch:
        patch.setattr("time.strftime", lambda _: "2999-02-01")
        assert said().looked is LOOKED
    Path("tracekit.toml").write_text('[[suppress]]\ncode = "IRQ"\nreason = "known"\nuntil = 2026-01-31\n')
    assert said()[:1] == (1,)
    assert said()[0::3] == (1, ANSWERED)


def test_what_is_unusual_is_never_answered() -> None:
    Path("other").mkdir()
    Path("other/dmesg").write_text(BOOT)
    Path("list").write_text("logs/a.log\n")
    tracekit("batch", "other", "-o", "known", "-j", "1")
    words = ("--retry", "--rehash", "--config none", "--case other", "@list", "nothing.log", "--baseline known", "--redact")
    for more in words:
        assert {said(*more.split()).looked for _ in range(2)} == {LOOKED}, more
        assert not Path("r/unchanged.index").exists()


def test_a_baseline_of_the_settings_is_never_answered() -> None:
    Path("other").mkdir()
    Path("other/dmesg").write_text(BOOT)
    tracekit("batch", "other", "-o", "known", "-j", "1")
    Path("tracekit.toml").write_text('baseline = "known"\n')
    assert [said().looked for _ in range(3)] == [LOOKED] * 3


def test_files_that_were_just_written_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "_SETTLED", 1 << 62)
    assert [said().looked for _ in range(3)] == [LOOKED] * 3


def test_code_that_was_just_written_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "SETTLED", 1 << 62)
    assert [said().looked for _ in range(3)] == [LOOKED] * 3


def test_a_clock_that_was_set_back_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    said()
    monkeypatch.setattr("tracekit.batch.unchanged.time.time_ns", lambda: 1)
    assert said().looked is LOOKED


def sealed(change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    """Write the index anew with a right checksum."""

    def write(index: Path) -> None:
        held = json.loads(index.read_bytes().partition(b"\n")[2])
        text = json.dumps(change(held) or held).encode()
        index.write_bytes(blake2b(text, digest_size=16).hexdigest().encode() + b"\n" + text)

    return write


def test_a_missing_damaged_or_older_index_costs_time_only() -> None:
    said()
    answered = said()
    for change in (
        lambda index: index.unlink(),
        lambda index: index.write_bytes(b""),
        lambda index: index.write_bytes(index.read_bytes()[:-1]),
        lambda index: index.write_bytes(index.read_bytes().replace(b"[3, 0, 1]", b"[3, 0, 0]")),
        lambda index: index.write_bytes(os.urandom(300)),
        sealed(lambda held: held.update(form="tracekit.unchanged/0")),
        sealed(lambda held: held.update(engine="")),
        sealed(lambda held: held.update(modules=None)),
        sealed(lambda held: held.update(answer=[3])),
        sealed(lambda held: held.pop("results") and None),
        sealed(lambda held: [held]),
    ):
        change(Path("r/unchanged.index"))
        assert (said(), said()) == (answered._replace(looked=LOOKED), answered)
    Path("r/unchanged.index").unlink()
    Path("r/unchanged.index").mkdir()  # nothing can be kept
    assert said() == said() == answered._replace(looked=LOOKED)


def test_results_that_are_not_as_they_were_are_looked_at() -> None:
    said()
    answered, results = said(), kept()
    for change in (
        lambda: Path("r/plan.parquet").unlink(),
        lambda: Path("r/plan.parquet").write_bytes(b"x"),
        lambda: Path("r/cases/00000077.parquet").write_bytes(b"of a writer that was killed"),
        lambda: Path("r/unchanged.index.partial").write_bytes(b"of a writer that was killed"),
    ):
        change()
        assert (said(), kept(), said()) == (answered._replace(looked=LOOKED), results, answered)
    cut("evidence")
    again = said()
    assert ("3 cases analyzed" in again.out, "is cut" in again.err, said()) == (True, True, answered)


def cut(table: str) -> None:
    (file,) = Path("r", table).iterdir()
    file.write_bytes(file.read_bytes()[:-9])


def test_a_writer_that_was_killed_is_no_answer() -> None:
    said()
    answered = said()
    killed = Writer("r", "another", {}, {})
    killed._held.close()
    assert said() == answered._replace(looked=LOOKED)
    assert said() == answered


def test_another_batch_that_is_writing_is_named() -> None:
    said()
    held = lock.taken("r")
    assert held is not None
    again = said()
    assert (again.status, again.looked, again.err) == (2, LOOKED, "tracekit: r: another batch is writing there\n")
    held.close()
    assert said().looked is ANSWERED


def test_results_that_were_copied_are_answered_too() -> None:
    said()
    shutil.copytree("r", "s")
    shutil.rmtree("r")
    shutil.move("s", "r")
    assert said().looked is ANSWERED


def test_another_batch_into_the_same_results_takes_the_index() -> None:
    added()
    said()
    one = ("logs/c.log", "-o", "r", "-j", "1")
    assert (said(*one).looked, said(*one).looked, said(*one).status) == (LOOKED, ANSWERED, 0)
    again = said()
    assert (again.looked, again.status) == (LOOKED, 1)


def distribution(site: Path, name: str, points: str) -> None:
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)


def test_a_plugin_that_is_installed_is_looked_at(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = place / "site"
    distribution(site, "other", "[other]\nother = other\n")
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.syspath_prepend(str(site))
    said()
    assert said().looked is ANSWERED
    (site / "acme.py").write_text("from tracekit import hookimpl\n")
    (site / "other-1.0.dist-info/entry_points.txt").write_text("[tracekit]\nacme = acme\n")
    fingerprint.digest.cache_clear()
    again = said()
    assert (again.looked, "3 cases analyzed" in again.out) == (LOOKED, True)
    assert said().looked is LOOKED  # plugins of others are looked at
    fingerprint.digest.cache_clear()


def test_code_that_changed_is_looked_at(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = place / "site/acme_rules/ring.lark"
    code.parent.mkdir(parents=True)
    code.write_text("one")
    monkeypatch.syspath_prepend(str(place / "site"))
    monkeypatch.setattr(fingerprint, "_PACKAGES", (*fingerprint._PACKAGES, "acme_rules"))
    fingerprint.digest.cache_clear()
    said()
    assert said().looked is ANSWERED
    code.write_text("two")
    fingerprint.digest.cache_clear()
    assert "3 cases analyzed" in said().out
    assert said().looked is ANSWERED
    fingerprint.digest.cache_clear()


def test_a_plugin_in_a_file_is_looked_at(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said()
    (place / "acme.py").write_text("from tracekit import hookimpl\n")
    monkeypatch.setenv("TRACEKIT_PLUGINS", str(place / "acme.py"))
    fingerprint.digest.cache_clear()
    assert said().looked is LOOKED
    fingerprint.digest.cache_clear()


@pytest.mark.parametrize(
    ("file", "differs"),
    [
        ("acme/__init__.py", True),
        ("acme/deep/new.py", True),
        ("acme/deep/rules.lark", True),
        ("acme/README", False),
        ("acme-1.0.dist-info/entry_points.txt", True),
        ("acme-1.0.dist-info/METADATA", True),
        ("acme-1.0.dist-info/RECORD", False),
        ("more-1.0.dist-info/METADATA", True),
        ("More-1.0.EGG-INFO/PKG-INFO", True),
    ],
)
def test_the_mark_of_the_engine_differs_with_its_files(place: Path, monkeypatch: pytest.MonkeyPatch, file: str, differs: bool) -> None:
    site = place / "site"
    distribution(site, "acme", "[tracekit]\nacme = acme\n")
    (site / "acme/deep").mkdir(parents=True)
    (site / "acme/__init__.py").write_text("one = 1\n")
    (site / "acme-1.0.dist-info/RECORD").write_text("")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "acme", raising=False)  # one that another test loaded
    before = fingerprint.mark(["acme"])
    (site / file).parent.mkdir(exist_ok=True)
    (site / file).write_text("two = 2\n")
    now = fingerprint.mark(["acme"])
    assert (before[0] != now[0]) is differs
    assert now[1] >= before[1] or not differs
    assert fingerprint.mark([])[0] != now[0]
