"""Parsed text, kept for evidence: small logs whole; of large ones the offset of each chunk, and a checksum of its ends.

A log can be rotated, cut or deleted while it is read. Its evidence is what was parsed, so nothing is shown that may be something else.
"""

import os
import weakref
import zlib
from dataclasses import dataclass, field
from typing import NamedTuple

_ROOM = 32 << 20  # bytes of all logs of a case
_OPEN = 64  # files of a case that stay open
_ENDS = 4 << 10  # bytes at either end of a chunk that tell it from another


class Mark(NamedTuple):
    """Say where a chunk stands: its byte offset, its length there, and what its ends are like; `size`: of the chunks asked for."""

    offset: int
    length: int
    ends: int
    size: int

    @classmethod
    def of(cls, offset: int, data: bytes, size: int) -> "Mark":
        """Return the mark of a chunk as it was read."""
        return cls(offset, len(data), zlib.crc32(data[:_ENDS] + data[-_ENDS:]), size)

    def fits(self, data: bytes) -> bool:
        """Return whether these bytes are those that were marked."""
        return self == Mark.of(self.offset, data, self.size)


@dataclass
class Room:
    """Count what the logs of a case may still keep: bytes in memory, and open files."""

    left: int = _ROOM
    files: int = _OPEN

    def take(self, size: int) -> bool:
        """Return whether so many bytes may be kept; they are counted."""
        fits = size <= self.left
        self.left -= size if fits else 0
        return fits


class Opened:
    """An open file: its content can be read again after it was renamed or deleted. Another process has to open it by its path."""

    def __init__(self, file: str) -> None:
        self.handle = os.open(file, os.O_RDONLY)
        weakref.finalize(self, os.close, self.handle)


@dataclass
class Held:
    """The chunks of one log, by their first lines."""

    room: Room = field(default_factory=Room)
    marks: dict[int, Mark] = field(default_factory=dict)
    chunks: dict[int, bytes] = field(default_factory=dict)
    opened: Opened | None = None

    def begin(self) -> None:
        """Forget an earlier reading."""
        self.room.left += sum(map(len, self.chunks.values()))
        self.marks.clear()
        self.chunks.clear()

    def add(self, line: int, offset: int, raw: bytes, data: bytes, size: int) -> None:
        """Keep a chunk that begins with this line, `raw` as it stands in the file and `data` as it is parsed."""
        self.marks[line] = Mark.of(offset, raw, size)
        if self.room.take(len(data)):
            self.chunks[line] = data

    def open(self, file: str) -> Opened:
        """Open a file that is about to be read; a large one stays open if the case has few of them. Errors: OSError."""
        if self.opened is not None:
            return self.opened
        opened = Opened(file)
        if self.room.files and os.fstat(opened.handle).st_size > self.room.left:
            self.room.files -= 1
            self.opened = opened
        return opened

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "opened": None}
