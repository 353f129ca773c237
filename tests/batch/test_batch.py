"""Batches with real processes: what is found, what is not done again, and what a fault costs."""

import contextlib
import gzip
import io
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tarfile
import time
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from commands import tracekit
from fleets import case, finding, render, results

from tracekit.batch import cases, fingerprint, fleet, supervise
from tracekit.batch import run as batch
from tracekit.batch.results import Results, ResultsError, Writer
from tracekit.batch.supervise import Budget, Refused

BOOT = "[    0.000000] Linux version {release} (x@y) (gcc 12) #1 SMP\n"
FAULT = (
    "[  100.{n:06}] DMAR: DRHD: handling fault status reg 2\n[  100.{n:06}] DMAR: [INTR-REMAP] Request device [0{n}:00.0] "
    "fault index 0x3000 [fault reason 0x22] Present field in the IRTE entry is clear\n"
)
MANY = 480  # cases that take two workers a few seconds
NOISE = "".join(f"[{i:5d}.000000] usb 1-1: device number {i}\n" for i in range(1, 60))
TRACEKIT = [sys.executable, "-P", "-m", "tracekit"]

# What this plugin does to the process that analyzes a log stands in the log.
NAUGHTY = """
import ctypes, os, time
from tracekit import Model, hookimpl


class Naughty(Model):
    needs = ("kernel_version",)

    def run(self, rows, tables):
        release = tables["kernel_version"]["release"][0].rpartition("-")[2]
        if release == "hang":
            time.sleep(3600)
        if release == "spin":
            while True:
                pass
        if release == "sleep":
            time.sleep(1)
        if release == "eat":
            held = []
            while True:
                held.append(bytearray(os.urandom(1 << 20) * 16))
        if release == "crash":
            ctypes.string_at(0)
        if release == "exit":
            os._exit(3)
        if release == "quit":
            raise SystemExit(4)
        return {}


@hookimpl
def tracekit_models():
    return [Naughty]
"""


def log(n, release="6.1.0", fault=True):
    return BOOT.format(release=release) + NOISE + (FAULT.format(n=n % 9 + 1) if fault else "")


@pytest.fixture
def naughty(tmp_path, monkeypatch):
    """A plugin that misbehaves on request, installed for the processes of the batch."""
    site = tmp_path / "site"
    (site / "naughty-1.0.dist-info").mkdir(parents=True)
    (site / "naughty.py").write_text(NAUGHTY)
    (site / "naughty-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: naughty\nVersion: 1.0\n")
    (site / "naughty-1.0.dist-info/entry_points.txt").write_text("[tracekit]\nnaughty = naughty\n")
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.syspath_prepend(str(site))
    fingerprint.digest.cache_clear()
    yield site
    fingerprint.digest.cache_clear()


def fill(folder, count, release="6.1.0"):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        (folder / f"case{i:03}.log").write_text(log(i, release, fault=i % 3 == 0))
    return folder


def settings(**more):
    return batch.Settings(**{"jobs": 1, **more})  # a job is a process, which takes half a second to start


def run(folder, results, executor=None, **more):
    found, errors = cases.find([str(folder)])
    assert errors == []
    return batch.run(found, str(results), executor, settings(**more))


def rows(results, table="cases", *columns):
    frame = Results(results).table(table).select(columns or ("case", "status", "failure")).collect()
    return [(Path(str(r[0])).name, *r[1:]) for r in frame.sort(frame.columns).rows()]


def report(results, format="json"):
    return render(fleet.fleet(Results(results)), format)


def counts(progress):
    return progress.done, progress.found, progress.failed, progress.unchanged


@pytest.fixture
def settled(monkeypatch):
    """Trust the times of files that were just written."""
    monkeypatch.setattr(batch, "_SETTLED", -(1 << 62))


def test_a_batch_finds_what_an_analysis_finds(tmp_path):
    folder = fill(tmp_path / "in", 7)
    assert counts(run(folder, tmp_path / "r")) == (7, 3, 0, 0)
    assert rows(tmp_path / "r") == [(f"case{i:03}.log", "done", "") for i in range(7)]
    found = Results(tmp_path / "r").table("findings").filter(code="IRQ-003").collect()
    assert sorted(Path(c).name for c in found["case"]) == ["case000.log", "case003.log", "case006.log"]
    evidence = Results(tmp_path / "r").table("evidence").filter(case=f"{folder}/case003.log").collect()
    assert (f"{folder}/case003.log", 62) in evidence.select("source", "line").rows()


def test_files_with_new_times_and_the_same_content_are_told_as_unchanged(tmp_path, settled):
    folder = fill(tmp_path / "in", 3)
    assert finished("batch", folder, "-o", tmp_path / "r")[1].startswith("3 cases analyzed, 1 with a fault, 0 failed, 0 unchanged")
    for file in folder.iterdir():
        os.utime(file, (1, 1))
    assert finished("batch", folder, "-o", tmp_path / "r")[1].startswith("0 cases analyzed, 0 with a fault, 0 failed, 3 unchanged")


def test_what_is_unchanged_is_not_analyzed_again(tmp_path, settled):
    folder = fill(tmp_path / "in", 6)
    run(folder, tmp_path / "r")
    first = report(tmp_path / "r")
    assert counts(run(folder, tmp_path / "r")) == (0, 0, 0, 6)
    assert report(tmp_path / "r") == first
    (folder / "case001.log").write_text(log(1))
    (folder / "case100.log").write_text(log(2))
    (folder / "case002.log").touch()
    assert counts(run(folder, tmp_path / "r")) == (3, 2, 0, 4)
    assert len(rows(tmp_path / "r")) == 7
    assert counts(run(folder, tmp_path / "r")) == (0, 0, 0, 7)


def test_files_that_were_just_written_are_read_to_see_whether_they_changed(tmp_path):
    folder = fill(tmp_path / "in", 2)
    run(folder, tmp_path / "r")
    before = os.stat(folder / "case000.log")
    text = (folder / "case000.log").read_text()
    (folder / "case000.log").write_text(text.replace("0x3000", "0x3001"))
    os.utime(folder / "case000.log", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert run(folder, tmp_path / "r").done == 2
    told = Results(tmp_path / "r").table("evidence").filter(case=f"{folder}/case000.log").collect()["text"]
    assert any("0x3001" in t for t in told)


def test_another_plugin_makes_all_cases_new(tmp_path, settled, naughty):
    folder = fill(tmp_path / "in", 3)
    run(folder, tmp_path / "r")
    assert run(folder, tmp_path / "r").unchanged == 3
    (naughty / "naughty.py").write_text(NAUGHTY + "# changed\n")
    fingerprint.digest.cache_clear()
    assert counts(run(folder, tmp_path / "r"))[0] == 3
    assert len(rows(tmp_path / "r")) == 3


def test_the_limits_of_archives_belong_to_the_result(tmp_path, settled):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "zeros.gz").write_bytes(gzip.compress(log(1).encode() + NOISE.encode() * 2000))
    from tracekit.reading.archive import Limits

    tight = Limits(ratio=10, ratio_after=1 << 20)
    assert counts(run(folder, tmp_path / "r", archives=tight)) == (1, 1, 0, 0)
    assert counts(run(folder, tmp_path / "r", archives=tight)) == (0, 0, 0, 1)
    assert counts(run(folder, tmp_path / "r", archives=Limits())) == (1, 1, 0, 0)


def test_what_cannot_be_read_is_a_row_with_its_reason(tmp_path):
    folder = fill(tmp_path / "in", 1)
    (folder / "core").write_bytes(b"\x01\x02\x03\x7f" * 1000)
    (folder / "empty.log").write_text("")
    (folder / "gone.log").symlink_to("nowhere")
    listing = tmp_path / "list.txt"
    listing.write_text("\n".join(f"{folder}/{n}" for n in ("case000.log", "core", "empty.log", "gone.log")))
    found, _ = cases.find([f"@{listing}"])
    batch.run(found, str(tmp_path / "r"), None, settings())
    assert rows(tmp_path / "r", "failures", "case", "kind", "reason") == [
        ("core", "unreadable", f"{folder}/core: is not text"),
        ("empty.log", "unreadable", f"{folder}/empty.log: the file is empty"),
        ("gone.log", "unseen", "it is gone"),
    ]
    assert "3 cases failed" in report(tmp_path / "r", "terminal")


def test_hang_memory_and_crash_cost_their_case_only(tmp_path, naughty):
    folder = fill(tmp_path / "in", 8)
    for release in ("hang", "eat", "crash", "exit", "quit"):
        (folder / f"{release}.log").write_text(log(1, f"6.1.0-{release}"))
    progress = run(folder, tmp_path / "r", jobs=2, limits=Budget(seconds=10, memory=700 << 20))
    assert counts(progress)[0] == 13
    assert [r for r in rows(tmp_path / "r") if r[1] == "failed"] == [
        ("crash.log", "failed", "crash"),
        ("eat.log", "failed", "memory"),
        ("exit.log", "failed", "crash"),
        ("hang.log", "failed", "time"),
    ]
    doubts = Results(tmp_path / "r").table("cases").filter(case=str(folder / "quit.log")).collect()["doubts"].to_list()
    assert doubts == [["plugin naughty 1.0 failed to replay Naughty: SystemExit: 4"]]
    assert {k: r for _, k, r in rows(tmp_path / "r", "failures", "case", "kind", "reason")} == {
        "time": "it takes longer than 10 s",
        "memory": "it takes more memory than 700 MiB",
        "crash": "its process crashed (status 3) (2 times)",
        "error": "plugin naughty 1.0 failed to replay Naughty: SystemExit: 4",
    }


def test_where_a_plugin_raised_is_told_once(tmp_path, naughty, settled):
    folder = tmp_path / "logs"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.log").write_text(log(1, "6.1.0-quit"))
    traces = []
    run(folder, tmp_path / "r", jobs=1, trace=traces.append)
    assert len(traces) == 1
    assert "naughty.py" in traces[0] and "raise SystemExit(4)" in traces[0] and "in run" in traces[0]


def test_a_hang_is_tried_again_only_when_asked(tmp_path, naughty, settled):
    folder = fill(tmp_path / "in", 1)
    (folder / "spin.log").write_text(log(1, "6.1.0-spin"))
    for retry, done in ((False, 2), (False, 0), (True, 1)):
        assert run(folder, tmp_path / "r", limits=Budget(seconds=1.5), retry=retry).done == done


@pytest.mark.parametrize("executor", [lambda: ProcessPoolExecutor(2), None], ids=["processes", "threads"])
def test_any_executor_gives_the_same(tmp_path, executor):
    folder = fill(tmp_path / "in", 24)
    run(folder, tmp_path / "r", executor, jobs=2, together=2)
    assert [r[1] for r in rows(tmp_path / "r")] == ["done"] * 24


def test_a_fault_costs_none_of_the_cases_that_share_its_task(tmp_path, naughty):
    folder = fill(tmp_path / "in", 22)
    for release in ("hang", "crash"):
        (folder / f"{release}.log").write_text(log(1, f"6.1.0-{release}"))
    found, _ = cases.find([str(folder)])
    told = settings(limits=Budget(seconds=3))
    assert {len(t.jobs) for t in batch._tasks([batch.Job(c.path, c.size, c.mark) for c in found], told)} == {6}
    assert counts(run(folder, tmp_path / "r", limits=told.limits)) == (24, 8, 2, 0)
    assert [r for r in rows(tmp_path / "r") if r[1] != "done"] == [("crash.log", "failed", "crash"), ("hang.log", "failed", "time")]


def test_the_last_tasks_of_a_batch_are_smaller_and_none_is_lost():
    jobs = [batch.Job(f"case{i:04}.log", 10_000 if i < 2000 else 40 << 10, "") for i in range(3000)]
    tasks = list(batch._tasks(jobs, settings(jobs=2)))
    assert [job for task in tasks for job in task.jobs] == jobs
    sizes = [len(task.jobs) for task in tasks]
    assert sizes[0] == 256 and sizes == sorted(sizes, reverse=True) and max(sizes[-5:]) <= 32
    assert all(sum(job.size for job in task.jobs) <= 8 << 20 for task in tasks)
    assert [len(t.jobs) for t in batch._tasks(jobs[:16], settings(jobs=2))] == [2] * 8


def test_a_worker_with_another_tracekit_is_refused(tmp_path):
    file = tmp_path / "a.log"
    file.write_text(log(1))
    task = supervise.Task((batch.Job(str(file), 1, ""),), "0123456789abcdef")
    with pytest.raises(Refused, match=r"has another tracekit, plugin or grammar than this batch \(.{8}, not 01234567\)"):
        supervise.perform(task)


def test_a_worker_that_does_not_see_the_logs_is_refused(tmp_path, monkeypatch):
    folder = fill(tmp_path / "in", 1)
    monkeypatch.setattr(supervise, "_sees", lambda root, path: False)
    with pytest.raises(Refused, match=r"worker \S+ does not see it: .*/case000.log; the logs must be there under the same path"):
        run(folder, tmp_path / "r")
    assert Results(tmp_path / "r").missing().height == 1


def test_results_that_cannot_be_written_stop_the_batch_with_one_line(tmp_path):
    (tmp_path / "r").write_text("a file")
    with pytest.raises(ResultsError, match="cannot be written"):
        run(fill(tmp_path / "in", 1), tmp_path / "r")


def test_names_that_are_no_text(tmp_path):
    with open(os.fsencode(tmp_path) + b"/caf\xe9.log", "w") as f:
        f.write(log(3))
    run(tmp_path, tmp_path / "r")
    assert rows(tmp_path / "r")[0][:2] == ("caf\\xe9.log", "done")
    assert counts(run(tmp_path, tmp_path / "r"))[2] == 0


def command(*args, **more):
    return subprocess.Popen([*TRACEKIT, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def finished(*args):
    done = tracekit(*args, *(["-j", "1"] if args[0] == "batch" and "-j" not in args else []))
    return done.returncode, done.stdout, done.stderr


def children(pid):
    """The processes that a process started, and theirs."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            text = stat.read_text()
            parent = int(text.rpartition(")")[2].split()[1])
            found.append((int(stat.parent.name), parent))
    below = {pid}
    while more := {p for p, parent in found if parent in below} - below:
        below |= more
    return below - {pid}


def alive(pid):
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(true, seconds=60):
    """Wait until something is true; whether it became so."""
    end = time.monotonic() + seconds
    while not (told := true()) and time.monotonic() < end:
        time.sleep(0.2)
    return bool(told)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Many cases, a few seconds of work, and the report of a batch that nobody disturbed."""
    place = tmp_path_factory.mktemp("undisturbed")
    folder = fill(place / "in", MANY)
    run(folder, place / "reference", jobs=2)
    return folder, report(place / "reference")


@pytest.mark.slow
@pytest.mark.xdist_group("undisturbed")
def test_killed_processes_cost_nothing(tmp_path, undisturbed):
    folder, reference = undisturbed
    process = command("batch", folder, "-o", tmp_path / "r", "-j", "2")
    rng, kills = random.Random(1), 0
    while process.poll() is None:
        time.sleep(rng.uniform(0.3, 1.0))
        for pid in children(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                kills += 1
        if kills > 12:
            break
    _, err = process.communicate(timeout=300)
    assert (process.returncode, kills > 3) == (1, True), err
    assert report(tmp_path / "r") == reference


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
@pytest.mark.xdist_group("undisturbed")
def test_a_batch_that_is_killed_goes_on_where_it_was(tmp_path, undisturbed, how):
    folder, reference = undisturbed
    rng = random.Random(how)
    begun, done = 0, []
    while True:
        process = command("batch", folder, "-o", tmp_path / "r", "-j", "2")
        begun += 1
        try:
            process.wait(timeout=rng.uniform(1.0, 4.0) if begun < 12 else 300)
            break
        except subprocess.TimeoutExpired:
            workers = children(process.pid)
            process.send_signal(how)
            process.wait(timeout=30)
            assert until(lambda workers=workers: not any(map(alive, workers)))
            if (tmp_path / "r/manifest.json").exists():
                told = fleet.fleet(Results(tmp_path / "r"))
                assert told.cases["total"] == MANY or told.cases["missing"] == 0
                done.append(told.cases["done"])
    assert (process.returncode, done) == (1, sorted(done))
    assert report(tmp_path / "r") == reference


@pytest.mark.slow
def test_an_interrupt_leaves_at_once_and_says_how_to_go_on(tmp_path, naughty):
    folder = fill(tmp_path / "in", 2)
    (folder / "hang.log").write_text(log(1, "6.1.0-hang"))
    process = command("batch", folder, "-o", tmp_path / "r", "-j", "2")
    assert until(lambda: list(tmp_path.glob("r/cases/*.parquet")))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert err == "tracekit: interrupted; 2 of 3 cases done. What was done is kept: the same command goes on\n"
    _, out, _ = finished("report", tmp_path / "r")
    assert "1 case not analyzed\n" in out
    assert f"{folder}/hang.log:thebatchwasinterrupted" in "".join(out.split())  # a line of 80 columns may wrap within the path


def test_damaged_results_are_named_and_mended_by_the_next_batch(tmp_path, settled):
    folder = fill(tmp_path / "in", 4)
    assert finished("batch", folder, "-o", tmp_path / "r")[0] == 1
    first = finished("report", tmp_path / "r", "-f", "json")[1]
    (file,) = (tmp_path / "r" / "findings").iterdir()
    file.write_bytes(file.read_bytes()[:-9])
    for asked in (("report", tmp_path / "r"), ("query", tmp_path / "r", "SELECT * FROM findings")):
        status, out, err = finished(*asked)
        assert (status, out) == (2, "")
        assert re.fullmatch(r"tracekit: \S+/r: findings/\d+.parquet is cut: .*: start the same batch again.*\n", err)
    status, out, err = finished("batch", folder, "-o", tmp_path / "r")
    assert (status, out.partition(",")[0]) == (1, "4 cases analyzed")
    assert re.fullmatch(r"tracekit: \S+/r: findings/\d+.parquet is cut: .*: its cases were analyzed again\n", err)
    assert finished("report", tmp_path / "r", "-f", "json")[1] == first


def test_a_manifest_that_is_cut_is_named(tmp_path):
    folder = fill(tmp_path / "in", 1)
    assert finished("batch", folder, "-o", tmp_path / "r")[0] == 1
    manifest = tmp_path / "r/manifest.json"
    whole = manifest.read_text()
    for text, what in (
        (whole[:-9], "is damaged: "),
        ("[]", "is damaged: no JSON object"),
        (whole.replace('"files"', '"fils"'), "it has no files"),
    ):
        manifest.write_text(text)
        for asked in (
            ("report", tmp_path / "r"),
            ("query", tmp_path / "r", "SELECT * FROM findings"),
            ("batch", folder, "-o", tmp_path / "r"),
        ):
            status, out, err = finished(*asked)
            assert (status, out, what in err, err.endswith("another folder of results\n")) == (2, "", True, True), err


def test_a_plan_that_is_cut_is_named_where_it_is_needed(tmp_path):
    w = Writer(tmp_path / "r", "e", {}, {})
    w.plan(["a", "b"])
    w._held.close()
    plan = tmp_path / "r/plan.parquet"
    plan.write_bytes(plan.read_bytes()[:-5])
    status, _, err = finished("report", tmp_path / "r")
    assert (status, err) == (2, f"tracekit: {tmp_path}/r: plan.parquet is damaged: start the same batch again, it writes a new one\n")


def test_the_exit_status_tells_what_the_cases_say_together(tmp_path, settled):
    quiet, faulty, broken = (tmp_path / name for name in ("quiet.log", "faulty.log", "broken.log"))
    quiet.write_text(log(1, fault=False))
    faulty.write_text(log(1))
    broken.write_bytes(b"\x01\x02\x03\x7f" * 1000)

    def statuses(name, *given, fail_on="probable:medium"):
        results = tmp_path / name
        return tuple(finished(*asked, "--fail-on", fail_on)[0] for asked in (("batch", *given, "-o", results), ("report", results)))

    assert statuses("q", quiet) == (0, 0)
    assert statuses("f", faulty, quiet) == (1, 1)
    assert statuses("f", faulty, quiet, fail_on="never") == (0, 0)
    assert statuses("f", quiet) == (0, 1)  # the results hold the other case too
    assert statuses("b", broken) == (2, 2)
    assert statuses("b", broken, quiet) == (3, 3)
    assert statuses("b", broken, quiet, fail_on="never") == (0, 0)
    assert statuses("b", broken, quiet, faulty) == (1, 1)
    assert statuses("b", quiet, fail_on="sure") == (2, 2)


def test_an_unfinished_batch_is_no_all_clear(tmp_path):
    Writer(tmp_path / "r", "e", {}, {"tracekit": "0.1.0"})._held.close()
    status, out, _ = finished("report", tmp_path / "r")
    assert (status, "The batch is incomplete" in out) == (3, True)


def test_results_do_not_lie_among_the_logs(tmp_path, settled):
    folder = fill(tmp_path / "in", 2)
    status, _, err = finished("batch", folder, "-o", folder)
    assert (status, err) == (2, f"tracekit: --output {folder}: the results would lie among the logs; give another folder\n")
    for _ in range(2):
        assert finished("batch", folder, "-o", folder / "results")[0] == 1
        assert rows(folder / "results", "cases", "case") == [("case000.log",), ("case001.log",)]


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
@pytest.mark.xdist_group("undisturbed")
def test_a_full_disk_keeps_what_was_written(tmp_path, undisturbed):
    folder, reference = undisturbed
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", small]).returncode:
        pytest.skip("cannot mount")
    try:
        (small / "filler").write_bytes(bytes(364 << 10))
        code, _, err = finished("batch", folder, "-o", small / "r", "-j", "2")
        assert code == 2
        assert "cannot be written: " in err and "start again to go on" in err
        code, out, _ = finished("report", small / "r")
        assert code in (1, 3) and "cases not analyzed" in out
        (small / "filler").unlink()
        code, _, err = finished("batch", folder, "-o", small / "r", "-j", "2")
        assert code == 1, err
        assert report(small / "r") == reference
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a read-only file system")
def test_a_read_only_disk_is_told_in_one_line(tmp_path):
    folder = fill(tmp_path / "in", 1)
    place = tmp_path / "ro"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", place]).returncode:
        pytest.skip("cannot mount")
    try:
        code, _, err = finished("batch", folder, "-o", place / "r")
        assert (code, err) == (2, f"tracekit: {place}/r: cannot be written: Read-only file system\n")
    finally:
        subprocess.run(["umount", place], check=True)


def packed(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as t:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            t.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.mark.slow
def test_forty_crafted_archives_cost_only_themselves(tmp_path):
    folder = fill(tmp_path / "in", 6)
    good, rng = log(3).encode(), random.Random(5)
    archive = packed({"dmesg": good, "messages": rng.randbytes(20_000).hex().encode()})
    for i in range(20):  # cut or changed somewhere
        data = bytearray(archive[: rng.randrange(1, len(archive))] if i % 2 else archive)
        for _ in range(0 if i % 2 else 5):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        (folder / f"broken{i:02}.tar.gz").write_bytes(data)
    for i in range(8):  # one in another, up to and beyond the limit
        data = archive
        for _ in range(i):
            data = packed({"inner.tar.gz": data})
        (folder / f"deep{i}.tar.gz").write_bytes(data)
    (folder / "zeros.tar.gz").write_bytes(packed({"dmesg": good, "zeros": bytes(300 << 20), "after": good}))
    (folder / "many.tar.gz").write_bytes(packed({f"m{i}": b"" for i in range(3000)}))
    (folder / "named.tar.gz").write_bytes(packed({"../../etc/x": good, "/etc/passwd": good, "a\nb": good, "n" * 5000: good, "dmesg": good}))
    (folder / "not.tar.gz").write_bytes(gzip.compress(b"\x00\x01\x02" * 5000))
    for i in range(8):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
            z.writestr("dmesg", good)
            z.writestr("x", rng.randbytes(3000))
        data = bytearray(out.getvalue())
        data[rng.randrange(len(data))] ^= 0xFF
        (folder / f"zip{i}.zip").write_bytes(data[: len(data) - i * 30])
    assert len(list(folder.iterdir())) == 46
    code, _, err = finished("batch", folder, "-o", tmp_path / "r", "-j", "2", "--max-members", "2000")
    assert code == 1, err
    assert len(rows(tmp_path / "r")) == 46
    assert [r for r in rows(tmp_path / "r") if r[2] not in ("", "unreadable")] == []
    found = Results(tmp_path / "r").table("findings").filter(code="IRQ-003").select("case").collect()
    names = {Path(c).name for c in found["case"]}
    assert {"case000.log", "case003.log", "deep0.tar.gz", "deep2.tar.gz", "zeros.tar.gz", "named.tar.gz"} <= names
    failures = dict(rows(tmp_path / "r", "failures", "case", "reason"))
    assert "more than 200 times its size" in failures["zeros.tar.gz"]
    assert "more than 2000 members" in failures["many.tar.gz"]
    assert "packed more than 3 deep" in failures["deep7.tar.gz"]
    assert os.listdir(tmp_path) == [n for n in os.listdir(tmp_path) if n in ("in", "r")]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture
def cluster(tmp_path):
    """The address of a Dask scheduler on loopback with two workers, and the process of the workers."""
    pytest.importorskip("distributed")
    dask = [sys.executable, "-P", "-m", "dask"]
    port, quiet = free_port(), {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = subprocess.Popen([*dask, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"], cwd=tmp_path, **quiet)
    wait_for(port)
    worker = [*dask, "worker", f"tcp://127.0.0.1:{port}", "--nworkers", "2", "--nthreads", "1", "--no-dashboard"]
    workers = subprocess.Popen(worker, cwd=tmp_path, **quiet)
    time.sleep(4)
    yield f"dask://127.0.0.1:{port}", workers
    for process in (workers, scheduler):
        for pid in children(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.kill()
        process.wait()


def wait_for(port):
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.2)
    raise AssertionError("the scheduler does not come up")


@pytest.mark.slow
@pytest.mark.xdist_group("undisturbed")
def test_a_cluster_gives_the_same(tmp_path, undisturbed, cluster):
    folder, reference = undisturbed
    code, _, err = finished("batch", folder, "-o", tmp_path / "r", "--executor", cluster[0])
    assert code == 1, err
    assert report(tmp_path / "r") == reference


@pytest.mark.slow
def test_a_cluster_whose_workers_are_killed_gives_the_same(tmp_path, naughty, cluster):
    folder = fill(tmp_path / "in", 24, "6.1.0-sleep")
    run(folder, tmp_path / "reference")
    process = command("batch", folder, "-o", tmp_path / "r", "--executor", cluster[0])
    for _ in range(3):  # a worker that is killed while it comes up is given up by Dask itself
        time.sleep(4)
        for pid in children(cluster[1].pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1, err
    assert report(tmp_path / "r") == report(tmp_path / "reference")


def test_a_cluster_that_is_not_there_is_told_in_one_line(tmp_path):
    pytest.importorskip("distributed")
    folder = fill(tmp_path / "in", 1)
    code, _, err = finished("batch", folder, "-o", tmp_path / "r", "--executor", f"dask://127.0.0.1:{free_port()}")
    assert code == 2
    assert err.splitlines()[-1].startswith("tracekit: no Dask scheduler answers at 127.0.0.1:")


def test_usage(tmp_path):
    assert finished("batch", "-o", tmp_path / "r")[0] == 2
    assert finished("batch", tmp_path / "nothing", "-o", tmp_path / "r")[2].endswith(
        "give files, archives, folders, @LIST or --case FOLDER\n"
    )
    assert finished("report", tmp_path)[2] == f"tracekit: {tmp_path}: no results here (no manifest.json)\n"


def test_settings_of_a_batch_are_noticed_by_its_memo_and_counted_in_its_reports(tmp_path, settled, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.log").write_text(log(1))
    (tmp_path / "b.log").write_text(log(2))

    def status(*more):
        return tracekit("batch", "a.log", "b.log", "-o", "r", "-j", "1", *more)

    assert status().returncode == 1
    assert "0 cases analyzed, 0 with a fault, 0 failed, 2 unchanged" in status().stdout
    done = status("--severity", "IRQ=low")
    assert (done.returncode, "2 cases analyzed" in done.stdout) == (0, True)
    assert tracekit("report", "r", "--severity", "IRQ=low").returncode == 0
    assert tracekit("report", "r").returncode == 0  # the results hold the severities that the batch was given
    (tmp_path / "tracekit.toml").write_text('fail-on = "proven:low"\n[[suppress]]\ncode = "IRQ"\ndevice = "02:00.0"\nreason = "known"\n')
    assert "1 finding suppressed" in status("--fail-on", "never").stdout
    found = tracekit("report", "r", "-f", "json")
    told = json.loads(found.stdout)
    assert (told["suppressed"], [f["cases"] for f in told["faults"]]) == (1, [1])
    assert "suppressed by IRQ, device 02:00.0 (known): 1 finding in 1 case" in told["settings"]
    for form in ("terminal", "markdown", "html", "csv"):
        assert "uppressed" in tracekit("report", "r", "-f", form).stdout, form
    tracekit("report", "r", "-f", "json", "-o", "old.json")
    known = json.loads(tracekit("report", "r", "--baseline", "r", "-f", "json").stdout)
    assert (known["suppressed"], known["faults"]) == (2, [])
    (tmp_path / "tracekit.toml").write_text('ignore = ["IRQ"]\n')
    assert json.loads(tracekit("report", "r", "-f", "json").stdout)["faults"] == []
    (tmp_path / "tracekit.toml").write_text("[set]\nXEN-003.least = 7\n")
    assert "analyzed with other settings" in tracekit("report", "r", "--full").stdout


def test_what_follows_from_a_suppressed_finding_alone_is_suppressed_in_a_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cause, effect = finding("IRQ-003", "g1", subject="0000:01:00.0"), finding("MSI-001", "g2", explained_by="IRQ-003", finding=1)
    results(tmp_path / "r", case("a", cause, effect), case("b", finding("IRQ-003", "g1", subject="0000:02:00.0"), effect))
    (tmp_path / "tracekit.toml").write_text('[[suppress]]\ncode = "IRQ-003"\ndevice = "0000:01:00.0"\nreason = "known"\n')
    told = json.loads(tracekit("report", "r", "-f", "json").stdout)
    assert (told["suppressed"], told["faults"][0]["on"]) == (2, ["b"])


def test_a_kept_run_is_reported_as_the_settings_have_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.log").write_text(log(1))
    tracekit("analyze", "a.log", "--save", "run.tracekit")
    assert tracekit("report", "run.tracekit").returncode == 1
    (tmp_path / "tracekit.toml").write_text('[[suppress]]\ncode = "IRQ"\nreason = "known"\n')
    done = tracekit("report", "run.tracekit", "-f", "json")
    assert (done.returncode, [s["by"] for s in json.loads(done.stdout)["suppressed"]]) == (0, ["IRQ (known)"])
