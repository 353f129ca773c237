"""Declare a table: its name, what one row means, and its columns, each with type, unit and a sentence."""

from dataclasses import dataclass

import polars as pl

from tracekit.tables.glossary import GLOSSARY


@dataclass(frozen=True, slots=True)
class Column:
    """Declare a column. `sentence` says what it holds; without one the glossary's applies. `unit`: ns, us, bytes; empty for none."""

    name: str
    type: pl.DataType
    sentence: str = ""
    unit: str = ""

    @property
    def meaning(self) -> tuple[str, str]:
        """Return its sentence and unit, from the glossary where it has no sentence of its own; empty where neither has one."""
        return (self.sentence, self.unit) if self.sentence else GLOSSARY.get(self.name, ("", ""))


@dataclass(frozen=True, slots=True)
class Table:
    """Declare a table. `row` says in one sentence what a row means; `keys` are the columns that identify a row.

    `columns` are its own. Every table has those of the envelope too, and a model's table also `ts_end` and `line_end`.
    """

    name: str
    row: str
    columns: tuple[Column, ...] = ()
    keys: tuple[str, ...] = ("source", "line")

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Return the types of its own columns, by name."""
        return {c.name: c.type for c in self.columns}
