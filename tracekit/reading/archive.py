"""Archives as streams: members of tar and zip, compressed or not, one inside another, within limits; nothing is written to disk.

One pass over an archive gives its members in their order, each as blocks that can be read until the next member is asked for. What is
broken, encrypted or beyond a limit is a problem with its reason; what came before it stays.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from typing import IO

from tracekit.errors import LimitError, SourceError
from tracekit.reading import tar, unpack, zips
from tracekit.reading.unpack import Entry, Stream

KEPT = 64 << 20  # bytes of content held in memory for one archive, and of one member of it
KEPT_EACH = 8 << 20
_AGAIN = 16  # how often all of it may be read again
_STEP = 1 << 20
_SIZES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True)
class Limits:
    """Limit the cost of an input. Bytes: `expanded`, `ratio_after`, `name`; `ratio` (expanded to packed) counts past `ratio_after`."""

    expanded: int = 20 << 30
    ratio: int = 200
    ratio_after: int = 64 << 20
    members: int = 100_000
    depth: int = 3
    name: int = 4096

    @classmethod
    def given(cls, **values: int | None) -> "Limits":
        """Return the limits of the environment (TRACEKIT_MAX_EXPANDED=50G, TRACEKIT_MAX_RATIO, ..), replaced by those given here."""
        found = {f.name: os.environ.get(f"TRACEKIT_MAX_{f.name.upper()}") for f in fields(cls)}
        told = {name: size_of(text, f"TRACEKIT_MAX_{name.upper()}") for name, text in found.items() if text}
        return cls(**told | {n: v for n, v in values.items() if v is not None})


def size_of(text: str, name: str = "size") -> int:
    """Return `512`, `64M`, `20G` as a number. Errors: SourceError naming the setting."""
    digits, unit = (text[:-1], text[-1].upper()) if text[-1:].upper() in _SIZES else (text, "")
    if not digits.isdecimal() or not int(digits):
        raise SourceError(f"{name}: {text!r} is no number above 0 (K, M, G and T may follow it)")
    return int(digits) * _SIZES.get(unit, 1)


class Budget:
    """Count what one input has cost so far, `packed` bytes read and bytes expanded, against the limits."""

    def __init__(self, label: str, limits: Limits) -> None:
        self.label, self.limits = label, limits
        self.packed = self.expanded = self.members = 0
        self.exceeded: LimitError | None = None  # the first limit that was exceeded: nothing is read after that

    def read(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Count and yield blocks of the file itself."""
        for block in blocks:
            self.packed += len(block)
            yield block

    def spend(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Count and yield expanded blocks. Errors: LimitError."""
        limits = self.limits
        for block in blocks:
            self.expanded += len(block)
            if self.expanded > limits.expanded:
                raise self._ended(self.beyond(f"expands to more than {limits.expanded} bytes", "expanded"))
            if self.expanded > limits.ratio_after and self.expanded > limits.ratio * self.packed:
                raise self._ended(self.beyond(f"expands to more than {limits.ratio} times its size", "ratio"))
            yield block

    def member(self) -> None:
        """Count one member. Errors: LimitError."""
        self.members += 1
        if self.members > self.limits.members:
            raise self._ended(self.beyond(f"has more than {self.limits.members} members", "members"))

    def check(self) -> None:
        """Raise the error of a limit that was exceeded, also by another reader. Errors: LimitError."""
        if self.exceeded is not None:
            raise self.exceeded

    def beyond(self, what: str, limit: str, member: str = "") -> LimitError:
        """Return the error for an exceeded limit, with the setting that raises it."""
        label = f"{self.label}!{member}" if member else self.label
        return LimitError(f"{label}: {what}; if you trust it, raise the limit TRACEKIT_MAX_{limit.upper()}")

    def _ended(self, error: LimitError) -> LimitError:
        self.exceeded = self.exceeded or error
        return error


@dataclass(frozen=True)
class Problem:
    """Name a part of an archive that could not be read, the member ("" for the archive itself), and why."""

    member: str
    reason: str


@dataclass(frozen=True)
class Member:
    """Describe one regular file of an archive. `blocks` can be read until the next member is requested; `mtime` in s, 0 if unknown."""

    index: int
    name: str
    mtime: int
    stream: Stream = field(repr=False)


class Pass:
    """Read an archive once, from its first byte to its last."""

    def __init__(self, label: str, limits: Limits) -> None:
        self.budget = Budget(label, limits)
        self.skipped: Counter[str] = Counter()
        self.problems: list[Problem] = []
        self._names: Counter[str] = Counter()
        self._index = 0

    def members(self, file: IO[bytes]) -> Iterator[Member]:
        """Yield the regular files of an archive and of the archives in it, in their order; stop early where a limit is exceeded."""
        blocks = self.budget.read(iter(lambda: file.read(_STEP), b""))
        try:
            yield from self._inside(Stream(blocks), "", 0, 0, file)
        except LimitError as error:
            self.problems.append(Problem("", str(error)))

    def _inside(self, stream: Stream, name: str, mtime: int, depth: int, file: IO[bytes] | None = None) -> Iterator[Member]:
        """Yield the members of the archive that a stream holds, or else the stream itself. `file`: set where it can be sought."""
        limits = self.budget.limits
        stream, layers = unpack.opened(stream, self.budget.spend, limits.depth)
        kind = _kind(stream.peek(unpack.HEAD))
        depth += max(layers - 1, 0) + bool(kind)
        if depth > limits.depth:
            too_deep = self.budget.beyond(f"is packed more than {limits.depth} deep", "depth", name)
            self.problems.append(Problem(name, str(too_deep)))
            return
        try:
            if kind == "zip":
                yield from self._entries(self._zip(stream, file if not layers else None), name, depth)
            elif kind == "tar":
                yield from self._entries(tar.entries(stream), name, depth)
                for _ in stream.blocks() if layers else ():  # the checksum of compressed data stands at their end
                    pass
            else:
                yield self._member(name, mtime, stream)
        except unpack.BROKEN as error:
            self.problems.append(Problem(name, f"the archive is damaged or ends early: {unpack.reason_of(error)}"))
        except LimitError:
            raise
        except SourceError as error:
            self.problems.append(Problem(name, str(error)))

    def _zip(self, stream: Stream, file: IO[bytes] | None) -> Iterator[Entry]:
        if file is not None and file.seekable():
            self.budget.packed = file.seek(0, os.SEEK_END)
        return zips.entries(stream, file, self.budget.limits.members, self.budget.spend)

    def _entries(self, entries: Iterable[Entry], outer: str, depth: int) -> Iterator[Member]:
        for entry in entries:
            self.budget.check()
            self.budget.member()
            name = _plain(entry.name)
            if entry.kind == "folder":
                continue
            if len(entry.name) > self.budget.limits.name:
                self.problems.append(Problem(f"{entry.name[:40]}..", f"its name is longer than {self.budget.limits.name} bytes"))
            elif entry.kind != "file":
                self.skipped[entry.kind] += 1
            elif name is None:
                self.skipped["unsafe name"] += 1
            elif entry.problem:
                self.problems.append(Problem(_joined(outer, name), entry.problem))
            else:
                yield from self._inside(entry.stream, self._unique(_joined(outer, name)), entry.mtime, depth)
        self.budget.check()

    def _unique(self, name: str) -> str:
        self._names[name] += 1
        return name if self._names[name] == 1 else f"{name}#{self._names[name]}"

    def _member(self, name: str, mtime: int, stream: Stream) -> Member:
        self._index += 1
        return Member(self._index - 1, name, mtime, stream)


class Archive:
    """Read members of an archive more than once: small ones stay in memory, others are read by another pass over the file."""

    def __init__(self, label: str, opener: Callable[[], IO[bytes]], limits: Limits) -> None:
        self.label, self.opener, self.limits = label, opener, limits
        self.problems: list[Problem] = []
        self.skipped: Counter[str] = Counter()
        self._kept: dict[int, bytes] = {}
        self._names: dict[int, str] = {}
        self._room = KEPT
        self._once = self._spent = 0  # bytes that the first pass, and those after it, expanded to
        self._pass: Pass | None = None
        self._going: Iterator[Member] | None = None
        self._file: IO[bytes] | None = None
        self._next = 0

    def scan(self, wanted: Callable[[Member, bytes], bool]) -> Iterator[tuple[Member, bytes]]:
        """Yield every member that is `wanted` (by member and head), with its head; keep the content of small ones for `blocks`."""
        once = Pass(self.label, self.limits)
        self.problems, self.skipped = once.problems, once.skipped
        with self.opener() as file:
            for member in once.members(file):
                head = member.stream.peek(unpack.HEAD)
                error = member.stream.error
                if not head and error is not None and not isinstance(error, LimitError):  # a limit ends the pass, which tells it
                    once.problems.append(Problem(member.name, f"nothing of it can be unpacked: {unpack.reason_of(error)}"))
                elif wanted(member, head):
                    self._names[member.index] = member.name
                    self._keep(member)
                    yield member, head
        self._once = once.budget.expanded

    def blocks(self, index: int) -> Iterator[bytes]:
        """Yield the content of a member. Errors: those of `unpack.BROKEN`, LimitError."""
        if index in self._kept:
            yield self._kept[index]
            return
        if self._going is None or self._pass is None or index < self._next:
            self._begin()
        assert self._going is not None and self._pass is not None
        for member in self._going:
            self._next = member.index + 1
            if member.index == index and member.name == self._names.get(index):
                yield from member.stream.blocks()
                return
        self._pass.budget.check()
        raise EOFError("it is not there any more: the file changed while it was read")

    def _begin(self) -> None:
        """Begin a pass. What all passes expand to is limited: members can lie in an order that needs a pass for each of them."""
        spent = 0 if self._pass is None else self._pass.budget.expanded
        self.close()
        self._file = self.opener()
        self._spent += spent
        self._pass = Pass(self.label, self.limits)
        if self._spent > max(self.limits.expanded, _AGAIN * self._once):
            raise self._pass.budget.beyond("has its logs in an order that takes too many passes; unpack it", "expanded")
        self._going = self._pass.members(self._file)

    def kept(self, index: int) -> int:
        """Return how many bytes of a member are in memory; 0 for one that has to be read again."""
        return len(self._kept.get(index, b""))

    def close(self) -> None:
        """Close the open file; members can still be read."""
        self._going, self._next = None, 0
        if self._file is not None:
            self._file.close()
            self._file = None

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_going": None, "_pass": None, "_file": None, "_next": 0}

    def _keep(self, member: Member) -> None:
        """Keep the content in memory while there is room; damaged content is read again, so that its reader gets the error."""
        most = min(self._room, KEPT_EACH)
        content = member.stream.peek(most + 1) if most else b""
        if 0 < len(content) <= most and member.stream.error is None:
            self._kept[member.index] = content
            self._room -= len(content)


def is_archive(head: bytes) -> bool:
    """Return whether the first bytes of an unpacked file are those of a tar or a zip."""
    return bool(_kind(head))


def _kind(head: bytes) -> str:
    return "zip" if zips.is_zip(head) else "tar" if tar.is_tar(head) else ""


def _plain(name: str) -> str | None:
    """Return the name without `./`; None for one that is absolute or leads outside."""
    parts = [p for p in name.replace("\\", "/").split("/") if p not in ("", ".")]
    drive = len(name) > 1 and name[1] == ":" and name[0].isalpha() and name[2:3] in ("/", "\\")
    return None if name.startswith(("/", "\\")) or drive or ".." in parts or not parts else "/".join(parts)


def _joined(outer: str, name: str) -> str:
    return f"{outer}!{name}" if outer else name
