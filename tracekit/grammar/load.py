"""Grammars: `.lark` files are the one description of the formats; their rules are lowered to one-pass regular expressions.

Lark loads and checks the files and is the reference parser (`reference`). An event or envelope rule is flat, so it is a regular
language: `load` turns each into one anchored expression with named groups, run by polars. Lowered rules are cached by digest.
"""

import ast
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from tracekit.errors import GrammarError
from tracekit.grammar.pattern import Alt, Lit, Node, Opt, Seq, Term, ambiguous, literals, regex, shape
from tracekit.types import ENVELOPE, TERMINAL_TYPES

if TYPE_CHECKING:
    from lark import Lark

MIN_LITERAL = 5


@dataclass(frozen=True)
class Rule:
    """One lowered rule. `regex` is anchored; `groups` maps each column to the group names that may hold it.

    `literals`: every match contains at least one of them (the prefilter); a rule without a literal of five characters has none, and
    `shape`, an expression that every match contains, in their place; in large sources its lines are found by the short texts `signs`
    that its comment names (`found by ") {"`), since one expression of fixed texts is several times as fast. `terminals`: column ->
    terminal name.
    """

    name: str
    regex: str
    groups: Mapping[str, tuple[str, ...]]
    terminals: Mapping[str, str]
    literals: tuple[str, ...]
    shape: str
    signs: tuple[str, ...]
    doc: str
    file: str
    by_lark: str = ""  # the grammar file, for a rule of a third party that only lark can parse

    @property
    def columns(self) -> dict[str, pl.DataType]:
        """The rule's own columns and their types, in the order of the text."""
        return {c: TERMINAL_TYPES.get(t, pl.String()) for c, t in self.terminals.items()}


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


def built_in_folder() -> Path:
    """The folder of the shipped grammars."""
    spec = find_spec("tracekit_grammars")
    places = spec.submodule_search_locations if spec else None
    for place in places or ():
        if Path(place).is_dir():
            return Path(place)
    raise GrammarError("the shipped grammars are not installed: reinstall tracekit")


def load(folders: Iterable[Path] = (), *, strict: bool = False) -> Grammars:
    """Load and lower the built-in grammars and those of `folders`. With `strict`, the first bad file raises GrammarError.

    A rule whose file, rule or column clashes with another one is an error. So is a built-in rule that cannot be lowered to a one-pass
    expression; one of a third party is a warning, and lark parses its candidate lines.
    """
    own = [(built_in_folder(), f) for f in _grammar_files(built_in_folder())]
    others = [(folder, f) for folder in folders for f in _grammar_files(folder)]
    digest = _digest([*own, *others])
    if not strict and (cached := _from_cache(digest)) is not None:
        return cached
    base = load() if others and not strict else Grammars()  # the built-in rules, which take long, from the cache where they are there
    grammars = Grammars(dict(base.events), dict(base.envelopes), digest)
    errors, warnings = list(base.errors), list(base.warnings)
    for folder, path in others if others and not strict else own + others:
        notes: list[str] = []
        try:
            _load_file(grammars, path, notes if folder != built_in_folder() else None)
        except GrammarError as e:
            if strict:
                raise
            errors.append((folder, str(e)))
        warnings += [(folder, note) for note in notes]
    grammars = replace(grammars, errors=tuple(errors), warnings=tuple(warnings))
    _to_cache(grammars)
    return grammars


def _load_file(grammars: Grammars, path: Path, warnings: list[str] | None) -> None:
    """Add the rules of one file; those before one that is wrong stay."""
    rules: dict[str, Rule] = grammars.envelopes if path.parent.name == "envelopes" else grammars.events  # type: ignore[assignment]
    for rule in lower_file(path, warnings):
        if warnings is not None:
            _run_once(rule)
        _add(rules, rule)


def _run_once(rule: Rule) -> None:
    """Raise if polars cannot run the expression, which lark and Python may know more of than it does (`(?=`, `(?<=`, `\\1`)."""
    try:
        pl.Series([""]).str.contains(rule.regex)
    except pl.exceptions.PolarsError as e:
        raise GrammarError(f"{rule.file}: {rule.name}: a terminal has what polars' expressions lack: {str(e).splitlines()[-1]}") from e


def lower_file(path: Path, warnings: list[str] | None = None) -> Iterator[Rule]:
    """The event rules of one grammar file, lowered. Errors: GrammarError naming the file and the rule.

    With a list for `warnings`, a rule that cannot be lowered, or is not one-pass, is noted there and kept.
    """
    try:
        text = path.read_text(encoding="utf-8")
        rules, terminals = _load_lark(text, path)
    except Exception as e:
        raise GrammarError(f"{path}: {type(e).__name__}: {str(e).splitlines()[0] if str(e) else e}") from e
    comments = _comments(text)
    lowering = _Lowering(rules, terminals, path)
    for name in lowering.starts():
        doc = comments.get(name, "")
        try:
            yield lowering.rule(name, doc, _exempt(doc), warnings)
        except GrammarError:
            raise
        except Exception as e:
            raise GrammarError(f"{path.name}: {name}: {e}") from e


def fields_by_lark(rule: Rule, text: str) -> dict[str, str] | None:
    """What lark's Earley parser finds in one message: column -> text, or None if it is no match."""
    from lark.exceptions import LarkError

    try:
        tree = _parser(rule.by_lark, rule.name).parse(text)
    except LarkError:
        return None
    first = {c: next(tree.find_data(c), None) for c in rule.groups}
    return {c: "".join(str(t) for t in part.children) for c, part in first.items() if part is not None}


@lru_cache(maxsize=64)
def _parser(path: str, rule: str) -> "Lark":
    return reference(Path(path), rule)


def reference(path: Path, rule: str) -> "Lark":
    """Lark's Earley parser of one rule of a file: what the lowered expression must agree with."""
    from lark import Lark

    text = path.read_text(encoding="utf-8")
    return Lark(
        text,
        parser="earley",
        lexer="dynamic_complete",
        start=rule,
        import_paths=[_import_common],
        source_path=str(path),
        keep_all_tokens=True,
    )


class _Lowering:
    """Turns the rules of one file, as lark loaded them, into patterns."""

    def __init__(self, rules: Mapping[str, Any], terminals: Mapping[str, Node], path: Path) -> None:
        self.rules, self.terminals, self.path, self.file = rules, terminals, path, path.name
        self.lenient = False
        self.unlowered = ""
        # Envelope rules fill the envelope columns; event rules must leave them alone.
        self.reserved = frozenset() if path.parent.name == "envelopes" else frozenset(ENVELOPE)

    def starts(self) -> list[str]:
        """The rules that `start` lists."""
        return [str(getattr(v.children[0], "name", v.children[0])) for v in self.rules["start"].find_data("value")]

    def rule(self, name: str, doc: str, exempt: frozenset[str], warnings: list[str] | None = None) -> Rule:
        """One event rule: `exempt` names the fields that may be ambiguous (named in the rule's comment)."""
        self.lenient, self.unlowered = warnings is not None, ""
        fields: dict[str, list[str]] = {}
        kinds: dict[str, str] = {}
        node = self._node(self.rules[name], fields, kinds, (name,))
        if clash := sorted(self.reserved & set(fields)):
            raise GrammarError(f"{self.file}: {name}: field {clash[0]} has the name of an envelope column; choose another")
        if (bad := self.unlowered or ambiguous(node, exempt)) and warnings is not None:
            warnings.append(f"{self.file}: {name}: {bad}" if self.unlowered else f"{self.file}: {name}: not one-pass, so it is slow: {bad}")
        elif bad:
            raise GrammarError(f"{self.file}: {name}: not one-pass: {bad}")
        texts = literals(node, MIN_LITERAL)
        strong = texts if texts and min(map(len, texts)) >= MIN_LITERAL else ()
        groups = {c: tuple(g) for c, g in fields.items()}
        by_lark = str(self.path) if self.unlowered else ""
        return Rule(name, f"^{regex(node)}$", groups, kinds, strong, "" if strong else shape(node), _signs(doc), doc, self.file, by_lark)

    def _node(self, tree: Any, fields: dict[str, list[str]], kinds: dict[str, str], path: tuple[str, ...]) -> Node:
        """The pattern of a tree of lark's grammar loader; fields met on the way are noted in `fields` and `kinds`."""

        def sub(t: Any) -> Node:
            return self._node(t, fields, kinds, path)

        match tree.data:
            case "expansions":
                branches = [sub(c) for c in tree.children]
                return branches[0] if len(branches) == 1 else Alt(tuple(branches))
            case "expansion":
                return Seq(tuple(sub(c) for c in tree.children))
            case "alias":
                return sub(tree.children[0])
            case "maybe":
                return Opt(sub(tree.children[0]))
            case "expr" if str(tree.children[1]) == "?":
                return Opt(sub(tree.children[0]))
            case "literal":
                return self._literal(str(tree.children[0]))
            case "value":
                return self._value(tree.children[0], fields, kinds, path)
        return self._unlowered(f"{tree.data} cannot be lowered; event rules are flat", path[0])

    def _unlowered(self, why: str, rule: str) -> Node:
        """A part that only lark can parse: an error in a built-in grammar, else it may hold anything."""
        if not self.lenient:
            raise GrammarError(f"{self.file}: {rule}: {why}")
        self.unlowered = why
        return Term("", ".*")

    def _literal(self, token: str) -> Node:
        if token.startswith("/"):
            return Term("", token[1 : token.rindex("/")])
        flags = token[token.rindex('"') + 1 :]
        text = ast.literal_eval(token[: token.rindex('"') + 1])
        return Term("", f"(?i:{re.escape(text)})") if "i" in flags else Lit(text)

    def _value(self, child: Any, fields: dict[str, list[str]], kinds: dict[str, str], path: tuple[str, ...]) -> Node:
        if getattr(child, "data", None) is not None:
            return self._node(child, fields, kinds, path)
        name = str(getattr(child, "name", child))
        if name in self.terminals:
            return self.terminals[name]
        if name in path:
            return self._unlowered(f"rule {name} is recursive; event rules are flat", path[0])
        if (terminal := self._terminal_of(name)) is not None:
            groups = fields.setdefault(name, [])
            groups.append(name if not groups else f"{name}__{len(groups)}")
            kinds[name] = terminal[0]
            return Term(groups[-1], terminal[1], name)
        return self._node(self.rules[name], fields, kinds, (*path, name))

    def _terminal_of(self, name: str) -> tuple[str, str] | None:
        """(terminal, expression) if the rule is a field rule, that is, names exactly one terminal; `_rules` are always inlined."""
        if name.startswith("_") or name not in self.rules:
            return None
        leaves = list(self.rules[name].scan_values(lambda _: True))
        if len(leaves) != 1 or len(list(self.rules[name].find_data("maybe"))):
            return None
        leaf = str(getattr(leaves[0], "name", leaves[0]))
        if leaf in self.terminals:
            known = self.terminals[leaf]
            return leaf, known.expression if isinstance(known, Term) else regex(known)
        if leaf.startswith("/"):
            return "", leaf[1 : leaf.rindex("/")]
        return ("", regex(self._literal(leaf))) if leaf.startswith('"') else None


def _load_lark(text: str, path: Path) -> tuple[dict[str, Any], dict[str, Node]]:
    """Rule trees and terminal expressions of a grammar text, checked by lark."""
    from copy import deepcopy

    from lark.load_grammar import load_grammar

    grammar, _ = load_grammar(text, str(path), [_import_common], False)  # type: ignore[no-untyped-call]
    rules: dict[str, Any] = {str(name): deepcopy(tree) for name, _, tree, _ in grammar.rule_defs}
    if "start" not in rules:
        raise GrammarError(f"{path}: no rule 'start'")
    terminals, _, ignored = grammar.compile(["start"], "*")
    if ignored:
        raise GrammarError(f"{path}: %ignore is not allowed: every blank is written")
    return rules, {t.name: _terminal(t.pattern) for t in terminals}


def _terminal(pattern: Any) -> Node:
    """A terminal as lark compiled it: a fixed text stays one, so that it can serve as a prefilter."""
    return Lit(pattern.value) if pattern.type == "str" and not pattern.flags else Term("", pattern.to_regexp())


def _import_common(_base: str | None, grammar_path: str) -> tuple[str, str]:
    """Lark's import hook: `.common` is the built-in `common.lark`."""
    if grammar_path != "common.lark":
        raise OSError(grammar_path)
    path = built_in_folder() / "common.lark"
    return str(path), path.read_text(encoding="utf-8")


def _comments(text: str) -> dict[str, str]:
    """The comment block directly above each rule."""
    found: dict[str, str] = {}
    block: list[str] = []
    for line in text.splitlines():
        if line.startswith("//"):
            block.append(line[2:].strip())
            continue
        if m := re.match(r"[?!]?([a-z_][a-z0-9_]*)\s*:", line):
            found[m[1]] = " ".join(block)
        block = []
    return found


def _signs(doc: str) -> tuple[str, ...]:
    """The short texts that a comment names for a rule without a long one: `found by ": (", "  ("`."""
    m = re.search(r'found by ((?:"[^"]+"(?:, )?)+)', doc)
    return tuple(re.findall(r'"([^"]+)"', m[1])) if m else ()


def _exempt(doc: str) -> frozenset[str]:
    """Fields that a comment exempts from the one-pass rule: `not one-pass: task, name`."""
    m = re.search(r"not one-pass: ([a-z_0-9, ]+)", doc)
    return frozenset(re.split(r",\s*|\s+", m[1].strip())) if m else frozenset()


def _add(rules: dict[str, Rule], rule: Rule) -> None:
    other = rules.get(rule.name)
    if other is not None:
        raise GrammarError(f"{rule.file}: {rule.name}: {other.file} has a rule of that name")
    rules[rule.name] = rule


def _grammar_files(folder: Path) -> list[Path]:
    return sorted(f for part in ("envelopes", "events") for f in folder.glob(f"{part}/*.lark") if f.is_file())


def _digest(places: Iterable[tuple[Path, Path]]) -> str:
    """What the lowered rules depend on: this code, the files, and the folders of plugins, which errors and rules for lark name."""
    here = Path(__file__).parent
    h = hashlib.blake2b(digest_size=16)
    for folder, f in [(here, here / "load.py"), (here, here / "pattern.py"), (here, built_in_folder() / "common.lark"), *places]:
        name = f"{f.parent.name}/{f.name}" if folder in (here, built_in_folder()) else str(f)
        h.update(f.read_bytes() + b"\0" + name.encode() + b"\0")
    return h.hexdigest()


def _cache_files(digest: str) -> list[Path]:
    """Where lowered rules may lie: beside the shipped grammars (made when the wheel is built), then the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return [built_in_folder() / "lowered.json", cache / "tracekit" / f"grammars-{digest}.json"]


def _from_cache(digest: str) -> Grammars | None:
    for path in _cache_files(digest):
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if data.get("digest") == digest:
            return grammars_from_json(data)
    return None


def _to_cache(grammars: Grammars) -> None:
    path = _cache_files(grammars.digest)[-1]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text(grammars_to_json(grammars), encoding="utf-8")
        partial.replace(path)
    except OSError:
        return  # a read-only home only costs the time of lowering again


def grammars_to_json(grammars: Grammars) -> str:
    """The lowered rules as text, for the cache."""
    pack = {n: [vars(r) for r in getattr(grammars, n).values()] for n in ("events", "envelopes")}
    notes = {n: [(str(folder), text) for folder, text in getattr(grammars, n)] for n in ("errors", "warnings")}
    return json.dumps({"digest": grammars.digest, **pack, **notes})


def grammars_from_json(data: Mapping[str, Any]) -> Grammars:
    """The inverse of `grammars_to_json`, given the parsed text."""

    def rule(r: Mapping[str, Any]) -> Rule:
        return Rule(
            **{**r, "groups": {c: tuple(g) for c, g in r["groups"].items()}, "literals": tuple(r["literals"]), "signs": tuple(r["signs"])}
        )

    events, envelopes = ({r["name"]: rule(r) for r in data[part]} for part in ("events", "envelopes"))
    errors, warnings = (tuple((Path(folder), text) for folder, text in data[part]) for part in ("errors", "warnings"))
    return Grammars(events, envelopes, data["digest"], errors, warnings)
