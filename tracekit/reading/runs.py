"""Where the lines of joined logs come from: runs of lines that stand below each other in one part."""

from array import array
from bisect import bisect_right
from collections.abc import Iterator


class Runs:
    """Runs of lines of a joined log, in order: the number of the first line, which part it is of, and its number there."""

    def __init__(self) -> None:
        self._firsts, self._parts, self._lines = array("q"), array("q"), array("q")

    def clear(self) -> None:
        """Forget all runs."""
        for numbers in (self._firsts, self._parts, self._lines):
            del numbers[:]

    def add(self, first: int, part: int, line: int) -> None:
        """Add a run that begins with line `first`, which is line `line` of a part."""
        self._firsts.append(first)
        self._parts.append(part)
        self._lines.append(line)

    def at(self, line: int) -> tuple[int, int]:
        """Return the part that a line is of, and its number there."""
        run = max(bisect_right(self._firsts, line) - 1, 0)
        return self._parts[run], self._lines[run] + line - self._firsts[run]

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        return zip(self._firsts, self._parts, self._lines, strict=True)
