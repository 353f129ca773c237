"""The lowered expressions and lark's Earley parser give the same frames on every line of the samples and of the recorded logs."""

import os
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import polars as pl
import pytest
from lark.exceptions import LarkError

from tracekit.grammar import load as grammar
from tracekit.grammar.lowering import lower_file
from tracekit.grammar.reference import reference
from tracekit.grammar.rules import Grammars, Rule, built_in_folder
from tracekit.parsing.envelopes import Layout

ROOT = Path(__file__).resolve().parents[2]
CAPTURES = Path(os.environ.get("TRACEKIT_CAPTURES", ROOT.parent / "shared" / "captures"))
FILES = {rule.name: path for path in built_in_folder().glob("e*/*.lark") for rule in lower_file(path)}


@lru_cache(maxsize=1)
def grammars() -> Grammars:
    return grammar.load()


def earley(rule: Rule, text: str) -> dict[str, str] | None:
    try:
        tree = reference(FILES[rule.name]).parse(text, start=rule.name)
    except LarkError:
        return None
    parts = {c: next(tree.find_data(c), None) for c in rule.columns}
    return {c: "".join(str(t) for t in p.children) for c, p in parts.items() if p is not None}


def number(kind: object, text: str) -> object:
    """A field as its column has it; null where a person put a placeholder in the place of a number."""
    try:
        return int(text) if kind == pl.Int64() else int(text, 16) if kind == pl.UInt64() else text
    except ValueError:
        return None


def typed(rule: Rule, fields: dict[str, str]) -> dict[str, object]:
    """What the reference found, as the column types have it."""
    return {c: (number(kind, fields[c]) if c in fields else None) for c, kind in rule.columns.items()}


def shapes(messages: pl.Series, seen: set[str]) -> pl.Series:
    """One message of each shape that is not `seen` yet: the same text but for its numbers is the same shape."""
    frame = pl.DataFrame({"msg": messages}).with_columns(pl.col("msg").str.replace_all(r"0x[0-9a-f]+|[0-9]+", "0").alias("shape"))
    fresh = frame.unique("shape", keep="first", maintain_order=True).filter(~pl.col("shape").is_in(list(seen)))
    seen.update(fresh["shape"])
    return fresh["msg"]


@pytest.fixture(scope="module")
def seen() -> set[str]:
    """The shapes that were compared already: a parser of the reference takes milliseconds for each."""
    return set()


def messages_of(path: Path) -> pl.Series:
    """The messages of a file, without their envelopes."""
    lines = pl.Series("text", path.read_text(errors="replace").split("\n"))
    layout = Layout.settle(grammars().envelopes, lines.head(1000).to_list())
    peeled = layout.peel(pl.DataFrame({"line": pl.int_range(1, len(lines) + 1, eager=True), "text": layout.clean(lines)}))
    return peeled["msg"].filter(peeled["msg"].str.len_chars() < 400)


def compared(paths: Sequence[Path], seen: set[str]) -> Iterator[tuple[str, str, object, object]]:
    """(rule, message, lowered row, reference row) for every shape of message of the files and every rule whose literals it holds."""
    messages = shapes(pl.concat([messages_of(path) for path in paths]), seen)
    for rule in grammars().events.values():
        for msg in messages.filter(messages.str.contains("|".join(map(re.escape, rule.texts)) or rule.shape)):
            m = re.match(rule.regex, msg)
            row = None if m is None else {c: next((m[g] for g in gs if m[g] is not None), None) for c, gs in rule.groups.items()}
            slow = earley(rule, msg)
            fast = None if row is None else typed(rule, {c: v for c, v in row.items() if v is not None})
            yield rule.name, msg, fast, None if slow is None else typed(rule, slow)


def differences(paths: Sequence[Path], seen: set[str]) -> tuple[int, list[tuple[str, str, object, object]]]:
    rows = list(compared(paths, seen))
    return len(rows), [r for r in rows if r[2] != r[3]]


SAMPLES = sorted(p for p in (ROOT / "sample_traces").rglob("*") if p.is_file() and p.suffix in {".txt", ".log", ".dmesg"})


@pytest.mark.no_cover
def test_both_engines_give_the_same_frames_on_all_samples(seen: set[str]) -> None:
    count, found = differences(SAMPLES, seen)
    assert count > 1000
    assert found == []


@pytest.mark.slow
@pytest.mark.skipif(not CAPTURES.is_dir(), reason="the recorded logs are not here (TRACEKIT_CAPTURES names their folder)")
@pytest.mark.parametrize("folder", sorted(p.name for p in CAPTURES.iterdir() if p.is_dir()) if CAPTURES.is_dir() else [])
@pytest.mark.no_cover
def test_both_engines_give_the_same_frames_on_recorded_logs(folder: str, seen: set[str]) -> None:
    files = [p for p in sorted((CAPTURES / folder).iterdir()) if p.suffix in {".txt", ".log", ".console"}]
    assert files
    assert differences(files, seen)[1] == []
