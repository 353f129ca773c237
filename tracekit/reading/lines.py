"""Bytes into pieces of whole lines, within bounds: a line ends at LF, and one of any length takes no more than its first MiB."""

import os
import re
from collections.abc import Callable, Iterable, Iterator

LINE_LIMIT = 1 << 20
_SHORT = 4 << 10  # bytes in which most lines end


def plain_lines(handle: int, size: int, lose: Callable[[str], None]) -> Iterator[tuple[int, bytes]]:
    """Yield pieces of an open file that end at LF, each with its byte offset. The line's end is searched first, so nothing is copied."""
    offset, total = 0, os.fstat(handle).st_size
    while offset < total:
        end = min(offset + size, total)
        if end < total and not (end := _line_end(handle, end)):
            break
        data = os.pread(handle, end - offset, offset)
        if not data:
            break
        yield offset, data
        offset += len(data)
    if offset < total:  # a line without end in sight, or the file shrank
        rest_of = Blocks(handle, size, offset)
        yield from ((offset + further, data) for further, data in whole_lines(rest_of, size))
        if rest_of.at < total:
            lose(f"the file shrank while it was read: {total - rest_of.at:,} bytes are missing")


def _line_end(handle: int, at: int) -> int:
    """Return the offset behind the next LF, `at` where the file ends there, 0 where none is in sight; most lines are short."""
    for size in (_SHORT, 2 * LINE_LIMIT):
        rest = os.pread(handle, size, at)
        if not rest or b"\n" in rest:
            return at + rest.find(b"\n") + 1
    return 0


class Blocks:
    """Iterate over the rest of an open file in blocks; `at`: how far it was read."""

    def __init__(self, handle: int, size: int, at: int = 0) -> None:
        self.handle, self.size, self.at = handle, size, at

    def __iter__(self) -> Iterator[bytes]:
        while block := os.pread(self.handle, self.size, self.at):
            self.at += len(block)
            yield block


def whole_lines(blocks: Iterable[bytes], size: int) -> Iterator[tuple[int, bytes]]:
    """Join blocks to pieces of at least `size` bytes that end at LF, each with its byte offset. Of an endless line keep the start."""
    offset, held, length, dropped, tail = 0, [], 0, 0, 0
    for block in blocks:
        last = block.rfind(b"\n")
        if last < 0 and tail > LINE_LIMIT:
            dropped += len(block)
            continue
        tail = tail + len(block) if last < 0 else len(block) - last - 1
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


def bound(data: bytes) -> tuple[bytes, int]:
    """Cut lines over the limit; where there are none, the search costs one look-up per MiB."""
    if all(data.find(b"\n", at, at + LINE_LIMIT) >= 0 for at in range(0, len(data) - LINE_LIMIT, LINE_LIMIT)):
        return data, 0
    return _OVERLONG.subn(rb"\1", data)
