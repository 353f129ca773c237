"""Lines of recordings that were written beside each other, one file a CPU, in the order of their stamps."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from tracekit.reading.chunk import Chunk
from tracekit.reading.recordings import stamp

_Entry = tuple[int, int, int, bytes]  # stamp, part, number of its first line there, its lines


def interleaved(parts: Sequence[Iterable[Chunk]], size: int) -> Iterator[tuple[list[tuple[int, int, int]], bytes]]:
    """Yield about `size` bytes of whole lines at a time with their runs: (lines before it, part, number there).

    A line without a stamp stays behind the one above it; heads come first.
    """
    runs: list[tuple[int, int, int]] = []
    data: list[bytes] = []
    lines = length = 0
    following = (-1, -1)
    for _, part, line, entry in heapq.merge(*(_entries(n, chunks) for n, chunks in enumerate(parts))):
        if (part, line) != following:
            runs.append((lines, part, line))
        count = entry.count(b"\n")
        following = (part, line + count)
        data.append(entry)
        lines, length = lines + count, length + len(entry)
        if length >= size:
            yield runs, b"".join(data)
            runs, data, lines, length, following = [], [], 0, 0, (-1, -1)
    if data:
        yield runs, b"".join(data)


def _entries(part: int, chunks: Iterable[Chunk]) -> Iterator[_Entry]:
    """Yield the entries of a file, each with the lines below it that have no stamp."""
    ts, first, held = -1, 1, list[bytes]()
    numbered = chain.from_iterable(enumerate(chunk.data.removesuffix(b"\n").split(b"\n"), chunk.first_line) for chunk in chunks)
    for number, line in numbered:
        found = stamp(line)
        if found is not None and found.ts is not None:
            if held:
                yield ts, part, first, b"".join(held)
            ts, first, held = found.ts, number, []
        held.append(line + b"\n")
    if held:
        yield ts, part, first, b"".join(held)
