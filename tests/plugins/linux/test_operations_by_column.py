"""Operations of many calls, whose rows come from columns, are those of few calls, whose rows are made one by one."""

from pathlib import Path

import pytest
from polars.testing import assert_frame_equal
from tracekit_linux.operations import model
from tracekit_linux.tables import OPERATIONS

from tracekit.pipeline import Options, analyze
from tracekit.testing import engine

LOGS = sorted((Path(__file__).parents[3] / "sample_traces").glob("*/*/*.t*xt"))
TRACES = [p for p in LOGS if "msi_insert_desc" in p.read_text(encoding="utf-8", errors="replace")]


@pytest.mark.parametrize("log", TRACES, ids=lambda p: f"{p.parent.parent.name}/{p.parent.name}")
def test_the_same_operations(log, monkeypatch):
    few, many = (operations(log, most, monkeypatch) for most in (1 << 30, 0))
    assert few.keys() == many.keys()
    for name, rows in few.items():
        assert_frame_equal(many[name], rows)


def operations(log, most, monkeypatch):
    """The tables of operations where a table of at most so many rows is made row by row."""
    monkeypatch.setattr(model, "FEW", most)
    tables = analyze([str(log)], Options(keep_tables=("*",)), engine("*")).tables
    return {t.name: tables[t.name] for t in OPERATIONS if t.name in tables and tables[t.name].height}
