"""Tar, read forward only: ustar, the GNU long names, pax names and sizes.

Python's own reader keeps every header in memory, reads headers of any size at once and ends silently at a damaged one; logs come from
strangers, so this one does none of that.
"""

import re
from collections.abc import Iterator

from tracekit.reading.unpack import Entry, Stream

_BLOCK = 512
_LONGEST = 1 << 20  # of a pax header or a long name
_KINDS = {
    b"5": "folder",
    **dict.fromkeys((b"0", b"\0", b"7", b"S"), "file"),
    **dict.fromkeys((b"1", b"2"), "link"),
    **dict.fromkeys((b"3", b"4"), "device"),
}
_PAX = re.compile(rb"([0-9]{1,9}) ([^=]{1,100})=")


def is_tar(head: bytes) -> bool:
    """Return whether the first 512 bytes are a tar header: its checksum is right, and it is not empty."""
    return len(head) >= _BLOCK and any(head[:100]) and _sum_is_right(head[:_BLOCK])


def entries(stream: Stream) -> Iterator[Entry]:
    """Yield the entries in their order; each can be read until the next is requested. Errors: EOFError, OSError where it is damaged."""
    extra: dict[str, str] = {}
    for header in _headers(stream):
        size, kind = _number(header[124:136]), header[156:157]
        if kind in (b"L", b"K", b"x"):
            extra |= _extra(kind, _small(stream, size))
            continue
        if kind == b"g":
            _small(stream, size)
            continue
        size = int(extra["size"]) if extra.get("size", "").isdecimal() else size
        if kind == b"S":
            _skip_sparse_map(stream, header)
        yield from _entry(stream, _name(header, extra), _KINDS.get(kind, "special file"), _mtime(header, extra), size)
        extra = {}


def _headers(stream: Stream) -> Iterator[bytes]:
    """Yield the headers up to the end mark of two empty blocks (one is accepted too)."""
    while header := stream.read(_BLOCK):
        if not any(header):
            return
        if not _sum_is_right(header):
            raise OSError("a tar header is damaged")
        yield header
    raise EOFError("the tar ends without its end mark")


def _entry(stream: Stream, name: str, kind: str, mtime: int, size: int) -> Iterator[Entry]:
    """Yield one entry; skip the rest of it once the reader is done with it."""
    left = size if kind not in ("folder", "link") else 0

    def data() -> Iterator[bytes]:
        nonlocal left
        while left:
            block = next(stream.blocks(left))
            left -= len(block)
            yield block

    yield Entry(name, kind, mtime, Stream(data()))
    padding = -size % _BLOCK if kind not in ("folder", "link") else 0
    for _ in stream.blocks(left + padding):
        pass


def _small(stream: Stream, size: int) -> bytes:
    """Return the content of a header that describes the next entry."""
    if size > _LONGEST:
        raise OSError(f"a tar header of {size} bytes")
    return stream.read(size + -size % _BLOCK)[:size] if size else b""


def _extra(kind: bytes, content: bytes) -> dict[str, str]:
    if kind != b"x":
        return {"path": _text(content.rstrip(b"\0"))} if kind == b"L" else {}
    found: dict[str, str] = {}
    at = 0
    while m := _PAX.match(content, at):
        found[_text(m[2])] = _text(content[m.end() : at + int(m[1]) - 1])
        at += max(int(m[1]), 1)
    return found


def _name(header: bytes, extra: dict[str, str]) -> str:
    given = extra.get("GNU.sparse.name") or extra.get("path")
    if given is not None:
        return given
    prefix = _text(header[345:500].split(b"\0")[0]) if header[257:263] == b"ustar\0" else ""
    name = _text(header[:100].split(b"\0")[0])
    return f"{prefix}/{name}" if prefix else name


def _mtime(header: bytes, extra: dict[str, str]) -> int:
    whole = extra.get("mtime", "").split(".")[0]
    return int(whole) if whole.isdecimal() else _number(header[136:148])


def _number(text: bytes) -> int:
    """Return a header's number: octal digits, or base 256 with the first bit set."""
    if text[0] & 0x80:
        return int.from_bytes(text[1:], "big") if text[0] == 0x80 else 0
    digits = text.strip(b" \0")
    if digits and not re.fullmatch(rb"[0-7]+", digits):
        raise OSError("a tar header holds a number that is none")
    return int(digits or b"0", 8)


def _sum_is_right(header: bytes) -> bool:
    """Return whether the checksum is that of the header with its own field blank (signed and unsigned sums are both in use)."""
    field = header[148:156].strip(b" \0")
    if not re.fullmatch(rb"[0-7]{1,8}", field):
        return False
    others = header[:148] + header[156:]
    wanted = int(field, 8) - 8 * ord(" ")
    return wanted == sum(others) or wanted == sum(b - 256 if b > 127 else b for b in others)


def _skip_sparse_map(stream: Stream, header: bytes) -> None:
    """Skip the sparse map that old GNU tar writes behind the header; holes are not filled in."""
    more = header[482]
    while more:
        more = stream.read(_BLOCK)[504]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
