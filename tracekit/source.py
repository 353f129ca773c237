"""Paths to sources, sources to chunks of physical lines, and evidence lines read once more.

A line ends at LF and nowhere else; lines are counted from 1. A source is small and can be pickled: it holds where the bytes are, not the
bytes. What cannot be sought (standard input, pipes) and what another program must render (trace.dat) is spooled to a temporary file first.
"""

import atexit
import bisect
import bz2
import codecs
import gzip
import lzma
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

from tracekit import tracedat
from tracekit.errors import SourceError

CHUNK = 32 << 20
LINE_LIMIT = 1 << 20
HEAD = 64 << 10
_STEP = 1 << 20
_BROKEN = (EOFError, OSError, zlib.error, lzma.LZMAError)


class Chunk(NamedTuple):
    """Whole lines of a source: the number of the first one, and the bytes; every chunk but the last ends at LF."""

    first_line: int
    data: bytes


@dataclass(frozen=True)
class Source:
    """One log: `path` as the user gave it, `file` where its bytes are, and how to read them.

    `remarks` collects what the reader should be told (cut lines, a truncated archive); `marks` maps the first line of each chunk to its
    byte offset, where a file can be sought.
    """

    path: str
    file: str = ""
    compression: str = ""
    encoding: str = ""
    first_line: int = 1
    remarks: list[str] = field(default_factory=list, compare=False)
    marks: dict[int, int] = field(default_factory=dict, compare=False, repr=False)

    def chunks(self, size: int = CHUNK) -> Iterator[Chunk]:
        """The source's lines in chunks of about `size` bytes; lines over 1 MiB are cut and counted in `notes()`."""
        line, cut = self.first_line, 0
        for offset, raw in _whole_lines(self._blocks(min(size, CHUNK)), size):
            data, shortened = _bound(raw)
            cut += shortened
            self.marks[line] = offset
            yield Chunk(line, data)
            line += data.count(b"\n")
        if cut:
            self._note(f"{cut} line{'s' if cut > 1 else ''} longer than 1 MiB cut")

    def text_of(self, numbers: Iterable[int]) -> dict[int, str]:
        """The text of some lines, by number, read again from the file."""
        wanted = sorted(set(numbers))
        texts: dict[int, str] = {}
        for chunk in self._chunks_with(wanted):
            inside = wanted[bisect.bisect_left(wanted, chunk.first_line) :]
            lines = chunk.data.split(b"\n", inside[-1] - chunk.first_line + 1) if inside else []
            texts.update((n, _decode(lines[n - chunk.first_line])) for n in inside if n - chunk.first_line < len(lines))
            if not wanted or len(texts) == len(wanted):
                break
        return texts

    def notes(self) -> list[str]:
        """What the reader should be told about the reading so far."""
        return list(self.remarks)

    def _chunks_with(self, wanted: Sequence[int]) -> Iterator[Chunk]:
        """The chunks that hold the wanted lines: by seeking where offsets are known, else all from the start."""
        if self.compression or self.encoding or not self.marks:
            yield from self.chunks()
            return
        firsts = sorted(self.marks)
        places = sorted({max(bisect.bisect_right(firsts, n) - 1, 0) for n in wanted})
        with open(self.file, "rb") as stream:
            for place in places:
                begin = self.marks[firsts[place]]
                end = self.marks[firsts[place + 1]] if place + 1 < len(firsts) else None
                stream.seek(begin)
                yield Chunk(firsts[place], _bound(stream.read(-1 if end is None else end - begin))[0])

    def _blocks(self, size: int) -> Iterator[bytes]:
        """The bytes of the source, unpacked and as UTF-8."""
        blocks = _unpacked(self.file, self.compression, size, self._note)
        return _recoded(blocks, self.encoding) if self.encoding else blocks

    def _note(self, text: str) -> None:
        if text not in self.remarks:
            self.remarks.append(text)


def discover(paths: Sequence[str]) -> tuple[list[Source], list[SourceError]]:
    """Find the sources that `paths` mean: files, folders (all files below, sorted), `-` for standard input."""
    sources: list[Source] = []
    errors: list[SourceError] = []
    for path in paths:
        found = _below(path)
        if isinstance(found, SourceError):
            errors.append(found)
            continue
        for name in found:
            try:
                sources.append(_identify(name))
            except SourceError as error:
                errors.append(error)
    return sources, errors


def _below(path: str) -> list[str] | SourceError:
    """The files a path means, or why it means none."""
    if path == "-":
        return ["-"]
    if not os.path.exists(path):
        return SourceError(f"{path}: no such file or folder")
    if not os.path.isdir(path):
        return [path]
    files = sorted(str(Path(folder) / name) for folder, _, names in os.walk(path) for name in names)
    files = [name for name in files if os.path.isfile(name) and not os.path.islink(name)]
    return files or SourceError(f"{path}: the folder holds no file")


def _identify(path: str) -> Source:
    """Look at the first bytes and tell how a file is to be read; raises SourceError where it cannot be."""
    try:
        file = _spool(sys.stdin.buffer) if path == "-" else path if os.path.isfile(path) else _spool_file(path)
        return _source(path, file)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error


def _source(path: str, file: str) -> Source:
    compression = _compression(file)
    notes: list[str] = []
    head = _head(file, compression, notes)
    if not head:
        raise SourceError(f"{path}: {'holds nothing readable: ' + notes[0] if notes else 'the file is empty'}")
    if head.startswith(tracedat.MAGIC):
        return _rendered(path, _spool_blocks(_unpacked(file, compression, _STEP, notes.append)) if compression else file)
    encoding = _encoding(head)
    if not encoding and _is_binary(head):
        raise SourceError(f"{path}: is not text (if it is an archive, unpack it first)")
    return Source(path, file, compression, encoding, remarks=notes)


def _rendered(path: str, file: str) -> Source:
    """A trace.dat as the text of `trace-cmd report`; release, clock and loss counters stand on lines 0 and below."""
    if not shutil.which("trace-cmd"):
        raise SourceError(f"{path}: is a trace.dat and trace-cmd is not installed; convert it: trace-cmd report {path} > trace.txt")
    extra, blocks, notes = tracedat.render(os.path.abspath(file))
    text = _spool_blocks([b"".join(line.encode() + b"\n" for line in extra), *blocks])
    if os.path.getsize(text) == 0:
        raise SourceError(f"{path}: trace-cmd cannot read this trace.dat: {'; '.join(notes) or 'no output'}")
    return Source(path, text, first_line=1 - len(extra), remarks=notes)


_MAGIC = {b"\x1f\x8b": "gz", b"\xfd7zXZ\x00": "xz", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zst"}


def _compression(file: str) -> str:
    with open(file, "rb") as stream:
        head = stream.read(6)
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "")


def _head(file: str, compression: str, notes: list[str]) -> bytes:
    """The first bytes of the content."""
    head = b""
    for block in _unpacked(file, compression, HEAD, notes.append):
        head += block
        if len(head) >= HEAD:
            break
    return head[:HEAD]


def _encoding(head: bytes) -> str:
    """The text encoding when a byte order mark names one; bytes are UTF-8 otherwise."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return "utf-8-sig" if head.startswith(codecs.BOM_UTF8) else ""


def _is_binary(head: bytes) -> bool:
    """Whether bytes are no log: over 5 % control characters that no console writes. NUL runs of a crashed machine's log stay text."""
    noise = len(head) - len(head.translate(None, bytes(set(range(32)) - set(b"\t\n\r\x08\x0c\x1b\x00"))))
    text = head.translate(None, b"\x00")
    return noise * 20 > len(head) or len(text) * 4 < len(head)


def _unpacked(file: str, compression: str, size: int, note: Callable[[str], None]) -> Iterator[bytes]:
    """The content of a file in blocks; what a damaged archive still gives is given, then noted."""
    openers: dict[str, Callable[[str], IO[bytes]]] = {"gz": gzip.open, "xz": lzma.open, "bz2": bz2.open}  # type: ignore[dict-item]
    if compression == "zst":
        yield from _zstd(file, note)
        return
    with openers[compression](file) if compression else open(file, "rb") as stream:
        read: Callable[[int], bytes] = getattr(stream, "read1", stream.read) if compression else stream.read
        try:
            while block := read(size):
                yield block
        except _BROKEN as error:
            note(f"the {compression or 'file'} data end early or are damaged ({error}); what could be unpacked was read")


def _zstd(file: str, note: Callable[[str], None]) -> Iterator[bytes]:
    if not shutil.which("zstd"):
        note("zstd is not installed: unpack the file first (zstd -d)")
        return
    with subprocess.Popen(["zstd", "-dcq", "--", file], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout
        yield from iter(lambda: process.stdout.read(_STEP), b"")  # type: ignore[union-attr]
        if process.wait():
            note("the zst data end early or are damaged; what could be unpacked was read")


def _recoded(blocks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    for block in blocks:
        yield decoder.decode(block).encode()
    yield decoder.decode(b"", final=True).encode()


def _whole_lines(blocks: Iterable[bytes], size: int) -> Iterator[tuple[int, bytes]]:
    """Joins blocks to pieces of at least `size` bytes that end at LF, each with its byte offset. Of an endless line the start is kept."""
    offset, held, length, dropped = 0, [], 0, 0
    for block in blocks:
        held.append(block)
        length += len(block)
        if length < size:
            continue
        data = b"".join(held) if len(held) > 1 else block
        end = data.rfind(b"\n") + 1
        if end:
            yield offset, data[:end]
            offset, dropped = offset + end + dropped, 0
        rest = data[end:]
        kept = rest[: LINE_LIMIT + 1] if len(rest) > 2 * LINE_LIMIT else rest
        dropped += len(rest) - len(kept)
        held, length = ([kept], len(kept)) if kept else ([], 0)
    if length:
        yield offset, b"".join(held)


_OVERLONG = re.compile(rb"([^\n]{%d})[^\n]+" % LINE_LIMIT)


def _bound(data: bytes) -> tuple[bytes, int]:
    """Cuts lines over the limit; the search is one look-up a MiB where there are none."""
    if all(data.find(b"\n", at, at + LINE_LIMIT) >= 0 for at in range(0, len(data) - LINE_LIMIT, LINE_LIMIT)):
        return data, 0
    return _OVERLONG.subn(rb"\1", data)


def _decode(line: bytes) -> str:
    return line.decode("utf-8", "replace")


def _spool(stream: IO[bytes]) -> str:
    return _spool_blocks(iter(lambda: stream.read(_STEP), b""))


def _spool_file(path: str) -> str:
    with open(path, "rb") as stream:
        return _spool(stream)


def _spool_blocks(blocks: Iterable[bytes]) -> str:
    """Writes blocks to a temporary file that goes when the process ends; returns its name."""
    handle, name = tempfile.mkstemp(prefix="tracekit-")
    atexit.register(_remove, name, os.getpid())
    with os.fdopen(handle, "wb") as out:
        for block in blocks:
            out.write(block)
    return name


def _remove(name: str, owner: int) -> None:
    if os.getpid() == owner:
        with suppress(OSError):
            os.unlink(name)
