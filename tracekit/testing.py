"""For tests of plugins: log text in, tables and findings out."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from tracekit.analyze import Engine, Options, analyze, diagnose, read
from tracekit.diagnoses import Finding, Outcome
from tracekit.model import Model, replay
from tracekit.report import Run
from tracekit.source import discover


def run(*texts: str, **named: str) -> Run:
    """Analyze the texts as one case; sources are called `a.log`, `b.log`, ... or, for keywords, by their name."""
    files = {f"{chr(97 + i)}.log": t for i, t in enumerate(texts)} | named
    with tempfile.TemporaryDirectory() as folder:
        return analyze([_write(folder, n, t) for n, t in files.items()], Options(keep_tables=("*",)))


def tables(*texts: str, **named: str) -> dict[str, pl.DataFrame]:
    """All tables of the texts as one case: events and what the models emit."""
    files = {f"{chr(97 + i)}.log": t for i, t in enumerate(texts)} | named
    with tempfile.TemporaryDirectory() as folder:
        sources, _ = discover([_write(folder, n, t) for n, t in files.items()])
        return read(sources, Engine.load(("*",)), Options(keep_tables=("*",)), [])[0]


def findings(*texts: str, **named: str) -> list[Finding]:
    """The findings of the texts as one case, OBS-001 left out."""
    return [f for f in run(*texts, **named).findings if f.code != "OBS-001"]


def outcome(result: Run, code: str) -> Outcome:
    """The outcome of one diagnosis in a run."""
    return next(o for o in result.outcomes if o.code == code)


def play(model: type[Model], frames: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Replay one model over hand-made tables, as one stream; errors are raised."""

    def failed(_: type[Model], error: Exception) -> None:
        raise error

    paths = sorted({s for f in frames.values() for s in f["source"].to_list()})
    streams = pl.DataFrame(
        [(p, 0, False) for p in paths], schema={"source": pl.String, "stream": pl.Int64, "merged": pl.Boolean}, orient="row"
    )
    return replay([model], frames, streams, failed)


def shape(found: Sequence[Finding]) -> list[tuple[str, str | None, str, str | None, list[int]]]:
    """What tests compare: (code, grade, subject, explained_by, evidence lines in order)."""
    return [(f.code, f.grade, f.subject.label, f.explained_by, [e.line for e in f.evidence]) for f in found]


def _write(folder: str, name: str, text: str) -> str:
    path = Path(folder) / name
    path.write_text(text, encoding="utf-8")
    return str(path)


__all__ = ["diagnose", "findings", "outcome", "play", "run", "shape", "tables"]
