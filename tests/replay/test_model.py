"""Models hear rows in the order of their stream and emit rows."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import polars as pl
import pytest

from tracekit.pipeline import Engine, Options, analyze
from tracekit.replay.model import Model, Row, in_order, replay
from tracekit.tables.declaration import Column, Table
from tracekit.testing import play
from tracekit.types import event_schema


def frame(rows: list[dict[str, object]], **own: pl.DataType) -> pl.DataFrame:
    """Event rows; envelope columns that are not given are those of line 1 of a.log."""
    base = {"source": "a.log", "line": 1, "machine": "", "boot": 0, "side": "kernel"}
    return pl.DataFrame([base | r for r in rows], schema=event_schema(own))


class Lives(Model):
    """Which irq each pirq served, and until when."""

    tables: ClassVar = (Table("lives", "A life.", (Column("pirq", pl.Int64()), Column("irq", pl.Int64()))),)

    def __init__(self) -> None:
        super().__init__()
        self.bound: dict[int, Row] = {}

    def on_bind(self, e: Row) -> None:
        self.bound[e.pirq] = e

    def on_unmap(self, e: Row) -> None:
        if (born := self.bound.pop(e.pirq, None)) is not None:
            self.emit("lives", born, pirq=e.pirq, irq=born.irq, line_end=e.line)

    def on_end(self) -> None:
        for born in self.bound.values():
            self.emit("lives", born, pirq=born.pirq, irq=born.irq)


class Count(Model):
    """How many lives there were in a stream."""

    tables: ClassVar = (Table("counts", "A count.", (Column("n", pl.Int64()),)),)

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Row] = []

    def on_lives(self, e: Row) -> None:
        self.seen.append(e)

    def on_end(self) -> None:
        if self.seen:
            self.emit("counts", self.seen[0], n=len(self.seen))


I = pl.Int64()  # noqa: E741
BINDS = frame([{"line": 1, "pirq": 55, "irq": 120}, {"line": 3, "pirq": 55, "irq": 121}], pirq=I, irq=I)
UNMAPS = frame([{"line": 2, "pirq": 55}], pirq=I)


def test_rows_of_several_tables_are_heard_in_the_order_of_their_lines() -> None:
    lives = play(Lives, {"unmap": UNMAPS, "bind": BINDS})["lives"]
    assert lives.select("irq", "line", "line_end").rows() == [(120, 1, 2), (121, 3, None)]


def test_two_sources_without_a_common_clock_are_two_streams() -> None:
    other = UNMAPS.with_columns(pl.lit("b.log").alias("source"))
    streams = pl.DataFrame({"source": ["a.log", "b.log"], "stream": [1, 2], "merged": [False, False]})
    lives = replay([Lives], {"bind": BINDS, "unmap": other}, streams, lambda m, e: pytest.fail(str(e)))["lives"]
    assert lives.select("irq", "line_end").rows() == [(121, None)]


def test_merged_sources_are_ordered_by_time() -> None:
    binds = BINDS.with_columns(pl.Series("ts", [10, 30]))
    unmaps = UNMAPS.with_columns(pl.lit("b.log").alias("source"), pl.lit(20).alias("ts"), pl.lit(900).cast(pl.Int64).alias("line"))
    streams = pl.DataFrame({"source": ["a.log", "b.log"], "stream": [0, 0], "merged": [True, True]})
    lives = replay([Lives], {"bind": binds, "unmap": unmaps}, streams, lambda m, e: pytest.fail(str(e)))["lives"]
    assert lives.select("irq", "line_end").rows() == [(120, 900), (121, None)]


def test_a_model_runs_after_those_it_hears() -> None:
    assert in_order([Count, Lives]) == [Lives, Count]
    streams = pl.DataFrame({"source": ["a.log"], "stream": [1], "merged": [False]})
    made = replay([Count, Lives], {"bind": BINDS, "unmap": UNMAPS}, streams, lambda m, e: pytest.fail(str(e)))
    assert made["counts"]["n"].to_list() == [2]


def test_boots_are_replayed_apart() -> None:
    second = UNMAPS.with_columns(pl.lit(1, dtype=pl.Int32).alias("boot"))
    lives = play(Lives, {"bind": BINDS, "unmap": second})["lives"]
    assert lives.select("irq", "line_end").rows() == [(121, None)]


class Broken(Model):
    """Raises on its first row."""

    tables: ClassVar = (Table("broken", "A row.", (Column("n", pl.Int64()),)),)

    def on_bind(self, e: Row) -> None:
        raise KeyError("missing")


def test_a_model_that_raises_is_named_and_the_others_go_on() -> None:
    failures: list[str] = []
    streams = pl.DataFrame({"source": ["a.log"], "stream": [1], "merged": [False]})
    made = replay([Broken, Lives], {"bind": BINDS}, streams, lambda m, e: failures.append(f"{m.__name__}: {e!r}"))
    assert failures == ["Broken: KeyError('missing')"]
    assert made["broken"].height == 0
    assert made["lives"].height == 1


def test_a_number_without_room_costs_its_own_row() -> None:
    class Numbers(Model):
        tables: ClassVar = (Table("numbers", "A row.", (Column("n", pl.Int64()), Column("many", pl.List(pl.Int64())))),)

        def on_heard(self, e: Row) -> None:
            self.emit("numbers", e, n=e.n, many=[e.n])

    def told(numbers: list[int]) -> list[int]:
        machine = Numbers()
        frames = machine.run((("heard", Row(n=n)) for n in numbers), {})
        return frames["numbers"]["n"].to_list()

    assert told([1, 2**64 - 1, 2, -(2**63) - 1]) == [1, 2]
    assert told([*range(40), 2**70]) == list(range(40))
    assert told([2**64]) == []


@pytest.mark.parametrize("rows", [3, 40])
def test_rows_that_are_emitted_by_columns_are_those_emitted_one_by_one(rows: int) -> None:
    class Columns(Model):
        tables: ClassVar = (Table("numbers", "A row.", (Column("n", pl.Int64()), Column("name", pl.String()))),)
        needs = ("heard",)

        def run(self, rows: Iterable[tuple[str, Row]], tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
            places = [row for _, row in rows]
            self.emit_all("numbers", places, {"n": [row.n for row in places]})
            return self.frames()

    class OneByOne(Columns):
        def run(self, rows: Iterable[tuple[str, Row]], tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
            for _, row in rows:
                self.emit("numbers", row, n=row.n)
            return self.frames()

    for numbers in (list(range(rows)), [*range(rows), 2**64]):
        heard = [("heard", Row(n=n, source="a.log", line=i)) for i, n in enumerate(numbers)]
        by_columns, one_by_one = Columns(), OneByOne()
        made = by_columns.run(heard, {})["numbers"]
        assert made.equals(one_by_one.run(heard, {})["numbers"]) and made["n"].to_list() == list(range(rows))
        assert by_columns.unfit == one_by_one.unfit


def test_lists_of_values_are_the_same_in_many_rows_as_in_few() -> None:
    kind = pl.List(pl.Struct({"name": pl.String, "value": pl.Int64}))

    class Lists(Model):
        tables: ClassVar = (Table("lists", "A row.", (Column("given", kind, "Values."),)),)

        def on_heard(self, e: Row) -> None:
            self.emit("lists", e, given=e.given)

    def told(given: list[object]) -> list[object]:
        return Lists().run((("heard", Row(given=g)) for g in given), {})["lists"]["given"].to_list()

    one: list[object] = [[{"name": "a", "value": 1}, {"name": "b", "value": None}], [], [{"name": "c"}]]
    assert told(one * 20) == told(one) * 20
    assert told([*one, None] * 20) == told([*one, None]) * 20
    assert told([[]] * 40) == [[]] * 40


class Wide(Model):
    """A number that grows with each row."""

    tables: ClassVar = (Table("wide", "A number.", (Column("n", pl.Int64()),)),)

    def on_bind(self, e: Row) -> None:
        self.emit("wide", e, n=e.pirq << 61)


@pytest.mark.parametrize("rows", [3, 100_003])
def test_a_number_that_fits_no_column_costs_its_own_row_and_is_counted(rows: int) -> None:
    binds = frame([{"line": n + 1, "pirq": 9 if n % 2 else 1, "irq": n} for n in range(rows)], pirq=I, irq=I)
    streams = pl.DataFrame({"source": ["a.log"], "stream": [1], "merged": [False]})
    left_out: list[tuple[str, int]] = []
    wide = replay([Wide], {"bind": binds}, streams, lambda m, e: pytest.fail(str(e)), lambda t, row: left_out.append((t, row.line)))["wide"]
    assert wide["line"].to_list() == list(range(1, rows + 1, 2))
    assert left_out == [("wide", n) for n in range(2, rows + 1, 2)]


class Far(Model):
    """An irq that is far out."""

    tables: ClassVar = (Table("far", "A number.", (Column("n", pl.Int64()),)),)

    def on_irq_affinity_broken(self, e: Row) -> None:
        self.emit("far", e, n=1 << e.irq)


def test_rows_that_a_model_leaves_out_are_noted_with_their_line(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join(f"[    {n}.000000] irq {n}: Affinity broken due to vector space exhaustion.\n" for n in (7, 62, 63, 64)))
    engine = Engine.load(("irq_affinity_broken", "far"))
    run = analyze([str(log)], Options(keep_tables=("far",)), replace(engine, models=[*engine.models, Far]))
    assert run.tables["far"]["n"].to_list() == [1 << 7, 1 << 62]
    assert run.sources[0].notes == ("line 3: a number that fits no column of far (2 rows left out)",)
    assert run.errors == ()
