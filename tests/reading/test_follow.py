"""A log that grows, is rotated, is cut and written anew, or comes through a pipe."""

import os
from pathlib import Path

import pytest

from tracekit.errors import SourceError
from tracekit.reading.follow import Follower


def still(_: float) -> None:
    """Wait no time."""


def following(path: Path) -> Follower:
    return Follower(str(path), sleep=still)


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_lines_come_whole_and_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("a\nb\nc")
    f = following(log)
    assert f.lines(0) == [(1, b"a"), (2, b"b")]
    assert f.lines(0) == []
    append(log, "d\ne\n")
    assert f.lines(0) == [(3, b"cd"), (4, b"e")]


def test_a_renamed_log_is_read_to_its_end_before_the_new_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("a\n")
    f = following(log)
    f.lines(0)
    append(log, "b\n")
    log.rename(tmp_path / "log.1")
    assert f.lines(0) == [(2, b"b")]
    assert f.lines(0) == []  # nobody has written a new one yet
    log.write_text("c\n")
    assert (f.lines(0), f.restarts) == ([(1, b"c")], 1)


def test_what_is_written_to_a_renamed_log_after_a_look_is_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("a\n")
    f = following(log)
    f.lines(0)
    log.rename(tmp_path / "log.1")
    log.write_text("c\n")
    append(tmp_path / "log.1", "b\n")
    assert f.lines(0) == [(2, b"b")]
    assert f.lines(0) == [(1, b"c")]


def test_a_log_that_is_cut_begins_anew(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("a\nb\nc\n")
    f = following(log)
    f.lines(0)
    os.truncate(log, 0)
    append(log, "d\n")
    assert (f.lines(0), f.restarts) == ([(1, b"d")], 1)


def test_a_pipe_ends_with_its_last_line_whole_or_not(tmp_path: Path) -> None:
    end, begin = os.pipe()
    with os.fdopen(end, "rb") as reader:
        f = Follower("-", reader, sleep=still)
        assert f.lines(0) == []
        os.write(begin, b"a\nb")
        assert f.lines(0) == [(1, b"a")]
        os.close(begin)
        assert (f.lines(0), f.ended) == ([(2, b"b")], True)


def test_a_named_pipe_without_a_writer_waits(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    f = following(tmp_path / "pipe")
    assert (f.lines(0), f.ended) == ([], False)
    writer = os.open(tmp_path / "pipe", os.O_WRONLY)
    os.write(writer, b"a\n")
    assert f.lines(0) == [(1, b"a")]
    os.close(writer)
    assert (f.lines(0), f.ended) == ([], False)


def test_a_line_without_end_is_cut(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * (2 << 20))
    f = following(log)
    assert [len(text) for _, text in f.lines(0)] == [2 << 20]


def test_a_log_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        following(tmp_path / "log")
