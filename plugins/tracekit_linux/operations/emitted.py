"""Operations that are emitted, as frames: what every operation has comes from the columns of its call."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import polars as pl

from tracekit import ENVELOPE, MAX_INDEX, Row
from tracekit_linux.operations.tree import Node, Tree

Values = dict[str, Any]
# Sizes and places in a table of vectors; nothing exceeds the largest index of an irq domain (MSI_MAX_INDEX, include/linux/msi.h).
SIZES = frozenset(("start", "count", "min", "max", "hwsize", "vector", "nvec"))
LARGEST = MAX_INDEX + 1
FEW = 700  # rows up to which a loop is sooner done than columns are made
OF_CALL = ("ret", "ts_end", "line_end")  # columns of an operation that are those of its call


class About(NamedTuple):
    """The device that an operation is about."""

    device: int | None
    vdev: int | None
    bdf: str | None
    entity: int | None


NOBODY = About(None, None, None, None)


@dataclass(slots=True)
class Emitted:
    """The rows of one table from the calls of one source."""

    nodes: list[Node] = field(default_factory=list)
    devices: list[About] = field(default_factory=list)
    values: list[Values] = field(default_factory=list)

    def add(self, node: Node, about: About, values: Values) -> None:
        """Add the operation that a call is; `values`: the columns of its own, or in place of what all operations have."""
        self.nodes.append(node)
        self.devices.append(about)
        self.values.append(values)

    def rows(self) -> Iterator[tuple[Row, Values]]:
        """Yield the rows with all their columns: of a few rows a frame is made sooner so."""
        for n, about, values in zip(self.nodes, self.devices, self.values, strict=True):
            sizes = {name: None for name in SIZES & values.keys() if (values[name] or 0) > LARGEST}
            places = {"ts_end": n.row.ts_end, "line_end": n.row.line_end, "call": n.row.id}
            around = {"attempt": n.attempt and n.attempt.row.id, "request": n.asked and n.asked.row.id}
            yield n.row, {**about._asdict(), "ret": n.row.ret, "inferred": False, "hint": n.hint, **places, **around, **values, **sizes}

    def frame(self, tree: Tree, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
        """Return the rows as a frame."""
        assert tree.calls is not None
        begun = tree.calls[[n.at for n in self.nodes]]
        every: dict[str, Sequence[Any]] = {
            **dict(zip(About._fields, zip(*self.devices, strict=True), strict=True)),
            "inferred": [False] * begun.height,
            "hint": begun["function"].is_null().to_list(),
            "call": [n.row.id for n in self.nodes],
            "attempt": [n.attempt and n.attempt.row.id for n in self.nodes],
            "request": [n.asked and n.asked.row.id for n in self.nodes],
        }
        given = {name for v in self.values for name in v}
        columns = {name: begun[name] for name in (*ENVELOPE, *OF_CALL) if name not in given}
        for name in schema.keys() - columns.keys():
            own = every[name] if name in every else begun[name].to_list() if name in OF_CALL else [None] * begun.height
            cells = [v.get(name, cell) for v, cell in zip(self.values, own, strict=True)] if name in given else own
            columns[name] = pl.Series(name, _believed(name, cells), dtype=schema[name])
        return pl.DataFrame([columns[name].alias(name) for name in schema])


def sized(name: str, kind: pl.DataType) -> pl.Expr:
    """Return a column of an operation without numbers that no vector table can have."""
    own = pl.col(name).cast(kind)
    return pl.when(~(own > LARGEST).fill_null(False)).then(own).alias(name) if name in SIZES else own


def _believed(name: str, cells: Sequence[Any]) -> Sequence[Any]:
    """Return the cells without numbers that no vector table can have: the line is damaged."""
    return [None if v is not None and v > LARGEST else v for v in cells] if name in SIZES else cells
