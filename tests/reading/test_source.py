"""Sources: paths to chunks of physical lines, whatever the bytes are in."""

import bz2
import gzip
import io
import lzma
import pickle
import shutil
import sys
from pathlib import Path

import pytest

from tracekit.reading import tracedat
from tracekit.reading.lines import LINE_LIMIT
from tracekit.reading.source import Source, discover

LINES = [f"[    {i}.000000] line {i}" for i in range(1, 2001)]
TEXT = ("\n".join(LINES) + "\n").encode()


def only(path: Path) -> Source:
    sources, errors = discover([str(path)])
    assert not errors and len(sources) == 1
    return sources[0]


def lines_of(source: Source, size: int = 1 << 20) -> list[str]:
    data = b"".join(c.data for c in source.chunks(size))
    return data.decode().removesuffix("\n").split("\n")


def test_chunks_end_at_line_breaks_and_count_lines(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(TEXT)
    chunks = list(only(tmp_path / "a.log").chunks(1000))
    assert len(chunks) > 10 and all(c.data.endswith(b"\n") for c in chunks)
    assert b"".join(c.data for c in chunks) == TEXT
    assert all(c.data.split(b"\n")[0].decode() == LINES[c.first_line - 1] for c in chunks)


def test_lines_break_at_line_feed_only(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(
        b"one, which goes on\rstill one\x0b\x0c\x1e and on\xc2\x85 and on \xe2\x80\xa8 to here\ntwo\r\nthree and a longer end of the text"
    )
    source = only(tmp_path / "a.log")
    assert len(lines_of(source)) == 3
    assert source.text_of([2, 3]) == {2: "two\r", 3: "three and a longer end of the text"}


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
def test_compressed(tmp_path: Path, pack: object) -> None:
    assert callable(pack)
    (tmp_path / "log").write_bytes(pack(TEXT))
    source = only(tmp_path / "log")
    assert lines_of(source) == LINES
    assert source.text_of([1500]) == {1500: LINES[1499]}


def test_truncated_archive_gives_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(TEXT)[:-2000])
    source = only(tmp_path / "a.gz")
    found = lines_of(source)
    assert 10 < len(found) < len(LINES) and found[:10] == LINES[:10]
    assert any("early" in note for note in source.notes())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_byte_order_marks(tmp_path: Path, encoding: str) -> None:
    mark = "\ufeff" if encoding.endswith("e") else ""
    (tmp_path / "a.log").write_bytes((mark + TEXT.decode()).encode(encoding))
    assert lines_of(only(tmp_path / "a.log")) == LINES


def test_long_lines_are_cut_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"one\n" + b"x" * (3 * LINE_LIMIT) + b"\nthree\n")
    source = only(tmp_path / "a.log")
    found = lines_of(source)
    assert [len(x) for x in found] == [3, LINE_LIMIT, 5]
    assert source.notes() == ["1 line longer than 1 MiB cut"]
    assert source.text_of([3]) == {3: "three"}


@pytest.mark.parametrize("length", [100, 4096, 5000, LINE_LIMIT, 2 * LINE_LIMIT - 5000])
def test_a_chunk_ends_behind_a_line_of_any_length(length: int, tmp_path: Path) -> None:
    lines = [b"x" * length, b"end"]
    (tmp_path / "a.log").write_bytes(b"\n".join(lines) + b"\n")
    chunks = list(only(tmp_path / "a.log").chunks(10))
    assert [(c.first_line, c.data) for c in chunks] == [(1, lines[0][:LINE_LIMIT] + b"\n"), (2, b"end\n")]


def test_endless_line_does_not_fill_memory(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"x" * (8 * LINE_LIMIT) + b"\nend\n")
    source = only(tmp_path / "a.log")
    chunks = list(source.chunks(LINE_LIMIT))
    assert max(len(c.data) for c in chunks) < 4 * LINE_LIMIT
    assert lines_of(source)[-1] == "end" and source.text_of([2]) == {2: "end"}


def test_evidence_is_read_again_by_seeking(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(TEXT)
    source = only(tmp_path / "a.log")
    list(source.chunks(1000))
    assert source.text_of([1, 777, 2000, 9999]) == {n: LINES[n - 1] for n in (1, 777, 2000)}
    assert source.text_of([]) == {}
    assert pickle.loads(pickle.dumps(source)).text_of([777]) == {777: LINES[776]}
    assert only(tmp_path / "a.log").text_of([777]) == {777: LINES[776]}


def test_folders_are_read_sorted_and_deep(tmp_path: Path) -> None:
    for name in ("b.log", "a/z.log", "a/y.log"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(TEXT)
    sources, errors = discover([str(tmp_path)])
    assert [Path(s.path).relative_to(tmp_path).as_posix() for s in sources] == ["a/y.log", "a/z.log", "b.log"] and not errors


def test_what_cannot_be_read_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 100)
    names = [str(tmp_path / n) for n in ("missing", "empty", "folder", "binary")]
    sources, errors = discover(names)
    assert not sources and len(errors) == 4
    assert all(str(e).startswith(n) and "\n" not in str(e) for n, e in zip(names, errors, strict=True))


def test_nul_runs_are_text(tmp_path: Path) -> None:
    (tmp_path / "console").write_bytes(b"[    1.000000] x\n" * 50 + b"\0" * 512 + b"[    2.000000] y\n")
    assert len(lines_of(only(tmp_path / "console"))) == 51


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(TEXT))))
    sources, errors = discover(["-"])
    assert not errors and lines_of(sources[0]) == LINES and sources[0].path == "-"


CAPTURES = Path(__file__).parents[3] / "shared" / "captures"
TRACE_DAT = CAPTURES / "stale-hwsize-4-12-then-rebind-tracecmd-6.12" / "F-trace.dat"


@pytest.mark.skipif(not TRACE_DAT.exists() or not shutil.which("trace-cmd"), reason="needs the captures and trace-cmd")
def test_trace_dat_has_names_release_and_clock() -> None:
    source = only(TRACE_DAT)
    found = source.text_of([-1, 0, 1, 18, 26])
    assert found[-1] == "# trace_clock: global" and found[0].startswith("Linux version 6.12.95+deb12-amd64")
    assert found[1] == "cpus=2"
    assert "cmd: 0x00003b6e" in found[18]
    assert " <- __pci_enable_msix_range) " in "\n".join(lines_of(source))


def test_trace_dat_without_trace_cmd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trace.dat").write_bytes(tracedat.MAGIC + b"6\0\0\0")
    monkeypatch.setattr(shutil, "which", lambda *_args, **_named: None)
    _, errors = discover([str(tmp_path / "trace.dat")])
    assert "trace-cmd report" in str(errors[0])


def test_probe_lines_of_trace_cmd_take_ftrace_form() -> None:
    names = {0x10: tracedat.Symbol("msi_insert_desc", 0, 0x40, ""), 0x99: tracedat.Symbol("caller", 0x19, 0x80, "vfio")}
    named = tracedat._named(b"x: (0000000000000010) a=1\nx: (0000000000000010 <- 0000000000000099) rc=-34\nx: (00000000000000aa)\n", names)
    assert named == (b"x: (msi_insert_desc+0x0/0x40) a=1\nx: (caller+0x19/0x80 [vfio] <- msi_insert_desc) rc=-34\nx: (00000000000000aa)\n")


def test_options_of_a_trace_dat() -> None:
    dump = b"[Option TRACECLOCK, 67 bytes]\nlocal [mono] boot\n\n[Option UNAME, 35 bytes]\nLinux (none) 6.1.0 x86_64\n"
    dump += b"[Option CPUSTAT, 142 bytes]\nCPU: 1\nentries: 0\noverrun: 5\ncommit overrun: 0\ndropped events: 2\nread events: 9\n\n"
    assert tracedat._options(dump) == ["# trace_clock: mono", "CPU:1 [LOST 7 EVENTS]", "Linux version 6.1.0 (x86_64)"]


def test_a_log_that_a_crash_left_unwritten_in_the_middle_is_text(tmp_path: Path) -> None:
    (tmp_path / "messages").write_bytes(TEXT[:5000] + bytes(3_000_000) + b"\n" + TEXT)
    found = lines_of(only(tmp_path / "messages"))
    assert found[:50] == LINES[:50] and found[-2000:] == LINES


@pytest.mark.parametrize("start", [b"", b"LPKSHHRH\x00\x00\x01\n" + bytes(range(1, 200)), b"one text without a line"])
def test_other_files_with_unwritten_parts_are_no_text(tmp_path: Path, start: bytes) -> None:
    (tmp_path / "system.journal").write_bytes(start + bytes(3_000_000) + TEXT)
    assert [str(e) for e in discover([str(tmp_path / "system.journal")])[1]] == [f"{tmp_path}/system.journal: is not text"]


def test_lines_that_end_at_cr_alone_are_lines(tmp_path: Path) -> None:
    log = tmp_path / "capture.log"
    log.write_bytes(b"[    1.000000] a\r[    2.000000] b\r[    3.000000] c")
    (source,), errors = discover([str(log)])
    assert errors == []
    assert [line for chunk in source.chunks() for line in chunk.lines] == ["[    1.000000] a", "[    2.000000] b", "[    3.000000] c"]
    assert source.text_of([2, 3]) == {2: "[    2.000000] b", 3: "[    3.000000] c"}
