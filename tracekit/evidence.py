"""Add the text and the file of each line that findings and rows rest on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from tracekit.findings import Evidence, Finding
from tracekit.parsing.objects import printed
from tracekit.reading.source import Series, Source
from tracekit.timeline import Picture, Where

BESIDE = 10  # lines that a picture's report shows before and after a line of evidence


def with_text(
    findings: Sequence[Finding], sources: Sequence[Source], repeats: pl.DataFrame, beside: int = 0
) -> tuple[list[Finding], dict[str, dict[int, str]]]:
    """Return the findings with the text of their evidence lines, and with the places where other sources repeat those lines.

    Also the lines that stand up to `beside` lines from these, by file and line; none where that is 0.
    """
    ends: dict[str, set[int]] = {}
    for f in findings:
        for e in f.evidence:
            ends.setdefault(e.source, set()).update(n for n in (e.line, e.line_end) if n is not None)
    near = range(-beside, beside + 1)
    texts = {s.path: s.text_of({n + i for n in ends[s.path] for i in near if n + i > 0}) for s in sources if s.path in ends}
    place = _places(sources)
    also: dict[tuple[str, int], list[tuple[str, int]]] = {}
    for source, line, of_source, of_line in repeats.iter_rows():
        also.setdefault((of_source, of_line), []).append((source, line))

    def complete(e: Evidence) -> Evidence:
        given = texts.get(e.source, {})
        last = printed(given.get(e.line_end, "")) if e.line_end not in (None, e.line) else ""
        twins = tuple(place(*twin) for twin in also.get((e.source, e.line), ()))
        (source, line), end = place(e.source, e.line), place(e.source, e.line_end) if e.line_end is not None else None
        line_end = end[1] if end and end[0] == source else None
        return replace(e, source=source, line=line, line_end=line_end, text=printed(given.get(e.line, "")), text_end=last, also=twins)

    completed = [
        replace(f, evidence=tuple(complete(e) for e in f.evidence), windows=tuple(_placed_window(w, place) for w in f.windows))
        for f in findings
    ]
    return completed, _around(texts, place) if beside else {}


def _around(texts: Mapping[str, Mapping[int, str]], place: Where) -> dict[str, dict[int, str]]:
    found: dict[str, dict[int, str]] = {}
    for source, lines in texts.items():
        for n, text in sorted(lines.items()):
            path, line = place(source, n)
            found.setdefault(path, {})[line] = printed(text)
    return found


def placed_pictures(pictures: Iterable[Picture | None], sources: Sequence[Source]) -> Iterator[Picture | None]:
    """Yield pictures whose bars and marks name the files and lines of joined logs, as evidence does."""
    place = _places(sources)
    for p in pictures:
        yield p and replace(p, whole=p.whole.placed(place), focus=p.focus and p.focus.placed(place))


def _places(sources: Sequence[Source]) -> Where:
    """Return a function from a source and its line to the file and line that a user sees."""
    by_path = {s.path: s for s in sources}
    return lambda source, line: by_path[source].place(line) if source in by_path else (source, line)


def _placed_window(window: Mapping[str, Any], place: Where) -> Mapping[str, Any]:
    """Return a window with the file and the lines that it spans."""
    lines = {k: place(window["source"], window[k]) for k in ("line", "line_end") if "source" in window and window.get(k) is not None}
    return {**window, **({"source": lines["line"][0]} if "line" in lines else {}), **{k: line for k, (_, line) in lines.items()}}


def placed(frame: pl.DataFrame, sources: Sequence[Source]) -> pl.DataFrame:
    """Return rows of joined logs with the file and the line that each one comes from."""
    for series in (s for s in sources if isinstance(s, Series)):
        if not {"source", "line"} <= set(frame.columns):
            return frame
        inside, (part, line) = frame["source"] == series.path, _origins(series, frame["line"])
        own = {"source": part.replace_strict(dict(enumerate(p.path for p in series.parts)), return_dtype=pl.String), "line": line}
        if "line_end" in frame.columns:
            other, end = _origins(series, frame["line_end"])
            own["line_end"] = pl.select(pl.when(other == part).then(end)).to_series()
        frame = frame.with_columns(pl.when(inside).then(values).otherwise(name).alias(name) for name, values in own.items())
    return frame


def _origins(series: Series, lines: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return which part of a joined log each line is of, and its number there."""
    firsts, parts, numbers = (pl.Series(values, dtype=pl.Int64) for values in zip(*series.runs, strict=True))
    run = (firsts.search_sorted(lines.fill_null(1), side="right").cast(pl.Int64) - 1).clip(0)
    return parts.gather(run), lines - firsts.gather(run) + numbers.gather(run)
