"""The rows that a lane may read: those of one place that are about one subject, with their positions on the axis."""

from collections.abc import Iterator, Mapping
from copy import copy
from functools import cached_property
from typing import Any

import polars as pl

from tracekit.diagnosing.subjects import DEVICE
from tracekit.findings import Subject
from tracekit.replay.model import Row, rows_of
from tracekit.timeline import Mark, Tone, Unit

_POINTERS = ("device", "vdev")
MOST_MARKS = 600  # of a lane; more are counted together


class Scene:
    """The tables of one place (and of related ones) and a subject: its rows, its irqs, the unit of the axis."""

    def __init__(
        self,
        subject: Subject,
        tables: Mapping[str, pl.DataFrame],
        evidence: Mapping[str, set[int]],
        window: tuple[int, int] | None = None,
    ) -> None:
        self.subject, self.tables, self._evidence, self.window = subject, tables, evidence, window
        self._about: dict[str, pl.DataFrame] = {}  # the rows about the subject, of the tables that were asked for

    def within(self, begin: int, end: int) -> "Scene":
        """Return the same scene, with what it knows, of which only the moments between two positions are wanted."""
        nearer = copy(self)
        nearer.window = (begin, end)
        return nearer

    def all(self, table: str) -> pl.DataFrame | None:
        """Return the rows of a table, of every subject; None where there are none."""
        frame = self.tables.get(table)
        return frame if frame is not None and frame.height else None

    def rows(self, table: str) -> Iterator[Row]:
        """Yield the rows of a table that are about the subject and have a place on the axis."""
        frame = self.all(table)
        if frame is not None:
            if table not in self._about:
                self._about[table] = self._own(frame)
            yield from (r for r in rows_of(self._about[table]) if self.at(r) is not None)

    def at(self, row: Any) -> int | None:
        """Return where a row begins on the axis; None where it has no stamp."""
        position: int | None = row.line if self.unit == "line" else row.ts
        return position

    def until(self, row: Any) -> int | None:
        """Return where a row ends on the axis; None where it lasts."""
        position: int | None = row.line_end if self.unit == "line" else row.ts_end
        return position

    def moments(self, frame: pl.DataFrame, tone: Tone, text: str) -> Iterator[Mark]:
        """Yield a mark per row, or per group of rows where a drawing cannot show each. `frame` has source, line, ts."""
        column = "line" if self.unit == "line" else "ts"
        placed = frame.filter(pl.col(column).is_not_null()).sort(column, maintain_order=True)
        if self.window is not None:
            placed = placed.filter(pl.col(column).is_between(*self.window))
        if placed.height > MOST_MARKS:
            begin, end = placed[column][0], placed[column][-1]
            group = (pl.col(column) - begin) // max(1, -(-(end - begin) // MOST_MARKS))
        else:
            group = pl.int_range(pl.len())
        first = (pl.first("source", "line", column), pl.last(column).alias("_end"), pl.len().alias("_count"))
        for r in placed.group_by(group.alias("_group"), maintain_order=True).agg(first).iter_rows(named=True):
            yield Mark(r[column], text, tone, r["source"], r["line"], r["_end"] if r["_count"] > 1 else None, r["_count"])

    @cached_property
    def unit(self) -> Unit:
        """Return ns where rows of the evidence's sources (of all sources without evidence) have stamps, else lines."""
        for frame in self.tables.values():
            known = not self._known or not self._known.isdisjoint(frame["source"].unique())
            if known and "ts" in frame.columns and frame["ts"].null_count() < frame.height:
                return "ns"
        return "line"

    @cached_property
    def irqs(self) -> frozenset[int]:
        """Return the irqs that the subject's vectors were given."""
        found: set[int] = set()
        found.update(r.irq for r in self.rows("op_vector") if r.irq is not None)
        return frozenset(found)

    @property
    def _known(self) -> set[str]:
        return set(self._evidence)

    @cached_property
    def _keys(self) -> Mapping[str, set[Any]]:
        """Return what rows about the subject hold: its BDF, its numbers in the case, its pointers."""
        bdfs = {self.subject.bdf, *(a for a in self.subject.aliases if a.count(":") == 2)} - {None}
        entities, pointers = set[int](), {int(a.rpartition(" ")[2], 16) for a in self._named_pointers()}
        if (devices := self.all("devices")) is not None:
            mine = devices.filter(pl.col("bdf").is_in(list(bdfs)) | pl.col("pointer").is_in(list(pointers)))
            entities.update(mine["entity"].drop_nulls())
        if not (bdfs or entities or pointers):
            entities.update(self._in_evidence())
        return {"bdf": bdfs, "entity": entities, **dict.fromkeys(_POINTERS, pointers)}

    def _named_pointers(self) -> Iterator[str]:
        yield from (name for name in (self.subject.label, *self.subject.aliases) if name.partition(" ")[0] in ("pci_dev", "vdev"))

    def _in_evidence(self) -> Iterator[int]:
        """Yield the devices on the lines of the evidence: of a subject that nothing names."""
        for frame in self.tables.values():
            if {"entity", "line"} <= set(frame.columns):
                yield from (
                    r["entity"]
                    for r in frame.select("source", "line", "entity").drop_nulls().iter_rows(named=True)
                    if r["line"] in self._evidence.get(r["source"], ())
                )

    def _own(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the rows about the subject; all where a table names no device or the subject is none.

        A `device` that is a text (`nvme0`) is no pointer.
        """
        named = [c for c in DEVICE if c in frame.columns and self._keys.get(c) and not (c in _POINTERS and frame.schema[c] == pl.String)]
        if not named or self.subject.kind not in ("pci", "unknown"):
            return frame
        return frame.filter(pl.any_horizontal([pl.col(c).is_in(list(self._keys[c])) for c in named]))
