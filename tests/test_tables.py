"""Tables: every column has its sentence, keys tell rows apart, and code names no column that is not declared."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from columns import wrong_columns

from tracekit.grammar import load as grammar
from tracekit.pipeline import Engine, Options, read
from tracekit.plugins import registry as plugins
from tracekit.reading.source import discover
from tracekit.tables import pipeline
from tracekit.tables.declaration import Table
from tracekit.tables.envelope import ENVELOPE_COLUMNS, SPAN_COLUMNS
from tracekit.tables.glossary import GLOSSARY
from tracekit.testing import samples

ROOT = Path(__file__).parent.parent
REGISTRY = plugins.load()
EVENTS = {n: r.table for n, r in grammar.load(REGISTRY.grammars).events.items()}
MODELS = {t.name: t for m in REGISTRY.models for t in m.tables}
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))


def declared() -> Iterator[Table]:
    yield from (*EVENTS.values(), *MODELS.values(), *pipeline.OWN, pipeline.RAW_EVENT)


@cache
def columns() -> dict[str, frozenset[str]]:
    """All columns of each table, with those that its kind has."""
    envelope, span = frozenset(c.name for c in ENVELOPE_COLUMNS), frozenset(c.name for c in SPAN_COLUMNS)
    own = {t.name: frozenset(c.name for c in t.columns) for t in declared()}
    alone = {"streams", "sources"}
    return {
        n: own[n] | (frozenset() if n in alone else envelope | (span if n in MODELS or n == "divergences" else frozenset())) for n in own
    }


def test_every_table_and_column_says_what_it_means() -> None:
    cells = [(t.name, c.name, c.meaning[0]) for t in declared() for c in (*t.columns, *ENVELOPE_COLUMNS, *SPAN_COLUMNS)]
    assert [t.name for t in declared() if not t.row.endswith(".")] == []
    assert [(t, c, said) for t, c, said in cells if not said.endswith(".") or said[0] == " "] == []


def test_a_sentence_stands_once_in_the_glossary_or_where_it_is_its_own() -> None:
    cells = [c for t in declared() for c in t.columns]
    assert [c.name for c in cells if c.sentence and c.sentence == GLOSSARY.get(c.name, ("",))[0]] == []
    assert sorted(set(GLOSSARY) - {c.name for c in cells if not c.sentence}) == []


def test_keys_tell_the_rows_of_a_table_apart() -> None:
    keys = {t.name: list(t.keys) for t in declared()}
    engine, same = Engine.load(("*",)), set[str]()
    for case in samples(ROOT / "sample_traces")[::6]:
        found, _, _ = read(discover([str(p) for p in case.iterdir() if p.suffix != ".toml"])[0], engine, Options(keep_tables=("*",)), [])
        same |= {n for n, f in found.items() if f.n_unique(keys[n]) != f.height}
    assert same == set()


@cache
def columns_in(path: Path) -> tuple[list[tuple[int, str]], int]:
    """What is wrong with the columns that a file names, and how many it names."""
    text = path.read_text(encoding="utf-8")
    names = re.findall(r"^from (tracekit_[\w.]+) import", text, re.M)
    beside = [file for name in names if (file := ROOT / "plugins" / f"{name.replace('.', '/')}.py").exists()]
    return wrong_columns(text, columns(), [file.read_text(encoding="utf-8") for file in beside])


@pytest.mark.parametrize("path", PLUGINS, ids=lambda p: f"{p.parent.name}.{p.stem}")
def test_code_names_no_column_that_is_not_declared(path: Path) -> None:
    assert columns_in(path)[0] == []


def test_most_columns_in_the_code_of_diagnoses_and_models_are_held_against_their_table() -> None:
    assert sum(columns_in(p)[1] for p in PLUGINS) > 800


HEAD = "import polars as pl\nfrom tracekit import Model, Row, rows_of\n"
INVENTED = [
    ("class M(Model):\n    def on_vector_alloc(self, e: Row) -> None:\n        print(e.irqs)", "irqs is no column of vector_alloc"),
    (
        "class M(Model):\n    def on_gap(self, e: Row) -> None: print(e.count)\n    on_vector_alloc = on_gap",
        "count is no column of vector_alloc",
    ),
    ("class M(Model):\n    def on_gap(self, e: Row) -> None: self.emit('windows', e, olds=1)", "olds is no column of windows"),
    ("class M(Model):\n    def on_gap(self, e: Row) -> None: self.emit('window', e)", "window is no table"),
    ("def f(windows: pl.DataFrame): return windows.filter(pl.col('pirq') == 1)", "pirq is no column of windows"),
    ("def f(windows: pl.DataFrame): return windows.sort('line', 'nwe')", "nwe is no column of windows"),
    (
        "def f(windows: pl.DataFrame):\n    for r in windows.filter(pl.col('old') > 1).iter_rows(named=True): print(r['pirq'])",
        "pirq is no column of windows",
    ),
    (
        "def f(windows: pl.DataFrame | None): return [r.olds for r in rows_of(windows)] if windows is not None else []",
        "olds is no column of windows",
    ),
    ("def f(tables): return tables['windows']['spam']", "spam is no column of windows"),
    ("def f(tables):\n    if (x := tables.get('gap')) is not None: print(x['cpu'], x['vector'])", "vector is no column of gap"),
    ("def f(tables): return tables.get('no_table')", "no_table is no table"),
    ("def f(frame: pl.DataFrame): return frame.filter(pl.col('invented'))", "invented is no column of any table"),
    ("def f(row: Row): return row.invented", "invented is no column of any table"),
    ("def f(row: Mapping[str, Any]): return row['invented']", "invented is no column of any table"),
    (
        "def f(gap: pl.DataFrame):\n    for r in rows_of(gap): g(r)\ndef g(row: Row): h(row)\ndef h(row: Row): return row.vector",
        "vector is no column of gap",
    ),
    ("def f(gap: pl.DataFrame):\n    few = gap.select('source', 'cpu')\n    return few['count']", "count is no column of gap"),
]


@pytest.mark.parametrize(("code", "told"), INVENTED)
def test_an_invented_name_is_found(code: str, told: str) -> None:
    assert [what for _, what in wrong_columns(HEAD + code, columns())[0]] == [told]


@pytest.mark.parametrize(
    "code",
    [
        "class M(Model):\n    def on_vector_alloc(self, e: Row) -> None:\n        print(e.irq, e.line, e.task)",
        "def f(windows: pl.DataFrame): return windows.with_columns(n=pl.col('old') + 1).filter(pl.col('n') > pl.col('span'))",
        "def f(windows: pl.DataFrame): return windows.join(other, on='line').filter(pl.col('count') > 1)",
        "def f(gap: pl.DataFrame):\n    gap = anything(gap)\n    return gap['vector']",
        "def f(frame: pl.DataFrame): return frame.select(pl.col(c).alias(f'up_{c}') for c in own).filter(pl.col('up_line') > 1)",
        "def f(frame: pl.DataFrame): return frame.hstack([pl.Series('mine', [1])]).sort('mine')",
    ],
)
def test_a_name_that_is_declared_or_made_passes(code: str) -> None:
    assert wrong_columns(HEAD + code, columns())[0] == []


def test_a_name_passes_that_is_made_where_the_module_imports_from() -> None:
    code, made = "def f(frame: pl.DataFrame): return frame.filter(pl.col('mine'))", "MADE = pl.col('line').alias('mine')"
    assert wrong_columns(HEAD + code, columns(), [made])[0] == []
    assert [what for _, what in wrong_columns(HEAD + code, columns(), [HEAD])[0]] == ["mine is no column of any table"]
