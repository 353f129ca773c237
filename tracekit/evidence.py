"""Add the text and the file of each line that findings and rows rest on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from tracekit.findings import Evidence, Finding
from tracekit.parsing.objects import printed
from tracekit.reading.source import Series, Source

AROUND = 10  # lines shown before and after a line of evidence


def with_text(findings: Sequence[Finding], sources: Sequence[Source], repeats: pl.DataFrame) -> list[Finding]:
    """Return the findings with the text of their evidence lines, and with the places where other sources repeat those lines."""
    lines: dict[str, set[int]] = {}
    for f in findings:
        for e in f.evidence:
            lines.setdefault(e.source, set()).update(n for n in (e.line, e.line_end) if n is not None)
    by_path = {s.path: s for s in sources}
    texts = {path: source.text_of(lines[path]) for path, source in by_path.items() if path in lines}
    also: dict[tuple[str, int], list[tuple[str, int]]] = {}
    for source, line, of_source, of_line in repeats.iter_rows():
        also.setdefault((of_source, of_line), []).append((source, line))

    def place(source: str, line: int) -> tuple[str, int]:
        return by_path[source].place(line) if source in by_path else (source, line)

    def complete(e: Evidence) -> Evidence:
        given = texts.get(e.source, {})
        last = printed(given.get(e.line_end, "")) if e.line_end not in (None, e.line) else ""
        twins = tuple(place(*twin) for twin in also.get((e.source, e.line), ()))
        (source, line), end = place(e.source, e.line), place(e.source, e.line_end) if e.line_end is not None else None
        line_end = end[1] if end and end[0] == source else None
        return replace(e, source=source, line=line, line_end=line_end, text=printed(given.get(e.line, "")), text_end=last, also=twins)

    return [
        replace(f, evidence=tuple(complete(e) for e in f.evidence), windows=tuple(_placed_window(w, place) for w in f.windows))
        for f in findings
    ]


def surroundings(findings: Sequence[Finding], sources: Sequence[Source]) -> dict[str, dict[int, str]]:
    """Return the lines around the evidence, by file and line; of findings whose evidence has no text yet."""
    found: dict[str, dict[int, str]] = {}
    for s in sources:
        ends = {n for f in findings for e in f.evidence if e.source == s.path for n in (e.line, e.line_end) if n is not None}
        wanted = {n + i for n in ends for i in range(-AROUND, AROUND + 1) if n + i > 0}
        for n, text in sorted(s.text_of(wanted).items()) if wanted else ():
            path, line = s.place(n)
            found.setdefault(path, {})[line] = printed(text)
    return found


def _placed_window(window: Mapping[str, Any], place: Callable[[str, int], tuple[str, int]]) -> Mapping[str, Any]:
    """Return a window with the file and the lines that it spans."""
    lines = {k: place(window["source"], window[k]) for k in ("line", "line_end") if "source" in window and window.get(k) is not None}
    return {**window, **({"source": lines["line"][0]} if "line" in lines else {}), **{k: line for k, (_, line) in lines.items()}}


def placed(frame: pl.DataFrame, sources: Sequence[Source]) -> pl.DataFrame:
    """Return rows of joined logs with the file and the line that each one comes from."""
    for series in (s for s in sources if isinstance(s, Series)):
        if not {"source", "line"} <= set(frame.columns):
            return frame
        source, before = pl.col("source"), pl.lit(0, dtype=pl.Int64)
        for first, part in sorted(series.begins.items()):
            inside = (pl.col("source") == series.path) & (pl.col("line") >= first)
            source = pl.when(inside).then(pl.lit(part.path)).otherwise(source)
            before = pl.when(inside).then(first - 1).otherwise(before)
        frame = frame.with_columns(source.alias("source"), *(pl.col(c) - before for c in ("line", "line_end") if c in frame.columns))
    return frame
