"""Zip: by its central directory where the file can be sought, by its local headers where it cannot or the directory is gone."""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import IO

from tracekit.errors import LimitError, SourceError
from tracekit.reading.unpack import BROKEN, STEP, Entry, Stream, expand, reason_of

IN_MEMORY = 64 << 20  # a zip inside an archive up to this size is read by its directory
_LOCAL, _END, _END64 = b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06"
_METHODS = {zipfile.ZIP_STORED: "", zipfile.ZIP_DEFLATED: "deflate", zipfile.ZIP_BZIP2: "bz2"}
_ENCRYPTED, _SIZES_FOLLOW = 0x1, 0x8
_HEADER = 30  # bytes of a local header, without name and extra field

Spend = Callable[[Iterable[bytes]], Iterator[bytes]]


def is_zip(head: bytes) -> bool:
    """Return whether the first bytes are a zip's, be it empty."""
    return head.startswith((_LOCAL, _END))


def entries(stream: Stream, file: IO[bytes] | None, most: int, spend: Spend) -> Iterator[Entry]:
    """Yield the entries in their order; each can be read until the next is asked for.

    Errors: `BROKEN`, LimitError over `most` entries, SourceError where entries overlap.
    """
    if file is None or not file.seekable():
        held = stream.peek(IN_MEMORY + 1)
        file = io.BytesIO(held) if len(held) <= IN_MEMORY else None
    try:
        directory = _directory(file, most) if file is not None else None
    except BROKEN as error:
        yield from _forward(stream, spend)
        why = reason_of(error)
        raise zipfile.BadZipFile(f"its directory is missing or damaged ({why}); the entries before the damage were read") from error
    if directory is None or file is None:
        yield from _forward(stream, spend)
        return
    _apart(directory)
    yield from _by_directory(directory, file, spend)


def _directory(file: IO[bytes], most: int) -> zipfile.ZipFile:
    """Return the zip's directory. Its size is looked at first: Python keeps all of it in memory."""
    file.seek(-min(file.seek(0, io.SEEK_END), 66 << 10), io.SEEK_END)
    tail = file.read()
    end, end64 = tail.rfind(_END), tail.rfind(_END64)
    if end < 0 or end + 12 > len(tail):
        raise zipfile.BadZipFile("no end of the directory")
    count = struct.unpack_from("<Q", tail, end64 + 32)[0] if 0 <= end64 <= len(tail) - 40 else struct.unpack_from("<H", tail, end + 10)[0]
    size = struct.unpack_from("<Q", tail, end64 + 40)[0] if 0 <= end64 <= len(tail) - 48 else struct.unpack_from("<I", tail, end + 12)[0]
    if count > most or size > most * 512:
        raise LimitError(f"a zip with more than {most} members; if you trust it, raise the limit (--max-members, or TRACEKIT_MAX_MEMBERS)")
    return zipfile.ZipFile(file)


def _apart(directory: zipfile.ZipFile) -> None:
    """Refuse a zip whose entries share bytes: a small one can hold the same content thousands of times. Errors: SourceError."""
    last, end = "", 0
    for info in sorted(directory.infolist(), key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise SourceError(f"its entries {last} and {info.filename} overlap: a zip that was built to cost much is not read")
        last, end = info.filename, info.header_offset + _HEADER + info.compress_size


def _by_directory(directory: zipfile.ZipFile, file: IO[bytes], spend: Spend) -> Iterator[Entry]:
    for info in directory.infolist():
        content = Stream(spend(_content(directory, file, info)))
        yield Entry(info.filename, _kind(info), _time(info), content, _refusal(info.flag_bits, info.compress_type))


def _content(directory: zipfile.ZipFile, file: IO[bytes], info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield what an entry holds. Python's reader loses the last block where the checksum is wrong. Errors: `BROKEN`, behind the content."""
    if info.compress_type == zipfile.ZIP_LZMA:
        with directory.open(info) as data:
            yield from iter(lambda: data.read(STEP), b"")
        return
    crc, kind = 0, _METHODS[info.compress_type]
    for block in expand(kind, _packed_blocks(file, info)) if kind else _packed_blocks(file, info):
        crc = zlib.crc32(block, crc)
        yield block
    if crc != info.CRC:
        raise zipfile.BadZipFile("its checksum is wrong")


def _packed_blocks(file: IO[bytes], info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the bytes of an entry as they lie in the file. Errors: EOFError, BadZipFile."""
    file.seek(info.header_offset)
    header = file.read(_HEADER)
    if len(header) < _HEADER or not header.startswith(_LOCAL):
        raise zipfile.BadZipFile("its header is damaged")
    at, left = info.header_offset + _HEADER + sum(struct.unpack_from("<2H", header, 26)), info.compress_size
    while left:
        file.seek(at)
        if not (block := file.read(min(left, STEP))):
            raise EOFError("the zip ends early")
        at, left = at + len(block), left - len(block)
        yield block


def _kind(info: zipfile.ZipInfo) -> str:
    """Return the kind of an entry by the upper half of its attributes, if a Unix system wrote the zip."""
    mode = info.external_attr >> 16
    if info.is_dir() or stat.S_ISDIR(mode):
        return "folder"
    if stat.S_ISLNK(mode):
        return "link"
    return "file" if stat.S_IFMT(mode) in (0, stat.S_IFREG) else "device"


def _time(info: zipfile.ZipInfo) -> int:
    try:
        return int(datetime(*info.date_time, tzinfo=UTC).timestamp())
    except ValueError:
        return 0


def _refusal(flags: int, method: int) -> str:
    if flags & _ENCRYPTED:
        return "is encrypted: unpack it with its password first"
    return "" if method in _METHODS or method == zipfile.ZIP_LZMA else f"is packed by a method not known here ({method}): unpack it first"


def _forward(stream: Stream, spend: Spend) -> Iterator[Entry]:
    """Yield the entries by their local headers. Links look like files here: only the central directory marks them."""
    while stream.peek(4) == _LOCAL:
        header = struct.unpack("<4s5H3I2H", stream.read(30))
        flags, method, packed, name_length, extra_length = header[2], header[3], header[7], header[9], header[10]
        name = stream.read(name_length).decode("utf-8", "replace") if name_length else ""
        packed = _packed(stream.read(extra_length) if extra_length else b"", packed)
        follows = bool(flags & _SIZES_FOLLOW)
        known = method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) and not flags & _ENCRYPTED
        if follows and (flags & _ENCRYPTED or method != zipfile.ZIP_DEFLATED):
            raise zipfile.BadZipFile(f"{name}: its size stands behind it only; what is behind it cannot be found")
        left = None if follows else packed
        data = _Data(stream, method, left, spend)
        kind = "folder" if name.endswith("/") else "file"
        problem = _refusal(flags, method) or ("" if known else "is packed by a method that is not read here")
        yield Entry(name, kind, 0, Stream(data.blocks), problem)
        data.skip()
        if follows:
            _skip_descriptor(stream)


class _Data:
    """The content of one entry that is read forward: `blocks`, unpacked. Without its packed size, deflated data say where they end."""

    def __init__(self, stream: Stream, method: int, packed: int | None, spend: Spend) -> None:
        self.stream, self.left = stream, packed
        deflated = expand("deflate", self._taken()) if method == zipfile.ZIP_DEFLATED else self._taken()
        self.blocks = spend(self._inflated() if packed is None else deflated)

    def skip(self) -> None:
        """Go to the end of the entry."""
        for _ in self.blocks if self.left is None else self._taken():
            pass

    def _taken(self) -> Iterator[bytes]:
        while self.left:
            block = next(self.stream.blocks(self.left))
            self.left -= len(block)
            yield block

    def _inflated(self) -> Iterator[bytes]:
        step = zlib.decompressobj(-15)
        for block in self.stream.blocks():
            while block and not step.eof:
                yield step.decompress(block, STEP)
                block = step.unconsumed_tail
            if step.eof:
                self.stream.push(step.unused_data)
                return
        raise EOFError("the deflated data end early")


def _packed(extra: bytes, packed: int) -> int:
    """Return the packed size; that of large entries stands in the zip64 field, behind the unpacked one."""
    at = 0
    while packed == 0xFFFFFFFF and at + 4 <= len(extra):
        tag, size = struct.unpack_from("<2H", extra, at)
        if tag == 1 and size >= 16:
            return int(struct.unpack_from("<Q", extra, at + 12)[0])
        at += 4 + size
    return packed


def _skip_descriptor(stream: Stream) -> None:
    """Skip the checksum and sizes behind an entry: with or without their mark, of 4 or 8 bytes."""
    head = stream.peek(28)
    mark = 4 if head[:4] == b"PK\x07\x08" else 0
    for size in (mark + 12, mark + 20):
        if head[size : size + 2] == b"PK" or len(head) == size:
            stream.read(size)
            return
    raise zipfile.BadZipFile("the sizes behind an entry are damaged")
