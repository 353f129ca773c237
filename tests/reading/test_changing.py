"""Logs that are rotated, cut, replaced or deleted while they are read: what was parsed counts, and what is missing is said."""

import gzip
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from tracekit import pipeline
from tracekit.errors import SourceError
from tracekit.parsing.parse import parse
from tracekit.pipeline import Engine, analyze, analyze_opened
from tracekit.reading.held import Room
from tracekit.reading.source import Source, discover
from tracekit.run import Run

FAULT = (
    "[  100.000000] DMAR: DRHD: handling fault status reg 2\n[  100.000001] DMAR: [INTR-REMAP] Request device [01:00.0] "
    "fault index 0x3000 [fault reason 0x22] Present field in the IRTE entry is clear\n"
)
BOOT = "".join(f"[{i:5d}.000000] usb 1-1: device {i}\n" for i in range(1, 100))
LOG = (BOOT + FAULT).encode()
CHANGED = "the file changed after it was read: some lines of evidence cannot be shown"


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load()


def rotated(log: Path) -> None:
    os.rename(log, log.with_suffix(".1"))
    log.write_bytes(b"[    0.000000] another log\n" * 300)


def copied_and_cut(log: Path) -> None:
    os.truncate(log, 0)


def written_anew(log: Path) -> None:
    with open(log, "r+b") as stream:
        stream.write(b"[    0.000000] another log\n" * 300)


def appended(log: Path) -> None:
    with open(log, "ab") as stream:
        stream.write(b"[  200.000000] usb 1-1: one more\n")


CHANGES: list[Callable[[Path], None]] = [rotated, copied_and_cut, written_anew, appended, os.unlink]


def meanwhile(log: Path, change: Callable[[Path], None], engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The run of a log that changes right after it was parsed."""

    def parsed(source: Source, *rest: object) -> object:
        account = parse(source, *rest)  # type: ignore[arg-type]
        change(log)
        return account

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "parse", parsed)
        return analyze([str(log)], None, engine)


def evidence(run: Run) -> list[str]:
    return [e.text for f in run.findings if f.code == "IRQ-003" for e in f.evidence]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_evidence_is_what_was_parsed(
    change: Callable[[Path], None], pack: Callable[[bytes], bytes], tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "messages"
    log.write_bytes(pack(LOG))
    run = meanwhile(log, change, engine, monkeypatch)
    assert set(evidence(run)) <= set(FAULT.splitlines()) and any("INTR-REMAP" in text for text in evidence(run))
    assert run.doubts == ()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_of_a_large_log_nothing_is_shown_that_was_not_parsed(
    change: Callable[[Path], None], pack: Callable[[bytes], bytes], tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too large for memory is read again: from the open file, or else with a look at whether it is the same."""
    monkeypatch.setattr("tracekit.reading.source.Room", lambda: Room(left=0, files=1))
    monkeypatch.setattr("tracekit.reading.archive.KEPT", 0)
    log = tmp_path / "messages"
    log.write_bytes(pack(LOG))
    run = meanwhile(log, change, engine, monkeypatch)
    assert len(evidence(run)) >= 1 and set(evidence(run)) <= {"", *FAULT.splitlines()}
    lost = "" in evidence(run)
    assert [d.text for d in run.doubts] == ([f"{log}: {CHANGED}"] if lost else [])
    assert lost == (change is not appended and (pack is not bytes or change in (copied_and_cut, written_anew)))


def test_a_log_that_shrinks_while_it_is_read(tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracekit.reading.source.CHUNK", 1000)
    log = tmp_path / "messages"
    log.write_bytes(FAULT.encode() + BOOT.encode() * 10)
    (source,), _ = discover([str(log)])
    seen = 0
    for n, chunk in enumerate(source.chunks(1000)):
        seen += len(chunk.data)
        if n == 1:
            os.truncate(log, 2500)
    assert seen == 2500
    assert source.losses() == [f"the file shrank while it was read: {len(FAULT) + len(BOOT) * 10 - 2500:,} bytes are missing"]
    assert source.text_of([1]) == {1: FAULT.splitlines()[0]}


@pytest.mark.parametrize("name", ["messages", "messages.gz"])
def test_a_log_that_is_gone_before_it_is_parsed(name: str, tmp_path: Path, engine: Engine) -> None:
    log, other = tmp_path / name, tmp_path / "dmesg"
    log.write_bytes(gzip.compress(LOG + os.urandom(9 << 20).hex().encode()) if name.endswith("gz") else LOG)
    other.write_bytes(LOG)
    found = discover([str(log), str(other)])
    log.unlink()
    run = analyze_opened(pipeline.Opened(*found), pipeline.Options(), engine)
    assert "IRQ-003" in [f.code for f in run.findings]
    assert [(d.kind, d.text.startswith(str(log)), "there is no such file" in d.text) for d in run.doubts] in (
        [("unread", True, True)],
        [("cut", True, True)],
    )
    found = discover([str(other)])
    other.unlink()
    with pytest.raises(SourceError, match=r"dmesg: cannot be read: there is no such file$"):
        analyze_opened(pipeline.Opened(*found), pipeline.Options(), engine)


def test_an_archive_that_is_another_one_when_it_is_read(tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    import io
    import tarfile

    monkeypatch.setattr("tracekit.reading.archive.KEPT", 0)

    def tar(name: str) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as t:
            info = tarfile.TarInfo(name)
            info.size = len(LOG)
            t.addfile(info, io.BytesIO(LOG))
        return out.getvalue()

    case = tmp_path / "case.tgz"
    case.write_bytes(tar("a.log"))
    found = discover([str(case)])
    case.write_bytes(tar("b.log"))
    run = analyze_opened(pipeline.Opened(*found), pipeline.Options(), engine)
    assert "IRQ-003" not in [f.code for f in run.findings]
    assert any("the file changed while it was read" in loss for s in run.sources for loss in s.losses)


def test_what_is_held_goes_along_to_another_process(tmp_path: Path) -> None:
    log = tmp_path / "messages"
    log.write_bytes(LOG)
    (source,), _ = discover([str(log)])
    list(source.chunks())
    log.unlink()
    assert pickle.loads(pickle.dumps(source)).text_of([1]) == {1: BOOT.splitlines()[0]}


def test_the_first_line_of_the_next_chunk_is_not_the_end_of_this_one(tmp_path: Path) -> None:
    log = tmp_path / "messages"
    log.write_bytes(LOG)
    (source,), _ = discover([str(log)])
    first, second, *_ = source.chunks(1000)
    assert source.text_of([1, second.first_line])[second.first_line] == BOOT.splitlines()[second.first_line - 1]
    assert first.next_line == second.first_line


def test_a_case_holds_no_more_than_its_room(tmp_path: Path) -> None:
    for n in range(5):
        (tmp_path / f"{n}.log").write_bytes(LOG)
    sources, _ = discover([str(tmp_path)])
    room = sources[0].held.room
    room.left = 2 * len(LOG)
    for source in sources:
        list(source.chunks())
    assert [len(s.held.chunks) for s in sources] == [1, 1, 0, 0, 0]
    assert [s.text_of([100])[100] for s in sources] == [FAULT.splitlines()[0]] * 5


def test_small_logs_are_parsed_some_at_a_time_and_one_that_is_gone_leaves_the_others(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone: list[str] = []

    def counted(source: Source, *rest: object) -> object:
        alone.append(source.path)
        return parse(source, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline, "parse", counted)
    monkeypatch.setattr(pipeline, "_TOGETHER", 4)
    logs = [tmp_path / f"{name}.log" for name in "abcdefghij"]
    for n, log in enumerate(logs):
        log.write_bytes(LOG.replace(b"01:00.0", b"01:%02x.0" % n))
    whole = analyze([str(tmp_path)], None, engine)
    assert (alone, len(whole.sources), whole.errors) == ([], 10, ())
    found = discover([str(tmp_path)])
    logs[5].unlink()
    run = analyze_opened(pipeline.Opened(*found), pipeline.Options(), engine)
    assert run.errors == (f"{logs[5]}: cannot be read: there is no such file",)
    assert [s for s in whole.sources if s.path != str(logs[5])] == list(run.sources)
    assert alone and set(alone) <= {str(log) for log in logs[4:8]}
