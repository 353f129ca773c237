"""A piece of a source: whole lines, as bytes and as text."""

from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_SMALL = 1 << 20  # bytes below which python breaks lines sooner than a reader is made ready


@dataclass(frozen=True)
class Chunk:
    """Whole lines of a source: the number of the first one, and the bytes; every chunk but the last ends at LF."""

    first_line: int
    data: bytes

    @cached_property
    def lines(self) -> "pl.Series":
        """Return the lines as text (String), split at LF only; bytes that are not UTF-8 are replaced."""
        import polars as pl  # where only bytes are asked for, it is not loaded

        if len(self.data) <= _SMALL:
            pieces = self.data.decode(errors="replace").split("\n")
            return pl.Series("line", pieces[:-1] if not pieces[-1] else pieces, dtype=pl.String)
        data = self.data.decode(errors="replace").encode() if self.broken else self.data
        return pl.read_lines(BytesIO(data))["line"]

    @cached_property
    def broken(self) -> list[int]:
        """Return the numbers of the lines whose bytes are not UTF-8."""
        if self.data.isascii() or _is_utf8(self.data):
            return []
        return [n for n, piece in enumerate(self.data.split(b"\n"), self.first_line) if not _is_utf8(piece)]

    @property
    def next_line(self) -> int:
        """Return the number of the line after the last one, where that ends with LF. Lines that are split already are not counted again."""
        return self.first_line + (len(self.lines) if "lines" in self.__dict__ else self.data.count(b"\n"))


def _is_utf8(piece: bytes) -> bool:
    try:
        piece.decode()
    except UnicodeDecodeError:
        return False
    return True
