"""Names: which event each line of a trace is, by what stands before its first colon and blank: few texts, of which each is read once."""

from collections.abc import Container
from dataclasses import dataclass

import polars as pl

_SOME, _OWN = 1_000, 0.25  # lines that tell it, one after the other, and the share of them that may have a name of its own
_COLON = ": "


@dataclass(frozen=True)
class Names:
    """The names of some lines: `names`, each once, and of each line where its own stands there. The first is null, of lines without one."""

    names: pl.Series
    of: pl.Series

    def filter(self, which: pl.Series) -> "Names":
        """Return the names of some of the lines."""
        return Names(self.names, self.of.filter(which))

    def among(self, names: Container[str]) -> pl.Series:
        """Return which lines have one of these names."""
        return pl.Series([name in names for name in self.names]).gather(self.of)

    def each(self) -> pl.Series:
        """Return the name of each line."""
        return self.names.gather(self.of)


def named(text: pl.Series, which: pl.Series, expression: str) -> Names | None:
    """Return the names of the lines that are meant, by an expression for a name up to the blank behind its colon.

    None where lines have beginnings of their own: then each is looked at by itself in less time.
    """
    if _heads(text.slice(len(text) // 2, _SOME)).n_unique() > _SOME * _OWN:
        return None
    heads = _heads(text)
    known = heads.unique()
    each = known.str.extract(expression)
    names = each.drop_nulls().unique().sort()
    of = heads.replace_strict(known, _places(each, names), return_dtype=pl.UInt32)
    of = of if which.all() else of * which
    return Names(pl.concat([pl.Series([None], dtype=pl.String), names]), of)


def _places(each: pl.Series, names: pl.Series) -> pl.Series:
    """Return at which place, from 1 on, each of some texts stands among names; 0 of one that is null."""
    return each.replace_strict(names, pl.int_range(1, len(names) + 1, dtype=pl.UInt32, eager=True), default=0, return_dtype=pl.UInt32)


def _heads(text: pl.Series) -> pl.Series:
    """Return each text up to its first colon and blank; the whole where it has none."""
    line = pl.col("text")
    end = line.str.find(_COLON, literal=True) + len(_COLON)  # in bytes
    return text.to_frame("text").select_seq(line.cast(pl.Binary).bin.slice(0, end).cast(pl.String)).to_series()
