"""Tables redacted: what a query over results gives."""

from collections.abc import Mapping

import polars as pl

from tracekit.grammar.rules import Rule
from tracekit.redaction.names import Names, words_of
from tracekit.redaction.redactor import Redactor
from tracekit.redaction.tokens import Tokens

# Columns of the results whose text is tracekit's own: codes, grades, digests.
_OWN = (
    "code",
    "name",
    "severity",
    "grade",
    "kind",
    "bdf",
    "status",
    "failure",
    "digest",
    "mark",
    "engine",
    "fingerprint",
    "group",
    "outcome",
)


def redacted(tables: Mapping[str, pl.DataFrame], tokens: Tokens, events: Mapping[str, Rule]) -> dict[str, pl.DataFrame]:
    """Return the tables of results with tokens in their texts; machines and paths of cases name themselves."""
    names = Names(words_of(events.values()))
    for table in tables.values():
        for column in {"machine"} & set(table.columns):
            for name in table[column].drop_nulls().unique():
                names.add("host", name)
    redactor = Redactor(tokens, names)
    told = {name: _unique(table, "case") | _unique(table, "source") for name, table in tables.items()}
    paths = sorted(set().union(*told.values()))
    cases = {p: tokens.of("case", p) for p in paths if any(p in _unique(t, "case") for t in tables.values())}
    redactor.cases = dict(sorted(cases.items(), key=lambda pair: -len(pair[0])))
    return {name: table.with_columns(*_columns(table, redactor)) for name, table in tables.items()}


def _unique(table: pl.DataFrame, column: str) -> set[str]:
    return set(table[column].drop_nulls().unique()) if column in table.columns else set()


def _columns(table: pl.DataFrame, redactor: Redactor) -> list[pl.Series]:
    """Return the columns of text, redacted value by value."""
    return [_column(s, redactor) for s in table.iter_columns() if s.name not in _OWN and s.dtype in (pl.String, pl.List(pl.String))]


def _column(column: pl.Series, redactor: Redactor) -> pl.Series:
    if column.dtype != pl.String:
        return pl.Series(column.name, [None if v is None else [redactor.text(x) for x in v] for v in column.to_list()], dtype=column.dtype)
    told = {v: redactor.path(v) for v in column.drop_nulls().unique()}
    return column.replace_strict(told, default=None, return_dtype=pl.String) if told else column
