"""Small cases that are opened together are replayed in one go: tables and findings are those of each case alone."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import polars as pl
import pytest
from tracekit_linux.calls.model import Calls

from tracekit import Column, Inputs, Model, Row, Table
from tracekit.pipeline import Engine, Opened, Options, analyze_opened, open_together, read
from tracekit.reading.source import discover
from tracekit.replay import together
from tracekit.replay.inputs import Case
from tracekit.replay.model import replay, replay_together

SAMPLES = Path(__file__).parents[2] / "sample_traces"
CASES = sorted(str(p.parent) for p in SAMPLES.glob("*/*/expected.toml"))


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load(["*"])


def groups(seed: int, size: int) -> list[list[str]]:
    cases = random.Random(seed).sample(CASES, len(CASES))
    return [cases[i : i + size] for i in range(0, len(cases), size)]


def tables(case: Opened, engine: Engine) -> dict[str, pl.DataFrame]:
    made, _, _ = read(case.sources, engine.fresh(), Options(), [], case.parsed, case.aligned)
    return {name: frame for name, frame in made.items() if name != "sources"}  # its order is that in which events were met


def alone(path: str) -> Opened:
    return Opened(*discover([path]))


@pytest.mark.parametrize("group", groups(1, 24))
def test_samples_replayed_together_give_what_each_gives_alone(group: list[str], engine: Engine) -> None:
    for path, case in open_together(group, engine).items():
        assert case.aligned is not None and case.aligned.replayed is not None
        made, expected = tables(case, engine), tables(alone(path), engine)
        assert made.keys() == expected.keys()
        assert [n for n, t in expected.items() if made[n].schema != t.schema or not made[n].equals(t)] == []
        assert analyze_opened(case, Options(), engine).findings == analyze_opened(alone(path), Options(), engine).findings


def test_large_cases_are_replayed_alone(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "_SMALL", 20)
    opened = open_together(CASES[::9], engine)
    done = {path: case.aligned is not None and case.aligned.replayed is not None for path, case in opened.items()}
    assert set(done.values()) == {True, False}
    assert all(tables(opened[p], engine)["calls"].equals(tables(alone(p), engine)["calls"]) for p in opened)


# The same name of a probe on two functions; the lines have addresses alone.
LINES = """\
{definition}
 vfio-7 [000] .....  1.000001: k_it: (ffffffff81000040) a=3 b=0x8
 vfio-7 [000] .....  1.000002: r_it: (ffffffff81000141 <- ffffffff81000040) ret=0x0
"""


def written(folder: Path, **texts: str) -> list[str]:
    for name, text in texts.items():
        (folder / name).write_text(text)
    return [str(folder / name) for name in texts]


def test_what_a_case_defines_is_defined_in_no_other(engine: Engine, tmp_path: Path) -> None:
    definitions = ("p:k_it msi_insert_desc a=%si b=%dx", "p:k_it msi_domain_get_hwsize a=%si b=%dx", "")
    paths = written(tmp_path, **{f"{n}.txt": LINES.format(definition=d) for n, d in enumerate(definitions)})
    opened = open_together(paths, engine)
    functions = [tables(opened[p], engine)["calls"]["function"].to_list() for p in paths]
    assert functions == [tables(alone(p), engine)["calls"]["function"].to_list() for p in paths]
    assert [set(f) - {None} for f in functions] == [{"msi_insert_desc"}, {"msi_domain_get_hwsize"}, set()]


def test_a_model_that_raises_at_one_case_fails_there_alone(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    group = [c for c in CASES if "/msi.stale-hwsize/" in c]
    bad = next(c for c in group if "kprobe" in c)
    play = Calls.play

    def failing(self: Calls, rows: object, inputs: Inputs) -> None:
        if any(row.source.startswith(bad) for row in inputs.rows("probe_entry")):
            raise KeyError("missing")
        play(self, rows, inputs)  # type: ignore[arg-type]

    monkeypatch.setattr(Calls, "play", failing)
    opened = open_together(group, engine)
    assert [case.aligned.replayed for case in opened.values() if case.aligned] == [None] * len(group)
    errors = {path: analyze_opened(case, Options(), engine).errors for path, case in opened.items()}
    assert {path: len(told) for path, told in errors.items()} == {path: int(path == bad) for path in group}
    assert "failed to replay Calls: KeyError" in errors[bad][0]


BIND = {"source": pl.String, "line": pl.Int64, "ts": pl.Int64, "machine": pl.String, "boot": pl.Int32, "side": pl.String, "irq": pl.Int64}


def case(source: str, *irqs: int, machine: str = "") -> Case:
    rows = [{"source": source, "line": n + 1, "ts": n, "machine": machine, "boot": 0, "irq": irq} for n, irq in enumerate(irqs)]
    streams = pl.DataFrame({"source": [source], "stream": [1], "merged": [False]})
    return Case({"bind": pl.DataFrame(rows, schema=BIND), "known": pl.DataFrame(rows[:1], schema=BIND)}, streams)


class Whole(Model):
    """Takes a table whole, and works on frames."""

    tables: ClassVar = (Table("whole", "A row.", (Column("irq", pl.Int64()), Column("first", pl.Int64()), Column("of", pl.Int64()))),)
    needs: ClassVar[tuple[str, ...]] = ("bind",)
    across: ClassVar[tuple[str, ...]] = ("known", "streams")

    def run(self, rows: object, tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
        for row in tables["bind"].iter_rows(named=True):
            place = Row(**row, ts_raw=None, on_cpu=None, task=None, tid=None)
            self.emit("whole", place, irq=row["irq"], first=tables["known"]["irq"].item(), of=tables["streams"].height)
        return self.frames()


class Played(Model):
    """The same, by rows."""

    tables: ClassVar = (Table("played", "A row.", (Column("irq", pl.Int64()), Column("first", pl.Int64()), Column("n", pl.Int64()))),)
    across: ClassVar[tuple[str, ...]] = ("known",)

    def play(self, rows: object, tables: Inputs) -> None:
        self.first = [row.irq for row in tables.rows("known")]
        self.heard = 0
        super().play(rows, tables)  # type: ignore[arg-type]

    def on_bind(self, e: Row) -> None:
        self.heard += 1
        self.emit("played", e, irq=e.irq << 61, first=self.first[0], n=self.heard)


def test_rows_of_other_cases_are_not_there_and_unfit_rows_are_those_of_their_case() -> None:
    cases = [case("a", 1, 2, 8), case("b", 3, machine="m"), case("c"), case("d", 4, 2)]
    left_out: list[tuple[str, str, int]] = []

    def note(table: str, row: Row) -> None:
        left_out.append((table, row.source, row.line))

    def failed(model: type[Model], error: BaseException) -> None:
        raise error

    made = replay_together([Whole, Played], cases, failed, note)
    assert left_out == [("played", "a", 3), ("played", "d", 1)]
    for found, given in zip(made, cases, strict=True):
        expected = replay([Whole, Played], given.tables, given.streams, failed)
        assert found.keys() == expected.keys()
        assert all(found[name].equals(expected[name]) for name in expected)
    assert [m["whole"]["first"].to_list() for m in made] == [[1, 1, 1], [3], [], [4, 4]]
    assert [m["played"]["n"].to_list() for m in made] == [[1, 2], [1], [], [2]]


def test_cases_that_share_a_source_are_replayed_alone() -> None:
    assert together.replayed([Played], [case("a", 1), case("a", 2)]) == [None, None]
