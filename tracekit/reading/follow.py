"""A log that grows, is rotated or comes through a pipe: the lines that are new since one looked last."""

import os
import select
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO

from tracekit.errors import SourceError

_BLOCK = 4 << 20  # bytes of one look
_LONGEST = 1 << 20  # bytes without a line break that are taken for a line


class Follower:
    """Yield the lines of one path as they come. After a rotation, or where the file is cut and written anew, lines count from 1 again.

    A file is followed by its name: what was written before it was renamed is read first. One that is cut and has grown beyond what was
    read when one looks again is taken for one that only grew.
    """

    def __init__(self, path: str, stdin: IO[bytes] | None = None, sleep: Callable[[float], None] = time.sleep) -> None:
        self.path = path
        self.ended = False  # nothing will come: the other side of a pipe is closed
        self.restarts = 0
        self._stdin, self._sleep = stdin, sleep
        self._rest = b""
        self._number = 0
        self._handle = -1 if path == "-" else self._opened()

    def lines(self, wait: float) -> list[tuple[int, bytes]]:
        """Return (number, text) of new whole lines; waits this many seconds at most where there are none. Errors: SourceError."""
        data = self._piped(wait) if self._stdin else self._read() or self._moved()
        if not data and not self._stdin:
            self._sleep(wait)
            data = self._read()
        return self._split(data)

    def close(self) -> None:
        """Let go of the file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _opened(self) -> int:
        try:
            return os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise SourceError(f"{self.path}: cannot be read: {error.strerror or error}") from error

    def _read(self) -> bytes:
        """Return what a file has beyond what was read, or what a pipe holds."""
        try:
            return os.read(self._handle, _BLOCK)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise SourceError(f"{self.path}: cannot be read: {error.strerror or error}") from error

    def _piped(self, wait: float) -> bytes:
        """Return what standard input has, as soon as it has something."""
        stream = self._stdin
        assert stream is not None
        try:
            handle = stream.fileno()
        except (OSError, AttributeError):  # bytes in memory
            data = stream.read(_BLOCK)
        else:
            if not select.select([handle], [], [], wait)[0]:
                return b""
            data = os.read(handle, _BLOCK)
        self.ended = not data
        return data

    def _moved(self) -> bytes:
        """Return the beginning of the file that has the name now, or of the same one where it was cut; nothing where it only grows."""
        mine = os.fstat(self._handle)
        with suppress(OSError):
            named = os.stat(self.path)
            if (named.st_dev, named.st_ino) != (mine.st_dev, mine.st_ino):
                return self._read() or self._restarted(self._opened())  # what came while one looked is still of the old one
        with suppress(OSError):  # pipes and the kernel's trace_pipe have no position
            if mine.st_size < os.lseek(self._handle, 0, os.SEEK_CUR):
                os.lseek(self._handle, 0, os.SEEK_SET)
                return self._restarted(self._handle)
        return b""

    def _restarted(self, handle: int) -> bytes:
        if handle != self._handle:
            self.close()
            self._handle = handle
        self.restarts += 1
        self._rest, self._number = b"", 0
        return self._read()

    def _split(self, data: bytes) -> list[tuple[int, bytes]]:
        pieces = (self._rest + data).split(b"\n")
        self._rest = pieces.pop()
        if self._rest and (self.ended or len(self._rest) > _LONGEST):
            pieces.append(self._rest)
            self._rest = b""
        first = self._number + 1
        self._number += len(pieces)
        return list(enumerate(pieces, first))
