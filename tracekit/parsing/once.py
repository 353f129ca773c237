"""Once: texts of which many are the same, each looked at once. Logs of one fleet have most of their messages in common."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

_WORTH = 0.5  # share of texts that differ from those before them, up to which it pays


@dataclass(frozen=True)
class Once:
    """Some texts: `texts`, each once in the order in which they first stand, and `places` (text, row): which one stands in which row."""

    texts: pl.Series
    places: pl.DataFrame

    @classmethod
    def of(cls, texts: pl.Series) -> "Once | None":
        """Return the texts, each once; None where most of them differ."""
        if texts.n_unique() > len(texts) * _WORTH:
            return None
        alike = texts.to_frame("text").with_row_index("row").group_by("text", maintain_order=True).agg("row")
        return cls(alike["text"], alike.select("row").with_row_index("text").explode("row"))

    def everywhere(self, selections: Sequence[pl.Series]) -> list[tuple[pl.Series, pl.Series]]:
        """Return, for each of some selections of the texts, none of them empty, the rows in which one of it stands, ascending, and which of
        the selection that is: numbers (UInt32)."""
        selected = [pl.DataFrame([own.alias("text"), _numbers(own).alias("at")]) for own in selections]
        each = pl.concat([own.with_columns(pl.lit(i, dtype=pl.UInt32).alias("of")) for i, own in enumerate(selected)])
        rows = each.join(self.places, on="text").sort("of", "row").partition_by("of", maintain_order=True)
        return [(own["row"], own["at"]) for own in rows]


def _numbers(texts: pl.Series) -> pl.Series:
    return pl.int_range(len(texts), dtype=pl.UInt32, eager=True)
