"""Logical lines, and what a wrapper is."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import polars as pl


class Logical(NamedTuple):
    """One logical line: the physical lines `line` to `line_end`, and its text.

    Where one physical line holds several, all but the last end at `line - 1`: so the lengths still add up to the physical lines.
    """

    line: int
    line_end: int
    text: str


class Wrapper:
    """A converter of physical lines into logical ones. Each physical line is in exactly one of them, or shared as `Logical` says."""

    name = "none"

    def feed(self, lines: Sequence[str], first_line: int) -> Iterator[Logical]:
        """Yield the logical lines that are complete; `first_line` is the number of the first of `lines`."""
        for number, line in enumerate(lines, first_line):
            yield from self.take(number, line)

    def close(self) -> Iterator[Logical]:
        """Yield what is left at the end of the source."""
        yield from ()

    def take(self, number: int, line: str) -> Iterator[Logical]:
        """Yield the logical lines that one more physical line completes."""
        yield Logical(number, number, line)


def spread(line: int, line_end: int, texts: Sequence[str], at: int = 0) -> Iterator[Logical]:
    """Return several logical lines of the same physical ones. `at` is the physical line with the text; those before it are empty."""
    if at > line:
        yield Logical(line, at - 1, "")
        line = at
    for text in texts[:-1]:
        yield Logical(line, line - 1, text)
    yield Logical(line, line_end, texts[-1] if texts else "")


def framed(lines: Iterable[Logical]) -> pl.DataFrame:
    """Return logical lines as a frame. An escape of JSON that is half a sign (`\\ud8ff`) stays as it is written: UTF-8 has no such sign."""
    rows = [(x.line, x.line_end, x.text.encode(errors="backslashreplace").decode()) for x in lines]
    return pl.DataFrame(rows, schema={"line": pl.Int64, "line_end": pl.Int64, "text": pl.String}, orient="row")
