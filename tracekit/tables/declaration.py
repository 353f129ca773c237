"""What a table is: a name, what one row means, and its columns, each with type, unit and a sentence."""

from dataclasses import dataclass

import polars as pl

from tracekit.tables.glossary import GLOSSARY


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `sentence` says what it holds; without one the glossary's counts. `unit`: ns, us, bytes; empty for what has none."""

    name: str
    type: pl.DataType
    sentence: str = ""
    unit: str = ""

    @property
    def meaning(self) -> tuple[str, str]:
        """Its sentence and its unit, the glossary's where it has no sentence of its own; empty where neither is there."""
        return (self.sentence, self.unit) if self.sentence else GLOSSARY.get(self.name, ("", ""))


@dataclass(frozen=True, slots=True)
class Table:
    """A table. `row` says in one sentence what a row means; `keys` are the columns that tell one row from another.

    `columns` are its own: every table has those of the envelope too, a model's also `ts_end` and `line_end`.
    """

    name: str
    row: str
    columns: tuple[Column, ...] = ()
    keys: tuple[str, ...] = ("source", "line")

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Name -> type of its own columns."""
        return {c.name: c.type for c in self.columns}
