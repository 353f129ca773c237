"""Paths to sources, sources to chunks of physical lines, and the text of evidence lines.

A line ends at LF and nowhere else; lines are counted from 1. A source is small and can be pickled: it holds where the bytes are, not the
bytes. What cannot be sought (standard input, pipes) and what another program must render (trace.dat) is spooled to a temporary file first.
"""

import bisect
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import IO, Any

from tracekit.errors import LimitError, SourceError
from tracekit.reading import bundle, recordings, tracedat
from tracekit.reading.archive import Archive, Limits, Member, is_archive
from tracekit.reading.chunk import Chunk
from tracekit.reading.held import Held, Room
from tracekit.reading.interleaved import interleaved
from tracekit.reading.lines import bound, plain_lines, whole_lines
from tracekit.reading.runs import Runs
from tracekit.reading.spool import spool, spool_blocks, spool_file
from tracekit.reading.text import encoding_of, is_binary, recoded
from tracekit.reading.unpack import BROKEN, HEAD, compression, reason_of

CHUNK = 8 << 20
SMALL = 64 << 10
_STEP = 1 << 20
_OTHERS = {b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!\x1a\x07": "rar", b"\x04\x22\x4d\x18": "lz4", b"LZIP": "lzip"}  # by their first bytes
DAMAGED = "the data end early or are damaged"


@dataclass(frozen=True)
class Source:
    """A log: `path` as the user gave it, `file` where its bytes are, and how to read them.

    What is compressed or inside an archive is a `member` of `archive`. `machine`: whose log it is where the place says so. `remarks`
    collects notes for the report (cut lines, a truncated archive); `held` keeps the parsed text.
    """

    path: str
    file: str = ""
    encoding: str = ""
    first_line: int = 1
    archive: Archive | None = field(default=None, compare=False, repr=False)
    member: int = 0
    machine: str = ""
    remarks: list[str] = field(default_factory=list, compare=False)
    lost: list[str] = field(default_factory=list, compare=False)  # the remarks that say that lines are missing
    held: Held = field(default_factory=Held, compare=False, repr=False)
    returns: bool = False  # its lines end at CR alone, as a terminal's capture has them

    @property
    def plain(self) -> bool:
        """Return whether its bytes are those of the file."""
        return self.archive is None and not self.encoding and not self.returns

    @property
    def length(self) -> int:
        """Return how many bytes the file of a plain source has; 0 for others, of which it is not known."""
        with suppress(OSError):
            return os.stat(self.file).st_size if self.plain else 0
        return 0

    @property
    def small(self) -> bool:
        """Return whether it is known to be short: then it may be parsed together with others."""
        if self.archive is not None:
            return 0 < self.archive.kept(self.member) <= SMALL
        with suppress(OSError):
            return os.stat(self.file).st_size <= SMALL
        return False

    def chunks(self, size: int = CHUNK) -> Iterator[Chunk]:
        """Yield the source's lines in chunks of about `size` bytes; lines over 1 MiB are cut and counted in `notes()`."""
        line, cut = self.first_line, 0
        self.held.begin()
        for offset, raw in self._pieces(size):
            data, shortened = bound(raw)
            cut += shortened
            self.held.add(line, offset, raw, data, size)
            chunk = Chunk(line, data)
            yield chunk
            line = chunk.next_line
        if cut:
            self._lose(f"{cut} line{'s' if cut > 1 else ''} longer than 1 MiB cut")

    def text_of(self, numbers: Iterable[int]) -> dict[int, str]:
        """Return the text of some lines, by number, as they were parsed; note lines whose bytes are not what they were."""
        wanted = sorted(set(numbers))
        texts: dict[int, str] = {}
        for chunk in self._chunks_with(wanted) if wanted else ():
            inside = wanted[bisect.bisect_left(wanted, chunk.first_line) :]
            lines = chunk.data.split(b"\n", inside[-1] - chunk.first_line + 1) if inside else []
            if lines and not lines[-1] and chunk.data.endswith(b"\n"):
                lines.pop()
            texts.update((n, _decode(lines[n - chunk.first_line])) for n in inside if n - chunk.first_line < len(lines))
            if len(texts) == len(wanted):
                break
        return texts

    def notes(self) -> list[str]:
        """Return what the user should know about the reading so far."""
        return list(self.remarks)

    def losses(self) -> list[str]:
        """Return those notes that say that lines are missing."""
        return list(self.lost)

    def place(self, line: int) -> tuple[str, int]:
        """Return the file, and the line in it, that a line of the source comes from."""
        return self.path, line

    def _chunks_with(self, wanted: Sequence[int]) -> Iterator[Chunk]:
        """Yield the chunks that hold the wanted lines: those in memory, others read again where they are what was parsed."""
        firsts = sorted(self.held.marks)
        if not firsts:
            yield from self.chunks()
            return
        needed = {firsts[max(bisect.bisect_right(firsts, n) - 1, 0)] for n in wanted}
        kept = self.held.chunks
        yield from (Chunk(first, kept[first]) for first in sorted(needed & kept.keys()))
        if missing := sorted(needed - kept.keys()):
            found = list(self._again(missing))
            yield from found
            if len(found) < len(missing):
                self._lose("the file changed after it was read: some lines of evidence cannot be shown")

    def _again(self, firsts: Sequence[int]) -> Iterator[Chunk]:
        """Yield the chunks that begin with these lines, read again: by seeking in a plain file, else from the start."""
        marks = self.held.marks
        with suppress(OSError, SourceError):
            if self.plain:
                handle = self.held.open(self.file)
                read = ((first, os.pread(handle.handle, marks[first].length, marks[first].offset)) for first in firsts)
            else:
                by_offset = {marks[first].offset: first for first in firsts}
                pieces = replace(self, remarks=[], lost=[])._pieces(marks[firsts[0]].size)
                read = ((by_offset[offset], raw) for offset, raw in pieces if offset in by_offset)
            yield from (Chunk(first, bound(raw)[0]) for first, raw in islice(read, len(firsts)) if marks[first].fits(raw))

    def _pieces(self, size: int) -> Iterator[tuple[int, bytes]]:
        """Yield pieces of whole lines, each with its byte offset. Errors: OSError, SourceError."""
        if not self.plain:
            yield from whole_lines(self._blocks(min(size, CHUNK)), size)
            return
        opened = self.held.open(self.file)
        yield from plain_lines(opened.handle, size, self._lose)

    def _blocks(self, size: int) -> Iterator[bytes]:
        """Yield the bytes of the source, unpacked and as UTF-8."""
        blocks = _read(self.file, size) if self.archive is None else self._unpacked(self.archive)
        if self.returns:
            return (block.replace(b"\r", b"\n") for block in blocks)
        return recoded(blocks, self.encoding) if self.encoding else blocks

    def _unpacked(self, archive: Archive) -> Iterator[bytes]:
        return _whole(archive.blocks(self.member), self._lose, f"{archive.label}: ")

    def _note(self, text: str) -> None:
        if text not in self.remarks:
            self.remarks.append(text)

    def _lose(self, text: str) -> None:
        self._note(text)
        if text not in self.lost:
            self.lost.append(text)


@dataclass(frozen=True)
class Series(Source):
    """Join the parts of one log into one source; lines are numbered through.

    The parts of a rotated log follow each other, the oldest first, and the path is that of the newest; the parts of a recording that
    were written beside each other are `mixed` by their stamps. `cuts`: the parts whose last line goes on in the next one.
    """

    parts: tuple[Source, ...] = ()
    mixed: bool = False
    cuts: frozenset[int] = frozenset()
    runs: Runs = field(default_factory=Runs, compare=False, repr=False)

    @property
    def small(self) -> bool:
        """Return false: its parts are not looked at."""
        return False

    def chunks(self, size: int = CHUNK) -> Iterator[Chunk]:
        """Yield the lines of all parts; note a part that cannot be read."""
        self.runs.clear()
        line = 1
        for runs, data in interleaved([self._read(part, size) for part in self.parts], size) if self.mixed else self._in_order(size):
            for before, part, number in runs:
                self.runs.add(line + before, part, number)
            numbered = Chunk(line, data)
            yield numbered
            line = numbered.next_line

    def text_of(self, numbers: Iterable[int]) -> dict[int, str]:
        """Return the text of some lines, by number, read again from the parts that hold them."""
        wanted: dict[int, dict[int, int]] = {}
        for n in numbers:
            part, line = self.runs.at(n)
            wanted.setdefault(part, {})[line] = n
            if line == 1 and part - 1 in self.cuts:
                wanted.setdefault(part - 1, {})[self.runs.at(n - 1)[1] + 1] = n
        texts: dict[int, str] = {}
        for part, lines in sorted(wanted.items()):
            for line, text in self.parts[part].text_of(lines).items():
                texts[lines[line]] = texts.get(lines[line], "") + text
        return texts

    def notes(self) -> list[str]:
        """Return what the user should know about the reading of all parts so far."""
        return [*self.remarks, *(f"{part.path}: {note}" for part in self.parts for note in part.notes())]

    def losses(self) -> list[str]:
        """Return the notes of all parts that say that lines are missing."""
        return [*self.lost, *(f"{part.path}: {loss}" for part in self.parts for loss in part.losses())]

    def place(self, line: int) -> tuple[str, int]:
        """Return the part, and the line in it, that a line of the series comes from."""
        part, number = self.runs.at(line)
        return self.parts[part].path, number

    def _read(self, part: Source, size: int) -> Iterator[Chunk]:
        try:
            yield from part.chunks(size)
        except (SourceError, OSError) as error:
            self._lose(f"{part.path}: {error}")

    def _in_order(self, size: int) -> Iterator[tuple[list[tuple[int, int, int]], bytes]]:
        """Yield the parts one after the other: (the runs of some lines, these). A line that two parts share is of the later one."""
        held = b""
        for number, part in enumerate(self.parts):
            for chunk in self._read(part, size):
                data = held + chunk.data
                held = b""
                if not data.endswith(b"\n"):
                    kept = data.rfind(b"\n") + 1 if number in self.cuts else len(data)
                    data, held = data[:kept] + b"\n" * (number not in self.cuts), data[kept:]
                if data:
                    yield [(0, number, chunk.first_line)], data
        if held:
            yield [(0, len(self.parts) - 1, 1)], held + b"\n"


def discover(paths: Sequence[str], limits: Limits | None = None) -> tuple[list[Source], list[SourceError]]:
    """Find the sources that `paths` mean: files, members of archives, folders (all logs below, sorted), URLs, `-` for standard input."""
    limits, room = limits or Limits.given(), Room()
    found: list[tuple[Source, bundle.Log]] = []
    errors: list[SourceError] = []
    for path in paths:
        try:
            for name in _below(path, errors):
                found += _identify(name, limits, room, errors)
        except SourceError as error:
            errors.append(error)
    return _placed(found), errors


def _placed(found: Sequence[tuple[Source, bundle.Log]]) -> list[Source]:
    """Return the sources with their machines where there are several; join the parts of a rotated log, at the place of the newest."""
    machines = bundle.machines(s.path for s, _ in found)
    sources = {s.path: replace(s, machine=machines[s.path]) if s.path in machines else s for s, _ in found}
    logs = [log for s, log in found if s.first_line == 1]
    recorded, known = recordings.joined(logs, lambda log: _ends(sources[log.path]))
    rotated = [recordings.Joined(tuple(own)) for own in bundle.series(log for log in logs if log.path not in known)]
    for own in (*recorded, *rotated):
        parts = (*(sources.pop(log.path) for log in own.logs[:-1]), sources[own.logs[-1].path])
        told = f"read as one log: {', '.join(bundle.short(p.path for p in parts))}"
        last = parts[-1]
        sources[last.path] = Series(last.path, machine=last.machine, remarks=[told], parts=parts, mixed=own.mixed, cuts=own.cuts)
    for log in logs:
        if log.path in sources and not isinstance(sources[log.path], Series) and (cpu := recordings.sole_cpu(log)) is not None:
            sources[log.path]._lose(f"holds the events of CPU {cpu} alone: what the others did is not recorded")
    return list(sources.values())


def _ends(source: Source) -> recordings.Ends:
    """Return what the ends of a recording tell; of one that is packed, or is no UTF-8, only its begin is looked at."""
    if source.plain:
        return recordings.ends_of(source.file)
    with suppress(SourceError, OSError):
        pieces = replace(source, remarks=[], lost=[], held=Held())._pieces(recordings.LOOKED_AT)
        return recordings.ends(next(pieces, (0, b""))[1], None)
    return recordings.ends(b"", None)


def _below(path: str, errors: list[SourceError]) -> list[str]:
    """Return the files that a path means; add folders that cannot be read to `errors`. Errors: SourceError where it means none."""
    if path == "-" or is_url(path):
        return [path]
    if not os.path.exists(path):
        raise SourceError(f"{path}: no such file or folder")
    if not os.path.isdir(path):
        return [path]
    root = os.path.join(os.path.dirname(os.path.abspath(path)), "")
    closed: list[OSError] = []
    files = sorted(str(Path(folder) / name) for folder, _, names in os.walk(path, onerror=closed.append) for name in names)
    errors += [SourceError(f"{shown(str(e.filename))}: cannot be read: {e.strerror or e}") for e in closed]
    files = [f for f in files if os.path.isfile(f) and not os.path.islink(f) and bundle.is_log(os.path.abspath(f).removeprefix(root))]
    if not files:
        raise SourceError(f"{path}: the folder holds no log")
    return files


def _identify(path: str, limits: Limits, room: Room, errors: list[SourceError]) -> list[tuple[Source, bundle.Log]]:
    """Decide by the first bytes how a file is to be read; one that cannot be read is an error."""
    label = shown(path)
    try:
        if is_url(path):
            return list(_members(path, path, Archive(path, lambda: open_url(path), limits), room, errors))
        file = spool(sys.stdin.buffer) if path == "-" else path if os.path.isfile(path) else spool_file(path)
        with open(file, "rb") as stream:
            head = stream.read(HEAD)
        if compression(head) or is_archive(head):
            return list(_members(label, file, Archive(label, lambda: open(file, "rb"), limits), room, errors))
        return [_described(Source(label, file, held=Held(room)), head, int(os.stat(file).st_mtime))]
    except SourceError as error:
        errors.append(error)
    except OSError as error:
        errors.append(SourceError(f"{label}: cannot be read: {error.strerror or error}"))
    return []


def shown(path: str) -> str:
    """Return a path as text: bytes of a file name that are no UTF-8 as `\\xNN`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def is_url(path: str) -> bool:
    """Return whether a path is for fsspec: `s3://bucket/key`, `https://host/file`."""
    return re.match(r"[a-z][a-z0-9+.-]+://", path) is not None


def open_url(url: str) -> IO[bytes]:
    """Open a remote file for reading. Errors: SourceError where fsspec or the driver of the protocol is missing, or it cannot be opened."""
    try:
        return _fsspec(url).open(url, "rb").open()  # type: ignore[no-any-return]
    except SourceError:
        raise
    except Exception as error:  # what a driver raises is its own affair
        raise SourceError(f"{url}: cannot be read: {reason_of(error)}") from error


def remote(url: str, *, entries: bool = False) -> Any:
    """Return what a remote store says of a file (size, times, tags), or the URLs of a folder's entries. Errors: as `open_url`."""
    try:
        store, path = _fsspec(url).core.url_to_fs(url)
        return [store.unstrip_protocol(e) for e in store.ls(path, detail=False)] if entries else store.info(path)
    except SourceError:
        raise
    except Exception as error:
        raise SourceError(f"{url}: cannot be read: {reason_of(error)}") from error


def _fsspec(url: str) -> Any:
    try:
        return import_module("fsspec")
    except ImportError:
        raise SourceError(f"{url}: remote files need fsspec: pip install 'tracekit[remote]'") from None


def _members(path: str, file: str, archive: Archive, room: Room, errors: list[SourceError]) -> Iterator[tuple[Source, bundle.Log]]:
    """Return the logs of an archive or of a compressed file. Errors: SourceError where there is none."""
    others: Counter[str] = Counter()

    def wanted(member: Member, head: bytes) -> bool:
        log = not member.name or bundle.is_log(member.name)
        others.update([] if log and head else ["empty" if log else "no log by its name"])
        return log and bool(head)

    first: Source | None = None
    for member, head in archive.scan(wanted):
        label = f"{path}!{member.name}" if member.name else path
        try:
            source, log = _described(Source(label, file, archive=archive, member=member.index, held=Held(room)), head, member.mtime)
        except SourceError as error:
            if not member.name:
                raise
            others[str(error).removeprefix(f"{label}: ")] += 1
            continue
        first = first or source
        yield source, log
    errors += [SourceError(p.reason if p.reason.startswith(path) else f"{_label(path, p.member)}: {p.reason}") for p in archive.problems]
    told_others = ", ".join(f"{n} {what}" for what, n in sorted((archive.skipped + others).items()))
    if first is not None and told_others:
        first._note(f"of {path} some members were not read: {told_others}")
    if first is None and not archive.problems:
        raise SourceError(f"{path}: holds no log" + (f" ({told_others})" if told_others else ""))


def _label(path: str, member: str) -> str:
    return f"{path}!{member}" if member else path


def _described(source: Source, head: bytes, mtime: int) -> tuple[Source, bundle.Log]:
    """Return a source with the way to read it that its first bytes ask for. Errors: SourceError where they are no text."""
    if not head:
        raise SourceError(f"{source.path}: the file is empty")
    if head.startswith(tracedat.MAGIC):
        file = source.file if source.archive is None else spool_blocks(source._blocks(_STEP))
        return _rendered(source.path, file), bundle.Log(source.path, "", mtime)
    if packed := next((name for magic, name in _OTHERS.items() if head.startswith(magic)), ""):
        raise SourceError(f"{source.path}: is packed by {packed}, which is not read here: unpack it first")
    encoding = encoding_of(head)
    if not encoding and is_binary(head):
        raise SourceError(f"{source.path}: is not text")
    returns = not encoding and b"\n" not in head and head.count(b"\r") > 1
    return replace(source, encoding=encoding, returns=returns), bundle.Log(source.path, _decode(head[: 4 << 10]), mtime)


def _rendered(path: str, file: str) -> Source:
    """Yield a trace.dat as the text of `trace-cmd report`; release, clock and loss counters stand on lines 0 and below."""
    if not shutil.which("trace-cmd"):
        raise SourceError(f"{path}: is a trace.dat and trace-cmd is not installed; convert it: trace-cmd report {path} > trace.txt")
    extra, blocks, notes = tracedat.render(os.path.abspath(file))
    text = spool_blocks([b"".join(line.encode() + b"\n" for line in extra), *blocks])
    if os.path.getsize(text) == 0:
        raise SourceError(f"{path}: trace-cmd cannot read this trace.dat: {'; '.join(notes) or 'no output'}")
    return Source(path, text, first_line=1 - len(extra), remarks=notes, lost=list(notes))


def _read(file: str, size: int) -> Iterator[bytes]:
    with open(file, "rb") as stream:
        yield from iter(lambda: stream.read(size), b"")


def _whole(blocks: Iterator[bytes], note: Callable[[str], None], label: str) -> Iterator[bytes]:
    """Yield the unpacked blocks; where damage or a limit ends them, note it."""
    try:
        yield from blocks
    except BROKEN as error:
        note(f"{DAMAGED} ({reason_of(error)}); what could be unpacked was read")
    except LimitError as error:
        note(f"{str(error).removeprefix(label)}; what was unpacked until then was read")


def _decode(line: bytes) -> str:
    return line.decode("utf-8", "replace")
