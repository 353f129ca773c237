"""Grammars: `.lark` files are the one description of the formats; their rules are lowered to one-pass regular expressions.

Lark loads and checks the files and is the reference parser (`reference`). An event or envelope rule is flat, so it is a regular
language: `load` turns each into one anchored expression with named groups, run by polars. Lowered rules are cached by digest.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from tracekit.errors import GrammarError, nearest
from tracekit.grammar.cache import cached_rules, digest_of, keep
from tracekit.grammar.place import located
from tracekit.grammar.rules import Grammars, Rule, built_in_folder

if TYPE_CHECKING:
    pass


def load(folders: Iterable[Path] = (), *, strict: bool = False) -> Grammars:
    """Load and lower the built-in grammars and those of `folders`. With `strict`, the first bad file raises GrammarError.

    A rule whose file, rule or column clashes with another one is an error. So is a built-in rule that cannot be lowered to a one-pass
    expression; one of a third party is a warning, and lark parses its candidate lines.
    """
    built_in = built_in_folder()
    own = [(built_in, f) for f in _grammar_files(built_in)]
    others = [(folder, f) for folder in folders for f in _grammar_files(folder)]
    digest = digest_of([*own, *others])
    if not strict and (cached := cached_rules(digest)) is not None:
        return cached
    base = load() if others and not strict else Grammars()  # the built-in rules, which take long, from the cache where they are there
    grammars = Grammars(dict(base.events), dict(base.envelopes), digest)
    errors, warnings = list(base.errors), list(base.warnings)
    loaded: list[tuple[Path, Path, Rule]] = []
    for folder, path in others if others and not strict else own + others:
        notes: list[str] = []
        try:
            for rule in _load_file(grammars, path, notes if folder != built_in else None):
                loaded.append((folder, path, rule))
        except GrammarError as e:
            if strict:
                raise
            errors.append((folder, located(path, str(e))))
        warnings += [(folder, note) for note in notes]
    strange = list(_strangers(loaded, grammars.events))
    if strange and strict:
        raise GrammarError(strange[0][1])
    grammars = replace(grammars, errors=(*errors, *strange), warnings=tuple(warnings))
    if digest_of([*own, *others]) == digest:  # else a file changed while it was lowered
        keep(grammars)
    return grammars


def _load_file(grammars: Grammars, path: Path, warnings: list[str] | None) -> Iterator[Rule]:
    """Add the rules of one file, and yield each; those before one that is wrong stay."""
    from tracekit.grammar.lowering import lower_file

    rules: dict[str, Rule] = grammars.envelopes if path.parent.name == "envelopes" else grammars.events  # type: ignore[assignment]
    for rule in lower_file(path, warnings):
        if warnings is not None:
            rule = replace(rule, foreign=True)
            _run_once(rule)
        _add(rules, rule)
        yield rule


def _strangers(loaded: Iterable[tuple[Path, Path, Rule]], events: Mapping[str, Rule]) -> Iterator[tuple[Path, str]]:
    """Yield (folder, error) for each mark that names an event of no grammar. `(folder, file, rule)` are the rules to check."""
    for folder, path, rule in loaded:
        if (name := rule.marks.wordings_of) and name not in events:
            yield folder, f"{path}:{rule.line}: mark wordings-of: no event is called {name}{nearest(name, events)}"


def _run_once(rule: Rule) -> None:
    """Raise if polars cannot run the expression, which lark and Python may know more of than it does (`(?=`, `(?<=`, `\\1`)."""
    try:
        pl.Series([""]).str.contains(rule.regex)
    except pl.exceptions.PolarsError as e:
        raise GrammarError(f"{rule.file}: {rule.name}: a terminal has what polars' expressions lack: {str(e).splitlines()[-1]}") from e


def _add(rules: dict[str, Rule], rule: Rule) -> None:
    other = rules.get(rule.name)
    if other is not None:
        raise GrammarError(f"{rule.file}: {rule.name}: {other.file} has a rule of that name")
    rules[rule.name] = rule


def _grammar_files(folder: Path) -> list[Path]:
    return sorted(f for part in ("envelopes", "events") for f in folder.glob(f"{part}/*.lark") if f.is_file())
