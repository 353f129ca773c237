"""Lowered rules as values, and where the shipped grammars are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from tracekit.errors import GrammarError
from tracekit.grammar.marks import Marks
from tracekit.grammar.place import rules_of
from tracekit.tables.declaration import Column, Table
from tracekit.types import TERMINAL_TYPES

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Rule:
    """One lowered rule. `regex` is anchored; `groups` maps each column to the group names that may hold it.

    `literals`: every match contains at least one of them (the prefilter); a rule without a literal of five characters has none, and
    `shape`, an expression that every match contains, in their place; in large sources its lines are found by the texts of its mark
    `found-by`, since fixed texts are found several times as fast. `terminals`: column -> terminal name; `marks`: its settings,
    those of its file included; `doc` and `said` are comments, for users: the one above the rule, and by column that of its field rule.
    `forms`: expressions that together capture what `regex` does, sooner (`grammar/forms.py`); none where it has one form.
    """

    name: str
    regex: str
    groups: Mapping[str, tuple[str, ...]]
    terminals: Mapping[str, str]
    literals: tuple[str, ...]
    shape: str
    doc: str
    file: str
    line: int  # on which it begins
    marks: Marks
    by_lark: str = ""  # the grammar file, for a rule of a third party that only lark can parse
    said: Mapping[str, str] = field(default_factory=dict)
    foreign: bool = False  # of a third party
    forms: tuple[str, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """Texts of which every match contains one; none where nothing but `shape` finds its lines."""
        return self.marks.found_by or self.literals

    @property
    def group_names(self) -> list[str]:
        """Return the names of all groups."""
        return [group for groups in self.groups.values() for group in groups]

    @property
    def columns(self) -> dict[str, pl.DataType]:
        """Return the rule's own columns and their types, in the order of the text."""
        return {c: TERMINAL_TYPES.get(t, pl.String()) for c, t in self.terminals.items()}

    @property
    def table(self) -> Table:
        """Return the declaration of its table: the comment above the rule, and those of its field rules (`How long it took. [us]`)."""
        return Table(self.name, self.doc, tuple(_column(c, kind, self.said) for c, kind in self.columns.items()))


def _column(name: str, kind: pl.DataType, said: Mapping[str, str]) -> Column:
    sentence, _, unit = said.get(name, "").removesuffix("]").partition(" [")
    return Column(name, kind, sentence, unit)


@dataclass(frozen=True)
class Grammars:
    """All lowered rules: event rules by table name, envelope rules by shape name.

    `errors`: files that could not be loaded, `warnings`: rules that are slow; each with the folder it is from.
    """

    events: Mapping[str, Rule] = field(default_factory=dict)
    envelopes: Mapping[str, Rule] = field(default_factory=dict)
    digest: str = ""
    errors: tuple[tuple[Path, str], ...] = ()
    warnings: tuple[tuple[Path, str], ...] = ()

    @property
    def broken(self) -> dict[str, str]:
        """Return the tables that are missing since their file could not be read, and what is wrong with it."""
        folders = dict(self.errors)
        files = ((text, file) for folder, text in folders.items() for file in folder.glob("events/*.lark"))
        return {name: text.splitlines()[0] for text, file in files for name in rules_of(file) if name not in self.events}

    @property
    def telling(self) -> dict[str, tuple[str, ...]]:
        """Return the events that tracekit itself uses (`loss`, `kernel`, ...), by the value of their mark `tells`."""
        found: dict[str, tuple[str, ...]] = {}
        for rule in self.events.values():
            if what := rule.marks.tells:
                found[what] = (*found.get(what, ()), rule.name)
        return found


def built_in_folder() -> Path:
    """Return the folder of the shipped grammars."""
    spec = find_spec("tracekit_grammars")
    places = spec.submodule_search_locations if spec else None
    for place in places or ():
        if Path(place).is_dir():
            return Path(place)
    raise GrammarError("the shipped grammars are not installed: reinstall tracekit")
