"""Wrappers that change what a line is: mail quotes and wrapped tails, JSON and journal records, kmsg records."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Logical(NamedTuple):
    """One logical line: the physical lines it covers, and its text."""

    line: int
    line_end: int
    text: str


class Wrapper:
    """Turns physical lines into logical ones."""

    name = "none"

    def feed(self, lines: Sequence[str], first_line: int) -> Iterator[Logical]:
        """The logical lines that are complete."""
        yield from (Logical(i, i, t) for i, t in enumerate(lines, first_line))

    def close(self) -> Iterator[Logical]:
        """What is left at the end."""
        yield from ()


def detect(sample: list[str]) -> Wrapper | None:
    """The wrapper that the first lines of a source need, if any."""
    return None
