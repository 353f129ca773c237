"""Compressed data as streams of blocks: gz, xz, bz2 and zstd, one block at a time whatever they expand to."""

import bz2
import lzma
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

HEAD = 64 << 10
STEP = 1 << 20
PIECE = 64 << 10  # bytes that come out in one go: as many are lost at most where a long stream is damaged
_AGAIN = 4 << 20  # bytes of input that are read again for what comes right before the damage
# What a decompressor may take for itself; `xz -9` needs 65 MiB, a crafted header may ask for 4 GiB.
_XZ_MEMORY = 256 << 20
_MAGIC = {b"\x1f\x8b\x08": "gz", b"\xfd7zXZ\x00": "xz", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zst"}
_BZ2_BLOCK = (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90")
BROKEN = (EOFError, OSError, zlib.error, lzma.LZMAError, zstd.ZstdError, zipfile.BadZipFile, struct.error, NotImplementedError)


class Decompressor(Protocol):
    """The common interface of the decompressors of bz2, lzma and zstd."""

    @property
    def eof(self) -> bool:
        """Return whether the end mark was reached."""
        ...

    @property
    def needs_input(self) -> bool:
        """Return whether more input is needed for more output."""
        ...

    @property
    def unused_data(self) -> bytes:
        """Return the bytes behind the end mark."""
        ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Return at most `max_length` bytes of what `data` and the input before it expand to."""
        ...


class Stream:
    """Read blocks with a look ahead. An error of the blocks is raised when the reader comes to it, and at every read after that."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._held, self._at = b"", 0
        self._error: Exception | None = None
        self._done = False

    @property
    def error(self) -> Exception | None:
        """Return the error that the blocks raised; the reader may not have come to it yet."""
        return self._error

    def peek(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer at the end, without taking them."""
        if len(self._held) - self._at >= size:
            return self._held[self._at : self._at + size]
        parts = [self._held[self._at :]]
        length = len(parts[0])
        while length < size and (block := self._more()):
            parts.append(block)
            length += len(block)
        if len(parts) > 1:
            self._held, self._at = b"".join(parts), 0
        return self._held[self._at : self._at + size]

    def blocks(self, size: int | None = None) -> Iterator[bytes]:
        """Yield the next `size` bytes in blocks, or all. Errors: EOFError when there are fewer; what the blocks raise."""
        while size is None or size > 0:
            if self._at == len(self._held):
                self._held, self._at = self._more(), 0
            if not self._held:
                if self._error is not None:
                    raise self._error
                if size is not None:
                    raise EOFError("the data end early")
                return
            end = len(self._held) if size is None else min(len(self._held), self._at + size)
            block = self._held[self._at : end]
            size = None if size is None else size - len(block)
            self._at = end
            yield block

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes, or none at the end of the stream. Errors: EOFError for fewer; what the blocks raise."""
        if len(self._held) - self._at >= size:
            self._at += size
            return self._held[self._at - size : self._at]
        if not self.peek(1) and self._error is None:
            return b""
        return b"".join(self.blocks(size))

    def push(self, data: bytes) -> None:
        """Put back bytes that were read too far."""
        self._held, self._at = data + self._held[self._at :], 0

    def _more(self) -> bytes:
        """Return the next block; empty at the end and after an error."""
        if self._done:
            return b""
        try:
            for block in self._blocks:
                if block:
                    return block
        except Exception as error:
            self._error = error
        self._done = True
        return b""


@dataclass
class Entry:
    """An entry of an archive. `kind`: file, folder, link, device, or another word; `problem`: why it cannot be read."""

    name: str
    kind: str
    mtime: int
    stream: Stream
    problem: str = ""


def compression(head: bytes) -> str:
    """Return gz, xz, bz2 or zst by the first bytes (10 are enough), else ""."""
    kind = next((k for magic, k in _MAGIC.items() if head.startswith(magic)), "")
    return "" if kind == "bz2" and not head[4:10].startswith(_BZ2_BLOCK) else kind


def opened(stream: Stream, spend: Callable[[Iterable[bytes]], Iterator[bytes]], most: int) -> tuple[Stream, int]:
    """Return (what a stream holds once unpacked, how often it was, at most `most` + 1 times). `spend` counts what comes out."""
    layers = 0
    while layers <= most and (kind := compression(stream.peek(10))):
        stream = Stream(spend(expand(kind, stream.blocks())))
        layers += 1
    return stream, layers


def expand(kind: str, blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Unpack compressed blocks, also of several streams in a row. Errors: those of `BROKEN`, after all that could be unpacked."""
    step: _Step | None = None
    for data in blocks:
        while data or (step is not None and not step.needs_input):
            if step is None:
                step = _Step(kind)
            try:
                out = step.decompress(data)
            except BROKEN:
                yield from step.salvaged()
                raise
            if out:
                yield out
            data = b""
            if step.eof:
                data, step = step.unused_data.lstrip(b"\0"), None
    if step is not None:
        raise EOFError("the compressed data end before their end mark")


class _Step:
    """Unpack one stream piece by piece.

    A decompressor loses the piece in which it finds damage, so the input is kept for a second reading.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._inner = _decompressor(kind)
        self._start: _Gzip | None = None  # where the second reading begins, if not at the begin of the stream
        self._fed: list[bytes] = []
        self._left = _AGAIN  # bytes of input that may still be kept
        self._given = 0  # bytes that came out since the start of the second reading

    @property
    def needs_input(self) -> bool:
        return self._inner.needs_input

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes) -> bytes:
        if data:
            self._keep(data)
        out = self._inner.decompress(data, PIECE)
        self._given += len(out)
        return out

    def _keep(self, data: bytes) -> None:
        """Keep input for a second reading; once it is too much, begin that one here (gz), or do without it."""
        if self._left < 0 and isinstance(self._inner, _Gzip):
            self._start, self._fed, self._left, self._given = self._inner.copy(), [], _AGAIN, 0
        self._left -= len(data)
        self._fed = [*self._fed, data] if self._left >= 0 or isinstance(self._inner, _Gzip) else []

    def salvaged(self) -> Iterator[bytes]:
        """Yield what comes before the damage and was not given yet: read again in ever smaller pieces."""
        for size in (4096, 64, 1) if self._fed else ():
            more = self._again(size)
            self._given += len(more)
            yield more

    def _again(self, size: int) -> bytes:
        """Unpack again up to the damage, in pieces of `size` bytes, and return what follows the bytes that were already returned."""
        inner = self._start.copy() if self._start is not None else _decompressor(self._kind)
        at, out = 0, bytearray()
        with suppress(*BROKEN):
            for data in self._fed:
                while data or not inner.needs_input:
                    piece = inner.decompress(data, min(PIECE, max(self._given - at, 0)) or size)
                    out += piece[max(self._given - at, 0) :]
                    at, data = at + len(piece), b""
        return bytes(out)


def reason_of(error: BaseException) -> str:
    """Return what an error of `BROKEN` or of a remote store says, in one line."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__


class _Gzip:
    """zlib's decompressor with the interface of the others."""

    def __init__(self, zlib: Any) -> None:
        self._zlib = zlib

    def copy(self) -> "_Gzip":
        """Return a copy of the state, which continues from here."""
        return _Gzip(self._zlib.copy())

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return bytes(self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length))

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def eof(self) -> bool:
        return bool(self._zlib.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._zlib.unused_data)


def _decompressor(kind: str) -> Decompressor:
    if kind == "xz":
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
    if kind == "bz2":
        return bz2.BZ2Decompressor()
    return zstd.ZstdDecompressor() if kind == "zst" else _Gzip(zlib.decompressobj(-15 if kind == "deflate" else 31))
